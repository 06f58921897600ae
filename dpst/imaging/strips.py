"""Photos too large to be in memory as floats, a strip of whole rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Restyling(Protocol):
    """Something that restyles the rows of a photo by their place in it."""

    def apply(self, content: np.ndarray, first_row: int, height: int, strength: float = 1.0) -> np.ndarray:
        """Rows (n, W, 3), 0..1, of a photo of `height` rows, restyled."""


def restyled(look: Restyling, strips: Iterator[np.ndarray], height: int, strength: float = 1.0) -> Iterator[np.ndarray]:
    """The strips (n, W, 3) of a photo of `height` rows, restyled one by one."""
    top = 0
    for rows in strips:
        yield look.apply(rows, top, height, strength)
        top += len(rows)
