"""What makes a result a photograph, beyond the 3x3 windows of the matting Laplacian: nothing invented, and nothing lost.

Luan et al. 2017 ask that in every small window the result be an affine function of the content's colours. Over larger windows the
same condition keeps haloes and blotches out: what no affine function of the content explains is *invented*. The converse keeps
the photo's structure in: what of the content's light no affine function of the result explains is *lost*.
"""

from __future__ import annotations

import numpy as np

from photo_solver.palette import LUMA
from vgg19.backend import tf

# Side of the windows, as a share of the photo's longer side: 9 pixels of 512.
_WINDOW = 9 / 512
# Variances, 0..1: below the first the content counts as flat, below the second a contrast of the result is not seen.
_FLAT, _UNSEEN = 1e-5, 4e-4


class Photograph:
    """Measures results of one content photo at one size; differentiable, in TensorFlow."""

    def __init__(self, content: np.ndarray):
        """Takes the content (H, W, 3), 0..1; both sides at least 3."""
        height, width, _ = content.shape
        side = max(3, 2 * int(_WINDOW * max(height, width) / 2) + 1)
        self._side = min(side, (min(height, width) - 1) // 2 * 2 + 1)
        self._content = tf.constant(content, tf.float32)
        self._mean = self._average(self._content)
        covariance = self._covariance(self._content, self._mean).numpy()
        self._inverse = tf.constant(np.linalg.inv(covariance + _FLAT * np.eye(3)).astype(np.float32))
        self._light = tf.constant((content @ LUMA)[..., None], tf.float32)
        self._mean_light = self._average(self._light)
        self._contrast = tf.maximum(self._average(self._light**2) - self._mean_light**2, 0.0)[..., 0]
        weight = tf.sqrt(self._contrast)
        self._weight = weight / tf.maximum(tf.reduce_sum(weight), 1e-12)

    def _average(self, values: tf.Tensor) -> tf.Tensor:
        """Means over the windows: every second one, as neighbours overlap, unless they are small; (H, W, C) to (h, w, C)."""
        return tf.nn.avg_pool2d(values[tf.newaxis], self._side, 2 if self._side > 3 else 1, "VALID")[0]

    def _covariance(self, image: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """Covariance of the content's channels with an image's over each window, (h, w, 3, 3)."""
        height, width, _ = image.shape
        products = self._average(tf.reshape(self._content[..., :, None] * image[..., None, :], (height, width, 9)))
        return tf.reshape(products, (*products.shape[:2], 3, 3)) - self._mean[..., :, None] * mean[..., None, :]

    def __call__(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(invented, lost) of an image (H, W, 3), 0..1.

        Returns:
            Mean variance that is not explained by the content, summed over channels, 0..1 squared; and the share of the content's
            contrast, by its amplitude, that can no longer be seen in the result.
        """
        mean = self._average(image)
        covariance = self._covariance(image, mean)
        variance = tf.reduce_sum(self._average(image**2) - mean**2, -1)
        explained = tf.reduce_sum(tf.matmul(self._inverse, covariance) * covariance, (-1, -2))
        red, green, blue = (image[..., i : i + 1] for i in range(3))
        pairs = tf.concat([red * red, red * green, red * blue, green * green, green * blue, blue * blue], -1)
        means = tf.stack([mean[..., i] * mean[..., j] for i in range(3) for j in range(i, 3)], -1)
        ridge = tf.constant([_UNSEEN, 0, 0, _UNSEEN, 0, _UNSEEN], tf.float32)
        rr, rg, rb, gg, gb, bb = tf.unstack(self._average(pairs) - means + ridge, axis=-1)
        r, g, b = tf.unstack(self._average(image * self._light) - mean * self._mean_light, axis=-1)
        # v' M^-1 v by the cofactors of the symmetric M: for 3x3 matrices far faster than a solver.
        crr, crg, crb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
        cgg, cgb, cbb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
        found = crr * r * r + cgg * g * g + cbb * b * b + 2 * (crg * r * g + crb * r * b + cgb * g * b)
        found /= rr * crr + rg * crg + rb * crb
        lost = tf.reduce_sum(self._weight * (1 - found / (self._contrast + 1e-7)))
        return tf.reduce_mean(variance - explained), lost
