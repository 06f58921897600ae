"""One picture from files to files: what is checked before, what is written, and what is left when a run ends early."""

import dataclasses
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, golden_photo
from PIL import Image

from dpst.errors import UserError
from dpst.files import writing
from dpst.jobs import picture
from dpst.jobs.job import Job
from dpst.jobs.picture import check_job, run_job, run_one
from dpst.jobs.progress import ProgressLine, log_terms
from dpst.jobs.records import finished, record_path
from dpst.jobs.start import load_tensorflow
from dpst.jobs.stopping import INTERRUPTED
from dpst.options import Options
from dpst.solver.stages import Progress
from vgg19 import weights


@pytest.fixture
def options(golden_paths):
    Path(golden_paths["serial"]).mkdir()
    return Options(**golden_paths)


def changed(options, **changes):
    return dataclasses.replace(options, **changes)


def levels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.fixture
def watched(monkeypatch):
    """Every `Progress` of the runs to come; `watched.stop_at` may name a stage and step at which Ctrl-C is pressed."""

    class Seen(list):
        stop_at = None

    seen = Seen()

    class Watch(picture.Watch):
        def __call__(self, progress):
            super().__call__(progress)
            seen.append(progress)
            if (progress.stage, progress.step) == seen.stop_at:
                raise KeyboardInterrupt

    monkeypatch.setattr(picture, "Watch", Watch)
    return seen


@pytest.fixture
def large_options(options, tmp_path):
    """The golden content six times as large, so that a solve at 300 pixels has two scales and the result a third size."""
    with Image.open(options.content_image_path) as photo:
        photo.convert("RGB").resize((366, 270), Image.Resampling.BICUBIC).save(tmp_path / "large.png")
    return changed(options, content_image_path=str(tmp_path / "large.png"), max_size=300)


