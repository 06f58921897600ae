"""The files that a job reads and those that it writes: no input of any job is ever replaced, by whatever name it is reached."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from photo_jobs.region_files import region_files
from photo_options import INPUT_FILES, REGION, SEMANTIC, Options, UserError
from photo_regions.automatic import CONTENT_MASK, STYLE_MASK
from photo_regions.segformer import PRESETS
from vgg19.weights import CHOICES


def record_path(options: Options) -> Path:
    """Where the record of a job is."""
    return Path(options.serial) / (Path(options.output_image).stem + ".json")


def log_path(options: Options) -> Path:
    """Where a batch keeps the traceback of a job that failed."""
    return record_path(options).with_suffix(".log")


def inputs(options: Options) -> dict[str, str]:
    """The paths of a job's inputs, files and folders, by option."""
    names = [*INPUT_FILES]
    if options.vgg19_weights not in CHOICES:
        names.append("vgg19_weights")
    if options.auto_seg_used == SEMANTIC and options.seg_model not in PRESETS:
        names.append("seg_model")
    return {name: path for name in names if (path := getattr(options, name))}


def results(options: Options) -> list[tuple[str, str]]:
    """What a job writes for itself alone and how to call it; `{region}` stays in the path of a LUT."""
    files = [("output image", path) for path in options.output_images] + [("LUT", path) for path in options.lut_paths]
    files += [("mask preview", options.mask_preview)] if options.mask_preview else []
    return [*files, ("record", str(record_path(options)))]


def by_products(options: Options) -> list[tuple[str, str]]:
    """What a job may write besides, which jobs with the same `serial` share."""
    serial, files = Path(options.serial), [("log", str(log_path(options)))]
    if options.auto_seg_used:
        files += [("mask", str(serial / name)) for name in (CONTENT_MASK, STYLE_MASK)]
    if not options.apply_lut:
        files += [("snapshot", str(path)) for path in serial.glob("out_iter_*.png")]
        files += [("snapshot", str(serial / "tmp_result.png"))] if options.style_option == 2 else []
    return files


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
                raise UserError(f"folder of {role} {path} cannot be made ({error.strerror}); choose another place") from error


class Claims:
    """Who reads and who writes what, of all jobs of a run: each result is one job's, and none of them an input of any.

    It is kept on disk, if there is much of it, in a file that goes when it is closed: a manifest of any length must not fill
    the memory.
    """

    def __init__(self):
        """Of no jobs as yet."""
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("PRAGMA journal_mode=OFF")
        for table in ("read", "written"):
            self._base.execute(f"CREATE TABLE {table} (file BLOB PRIMARY KEY, name BLOB) WITHOUT ROWID")
        self._last: set[str] = set()

    def close(self) -> None:
        """Forgets everything."""
        self._base.close()

    def read(self, options: Options) -> None:
        """Takes what a job reads."""
        paths = set(inputs(options).values())
        for path in paths - self._last:  # a style serves many jobs in a row
            with contextlib.suppress(OSError):  # of a folder that may not be read; the job will say so
                rows = [(key, os.fsencode(file)) for file in _files(path) for key in _keys(file)]
                self._base.executemany("INSERT OR IGNORE INTO read VALUES (?, ?)", rows)
        self._last = paths

    def write(self, options: Options) -> None:
        """Takes what a job writes; what all jobs read must be known by then.

        Raises:
            UserError: it is what this or another job writes or reads.
        """
        for role, path in results(options):
            key, content = _keys(path)[0], os.fsencode(options.content_image_path)
            try:
                self._base.execute("INSERT INTO written VALUES (?, ?)", (key, content))
            except sqlite3.IntegrityError:
                (other,) = self._base.execute("SELECT name FROM written WHERE file = ?", (key,)).fetchone()
                raise UserError(f"{role} {path} is also written for {os.fsdecode(other)}; give each its own name") from None
        for role, pattern in (*results(options), *by_products(options)):
            for path in _files(pattern) if role == "LUT" else (pattern,):
                for key in _keys(path):
                    if found := self._base.execute("SELECT name FROM read WHERE file = ?", (key,)).fetchone():
                        raise UserError(f"{role} {path} would replace the input {os.fsdecode(found[0])}; choose another place")


def _keys(path: str) -> list[bytes]:
    """What tells a file from all others: its true path, and, where it is there, its place on the disk, links or not."""
    keys = [os.fsencode(os.path.realpath(path))]
    try:
        stat = os.stat(path)
    except OSError:
        return keys
    return [*keys, b"%d:%d" % (stat.st_dev, stat.st_ino)]


def _files(path: str) -> Iterator[str]:
    """A file itself, all files in a folder, or the files of all regions."""
    if REGION in path:
        yield from region_files(path).values()
    elif os.path.isdir(path):
        yield from (entry.path for entry in os.scandir(path))
    else:
        yield path
