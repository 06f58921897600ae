"""Pictures as arrays: what the library is given is looked at here, before anything is done with it."""

from __future__ import annotations

import numpy as np

from photo_options import UserError


def check_picture(array: object, name: str) -> np.ndarray:
    """The array, if it is a picture: floats (H, W, 3).

    Args:
        array: whatever was given.
        name: what it is to the caller, for messages.

    Raises:
        UserError: it is none.
    """
    try:
        picture = np.asarray(array)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} is no array ({error}); give floats of the shape (height, width, 3)") from error
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise UserError(f"{name} has the shape {picture.shape}; give (height, width, 3): repeat a grey channel, leave alpha out")
    if not picture.size:
        raise UserError(f"{name} has the shape {picture.shape}, no pixels; give a picture")
    if picture.dtype.kind != "f":
        raise UserError(f"{name} is of type {picture.dtype}; divide its levels by their maximum to get floats from 0 to 1")
    return picture


def check_kind(value: object, kind: type, name: str) -> None:
    """Sees that a value is of a kind, or None.

    Raises:
        UserError: it is not.
    """
    if value is not None and not isinstance(value, kind):
        raise UserError(f"{name} is of type {type(value).__name__}; give {kind.__module__}.{kind.__name__}")
