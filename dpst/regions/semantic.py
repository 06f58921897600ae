"""Regions of both photos by meaning: sky goes with sky and water with water, whatever they look like.

A network labels every pixel; related classes form one region, and what only one photo has joins the nearest of its kin that the
other photo has (Luan et al. 2017, section 3). The matting Laplacian then moves the edges to the photo's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dpst.errors import UserError
from dpst.imaging.resizing import resize
from dpst.regions.ade20k import GROUPS
from dpst.regions.mask_classes import SPECK, filled
from dpst.regions.refining import refined
from dpst.regions.regions import Regions, Unmatched

# A photo has a group that fills at least this share of it; less is mostly a mistake of the network, and too little to take a
# look from. Of the masks drawn by hand for twelve of the paper's pairs, one has a smaller region.
_LEAST = 0.005

_NAMES = [group.name for group in GROUPS]
_KIN = {group.name: group.kin for group in GROUPS}


def find_regions(content_labels: np.ndarray, style_labels: np.ndarray, content: np.ndarray, style: np.ndarray) -> Regions:
    """Corresponding regions of two photos from what a network sees in them.

    Args:
        content_labels: how probable each group is at each place, float32 (h, w, groups), see `segformer.Segmenter`.
        style_labels: the same of the style photo, of any size.
        content: float32 (H, W, 3), 0..1, at the size where the masks are used.
        style: the same of the style photo.

    Returns:
        The regions in the order of `ade20k.GROUPS`, each pixel wholly in one; what of the style has no counterpart is in none.
        `unmatched` lists what was merged.

    Raises:
        UserError: the photos have nothing in common.
    """
    shares = [_shares(labels.argmax(axis=-1), len(GROUPS)) for labels in (content_labels, style_labels)]
    had = [[name for name, share in zip(_NAMES, of_photo, strict=True) if share >= _LEAST] for of_photo in shares]
    merged = merges(*had)
    after = {into.get(name, name) for names, into in zip(had, merged, strict=True) for name in names}
    groups = [name for name in _NAMES if name in after]
    content_index = _refined_labels(_summed(content_labels, had[0], merged[0], groups), content)
    style_index = _refined_labels(_summed(style_labels, had[1], merged[1], groups), style)

    in_content, in_style = _shares(content_index, len(groups)), _shares(style_index, len(groups))
    kept = np.flatnonzero(np.minimum(in_content, in_style) >= SPECK)
    if not len(kept):
        content_list, style_list = (", ".join(names) for names in had)
        raise UserError(
            f"`auto_seg` semantic finds nothing that both photos have (content: {content_list}; style: {style_list}); "
            "give masks, or use `auto_seg` 3"
        )
    unmatched = []
    for photo, into in zip(("content", "style"), merged, strict=True):
        for name, kin in into.items():
            content_share, style_share = (float(of_photo[_NAMES.index(name)]) for of_photo in shares)
            unmatched.append(Unmatched(name, content_share, style_share, f"only in the {photo}: merged into {kin}"))
    for n, name in enumerate(groups):
        if n not in kept and max(in_content[n], in_style[n]) >= SPECK:
            lone = "content: merged into the nearest region" if in_content[n] > in_style[n] else "style: not used"
            unmatched.append(Unmatched(name, float(in_content[n]), float(in_style[n]), f"only in the {lone}"))

    content_index = filled(content_index, np.isin(content_index, kept))
    content_masks, style_masks = ((index[..., None] == kept).astype(np.float32) for index in (content_index, style_index))
    names = tuple(groups[n] for n in kept)
    colours = tuple(GROUPS[_NAMES.index(name)].colour for name in names)
    return Regions(names, content_masks, style_masks, colours, tuple(unmatched))


def merges(content: Sequence[str], style: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What the groups of each photo are merged into, so that the other photo has them; groups that stay are left out.

    The style leads: what only the content has takes the nearest kin of the style, and then what only the style has takes the
    nearest kin of the content, and so on while there are such. A group without kin in the other photo stays alone.
    """
    in_content, in_style = set(content), set(style)
    of_content: dict[str, str] = {}
    of_style: dict[str, str] = {}
    found = True
    while found:
        found = False
        for own, others, into in ((in_content, in_style, of_content), (in_style, in_content, of_style)):
            for name in [name for name in _NAMES if name in own - others]:
                if kin := next((kin for kin in _KIN[name] if kin in others), ""):
                    own.remove(name)
                    own.add(kin)
                    into[name], found = kin, True
    return of_content, of_style


def _shares(index: np.ndarray, count: int) -> np.ndarray:
    """Share of the pixels that have each index, float64 (count,)."""
    return np.bincount(index.ravel(), minlength=count) / index.size


def _summed(labels: np.ndarray, had: Sequence[str], into: dict[str, str], groups: Sequence[str]) -> np.ndarray:
    """Probabilities (h, w, `GROUPS`) as those of `groups` (h, w, groups): merged ones add up, what the photo has not counts 0."""
    left = {into.get(name, name) for name in had}
    summed = np.zeros((*labels.shape[:2], len(groups)), np.float32)
    for column, name in enumerate(_NAMES):
        if (target := into.get(name, name)) in left:
            summed[..., groups.index(target)] += labels[..., column]
    return summed


def _refined_labels(probabilities: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The likeliest group of each pixel of a photo (H, W, 3), along the photo's edges: int (H, W).

    The network answers in steps of 4 pixels of 512. On masks drawn by hand and made as coarse and wobbly as that, the edges
    are refined best as those of masks are: half or twice the reach, a tenth or ten times the trust, give less back.
    """
    likeliest = resize(probabilities, *photo.shape[:2]).argmax(axis=-1)
    return refined(np.eye(probabilities.shape[-1], dtype=np.float32)[likeliest], photo).argmax(axis=-1)
