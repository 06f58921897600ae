"""Where the shots of a film begin: the frames whose colours are suddenly others, and stay so.

A cut between shots of the same colours is not found, and need not be: a look depends on colours alone.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator

import numpy as np

from dpst.imaging.colours import LUMA

# Bins of the histograms of luma, and of each of two axes of chroma.
_LUMA_BINS, _CHROMA_BINS = 32, 12
# Frames on each side of a cut that are compared; it is the shortest shot, too. A flash is shorter.
WINDOW = 4
# Share of the pixels, 0..1, that must have changed their colours. A cut that is missed for that costs little: both shots have
# nearly the same colours. And how many times as much as the most between other frames nearby, and as the usual there.
_MIN_CHANGE, _OF_MOST, _OF_USUAL = 0.15, 2.0, 3.0
# Histograms are blurred, so that a little more light is a little change.
_BLUR = np.array([1, 4, 6, 4, 1]) / 16


def find_cuts(frames: Iterable[np.ndarray]) -> Iterator[int]:
    """The numbers of the frames that begin a shot, but for the first, as soon as `WINDOW` more frames are known.

    A cut is a step between two frames that is twice any other nearby and three times the usual one there, as in a pan or a fade
    they are alike; and after which the middle histogram of the next frames differs from that of the frames before, as after a
    flash it does not.

    Args:
        frames: uint8 (h, w, 3), small.
    """
    near: collections.deque[np.ndarray] = collections.deque(maxlen=2 * WINDOW)  # features of the newest frames
    steps: collections.deque[float] = collections.deque([0.0], maxlen=2 * WINDOW)  # to each of them from the one before
    number, start = -1, 0
    for number, frame in enumerate(frames):
        features = _features(frame)
        if near:
            steps.append(_distance(near[-1], features))
        near.append(features)
        candidate = number + 1 - WINDOW
        if candidate >= start + WINDOW and _is_cut(near, steps, len(near) - WINDOW):
            start = candidate
            yield candidate
    for candidate in range(max(number + 2 - WINDOW, start + WINDOW), number + 1):  # with fewer frames behind it
        if _is_cut(near, steps, len(near) - 1 - number + candidate):
            start = candidate
            yield candidate
            return


def _is_cut(near: collections.deque[np.ndarray], steps: collections.deque[float], place: int) -> bool:
    """Whether a shot begins at a place among the newest frames."""
    step, known, behind = steps[place], list(steps), list(near)
    others = [*known[max(0, place - WINDOW + 1) : place], *known[place + 1 :]]
    if step < max(_MIN_CHANGE, _OF_MOST * max(others, default=0), _OF_USUAL * float(np.median(others or [0]))):
        return False
    before, after = behind[max(0, place - WINDOW) : place], behind[place:]
    return _distance(np.median(before, 0), np.median(after, 0)) >= _MIN_CHANGE


def _features(frame: np.ndarray) -> np.ndarray:
    """Histograms of luma and of chroma, blurred, each of sum 1."""
    colours = frame.reshape(-1, 3).astype(np.float32) / np.float32(255)
    luma = colours @ LUMA
    light = np.bincount(np.minimum(luma * _LUMA_BINS, _LUMA_BINS - 1).astype(int), minlength=_LUMA_BINS)
    red, blue = ((colours[:, channel] - luma) * 0.5 + 0.5 for channel in (0, 2))
    bins = [np.clip(each * _CHROMA_BINS, 0, _CHROMA_BINS - 1).astype(int) for each in (red, blue)]
    chroma = np.bincount(bins[0] * _CHROMA_BINS + bins[1], minlength=_CHROMA_BINS**2).reshape(_CHROMA_BINS, _CHROMA_BINS)
    light, chroma = _blurred(light), _blurred(_blurred(chroma).T)
    return np.concatenate([light, chroma.ravel()]).astype(np.float32) / len(colours)


def _blurred(histogram: np.ndarray) -> np.ndarray:
    """Blurred along its last axis; nothing leaves at the ends."""
    padded = np.pad(histogram, [(0, 0)] * (histogram.ndim - 1) + [(2, 2)], mode="symmetric")
    return sum(weight * padded[..., k : k + histogram.shape[-1]] for k, weight in enumerate(_BLUR))


def _distance(features: np.ndarray, others: np.ndarray) -> float:
    """Share of the pixels, 0..1, whose luma or chroma is another: the larger of both."""
    change = np.abs(features - others) / 2
    return float(max(change[:_LUMA_BINS].sum(), change[_LUMA_BINS:].sum()))
