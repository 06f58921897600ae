"""Where people are in a photo, by the network of MediaPipe's Selfie Segmentation, in NumPy.

The network is a MobileNetV3 (Howard et al. 2019) that halves the photo four times and comes back up in three steps, each of which
looks again at what was seen at its size on the way down. It has 106 thousand weights and takes a tenth of a second, far less
than it takes to import TensorFlow. `people.npz` holds the weights in the order of their use; `people.txt` says where they come
from, and their licence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy

from dpst.imaging.resizing import resize

# The side of the square that photos are brought to, as in training.
_SIDE = 256
_WEIGHTS = Path(__file__).with_suffix(".npz")

_Layers = Iterator[tuple[np.ndarray, np.ndarray]]


def find_people(photo: np.ndarray) -> np.ndarray:
    """How likely each place of a photo shows a person, float32 (256, 256), 0..1, the photo being stretched to a square.

    People who fill a good part of the photo are found; small ones are not.

    Args:
        photo: float32 (H, W, 3), 0..1.
    """
    layers = iter(_weights())
    image = resize(photo, _SIDE, _SIDE).clip(0, 1).astype(np.float32)
    whole = _hard_swish(_convolved(image, *next(layers), 2))
    half = _residual(whole, layers, _relu, 2, is_gated=True)
    quarter = _residual(half, layers, _relu, 2)
    quarter = quarter + _residual(quarter, layers, _relu)
    found = _residual(quarter, layers, _hard_swish, 2, is_gated=True)
    for _ in range(4):
        found = found + _residual(found, layers, _hard_swish, is_gated=True)
    wide = _relu(_mixed(found, *next(layers)))
    found = wide * _sigmoid(_mixed(found.mean((0, 1)), *next(layers)))
    for seen in (quarter, half, whole):
        found = _up(found, seen, layers)
    filters, bias = next(layers)  # (2, 2, C): each place becomes four
    found = np.einsum("hwc,ijc->hiwj", found, filters).reshape(_SIDE, _SIDE)
    return _sigmoid(found + bias)


@functools.cache
def _weights() -> list[tuple[np.ndarray, np.ndarray]]:
    """Filters and biases of each layer, float32, the filters as `_mixed` or `_convolved` takes them."""
    with np.load(_WEIGHTS) as arrays:
        filters, biases = (
            [arrays[name].astype(np.float32) for name in sorted(arrays) if kind in name] for kind in ("filter", "bias")
        )
    return list(zip(filters, biases, strict=True))


def _residual(
    image: np.ndarray, layers: _Layers, activation: Callable[[np.ndarray], np.ndarray], stride: int = 1, is_gated: bool = False
) -> np.ndarray:
    """What an inverted residual block makes of an image (H, W, C): more channels, each filtered alone, then fewer again."""
    image = activation(_mixed(image, *next(layers)))
    image = activation(_convolved(image, *next(layers), stride))
    if is_gated:
        image = image * _gate(image, layers)
    return _mixed(image, *next(layers))


def _up(image: np.ndarray, seen: np.ndarray, layers: _Layers) -> np.ndarray:
    """An image (h, w, C) at twice its size, with what was seen there, (H, W, K): (H, W, K)."""
    image = _mixed(_doubled(image), *next(layers))
    image = image + seen * _gate(image + seen, layers)
    image = _relu(_mixed(image, *next(layers)))
    return image + _relu(_convolved(image, *next(layers)))


def _gate(image: np.ndarray, layers: _Layers) -> np.ndarray:
    """A factor for each channel of an image (H, W, C), from their means: squeeze and excitation (Hu et al. 2018)."""
    means = _relu(_mixed(image.mean((0, 1)), *next(layers)))
    return _sigmoid(_mixed(means, *next(layers)))


def _mixed(image: np.ndarray, filters: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution of each pixel alone, (..., C) to (..., K)."""
    return image @ filters + bias


def _convolved(image: np.ndarray, filters: np.ndarray, bias: np.ndarray, stride: int = 1) -> np.ndarray:
    """A convolution of an image (H, W, C), with 0 beyond it, by filters (rows, columns, C), or with (..., K) of all channels."""
    side = len(filters)
    around = side - stride  # as TensorFlow's "SAME" has it, where the stride divides the size
    padded = np.pad(image, ((around // 2, around - around // 2),) * 2 + ((0, 0),))
    result = np.zeros(1, np.float32)
    for row, column in np.ndindex(side, side):
        part = padded[row : row + image.shape[0] : stride, column : column + image.shape[1] : stride]
        result = result + (part * filters[row, column] if filters.ndim == 3 else part @ filters[row, column])
    return result + bias


def _doubled(image: np.ndarray) -> np.ndarray:
    """An image (h, w, C) at twice its size, bilinear; the corners of pixels lie on one another."""
    return scipy.ndimage.zoom(image, (2, 2, 1), order=1, mode="nearest", grid_mode=True)


def _relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def _hard_swish(values: np.ndarray) -> np.ndarray:
    return values * np.clip(values / 6 + 0.5, 0, 1)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return scipy.special.expit(values)
