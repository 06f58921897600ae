"""Neutral results of styles without colour: which styles those are, and what the projection does."""

import numpy as np
import pytest

from dpst.solver.colourless import colourless, neutral, neutral_maps

WEIGHTS = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@pytest.mark.parametrize(("levels", "expected"), [((0, 0, 0), True), ((1, 0, 0), True), ((2, 0, 0), False), ((0, 0, -3), False)])
def test_one_level_of_rounding_is_no_colour_and_two_are(levels, expected):
    style = np.full((6, 7, 3), 0.5, np.float32)
    style[2, 3] += np.float32(levels) / 255
    assert colourless(style, np.ones((6, 7, 1), np.float32)).tolist() == [expected]


def test_each_region_counts_for_itself_and_its_soft_edge_does_not():
    style = np.full((4, 9, 3), 0.5, np.float32)
    style[:, 4:, 0] = 0.9
    masks = np.zeros((4, 9, 3), np.float32)
    masks[:, :4, 0] = masks[:, 5:, 1] = 1
    masks[:, 4] = 0.5, 0.5, 0
    assert colourless(style, masks).tolist() == [True, False, False]  # the third has no pixel


def test_greys_have_the_luma_of_the_colours():
    image = np.random.default_rng(0).random((3, 4, 3), dtype=np.float32)
    share = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    result = neutral(image, share)
    np.testing.assert_allclose(result @ WEIGHTS, image @ WEIGHTS, atol=1e-6)
    np.testing.assert_allclose(np.ptp(result, -1), (1 - share) * np.ptp(image, -1), atol=1e-6)


def test_maps_are_projected_as_their_results_are():
    random = np.random.default_rng(0)
    maps, colour = random.normal(0, 0.3, (5, 3, 4)).astype(np.float32), np.append(random.random(3), 1)
    changed = colour[:3] + neutral_maps(maps) @ colour
    expected = (colour[:3] + maps @ colour) @ WEIGHTS
    np.testing.assert_allclose(changed, np.repeat(expected[:, None], 3, 1), atol=1e-6)
