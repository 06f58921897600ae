"""Reading clips: what they tell, and what is wrong with them in one line."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from made_clips import colour_frames, make_clip
from PIL import Image

from dpst.errors import UserError
from dpst.files.clips import clip_thumbnail, frames_at, read_clip, small_frames


def read(path):
    return read_clip(str(path), "content clip", 200.0)


def test_what_a_clip_tells(tmp_path):
    clip = read(make_clip(tmp_path / "clip.mkv", colour_frames(6), pixels="yuv420p10le"))
    assert (clip.size, clip.frames, clip.rate, clip.pixels) == ((24, 32), 6, 25, "yuv420p10le")
    assert (clip.matrix, clip.full_range, clip.interlaced, clip.turns) == ("bt709", False, False, 0)


def test_frames_are_those_of_bt_709(tmp_path):
    frames = colour_frames(3)
    clip = read(make_clip(tmp_path / "clip.mkv", frames))
    for number, frame in zip((0, 2), frames_at(clip, [0, 2]), strict=True):
        assert np.abs(frame - frames[number]).max() < 2.5 / 255  # rounded twice, chroma to 1.1 levels of red and blue
    assert [frame.shape for frame in small_frames(clip, 16)] == [(12, 16, 3)] * 3


def test_an_unspecified_matrix_is_that_of_the_size(tmp_path):
    clip = read(make_clip(tmp_path / "clip.mkv", colour_frames(1), colours=(2, 2, 2, 0)))
    assert clip.matrix == "bt601"


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_a_turned_clip_is_shown_upright(tmp_path, rotation, turns):
    frames = colour_frames(1)
    path = make_clip(tmp_path / "clip.mp4", frames, "libx264", "yuv444p", rotation=rotation, options={"crf": "1"})
    clip = read(path)
    assert (clip.turns, clip.size) == (turns, (24, 32))
    (frame,) = frames_at(clip, [0])
    assert np.abs(frame - np.rot90(frames[0], turns)).max() < 0.03


@pytest.mark.parametrize(("curve", "message"), [(16, "is HDR (PQ)"), (18, "is HDR (HLG)")])
def test_hdr_is_refused(tmp_path, curve, message):
    path = make_clip(tmp_path / "clip.mkv", colour_frames(1), pixels="yuv420p10le", colours=(9, curve, 9, 1))
    with pytest.raises(UserError, match=r"convert it to BT\.709 first") as refused:
        read(path)
    assert message in str(refused.value)


def damaged(tmp_path, kind):
    path = tmp_path / "clip.mp4"
    if kind == "missing":
        return path
    whole = make_clip(tmp_path / "whole.mp4", colour_frames(5), "libx264", "yuv420p")
    if kind == "pipe":
        os.mkfifo(path)
        return path
    data = {
        "empty": b"",
        "text": b"no film\n" * 50,
        "truncated": Path(whole).read_bytes()[:600],
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    }
    path.write_bytes(data[kind])
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated", "playlist", "picture", "pipe"])
def test_what_is_not_a_clip_is_refused_in_one_line(tmp_path, kind):
    with pytest.raises(UserError, match=r"content clip .*clip\.mp4 (does not exist|is empty|cannot be read as a clip)"):
        read(damaged(tmp_path, kind))


def test_sound_alone_is_no_film(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        block.sample_rate = 8000
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="contains no video"):
        read(tmp_path / "sound.mp4")


def test_too_large_frames_are_refused(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", colour_frames(1))
    with pytest.raises(UserError, match="frames of 32x24 pixels, more than `max_pixels`"):
        read_clip(path, "content clip", 32 * 24 / 1e6 * 0.9)


def test_a_clip_that_breaks_off_is_read_up_to_there(tmp_path, caplog):
    path = make_clip(tmp_path / "clip.mkv", colour_frames(20))
    data = Path(path).read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    found = list(small_frames(read(tmp_path / "half.mkv"), 32))
    assert 5 <= len(found) <= 15


def test_a_thumbnail_is_a_frame_from_the_middle(tmp_path):
    frames = [np.full((24, 32, 3), level) for level in (0.1, 0.1, 0.5, 0.5, 0.9)]
    path = make_clip(tmp_path / "clip.mkv", frames)
    with Image.open(io.BytesIO(clip_thumbnail(path, 16, 200.0))) as picture:
        assert picture.size == (16, 12)
        assert abs(np.asarray(picture).mean() / 255 - 0.5) < 0.02


def test_without_pyav_a_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"clips need PyAV .*pip install -r requirements-video\.txt"):
        read(tmp_path / "clip.mp4")
