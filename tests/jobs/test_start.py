"""The settings of TensorFlow before the first solve; a stand-in for a GPU, as no test has one."""

import contextlib
import io
import os
import subprocess
import sys

import pytest
from conftest import DATA

from dpst.errors import UserError
from dpst.jobs import start
from dpst.jobs.console import lasting_console
from vgg19.backend import tf


@pytest.mark.parametrize(
    ("device", "gpus", "is_deterministic"), [("auto", ["GPU:0"], True), ("cpu", ["GPU:0"], False), ("auto", [], False)]
)
def test_operations_on_a_gpu_are_deterministic(monkeypatch, device, gpus, is_deterministic):
    calls = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: None)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, value: None)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append(True))
    start.load_tensorflow(device)
    assert calls == [True] * is_deterministic


def test_without_proc_it_is_not_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(start, "_OWN_PROGRAM", str(tmp_path / "exe"))  # TensorFlow aborts the program without it
    with pytest.raises(UserError, match="exe does not exist, which TensorFlow needs; mount /proc"):
        start.load_tensorflow("cpu")


def test_messages_during_the_import_go_where_standard_error_is_redirected():
    with contextlib.redirect_stderr(io.StringIO()) as said, lasting_console(), start._quiet():
        print("seen", file=sys.stderr)
    assert said.getvalue() == "seen\n"


def test_the_end_of_an_import_leaves_the_standard_error_of_the_next_run_alone():
    with contextlib.redirect_stderr(io.StringIO()):
        with start._quiet():
            sys.stderr = next_runs = io.StringIO()
        assert sys.stderr is next_runs


@pytest.mark.parametrize(("flags", "said"), [(None, ""), ("--none", "Unknown flag")])
def test_what_tensorflow_says_at_its_start_is_seen_only_if_it_may_be_an_error(monkeypatch, capfd, flags, said):
    if flags:
        monkeypatch.setenv("TF_XLA_FLAGS", flags)
    with start._quiet():
        os.write(2, b"Unknown flag")
    assert capfd.readouterr().err == said


def test_it_is_imported_without_a_folder_for_temporary_files():
    code = """
import tempfile
def full(*_):
    raise FileNotFoundError(2, "No usable temporary directory found")
tempfile._get_default_tempdir = full
from dpst.jobs.start import load_tensorflow
load_tensorflow("cpu")
from vgg19.backend import tf
tf.constant(1)
assert tempfile.tempdir is None
"""
    subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1], check=True, timeout=120)
