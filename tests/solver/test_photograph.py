"""What is invented, wanders in hue and is lost, against fits to each window."""

import numpy as np
import pytest
import tensorflow as tf

from dpst.solver.photograph import Photograph

LIGHT = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
ONES = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def photos():
    content, result = np.random.default_rng(0).random((2, 12, 9, 3))
    return content, 0.5 * content + 0.5 * result


def windows(image, side, step):
    """The colours (side * side, 3) of each window."""
    height, width, _ = image.shape
    for y in range(0, height - side + 1, step):
        for x in range(0, width - side + 1, step):
            yield image[y : y + side, x : x + side].reshape(-1, 3)


def unexplained(content, image, flat):
    """Variance of colours (n, 3) that no affine function of the content's explains, with a ridge, summed over channels."""
    x, y = content - content.mean(0), image - image.mean(0)
    own, shared = x.T @ x / len(x), x.T @ y / len(x)
    return np.trace(y.T @ y / len(y) - shared.T @ np.linalg.solve(own + flat * np.eye(3), shared))


def measured(photos):
    content, result = (photo.astype(np.float32) for photo in photos)
    return [float(figure) for figure in Photograph.of(content)(tf.constant(result), ONES)[0]]


def test_invented_is_what_fits_to_small_windows_leave(photos):
    left = [unexplained(*each, 1e-5) for each in zip(*(windows(photo, 3, 1) for photo in photos), strict=True)]
    assert measured(photos)[0] == pytest.approx(np.mean(left), rel=1e-3)


def test_hue_wanders_by_what_fits_to_large_windows_leave(photos):
    content, result = photos
    hue = result - 0.8 * (result @ LIGHT)[..., None]
    padded = (np.pad(image, ((4, 4), (4, 4), (0, 0)), "symmetric") for image in (content, hue))
    left = np.array([unexplained(*each, 4e-4) for each in zip(*(windows(image, 9, 2) for image in padded), strict=True)])
    assert measured(photos)[1] == pytest.approx(np.mean(left**2 / (left + 5e-4)), rel=1e-3)


def test_lost_is_the_contents_contrast_that_fits_of_the_result_do_not_explain(photos):
    lost = weights = 0.0
    for content, result in zip(*(windows(photo, 3, 1) for photo in photos), strict=True):
        light, colours = content @ LIGHT, result - result.mean(0)
        light = light - light.mean()
        shared = colours.T @ light / len(light)
        explained = shared @ np.linalg.solve(colours.T @ colours / len(light) + 4e-4 * np.eye(3), shared)
        contrast = np.mean(light**2)
        lost += np.sqrt(contrast) * (1 - explained / (contrast + 1e-7))
        weights += np.sqrt(contrast)
    assert measured(photos)[2] == pytest.approx(lost / weights, rel=1e-3)


def test_a_recoloured_photo_has_invented_nothing_and_lost_little():
    content = np.random.default_rng(1).random((30, 40, 3))
    invented, wandering, lost = measured((content, 0.6 * content[..., ::-1] + 0.2))
    assert invented < 1e-4 and wandering < 3e-4 and lost < 0.02  # by the ridges


@pytest.mark.parametrize("scales", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (3.0, 0.5, 2.0)])
def test_the_derivative_is_that_of_the_scaled_sum(photos, scales):
    content, result = (photo.astype(np.float32) for photo in photos)
    photograph, image = Photograph.of(content, content[..., :2]), tf.constant(result)
    with tf.GradientTape() as tape:
        tape.watch(image)
        losses, derivative = photograph(image, scales)
        total = tf.add_n(list(losses))
    np.testing.assert_allclose(derivative, tape.gradient(total, image), rtol=1e-3, atol=1e-6)


def test_hue_may_change_at_the_border_of_a_mask():
    content = 0.5 + 0.02 * np.random.default_rng(2).random((30, 40, 3))
    left = (np.arange(40) < 20).astype(np.float64)[None, :, None] * np.ones((30, 1, 1))
    image = tf.constant((content + (left - 0.5) * [0.2, 0, -0.2]).astype(np.float32))
    content, masks = content.astype(np.float32), np.concatenate([left, 1 - left], -1).astype(np.float32)
    across, within = (
        float(photograph(image, ONES)[0][1]) for photograph in (Photograph.of(content), Photograph.of(content, masks))
    )
    assert within < 0.05 * across
