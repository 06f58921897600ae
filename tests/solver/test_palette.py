"""The colour grade, and how differently colours are distributed, against distances of sorted projections."""

import numpy as np
import pytest

from dpst.imaging.colours import cielab
from dpst.solver.palette import Palettes, _directions, colour_grade


def sliced_distance(colours, style):
    """Mean over the directions of the squared differences of sorted projections, summed over the colours; as many of both."""
    ours, theirs = (np.sort(some @ _directions(), axis=0) for some in (colours, style))
    return ((ours - theirs) ** 2).sum(0).mean()


def transport(colours, style):
    """(distance, derivative) of the colours of one region."""
    (distance,), derivative = Palettes.of([style]).transport(colours, np.zeros(len(colours), np.int32))
    return float(distance), derivative


def test_a_grade_scales_strong_contrast_to_the_styles_and_amplifies_faint_contrast_only_so_far():
    """Standard deviations 0.2, 0.05, 0 become 0.1, 0.1, 0.04, up to noise 0.08: gains 0.1 / 0.2, 0.1 / 0.08, 0.04 / 0.08."""
    signs = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij"), -1).reshape(2, 4, 3)  # channels vary independently
    content, style = 0.5 + signs * [0.2, 0.05, 0.0], [0.4, 0.5, 0.6] + signs * [0.1, 0.1, 0.04]
    whole = np.ones((2, 4))
    grade = colour_grade(content, style, whole, whole, 0.08)
    np.testing.assert_allclose(grade[:, :3], np.diag([0.5, 1.25, 0.5]), atol=1e-6)
    np.testing.assert_allclose(grade[:, 3], [0.15, -0.125, 0.35], atol=1e-6)
    one_colour = colour_grade(content, np.full((2, 4, 3), 0.3), whole, whole, 0.08)
    np.testing.assert_allclose(one_colour, np.outer([0.3] * 3, [0, 0, 0, 1]), atol=1e-6)


@pytest.mark.parametrize("levels", [255, 7])  # with 7 many colours are equal
def test_the_distance_of_colours_is_that_of_sorted_projections(levels):
    random = np.random.default_rng(0)
    style = random.beta(2, 4, (3000, 3)).astype(np.float32)
    colours = (np.round(random.beta(4, 2, (3000, 3)) * levels) / levels).astype(np.float32)
    assert transport(colours, style)[0] == pytest.approx(sliced_distance(colours, style), rel=2e-3)


def test_equal_colours_move_alike_towards_the_styles_mean():
    style = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    distance, derivative = transport(np.full((400, 3), 0.25, np.float32), style)
    matrix = _directions() @ _directions().T / _directions().shape[1]
    np.testing.assert_allclose(derivative, np.tile(2 * matrix @ (0.25 - style.mean(0)), (400, 1)), atol=1e-4)
    assert distance > 400 * 0.01  # the style's spread remains


def test_colours_beyond_the_cube_are_measured_too():
    style = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    far, near = (transport(np.full((20, 3), value, np.float32), style)[0] for value in (2.0, 1.2))
    assert far > near > 0


def test_each_region_is_compared_with_its_own_colours():
    random = np.random.default_rng(0)
    styles = [random.random((n, 3)).astype(np.float32) for n in (900, 400)]
    colours = [random.beta(a, 2, (n, 3)).astype(np.float32) for a, n in ((1, 300), (4, 500))]
    regions = np.repeat(np.int32([0, 1]), (300, 500))
    together = Palettes.of(styles).transport(np.concatenate(colours), regions)
    alone = [transport(*each) for each in zip(colours, styles, strict=True)]
    np.testing.assert_allclose(together[0], [distance for distance, _ in alone], rtol=1e-5)
    np.testing.assert_allclose(together[1], np.concatenate([derivative for _, derivative in alone]), atol=1e-6)


def test_a_region_without_pixels_has_no_distance():
    style = np.full((20, 3), 0.5, np.float32)
    distances, _ = Palettes.of([style, style]).transport(np.full((9, 3), 0.5, np.float32), np.ones(9, np.int32))
    np.testing.assert_allclose(distances, [0, 0], atol=1e-6)


def test_a_foreign_colour_is_away_from_its_own_regions_colours():
    """10 in CIELAB beyond a tolerance of 5 count as 1; the derivative points away from the colours."""
    grey, red = np.full((20, 3), 0.5, np.float32), np.tile(np.float32([0.8, 0.2, 0.2]), (20, 1))
    palettes, colours = Palettes.of([grey, red]), np.concatenate([grey[:1], red[:1]])
    own, _ = palettes.foreignness(colours, np.int32([0, 1]))
    other, derivative = palettes.foreignness(colours, np.int32([1, 0]))
    np.testing.assert_allclose(own, 0, atol=1e-6)
    away = np.linalg.norm(np.subtract(*cielab(colours)) * [0.3, 1, 1])
    np.testing.assert_allclose(other, (away - 5) / 10, rtol=0.1)
    assert np.vdot(derivative[1], red[0] - grey[0]) > 0
