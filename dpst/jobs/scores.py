"""Is the result still the content photo, and has it taken the style? Figures that need no network."""

from __future__ import annotations

import concurrent.futures

import numpy as np
import scipy

from closed_form_matting import matting_form
from dpst.files.machine import cores
from dpst.imaging.colours import LUMA, cielab
from dpst.imaging.local_affine import affine_fit, planes, window_covariances
from dpst.imaging.resizing import fitted
from dpst.regions.regions import Regions

# Window and constants of SSIM (Wang, Bovik, Sheikh, Simoncelli 2004, uniform window), for values 0..1.
_WINDOW, _K1, _K2 = 7, 0.01**2, 0.03**2
# Side of the paper's windows, and the variance, 0..1, added to the content's there.
_SMALLEST_WINDOW, _RIDGE = 3, 1e-6
_DIRECTIONS, _QUANTILES = 32, 256
# About so many colours, evenly spread, stand for all of a region.
_ENOUGH = 20_000
# Side of the windows in which detail is looked for, and the variance, 0..1, that counts as none.
_DETAIL_WINDOW, _FLAT = 9, 1e-5
# Long side in pixels at which hues are looked at, the side of the windows there, an eighth of the photo, and the variance in
# CIELAB that counts as none.
_HUE_SIZE, _HUE_WINDOW, _HUE_FLAT = 128, 17, 4.0
# Blotches above this are worth a look. Without regions and the term against them the portrait, the castle and the crowd on which
# both were developed have 2.8 to 4.5; results that look right have up to 2.50.
BLOTCHED = 2.6
# The realism that is advised then: little more than a colour grade.
_CALM = 2
# CIELAB distance, lightness counting 0.3, from every colour of the style's region at which a colour is foreign to it.
_FOREIGN = 10.0
# Every so many pixels along each side are looked at for foreign colours.
_EVERY = 2
# A region that fills less of either photo has too few colours to compare; if all do, the whole photos are compared.
_MIN_SHARE = 0.005


def scores(content: np.ndarray, style: np.ndarray, result: np.ndarray, regions: Regions) -> dict[str, float]:
    """The figures of a report.

    Args:
        content: float32 (H, W, 3), 0..1.
        style: float32 (h, w, 3), 0..1.
        result: float32 (H, W, 3), 0..1.
        regions: of both photos, at their sizes.

    Returns:
        `detail_kept` and `invented_detail` (see `details`), `blotches`, `foreign_colours`, `edge_ssim`, `affine_residual`,
        `matting_term` (what the paper's photorealism is before its weight, Luan et al. 2017, eq. 4) and `colour_distance`; see
        the functions of these names.
    """
    threads = concurrent.futures.ThreadPoolExecutor(cores())
    try:
        both = threads.submit(details, content, result)
        others = {
            "blotches": threads.submit(blotches, content, result, None if regions.are_guessed else regions.content),
            "foreign_colours": threads.submit(foreign_colours, style, result, regions),
            "edge_ssim": threads.submit(edge_ssim, content, result),
            "affine_residual": threads.submit(affine_residual, content, result),
            "matting_term": threads.submit(matting_form, content, result),
            "colour_distance": threads.submit(colour_distance, content, style, result, regions),
        }
        kept, invented = both.result()
        figures = {"detail_kept": kept, "invented_detail": invented} | {name: each.result() for name, each in others.items()}
    finally:  # after a stop nobody waits for the rest
        threads.shutdown(wait=False, cancel_futures=True)
    return {name: round(figure, 4) for name, figure in figures.items()}


def advice(figures: dict[str, float], size: tuple[int, ...], realisms: tuple[float, ...], has_masks: bool) -> str:
    """What to do about a result whose `scores` show that something went wrong; "" where they do not.

    Args:
        figures: the scores.
        size: (height, width) of the result.
        realisms: those that there are results of; the scores are of the first.
        has_masks: whether the regions are the user's own.
    """
    has_windows = max(size[:2]) >= _HUE_SIZE and min(fitted((size[0], size[1]), _HUE_SIZE)) >= _HUE_WINDOW
    if figures["blotches"] <= BLOTCHED or not has_windows:
        return ""
    result = "the result" if len(realisms) == 1 else f"the result of realism {realisms[0]:g}"
    remedies = [] if realisms[0] >= _CALM else [f"--realism {_CALM}"]
    remedies.append("other masks" if has_masks else "masks, which may be a few strokes (--content_seg_path, --style_seg_path)")
    found = f"{result} may have one object in two hues (blotches {figures['blotches']:.1f}, above {BLOTCHED})"
    return f"{found}; if so, use {', or '.join(remedies)}"


