"""Moving the edges of masks to the edges in the photos."""

from __future__ import annotations

import numpy as np
import scipy

from closed_form_matting import matte, matting_laplacian

# Refinement: how far a drawn edge may be from the photo's, as a share of the longer side; how much the drawing counts against the
# photo, where a photo without edges is 0.
_REFINED, _TRUST = 0.01, 1e-2
# A smaller share of a pixel is none: it could hardly be seen, and costs as much as the pixel.
_FAINT = 0.01


def refined(masks: np.ndarray, image: np.ndarray, reach: float = _REFINED, trust: float = _TRUST) -> np.ndarray:
    """Masks (H, W, R) whose edges are moved to those of the photo, softly where it mixes both sides, as in hair.

    They are solved for in a band about their edges, so that they are locally affine in the photo's colours; where they make up
    the whole photo they still do.

    `reach` is half the band's width as a share of the longer side, `trust` how much the drawing counts within it.

    Closed-form matting (Levin et al. 2008, eq. 15): least m' L m + trust |m - drawn|^2 with m as drawn outside the band. The
    guided filter (He et al. 2013) is one step towards this solve: faster, but it leaves haloes as wide as its windows.
    """
    height, width, regions = masks.shape
    drawn = np.concatenate([1 - masks.sum(axis=-1, keepdims=True), masks], axis=-1)  # (H, W, 1 + R), sum 1
    inside = drawn.argmax(axis=-1)
    edge = scipy.ndimage.maximum_filter(inside, 3) != scipy.ndimage.minimum_filter(inside, 3)
    if not edge.any():
        return masks
    band = scipy.ndimage.distance_transform_edt(~edge) <= max(2, round(reach * max(height, width)))
    # The rows from the band's first to its last, and two more that the windows of its pixels reach into.
    rows = np.flatnonzero(band.any(axis=1))
    span = slice(max(0, rows[0] - 2), min(height, rows[-1] + 3))
    flat = drawn[span].reshape(-1, regions + 1)
    flat = matte(matting_laplacian(image[span]), ~band[span].ravel(), flat[:, :-1], trust)
    flat = np.concatenate([flat, 1 - flat.sum(axis=-1, keepdims=True)], axis=-1).clip(0, 1)
    flat[flat < _FAINT] = 0
    flat /= flat.sum(axis=-1, keepdims=True)
    refined = masks.copy()
    refined[span] = flat[:, 1:].reshape(-1, width, regions)
    return refined
