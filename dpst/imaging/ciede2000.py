"""CIEDE2000, the colour difference of the CIE: 1 is about what an eye can just tell apart.

G. Sharma, W. Wu, E. N. Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
mathematical observations", Color Research and Application 30(1), 2005. The numbers in the comments are equations there.
"""

from __future__ import annotations

import numpy as np

_SEVENTH = 25.0**7


def ciede2000(lab: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference of colours, with all three weights k 1.

    Args:
        lab: (..., 3), CIELAB.
        other: the same, to compare with.

    Returns:
        (...), 0 or more.
    """
    lightness, a, b = np.moveaxis(np.asarray(lab, np.float64), -1, 0)
    other_lightness, other_a, other_b = np.moveaxis(np.asarray(other, np.float64), -1, 0)
    chroma = _toward_one((np.hypot(a, b) + np.hypot(other_a, other_b)) / 2)
    stretch = 1 + 0.5 * (1 - chroma)  # 4, 5
    a, other_a = stretch * a, stretch * other_a
    chroma, other_chroma = np.hypot(a, b), np.hypot(other_a, other_b)  # 6
    hue, other_hue = (np.degrees(np.arctan2(y, x)) % 360 for y, x in ((b, a), (other_b, other_a)))  # 7
    grey = chroma * other_chroma == 0

    change = (other_hue - hue + 180) % 360 - 180  # 10: the short way round; 180 and -180 give the same difference
    change = np.where(grey, 0, change)
    hue_change = 2 * np.sqrt(chroma * other_chroma) * np.sin(np.radians(change / 2))  # 11
    mean_lightness, mean_chroma = (lightness + other_lightness) / 2, (chroma + other_chroma) / 2  # 12, 13
    total = hue + other_hue
    far = np.abs(hue - other_hue) > 180
    mean_hue = np.where(grey, total, np.where(far, np.where(total < 360, total + 360, total - 360) / 2, total / 2))  # 14

    def cosine(times: int, shift: float) -> np.ndarray:
        return np.cos(np.radians(times * mean_hue + shift))

    tilt = 1 - 0.17 * cosine(1, -30) + 0.24 * cosine(2, 0) + 0.32 * cosine(3, 6) - 0.2 * cosine(4, -63)  # 15
    rotation = np.radians(30 * np.exp(-(((mean_hue - 275) / 25) ** 2)))  # 16
    squared = (mean_lightness - 50) ** 2
    of_lightness = (other_lightness - lightness) / (1 + 0.015 * squared / np.sqrt(20 + squared))  # 18
    of_chroma = (other_chroma - chroma) / (1 + 0.045 * mean_chroma)  # 19
    of_hue = hue_change / (1 + 0.015 * mean_chroma * tilt)  # 20
    mixed = -np.sin(2 * rotation) * 2 * _toward_one(mean_chroma)  # 17, 21
    # 22; where all three differences are tiny, rounding may leave less than nothing.
    return np.sqrt(np.maximum(of_lightness**2 + of_chroma**2 + of_hue**2 + mixed * of_chroma * of_hue, 0))


def _toward_one(chroma: np.ndarray) -> np.ndarray:
    """The root that is 0 for greys and 1 for vivid colours, in equations 4 and 17."""
    seventh = chroma**7
    return np.sqrt(seventh / (seventh + _SEVENTH))
