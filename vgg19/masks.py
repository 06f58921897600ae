"""Masks carried down the network, so that each layer's features have masks of their own size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vgg19.layers import BLOCKS


def propagate(masks: np.ndarray, layers: Iterable[str]) -> dict[str, np.ndarray]:
    """Carries masks down VGG19, doing to them what each of its layers does to the reach of a pixel.

    At each convolution a 3x3 mean with zeros around, always divided by 9; at each pooling a bilinear resize to ceil(size / 2)
    with the sampling of TensorFlow 1 (corners not aligned, no half-pixel centres). A layer's masks are those after its own
    convolution.

    Args:
        masks: float32 (H, W, R), 0..1.
        layers: names of layers, from conv1_1 to conv5_1.

    Returns:
        For each layer float32 (h, w, R), 0..1.
    """
    wanted, carried = set(layers), {}
    for block, convolutions in enumerate(BLOCKS, start=1):
        if block > 1:
            masks = _halved(_halved(masks, axis=0), axis=1)
        for convolution in range(1, convolutions + 1):
            masks = _mean_3x3(masks)
            if (layer := f"conv{block}_{convolution}") in wanted:
                carried[layer] = masks
            if wanted <= carried.keys():
                return carried
    raise ValueError(f"layers {', '.join(sorted(wanted - carried.keys()))} are unknown; masks reach from conv1_1 to conv5_1")


def _halved(masks: np.ndarray, axis: int) -> np.ndarray:
    """One axis resized to ceil(size / 2): output i samples at i * size / ceil(size / 2), between the two nearest inputs."""
    size = masks.shape[axis]
    out = -(-size // 2)
    position = np.arange(out, dtype=np.float32) * np.float32(size / out)
    lower = position.astype(np.intp)
    upper = np.minimum(lower + 1, size - 1)
    blend = (position - lower).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(masks.ndim)])
    first = masks.take(lower, axis)
    return first + (masks.take(upper, axis) - first) * blend


def _mean_3x3(masks: np.ndarray) -> np.ndarray:
    """Mean of the 3x3 neighbourhood, zeros outside, divided by 9 everywhere."""
    rows = masks.copy()
    rows[1:] += masks[:-1]
    rows[:-1] += masks[1:]
    total = rows.copy()
    total[:, 1:] += rows[:, :-1]
    total[:, :-1] += rows[:, 1:]
    return total / np.float32(9)
