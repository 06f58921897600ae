"""Clips of film: what one is, its frames, and small copies of them. This, `clip_grading` and `clip_writing` alone know PyAV.

PyAV is imported with the first clip, as it is an extra of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import re
import struct
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from dpst.errors import UserError
from dpst.files.inputs import open_input
from dpst.imaging.resizing import fitted
from dpst.imaging.vips import pyvips
from dpst.options import CLIP_EXTENSIONS

logger = logging.getLogger(__name__)

_MIN_VERSION = (17, 1)
# Containers that are read, by FFmpeg's names of their readers: no playlists, which would open other files.
_READERS = "mov,matroska,avi,mpegts,mpeg,mxf,mxf_opatom"
# Curves of light (ITU-T H.273, table 3) that are not graded as sRGB, and FFmpeg's names of colour matrices (table 4).
_HDR = {16: "PQ", 18: "HLG"}
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_UNSPECIFIED = (0, 2)
# Ways of FFmpeg's scaler (exact: accurate rounding, chroma at every pixel), and the same matrices by its numbers; PyAV has names
# for them all from 18 on.
_AREA, _BICUBIC, _EXACT = 0x20, 0x4, 0x40000 | 0x2000
_SCALERS = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}
# Of a clip that does not tell its matrix: players take BT.601 for the sizes of standard definition.
_MAX_SD_SIZE = (1024, 576)
_FULL_RANGE = 2
# Frames that are decoded for one near the middle of a clip.
_MAX_TO_MIDDLE = 300


@dataclasses.dataclass(frozen=True)
class Clip:
    """What a file of film holds beside its frames.

    Attributes:
        path: of the file.
        size: (height, width) as the frames are stored.
        pixels: FFmpeg's name of the kind of pixels.
        frames: as the file or its length tells; 0 if neither does.
        rate: frames a second, on average.
        aspect: width of a pixel, of its height.
        matrix: FFmpeg's name of the matrix from red, green and blue to luma and chroma.
        full_range: whether luma fills all levels, as in photos.
        interlaced: whether a frame is two fields.
        turns: quarter turns, counterclockwise, from a frame as it is stored to how it is shown.
        display: the matrix from stored to shown frames, nine whole numbers as FFmpeg has them; empty for none.
        colours: primaries, curve, matrix and range, by the numbers of ITU-T H.273 and FFmpeg, as the file tells them.
        stream: number of the stream with the frames.
    """

    path: str
    size: tuple[int, int]
    pixels: str
    frames: int
    rate: Fraction
    aspect: Fraction
    matrix: str
    full_range: bool
    interlaced: bool
    turns: int
    display: tuple[int, ...]
    colours: tuple[int, int, int, int]
    stream: int

    @property
    def shown_size(self) -> tuple[int, int]:
        """(height, width) of a frame as it is shown."""
        return self.size[:: -1 if self.turns % 2 else 1]  # type: ignore[return-value]


def pyav() -> ModuleType:
    """The module `av`.

    Raises:
        UserError: it is missing or too old.
    """
    try:
        import av
    except ImportError as error:
        raise UserError(f"clips need PyAV ({error}); pip install -r requirements-video.txt") from error
    if tuple(int(number) for number in re.findall(r"\d+", av.__version__)[:2]) < _MIN_VERSION:
        raise UserError(f"PyAV {av.__version__} is too old for clips; pip install -r requirements-video.txt")
    return av


def read_clip(path: str, role: str, max_pixels: float) -> Clip:
    """Opens a clip and decodes its first frame.

    Args:
        path: the file.
        role: what it is to the user.
        max_pixels: megapixels of a frame; larger ones are refused.

    Raises:
        UserError: there is no such file, or no frame in it that can be read, or it is HDR, or PyAV is missing.
    """
    with opened(path, role) as container:
        stream = _stream_of_frames(container)
        if stream is None:
            raise UserError(f"{role} {path} contains no video; give a clip with frames, {', '.join(CLIP_EXTENSIONS)}")
        context = stream.codec_context
        if context.width * context.height > max_pixels * 1e6:
            size = f"{context.width}x{context.height} pixels"
            raise UserError(f"{role} {path} has frames of {size}, more than `max_pixels` {max_pixels:g} megapixels; raise it")
        frame = next(decoded(container, stream), None)
        if frame is None:
            raise UserError(f"{role} {path} has no frame that can be read; give a whole file")
        told = [context.color_trc, int(frame.color_trc)]
        for curve in told:
            if curve in _HDR:
                raise UserError(
                    f"{role} {path} is HDR ({_HDR[curve]}), and looks are of standard range; convert it to BT.709 first, "
                    "with ffmpeg's zscale and tonemap for example"
                )
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        # A damaged file may claim any length.
        seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        return Clip(
            path=path,
            size=(frame.height, frame.width),
            pixels=frame.format.name,
            frames=stream.frames or max(0, round(seconds * rate)),
            rate=rate,
            aspect=stream.sample_aspect_ratio or Fraction(1),
            matrix=_matrix(path, role, frame),
            full_range=int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj"),
            interlaced=frame.interlaced_frame,
            turns=round(frame.rotation / 90) % 4,
            display=_display_matrix(frame),
            colours=(int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), int(frame.color_range)),
            stream=stream.index,
        )


@contextlib.contextmanager
def opened(path: str, role: str) -> Iterator[Any]:
    """A container of PyAV to read from; no other file is opened, whatever it asks for.

    Raises:
        UserError: there is no such file, or it is no clip.
    """
    av = pyav()
    try:
        open_input(path).close()
        if not os.path.getsize(path):
            raise UserError(f"{role} {path} is empty; give a whole file")
        options = {"protocol_whitelist": "file", "format_whitelist": _READERS}
        # An absolute path, as a name with a colon could be one of FFmpeg's protocols.
        container = av.open(os.path.abspath(path), options=options, metadata_errors="replace")
    except (OSError, av.error.FFmpegError) as error:
        if isinstance(error, FileNotFoundError):
            raise UserError(f"{role} {path} does not exist; check the path") from error
        if isinstance(error, MemoryError):  # FFmpeg has refused a size in the file, and taken no memory
            raise UserError(f"{role} {path} is damaged: a length in it is too large; give a whole file") from None
        wrong = f"cannot be read as a clip ({reason_of(error)})"
        raise UserError(f"{role} {path} {wrong}; give a whole file, {', '.join(CLIP_EXTENSIONS)}") from error
    with container:
        yield container


def reason_of(error: Exception) -> str:
    """What FFmpeg or the system says about an error."""
    return str(getattr(error, "strerror", None) or error).strip().splitlines()[0] or type(error).__name__


def decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream as PyAV has them; a warning says once that some cannot be decoded."""
    stream.thread_type = "AUTO"
    damage = Damage(container.name)
    for packet in damage.packets(container, stream):
        yield from damage.frames(packet)


