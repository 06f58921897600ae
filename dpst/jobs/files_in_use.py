"""Which jobs of a run read and write which files: each is written by one job, and never one that any job reads."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator

from dpst.errors import UserError
from dpst.jobs.places import by_products, inputs, lut_paths, results
from dpst.jobs.region_files import region_files
from dpst.option_checks import REGION
from dpst.options import Options

# The snapshots of a job, or the first frames of the shots of a clip.
_NUMBERED_FILE = re.compile(r"(.*)(out_iter_|shot_)(\d+|\*)\.png", re.DOTALL)


class FilesInUse:
    """The files that the jobs of a run read and write.

    They are in a temporary database, which moves to disk if it is large, so that a manifest of any length does not fill the
    memory, and is deleted when it is closed.
    """

    def __init__(self):
        """Starts without files."""
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("PRAGMA journal_mode=MEMORY")  # without one, a full disk would leave nothing that can be read
        for table in ("read", "written"):
            columns = "file BLOB PRIMARY KEY, snapshots BLOB, name BLOB, readers INTEGER"
            self._base.execute(f"CREATE TABLE {table} ({columns}) WITHOUT ROWID")
            self._base.execute(f"CREATE INDEX {table}_snapshots ON {table} (snapshots)")
        # LUTs for each region: what their paths begin and end with.
        self._base.execute("CREATE TABLE regions (beginning BLOB, ending BLOB, name BLOB, PRIMARY KEY (beginning, ending))")
        self._unknown: set[int] = set()  # jobs of which there was no room for what they read

    def close(self) -> None:
        """Forgets everything."""
        self._base.close()

    def add_inputs(self, options: Options) -> None:
        """Adds what a job reads. If there is no room for that, `add_outputs` will say so."""
        try:
            for file in _inputs(options):
                self._add("read", _keys(file), file)
        except sqlite3.Error:
            self._unknown.add(hash(options))

    def remove_inputs(self, options: Options) -> None:
        """Removes what a job reads, as it cannot run."""
        with contextlib.suppress(sqlite3.Error):
            if hash(options) not in self._unknown:
                keys = [(key,) for file in _inputs(options) for key, _ in _keys(file)]
                self._base.executemany("UPDATE read SET readers = readers - 1 WHERE file = ?", keys)
                self._base.executemany("DELETE FROM read WHERE file = ? AND readers < 1", keys)

    def add_outputs(self, options: Options) -> None:
        """Adds what a job writes, or nothing of it; what all jobs read must be added by then.

        Raises:
            UserError: it is what this or another job writes or reads, or there is no room to keep it.
        """
        added: list[bytes] = []
        try:
            if hash(options) in self._unknown:
                raise sqlite3.OperationalError("database or disk is full")
            self._add_outputs(options, added)
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._base.executemany("DELETE FROM written WHERE file = ?", [(key,) for key in added])
            if isinstance(error, sqlite3.Error):
                wrong = f"the files of all jobs cannot be tracked ({error})"
                raise UserError(f"{wrong}; free space for temporary files") from error
            raise

    def _add_outputs(self, options: Options, added: list[bytes]) -> None:
        luts = [path for path in lut_paths(options) if REGION in path]
        for path in luts:
            if name := self._find_region(path):
                raise UserError(f"LUT {path} could overwrite what is written for {name}; give each its own name")
            for role, other in (*results(options), *by_products(options)):
                if role != "LUT" and _could_be(os.fsencode(os.path.realpath(other)), *_ends(path)):
                    raise UserError(f"LUT {path} could overwrite the {role} {other}; give each its own name")
        for role, pattern in (*results(options), *by_products(options)):
            for path in _files(pattern) if role == "LUT" else (pattern,):
                if name := self._find("read", path):
                    raise UserError(f"{role} {path} would overwrite the input {name}; choose another place")
            if name := self._find("written", pattern) or self._find_lut(pattern):
                raise UserError(f"{role} {pattern} is also written for {name}; give each its own name")
            # A written file takes the place of another name's: what the disk holds there now does not count.
            self._add("written", _keys(pattern)[:1], options.content_image_path)
            added.append(_keys(pattern)[0][0])
        rows = [(*_ends(path), os.fsencode(options.content_image_path)) for path in luts]
        self._base.executemany("INSERT OR IGNORE INTO regions VALUES (?, ?, ?)", rows)  # last, as its own files are no one else's

    def _add(self, table: str, keys: list[tuple[bytes, bytes | None]], name: str) -> None:
        rows = [(*key, os.fsencode(name)) for key in keys]
        again = "ON CONFLICT (file) DO UPDATE SET readers = readers + 1"
        self._base.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, 1) {again}", rows)

    def _find(self, table: str, path: str) -> str | None:
        """The name beside a file in a table, or beside one of the snapshots that a path stands for."""
        for file, snapshots in _keys(path):
            query = f"SELECT name FROM {table} WHERE file IN (?, ?) OR snapshots = ?"
            if found := self._base.execute(query, (file, snapshots, file)).fetchone():
                return os.fsdecode(found[0])
        return None

    def _find_lut(self, path: str) -> str | None:
        """Whose LUT of a region a path could be."""
        file = os.fsencode(os.path.realpath(path))
        beginnings = [file[:end] for end in range(len(os.path.dirname(file)) + 1, len(file))]
        query = "SELECT ending, name FROM regions WHERE beginning = ?"
        for beginning in beginnings:
            for ending, name in self._base.execute(query, (beginning,)):
                if file.endswith(ending) and len(file) > len(beginning) + len(ending):
                    return os.fsdecode(name)
        return None

    def _find_region(self, path: str) -> str | None:
        """Who writes a file that could be a LUT of this path, for a region."""
        beginning, ending = _ends(path)
        query = "SELECT file, name FROM written WHERE file > ? AND file < ?"
        for file, name in self._base.execute(query, (beginning, beginning + b"\xff")):
            if _could_be(file, beginning, ending):
                return os.fsdecode(name)
        return None


def _inputs(options: Options) -> Iterator[str]:
    """The files that a job reads."""
    for path in sorted(set(inputs(options).values())):
        with contextlib.suppress(OSError):  # of a folder that may not be read; the job will say so
            yield from _files(path)


def _ends(path: str) -> tuple[bytes, bytes]:
    """What the true path of a LUT for each region begins and ends with."""
    parts = os.fsencode(os.path.realpath(path)).split(REGION.encode())
    return parts[0], parts[-1]


def _could_be(file: bytes, beginning: bytes, ending: bytes) -> bool:
    """Whether a true path is that of a LUT for some region, whose path begins and ends so."""
    is_in_folder = os.path.dirname(file) == os.path.dirname(beginning + b"x")
    is_longer = len(file) > len(beginning) + len(ending)
    return is_in_folder and is_longer and file.startswith(beginning) and file.endswith(ending)


def _keys(path: str) -> list[tuple[bytes, bytes | None]]:
    """What tells a file from all others, and what stands for all snapshots of a job if it could be one of them.

    These are its true path and, where it is there, its place on the disk, links or not.
    """
    true = os.path.realpath(path)
    folder, name = os.path.split(true)
    numbered = _NUMBERED_FILE.fullmatch(name)
    keys = []
    for file, parent in ((true, folder), (_place(path), _place(folder))):
        snapshots = f"{parent}/{numbered[1]}{numbered[2]}*.png" if numbered and parent else None
        if numbered and numbered[3] == "*":
            file = snapshots
        if file:
            keys.append((os.fsencode(file), os.fsencode(snapshots) if snapshots else None))
    return keys


def _place(path: str) -> str | None:
    """Device and number of a file or folder, if it is there."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return f"{stat.st_dev}:{stat.st_ino}"


def _files(path: str) -> Iterator[str]:
    """A file itself, all files in a folder, or the files of all regions."""
    if REGION in path:
        yield from region_files(path).values()
    elif os.path.isdir(path):
        yield from (entry.path for entry in os.scandir(path))
    else:
        yield path
