"""The colours of a region: the grade that takes one photo's colours to another's, and how foreign a colour is to the style."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from dpst.imaging.colours import cielab

# Lattice points along each side of the RGB cube at which the distance to the style's colours is stored.
_LATTICE = 33
# Side in CIELAB of the cells of which one colour of the style each is what distances are measured from.
_CELL = 1.0
# CIELAB distance, lightness counting 0.3, up to which a colour counts as one of the style's.
_TOLERANCE = 5.0
# The unit of that distance in the loss: a colour 10 further away is plainly foreign.
_UNIT = 10.0
_DIRECTIONS = 16
# Bins of colours along a direction, narrower than a level of 8 bits, from -1/4 to 5/4 of each channel; what is beyond is in the
# first or the last.
_BINS, _BEYOND = 1024, 0.25
# One level of 8 bits: a region of a single colour still has a covariance that can be inverted.
_MIN_NOISE = 1 / 255


def colour_grade(
    content: np.ndarray, style: np.ndarray, inside: np.ndarray, style_inside: np.ndarray, noise: float
) -> np.ndarray:
    """The affine map that gives a region of the content the mean and covariance of the style region's colours.

    The linear Monge-Kantorovich map (Pitie, Kokaram 2007): `A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2` takes covariance A to B. Of all
    such maps it changes colours least, so that light stays light and warm stays warm.

    Args:
        content: (H, W, 3), 0..1.
        style: (h, w, 3), 0..1.
        inside: mask of the region in the content, (H, W), 0..1, not all 0.
        style_inside: the same in the style, (h, w).
        noise: standard deviation, 0..1, added to the content's colours in every direction: more limits how far faint contrast,
            and the noise with it, is amplified.

    Returns:
        (3, 4): result channel by content channel, then the constant.
    """
    mean, covariance = _statistics(content, inside, noise)
    style_mean, style_covariance = _statistics(style, style_inside, 0.0)
    root, inverse_root = _power(covariance, 0.5), _power(covariance, -0.5)
    transport = inverse_root @ _power(root @ style_covariance @ root, 0.5) @ inverse_root  # symmetric
    return np.concatenate([transport, (style_mean - transport @ mean)[:, None]], axis=1)


def _statistics(image: np.ndarray, mask: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (3,) and covariance (3, 3) of the colours of an image (H, W, 3) under a mask (H, W)."""
    colours, weights = image.reshape(-1, 3), mask.ravel()
    covariance = np.cov(colours.T, aweights=weights, ddof=0) + max(noise, _MIN_NOISE) ** 2 * np.eye(3)
    return np.average(colours, axis=0, weights=weights), covariance


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """A power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, _MIN_NOISE**4) ** exponent) @ vectors.T


class Palette:
    """The colours of one region of the style: how foreign other colours are to it, and how differently they are distributed."""

    def __init__(self, colours: np.ndarray):
        """Takes the region's colours (n, 3), 0..1, n > 0."""
        steps = np.linspace(0, 1, _LATTICE)
        lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
        lab = cielab(colours)
        _, one_each = np.unique(np.floor(lab / _CELL).astype(np.int32), axis=0, return_index=True)
        distance, _ = cKDTree(lab[one_each]).query(cielab(lattice))
        excess = np.maximum(distance - _TOLERANCE, 0) / _UNIT
        self._excess = excess.reshape(_LATTICE, _LATTICE, _LATTICE).astype(np.float32)
        projections = np.sort(_directions().T @ colours.T, axis=1).astype(np.float64)  # (directions, n)
        self._integrals = np.pad(np.cumsum(projections, axis=1), ((0, 0), (1, 0))) / len(colours)  # of the quantiles over 0..1
        self._squares = float((projections**2).mean(1).sum())

    def foreignness(self, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far colours (n, 3) are from all of the region's, (n,), in units of 10 CIELAB beyond a tolerance, and its gradient.

        Interpolated trilinearly in a lattice of RGB, so that it costs the same for any number of colours.
        """
        position = np.clip(colours, 0, 1) * (_LATTICE - 1)
        low = np.minimum(position.astype(np.intp), _LATTICE - 2)
        share = (position - low).astype(np.float32)
        gradient = np.empty(colours.shape, np.float32)
        corner = np.empty((2, 2, 2, len(colours)), np.float32)
        for i, j, k in np.ndindex(2, 2, 2):
            corner[i, j, k] = self._excess[low[:, 0] + i, low[:, 1] + j, low[:, 2] + k]
        red, green, blue = share.T
        along_blue = corner[:, :, 0] + (corner[:, :, 1] - corner[:, :, 0]) * blue  # (2, 2, n)
        along_green = along_blue[:, 0] + (along_blue[:, 1] - along_blue[:, 0]) * green  # (2, n)
        gradient[:, 0] = along_green[1] - along_green[0]
        by_green = along_blue[:, 1] - along_blue[:, 0]
        gradient[:, 1] = by_green[0] + (by_green[1] - by_green[0]) * red
        by_blue = corner[:, :, 1] - corner[:, :, 0]
        by_blue = by_blue[:, 0] + (by_blue[:, 1] - by_blue[:, 0]) * green
        gradient[:, 2] = by_blue[0] + (by_blue[1] - by_blue[0]) * red
        gradient *= _LATTICE - 1
        gradient[(colours < 0) | (colours > 1)] = 0
        return along_green[0] + (along_green[1] - along_green[0]) * red, gradient

    def transport(self, colours: np.ndarray) -> tuple[float, np.ndarray]:
        """Squared sliced Wasserstein distance of colours (n, 3) to the region's, summed over the colours, and its gradient.

        Along each of a few directions the colours move to the style's of the same ranks (Rabin et al. 2012): those of a narrow
        bin to the mean of these, so that nothing has to be sorted and equal colours stay equal.
        """
        directions, count = _directions(), len(colours)
        lows = (1 + 2 * _BEYOND) * np.minimum(directions, 0).sum(0) - _BEYOND * directions.sum(0)
        scales = _BINS / ((1 + 2 * _BEYOND) * np.abs(directions).sum(0))
        projections = directions.T @ colours.T  # (directions, n)
        places = ((projections - lows[:, None]) * scales[:, None]).clip(0, _BINS - 1).astype(np.intp)
        places += np.arange(_DIRECTIONS)[:, None] * _BINS
        shares = np.bincount(places.ravel(), minlength=_DIRECTIONS * _BINS).reshape(_DIRECTIONS, _BINS) / count
        ranks = np.pad(np.cumsum(shares, 1), ((0, 0), (1, 0)))  # of the bins' ends
        samples = np.linspace(0, 1, self._integrals.shape[1])
        integrals = np.stack([np.interp(at, samples, own) for at, own in zip(ranks, self._integrals, strict=True)])
        aims = np.diff(integrals, axis=1) / np.maximum(shares, 1e-12)
        error = projections - aims.astype(np.float32).ravel()[places]
        spread = count * (self._squares - float((shares * aims**2).sum()))  # of the style's colours about these means
        loss = (float(np.vdot(error, error)) + max(spread, 0.0)) / _DIRECTIONS
        return loss, (directions @ error).T * np.float32(2 / _DIRECTIONS)


def _directions() -> np.ndarray:
    """Unit vectors spread evenly over half a sphere (a Fibonacci lattice), (3, directions)."""
    number = np.arange(_DIRECTIONS) + 0.5
    polar, azimuth = np.arccos(1 - number / _DIRECTIONS), np.pi * (1 + 5**0.5) * number
    return np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)]).astype(np.float32)
