"""The colours of a region: the grade that takes one photo's colours to another's, and how foreign a colour is to the style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from dpst.imaging.colours import cielab
from vgg19.backend import tf

# Lattice points along each side of the RGB cube at which the distance to the style's colours is stored.
_LATTICE = 33
# How far apart neighbours along red, green and blue are in it, and the eight points about a colour from the first of them.
_STRIDES = np.array([_LATTICE**2, _LATTICE, 1], np.int32)
_CORNERS = np.array([_STRIDES @ corner for corner in np.ndindex(2, 2, 2)], np.int32)
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
# Quantiles that stand for the style's colours along a direction.
_QUANTILES = 4096
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
        noise: standard deviation, 0..1: directions along which the content's colours vary less than this count as if they varied
            so much, so that faint contrast, and the noise with it, is not amplified further.

    Returns:
        (3, 4): result channel by content channel, then the constant.
    """
    mean, covariance = _statistics(content, inside)
    style_mean, style_covariance = _statistics(style, style_inside)
    least = max(noise, _MIN_NOISE) ** 2
    root, inverse_root = _power(covariance, 0.5, least), _power(covariance, -0.5, least)
    transport = inverse_root @ _power(root @ style_covariance @ root, 0.5) @ inverse_root  # symmetric
    return np.concatenate([transport, (style_mean - transport @ mean)[:, None]], axis=1)