class Damage:
    """Reads what can be read of a file; one warning says that some of it cannot be read."""

    def __init__(self, path: str):
        """Takes the path, for the warning."""
        self._path, self._has_warned, self._errors = path, False, pyav().error.FFmpegError

    def packets(self, container: Any, *streams: Any) -> Iterator[Any]:
        """The packets of streams, up to where the file breaks off."""
        try:
            yield from container.demux(*streams)
        except self._errors as error:
            self._warn(f"breaks off ({reason_of(error)}); what is before is used")

    def frames(self, packet: Any) -> list[Any]:
        """The frames that a packet completes."""
        try:
            return packet.decode()
        except self._errors as error:
            where = f" at {float(packet.pts * packet.time_base):.1f} s" if packet.pts is not None else ""
            self._warn(f"is damaged{where} ({reason_of(error)}); frames there may be missing")
            return []

    def _warn(self, wrong: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("clip %s %s", self._path, wrong)


def small_frames(clip: Clip, long_side: int) -> Generator[np.ndarray]:
    """Every frame of a clip as it is shown, uint8 (h, w, 3), of at most `long_side` pixels."""
    height, width = fitted(clip.size, long_side)
    with opened(clip.path, "clip") as container:
        shrink = _shrinking(clip, height, width)
        for frame in decoded(container, container.streams[clip.stream]):
            yield shrink(frame)


def frames_at(clip: Clip, numbers: list[int]) -> Iterator[np.ndarray]:
    """The frames of these numbers, which rise, as they are shown, float32 (H, W, 3), 0..1."""
    wanted = set(numbers)
    with opened(clip.path, "clip") as container:
        convert = _shrinking(clip, *clip.size)
        for number, frame in enumerate(decoded(container, container.streams[clip.stream])):
            if number in wanted:
                yield convert(frame).astype(np.float32) / np.float32(255)
            if number >= max(wanted):
                return


def clip_thumbnail(path: str, long_side: int, max_pixels: float) -> bytes:
    """A small JPEG of a frame from the middle of a clip.

    Raises:
        UserError: the clip cannot be read.
    """
    clip = read_clip(path, "clip", max_pixels)
    with opened(path, "clip") as container:
        stream = container.streams[clip.stream]
        middle = (container.start_time or 0) + (container.duration or 0) // 2
        with contextlib.suppress(pyav().error.FFmpegError):  # of a file without an index: it is read from its beginning
            container.seek(middle)
        frame = None
        for frame in itertools.islice(decoded(container, stream), _MAX_TO_MIDDLE):
            if frame.time is None or frame.time * 1e6 >= middle:
                break
        small = next(small_frames(clip, long_side)) if frame is None else _shrinking(clip, *fitted(clip.size, long_side))(frame)
    return pyvips.Image.new_from_array(np.ascontiguousarray(small)).jpegsave_buffer(Q=80)


def _shrinking(clip: Clip, height: int, width: int) -> Callable[[Any], np.ndarray]:
    """A function from a frame of PyAV to an upright uint8 (h, w, 3); height and width are those before it is turned."""
    av = pyav()
    reformatter = av.video.reformatter.VideoReformatter()
    ranges = av.video.reformatter.ColorRange
    smaller = height < clip.size[0]

    def shrink(frame: Any) -> np.ndarray:
        small = reformatter.reformat(
            frame,
            width,
            height,
            "rgb24",
            src_colorspace=_SCALERS[clip.matrix],
            dst_colorspace=_SCALERS["bt709"],
            interpolation=(_AREA if smaller else _BICUBIC) | _EXACT,
            src_color_range=ranges.JPEG if clip.full_range else ranges.MPEG,
            dst_color_range=ranges.JPEG,
        )
        return np.rot90(small.to_ndarray(), clip.turns)

    return shrink


def _stream_of_frames(container: Any) -> Any:
    """The first stream of film that is no cover picture."""
    attached = pyav().stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & attached and stream.codec_context]
    return streams[0] if streams else None


def _display_matrix(frame: Any) -> tuple[int, ...]:
    found = frame.side_data.get(pyav().sidedata.sidedata.Type.DISPLAYMATRIX)
    return struct.unpack("=9i", bytes(found)) if found is not None else ()


def _matrix(path: str, role: str, frame: Any) -> str:
    """FFmpeg's name of a frame's colour matrix."""
    told = int(frame.colorspace)
    if frame.format.is_rgb or told not in (*_MATRICES, *_UNSPECIFIED):
        if not frame.format.is_rgb:
            raise UserError(f"{role} {path} has colours of a kind that is not supported ({told} in H.273); convert it to BT.709")
        return "bt709"
    width, height = _MAX_SD_SIZE
    return _MATRICES.get(told) or ("bt601" if frame.width <= width and frame.height <= height else "bt709")
