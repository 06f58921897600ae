"""The files that a job reads and those that it writes: each is written by one job, and never one that any job reads."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dpst.errors import UserError
from dpst.jobs.region_files import region_files
from dpst.options import INPUT_FILES, REGION, SEMANTIC, Options
from dpst.regions.automatic import CONTENT_MASK, STYLE_MASK
from dpst.regions.segformer import PRESETS
from vgg19.weights import CHOICES, weights_file

# Snapshots by their names in the reference script; `*` stands for the number of a step.
_NUMBERED, FIRST_STAGE = "out_iter_*.png", "tmp_result.png"
_SHOTS = "shot_*.png"
_NUMBERED_FILE = re.compile(r"(.*)(out_iter_|shot_)(\d+|\*)\.png", re.DOTALL)


def record_path(options: Options) -> Path:
    """Where the record of a job is: beside its result, as `photo.jpg.json`, unless `serial` names a folder."""
    output = Path(options.output_image)
    return Path(options.serial, f"{output.stem}.json") if options.serial else output.with_name(f"{output.name}.json")


def log_path(options: Options) -> Path:
    """Where a batch keeps the traceback of a job that failed."""
    return record_path(options).with_suffix(".log")


def inputs(options: Options) -> dict[str, str]:
    """The paths of a job's inputs, files and folders, by option; weights that are found, not given, are among them."""
    names = [*INPUT_FILES]
    if options.auto_seg_used == SEMANTIC and options.seg_model not in PRESETS:
        names.append("seg_model")
    paths = {name: path for name in names if (path := getattr(options, name))}
    if options.vgg19_weights not in CHOICES:
        paths["vgg19_weights"] = options.vgg19_weights
    elif not options.apply_lut and (found := weights_file(options.vgg19_weights)):
        paths["vgg19_weights"] = str(found)
    return paths


def results(options: Options) -> list[tuple[str, str]]:
    """What a job writes for its user and how to call it; `{region}` stays in the path of a LUT."""
    files = [("output image", path) for path in options.output_images] + [("LUT", path) for path in options.lut_paths]
    files += [("mask preview", options.mask_preview)] if options.mask_preview else []
    files += [("preview", shot_path(options, "*"))] if options.is_clip and options.preview else []
    return [*files, ("record", str(record_path(options)))]


def by_products(options: Options) -> list[tuple[str, str]]:
    """What a job may write besides and how to call it; `*` stands for the number of a snapshot."""
    files = [("log", str(log_path(options)))]
    if options.auto_seg_used:
        files += [("mask", path) for path in mask_paths(options)]
    if not (options.apply_lut or options.dry_run or options.is_clip):
        files += [("snapshot", by_product_path(options, _NUMBERED))]
        files += [("snapshot", by_product_path(options, FIRST_STAGE))] if options.style_option == 2 else []
    return files


def mask_paths(options: Options) -> tuple[str, str]:
    """Where the masks of found regions are, of the content and of the style."""
    return by_product_path(options, CONTENT_MASK), by_product_path(options, STYLE_MASK)


def by_product_path(options: Options, name: str) -> str:
    """Where a by-product of this name is: beside the result and named after it, as `photo.jpg.tmp_result.png`, or in `serial`.

    In a batch, whose jobs may share a folder, the job's own name comes first there, too.
    """
    if not options.serial:
        return f"{options.output_image}.{name}"
    return os.path.join(options.serial, f"{Path(options.output_image).stem}_{name}" if options.batch else name)


def folder_of_by_products(options: Options) -> str:
    """The folder of what a job writes besides its results."""
    return str(record_path(options).parent)


def shot_path(options: Options, number: int | str) -> str:
    """Where the preview of a clip has the first frame of a shot; `*` stands for any number."""
    output = Path(options.output_image)
    return str(output.with_name(f"{output.stem}_{_SHOTS.replace('*', str(number))}"))


def make_folders(options: Options) -> None:
    """Makes the folders of what a job will write.

    Raises:
        UserError: one cannot be made.
    """
    for role, path in (*results(options), *by_products(options)):
        if not options.dry_run or role in ("mask preview", "mask"):
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"folder of {role} {path} cannot be created ({error.strerror}); choose another place") from error


class Claims:
    """Who reads and who writes what, of all jobs of a run: each file is written by one job, and none of them an input of any.

    It is kept on disk, if there is much of it, in a file that goes when it is closed: a manifest of any length must not fill
    the memory.
    """

    def __init__(self):
        """Of no jobs as yet."""
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

    def read(self, options: Options) -> None:
        """Takes what a job reads. If there is no room for that, `write` will say so."""
        try:
            for file in _inputs(options):
                self._add("read", _keys(file), file)
        except sqlite3.Error:
            self._unknown.add(hash(options))

    def forget(self, options: Options) -> None:
        """Takes back what a job reads, as it cannot run."""
        with contextlib.suppress(sqlite3.Error):
            if hash(options) not in self._unknown:
                keys = [(key,) for file in _inputs(options) for key, _ in _keys(file)]
                self._base.executemany("UPDATE read SET readers = readers - 1 WHERE file = ?", keys)
                self._base.executemany("DELETE FROM read WHERE file = ? AND readers < 1", keys)

    def write(self, options: Options) -> None:
        """Takes what a job writes, or nothing of it; what all jobs read must be known by then.

        Raises:
            UserError: it is what this or another job writes or reads, or there is no room to keep it.
        """
        taken: list[bytes] = []
        try:
            if hash(options) in self._unknown:
                raise sqlite3.OperationalError("database or disk is full")
            self._write(options, taken)
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._base.executemany("DELETE FROM written WHERE file = ?", [(key,) for key in taken])
            if isinstance(error, sqlite3.Error):
                wrong = f"the files of all jobs cannot be tracked ({error})"
                raise UserError(f"{wrong}; free space for temporary files") from error
            raise

    def _write(self, options: Options, taken: list[bytes]) -> None:
        luts = [path for path in options.lut_paths if REGION in path]
        for path in luts:
            if name := self._find_region(path):
                raise UserError(f"LUT {path} could overwrite what is written for {name}; give each its own name")
        for role, pattern in (*results(options), *by_products(options)):
            for path in _files(pattern) if role == "LUT" else (pattern,):
                if name := self._find("read", path):
                    raise UserError(f"{role} {path} would overwrite the input {name}; choose another place")
            if name := self._find("written", pattern) or self._find_lut(pattern):
                raise UserError(f"{role} {pattern} is also written for {name}; give each its own name")
            # A written file takes the place of another name's: what the disk holds there now does not count.
            self._add("written", _keys(pattern)[:1], options.content_image_path)
            taken.append(_keys(pattern)[0][0])
        rows = [(*_ends(path), os.fsencode(options.content_image_path)) for path in luts]
        self._base.executemany("INSERT OR IGNORE INTO regions VALUES (?, ?, ?)", rows)  # last, as its own files are no one else's

    def _add(self, table: str, keys: list[tuple[bytes, bytes | None]], name: str) -> None:
        rows = [(*key, os.fsencode(name)) for key in keys]
        added = "ON CONFLICT (file) DO UPDATE SET readers = readers + 1"
        self._base.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, 1) {added}", rows)

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
            is_in_folder = os.path.dirname(file) == os.path.dirname(beginning + b"x")
            if is_in_folder and file.endswith(ending) and len(file) > len(beginning) + len(ending):
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
