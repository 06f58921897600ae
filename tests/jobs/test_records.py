"""Records: what is done stays done until something changes that the picture depends on."""

import dataclasses
import json
import os

import numpy as np
import pytest
from conftest import made_record
from PIL import Image

from dpst import __version__
from dpst.errors import UserError
from dpst.files.atomic import write_text
from dpst.jobs import records
from dpst.jobs.places import inputs
from dpst.jobs.records import finished, input_hashes, record_path, write_record
from dpst.options import INPUT_FILES, Options
from vgg19 import weights


@pytest.fixture
def done(tmp_path):
    """Options of a job, with its inputs, its result and its record."""
    for name, value in (("content.png", 10), ("style.png", 20), ("mask.png", 0), ("style_mask.png", 0), ("out.png", 30)):
        Image.fromarray(np.full((20, 24, 3), value, np.uint8)).save(tmp_path / name)
    names = {"content_image_path": "content", "style_image_path": "style", "content_seg_path": "mask"}
    names |= {"style_seg_path": "style_mask", "output_image": "out"}
    paths = {option: str(tmp_path / f"{name}.png") for option, name in names.items()}
    options = Options(**paths, serial=str(tmp_path), vgg19_weights="learned")
    write_record(made_record(options), options)
    return options


def rewrite(path):
    """Another picture of the same size in the file, and the same time stamp."""
    stat = os.stat(path)
    Image.fromarray(np.full((20, 24, 3), 77, np.uint8)).save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def test_a_record_is_found_again(done):
    assert finished(done) == made_record(done)


@pytest.mark.parametrize("name", INPUT_FILES[:4])
def test_another_input_counts(done, name):
    rewrite(getattr(done, name))
    assert finished(done) is None


def test_a_damaged_or_missing_result_counts(done):
    rewrite(done.output_image)
    assert finished(done) is None
    os.remove(done.output_image)
    assert finished(done) is None


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"style_weight": 7.0}, {"vgg19_weights": "auto"}, {"content_seg_path": ""}, {"auto_seg": "3"}]
)
def test_other_options_count(done, change):
    assert finished(dataclasses.replace(done, **change)) is None


def test_what_does_not_change_the_picture_does_not_count(done, tmp_path):
    moved = tmp_path / "elsewhere.png"
    os.rename(done.content_image_path, moved)
    options = {"content_image_path": str(moved), "quiet": True, "print_iter": 9, "workers": 4, "batch": "b", "output_dir": "d"}
    assert finished(dataclasses.replace(done, **options)) is not None


def test_another_version_counts(done, monkeypatch):
    monkeypatch.setattr(records, "__version__", "99")
    assert finished(done) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": "' + __version__ + '"}', "null"])
def test_a_broken_record_is_none(done, text):
    record_path(done).write_text(text)
    assert finished(done) is None


def test_a_file_of_weights_and_a_folder_of_masks_are_inputs_too(done, tmp_path):
    own, masks = tmp_path / "weights.npz", tmp_path / "masks"
    own.write_bytes(b"a")
    masks.mkdir()
    (masks / "sky.png").write_bytes(b"b")
    options = dataclasses.replace(done, vgg19_weights=str(own), content_seg_path=str(masks), style_seg_path=str(masks))
    before = input_hashes(options)
    own.write_bytes(b"other")
    (masks / "sky.png").rename(masks / "land.png")
    after = input_hashes(options)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"vgg19_weights", "content_seg_path", "style_seg_path"}


@pytest.mark.parametrize("choice", ["auto", "pretrained"])
def test_weights_that_are_found_are_inputs_too(done, tmp_path, monkeypatch, choice):
    keras_copy = tmp_path / "keras" / "models" / weights.KERAS_FILE
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "PLACES", (tmp_path / "here.npy", tmp_path / "home.npy"))
    options = dataclasses.replace(done, vgg19_weights=choice)
    write_record(made_record(options), options)
    keras_copy.parent.mkdir(parents=True)
    for path in (keras_copy, tmp_path / "home.npy", tmp_path / "here.npy"):  # what comes later is looked for first
        path.write_bytes(path.name.encode())
        assert finished(options) is None
        write_record(made_record(options), options)
        assert finished(options) is not None
    rewrite_bytes(tmp_path / "here.npy")
    assert finished(options) is None
    without = Options(content_image_path="a.png", apply_lut="a.cube", vgg19_weights=choice)
    for other in (dataclasses.replace(options, vgg19_weights="learned"), without):
        assert "vgg19_weights" not in inputs(other)


def rewrite_bytes(path):
    """Other bytes of the same number in the file."""
    path.write_bytes(path.read_bytes()[::-1])


def test_a_folder_with_a_model_is_an_input_where_it_is_used(done, tmp_path):
    model = tmp_path / "segformer"
    model.mkdir()
    (model / "task.json").write_text("a")
    used = dataclasses.replace(done, auto_seg="semantic", seg_model=str(model), content_seg_path="", style_seg_path="")
    assert finished(used) is None
    write_record(made_record(used), used)
    assert finished(used) is not None
    (model / "task.json").write_text("b")
    assert finished(used) is None
    for options in (done, dataclasses.replace(used, seg_model=Options.seg_model), dataclasses.replace(used, auto_seg="3")):
        assert "seg_model" not in input_hashes(options)


def test_an_input_that_is_gone_is_named(done):
    os.remove(done.style_image_path)
    with pytest.raises(UserError, match=r"^--style_image_path .*style\.png cannot be read \(.*\); check the path$"):
        input_hashes(done)
    assert finished(done) is None


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_text(path, "before")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_text(path, json.dumps("after"))
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"seed": ' + "9" * 5000 + "}", "\ud800", "\0" * 100])
def test_a_record_made_to_do_harm_is_none(done, text):
    record_path(done).write_text(text, errors="surrogatepass")
    assert finished(done) is None


@pytest.mark.parametrize("change", [{"stages": [{"losses": 1}]}, {"regions": [3]}, {"options": []}, {"scores": {"a": "b"}}])
def test_a_record_of_other_kinds_is_none(done, change):
    values = json.loads(record_path(done).read_text())
    record_path(done).write_text(json.dumps(values | change))
    assert finished(done) is None


def test_a_record_that_is_no_file_or_too_large_is_not_read(done):
    with open(record_path(done), "r+b") as file:
        file.truncate(2**40)
    assert finished(done) is None
    record_path(done).unlink()
    os.mkfifo(record_path(done))  # would be waited for
    assert finished(done) is None
