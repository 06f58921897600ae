"""The command line: what it takes, what it answers to everything a user can get wrong, and runs of it from end to end."""

import argparse
import dataclasses
import io
import json
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, golden_photo
from PIL import Image
from scipy import ndimage

from deep_photostyle import build_parser, main
from dpst import __version__
from dpst.files.writing import write_photo
from dpst.jobs import picture as one_picture
from dpst.jobs import progress, results
from dpst.jobs.messages import LOGGERS
from dpst.options import Options

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "deep_photostyle.py"


@pytest.fixture
def run(golden_paths, capsys):
    """A function that runs the command line on the golden photos, some options changed; returns exit code and all it said."""

    def run(*flags, **options):
        chosen = golden_paths | {name: str(value) for name, value in options.items()}
        arguments = [f"--{name}={value}" for name, value in chosen.items()]
        try:
            code = main([*arguments, *flags])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def one_line(error):
    """The message of an error that must be the only output."""
    assert re.fullmatch(r"error: [^\n]+; [^\n]+[^.\n]\n", error), error
    return error.removeprefix("error: ").strip()


# The parser


def test_options_are_those_of_the_dataclass_with_its_defaults():
    assert Options(**vars(build_parser().parse_args([]))) == Options()


def test_every_option_sets_its_field():
    for field in dataclasses.fields(Options):
        text, value = {
            bool: (str(not field.default), not field.default),
            int: ("1", 1),
            float: ("0.75", 0.75),
            str: ("text", "text"),
        }[type(field.default)]
        assert getattr(build_parser().parse_args([f"--{field.name}", text]), field.name) == value


@pytest.mark.parametrize(
    ("arguments", "lbfgs"),
    [
        ([], True),
        (["--lbfgs"], True),
        (["--lbfgs", "True"], True),
        (["--lbfgs", "False"], False),
        (["--lbfgs=false"], False),
        (["--lbfgs", "0"], False),
    ],
)
def test_false_is_false(arguments, lbfgs):
    assert build_parser().parse_args(arguments).lbfgs is lbfgs
    assert build_parser().parse_args([a.replace("lbfgs", "apply_smooth") for a in arguments]).apply_smooth is lbfgs


