"""Memory foreseen: the estimate against measured runs, what the system says is free, and what a job does about it."""

import dataclasses
import logging
import shutil

import numpy as np
import pytest
from conftest import DATA
from PIL import Image

from dpst.errors import UserError
from dpst.jobs.picture import run_one
from dpst.options import Options
from dpst.solver import memory
from dpst.solver.memory import GIB, MIB, free_memory, gpu_memory, solving_bytes, within_memory
from vgg19.backend import tf
from vgg19.layers import CONVOLUTIONS

WIDTHS = {"learned": (32, 64, 96, 128, 128), "vgg19": (64, 128, 256, 512, 512)}
# Peaks of runs of three iterations a stage, less what the process had before, in MiB, by long side of photos of 16:9.
MEASURED = {
    (256, "learned", "maps"): 137,
    (512, "learned", "maps"): 231,
    (1024, "learned", "maps"): 604,
    (128, "learned", "pixels"): 111,
    (256, "learned", "pixels"): 280,
    (512, "learned", "pixels"): 921,
    (1024, "learned", "pixels"): 2693,
    (256, "vgg19", "pixels"): 536,
    (512, "vgg19", "pixels"): 1317,
    (1024, "vgg19", "pixels"): 3491,
    (512, "learned", "reference"): 474,
    (1024, "learned", "reference"): 1751,
    (128, "vgg19", "reference"): 258,
    (512, "vgg19", "reference"): 823,
    (1024, "vgg19", "reference"): 2716,
}
OPTIONS = Options(style_option=2, solver="pixels")


def channels(features="vgg19"):
    return {layer: WIDTHS[features][int(layer[4]) - 1] for layer in CONVOLUTIONS}


@pytest.mark.parametrize(("size", "features", "solver"), MEASURED)
def test_the_estimate_is_near_the_measured_peak(size, features, solver):
    photo = size * 9 // 16, size
    estimate = solving_bytes(photo, photo, channels(features), Options(style_option=2, solver=solver, max_iter=3))
    assert estimate.host / MIB == pytest.approx(MEASURED[size, features, solver], rel=0.25)
    assert estimate.gpu == 0


def test_more_of_anything_takes_more():
    def takes(pixels=(300, 400), style=(300, 400), features="vgg19", **options):
        return solving_bytes(pixels, style, channels(features), dataclasses.replace(OPTIONS, **options)).host

    assert takes() < takes(pixels=(310, 410))
    assert takes() < takes(style=(600, 800))
    assert takes(features="learned") < takes()
    assert takes(solver="reference") < takes()
    assert takes(style_option=0) < takes()
    assert takes(max_iter=5) < takes(max_iter=30) == takes(max_iter=1000)


def test_with_a_gpu_the_network_is_there():
    photo = 300, 400
    alone, shared = (solving_bytes(photo, photo, channels(), OPTIONS, gpu) for gpu in (False, True))
    assert shared.host + shared.gpu == pytest.approx(alone.host)
    thin = solving_bytes(photo, photo, channels("learned"), OPTIONS, True)
    assert thin.gpu < shared.gpu and thin.host == shared.host


@pytest.fixture
def free(monkeypatch):
    def set_free(host, gpu=None):
        monkeypatch.setattr(memory, "free_memory", lambda: host)
        monkeypatch.setattr(memory, "_free_gpu_memory", lambda share: gpu)

    return set_free


def settled(options, photo=(900, 1200)):
    return within_memory(options, photo, photo, channels(), 10 * MIB)


def test_enough_memory_changes_nothing(free, caplog):
    free(100 * GIB, 100 * GIB)
    assert settled(OPTIONS) is OPTIONS
    assert not caplog.records


@pytest.mark.parametrize(("host", "gpu"), [(1.0 * GIB, None), (100 * GIB, 0.6 * GIB)])
def test_too_little_lowers_the_size_to_the_largest_that_fits(free, caplog, host, gpu):
    free(host, gpu)
    size = settled(OPTIONS).max_size
    assert 64 < size < 1200

    def fits(long_side):
        photo = round(long_side * 0.75), long_side
        needed = solving_bytes(photo, photo, channels(), OPTIONS, gpu is not None)
        return needed.host + 10 * MIB <= host and needed.gpu <= (gpu or 0)

    assert fits(size) and not fits(size + 1)
    (record,) = caplog.records
    assert f"solving at {size} pixels instead" in record.getMessage() and "\n" not in record.getMessage()


