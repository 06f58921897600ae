"""Is the result still the content photo, and has it taken the style? Three figures without any network."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import sobel, uniform_filter

from segmentation import Regions

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601
# Window and constants of SSIM (Wang, Bovik, Sheikh, Simoncelli 2004, uniform window), for values 0..1.
_WINDOW, _K1, _K2 = 7, 0.01**2, 0.03**2
_RIDGE = 1e-6
_DIRECTIONS, _QUANTILES = 32, 256
# A region that fills less of either photo has too few colours to compare; if all do, the whole photos are compared.
_LEAST_SHARE = 0.005


def scores(content: np.ndarray, style: np.ndarray, result: np.ndarray, regions: Regions) -> dict[str, float]:
    """The figures of a report.

    Args:
        content: float32 (H, W, 3), 0..1.
        style: float32 (h, w, 3), 0..1.
        result: float32 (H, W, 3), 0..1.
        regions: of both photos, at their sizes.

    Returns:
        `edge_ssim`, `affine_residual` and `colour_distance`; see the functions of these names.
    """
    figures = {
        "edge_ssim": edge_ssim(content, result),
        "affine_residual": affine_residual(content, result),
        "colour_distance": colour_distance(content, style, result, regions),
    }
    return {name: round(figure, 4) for name, figure in figures.items()}


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
    inner = slice(_WINDOW // 2, -(_WINDOW // 2))
    return float(similarity[inner, inner].mean())


def _edges(image: np.ndarray) -> np.ndarray:
    luma = (image @ _LUMA).astype(np.float64)
    return np.hypot(sobel(luma, 0), sobel(luma, 1)) / 4


def _mean(values: np.ndarray) -> np.ndarray:
    return uniform_filter(values, _WINDOW)


def affine_residual(content: np.ndarray, result: np.ndarray) -> float:
    """What no local affine map of the content's colours explains, root mean square in levels of 0..255; lower is better.

    The maps are least-squares fits over 3x3 windows, the paper's notion of photorealism (Luan et al. 2017, section 3.1).
    """
    colours = np.concatenate([content, np.ones_like(content[..., :1])], axis=-1).astype(np.float64)  # (H, W, 4)
    both = np.concatenate([colours, result], axis=-1)  # (H, W, 7)
    products = uniform_filter(colours[..., :, None] * both[..., None, :], (3, 3, 0, 0), mode="nearest")  # (H, W, 4, 7)
    normal = products[..., :4] + _RIDGE * np.diag((1, 1, 1, 0))
    maps = np.linalg.solve(normal, products[..., 4:])  # (H, W, 4, 3)
    explained = np.einsum("hwi,hwij->hwj", colours, maps)
    return float(255 * np.sqrt(np.mean((explained - result) ** 2)))


def colour_distance(content: np.ndarray, style: np.ndarray, result: np.ndarray, regions: Regions) -> float:
    """How far the colours of each region are from the style's, against the content's: 0 the style's, 1 nothing taken over.

    Sliced Wasserstein distance, result to style over content to style, over the regions by their area.
    """
    pairs = [(regions.content[..., r] > 0.5, regions.style[..., r] > 0.5) for r in range(len(regions.names))]
    pairs = [pair for pair in pairs if min(pair[0].mean(), pair[1].mean()) >= _LEAST_SHARE]
    before = after = 0.0
    for inside, style_inside in pairs or [(np.ones(content.shape[:2], bool), np.ones(style.shape[:2], bool))]:
        aim = _slices(style[style_inside])
        before += inside.mean() * float(np.abs(_slices(content[inside]) - aim).mean())
        after += inside.mean() * float(np.abs(_slices(result[inside]) - aim).mean())
    return float(after / max(before, 1e-6))


def _slices(colours: np.ndarray) -> np.ndarray:
    """Quantiles of colours (n, 3) along fixed random directions: (quantiles, directions)."""
    directions = np.random.default_rng(0).standard_normal((3, _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    return np.quantile(colours @ directions, (np.arange(_QUANTILES) + 0.5) / _QUANTILES, axis=0)
