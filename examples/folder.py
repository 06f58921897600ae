#!/usr/bin/env python3
"""Gives every photo of a folder one look: python examples/folder.py PHOTOS STYLE RESULTS"""

import sys
from pathlib import Path

from photo_style import Networks, UserError, read_photo, stylize, write_photo


def main(folder: str, style_path: str, results: str) -> None:
    """Pretrained weights are read once for all photos; a photo that cannot be read costs no other one."""
    style, networks = read_photo(style_path).pixels, Networks()
    Path(results).mkdir(exist_ok=True)
    for path in sorted(Path(folder).glob("*.jpg")):
        try:
            content = read_photo(str(path))
            network = networks.for_photos("auto", content.pixels, style)
            result = stylize(content.pixels, style, style_option=2, network=network)
            write_photo(str(Path(results) / path.name), result.at(content), like=content)
        except UserError as error:
            print(error, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
