"""Writing clips: graded frames, and everything else of the file as it was."""

from fractions import Fraction

import numpy as np
import pytest
from made_clips import colour_frames, contents, make_clip, planes_of, rgb_of

from dpst.errors import UserError
from dpst.files.clip_writing import check_clip_writable, write_clip
from dpst.files.clips import read_clip
from dpst.files.luts import Lut


@pytest.fixture
def tables(tmp_path):
    """Paths of .cube files: one that changes nothing, and one that swaps red and blue and darkens."""
    identity = Lut.identity(9)
    identity.write(str(tmp_path / "identity.cube"))
    Lut((identity.table[..., ::-1] * 0.8).copy()).write(str(tmp_path / "swap.cube"))
    return str(tmp_path / "identity.cube"), str(tmp_path / "swap.cube")


def graded(path, output, table, codec="ffv1", firsts=(0,), **how):
    clip = read_clip(str(path), "clip", 200.0)
    grades = [table] if isinstance(table, str) else table
    return write_clip(clip, str(output), firsts, lambda shot: [grades[shot]], codec=codec, **how)


def test_frames_get_the_tables_colours(tmp_path, tables):
    frames = colour_frames(5)
    path = make_clip(tmp_path / "clip.mkv", frames)
    assert graded(path, tmp_path / "out.mkv", tables[1]) == 5
    written, *_ = contents(tmp_path / "out.mkv")
    for frame, rgb in zip(written, frames, strict=True):
        assert np.abs(rgb_of(planes_of(frame)) - 0.8 * rgb[..., ::-1]).max() < 2.5 / 255


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_without_a_change_samples_stay(tmp_path, tables, pixels):
    path = make_clip(tmp_path / "clip.mkv", colour_frames(2), pixels=pixels)
    graded(path, tmp_path / "out.mkv", tables[0])
    for frame, other in zip(contents(path)[0], contents(tmp_path / "out.mkv")[0], strict=True):
        assert frame.format.name == other.format.name == pixels
        for plane, own in zip(planes_of(frame), planes_of(other), strict=True):
            assert np.abs(plane - own).max() <= (4 if "10" in pixels else 1)  # a level of 8 bits, where chroma is resampled


def test_each_shot_has_its_own_table(tmp_path, tables):
    frames = colour_frames(6)
    graded(make_clip(tmp_path / "clip.mkv", frames), tmp_path / "out.mkv", tables, firsts=(0, 4))
    written = [rgb_of(planes_of(frame)) for frame in contents(tmp_path / "out.mkv")[0]]
    assert np.abs(written[3] - frames[3]).max() < 2.5 / 255
    assert np.abs(written[4] - 0.8 * frames[4][..., ::-1]).max() < 2.5 / 255


def test_regions_have_their_own_tables_by_their_masks(tmp_path, tables):
    frames = colour_frames(3)
    clip = read_clip(make_clip(tmp_path / "clip.mkv", frames), "clip", 200.0)
    masks = np.zeros((24, 32, 2), np.float32)
    masks[:, :10, 0], masks[:, 20:, 1] = 1, 0.5  # between them no region; in the second one half the change
    of_frames = (each for each in (masks, masks, masks[:, ::-1]))
    write_clip(clip, str(tmp_path / "out.mkv"), [0], lambda shot: [tables[1], tables[1]], of_frames, codec="ffv1")
    for number, (frame, rgb) in enumerate(zip(contents(tmp_path / "out.mkv")[0], frames, strict=True)):
        written, swapped = rgb_of(planes_of(frame)), 0.8 * rgb[..., ::-1]
        if number == 2:
            written, swapped, rgb = written[:, ::-1], swapped[:, ::-1], rgb[:, ::-1]
        assert np.abs(written - rgb)[:, 10:20].max() < 2.5 / 255
        assert np.abs(written - swapped)[:, :10].max() < 2.5 / 255
        assert np.abs(written - (rgb + swapped) / 2)[:, 20:].max() < 2.5 / 255


def test_equal_colours_stay_equal_in_all_frames(tmp_path, tables):
    clip = make_clip(tmp_path / "clip.mkv", colour_frames(8))
    graded(clip, tmp_path / "out.mkv", tables[1])
    seen = {}
    for frame, own in zip(contents(clip)[0], contents(tmp_path / "out.mkv")[0], strict=True):
        before, after = (np.stack(planes_of(each), -1).reshape(-1, 3) for each in (frame, own))
        for colour, result in zip(map(tuple, before), map(tuple, after), strict=True):
            assert seen.setdefault(colour, result) == result
    assert len(seen) < 8 * 24 * 32 / 2  # colours do come again


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv"])
def test_everything_else_of_the_file_stays(tmp_path, tables, extension):
    times = [0, 4, 8, 20, 21, 30, 50]  # of a variable rate
    made = {"audio": True, "times": times, "metadata": {"title": "Ä film"}, "colours": (5, 6, 5, 1)}
    path = make_clip(tmp_path / f"clip{extension}", colour_frames(7), "libx264", "yuv420p", **made)
    assert graded(path, tmp_path / f"out{extension}", tables[1], "h264") == 7
    before, after = contents(path), contents(tmp_path / f"out{extension}")
    expected = [Fraction(time, 100) for time in times]
    assert [frame.pts * frame.time_base - before[0][0].pts * before[0][0].time_base for frame in before[0]] == expected
    assert [frame.pts * frame.time_base for frame in after[0]] == [frame.pts * frame.time_base for frame in before[0]]
    assert before[1] == after[1] and len(before[1]) >= 4  # packets of sound: times and bytes
    assert before[2] == after[2]
    assert ("audio", "deu") in after[2] or extension == ".mov"  # which holds languages by numbers of its own
    assert before[3] == after[3] == [(0, Fraction(1, 5), {"title": "one"})]
    assert after[4]["title"] == "Ä film"
    for frame in after[0]:
        told = int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), int(frame.color_range)
        assert told == (5, 6, 5, 1)


