"""Tiny clips for tests, made with PyAV; a test that needs them is skipped where it is missing."""

from fractions import Fraction

import numpy as np
import pytest

HEIGHT, WIDTH, RATE = 24, 32, 25


def colour_frames(count, height=HEIGHT, width=WIDTH, base=(0.3, 0.5, 0.6), seed=0):
    """Frames float (H, W, 3), 0..1: a soft pattern around a colour, moving to the left by a pixel a frame."""
    across = np.linspace(0, 4 * np.pi, width + count)
    down = np.linspace(0, 2, height)[:, None]
    waves = np.stack([np.sin(across + seed + k) * np.cos(down + k) for k in range(3)], -1)
    picture = np.clip(np.array(base) + 0.15 * waves, 0.02, 0.98)
    return [picture[:, k : k + width] for k in range(count)]


def yuv_of(rgb, levels=256):
    """Luma and chroma of BT.709 in limited range, by the equations of ITU-R BT.709-6, part 3: three planes of rounded levels."""
    scale = levels / 256
    luma = rgb @ np.array([0.2126, 0.7152, 0.0722])
    blue, red = (rgb[..., 2] - luma) / 1.8556, (rgb[..., 0] - luma) / 1.5748
    return [np.rint(scale * plane) for plane in (16 + 219 * luma, 128 + 224 * blue, 128 + 224 * red)]


def rgb_of(planes, levels=256):
    """The inverse of `yuv_of`, not rounded."""
    scale = levels / 256
    luma, blue, red = (plane / scale for plane in planes)
    luma, blue, red = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    colours = [luma + 1.5748 * red, luma - 0.1873243 * blue - 0.4681243 * red, luma + 1.8556 * blue]
    return np.stack(colours, -1)


def planes_of(frame):
    """The planes of a frame of PyAV, as stored, float."""
    depth = 1 if frame.format.components[0].bits == 8 else 2
    planes = []
    for plane in frame.planes:
        samples = np.frombuffer(plane, np.uint8 if depth == 1 else np.uint16).reshape(plane.height, -1)
        planes.append(samples[:, : plane.width].astype(np.float64))
    return planes


def make_clip(
    path,
    frames,
    codec="ffv1",
    pixels="yuv444p",
    times=None,
    audio=False,
    colours=(1, 1, 1, 1),
    rotation=0,
    options=None,
    metadata=None,
):
    """Writes a clip of RGB frames; `times` are numbers of 1/100 s, and `audio` may be "first", before the frames."""
    av = pytest.importorskip("av", reason="PyAV is not installed; pip install -r requirements-video.txt")
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono") if audio == "first" else None
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        context = stream.codec_context
        context.time_base = stream.time_base = Fraction(1, 100)
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = colours
        if rotation:
            stream.set_display_rotation(rotation)
        container.metadata.update(metadata or {})
        if audio is True:
            sound = container.add_stream("aac", rate=8000, layout="mono")
            sound.metadata["language"] = "deu"
            chapter = {"id": 0, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
            container.set_chapters([chapter])
        levels = 1024 if "10" in pixels else 256
        for number, rgb in enumerate(frames):
            frame = av.VideoFrame(width, height, pixels)
            for plane, values in zip(frame.planes, yuv_of(rgb, levels), strict=True):
                down, across = -(-height // plane.height), -(-width // plane.width)  # a pixel of chroma covers one, two or four
                values = np.pad(values, [(0, down * plane.height - height), (0, across * plane.width - width)], mode="edge")
                values = np.rint(values.reshape(plane.height, down, plane.width, across).mean((1, 3)))
                kind = np.uint8 if levels == 256 else np.uint16
                padded = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
                padded[:, : plane.width] = values
                plane.update(padded.tobytes())
            frame.pts = times[number] if times else number * 100 // RATE
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            tone = np.sin(np.arange(1024 * 4) / 10).astype(np.float32)
            for k in range(4):
                block = av.AudioFrame.from_ndarray(tone[None, 1024 * k : 1024 * (k + 1)], format="fltp", layout="mono")
                block.sample_rate, block.pts = 8000, 1024 * k
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return str(path)


def contents(path):
    """What is in a file: frames (PyAV's), and by stream its kind, texts, and packets of sound as (time, bytes)."""
    av = pytest.importorskip("av", reason="PyAV is not installed; pip install -r requirements-video.txt")
    with av.open(str(path)) as container:
        frames, packets = [], []
        for packet in container.demux():
            if packet.stream.type == "video":
                frames += packet.decode()
            elif packet.size:
                packets.append((packet.pts * packet.time_base, bytes(packet)))
        texts = [(stream.type, stream.metadata.get("language")) for stream in container.streams]
        chapters = [(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]) for c in container.chapters()]
        return frames, packets, texts, chapters, dict(container.metadata)
