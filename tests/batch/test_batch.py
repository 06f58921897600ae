"""Batches: checked ahead, run whatever becomes of single jobs, resumed, killed."""

import contextlib
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, made_record
from PIL import Image
from tqdm import tqdm

from deep_photostyle import main
from dpst.batch import batch
from dpst.batch.batch import Worker, check_ahead
from dpst.batch.manifest import find_jobs
from dpst.errors import UserError
from dpst.jobs.files_in_use import FilesInUse
from dpst.jobs.job import Job, Outcome, Status
from dpst.options import Options

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pairs(tmp_path):
    """A folder in the paper's layout: three small pairs, all different, with masks."""
    for number in (1, 2, 3):
        for folder, prefix, source in (("input", "in", "content"), ("style", "tar", "style")):
            for kind, name in ((folder, f"{source}.png"), ("segmentation", f"{source}_seg.png")):
                path = tmp_path / "pairs" / kind / f"{prefix}{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                with Image.open(DATA / name) as picture:
                    picture.crop((0, 0, 30 + 2 * number, 26)).save(path)
    return tmp_path / "pairs"


@pytest.fixture
def arguments(pairs, tmp_path):
    """A command line that takes a second a picture."""
    options = {"batch": pairs, "output_dir": tmp_path / "out", "vgg19_weights": DATA / "thin_vgg19.npy", "max_iter": 2}
    return [f"--{name}={value}" for name, value in options.items()] + ["--style_option=2"]


@pytest.fixture
def no_networks(monkeypatch):
    """Replaces the making of a picture by a function; returns what sets it. By default the picture is the content photo."""

    def paint(job, bar, networks):
        shutil.copy(job.options.content_image_path, job.options.output_image)
        return made(job.options)

    monkeypatch.setattr(batch, "run_job", paint)
    return lambda function: monkeypatch.setattr(batch, "run_job", function)


def made(options):
    return Outcome(Path(options.output_image).name, Status.DONE, options, made_record(options))


def pictures(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}


def job(tmp_path, name="a", **options):
    inputs = {"content_image_path": str(DATA / "content.png"), "style_image_path": str(DATA / "style.png")}
    outputs = {"output_image": str(tmp_path / f"{name}.png"), "serial": str(tmp_path / name), "vgg19_weights": "learned"}
    return Job(Options(**(inputs | outputs | options)))


# Checking


def checked(found, read=(), **settings):
    """The jobs as `check_ahead` gives them, where the jobs `read` are known to come."""
    with contextlib.closing(FilesInUse()) as files:
        for each in read:
            files.add_inputs(each.options)
        yield from check_ahead(found, files, **settings)


def test_a_short_batch_is_checked_as_a_whole_and_a_long_one_ahead_of_the_workers(tmp_path):
    drawn = []

    def found():
        for number in range(9):
            drawn.append(number)
            yield job(tmp_path, f"j{number}")

    jobs = checked(found(), ahead=20)
    assert next(jobs).name == "j0.png"
    assert len(drawn) == 9
    assert len(list(jobs)) == 8

    drawn.clear()
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    jobs = checked(found(), ahead=4)
    assert next(jobs).name == "j0.png"
    assert len(drawn) == 5
    assert (next(jobs).name, len(drawn)) == ("j1.png", 6)


BAD_JOBS = {
    "no content": ({"content_image_path": "nowhere.png"}, "content image nowhere.png does not exist; check the path"),
    "no mask": (
        {"content_seg_path": "nowhere.png", "style_seg_path": str(DATA / "style_seg.png")},
        "content segmentation nowhere.png does not exist; check the path",
    ),
    "one mask": (
        {"style_seg_path": str(DATA / "style_seg.png")},
        "`content_seg_path` is missing; give the masks of both photos or of",
    ),
    "no weights": ({"vgg19_weights": "nowhere.npy"}, "weights nowhere.npy does not exist; "),
    "same output": ({}, "output image {}/a.png is also written for {content}; give each its own name"),
    "same output by strength": ({"output_image": "{}/a.png", "strength": "1"}, "output image {}/a.png is also written for "),
    "same record": (
        {"output_image": "{}/a.jpg", "serial": "{}/a"},
        "record {}/a/a.json is also written for {content}; give each",
    ),
    "output is an input": (
        {"content_image_path": "{}/in.png", "output_image": "{}/in.png"},
        "output image {}/in.png would overwrite the input {}/in.png; choose another place",
    ),
    "no folder": ({"output_image": "{}/in.png/b.png"}, "output image {}/in.png/b.png cannot be written (Not a directory);"),
}


