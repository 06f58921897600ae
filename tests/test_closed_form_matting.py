"""The matting Laplacian against loops, its properties and the reference's figures; its preconditioner against dense solves."""

import re

import numpy as np
import pytest
import scipy.sparse
from conftest import golden_photo

import closed_form_matting
from closed_form_matting import MattingPreconditioner, factorized, matte, matting_form, matting_laplacian
from dpst.errors import UserError

HEIGHT, WIDTH = 6, 9


@pytest.fixture
def photo():
    return np.random.default_rng(0).random((HEIGHT, WIDTH, 3), np.float32)


def laplacian_by_loops(image, epsilon, radius):
    """Levin et al. 2008, eq. 12, window by window and pair by pair."""
    height, width, _ = image.shape
    pixel = np.arange(height * width).reshape(height, width)
    laplacian = np.zeros((height * width, height * width))
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
            colours, members = image[window].reshape(-1, 3).astype(np.float64), pixel[window].ravel()
            count, mean = len(members), colours.mean(axis=0)
            inverse = np.linalg.inv((colours - mean).T @ (colours - mean) / count + epsilon / count * np.eye(3))
            for i, first in enumerate(members):
                for j, second in enumerate(members):
                    affinity = (1 + (colours[i] - mean) @ inverse @ (colours[j] - mean)) / count
                    laplacian[first, second] += (i == j) - affinity
    return laplacian


@pytest.mark.parametrize(("epsilon", "radius"), [(1e-5, 1), (0.1, 1), (1e-3, 2)])
def test_agrees_with_loops_over_windows(photo, epsilon, radius):
    expected = laplacian_by_loops(photo, epsilon, radius)
    np.testing.assert_allclose(matting_laplacian(photo, epsilon, radius).toarray(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("epsilon", "radius"), [(1e-5, 1), (0.1, 1), (1e-3, 2)])
def test_the_form_needs_no_matrix(photo, epsilon, radius):
    values = np.random.default_rng(1).random((HEIGHT, WIDTH, 2))
    columns = values.reshape(-1, 2)
    expected = np.trace(columns.T @ laplacian_by_loops(photo, epsilon, radius) @ columns)
    assert matting_form(photo, values, epsilon, radius) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-7])
def test_agrees_with_the_reference(reference, epsilon):
    photo, expected = golden_photo("content.png"), reference[f"laplacian_eps_{epsilon:.0e}"]
    laplacian = matting_laplacian(photo, epsilon)
    height, width = photo.shape[:2]
    assert laplacian.nnz == expected["nnz"]
    assert laplacian.diagonal().sum() == pytest.approx(expected["trace"], rel=1e-9)
    assert scipy.sparse.linalg.norm(laplacian) == pytest.approx(expected["frobenius"], rel=1e-9)
    v = np.random.default_rng(5).random((height, width)).ravel()
    assert v @ (laplacian @ v) == pytest.approx(expected["quadratic_form_rng5"], rel=1e-9)
    for name, value in expected["entries"].items():
        y, x, y2, x2 = map(int, re.findall(r"\d+", name))
        assert laplacian[y * width + x, y2 * width + x2] == pytest.approx(value, rel=1e-9), name


