"""What a page's session does, without a browser: the command line's results, refused in its words, and gone when it is closed."""

import dataclasses
import io
import logging
import shlex
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from made_clips import colour_frames, make_clip
from page_sessions import new_session
from PIL import Image

import deep_photostyle
from dpst.errors import UserError
from dpst.files.luts import Lut
from dpst.options import Options
from dpst.page import session as session_module
from dpst.page.session import REALISMS, PageClosed, Session
from dpst.page.views import Download, RegionSource
from vgg19.networks import Networks


@pytest.fixture
def progress():
    return []


@pytest.fixture
def session(tmp_path, progress):
    return new_session(tmp_path, progress)


def give(session, **names):
    """Gives the session files of tests/data, by option: the name there."""
    for option, name in names.items():
        session.add_file(option, name, [(DATA / name).read_bytes()])


@pytest.fixture
def with_photos(session):
    give(session, content_image_path="content.png", style_image_path="style.png")
    return session


@pytest.fixture
def with_masks(with_photos):
    give(with_photos, content_seg_path="content_seg.png", style_seg_path="style_seg.png")
    return with_photos


@pytest.fixture
def solves(monkeypatch):
    """The options of every run to come."""
    solves, run_job = [], session_module.run_job
    monkeypatch.setattr(session_module, "run_job", lambda job, *rest: solves.append(job.options) or run_job(job, *rest))
    return solves


def content(session, name):
    """The bytes of a file of the session."""
    with session.file(name) as file:
        return file.read()


def written(session, realism=1, strength=1):
    """The bytes of the picture that can be downloaded."""
    return content(session, session.write(Download.RESULT, realism, strength))


def picture(data):
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def strokes(name):
    """A PNG with a stroke in the blue and in the white region of a mask of tests/data, and nothing elsewhere."""
    with Image.open(DATA / name) as mask:
        colours = np.asarray(mask.convert("RGB"))
    drawn = np.zeros((*colours.shape[:2], 4), np.uint8)
    for colour in ((0, 0, 255), (255, 255, 255)):
        y, x = np.nonzero((colours == colour).all(axis=-1))
        middle = np.argsort(y + x)[len(y) // 2 - 4 : len(y) // 2 + 4]
        drawn[y[middle], x[middle]] = (*colour, 255)
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, "PNG")
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RegionSource.STROKES, RegionSource.FOUND])
def test_the_shown_command_line_gives_the_same_result(with_masks, kind, tmp_path, monkeypatch):
    if kind is RegionSource.STROKES:
        for option, name in (("content_seg_path", "content_seg.png"), ("style_seg_path", "style_seg.png")):
            with_masks.add_file(option, f"drawn_{name}", [strokes(name)])
    assert with_masks.make(kind, 2, 0.5, 1) == []
    made = with_masks.view(0.5, 1.25)
    assert made.is_whole and not made.is_draft and len(made.masks) == 2
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("content.png", "style.png"):
        (folder / name).write_bytes((DATA / name).read_bytes())
    if kind is not RegionSource.FOUND:
        for name in made.masks:
            (folder / name).write_bytes(content(with_masks, name))
    python, program, *arguments = shlex.split(made.command)
    assert (python, program) == ("python", "deep_photostyle.py")
    assert deep_photostyle.main([*arguments, "--quiet"]) == 0
    own = written(with_masks, 0.5, 1.25)
    np.testing.assert_array_equal(picture((folder / "content_restyled.png").read_bytes()), picture(own))
    if kind is RegionSource.FOUND:
        beside = [folder / f"content_restyled.png.{name}" for name in made.masks]
        assert [path.read_bytes() for path in beside] == [content(with_masks, name) for name in made.masks]


def test_the_result_has_the_photos_own_size_kind_and_exif(session):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 1300, 3), np.uint8)  # larger than what is shown
    file, exif = io.BytesIO(), Image.Exif()
    exif[271] = "a camera"
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    shown = session.add_file("content_image_path", "wide.jpg", [file.getvalue()])
    assert picture(content(session, shown)).shape == (54, 1000, 3)
    give(session, style_image_path="style.png")
    session.make(RegionSource.WHOLE, 3, 1, 1)
    with Image.open(io.BytesIO(written(session))) as result:
        assert (result.size, result.format, result.getexif()[271]) == ((1300, 70), "JPEG", "a camera")


