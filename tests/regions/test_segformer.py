"""Labelling photos with a SegFormer: loading it, running it, and the whole command line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA

from deep_photostyle import main
from dpst.errors import UserError
from dpst.files.photos import read_photo
from dpst.files.writing import write_photo
from dpst.options import Options
from dpst.regions import automatic, segformer
from dpst.regions.ade20k import GROUPS
from dpst.regions.reading import read_regions
from dpst.regions.segformer import check_model, load_segmenter

ROOT = Path(__file__).parents[2]
SIDE = 64
SKY, TREE, GRASS, CAR, SEA, RIVER = 3, 5, 10, 21, 27, 61
# Colours of what the photos show, by day in the content, by night in the style.
DAY = {SKY: (0.6, 0.8, 1.0), SEA: (0.1, 0.3, 0.7), GRASS: (0.3, 0.7, 0.2), CAR: (0.9, 0.1, 0.1)}
NIGHT = {SKY: (0.15, 0.05, 0.3), RIVER: (0.05, 0.25, 0.3), TREE: (0.0, 0.1, 0.0), GRASS: (0.25, 0.3, 0.0)}

# Keras' own, while it writes weights, and KerasHub 0.31's, while it makes a model.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:.build... was called on layer:UserWarning",
)
needs_kerashub = pytest.mark.skipif(not segformer.is_installed(), reason="KerasHub is not installed (requirements-semantic.txt)")


def scene(height, width, bands, car=False):
    """Classes (height, width) in bands from top to bottom, and a car in the last one."""
    classes = np.repeat(np.array(bands)[np.arange(height) * len(bands) // height][:, None], width, axis=1)
    if car:
        classes[height * 3 // 4 : height * 15 // 16, width // 8 : width // 3] = CAR
    return classes


def photographed(classes, colours, seed):
    photo = np.array([colours.get(n, (0, 0, 0)) for n in range(151)], np.float32)[classes]
    return np.clip(photo + 0.02 * np.random.default_rng(seed).standard_normal(photo.shape, np.float32), 0, 1)


CONTENT, STYLE = scene(SIDE, 150, (SKY, SEA, GRASS), car=True), scene(100, SIDE, (SKY, RIVER, TREE, GRASS))


@pytest.fixture(scope="module")
def photos():
    return photographed(CONTENT, DAY, 0), photographed(STYLE, NIGHT, 1)


@pytest.fixture(scope="module")
def preset(tmp_path_factory, photos):
    """A small SegFormer of random weights whose last layer is fitted, by least squares, to the classes of the photos."""
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    encoder = keras_hub.models.MiTBackbone(
        image_shape=(SIDE, SIDE, 3),
        num_layers=4,
        hidden_dims=[8, 12, 16, 20],
        layerwise_depths=[1, 1, 1, 1],
        layerwise_num_heads=[1, 1, 1, 1],
        layerwise_sr_ratios=[8, 4, 2, 1],
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        max_drop_path_rate=0.1,
    )
    deviation = np.array([0.229, 0.224, 0.225])
    mean = np.array([0.485, 0.456, 0.406])
    # As in the published presets: it would crop to a square of 224 pixels.
    converter = keras_hub.layers.SegFormerImageConverter(
        image_size=(224, 224), scale=(1 / 255 / deviation).tolist(), offset=(-mean / deviation).tolist()
    )
    model = keras_hub.models.SegFormerImageSegmenter(
        backbone=keras_hub.models.SegFormerBackbone(image_encoder=encoder, projection_filters=64),
        num_classes=150,
        preprocessor=keras_hub.models.SegFormerImageSegmenterPreprocessor(converter),
    )
    windows, wanted = [], []
    for photo, classes in zip(photos, (CONTENT, STYLE), strict=True):
        for top in range(0, photo.shape[0] - SIDE + 1, 12):
            for left in range(0, photo.shape[1] - SIDE + 1, 12):
                windows.append((photo[top : top + SIDE, left : left + SIDE] - mean) / deviation)
                wanted.append(np.eye(150)[classes[top + 2 : top + SIDE : 4, left + 2 : left + SIDE : 4] - 1])
    features = np.asarray(model.backbone(np.stack(windows).astype(np.float32), training=False)).reshape(-1, 64)
    design = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    fitted = np.linalg.lstsq(design, 30 * np.stack(wanted).reshape(-1, 150), rcond=None)[0]
    model.output_segmentation_head.set_weights([fitted[:-1].reshape(1, 1, 64, 150), fitted[-1]])
    folder = tmp_path_factory.mktemp("models") / "segformer"
    model.save_to_preset(str(folder))
    return folder


def groups_of(classes):
    """The index in GROUPS of each class."""
    index = [next((n for n, group in enumerate(GROUPS) if number in group.classes), -1) for number in range(151)]
    return np.array(index)[classes]


class Pixelwise:
    """A network that looks at single pixels: logits are `weights` times what it is given."""

    def __init__(self, side, preprocessor=None):
        self.input_shape, self.preprocessor = (None, side, side, 3), preprocessor
        self.weights = np.random.default_rng(0).standard_normal((3, 150)).astype(np.float32)

    def __call__(self, windows, training):
        assert windows.shape == (1, *self.input_shape[1:]) and not training
        return windows @ self.weights


def by_hand(given, model):
    """Probabilities of the groups for what a pixelwise network is given (h, w, 3)."""
    odds = np.exp(given @ model.weights)
    odds = np.stack([odds[..., [number - 1 for number in group.classes]].sum(axis=-1) for group in GROUPS], axis=-1)
    return odds / odds.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("size", [(40, 40), (40, 93), (131, 40)])
def test_windows_cover_a_photo_of_any_shape(size):
    photo, model = np.random.default_rng(1).random((*size, 3), np.float32), Pixelwise(40)
    seen = segformer.Segmenter(model)(photo)
    assert seen.shape == (*size, len(GROUPS)) and seen.dtype == np.float32
    given = (photo - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])  # ImageNet's colours
    np.testing.assert_allclose(seen, by_hand(given, model), atol=1e-5)


def test_colours_are_scaled_as_the_model_says():
    class Said:
        class image_converter:
            scale, offset = 1 / 127.5, -1

    photo, model = np.random.default_rng(1).random((20, 30, 3), np.float32), Pixelwise(20, Said)
    np.testing.assert_allclose(segformer.Segmenter(model)(photo), by_hand(2 * photo - 1, model), atol=1e-5)


@pytest.mark.parametrize(("size", "labelled"), [((3000, 4000), (40, 53)), ((30, 20), (60, 40)), ((40, 40), (40, 40))])
def test_the_shorter_side_is_the_networks(size, labelled):
    assert segformer.Segmenter(Pixelwise(40)).size(size) == labelled


@pytest.mark.parametrize("length", [*range(60, 140), 1000])
def test_windows_overlap_by_a_third_at_least(length):
    starts = segformer._starts(length, 60)
    assert starts[0] == 0 and starts[-1] == length - 60
    assert len(starts) == 1 or 0 < np.diff(starts).min() <= np.diff(starts).max() <= 41  # rounded


def bad_models(folder):
    """Values of `--seg_model`, and what is said."""
    (folder / "empty").mkdir()
    tasks = {
        "broken": "{",
        "odd": "[1]",
        "cityscapes": '{"class_name": "SegFormerImageSegmenter", "config": {"num_classes": 19}}',
        "gemma": '{"class_name": "GemmaCausalLM", "config": {}}',
    }
    for name, task in tasks.items():
        (folder / name).mkdir()
        for file in ("config.json", "task.json", "model.weights.h5", "task.weights.h5"):
            (folder / name / file).write_text(task)
    return {
        "segformer_b9": f"is neither a folder nor a known model; use one of {', '.join(segformer.PRESETS)}",
        str(folder / "none"): "is neither a folder nor a known model; use one of ",
        str(folder / "empty"): "lacks config.json, task.json, model.weights.h5, task.weights.h5; copy the whole folder of a ",
        str(folder / "broken"): "has a damaged task.json; copy the folder again",
        str(folder / "odd"): "has a damaged task.json; copy the folder again",
        str(folder / "cityscapes"): "is a SegFormerImageSegmenter of 19 classes; use a SegFormerImageSegmenter of the 150 of ",
        str(folder / "gemma"): "is a GemmaCausalLM of None classes; use a SegFormerImageSegmenter of the 150 of ADE20K",
    }


def test_a_wrong_model_is_refused_unseen(tmp_path, monkeypatch):
    monkeypatch.setattr(segformer, "is_installed", lambda: True)
    for model, wrong in bad_models(tmp_path).items():
        with pytest.raises(UserError) as error:
            check_model(model)
        assert str(error.value).startswith(f"`seg_model` {model} {wrong}")
    for model in segformer.PRESETS:
        check_model(model)


@pytest.fixture
def arguments(tmp_path, photos):
    """The command line for the photos, with everything that it writes in tmp_path."""
    paths = {"content_image_path": "day.png", "style_image_path": "night.png", "output_image": "result.png"}
    for name, photo in zip(("day.png", "night.png"), photos, strict=True):
        write_photo(str(tmp_path / name), photo)
    given = [part for name, file in paths.items() for part in (f"--{name}", str(tmp_path / file))]
    return [*given, "--serial", str(tmp_path), "--vgg19_weights", str(DATA / "thin_vgg19.npy"), "--auto_seg", "semantic"]


def test_without_kerashub_one_line_says_what_to_do_before_tensorflow_starts(arguments):
    program = (
        "import sys, deep_photostyle; from dpst.regions import segformer; segformer.is_installed = lambda: False; "
        f"code = deep_photostyle.main({arguments!r}); sys.exit(code + 2 * ('tensorflow' in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1 and run.stderr == (
        "error: --auto_seg semantic needs KerasHub, which is not installed; install requirements-semantic.txt "
        "(Python 3.11 or newer), use --auto_seg 3, or give masks\n"
    )


def test_a_model_that_is_not_used_is_reported(arguments, caplog):
    assert main([*arguments[:-1], "0", "--seg_model", "mine", "--dry_run"]) == 0
    assert "--seg_model mine is not used; give --auto_seg semantic, and no masks" in caplog.text


@needs_kerashub
def test_a_local_model_labels_photos_of_any_shape(preset, photos):
    segmenter = load_segmenter(str(preset))
    assert load_segmenter(str(preset)) is segmenter
    for photo, classes in zip(photos, (CONTENT, STYLE), strict=True):
        seen = segmenter(photo)
        assert seen.shape == (*classes.shape, len(GROUPS))
        np.testing.assert_allclose(seen.sum(axis=-1), 1, rtol=1e-5)
        assert (seen.argmax(axis=-1) == groups_of(classes)).mean() > 0.9


@needs_kerashub
def test_the_command_line_from_two_photos_to_a_result_and_again_with_its_masks(tmp_path, preset, photos, arguments, caplog):
    command = [*arguments, "--seg_model", str(preset), "--style_option", "2", "--max_iter", "2"]
    assert main(command) == 0
    assert read_photo(str(tmp_path / "result.png")).size == CONTENT.shape
    assert "only in the style: merged into grass" in caplog.text and "vehicle" in caplog.text
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["options"]["auto_seg"] == "semantic" and set(record["inputs"]) > {"seg_model"}
    assert [region["name"] for region in record["regions"]] == ["sky", "water", "grass"]

    masks = [str(tmp_path / name) for name in (automatic.CONTENT_MASK, automatic.STYLE_MASK)]
    names = "sky=00ffff,water=0000ff,grass=aaff00"
    regions = read_regions(
        *masks, *(np.zeros((*size[:2], 3), np.float32) for size in (CONTENT.shape, STYLE.shape)), Options(seg_classes=names)
    )
    wanted = np.where(CONTENT == CAR, GRASS, CONTENT), np.where(STYLE == TREE, GRASS, STYLE)
    for found, classes in zip((regions.content, regions.style), wanted, strict=True):
        drawn = groups_of(classes)[..., None] == [[group.name for group in GROUPS].index(name) for name in regions.names]
        assert (found * drawn).sum() / drawn.sum() > 0.95
    result = read_photo(str(tmp_path / "result.png")).samples
    given = ["--auto_seg", "0", "--content_seg_path", masks[0], "--style_seg_path", masks[1], "--seg_classes", names]
    assert main([*command, *given]) == 0
    assert np.array_equal(read_photo(str(tmp_path / "result.png")).samples, result)


@needs_kerashub
def test_a_damaged_copy_is_reported(tmp_path, preset):
    shutil.copytree(preset, tmp_path / "copy")
    (tmp_path / "copy" / "task.weights.h5").write_bytes(b"half")
    with pytest.raises(UserError, match=r"copy cannot be read \(\w+\); copy the folder again$"):
        load_segmenter(str(tmp_path / "copy"))


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """KerasHub's cache is empty, and nobody answers."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    load_segmenter.cache_clear()
    yield
    load_segmenter.cache_clear()


@needs_kerashub
def test_without_a_network_and_a_copy_one_line_says_what_to_do(tmp_path, no_network, arguments, capfd):
    assert main(arguments) == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error == (
        "error: --seg_model segformer_b0_ade20k_512 can neither be read from KerasHub's cache nor downloaded (ProxyError); "
        "connect to the network once, give the folder of a copy, use --auto_seg 3, or give masks"
    )
    assert not (tmp_path / automatic.CONTENT_MASK).exists()


@needs_kerashub
def test_what_was_downloaded_once_needs_no_network(no_network, preset, photos):
    """A copy in the cache of a download, as KerasHub leaves it there, stands in for the published model."""
    import keras_hub
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_model_handle

    presets = keras_hub.models.SegFormerImageSegmenter.presets
    assert set(segformer.PRESETS) <= set(presets)
    handle = parse_model_handle(presets[Options.seg_model]["kaggle_handle"].removeprefix("kaggle://"))
    for file in preset.iterdir():
        cached = Path(Cache().get_path(handle, file.name))
        cached.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, cached)
        Cache().mark_as_complete(handle, file.name)
    expected = load_segmenter(str(preset))(photos[0])
    np.testing.assert_array_equal(load_segmenter(Options.seg_model)(photos[0]), expected)
