"""Options refuse what makes no sense, in one line that says what to do; every one of them has a place and a help."""

import dataclasses
import math
import pickle
import re

import numpy as np
import pytest

from dpst.errors import MAX_CHARACTERS, OptionError, UserError, one_line
from dpst.options import Options

FIELDS = {field.name: field for field in dataclasses.fields(Options)}
NUMBERS = [name for name, field in FIELDS.items() if isinstance(field.default, float)]


def test_defaults_are_those_of_the_reference_but_for_the_style_option_and_the_folder_of_snapshots():
    options = Options()
    assert options.style_option == 2
    assert (options.content_weight, options.style_weight, options.tv_weight, options.affine_weight) == (5, 100, 1e-3, 1e4)
    assert (options.max_iter, options.learning_rate, options.print_iter, options.save_iter) == (1000, 1, 1, 100)
    assert (options.lbfgs, options.apply_smooth, options.f_radius, options.f_edge) == (True, True, 15, 0.1)
    assert (options.output_image, options.serial, options.init_image_path, options.seed) == ("best_stylized.png", "", "", 0)


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_has_a_group_and_a_help(name):
    metadata = FIELDS[name].metadata
    assert metadata["group"] and metadata["help"]
    assert not metadata["help"].endswith(".")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_finite(name, value):
    with pytest.raises(UserError, match=rf"^`{name}` {value} is not a finite number; give a number$"):
        Options(**{name: value})


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if "minimum" in field.metadata])
def test_bounds_that_are_allowed_themselves(name):
    least = FIELDS[name].metadata["minimum"]
    assert getattr(Options(**{name: least}), name) == least
    with pytest.raises(UserError, match=rf"^`{name}` {least - 1} is too small; use {least} or more$"):
        Options(**{name: least - 1})


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if "above" in field.metadata])
def test_bounds_that_are_not_allowed_themselves(name):
    above = FIELDS[name].metadata["above"]
    assert getattr(Options(**{name: above + 1e-9}), name) == above + 1e-9
    with pytest.raises(UserError, match=rf"^`{name}` {above} is too small; use more than {above}$"):
        Options(**{name: above})


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if "choices" in field.metadata])
def test_choices(name):
    choices = FIELDS[name].metadata["choices"]
    for choice in choices:
        Options(**{"style_option": 2, name: choice})
    with pytest.raises(UserError, match=rf"^`{name}` -1 is unknown; use one of {', '.join(map(str, choices))}$"):
        Options(**{name: -1})


def test_regions_are_found_where_no_masks_are_given():
    assert [Options(auto_seg=value).auto_seg_used for value in ("0", "3", "semantic", "auto")] == ["", "3", "semantic", "auto"]
    assert [Options(style_option=n).auto_seg_used for n in (0, 1, 2)] == ["", "auto", "auto"]
    assert Options(style_option=2, solver="reference").auto_seg_used == ""
    assert Options(auto_seg="3", content_seg_path="mask.png").auto_seg_used == ""


@pytest.mark.parametrize("name", ["content_weight", "style_weight", "tv_weight", "affine_weight"])
def test_weights_may_be_zero_and_not_negative(name):
    Options(**{name: 0.0})
    with pytest.raises(UserError, match=f"`{name}` -0.5 is too small; use 0 or more"):
        Options(**{name: -0.5})


def test_options_do_not_change_and_travel_between_processes():
    options = Options(seed=7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.seed = 8
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(UserError):
        dataclasses.replace(options, max_iter=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("batch", "photos"), ("lut", "look.cube"), ("content_image_path", "a.png"), ("auto_seg", "3"), ("solver", "pixels")],
        *[("lut_profile", "rec709"), ("keep", "light")],
    ],
)
def test_what_the_page_gives_or_cannot_do_is_no_option_beside_it(name, value):
    with pytest.raises(
        UserError,
        match=rf"^`{name}` {re.escape(value)} cannot be combined with `app`(, which needs maps)?; remove one( of them)?$",
    ):
        Options(app=True, **{name: value})
    Options(app=True, solver="maps", style_option=2, max_size=300)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if "maximum" in field.metadata])
def test_upper_bounds_are_allowed_themselves(name):
    most = FIELDS[name].metadata["maximum"]
    assert getattr(Options(**{name: most}), name) == most
    with pytest.raises(UserError) as error:
        Options(**{name: 2 * most})
    assert str(error.value) == f"`{name}` {2 * most} is too large; use {most} or less"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("a\0b.png", r"a\x00b.png contains a null character; remove it"),
        ("\ud800.png", r"\ud800.png has characters that cannot be encoded; use others"),
        ("a/" + "b" * 256, "is too long for a path; use names of 255 bytes at most"),
        ("\u00e9" * 128, "is too long for a path; use names of 255 bytes at most"),
        ("a/" * 2048, "is too long for a path; use names of 255 bytes at most"),
    ],
)
@pytest.mark.parametrize("name", ["content_image_path", "output_image", "serial", "vgg19_weights", "seg_model", "output_dir"])
def test_paths_that_no_file_system_holds(name, value, says):
    with pytest.raises(UserError) as error:
        Options(**{name: value})
    assert str(error.value).startswith(f"`{name}` ") and str(error.value).endswith(says)


def test_long_names_that_a_file_system_holds():
    for value in ("a" * 255, "a/" * 2047, "\udcff.png"):
        assert Options(content_image_path=value).content_image_path == value


def test_an_error_is_one_line_of_bounded_length_whatever_it_quotes():
    assert str(UserError("a\nb\x1b[31m\x85\u2028c; d")) == r"a\nb\x1b[31m\x85\u2028c; d"
    assert str(UserError("caf\u00e9 \u65e5\u672c; go")) == "caf\u00e9 \u65e5\u672c; go"
    long = str(UserError(f"file {'x' * 1_000_000} is missing; check the path"))
    assert len(long) <= MAX_CHARACTERS and long.startswith("file xx") and long.endswith("x is missing; check the path")
    assert len(one_line("\0" * 1_000_000)) <= MAX_CHARACTERS


WRONG_TYPES = {
    bool: (1, "yes", None),
    int: ("64", 1.5, True, None),
    float: ("1", True, None, 1j),
    str: (1, 0.7, None, b"a", ["a"]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_another_type_is_reported(name):
    kind = type(FIELDS[name].default)
    for value in WRONG_TYPES[kind]:
        with pytest.raises(UserError, match=rf"^`{name}` .* is (unknown|of type {type(value).__name__}); (use one of|give) "):
            Options(**{name: value})


def test_numbers_of_numpy_are_numbers():
    options = Options(max_size=np.int64(64), style_weight=np.float32(2), content_weight=3, seed=np.uint8(1))
    assert (options.max_size, options.style_weight, options.content_weight, options.seed) == (64, 2, 3, 1)


def test_errors_of_options_are_distinguished_from_others():
    for wrong in (
        {"max_iter": 0},
        {"realism": "9"},
        {"solver": "foo"},
        {"output_image": "a\0"},
        {"solver": "maps", "style_option": 0},
    ):
        with pytest.raises(OptionError):
            Options(**wrong)
