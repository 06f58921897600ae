"""BMP files, which libvips does not read, by Pillow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL.BmpImagePlugin import BmpImageFile

from dpst.errors import UserError
from dpst.imaging.vips import pyvips


def is_bmp(path: str) -> bool:
    """Whether a file's first bytes are those of BMP."""
    with open(path, "rb") as file:
        return file.read(2) == b"BM"


def read_bmp(path: str, check: Callable[[int, int], None]) -> pyvips.Image:
    """The picture in a BMP file, grey or RGB, palettes looked up.

    Args:
        path: the file.
        check: raises for a width and height that are not to be decoded.

    Raises:
        OSError: the file is damaged.
    """
    try:
        with BmpImageFile(path) as picture:
            check(picture.width, picture.height)
            samples = np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
    except UserError:  # of the check; it is a ValueError, too
        raise
    except (SyntaxError, ValueError, IndexError) as error:  # so Pillow reports damage, too
        raise OSError(str(error)) from error
    image = pyvips.Image.new_from_array(samples).copy(interpretation="b-w" if samples.ndim == 2 else "srgb")
    image.set_type(pyvips.GValue.gstr_type, "vips-loader", "bmp")
    return image