def test_help_has_every_option_in_its_group_with_its_default(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    help_text = capsys.readouterr().out
    unwrapped = "".join(help_text.split())
    for field in dataclasses.fields(Options):
        default = "none" if field.default == "" else field.default
        assert f"  --{field.name} " in help_text
        assert "".join(f"{field.metadata['help']} (default: {default})".split()) in unwrapped, field.name
    order = [
        help_text.index(f"\n{group}:\n")
        for group in ("most used", "input", "output", "optimisation", "weights", "masks", "smoothing", "batch")
    ]
    assert order == sorted(order)


def test_help_begins_with_commands_that_are_understood(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = [line.split() for line in capsys.readouterr().out.splitlines()[:8] if line.startswith("  deep-photostyle ")]
    photo, folder, page = (Options(**vars(build_parser().parse_args(words[1:]))) for words in commands)
    assert (photo.content_image_path, photo.style_image_path, photo.output_image) == ("photo.jpg", "sunset.jpg", "result.jpg")
    assert (folder.batch, folder.style_image_path, folder.output_dir) == ("photos", "sunset.jpg", "results")
    assert page.app


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.split() == ["deep-photostyle", __version__]


# TensorFlow must not be there when these have answered.
QUICK = """
import sys
import threading
from deep_photostyle import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
loaded = [name for name in ("tensorflow", "keras") if name in sys.modules]
sys.exit(99 if loaded else code)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--lbfgs", "maybe"], 2), (["--style_option", "3"], 2), (["--content_image_path", "none.png"], 1)],
)
def test_help_and_wrong_arguments_answer_at_once_without_tensorflow(arguments, code):
    # Processor time, and the better of two, because the machine may be busy with something else.
    seconds = []
    for _ in range(1 if code == 1 else 2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", QUICK, *arguments], cwd=ROOT, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == code, done.stderr.decode()
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    if "none.png" not in arguments:  # that takes NumPy and libvips, which look at the files
        assert min(seconds) < 0.5


def test_a_system_without_locks_and_signals_is_reported_in_one_line():
    code = """
import os, signal, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
del signal.SIGHUP
from deep_photostyle import main
os.name, sys.platform = "nt", "win32"
sys.exit(main(["--content_image_path", "a.png"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, one_line(done.stderr)) == (1, "the system win32 is not supported; use Linux, macOS, or Windows' WSL")


# What a user can get wrong: one line, nothing written


WRONG_ARGUMENTS = {
    "--lbfgs=maybe": "argument --lbfgs: 'maybe' is neither True nor False",
    "--apply_smooth=2": "argument --apply_smooth: '2' is neither True nor False",
    "--max_iter=many": "argument --max_iter: invalid int value: 'many'",
    "--content_weight=x": "argument --content_weight: invalid float value: 'x'",
    "--output_image": "argument --output_image: expected one argument; write one that starts with - as --output_image=-name.jpg",
}


@pytest.mark.parametrize(("argument", "message"), WRONG_ARGUMENTS.items())
def test_arguments_that_cannot_be_read(run, tmp_path, argument, message):
    code, error = run(argument)
    assert code == 2
    assert one_line(error) == f"{message}; --help lists the options"
    assert files(tmp_path) == []


@pytest.mark.parametrize(("arguments", "values"), [(("stray.png",), "stray.png"), (("--realism", "0", "1", "2"), "1 2")])
def test_a_value_without_an_option(run, tmp_path, arguments, values):
    code, error = run(*arguments)
    message = "belongs to no option; name the option before its value, and write several as 0,1,2"
    assert (code, one_line(error)) == (2, f"{values} {message}")
    assert files(tmp_path) == []


MISSPELT = {
    "--content_wight=5": "--content_wight is not an option; use --content_weight",
    "--stlye_option": "--stlye_option is not an option; use --style_option",
    "--style-option=2": "--style-option is not an option; use --style_option",
    "-realism=1": "-realism is not an option; use --realism",
    "--content=a.png": "--content is not an option; use --content_image_path or --content_seg_path or --content_weight",
    "--mask": "--mask is not an option; use --mask_preview",
    "--Content_Image_Path=a.png": "--Content_Image_Path is not an option; use --content_image_path",
    "--style_image_pathsunset.png": "--style_image_pathsunset.png is not an option; use --style_image_path",
}


@pytest.mark.parametrize(("argument", "message"), MISSPELT.items())
def test_a_misspelt_option_suggests_the_right_one(run, tmp_path, argument, message):
    code, error = run(argument)
    assert (code, one_line(error)) == (2, message)
    assert files(tmp_path) == []


WRONG_VALUES = {
    "--style_option=3": "--style_option 3 is unknown; use one of 0, 1, 2",
    "--style_option=-1": "--style_option -1 is unknown; use one of 0, 1, 2",
    "--solver=newton": "--solver newton is unknown; use one of auto, maps, pixels, reference",
    "--auto_seg=1": "--auto_seg 1 is unknown; use one of auto, 0, 2, 3, 4, 5, 6, 7, 8, 9, semantic",
    "--auto_seg=sky": "--auto_seg sky is unknown; use one of auto, 0, 2, 3, 4, 5, 6, 7, 8, 9, semantic",
    "--device=tpu": "--device tpu is unknown; use one of auto, cpu, gpu",
    "--content_weight=-1": "--content_weight -1.0 is too small; use 0 or more",
    "--style_weight=-0.001": "--style_weight -0.001 is too small; use 0 or more",
    "--tv_weight=nan": "--tv_weight nan is not a finite number; give a number",
    "--affine_weight=inf": "--affine_weight inf is not a finite number; give a number",
    "--style_weight=1e999": "--style_weight inf is not a finite number; give a number",
    "--max_iter=0": "--max_iter 0 is too small; use 1 or more",
    "--learning_rate=0": "--learning_rate 0.0 is too small; use more than 0",
    "--f_edge=0": "--f_edge 0.0 is too small; use more than 0",
    "--output_image=": "--output_image '' names no file; give one such as result.jpg",
    "--output_image=./": "--output_image './' names no file; give one such as result.jpg",
    "--seed=-1": "--seed -1 is too small; use 0 or more",
    "--seg_scribbles=blue": "--seg_scribbles blue is unknown; use auto, always, never or a colour (ffffff)",
}


@pytest.mark.parametrize(("argument", "message"), WRONG_VALUES.items())
def test_values_that_make_no_sense(run, tmp_path, argument, message):
    code, error = run(argument)
    assert code == 2
    assert one_line(error) == message
    assert files(tmp_path) == []


def picture(path, size=(20, 30), colour=(200, 30, 60)):
    Image.new("RGB", size[::-1], colour).save(path)
    return path


def truncated(path, source=DATA / "content.png"):
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    return path


INPUTS = [
    ("content_image_path", "content image"),
    ("style_image_path", "style image"),
    ("content_seg_path", "content segmentation"),
    ("style_seg_path", "style segmentation"),
    ("init_image_path", "init image"),
]


def no_file(path):
    return path


def a_folder(path):
    path.mkdir()
    return path


def empty(path):
    path.touch()
    return path


def no_image(path):
    path.write_text("This is not an image.\n" * 50)
    return path


def one_pixel(path):
    return picture(path, (1, 1))


BROKEN = {
    no_file: "does not exist; check the path",
    empty: "is empty; get a complete copy",
    no_image: "cannot be read as a picture; use a complete PNG, JPEG, TIFF or WebP file",
    truncated: "is damaged or truncated",
    one_pixel: "has 1x1 pixels, too few; use a picture of 16 pixels a side or more",
}


@pytest.mark.parametrize(("option", "role"), INPUTS)
@pytest.mark.parametrize("breaks", BROKEN, ids=lambda breaks: breaks.__name__)
def test_an_input_that_is_no_good(run, tmp_path, option, role, breaks):
    broken = breaks(tmp_path / "broken.png")
    before = files(tmp_path)
    code, error = run(**{option: broken})
    assert code == 1
    assert one_line(error).startswith(f"{role} {broken} {BROKEN[breaks]}")
    assert files(tmp_path) == before


@pytest.mark.parametrize(("option", "role"), [pair for pair in INPUTS if "seg" not in pair[0]])
def test_a_folder_is_no_photo(run, tmp_path, option, role):
    code, error = run(**{option: a_folder(tmp_path / "folder")})
    assert code == 1
    assert one_line(error) == f"{role} {tmp_path / 'folder'} is a folder; give a file"


def test_a_folder_as_one_mask_and_a_file_as_the_other(run, tmp_path):
    code, error = run(style_seg_path=a_folder(tmp_path / "folder"))
    assert code == 1
    assert "is a file and the other mask a folder" in one_line(error)


@pytest.mark.parametrize("missing", ["content_image_path", "style_image_path"])
def test_a_photo_not_given(run, missing):
    code, error = run(**{missing: ""})
    assert code == 2
    assert one_line(error).startswith(f"--{missing} is missing; give the")


@pytest.mark.parametrize("missing", ["content_seg_path", "style_seg_path"])
def test_one_mask_without_the_other(run, missing):
    code, error = run(**{missing: ""})
    assert code == 1
    assert one_line(error) == f"--{missing} is missing; give the masks of both photos or of neither"


@pytest.mark.parametrize("flags", [[], ["--strict_masks"]])
def test_masks_without_a_common_class(run, tmp_path, flags):
    code, error = run(*flags, style_seg_path=picture(tmp_path / "green.png", (52, 47), (0, 255, 0)))
    assert code == 1
    message = one_line(error)
    assert f"{tmp_path / 'green.png'} holds no class of the content segmentation" in message
    # The colours found, so that the user sees which do not fit.
    assert all(re.search(rf"{name} \d+\.\d%", message) for name in ("blue", "white", "red", "green"))
    assert files(tmp_path) == ["green.png"]


@pytest.mark.parametrize("name", ["file.txt/result.png", "none/result.png", "folder", "result.gif", "result"])
def test_an_output_that_cannot_be_written(run, tmp_path, name):
    (tmp_path / "file.txt").write_text("kept")
    (tmp_path / "folder").mkdir()
    code, error = run(output_image=tmp_path / name)
    assert code == 1
    assert one_line(error).startswith(f"output image {tmp_path / name} ")
    assert files(tmp_path) == ["file.txt"]


def test_a_snapshot_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / "file.txt").write_text("kept")
    code, error = run(serial=tmp_path / "file.txt" / "snapshots")
    assert code == 1
    assert one_line(error).startswith(f"record {tmp_path / 'file.txt' / 'snapshots'}/result.json cannot be written")
    assert files(tmp_path) == ["file.txt"]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def bomb(path):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|O", "fortran_order": False, "shape": ()})
    path.write_bytes(content.getvalue() + pickle.dumps(np.array(Bomb(path.with_name("exploded")), dtype=object)))


def wrong_shapes(path):
    weights = np.load(DATA / "thin_vgg19.npy", allow_pickle=True).item()
    weights["conv3_2"][0] = weights["conv3_2"][0][:, :, 1:]
    np.save(path, weights)


def half(path):
    truncated(path, DATA / "thin_vgg19.npy")


@pytest.mark.parametrize(
    ("spoil", "message"), [(bomb, "it asks for "), (half, "cannot be read"), (wrong_shapes, "do not fit together: conv3_2 has")]
)
def test_weights_that_are_no_good(run, tmp_path, spoil, message):
    spoil(tmp_path / "weights.npy")
    code, error = run("--quiet", vgg19_weights=tmp_path / "weights.npy")
    assert code == 1
    assert one_line(error).startswith(f"weights {tmp_path / 'weights.npy'} ") and message in error
    assert files(tmp_path) == ["weights.npy"] and not (tmp_path / "exploded").exists()


def test_weights_that_are_not_there(run, tmp_path):
    code, error = run(vgg19_weights=tmp_path / "weights.npy")
    assert code == 1
    assert one_line(error).startswith(f"weights {tmp_path / 'weights.npy'} does not exist; give")


# What a user may do


def grey(path, name):
    with Image.open(DATA / name) as mask:
        mask.convert("L").point(lambda value: 255 * (value > 150)).save(path)
    return path


def palette(path, name):
    with Image.open(DATA / name) as mask:
        mask.convert("RGB").quantize(4).save(path)
    return path


def jpeg(path, name):
    with Image.open(DATA / name) as mask:  # enlarged, since these regions are not much larger than JPEG's blocks
        large = mask.convert("RGB").resize((4 * mask.width, 4 * mask.height), Image.Resampling.NEAREST)
    large.save(path.with_suffix(".jpg"), quality=80)
    return path.with_suffix(".jpg")


def strokes(path, name):
    """A line of dots inside each region of a mask, on a transparent layer."""
    with Image.open(DATA / name) as mask:
        opaque = np.asarray(mask.convert("RGB").resize((4 * mask.width, 4 * mask.height), Image.Resampling.NEAREST))
    dots = np.zeros(opaque.shape[:2], np.uint8)
    dots[4::16, 4::16] = 255
    Image.fromarray(np.dstack([opaque, ndimage.maximum_filter(dots, 3)])).save(path)
    return path


@pytest.mark.parametrize(("kind", "regions"), [(grey, 2), (palette, 3), (jpeg, 3), (strokes, 3)])
def test_masks_of_other_kinds(run, tmp_path, kind, regions):
    content, style = (kind(tmp_path / name, name) for name in ("content_seg.png", "style_seg.png"))
    code, error = run(content_seg_path=content, style_seg_path=style)
    assert code == 0, error
    assert len(json.loads((tmp_path / "snapshots" / "result.json").read_text())["regions"]) == regions
    assert "error" not in error


def test_a_mask_of_another_shape_is_stretched_with_a_warning(run, tmp_path):
    with Image.open(DATA / "content_seg.png") as mask:
        mask.convert("RGB").resize((100, 45), Image.Resampling.NEAREST).save(tmp_path / "wide.png")
    code, error = run("--quiet", content_seg_path=tmp_path / "wide.png")
    assert code == 0
    expected = (
        f"content segmentation {tmp_path / 'wide.png'} is 100x45 and its photo 61x45, another shape; the mask is stretched to fit"
    )
    assert error == f"warning: {expected}\n"


def test_a_mask_of_another_size_but_the_same_shape_needs_no_word(run, tmp_path):
    with Image.open(DATA / "content_seg.png") as mask:
        mask.convert("RGB").resize((122, 90), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    assert run("--quiet", content_seg_path=tmp_path / "large.png") == (0, "")


def test_without_masks_the_whole_photos_correspond(run, tmp_path):
    code, error = run(content_seg_path="", style_seg_path="")
    assert code == 0
    assert "whole image" in error


@pytest.mark.slow
def test_an_init_image_of_another_size_is_resized_with_a_warning(run, tmp_path):
    code, error = run("--quiet", style_option=1, init_image_path=picture(tmp_path / "init.png"))
    assert code == 0
    expected = f"init image {tmp_path / 'init.png'} has a different size from the content image; it is resized"
    assert error == f"warning: {expected}\n"


# End to end


# The options of the reference script, as argparse had them there.
REFERENCE = [
    "content_image_path",
    "style_image_path",
    "content_seg_path",
    "style_seg_path",
    "init_image_path",
    "output_image",
    "serial",
    "max_iter",
    "learning_rate",
    "print_iter",
    "save_iter",
    "lbfgs",
    "content_weight",
    "style_weight",
    "tv_weight",
    "affine_weight",
    "style_option",
    "apply_smooth",
    "f_radius",
    "f_edge",
]


def test_abbreviations_of_the_references_options_are_taken_as_its_argparse_took_them(capsys):
    reference = argparse.ArgumentParser(add_help=False)
    for name in REFERENCE:
        reference.add_argument(f"--{name}")
    for name in REFERENCE:
        value = "True" if name in ("lbfgs", "apply_smooth") else "1"
        for length in range(1, len(name) + 1):
            arguments = [f"--{name[:length]}", value]
            try:
                expected = next(iter(name for name, got in vars(reference.parse_args(arguments)).items() if got))
            except SystemExit:
                expected = None
            if name[:length] == "app":  # it is an option here
                continue
            try:
                assert getattr(build_parser().parse_args(arguments), expected or "") == type(getattr(Options, expected))(1)
            except SystemExit as end:
                assert (expected, end.code) == (None, 2)
    capsys.readouterr()


REFERENCE_COMMANDS = {
    "usual": (
        "--content_image_path ./examples/input/in11.png --style_image_path ./examples/style/tar11.png "
        "--content_seg_path ./examples/segmentation/in11.png --style_seg_path ./examples/segmentation/tar11.png "
        "--style_option 2 --max_iter 2",
        ["best_stylized.png", "best_stylized.png.json"],
    ),
    "every option": (
        "--content_image_path examples/input/in11.png --style_image_path examples/style/tar11.png "
        "--content_seg_path examples/segmentation/in11.png --style_seg_path examples/segmentation/tar11.png "
        "--init_image_path examples/input/in11.png --output_image ./out.png --serial ./snapshots --max_iter 2 "
        "--learning_rate 1.0 --print_iter 1 --save_iter 1 --lbfgs True --content_weight 5e0 --style_weight 1e2 --tv_weight 1e-3 "
        "--affine_weight 1e4 --style_option 1 --apply_smooth True --f_radius 15 --f_edge 1e-1",
        ["out.png", "snapshots/out.json", "snapshots/out_iter_1.png", "snapshots/out_iter_2.png"],
    ),
    "abbreviated": (
        "--content_im examples/input/in11.png --style_im examples/style/tar11.png "
        "--out short.png --ser ./ --max 2 --style_o 0 --sa 2",
        ["short.png", "short.json", "out_iter_2.png"],
    ),
}


@pytest.mark.parametrize("name", REFERENCE_COMMANDS)
def test_command_lines_of_the_reference_run_unchanged(tmp_path, monkeypatch, name):
    for folder, file, source in (
        ("input", "in11", "content"),
        ("style", "tar11", "style"),
        ("segmentation", "in11", "content_seg"),
        ("segmentation", "tar11", "style_seg"),
    ):
        (tmp_path / "examples" / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / f"{source}.png", tmp_path / "examples" / folder / f"{file}.png")
    shutil.copy(DATA / "thin_vgg19.npy", tmp_path / "vgg19.npy")
    given = set(files(tmp_path))
    monkeypatch.chdir(tmp_path)
    command, written = REFERENCE_COMMANDS[name]
    assert main(command.split()) == 0
    assert sorted(set(files(tmp_path)) - given) == sorted(written)
    with Image.open(written[0]) as result:
        assert result.size == (61, 45)


PHASES = {0: ["segmented style"], 1: ["photorealistic refinement"], 2: ["segmented style", "photorealistic refinement"]}


@pytest.mark.parametrize("style_option", [0, 1, 2])
@pytest.mark.slow
def test_two_iterations_of_each_style_option(run, tmp_path, style_option):
    code, error = run(style_option=style_option, save_iter=1, seed=3)
    assert code == 0
    # The regions with their shares come first.
    assert error.startswith("region  content    style\nblue      52.7%    41.8%\n")
    assert f"{tmp_path / 'result.png'} is ready after " in error

    snapshots = [f"snapshots/out_iter_{number}.png" for number in range(1, 5 if style_option == 2 else 3)]
    extra = ["snapshots/tmp_result.png"] if style_option == 2 else []
    assert files(tmp_path) == sorted(["result.png", "snapshots/result.json", *snapshots, *extra])

    with Image.open(tmp_path / "result.png") as result:
        assert result.size == (61, 45) and result.mode == "RGB"
        assert result.info["seed"] == "3" and result.info["version"] == __version__
        assert result.info["features"] == f"VGG19 weights {DATA / 'thin_vgg19.npy'}"
        command = result.info["command"]
        assert np.asarray(result).std() > 0
    assert command.startswith("deep-photostyle --content_image_path=") and "--seed=3" in command

    record = json.loads((tmp_path / "snapshots" / "result.json").read_text())
    assert record["command"] == command and record["options"]["style_option"] == style_option
    assert [stage["phase"] for stage in record["stages"]] == PHASES[style_option]
    for stage, steps in zip(record["stages"], [2, 2] if style_option == 2 else [2], strict=True):
        assert stage["iterations"] == steps and len(stage["losses"]) == steps + 1 and stage["seconds"] > 0
        for losses in stage["losses"]:
            assert losses["total"] == pytest.approx(sum(v for k, v in losses.items() if k != "total"), rel=1e-5)
    assert record["seconds"] > 0


@pytest.mark.parametrize("size", [(16, 2000), (2000, 16)])
@pytest.mark.parametrize("style_option", [0, 1, 2])
@pytest.mark.slow
def test_a_ribbon_in_the_style_of_a_stamp(run, tmp_path, size, style_option):
    random = np.random.default_rng(7)
    for name, shape in (("ribbon", size), ("stamp", (16, 16))):
        coarse = random.random((shape[0] // 4, shape[1] // 4, 3)).repeat(4, 0).repeat(4, 1)
        Image.fromarray(np.uint8(coarse * 255)).save(tmp_path / f"{name}.png")
    paths = {"content_image_path": tmp_path / "ribbon.png", "style_image_path": tmp_path / "stamp.png"}
    plain = paths | {"content_seg_path": "", "style_seg_path": "", "style_option": style_option}

    code, error = run("--quiet", **plain, max_size=200)
    narrow = r"content image is (200x2|2x200) at --max_size 200, too narrow; raise --max_size"
    assert code == 1 and re.fullmatch(narrow, one_line(error))

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    for max_size in (512, 2000):  # 4 pixels and 16 on the short side
        assert run("--quiet", **plain, max_size=max_size) == (0, "")
        with Image.open(tmp_path / "result.png") as result:
            assert result.size == size[::-1] and np.asarray(result).std() > 0
        record = json.loads((tmp_path / "snapshots" / "result.json").read_text(), parse_constant=refuse)
        assert np.isfinite([value for value in record["scores"].values() if value is not None]).all()
        assert np.isfinite([list(losses.values()) for stage in record["stages"] for losses in stage["losses"]]).all()


def test_without_memory_one_line_says_so(run, monkeypatch):
    def read_photo(*_):
        raise MemoryError("unable to allocate 99 GiB\nfor an array")

    monkeypatch.setattr(one_picture, "read_photo", read_photo)
    said = "there is not enough memory (unable to allocate 99 GiB\\nfor an array); use smaller photos or a smaller --max_size"
    code, error = run("--quiet")
    assert (code, one_line(error)) == (1, said)


def test_without_threads_one_line_says_so(run, monkeypatch):
    def start(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", start)
    monkeypatch.setattr(threading, "_start_joinable_thread", start, raising=False)  # of Python 3.13
    code, error = run("--quiet")
    assert (code, one_line(error)) == (1, "the system allows no more threads; end other programs, or raise the limit (ulimit -u)")


def test_quiet_says_nothing_when_nothing_is_wrong(run):
    assert run("--quiet") == (0, "")


def test_normal_lines_go_to_standard_output_and_warnings_to_standard_error(golden_paths, capsys):
    masks = {"content_seg_path": "", "style_seg_path": "", "seg_scribbles": "always"}
    assert main([f"--{name}={value}" for name, value in (golden_paths | masks).items()]) == 0
    said = capsys.readouterr()
    assert said.err == "warning: --seg_scribbles always is not used; there are no masks\n"
    assert said.out.splitlines()[-1].startswith(f"{golden_paths['output_image']} is ready after ")


def test_a_log_file_gets_the_terms_of_the_loss(run, tmp_path):
    code, said = run(max_iter=5, print_iter=2)
    assert code == 0
    number = r"(\d[\d.e+-]*)"
    line = rf"segmented style 61x45, iteration (\d), loss {number} \(content {number}, style {number}, tv {number}\)"
    found = [list(map(float, match.groups())) for match in map(re.compile(line).fullmatch, said.splitlines()) if match]
    assert [step for step, *_ in found] == [2, 4]
    (stage,) = json.loads((tmp_path / "snapshots" / "result.json").read_text())["stages"]
    for step, total, *terms in found:
        losses = stage["losses"][int(step)]
        assert total == pytest.approx(losses["total"], rel=1e-3) == pytest.approx(sum(terms), rel=2e-3)


def test_results_of_one_folder_leave_each_others_files_alone(run, tmp_path):
    made = {}
    for name in ("a.png", "a.jpg", "b.png"):
        assert run("--quiet", serial="", output_image=tmp_path / name, save_iter=2)[0] == 0
        new = set(files(tmp_path)) - set(made)
        assert new == {name, f"{name}.json", f"{name}.out_iter_2.png"}
        assert all((tmp_path / other).stat().st_mtime_ns == then for other, then in made.items())
        made |= {file: (tmp_path / file).stat().st_mtime_ns for file in new}


def test_a_dry_run_says_what_it_wrote(run, tmp_path):
    chosen = {"content_seg_path": "", "style_seg_path": "", "auto_seg": 2, "serial": "", "mask_preview": tmp_path / "regions.png"}
    code, said = run("--dry_run", **chosen)
    result = tmp_path / "result.png"
    masks = f"{result}.auto_content_seg.png and {result}.auto_style_seg.png"
    assert code == 0 and f"the masks of the regions are in {masks}; to change them, use edited copies\n" in said
    assert said.endswith(f"{tmp_path / 'regions.png'} shows the regions\ndry run: no result was written\n")
    assert files(tmp_path) == ["regions.png", "result.png.auto_content_seg.png", "result.png.auto_style_seg.png"]


def test_two_results_are_ready(run, tmp_path):
    assert f"{tmp_path}/result_0.5.png and {tmp_path}/result_1.png are ready after " in run(strength="0.5,1")[1]


def test_a_run_leaves_no_handler_behind(run, capsys):
    before = [list(logger.handlers) for logger in LOGGERS]
    run("--quiet")
    assert [logger.handlers for logger in LOGGERS] == before


# Runs that end early


def test_ctrl_c_saves_the_best_image_so_far_and_says_where(run, tmp_path, monkeypatch):
    seen = []

    class Interrupted(one_picture.Watch):
        def __call__(self, progress):
            super().__call__(progress)
            seen.append(progress)
            if progress.step == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(one_picture, "Watch", Interrupted)
    code, error = run("--quiet", max_iter=50)
    assert code == 130
    assert error == f"warning: the best image so far is in {tmp_path / 'result.png'}\n"
    best = min(seen, key=lambda progress: progress.losses["total"]).image
    with Image.open(tmp_path / "result.png") as result:
        np.testing.assert_array_equal(np.asarray(result), np.rint(best * 255))
    assert files(tmp_path) == ["result.png"]  # no record: the job is not done


def test_ctrl_c_while_a_file_is_written_waits_for_its_end(run, tmp_path, monkeypatch):
    # libvips calls into Python while it writes; what is raised there is lost.
    write, written = write_photo, []

    def interrupted(path, *others):
        if not written:
            signal.raise_signal(signal.SIGINT)
        write(path, *others)
        written.append(path)

    monkeypatch.setattr(progress, "write_photo", interrupted)
    monkeypatch.setattr(results, "write_photo", interrupted)
    code, error = run("--quiet", save_iter=2, max_iter=50)
    assert code == 130
    assert error == f"warning: the best image so far is in {tmp_path / 'result.png'}\n"
    assert files(tmp_path) == ["result.png", "snapshots/out_iter_2.png"] and len(written) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_there_is_an_image_writes_nothing(run, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_picture, "load_tensorflow", interrupted)
    assert run("--quiet")[0] == 130
    assert files(tmp_path) == []


def test_a_loss_beyond_all_numbers_ends_with_the_last_finite_image(run, tmp_path):
    # Adam's first step leaves the range of numbers; the start was finite.
    flags = ["--quiet", "--solver=reference", "--lbfgs=False", "--learning_rate=1e30", "--style_option=1"]
    code, error = run(*flags, init_image_path=DATA / "init.png")
    assert code == 1
    warning, message = error.splitlines()
    assert warning == f"warning: the best image so far is in {tmp_path / 'result.png'}"
    assert re.fullmatch(r"error: loss \S+ is not finite \(content .*\); use smaller weights or a smaller learning rate", message)
    with Image.open(tmp_path / "result.png") as result:
        np.testing.assert_array_equal(np.asarray(result), np.rint(golden_photo("init.png") * 255))
    assert files(tmp_path) == ["result.png"]


def test_weights_too_large_from_the_start_leave_no_picture(run, tmp_path):
    code, error = run("--quiet", tv_weight=1e35)
    assert code == 1
    assert re.fullmatch(r"error: loss inf is not finite \(.*tv inf.*\); use smaller weights[^\n]*\n", error)
    assert files(tmp_path) == []


def command_line(golden_paths, **options):
    return [sys.executable, str(SCRIPT), *(f"--{name}={value}" for name, value in (golden_paths | options).items())]


@pytest.mark.slow
def test_the_same_command_gives_the_same_file_and_reports_what_it_does(golden_paths, tmp_path):
    command = command_line(golden_paths, style_option=2, output_image="result.png", serial=".")
    results = []
    for name in ("one", "two"):
        home = tmp_path / name
        home.mkdir()
        done = subprocess.run(command, capture_output=True, text=True, cwd=home, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")  # TensorFlow's notes on the machine are none of the user's business
        starts = ("region", "blue", "white", "red", "features: ", "segmented style ", "photorealistic refinement ", "result.png")
        assert [line for line in done.stdout.splitlines() if not line.startswith(starts)] == []
        results.append((home / "result.png").read_bytes())
    assert results[0] == results[1]


def test_as_a_program_a_user_error_is_one_line_without_traceback(golden_paths, tmp_path):
    command = command_line(golden_paths, content_image_path=str(tmp_path / "none.png"))
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    assert one_line(done.stderr) == f"content image {tmp_path / 'none.png'} does not exist; check the path"


def test_wrong_variables_of_the_environment_do_not_matter():
    code = "import deep_photostyle\ntry: deep_photostyle.main(['--version'])\nexcept SystemExit: import tqdm, numpy.f2py"
    wrong = {"TQDM_MININTERVAL": "often", "TQDM_FILE": "bar", "SOURCE_DATE_EPOCH": "today"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | wrong, check=True, timeout=60)