@pytest.mark.slow
def test_sliders_move_on_a_draft_without_solving_and_the_result_comes_first(with_masks, solves, progress):
    assert with_masks.view(1, 1) is None
    seen = []
    assert with_masks.draft(RegionSource.MASKS, 3, 0.5, lambda: seen.append(with_masks.view(2, 1).realism)) == []
    assert len(solves) == 1 and solves[0].preview
    assert list(dict.fromkeys(seen)) == [0.5, 1, 1.5, 2]  # its own realism first; always the nearest that there is
    views = {realism: with_masks.view(realism, 1) for realism in REALISMS}
    assert all(view.is_draft and view.command == "" and view.realism == realism for realism, view in views.items())
    assert len({view.picture for view in views.values()}) == len(REALISMS)
    photo = picture(content(with_masks, "0_shown.jpg"))
    moved = [np.abs(picture(with_masks.view(1, strength).picture) - photo).mean() for strength in (0, 0.5, 1)]
    assert moved[0] < 1 < moved[1] < moved[2]  # but for the JPEG, strength 0 is the photo
    assert len(solves) == 1
    shares = [share for share, _ in progress]
    assert shares == sorted(shares) and shares[0] == 0 and 0.9 < shares[-1] <= 1
    with_masks.make(RegionSource.MASKS, 3, 1, 1)
    assert not with_masks.view(1, 0.5).is_draft and with_masks.view(2, 1).is_draft


@pytest.mark.slow
def test_what_is_downloaded_is_what_is_shown_and_nothing_is_solved_twice(with_masks, solves, progress, tmp_path):
    seen = []
    with_masks.make(RegionSource.MASKS, 3, 1, 1, lambda: seen.append(with_masks.view(1, 1)))
    assert not any(view.is_whole for view in seen) and with_masks.view(1, 1).is_whole
    assert len({view.picture for view in seen}) > 1  # after the first stage, too
    progress.clear()
    full, half = picture(written(with_masks)), picture(written(with_masks, 1, 0.5))
    assert len(solves) == 1 and "--strength 0.5" in with_masks.view(1, 0.5).command
    assert {words for _, words in progress} == {"writing content_restyled.png"}
    photo = picture((DATA / "content.png").read_bytes())
    unclipped = (full > 0) & (full < 255)
    assert unclipped.mean() > 0.5
    assert np.abs(half - (photo + full) / 2)[unclipped].max() <= 1  # all three are in whole levels
    # The view has the photo's own size here: it is the same picture but for the noise of its JPEG.
    shown, change = picture(with_masks.view(1, 0.5).picture) - photo, full - photo
    assert (shown * change).sum() / (change * change).sum() == pytest.approx(0.5, abs=0.05)
    # Nothing was solved at realism 2: the nearest is shown, says so, and cannot be downloaded as that.
    assert with_masks.view(2, 0.5).realism == 1
    with pytest.raises(UserError, match="has not been made yet; make it first"):
        with_masks.write(Download.RESULT, 2, 0.5)
    with_masks.make(RegionSource.MASKS, 3, 2, 0.5)
    with_masks.make(RegionSource.MASKS, 3, 1, 0.5)  # it is there
    assert len(solves) == 2
    with_masks.make(RegionSource.WHOLE, 3, 2, 0.5)
    assert with_masks.view(1, 0.5).realism == 2  # that of the masks is gone
    whole, lut = picture(written(with_masks, 2, 1)), tmp_path / with_masks.write(Download.LUT, 2, 0.5)
    lut.write_bytes(content(with_masks, lut.name))
    assert lut.name == "content_look.cube"
    by_lut = 255 * Lut.read(str(lut))(photo.astype(np.float32) / 255)
    assert np.abs(by_lut - whole).mean() < np.abs(photo - whole).mean() / 2
    give(with_masks, style_image_path="init.png")
    assert with_masks.view(2, 0.5) is None
    with_masks.make(RegionSource.WHOLE, 3, 2, 0.5)
    assert len(solves) == 4