def _statistics(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (3,) and covariance (3, 3) of the colours of an image (H, W, 3) under a mask (H, W)."""
    colours, weights = image.reshape(-1, 3), mask.ravel()
    return np.average(colours, axis=0, weights=weights), np.cov(colours.T, aweights=weights, ddof=0)


def _power(matrix: np.ndarray, exponent: float, least: float = 0.0) -> np.ndarray:
    """A power of a symmetric matrix, of which smaller eigenvalues count as the least."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, least) ** exponent) @ vectors.T


class Palettes(NamedTuple):
    """The colours of some regions of the style: how foreign other colours are to them, and how differently they are distributed.

    Attributes:
        excess: (regions * lattice points,), the distance of each point of a lattice of RGB from the region's colours.
        integrals: (regions * directions, quantiles + 1), of the quantiles of its colours along a direction, over 0..1.
        squares: (regions,), the mean square of its colours along a direction, summed over the directions.
    """

    excess: tf.Tensor
    integrals: tf.Tensor
    squares: tf.Tensor

    @classmethod
    def of(cls, regions: Sequence[np.ndarray]) -> Palettes:
        """Takes the colours (n, 3), 0..1, n > 0, of each region."""
        each = [_palette(colours) for colours in regions]
        excess, integrals = (np.concatenate([own[k] for own in each]) for k in (0, 1))
        return cls(*(tf.constant(table, tf.float32) for table in (excess, integrals, [own[2] for own in each])))

    def foreignness(self, colours: tf.Tensor, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """How far colours (n, 3) are from all of their region's, in units of 10 CIELAB beyond a tolerance, and its derivative.

        Interpolated trilinearly in a lattice of RGB, so that it costs the same for any number of colours.
        """
        position = tf.clip_by_value(colours, 0.0, 1.0) * (_LATTICE - 1)
        low = tf.minimum(tf.cast(position, tf.int32), _LATTICE - 2)
        first = regions * _LATTICE**3 + tf.reduce_sum(low * _STRIDES, 1)
        corners = tf.reshape(tf.gather(self.excess, first + _CORNERS[:, None]), (2, 2, 2, -1))
        red, green, blue = tf.unstack(position - tf.cast(low, tf.float32), axis=1)
        along_blue, by_blue = _between(corners[:, :, 0], corners[:, :, 1], blue)  # (2, 2, n)
        along_green, by_green = _between(along_blue[:, 0], along_blue[:, 1], green)  # (2, n)
        found, by_red = _between(along_green[0], along_green[1], red)
        by_green, _ = _between(by_green[0], by_green[1], red)
        by_blue, _ = _between(by_blue[:, 0], by_blue[:, 1], green)
        by_blue, _ = _between(by_blue[0], by_blue[1], red)
        inside = tf.cast((colours >= 0) & (colours <= 1), tf.float32)
        return found, (_LATTICE - 1) * inside * tf.stack([by_red, by_green, by_blue], 1)

    def transport(self, colours: tf.Tensor, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Squared sliced Wasserstein distance of colours (n, 3) to their region's, and its derivative.

        Along each of a few directions the colours move to the style's of the same ranks (Rabin et al. 2012): those of a narrow
        bin to the mean of these, so that nothing has to be sorted and equal colours stay equal.

        Args:
            colours: of some pixels.
            regions: int32 (n,), which region each belongs to.

        Returns:
            (regions,), summed over the colours of each, and the derivative of their sum, (n, 3).
        """
        directions, number = _directions(), self.squares.shape[0]
        width = (1 + 2 * _BEYOND) / _BINS * np.abs(directions).sum(0)[:, None]
        lowest = (1 + 2 * _BEYOND) * np.minimum(directions, 0).sum(0)[:, None] - _BEYOND * directions.sum(0)[:, None]
        projections = tf.matmul(directions, colours, transpose_a=True, transpose_b=True)  # (directions, n)
        bins = tf.cast(tf.clip_by_value((projections - lowest) / width, 0.0, _BINS - 1.0), tf.int32)
        bins += _BINS * (regions * _DIRECTIONS + np.arange(_DIRECTIONS, dtype=np.int32)[:, None])
        counts = tf.math.unsorted_segment_sum(tf.ones_like(projections), bins, number * _DIRECTIONS * _BINS)
        counts = tf.reshape(counts, (-1, _BINS))  # (regions * directions, bins)
        ends = tf.pad(tf.cumsum(counts, 1), ((0, 0), (1, 0)))  # whole numbers, exact in single precision
        total = ends[:, -1:]
        rank = ends / tf.maximum(total, 1.0) * _QUANTILES
        below = tf.minimum(tf.cast(rank, tf.int32), _QUANTILES - 1)
        low, high = (tf.gather(self.integrals, below + step, batch_dims=1) for step in (0, 1))
        integrals = low + (rank - tf.cast(below, tf.float32)) * (high - low)
        aims = (integrals[:, 1:] - integrals[:, :-1]) * total / tf.maximum(counts, 1.0)
        error = projections - tf.gather(tf.reshape(aims, (-1,)), bins)
        # The rest of the distance: the spread of the style's colours about these means.
        about = tf.reduce_sum(tf.reshape(counts * aims**2, (number, -1)), 1)
        spread = tf.maximum(tf.reshape(total, (number, -1))[:, 0] * self.squares - about, 0.0)
        loss = spread + tf.math.unsorted_segment_sum(tf.reduce_sum(error**2, 0), regions, number)
        return loss / _DIRECTIONS, 2 / _DIRECTIONS * tf.matmul(error, directions, transpose_a=True, transpose_b=True)


def _palette(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """What `Palettes` knows of the colours (n, 3) of one region."""
    steps = np.linspace(0, 1, _LATTICE)
    lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = cielab(colours)
    _, one_each = np.unique(np.floor(lab / _CELL).astype(np.int32), axis=0, return_index=True)
    distance, _ = cKDTree(lab[one_each]).query(cielab(lattice))
    projections = np.sort(_directions().T @ colours.T, axis=1).astype(np.float64)  # (directions, n)
    sums = np.pad(np.cumsum(projections, axis=1), ((0, 0), (1, 0))) / len(colours)
    ranks, samples = np.linspace(0, 1, _QUANTILES + 1), np.linspace(0, 1, len(colours) + 1)
    integrals = np.stack([np.interp(ranks, samples, own) for own in sums])
    return np.maximum(distance - _TOLERANCE, 0) / _UNIT, integrals, float((projections**2).mean(1).sum())


def _between(low: tf.Tensor, high: tf.Tensor, share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Linear interpolation, and its derivative by the share."""
    return low + (high - low) * share, high - low


def _directions() -> np.ndarray:
    """Unit vectors spread evenly over half a sphere (a Fibonacci lattice), (3, directions)."""
    number = np.arange(_DIRECTIONS) + 0.5
    polar, azimuth = np.arccos(1 - number / _DIRECTIONS), np.pi * (1 + 5**0.5) * number
    return np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)]).astype(np.float32)
