"""A clip on the page, without a browser: one look, shown on its first frame and written to all, as the command line does."""

import io
import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from made_clips import colour_frames, contents, make_clip, planes_of
from page_sessions import new_session
from PIL import Image

import deep_photostyle
from dpst.errors import UserError
from dpst.files.luts import Lut
from dpst.page import results
from dpst.page import session as session_module
from dpst.page.session import PageClosed
from dpst.page.views import Download, RegionSource

LENGTH = 16


@pytest.fixture
def progress():
    return []


@pytest.fixture
def session(tmp_path, progress):
    return new_session(tmp_path, progress, video_codec="ffv1", lut_size=17)


def film(path, shots=1):
    """Shots of `LENGTH` frames in different colours, with sound."""
    frames = colour_frames(LENGTH) + (colour_frames(LENGTH, base=(0.7, 0.45, 0.25), seed=2) if shots == 2 else [])
    return Path(make_clip(path, frames, audio=True))


def give(session, clip):
    """Gives the session a clip and a style photo; returns the name of the first frame."""
    session.add_file("style_image_path", "style.png", [(DATA / "style.png").read_bytes()])
    return session.add_file("content_image_path", clip.name, [clip.read_bytes()])


def content(session, name):
    with session.file(name) as file:
        return file.read()


def levels(data):
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RegionSource.WHOLE, RegionSource.FOUND])
def test_the_shown_command_line_gives_the_same_clip(session, progress, tmp_path, monkeypatch, kind):
    clip, frames = film(tmp_path / "clip.mkv", 2), 2 * LENGTH
    shown = levels(content(session, give(session, clip)))
    np.testing.assert_allclose(shown, 255 * colour_frames(LENGTH)[0], atol=2.5)
    if kind is RegionSource.FOUND:
        regions = session.show_regions(kind, 2).masks
        assert levels(content(session, regions[0])).shape == shown.shape
    (warning,) = session.make(kind, 2, 0.5, 1)
    said = {RegionSource.WHOLE: "the page makes one look for all", RegionSource.FOUND: "the regions of its first frame are used"}
    assert warning.startswith(f"the clip has 2 shots, and {said[kind]}")
    view = session.view(0.5, 0.75)
    assert view.is_whole and not view.is_draft
    assert ("--one_look True" in view.command) == (not view.masks) == (kind is RegionSource.WHOLE)
    shares = [share for share, _ in progress]
    assert max(shares) > 0.9
    progress.clear()
    name = session.write(Download.RESULT, 0.5, 0.75)
    assert name == "clip_restyled.mkv"
    assert progress[-1][0] == 1 and progress[-1][1].startswith(f"frame {frames} of {frames}, ")
    own = tmp_path / "own.mkv"
    own.write_bytes(content(session, name))

    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for path in (clip, DATA / "style.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    for mask in view.masks:
        (folder / mask).write_bytes(content(session, mask))
    assert deep_photostyle.main([*shlex.split(view.command)[2:], "--quiet"]) == 0
    assert (folder / name).read_bytes() == own.read_bytes()

    after, sound, *_ = contents(own)
    assert len(after) == frames and sound == contents(clip)[1]
    # What is shown is the first frame of the file, but for the noise of its JPEG.
    first = after[0].to_ndarray(format="rgb24").astype(int)
    assert np.abs(first - shown).mean() > 3 > np.abs(first - levels(view.picture)).mean()
    if kind is RegionSource.WHOLE:
        seen = {}  # one look: equal colours of both shots get equal results
        for frame, result in zip(contents(clip)[0], after, strict=True):
            colours, new = (np.stack(planes_of(each), -1).reshape(-1, 3) for each in (frame, result))
            for colour, other in zip(map(tuple, colours), map(tuple, new), strict=True):
                assert seen.setdefault(colour, other) == other


@pytest.mark.slow
def test_a_draft_is_of_the_first_frame_and_a_photo_takes_the_place_of_the_clip(session, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "REALISMS", (0.5,))
    give(session, film(tmp_path / "clip.mkv"))
    assert session.make(RegionSource.WHOLE, 0, 1, 1) == []
    assert session.draft(RegionSource.WHOLE, 0, 0.5) == []
    draft, photo = session.view(0.5, 1), colour_frames(LENGTH)[0]
    assert draft.is_draft and levels(draft.picture).shape == photo.shape
    view = session.view(1, 1)
    assert not view.is_draft and "one_look" not in view.command  # the look that was made is still there
    lut = session.write(Download.LUT, 1, 1)
    (tmp_path / lut).write_bytes(content(session, lut))
    assert lut == "clip_look.cube"
    by_lut = 255 * Lut.read(str(tmp_path / lut))(photo.astype(np.float32))
    assert np.abs(by_lut - levels(view.picture)).mean() < 3 < np.abs(by_lut - 255 * photo).mean()
    give_photo = session.add_file("content_image_path", "content.png", [(DATA / "content.png").read_bytes()])
    assert give_photo.endswith(".jpg") and session.view(1, 1) is None
    assert not list((tmp_path / "root").rglob("*.npz"))  # of the look


@pytest.mark.parametrize("how", ["cancelled", "closed", "too large"])
def test_a_clip_that_is_not_written_whole_leaves_no_file(session, tmp_path, monkeypatch, how, caplog):
    give(session, film(tmp_path / "clip.mkv"))
    session.make(RegionSource.WHOLE, 0, 1, 1)

    def end(share, words):
        if words.startswith(f"frame 3 of {LENGTH}"):
            session.stop() if how == "cancelled" else session.close()

    error = {"cancelled": KeyboardInterrupt, "closed": PageClosed, "too large": UserError}[how]
    if how == "too large":
        monkeypatch.setattr(results, "MAX_CLIP_BYTES", -1)
    else:
        session._on_progress = end
    with pytest.raises(error) as raised:
        session.write(Download.RESULT, 1, 1)
    assert not [path for path in (tmp_path / "root").rglob("*restyled*") if path.is_file()]
    assert not caplog.records
    if how == "too large":
        assert str(raised.value).startswith("clip_restyled.mkv would be larger than -1 MiB; use a shorter clip")
