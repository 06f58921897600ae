"""A look as one table of colours: the LUT that comes nearest to what a result did to its content.

Least squares over the nodes' change D of colour, with the result's change y at each pixel p and its tetrahedral weights a_p:

    sum_p w_p |a_p D - y_p|^2 / sum_p w_p  +  SLOPE * integral |grad D|^2  +  BEND * integral sum_i |d^2 D / dx_i^2|^2

The integrals over the colour cube decide where the photo has no colours: the change goes on there as it is at the nearest
colours that the photo has, not as it was about to change, so that a table does not run out of the cube or fold over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.optimize import isotonic_regression

from dpst.files.lut_profiles import SRGB_PROFILE, from_srgb
from dpst.files.luts import Lut, from_nodes, tetrahedra
from dpst.imaging.ciede2000 import ciede2000
from dpst.imaging.colours import cielab
from dpst.imaging.multigrid import solve

# See above, for colours 0..1. With less of either a table comes nearer to the result, but tells places apart by colours that
# hardly differ: JPEG's blocks and a sensor's noise then show in skies. Chosen by eye, on photos fitted and on others.
_SLOPE, _BEND = 1e-2, 2e-4
# How much more than the data greys count when they have been put in order.
_PIN = 1e3


class Fit(NamedTuple):
    """How far a LUT is from the result it was fitted to, in CIEDE2000."""

    mean: float
    percentile95: float

    def __str__(self) -> str:
        return f"CIEDE2000 to the result {self.mean:.1f} on average, 95th percentile {self.percentile95:.1f}"


def fit_lut(
    content: np.ndarray, result: np.ndarray, size: int, mask: np.ndarray | None = None, profile: str = SRGB_PROFILE
) -> Lut:
    """Fits a LUT to a content photo and its result. Along the greys no channel of it ever falls.

    Args:
        content: (H, W, 3), 0..1.
        result: (H, W, 3), 0..1.
        size: nodes a side, 2^k + 1.
        mask: how much each pixel counts, (H, W), 0..1, not all 0; without it all count alike.
        profile: whose colours the LUT is to take and give.
    """
    content, result = from_srgb(content, profile), from_srgb(result, profile)
    colours = content.reshape(-1, 3).astype(np.float64)
    change = result.reshape(-1, 3) - colours
    weights = np.ones(len(colours)) if mask is None else mask.ravel().astype(np.float64)
    weights /= weights.sum()
    design = from_nodes(*tetrahedra(colours * (size - 1), size), size**3)
    weighted = design.multiply(weights[:, None]).tocsr()
    matrix, right = (weighted.T @ design + _roughness(size)).tocsr(), weighted.T @ change
    identity = Lut.identity(size).table.reshape(-1, 3).astype(np.float64)
    table = identity + solve(matrix, right, size)

    greys = np.arange(size) * (size * size + size + 1)
    if (np.diff(table[greys], axis=0) < 0).any():
        strength = matrix.diagonal()[greys]
        ordered = np.stack([isotonic_regression(channel, weights=strength).x for channel in table[greys].T], -1)
        pin = np.zeros(size**3)
        pin[greys] = _PIN * strength.max()
        matrix = (matrix + scipy.sparse.diags(pin)).tocsr()
        right[greys] += pin[greys, None] * (ordered - identity[greys])
        table = identity + solve(matrix, right, size)
        table[greys] = ordered
    return Lut(np.clip(table, 0, 1).astype(np.float32).reshape(size, size, size, 3), profile=profile)


def fit_of(lut: Lut, content: np.ndarray, result: np.ndarray, mask: np.ndarray | None = None) -> Fit:
    """How well a LUT does to a content photo (H, W, 3) what was done in the result (H, W, 3), where the mask (H, W) counts."""
    colours = np.clip(lut(content), 0, 1)
    difference = ciede2000(cielab(colours.reshape(-1, 3), 1.0), cielab(result.reshape(-1, 3), 1.0))
    weights = np.ones(difference.size) if mask is None else mask.ravel().astype(np.float64)
    order = np.argsort(difference)
    reached = np.cumsum(weights[order])
    percentile = difference[order][np.searchsorted(reached, 0.95 * reached[-1])]
    return Fit(float(np.average(difference, weights=weights)), float(percentile))


def _roughness(size: int) -> scipy.sparse.csr_matrix:
    """The quadratic form (n^3, n^3) of the two integrals."""
    steps = size - 1
    slope = scipy.sparse.diags([-1.0, 1.0], [0, 1], shape=(steps, size)) * steps
    bend = scipy.sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(steps - 1, size)) * steps**2
    one = scipy.sparse.identity(size)
    along = (_SLOPE * slope.T @ slope + _BEND * bend.T @ bend) / steps**3
    kron = scipy.sparse.kron
    return kron(kron(along, one), one) + kron(kron(one, along), one) + kron(kron(one, one), along)
