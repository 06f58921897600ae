"""Solves over a cube of nodes: the dense solution, and a cycle that conjugate gradients may use."""

import numpy as np
import pytest
import scipy.sparse

from dpst.imaging.multigrid import Multigrid, doubling, solve


def system(size):
    """Neighbours tied along the three axes, and data at a tenth of the nodes; dense solutions are affordable to 17 a side."""
    rng = np.random.default_rng(size)
    steps = scipy.sparse.diags([-1.0, 1.0], [0, 1], shape=(size - 1, size))
    one, tie = scipy.sparse.identity(size), steps.T @ steps
    kron = scipy.sparse.kron
    ties = kron(kron(tie, one), one) + kron(kron(one, tie), one) + kron(kron(one, one), tie)
    data = (rng.random(size**3) < 0.1) * rng.uniform(0, 100, size**3)
    return (ties + scipy.sparse.diags(data)).tocsr(), data[:, None] * rng.random((size**3, 2))


@pytest.mark.parametrize("size", [3, 5, 9, 17])
def test_solution_is_the_dense_one(size):
    matrix, right = system(size)
    expected = np.linalg.solve(matrix.toarray(), right)
    np.testing.assert_allclose(solve(matrix, right, size), expected, atol=1e-4 * np.abs(expected).max())


def test_a_cycle_is_symmetric_and_positive_definite():
    matrix, _ = system(17)
    cycle, rng = Multigrid(matrix, 17), np.random.default_rng(0)
    for _ in range(3):
        one, other = rng.standard_normal((2, 17**3))
        assert one @ cycle(other) == pytest.approx(other @ cycle(one), rel=1e-9)
        assert one @ cycle(one) > 0


def test_doubling_keeps_lines_straight():
    np.testing.assert_allclose(doubling(5) @ np.linspace(2, 6, 5), np.linspace(2, 6, 9))
