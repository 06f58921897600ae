"""A clip from file to file, with a thin network and few steps."""

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from made_clips import colour_frames, contents, make_clip, planes_of, rgb_of
from PIL import Image

from dpst.batch.manifest import find_jobs
from dpst.errors import OptionError, UserError
from dpst.files.luts import Lut
from dpst.files.photos import read_photo
from dpst.jobs import clip as clip_job
from dpst.jobs.job import Job, Status
from dpst.jobs.kept_looks import KeptLooks
from dpst.jobs.picture import check_job, run_job, run_one
from dpst.jobs.records import finished, write_record
from dpst.jobs.stopping import signals_stop
from dpst.options import Options
from dpst.solver.stages import Stage

DATA = Path(__file__).parent.parent / "data"


SHOTS, FILM = (8, 12), "film.mkv"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two shots of 8 and 12 frames; the second one ends black."""
    shown = [1] * 8 + [0.75, 0.5, 0.25, 0]
    second = [share * frame for share, frame in zip(shown, colour_frames(12, base=(0.7, 0.45, 0.25), seed=2), strict=True)]
    return make_clip(tmp_path_factory.mktemp("film") / "film.mkv", [*colour_frames(8), *second])


def options_in(folder, film):
    (folder / "records").mkdir()
    return Options(
        content_image_path=film,
        style_image_path=str(DATA / "style.png"),
        vgg19_weights=str(DATA / "thin_vgg19.npy"),
        output_image=str(folder / "out.mkv"),
        serial=str(folder / "records"),
        video_codec="ffv1",
        max_size=64,
        max_iter=3,
        lut_size=17,
    )


@pytest.fixture
def options(film, tmp_path):
    return options_in(tmp_path, film)


@pytest.fixture(scope="module")
def done(film, tmp_path_factory):
    """Options and outcome of a job that is done."""
    options = options_in(tmp_path_factory.mktemp("done"), film)
    return options, run(options)


def run(options):
    check_job(options)
    return run_job(Job(options))


def frames_of(path):
    return [np.stack(planes_of(frame), -1) for frame in contents(path)[0]]


def test_each_shot_has_one_look_and_equal_colours_stay_equal(done, film):
    options, outcome = done
    assert outcome.status is Status.DONE and outcome.record.stages
    before, after = frames_of(film), frames_of(options.output_image)
    assert len(after) == sum(SHOTS)
    assert np.abs(before[0] - after[0]).max() > 10
    for shot in (slice(0, 8), slice(8, 20)):
        seen = {}
        for frame, result in zip(before[shot], after[shot], strict=True):
            for colour, other in zip(map(tuple, frame.reshape(-1, 3)), map(tuple, result.reshape(-1, 3)), strict=True):
                assert seen.setdefault(colour, other) == other


def test_a_fade_ends_in_black(done):
    assert rgb_of(np.moveaxis(frames_of(done[0].output_image)[-1], -1, 0)).max() < 1.5 / 255


def test_a_finished_clip_is_known(done):
    options, outcome = done
    write_record(outcome.record, options)
    assert finished(options)
    assert not finished(dataclasses.replace(options, crf=20))


def test_a_mask_gives_each_region_its_own_look(options, tmp_path, film, done):
    mask = np.zeros((24, 32, 3), np.uint8)
    mask[:, :16], mask[:, 16:] = (0, 0, 255), (255, 255, 255)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    masks = {"content_seg_path": str(tmp_path / "mask.png"), "style_seg_path": str(DATA / "style_seg.png")}
    outcome = run(dataclasses.replace(options, mask_preview=str(tmp_path / "regions.png"), **masks))
    assert [round(share.content, 2) for share in outcome.record.regions] == [0.5, 0.5]
    assert read_photo(str(tmp_path / "regions.png"))
    for frame, result in zip(frames_of(film), frames_of(options.output_image), strict=True):
        assert result.shape == frame.shape
    assert len(outcome.record.stages) == len(done[1].record.stages) // 2  # no cuts are looked for


def moving_masks(path, count=20):
    """A clip of masks whose edge moves by a pixel a frame; at the second shot the sides change places."""
    frames = []
    for number in range(count):
        mask = np.ones((24, 32, 3))
        mask[:, : edge_of(number), :2] = 0
        frames.append(mask if number < SHOTS[0] else 1 - mask + np.array([0, 0, 1]))
    return make_clip(path, frames)


def edge_of(number):
    return 6 + number


def test_masks_for_each_frame_move_with_it(options, film, tmp_path, done):
    masks = {"content_seg_path": moving_masks(tmp_path / "masks.mkv"), "style_seg_path": str(DATA / "style_seg.png")}
    outcome = run(dataclasses.replace(options, mask_preview=str(tmp_path / "regions.png"), **masks))
    assert len(outcome.record.stages) == len(done[1].record.stages)  # cuts are looked for
    assert sum(share.content for share in outcome.record.regions) == pytest.approx(1, abs=1e-3)
    before, after = frames_of(film), frames_of(options.output_image)
    for shot in (range(8), range(8, 20)):
        looks = {}, {}
        for number in shot:
            for side, columns in enumerate((slice(0, edge_of(number) - 2), slice(edge_of(number) + 2, 32))):
                pairs = (frames[number][:, columns].reshape(-1, 3) for frames in (before, after))
                for colour, result in zip(*(map(tuple, each) for each in pairs), strict=True):
                    assert looks[side].setdefault(colour, result) == result
        common = looks[0].keys() & looks[1].keys()
        assert np.abs(np.array([np.subtract(looks[0][colour], looks[1][colour]) for colour in common])).max() > 3


def test_more_or_fewer_masks_than_frames_are_refused_before_the_solve(options, tmp_path):
    masks = {"content_seg_path": moving_masks(tmp_path / "masks.mkv", 19), "style_seg_path": str(DATA / "style_seg.png")}
    with pytest.raises(UserError, match="has masks for 19 frames, and the clip has 20; give one for each"):
        run(dataclasses.replace(options, **masks))


def test_the_preview_is_the_first_frame_of_each_shot(options, tmp_path, caplog):
    caplog.set_level("INFO")
    assert run_one(dataclasses.replace(options, preview=True), "") == 0
    assert caplog.messages[-1] == "preview: no result was written"
    names = sorted(path.name for path in tmp_path.glob("out*"))
    assert names == ["out_shot_1.png", "out_shot_2.png"]
    assert read_photo(str(tmp_path / "out_shot_1.png")).size == (24, 32)


def test_a_dry_run_lists_the_shots_and_writes_nothing(options, caplog, tmp_path):
    caplog.set_level("INFO")
    assert run(dataclasses.replace(options, dry_run=True)).status is Status.CHECKED
    assert "shots: 2, beginning at 0:00.0, 0:00.3" in caplog.text and not list(tmp_path.glob("out*"))
    run(dataclasses.replace(options, dry_run=True, one_look=True))
    assert caplog.messages[-1] == "shots: 2, with one look"


def test_a_lut_is_put_on_all_frames_at_each_strength(film, tmp_path):
    table = Lut.identity(9).table
    Lut((table * 0.5).copy()).write(str(tmp_path / "half.cube"))
    outcome = run(
        Options(
            content_image_path=film,
            apply_lut=str(tmp_path / "half.cube"),
            output_image=str(tmp_path / "out.mkv"),
            serial=str(tmp_path),
            video_codec="ffv1",
            strength="0.5,1",
        )
    )
    assert outcome.status is Status.DONE and len(outcome.record.outputs) == 2
    for name, factor in (("out_0.5.mkv", 0.75), ("out_1.mkv", 0.5)):
        for before, after in zip(frames_of(film), frames_of(tmp_path / name), strict=True):
            rgb, result = (rgb_of(np.moveaxis(frame, -1, 0)) for frame in (before, after))
            assert np.abs(result - factor * np.clip(rgb, 0, 1)).max() < 2 / 255


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_frames_that_are_done(film, tmp_path, monkeypatch, number, caplog):
    Lut.identity(9).write(str(tmp_path / "same.cube"))
    options = Options(
        content_image_path=film,
        apply_lut=str(tmp_path / "same.cube"),
        output_image=str(tmp_path / "out.mkv"),
        serial=str(tmp_path),
        video_codec="ffv1",
    )

    class Following(clip_job._Following):
        def __call__(self, written):
            if written == 5:
                os.kill(os.getpid(), number)
            return super().__call__(written)

    monkeypatch.setattr(clip_job, "_Following", Following)
    with signals_stop():
        outcome = run(options)
    assert outcome.status is Status.STOPPED
    assert len(frames_of(options.output_image)) == 5
    assert "the first 5 frames are in" in caplog.text


def test_a_run_after_a_signal_goes_on_after_the_last_look(options, monkeypatch, tmp_path, done):
    import photo_style

    stylize, calls = photo_style.stylize, []

    def stopped(*arguments, **how):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return stylize(*arguments, **how)

    monkeypatch.setattr(photo_style, "stylize", stopped)
    with signals_stop():
        assert run(options).status is Status.STOPPED
    assert 1 <= len(frames_of(options.output_image)) <= 8
    assert len(list(tmp_path.glob("records/out.looks/*.npz"))) == 1
    outcome = run(options)
    assert outcome.status is Status.DONE and len(calls) == 3  # the first shot, the second one twice
    assert Path(options.output_image).read_bytes() == Path(done[0].output_image).read_bytes()
    assert [stage.losses for stage in outcome.record.stages] == [stage.losses for stage in done[1].record.stages]
    assert not (tmp_path / "records" / "out.looks").exists()


def test_a_damaged_look_is_solved_for_again(tmp_path, caplog):
    kept = KeptLooks(tmp_path / "looks", "0" * 64)
    assert kept.read(0) is None and kept.count() == 0
    tables = np.random.default_rng(0).random((2, 2, 2, 2, 3), np.float32)
    kept.write(0, tables, [Stage("refinement", (3, 4), [{"total": 0.1}], 1, 2, 3.5, "all made")])
    (file,) = (tmp_path / "looks").iterdir()
    found, stages = kept.read(0)
    np.testing.assert_array_equal(found, tables)
    assert stages[0].losses == [{"total": 0.1}] and kept.count() == 1 and not caplog.text
    file.write_bytes(file.read_bytes()[:-100])
    assert kept.read(0) is None and "is damaged; it is solved for again" in caplog.text
    (tmp_path / "looks" / "own.txt").touch()
    kept.remove()
    assert [path.name for path in (tmp_path / "looks").iterdir()] == ["own.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_image": "out.png"}, "has the extension '.png'; use one of .mp4"),
        ({"style_image_path": ""}, "--style_image_path is missing"),
        ({"content_seg_path": str(DATA / "content_seg.png")}, "give the masks of both|style segmentation is missing"),
        (
            {"content_seg_path": FILM, "style_seg_path": str(DATA / "style_seg.png"), "one_look": True},
            "not for masks of each frame",
        ),
    ],
)
def test_a_check_finds_what_is_wrong_before_anything_is_done(options, changes, message, film):
    changes = {name: film if value == FILM else value for name, value in changes.items()}
    with pytest.raises(UserError, match=message):
        check_job(dataclasses.replace(options, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"style_option": 0},
        {"solver": "pixels"},
        {"realism": "0,1"},
        {"lut": "a.cube"},
        {"auto_seg": "3"},
        {"init_image_path": "a.png"},
    ],
)
def test_options_that_do_not_go_with_a_clip_are_refused(changes):
    with pytest.raises(OptionError):
        Options(content_image_path="clip.mp4", **changes)


def test_a_folder_of_clips_is_a_batch(tmp_path, caplog):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("b.mp4", "a.avi", "c.txt"):
        (folder / name).touch()
    jobs = list(find_jobs(Options(batch=str(folder), style_image_path="s.png", output_dir="out"), ""))
    assert [job.options.output_image for job in jobs] == ["out/a.mp4", "out/b.mp4"]
    assert not any(job.options.mask_preview for job in jobs)
    (tmp_path / "masks" / "b").mkdir(parents=True)  # a folder of masks
    (tmp_path / "masks" / "a.mkv").touch()
    masks = {"content_seg_path": str(tmp_path / "masks"), "style_seg_path": "m.png"}
    found = list(find_jobs(Options(batch=str(folder), style_image_path="s.png", output_dir="out", **masks), ""))
    assert [Path(job.options.content_seg_path).name for job in found] == ["a.mkv", "b"]
    (folder / "photo.jpg").touch()
    jobs = list(find_jobs(Options(batch=str(folder), style_image_path="s.png", output_dir="out"), ""))
    assert [job.options.output_image for job in jobs] == ["out/photo.jpg"]
    assert "contains photos, and 2 clips that are skipped" in caplog.text
