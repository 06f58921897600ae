"""Deep Photo Style Transfer (Luan, Paris, Shechtman, Bala, CVPR 2017): the stages of style options 0, 1 and 2.

0 minimises the objective without its photorealism term (segmented style), 1 with it from an init image (refinement), 2 is both in
sequence. `stylize` knows no files: arrays in, arrays out, and a callback that sees every step.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import time
from collections.abc import Callable

import numpy as np

import images
from closed_form_matting import MattingPreconditioner, matting_laplacian
from objective import Evaluation, Objective
from optimizers import Optimum, minimize_adam, minimize_lbfgsb, minimize_preconditioned
from options import Options, UserError
from photo_solver.affine_field import FittedMasks, Look
from photo_solver.look import LookObjective, Weights, settled
from photo_solver.palette import colour_grade
from segmentation import Regions, read_regions, refined
from smooth_local_affine import carry, smooth_local_affine
from vgg19.learned import FLOOR, learn_weights
from vgg19.network import MEAN_RGB, Network
from vgg19.weights import find_weights

logger = logging.getLogger("deep_photostyle")

SEGMENTED, REFINEMENT = "segmented style", "photorealistic refinement"

# Standard deviation, in levels, of the noise around the mean pixel that the reference starts from.
_NOISE = 1e-4
# Long side in pixels at which the pixels solver's smoothing has the radius asked for. Its results are calm already: at 512
# pixels a radius of 6 instead of 8 looks the same and keeps a twentieth more of the style, for 2 % more residual.
_SMOOTHING_SIZE = 1280
# Long side of the coarsest scale. At 64 pixels the statistics of the deeper layers rest on so few positions that a slightly
# blurred mask led elsewhere: results moved by up to 13 levels, and kept less of the photo's structure.
_COARSEST = 128
# Pixels on the short side at any scale: a window of the matting Laplacian.
_LEAST_SIDE = 3
# The Hessian of all terms but the photorealism, taken as this multiple of the identity (loss per level squared). Between 0.003
# and 0.01 the objective falls fastest, at 128 and at 256 pixels.
_CURVATURE = 0.005
# Most steps of the photorealism-free stage at the coarsest scale, and of the scales from the coarsest on. From a start that has
# the style's colours already, more of the former only add textures that the latter then have to take out.
_SEGMENTED_STEPS = 2
_STEPS = (100, 60, 60, 40)
# The maps solver: cells of the grid on the longer side and most steps, from the coarsest scale on, and for each further realism.
_CELLS, _LOOK_STEPS, _REALISM_STEPS = (16, 32), (30, 20), 20
# It stops when the picture has changed by less than this, root mean square in levels, over so many steps.
_LEAST_CHANGE, _CHANGE_STEPS = 0.5, 4
# How far from the drawn edge of a mask the photo's own edge is looked for, as a share of the longer side, and how much the
# drawing counts there: given masks are drawn loosely, and each side of an edge gets a look of its own.
_MASK_REACH, _MASK_TRUST = 0.04, 3e-4
# A stage ends when the loss falls by less than this share per evaluation.
_LEAST_PROGRESS = 0.002


@dataclasses.dataclass(frozen=True)
class Progress:
    """One iteration, as a callback sees it.

    Attributes:
        phase: `SEGMENTED` or `REFINEMENT`.
        stage: its number, from 0.
        step: true iterations in this stage; 0 is its start.
        evaluations: of the objective and its gradient in this stage, so far.
        share: of the run's work that is done, 0..1, if no stage stops early.
        losses: weighted terms and their `total`.
        image: float32 (h, w, 3), 0..1, the current image at the stage's size.
    """

    phase: str
    stage: int
    step: int
    evaluations: int
    share: float
    losses: dict[str, float]
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a finished stage did: its size, losses at each step, true iterations, evaluations, seconds and why it stopped."""

    phase: str
    size: tuple[int, int]
    losses: list[dict[str, float]]
    iterations: int
    evaluations: int
    seconds: float
    reason: str


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished picture.

    Attributes:
        image: float32 (h, w, 3), 0..1, at the size where the style was solved.
        content: the content photo at that size.
        stages: one record each.
        features: where the features came from.
        looks: of the maps solver, one for each value of `Options.realisms`; `image` is the first. They restyle the photo at any
            size. Empty with the other solvers.
    """

    image: np.ndarray
    content: np.ndarray
    stages: list[Stage]
    features: str
    looks: tuple[Look, ...] = ()


def pretrained_network(choice: str, networks: dict[str, Network | None] | None = None) -> Network | None:
    """The network that `Options.vgg19_weights` asks for; None where features are to be learned, which are a pair's own.

    Args:
        choice: see `Options.vgg19_weights`.
        networks: what was found before, by choice, so that runs share it. What is found now is added.

    Raises:
        UserError: the weights cannot be found or read.
    """
    networks = {} if networks is None else networks
    if choice not in networks:
        found = find_weights(choice)
        networks[choice] = Network(*found) if found else None
    return networks[choice]


def find_network(
    options: Options,
    content: np.ndarray,
    style: np.ndarray,
    networks: dict[str, Network | None] | None = None,
    floor: float = FLOOR,
) -> Network:
    """The feature extractor that `options.vgg19_weights` asks for.

    Args:
        options: `vgg19_weights` and `seed` are heeded.
        content: (H, W, 3), 0..1; the filters are learned from both photos where no pretrained weights are used.
        style: (h, w, 3), 0..1.
        networks: see `pretrained_network`.
        floor: of learned features, see `vgg19.learned`.

    Raises:
        UserError: the weights cannot be found or read.
    """
    pretrained = pretrained_network(options.vgg19_weights, networks)
    return pretrained or Network(learn_weights([content, style], options.seed, floor), "learned from the two photos")


def stylize(
    content: np.ndarray,
    style: np.ndarray,
    regions: Regions | None = None,
    options: Options | None = None,
    network: Network | None = None,
    init: np.ndarray | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Result:
    """Gives the content photo the look of the style photo.

    Args:
        content: photo (H, W, 3), 0..1.
        style: photo (h, w, 3), 0..1; of any size.
        regions: corresponding regions of both; without them the whole photos correspond.
        options: `style_option`, `solver`, `max_size`, weights, smoothing; the defaults if None. Paths in it are not heeded.
        network: feature extractor; by default the one that `options.vgg19_weights` asks for.
        init: picture to start from, (H', W', 3), 0..1.
        callback: called with each step's `Progress`; what it raises ends the run.

    Returns:
        The result at the solve size, that is at most `options.solve_size` pixels on the long side.

    Raises:
        UserError: no weights, a content photo too narrow for the solve size, or a loss that is not finite
            (`objective.NonFiniteLoss`).
    """
    options = options or Options()
    regions = regions or read_regions("", "", content.shape[:2], style.shape[:2], options)
    content, style = _at_size(content, options.solve_size), _at_size(style, options.solve_size)
    height, width = content.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        raise UserError(f"content image is {width}x{height} at --max_size {options.solve_size}, too narrow; raise --max_size")
    regions = regions.resized(content.shape[:2], style.shape[:2])
    if network is None:
        network = find_network(options, content, style)
    run = _Run(network, options, callback or (lambda progress: None))
    if options.solver_used == "maps":
        looks = _solve_maps(run, content, style, regions, init)
        return Result(looks[0].apply(content, 0, height), content, run.records, network.description, looks)
    solve = _solve_reference if options.solver_used == "reference" else _solve_pixels
    image = solve(run, content, style, regions, init)
    if options.style_option != 0 and options.apply_smooth:
        image = _smoothed(content, image, options)
    return Result(np.clip(image, 0, 1), content, run.records, network.description)


def _smoothed(content: np.ndarray, image: np.ndarray, options: Options) -> np.ndarray:
    """The post-filter: the reference's with its solver, else one that keeps the content's grain.

    The reference's ridge pulls the colour maps towards 0 and so the picture towards flatness; smoothing the change from the
    content instead pulls it towards the content. The radius scales with the size, to mean the same at every size.
    """
    if options.solver_used == "reference":
        return smooth_local_affine(content, image, options.f_radius, options.f_edge)
    radius = max(1, round(options.f_radius * max(content.shape) / _SMOOTHING_SIZE))
    return content + smooth_local_affine(content, image - content, radius, options.f_edge)


def _at_size(image: np.ndarray, long_side: int) -> np.ndarray:
    """The image at no more than `long_side` pixels."""
    size = images.fitted(image.shape[:2], long_side)
    return image if size == image.shape[:2] else images.resize(image, *size)


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Everything of one size that does not depend on the current image."""

    content: np.ndarray
    style: np.ndarray
    regions: Regions
    laplacian: object = None
    precondition: Callable[[np.ndarray], np.ndarray] | None = None


