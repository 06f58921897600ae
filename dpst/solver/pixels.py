"""Every pixel for itself, coarse to fine: takes over the style's textures too.

The objective at the last scale is the reference's; a preconditioner and a start near the goal take it there in minutes.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.sparse

from closed_form_matting import MattingPreconditioner, matting_laplacian
from dpst.imaging.resizing import fitted, resize
from dpst.options import Options
from dpst.solver.carrying import carry
from dpst.solver.optimizers import minimize_preconditioned
from dpst.solver.palette import colour_grade
from dpst.solver.run import Pair, Run
from dpst.solver.sizes import scales
from dpst.solver.stages import REFINEMENT, SEGMENTED, Progress, Stage
from vgg19.network import Network

# The Hessian of all terms but the photorealism, taken as this multiple of the identity (loss per level squared). Between 0.003
# and 0.01 the objective falls fastest, at 128 and at 256 pixels.
_CURVATURE = 0.005
# Most steps of the photorealism-free stage at the coarsest scale, and of the scales from the coarsest on. From a start that has
# the style's colours already, more of the former only add textures that the latter then have to take out.
_SEGMENTED_STEPS = 2
_STEPS = (100, 60, 60, 40)
# A stage ends when the loss falls by less than this share per evaluation.
_MIN_PROGRESS = 0.002


def solve_pixels(
    network: Network, options: Options, callback: Callable[[Progress], None], pair: Pair, init: np.ndarray | None
) -> tuple[np.ndarray, list[Stage]]:
    """All stages of the style option, from the coarsest scale to the size of the pair.

    Between scales the result is carried up by local affine maps of the content's colours. While one scale runs, the Laplacian of
    the next and its factorisation are made in another thread. The images stay within 0..255: what leaves it is lost when the
    picture is written, and with it the style that it stood for.

    Args:
        network: feature extractor.
        options: of the picture.
        callback: gets each step's progress.
        pair: photos and masks.
        init: picture to start from, (H, W, 3), 0..1.

    Returns:
        float32 (H, W, 3), 0..1, and what each stage did.
    """
    matting = options.style_option != 0
    sizes = scales(pair.size)
    steps = [min(_STEPS[min(n, len(_STEPS) - 1)], options.max_iter) for n in range(len(sizes))]
    plan = [(fitted(pair.size, size), most) for size, most in zip(sizes, steps, strict=True)]
    if options.style_option == 2:
        plan.insert(0, (plan[0][0], min(_SEGMENTED_STEPS, options.max_iter)))
    run = Run(network, options, callback, plan)

    factorised: list[MattingPreconditioner] = []

    def prepare(long_side: int) -> _Scale:
        shrunk = pair.at(long_side)
        if not matting:
            return _Scale(shrunk, None, _without_matting)
        laplacian = matting_laplacian(shrunk.content)
        stiffness = 2 * options.affine_weight / 255**2
        factorised.append(MattingPreconditioner(laplacian, shrunk.size, stiffness, _CURVATURE))
        return _Scale(shrunk, laplacian, factorised[-1])

    def release() -> None:
        for precondition in factorised:
            precondition.release()

    def minimize(phase: str, scale: _Scale, start: np.ndarray, laplacian: scipy.sparse.csr_matrix | None) -> np.ndarray:
        settings = {"precondition": scale.precondition, "least_progress": _MIN_PROGRESS, "bounds": (0.0, 255.0)}
        return run.minimize(phase, scale.pair, start, minimize_preconditioned, laplacian, **settings)

    image = below = np.empty((0, 0, 3), np.float32)
    ahead = concurrent.futures.ThreadPoolExecutor(1)
    try:
        prepared = ahead.submit(prepare, sizes[0])
        for number in range(len(sizes)):
            scale = prepared.result()
            content = scale.pair.content
            if number + 1 < len(sizes):
                prepared = ahead.submit(prepare, sizes[number + 1])
            if number > 0:
                image = carry(below, image, content)
            elif init is not None:
                image = resize(init, *scale.pair.size)
            else:
                image = content if options.style_option == 1 else _recoloured(scale.pair)
            if number == 0 and options.style_option == 2:
                image = minimize(SEGMENTED, scale, image, None)
            image = minimize(REFINEMENT if matting else SEGMENTED, scale, image, scale.laplacian)
            below = content
    finally:
        ahead.submit(release)  # in the thread that made them; a stop does not wait for what is being prepared
        ahead.shutdown(wait=False)
    return image, run.records


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Everything of one size that does not depend on the current image."""

    pair: Pair
    laplacian: scipy.sparse.csr_matrix | None
    precondition: Callable[[np.ndarray], np.ndarray]


def _without_matting(gradient: np.ndarray) -> np.ndarray:
    """The preconditioner of an objective without the photorealism term."""
    return gradient / _CURVATURE


def _recoloured(pair: Pair) -> np.ndarray:
    """The content, each region with the mean and covariance of the style region's colours, within 0..1.

    As a start it leads to skies of one piece, where noise leads to blotches.
    """
    content, masks = pair.content, pair.content_masks
    image = content * (1 - masks.sum(axis=2, keepdims=True))
    for r in range(masks.shape[2]):
        mask = masks[..., r]
        if mask.any():
            grade = colour_grade(content, pair.style, mask, pair.style_masks[..., r], 0.0)
            image = image + mask[..., None] * (content @ grade[:, :3].T + grade[:, 3])
    return np.clip(image, 0, 1).astype(np.float32)
