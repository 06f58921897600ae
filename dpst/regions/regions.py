"""A region is a pair of masks, one for each photo: the content's takes its look from the style's."""

from __future__ import annotations

import dataclasses

import numpy as np

from dpst.regions.mask_classes import REFERENCE_COLOURS, Colour, resized
from dpst.regions.refining import refined

# Colours for classes that have none: labels, and files of regions.
_STEPS = (40, 105, 170, 235)
PALETTE: list[Colour] = [*REFERENCE_COLOURS.values(), *((r, g, b) for r in _STEPS for g in _STEPS for b in _STEPS)]


# How far from the drawn edge of a mask the photo's own edge is looked for, as a share of the longer side, and how much the
# drawing counts there.
_REACH, _TRUST = 0.04, 3e-4


@dataclasses.dataclass(frozen=True)
class Unmatched:
    """A class that is no region of its own: its shares of the two photos and what becomes of it."""

    name: str
    content_share: float
    style_share: float
    fate: str


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """Corresponding regions of the two photos.

    Attributes:
        names: R names.
        content: float32 (H, W, R), 0..1, sum over R at most 1; a pixel whose sum is 0 has no part in the style loss.
        style: float32 (h, w, R), the same of the style photo.
        colours: R colours for previews, RGB in levels.
        unmatched: the classes that became no region, for the table.
        content_strokes: bool (H, W), at its mask's own size, where the content's mask had strokes; None if it was a whole mask.
        style_strokes: the same of the style photo.
        are_guessed: whether they were found by colour and place alone, so that one may end in the middle of an object.
    """

    names: tuple[str, ...]
    content: np.ndarray
    style: np.ndarray
    colours: tuple[Colour, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    content_strokes: np.ndarray | None = None
    style_strokes: np.ndarray | None = None
    are_guessed: bool = False

    def resized(self, content_size: tuple[int, int], style_size: tuple[int, int]) -> Regions:
        """The regions of photos of other sizes (height, width); pixels are averaged, so that whole partitions stay whole."""
        content = resized(self.content, content_size)
        style = resized(self.style, style_size)
        return dataclasses.replace(self, content=content, style=style)

    def refined(self, content: np.ndarray, style: np.ndarray) -> Regions:
        """The regions with their edges moved to those of the photos, (H, W, 3) and (h, w, 3), 0..1."""
        return dataclasses.replace(self, content=refined(self.content, content), style=refined(self.style, style))

    def with_edges(self, content: np.ndarray) -> Regions:
        """The regions as the maps solver wants them: those of the content (H, W, 3), 0..1, with its own edges and soft there.

        Given masks are drawn loosely, and with maps each side of an edge gets a look of its own.
        """
        if len(self.names) == 1:
            return self
        return dataclasses.replace(self, content=refined(self.content, content, _REACH, _TRUST))


def whole_image(content: np.ndarray, style: np.ndarray) -> Regions:
    """The one region of photos (H, W, 3) and (h, w, 3) that are matched as a whole."""
    content_mask, style_mask = (np.ones((*photo.shape[:2], 1), np.float32) for photo in (content, style))
    return Regions(("whole image",), content_mask, style_mask, (REFERENCE_COLOURS["blue"],))


def table(regions: Regions) -> str:
    """The regions with their shares of both photos, and what becomes of every other class; printed before optimising."""
    rows = [(n, c, s, "") for n, c, s in zip(regions.names, _shares(regions.content), _shares(regions.style), strict=True)]
    rows += [(other.name, other.content_share, other.style_share, other.fate) for other in regions.unmatched]
    width = max(len("region"), *(len(name) for name, *_ in rows))
    lines = [f"{'region':<{width}}  content    style"]
    lines += [f"{name:<{width}}  {content:7.1%}  {style:7.1%}  {fate}".rstrip() for name, content, style, fate in rows]
    return "\n".join(lines)


def _shares(masks: np.ndarray) -> list[float]:
    return [float(share) for share in masks.mean(axis=(0, 1), dtype=np.float64)]
