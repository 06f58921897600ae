"""Sparse solves over the nodes of a cube that are tied to their neighbours: by coarser cubes, fast at any size."""

from __future__ import annotations

import numpy as np
import scipy

# Nodes a side that are solved directly.
_DIRECT = 9
# Damping of Jacobi's iteration. Squared second differences have 16/6 as the largest eigenvalue over the diagonal, so that it
# converges below 0.75.
_DAMPING = 0.6
# Residual over that of no change at which a solve ends: its colours have then settled to a tenth of a level of 10 bits.
_ACCURACY = 1e-6


class Multigrid:
    """Approximate inverse of a matrix (n^3, n^3): one V-cycle with Galerkin's coarser matrices (Briggs, Henson, McCormick 2000).

    It is linear, symmetric and positive definite, for conjugate gradients.
    """

    def __init__(self, matrix: scipy.sparse.csr_matrix, size: int):
        """Prepares the coarser matrices of one over `size` nodes a side, 2^k + 1."""
        self._matrix = matrix
        self._factors = scipy.sparse.linalg.splu(matrix.tocsc()) if size <= _DIRECT else None
        if self._factors is None:
            self._smoothing = _DAMPING / matrix.diagonal()
            coarse = (size + 1) // 2
            along = doubling(coarse)
            self._finer = scipy.sparse.kron(scipy.sparse.kron(along, along), along, format="csr")
            self._coarser = self._finer.T.tocsr()
            self._coarse = Multigrid((self._coarser @ matrix @ self._finer).tocsr(), coarse)

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        """About the solution (n^3,) for a right side (n^3,)."""
        if self._factors is not None:
            return self._factors.solve(residual)
        solution = self._smoothing * residual
        solution += self._finer @ self._coarse(self._coarser @ (residual - self._matrix @ solution))
        return solution + self._smoothing * (residual - self._matrix @ solution)


def doubling(coarse: int) -> scipy.sparse.csr_matrix:
    """Linear interpolation (2 * coarse - 1, coarse) between nodes that span the same side."""
    return scipy.sparse.csr_matrix(np.maximum(0, 1 - np.abs(np.arange(2 * coarse - 1)[:, None] / 2 - np.arange(coarse))))


def solve(matrix: scipy.sparse.csr_matrix, right: np.ndarray, size: int) -> np.ndarray:
    """The solution (n^3, channels) for right sides (n^3, channels), by conjugate gradients with a V-cycle."""
    cycle = scipy.sparse.linalg.LinearOperator(matrix.shape, Multigrid(matrix, size), dtype=np.float64)
    columns = []
    for column in right.T:
        solution, unsettled = scipy.sparse.linalg.cg(matrix, column, M=cycle, rtol=_ACCURACY)
        if unsettled:
            raise RuntimeError(f"conjugate gradients did not settle in {unsettled} steps")
        columns.append(solution)
    return np.stack(columns, -1)