def test_regions_are_shown_and_nothing_is_solved(with_masks, solves):
    shown = with_masks.show_regions(RegionSource.MASKS, 3)
    assert solves[0].dry_run and len(solves) == 1 and shown.warnings == []
    assert [each.name for each in shown.regions] == ["blue", "white", "red"]
    for number, (name, own) in enumerate(zip(shown.masks, ("content_seg.png", "style_seg.png"), strict=True)):
        regions, mask = picture(content(with_masks, name)), picture((DATA / own).read_bytes())
        assert (regions == mask).all(-1).mean() > 0.9  # whose edges have other colours
        for each in shown.regions:
            share = (regions == list(bytes.fromhex(each.colour[1:]))).all(-1).mean()
            assert (each.content, each.style)[number] == pytest.approx(share, abs=0.02)


def test_found_regions_are_named_in_the_log_and_no_path_of_the_pages_own(with_photos, caplog, tmp_path):
    caplog.set_level("INFO", "dpst")
    assert len(with_photos.show_regions(RegionSource.FOUND, 2).regions) == 2
    assert "regions: 2 found" in caplog.text and "blue" in caplog.text and str(tmp_path) not in caplog.text


def hdr(path):
    how = {"colours": (9, 16, 9, 1), "options": {"x265-params": "log-level=none"}}
    return Path(make_clip(path, colour_frames(2), "libx265", "yuv420p10le", **how)).read_bytes()


def cut_short(path):
    return Path(make_clip(path, colour_frames(5), "libx264", "yuv420p")).read_bytes()[:600]


@pytest.mark.parametrize(
    ("option", "name", "content", "role", "called"),
    [
        ("content_image_path", "wrong.png", b"no picture", "content image", "your photo"),
        ("content_image_path", "wrong.mkv", hdr, "content clip", "your clip"),
        ("content_image_path", "wrong.mp4", cut_short, "content clip", "your clip"),
        ("style_image_path", "wrong.png", b"", "style image", "the other photo"),
        ("style_image_path", "wrong.mp4", cut_short, "style image", "the other photo"),
        ("content_seg_path", "wrong.png", b"GIF89a", "content segmentation", "the mask of your photo"),
    ],
)
def test_a_wrong_file_is_refused_as_on_the_command_line(
    with_masks, option, name, content, role, called, tmp_path, monkeypatch, capsys
):
    content = content(tmp_path / f"made_{name}") if callable(content) else content
    with pytest.raises(UserError) as refused:
        with_masks.add_file(option, name, [content])
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    paths = {name: str(DATA / f"{name}.png") for name in ("content", "style")}
    options = {"content_image_path": paths["content"], "style_image_path": paths["style"], option: name}
    options |= {"output_image": f"result{Path(name).suffix}"}
    assert deep_photostyle.main(["--quiet", *(word for name, value in options.items() for word in (f"--{name}", value))]) == 1
    assert capsys.readouterr().err.replace(role, called) == f"error: {refused.value}\n"
    assert len(with_masks.show_regions(RegionSource.MASKS, 3).regions) == 3  # of the files that were there before


def test_without_pyav_a_clip_is_refused_in_a_line(session, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"^clips need PyAV \(.*\); pip install -r requirements-video\.txt$"):
        session.add_file("content_image_path", "clip.mp4", [b"x"])


