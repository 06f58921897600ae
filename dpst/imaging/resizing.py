"""Resizing pictures and masks, antialiased, with pixel centres in place."""

from __future__ import annotations

import numpy as np

from dpst.imaging.vips import pyvips


def fitted(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(height, width) brought to at most `long_side` pixels on the longer side; 0 leaves it as it is."""
    scale = min(1.0, long_side / max(size)) if long_side else 1.0
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture or masks, antialiased.

    The filter is a triangle, as wide as two pixels of the coarser grid. Its weights are positive, so that edges do not
    ring, masks stay within 0..1, and masks that add up to one still do.

    A picture that has the size already comes back as it is.

    Args:
        image: (h, w, C) or (h, w).
        height: rows wanted.
        width: columns wanted.

    Returns:
        float32 (height, width, C) or (height, width).
    """
    if image.shape[:2] == (height, width):
        return np.asarray(image, np.float32)
    resized = resize_vips(pyvips.Image.new_from_array(np.ascontiguousarray(image, np.float32)), height, width)
    return resized.reshape(height, width, *image.shape[2:])


def shrunk(image: np.ndarray, long_side: int) -> np.ndarray:
    """The image (h, w, C) at no more than `long_side` pixels on the longer side."""
    return resize(image, *fitted((image.shape[0], image.shape[1]), long_side))


def resize_vips(image: pyvips.Image, height: int, width: int) -> np.ndarray:
    """float32 (height, width, C) or (height, width), pixel centres in place."""
    smaller = image.resize(min(1, width / image.width), vscale=min(1, height / image.height), kernel="linear")
    if (smaller.height, smaller.width) == (height, width):
        return smaller.numpy()
    # libvips' own resize enlarges half a pixel off.
    scale = [width / smaller.width, 0, 0, height / smaller.height]
    centres = {"idx": 0.5, "idy": 0.5, "odx": -0.5, "ody": -0.5}
    bilinear = pyvips.Interpolate.new("bilinear")
    return smaller.affine(scale, interpolate=bilinear, oarea=[0, 0, width, height], extend="copy", **centres).numpy()


def between(size: int, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where fractions `at` (0..1) of a side fall among `size` samples: the samples before and after, the share of the latter."""
    position = np.clip(at * size - 0.5, 0, size - 1)
    before = position.astype(int)
    return before, np.minimum(before + 1, size - 1), (position - before).astype(np.float32)
