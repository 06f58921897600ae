"""Regions whose style has no colour, as of a black and white photo: their result has none either.

The solve alone brings such a region near grey, and leaves a cast where keeping the photo's structure counts more. Its result is
therefore made neutral: each colour becomes the grey of the same luma. This is linear, so that a look of affine maps stays one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dpst.files.luts import Lut
from dpst.imaging.colours import LUMA
from dpst.imaging.resizing import resize
from dpst.solver.affine_field import Look
from dpst.solver.stages import Progress

# Largest difference between the channels of a colour that counts as grey: one level of 8 bits, as a conversion may round, and
# no more, for the faintest toning is meant.
_ROUNDING = 1.5 / 255
# A pixel with less of a region in it may hold a neighbour's colour.
_INSIDE = 0.999


def colourless(style: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the style has no colour at all in each region, bool (R,).

    Args:
        style: (h, w, 3), 0..1.
        masks: (h, w, R), 0..1; pixels that are partly another region's do not count.
    """
    grey = np.ptp(style, axis=-1) <= _ROUNDING
    inside = masks >= _INSIDE
    return inside.any((0, 1)) & (grey[..., None] | ~inside).all((0, 1))


def neutral(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """An image (h, w, 3) with a share (h, w), 0..1, of each pixel's colour replaced by the grey of the same luma."""
    return image + share[..., None] * ((image @ LUMA)[..., None] - image)


def neutral_maps(maps: np.ndarray, share: np.ndarray | float = 1.0) -> np.ndarray:
    """Maps (..., 3, 4) of the change of colours whose results are neutral, or a share (...) of that."""
    unchanged = np.eye(3, 4, dtype=np.float32)
    results = maps + unchanged
    greys = np.broadcast_to((LUMA @ results)[..., None, :], maps.shape)
    return maps + np.asarray(share, np.float32)[..., None, None] * (greys - results)


def neutral_look(look: Look, regions: np.ndarray) -> Look:
    """A look with neutral results in some of its regions, bool (R,)."""
    return dataclasses.replace(look, maps=np.where(regions[:, None, None, None], neutral_maps(look.maps), look.maps))


def neutral_lut(lut: Lut) -> Lut:
    """A LUT whose results are neutral."""
    return dataclasses.replace(lut, table=np.repeat((lut.table @ LUMA)[..., None], 3, -1))


def neutral_progress(progress: Progress, regions: np.ndarray, masks: np.ndarray) -> Progress:
    """What a callback is to see of a solve with some colourless regions, bool (R,), whose masks are (H, W, R)."""
    share = resize(masks[..., regions].sum(-1), *progress.size)
    find_image, find_look = progress.find_image, progress.find_look
    look = (lambda: neutral_look(find_look(), regions)) if find_look else None
    looks = {realism: neutral_look(finished, regions) for realism, finished in progress.looks.items()}
    return dataclasses.replace(progress, find_image=lambda: neutral(find_image(), share), find_look=look, looks=looks)