@dataclasses.dataclass
class _Run:
    """What all stages of one run share, their most steps, and their records."""

    network: Network
    options: Options
    callback: Callable[[Progress], None]
    plan: list[tuple[tuple[int, int], int]] = dataclasses.field(
        default_factory=list
    )  # each stage's (height, width) and most steps
    records: list[Stage] = dataclasses.field(default_factory=list)

    def minimize(self, phase: str, scale: _Scale, start: np.ndarray, minimizer: Callable[..., Optimum], **settings) -> np.ndarray:
        """The plan's next stage, from a start image (H, W, 3), 0..1, by a minimiser of `optimizers`; returns its best image."""
        begin = time.perf_counter()
        masks = scale.regions.content, scale.regions.style
        objective = Objective(self.network, scale.content, scale.style, masks, self.options, scale.laplacian)

        def minimize(callback) -> Optimum:
            return minimizer(objective, start.astype(np.float64) * 255, self.most_steps, callback, **settings)

        optimum = self.follow(phase, scale.content.shape[:2], objective, lambda levels: levels / 255, minimize, begin)
        return (optimum.levels / 255).astype(np.float32)

    @property
    def most_steps(self) -> int:
        """Of the plan's next stage."""
        return self.plan[len(self.records)][1]

    def follow(
        self,
        phase: str,
        size: tuple[int, ...],
        objective: Objective | LookObjective,
        image_of: Callable[[np.ndarray], np.ndarray],
        minimize: Callable[..., Optimum],
        begin: float,
    ) -> Optimum:
        """Runs the plan's next stage, which began at a time, tells the callback of its steps, and records it.

        Args:
            phase: `SEGMENTED` or `REFINEMENT`.
            size: (height, width).
            objective: counts its evaluations.
            image_of: from the minimiser's variable to an image (H, W, 3), 0..1.
            minimize: takes the minimiser's callback.
            begin: `time.perf_counter()` at the stage's start.
        """
        number, losses = len(self.records), []
        work = [height * width * steps for (height, width), steps in self.plan]
        most_steps, evaluations = max(self.most_steps, 1), objective.evaluations

        def on_step(step: int, variable: np.ndarray, evaluation: Evaluation) -> None:
            losses.append(evaluation.losses)
            image = np.clip(image_of(variable), 0, 1).astype(np.float32)
            share = (sum(work[:number]) + work[number] * step / most_steps) / max(sum(work), 1)
            made = objective.evaluations - evaluations
            self.callback(Progress(phase, number, step, made, share, evaluation.losses, image))

        optimum = minimize(on_step)
        seconds, made = time.perf_counter() - begin, objective.evaluations - evaluations
        self.records.append(Stage(phase, (size[0], size[1]), losses, optimum.iterations, made, seconds, optimum.reason))
        logger.info("%s at %dx%d: %s", phase, size[1], size[0], optimum.reason)
        return optimum