def test_a_photo_cut_short_is_refused(session):
    whole = (DATA / "content.png").read_bytes()
    with pytest.raises(UserError, match=r"^your photo cut\.png is damaged or truncated"):
        session.add_file("content_image_path", "cut.png", [whole[: len(whole) // 2]])
    assert session.file("cut.png") is None


@pytest.mark.parametrize("numbers", [(4, 1), (1, 3), (float("nan"), 1)])
def test_numbers_out_of_range_are_refused(with_photos, numbers):
    with pytest.raises(UserError, match=r"^(realism|strength) \S+ is out of range"):
        with_photos.make(RegionSource.WHOLE, 3, *numbers)
    with pytest.raises(UserError, match=r"^number of regions 77 is unknown"):
        with_photos.make(RegionSource.FOUND, 77, 1, 1)


def test_files_of_the_same_name_are_kept_apart(session):
    give(session, content_image_path="content.png")
    session.add_file("style_image_path", "content.png", [(DATA / "style.png").read_bytes()])
    session.make(RegionSource.WHOLE, 3, 1, 1)
    command = session.view(1, 1).command
    assert "--content_image_path content.png --style_image_path style_image_content.png" in command
    assert content(session, "content.png") == (DATA / "content.png").read_bytes()
    assert content(session, "style_image_content.png") == (DATA / "style.png").read_bytes()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "no.png", "."])
def test_only_the_sessions_own_files_are_given_out(with_photos, tmp_path, name):
    (tmp_path / "root" / "secret").write_text("x")
    assert with_photos.file(name) is None


@pytest.mark.slow
def test_a_solve_that_is_stopped_gives_the_best_picture_so_far(tmp_path, with_masks):
    with_masks._on_progress = lambda share, words: share > 0 and with_masks.stop()
    with_masks.begin(with_masks.start())
    with_masks.make(RegionSource.MASKS, 3, 1, 1)
    assert not with_masks.view(1, 1).is_whole
    with_masks._on_progress = lambda share, words: None
    with_masks.begin(with_masks.start())
    assert picture(written(with_masks)).shape == picture((DATA / "content.png").read_bytes()).shape
    with_masks.make(RegionSource.MASKS, 3, 1, 1)
    assert with_masks.view(1, 1).is_whole  # it is not taken for what is done


def test_what_is_stopped_before_it_begins_leaves_nothing(with_photos):
    stopped = with_photos.start()
    with_photos.stop()
    with_photos.start()  # what comes after it does not undo it
    with_photos.begin(stopped)
    with pytest.raises(KeyboardInterrupt):
        with_photos.make(RegionSource.WHOLE, 3, 1, 1)
    assert with_photos.view(1, 1) is None


def test_all_is_deleted_when_the_page_is_closed(with_photos, tmp_path):
    with_photos.make(RegionSource.WHOLE, 3, 1, 1)
    written(with_photos)
    assert len(list((tmp_path / "root").rglob("*"))) > 4
    with_photos.close()
    with_photos.close()
    assert not list((tmp_path / "root").iterdir())
    for act in (
        lambda: with_photos.make(RegionSource.WHOLE, 3, 1, 1),
        lambda: with_photos.view(1, 1),
        lambda: content(with_photos, "content.png"),
        lambda: give(with_photos, content_image_path="content.png"),
    ):
        with pytest.raises(PageClosed):
            act()
    assert not list((tmp_path / "root").iterdir())


def test_a_page_closed_during_a_solve_ends_it_and_leaves_no_file(with_masks, tmp_path):
    shares = []

    def on_progress(share, words):
        shares.append(share)
        if share > 0:
            with_masks.close()
            assert list((tmp_path / "root").iterdir())  # what runs may still read and write

    with_masks._on_progress = on_progress
    with pytest.raises(PageClosed):
        with_masks.make(RegionSource.MASKS, 3, 1, 1)
    assert not list((tmp_path / "root").iterdir())
    assert len([share for share in shares if share > 0]) == 1


def test_warnings_have_names_and_exclude_those_of_other_threads(with_masks, monkeypatch):
    logger, run_job = logging.getLogger("dpst"), session_module.run_job

    def run(job, *rest):
        other = threading.Thread(target=logger.warning, args=["of another page"])
        other.start()
        other.join()
        logger.warning("mask %s is odd", job.options.content_seg_path)
        return run_job(job, *rest)

    monkeypatch.setattr(session_module, "run_job", run)
    assert with_masks.show_regions(RegionSource.MASKS, 3).warnings == ["mask content_seg.png is odd"]


def test_the_base_options_hold(tmp_path):
    base = dataclasses.replace(Options(app=True), max_pixels=0.001)
    session = Session(tmp_path, base, Networks(), lambda *_: None)
    with pytest.raises(UserError, match=r"more than 0\.001 million"):
        give(session, content_image_path="content.png")
