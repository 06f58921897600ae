"""The reference's post-filter: takes out the speckles that the optimiser leaves, along the content's edges."""

from __future__ import annotations

import numpy as np

from dpst.imaging.local_affine import moments, products, ridge_regression

SMOOTHING_RIDGE = 1e-3  # of the reference: added to the colours of the normal matrix of a window, not to its constant
BLOCK = 8  # pixels on a side that share one matrix of weights; larger shares more but wastes more outside the windows
MIN_EDGE = 1e-3  # a quarter of a level of 8 bits: nothing unlike is averaged, and float32 still holds the exponents
MIN_EXPONENT = -80.0  # exp of less is below float32's normal numbers, which slow the processor down


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
    count, *found = moments(products(content.astype(np.float64), stylized), np.ones((height, width, 1)), patch // 2)
    maps = ridge_regression(SMOOTHING_RIDGE / count, *found).astype(np.float32).reshape(height, width, 12)
    pad = [(radius, radius + -size % BLOCK) for size in (height, width)] + [(0, 0)]
    # the last channel counts the weights: 1 in the image, 0 in the margin
    values = np.pad(np.concatenate([maps, np.ones_like(maps[..., :1])], -1), pad)
    content = np.pad(content.astype(np.float32), pad)
    colours = content / np.float32(np.sqrt(3) * max(edge, MIN_EDGE))
    norm = -0.5 * (colours**2).sum(-1, keepdims=True)
    one = np.ones_like(norm)
    here, near = np.concatenate([colours, norm, one], -1), np.concatenate([colours, one, norm], -1).swapaxes(1, 2)

    side = BLOCK + 2 * radius
    offset = np.subtract.outer(np.arange(BLOCK) + radius, np.arange(side))  # (BLOCK, side)
    closeness = np.where(abs(offset) <= radius, -(offset**2) / (2 * (radius / 3) ** 2), -np.inf)
    # (side, BLOCK, BLOCK, side) -> (rows of the window, pixels of the block, columns of the window)
    closeness = (closeness.T[:, :, None, None] + closeness).reshape(side, BLOCK**2, side).astype(np.float32)

    smoothed = np.empty_like(content)
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            block = np.s_[top + radius : top + radius + BLOCK, left + radius : left + radius + BLOCK]
            rows, columns = slice(top, top + side), slice(left, left + side)
            # a product for each row of the window: so small that BLAS does not spend more on sharing it between threads
            exponent = here[block].reshape(-1, 5) @ near[rows, :, columns]
            exponent += closeness
            np.clip(exponent, MIN_EXPONENT, 0, out=exponent)
            total = (np.exp(exponent, out=exponent) @ values[rows, columns]).sum(0)
            averaged = (total[:, :12] / total[:, 12:]).reshape(BLOCK, BLOCK, 3, 4)
            smoothed[block] = np.einsum("hwij,hwj->hwi", averaged[..., :3], content[block]) + averaged[..., 3]
    return smoothed[radius : radius + height, radius : radius + width]
