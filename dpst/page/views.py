"""What a session of the page is asked for and what it answers."""

from __future__ import annotations

import dataclasses
import enum


class RegionSource(str, enum.Enum):
    """Where the regions come from."""

    WHOLE = "whole"  # no regions: the whole photos are matched
    STROKES = "strokes"
    MASKS = "masks"
    FOUND = "found"  # `--auto_seg` with a number, or "auto" for 0
    SEMANTIC = "semantic"  # `--auto_seg semantic`


class Download(str, enum.Enum):
    """What can be downloaded, besides the masks."""

    RESULT = "result"  # a picture, or a clip
    LUT = "lut"


@dataclasses.dataclass(frozen=True)
class View:
    """The content restyled at the size that is shown.

    Attributes:
        picture: a JPEG.
        realism: of the picture: the solved value nearest to the requested one.
        is_draft: whether it is from a draft.
        is_whole: False for an intermediate result, while the solve is running or after it was stopped.
        command: the command line that gives the same result from files of the same names; "" for a draft.
        masks: names of the mask files of the content and of the style, for `Session.file`.
    """

    picture: bytes
    realism: float
    is_draft: bool
    is_whole: bool
    command: str
    masks: list[str]


@dataclasses.dataclass(frozen=True)
class ShownRegion:
    """A region as the page names it.

    Attributes:
        name: of the region.
        colour: as #rrggbb; "" for a region that only one photo has, which is not in the masks.
        content: the share of the content that it fills, 0..1.
        style: the same of the style.
    """

    name: str
    colour: str
    content: float
    style: float


@dataclasses.dataclass(frozen=True)
class ShownRegions:
    """The regions of both photos.

    Attributes:
        regions: first those that both photos have, then those that one has.
        masks: names of the mask files of the content and of the style, for `Session.file`.
        warnings: of one line each.
    """

    regions: list[ShownRegion]
    masks: list[str]
    warnings: list[str]
