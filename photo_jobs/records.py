"""What a picture was made from, as a small JSON file, so that a second run knows what is done and unchanged.

A record holds everything about a finished run: hashes of its inputs and of its result, options, scores, losses and times. It is
written after the result, and both appear whole or not at all: a run killed at any moment leaves a job that counts as not done.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from photo_files.atomic import write_text
from photo_jobs.job import Record, RegionShare
from photo_jobs.region_files import region_files
from photo_options import INPUT_FILES, REGION, SEMANTIC, UNSEEN, VERSION, Options, UserError
from photo_regions.segformer import PRESETS
from photo_solver.stages import Stage
from vgg19.weights import CHOICES


def record_path(options: Options) -> Path:
    """Where the record of a job is."""
    return Path(options.serial) / (Path(options.output_image).stem + ".json")


def input_hashes(options: Options) -> dict[str, str]:
    """SHA-256 of every input file or folder of masks, of a file of weights, and of a folder with a model, by option.

    Raises:
        UserError: an input cannot be read.
    """
    hashes, names = {}, [*INPUT_FILES]
    if options.vgg19_weights not in CHOICES:
        names.append("vgg19_weights")
    if options.auto_seg_used == SEMANTIC and options.seg_model not in PRESETS:
        names.append("seg_model")
    for name in names:
        if path := getattr(options, name):
            try:
                hashes[name] = _sha256_of_luts(path) if name == "apply_lut" and REGION in path else sha256(path)
            except OSError as error:
                raise UserError(f"--{name} {path} cannot be read ({error.strerror}); check the path") from error
    return hashes


def output_hashes(options: Options) -> list[str]:
    """SHA-256 of the result at each strength."""
    return [sha256(path) for path in options.output_images]


def lut_hashes(paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each LUT that was written with a result, by its path."""
    return {path: sha256(path) for path in paths}


def write_record(record: Record, options: Options) -> None:
    """Writes the record of a finished job, whole or not at all."""
    write_text(record_path(options), json.dumps(dataclasses.asdict(record), indent=1))


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON.
        TypeError, AttributeError: it is not a record of this program.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    record = Record(**values)
    regions = [RegionShare(**each) for each in values["regions"]]
    stages = [Stage(**each) for each in values["stages"]]
    return dataclasses.replace(record, regions=regions, stages=stages)


def finished(options: Options) -> Record | None:
    """The record of a job if it is done, and neither its inputs, its options, this program nor the result have changed since."""
    try:
        record = read_record(record_path(options))
        unchanged = (
            record.version == VERSION
            and _seen(record.options) == _seen(dataclasses.asdict(options))
            and record.outputs == output_hashes(options)
            and record.luts == lut_hashes(record.luts)
            and record.inputs == input_hashes(options)
        )
    except (OSError, ValueError, AttributeError, TypeError, UserError):
        return None  # no record or no result, or not ones of this program, or an input is missing: to be done
    return record if unchanged else None


def sha256(path: str) -> str:
    """SHA-256 of a file, or of the names and contents of the files in a folder."""
    if os.path.isdir(path):
        files = sorted(file for file in Path(path).iterdir() if file.is_file())
        return hashlib.sha256("".join(f"{file.name} {sha256(str(file))}\n" for file in files).encode()).hexdigest()
    stat = os.stat(path)
    return _sha256(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _sha256_of_luts(pattern: str) -> str:
    """SHA-256 of the names and contents of the LUTs of all regions."""
    files = region_files(pattern)
    return hashlib.sha256("".join(f"{region} {sha256(path)}\n" for region, path in files.items()).encode()).hexdigest()


@functools.lru_cache(maxsize=64)  # a style and its weights serve many jobs
def _sha256(path: str, *state: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _seen(options: dict) -> dict:
    """Those options that may have changed the picture."""
    return {name: value for name, value in options.items() if name not in UNSEEN}
