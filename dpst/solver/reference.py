"""The reference script's own way: one scale, step for step, but with floats handed from stage to stage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from closed_form_matting import matting_laplacian
from dpst.imaging.resizing import resize
from dpst.options import Options
from dpst.solver.optimizers import minimize_adam, minimize_lbfgsb
from dpst.solver.run import Pair, Run
from dpst.solver.stages import REFINEMENT, SEGMENTED, Progress, Stage
from vgg19.network import MEAN_RGB, Network

# Standard deviation, in levels, of the noise around the mean pixel that the reference starts from.
_NOISE = 1e-4


def solve_reference(
    network: Network, options: Options, callback: Callable[[Progress], None], pair: Pair, init: np.ndarray | None
) -> tuple[np.ndarray, list[Stage]]:
    """The stages of the style option, each at the full size of the solve.

    Args:
        network: feature extractor.
        options: of the picture.
        callback: gets each step's progress.
        pair: photos and masks.
        init: picture to start from, (H, W, 3), 0..1.

    Returns:
        float32 (H, W, 3); may leave 0..1; and what each stage did.
    """
    minimizer, settings = (minimize_lbfgsb, {}) if options.lbfgs else (minimize_adam, {"learning_rate": options.learning_rate})
    if init is not None:
        image = resize(init, *pair.size)
    else:
        image = pair.content if options.style_option == 1 else _noise(pair.content.shape, options.seed)
    run = Run(network, options, callback, [(pair.size, options.max_iter)] * (2 if options.style_option == 2 else 1))
    if options.style_option != 1:
        image = run.minimize(SEGMENTED, pair, image, minimizer, **settings)
    if options.style_option != 0:
        image = run.minimize(REFINEMENT, pair, image, minimizer, matting_laplacian(pair.content), **settings)
    return image, run.records


def _noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The reference's start image, 0..1: noise around the mean pixel."""
    noise = np.random.default_rng(seed).standard_normal(shape) * _NOISE
    return (noise + MEAN_RGB) / 255
