"""Text drawn into pictures."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def drawn_text(line: str, size: int) -> np.ndarray:
    """A line of text `size` pixels high, in a font that needs not be installed: float32 (h, w), 0 paper, 1 ink."""
    font = ImageFont.load_default(size)
    ink = Image.new("L", (max(1, math.ceil(font.getlength(line))), round(1.4 * size)))
    ImageDraw.Draw(ink).text((0, 0), line, 255, font)
    return np.asarray(ink, np.float32) / 255
