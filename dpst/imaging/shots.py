"""The shots of a film, each with a few frames that stand for it; however long it is, no more are kept."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dpst.imaging.colours import LUMA
from dpst.imaging.cuts import WINDOW, find_cuts

# Frames that stand for a shot, side by side in two rows; and frames kept of a shot while its end is not known.
SAMPLES, _KEPT = 4, 16
# Frames of less than this share of a shot's usual light are faded, and do not stand for it.
_FADED = 0.5
# Weights of a frame and of two on each side in a mean over time: binomial, so that what alternates from frame to frame is gone.
_IN_TIME = (1, 4, 6, 4, 1)
# The lightest level of the bars above and below, or beside, a film of another shape.
_BAR = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """Frames from one cut to the next.

    Attributes:
        first: number of its first frame.
        length: number of its frames.
        samples: uint8 (n, h, w, 3), `SAMPLES` frames evenly spread over it, but for those that are faded to black; of a shorter
            shot one.
        numbers: those of the samples in the film.
        cuts: number of cuts within it, where a whole film is one shot.
    """

    first: int
    length: int
    samples: np.ndarray
    numbers: tuple[int, ...]
    cuts: int = 0


def tiled(samples: np.ndarray) -> np.ndarray:
    """Samples of a shot (n, h, w, k) as one picture: two beside each other in two rows, or the one there is."""
    if len(samples) < SAMPLES:
        return samples[0]
    return np.concatenate([np.concatenate(list(samples[row : row + 2]), 1) for row in (0, 2)])


def without_bars(samples: np.ndarray) -> np.ndarray:
    """Samples (n, h, w, 3), uint8, without the bars at the borders that are black in all; as they are where little is left."""
    lightest = samples.max((0, 3))
    rows, columns = (np.flatnonzero(lightest.max(axis) > _BAR) for axis in (1, 0))
    if min(len(rows), len(columns)) < min(lightest.shape) // 4:
        return samples
    return samples[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def find_shots(frames: Iterable[np.ndarray], with_cuts: bool = True) -> Iterator[Shot]:
    """The shots of a film; none of a film without frames.

    Args:
        frames: uint8 (h, w, 3), small.
        with_cuts: False takes the whole film for one shot.
    """
    kept = _Kept()

    def watched() -> Iterator[np.ndarray]:
        for frame in frames:
            kept.add(frame)
            yield frame

    cuts = 0
    for cut in find_cuts(watched()):
        if with_cuts:
            yield kept.shot_before(cut)
        else:
            cuts += 1
    if kept.count > kept.first:
        yield dataclasses.replace(kept.shot_before(kept.count), cuts=cuts)


def smoothed_in_time(masks: Iterable[np.ndarray], firsts: Sequence[int]) -> Iterator[np.ndarray]:
    """The masks of all frames, each the mean of those up to two frames away, but not across a cut.

    Args:
        masks: float32 (h, w, R), one for each frame.
        firsts: the numbers of the frames that begin a shot, the first of them 0.
    """
    rest = iter(masks)
    for first, end in zip(firsts, [*firsts[1:], None], strict=True):
        shot = itertools.islice(rest, None if end is None else end - first)
        near: collections.deque[np.ndarray | None] = collections.deque([None] * len(_IN_TIME), len(_IN_TIME))
        for newest in itertools.chain(shot, [None] * (len(_IN_TIME) // 2)):
            near.append(newest)
            if near[len(_IN_TIME) // 2] is not None:
                known = [(weight, mask) for weight, mask in zip(_IN_TIME, near, strict=True) if mask is not None]
                yield sum(np.float32(weight) * mask for weight, mask in known) / np.float32(sum(weight for weight, _ in known))


class _Kept:
    """Some frames of the shot that runs, evenly spread, and the newest ones, before any of which a cut may be found."""

    def __init__(self) -> None:
        self.first, self.count = 0, 0
        self._spread: list[tuple[int, np.ndarray]] = []
        self._every = 1
        self._newest: collections.deque[np.ndarray] = collections.deque()

    def add(self, frame: np.ndarray) -> None:
        self.count += 1
        self._newest.append(frame)
        if len(self._newest) > WINDOW:
            self._spread_out(self.count - 1 - WINDOW, self._newest.popleft())

    def shot_before(self, cut: int) -> Shot:
        """The shot that ends where the frame `cut` begins another one."""
        while self.count - len(self._newest) < cut:
            self._spread_out(self.count - len(self._newest), self._newest.popleft())
        light = np.array([frame.mean((0, 1)) @ LUMA for _, frame in self._spread])
        whole = [each for each, own in zip(self._spread, light, strict=True) if own >= _FADED * np.median(light)]
        number = SAMPLES if len(whole) >= SAMPLES else 1
        numbers, samples = zip(*(whole[int((k + 0.5) * len(whole) / number)] for k in range(number)), strict=True)
        shot = Shot(self.first, cut - self.first, np.stack(samples), numbers)
        self.first, self._spread, self._every = cut, [], 1
        return shot

    def _spread_out(self, number: int, frame: np.ndarray) -> None:
        if (number - self.first) % self._every == 0:
            self._spread.append((number, frame))
        if len(self._spread) > _KEPT:
            self._spread, self._every = self._spread[::2], 2 * self._every
