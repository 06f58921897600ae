"""Masks of the frames of a clip: another clip, or a folder with a picture for each frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dpst.errors import UserError
from dpst.files.clips import Clip, read_clip, small_frames
from dpst.files.inputs import in_counting_order
from dpst.files.kinds import OTHER_EXTENSIONS
from dpst.files.photos import check_readable, read_mask_samples, same_shape
from dpst.files.writing import EXTENSIONS
from dpst.options import is_clip_name

_ROLE = "content segmentation"


def are_frame_masks(content_seg_path: str, style_seg_path: str) -> bool:
    """Whether the masks of a clip are one for each frame: a clip, or a folder where the style's is a file.

    Where both are folders they hold a file for each region.
    """
    if is_clip_name(content_seg_path):
        return True
    return os.path.isdir(content_seg_path) and not os.path.isdir(style_seg_path)


def check_frame_masks(path: str, clip: Clip, max_pixels: float) -> None:
    """Checks that there are masks of the shape of a clip's frames; `frame_masks` can tell how many.

    Raises:
        UserError: a mask is of another shape, or cannot be read.
    """
    if os.path.isdir(path):
        for picture in _pictures(path):
            _check_shape(picture, check_readable(picture, _ROLE, max_pixels), clip)
    else:
        masks = read_clip(path, _ROLE, max_pixels)
        _check_shape(path, masks.shown_size, clip)


def frame_masks(path: str, long_side: int, max_pixels: float) -> Iterator[np.ndarray]:
    """The mask of each frame, uint8 (h, w, 3); those in a clip have at most `long_side` pixels.

    Raises:
        UserError: a mask cannot be read, or its samples are not 8 bits of colour.
    """
    if not os.path.isdir(path):
        yield from small_frames(read_clip(path, _ROLE, max_pixels), long_side)
        return
    for picture in _pictures(path):
        samples = read_mask_samples(picture, _ROLE, max_pixels)
        if samples.dtype != np.uint8 or samples.shape[2:] == (4,):
            raise UserError(f"{_ROLE} {picture} has 16 bits or transparency; save masks of frames with 8 bits and without")
        yield samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, -1)


def _pictures(folder: str) -> list[str]:
    """The pictures in a folder, in2 before in10."""
    kinds = EXTENSIONS | OTHER_EXTENSIONS
    names = [name for name in os.listdir(folder) if Path(name).suffix.lower() in kinds and not name.startswith(".")]
    return [os.path.join(folder, name) for name in in_counting_order(names)]


def _check_shape(path: str, size: tuple[int, int], clip: Clip) -> None:
    if not same_shape(size, clip.shown_size):
        (height, width), (own_height, own_width) = clip.shown_size, size
        wrong = f"is {own_width}x{own_height}, another shape than the clip, {width}x{height}"
        raise UserError(f"{_ROLE} {path} {wrong}; give masks of its shape")
