"""What all solvers share: the pair of photos at a size, the stages of a run, and progress reports."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import scipy.sparse

from dpst.imaging.resizing import resize, shrunk
from dpst.options import Options
from dpst.solver.affine_field import Look
from dpst.solver.objective import Objective
from dpst.solver.optimum import Evaluation, Optimum
from dpst.solver.stages import REFINEMENT, Progress, Stage
from vgg19.network import Network

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pair:
    """The two photos at the size of a solve, with the masks of their corresponding regions.

    Attributes:
        content: float32 (H, W, 3), 0..1.
        style: float32 (h, w, 3), 0..1.
        content_masks: float32 (H, W, R), 0..1.
        style_masks: float32 (h, w, R), 0..1.
        are_guessed: whether a region may end in the middle of an object.
    """

    content: np.ndarray
    style: np.ndarray
    content_masks: np.ndarray
    style_masks: np.ndarray
    are_guessed: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the content."""
        return self.content.shape[0], self.content.shape[1]

    def at(self, long_side: int) -> Pair:
        """Both photos made smaller by the factor that brings the content's longer side to `long_side` pixels."""
        content = shrunk(self.content, long_side)
        style = shrunk(self.style, round(max(self.style.shape[:2]) * long_side / max(self.size)))
        masks = resize(self.content_masks, *content.shape[:2]), resize(self.style_masks, *style.shape[:2])
        return Pair(content, style, *masks, self.are_guessed)


class CountingObjective(Protocol):
    """Any objective: it counts its evaluations."""

    evaluations: int


@dataclasses.dataclass
class Run:
    """What all stages of one run share, their most steps, their records, and the looks that are finished."""

    network: Network
    options: Options
    callback: Callable[[Progress], None]
    plan: Sequence[tuple[tuple[int, int], int]]  # each stage's (height, width) and most steps
    records: list[Stage] = dataclasses.field(default_factory=list)
    looks: dict[float, Look] = dataclasses.field(default_factory=dict)  # by realism

    def minimize(
        self,
        phase: str,
        pair: Pair,
        start: np.ndarray,
        minimizer: Callable[..., Optimum],
        laplacian: scipy.sparse.csr_matrix | None = None,
        **settings,
    ) -> np.ndarray:
        """Runs the plan's next stage over every pixel of the picture.

        Args:
            phase: `SEGMENTED` or `REFINEMENT`.
            pair: photos and masks.
            start: (H, W, 3), 0..1.
            minimizer: of `optimizers`.
            laplacian: see `Objective`.
            settings: of the minimiser.

        Returns:
            The best image, float32 (H, W, 3), 0..1.
        """
        begin = time.perf_counter()
        masks = pair.content_masks, pair.style_masks
        objective = Objective(self.network, pair.content, pair.style, masks, self.options, laplacian)

        def minimize(callback) -> Optimum:
            return minimizer(objective, start.astype(np.float64) * 255, self.most_steps, callback, **settings)

        optimum = self.follow(phase, objective, minimize, begin)
        return (optimum.solution / 255).astype(np.float32)

    @property
    def most_steps(self) -> int:
        """Of the plan's next stage."""
        return self.plan[len(self.records)][1]

    def follow(
        self,
        phase: str,
        objective: CountingObjective,
        minimize: Callable[..., Optimum],
        begin: float,
        look: Callable[[np.ndarray], Look] | None = None,
    ) -> Optimum:
        """Runs the plan's next stage, reports each step to the callback, and records the stage.

        Args:
            phase: `SEGMENTED` or `REFINEMENT`.
            objective: counts its evaluations.
            minimize: takes the minimiser's callback.
            begin: `time.perf_counter()` at the stage's start.
            look: from the minimiser's variable to its look, if it has one.
        """
        number, losses = len(self.records), []
        work = [height * width * steps for (height, width), steps in self.plan]
        (size, most_steps), evaluations = self.plan[number], objective.evaluations

        def on_step(step: int, variable: np.ndarray, evaluation: Evaluation) -> None:
            losses.append(evaluation.losses)
            find_image = functools.partial(_within_range, evaluation.image)  # it may be on a GPU, and is not always asked for
            find_look = functools.partial(look, variable) if look else None
            share = (sum(work[:number]) + work[number] * step / max(most_steps, 1)) / max(sum(work), 1)
            made = objective.evaluations - evaluations
            self.callback(
                Progress(phase, number, step, made, share, evaluation.losses, size, find_image, find_look, dict(self.looks))
            )

        optimum = minimize(on_step)
        seconds, made = time.perf_counter() - begin, objective.evaluations - evaluations
        self.records.append(Stage(phase, size, losses, optimum.iterations, made, seconds, optimum.reason))
        realisms = self.options.realisms
        of = f", realism {realisms[len(self.looks)]:g}" if len(realisms) > 1 and phase == REFINEMENT else ""
        logger.info("%s at %dx%d%s: %s", phase, size[1], size[0], of, optimum.reason)
        return optimum


def _within_range(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 1).astype(np.float32)
