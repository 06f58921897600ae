"""Where a batch's jobs come from: a folder in the paper's layout, a folder of content photos, or a manifest.

Jobs are made one by one as they are asked for; a manifest is never in memory as a whole.
"""

from __future__ import annotations

import codecs
import collections
import csv
import dataclasses
import io
import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from dpst.errors import OptionError, UserError
from dpst.files.clip_writing import extensions_of
from dpst.files.inputs import in_counting_order, open_input
from dpst.files.kinds import OTHER_EXTENSIONS
from dpst.files.writing import EXTENSIONS
from dpst.jobs.job import Job, Outcome, Status
from dpst.jobs.places import by_products, results
from dpst.option_checks import KINDS
from dpst.options import BOOLEANS, CLIP_EXTENSIONS, INPUT_FILES, OUTPUT_FILES, PICTURE_OPTIONS, Options, is_clip_name, nearest
from dpst.regions.segformer import PRESETS
from vgg19.weights import CHOICES

logger = logging.getLogger(__name__)

# Characters of the longest line that is read whole; the rest of a longer one is skipped.
_LINE = 2**20

_FIELDS = {field.name: field for field in dataclasses.fields(Options) if field.name in PICTURE_OPTIONS}


@dataclasses.dataclass(frozen=True)
class Jobs:
    """The jobs of a batch, made one by one each time they are gone through; for one that cannot be made, that it failed."""

    count: int
    make: Callable[[], Iterator[Job | Outcome]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Job | Outcome]:
        return self.make()


def find_jobs(options: Options, command: str) -> Jobs:
    """The jobs of `--batch`. Folders are looked through once, here; a manifest each time that its jobs are made.

    Args:
        options: `batch`, `output_dir`, and the options of all jobs where a manifest gives no others.
        command: the command line, for the results' metadata.

    Raises:
        UserError: the batch is not there, or no job can be found in it; or an option cannot be combined with it.
    """
    path = Path(options.batch)
    for name in OUTPUT_FILES:
        if getattr(options, name) != getattr(Options, name):
            raise OptionError(
                f"--{name} {getattr(options, name)} is for one picture; with --batch use --output_dir, or a manifest"
            )
    if os.path.isdir(path):
        if options.content_image_path:
            raise OptionError(f"--content_image_path and --batch {path} both give the content photos; use one of them")
        in_pairs = os.path.isdir(path / "input") and os.path.isdir(path / "style") and not options.apply_lut
        find = _find_pairs if in_pairs else _find_contents
        found = find(path, options)
        return Jobs(len(found), lambda: (_folder_job(paths, options, command) for paths in found))
    if not os.path.isfile(path) or path.suffix.lower() not in _READERS:
        wrong = "has an unknown type" if os.path.exists(path) else "does not exist"
        raise UserError(f"--batch {path} {wrong}; give a folder, or a manifest .csv or .jsonl")
    count = sum(1 for _ in _rows(path))
    if not count:
        raise UserError(f"manifest {path} lists no jobs; write one on each line")
    return Jobs(count, lambda: (_manifest_job(path, number, row, options, command) for number, row in _rows(path)))


def _find_pairs(folder: Path, options: Options) -> list[dict[str, Any]]:
    """Paths of each job by option, from the layout of Luan et al.'s code: `inN` goes with `tarN`."""
    if options.style_image_path or options.content_seg_path or options.style_seg_path:
        raise OptionError(f"--batch {folder} contains its own style photos and masks; remove --style_image_path and the masks")
    styles, masks = _by_stem(folder / "style"), _by_stem(folder / "segmentation")
    found = []
    for content in _photos(folder / "input"):
        target = "tar" + content.stem.removeprefix("in")
        paths = {"content_image_path": content, "style_image_path": styles.get(target, folder / "style" / f"{target}.png")}
        if content.stem in masks or target in masks:  # the check misses the other one
            for name, stem in (("content_seg_path", content.stem), ("style_seg_path", target)):
                paths[name] = masks.get(stem, folder / "segmentation" / f"{stem}.png")
        found.append({name: str(path) for name, path in paths.items()})
    return _with_own_names(found)


