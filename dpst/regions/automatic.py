"""Regions of both photos without any mask: places that have the same part in their photo become a region of both.

What is told of a place is how near it is to the photo's top, bottom and sides along the photo itself (the sky touches the top,
whatever its colour), its height, its colour and that of its surroundings, and how rough it is, each against the rest of its own
photo, as light and colour differ between the photos. Both photos are clustered together, so that each cluster is a pair of
masks; where both show people, they and what is around them are clustered separately. A guided filter then moves the edges to the
photo's. Whoever looks at the masks knows better what belongs together: they are written as flat colours, to be corrected by hand.
"""

from __future__ import annotations

import logging

import numpy as np
import scipy

from dpst.files.writing import write_photo
from dpst.imaging.colours import cielab
from dpst.imaging.fitted_masks import FittedMasks
from dpst.imaging.resizing import fitted, resize
from dpst.regions.mask_classes import REFERENCE_COLOURS, SAME, SPECK, colour_distance
from dpst.regions.people import find_people
from dpst.regions.regions import PALETTE, Regions, whole_image

logger = logging.getLogger(__name__)

# Files for the masks.
CONTENT_MASK, STYLE_MASK = "auto_content_seg.png", "auto_style_seg.png"

# Long side in pixels at which regions are looked for. Pixels are clustered on a grid of cells so many pixels wide.
_SIDE, _CELL = 400, 4
# What a cell is clustered by, and how much each counts: standard deviations over a photo. Chosen for the overlap with masks drawn
# by hand on pairs of photos; each alone may be half or twice as much for little.
_WEIGHTS = {
    "top": 0.45, "bottom": 0.32, "sides": 0.23, "height": 0.32,
    "lightness": 0.23, "red_green": 0.23, "yellow_blue": 0.23,
    "wide_lightness": 0.23, "wide_red_green": 0.14, "wide_yellow_blue": 0.14,
    "rough": 0.16, "wide_rough": 0.16,
}  # fmt: skip
# A step from one cell to the next costs its length times the difference of their colours in CIELAB, lightness counting this
# much, plus this.
_STEP_LIGHTNESS, _STEP = 0.7, 0.3
# Standard deviations of the blurs: of surroundings, in cells; of roughness, in pixels; and of all descriptors, in cells.
_SURROUNDINGS, _ROUGHNESS, _BLUR = 12, (5, 12), 1
# Variance of lightness below which everything is smooth.
_SMOOTH = 1e-2
# k-means: starts, of which the best counts, and rounds of each.
_STARTS, _ROUNDS = 4, 30
# A region's share of one photo is at least this times that of the other.
_FAIR = 0.1
# Where the number of regions is chosen: the most, the least agreement (see `_agreement`), and `_FAIR` there.
_MOST, _AGREED, _FAIRER = 4, 0.8, 0.5
# Least and greatest share of both photos that people fill, where they are clustered separately; then they and the rest may have
# half of `_MOST` each.
_PEOPLE = (0.25, 0.95)
# Cells on a photo's shorter side, and standard deviation of its colours, 0..1, below which there is nothing to tell apart.
_MIN_CELLS, _MIN_CONTRAST = 4, 2 / 255


def find_regions(content: np.ndarray, style: np.ndarray, count: int = 0, seed: int = 0) -> Regions:
    """Corresponding regions of two photos, found by k-means; with soft edges, they make up the whole photos.

    Args:
        content: float32 (H, W, 3), 0..1.
        style: float32 (h, w, 3), 0..1.
        count: regions wanted, 2 to 9. There are fewer, with a warning, where the photos have less in common. 0 takes as many
            as both photos agree on, up to four; where they agree on none, that is one region, the whole image.
        seed: of the first guess of k-means.

    Returns:
        The regions from top to bottom, named after the nine colours.
    """
    small = [resize(photo, *fitted(photo.shape[:2], _SIDE)) for photo in (content, style)]
    grids = [_grid(photo) for photo in small]
    is_plain = min(map(min, grids)) < _MIN_CELLS or min(photo.std((0, 1)).max() for photo in small) < _MIN_CONTRAST
    if not count and is_plain:
        return whole_image(content, style)
    both_descriptors = [descriptors(photo) for photo in small]
    points = np.concatenate(both_descriptors)
    ends = np.cumsum([len(each) for each in both_descriptors])
    random = np.random.default_rng(seed)
    if count:
        labels = _clusters(points, ends, count, random)
    else:
        people = [resize(find_people(photo), *grid).ravel() > 0.5 for photo, grid in zip(small, grids, strict=True)]
        if all(_PEOPLE[0] <= each.mean() <= _PEOPLE[1] for each in people):
            labels = _separate_clusters(points, ends, np.concatenate(people), random)
        else:
            labels = _agreed_clusters(points, ends, _MOST, random)
    found = labels.max() + 1
    if not count and found == 1:
        return whole_image(content, style)
    rows = np.concatenate([np.repeat(np.linspace(0, 1, height), width) for height, width in grids])
    from_top = np.argsort([rows[labels == n].mean() for n in range(found)])
    labels = np.argsort(from_top)[labels]
    both = []
    for photo, grid, of_photo in zip((content, style), grids, np.split(labels, ends[:1]), strict=True):
        both.append(_along_edges(np.eye(found, dtype=np.float32)[of_photo].reshape(*grid, found), photo))
    # What is thin or faint may have lost all to its surroundings.
    shares = np.min([_hard(masks).mean(axis=(0, 1)) for masks in both], axis=0)
    kept = np.flatnonzero(shares >= SPECK) if shares.max() >= SPECK else np.array([0])
    if len(kept) < count:
        logger.warning("`auto_seg` %d is more regions than the photos have in common; the number is %d", count, len(kept))
    names, colours = zip(*list(REFERENCE_COLOURS.items())[: len(kept)], strict=True)
    content_masks, style_masks = (masks[..., kept] for masks in both)
    return Regions(names, _whole(content_masks), _whole(style_masks), colours, are_guessed=True)


