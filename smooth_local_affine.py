"""Smoothing a result along the content's edges, by local affine colour maps.

Luan et al. 2017 keep a result photorealistic by asking that near every pixel its colours be an affine map of the
content's. Here that map is fitted at each pixel (`fit`) and averaged over pixels that are near and alike
(`smooth_local_affine`), which takes out the speckles that the optimiser leaves.

Maps are float32 (H, W, 3, 4): result channel by content channel, then the constant.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

RIDGE = 1e-3  # of the reference: added to the colours of the normal matrix of a window, not to its constant
BLOCK = 12  # pixels on a side that share one matrix of weights; larger shares more but wastes more outside the windows
LEAST_EDGE = 1e-3  # a quarter of a level of 8 bits: nothing unlike is averaged, and float32 still holds the exponents
LEAST_EXPONENT = -80.0  # exp of less is below float32's normal numbers, which slow the processor down


def _window_sum(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over the square window of each pixel, clipped to the image; (H, W, ...) float64."""
    size = 2 * radius + 1
    for axis in (0, 1):
        values = uniform_filter1d(values, size, axis=axis, mode="constant") * size
    return values


def fit(content: np.ndarray, target: np.ndarray, radius: int = 1, ridge: float = RIDGE) -> np.ndarray:
    """At each pixel, the affine map of the content's colours that is nearest to the target over a window.

    Least squares over the square window of `radius`, clipped to the image, plus `ridge` times the squared colour
    coefficients. The constant carries no ridge, so it can be eliminated: covariances give the colours' part.

    Args:
        content: image (H, W, 3), 0..1.
        target: (H, W, 3), any range.
        radius: pixels; 1 is a window of 3x3.
        ridge: more flattens the map where the window holds little contrast.

    Returns:
        Maps float32 (H, W, 3, 4).
    """
    x, y = content.astype(np.float64), target.astype(np.float64)
    count = _window_sum(np.ones(x.shape[:2]), radius)[..., None]
    x_mean, y_mean = _window_sum(x, radius) / count, _window_sum(y, radius) / count
    both = np.concatenate([x, y], -1)
    means = np.concatenate([x_mean, y_mean], -1)
    products = [_window_sum(x[..., i, None] * both, radius) - count * x_mean[..., i, None] * means for i in range(3)]
    moments = np.stack(products, -2)  # (H, W, 3, 6): covariance of the content, then with the target
    colours = np.linalg.solve(moments[..., :3] + ridge * np.eye(3), moments[..., 3:])  # (H, W, content, target)
    constant = y_mean - np.einsum("hwi,hwij->hwj", x_mean, colours)
    return np.concatenate([colours.swapaxes(-1, -2), constant[..., None]], -1).astype(np.float32)


def _transform(maps: np.ndarray, content: np.ndarray) -> np.ndarray:
    """Each pixel's map applied to its colour: maps (..., 3, 4), content (..., 3) -> (..., 3)."""
    return np.einsum("...ij,...j->...i", maps[..., :3], content) + maps[..., 3]


def smooth_local_affine(
    content: np.ndarray, stylized: np.ndarray, radius: int = 15, edge: float = 0.1, patch: int = 3
) -> np.ndarray:
    """The stylized image smoothed where the content is smooth, with the content's edges kept.

    The local affine maps from content to stylized are averaged over a square window with weights
    `exp(-distance^2 / (2 (radius / 3)^2)) * exp(-d / (2 edge^2))`, d the mean over the channels of the squared difference
    of the content's colours, and applied to the content (post-processing of Luan et al. 2017, as in their code).

    For a block of pixels and everything within their windows the exponents are one matrix product, and so is the
    average: `|p - q|^2 = |p|^2 - 2 pq + |q|^2`.

    Args:
        content: image (H, W, 3), 0..1.
        stylized: image (H, W, 3), 0..1.
        radius: half the side of the window in pixels; more is calmer.
        edge: how unlike neighbours may be (0..1) and still be averaged; more is calmer.
        patch: side of the window of the fit in pixels, odd.

    Returns:
        Image (H, W, 3), float32; not clipped.
    """
    height, width, _ = content.shape
    maps = fit(content, stylized, patch // 2).reshape(height, width, 12)
    pad = [(radius, radius + -size % BLOCK) for size in (height, width)] + [(0, 0)]
    # the last channel counts the weights: 1 in the image, 0 in the margin
    values = np.pad(np.concatenate([maps, np.ones_like(maps[..., :1])], -1), pad)
    content = np.pad(content.astype(np.float32), pad)
    colours = content / np.float32(np.sqrt(3) * max(edge, LEAST_EDGE))
    norm = -0.5 * (colours**2).sum(-1, keepdims=True)
    one = np.ones_like(norm)
    here, near = np.concatenate([colours, norm, one], -1), np.concatenate([colours, one, norm], -1)

    side = BLOCK + 2 * radius
    offset = np.subtract.outer(np.arange(BLOCK) + radius, np.arange(side))  # (BLOCK, side)
    closeness = np.where(abs(offset) <= radius, -(offset**2) / (2 * (radius / 3) ** 2), -np.inf)
    # (BLOCK, BLOCK, side, side) -> (pixels of the block, pixels of their windows)
    closeness = (closeness[:, None, :, None] + closeness[None, :, None, :]).reshape(BLOCK**2, side**2).astype(np.float32)

    smoothed = np.empty_like(content)
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            block = np.s_[top + radius : top + radius + BLOCK, left + radius : left + radius + BLOCK]
            window = np.s_[top : top + side, left : left + side]
            exponent = here[block].reshape(-1, 5) @ near[window].reshape(-1, 5).T
            exponent += closeness
            np.clip(exponent, LEAST_EXPONENT, 0, out=exponent)
            total = np.exp(exponent, out=exponent) @ values[window].reshape(-1, 13)
            averaged = (total[:, :12] / total[:, 12:]).reshape(BLOCK, BLOCK, 3, 4)
            smoothed[block] = _transform(averaged, content[block])
    return smoothed[radius : radius + height, radius : radius + width]