@pytest.mark.parametrize("case", BAD_JOBS)
def test_a_job_that_cannot_run_is_listed_and_left_out(tmp_path, caplog, case):
    shutil.copy(DATA / "content.png", tmp_path / "in.png")
    options, message = BAD_JOBS[case]
    options = {name: value.replace("{}", str(tmp_path)) for name, value in options.items()}
    name = "a" if case == "same output" else "b"
    found = [job(tmp_path, "a"), job(tmp_path, name, **options)]
    good, bad = checked(found, found)
    assert isinstance(good, Job) and isinstance(bad, Outcome)
    assert bad.status == "left out"
    message = message.replace("{content}", str(DATA / "content.png")).replace("{}", str(tmp_path))
    assert bad.error.startswith(message)
    assert [record.getMessage() for record in caplog.records] == [f"{bad.name}: {bad.error}"]


def test_without_keep_going_a_bad_job_stops_all_after_every_one_is_listed(tmp_path, caplog):
    found = [job(tmp_path, "a"), *(job(tmp_path, name, content_image_path="nowhere.png") for name in "bc")]
    with pytest.raises(UserError, match=r"^2 jobs cannot run; fix them, or skip them with --keep_going$"):
        next(checked(found, keep_going=False))
    assert [record.getMessage()[:6] for record in caplog.records] == ["b.png:", "c.png:"]


def test_a_check_makes_no_folders_and_a_run_does(tmp_path, no_networks):
    made = job(tmp_path, output_image=str(tmp_path / "x" / "a.png"), mask_preview=str(tmp_path / "y" / "z" / "m.png"))
    (found,) = checked([made])
    assert found is made and not any(tmp_path.iterdir())
    assert run(Worker(), found).status is Status.DONE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "x", "y"]
    assert (tmp_path / "y" / "z").is_dir()


# Running


def run(worker, job):
    return worker.run(job, tqdm(disable=True))


def test_what_is_the_users_is_not_tried_again(tmp_path, no_networks):
    calls = []

    def fail(job, bar, networks):
        calls.append(job)
        logging.getLogger("dpst").warning("look out")
        raise UserError("mask is empty; draw one")

    no_networks(fail)
    report = run(Worker(), job(tmp_path))
    assert (report.status, report.error, report.warnings) == ("failed", "mask is empty; draw one", ("look out",))
    assert len(calls) == 1


def test_what_is_not_the_users_is_tried_once_more(tmp_path, no_networks):
    calls: list[Job] = []

    def fail_first(job, bar, networks):
        logging.getLogger("dpst").warning("attempt %d", len(calls))
        calls.append(job)
        if len(calls) == 1:
            raise MemoryError("for once")
        shutil.copy(DATA / "content.png", job.options.output_image)
        return made(job.options)

    no_networks(fail_first)
    report = run(Worker(), job(tmp_path))
    assert (report.status, report.warnings) == ("done", ("attempt 1",))
    assert json.loads((tmp_path / "a" / "a.json").read_text())["warnings"] == ["attempt 1"]


def test_a_failure_is_one_line_and_its_traceback_is_kept(tmp_path, no_networks):
    def fail(job, bar, networks):
        raise RuntimeError("first line\nsecond line")

    no_networks(fail)
    report = run(Worker(), job(tmp_path))
    log = tmp_path / "a" / "a.log"
    assert (report.status, report.error) == ("failed", f"RuntimeError: first line second line (more in {log})")
    assert "Traceback" in log.read_text() and "in fail" in log.read_text()


def test_networks_are_shared_between_the_jobs_of_a_worker(tmp_path, no_networks):
    shared = []

    def paint(job, bar, networks):
        shared.append(networks)
        shutil.copy(DATA / "content.png", job.options.output_image)
        return made(job.options)

    no_networks(paint)
    worker = Worker()
    for name in "ab":
        run(worker, job(tmp_path, name))
    assert shared[0] is shared[1] is not None


def test_what_a_killed_run_was_writing_is_removed(tmp_path, no_networks):
    (tmp_path / "a").mkdir()
    names = ["a.png", "a/out_iter_1.png", "a/tmp_result.png", "a/a.json", "a/a.log", "b.png"]
    for path in map(Path, names):
        (tmp_path / path.with_name(f".{path.name}.0123abcd.part")).touch()
    others = [tmp_path / ".a.png.bak", tmp_path / ".a.png.1234", tmp_path / ".b.png.0123abcd.part"]
    for path in others:
        path.touch()
    assert run(Worker(), job(tmp_path, style_option=2)).status == "done"
    assert sorted(tmp_path.rglob(".*")) == sorted(others)


