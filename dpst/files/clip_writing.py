"""Writing clips: the frames graded and encoded, everything else of the file as it was.

Reading, grading and encoding run beside each other, a few frames apart.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dpst.errors import UserError
from dpst.files.atomic import replacing
from dpst.files.clip_grading import Filters, has_alpha
from dpst.files.clips import Clip, Damage, opened, pyav, reason_of
from dpst.files.writing import check_place
from dpst.options import FFV1, H264, HEVC, PRORES, WRITTEN_CLIPS

logger = logging.getLogger(__name__)

# FFmpeg's encoders and writers, and which of these can hold what.
_ENCODERS = {H264: "libx264", HEVC: "libx265", PRORES: "prores_ks", FFV1: "ffv1"}
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_EXTENSIONS = {PRORES: (".mov", ".mkv"), FFV1: (".mkv", ".mov")}
# Most bits a sample, of those that hold less than 16, and the least.
_MAX_BITS, _MIN_BITS = {H264: 10, HEVC: 12, PRORES: 10}, {PRORES: 10}
_WITH_ALPHA = (PRORES, FFV1)
# Fields are told by the stream itself.
_INTERLACED = {"flags": "+ildct+ilme"}
# Bytes of frames, and packets, that wait between two steps.
_WAITING_BYTES, _MAX_WAITING = 2**27, 16
# How long one step waits before it looks whether the others have ended, in seconds.
_PATIENCE = 0.2
# Notes on the coding of the former file, by the beginnings of their names.
_OF_CODING = (
    *("encoder", "vendor_id", "major_brand", "minor_version", "compatible_brands"),
    *("BPS", "NUMBER_OF_", "_STATISTICS", "DURATION"),
)
# What is kept of the texts where they are to be dropped.
_NEEDED = ("language", "timecode", "filename", "mimetype")
_BT709, _LIMITED = 1, 1

T = TypeVar("T")


def extensions_of(codec: str) -> tuple[str, ...]:
    """The extensions of clips that can hold a codec, the usual one first."""
    return _EXTENSIONS.get(codec, WRITTEN_CLIPS)


def check_clip_writable(path: str, codec: str, clip: Clip) -> None:
    """Checks that a clip can be written here.

    Raises:
        UserError: the extension is unknown or cannot hold the codec, or nothing can be written there.
    """
    extension = Path(path).suffix.lower()
    if extension not in WRITTEN_CLIPS:
        raise UserError(f"output clip {path} has the extension '{extension}'; use one of {', '.join(WRITTEN_CLIPS)}")
    if extension not in extensions_of(codec):
        raise UserError(f"output clip {path} cannot hold {codec}; use one of {', '.join(extensions_of(codec))}")
    if clip.interlaced and codec == FFV1:
        raise UserError(f"clip {clip.path} is interlaced, which {FFV1} cannot record; use `video_codec` {PRORES} or {H264}")
    if clip.aspect != 1 and codec == FFV1 and extension == ".mkv":
        raise UserError(f"output clip {path} with {FFV1} cannot record that pixels are {clip.aspect} wide; use .mov")
    check_place(path, "output clip")


def write_clip(
    clip: Clip,
    path: str,
    firsts: Sequence[int],
    tables: Callable[[int], Sequence[str]],
    masks: Generator[np.ndarray] | None = None,
    codec: str = H264,
    crf: int = 16,
    goes_on: Callable[[int], bool] = lambda done: True,
    drop_metadata: bool = False,
    keeps_part: bool = True,
) -> int:
    """Grades the frames of a clip and writes them with all else that is in its file: sound, subtitles, chapters, texts, times.

    What the new file cannot hold is named in warnings. The file appears whole or not at all; after a stop it ends early, unless
    `keeps_part` is false.

    Args:
        clip: what to read.
        path: the file to write; an existing one is replaced.
        firsts: the numbers of the frames that begin a shot, the first of them 0.
        tables: paths of .cube files in sRGB for the shot of a number, one for each region, or one for the whole frame; called in
            another thread when its first frame comes.
        masks: of the regions, for each frame as it is shown, of any size: float32 (h, w, R), 0..1, sum over R at most 1; None if
            there are none. It is closed at the end.
        codec: one of the choices of `Options.video_codec`.
        crf: see `Options.crf`.
        goes_on: called with the number of frames that are written; false ends the clip after them.
        drop_metadata: leave the texts out: camera, date, place, titles.
        keeps_part: whether the frames that are done are kept when `goes_on`, `tables` or `masks` raise.

    Returns:
        The number of frames in the file; with none there is no file.

    Raises:
        UserError: the file cannot be written. What `tables` or `masks` raise is raised when the frames before are in the file.
    """
    av = pyav()
    with opened(clip.path, "clip") as source:
        try:
            with replacing(path) as partial:
                kind = _FORMATS[Path(path).suffix.lower()]
                with av.open(str(partial), "w", kind, options=_how(source, kind)) as target:
                    output = _Output(source, target, clip, path, codec, crf, drop_metadata)
                    grading = functools.partial(_graded, pixels=output.pixels, firsts=firsts, tables=tables, masks=masks)
                    written, stop = _write(source, output, clip, grading, goes_on)
                if not written or (stop and not keeps_part):
                    raise stop or _Stop
        except _Stop:
            return 0
        except (OSError, av.error.FFmpegError) as error:
            wrong = f"output clip {path} cannot be written ({reason_of(error)})"
            raise UserError(f"{wrong}; choose another place or codec") from error
    if stop:
        logger.warning("the first %d frames are in %s", written, path)
        if not isinstance(stop, _Stop):
            raise stop
    return written


class _Stop(Exception):
    """There are no frames, or whoever follows them wants no more."""


def _write(
    source: Any,
    output: _Output,
    clip: Clip,
    grading: Callable[[Generator[Any], Clip], Iterator[Any]],
    goes_on: Callable[[int], bool],
) -> tuple[int, BaseException | None]:
    """Writes what the new file holds; returns the number of frames, and what has ended it before the clip's own end."""
    written, stop = 0, None
    room = min(_MAX_WAITING, max(2, _WAITING_BYTES // (6 * clip.size[0] * clip.size[1])))
    read = _ahead(_read(source, clip, output.copied), room)
    with contextlib.closing(_ahead(grading(read, clip), room)) as items:
        try:
            for item in items:
                if isinstance(item, pyav().Packet):
                    output.copy(item)
                    continue
                output.encode(item)
                written += 1
                if not goes_on(written):
                    raise _Stop
        except (OSError, pyav().error.FFmpegError):  # of the new file
            raise
        except BaseException as error:  # whatever it is, the time spent must not be lost
            stop = error
    if written:
        output.encode(None)
    return written, stop


def _read(source: Any, clip: Clip, copied: dict[int, Any]) -> Iterator[Any]:
    """Frames of the clip, and packets of what is copied, as they come in the file."""
    frames = source.streams[clip.stream]
    frames.thread_type = "AUTO"
    damage = Damage(clip.path)
    for packet in damage.packets(source, frames, *(source.streams[index] for index in copied)):
        # Not by `stream_index`, which is not set in the empty packets at the end that bring the last frames.
        if packet.stream.index == clip.stream:
            yield from damage.frames(packet)
        elif packet.size:
            yield packet


def _graded(
    items: Generator[Any],
    clip: Clip,
    pixels: str,
    firsts: Sequence[int],
    tables: Callable[[int], Sequence[str]],
    masks: Generator[np.ndarray] | None,
) -> Iterator[Any]:
    """The same with the frames graded, each shot by its own tables."""
    number, shot, filters = 0, -1, None
    with contextlib.closing(items), contextlib.closing(masks) if masks else contextlib.nullcontext():
        for item in items:
            if isinstance(item, pyav().Packet):
                yield item
                continue
            if shot + 1 < len(firsts) and number == firsts[shot + 1]:
                shot += 1
                filters = Filters(clip, item, pixels, tables(shot), masks is not None)
            number += 1
            assert filters
            yield filters(item, next(masks) if masks else None)


class _Output:
    """The streams of the new file.

    Attributes:
        copied: the streams of the new file that are copied, by the numbers of those in the clip.
        pixels: FFmpeg's name of the kind of pixels that is encoded.
    """

    def __init__(self, source: Any, target: Any, clip: Clip, path: str, codec: str, crf: int, drop_metadata: bool):
        self._target, self._last = target, -(2**62)
        self._lengths: dict[int, int] = {}  # of frames that are not yet written, by their times
        self.pixels = _encoded_pixels(clip, codec)
        self.copied = {}
        added = {}
        for other in source.streams:  # in their order
            if other.index == clip.stream:
                added[other.index] = self._stream = self._film_stream(other, clip, codec, crf)
            elif _is_made_anew(other, source.chapters()):
                continue
            elif _can_hold(target.format.name, other):
                added[other.index] = self.copied[other.index] = _added(target, other)
            else:
                what = f"stream {other.index} ({' '.join(filter(None, (getattr(other, 'name', ''), other.type)))})"
                logger.warning("clip %s: %s cannot be in %s and is left out; .mkv takes most", clip.path, what, Path(path).name)
        for index, new in added.items():
            new.metadata.update(_texts(source.streams[index].metadata, drop_metadata))
            new.disposition = source.streams[index].disposition
        target.metadata.update(_texts(source.metadata, drop_metadata))
        target.set_chapters(source.chapters())

    def _film_stream(self, film: Any, clip: Clip, codec: str, crf: int) -> Any:
        """The new stream of frames, with its encoder."""
        stream = self._target.add_stream(
            _ENCODERS[codec], rate=clip.rate.limit_denominator(100_000), options=_settings(clip, codec, crf, self.pixels)
        )
        context, formats = stream.codec_context, pyav().VideoFormat
        context.height, context.width = clip.size
        context.pix_fmt = self.pixels
        context.time_base = stream.time_base = film.time_base
        context.sample_aspect_ratio = clip.aspect
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = clip.colours
        if formats(clip.pixels).is_rgb and not formats(self.pixels).is_rgb:
            context.colorspace, context.color_range = _BT709, _LIMITED
        self._colours = context.colorspace, context.color_range
        if codec == HEVC and self._target.format.name != "matroska":
            context.codec_tag = "hvc1"  # the one that Apple's players take
        if clip.display:
            stream.set_display_matrix(clip.display)
        return stream

    def copy(self, packet: Any) -> None:
        """Writes a packet of another stream, if it can still be placed."""
        if packet.dts is None:
            packet.dts = packet.pts
        packet.stream = self.copied[packet.stream_index]
        self._target.mux(packet)

    def encode(self, frame: Any | None) -> None:
        """Encodes a frame and writes what is ready; None ends the film."""
        if frame is not None:
            if frame.pts is None or frame.pts <= self._last:  # of a damaged file
                frame.pts = self._last + 1 if self._lengths or self._last >= 0 else 0
            self._last = frame.pts
            self._lengths[frame.pts] = frame.duration
            frame.pict_type = 0  # the encoder chooses
            frame.colorspace, frame.color_range = self._colours  # the filters tell what the clip does not
        for packet in self._stream.encode(frame):
            packet.duration = self._lengths.pop(packet.pts, 0)
            self._target.mux(packet)


def _encoded_pixels(clip: Clip, codec: str) -> str:
    """The kind of pixels that keeps most of the clip's; what a codec cannot hold is warned of."""
    av = pyav()
    own = av.VideoFormat(clip.pixels)
    known = {known.name for known in av.Codec(_ENCODERS[codec], "w").video_formats}
    if codec == FFV1 and clip.pixels in known:
        return clip.pixels
    bits = max(component.bits for component in own.components)
    alpha = has_alpha(own)
    across, down = 2 // max(1, own.chroma_width(2)), 2 // max(1, own.chroma_height(2))
    if own.is_rgb or own.has_palette:
        across = down = 1
    if len(own.components) < 3 and not own.has_palette:  # grey gets colours
        across = down = 2
    height, width = clip.size
    if codec in (H264, HEVC) and (height % down or width % across):
        logger.warning("clip %s has an odd size, %dx%d; its colours are written at every pixel (4:4:4)", clip.path, width, height)
        across = down = 1
    if codec == PRORES:
        across, down = (1 if alpha or across == 1 else 2), 1
    if alpha and codec not in _WITH_ALPHA:
        logger.warning("clip %s has transparency, which %s does not hold; use `video_codec` %s", clip.path, codec, PRORES)
        alpha = False
    depths = (8, 10, 12, 16)
    depth = next(depth for depth in depths if depth >= min(bits, 16) or depth == _MAX_BITS.get(codec, 16))
    depth = max(depth, _MIN_BITS.get(codec, 8))
    if depth < bits:
        logger.warning("clip %s has %d bits a sample, and %s holds %d; use `video_codec` %s", clip.path, bits, codec, depth, FFV1)
    chroma = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}.get((across, down), "444")
    return f"yuv{'a' * alpha}{chroma}p{f'{depth}le' if depth > 8 else ''}"


def _settings(clip: Clip, codec: str, crf: int, pixels: str) -> dict[str, str]:
    """Options of the encoder."""
    if codec == PRORES:
        settings = {"profile": "hq" if "422" in pixels else "4444", "vendor": "apl0"}
    elif codec == FFV1:
        settings = {"level": "3", "slicecrc": "1"}
    else:
        settings = {"crf": str(crf)}
    if codec == HEVC:
        settings["x265-params"] = "log-level=none"
    return settings | (_INTERLACED if clip.interlaced else {"field_order": "progressive"})


def _is_made_anew(stream: Any, chapters: list) -> bool:
    """Whether a stream is one that the writer makes itself: the first frame's timecode, from the texts, or names of chapters."""
    return stream.type == "data" and ("timecode" in stream.metadata or (bool(chapters) and stream.name == "bin_data"))


def _added(target: Any, stream: Any) -> Any:
    """A new stream of a file to be written, like another one, for its packets."""
    if stream.type == "attachment":
        return target.add_attachment(stream.metadata.get("filename", ""), stream.mimetype or "", stream.data)
    return target.add_stream_from_template(stream, opaque=True)


def _can_hold(kind: str, stream: Any) -> bool:
    """Whether a file of a kind takes a stream: one is begun, in memory."""
    av = pyav()
    try:
        with av.open(io.BytesIO(), "w", kind) as trial:
            _added(trial, stream)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _texts(texts: dict[str, str], drop: bool) -> dict[str, str]:
    """What a file or stream tells in words that holds for the new one; with `drop` no more than is needed to show it."""
    kept = {name: text for name, text in texts.items() if not name.startswith(_OF_CODING)}
    return {name: text for name, text in kept.items() if name in _NEEDED} if drop else kept


def _how(source: Any, kind: str) -> dict[str, str]:
    """Settings of the new file's writer: names of texts that are not its own are kept where there are such; no random numbers."""
    if kind == "matroska":
        return {"fflags": "+bitexact"}
    return {"movflags": "use_metadata_tags"} if any("." in name for name in source.metadata) else {}


def _ahead(items: Iterator[T], room: int) -> Generator[T]:
    """The items, made by a thread of its own, up to `room` of them ahead."""
    line: queue.Queue[tuple[str, Any]] = queue.Queue(room)
    ended = threading.Event()

    def put(kind: str, item: Any) -> bool:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                line.put((kind, item), timeout=_PATIENCE)
                return True
        return False

    def make() -> None:
        try:
            with contextlib.closing(items) as made:  # type: ignore[type-var]
                for item in made:
                    if not put("item", item):
                        return
            put("end", None)
        except BaseException as error:  # it is raised where the items are taken
            put("error", error)

    thread = threading.Thread(target=make)
    thread.start()
    try:
        while True:
            kind, item = line.get()
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item
    finally:
        ended.set()
        thread.join()
