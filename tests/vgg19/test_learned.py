"""Learned features: what makes them principal components shows in the features themselves, layer by layer."""

import numpy as np
import pytest
import tensorflow as tf

from vgg19 import learned
from vgg19.layers import LOSS_LAYERS
from vgg19.learned import learn_weights
from vgg19.network import Network

WIDTHS = (8, 12, 16, 20, 24)


@pytest.fixture(scope="module", autouse=True)
def thin():
    """Fewer channels, for time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "WIDTHS", WIDTHS)
        yield


@pytest.fixture(scope="module")
def photos():
    """Two photos of different sizes, smooth enough to have structure, small enough that every patch is taken."""
    random = np.random.default_rng(0)
    coarse = random.random((12, 9, 3), np.float32), random.random((8, 14, 3), np.float32)
    return [np.clip(c.repeat(5, 0).repeat(6, 1) + random.normal(0, 0.05, (1, 1, 3)), 0, 1).astype(np.float32) for c in coarse]


@pytest.fixture(scope="module")
def weights(photos):
    return learn_weights(photos, seed=3)


def components(weights, photos, layer):
    """A layer's components at every position of both photos, (n, channels / 2): each has a channel for either sign."""
    features = [Network(weights).features(tf.constant(photo), [layer])[layer].numpy() for photo in photos]
    rows = np.concatenate([f.reshape(-1, f.shape[-1]) for f in features]).astype(np.float64)
    half = rows.shape[1] // 2
    return rows[:, :half] - rows[:, half:]


def test_shapes_chain_as_vgg19s_do(weights):
    assert tuple(weights) == LOSS_LAYERS
    channels = 3
    for layer, (filters, biases) in weights.items():
        width = WIDTHS[int(layer[4]) - 1]
        assert filters.shape == (3, 3, channels, width) and biases.shape == (width,), layer
        assert filters.dtype == biases.dtype == np.float32
        channels = width


@pytest.mark.parametrize("layer", ["conv1_1", "conv2_1", "conv3_1", "conv4_2"])
def test_the_mean_patch_maps_to_zero(weights, photos, layer):
    values = components(weights, photos, layer)
    assert np.abs(values.mean(axis=0)).max() < 1e-3 * values.std(axis=0).max()


@pytest.mark.parametrize("layer", ["conv1_1", "conv2_1", "conv3_1", "conv4_2"])
def test_components_are_uncorrelated_and_the_first_have_most_variance(weights, photos, layer):
    covariance = np.cov(components(weights, photos, layer), rowvar=False)
    variances = np.diag(covariance)
    assert np.abs(covariance - np.diag(variances)).max() < 1e-3 * variances.max()
    assert np.all(np.diff(variances) < 1e-3 * variances.max())
    # Whitened: all but faint components, which are mostly noise, come out about as strong.
    assert variances[2] > 0.3 * variances[0]


def test_each_component_has_both_signs(weights):
    for layer, (filters, biases) in weights.items():
        half = filters.shape[-1] // 2
        np.testing.assert_array_equal(filters[..., :half], -filters[..., half:], err_msg=layer)
        np.testing.assert_allclose(biases[:half], -biases[half:], rtol=1e-4, atol=1e-4 * np.abs(biases).max(), err_msg=layer)


def same(weights, others):
    return all(np.array_equal(a, b) for layer in LOSS_LAYERS for a, b in zip(weights[layer], others[layer], strict=True))


def test_the_same_seed_gives_the_same_weights(photos, monkeypatch):
    monkeypatch.setattr(learned, "_PATCHES", 200)
    first = learn_weights(photos, seed=1)
    assert same(first, learn_weights(photos, seed=1))
    assert not same(first, learn_weights(photos, seed=2))


def test_photos_without_any_structure_do_no_harm():
    flat = [np.full((16, 21, 3), 0.25, np.float32), np.full((19, 16, 3), 0.25, np.float32)]
    weights = learn_weights(flat)
    assert all(np.isfinite(part).all() for pair in weights.values() for part in pair)
    features = Network(weights).features(tf.constant(flat[0]), ["conv5_1"])["conv5_1"]
    assert np.isfinite(features).all()
