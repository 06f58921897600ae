"""The stages of a run: their names, the progress of each step, and the record of a finished one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from dpst.solver.affine_field import Look

SEGMENTED, REFINEMENT = "segmented style", "photorealistic refinement"


@dataclasses.dataclass(frozen=True, eq=False)
class Progress:
    """One iteration, as a callback sees it.

    Attributes:
        phase: `SEGMENTED` or `REFINEMENT`.
        stage: its number, from 0.
        step: true iterations in this stage; 0 is its start.
        evaluations: of the objective and its gradient in this stage, so far.
        share: of the run's work that is done, 0..1, if no stage stops early.
        losses: weighted terms and their `total`.
        size: (height, width) of the stage.
        find_image: gives the current image.
        find_look: gives the look that it shows; None unless the solver is maps.
        looks: those that are finished, by realism.
    """

    phase: str
    stage: int
    step: int
    evaluations: int
    share: float
    losses: dict[str, float]
    size: tuple[int, int]
    find_image: Callable[[], np.ndarray]
    find_look: Callable[[], Look] | None = None
    looks: Mapping[float, Look] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def image(self) -> np.ndarray:
        """The current image, float32 (h, w, 3), 0..1, at the stage's size."""
        return self.find_image()

    @functools.cached_property
    def look(self) -> Look | None:
        """The look that the image shows; None unless the solver is maps."""
        return self.find_look() if self.find_look else None


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