def _find_contents(folder: Path, options: Options) -> list[dict[str, Any]]:
    """Paths of each job by option, from a folder of content photos, or of clips."""
    contents, found = _photos(folder, or_clips=True), []
    kinds = EXTENSIONS if contents[0].suffix.lower() in EXTENSIONS else EXTENSIONS.union(CLIP_EXTENSIONS)
    masks = _by_stem(Path(options.content_seg_path), kinds) if options.content_seg_path else {}
    for content in contents:
        paths = {"content_image_path": str(content)}
        if options.content_seg_path:
            paths["content_seg_path"] = str(masks.get(content.stem, Path(options.content_seg_path) / f"{content.stem}.png"))
        found.append(paths)
    if not (options.style_image_path or options.apply_lut):
        raise OptionError(f"--style_image_path is missing; give the style image for the photos of --batch {folder}")
    return _with_own_names(found)


def _photos(folder: Path, or_clips: bool = False) -> list[Path]:
    """The photos of a folder, in2 before in10; or its clips if there are no photos. What is left out is counted in a warning."""
    files = [path for path in _files(folder) if not path.name.startswith(".")]
    photos = [path for path in files if path.suffix.lower() in EXTENSIONS]
    clips = [path for path in files if is_clip_name(path)]
    if photos and clips and or_clips:
        skipped = "folder %s contains photos, and %d clips that are skipped; put the clips into a folder of their own"
        logger.warning(skipped, folder, len(clips))
    if or_clips:
        photos = photos or clips
    others = [path.suffix.lower() for path in files if path.suffix.lower() in OTHER_EXTENSIONS]
    if others:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(collections.Counter(others).items()))
        logger.warning("folder %s contains pictures that are skipped (%s); export them as JPEG, PNG or TIFF", folder, kinds)
    if not photos:
        lack = f"folder {folder} contains no photos{' or clips' * or_clips}"
        raise UserError(f"{lack}; put {', '.join(sorted(EXTENSIONS))} files there")
    return [folder / name for name in in_counting_order(path.name for path in photos)]


def _by_stem(folder: Path, kinds: Collection[str] = EXTENSIONS) -> dict[str, Path]:
    """The files of some kinds, and folders of masks, in a folder by their names without extension; of equal names the first."""
    if not os.path.isdir(folder):
        return {}
    paths = sorted(_files(folder), reverse=True)
    return {path.stem: path for path in paths if os.path.isdir(path) or path.suffix.lower() in kinds}


def _with_own_names(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The paths of jobs, with names for the results of those whose photos differ by their extensions alone: a.jpg, a_png.png."""
    stems = set()
    for paths in jobs:
        content = Path(paths["content_image_path"])
        if content.stem in stems:
            paths["output_image"] = f"{content.stem}_{content.suffix[1:]}{content.suffix}"
        stems.add(content.stem)
    return jobs


def _files(folder: Path) -> list[Path]:
    """What is in a folder.

    Raises:
        UserError: it may not be read.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UserError(f"folder {folder} cannot be read ({error.strerror}); change its permissions") from error


def _folder_job(paths: dict[str, Any], options: Options, command: str) -> Job | Outcome:
    try:
        return Job(_with_outputs(dataclasses.replace(options, **paths), options.output_dir), command)
    except UserError as error:  # of its names alone
        return Outcome(Path(paths["content_image_path"]).name, Status.LEFT_OUT, error=str(error))


def _with_outputs(options: Options, folder: str) -> Options:
    """The options with the outputs in a folder, if unnamed after the content photo; snapshots and record in a folder beside."""
    image = options.output_image
    if image == Options.output_image:
        content = Path(options.content_image_path)
        if options.is_clip:
            kept = content.suffix.lower() in extensions_of(options.video_codec)
            image = content.name if kept else f"{content.stem}{extensions_of(options.video_codec)[0]}"
        else:
            image = content.name if content.suffix.lower() in EXTENSIONS else f"{content.stem}.png"
    output = Path(folder) / image
    serial = str(output.with_suffix("")) if options.serial == Options.serial else str(Path(folder) / options.serial)
    preview = str(Path(folder) / options.mask_preview) if options.mask_preview else ""
    if (options.content_seg_path or options.auto_seg_used) and not preview and not options.apply_lut:
        preview = str(Path(serial) / f"{output.stem}_regions.jpg")
    lut = str(Path(folder) / options.lut) if options.lut else ""
    return dataclasses.replace(options, output_image=str(output), serial=serial, mask_preview=preview, lut=lut)


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    """Number of each line of a manifest, and what it holds.

    Raises:
        UserError: the manifest cannot be read.
    """
    try:
        # The names of files need not be UTF-8: what is none stands for itself.
        with io.TextIOWrapper(open_input(path), newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            if file.buffer.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):  # type: ignore[attr-defined]
                raise UserError("the text is in UTF-16; save it in UTF-8")
            yield from _READERS[path.suffix.lower()](_lines(file))
    except UserError as error:
        raise UserError(f"manifest {path} line 1: {error}") from error
    except (OSError, csv.Error) as error:
        raise UserError(f"manifest {path} cannot be read ({error}); save it as text in UTF-8") from error


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LINE):
        yield line
        while len(line) == _LINE and not line.endswith("\n"):
            line = file.readline(_LINE)


