"""What objectives return to minimisers, and what minimisers return."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from dpst.errors import UserError


class NonFiniteLoss(UserError):
    """The loss or its gradient is not a finite number at some image."""


def non_finite_message(losses: Mapping[str, float]) -> str:
    terms = ", ".join(f"{k} {v:g}" for k, v in losses.items())
    return f"loss {losses['total']:g} is not finite ({terms}); use smaller weights or a smaller learning rate"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The objective at one image.

    Attributes:
        losses: weighted `content`, `style`, `tv`, `affine` (with a Laplacian) and their sum `total`.
        gradient: derivative of the total by the minimiser's variable, in its shape; by an image in levels, float64 (H, W, 3);
            by coefficients, a tensor.
        image: float (H, W, 3), 0..1, what the losses are of; may leave 0..1; a tensor if it is of coefficients.
    """

    losses: dict[str, float]
    gradient: np.ndarray
    image: np.ndarray

    @property
    def total(self) -> float:
        return self.losses["total"]


@dataclasses.dataclass(frozen=True)
class Optimum:
    """The best point found.

    Attributes:
        solution: the minimiser's variable there, in its shape; an image in levels, float64 (H, W, 3), or coefficients, a tensor.
        evaluation: the objective there.
        iterations: true iterations made.
        reason: why it stopped, in words.
    """

    solution: np.ndarray
    evaluation: Evaluation
    iterations: int
    reason: str
