#!/usr/bin/env python3
"""Seconds that regions by meaning take, with SegFormer-b0's shape and random weights (time does not depend on their values).

    python benchmarks/semantic.py [--megapixels 0.15 12]

The network is saved as a local preset and loaded again, as `--seg_model FOLDER` does. Photos of 3:2 in these numbers of
megapixels are labelled; the example landscape's masks, as coarse as the network's labels, are merged and refined at 512 pixels.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from dpst.files.photos import Photo, read_photo
from dpst.imaging.resizing import resize
from dpst.options import Options
from dpst.regions.ade20k import CLASSES, GROUPS
from dpst.regions.reading import read_regions
from dpst.regions.segformer import is_installed, load_segmenter
from dpst.regions.semantic import find_regions

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "landscape"
RUNS = 5
# What the masks of the example show, by colour.
SHOWN = {"light blue": "sky", "green": "mountain", "blue": "water"}


def save_b0(folder: str) -> int:
    """Saves a SegFormer-b0 for 512 pixels (Xie et al. 2021, table 6) with random weights; returns its number of parameters."""
    import keras_hub

    encoder = keras_hub.models.MiTBackbone(
        image_shape=(512, 512, 3),
        num_layers=4,
        hidden_dims=[32, 64, 160, 256],
        layerwise_depths=[2, 2, 2, 2],
        layerwise_num_heads=[1, 2, 5, 8],
        layerwise_sr_ratios=[8, 4, 2, 1],
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        max_drop_path_rate=0.1,
    )
    backbone = keras_hub.models.SegFormerBackbone(image_encoder=encoder, projection_filters=256)
    model = keras_hub.models.SegFormerImageSegmenter(backbone=backbone, num_classes=CLASSES)
    model.save_to_preset(folder)
    return model.count_params()


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median after one run that does not count."""
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.15, 12])
    megapixels = parser.parse_args().megapixels
    if not is_installed():
        print("KerasHub is not installed; pip install -r requirements-semantic.txt")
        return
    begin = time.perf_counter()
    import keras_hub

    from vgg19.backend import tf

    started = time.perf_counter() - begin
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}, ", end="")
    print(f"KerasHub {keras_hub.__version__}; one run uncounted, then the median of {RUNS}")
    with tempfile.TemporaryDirectory() as folder:
        print(f"parameters                         {save_b0(folder)}")
        begin = time.perf_counter()
        segmenter = load_segmenter(folder)
        loaded = time.perf_counter() - begin
    print(f"TensorFlow and KerasHub started    {started:6.2f} s")
    print(f"network loaded                     {loaded:6.2f} s")
    random = np.random.default_rng(0)
    print(f"one window of 512x512              {seconds(lambda: segmenter(random.random((512, 512, 3), np.float32))):6.2f} s")
    for size in megapixels:
        height = round((size * 1e6 / 1.5) ** 0.5)
        photo = Photo(random.integers(0, 256, (height, height * 3 // 2, 3), np.uint8))

        def label(photo: Photo = photo) -> np.ndarray:
            return segmenter(photo.resized(*segmenter.size(photo.size)))

        print(f"a photo of {size:5g} megapixels, 3:2     {seconds(label):6.2f} s")

    content, style = (read_photo(str(EXAMPLE / f"{name}.jpg")).pixels for name in ("content", "style"))
    content_mask, style_mask = (str(EXAMPLE / f"{name}_seg.png") for name in ("content", "style"))
    regions = read_regions(content_mask, style_mask, content, style, Options())
    order = [next(n for n, group in enumerate(GROUPS) if group.name == SHOWN[name]) for name in regions.names]
    labels = []
    for drawn in (regions.content, regions.style):
        seen = np.zeros((*drawn.shape[:2], len(GROUPS)), np.float32)
        seen[..., order] = resize(resize(drawn, drawn.shape[0] // 4, drawn.shape[1] // 4), *drawn.shape[:2])
        labels.append(seen)
    print(f"regions of a pair from labels      {seconds(lambda: find_regions(labels[0], labels[1], content, style)):6.2f} s")
    print(f"peak memory                        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MiB")


if __name__ == "__main__":
    main()