def _csv_rows(lines: Iterable[str]) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(lines)
    for name in reader.fieldnames or []:
        if ";" in name or "\t" in name:  # as spreadsheets write it in countries with decimal commas
            raise UserError(f"column '{name}' is several; put commas between them")
        _check_name(name)
    while True:
        try:
            row: object = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = UserError(f"the line is not valid CSV ({error}); quote cells with commas")
        yield reader.line_num, row


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, line


_READERS = {".csv": _csv_rows, ".jsonl": _json_rows}


def _manifest_job(path: Path, number: int, row: object, options: Options, command: str) -> Job | Outcome:
    """The job of a line. Paths of inputs are relative to the manifest, those of outputs to `--output_dir`."""
    if isinstance(row, UserError):
        return _left_out(path, number, row)
    try:
        try:
            values = json.loads(row) if isinstance(row, str) else row
        except (ValueError, RecursionError) as error:  # values: numbers of thousands of digits, too
            wrong = f"the line is not valid JSON ({getattr(error, 'msg', error)})"
            raise UserError(f'{wrong}; write an object such as {{"content_image_path": ...}}') from error
        if not isinstance(values, dict):
            raise UserError('the line is not a JSON object; write one such as {"content_image_path": ...}')
        chosen = {name: _value(name, value) for name, value in values.items() if value not in ("", None)}
        for name in {*INPUT_FILES, "vgg19_weights", "seg_model"} & set(chosen):
            if chosen[name] not in (*CHOICES, *PRESETS):
                chosen[name] = str(path.parent / chosen[name])
        own = _with_outputs(dataclasses.replace(options, **chosen), options.output_dir)
        if not options.allow_outside:
            _check_inside(own)
        return Job(own, command)
    except UserError as error:
        return _left_out(path, number, error)


def _left_out(path: Path, number: int, error: UserError) -> Outcome:
    return Outcome(f"line {number}", Status.LEFT_OUT, error=f"manifest {path} line {number}: {error}")


def _check_inside(options: Options) -> None:
    """Refuses a job, of someone else's manifest perhaps, that would write anywhere but below `output_dir`."""
    folder = os.path.realpath(options.output_dir)
    for role, path in (*results(options), *by_products(options)):
        if os.path.commonpath([folder, os.path.realpath(path)]) != folder:
            raise UserError(f"{role} {path} is outside --output_dir {options.output_dir}; move it there, or give --allow_outside")


def _value(name: str | None, value: object) -> Any:
    """An option's value from a cell of text or from JSON."""
    if name is None:
        raise UserError("the line has more cells than the first line has names; quote cells with commas")
    _check_name(name)
    kind: type = type(_FIELDS[name].default)
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return BOOLEANS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        raise UserError(f"{name} {text} is not {KINDS[kind]}; give {KINDS[kind]}") from error


def _check_name(name: str) -> None:
    if name not in _FIELDS:
        near = nearest(name, _FIELDS) or [f"names of options such as {', '.join(INPUT_FILES[:2])}"]
        raise UserError(f"column '{name}' is not an option of a job; use {near[0]}")
