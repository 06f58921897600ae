"""SegFormer (Xie et al. 2021) through KerasHub: which class of ADE20K each place of a photo is of.

KerasHub is an optional extra. What is missing is found out without importing TensorFlow, by `check_model`; the network itself
is loaded once a process, by `load_segmenter`.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dpst.errors import UserError
from dpst.imaging.resizing import resize
from dpst.regions.ade20k import CLASSES, GROUPS

logger = logging.getLogger(__name__)

# The presets that were trained on ADE20K. More parameters label better and take longer.
PRESETS = (*(f"segformer_b{size}_ade20k_512" for size in range(5)), "segformer_b5_ade20k_640")
# What `save_to_preset` writes of a segmenter. Without the second file of weights KerasHub would invent the last layer.
_FILES = ("config.json", "task.json", "model.weights.h5", "task.weights.h5")
# Mean and standard deviation of ImageNet's colours, 0..1, by which SegFormer was trained; for a model that gives none.
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# How far from one window to the next, as a share of a window, at most: 341 of 512 pixels in the authors' own code.
_STRIDE = 2 / 3
_INSTEAD = "use `auto_seg` 3, or give masks"


def is_installed() -> bool:
    """Whether KerasHub is installed; it is not imported."""
    return importlib.util.find_spec("keras_hub") is not None


def is_at_hand(preset: str) -> bool:
    """Whether KerasHub is installed and `seg_model` can be loaded without a download."""
    if not is_installed():
        return False
    cache = Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))
    return preset not in PRESETS or any(cache.glob(f"models/keras/segformer/keras/{preset}/*"))


def check_model(preset: str) -> None:
    """Looks whether `seg_model` can be loaded, as far as that can be seen without TensorFlow and without a network.

    Args:
        preset: one of `PRESETS`, or a folder that KerasHub's `save_to_preset` wrote.

    Raises:
        UserError: KerasHub is not installed, or there is no such preset or folder, or the folder holds another model.
    """
    if not is_installed():
        raise UserError(
            "`auto_seg` semantic needs KerasHub, which is not installed; "
            f"install requirements-semantic.txt (Python 3.11 or newer), {_INSTEAD}"
        )
    if preset in PRESETS:
        return
    folder = Path(preset)
    if not folder.is_dir():
        raise UserError(f"`seg_model` {preset} is neither a folder nor a known model; use one of {', '.join(PRESETS)}")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(f"`seg_model` {preset} lacks {', '.join(missing)}; copy the whole folder of a KerasHub SegFormer")
    try:
        task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        kind, classes = task["class_name"], task["config"].get("num_classes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"`seg_model` {preset} has a damaged task.json; copy the folder again") from error
    if (kind, classes) != ("SegFormerImageSegmenter", CLASSES):
        raise UserError(
            f"`seg_model` {preset} is a {kind} of {classes} classes; use a SegFormerImageSegmenter of the {CLASSES} of ADE20K"
        )


@functools.lru_cache(maxsize=1)  # of a batch, all jobs share it
def load_segmenter(preset: str) -> Segmenter:
    """Loads the network; a preset that is not in KerasHub's cache is downloaded there. TensorFlow is started already.

    Args:
        preset: see `check_model`.

    Raises:
        UserError: the preset can neither be found nor downloaded, or the folder is damaged.
    """
    import keras_hub

    logger.info("labelling the photos with %s", preset)
    try:
        with warnings.catch_warnings():
            # KerasHub 0.31 with Keras 3.15: a note on how the class is written, and no fault of the model.
            warnings.filterwarnings("ignore", r"`build\(\)` was called on layer", UserWarning)
            return Segmenter(keras_hub.models.SegFormerImageSegmenter.from_preset(preset))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = type(error).__name__
        if preset in PRESETS:
            raise UserError(
                f"`seg_model` {preset} can neither be read from KerasHub's cache nor downloaded ({reason}); "
                f"connect to the network once, give the folder of a copy, {_INSTEAD}"
            ) from error
        raise UserError(f"`seg_model` {preset} cannot be read ({reason}); copy the folder again") from error


class Segmenter:
    """Labels photos of any shape with a network that takes square ones, in windows along the longer side."""

    def __init__(self, model: Any):
        """Takes a `keras_hub.models.SegFormerImageSegmenter` of ADE20K's 150 classes."""
        self._model = model
        self._side = int(model.input_shape[1])
        converter = model.preprocessor.image_converter if model.preprocessor else None
        # Its resizing is left out: it would crop the photo.
        scale = 1 / (255 * _DEVIATION) if converter is None else converter.scale
        offset = -_MEAN / _DEVIATION if converter is None else converter.offset
        self._scale = 255 * np.asarray(1 if scale is None else scale, np.float32)
        self._offset = np.asarray(0 if offset is None else offset, np.float32)
        members = np.zeros((CLASSES, len(GROUPS)), np.float32)
        for index, group in enumerate(GROUPS):
            members[[number - 1 for number in group.classes], index] = 1
        self._members = members

    def size(self, photo_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which a photo of a size is labelled: its shorter side is the network's, as in training."""
        scale = self._side / min(photo_size)
        return round(photo_size[0] * scale), round(photo_size[1] * scale)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """How probable each group of classes is at each pixel.

        Args:
            photo: float32 (H, W, 3), 0..1, best of the size that `size` gives; of another one it is brought to that.

        Returns:
            float32 (h, w, groups), sum 1, in the order of `ade20k.GROUPS`; h and w are `size` of H and W.
        """
        from keras import ops

        photo = resize(photo, *self.size(photo.shape[:2])) * self._scale + self._offset
        height, width, _ = photo.shape
        total = np.zeros((height, width, len(GROUPS)), np.float32)
        # Predictions are least certain at a window's borders; weights that fall off towards them leave no visible seam.
        ramp = np.minimum(np.arange(1, self._side + 1), np.arange(self._side, 0, -1)).astype(np.float32)
        weight = np.minimum(ramp[:, None], ramp)[..., None]
        for top in _starts(height, self._side):
            for left in _starts(width, self._side):
                window = np.s_[top : top + self._side, left : left + self._side]
                classes = ops.softmax(ops.cast(self._model(photo[window][None], training=False)[0], "float32"))
                total[window] += weight * ops.convert_to_numpy(ops.matmul(classes, self._members))
        return total / total.sum(axis=-1, keepdims=True)


def _starts(length: int, side: int) -> list[int]:
    """Where windows of one side begin, evenly from one end to the other."""
    more = int(np.ceil((length - side) / (_STRIDE * side)))
    return np.linspace(0, length - side, more + 1).round().astype(int).tolist()
