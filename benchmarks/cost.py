#!/usr/bin/env python3
"""Cost of one evaluation of the objective against the network's bare forward and backward pass.

    python benchmarks/cost.py

For full VGG19 widths with seeded random filters (time does not depend on their values): 1, 3, 5 and 9 regions, and several sizes;
medians in milliseconds, ratios, and the process's peak memory so far.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from closed_form_matting import matting_laplacian
from dpst.options import Options
from dpst.solver.objective import CONTENT_LAYER, STYLE_LAYERS, Objective
from vgg19.backend import tf
from vgg19.layers import CONVOLUTIONS, block_of
from vgg19.network import Network

WIDTHS = (64, 128, 256, 512, 512)


def random_vgg19(seed: int = 0) -> Network:
    """Full widths, He-initialised."""
    random, weights, channels = np.random.default_rng(seed), {}, 3
    for name in CONVOLUTIONS:
        width = WIDTHS[block_of(name) - 1]
        filters = random.standard_normal((3, 3, channels, width)) * np.sqrt(2 / (9 * channels))
        weights[name] = (filters.astype(np.float32), np.zeros(width, np.float32))
        channels = width
    return Network(weights, "random filters")


def stripes(height: int, width: int, regions: int) -> np.ndarray:
    """Masks (height, width, regions) of equal vertical stripes."""
    label = np.arange(width) * regions // width
    return np.broadcast_to(label[None, :, None] == np.arange(regions), (height, width, regions)).astype(np.float32)


def bare_pass(network: Network, image: tf.Tensor):
    """Forward and backward through the network alone."""

    def evaluate(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            features = network.features(x, (*STYLE_LAYERS, CONTENT_LAYER))
            loss = tf.add_n([tf.reduce_mean(f) for f in features.values()])
        return tape.gradient(loss, x)

    compiled = tf.function(evaluate)
    return lambda: compiled(image).numpy()


def paired_medians(one, other, runs: int) -> tuple[float, float, float]:
    """Median seconds of both, run in turn, and the median of their ratio pair by pair."""
    one(), other()
    times: list[tuple[float, float]] = []
    for _ in range(runs):
        marks = [time.perf_counter()]
        for call in (one, other):
            call()
            marks.append(time.perf_counter())
        times.append((marks[1] - marks[0], marks[2] - marks[1]))
    first, second = zip(*times, strict=True)
    return statistics.median(first), statistics.median(second), statistics.median(a / b for a, b in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 700])
    parser.add_argument("--regions", type=int, nargs="+", default=[1, 3, 5, 9])
    parser.add_argument("--runs", type=int, default=11)
    arguments = parser.parse_args()
    print("command:", " ".join(sys.argv), f"\nmachine: {platform.machine()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}")
    print("size       regions  evaluation  bare pass   ratio   one region  ratio   peak memory")
    network = random_vgg19()
    for size in arguments.sizes:
        height, width = round(size * 2 / 3), size
        photo = np.random.default_rng(1).random((height, width, 3), np.float32)
        laplacian = matting_laplacian(photo)
        single = None
        for regions in arguments.regions:
            masks = stripes(height, width, regions)
            objective = Objective(network, photo, photo[::-1].copy(), (masks, masks), Options(), laplacian)
            evaluate = functools.partial(objective, photo * 255)
            whole, bare, ratio = paired_medians(evaluate, bare_pass(network, tf.constant(photo)), arguments.runs)
            single = single or evaluate
            _, one, against_one = paired_medians(evaluate, single, arguments.runs)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"{width}x{height:<6} {regions:<8} {1e3 * whole:7.0f} ms {1e3 * bare:7.0f} ms {ratio:8.3f}"
                f" {1e3 * one:8.0f} ms {against_one:8.3f} {peak:8.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
