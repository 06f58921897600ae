"""What a picture was made from, as a small JSON file, so that a second run knows what is done and unchanged.

A record holds everything about a finished run: hashes of its inputs and of its result, options, scores, losses and times. It is
written after the result, and both appear whole or not at all: a run killed at any moment leaves a job that counts as not done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from dpst import __version__
from dpst.errors import UserError
from dpst.files.atomic import write_text
from dpst.files.inputs import kept_while_unchanged, open_input
from dpst.jobs.job import Record, RegionShare
from dpst.jobs.places import inputs, output_images, record_path
from dpst.jobs.region_files import region_files
from dpst.option_checks import REGION
from dpst.options import OPTIONS_WITHOUT_EFFECT, Options
from dpst.solver.stages import Stage

# Bytes of the largest file that is read as a record: the losses of a million iterations take less.
_MAX_BYTES = 256 * 2**20


def input_hashes(options: Options, only: Collection[str] | None = None) -> dict[str, str]:
    """SHA-256 of every input file or folder of masks, of a file of weights, and of a folder with a model, by option.

    Args:
        options: of the job.
        only: the inputs that are wanted; all if None.

    Raises:
        UserError: an input cannot be read.
    """
    hashes = {}
    for name, path in inputs(options).items():
        if only is not None and name not in only:
            continue
        try:
            hashes[name] = _sha256_of_all(region_files(path).items()) if name == "apply_lut" and REGION in path else sha256(path)
        except OSError as error:
            raise UserError(f"--{name} {path} cannot be read ({error.strerror}); check the path") from error
    return hashes


def output_hashes(options: Options) -> list[str]:
    """SHA-256 of the result at each strength."""
    return [sha256(path) for path in output_images(options)]


def lut_hashes(paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each LUT that was written with a result, by its path."""
    return {path: sha256(path) for path in paths}


def write_record(record: Record, options: Options) -> None:
    """Writes the record of a finished job, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_text(record_path(options), json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False))
    except OSError as error:
        wrong = f"record {record_path(options)} cannot be written ({error.strerror})"
        raise UserError(f"{wrong}; the result is complete, but counts as not done") from error


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a record of this program.
    """
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} is no file of a record's size")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        record = Record(**values)
        regions = [RegionShare(**each) for each in record.regions]  # type: ignore[arg-type]
        stages = [Stage(**each) for each in record.stages]  # type: ignore[arg-type]
        return _checked(dataclasses.replace(record, regions=regions, stages=stages))
    except (TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError(f"{path} is no record of this program") from error


def _checked(record: Record) -> Record:
    """The record, if what the report will show of it is of the kind that it shows; else TypeError."""
    for stage in record.stages:
        if not (stage.losses and all(math.isfinite(losses["total"]) for losses in stage.losses) and len(stage.size) == 2):
            raise TypeError("a stage without finite losses")
    shares = (share for region in record.regions for share in (region.content, region.style))
    numbers = [record.seconds, *record.scores.values(), *shares]
    texts = [record.version, record.command, record.features, *record.warnings, *record.luts]
    if not all(math.isfinite(number) for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise TypeError("numbers that are none, or texts that are none")
    return record


def finished(options: Options) -> Record | None:
    """The record of a job if it is done, and neither its inputs, its options, this program nor the result have changed since."""
    try:
        record = read_record(record_path(options))
        unchanged = (
            record.version == __version__
            and _with_effect(record.options) == _with_effect(dataclasses.asdict(options))
            and record.outputs == output_hashes(options)
            and record.luts == lut_hashes(record.luts)
            and record.inputs == input_hashes(options)
        )
    except (OSError, ValueError, AttributeError, TypeError, UserError):  # types: of options and hashes, compared below
        return None  # no record or no result, or not ones of this program, or an input is missing: to be done
    return record if unchanged else None


def fingerprint(options: Options, hashes: dict[str, str]) -> str:
    """What tells a job by its inputs, its options and this program from all others; as hexadecimal digits."""
    parts = [__version__, _with_effect(dataclasses.asdict(options)), hashes]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def sha256(path: str) -> str:
    """SHA-256 of a file, or of the names and contents of the files in a folder."""
    if os.path.isdir(path):
        files = sorted(file for file in Path(path).iterdir() if file.is_file())
        return _sha256_of_all((file.name, str(file)) for file in files)
    return _sha256(path)


def _sha256_of_all(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the names and contents of files, given as (name, path)."""
    return hashlib.sha256(b"".join(os.fsencode(f"{name} {sha256(path)}\n") for name, path in files)).hexdigest()


@kept_while_unchanged(64)  # a style and its weights serve many jobs
def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open_input(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _with_effect(options: dict) -> dict:
    """Those options that may have changed the picture."""
    return {name: value for name, value in options.items() if name not in OPTIONS_WITHOUT_EFFECT}
