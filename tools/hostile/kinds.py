"""What is tried with each kind of file. A target returns, or raises `UserError`, if all is well."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

import deep_photostyle
from dpst.batch.batch import check_ahead
from dpst.batch.manifest import find_jobs
from dpst.errors import UserError
from dpst.files.clips import clip_thumbnail, read_clip, small_frames
from dpst.files.luts import Lut
from dpst.files.photos import read_photo, thumbnail
from dpst.files.writing import check_writable, write_photo
from dpst.jobs.files_in_use import FilesInUse
from dpst.jobs.job import Job, Outcome
from dpst.jobs.records import finished
from dpst.options import LUT_PROFILES, Options
from dpst.regions.reading import read_classes
from hostile import calls, mutators, places, requests, runs, seeds, strategies
from hostile.broken import Broken, one_clear_line, shown
from vgg19.weights import load_weights

# Megapixels at most, as `--max_pixels` would have it.
MAX_PIXELS = 4.0
_EXTENSIONS = (".png", ".jpg", ".tif", ".webp")


@dataclasses.dataclass(frozen=True)
class Kind:
    """Attributes: the name's extension, what makes files, and what is tried with one."""

    extension: str
    strategy: Callable[[], st.SearchStrategy[bytes]]
    target: Callable[[Path], None]


def picture(path: Path) -> None:
    """Read, and written as a result is, in a format that its bytes choose; a result that cannot be written is a run lost."""
    photo = read_photo(str(path), max_pixels=MAX_PIXELS)
    pixels = photo.pixels
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise Broken("a photo beyond 0..1")
    extension = _EXTENSIONS[zlib.crc32(path.read_bytes()) % len(_EXTENSIONS)]
    result = path.with_name(f"result{extension}")
    check_writable(str(result), photo.size)  # a format that is too small for it is refused before the solve
    try:
        write_photo(str(result), 1 - pixels, like=photo)
    except UserError as error:
        raise Broken(f"a result {extension} cannot be written") from error
    if read_photo(str(result)).size != photo.size:
        raise Broken(f"a result {extension} has another size")
    thumbnail(str(path), 64)


def mask(path: Path) -> None:
    """Completed or flat, the classes of a mask share out each pixel at most once."""
    photo = seeds.levels(3).astype(np.float32) / 255
    names, masks = read_classes(str(path), photo, Options(max_pixels=MAX_PIXELS))
    if masks.shape != (*photo.shape[:2], len(names)) or not np.isfinite(masks).all() or masks.sum(-1).max() > 1.001:
        raise Broken("classes that are no partition")


def weights(path: Path) -> None:
    """Every layer is there, and finite."""
    with warnings.catch_warnings():  # NumPy and Python warn of odd files; the command line shows nobody's warnings but its own
        warnings.simplefilter("ignore")
        layers = load_weights(path)
    if not all(np.isfinite(array).all() for pair in layers.values() for array in pair):
        raise Broken("weights that are not finite")


def manifest(path: Path) -> None:
    """Every line is a job, or one line that says why not."""
    jobs = find_jobs(Options(batch=str(path)), "")
    found = list(jobs)
    if len(found) != len(jobs):
        raise Broken("jobs other than were counted")
    for each in found:
        if isinstance(each, Outcome):
            one_clear_line(shown(each.error))
        elif not isinstance(each, Job):
            raise Broken("neither job nor outcome")


def folder(path: Path) -> None:
    """Whatever the photos of a folder are called, each is a job, in an order, or one line says why not."""
    photos = path.with_name("photos")
    photos.mkdir()
    for name in json.loads(path.read_text()):
        if name not in (".", ".."):
            (photos / name).write_bytes(seeds.pngs()[0])
    jobs = find_jobs(Options(batch=str(photos), style_image_path=str(path), auto_seg="0"), "")
    found = list(jobs)
    if len(found) != len(jobs) or not all(isinstance(each, (Job, Outcome)) for each in found):
        raise Broken("jobs other than were counted")
    with contextlib.closing(FilesInUse()) as files:
        for each in found:
            if isinstance(each, Job):
                files.add_inputs(each.options)
        for each in check_ahead(found, files):
            if isinstance(each, Job):
                raise Broken("a style that is no picture is taken")
            one_clear_line(shown(each.error))