def _noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The reference's start image, 0..1: noise around the mean pixel."""
    noise = np.random.default_rng(seed).standard_normal(shape) * _NOISE
    return (noise + MEAN_RGB) / 255


def _solve_reference(run: _Run, content: np.ndarray, style: np.ndarray, regions: Regions, init: np.ndarray | None) -> np.ndarray:
    """Single scale, step for step as the reference, but with floats handed from stage to stage."""
    options = run.options
    minimizer, settings = (minimize_lbfgsb, {}) if options.lbfgs else (minimize_adam, {"learning_rate": options.learning_rate})
    scale = _Scale(content, style, regions)
    if init is not None:
        image = _fitted(init, content)
    else:
        image = content if options.style_option == 1 else _noise(content.shape, options.seed)
    run.plan = [(content.shape[:2], options.max_iter)] * (2 if options.style_option == 2 else 1)
    if options.style_option != 1:
        image = run.minimize(SEGMENTED, scale, image, minimizer, **settings)
    if options.style_option != 0:
        scale = dataclasses.replace(scale, laplacian=matting_laplacian(content))
        image = run.minimize(REFINEMENT, scale, image, minimizer, **settings)
    return image


def _fitted(init: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The init image at the content's size."""
    return init if init.shape == content.shape else images.resize(init, *content.shape[:2])


def _solve_maps(run: _Run, content: np.ndarray, style: np.ndarray, regions: Regions, init: np.ndarray | None) -> tuple[Look, ...]:
    """A field of affine maps, coarse to fine; one look for each value of realism, each starting from the one before.

    The style is looked at in half the size at most: the maps vary so slowly that a larger one leads to the same. In style
    option 2 the segmented stage is the colour grade of each region, which has a closed form.
    """
    options = run.options
    if regions.content.shape[2] > 1:
        regions = dataclasses.replace(regions, content=refined(regions.content, content, _MASK_REACH, _MASK_TRUST))
    masks = FittedMasks.fitted(regions.content, content)
    sizes = _scales(images.fitted(content.shape[:2], max(_COARSEST, round(max(content.shape) / 2))))
    last = len(sizes) - 1
    shapes = [images.fitted(content.shape[:2], size) for size in sizes]
    steps = [_LOOK_STEPS[min(n, 1)] for n in range(len(sizes))] + [_REALISM_STEPS] * (len(options.realisms) - 1)
    run.plan = [(shapes[min(n, last)], min(most, options.max_iter)) for n, most in enumerate(steps)]
    if options.style_option == 2:
        run.plan.insert(0, (shapes[0], 0))

    def objective_at(size: int, cells: int, weights: Weights) -> LookObjective:
        shrunk = _at_size(content, size)
        shrunk_style = _at_size(style, round(max(style.shape[:2]) * size / max(content.shape)))
        shrunk_regions = regions.resized(shrunk.shape[:2], shrunk_style.shape[:2])
        return LookObjective(run.network, shrunk, shrunk_style, shrunk_regions, cells, weights)

    def minimize(objective: LookObjective, coefficients: np.ndarray | None, begin: float) -> np.ndarray:
        """From some coefficients, or from those that realism pulls to."""
        if init is not None:
            grade = objective.fitted(_fitted(init, objective.content))
        else:
            grade = objective.unchanged() if options.style_option == 1 else objective.graded()
        objective.begin(grade)
        try:
            if options.style_option == 2 and not run.records:
                _tell_grade(run, objective, grade, begin)
                begin = time.perf_counter()
            return _minimize_look(run, objective, grade if coefficients is None else coefficients, begin)
        finally:
            objective.release()

    weights = Weights.of(options, options.realisms[0])
    begin = time.perf_counter()
    objective = objective_at(sizes[0], _CELLS[0 if last else 1], weights)
    coefficients = minimize(objective, None, begin)
    for size in sizes[1:]:
        begin, coarser = time.perf_counter(), objective.grid
        objective = objective_at(size, _CELLS[1], weights)
        coefficients = minimize(objective, objective.refined(coefficients, coarser), begin)
    looks = [objective.look(coefficients, masks)]
    for realism in options.realisms[1:]:
        begin = time.perf_counter()
        objective.weights = Weights.of(options, realism)
        coefficients = minimize(objective, coefficients, begin)
        looks.append(objective.look(coefficients, masks))
    return tuple(looks)


def _tell_grade(run: _Run, objective: LookObjective, coefficients: np.ndarray, begin: float) -> None:
    """The segmented stage of the maps solver: nothing is left to minimise."""

    def evaluate(callback) -> Optimum:
        evaluation = objective(coefficients)
        callback(0, coefficients, evaluation)
        return Optimum(coefficients, evaluation, 0, "each region has its style region's mean colour and contrast")

    run.follow(SEGMENTED, objective.image.shape[:2], objective, lambda _: objective.image, evaluate, begin)


def _minimize_look(run: _Run, objective: LookObjective, coefficients: np.ndarray, begin: float) -> np.ndarray:
    """The plan's next stage, from some coefficients; returns the best ones."""
    test = settled(objective, _LEAST_CHANGE, _CHANGE_STEPS)

    def minimize(callback) -> Optimum:
        return minimize_preconditioned(objective, coefficients, run.most_steps, callback, objective.precondition, settled=test)

    size = objective.image.shape[:2]
    return run.follow(REFINEMENT, size, objective, lambda _: objective.image, minimize, begin).levels


def _solve_pixels(run: _Run, content: np.ndarray, style: np.ndarray, regions: Regions, init: np.ndarray | None) -> np.ndarray:
    """Every pixel for itself, coarse to fine, preconditioned; the objective at the last scale is the reference's.

    Between scales the result is carried up by local affine maps of the content's colours. While one scale runs, the Laplacian of
    the next and its factorisation are made in another thread. The images stay within 0..255: what leaves it is lost when the
    picture is written, and with it the style that it stood for.
    """
    options = run.options
    matting = options.style_option != 0
    sizes = _scales(content.shape[:2])
    steps = [min(_STEPS[min(n, len(_STEPS) - 1)], options.max_iter) for n in range(len(sizes))]
    run.plan = [(images.fitted(content.shape[:2], size), most) for size, most in zip(sizes, steps, strict=True)]
    if options.style_option == 2:
        run.plan.insert(0, (run.plan[0][0], min(_SEGMENTED_STEPS, options.max_iter)))

    factorised: list[MattingPreconditioner] = []

    def prepare(long_side: int) -> _Scale:
        shrunk = _at_size(content, long_side)
        shrunk_style = _at_size(style, round(max(style.shape[:2]) * long_side / sizes[-1]))
        scale = _Scale(shrunk, shrunk_style, regions.resized(shrunk.shape[:2], shrunk_style.shape[:2]))
        if not matting:
            return dataclasses.replace(scale, precondition=_without_matting)
        laplacian = matting_laplacian(shrunk)
        stiffness = 2 * options.affine_weight / 255**2
        precondition = MattingPreconditioner(laplacian, shrunk.shape[:2], stiffness, _CURVATURE)
        factorised.append(precondition)
        return dataclasses.replace(scale, laplacian=laplacian, precondition=precondition)

    def release() -> None:
        for precondition in factorised:
            precondition.release()

    def minimize(phase: str, scale: _Scale, start: np.ndarray) -> np.ndarray:
        settings = {"precondition": scale.precondition, "least_progress": _LEAST_PROGRESS, "bounds": (0.0, 255.0)}
        return run.minimize(phase, scale, start, minimize_preconditioned, **settings)

    image = below = np.empty((0, 0, 3), np.float32)
    with concurrent.futures.ThreadPoolExecutor(1) as ahead:
        try:
            prepared = ahead.submit(prepare, sizes[0])
            for number in range(len(sizes)):
                scale = prepared.result()
                if number + 1 < len(sizes):
                    prepared = ahead.submit(prepare, sizes[number + 1])
                if number > 0:
                    image = carry(below, image, scale.content)
                elif init is not None:
                    image = _fitted(init, scale.content)
                else:
                    image = scale.content if options.style_option == 1 else _recoloured(scale)
                if number == 0 and options.style_option == 2:
                    image = minimize(SEGMENTED, dataclasses.replace(scale, laplacian=None), image)
                image = minimize(REFINEMENT if matting else SEGMENTED, scale, image)
                below = scale.content
        finally:
            ahead.submit(release)  # in the thread that made them
    return image


def _without_matting(gradient: np.ndarray) -> np.ndarray:
    """The preconditioner of an objective without the photorealism term."""
    return gradient / _CURVATURE


def _recoloured(scale: _Scale) -> np.ndarray:
    """The content, each region with the mean and covariance of the style region's colours, within 0..1.

    As a start it leads to skies of one piece, where noise leads to blotches.
    """
    content, inside = scale.content, scale.regions.content.sum(axis=2, keepdims=True)
    image = content * (1 - inside)
    for mask, style_mask in zip(scale.regions.content.T, scale.regions.style.T, strict=True):
        if mask.any():
            grade = colour_grade(content, scale.style, mask.T, style_mask.T, 0.0)
            image = image + mask.T[:, :, None] * (content @ grade[:, :3].T + grade[:, 3])
    return np.clip(image, 0, 1).astype(np.float32)


def _scales(size: tuple[int, int]) -> list[int]:
    """Long sides from the coarsest to that of a size (height, width), each at most twice the one before."""
    sizes = [max(size)]
    while sizes[0] >= 2 * _COARSEST and min(images.fitted(size, round(sizes[0] / 2))) >= _LEAST_SIDE:
        sizes.insert(0, round(sizes[0] / 2))
    return sizes