def write_masks(regions: Regions, *paths: str) -> None:
    """Writes the masks of content and style to two paths, as flat colours, each pixel in that of the region it is most in.

    Pixels in no region, which only style photos have, get a colour that is no region's.
    """
    spare = next(colour for colour in PALETTE if all(colour_distance(colour, other) > SAME for other in regions.colours))
    colours = np.array([*regions.colours, spare], np.float32) / 255
    for path, masks in zip(paths, (regions.content, regions.style), strict=True):
        index = np.where(masks.any(axis=-1), masks.argmax(axis=-1), len(regions.colours))
        write_photo(path, colours[index])


def _grid(photo: np.ndarray) -> tuple[int, int]:
    return -(-photo.shape[0] // _CELL), -(-photo.shape[1] // _CELL)


def descriptors(photo: np.ndarray) -> np.ndarray:
    """What the cells of a photo (H, W, 3) are clustered by, float64 (cells, D): each column's deviations are its weight."""
    height, width = _grid(photo)
    lab = cielab(resize(photo, height, width).reshape(-1, 3), 1.0).reshape(height, width, 3)
    lightness = cielab(photo.reshape(-1, 3), 1.0)[:, 0].reshape(photo.shape[:2])
    wide = scipy.ndimage.gaussian_filter(lab, (_SURROUNDINGS, _SURROUNDINGS, 0))
    found = dict(zip(("lightness", "red_green", "yellow_blue"), np.moveaxis(lab, -1, 0), strict=True))
    found |= dict(zip(("wide_lightness", "wide_red_green", "wide_yellow_blue"), np.moveaxis(wide, -1, 0), strict=True))
    found |= {name: _ranks(distance) for name, distance in border_distances(lab).items()}
    for name, radius in zip(("rough", "wide_rough"), _ROUGHNESS, strict=True):
        variance = scipy.ndimage.gaussian_filter(lightness**2, radius) - scipy.ndimage.gaussian_filter(lightness, radius) ** 2
        found[name] = _ranks(resize(np.log(np.maximum(variance, _SMOOTH)), height, width))
    found["height"] = np.repeat(np.linspace(0, 1, height), width)
    columns = [weight * _standardised(found[name].reshape(height, width)) for name, weight in _WEIGHTS.items()]
    return scipy.ndimage.gaussian_filter(np.stack(columns, -1), (_BLUR, _BLUR, 0)).reshape(height * width, -1)


def border_distances(lab: np.ndarray) -> dict[str, np.ndarray]:
    """How far each cell of a photo, CIELAB (h, w, 3), is from top, bottom and sides along the path of least change; (h, w)."""
    smooth = scipy.ndimage.median_filter(lab, (3, 3, 1)) * (_STEP_LIGHTNESS, 1, 1)
    height, width, _ = lab.shape
    cells = np.arange(height * width).reshape(height, width)
    steps = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        other = np.s_[down:, max(0, right) : width + min(0, right)]
        cost = (np.linalg.norm(smooth[one] - smooth[other], axis=-1) + _STEP) * np.hypot(down, right)
        steps.append((cost.ravel(), cells[one].ravel(), cells[other].ravel()))
    cost, start, end = map(np.concatenate, zip(*steps, strict=True))
    graph = scipy.sparse.csr_matrix((cost, (start, end)), shape=(cells.size, cells.size))
    borders = {"top": cells[0], "bottom": cells[-1], "sides": cells[:, [0, -1]].ravel()}
    return {
        name: scipy.sparse.csgraph.dijkstra(graph, directed=False, indices=border, min_only=True).reshape(height, width)
        for name, border in borders.items()
    }


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value among all, 0..1; the same for the same values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return ((np.cumsum(counts) - counts / 2) / values.size)[place].reshape(values.shape)


def _standardised(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Values with mean 0 and mean square 1, along one axis or all, or 0 where they are constant."""
    centred = values - values.mean(axis, dtype=np.float64)
    return centred / np.maximum(centred.std(axis), 1e-6)


def _separate_clusters(points: np.ndarray, ends: np.ndarray, people: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The cluster of each point, int (cells,): those of people, a mask (cells,), and then those of the rest."""
    labels, found = np.zeros(len(points), np.intp), 0
    for inside in (people, ~people):
        parts = [own[its] for own, its in zip(np.split(points, ends[:1]), np.split(inside, ends[:1]), strict=True)]
        of_part = np.concatenate([_standardised(part, 0) * list(_WEIGHTS.values()) for part in parts])
        labels[inside] = found + _agreed_clusters(of_part, np.cumsum([len(part) for part in parts]), _MOST // 2, random)
        found = labels.max() + 1
    return labels


def _agreed_clusters(points: np.ndarray, ends: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """The cluster of each point, int (cells,): as many as both photos agree on, up to `most`; all 0 if there are no two."""
    for count in range(most, 1, -1):
        labels = _k_means(points, count, random)
        fairness = _fairness(labels, ends, count)
        if fairness.min() >= _FAIRER and _agreement(points, labels, ends, count) >= _AGREED:
            return labels
    return np.zeros(len(points), np.intp)


def _agreement(points: np.ndarray, labels: np.ndarray, ends: np.ndarray, count: int) -> float:
    """The share of a photo's points that the other photo's clusters would put where they are, in the photo with the lesser share.

    Each photo's own clusters are its part of the common ones. Where they lie apart, the photos are only told from one another.
    """
    both = list(zip(np.split(points, ends[:1]), np.split(labels, ends[:1]), strict=True))
    centres = [_means(own, of_photo, np.zeros((count, points.shape[1]))) for own, of_photo in both]
    return min(
        (_distances(own, others).argmin(axis=1) == of_photo).mean()
        for (own, of_photo), others in zip(both, reversed(centres), strict=True)
    )


def _fairness(labels: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
    """Of each cluster, its share of the photo that has less of it over its share of the other, (count,)."""
    shares = np.stack([np.bincount(of_photo, minlength=count) / of_photo.size for of_photo in np.split(labels, ends[:1])])
    return shares.min(axis=0) / np.maximum(shares.max(axis=0), 1e-12)


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
    """Labels (n,): the best of several runs, each from another first guess by k-means++ (Arthur, Vassilvitskii 2007)."""
    count = min(count, len(np.unique(points, axis=0)))  # of a tiny photo
    runs = (scipy.cluster.vq.kmeans2(points, count, _ROUNDS, minit="++", seed=random) for _ in range(_STARTS))
    return min(runs, key=lambda run: ((points - run[0][run[1]]) ** 2).sum())[1]


def _merged(points: np.ndarray, labels: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
    """Labels (n,), 0, 1, ..., with each cluster that one photo has nearly alone, or that is beyond `count`, in its nearest."""
    while True:
        _, labels = np.unique(labels, return_inverse=True)
        number = labels.max() + 1
        fairness = _fairness(labels, ends, number)
        if number == 1 or (fairness.min() >= _FAIR and number <= count):
            return labels
        lone = (fairness if fairness.min() < _FAIR else np.bincount(labels)).argmin()
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
    """Masks of cells (h, w, R) at the size of a photo (H, W, 3), on its edges: a guided filter (He and Sun 2015)."""
    return FittedMasks.fitted(masks, resize(photo, *masks.shape[:2])).rows(photo, 0, len(photo))


def _whole(masks: np.ndarray) -> np.ndarray:
    """Masks (H, W, R) that make up the whole photo."""
    return (masks + 1e-6) / (masks + 1e-6).sum(-1, keepdims=True)


def _hard(masks: np.ndarray) -> np.ndarray:
    """float32 (H, W, R), each pixel wholly in the region that it is most in."""
    return np.eye(masks.shape[-1], dtype=np.float32)[masks.argmax(axis=-1)]
