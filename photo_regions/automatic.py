"""Regions of both photos without any mask: pixels that the network sees alike become a region of both.

The features of the network that the style is taken with, colour and height in the picture are clustered for both photos together,
so that each cluster is a pair of masks. Light and colour differ between the photos, by day and by night; what counts is how a
pixel differs from the rest of its own photo. The matting Laplacian then moves the edges to the photo's. People who look at
the masks know better what belongs together: they are written as flat colours, to be corrected by hand.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from closed_form_matting import MattingPreconditioner, matting_laplacian
from photo_files.resizing import fitted, resize
from photo_files.writing import write_photo
from photo_regions.mask_classes import REFERENCE_COLOURS, SAME, SPECK, colour_distance
from photo_regions.regions import PALETTE, Regions

if TYPE_CHECKING:
    from vgg19.network import Network

logger = logging.getLogger("deep_photostyle")

# Files for the masks.
CONTENT_MASK, STYLE_MASK = "auto_content_seg.png", "auto_style_seg.png"

# Long side in pixels at which regions are looked for. Pixels are clustered on a grid that is this many times coarser.
_SIDE, _GRID = 400, 4
# What a pixel is clustered by. The weights are standard deviations over a photo: of all features together, of lightness, of the
# colours without it, of height. Chosen for the overlap with masks drawn by hand on eleven pairs of photos; half or twice any of
# them overlaps less.
_LAYERS = ("conv2_1", "conv3_1", "conv4_1")
_FEATURES, _LIGHTNESS, _COLOUR, _HEIGHT = 1.0, 0.5, 0.5, 0.7
# Principal components that are kept of each layer.
_COMPONENTS = 8
# k-means: starts, of which the best counts, and rounds of each.
_STARTS, _ROUNDS = 4, 30
# A region's share of one photo is at least this times that of the other.
_FAIR = 0.1
# Matting against the clusters: how much the edges of the photo count (see `segmentation.refine`), and the regularisation of its
# colours, above the noise of a photo.
_EDGES, _EPSILON = 100.0, 1e-4


def find_regions(network: Network, content: np.ndarray, style: np.ndarray, count: int, seed: int = 0) -> Regions:
    """Corresponding regions of two photos, found by k-means; each pixel is in one.

    Args:
        network: the features to cluster by.
        content: float32 (H, W, 3), 0..1.
        style: float32 (h, w, 3), 0..1.
        count: regions wanted, 2 to 9. There are fewer, with a warning, where the photos have less in common.
        seed: of the first guess of k-means.

    Returns:
        The regions from top to bottom, named after the nine colours.
    """
    small = [resize(photo, *fitted(photo.shape[:2], _SIDE)) for photo in (content, style)]
    points, ends = _points(network, small)
    labels = _clusters(points, ends, count, np.random.default_rng(seed))
    found = labels.max() + 1
    from_top = np.argsort([points[labels == n, -1].mean() for n in range(found)])
    labels = np.argsort(from_top)[labels]
    both = []
    for photo, small_photo, of_photo in zip((content, style), small, np.split(labels, ends[:1]), strict=True):
        clusters = np.eye(found, dtype=np.float32)[of_photo].reshape(*_grid(small_photo), found)
        both.append(resize(_along_edges(clusters, small_photo), *photo.shape[:2]))
    # What is thin or faint may have lost all to its surroundings.
    shares = np.min([_hard(masks).mean(axis=(0, 1)) for masks in both], axis=0)
    kept = np.flatnonzero(shares >= SPECK) if shares.max() >= SPECK else np.array([0])
    if len(kept) < count:
        logger.warning("--auto_seg %d is more than the photos have in common; the number of regions is %d", count, len(kept))
    names, colours = zip(*list(REFERENCE_COLOURS.items())[: len(kept)], strict=True)
    return Regions(names, _hard(both[0][..., kept]), _hard(both[1][..., kept]), colours)


def write_masks(regions: Regions, folder: str) -> tuple[str, str]:
    """Writes both masks into a folder, as flat colours, each pixel in that of its region; returns their paths.

    Pixels in no region, which only style photos have, get a colour that is no region's.
    """
    spare = next(colour for colour in PALETTE if all(colour_distance(colour, other) > SAME for other in regions.colours))
    colours = np.array([*regions.colours, spare], np.float32) / 255
    paths = str(Path(folder) / CONTENT_MASK), str(Path(folder) / STYLE_MASK)
    for path, masks in zip(paths, (regions.content, regions.style), strict=True):
        index = np.where(masks.any(axis=-1), masks.argmax(axis=-1), len(regions.colours))
        write_photo(path, colours[index])
    return paths


def _grid(photo: np.ndarray) -> tuple[int, int]:
    return -(-photo.shape[0] // _GRID), -(-photo.shape[1] // _GRID)


def _points(network: Network, photos: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What the pixels of both photos are clustered by: float64 (pixels, dimensions), height last, and where each photo ends."""
    grids = [_grid(photo) for photo in photos]
    ends = np.cumsum([height * width for height, width in grids])
    found = [network.features(photo, _LAYERS) for photo in photos]
    columns = []
    for layer in _LAYERS:
        features = [
            _standardised(resize(of_photo[layer][0].numpy(), *grid).reshape(grid[0] * grid[1], -1))
            for of_photo, grid in zip(found, grids, strict=True)
        ]
        columns.append(_FEATURES * len(_LAYERS) ** -0.5 * _principal(np.concatenate(features)))
    opponent = [_opponent(resize(photo, *grid)).reshape(-1, 3) for photo, grid in zip(photos, grids, strict=True)]
    columns.append(np.concatenate([_LIGHTNESS * _standardised(colours[:, :1]) for colours in opponent]))
    columns.append(np.concatenate([_COLOUR * 0.5**0.5 * _standardised(colours[:, 1:]) for colours in opponent]))
    heights = [np.repeat(np.arange(height), width)[:, None] for height, width in grids]
    columns.append(np.concatenate([_HEIGHT * _standardised(rows) for rows in heights]))
    return np.concatenate(columns, axis=1), ends


