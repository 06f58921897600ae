"""Grading the frames of a clip by FFmpeg's own filters.

In floating point: from luma and chroma to red, green and blue by the clip's matrix, through a table of colours, and back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpst.files.clips import Clip, pyav

_RGB, _RGB_AND_ALPHA = "gbrpf32le", "gbrap16le"


@dataclasses.dataclass(frozen=True, eq=False)
class Grade:
    """What is done to the frames of a shot.

    Attributes:
        tables: paths of .cube files in sRGB, one for each region; or one for the whole frame.
        masks: float32 (H, W, R), 0..1, of the regions in the frame as it is stored, sum at most 1; None for the whole frame.
    """

    tables: Sequence[str]
    masks: np.ndarray | None = None


class Filters:
    """The filters of a shot, from a frame of the clip to one for the encoder."""

    def __init__(self, clip: Clip, frame: Any, pixels: str, grade: Grade):
        """Takes a frame, all others being like it."""
        self._graph = graph = pyav().filter.Graph()
        self._masks: list[tuple[Any, Any]] = []  # where they go in, and they themselves
        height, width = clip.size
        size = {
            "video_size": f"{width}x{height}",
            "time_base": str(frame.time_base),
            "pixel_aspect": f"{clip.aspect.numerator}/{clip.aspect.denominator}",
        }
        range_ = "pc" if clip.full_range else "tv"
        colours = {"colorspace": str(int(frame.colorspace)), "range": str(int(frame.color_range))}
        last = self._source = graph.add("buffer", pix_fmt=frame.format.name, **size, **colours)
        interlaced = {"interl": "-1"}
        matrix = {} if frame.format.is_rgb else {"in_color_matrix": clip.matrix, "in_range": range_}
        last = self._then(last, ("scale", {**matrix, "out_range": "pc", **interlaced}), ("format", _rgb(frame.format)))
        table = {"interp": "tetrahedral"}
        if grade.masks is None:
            last = self._then(last, ("lut3d", {"file": grade.tables[0], **table}))
        else:
            last = self._merged(last, grade, size)
        if not pyav().VideoFormat(pixels).is_rgb:
            back = {"out_color_matrix": clip.matrix, "out_range": range_, **interlaced}
            last = self._then(last, ("scale", back))
        self._then(last, ("format", pixels), ("buffersink", {}))
        graph.configure()

    def _then(self, last: Any, *filters: tuple[str, Any]) -> Any:
        for name, how in filters:
            after = self._graph.add(name, how) if isinstance(how, str) else self._graph.add(name, **how)
            last.link_to(after)
            last = after
        return last

    def _merged(self, last: Any, grade: Grade, size: dict[str, str]) -> Any:
        """Each region's table where its mask is: what a region has of all that are merged so far is its share of the merge."""
        graph, masks = self._graph, grade.masks
        assert masks is not None
        split = graph.add("split", str(len(grade.tables) + 1))
        last.link_to(split)
        covered = 1 - masks.sum(-1)
        for region, path in enumerate(grade.tables):
            covered = covered + masks[..., region]
            share = np.divide(masks[..., region], covered, out=np.zeros_like(covered), where=covered > 0)
            table = graph.add("lut3d", file=path, interp="tetrahedral")
            split.link_to(table, region + 1)
            shares = graph.add("buffer", pix_fmt=_RGB, **size)
            self._masks.append((shares, _mask_frame(np.clip(share, 0, 1))))
            merge = graph.add("maskedmerge")
            for place, (before, out) in enumerate((((last if region else split), 0), (table, 0), (shares, 0))):
                before.link_to(merge, out, place)
            last = merge
        return last

    def __call__(self, frame: Any) -> Any:
        """The graded frame."""
        self._source.push(frame)
        for source, mask in self._masks:
            mask.pts, mask.time_base = frame.pts, frame.time_base
            source.push(mask)
        return self._graph.vpull()


def _mask_frame(share: np.ndarray) -> Any:
    return pyav().VideoFrame.from_ndarray(np.repeat(share.astype(np.float32)[..., None], 3, -1), format=_RGB)


def _rgb(pixels: Any) -> str:
    """The kind of pixels that are graded: with alpha where the clip has it, which there is none of in floating point."""
    return _RGB_AND_ALPHA if has_alpha(pixels) else _RGB


def has_alpha(pixels: Any) -> bool:
    """Whether a kind of pixels, as PyAV has it, has transparency."""
    return any(component.is_alpha for component in pixels.components)
