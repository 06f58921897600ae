"""Carrying a result to the same photo at another size, by local affine maps found on a small copy.

Every edge and the grain are the large photo's own, so a result found at a few hundred pixels does for a whole photo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy.ndimage import convolve1d

from dpst.imaging.local_affine import moments, products, ridge_regression
from dpst.imaging.resizing import between

FLAT = 2e-3  # variance of a window, 0..1, below which it counts as flat and keeps the content's grain; chosen on photos
CONFINING_ROUNDS, CONFINING_ROWS = 6, 4  # fits of maps to a large photo; rows of it looked at per sample of the maps, or all
STRIP = 64  # rows of a large photo at a time: the working memory of `carry`


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
    return _maps_of_change(products(content, change), np.ones((*content.shape[:2], 1)), radius, flat)


def _maps_of_change(products: np.ndarray, count: np.ndarray, radius: int = 1, flat: float = FLAT) -> np.ndarray:
    """`fit_maps` for sums over the pixels of each cell, see `moments`; the target is the change."""
    _, *found = moments(products, count, radius)
    variance = np.trace(found[2], axis1=-2, axis2=-1)[..., None]
    maps = ridge_regression(flat**2 / (flat + np.maximum(variance, 0)), *found).astype(np.float32)
    for axis in (0, 1):
        maps = convolve1d(maps, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
    return maps


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
    above, below, down = between(len(maps), (rows + 0.5) / height)
    left, right, across = between(maps.shape[1], (np.arange(width) + 0.5) / width)
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
    """Adds rows of a photo to the sums of `moments` (h, w, 24) and their numbers of pixels (h, w, 1), in these rows of cells.

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
