"""The files that a job reads and those that it writes, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from dpst.errors import OptionError, UserError
from dpst.files.atomic import remove_partials
from dpst.option_checks import REGION
from dpst.options import INPUT_FILES, SEMANTIC, Options
from dpst.regions.automatic import CONTENT_MASK, STYLE_MASK
from dpst.regions.segformer import PRESETS
from vgg19.weights import CHOICES, weights_file

# Snapshots by their names in the reference script; `*` stands for the number of a step.
_NUMBERED, FIRST_STAGE = "out_iter_*.png", "tmp_result.png"
_SHOTS = "shot_*.png"


def output_images(options: Options) -> tuple[str, ...]:
    """A path for each of `realisms` and, within it, each of `strengths`.

    `output_image` itself where there is one of both, else with what there are several of added to its name.
    """
    strengths = [f"_{strength:g}" if len(options.strengths) > 1 else "" for strength in options.strengths]
    return tuple(_with_suffix(options.output_image, r + s) for r in _realism_suffixes(options) for s in strengths)


def lut_paths(options: Options) -> tuple[str, ...]:
    """A path for the LUT at each of `realisms`, named like `output_images`; empty without `lut`."""
    return tuple(_with_suffix(options.lut, suffix) for suffix in _realism_suffixes(options)) if options.lut else ()


def check_names(options: Options) -> None:
    """Raises `OptionError` if a result and a LUT have one name."""
    for path in set(lut_paths(options)) & set(output_images(options)):
        raise OptionError(f"--lut {path} is also the name of the result; use another name")


def _realism_suffixes(options: Options) -> list[str]:
    return [f"_realism{realism:g}" if len(options.realisms) > 1 else "" for realism in options.realisms]


def _with_suffix(path: str, suffix: str) -> str:
    """The path with something added to its name; itself where that is nothing, or there is no name, as in `.`."""
    pure = PurePath(path)
    return str(pure.with_name(f"{pure.stem}{suffix}{pure.suffix}")) if suffix and pure.name else path


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
    files = [("output image", path) for path in output_images(options)] + [("LUT", path) for path in lut_paths(options)]
    files += [("mask preview", options.mask_preview)] if options.mask_preview else []
    files += [("preview", shot_path(options, "*"))] if options.is_clip and options.preview else []
    return [*files, ("record", str(record_path(options)))]


def by_products(options: Options) -> list[tuple[str, str]]:
    """What a job may write besides and how to call it; `*` stands for the number of a snapshot."""
    files = [("log", str(log_path(options)))]
    if options.auto_seg_used:
        files += [("mask", path) for path in mask_paths(options)]
    if options.is_clip and not (options.apply_lut or options.dry_run or options.preview):
        files.append(("looks", looks_folder(options)))
    if not (options.apply_lut or options.dry_run or options.is_clip):
        files += [("snapshot", by_product_path(options, _NUMBERED))]
        if options.style_option == 2 and options.serial:
            files += [("snapshot", by_product_path(options, FIRST_STAGE))]
    return files


def looks_folder(options: Options) -> str:
    """The folder of the looks of a clip's shots, while the clip is not whole."""
    return str(record_path(options).with_suffix(".looks"))


def mask_paths(options: Options) -> tuple[str, str]:
    """Where the masks of found regions are, of the content and of the style."""
    return by_product_path(options, CONTENT_MASK), by_product_path(options, STYLE_MASK)


def by_product_path(options: Options, name: str) -> str:
    """Where a by-product of this name is: beside the result and named after it, as `photo.jpg.out_iter_100.png`, or in `serial`.

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


def prepare_folders(options: Options) -> None:
    """Makes the folders of what a job will write, and removes the half-written files that killed runs left in them.

    Raises:
        UserError: one cannot be made.
    """
    for role, path in (*results(options), *by_products(options)):
        remove_partials(path.replace(REGION, "*"))
        if not options.dry_run or role in ("mask preview", "mask"):
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"folder of {role} {path} cannot be created ({error.strerror}); choose another place") from error