def test_a_size_that_the_user_fixed_is_refused_and_one_that_fits_is_named(free):
    free(1.0 * GIB)
    wanted = dataclasses.replace(OPTIONS, max_size=1200)
    message = r"^`max_size` 1200 takes about \S+ GiB of memory, and 1.0 GiB are free; use `max_size` \d+$"
    with pytest.raises(UserError, match=message) as told:
        settled(wanted)
    named = dataclasses.replace(OPTIONS, max_size=int(str(told.value).rpartition(" ")[2]))
    scale = named.max_size / 1200
    assert settled(named, (round(900 * scale), named.max_size)) is named


def test_no_memory_at_all_is_reported(free):
    free(10 * MIB)
    with pytest.raises(UserError, match="not enough to solve even 64 pixels"):
        settled(OPTIONS)


def system(root, cgroup, files):
    """A Linux with 8 GiB available and these files below sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal:  16777216 kB\nMemFree:  10 kB\nMemAvailable:   8388608 kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_free_memory_is_what_is_available(tmp_path):
    assert free_memory(system(tmp_path, "0::/\n", {})) == 8 * GIB
    assert free_memory() > 0


def test_a_limit_of_a_group_above_counts_and_cached_files_are_free(tmp_path):
    files = {
        "job/memory.max": "max\n",
        "memory.max": f"{3 * GIB}\n",
        "memory.current": f"{2 * GIB}\n",
        "memory.stat": f"anon 5\ninactive_file {GIB}\n",
    }
    assert free_memory(system(tmp_path, "0::/job/step\n", files)) == 2 * GIB


def test_limits_of_the_older_groups(tmp_path):
    files = {
        "memory/box/memory.limit_in_bytes": f"{4 * GIB}\n",
        "memory/box/memory.usage_in_bytes": f"{3 * GIB}\n",
        "memory/box/memory.stat": "inactive_file 7\ntotal_inactive_file 1024\n",
    }
    assert free_memory(system(tmp_path, "4:cpu:/\n8:memory:/box\n0::/\n", files)) == GIB + 1024


def test_no_less_than_nothing_is_free(tmp_path):
    files = {"memory.max": "5\n", "memory.current": "9\n", "memory.stat": "inactive_file 0\n"}
    assert free_memory(system(tmp_path, "0::/\n", files)) == 0


LIMIT = {"a/memory.max": "1000000\n", "a/memory.current": "5\n", "a/memory.stat": "inactive_file 3\n"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 999_998),
        ({"a/memory.stat": None}, 999_995),
        ({"a/memory.stat": "anon 3\nnonsense\ninactive_file\n"}, 999_995),
        ({"a/memory.current": None}, 1_000_003),
        ({"a/memory.current": "unknown"}, 1_000_003),
        ({"a/memory.max": "unknown"}, 8 * GIB),
        ({"a/memory.max": None}, 8 * GIB),
    ],
)
def test_what_a_control_group_does_not_say_is_unknown(tmp_path, changes, expected):
    files = {name: text for name, text in (LIMIT | changes).items() if text is not None}
    assert free_memory(system(tmp_path, "0::/a\n", files)) == expected


@pytest.mark.parametrize("groups", ["garbage\n", "\n", "0::\n", "x:y:z:/a\n"])
def test_groups_of_another_form_are_none(tmp_path, groups):
    assert free_memory(system(tmp_path, groups, {})) == 8 * GIB


def test_without_a_list_of_groups_what_is_available_counts(tmp_path):
    root = system(tmp_path, "", {})
    (tmp_path / "proc/self/cgroup").unlink()
    assert free_memory(root) == 8 * GIB


@pytest.mark.parametrize("text", ["MemTotal: 9 kB\n", "", "MemAvailable:\n", "MemAvailable: many kB\n", "\xff"])
def test_where_it_is_unknown_what_is_available_all_memory_counts(tmp_path, text):
    root = system(tmp_path, "0::/\n", {})
    (tmp_path / "proc/meminfo").write_text(text, encoding="latin-1")
    assert free_memory(root) == free_memory(str(tmp_path / "nowhere")) > 64 * MIB


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A function that makes nvidia-smi a shell script."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(script, first="#!/bin/sh\n"):
        (tmp_path / "nvidia-smi").write_text(f"{first}{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return make


@pytest.mark.parametrize("said", ["100, 200", "100, 200\n\n", " 100 ,200 "])
def test_memory_of_a_gpu(smi, said):
    smi(f"printf '{said}'")
    assert gpu_memory() == (100 * MIB, 200 * MIB)


@pytest.mark.parametrize(("visible", "asked"), [(None, "0"), ("3,1", "3"), ("GPU-1-2", "GPU-1-2"), ("MIG-5", "MIG-5")])
def test_the_gpu_that_tensorflow_uses_is_the_one_that_is_asked(smi, monkeypatch, visible, asked):
    smi('test "$4" = "$ASKED" && echo 1, 2')
    monkeypatch.setenv("ASKED", asked)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_memory() == (MIB, 2 * MIB)


UNKNOWN = {
    "fails": "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
    "no devices": "echo 'No devices were found'; exit 6",
    "not available": "echo '[N/A], [N/A]'",
    "not permitted": "echo '[Insufficient Permissions], 81559'",
    "says nothing": "",
    "says more": "echo 1, 2, 3",
    "is no text": "printf '\\377'",
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_nvidias_tool_does_not_say_is_unknown(smi, case):
    smi(UNKNOWN[case])
    assert gpu_memory() is None


def test_nor_is_a_tool_that_is_none_or_hangs_or_is_not_there_an_error(smi, tmp_path, monkeypatch):
    smi("no program", first="")
    assert gpu_memory() is None
    monkeypatch.setattr(memory, "_PATIENCE", 0.2)
    smi("exec sleep 60")
    assert gpu_memory() is None
    (tmp_path / "nvidia-smi").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_memory() is None


@pytest.mark.parametrize(
    ("known", "share", "expected"), [((5, 9), 0.0, 7), ((5, 10), 0.5, 5), (None, 0.0, np.inf), (None, 0.5, np.inf)]
)
def test_what_tensorflow_holds_and_does_not_use_is_free(monkeypatch, known, share, expected):
    config = tf.config
    monkeypatch.setattr(config, "get_visible_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(config.experimental, "get_memory_info", lambda device: {"current": 1, "peak": 3})
    monkeypatch.setattr(memory, "gpu_memory", lambda: known)
    assert memory._free_gpu_memory(share) == expected


def test_where_there_is_no_proc_all_memory_counts(tmp_path):
    assert free_memory(str(tmp_path)) > 64 * MIB


def test_a_job_is_solved_smaller_and_given_at_full_size(tmp_path, free, caplog, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    for name in ("content", "style"):
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
    shutil.copy(DATA / "thin_vgg19.npy", tmp_path)
    options = Options(
        content_image_path=str(tmp_path / "content.png"),
        style_image_path=str(tmp_path / "style.png"),
        output_image=str(tmp_path / "result.png"),
        serial=str(tmp_path),
        vgg19_weights=str(tmp_path / "thin_vgg19.npy"),
        max_iter=1,
        quiet=True,
    )
    free(memory._START + 10 * MIB)
    with caplog.at_level(logging.INFO, "dpst"):
        assert run_one(options, "") == 0
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    size = int(warning.split()[-3])
    assert warning.startswith("solving at 120 pixels takes") and 64 <= size < 120
    assert f"{size}x{round(size * 0.75)}" in caplog.text
    with Image.open(tmp_path / "result.png") as result:
        assert result.size == (120, 90)
    with pytest.raises(UserError, match=f"use `max_size` {size}$"):
        run_one(dataclasses.replace(options, max_size=120), "")
