"""How differently colours are distributed, against distances of sorted projections."""

import numpy as np
import pytest

from dpst.solver.palette import Palette, _directions


def sliced_distance(colours, style):
    """Mean over the directions of the squared differences of sorted projections, summed over the colours; as many of both."""
    ours, theirs = (np.sort(some @ _directions(), axis=0) for some in (colours, style))
    return ((ours - theirs) ** 2).sum(0).mean()


@pytest.mark.parametrize("levels", [255, 7])  # with 7 many colours are equal
def test_the_distance_of_colours_is_that_of_sorted_projections(levels):
    random = np.random.default_rng(0)
    style = random.beta(2, 4, (3000, 3)).astype(np.float32)
    colours = (np.round(random.beta(4, 2, (3000, 3)) * levels) / levels).astype(np.float32)
    loss, _ = Palette(style).transport(colours)
    assert loss == pytest.approx(sliced_distance(colours, style), rel=2e-3)


def test_equal_colours_move_alike_towards_the_styles_mean():
    style = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    colours = np.full((400, 3), 0.25, np.float32)
    loss, gradient = Palette(style).transport(colours)
    matrix = _directions() @ _directions().T / _directions().shape[1]
    np.testing.assert_allclose(gradient, np.tile(2 * matrix @ (0.25 - style.mean(0)), (400, 1)), atol=1e-4)
    assert loss > 400 * 0.01  # the style's spread remains


def test_colours_beyond_the_cube_are_measured_too():
    style = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    far, near = (Palette(style).transport(np.full((20, 3), value, np.float32))[0] for value in (2.0, 1.2))
    assert far > near > 0
