"""The maps solver: a field of affine colour maps for each region, coarse to fine."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable

import numpy as np

from dpst.imaging.fitted_masks import FittedMasks
from dpst.imaging.resizing import fitted, resize
from dpst.options import Options
from dpst.solver.affine_field import Look
from dpst.solver.look import LookObjective, Weights, palettes, settled
from dpst.solver.optimizers import InverseHessian, minimize_preconditioned
from dpst.solver.optimum import Optimum
from dpst.solver.run import Pair, Run
from dpst.solver.sizes import network_side, scales
from dpst.solver.stages import REFINEMENT, SEGMENTED, Progress, Stage
from vgg19.backend import on_device, tf
from vgg19.network import Network

# Cells of the grid on the photo's longer side.
_CELLS = 48
# Maximum steps at the coarsest scale, at the others, of the segmented stage, and for each further value of realism.
_COARSE_STEPS, _STEPS, _SEGMENTED_STEPS, _REALISM_STEPS = 20, 18, 4, 20
# Curvature pairs of L-BFGS. With 30 the loss was 0.6 % lower after all steps with six regions, and each step took a fifth longer.
_PAIRS = 14
# A stage stops when the picture has changed by less than this, as root mean square in levels, over this many steps.
_MIN_CHANGE, _CHANGE_STEPS = 0.35, 4


def solve_maps(
    network: Network,
    options: Options,
    callback: Callable[[Progress], None],
    pair: Pair,
    init: np.ndarray | None,
    by_place: bool = True,
) -> tuple[dict[float, Look], list[Stage]]:
    """Solves for a field of affine maps, coarse to fine; one look for each value of realism, each starting from the previous one.

    With style option 2, the segmented stage without photorealism comes first, at the coarsest scale.

    Args:
        network: feature extractor.
        options: of the picture.
        callback: called with the progress of each step.
        pair: photos and masks; the content's masks should be refined to the photo's edges.
        init: picture to start from, (H, W, 3), 0..1.
        by_place: whether the maps of a region may vary with the position.

    Returns:
        The looks by realism, and the records of the stages.
    """
    fitter = concurrent.futures.ThreadPoolExecutor(1)  # beside the first stage; also after a stop, as the best look needs them
    masks = fitter.submit(FittedMasks.fitted, pair.content_masks, pair.content)
    fitter.shutdown(wait=False)
    sizes = scales(fitted(pair.size, network_side(pair.size, options)))
    shapes = [fitted(pair.size, size) for size in sizes]
    plan = [(shape, _COARSE_STEPS if shape is not shapes[-1] else _STEPS) for shape in shapes]
    if options.style_option == 2:
        plan.insert(0, (shapes[0], _SEGMENTED_STEPS))
    plan += [(shapes[-1], _REALISM_STEPS)] * (len(options.realisms) - 1)
    run = Run(network, options, callback, [(shape, min(most, options.max_iter)) for shape, most in plan])

    def minimize(objective: LookObjective, start: tf.Tensor | None, inverse: InverseHessian, begin: float) -> tf.Tensor:
        """Starts from these coefficients, by default from those of the colour grade."""
        if init is not None:
            grade = objective.fitted(resize(init, *objective.content.shape[:2]))
        else:
            grade = objective.unchanged() if options.style_option == 1 else objective.graded()
        objective.begin(grade)
        return _minimize_look(run, objective, tf.constant(grade) if start is None else start, inverse, masks, begin)

    ended = threading.Event()

    def check_end() -> None:
        if ended.is_set():
            raise concurrent.futures.CancelledError

    def prepare(number: int) -> LookObjective:
        with on_device(options.device):  # TensorFlow's device is set for each thread
            cells = _CELLS if by_place else 0
            return LookObjective(network, pair.at(sizes[number]), colours, cells, weights, check_end)

    begin, weights = time.perf_counter(), Weights.of(options, options.realisms[0])
    colours = palettes(pair.at(sizes[-1]))
    objective, coefficients = prepare(0), None
    # The field is the same at every scale, and its curvature nearly so: each stage continues with the L-BFGS history of the last.
    new_inverse = functools.partial(_inverse_hessian(options.device), objective.unchanged().size, _PAIRS)
    inverse = new_inverse()
    background = concurrent.futures.ThreadPoolExecutor(1)  # prepares the next scale during a solve
    try:
        prepared = [background.submit(prepare, number) for number in range(1, len(sizes))]
        if options.style_option == 2:
            objective.weights = weights.segmented
            coefficients = minimize(objective, None, inverse, begin)
            objective.weights, begin = weights, time.perf_counter()
        coefficients = minimize(objective, coefficients, inverse, begin)
        for future in prepared:
            begin, objective = time.perf_counter(), future.result()
            coefficients = minimize(objective, coefficients, inverse, begin)
    finally:  # after a stop, preparation ends at its next step, without waiting for that
        ended.set()
        background.shutdown(wait=False, cancel_futures=True)
    run.looks[options.realisms[0]] = objective.look(coefficients, masks.result())
    for realism in options.realisms[1:]:
        begin, inverse = time.perf_counter(), new_inverse()
        objective.weights = Weights.of(options, realism)
        coefficients = minimize(objective, coefficients, inverse, begin)
        run.looks[realism] = objective.look(coefficients, masks.result())
    return run.looks, run.records


def _minimize_look(
    run: Run,
    objective: LookObjective,
    start: tf.Tensor,
    inverse: InverseHessian,
    masks: concurrent.futures.Future[FittedMasks],
    begin: float,
) -> tf.Tensor:
    """Runs the next stage of the plan from `start`; returns the best coefficients."""
    test = settled(_MIN_CHANGE, _CHANGE_STEPS)

    def minimize(callback) -> Optimum:
        return minimize_preconditioned(
            objective, start, run.most_steps, callback, objective.precondition, settled=test, inverse=inverse
        )

    def look(found: tf.Tensor) -> Look:
        return objective.look(found, masks.result())

    phase = REFINEMENT if objective.weights.photograph else SEGMENTED
    return run.follow(phase, objective, minimize, begin, look).solution


def _inverse_hessian(device: str) -> type[InverseHessian]:
    """The class for a device: on the CPU arrays are faster, as TensorFlow copies a table whenever a row is replaced."""
    return DeviceInverseHessian if device != "cpu" and tf.config.list_logical_devices("GPU") else InverseHessian


class DeviceInverseHessian(InverseHessian):
    """The same of tensors, which stay where TensorFlow computes; a few numbers for each pair leave it."""

    def _table(self, rows: int, columns: int) -> tf.Variable:
        return tf.Variable(tf.zeros((rows, columns)), trainable=False)

    def product(self, one: tf.Tensor, other: tf.Tensor) -> float:
        return float(tf.reduce_sum(one * other))

    def _along(self, table: tf.Variable, vector: tf.Tensor, unit: float) -> np.ndarray:
        return tf.linalg.matvec(table, tf.reshape(vector, (-1,)) / unit).numpy()[: self.pairs].astype(np.float64)

    def _put(self, table: tf.Variable, row: int, vector: tf.Tensor, unit: float) -> None:
        table[row].assign(tf.reshape(vector, (-1,)) / unit)

    def _combined(self, table: tf.Variable, shares: np.ndarray, like: tf.Tensor) -> tf.Tensor:
        shares = np.pad(shares, (0, self._most - self.pairs)).astype(np.float32)
        return tf.reshape(tf.linalg.matvec(table, shares, transpose_a=True), like.shape)
