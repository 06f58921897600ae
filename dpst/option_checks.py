"""Which values options may have, alone and together. Errors name an option as `name`; the command line shows that as `--name`."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import pathlib
import re
from typing import TYPE_CHECKING

from dpst.errors import OptionError

if TYPE_CHECKING:
    from dpst.options import Options

# What to give for an option of each type.
KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
# What stands for the name of a region in a path.
REGION = "{region}"
# Kinds of LUT that are written: text, and a picture (HaldCLUT).
LUT_EXTENSIONS = (".cube", ".png")

# What is given or chosen on the page, and what only a solve can use.
_CHOSEN_ON_THE_PAGE = (
    *("batch", "apply_lut", "lut", "lut_profile", "keep", "content_image_path", "style_image_path", "content_seg_path"),
    *("style_seg_path", "init_image_path", "auto_seg"),
)
_OF_A_SOLVE = ("style_image_path", "style_seg_path", "init_image_path", "lut", "auto_seg", "mask_preview")
# Bytes of a path and of a name in it: PATH_MAX and NAME_MAX of Linux, and no other system allows more.
_PATH_BYTES, _NAME_BYTES = 4096, 255
# How the `metavar` of an option ends that takes a path.
_PATHS = ("FILE", "FOLDER", "PATH", "DIR")


def check_options(options: Options) -> None:
    """Checks each option by the rules in its field's metadata, then those that do not go together.

    Raises:
        OptionError: the first that is wrong.
    """
    for field in dataclasses.fields(options):
        _check_value(f"`{field.name}`", getattr(options, field.name), field)
    _check_combinations(options)


def numbers_in(name: str, text: str, most: float) -> tuple[float, ...]:
    """A list of different numbers from 0 to `most`, as the option of this name has it."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(f"{name} {text} is not a list of numbers; give numbers such as 0.5,0.75,1") from error
    if not all(0 <= number <= most for number in found):  # not a number is none of them either
        raise OptionError(f"{name} {text} is out of range; use numbers from 0 to {most:g}")
    if len({f"{number:g}" for number in found}) < len(found):
        raise OptionError(f"{name} {text} contains a number twice; give each number once")
    return found


def _check_value(name: str, value: object, field: dataclasses.Field) -> None:
    rule, kind = field.metadata, type(field.default)
    if "choices" not in rule and not _is_of(kind, value):
        raise OptionError(f"{name} {value!r} is of type {type(value).__name__}; give {KINDS[kind]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise OptionError(f"{name} {value} is not a finite number; give a number")
    if "choices" in rule and not (_is_of(kind, value) and value in rule["choices"]):
        raise OptionError(f"{name} {value} is unknown; use one of {', '.join(map(str, rule['choices']))}")
    if "minimum" in rule and value < rule["minimum"]:
        raise OptionError(f"{name} {value} is too small; use {rule['minimum']} or more")
    if "above" in rule and value <= rule["above"]:
        raise OptionError(f"{name} {value} is too small; use more than {rule['above']}")
    if "maximum" in rule and value > rule["maximum"]:
        raise OptionError(f"{name} {value} is too large; use {rule['maximum']} or less")
    if isinstance(value, str):
        _check_text(name, value, is_path=rule.get("metavar", "").endswith(_PATHS))
    if "numbers_to" in rule:
        numbers_in(name, str(value), rule["numbers_to"])
    if "pattern" in rule and not re.fullmatch(rule["pattern"], str(value)):
        raise OptionError(f"{name} {value} is unknown; use {rule['instead']}")


def _is_of(kind: type, value: object) -> bool:
    """Whether a value is of an option's kind; NumPy's numbers are numbers, and only truth values are True or False."""
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    wanted = {int: numbers.Integral, float: numbers.Real, str: str}[kind]
    return isinstance(value, wanted)


def _check_text(name: str, value: str, is_path: bool) -> None:
    """Refuses text that no system could pass on, and paths that no file system could hold."""
    try:
        encoded = os.fsencode(value)
    except UnicodeEncodeError as error:
        raise OptionError(f"{name} {value} has characters that cannot be encoded; use others") from error
    if b"\0" in encoded:
        raise OptionError(f"{name} {value} contains a null character; remove it")
    if is_path and (len(encoded) >= _PATH_BYTES or max(map(len, encoded.split(os.sep.encode()))) > _NAME_BYTES):
        raise OptionError(f"{name} {value} is too long for a path; use names of {_NAME_BYTES} bytes at most")


def _check_combinations(options: Options) -> None:
    if options.strict_masks and options.seg_scribbles not in ("auto", "never"):
        both = f"`seg_scribbles` {options.seg_scribbles} and `strict_masks`"
        raise OptionError(f"{both} read masks differently; use one of them")
    if options.app:
        _check_unset(options, _CHOSEN_ON_THE_PAGE, "`app`")
        if options.solver not in ("auto", "maps"):
            raise OptionError(f"`solver` {options.solver} cannot be combined with `app`, which needs maps; remove one")
    if options.solver == "maps" and options.style_option == 0:
        raise OptionError("`solver` maps cannot paint, as `style_option` 0 does; use `style_option` 2, or `solver` pixels")
    if options.solver_used != "maps" and len(options.realisms) > 1:
        raise OptionError(f"`realism` {options.realism} needs `solver` maps; give one number, or `style_option` 2")
    for name in ("lut", "apply_lut"):
        if REGION in str(pathlib.PurePath(getattr(options, name)).parent):
            raise OptionError(f"`{name}` {getattr(options, name)} has {REGION} in the folder's name; put it in the file's name")
    if not pathlib.PurePath(options.output_image).name:
        raise OptionError(f"`output_image` {options.output_image!r} names no file; give one such as result.jpg")
    if options.lut and pathlib.PurePath(options.lut).suffix.lower() not in LUT_EXTENSIONS:
        raise OptionError(f"`lut` {options.lut} has an unknown extension; use one of {', '.join(LUT_EXTENSIONS)}")
    if options.is_clip:
        _check_clip(options)
    if options.apply_lut:
        _check_unset(options, _OF_A_SOLVE, "`apply_lut`, which solves nothing")
        if len(options.realisms) > 1:
            raise OptionError(f"`realism` {options.realism} cannot be combined with `apply_lut`; use `strength`")


def _check_clip(options: Options) -> None:
    _check_unset(options, ("init_image_path", "lut", "output_size", "app"), "a clip")
    if options.auto_seg not in ("auto", "0"):
        raise OptionError(f"`auto_seg` {options.auto_seg} is not for a clip, where found regions flicker; give masks")
    if options.solver_used != "maps" and not options.apply_lut:
        both = f"`style_option` {options.style_option} with `solver` {options.solver}"
        raise OptionError(f"{both} paints, and would flicker in a clip; use `style_option` 2")
    if len(options.realisms) > 1:
        raise OptionError(f"`realism` {options.realism} has several numbers; give one for a clip")
    if REGION in options.apply_lut:
        raise OptionError(f"`apply_lut` {options.apply_lut} is for regions; give one LUT for a whole clip")


def _check_unset(options: Options, names: tuple[str, ...], where: str) -> None:
    """Refuses options of these names that are not at their defaults."""
    for name in names:
        if (value := getattr(options, name)) != getattr(type(options), name):
            raise OptionError(f"`{name}` {value} cannot be combined with {where}; remove one of them")