def clip(path: Path) -> None:
    """All frames that can be read, and what the report shows of it."""
    found = read_clip(str(path), "content clip", MAX_PIXELS)
    for frame in small_frames(found, 16):
        if frame.shape[2] != 3 or max(frame.shape) > 16:
            raise Broken("a frame of another size")
    clip_thumbnail(str(path), 16, MAX_PIXELS)


def record(path: Path) -> None:
    """No record is that of a job whose result is not there."""
    if finished(Options(serial=str(path.parent), output_image=f"{path.stem}.png")) is not None:
        raise Broken("a job counts as done without its result")


def lut(path: Path) -> None:
    """A table that is read gives finite colours, of whichever profile; its bytes choose that."""
    profile = LUT_PROFILES[zlib.crc32(path.read_bytes()) % len(LUT_PROFILES)]
    with np.errstate(all="raise"):
        if not np.isfinite(Lut.read(str(path), profile)(seeds.levels(3) / np.float32(255))).all():
            raise Broken("colours that are not finite")


def command_line(path: Path) -> None:
    """There is no photo, so that whatever else is asked for ends in one line on standard error, and in 1 or 2."""
    arguments = json.loads(path.read_text())
    said, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(told):
        try:
            code = deep_photostyle.main([*arguments, "--content_image_path", "none.png", "--quiet"])
        except SystemExit as end:
            code = end.code
    if code == 0 and told.getvalue():  # --help and --version
        return
    lines = said.getvalue().split("\n")
    if code not in (1, 2) or len(lines) != 2 or not lines[0].startswith("error: "):
        raise Broken(f"exit code {code} with {len(lines) - 1} lines")
    one_clear_line(lines[0])


def _of(good: Callable[[], list[bytes]], *layouts: mutators.Layout) -> Callable[[], st.SearchStrategy[bytes]]:
    return lambda: strategies.damage(good, *layouts)


_TABLE_LAYOUTS = (mutators.PNG, mutators.PNG_PIXELS)
_MASK_LAYOUTS = (*_TABLE_LAYOUTS, mutators.BLOCKS)
KINDS: dict[str, Kind] = {
    "png": Kind(".png", strategies.png, picture),
    "jpeg": Kind(".jpg", _of(seeds.jpegs, mutators.JPEG), picture),
    "tiff": Kind(".tif", _of(seeds.tiffs, mutators.TIFF), picture),
    "bigtiff": Kind(".tif", _of(seeds.bigtiffs, mutators.TIFF), picture),
    "webp": Kind(".webp", _of(seeds.webps, mutators.WEBP), picture),
    "bmp": Kind(".bmp", _of(seeds.bmps, mutators.BLOCKS), picture),
    "avif": Kind(".avif", strategies.heif, picture),
    "exif": Kind(".img", strategies.exif, picture),
    "icc": Kind(".img", strategies.icc, picture),
    "xmp": Kind(".img", strategies.xmp, picture),
    "mask": Kind(".png", _of(seeds.masks, *_MASK_LAYOUTS), mask),
    "strokes": Kind(".png", _of(seeds.strokes, *_TABLE_LAYOUTS), mask),
    "npy": Kind(".npy", _of(lambda: seeds.npys() + seeds.strange_npys(), mutators.PICKLE), weights),
    "h5": Kind(".h5", _of(seeds.h5s, mutators.BLOCKS), weights),
    "npz": Kind(".npz", _of(seeds.npzs, mutators.ZIP), weights),
    "csv": Kind(".csv", _of(seeds.csvs, mutators.TEXT), manifest),
    "jsonl": Kind(".jsonl", strategies.jsonl, manifest),
    "clip": Kind(".mkv", _of(seeds.clips, mutators.BLOCKS), clip),
    "record": Kind(".json", strategies.record, record),
    "cube": Kind(".cube", strategies.deep_cube, lut),
    "hald": Kind(".png", _of(seeds.halds, *_TABLE_LAYOUTS), lut),
    "options": Kind(".args", strategies.options, command_line),
    "names": Kind(".names", strategies.names, folder),
    "http": Kind(".http", requests.http, requests.page),
    "calls": Kind(".call", calls.calls, calls.call),
    "places": Kind(".places", places.places, places.share),
    "console": Kind(".console", runs.consoles, runs.console),
    "signals": Kind(".signals", runs.signals, runs.interrupted),
    "leftovers": Kind(".left", runs.leftovers, runs.among_leftovers),
}