def _standardised(values: np.ndarray) -> np.ndarray:
    """Columns of one photo (pixels, channels) with mean 0 and mean square 1, or 0 where they are constant."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    return centred / np.maximum(centred.std(axis=0), 1e-6)


def _principal(values: np.ndarray) -> np.ndarray:
    """The first principal components of (n, channels), scaled together to a mean square distance from 0 of 1."""
    _, vectors = np.linalg.eigh(values.T @ values)
    components = values @ vectors[:, : -_COMPONENTS - 1 : -1]
    return components / max(np.sqrt((components**2).sum(axis=1).mean()), 1e-6)


def _opponent(photo: np.ndarray) -> np.ndarray:
    """Lightness, red against green, and yellow against blue of sRGB (H, W, 3), 0..1; the channels' gamma is near CIELAB's."""
    red, green, blue = np.moveaxis(photo, -1, 0)
    return np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=-1)


def _clusters(points: np.ndarray, ends: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """The cluster of each point, int (pixels,), `count` of them or fewer, all with a fair share of both photos.

    Where one of the photos has something of its own, more clusters are tried, so that it does not cost a region.
    """
    best = np.zeros(len(points), np.intp)
    for tried in range(count, 2 * count + 1):
        labels = _merged(points, _k_means(points, tried, random), ends, count)
        if labels.max() > best.max():
            best = labels
        if best.max() + 1 == count:
            break
    return best


def _k_means(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Labels (n,) of Lloyd's algorithm from the best of several first guesses by k-means++ (Arthur, Vassilvitskii 2007)."""
    best, least = np.zeros(len(points), np.intp), np.inf
    for _ in range(_STARTS):
        centres = points[random.integers(len(points), size=1)]
        while len(centres) < count:
            away = _distances(points, centres).min(axis=1).cumsum()
            centres = np.concatenate([centres, points[[np.searchsorted(away, random.random() * away[-1])]]])
        for _ in range(_ROUNDS):
            labels = _distances(points, centres).argmin(axis=1)
            centres = _means(points, labels, centres)
        total = _distances(points, centres).min(axis=1).sum()
        if total < least:
            best, least = labels, total
    return best


def _merged(points: np.ndarray, labels: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
    """Labels (n,), 0, 1, ..., with each cluster that one photo has nearly alone, or that is beyond `count`, in its nearest."""
    while True:
        _, labels = np.unique(labels, return_inverse=True)
        number = labels.max() + 1
        shares = np.stack([np.bincount(of_photo, minlength=number) / of_photo.size for of_photo in np.split(labels, ends[:1])])
        fairness = shares.min(axis=0) / shares.max(axis=0)
        if number == 1 or (fairness.min() >= _FAIR and number <= count):
            return labels
        lone = (fairness if fairness.min() < _FAIR else shares.min(axis=0)).argmin()
        centres = _means(points, labels, np.zeros((number, points.shape[1])))
        away = _distances(centres, centres[[lone]])[:, 0]
        away[lone] = np.inf
        labels[labels == lone] = away.argmin()


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances (points, centres)."""
    squared = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    return np.maximum(squared, 0)


def _means(points: np.ndarray, labels: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """The centre of each cluster (clusters, dimensions); of one without points, that in `empty`."""
    return np.stack([points[labels == n].mean(axis=0) if (labels == n).any() else centre for n, centre in enumerate(empty)])


def _along_edges(masks: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Masks (h, w, R) at the size of a photo (H, W, 3), on its edges: least _EDGES m' L m + |m - mask|^2 (Levin et al. 2008)."""
    size = photo.shape[:2]
    solve = MattingPreconditioner(matting_laplacian(photo, _EPSILON), size, _EDGES, 1.0, direct_pixels=photo.size)
    return solve(resize(masks, *size))


def _hard(masks: np.ndarray) -> np.ndarray:
    """float32 (H, W, R), each pixel wholly in the region that it is most in."""
    return np.eye(masks.shape[-1], dtype=np.float32)[masks.argmax(axis=-1)]
