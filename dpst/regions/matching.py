"""From the classes of two masks to regions: those that both have, and what becomes of the others."""

from __future__ import annotations

import logging

import numpy as np

from dpst.errors import UserError
from dpst.regions.classes import Classes
from dpst.regions.mask_classes import SPECK, Colour, filled
from dpst.regions.regions import Regions, Unmatched

logger = logging.getLogger(__name__)


def match(content: Classes, style: Classes, palette: dict[str, Colour], listed: dict[str, Colour], missing_class: str) -> Regions:
    """Makes regions of the classes that both masks have, and deals with the rest.

    Args:
        content: classes of the content mask.
        style: classes of the style mask.
        palette: every class with its colour, in the order of the regions.
        listed: the classes that count; if empty, all do.
        missing_class: what becomes of a class that only the content has: "merge", "ignore" or "error".
    """
    shares = {name: (content.share(name), style.share(name)) for name in palette}
    regions = [name for name, share in shares.items() if min(share) > 0 and (not listed or name in listed)]
    if not regions:
        both = f"content: {content}; style: {style}"
        raise UserError(f"{style.file} holds no class of the content segmentation ({both}); use the same colours in both")
    content_masks = np.stack([content.mask(name) for name in regions], axis=-1)
    style_masks = np.stack([style.mask(name) for name in regions], axis=-1)
    for name in listed:
        if name in palette and not any(shares[name]):
            logger.warning("`seg_classes` %s is in neither mask; the regions are %s", name, ", ".join(regions))
    missing, unmatched = [], []
    for name, (in_content, in_style) in shares.items():
        if name in regions or not (in_content or in_style):
            continue
        lack = "not in `seg_classes`" if listed and name not in listed else f"only in the {'content' if in_content else 'style'}"
        fate = "not used"
        if in_content:
            missing.append(name)
            fate = "merged into the nearest region" if missing_class == "merge" else "not matched"
            what = f"{content.file} has class {name} ({in_content:.1%} of the photo) {lack}"
            if missing_class == "error":
                raise UserError(f"{what}; paint it in both masks, or use `missing_class` merge or ignore")
            logger.warning("%s; it is %s", what, fate)
        elif style.strokes is not None:
            logger.warning("%s has strokes of %s and %s has none; they are not used", style.file, name, content.file)
        unmatched.append(Unmatched(name, in_content, in_style, f"{lack}: {fate}"))
    in_content, in_style = (1 - float(classes.masks.sum(axis=-1).mean(dtype=np.float64)) for classes in (content, style))
    if max(in_content, in_style) > SPECK:
        unmatched.append(Unmatched("no class", in_content, in_style, "not matched"))
        logger.warning("%s has no class in %.1f %% of the photo; that is not matched", content.file, 100 * in_content)
    if missing and missing_class == "merge":
        content_masks = merged(content_masks, np.sum([content.mask(name) for name in missing], axis=0))
    colours = tuple(palette[name] for name in regions)
    return Regions(tuple(regions), content_masks, style_masks, colours, tuple(unmatched), content.strokes, style.strokes)


def merged(masks: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Masks (H, W, R) that get what another one (H, W) has, each pixel by the region nearest to it."""
    kept = masks.sum(axis=-1)
    nearest = filled(masks, kept >= 0.5 * kept.max())
    return masks + lost[..., None] * nearest / nearest.sum(axis=-1, keepdims=True)
