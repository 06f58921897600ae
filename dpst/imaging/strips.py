"""Photos too large to be in memory as floats, a strip of whole rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

# Rows that are in float at one time where a whole photo is worked on.
STRIP = 256


def strips_of(height: int, rows: int = STRIP) -> Iterator[slice]:
    """The rows of a picture from top to bottom, some at a time; the last may be fewer."""
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


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
