"""A field of affine maps over one photo in TensorFlow: from its coefficients to the change of the picture, and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse

from dpst.imaging.colours import LUMA
from dpst.solver.affine_field import Grid, slicing
from vgg19.backend import sparse_product, sparse_tensor, tf

# Colours are taken relative to the region's mean luma, in units of this: constants and slopes are then of one size.
_SPREAD = 0.3
# (4, 4): from (red, green, blue, 1) to luma, red minus luma, blue minus luma, in that unit, and 1.
BASIS = np.vstack([np.pad(np.array([LUMA, [1, 0, 0] - LUMA, [0, 0, 1] - LUMA]) / _SPREAD, ((0, 0), (0, 1))), [0, 0, 0, 1]])


class Field(NamedTuple):
    """What the coefficients (R, nodes, 4, k) of a field are multiplied by.

    Their third axis is luma relative to the region's mean, red minus luma, blue minus luma, and the constant.

    Attributes:
        colours: (pixels, 4), of the photo, in `BASIS`.
        centres: (R, 1, 1, 1), the regions' mean luma, in the unit of `BASIS`.
        slices: sparse (pixels, R * nodes), the trilinear weights of the nodes times the regions' masks.
        roughness: sparse (R * nodes, R * nodes), see `Grid.roughness`.
        mass: (R, nodes, 1, 1), the share of the photo that each node stands for.
    """

    colours: tf.Tensor
    centres: tf.Tensor
    slices: tf.SparseTensor
    roughness: tf.SparseTensor
    mass: tf.Tensor

    @classmethod
    def over(cls, content: np.ndarray, masks: np.ndarray, grid: Grid) -> Field:
        """Takes the photo (H, W, 3), 0..1, and the masks of its regions (H, W, R)."""
        height, width, regions = masks.shape
        flat, masks = content.reshape(-1, 3), masks.reshape(-1, regions)
        colours = np.concatenate([flat, np.ones((len(flat), 1))], 1) @ BASIS.T
        centres = [np.average(flat @ LUMA, weights=mask + 1e-9) / _SPREAD for mask in masks.T]
        nodes, shares = grid.weights(content, 0, height)
        slices = scipy.sparse.hstack([slicing(nodes, shares, mask, grid) for mask in masks.T], format="csr")
        mass = (np.asarray(slices.sum(0)) / (height * width)).reshape(regions, -1, 1, 1)
        return cls(
            tf.constant(colours, tf.float32),
            tf.constant(np.reshape(centres, (-1, 1, 1, 1)), tf.float32),
            sparse_tensor(slices),
            sparse_tensor(scipy.sparse.kron(scipy.sparse.identity(regions), grid.roughness(), format="csr")),
            tf.constant(mass, tf.float32),
        )

    def change(self, coefficients: tf.Tensor) -> tf.Tensor:
        """The change of the picture (pixels, k)."""
        channels = coefficients.shape[-1]
        maps = sparse_product(self.slices, tf.reshape(self.uncentred(coefficients), (-1, 4 * channels)))
        return tf.reduce_sum(self.colours[:, :, None] * tf.reshape(maps, (-1, 4, channels)), 1)

    def by_coefficients(self, by_change: tf.Tensor) -> tf.Tensor:
        """The transpose of `change`: from a derivative by the picture (pixels, k) to one by the coefficients."""
        products = tf.reshape(self.colours[:, :, None] * by_change[:, None], (-1, 4 * by_change.shape[-1]))
        by_maps = sparse_product(self.slices, products, transpose=True)
        by_maps = tf.reshape(by_maps, (self.centres.shape[0], -1, 4, by_change.shape[-1]))
        return tf.concat([by_maps[:, :, :1] - self.centres * by_maps[:, :, 3:], by_maps[:, :, 1:]], 2)

    def uncentred(self, coefficients: tf.Tensor) -> tf.Tensor:
        """The same maps by coefficients of which luma counts from 0, and no longer from the region's mean."""
        return tf.concat([coefficients[:, :, :3], coefficients[:, :, 3:] - self.centres * coefficients[:, :, :1]], 2)

    def rough(self, coefficients: tf.Tensor) -> tf.Tensor:
        """The roughness times the coefficients."""
        rows = tf.reshape(coefficients, (-1, 4 * coefficients.shape[-1]))
        return tf.reshape(sparse_product(self.roughness, rows), tf.shape(coefficients))