def test_the_last_frames_come_wherever_the_film_stands_in_the_file(tmp_path, tables):
    path = make_clip(tmp_path / "clip.mp4", colour_frames(9), "libx264", "yuv420p", audio="first")
    assert read_clip(path, "clip", 200.0).stream == 1
    assert graded(path, tmp_path / "out.mp4", tables[1], "h264") == 9
    before, after = contents(path), contents(tmp_path / "out.mp4")
    assert len(after[0]) == 9 and before[1:3] == after[1:3]


def test_texts_may_be_dropped(tmp_path, tables):
    path = make_clip(tmp_path / "clip.mp4", colour_frames(2), "libx264", "yuv420p", metadata={"title": "secret"}, audio=True)
    graded(path, tmp_path / "out.mp4", tables[1], "h264", drop_metadata=True)
    after = contents(tmp_path / "out.mp4")
    assert "title" not in after[4] and ("audio", "deu") in after[2]


@pytest.mark.parametrize(
    ("codec", "extension", "pixels"),
    [
        ("h264", ".mp4", "yuv420p10le"),
        ("hevc", ".mp4", "yuv420p10le"),
        ("prores", ".mov", "yuv422p10le"),
        ("ffv1", ".mkv", "yuv420p10le"),
    ],
)
def test_ten_bits_stay_in_every_codec(tmp_path, tables, codec, extension, pixels):
    path = make_clip(tmp_path / "clip.mkv", colour_frames(3), pixels="yuv420p10le")
    assert graded(path, tmp_path / f"out{extension}", tables[0], codec, crf=4) == 3
    before, after = contents(path)[0], contents(tmp_path / f"out{extension}")[0]
    for frame, own in zip(before, after, strict=True):
        assert own.format.name == pixels
        assert np.abs(planes_of(frame)[0] - planes_of(own)[0]).mean() < 4  # of 1023


def test_a_rotation_stays(tmp_path, tables):
    path = make_clip(tmp_path / "clip.mp4", colour_frames(2), "libx264", "yuv420p", rotation=90)
    graded(path, tmp_path / "out.mp4", tables[0], "h264")
    assert [frame.rotation for frame in contents(tmp_path / "out.mp4")[0]] == [90, 90]


def test_interlaced_frames_stay_so(tmp_path, tables):
    how = {"flags": "+ildct+ilme", "x264-params": "tff=1:fake-interlaced=1"}
    path = make_clip(tmp_path / "clip.mp4", colour_frames(3), "libx264", "yuv420p", options=how)
    clip = read_clip(path, "clip", 200.0)
    assert clip.interlaced
    graded(path, tmp_path / "out.mp4", tables[0], "h264")
    assert all(frame.interlaced_frame for frame in contents(tmp_path / "out.mp4")[0])
    with pytest.raises(UserError, match="is interlaced, which ffv1 cannot record"):
        check_clip_writable(str(tmp_path / "out.mkv"), "ffv1", clip)


def test_an_odd_size_stays(tmp_path, tables, caplog):
    path = make_clip(tmp_path / "clip.mkv", colour_frames(2, 23, 31), pixels="yuv420p")
    graded(path, tmp_path / "out.mp4", tables[0], "h264")
    frames = contents(tmp_path / "out.mp4")[0]
    assert [(frame.height, frame.width, frame.format.name) for frame in frames] == [(23, 31, "yuv444p")] * 2
    assert "has an odd size, 31x23" in caplog.text


def test_a_stop_leaves_a_file_with_the_frames_so_far(tmp_path, tables, caplog):
    path = make_clip(tmp_path / "clip.mp4", colour_frames(30), "libx264", "yuv420p", audio=True)
    assert graded(path, tmp_path / "out.mp4", tables[1], "h264", goes_on=lambda done: done < 9) == 9
    assert len(contents(tmp_path / "out.mp4")[0]) == 9
    assert "the first 9 frames are in" in caplog.text


def test_what_ends_a_look_is_raised_after_the_frames_before_it_are_saved(tmp_path, tables):
    clip = read_clip(make_clip(tmp_path / "clip.mkv", colour_frames(8)), "clip", 200.0)

    def grade(shot):
        if shot:
            raise KeyboardInterrupt
        return [tables[1]]

    with pytest.raises(KeyboardInterrupt):
        write_clip(clip, str(tmp_path / "out.mkv"), [0, 5], grade, codec="ffv1")
    assert len(contents(tmp_path / "out.mkv")[0]) == 5


def test_a_clip_that_cannot_be_written_leaves_nothing(tmp_path, tables):
    path = make_clip(tmp_path / "clip.mkv", colour_frames(2))
    with pytest.raises(UserError, match="cannot be written"):
        graded(path, tmp_path / "nowhere" / "out.mkv", tables[0])
    with pytest.raises(ZeroDivisionError):
        graded(path, tmp_path / "out.mkv", tables[0], goes_on=lambda done: 1 / 0)
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".part")]


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("out.png", "h264", "has the extension '.png'; use one of .mp4"),
        ("out.mp4", "prores", "cannot hold prores; use one of .mov"),
        ("no/such/../out.mp4", "ffv1", "cannot hold ffv1"),
    ],
)
def test_places_that_cannot_hold_a_clip_are_reported(tmp_path, name, codec, message):
    clip = read_clip(make_clip(tmp_path / "clip.mkv", colour_frames(1)), "clip", 200.0)
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        check_clip_writable(str(tmp_path / name), codec, clip)
