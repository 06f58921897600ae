"""The page's own words for what the jobs say: names of files instead of options and paths; and the command line that it shows."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from dpst.jobs.messages import with_flags
from dpst.options import Options

# The options whose files the page uploads, and how messages name these files.
ROLES = {
    "content_image_path": "content image",
    "style_image_path": "style image",
    "content_seg_path": "content segmentation",
    "style_seg_path": "style segmentation",
}
CLIP_ROLE = "content clip"
# The program in the command line that the page shows: the script in a checkout, otherwise the installed command.
_PROGRAM = "python deep_photostyle.py" if (Path(__file__).parents[2] / "pyproject.toml").is_file() else "deep-photostyle"
# Options in messages, and what the page calls them; of others only the dashes are removed.
_OPTION = re.compile(r"--(\w+)")
_PAGE_NAMES = {
    "content_image_path": "your photo",
    "style_image_path": "the other photo",
    "content_seg_path": "the mask of your photo",
    "style_seg_path": "the mask of the other photo",
    "auto_seg": "number of regions",
}


def command_line(options: Options, folders: Iterable[Path]) -> str:
    """The command line with the same result, for files of these folders by the same names in the working folder."""
    words = []
    for field in dataclasses.fields(Options):
        value = getattr(options, field.name)
        if value != field.default and field.metadata["scope"] != "console" and field.name != "serial":
            words += [f"--{field.name}", _without(folders, str(value))]
    return f"{_PROGRAM} {shlex.join(words)}"


def for_page(messages: Iterable[str], folders: Iterable[Path]) -> list[str]:
    """Messages without names of options and paths of these folders, and with the page's names of the files."""
    return [_reworded(_without(folders, with_flags(message))) for message in messages]


def _reworded(line: str) -> str:
    line = _OPTION.sub(lambda found: _PAGE_NAMES.get(found[1], found[1].replace("_", " ")), line)
    for option, role in ROLES.items():
        line = line.replace(f"the {role}", _PAGE_NAMES[option]).replace(role, _PAGE_NAMES[option])
    return line.replace(CLIP_ROLE, "your clip")


def _without(folders: Iterable[Path], text: str) -> str:
    """A text with names instead of paths of the files in these folders."""
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text
