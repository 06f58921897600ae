"""What makes a result a photograph, beyond the 3x3 windows of the matting Laplacian: nothing invented, and nothing lost.

Luan et al. 2017 ask that in every small window the result be an affine function of the content's colours. Over larger windows the
same condition keeps haloes and blotches out: what no affine function of the content explains is *invented*. Over windows of a
sixth of the photo it keeps one object in one hue; light may vary there. The converse keeps the photo's structure in: what of
the content's light no affine function of the result explains is *lost*.
"""

from __future__ import annotations

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


class _Windows:
    """Square windows over one content photo, and what of an image no affine function of its colours explains in them."""

    def __init__(self, content: tf.Tensor, side: int, flat: float):
        """Takes the content (H, W, 3), 0..1, an odd `side` in pixels, and the variance below which it counts as flat."""
        self._side, self._content = side, content
        self._mean = self.average(content)
        covariance = self._covariance(content, self._mean).numpy()
        self._inverse = tf.constant(np.linalg.inv(covariance + flat * np.eye(3)).astype(np.float32))

    def average(self, values: tf.Tensor) -> tf.Tensor:
        """Means over the windows: every second one, as neighbours overlap, unless they are small; (H, W, C) to (h, w, C)."""
        return tf.nn.avg_pool2d(values[tf.newaxis], self._side, 2 if self._side > 3 else 1, "VALID")[0]

    def _covariance(self, image: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """Covariance of the content's channels with an image's over each window, (h, w, 3, 3)."""
        height, width, _ = image.shape
        products = self.average(tf.reshape(self._content[..., :, None] * image[..., None, :], (height, width, 9)))
        return tf.reshape(products, (*products.shape[:2], 3, 3)) - self._mean[..., :, None] * mean[..., None, :]

    def unexplained(self, image: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """Variance of an image (H, W, 3) that is not explained, summed over channels, (h, w); `mean` is its `average`."""
        covariance = self._covariance(image, mean)
        variance = tf.reduce_sum(self.average(image**2) - mean**2, -1)
        explained = tf.reduce_sum(tf.matmul(self._inverse, covariance) * covariance, (-1, -2))
        return variance - explained


class Photograph:
    """Measures results of one content photo at one size; differentiable, in TensorFlow."""

    def __init__(self, content: np.ndarray):
        """Takes the content (H, W, 3), 0..1; both sides at least 3."""
        height, width, _ = content.shape
        self._windows = _Windows(
            tf.constant(content, tf.float32), _odd_side(_WINDOW * max(height, width), (height, width)), _FLAT
        )
        self._light = tf.constant((content @ LUMA)[..., None], tf.float32)
        self._mean_light = self._windows.average(self._light)
        self._contrast = tf.maximum(self._windows.average(self._light**2) - self._mean_light**2, 0.0)[..., 0]
        weight = tf.sqrt(self._contrast)
        self._weight = weight / tf.maximum(tf.reduce_sum(weight), 1e-12)
        self._coarser = max(1, round(max(height, width) / _HUE_SIZE))
        small = self._averaged(tf.constant(content, tf.float32))
        self._hue_side = _odd_side(_HUE_WINDOW, small.shape[:2])
        self._hue_windows = _Windows(self._padded(small), self._hue_side, _HUE_FLAT)

    def _averaged(self, image: tf.Tensor) -> tf.Tensor:
        """An image (H, W, 3) with about `_HUE_SIZE` pixels on its longer side."""
        return tf.nn.avg_pool2d(image[tf.newaxis], self._coarser, self._coarser, "SAME")[0]

    def _padded(self, image: tf.Tensor) -> tf.Tensor:
        """Mirrored at its edges by half a window, so that what is at an edge counts like the rest."""
        half = self._hue_side // 2
        return tf.pad(image, ((half, half), (half, half), (0, 0)), "SYMMETRIC")

    def __call__(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(invented, wandering, lost) of an image (H, W, 3), 0..1.

        Returns:
            Mean variance that is not explained by the content, summed over channels, 0..1 squared; the same of hue over large
            windows; and the share of the content's contrast, by its amplitude, that can no longer be seen in the result.
        """
        average = self._windows.average
        mean = average(image)
        invented = tf.reduce_mean(self._windows.unexplained(image, mean))
        red, green, blue = (image[..., i : i + 1] for i in range(3))
        pairs = tf.concat([red * red, red * green, red * blue, green * green, green * blue, blue * blue], -1)
        means = tf.stack([mean[..., i] * mean[..., j] for i in range(3) for j in range(i, 3)], -1)
        ridge = tf.constant([_UNSEEN, 0, 0, _UNSEEN, 0, _UNSEEN], tf.float32)
        rr, rg, rb, gg, gb, bb = tf.unstack(average(pairs) - means + ridge, axis=-1)
        r, g, b = tf.unstack(average(image * self._light) - mean * self._mean_light, axis=-1)
        # v' M^-1 v by the cofactors of the symmetric M: for 3x3 matrices far faster than a solver.
        crr, crg, crb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
        cgg, cgb, cbb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
        found = crr * r * r + cgg * g * g + cbb * b * b + 2 * (crg * r * g + crb * r * b + cgb * g * b)
        found /= rr * crr + rg * crg + rb * crb
        lost = tf.reduce_sum(self._weight * (1 - found / (self._contrast + 1e-7)))
        return invented, self._wandering(image), lost

    def _wandering(self, image: tf.Tensor) -> tf.Tensor:
        small = self._averaged(image)
        hue = self._padded(small - (1 - _LIGHT) * tf.tensordot(small, LUMA, 1)[..., None])
        wandering = tf.maximum(self._hue_windows.unexplained(hue, self._hue_windows.average(hue)), 0.0)
        return tf.reduce_mean(wandering**2 / (wandering + _WANDERING))


def _odd_side(pixels: float, size: tuple[int, int]) -> int:
    """The odd side of a window of about so many pixels that fits into a picture (height, width)."""
    return min(max(3, 2 * int(pixels / 2) + 1), (min(size) - 1) // 2 * 2 + 1)
