"""Least squares over small windows: the affine maps of a photo's colours that explain another image, or masks, near each pixel.

Luan et al. 2017 keep a result photorealistic by asking that near every pixel its colours be an affine map of the content's; a
guided filter (He, Sun, Tang 2013) asks the same of masks. Maps are (H, W, C, 4): channel explained by the photo's channels, then
the constant.
"""

from __future__ import annotations

import numpy as np
import scipy


def window_sum(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over the square window of each pixel, clipped to the image; (H, W, ...) float64."""
    size = 2 * radius + 1
    for axis in (0, 1):
        values = scipy.ndimage.uniform_filter1d(values, size, axis=axis, mode="constant") * size
    return values


def planes(image: np.ndarray) -> np.ndarray:
    """The channels (C, H, W) of an image (H, W, C), float64: each then lies together, which the functions of planes need."""
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float64)


def window_covariances(one: np.ndarray, other: np.ndarray, side: int) -> np.ndarray:
    """Covariances (i, j, H, W) of planes (i, H, W) and (j, H, W) over the window of a side around each pixel.

    Beyond the image its border repeats.
    """

    def mean(plane: np.ndarray) -> np.ndarray:
        return scipy.ndimage.uniform_filter(plane, side, mode="nearest")

    means = np.stack([mean(plane) for plane in one])
    means_of_other = means if one is other else np.stack([mean(plane) for plane in other])
    found = np.empty((len(one), len(other), *one.shape[1:]))
    for i, j in np.ndindex(len(one), len(other)):
        if one is other and j < i:
            found[i, j] = found[j, i]
        else:
            found[i, j] = mean(one[i] * other[j]) - means[i] * means_of_other[j]
    return found


def affine_fit(own: np.ndarray, shared: np.ndarray, ridge: float) -> np.ndarray:
    """The least-squares maps (n, k, ...) from n channels to k others, against a ridge.

    Their product with `shared`, summed over the first axis, is the variance that they explain. For three channels by cofactors:
    for matrices this small far faster than a solver.

    Args:
        own: covariances (n, n, ...) of the channels, symmetric.
        shared: theirs with the k others, (n, k, ...).
        ridge: added to the variances, positive.
    """
    if len(own) != 3:
        systems, sides = (np.moveaxis(each, (0, 1), (-2, -1)) for each in (own, shared))
        return np.moveaxis(np.linalg.solve(systems + ridge * np.eye(len(own)), sides), (-2, -1), (0, 1))
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = own
    xx, yy, zz = xx + ridge, yy + ridge, zz + ridge
    by_xx, by_xy, by_xz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    by_yy, by_yz, by_zz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    x, y, z = shared / (xx * by_xx + xy * by_xy + xz * by_xz)
    return np.stack([by_xx * x + by_xy * y + by_xz * z, by_xy * x + by_yy * y + by_yz * z, by_xz * x + by_yz * y + by_zz * z])


def products(content: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What `moments` needs to know of each pixel: the channels (..., 3 + C) of content and target, then each of the content's
    times all of them (..., 3 * (3 + C))."""
    both = np.concatenate([content, target], -1)
    return np.concatenate([both, (both[..., :3, None] * both[..., None, :]).reshape(*both.shape[:-1], -1)], -1)


def moments(products: np.ndarray, count: np.ndarray, radius: int) -> tuple[np.ndarray, ...]:
    """Of the window around each cell: how many pixels (H, W, 1), the means (H, W, 3) of the content and (H, W, C) of the target,
    and the content's covariance with itself (H, W, 3, 3) and with the target (H, W, 3, C), divided by the number of pixels.
    float64.

    `products` and `count` are sums over the pixels of each cell; a cell may be one pixel.
    """
    count = window_sum(count, radius)
    means = window_sum(products, radius) / count
    both = means.shape[2] // 4
    covariance = means[..., both:].reshape(*means.shape[:2], 3, both) - means[..., :3, None] * means[..., None, :both]
    return count, means[..., :3], means[..., 3:both], covariance[..., :3], covariance[..., 3:]


def ridge_regression(ridge: np.ndarray | float, content_mean, target_mean, variance, covariance) -> np.ndarray:
    """Maps whose colours' part has `ridge`, (H, W, 1) or one for all, against it; the constant, which has none, follows from the
    means. float64."""
    colours = np.linalg.solve(variance + np.asarray(ridge)[..., None] * np.eye(3), covariance)  # (H, W, content, target)
    constant = target_mean - np.einsum("hwi,hwij->hwj", content_mean, colours)
    return np.concatenate([colours.swapaxes(-1, -2), constant[..., None]], -1)
