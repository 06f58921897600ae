"""A result as local affine colour maps of the content: smoothing it, and carrying it to another resolution.

Luan et al. 2017 keep a result photorealistic by asking that near every pixel its colours be an affine map of the content's.
`smooth_local_affine` fits that map at each pixel and averages it over pixels that are near and alike, which takes out the
speckles that the optimiser leaves. `fit_maps` and `apply_maps` find the maps on a small photo and apply them to the same photo
at any size: every edge and the grain are the large photo's own, so a result found at a few hundred pixels is good for a
whole photo (`carry`).

Maps are float32 (H, W, 3, 4): result channel by content channel, then the constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy.ndimage import convolve1d, uniform_filter1d

SMOOTHING_RIDGE = 1e-3  # of the reference: added to the colours of the normal matrix of a window, not to its constant
FLAT = 2e-3  # variance of a window, 0..1, below which it counts as flat and keeps the content's grain; chosen on photos
BLOCK = 8  # pixels on a side that share one matrix of weights; larger shares more but wastes more outside the windows
LEAST_EDGE = 1e-3  # a quarter of a level of 8 bits: nothing unlike is averaged, and float32 still holds the exponents
LEAST_EXPONENT = -80.0  # exp of less is below float32's normal numbers, which slow the processor down
CONFINING_ROUNDS, CONFINING_ROWS = 6, 4  # fits of maps to a large photo; rows of it looked at per sample of the maps, or all
STRIP = 64  # rows of a large photo at a time: the working memory of `carry`


def _window_sum(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over the square window of each pixel, clipped to the image; (H, W, ...) float64."""
    size = 2 * radius + 1
    for axis in (0, 1):
        values = uniform_filter1d(values, size, axis=axis, mode="constant") * size
    return values


