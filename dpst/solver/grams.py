"""Gram matrices of features, one for each region, and the style loss of them (Luan et al. 2017, eq. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vgg19.backend import added_rows, tf


class RegionGrams(NamedTuple):
    """Gram matrices of a layer's features, one for each region.

    Only the pixels inside a region enter its product, so that the cost hardly depends on the number of regions.
    `G_r = F' F / (size(F) * mean(m_r))`, F the features times the mask m_r, (h * w, channels), size(F) = h * w * channels.

    Attributes:
        counts: int32 (R,), how many pixels each region has.
        shares: float32 (R,), mean(m_r).
        inside: int32 (n,), the pixels of all regions, one region after the other, so that one gather serves them all; None if
            that is every pixel in its order.
        masks: float32 (n, 1), their masks; None if all are 1.
        first: int32 (h * w,), the inverse: for each pixel its first row there, n if it is in no region; None if `inside` is None.
        rest: int32 (m,), the rows left over; None if there are none.
        rest_inside: int32 (m,), their pixels; None if `rest` is None.
    """

    counts: np.ndarray
    shares: np.ndarray
    inside: np.ndarray | None
    masks: np.ndarray | None
    first: np.ndarray | None
    rest: np.ndarray | None
    rest_inside: np.ndarray | None

    @classmethod
    def of(cls, masks: np.ndarray) -> RegionGrams:
        """For masks (h, w, R) at the layer's size."""
        pixels, regions = masks.shape[0] * masks.shape[1], masks.shape[2]
        flat = masks.reshape(pixels, regions)
        region, inside = (found.astype(np.int32) for found in np.nonzero(flat.T))
        values = flat[inside, region][:, None].astype(np.float32)
        rows = np.arange(len(inside), dtype=np.int32)
        first = np.full(pixels, len(inside), np.int32)
        first[inside[::-1]] = rows[::-1]  # of several rows of a pixel, the last that is assigned stays
        rest = rows[first[inside] != rows]
        is_whole = np.array_equal(inside, np.arange(pixels))
        return cls(
            np.bincount(region, minlength=regions).astype(np.int32),
            flat.mean(axis=0).astype(np.float32),
            None if is_whole else inside,
            None if (values == 1).all() else values,
            None if is_whole else first,
            rest if rest.size else None,
            inside[rest] if rest.size else None,
        )

    def __call__(self, features: tf.Tensor) -> list[tf.Tensor]:
        """Gram matrices (channels, channels) of features (1, h, w, channels), a list of R."""
        rows, sizes = self._rows(features)
        return [tf.matmul(r, r, transpose_a=True) / size for r, size in zip(rows, sizes, strict=True)]

    def loss(self, features: tf.Tensor, targets: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Sum over regions of mean((G_r - target_r)^2) * mean(m_r) (Luan et al. 2017, eq. 6), and its derivative by them."""
        rows, sizes = self._rows(features)
        shares, channels = tf.unstack(self.shares), features.shape[-1]
        errors = [tf.matmul(r, r, transpose_a=True) / size - target for r, size, target in zip(rows, sizes, targets, strict=True)]
        loss = tf.add_n([tf.reduce_mean(e * e) * share for e, share in zip(errors, shares, strict=True)])
        # d mean(E^2) / dF = 4 F E / (channels^2 * size)
        parts = [
            tf.matmul(r, e * (4.0 * share / (channels**2 * n)))
            for r, e, n, share in zip(rows, errors, sizes, shares, strict=True)
        ]
        return loss, tf.reshape(self._scattered(self._masked(tf.concat(parts, 0))), tf.shape(features))

    def _rows(self, features: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Masked features (n_r, channels) of the pixels of each region, and what their products are divided by."""
        channels = features.shape[-1]
        flat = tf.reshape(features, (-1, channels))
        shares = tf.where(tf.equal(self.shares, 0), tf.ones_like(self.shares), self.shares)
        sizes = tf.cast(tf.shape(flat)[0] * channels, tf.float32) * shares
        rows = self._masked(flat if self.inside is None else tf.gather(flat, self.inside))
        return tf.split(rows, self.counts, num=self.counts.shape[0]), tf.unstack(sizes)

    def _masked(self, rows: tf.Tensor) -> tf.Tensor:
        return rows if self.masks is None else rows * self.masks

    def _scattered(self, rows: tf.Tensor) -> tf.Tensor:
        """The sum (pixels, channels) over regions of the rows of all of them."""
        if self.first is None:
            return rows
        flat = tf.gather(tf.pad(rows, ((0, 1), (0, 0))), self.first)
        return flat if self.rest is None else added_rows(flat, self.rest_inside, tf.gather(rows, self.rest))