def edge_ssim(content: np.ndarray, result: np.ndarray) -> float:
    """Structural similarity of the edges, at most 1: mean SSIM of the Sobel magnitudes of the luma. Higher is better."""
    x, y = (_edges(image) for image in (content, result))
    mean_x, mean_y = _mean(x), _mean(y)
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    var_x, var_y, covariance = (
        unbiased * (_mean(product) - means)
        for product, means in ((x * x, mean_x**2), (y * y, mean_y**2), (x * y, mean_x * mean_y))
    )
    similarity = (2 * mean_x * mean_y + _K1) * (2 * covariance + _K2)
    similarity /= (mean_x**2 + mean_y**2 + _K1) * (var_x + var_y + _K2)
    margins = (_WINDOW // 2 if side > _WINDOW else 0 for side in similarity.shape)  # a photo may be narrower than a window
    inner = similarity[tuple(slice(margin, side - margin) for margin, side in zip(margins, similarity.shape, strict=True))]
    return float(inner.mean())


def _edges(image: np.ndarray) -> np.ndarray:
    luma = (image @ LUMA).astype(np.float64)
    return np.hypot(scipy.ndimage.sobel(luma, 0), scipy.ndimage.sobel(luma, 1)) / 4


def _mean(values: np.ndarray) -> np.ndarray:
    return scipy.ndimage.uniform_filter(values, _WINDOW)


def details(content: np.ndarray, result: np.ndarray) -> tuple[float, float]:
    """(detail_kept, invented_detail) of a result.

    Detail kept is the share of the content's local contrast, weighted by it, that an affine function of the result's colours
    explains in windows of 9x9: 1 where nothing was lost, whatever the colours; it falls where rocks or buildings are smeared.
    Detail invented is what no affine function of the content's colours explains in the result, root mean square in levels of
    0..255: textures, haloes and blotches that the photo does not have.
    """
    both = planes(np.concatenate([content, result], -1))
    covariance = window_covariances(both, both, _DETAIL_WINDOW)
    own, shared, of_result = covariance[:3, :3], covariance[:3, 3:], covariance[3:, 3:]
    invented = of_result[(0, 1, 2), (0, 1, 2)].sum(0) - np.maximum(_explained(own, shared), 0).sum(0)
    light = LUMA.astype(np.float64)
    contrast = np.einsum("i,j,ijhw->hw", light, light, own).clip(0)  # of the content's light
    with_light = np.einsum("i,ijhw->jhw", light, shared)[:, None]  # the result's covariance with it
    kept = np.clip(np.maximum(_explained(of_result, with_light), 0)[0] / (contrast + 1e-7), 0, 1)
    weight = np.sqrt(contrast)
    kept_share = (kept * weight).sum() / weight.sum() if weight.any() else 1.0
    return float(kept_share), float(255 * np.sqrt(np.maximum(invented, 0).mean()))


def blotches(content: np.ndarray, result: np.ndarray, masks: np.ndarray | None = None) -> float:
    """Hue that wanders inside objects: a crimson cheek, a stain on a wall, a rainbow in a dark sky. Lower is better.

    Root mean square, in CIELAB, of the result's a and b that no affine function of the content's colours explains in windows
    of an eighth of the photo. A wanted glow counts too, so it is never 0. At the borders of masks (H, W, R) hue may change.
    """
    height, width = fitted(content.shape[:2], _HUE_SIZE)
    known, result = (
        planes(cielab(_boxes(image, height, width).reshape(-1, 3), 1.0).reshape(height, width, 3)) for image in (content, result)
    )
    if masks is not None:  # in CIELAB's range; the first one follows from the others
        known = np.concatenate([known, 100 * planes(_boxes(masks[..., 1:], height, width))])
    chroma = result[1:]
    own, shared = (window_covariances(known, other, _HUE_WINDOW) for other in (known, chroma))
    fit = affine_fit(own, shared, _HUE_FLAT)  # (known, chroma, H, W)
    variance = sum(window_covariances(plane, plane, _HUE_WINDOW)[0, 0] for plane in chroma[:, None])
    rest = variance - 2 * (fit * shared).sum((0, 1)) + np.einsum("ikhw,ijhw,jkhw->hw", fit, own, fit)
    return float(np.sqrt(np.maximum(rest, 0).mean()))


def _boxes(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means (height, width, C) of an image (H, W, C) over boxes that do not overlap, of whole pixels."""
    for axis, count in enumerate((height, width)):
        edges = np.arange(count + 1) * image.shape[axis] // count
        sizes = np.diff(edges).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = np.add.reduceat(image.astype(np.float64), edges[:-1], axis) / sizes
    return image


def _explained(own: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """The variance (k, H, W) of k channels that an affine function of three others explains; see `affine_fit`."""
    return (affine_fit(own, shared, _FLAT) * shared).sum(0)


def foreign_colours(style: np.ndarray, result: np.ndarray, regions: Regions) -> float:
    """The share of the result's pixels whose colour no pixel of the style's region comes near: green clouds, magenta lakes."""
    away = []
    for inside, style_inside in _region_pairs(result, style, regions):
        here, there = (mask[::_EVERY, ::_EVERY] for mask in (inside, style_inside))
        if here.any() and there.any():
            tree = scipy.spatial.cKDTree(cielab(style[::_EVERY, ::_EVERY][there]))
            away.append(tree.query(cielab(result[::_EVERY, ::_EVERY][here]))[0] > _FOREIGN)
    return float(np.concatenate(away).mean()) if away else 0.0


def affine_residual(content: np.ndarray, result: np.ndarray) -> float:
    """What no local affine map of the content's colours explains, root mean square in levels of 0..255; lower is better.

    The maps are least-squares fits over 3x3 windows, the paper's notion of photorealism (Luan et al. 2017, section 3.1).
    """
    colours, others = planes(content), planes(result)
    own, shared = (window_covariances(colours, each, _SMALLEST_WINDOW) for each in (colours, others))
    maps = affine_fit(own, shared, _RIDGE)  # (content, result, H, W)
    colours, others = (
        each - scipy.ndimage.uniform_filter(each, (0, _SMALLEST_WINDOW, _SMALLEST_WINDOW), mode="nearest")
        for each in (colours, others)
    )
    return float(255 * np.sqrt(np.mean((np.einsum("ihw,ijhw->jhw", colours, maps) - others) ** 2)))


def colour_distance(content: np.ndarray, style: np.ndarray, result: np.ndarray, regions: Regions) -> float:
    """How far the colours of each region are from the style's, against the content's: 0 the style's, 1 nothing taken over.

    Sliced Wasserstein distance, result to style over content to style, over the regions by their area.
    """
    before = after = 0.0
    for inside, style_inside in _region_pairs(content, style, regions):
        aim = _slices(style[style_inside])
        before += inside.mean() * float(np.abs(_slices(content[inside]) - aim).mean())
        after += inside.mean() * float(np.abs(_slices(result[inside]) - aim).mean())
    return float(after / max(before, 1e-6))


def _region_pairs(content: np.ndarray, style: np.ndarray, regions: Regions) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pixels of each region in both photos, bool; the whole photos where no region is large enough."""
    pairs = [(regions.content[..., r] > 0.5, regions.style[..., r] > 0.5) for r in range(len(regions.names))]
    pairs = [pair for pair in pairs if min(pair[0].mean(), pair[1].mean()) >= _MIN_SHARE]
    return pairs or [(np.ones(content.shape[:2], bool), np.ones(style.shape[:2], bool))]


def _slices(colours: np.ndarray) -> np.ndarray:
    """Quantiles of colours (n, 3) along fixed random directions: (directions, quantiles)."""
    directions = np.random.default_rng(0).standard_normal((3, _DIRECTIONS))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    colours = colours[:: max(1, len(colours) // _ENOUGH)]
    projections = np.sort(directions.T @ colours.T, axis=1)  # faster than np.quantile by far
    position = (np.arange(_QUANTILES) + 0.5) / _QUANTILES * (len(colours) - 1)
    return np.stack([np.interp(position, np.arange(len(colours)), projection) for projection in projections])
