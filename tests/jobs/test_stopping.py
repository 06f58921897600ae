"""Ctrl-C, SIGTERM and SIGHUP, also where a library loses what they raise."""

import concurrent.futures
import queue
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import DATA

import photo_style
from deep_photostyle import main
from dpst.errors import UserError
from dpst.files.photos import read_photo
from dpst.jobs import picture, results, scores, start
from dpst.jobs.stopping import check_stop, interrupts_deferred, signals_stop, stop_requested
from dpst.options import Options
from dpst.regions.regions import whole_image
from dpst.solver import maps

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
ALL_SIGNALS = pytest.mark.parametrize("number", [*SIGNALS.args[1], signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2])


@pytest.fixture
def arguments(tmp_path):
    """A picture of three iterations of each stage."""
    options = {
        "content_image_path": DATA / "content.png",
        "style_image_path": DATA / "style.png",
        "output_image": tmp_path / "result.png",
        "serial": tmp_path / "snapshots",
        "vgg19_weights": DATA / "thin_vgg19.npy",
        "style_option": 2,
        "max_iter": 3,
        "auto_seg": 0,
    }
    return ["--quiet", *(f"--{name}={value}" for name, value in options.items())]


def lost(number):
    """A signal in a library that swallows what Python raises."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        return


@ALL_SIGNALS
def test_a_signal_raises_and_is_kept(number):
    before = signal.getsignal(number)
    with signals_stop():
        assert not stop_requested()
        check_stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert stop_requested()
        with pytest.raises(KeyboardInterrupt):
            check_stop()
    assert signal.getsignal(number) is before and not stop_requested()


@SIGNALS
def test_a_signal_waits_for_the_end(number):
    done = []
    with signals_stop(), pytest.raises(KeyboardInterrupt):
        with interrupts_deferred():
            signal.raise_signal(number)
            done.append("all of it")
        done.append("more")
    assert done == ["all of it"]


@SIGNALS
def test_a_signal_that_waits_is_kept_where_the_block_fails(number):
    with signals_stop():
        with pytest.raises(OSError, match="full"), interrupts_deferred():
            signal.raise_signal(number)
            raise OSError("full")
        assert stop_requested()


@SIGNALS
def test_more_signals_do_not_interrupt_what_the_first_one_ends(number):
    saved = []
    with signals_stop(), pytest.raises(KeyboardInterrupt):
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(signal.SIGTERM)
            with interrupts_deferred():
                signal.raise_signal(signal.SIGINT)
                saved.append("the best picture")
            saved.append("the report")
    assert saved == ["the best picture", "the report"]


@pytest.mark.parametrize("step", [1, 4, 8, 12])
def test_a_signal_within_the_handler_of_another_does_not_hang(step):
    code = f"""
import faulthandler, os, signal, sys
from dpst.jobs.stopping import signals_stop
faulthandler.dump_traceback_later(10, exit=True)
steps = []
def trace(frame, event, argument):
    steps.append(frame)
    if len(steps) == {step}:
        os.kill(os.getpid(), signal.SIGTERM)
    return trace
try:
    with signals_stop():
        sys.settrace(trace)
        os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    sys.settrace(None)
    sys.exit(17)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1], timeout=60).returncode == 17


@pytest.mark.parametrize("held", [False, True])
def test_what_a_program_was_started_to_ignore_it_ignores(held):
    code = f"""
import signal
from dpst.jobs.stopping import interrupts_deferred, signals_stop
signal.signal(signal.SIGINT, signal.SIG_IGN)
with signals_stop(), interrupts_deferred() if {held} else signals_stop():
    signal.raise_signal(signal.SIGINT)
"""
    subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1], check=True, timeout=60)


@SIGNALS
def test_a_signal_that_is_lost_in_a_step_ends_the_solve_at_the_next(arguments, tmp_path, monkeypatch, capsys, number):
    class Watch(picture.Watch):
        def __call__(self, progress):
            seen.append(progress)
            super().__call__(progress)
            if progress.step == 1:
                lost(number)

    seen = []
    monkeypatch.setattr(picture, "Watch", Watch)
    assert main(arguments) == 130
    assert [progress.step for progress in seen][-2:] == [1, 2]
    assert capsys.readouterr().err == f"warning: the best image so far is in {tmp_path / 'result.png'}\n"
    best = min((each for each in seen if each.stage == seen[-1].stage), key=lambda progress: progress.losses["total"])
    np.testing.assert_array_equal(read_photo(str(tmp_path / "result.png")).samples, np.rint(255 * best.image))


@SIGNALS
def test_a_signal_that_becomes_another_error_in_a_step_ends_the_solve(arguments, tmp_path, monkeypatch, capsys, number):
    stylize = photo_style.stylize

    def broken(*photos, **settings):
        stylize(*photos, **settings)
        lost(number)
        raise SystemError("returned a result with an exception set")

    monkeypatch.setattr(photo_style, "stylize", broken)
    assert main(arguments) == 130
    assert capsys.readouterr().err == f"warning: the best image so far is in {tmp_path / 'result.png'}\n"
    assert (tmp_path / "result.png").exists()


