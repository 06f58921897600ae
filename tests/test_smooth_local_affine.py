from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smooth_local_affine import fit, smooth_local_affine

DATA = Path(__file__).parent / "data"


def read(name):
    return np.asarray(Image.open(DATA / name).convert("RGB"), np.float32) / 255


@pytest.fixture
def content():
    return np.random.default_rng(0).random((11, 14, 3), np.float32)


def least_squares(content, target, y, x, radius, ridge):
    """The map of one pixel from the normal matrix with the constant in it: another way to the same figures."""
    rows, columns = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
    inputs = content[rows, columns].reshape(-1, 3).astype(np.float64)
    inputs = np.hstack([inputs, np.ones((len(inputs), 1))])
    outputs = target[rows, columns].reshape(-1, 3)
    return np.linalg.solve(inputs.T @ inputs + ridge * np.diag([1, 1, 1, 0]), inputs.T @ outputs).T


@pytest.mark.parametrize("name", ["radius3_edge0.1", "radius15_edge0.1", "radius15_edge0.01", "radius7_edge0.05"])
def test_agrees_with_the_reference(name):
    # the file keeps the reference's planes, one channel after the other, under the shape (height, width, 3)
    stored = np.load(DATA / "smooth_local_affine.npz")[name]
    expected = stored.reshape(3, *stored.shape[:2]).transpose(1, 2, 0)
    radius, edge = name.removeprefix("radius").split("_edge")
    smoothed = smooth_local_affine(read("content.png"), read("init.png"), int(radius), float(edge))
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, expected, atol=1e-4)


def test_fit_is_the_least_squares_map_of_each_window(content):
    target = np.random.default_rng(1).random(content.shape, np.float32)
    maps = fit(content, target, radius=2, ridge=0.01)
    for y, x in [(0, 0), (5, 6), (10, 13), (1, 12)]:
        np.testing.assert_allclose(maps[y, x], least_squares(content, target, y, x, 2, 0.01), atol=1e-5)


def test_smoothing_agrees_with_loops_over_pixels_and_windows():
    random = np.random.default_rng(2)
    content, stylized = random.random((2, 7, 9, 3), np.float32)
    radius, edge = 2, 0.3
    expected = np.zeros_like(content)
    for y, x in np.ndindex(7, 9):
        total, weights = np.zeros((3, 4)), 0.0
        for v, u in np.ndindex(7, 9):
            if max(abs(v - y), abs(u - x)) <= radius:
                unlike = np.mean((content[v, u] - content[y, x]) ** 2)
                distance = (v - y) ** 2 + (u - x) ** 2
                weight = np.exp(-distance / (2 * (radius / 3) ** 2) - unlike / (2 * edge**2))
                total += weight * least_squares(content, stylized, v, u, 1, 1e-3)
                weights += weight
        expected[y, x] = total / weights @ [*content[y, x], 1]
    np.testing.assert_allclose(smooth_local_affine(content, stylized, radius, edge), expected, atol=1e-5)


def test_keeps_the_identity(content):
    np.testing.assert_allclose(smooth_local_affine(content, content, radius=4), content, atol=0.01)


def test_keeps_a_recolouring_of_the_whole_image(content):
    recoloured = content @ np.array([[0.5, 0.2, 0.1], [0.1, 0.6, 0.2], [0, -0.1, 0.7]], np.float32) + np.float32(0.1)
    np.testing.assert_allclose(smooth_local_affine(content, recoloured, radius=4), recoloured, atol=0.01)


def test_takes_out_speckles_and_keeps_edges():
    content = np.full((20, 24, 3), 0.2, np.float32)
    content[:, 12:] = 0.8
    stylized = 1 - content + np.random.default_rng(3).normal(0, 0.05, content.shape).astype(np.float32)
    smoothed = smooth_local_affine(content, stylized, radius=6, edge=0.1)
    assert np.abs(smoothed - (1 - content)).mean() < 0.3 * np.abs(stylized - (1 - content)).mean()
    assert np.all(smoothed[:, 11] > 0.7) and np.all(smoothed[:, 12] < 0.3)


def test_the_smallest_edge_averages_nothing_unlike(content):
    maps = fit(content, 1 - content)
    alone = np.einsum("hwij,hwj->hwi", maps[..., :3], content) + maps[..., 3]
    np.testing.assert_allclose(smooth_local_affine(content, 1 - content, edge=1e-9), alone, atol=1e-4)