def test_a_check_makes_nothing(options, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    check_job(changed(options, serial=str(tmp_path / "a" / "b"), output_image=str(tmp_path / "c" / "d" / "x.png")))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_check_tells_of_strokes_without_masks(options, caplog):
    check_job(changed(options, seg_scribbles="always", content_seg_path="", style_seg_path=""))
    assert [record.getMessage() for record in caplog.records] == ["--seg_scribbles always is not used; there are no masks"]


def test_a_check_tells_of_a_photo_that_is_its_own_style(options, tmp_path, caplog):
    (tmp_path / "link.png").symlink_to(options.content_image_path)
    check_job(changed(options, style_image_path=str(tmp_path / "link.png")))
    content = options.content_image_path
    assert caplog.messages == [f"content image {content} is also the style image; the result will hardly differ"]


@pytest.mark.parametrize("name", ["output_image", "mask_preview"])
def test_a_check_finds_every_file_that_cannot_be_written(options, tmp_path, name):
    (tmp_path / "none").touch()
    with pytest.raises(UserError, match=r"none.x\.png cannot be written \(Not a directory\)"):
        check_job(changed(options, **{name: str(tmp_path / "none" / "x.png")}))


def test_a_result_that_cannot_be_written_is_found_before_the_solve(options, monkeypatch):
    def refuse(*arguments):
        raise ValueError("no such pictures")

    monkeypatch.setattr(writing, "_save", refuse)
    monkeypatch.setattr(picture, "load_tensorflow", lambda *arguments: pytest.fail("the solve has begun"))
    with pytest.raises(UserError, match=r"output image .*result\.png cannot be written \(no such pictures\)"):
        run_job(Job(options))


@pytest.mark.slow
def test_snapshots_are_the_best_images_so_far_rounded(options, watched, tmp_path):
    run_job(Job(changed(options, save_iter=2, max_iter=5, style_option=1)))
    assert sorted(path.name for path in Path(options.serial).iterdir()) == ["out_iter_2.png", "out_iter_4.png"]
    for number in (2, 4):
        best = min(watched[: number + 1], key=lambda progress: progress.losses["total"]).image
        np.testing.assert_array_equal(levels(Path(options.serial) / f"out_iter_{number}.png"), np.rint(best * 255))


def test_the_intermediate_picture_is_what_the_first_stage_ended_with(options, watched):
    run_job(Job(changed(options, style_option=2, solver="reference")))
    first = [progress for progress in watched if progress.stage == 0]
    best = min(first, key=lambda progress: progress.losses["total"]).image
    np.testing.assert_array_equal(levels(Path(options.serial) / "tmp_result.png"), np.rint(best * 255))


def test_the_record_holds_options_regions_stages_and_losses(options):
    options = changed(options, style_option=2, seed=3)
    assert run_one(options, "the command") == 0
    record = json.loads(record_path(options).read_text())
    assert record["command"] == "the command" and record["seed"] == 3
    assert Options(**record["options"]) == options
    assert [region["name"] for region in record["regions"]] == ["blue", "white", "red"]
    assert sum(region["content"] for region in record["regions"]) == pytest.approx(1, abs=0.01)
    assert record["features"] == f"VGG19 weights {options.vgg19_weights}"
    assert [len(stage["losses"]) for stage in record["stages"]] == [3, 3]
    assert record["seconds"] > sum(stage["seconds"] for stage in record["stages"])


def test_the_progress_line_has_phase_size_iteration_loss_and_ends_full(options, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressLine(False, mininterval=0) as line:
        run_job(Job(changed(options, style_option=2, solver="pixels")), line)
        assert line.bar.n == pytest.approx(1)
        assert line.bar.desc.startswith("photorealistic refinement 61x45, iteration 2, loss ")
    shown = capsys.readouterr().err
    assert "segmented style 61x45, iteration 1, loss " in shown and "100%" in shown


def test_the_progress_line_changes_every_so_many_iterations(options, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressLine(False, mininterval=0) as line:
        run_job(Job(changed(options, max_iter=5, print_iter=4)), line)
    assert {part.split(",")[0] for part in capsys.readouterr().err.split("iteration ")[1:]} == {"4"}


def test_a_result_solved_small_is_written_at_the_photos_own_size(large_options, watched):
    run_job(Job(large_options))
    assert watched[-1].image.shape == (221, 300, 3)
    assert levels(large_options.output_image).shape == (270, 366, 3)


@pytest.mark.parametrize("stop_at", [(0, 1), (1, 1)])
def test_ctrl_c_at_any_scale_leaves_the_best_image_at_the_photos_own_size(large_options, watched, caplog, stop_at):
    watched.stop_at = stop_at
    assert run_one(large_options, "") == INTERRUPTED
    result, content = levels(large_options.output_image), levels(large_options.content_image_path)
    assert result.shape == (270, 366, 3)
    assert np.abs(result - content).mean() > 1
    # What was seen last, in which a coarse scale is carried up.
    image = watched[-1].image
    small = np.asarray(Image.fromarray(result.astype(np.uint8)).resize(image.shape[1::-1], Image.Resampling.BOX)) / 255
    start = np.asarray(Image.fromarray(content.astype(np.uint8)).resize(image.shape[1::-1], Image.Resampling.BOX)) / 255
    assert np.abs(small - image).mean() < 0.5 * np.abs(start - image).mean()
    assert f"the best image so far is in {large_options.output_image}" in caplog.messages
    assert not record_path(large_options).exists()


def test_ctrl_c_at_a_later_realism_leaves_those_that_were_finished(options, watched, tmp_path):
    options = changed(options, style_option=1, realism="0,2")
    pictures = [tmp_path / f"result_realism{realism}.png" for realism in (0, 2)]
    run_job(Job(options))
    whole = levels(pictures[0])
    assert list(watched[-1].looks) == [0]
    watched.stop_at = (1, 1)
    assert run_one(options, "") == INTERRUPTED
    stopped = [levels(path) for path in pictures]
    np.testing.assert_array_equal(stopped[0], whole)
    assert np.abs(stopped[1] - whole).max() > 0


@pytest.mark.parametrize("solver", ["pixels", "maps"])
def test_the_light_is_kept_in_a_result_that_ctrl_c_leaves_too(large_options, watched, solver):
    kept = dataclasses.replace(large_options, solver=solver, style_option=2, keep="light")
    watched.stop_at = (0, 1)
    assert run_one(kept, "") == INTERRUPTED
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    result, content = levels(kept.output_image), levels(kept.content_image_path)
    np.testing.assert_allclose(result @ weights, content @ weights, atol=0.6)
    assert np.abs(result - content).mean() > 1


def test_the_best_image_is_that_of_the_stage_that_runs(options):
    # Losses at another size or without the photorealism term do not compare.
    watch, images = picture.Watch(options, log_terms), np.random.default_rng(0).random((4, 20, 24, 3), np.float32)
    for image, stage, step, loss in zip(images, (0, 0, 1, 1), (0, 1, 0, 1), (9.0, 1.0, 5.0, 6.0), strict=True):
        watch(Progress("segmented style", stage, step, 1, 0.5, {"total": loss}, image.shape[:2], lambda image=image: image))
    np.testing.assert_array_equal(watch.best.image, images[2])


def test_a_mask_preview_is_written_before_solving(options, tmp_path, monkeypatch):
    def stopped(device, gpu_share):
        raise KeyboardInterrupt

    monkeypatch.setattr(picture, "load_tensorflow", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_one(changed(options, mask_preview=str(tmp_path / "preview.png")), "")
    assert levels(tmp_path / "preview.png").std() > 0
    assert not Path(options.output_image).exists()


def test_a_gpu_that_is_not_there_is_reported():
    with pytest.raises(UserError, match=r"^--device gpu finds no GPU that TensorFlow can use; .* or use --device cpu$"):
        load_tensorflow("gpu")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_several_runs_may_load_tensorflow(device):
    load_tensorflow(device)
    load_tensorflow(device)


@pytest.fixture
def no_internet(tmp_path, monkeypatch):
    def unreachable(*_):
        raise OSError("no route to host")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "PLACES", (tmp_path / "none.npy",))
    monkeypatch.setattr(weights, "_download", unreachable)


def test_weights_that_are_downloaded_are_in_the_record(options, no_internet, tmp_path, monkeypatch):
    def download(url, path, *_):
        path.parent.mkdir(parents=True)
        shutil.copy(DATA / "thin_vgg19.npy", path)

    monkeypatch.setattr(weights, "KERAS_FILE", "thin.npy")
    monkeypatch.setattr(weights, "_download", download)
    chosen = changed(options, vgg19_weights="auto")
    assert run_one(chosen, "") == 0
    assert finished(chosen) is not None
    os.remove(tmp_path / "keras" / "models" / "thin.npy")
    assert finished(chosen) is None


def test_without_weights_to_be_had_features_are_learned_after_one_warning(options, caplog, no_internet, monkeypatch):
    monkeypatch.setattr("vgg19.learned.WIDTHS", (8, 12, 16, 20, 24))
    assert run_one(changed(options, vgg19_weights="auto"), "") == 0
    warning, painting = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "a painting needs VGG19's weights" in painting
    assert warning == "VGG19's weights cannot be downloaded (no route to host); features are learned from the two photos instead"
    assert json.loads(record_path(options).read_text())["features"] == "learned from the two photos"
    with Image.open(options.output_image) as result:
        assert result.info["features"] == "learned from the two photos"


def test_pretrained_weights_that_cannot_be_had_are_an_error(options, no_internet):
    with pytest.raises(UserError, match=r"cannot be downloaded \(no route to host\); put .* or give `vgg19_weights` FILE$"):
        run_one(changed(options, vgg19_weights="pretrained"), "")
    assert not Path(options.output_image).exists()


@pytest.mark.slow
def test_learned_features_need_no_weights(options, monkeypatch):
    monkeypatch.setattr("vgg19.learned.WIDTHS", (8, 12, 16, 20, 24))
    assert run_one(changed(options, vgg19_weights="learned", style_option=2), "") == 0
    assert np.abs(levels(options.output_image) - 255 * golden_photo("content.png")).mean() > 1


def test_the_init_image_is_where_refinement_starts(options, watched):
    run_job(Job(changed(options, style_option=1, solver="pixels", init_image_path=str(DATA / "init.png"))))
    np.testing.assert_allclose(watched[0].image, golden_photo("init.png"), atol=1e-6)


def test_snapshots_that_cannot_be_written_cost_one_warning_and_no_picture(options, tmp_path, caplog, monkeypatch):
    class Gone(picture.Watch):
        def __call__(self, progress):
            if progress.step == 1:
                shutil.rmtree(options.serial, ignore_errors=True)
            super().__call__(progress)

    monkeypatch.setattr(picture, "Watch", Gone)
    monkeypatch.setattr(picture, "write_record", lambda record, options: None)  # its folder is gone as well
    assert run_one(changed(options, save_iter=1, max_iter=4, style_option=2), "") == 0
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    (lost,) = (text for text in warnings if "snapshot" in text)
    assert lost.startswith(f"output image {options.serial}/out_iter_1.png cannot be written (")
    assert lost.endswith("); no more snapshots are saved")
    assert levels(options.output_image).shape == (45, 61, 3)
