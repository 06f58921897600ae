"""Masks that follow a photo's edges at any size."""

from __future__ import annotations

import dataclasses

import numpy as np

from dpst.imaging.local_affine import moments, products, ridge_regression, window_sum
from dpst.imaging.resizing import between

# Radius in pixels of the windows of the fit, and its ridge, above the noise of a photo: the variance of 2.5 levels of 255.
_RADIUS, _RIDGE = 2, 1e-4


@dataclasses.dataclass(frozen=True)
class FittedMasks:
    """Masks as local affine functions of the photo's colours, so that at any size their edges are the photo's own.

    Attributes:
        maps: float32 (h, w, R, 4): of colour and 1.
        covered: float32 (h, w, 1): the sum of the masks.
    """

    maps: np.ndarray
    covered: np.ndarray

    @classmethod
    def fitted(cls, masks: np.ndarray, content: np.ndarray) -> FittedMasks:
        """To masks (h, w, R) of a content photo (h, w, 3): a guided filter whose coefficients are kept (He and Sun 2015)."""
        count, *found = moments(products(content.astype(np.float64), masks), np.ones((*content.shape[:2], 1)), _RADIUS)
        maps = window_sum(ridge_regression(_RIDGE, *found), _RADIUS) / count[..., None]
        return cls(maps.astype(np.float32), masks.sum(-1, keepdims=True, dtype=np.float32))

    def rows(self, content: np.ndarray, first_row: int, height: int) -> np.ndarray:
        """Masks (n, W, R), 0..1, of rows (n, W, 3) of the photo at another size, `height` rows high."""
        regions = self.maps.shape[2]
        values = np.concatenate([self.maps.reshape(*self.maps.shape[:2], -1), self.covered], -1)
        above, below, down = between(len(values), (first_row + np.arange(len(content)) + 0.5) / height)
        left, right, across = between(values.shape[1], (np.arange(content.shape[1]) + 0.5) / content.shape[1])
        values = values[above] * (1 - down)[:, None, None] + values[below] * down[:, None, None]
        values = values[:, left] * (1 - across)[:, None] + values[:, right] * across[:, None]
        maps, covered = values[..., :-1].reshape(*content.shape[:2], regions, 4), values[..., -1:]
        masks = np.clip(np.einsum("hwrc,hwc->hwr", maps[..., :3], content) + maps[..., 3], 0, 1)
        return masks / np.maximum(masks.sum(-1, keepdims=True), 1e-6) * np.clip(covered, 0, 1)
