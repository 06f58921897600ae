"""Colour spaces."""

from __future__ import annotations

import numpy as np

LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601
# Linear RGB to CIE XYZ (IEC 61966-2-1), white point D65.
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def cielab(rgb: np.ndarray, lightness: float = 0.3) -> np.ndarray:
    """CIELAB (D65) of sRGB colours (n, 3), 0..1, with L* times `lightness`: hue and saturation count more than brightness."""
    rgb = np.clip(rgb.astype(np.float64), 0, 1)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([lightness * (116 * f[:, 1] - 16), 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
