"""Features of VGG19's shape whose filters are learned from the two photos themselves; no pretrained weights are needed.

Layer by layer the principal components of the running features' 3x3 patches become the filters (as in PCANet, Chan et al. 2015),
whitened, each with both signs so that the ReLU loses nothing, and centred so that the mean patch maps to 0.

They have the layers that the losses look at and none between: with all thirteen of VGG19's a pass takes four times as long, and
the results of twelve photo pairs kept less of the photo and took less of the style.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from vgg19.backend import tf
from vgg19.layers import LOSS_LAYERS, block_of, is_first
from vgg19.network import MEAN_BGR
from vgg19.weights import Weights

# Channels of blocks 1 to 5. Half of them are components; twice as many cost four times the time and gained little.
WIDTHS = (32, 64, 96, 128, 128)
_PATCHES = 10_000
# Factors of the layers that the losses use, by which the losses of photo pairs come to the size that VGG19's have, so that the
# default loss weights fit.
SCALES = {"conv1_1": 110.0, "conv2_1": 280.0, "conv3_1": 320.0, "conv4_1": 470.0, "conv4_2": 280.0, "conv5_1": 210.0}
# Added to each component's variance, as a share of the largest, before whitening: faint components are mostly noise and hue, and
# a Gram matrix does not know the sign of a hue.
FLOOR = 0.2


def learn_weights(images: list[np.ndarray], seed: int = 0) -> Weights:
    """Filters from the statistics of some photos.

    Args:
        images: photos (H, W, 3), 0..1, RGB.
        seed: of the choice of patches.

    Returns:
        Layer name to (filters (3, 3, in, out), biases (out,)), in the network's pixel convention (BGR, mean subtracted).
    """
    random = np.random.default_rng(seed)
    running = [image[None, :, :, ::-1] * np.float32(255) - np.array(MEAN_BGR, np.float32) for image in images]
    weights: Weights = {}
    scale_below = 1.0
    for name in LOSS_LAYERS:
        if is_first(name) and block_of(name) > 1:
            running = [tf.nn.max_pool2d(x, 2, 2, "SAME").numpy() for x in running]
        patches = np.concatenate([_patches(x[0], _PATCHES // len(images), random) for x in running])
        filters, biases = _components(patches, WIDTHS[block_of(name) - 1] // 2)
        filters = filters.reshape(3, 3, running[0].shape[-1], -1)
        running = [tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, filters, 1, "SAME"), biases)).numpy() for x in running]
        # The ReLU is positively homogeneous: scales change no layer's features but by that factor.
        scale = SCALES[name]
        weights[name] = (filters * np.float32(scale / scale_below), biases * np.float32(scale))
        scale_below = scale
    return weights


def _patches(features: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Up to `count` 3x3 patches of features (h, w, channels), flattened to (n, 9 * channels), zeros beyond the border."""
    height, width, _ = features.shape
    padded = np.pad(features, ((1, 1), (1, 1), (0, 0)))
    chosen = random.permutation(height * width)[:count]
    y, x = np.divmod(chosen, width)
    rows = [padded[y + dy, x + dx] for dy in range(3) for dx in range(3)]
    return np.concatenate(rows, axis=1)


def _components(patches: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Whitened principal components with both signs: filters (dimensions, 2 * count) and biases (2 * count,)."""
    mean, size = patches.mean(axis=0), patches.shape[1]
    centred = patches - mean
    covariance = centred.T @ centred / len(patches)
    variances, vectors = scipy.linalg.eigh(covariance, subset_by_index=(size - min(count, size), size - 1))  # ascending
    variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
    vectors *= np.where(np.abs(vectors).max(axis=0) == vectors.max(axis=0), 1, -1)  # the largest entry of each is positive
    filters = vectors / np.sqrt(variances + FLOOR * max(variances[0], 1e-12))
    filters = np.concatenate([filters, -filters], axis=1)
    return filters.astype(np.float32), (-mean @ filters).astype(np.float32)
