"""Pictures as a notebook shows them."""

from __future__ import annotations

import numpy as np

from dpst.imaging.resizing import shrunk
from dpst.imaging.vips import pyvips

# Long side in pixels of what is shown.
DISPLAY_SIZE = 640
# Width and height of a chart of colours, and the height of its greys.
_CHART, _GREYS, _GAP = (384, 96), 16, 8


def png(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3), 0..1, as a PNG of 8 bits and at most 640 pixels a side."""
    levels = np.rint(255 * np.clip(shrunk(picture, DISPLAY_SIZE), 0, 1)).astype(np.uint8)
    return pyvips.Image.new_from_array(levels).copy(interpretation="srgb").pngsave_buffer()


def colour_chart() -> np.ndarray:
    """Every hue from white down to black, above all greys: float32 (112, 384, 3), sRGB, 0..1."""
    width, height = _CHART
    sixth = np.linspace(0, 6, width, endpoint=False)[:, None]
    hues = np.clip(np.abs((sixth + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)  # (width, 3), red first
    light = np.linspace(1, -1, height)[:, None, None]
    colours = hues + np.maximum(light, 0) * (1 - hues) + np.minimum(light, 0) * hues
    greys = np.broadcast_to(np.linspace(0, 1, width)[:, None], (_GREYS, width, 3))
    return np.concatenate([colours, greys]).astype(np.float32)


def above(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Two pictures (h, W, 3), 0..1, with a white line between them."""
    return np.concatenate([upper, np.ones((_GAP, *upper.shape[1:]), np.float32), lower])
