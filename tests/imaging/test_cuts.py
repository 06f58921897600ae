"""Cuts of films whose cuts are known."""

import numpy as np
import pytest

from dpst.imaging.cuts import find_cuts
from dpst.imaging.shots import SAMPLES, find_shots, smoothed_in_time, tiled, without_bars


def shot(base, count, seed=0, noise=5):
    """A moving, noisy picture of a few colours around one."""
    random = np.random.default_rng(seed)
    across = np.linspace(0, 9, 48 + 2 * count)
    waves = [np.sin(across + k)[None] * np.cos(np.linspace(0, 3, 36) + k)[:, None] for k in range(3)]
    picture = np.array(base) + 60 * np.stack(waves, -1)
    frames = [picture[:, 2 * k : 2 * k + 48] + random.normal(0, noise, (36, 48, 3)) for k in range(count)]
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]


BASES = [(90, 110, 160), (170, 120, 80), (60, 140, 70), (150, 150, 150), (40, 45, 70)]


@pytest.mark.parametrize("lengths", [(30, 12, 5, 40, 9), (6, 6, 6, 6, 6), (50,), (3,), (20, 4)])
def test_cuts_are_found_exactly(lengths):
    frames = [frame for base, length in zip(BASES, lengths, strict=False) for frame in shot(base, length, length)]
    assert list(find_cuts(frames)) == list(np.cumsum(lengths)[:-1])


def test_a_pan_a_fade_a_dissolve_and_a_flash_are_no_cuts():
    one, other = shot(BASES[0], 40), shot(BASES[1], 40, 1)
    fade = [np.uint8(frame * max(0, 1 - k / 25)) for k, frame in enumerate(one)]
    dissolve = [np.uint8(a * (1 - k / 39) + b * (k / 39)) for k, (a, b) in enumerate(zip(one, other, strict=True))]
    flash = [*one[:20], np.full_like(one[0], 250), *one[21:]]
    for frames in (one, fade, fade[::-1], dissolve, flash):
        assert list(find_cuts(frames)) == []


def test_shots_begin_at_the_cuts_and_their_samples_are_of_their_own_frames():
    frames = [frame for base in BASES[:3] for frame in shot(base, 30, noise=0)]
    for frame, number in zip(frames, range(90), strict=True):
        frame[0, 0] = number
    shots = list(find_shots(frames))
    assert [(shot.first, shot.length) for shot in shots] == [(0, 30), (30, 30), (60, 30)]
    for found in shots:
        numbers = found.samples[:, 0, 0, 0].astype(int)
        assert len(numbers) == SAMPLES and (np.diff(numbers) > 3).all() and found.numbers == tuple(numbers)
        assert found.first <= numbers.min() and numbers.max() < found.first + found.length and found.cuts == 0
    (whole,) = find_shots(frames, with_cuts=False)
    assert (whole.first, whole.length, whole.cuts) == (0, 90, 2)


def test_a_film_of_any_length_keeps_few_frames():
    frames = ((np.full((4, 6, 3), number % 200, np.uint8)) for number in range(3000))
    (found,) = find_shots(frames, with_cuts=False)
    assert (found.length, found.samples.shape) == (3000, (SAMPLES, 4, 6, 3))
    assert list(find_shots([])) == []


def test_faded_frames_do_not_stand_for_a_shot():
    frames = [np.uint8(frame * (1 if k < 24 else 0.1)) for k, frame in enumerate(shot(BASES[3], 40))]
    (found,) = find_shots(frames, with_cuts=False)
    assert found.samples.mean((1, 2, 3)).min() > 100


def test_masks_are_means_over_time_within_a_shot():
    masks = np.random.default_rng(0).random((9, 2, 3, 2), np.float32)
    shots = [range(0, 1), range(1, 4), range(4, 9)]
    smoothed = list(smoothed_in_time(iter(masks), [shot.start for shot in shots]))
    for number, found in enumerate(smoothed):
        shot = next(shot for shot in shots if number in shot)
        weights = np.array([{0: 6, 1: 4, 2: 1}.get(abs(other - number), 0) * (other in shot) for other in range(9)])
        np.testing.assert_allclose(found, np.tensordot(weights / weights.sum(), masks, 1), rtol=1e-5)
    assert len(smoothed) == 9


def test_samples_are_tiled_and_lose_their_bars():
    samples = np.zeros((4, 10, 12, 3), np.uint8)
    samples[:, 2:8] = np.arange(1, 5)[:, None, None, None] * 40
    inner = without_bars(samples)
    assert inner.shape == (4, 6, 12, 3)
    np.testing.assert_array_equal(tiled(inner)[[0, 0, -1, -1], [0, -1, 0, -1], 0], [40, 80, 120, 160])
    assert without_bars(np.zeros_like(samples)).shape == samples.shape  # all black
