"""One opener for what users name: files alone."""

import os
import socket
import subprocess
import sys

import pytest
from conftest import DATA

from dpst.files.inputs import open_input


def fifo(path):
    os.mkfifo(path)


def link_to_fifo(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def device(path):
    path.symlink_to("/dev/zero")


def terminal(path):
    path.symlink_to("/dev/stdin")


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


KINDS = [fifo, link_to_fifo, device, terminal, bound_socket]
READERS = {
    "the opener": "from dpst.files.inputs import open_input; open_input({path!r})",
    "a LUT": "from dpst.files.luts import Lut; Lut.read({path!r})",
    "a hash": "from dpst.jobs.records import sha256; sha256({path!r})",
    "a manifest": "from pathlib import Path; from dpst.batch.manifest import _rows; list(_rows(Path({path!r})))",
    "a photo": "from dpst.files.photos import read_photo; read_photo({path!r})",
    "weights": "from vgg19.weights import load_weights; load_weights({path!r})",
}
NAMES = {"a LUT": "a.cube", "a manifest": "a.csv", "weights": "a.npy"}


def test_a_file_is_opened_by_its_name_or_a_link(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    for name in "ab":
        with open_input(tmp_path / name) as file:
            assert file.read() == b"content"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, reader, make):
    path = tmp_path / NAMES.get(reader, "a.png")
    make(path)
    code = f"""
from dpst.errors import UserError
try:
    {READERS[reader].format(path=str(path))}
except (OSError, UserError):
    raise SystemExit(17)
"""
    standard_input, keeps_it_open = os.pipe()
    done = subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1], stdin=standard_input, timeout=60)
    os.close(standard_input)
    os.close(keeps_it_open)
    assert done.returncode == 17


@pytest.mark.parametrize("many", [False, True])
def test_a_pipe_as_a_lut_fails_its_own_job_alone(tmp_path, many):
    os.mkfifo(tmp_path / "a.cube")
    (tmp_path / "id.cube").write_text(
        "LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {b}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    )
    (tmp_path / "jobs.csv").write_text(
        f"content_image_path,apply_lut,output_image\n{DATA}/content.png,a.cube,a.png\n{DATA}/content.png,id.cube,b.png\n"
    )
    one = [f"--content_image_path={DATA}/content.png", f"--apply_lut={tmp_path}/a.cube", f"--output_image={tmp_path}/a.png"]
    line = [f"--batch={tmp_path}/jobs.csv", f"--output_dir={tmp_path}/out"] if many else one
    command = [sys.executable, "deep_photostyle.py", "--quiet", *line]
    done = subprocess.run(command, cwd=DATA.parents[1], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (
        done.stderr == f"error: {'a.png: ' * many}LUT {tmp_path}/a.cube cannot be read (It is no regular file); check the path\n"
    )
    if many:
        assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["b.png"]
