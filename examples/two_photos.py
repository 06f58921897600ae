#!/usr/bin/env python3
"""Gives a photo the look of another one: python examples/two_photos.py CONTENT STYLE RESULT"""

import sys

from photo_style import read_photo, stylize, write_photo


def main(content_path: str, style_path: str, result_path: str) -> None:
    """Regions that both photos have are found; the result has the size, depth and metadata of the content photo."""
    content, style = read_photo(content_path), read_photo(style_path)
    result = stylize(content.pixels, style.pixels, style_option=2)
    write_photo(result_path, result.at(content), like=content)


if __name__ == "__main__":
    main(*sys.argv[1:])
