"""Grading the frames of a clip by FFmpeg's own filters.

In floating point: from luma and chroma to red, green and blue by the clip's matrix, through a table of colours, and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dpst.files.clips import Clip, pyav
from dpst.imaging.resizing import resize

_RGB, _RGB_AND_ALPHA = "gbrpf32le", "gbrap16le"
_TABLE = {"interp": "tetrahedral"}


class Filters:
    """The filters of a shot, from a frame of the clip to one for the encoder."""

    def __init__(self, clip: Clip, frame: Any, pixels: str, tables: Sequence[str], has_masks: bool):
        """For the frames of a shot.

        Args:
            clip: whose frames they are.
            frame: one of them, all others being like it.
            pixels: FFmpeg's name of the kind of pixels that the encoder takes.
            tables: paths of .cube files in sRGB, one for each region; or one for the whole frame.
            has_masks: whether there are regions.
        """
        self._clip, self._graph = clip, pyav().filter.Graph()
        graph = self._graph
        self._shares: list[tuple[Any, Any]] = []  # of the regions: where they go in, and frames of them
        self._masks: np.ndarray | None = None  # those that the shares are of
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
        last = self._merged(last, tables, size) if has_masks else self._then(last, ("lut3d", {"file": tables[0], **_TABLE}))
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

    def _merged(self, last: Any, tables: Sequence[str], size: dict[str, str]) -> Any:
        """Each region's table where its mask is."""
        graph = self._graph
        split = graph.add("split", str(len(tables) + 1))
        last.link_to(split)
        for region, path in enumerate(tables):
            table = graph.add("lut3d", file=path, **_TABLE)
            split.link_to(table, region + 1)
            shares = graph.add("buffer", pix_fmt=_RGB, **size)
            self._shares.append((shares, None))
            merge = graph.add("maskedmerge")
            for place, (before, out) in enumerate((((last if region else split), 0), (table, 0), (shares, 0))):
                before.link_to(merge, out, place)
            last = merge
        return last

    def __call__(self, frame: Any, masks: np.ndarray | None) -> Any:
        """The graded frame.

        Args:
            frame: of the clip.
            masks: of the regions in the frame as it is shown, of any size: float32 (h, w, R), 0..1, sum over R at most 1.
        """
        self._source.push(frame)
        if masks is not None and masks is not self._masks:
            self._masks = masks
            stored = resize(np.ascontiguousarray(np.rot90(masks, -self._clip.turns)), *self._clip.size)
            shares = _shares(stored)
            self._shares = [(source, _mask_frame(share)) for (source, _), share in zip(self._shares, shares, strict=True)]
        for source, share in self._shares:
            share.pts, share.time_base = frame.pts, frame.time_base
            source.push(share)
        return self._graph.vpull()


def _shares(masks: np.ndarray) -> list[np.ndarray]:
    """What each region (H, W) has of those that are merged so far, as one is merged after the other."""
    covered, shares = np.maximum(1 - masks.sum(-1), 0), []
    for mask in np.moveaxis(masks, -1, 0):
        covered = covered + mask
        shares.append(mask / np.maximum(covered, np.finfo(np.float32).tiny))
    return shares


def _mask_frame(share: np.ndarray) -> Any:
    """A mask (H, W) as a frame whose channels are alike; written plane by plane, which is much faster than pixel by pixel."""
    height, width = share.shape
    frame = pyav().VideoFrame(width, height, _RGB)
    rows = np.zeros((height, frame.planes[0].line_size // 4), np.float32)
    rows[:, :width] = share
    for plane in frame.planes:
        plane.update(rows)
    return frame


def _rgb(pixels: Any) -> str:
    """The kind of pixels that are graded: with alpha where the clip has it, which there is none of in floating point."""
    return _RGB_AND_ALPHA if has_alpha(pixels) else _RGB


def has_alpha(pixels: Any) -> bool:
    """Whether a kind of pixels, as PyAV has it, has transparency."""
    return any(component.is_alpha for component in pixels.components)