@pytest.mark.parametrize("fails", ["finished", "prepare_folders"])
def test_whatever_fails_before_a_job_costs_that_job_alone(tmp_path, no_networks, monkeypatch, fails):
    def fail(*_):
        raise OSError("what\never")

    monkeypatch.setattr(batch, fails, fail)
    (tmp_path / "a").mkdir()
    outcome = run(Worker(), job(tmp_path))
    assert (outcome.status, outcome.error) == ("failed", f"OSError: what ever (more in {tmp_path}/a/a.log)")


def test_a_line_corrected_below_is_done(tmp_path, caplog):
    good, found = job(tmp_path), [job(tmp_path, content_image_path="mistyped.png"), job(tmp_path)]
    bad, corrected = checked(found, found)
    assert bad.error.startswith("content image mistyped.png does not exist; ") and corrected == good


def test_photos_are_in_the_order_of_their_numbers_whatever_their_digits(tmp_path):
    names = ["10.png", "2.png", "5²3.png", "5²10.png", "a².png", "٣.png", "²1.png"]
    for name in names:
        shutil.copy(DATA / "content.png", tmp_path / name)
    found = find_jobs(Options(batch=str(tmp_path), style_image_path="style.png"), "")
    assert [each.name for each in found] == ["2.png", "٣.png", "5²3.png", "5²10.png", "10.png", "a².png", "²1.png"]


def test_a_folder_that_may_not_be_read_is_reported(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(UserError, match=rf"^folder {tmp_path} cannot be read \(Permission denied\); change its permissions$"):
        find_jobs(Options(batch=str(tmp_path)), "")


def test_one_failure_stops_no_other_job_and_the_exit_code_tells(arguments, no_networks, tmp_path, capsys):
    def paint(job, bar, networks):
        if job.name == "in2.png":
            raise ZeroDivisionError("oh")
        shutil.copy(job.options.content_image_path, job.options.output_image)
        return made(job.options)

    no_networks(paint)
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert sorted(pictures(tmp_path / "out")) == ["in1.png", "in3.png"]
    assert told.err.splitlines()[-1] == f"error: in2.png: ZeroDivisionError: oh (more in {tmp_path}/out/in2/in2.log)"
    assert told.out.splitlines()[-1] == f"2 done, 1 failed; see {tmp_path}/out/report.html"
    assert "ZeroDivisionError: oh" in (tmp_path / "out" / "report.html").read_text()


def test_ctrl_c_ends_the_batch_with_its_report(arguments, no_networks, tmp_path):
    def stop(job, bar, networks):
        if job.name == "in1.png":
            shutil.copy(job.options.content_image_path, job.options.output_image)
            return made(job.options)
        return Outcome(job.name, Status.STOPPED, job.options)

    no_networks(stop)
    assert main(arguments) == 130
    assert "stopped" in (tmp_path / "out" / "report.html").read_text()
    no_networks(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(arguments) == 130


def test_an_output_folder_that_cannot_be(arguments, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([*arguments, f"--output_dir={tmp_path}/file/out"]) == 1
    wrong = f"error: --output_dir {tmp_path}/file/out cannot be created (Not a directory); choose"
    assert capsys.readouterr().err.startswith(wrong)


def test_the_error_for_workers_without_ray_says_what_to_install(arguments, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*arguments, "--workers=2"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: --workers 2 needs Ray; pip install -r requirements-ray.txt"


# From end to end


@pytest.mark.slow
def test_a_second_run_skips_what_is_done_and_redoes_what_changed(arguments, pairs, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(arguments) == 0
    first, times = pictures(out), {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert sorted(first) == ["in1.png", "in2.png", "in3.png"]
    with Image.open(out / "in3.png") as result:
        assert result.size == (36, 26)
    capsys.readouterr()

    assert main(arguments) == 0
    assert capsys.readouterr().out == f"3 unchanged; see {out}/report.html\n"
    assert times == {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}

    with Image.open(pairs / "style" / "tar2.png") as style:
        darker = Image.fromarray((np.asarray(style) // 2).astype(np.uint8))
    darker.save(pairs / "style" / "tar2.png")
    (out / "in3.png").write_bytes(first["in3.png"][:100])
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"2 done, 1 unchanged; see {out}/report.html"
    second = pictures(out)
    assert second["in1.png"] == first["in1.png"] and second["in3.png"] == first["in3.png"]
    assert second["in2.png"] != first["in2.png"]


@pytest.mark.slow
def test_two_runs_on_the_same_output_do_each_other_no_harm(arguments, tmp_path):
    out = tmp_path / "out"
    line = [sys.executable, str(ROOT / "deep_photostyle.py"), *arguments]
    runs = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [run.communicate(timeout=240)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    results = pictures(out)
    assert sorted(results) == ["in1.png", "in2.png", "in3.png"] and not list(out.rglob(".*"))
    shutil.rmtree(out)
    assert main(arguments) == 0 and pictures(out) == results
