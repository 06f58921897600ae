"""Pictures as arrays: what the library is given is looked at here, before anything is done with it."""

from __future__ import annotations

import numbers
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Union

import numpy as np

from dpst.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

# What is taken for a picture and for a mask; Pillow's images are arrays to NumPy.
Picture = Union[np.ndarray, "Image"]
Mask = Union[np.ndarray, "Image"]

# How far rounding may have taken a picture out of 0..1.
_ROUNDING = 1e-3
# Most pixels of a side that libvips knows.
_MAX_SIDE = 10_000_000


def check_picture(array: object, name: str) -> np.ndarray:
    """The array, if it is a picture: finite floats (H, W, 3).

    Args:
        array: whatever was given.
        name: what it is to the caller, for messages.

    Raises:
        UserError: it is none.
    """
    picture = as_array(array, name)
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise UserError(f"{name} has the shape {picture.shape}; give (height, width, 3): repeat a grey channel, drop alpha")
    if not picture.size:
        raise UserError(f"{name} has the shape {picture.shape}, no pixels; give a picture")
    if picture.dtype.kind != "f":
        raise UserError(f"{name} is of type {picture.dtype}; divide its levels by their maximum to get floats from 0 to 1")
    if not np.isfinite(picture).all():
        raise UserError(f"{name} has values that are not finite; replace them by numbers from 0 to 1")
    return picture


def as_picture(picture: object, name: str) -> np.ndarray:
    """A picture as float32 (H, W, 3), 0..1: from such floats, from levels of 8 or 16 bits, or from a Pillow image.

    Raises:
        UserError: it is none.
    """
    if hasattr(picture, "convert") and getattr(picture, "mode", "") != "RGB":
        picture = picture.convert("RGB")
    array = as_array(picture, name)
    if array.dtype.newbyteorder("=") in (np.uint8, np.uint16):
        array = array.astype(np.float32) / np.iinfo(array.dtype).max
    array = check_picture(array, name)
    least, most = float(array.min()), float(array.max())
    if least < -_ROUNDING or most > 1 + _ROUNDING:
        raise UserError(f"{name} has values from {least:g} to {most:g}; scale them to 0..1")
    return np.clip(array, 0, 1).astype(np.float32, copy=False)


def as_mask(mask: object, name: str) -> np.ndarray:
    """A mask as samples: uint8 (h, w), (h, w, 3) or, with alpha, (h, w, 4); or labels above 255, uint16 (h, w).

    From such arrays, from yes and no, from floats 0..1, from whole numbers (labels), or from a Pillow image.

    Raises:
        UserError: it is none.
    """
    mode = getattr(mask, "mode", "L")
    if hasattr(mask, "convert") and mode not in ("1", "L", "I", "I;16"):
        mask = mask.convert("RGBA" if "A" in mode or "transparency" in getattr(mask, "info", {}) else "RGB")
    array = as_array(mask, name)
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise UserError(f"{name} has the shape {array.shape}; give (height, width) or (height, width, 3)")
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        return np.rint(array * 255).astype(np.uint8)
    if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= (65535 if array.ndim == 2 else 255):
        return array.astype(np.uint8 if array.max() <= 255 else np.uint16)
    raise UserError(f"{name} is of type {array.dtype} with values out of range; give colours or labels, or grey from 0 to 1")


def as_array(array: object, name: str) -> np.ndarray:
    """The array, if it is one.

    Raises:
        UserError: it is none.
    """
    try:
        found = np.asarray(array)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} is not an array ({error}); give an array of numbers") from error
    if found.dtype.kind not in "biuf" and not isinstance(array, np.ndarray):  # a path, for example
        wrong = f"{name} is of type {type(array).__name__}"
        raise UserError(f"{wrong}; give an array, such as `read_photo(path).pixels`, or a Pillow image")
    return found


def check_kind(value: object, kind: type, name: str, is_optional: bool = True) -> None:
    """Sees that a value is of a kind, or None where it `is_optional`.

    Raises:
        UserError: it is not.
    """
    if not (isinstance(value, kind) or (value is None and is_optional)):
        raise UserError(f"{name} is of type {type(value).__name__}; give {kind.__module__}.{kind.__name__}")


def check_number(value: object, name: str, most: float = sys.float_info.max) -> None:
    """Sees that a value is a number from 0 to `most`.

    Raises:
        UserError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UserError(f"{name} is of type {type(value).__name__}; give a number")
    try:
        is_in_range = 0 <= float(value) <= most  # not a number is none of them either
    except OverflowError:
        is_in_range = False
    if not is_in_range:
        raise UserError(f"{name} {value} is out of range; use a number from 0 to {most:g}")


def check_one_of(value: object, values: Sequence[int], name: str) -> None:
    """Sees that a value is one of some whole numbers.

    Raises:
        UserError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value not in values:
        raise UserError(f"{name} {value} is unknown; use one of {', '.join(map(str, values))}")


def check_side(value: object, name: str) -> None:
    """Sees that a value is a number of pixels that a picture can have.

    Raises:
        UserError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 1 <= int(value) <= _MAX_SIDE:
        raise UserError(f"{name} {value!r} is not a side of a picture; give a whole number from 1 to {_MAX_SIDE}")


def check_path(path: object, name: str) -> str:
    """The path as text.

    Raises:
        UserError: it is no path.
    """
    if isinstance(path, (str, os.PathLike)) and isinstance(text := os.fspath(path), str):
        return text
    raise UserError(f"the path of the {name} is of type {type(path).__name__}; give text, or a pathlib.Path")
