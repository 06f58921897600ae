"""What makes a result a photograph, beyond the 3x3 windows of the matting Laplacian: nothing invented, and nothing lost.

Luan et al. 2017 ask that in every small window the result be an affine function of the content's colours. Over larger windows the
same condition keeps haloes and blotches out: what no affine function of the content explains is *invented*. Over windows of a
sixth of the photo it keeps one object in one hue; light may vary there. The converse keeps the photo's structure in: what of
the content's light no affine function of the result explains is *lost*.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dpst.imaging.colours import LUMA
from vgg19.backend import tf

# Side of the fine windows, as a share of the photo's longer side: 9 pixels of 512.
_WINDOW = 9 / 512
# Variances, 0..1: below the first the content counts as flat, below the second a contrast of the result is not seen.
_FLAT, _UNSEEN = 1e-5, 4e-4
# Long side in pixels to which a picture is averaged for its hues, the side of their windows there, and the variance that is flat.
_HUE_SIZE, _HUE_WINDOW, _HUE_FLAT = 64, 11, 4e-4
# How much light counts there, against hue: glows and shadows vary by place.
_LIGHT = 0.2
# Variance of hue, 0..1, that can hardly be seen, about 2 in CIELAB: less of it counts by its square, more by its excess.
_WANDERING = 5e-4


class _Windows(NamedTuple):
    """Square windows over one content photo, and what of an image no affine function of what is known of it explains in them.

    Images are planes, (channels, H, W): side by side, as a product of matrices averages them.

    Attributes:
        content: (K, H, W), what is known: its colours, 0..1, and maybe masks of its regions.
        down: (h, H), from rows to those of windows.
        across: (w, W), the same of columns.
        mean: (K, h, w), of the content.
        inverse: (K, K, h, w), of the content's covariance and what counts as flat.
    """

    content: tf.Tensor
    down: tf.Tensor
    across: tf.Tensor
    mean: tf.Tensor
    inverse: tf.Tensor

    @classmethod
    def over(cls, content: tf.Tensor, down: np.ndarray, across: np.ndarray, flat: float) -> _Windows:
        """Takes the content, its averages, and the variance below which it counts as flat."""
        nothing = tf.zeros(())
        windows = cls(content, tf.constant(down), tf.constant(across), nothing, nothing)
        windows = windows._replace(mean=windows.average(content))
        own = windows.covariance(windows.average(windows.products(content)), windows.mean).numpy()  # (K, K, h, w)
        inverse = np.linalg.inv(np.moveaxis(own, (0, 1), (-2, -1)) + flat * np.eye(len(own)))
        return windows._replace(inverse=tf.constant(np.moveaxis(inverse, (-2, -1), (0, 1)).astype(np.float32)))

    def average(self, planes: tf.Tensor) -> tf.Tensor:
        """Means over the windows, (C, H, W) to (C, h, w)."""
        return _averaged(planes, self.down, self.across)

    def products(self, image: tf.Tensor) -> tf.Tensor:
        """Each channel of the content times each of an image (C, H, W): (K * C, H, W)."""
        return tf.concat([channel * image for channel in tf.unstack(self.content)], 0)

    def covariance(self, products: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """Covariance of the content's channels with an image's, (K, C, h, w), from averages: of `products` and of the image."""
        return tf.stack(tf.split(products, self.content.shape[0])) - self.mean[:, None] * mean

    def unexplained(self, mean: tf.Tensor, squares: tf.Tensor, covariance: tf.Tensor) -> tf.Tensor:
        """Variance of an image that is not explained, summed over channels, (h, w).

        Takes averages of the image and of its square, (3, h, w), and its `covariance`.
        """
        fit = tf.reduce_sum(self.inverse[:, :, None] * covariance, 1)  # (K, C, h, w): content by image
        return tf.reduce_sum(squares - mean**2, 0) - tf.reduce_sum(fit * covariance, (0, 1))


class Photograph(NamedTuple):
    """Measures results of one content photo at one size; differentiable, in TensorFlow.

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
        contrast = tf.maximum(windows.average(light**2) - windows.average(light) ** 2, 0.0)[0]
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

    def __call__(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(invented, wandering, lost) of an image (H, W, 3), 0..1.

        Returns:
            Mean variance that is not explained by the content, summed over channels, 0..1 squared; the same of hue over large
            windows; and the share of the content's contrast, by its amplitude, that can no longer be seen in the result.
        """
        planes = _planes(image)
        red, green, blue = tf.unstack(planes)
        pairs = tf.stack([red * red, red * green, red * blue, green * green, green * blue, blue * blue])
        averages = self.windows.average(tf.concat([planes, pairs, self.windows.products(planes)], 0))
        mean, second, products = tf.split(averages, (3, 6, 9))
        covariance = self.windows.covariance(products, mean)
        invented = tf.reduce_mean(self.windows.unexplained(mean, tf.gather(second, (0, 3, 5)), covariance))
        means = tf.stack([mean[i] * mean[j] for i in range(3) for j in range(i, 3)])
        ridge = tf.constant([_UNSEEN, 0, 0, _UNSEEN, 0, _UNSEEN], tf.float32)[:, None, None]
        rr, rg, rb, gg, gb, bb = tf.unstack(second - means + ridge)
        r, g, b = tf.unstack(tf.tensordot(LUMA, covariance, 1))  # with the content's light
        # v' M^-1 v by the cofactors of the symmetric M: for 3x3 matrices far faster than a solver.
        crr, crg, crb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
        cgg, cgb, cbb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
        found = crr * r * r + cgg * g * g + cbb * b * b + 2 * (crg * r * g + crb * r * b + cgb * g * b)
        found /= rr * crr + rg * crg + rb * crb
        lost = tf.reduce_sum(self.weight * (1 - found / (self.contrast + 1e-7)))
        return invented, self._wandering(planes), lost

    def _wandering(self, planes: tf.Tensor) -> tf.Tensor:
        windows, small = self.hue_windows, _averaged(planes, self.down, self.across)
        hue = small - (1 - _LIGHT) * tf.tensordot(LUMA, small, 1)
        averages = windows.average(tf.concat([hue, hue**2, windows.products(hue)], 0))
        mean, squares, products = tf.split(averages, (3, 3, 3 * windows.content.shape[0]))
        wandering = tf.maximum(windows.unexplained(mean, squares, windows.covariance(products, mean)), 0.0)
        return tf.reduce_mean(wandering**2 / (wandering + _WANDERING))


def _planes(image: tf.Tensor) -> tf.Tensor:
    return tf.transpose(image, (2, 0, 1))


def _averaged(planes: tf.Tensor, down: tf.Tensor, across: tf.Tensor) -> tf.Tensor:
    """Planes (C, H, W) by averages of rows (h, H) and of columns (w, W): (C, h, w)."""
    return tf.matmul(tf.matmul(down, planes), across, transpose_b=True)


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
