"""The network against a convolution and a pooling written out, and the sizes of its layers."""

import numpy as np
import pytest
import tensorflow as tf

from vgg19.layers import CONVOLUTIONS
from vgg19.network import MEAN_BGR, Network, features

HEIGHT, WIDTH = 19, 26
WIDTHS = dict(zip(CONVOLUTIONS, (2, 3, 2, 4, 3, 2, 2, 3, 4, 2, 3, 2, 5), strict=True))


@pytest.fixture(scope="module")
def weights():
    """A thin network whose every width differs from the next one's."""
    random, channels, made = np.random.default_rng(0), 3, {}
    for layer, width in WIDTHS.items():
        filters = random.normal(size=(3, 3, channels, width)) / np.sqrt(4.5 * channels)
        made[layer] = filters.astype(np.float32), random.normal(size=width).astype(np.float32)
        channels = width
    return made


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(1).random((HEIGHT, WIDTH, 3), np.float32)


def convolved(x, filters, biases):
    """3x3 correlation of (h, w, in) with zeros beyond the border, and ReLU."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    total = sum(padded[y : y + height, x : x + width] @ filters[y, x] for y in range(3) for x in range(3))
    return np.maximum(total + biases, 0)


def pooled(x):
    """The largest of each 2x2 block of (h, w, channels); at an odd end, of what there is of it."""
    height, width, channels = x.shape
    padded = np.pad(x, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=-np.inf)
    return padded.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, channels).max(axis=(1, 3))


def test_every_layer_is_that_of_the_network_written_out(weights, photo):
    features = Network(weights).features(tf.constant(photo), CONVOLUTIONS)
    x = photo[..., ::-1].astype(np.float64) * 255 - [103.939, 116.779, 123.68]  # BGR
    for layer in CONVOLUTIONS:
        if layer.endswith("_1") and layer != "conv1_1":
            x = pooled(x)
        x = convolved(x, *weights[layer])
        np.testing.assert_allclose(features[layer][0], x, rtol=1e-4, atol=1e-4 * np.abs(x).max(), err_msg=layer)


def test_layers_halve_the_size_rounded_up_at_each_pooling(weights, photo):
    network = Network(weights)
    features = network.features(tf.constant(photo), ["conv5_1", "conv1_2", "conv4_2", "conv2_1", "conv3_1"])
    sizes = {"conv1_2": (19, 26), "conv2_1": (10, 13), "conv3_1": (5, 7), "conv4_2": (3, 4), "conv5_1": (2, 2)}
    assert {k: v.shape for k, v in features.items()} == {k: (1, *size, WIDTHS[k]) for k, size in sizes.items()}
    assert all(network.channels(layer) == width for layer, width in WIDTHS.items())


def test_the_mean_pixel_is_zero_to_the_network(weights):
    # MEAN_BGR is in levels and blue first; photos are in 0..1 and red first.
    mean = np.full((5, 6, 3), np.array(MEAN_BGR[::-1]) / 255, np.float32)
    features = Network(weights).features(tf.constant(mean), ["conv1_1"])["conv1_1"]
    np.testing.assert_allclose(features[0], np.broadcast_to(np.maximum(weights["conv1_1"][1], 0), (5, 6, 2)), atol=1e-3)


def test_layers_beyond_the_last_one_wanted_are_not_computed(weights, photo):
    deep = dict(weights, conv2_1=(np.zeros((3, 3, 99, 4), np.float32), np.zeros(4, np.float32)))  # would not fit
    assert list(features(deep, tf.constant(photo), ["conv1_2", "conv1_1"])) == ["conv1_1", "conv1_2"]


def test_the_description_goes_with_the_network(weights):
    assert Network(weights, "made for a test").description == "made for a test"