def test_is_symmetric_positive_semi_definite_with_rows_that_sum_to_zero(photo):
    laplacian = matting_laplacian(photo).toarray()
    np.testing.assert_allclose(laplacian, laplacian.T, atol=1e-12)
    np.testing.assert_allclose(laplacian.sum(axis=1), 0, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(laplacian)
    assert eigenvalues.min() > -1e-10
    assert eigenvalues.max() > 1


def test_affine_functions_of_the_colours_are_near_its_null_space(photo):
    laplacian = matting_laplacian(photo, epsilon=1e-7)
    affine = (photo.astype(np.float64) @ [0.7, -0.4, 0.2] + 0.3).ravel()
    other = np.random.default_rng(1).permutation(affine)
    assert affine @ (laplacian @ affine) < 1e-6 * (other @ (laplacian @ other))


def test_more_epsilon_keeps_the_grain_of_flat_areas_from_being_amplified():
    photo = 0.5 + 1e-3 * np.random.default_rng(2).standard_normal((HEIGHT, WIDTH, 3))
    amplified = 20 * (photo - 0.5).sum(axis=2).ravel()
    little, much = (amplified @ (matting_laplacian(photo, epsilon) @ amplified) for epsilon in (1e-7, 1e-3))
    assert little < 0.1 * much


@pytest.mark.parametrize("windows", [1, 2 * WIDTH, 3 * WIDTH])
def test_chunks_of_windows_give_the_whole(photo, monkeypatch, windows):
    whole = matting_laplacian(photo)
    monkeypatch.setattr(closed_form_matting, "_CHUNK_WINDOWS", windows)
    np.testing.assert_allclose(matting_laplacian(photo).toarray(), whole.toarray(), rtol=1e-12, atol=1e-13)


def test_a_photo_of_one_window_is_enough_and_less_is_not(photo):
    assert matting_laplacian(photo[:3, :3]).shape == (9, 9)
    with pytest.raises(UserError, match=r"9x2 pixels, as it is solved, is narrower than a window of 3x3; use a wider one"):
        matting_laplacian(photo[:2])


SCALE, SHIFT = 0.3, 0.005


def system(photo):
    """The matrix of the preconditioner (H * W, H * W), dense."""
    return SCALE * matting_laplacian(photo).toarray() + SHIFT * np.eye(photo.shape[0] * photo.shape[1])


def as_matrix(preconditioner, size):
    """What the preconditioner does to one channel, dense; and the others must be left alone."""
    pixels = size[0] * size[1]
    columns = []
    for unit in np.eye(pixels):
        gradient = np.zeros((*size, 3))
        gradient[..., 1] = unit.reshape(size)
        result = preconditioner(gradient)
        assert result.shape == (*size, 3) and not result[..., [0, 2]].any()
        columns.append(result[..., 1].ravel())
    return np.stack(columns, axis=1)


def test_the_direct_preconditioner_is_the_inverse(photo):
    gradient = np.random.default_rng(3).standard_normal(photo.shape)
    expected = np.linalg.solve(system(photo), gradient.reshape(-1, 3)).reshape(photo.shape)
    solved = MattingPreconditioner(matting_laplacian(photo), photo.shape[:2], SCALE, SHIFT)(gradient)
    np.testing.assert_allclose(solved, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def linear_interpolation(fine):
    """From every other pixel to all (fine, coarse), dense; the last pixel of an even side repeats the one before."""
    coarse = np.arange(0, fine, 2)
    return np.stack([np.interp(np.arange(fine), coarse, unit) for unit in np.eye(len(coarse))], axis=1)


def multi_level(matrix, size, direct_pixels):
    """The preconditioner, dense: D^-1 + P M P' with M the same of the matrix P' A P on the coarser grid, exact at last."""
    if matrix.shape[0] <= direct_pixels:
        return np.linalg.inv(matrix)
    finer = np.kron(linear_interpolation(size[0]), linear_interpolation(size[1]))
    size = (size[0] + 1) // 2, (size[1] + 1) // 2
    return np.diag(1 / matrix.diagonal()) + finer @ multi_level(finer.T @ matrix @ finer, size, direct_pixels) @ finer.T


@pytest.mark.parametrize("size", [(9, 13), (8, 11)])
@pytest.mark.parametrize("direct_pixels", [40, 10])
def test_the_multi_level_preconditioner_is_its_formula_and_symmetric_positive_definite(size, direct_pixels):
    photo = np.random.default_rng(4).random((*size, 3), np.float32)
    inverse = as_matrix(MattingPreconditioner(matting_laplacian(photo), size, SCALE, SHIFT, direct_pixels), size)
    expected = multi_level(system(photo), size, direct_pixels)
    np.testing.assert_allclose(inverse, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.abs(inverse - inverse.T).max() < 1e-4 * np.abs(inverse).max()
    assert np.linalg.eigvalsh(inverse + inverse.T).min() > 0


# Masks


@pytest.mark.parametrize("trust", [0.0, 0.3])
def test_a_matte_is_the_least_of_its_form(photo, trust):
    """At the least, the gradient of m' L m + trust |m - drawn|^2 is 0 wherever m is free; known pixels are as drawn."""
    random = np.random.default_rng(2)
    known = random.random(HEIGHT * WIDTH) < 0.2
    drawn = random.dirichlet(np.ones(3), HEIGHT * WIDTH)
    found = matte(matting_laplacian(photo), known, drawn, trust)
    np.testing.assert_array_equal(found[known], drawn[known])
    gradient = laplacian_by_loops(photo, 1e-5, 1) @ found + trust * (found - drawn)
    np.testing.assert_allclose(gradient[~known], 0, atol=1e-7)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-7)


def test_a_matte_of_known_pixels_alone_is_what_was_drawn(photo):
    drawn = np.random.default_rng(0).random((HEIGHT * WIDTH, 2))
    np.testing.assert_array_equal(matte(matting_laplacian(photo), np.ones(HEIGHT * WIDTH, bool), drawn), drawn)


def test_a_large_matte_is_solved_in_pieces_that_do_not_hold_a_stop_up(monkeypatch):
    random, sizes = np.random.default_rng(3), []
    photo, known = random.random((20, WIDTH, 3), np.float32), random.random(20 * WIDTH) < 0.2
    drawn = np.pad(random.dirichlet(np.ones(3), 20 * WIDTH), ((0, 0), (0, 1)))  # one of the masks is empty

    def recorded(matrix):
        sizes.append(matrix.shape[0])
        return factorized(matrix)

    monkeypatch.setattr(closed_form_matting, "factorized", recorded)
    monkeypatch.setattr(closed_form_matting, "_PIECE", 4 * WIDTH)
    monkeypatch.setattr(closed_form_matting, "_SHARED_ROWS", 2)
    found = matte(matting_laplacian(photo), known, drawn, 0.01)
    rows = laplacian_by_loops(photo, 1e-5, 1)[~known]
    right = 0.01 * drawn[~known] - rows[:, known] @ drawn[known]
    exact = np.linalg.solve(rows[:, ~known] + 0.01 * np.eye(len(rows)), right)
    assert len(sizes) == 4 and max(sizes) < 10 * WIDTH
    np.testing.assert_allclose(found[~known], exact, atol=2e-3)
    np.testing.assert_array_equal(found[known], drawn[known])
