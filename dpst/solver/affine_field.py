"""A look: a field of affine colour maps for each region, on a grid over place and luma, and how a photo of any size is given it.

The result is the content plus, at each pixel, a 3x4 map times (colour, 1), summed over the regions by their masks. The maps are
interpolated trilinearly between the nodes of a bilateral grid (Chen, Paris, Durand 2007; Gharbi et al. 2017), so that the
result is locally affine in the content's colours by construction (Luan et al. 2017, eq. 2), at any size, with every edge.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.fft
import scipy.sparse

from dpst.files.machine import cores
from dpst.imaging.colours import LUMA
from dpst.imaging.fitted_masks import FittedMasks

# Nodes along the luma axis.
LEVELS = 8
# How strongly neighbouring levels of luma are tied, against neighbouring places.
_LEVEL_TIE = 1.0
# The same where place does not count: one node stands for those of a photo's finest grid, each with its ties.
_LEVEL_TIE_OF_ONE = 1000.0
# Below this a mask's pixel counts as outside.
_OUTSIDE = 1e-3
# Rows of a large photo that one thread restyles at a time.
_ROWS = 64


@dataclasses.dataclass(frozen=True)
class Grid:
    """Nodes of a bilateral grid: along luma, down and across. A node's index is `(level * height + y) * width + x`.

    With one node down and across, place does not count: equal colours are changed alike everywhere.
    """

    levels: int
    height: int
    width: int

    @classmethod
    def over(cls, size: tuple[int, int], cells: int) -> Grid:
        """The grid of a photo of this size (height, width) with this many cells on its longer side; 0 for none by place."""
        down, across = (max(2, round(cells * side / max(size)) + 1) if cells else 1 for side in size)
        return cls(LEVELS, down, across)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.levels * self.height * self.width

    @property
    def _level_tie(self) -> float:
        return _LEVEL_TIE if self.height * self.width > 1 else _LEVEL_TIE_OF_ONE

    def weights(self, content: np.ndarray, first_row: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """The eight nodes around each pixel of some rows of a photo, and their trilinear weights.

        Args:
            content: rows (n, W, 3), 0..1.
            first_row: where in the photo they begin.
            height: rows of the whole photo.

        Returns:
            Node indices, int32, and weights, float32, both (n * W, 8).
        """
        rows, width = content.shape[:2]
        y, down = _placed((first_row + np.arange(rows) + 0.5) / height, self.height)
        x, across = _placed((np.arange(width) + 0.5) / width, self.width)
        level, up = _placed(np.clip(content @ LUMA, 0, 1), self.levels)
        node = (level * self.height + y[:, None]) * self.width + x  # (n, W)
        # To the next node up, down and across; along an axis of a single node the next one is itself, of weight 0.
        up_by, down_by, across_by = self.height * self.width, self.width * (self.height > 1), int(self.width > 1)
        nodes = np.empty((rows, width, 8), np.int32)
        weights = np.empty((rows, width, 8), np.float32)
        for corner, (i, j, k) in enumerate(np.ndindex(2, 2, 2)):
            nodes[..., corner] = node + (i * up_by + j * down_by + k * across_by)
            place = (down if j else 1 - down)[:, None] * (across if k else 1 - across)
            np.multiply(up if i else 1 - up, place, out=weights[..., corner])
        return nodes.reshape(-1, 8), weights.reshape(-1, 8)

    def roughness(self) -> scipy.sparse.csr_matrix:
        """The quadratic form (nodes, nodes) of squared differences between neighbouring nodes.

        Between places it is the integral of the squared gradient, whatever the number of cells.
        """
        level, y, x = (scipy.sparse.identity(n) for n in (self.levels, self.height, self.width))
        kron = scipy.sparse.kron
        across = kron(level, kron(y, _differences(self.width)))
        down = kron(level, kron(_differences(self.height), x))
        up = kron(_differences(self.levels), kron(y, x))
        return (across.T @ across + down.T @ down + self._level_tie * (up.T @ up)).tocsr()

    def waves(self) -> list[np.ndarray]:
        """The orthonormal cosine waves (type II) along each axis, float32 (n, n), one a row: along luma, down and across.

        They diagonalise the roughness, as nodes have no neighbours beyond the ends (Neumann). On axes this short, products with
        whole matrices are faster than a fast transform.
        """
        return [scipy.fft.dct(np.eye(n), axis=0, norm="ortho").astype(np.float32) for n in (self.levels, self.height, self.width)]

    def roughness_spectrum(self) -> np.ndarray:
        """The eigenvalues of `roughness` by the `waves`, (levels, height, width)."""
        down, across, up = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (self.height, self.width, self.levels))
        return self._level_tie * up[:, None, None] + down[:, None] + across


def _placed(share: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The node below each position 0..1 along an axis, and the share of the node above it."""
    position = (share * (nodes - 1)).astype(np.float32)
    below = np.clip(position.astype(np.int32), 0, max(nodes - 2, 0))
    return below, position - below


def _differences(nodes: int) -> scipy.sparse.csr_matrix:
    """Differences between neighbours along an axis, (nodes - 1, nodes)."""
    return scipy.sparse.diags([-np.ones(nodes - 1), np.ones(nodes - 1)], [0, 1], shape=(nodes - 1, nodes)).tocsr()


def slicing(nodes: np.ndarray, weights: np.ndarray, mask: np.ndarray, grid: Grid) -> scipy.sparse.csr_matrix:
    """From nodes to pixels: the trilinear weights times a mask (pixels,), float32 CSR (pixels, grid.nodes)."""
    inside = mask > _OUTSIDE
    starts = np.concatenate([[0], np.cumsum(np.where(inside, 8, 0))])
    values = (weights[inside] * mask[inside, None]).ravel()
    return scipy.sparse.csr_matrix((values, nodes[inside].ravel(), starts), shape=(len(mask), grid.nodes))


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """What a solve finds: a few hundred kilobytes that restyle the photo at any size.

    Attributes:
        grid: where the maps are.
        maps: float32 (R, nodes, 3, 4), of the change: result channel by content channel, then the constant.
        masks: of the regions.
    """

    grid: Grid
    maps: np.ndarray
    masks: FittedMasks

    def apply(self, content: np.ndarray, first_row: int, height: int, strength: float = 1.0) -> np.ndarray:
        """Rows (n, W, 3), 0..1, of a photo of `height` rows, restyled: content + strength * change, within 0..1."""
        if not self.maps.any():
            return content
        starts = range(0, len(content), _ROWS)
        with ThreadPoolExecutor(cores()) as threads:
            parts = threads.map(lambda top: self._change(content[top : top + _ROWS], first_row + top, height), starts)
            change = np.concatenate(list(parts))
        return np.clip(content + np.float32(strength) * change, 0, 1)

    def _change(self, content: np.ndarray, first_row: int, height: int) -> np.ndarray:
        masks = self.masks.rows(content, first_row, height).reshape(-1, len(self.maps))
        nodes, weights = self.grid.weights(content, first_row, height)
        colours = content.reshape(-1, 3)
        change = np.zeros_like(colours)
        for maps, mask in zip(self.maps, masks.T, strict=True):
            if not (mask > _OUTSIDE).any():
                continue
            sliced = (slicing(nodes, weights, mask, self.grid) @ maps.reshape(-1, 12)).reshape(-1, 3, 4)
            change += np.einsum("pij,pj->pi", sliced[..., :3], colours) + sliced[..., 3]
        return change.reshape(content.shape)
