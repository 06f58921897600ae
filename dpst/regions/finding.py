"""Regions for photos that come without masks, as `Options.auto_seg` asks for them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from dpst.errors import UserError
from dpst.options import AUTO, SEMANTIC, Options
from dpst.regions import automatic, semantic
from dpst.regions.regions import Regions
from dpst.regions.segformer import is_at_hand, load_segmenter

logger = logging.getLogger(__name__)

# From (height, width) to a photo of that size, float32 (height, width, 3), 0..1.
Resized = Callable[[int, int], np.ndarray]


def needs_tensorflow(options: Options) -> bool:
    """Whether a network labels the photos."""
    return options.auto_seg_used == SEMANTIC or (options.auto_seg_used == AUTO and is_at_hand(options.seg_model))


def found_regions(options: Options, content: np.ndarray, style: np.ndarray, larger: tuple[Resized, Resized]) -> Regions:
    """Corresponding regions of two photos; a line says how many.

    Args:
        options: `auto_seg_used`, which is not "", `seg_model` and `seed` are used.
        content: float32 (H, W, 3), 0..1, at the size where the masks are used.
        style: the same of the style photo.
        larger: both photos at any other size.

    Raises:
        UserError: by meaning the photos have nothing in common, or the model cannot be loaded.
    """
    regions = _regions(options, content, style, larger)
    if len(regions.names) == 1:
        logger.info("regions: none that both photos have were found; the photos are matched as a whole")
    else:
        logger.info("regions: %d found; `auto_seg` 0 turns this off", len(regions.names))
    return regions


def _regions(options: Options, content: np.ndarray, style: np.ndarray, larger: tuple[Resized, Resized]) -> Regions:
    choice = options.auto_seg_used
    if needs_tensorflow(options):
        segmenter = load_segmenter(options.seg_model)
        sizes = [segmenter.size((image.shape[0], image.shape[1])) for image in (content, style)]
        labels, style_labels = (segmenter(resized(*size)) for resized, size in zip(larger, sizes, strict=True))
        try:
            return semantic.find_regions(labels, style_labels, content, style)
        except UserError:
            if choice == SEMANTIC:
                raise
    return automatic.find_regions(content, style, 0 if choice in (AUTO, SEMANTIC) else int(choice), options.seed)
