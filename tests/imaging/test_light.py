"""Colour alone: the photo's luma with the colours of a result."""

import numpy as np
import pytest

from dpst.imaging.light import with_light

WEIGHTS = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def test_the_luma_is_the_contents_for_any_colours():
    random = np.random.default_rng(0)
    content, image = random.random((2, 40, 30, 3), dtype=np.float32)
    content[0], image[0] = 0, 1
    content[1], image[1] = 1, (1, 0, 0)
    result = with_light(content, image)
    np.testing.assert_allclose(result @ WEIGHTS, content @ WEIGHTS, atol=1e-6)
    assert result.dtype == np.float32 and result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize(
    ("content", "image", "expected"),
    [
        ((0.5, 0.5, 0.5), (0.6, 0.6, 0.6), (0.5, 0.5, 0.5)),
        ((0.5, 0.5, 0.5), (0.7, 0.4, 0.3), (0.7217, 0.4217, 0.3217)),  # luma 0.4783
        # Red has the luma 0.299, so that 0.701 of red is above it, and 0.5 fits under white.
        ((0.5, 0.5, 0.5), (1, 0, 0), (1, 0.28673, 0.28673)),
        ((0.1, 0.1, 0.1), (0, 0, 1), (0.0, 0.0, 0.87719)),
    ],
)
def test_where_a_colour_does_not_fit_saturation_gives_way(content, image, expected):
    result = with_light(np.float32([[content]]), np.float32([[image]]))
    np.testing.assert_allclose(result[0, 0], expected, atol=1e-4)


def test_its_own_colours_leave_a_photo_as_it_is():
    content = np.random.default_rng(0).random((9, 8, 3), dtype=np.float32)
    np.testing.assert_allclose(with_light(content, content), content, atol=1e-6)
