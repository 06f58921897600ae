"""Least squares over small windows: the affine maps of the content's colours that explain another image near each pixel.

Luan et al. 2017 keep a result photorealistic by asking that near every pixel its colours be an affine map of the content's.
Maps are float32 (H, W, 3, 4): result channel by content channel, then the constant.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d


def window_sum(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over the square window of each pixel, clipped to the image; (H, W, ...) float64."""
    size = 2 * radius + 1
    for axis in (0, 1):
        values = uniform_filter1d(values, size, axis=axis, mode="constant") * size
    return values


def products(content: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What `moments` needs to know of each pixel: its colours in both images (..., 6), then each of the content's times all of
    them (..., 18)."""
    both = np.concatenate([content, target], -1)
    return np.concatenate([both, (both[..., :3, None] * both[..., None, :]).reshape(*both.shape[:-1], 18)], -1)


def moments(products: np.ndarray, count: np.ndarray, radius: int) -> tuple[np.ndarray, ...]:
    """Of the window around each cell: how many pixels (H, W, 1), the means (H, W, 3) of content and target, and the content's
    covariance with itself and with the target, (H, W, 3, 3), divided by the number of pixels. float64.

    `products` and `count` are sums over the pixels of each cell; a cell may be one pixel.
    """
    count = window_sum(count, radius)
    means = window_sum(products, radius) / count
    covariance = means[..., 6:].reshape(*means.shape[:2], 3, 6) - means[..., :3, None] * means[..., None, :6]
    return count, means[..., :3], means[..., 3:6], covariance[..., :3], covariance[..., 3:]


def ridge_regression(ridge: np.ndarray, content_mean, target_mean, variance, covariance) -> np.ndarray:
    """Maps whose colours' part has `ridge` (H, W, 1) against it; the constant, which has none, follows from the means."""
    colours = np.linalg.solve(variance + ridge[..., None] * np.eye(3), covariance)  # (H, W, content, target)
    constant = target_mean - np.einsum("hwi,hwij->hwj", content_mean, colours)
    return np.concatenate([colours.swapaxes(-1, -2), constant[..., None]], -1).astype(np.float32)


def between(size: int, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where fractions `at` (0..1) of a side fall among `size` samples: the samples before and after, the share of the latter."""
    position = np.clip(at * size - 0.5, 0, size - 1)
    before = position.astype(int)
    return before, np.minimum(before + 1, size - 1), (position - before).astype(np.float32)
