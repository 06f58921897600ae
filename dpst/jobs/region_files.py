"""Files for each region: `{region}` in a path stands for the region's name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from dpst.errors import UserError
from dpst.option_checks import REGION


def region_path(pattern: str, region: str) -> str:
    """The path for a region; what a shell or a file system might not like in its name becomes `_`."""
    return pattern.replace(REGION, _in_a_path(region))


def region_paths(pattern: str, regions: Iterable[str]) -> dict[str | None, str]:
    """The path for each region.

    Raises:
        UserError: two regions would have the same one.
    """
    paths: dict[str | None, str] = {}
    for region in regions:
        path = region_path(pattern, region)
        for other in (other for other, used in paths.items() if used == path):
            raise UserError(f"regions {other} and {region} would both be in {path}; give them other names with --seg_classes")
        paths[region] = path
    return paths


def region_files(pattern: str) -> dict[str, str]:
    """The files that there are, by what their names have for the region; in the order of the names."""
    parts = [re.escape(part) for part in Path(pattern).name.split(REGION)]
    name = re.compile(parts[0] + "(.+)" + r"\1".join(parts[1:]))
    found = {}
    for path in sorted(Path(pattern).parent.glob("*")):
        if (match := name.fullmatch(path.name)) and os.path.isfile(path):
            found[match[1]] = str(path)
    return found


def _in_a_path(region: str) -> str:
    return re.sub(r"[^\w.-]+", "_", region).strip("_.") or "region"
