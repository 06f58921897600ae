#!/usr/bin/env python3
"""Saves a look as a LUT and puts it on another photo: python examples/look_as_lut.py CONTENT STYLE LUT.cube OTHER RESULT"""

import sys

from photo_style import read_photo, stylize, write_photo


def main(content_path: str, style_path: str, lut_path: str, other_path: str, result_path: str) -> None:
    """The LUT serves photo editors and video programs, too."""
    content, style = read_photo(content_path), read_photo(style_path)
    lut = stylize(content.pixels, style.pixels, style_option=2).lut()
    lut.write(lut_path)
    other = read_photo(other_path)
    write_photo(result_path, lut(other.pixels), like=other)


if __name__ == "__main__":
    main(*sys.argv[1:])
