import numpy as np
import pytest
from conftest import DATA
from PIL import Image
from scipy.ndimage import map_coordinates

from dpst.imaging.smoothing import smooth_local_affine
from dpst.solver.carrying import _applied, apply_maps, carry, confine_maps, fit_maps


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
    smoothed = smooth_local_affine(content, 1 - content, edge=1e-30)
    for y, x in [(0, 0), (5, 6), (10, 13), (1, 12)]:
        alone = least_squares(content, 1 - content, y, x, 1, 1e-3) @ [*content[y, x], 1]
        np.testing.assert_allclose(smoothed[y, x], alone, atol=1e-4)


@pytest.fixture
def large():
    """A photo eight times as large as the one it is restyled at: a dark and a bright side, the edge inside a small pixel."""
    photo = np.full((72, 104, 3), 0.25, np.float32)
    photo[:, 54:] = 0.75
    return photo + np.random.default_rng(4).normal(0, 0.01, photo.shape).astype(np.float32)


def shrink(image, factor=8):
    return image.reshape(image.shape[0] // factor, factor, -1, factor, 3).mean((1, 3))


def test_maps_are_the_weighted_mean_of_ridge_regressions_of_the_change(content):
    stylized = np.random.default_rng(5).random(content.shape, np.float32)
    expected = np.zeros((3, 4))
    for v, u in np.ndindex(3, 3):
        window = content[5 + v - 1 : 5 + v + 2, 6 + u - 1 : 6 + u + 2].reshape(9, 3)
        ridge = 2e-3**2 / (2e-3 + window.var(0).sum())
        weight = (2 - abs(v - 1)) * (2 - abs(u - 1)) / 16
        expected += weight * least_squares(content, stylized - content, 5 + v, 6 + u, 1, 9 * ridge)
    np.testing.assert_allclose(fit_maps(content, stylized)[6, 7], expected, rtol=1e-4, atol=1e-5)


def test_maps_are_interpolated_bilinearly_between_pixel_centres(content):
    maps = np.random.default_rng(6).normal(0, 0.1, (5, 4, 3, 4)).astype(np.float32)
    y, x = np.meshgrid((np.arange(11) + 0.5) * 5 / 11 - 0.5, (np.arange(14) + 0.5) * 4 / 14 - 0.5, indexing="ij")
    at = np.stack(
        [map_coordinates(plane, [y, x], order=1, mode="nearest") for plane in maps.reshape(20, 12).T.reshape(12, 5, 4)], -1
    )
    at = at.reshape(11, 14, 3, 4)
    expected = np.clip(content + np.einsum("hwij,hwj->hwi", at[..., :3], content) + at[..., 3], 0, 1)
    np.testing.assert_allclose(apply_maps(maps, content, 0, 11), expected, atol=1e-5)


def test_a_photo_that_was_not_changed_comes_back_to_the_last_bit(large):
    small = shrink(large)
    np.testing.assert_array_equal(carry(small, small, large), large)


def test_strips_of_rows_give_the_whole(large):
    maps = fit_maps(shrink(large), 1 - shrink(large))
    strips = [apply_maps(maps, large[row : row + 5], row, len(large)) for row in range(0, len(large), 5)]
    np.testing.assert_array_equal(np.concatenate(strips), apply_maps(maps, large, 0, len(large)))
    np.testing.assert_array_equal(carry(shrink(large), 1 - shrink(large), large), np.concatenate(strips))


def strips_of(image, rows):
    return lambda: (image[row : row + rows] for row in range(0, len(image), rows))


def test_maps_that_keep_to_the_range_are_left_as_they_are(large):
    maps = fit_maps(shrink(large), 0.5 * shrink(large) + 0.1)
    assert confine_maps(maps, strips_of(large, 64), len(large)) is maps


def test_confined_maps_take_little_out_of_the_range_and_change_little_else(large):
    small, height = shrink(large), len(large)
    maps = fit_maps(small, np.clip(2 * small - 0.6, 0, 1))
    confined = confine_maps(maps, strips_of(large, 64), height)
    before, after = (_applied(found, large, np.arange(height), height) for found in (maps, confined))
    beyond = [np.abs(image - np.clip(image, 0, 1)).mean() for image in (before, after)]
    assert beyond[0] > 0.001 and beyond[1] < 0.4 * beyond[0]
    assert np.abs(np.clip(before, 0, 1) - np.clip(after, 0, 1)).mean() < 0.01


def test_confined_maps_are_the_same_whatever_the_strips(large):
    maps = fit_maps(shrink(large), np.clip(2 * shrink(large) - 0.6, 0, 1))
    some, others = (confine_maps(maps, strips_of(large, rows), len(large)) for rows in (5, 64))
    np.testing.assert_allclose(some, others, atol=1e-4)


def test_strength_blends_from_the_photo_to_the_result(large):
    small = shrink(large)
    result = carry(small, small * 0.5 + 0.1, large)
    np.testing.assert_array_equal(carry(small, small * 0.5 + 0.1, large, strength=0), large)
    np.testing.assert_allclose(carry(small, small * 0.5 + 0.1, large, strength=0.5), (large + result) / 2, atol=1e-6)


def test_carrying_keeps_a_recolouring_of_the_whole_image(content):
    large = content.repeat(3, 0).repeat(3, 1)
    matrix = np.array([[0.5, 0.2, 0.1], [0.1, 0.6, 0.2], [0, -0.1, 0.5]], np.float32)
    recoloured = carry(content, content @ matrix + np.float32(0.1), large)
    np.testing.assert_allclose(recoloured, large @ matrix + np.float32(0.1), atol=0.004)


def test_carrying_leaves_no_glow_along_an_edge_and_keeps_the_grain(large):
    colours = np.array([[0.1, 0.1, 0.2], [0.9, 0.6, 0.4]], np.float32)
    expected = colours[(np.arange(104) >= 54).astype(int)]
    carried = carry(shrink(large), shrink(np.broadcast_to(expected, large.shape)), large)
    assert np.abs(carried.mean(0) - expected).max() < 0.02  # 0.005 of it is the grain
    flat = np.s_[:, :24]
    assert carried[flat].std((0, 1)) == pytest.approx(large[flat].std((0, 1)), rel=0.02)


def test_carrying_to_a_smaller_size_gives_the_smaller_result(content):
    large = content.repeat(8, 0).repeat(8, 1)
    np.testing.assert_allclose(carry(large, 1 - large, content), 1 - content, atol=0.02)


def test_results_stay_within_the_range_of_an_image(content):
    carried = carry(content, 3 * content - 1, content)
    assert carried.min() == 0 and carried.max() == 1 and carried.dtype == np.float32
