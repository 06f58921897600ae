"""The scripts in examples/ run as they stand."""

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from PIL import Image

from photo_style import read_photo

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs an example in a folder with two photos, their masks and thin weights."""
    (tmp_path / "photos").mkdir()
    for source, name in (
        ("content", "content.jpg"),
        ("style", "style.jpg"),
        ("content", "photos/one.jpg"),
        ("style", "photos/two.jpg"),
    ):
        with Image.open(DATA / f"{source}.png") as picture:
            picture.convert("RGB").save(tmp_path / name, quality=95)
    for name in ("content_seg.png", "style_seg.png"):
        shutil.copy(DATA / name, tmp_path)
    shutil.copy(DATA / "thin_vgg19.npy", tmp_path / "vgg19.npy")
    monkeypatch.chdir(tmp_path)
    for name, steps in (("_COARSE_STEPS", 2), ("_STEPS", 2), ("_SEGMENTED_STEPS", 2), ("_REALISM_STEPS", 2)):  # for time
        monkeypatch.setattr(f"dpst.solver.maps.{name}", steps)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return run


def check_result(path, content="content.jpg"):
    """A result has its photo's size, and other colours."""
    result, photo = read_photo(path), read_photo(content)
    assert result.size == photo.size
    assert not np.array_equal(result.samples, photo.samples)


def test_two_photos(run):
    run("two_photos.py", "content.jpg", "style.jpg", "result.jpg")
    check_result("result.jpg")


def test_with_masks(run, capsys):
    run("with_masks.py", "content.jpg", "style.jpg", "content_seg.png", "style_seg.png", "result.jpg")
    check_result("result.jpg")
    assert capsys.readouterr().out.startswith("regions: ")


def test_several_realisms(run):
    run("several_realisms.py", "content.jpg", "style.jpg", "result.png")
    names = [f"result_realism{realism}_{strength}.png" for realism in (0, 1, 2) for strength in ("0.5", "1")]
    assert sorted(path.name for path in Path().glob("result*")) == names
    for name in names:
        check_result(name)


def test_look_as_lut(run):
    run("look_as_lut.py", "content.jpg", "style.jpg", "look.cube", "style.jpg", "result.jpg")
    check_result("result.jpg", "style.jpg")
    assert "LUT_3D_SIZE 33" in Path("look.cube").read_text()


def test_folder(run, capsys):
    Path("photos/three.jpg").write_bytes(b"no photo")
    run("folder.py", "photos", "style.jpg", "results")
    assert sorted(path.name for path in Path("results").iterdir()) == ["one.jpg", "two.jpg"]
    assert "three.jpg" in capsys.readouterr().err
    check_result("results/one.jpg", "photos/one.jpg")