def _products(content: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What `_moments` needs to know of each pixel: its colours in both images (..., 6), then each of the content's times all of
    them (..., 18)."""
    both = np.concatenate([content, target], -1)
    return np.concatenate([both, (both[..., :3, None] * both[..., None, :]).reshape(*both.shape[:-1], 18)], -1)


def _moments(products: np.ndarray, count: np.ndarray, radius: int) -> tuple[np.ndarray, ...]:
    """Of the window around each cell: how many pixels (H, W, 1), the means (H, W, 3) of content and target, and the content's
    covariance with itself and with the target, (H, W, 3, 3), divided by the number of pixels. float64.

    `products` and `count` are sums over the pixels of each cell; a cell may be one pixel.
    """
    count = _window_sum(count, radius)
    means = _window_sum(products, radius) / count
    covariance = means[..., 6:].reshape(*means.shape[:2], 3, 6) - means[..., :3, None] * means[..., None, :6]
    return count, means[..., :3], means[..., 3:6], covariance[..., :3], covariance[..., 3:]


def _ridge_regression(ridge: np.ndarray, content_mean, target_mean, variance, covariance) -> np.ndarray:
    """Maps whose colours' part has `ridge` (H, W, 1) against it; the constant, which has none, follows from the means."""
    colours = np.linalg.solve(variance + ridge[..., None] * np.eye(3), covariance)  # (H, W, content, target)
    constant = target_mean - np.einsum("hwi,hwij->hwj", content_mean, colours)
    return np.concatenate([colours.swapaxes(-1, -2), constant[..., None]], -1).astype(np.float32)


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
    count, *moments = _moments(_products(content.astype(np.float64), stylized), np.ones((height, width, 1)), patch // 2)
    maps = _ridge_regression(SMOOTHING_RIDGE / count, *moments).reshape(height, width, 12)
    pad = [(radius, radius + -size % BLOCK) for size in (height, width)] + [(0, 0)]
    # the last channel counts the weights: 1 in the image, 0 in the margin
    values = np.pad(np.concatenate([maps, np.ones_like(maps[..., :1])], -1), pad)
    content = np.pad(content.astype(np.float32), pad)
    colours = content / np.float32(np.sqrt(3) * max(edge, LEAST_EDGE))
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
            np.clip(exponent, LEAST_EXPONENT, 0, out=exponent)
            total = (np.exp(exponent, out=exponent) @ values[rows, columns]).sum(0)
            averaged = (total[:, :12] / total[:, 12:]).reshape(BLOCK, BLOCK, 3, 4)
            smoothed[block] = np.einsum("hwij,hwj->hwi", averaged[..., :3], content[block]) + averaged[..., 3]
    return smoothed[radius : radius + height, radius : radius + width]


def fit_maps(content: np.ndarray, stylized: np.ndarray, radius: int = 1, flat: float = FLAT) -> np.ndarray:
    """The change from content to stylized image as a smooth field of affine maps of the content's colours.

    Ridge regression of `stylized - content` over the window of each pixel, then the maps averaged with their neighbours:
    a guided filter whose coefficients are kept (He and Sun 2015, "Fast Guided Filter"). As it is the change that is
    fitted, the ridge pulls towards the identity: nothing changed gives maps of exactly 0, and where the content is flat
    its grain is kept as it is. The ridge is `flat^2 / (flat + variance)` and not a constant, since a constant one
    leaves a glow along strong edges; Li et al. 2015, "Weighted Guided Image Filtering", fade it for the same reason.

    Args:
        content: image (H, W, 3), 0..1.
        stylized: image (H, W, 3), 0..1, the result for this content.
        radius: of the window, in pixels; 1 follows the result most closely, more irons out its speckles and spreads its
            colours across edges.
        flat: variance (0..1, summed over the channels) up to which texture keeps the content's contrast instead of the
            stylized image's.

    Returns:
        Maps (H, W, 3, 4) of the change, for `apply_maps`.
    """
    change = stylized.astype(np.float64) - content
    return _maps_of_change(_products(content, change), np.ones((*content.shape[:2], 1)), radius, flat)


def _maps_of_change(products: np.ndarray, count: np.ndarray, radius: int = 1, flat: float = FLAT) -> np.ndarray:
    """`fit_maps` for sums over the pixels of each cell, see `_moments`; the target is the change."""
    _, *moments = _moments(products, count, radius)
    variance = np.trace(moments[2], axis1=-2, axis2=-1)[..., None]
    maps = _ridge_regression(flat**2 / (flat + np.maximum(variance, 0)), *moments)
    for axis in (0, 1):
        maps = convolve1d(maps, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
    return maps


def _between(size: int, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where fractions `at` (0..1) of a side fall among `size` samples: the samples before and after, the share of the latter."""
    position = np.clip(at * size - 0.5, 0, size - 1)
    before = position.astype(int)
    return before, np.minimum(before + 1, size - 1), (position - before).astype(np.float32)


def apply_maps(maps: np.ndarray, content: np.ndarray, first_row: int, height: int, strength: float = 1.0) -> np.ndarray:
    """Rows of the large photo, restyled: the maps, interpolated bilinearly to its size, applied to its colours.

    Args:
        maps: of the change, (h, w, 3, 4), from `fit_maps` on the same photo at another size.
        content: rows of the photo (rows, W, 3), 0..1; a strip of some tens of rows keeps the memory small.
        first_row: where in the photo these rows begin.
        height: rows of the whole photo.
        strength: 0 leaves the photo as it is, 1 gives the result, between them a blend, above 1 more than the result.

    Returns:
        Image rows (rows, W, 3), float32, 0..1.
    """
    restyled = _applied(maps, content, first_row + np.arange(len(content)), height, strength)
    return np.clip(restyled, 0, 1, out=restyled)


def _applied(maps: np.ndarray, content: np.ndarray, rows: np.ndarray, height: int, strength: float = 1.0) -> np.ndarray:
    """`apply_maps` for the rows of these numbers, in order, where colours may leave 0..1."""
    width = content.shape[1]
    above, below, down = _between(len(maps), (rows + 0.5) / height)
    left, right, across = _between(maps.shape[1], (np.arange(width) + 0.5) / width)
    top = above[0]
    planes = np.float32(strength) * maps[top : below[-1] + 1].transpose(2, 3, 0, 1)  # (3, 4, rows of maps, w)
    planes = planes[..., left] * (1 - across) + planes[..., right] * across  # (3, 4, rows of maps, W)
    # one row at a time: its maps stay in the cache
    restyled = np.empty((len(rows), width, 3), np.float32)
    colours = np.ones((4, width), np.float32)
    for row, (i, j, share) in enumerate(zip(above - top, below - top, down, strict=True)):
        colours[:3] = content[row].T
        change = planes[:, :, i] * (1 - share)
        change += planes[:, :, j] * share
        change *= colours
        restyled[row] = (colours[:3] + change.sum(1)).T
    return restyled


def confine_maps(maps: np.ndarray, strips: Callable[[], Iterable[np.ndarray]], height: int) -> np.ndarray:
    """The maps, changed so that they hardly take the colours of the large photo out of 0..1.

    A large photo has more contrast than the small one the maps were found on. What they take out of 0..1 would be cut off,
    which no affine map does: it breaks edges in deep shadows and in lights. So what is cut off is fitted with maps of its own,
    from sums over the pixels that share a sample of the maps, and these are added; some rounds of this converge.

    Args:
        maps: of the change, (h, w, 3, 4), from `fit_maps`.
        strips: called in each round; gives the photo's rows (rows, W, 3), 0..1, from top to bottom. H >= h and W >= w.
        height: rows of the whole photo.

    Returns:
        Maps (h, w, 3, 4); the same ones if they keep all colours in 0..1.
    """
    every = max(1, height // (CONFINING_ROWS * len(maps)))
    for _ in range(CONFINING_ROUNDS):
        sums, leaves, top = np.zeros((*maps.shape[:2], 25)), False, 0
        for strip in strips():
            rows = np.arange(top, top + len(strip))
            top += len(strip)
            chosen = rows % every == 0
            if not chosen.any():
                continue
            rows, content = rows[chosen], strip[chosen]
            restyled = _applied(maps, content, rows, height)
            leaves = leaves or bool((restyled < 0).any() or (restyled > 1).any())
            _add_cells(sums, content, np.clip(restyled, 0, 1) - restyled, rows * len(maps) // height)
        if not leaves:
            break
        maps = maps + _maps_of_change(sums[..., :24], sums[..., 24:])
    return maps


def _add_cells(sums: np.ndarray, content: np.ndarray, change: np.ndarray, cell_rows: np.ndarray) -> None:
    """Adds rows of a photo to the sums of `_moments` (h, w, 24) and their numbers of pixels (h, w, 1), in these rows of cells.

    A row of cells at a time, colours first: what is summed lies side by side, and what is multiplied stays in the cache.
    """
    width, cells = content.shape[1], sums.shape[1]
    first = -(-np.arange(cells) * width // cells)  # pixel of each cell
    starts = np.flatnonzero(np.diff(cell_rows, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(cell_rows)], strict=True):
        colours = np.concatenate([content[start:stop], change[start:stop]], -1).transpose(2, 0, 1).copy()  # (6, rows, W)
        products = (colours[:3, None] * colours).sum(2).reshape(18, width)
        count = np.full((1, width), stop - start)
        columns = np.concatenate([colours.sum(1), products, count])
        sums[cell_rows[start]] += np.add.reduceat(columns, first, axis=1).T


def carry(content: np.ndarray, stylized: np.ndarray, large_content: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """The result for a small photo, carried to the same photo at another size.

    Args:
        content: image (h, w, 3), 0..1.
        stylized: image (h, w, 3), 0..1, its result.
        large_content: image (H, W, 3), 0..1, the same photo.
        strength: as in `apply_maps`.

    Returns:
        Image (H, W, 3), float32, 0..1: exactly `large_content` where nothing was changed.
    """
    height = len(large_content)
    rows = range(0, height, STRIP)
    maps = fit_maps(content, stylized)
    if large_content.size > content.size:  # else it has no more contrast than where the maps were found
        maps = confine_maps(maps, lambda: (large_content[row : row + STRIP] for row in rows), height)
    large = np.empty(large_content.shape, np.float32)
    for row in rows:
        large[row : row + STRIP] = apply_maps(maps, large_content[row : row + STRIP], row, height, strength)
    return large