def test_an_error_that_is_none_of_a_signals_is_not_hidden(arguments, monkeypatch):
    def broken(*_, **__):
        raise SystemError("returned a result with an exception set")

    monkeypatch.setattr(photo_style, "stylize", broken)
    with pytest.raises(SystemError):
        main(arguments)


@SIGNALS
def test_a_signal_that_is_lost_before_the_solve_leaves_no_picture(arguments, tmp_path, monkeypatch, capsys, number):
    def read(*inputs):
        lost(number)
        return read_photo(*inputs)

    monkeypatch.setattr(picture, "read_photo", read)
    assert main(arguments) == 130
    assert capsys.readouterr().err == "" and not (tmp_path / "result.png").exists()


@pytest.mark.parametrize("lose", ["after it is scored", "as another error"])
def test_a_signal_that_is_lost_in_a_job_ends_the_batch_after_it(arguments, tmp_path, monkeypatch, lose):
    manifest = tmp_path / "jobs.csv"
    manifest.write_text("output_image\n1.png\n2.png\n")
    calls = []

    def advice(*figures):
        calls.append(figures)
        lost(signal.SIGTERM)
        if lose == "as another error":
            raise SystemError("returned a result with an exception set")
        return scores.advice(*figures)

    monkeypatch.setattr(picture, "advice", advice)
    chosen = [each for each in arguments if not each.startswith(("--output_image", "--serial"))]
    assert main([*chosen, f"--batch={manifest}", f"--output_dir={tmp_path}/out"]) == 130
    assert len(calls) == 1 and not (tmp_path / "out" / "2.png").exists()
    assert (tmp_path / "out" / "1" / "1.json").exists() == (lose == "after it is scored")


@SIGNALS
@pytest.mark.parametrize("many", [False, True])
def test_a_signal_during_a_write_that_fails_ends_the_run(arguments, tmp_path, monkeypatch, capsys, number, many):
    def full(path, *_):
        signal.raise_signal(number)
        raise UserError(f"output image {path} cannot be written (no space left); choose another place")

    monkeypatch.setattr(results, "write_photo", full)
    if many:
        (tmp_path / "jobs.csv").write_text("output_image\n1.png\n2.png\n")
        arguments = [each for each in arguments if not each.startswith(("--output_image", "--serial"))]
        arguments += [f"--batch={tmp_path}/jobs.csv", f"--output_dir={tmp_path}/out"]
    assert main(arguments) == 130
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and "cannot be written (no space left); " in error
    assert "2.png" not in error


def test_after_a_stop_nothing_is_prepared_for_later(thin_network, monkeypatch):
    begun, released, ended = threading.Event(), threading.Event(), queue.SimpleQueue()

    class Prepared(maps.LookObjective):
        def __init__(self, network, pair, *rest):
            if max(pair.size) > 128:  # the second scale, which is prepared beside the first
                begun.set()
                released.wait(30)
            try:
                super().__init__(network, pair, *rest)
            except concurrent.futures.CancelledError:
                ended.put("cancelled")
                raise
            if max(pair.size) > 128:
                ended.put("prepared")

    def stop(progress):
        assert begun.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(maps, "LookObjective", Prepared)
    photo = np.random.default_rng(0).random((384, 512, 3), np.float32)
    with pytest.raises(KeyboardInterrupt):  # and does not wait for what is being prepared
        photo_style.stylize(photo, photo, options=Options(style_option=2, auto_seg="0"), network=thin_network, callback=stop)
    assert ended.empty()
    released.set()
    assert ended.get(timeout=30) == "cancelled"


def test_after_a_stop_nobody_waits_for_the_scores(monkeypatch):
    released = threading.Event()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scores, "details", stopped)
    monkeypatch.setattr(scores, "blotches", lambda *_: released.wait(30))
    photo = np.zeros((8, 9, 3), np.float32)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scores.scores(photo, photo, photo, whole_image(photo, photo))
    assert time.monotonic() - begin < 20
    released.set()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_a_signal_while_tensorflow_is_imported_ends_the_program_in_silence(arguments, tmp_path, seconds):
    # It takes two seconds or more.
    code = f"""
import os, signal, sys, threading
from deep_photostyle import main
from dpst.jobs import picture
load = picture.load_tensorflow
def load_tensorflow(*settings):
    threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGTERM)).start()
    load(*settings)
picture.load_tensorflow = load_tensorflow
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, *arguments, "--max_iter=100000", "--solver=reference"]
    done = subprocess.run(command, cwd=DATA.parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 130
    assert done.stderr in ("", f"warning: the best image so far is in {tmp_path / 'result.png'}\n")


def test_the_import_of_tensorflow_is_not_interrupted(monkeypatch):
    entered = []

    class Waits:
        def __enter__(self):
            entered.append(True)

        def __exit__(self, *_):
            entered.append(False)

    monkeypatch.setattr(start, "interrupts_deferred", Waits)
    start.load_tensorflow("auto")
    assert entered == [True, False]
