"""Files that appear whole or not at all, and what is left of those that were being written by a process that died."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA

from dpst.files import atomic
from dpst.files.atomic import check_partial_file, partial_file, remove_partials, replacing, temporary_folder
from dpst.files.photos import Photo
from dpst.files.writing import EXTENSIONS, write_photo

LEFT = ".a.png.0123abcd.part"


def removed_by_another_process(path):
    code = f"from dpst.files.atomic import remove_partials; remove_partials({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1], check=True, timeout=60)


def test_writers_of_the_same_file_have_different_names(tmp_path):
    path = tmp_path / "a.png"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second and first.parent == second.parent == tmp_path
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["a.png"]  # the outer block ends last


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "far").write_text("far")
    (tmp_path / "a.png").symlink_to("far")
    with replacing(tmp_path / "a.png") as partial:
        partial.write_text("whole")
    assert (tmp_path / "a.png").read_text() == "whole" and (tmp_path / "far").read_text() == "far"


def test_what_is_being_written_is_not_removed(tmp_path):
    path = tmp_path / "a.png"
    with replacing(path) as partial:
        partial.write_text("whole")
        remove_partials(path)
        removed_by_another_process(path)
        assert partial.read_text() == "whole"
    assert path.read_text() == "whole"


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_nor_while_libvips_writes_it(tmp_path, monkeypatch, extension):
    path, seen = tmp_path / f"a{extension}", []
    take_name = atomic._take_name

    def take(partial, to):
        remove_partials(to)
        seen.append(partial.exists())
        take_name(partial, to)

    monkeypatch.setattr(atomic, "_take_name", take)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\0\x04abc\0\0\0\0\0"
    write_photo(
        str(path), np.zeros((16, 16, 3), np.float32), Photo(np.zeros((16, 16, 3), np.uint8), metadata={"exif-data": exif})
    )
    assert seen == [True] and os.listdir(tmp_path) == [path.name]


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    path = tmp_path / "a.png"
    code = f"""
import os
from dpst.files.atomic import replacing
with replacing({str(path)!r}) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1], timeout=60)
    assert len(os.listdir(tmp_path)) == 1
    remove_partials(tmp_path / "b.png")
    assert len(os.listdir(tmp_path)) == 1
    remove_partials(path)
    assert os.listdir(tmp_path) == []


def test_a_star_matches_anything_and_nothing_else_does(tmp_path):
    kept = [".out_iter_1.png.bak", ".out_iter_1.png.1234", ".out_iter_[1].png.0123abcd", "out_iter_1.png.0123abcd.part"]
    for name in (*kept, ".out_iter_1.png.0123abcd.part", ".out_iter_23.png.89abcdef.part"):
        (tmp_path / name).touch()
    remove_partials(tmp_path / "out_iter_*.png")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def folder(path):
    path.mkdir()


def link(path):
    target = path.with_name("target")
    target.touch()
    path.symlink_to(target)


@pytest.mark.parametrize("make", [folder, link, os.mkfifo])
def test_what_is_no_file_stays(tmp_path, make):
    make(tmp_path / LEFT)
    remove_partials(tmp_path / "a.png")
    assert LEFT in os.listdir(tmp_path)


@pytest.mark.parametrize("function", ["open", "unlink"])
def test_what_cannot_be_removed_stays_and_stops_nothing(tmp_path, monkeypatch, function):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / LEFT).touch()
    with monkeypatch.context() as patched:
        patched.setattr(os, function, refuse)
        remove_partials(tmp_path / "a.png")
    assert os.listdir(tmp_path) == [LEFT]
    remove_partials(tmp_path / "nowhere" / "a.png")


def test_a_file_system_without_locks_loses_nothing(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(atomic.fcntl, "flock", unknown)
    path = tmp_path / "a.png"
    with replacing(path) as partial:
        partial.write_text("whole")
        remove_partials(path)
    assert path.read_text() == "whole"


def test_a_file_that_is_removed_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    flock, locked = atomic.fcntl.flock, []

    def slow(file, how):
        locked.append(file)
        if len(locked) == 1:
            remove_partials(tmp_path / "a.png")
        flock(file, how)

    monkeypatch.setattr(atomic.fcntl, "flock", slow)
    with partial_file(tmp_path / "a.png") as partial:
        assert partial.exists()
    assert len(locked) == 3


def test_a_signal_as_soon_as_the_file_is_made_leaves_nothing(tmp_path, monkeypatch):
    make = os.open

    def interrupted(*arguments):
        os.close(make(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), partial_file(tmp_path / "a.png"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("has_nameless_files", [True, False])
def test_a_check_says_whether_a_file_can_be_made_and_leaves_none(tmp_path, monkeypatch, has_nameless_files):
    made, make = [], os.open
    if not has_nameless_files:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)

    def watched(path, *rest):
        file = make(path, *rest)
        made.extend(os.listdir(tmp_path))  # what would be left if the process were killed now
        return file

    monkeypatch.setattr(os, "open", watched)
    check_partial_file(tmp_path / "a.png")
    assert os.listdir(tmp_path) == [] and (made == [] if has_nameless_files else len(made) == 1)
    for path in (tmp_path / "nowhere" / "a.png", tmp_path / f"{'a' * 250}.png"):
        with pytest.raises(OSError, match=r"No such file|too long"):
            check_partial_file(path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(Path(tmp_path, "nowhere", "a.png")):
        pass


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files."""
    monkeypatch.setattr(atomic.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_temporary_folder_goes_at_the_end_and_those_of_living_processes_stay(temporary):
    with temporary_folder("mine-") as first:
        (first / "a").touch()
        with temporary_folder("mine-") as second:
            assert (first / "a").exists() and first != second and second.parent == temporary
        assert [first] == list(temporary.iterdir())
    assert not list(temporary.iterdir())


def test_what_killed_processes_left_goes_and_other_things_stay(temporary, monkeypatch):
    (temporary / "mine-left" / "in").mkdir(parents=True)
    (temporary / "mine-left" / "in" / "photo.png").touch()
    (temporary / "others").mkdir()
    (temporary / "mine-file").touch()
    (temporary / "mine-link").symlink_to("others")
    with temporary_folder("mine-") as folder:
        assert {path.name for path in temporary.iterdir()} == {"others", "mine-file", "mine-link", folder.name}
    (temporary / "mine-left").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # it is another user's
    with temporary_folder("mine-"):
        assert (temporary / "mine-left").exists()


def test_a_folder_that_is_removed_before_it_is_locked_is_made_anew(temporary, monkeypatch):
    flock, locked = atomic.fcntl.flock, []

    def slow(file, how):
        locked.append(file)
        if len(locked) == 1:
            for path in temporary.iterdir():
                atomic._remove_folder_if_abandoned(str(path))
        flock(file, how)

    monkeypatch.setattr(atomic.fcntl, "flock", slow)
    with temporary_folder("mine-") as folder:
        assert folder.is_dir()
    assert len(locked) == 3
