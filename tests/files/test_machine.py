"""What this process may use of the machine; where the system does not say, that is no error."""

import contextlib
import os

import pytest
import threadpoolctl

from dpst.files import machine
from dpst.files.machine import control_groups, cores, linear_algebra_on_one_thread, number_in


@pytest.fixture
def bound(monkeypatch):
    """A function that sets how many processors this process is bound to."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return lambda number: monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(number)), raising=False)


def system(root, groups, files=()):
    """A root with the control groups of this process and files below sys/fs/cgroup."""
    for name, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": text for name, text in dict(files).items()},
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_affinity_counts(bound, tmp_path):
    bound(3)
    assert cores(system(tmp_path, "0::/\n")) == 3


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/a\n", {"a/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),  # one and a half; of the group above
        ("0::/a\n", {"a/cpu.max": "1000 100000\n"}, 1),
        ("0::/host/path\n", {"cpu.max": "100000 100000\n"}, 1),  # a container's own is at the top
        ("3:cpu,cpuacct:/a\n0::/\n", {"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3),
        ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 8),
        ("0::/a\n", {"a/cpu.max": "nonsense"}, 8),
        ("0::/a\n", {"a/cpu.max": "100000 0\n"}, 8),
        ("garbage\n\n:\n", {}, 8),
    ],
)
def test_control_groups_count(bound, tmp_path, groups, files, expected):
    bound(8)
    assert cores(system(tmp_path, groups, files)) == expected


@pytest.mark.parametrize(("share", "expected"), [("2", 2), ("0", 1), ("16", 4), ("2,1", 4), ("x", 4), ("", 4)])
def test_the_share_of_a_worker_counts(bound, tmp_path, monkeypatch, share, expected):
    bound(4)
    monkeypatch.setenv("OMP_NUM_THREADS", share)
    assert cores(str(tmp_path)) == expected


def test_where_affinity_is_unknown_all_count(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for known, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(machine.os, "cpu_count", lambda known=known: known)
        assert cores(str(tmp_path)) == expected


def test_the_groups_above_are_among_them(tmp_path):
    root = system(tmp_path, "5:memory:/x\n0::/a/b\n")
    top = tmp_path / "sys/fs/cgroup"
    assert list(control_groups("memory", root)) == [top / "memory/x", top / "memory", top / "a/b", top / "a", top]
    assert list(control_groups("memory", str(tmp_path / "nowhere"))) == []


@pytest.mark.parametrize(("text", "number"), [("5\n", 5), ("-1", -1), ("max\n", None), ("", None), ("5 6", None)])
def test_a_number_in_a_file_or_none(tmp_path, text, number):
    (tmp_path / "a").write_text(text)
    assert number_in(tmp_path / "a") == number
    assert number_in(tmp_path / "b") is number_in(tmp_path) is None


def test_linear_algebra_has_one_thread_as_long_as_anybody_wants_it():
    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with contextlib.ExitStack() as first:
            first.enter_context(linear_algebra_on_one_thread())
            with linear_algebra_on_one_thread():
                first.close()  # in another order than they were entered
                assert threads() == {1}
        assert threads() == {2}
