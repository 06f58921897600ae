#!/usr/bin/env python3
"""Takes each region's look from its counterpart: python examples/with_masks.py CONTENT STYLE CONTENT_MASK STYLE_MASK RESULT"""

import sys

from PIL import Image

from photo_style import read_photo, stylize, write_photo


def main(content_path: str, style_path: str, content_mask_path: str, style_mask_path: str, result_path: str) -> None:
    """Masks have one colour for each region; arrays of labels, such as a segmentation network gives, do as well."""
    content, style = read_photo(content_path), read_photo(style_path)
    with Image.open(content_mask_path) as content_mask, Image.open(style_mask_path) as style_mask:
        result = stylize(content.pixels, style.pixels, content_mask, style_mask, style_option=2)
    print("regions:", ", ".join(result.masks))
    write_photo(result_path, result.at(content), like=content)


if __name__ == "__main__":
    main(*sys.argv[1:])
