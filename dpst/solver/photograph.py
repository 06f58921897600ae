"""What makes a result a photograph, beyond the 3x3 windows of the matting Laplacian: nothing invented, and nothing lost.

Luan et al. 2017 ask that in every small window the result be an affine function of the content's colours. Over larger windows the
same condition keeps haloes and blotches out: what no affine function of the content explains is *invented*. Over windows of two
fifths of the photo it keeps one object in one hue; light may vary there. The converse keeps the photo's structure in: what of
the content's light no affine function of the result explains is *lost*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpst.imaging.colours import LUMA
from vgg19.backend import tf

# Side of the fine windows, as a share of the photo's longer side: 9 pixels of 512.
_WINDOW = 9 / 512
# Variances, 0..1: below the first the content counts as flat, below the second a contrast of the result is not seen.
_FLAT, _UNSEEN = 1e-5, 4e-4
# Long side in pixels to which a picture is averaged for its hues, the side of their windows there, and the variance that is flat.
_HUE_SIZE, _HUE_WINDOW, _HUE_FLAT = 64, 27, 4e-4
# How much light counts there, against hue: glows and shadows vary by place.
_LIGHT = 0.2
# Variance of hue, 0..1, that can hardly be seen, about 2 in CIELAB: less of it counts by its square, more by its excess.
_WANDERING = 5e-4
# The channels after each of three, and those before it.
_TURNS = (1, 2, 0), (2, 0, 1)
_UNIT = np.eye(3, dtype=np.float32)[:, :, None, None]


class _Windows(NamedTuple):
    """Square windows over one content photo, and what of an image no affine function of what is known of it explains in them.

    Images are planes, (C, H, W): side by side, as a product of matrices averages them.

    Attributes:
        content: (K, H, W), what is known: its colours, 0..1, and maybe masks of its regions.
        down: (h, H), from rows to those of windows.
        across: (w, W), the same of columns.
        mean: (K, 1, h, w), of the content.
        inverse: (K, K, 1, h, w), of the content's covariance and what counts as flat.
    """

    content: tf.Tensor
    down: tf.Tensor
    across: tf.Tensor
    mean: tf.Tensor
    inverse: tf.Tensor

    @classmethod
    def over(cls, content: tf.Tensor, down: np.ndarray, across: np.ndarray, flat: float) -> _Windows:
        """Takes the content, its averages, and the variance below which it counts as flat."""
        down, across = tf.constant(down), tf.constant(across)
        mean = _averaged(content, down, across).numpy()
        own = _averaged(content[:, None] * content, down, across).numpy() - mean[:, None] * mean  # (K, K, h, w)
        inverse = np.linalg.inv(np.moveaxis(own, (0, 1), (-2, -1)) + flat * np.eye(len(own)))
        inverse = np.moveaxis(inverse, (-2, -1), (0, 1)).astype(np.float32)[:, :, None]
        return cls(content, down, across, tf.constant(mean[:, None]), tf.constant(inverse))

    def moments(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Mean (C, h, w) of an image (C, H, W), its covariance (C, C, h, w), and that of the content with it (K, C, h, w)."""
        averages = _averaged(self._factors(image)[:, None] * image, self.down, self.across)  # (1 + C + K, C, h, w)
        mean, of_squares, of_products = tf.split(averages, (1, image.shape[0], self.content.shape[0]))
        return mean[0], of_squares - mean[0][:, None] * mean, of_products - self.mean * mean

    def derivative(self, image: tf.Tensor, mean: tf.Tensor, by_own: tf.Tensor, by_shared: tf.Tensor) -> tf.Tensor:
        """The derivative by an image (C, H, W), from those by its covariance, symmetric, and by the content's with it."""
        by_mean = -tf.reduce_sum(2 * by_own * mean, 1) - tf.reduce_sum(by_shared * self.mean, 0)
        by_averages = tf.concat([by_mean[None], 2 * by_own, by_shared], 0)
        return tf.reduce_sum(self._factors(image)[:, None] * _spread(by_averages, self.down, self.across), 0)

    def _factors(self, image: tf.Tensor) -> tf.Tensor:
        """What an image is multiplied by for its moments: 1, itself, and the content, (1 + C + K, H, W)."""
        return tf.concat([tf.ones_like(image[:1]), image, self.content], 0)

    def unexplained(self, own: tf.Tensor, shared: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Variance of an image that is not explained, summed over channels, (h, w), and its derivative by `shared`.

        By `own` the derivative is the unit matrix.
        """
        fit = tf.reduce_sum(self.inverse * shared[:, None], 0)  # (K, C, h, w): content by image
        return tf.reduce_sum(own * _UNIT, (0, 1)) - tf.reduce_sum(fit * shared, (0, 1)), -2 * fit


class Photograph(NamedTuple):
    """Measures results of one content photo at one size, in TensorFlow, with derivatives.

    Attributes:
        windows: small ones.
        contrast: (h, w), variance of the content's light in each of them.
        weight: (h, w), of their contrasts, sum 1.
        down: (rows, H), from rows of the photo to those of the small picture where hues are looked at.
        across: (columns, W), the same of columns.
        hue_windows: large ones over that picture.
    """

    windows: _Windows
    contrast: tf.Tensor
    weight: tf.Tensor
    down: tf.Tensor
    across: tf.Tensor
    hue_windows: _Windows

    @classmethod
    def of(cls, content: np.ndarray, masks: np.ndarray | None = None) -> Photograph:
        """Takes the content (H, W, 3), 0..1, both sides at least 3, and masks (H, W, R) at whose borders hue may change."""
        size = content.shape[:2]
        planes = _planes(tf.constant(content, tf.float32))
        side = _odd_side(_WINDOW * max(size), size)
        rows, columns = (_windows(length, side) for length in size)
        windows = _Windows.over(planes, rows, columns, _FLAT)
        light = tf.tensordot(LUMA, planes, 1)[tf.newaxis]
        contrast = _averaged(light**2, windows.down, windows.across) - _averaged(light, windows.down, windows.across) ** 2
        contrast = tf.maximum(contrast, 0.0)[0]
        weight = tf.sqrt(contrast)
        down, across = (_boxes(length, max(1, round(max(size) / _HUE_SIZE))) for length in size)
        side = _odd_side(_HUE_WINDOW, (len(down), len(across)))
        rows, columns = (_mirrored_windows(len(boxes), side) for boxes in (down, across))
        known = planes
        if masks is not None:  # the first one follows from the others
            known = tf.concat([planes, _planes(tf.constant(masks[..., 1:], tf.float32))], 0)
        hue_windows = _Windows.over(_averaged(known, down, across), rows, columns, _HUE_FLAT)
        weight /= tf.maximum(tf.reduce_sum(weight), 1e-12)
        return cls(windows, contrast, weight, tf.constant(down), tf.constant(across), hue_windows)

    def __call__(
        self, image: tf.Tensor, scales: Sequence[tf.Tensor | float]
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        """(invented, wandering, lost) of an image (H, W, 3), 0..1, each times its scale, and the derivative of their sum.

        Mean variance that is not explained by the content, summed over channels, 0..1 squared; the same of hue over large
        windows; and the share of the content's contrast, by its amplitude, that can no longer be seen in the result.
        """
        planes = _planes(image)
        mean, own, shared = self.windows.moments(planes)
        count = tf.cast(tf.size(self.contrast), tf.float32)
        unexplained, by_shared = self.windows.unexplained(own, shared)
        invented = scales[0] * tf.reduce_mean(unexplained)
        light = tf.tensordot(LUMA, shared, 1)  # the content's light with the image's channels, (3, h, w)
        fit = _solved(own + _UNSEEN * _UNIT, light)
        weight = scales[2] * self.weight
        kept = weight / (self.contrast + 1e-7)
        lost = tf.reduce_sum(weight - kept * tf.reduce_sum(fit * light, 0))
        by_own = scales[0] / count * _UNIT + kept * fit[:, None] * fit
        by_shared = scales[0] / count * by_shared - 2 * kept * fit * LUMA[:, None, None, None]
        by_image = self.windows.derivative(planes, mean, by_own, by_shared)
        wandering, by_hues = self._wandering(planes, scales[1])
        return (invented, wandering, lost), tf.transpose(by_image + by_hues, (1, 2, 0))

    def _wandering(self, planes: tf.Tensor, scale: tf.Tensor | float) -> tuple[tf.Tensor, tf.Tensor]:
        windows, small = self.hue_windows, _averaged(planes, self.down, self.across)
        light = np.float32(1 - _LIGHT) * LUMA[:, None, None]  # subtracted from each channel
        hue = small - tf.reduce_sum(light * small, 0)
        mean, own, shared = windows.moments(hue)
        unexplained, by_shared = windows.unexplained(own, shared)
        unexplained = tf.maximum(unexplained, 0.0)
        count = tf.cast(tf.size(unexplained), tf.float32)
        # d (x^2 / (x + c)) / dx = 1 - (c / (x + c))^2
        slope = scale / count * (1 - (_WANDERING / (unexplained + _WANDERING)) ** 2)
        by_hue = windows.derivative(hue, mean, slope * _UNIT, slope * by_shared)
        by_small = by_hue - light * tf.reduce_sum(by_hue, 0)
        loss = scale * tf.reduce_mean(unexplained**2 / (unexplained + _WANDERING))
        return loss, _spread(by_small, self.down, self.across)


def _solved(systems: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
    """Solutions (3, ...) of symmetric systems (3, 3, ...) for sides (3, ...), by cofactors: far faster than a solver."""
    next_row, last_row = (tf.gather(systems, order) for order in _TURNS)
    (a, b), (c, d) = ([tf.gather(rows, order, axis=1) for order in _TURNS] for rows in (next_row, last_row))
    cofactors = a * d - b * c
    return tf.reduce_sum(cofactors * sides, 1) / tf.reduce_sum(cofactors[0] * systems[0], 0)


def _planes(image: tf.Tensor) -> tf.Tensor:
    return tf.transpose(image, (2, 0, 1))


def _averaged(planes: tf.Tensor, down: tf.Tensor, across: tf.Tensor) -> tf.Tensor:
    """Planes (..., H, W) by averages of rows (h, H) and of columns (w, W): (..., h, w)."""
    return tf.matmul(tf.matmul(down, planes), across, transpose_b=True)


def _spread(planes: tf.Tensor, down: tf.Tensor, across: tf.Tensor) -> tf.Tensor:
    """The transpose of `_averaged`: (..., h, w) to (..., H, W)."""
    return tf.matmul(down, tf.matmul(planes, across), transpose_a=True)


def _windows(length: int, side: int) -> np.ndarray:
    """Means over windows along an axis: every second one, as neighbours overlap, unless they are small; (windows, length)."""
    first = np.arange(0, length - side + 1, 2 if side > 3 else 1)[:, None]
    place = np.arange(length)
    return ((first <= place) & (place < first + side)).astype(np.float32) / side


def _mirrored_windows(length: int, side: int) -> np.ndarray:
    """The same over an axis that is mirrored at its ends by half a window, so that what is at an edge counts like the rest."""
    half = side // 2
    place = np.pad(np.arange(length), half, "symmetric")
    return _windows(length + 2 * half, side) @ np.eye(length, dtype=np.float32)[place]


def _boxes(length: int, side: int) -> np.ndarray:
    """Means over boxes of a side, side by side, those at both ends cut if they reach beyond: (boxes, length)."""
    count = -(-length // side)
    first = np.arange(count)[:, None] * side - (count * side - length) // 2
    place = np.arange(length)
    boxes = ((first <= place) & (place < first + side)).astype(np.float32)
    return boxes / boxes.sum(1, keepdims=True)


def _odd_side(pixels: float, size: tuple[int, int]) -> int:
    """The odd side of a window of about so many pixels that fits into a picture (height, width)."""
    return min(max(3, 2 * int(pixels / 2) + 1), (min(size) - 1) // 2 * 2 + 1)
