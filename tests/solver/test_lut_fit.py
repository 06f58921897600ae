"""A LUT fitted to a photo and its result: near where the photo has colours, calm where it has none, never upside down."""

import numpy as np
import pytest

from dpst.files.luts import Lut
from dpst.imaging.ciede2000 import ciede2000
from dpst.imaging.colours import cielab
from dpst.solver.lut_fit import fit_lut, fit_of

GREY = np.arange(17)


def photo(seed=0, shape=(40, 30)):
    """Every colour of the cube, at random."""
    return np.random.default_rng(seed).random((*shape, 3), dtype=np.float32)


@pytest.mark.parametrize("size", [17, 33])
def test_no_change_gives_the_identity(size):
    content = photo() ** 2
    fitted = fit_lut(content, content, size)
    assert np.abs(fitted.table - Lut.identity(size).table).max() < 1 / 1023


def test_a_constant_change_goes_on_everywhere():
    content = 0.4 + 0.2 * photo()
    fitted = fit_lut(content, content + np.float32((0.1, -0.05, 0)), 17)
    expected = np.clip(Lut.identity(17).table + np.float32((0.1, -0.05, 0)), 0, 1)
    np.testing.assert_allclose(fitted.table, expected, atol=1e-4)


def test_a_smooth_look_is_found():
    content = photo(shape=(120, 110))
    mix = np.float32([(0.8, 0.2, 0), (0, 0.9, 0), (0.1, 0, 0.6)])
    fitted = fit_lut(content, 0.05 + (content @ mix) ** np.float32(1.2), 17)
    other = photo(seed=1)
    expected = 0.05 + (other @ mix) ** np.float32(1.2)
    assert np.abs(fitted(other) - expected).mean() < 0.015 < 0.1 < np.abs(other - expected).mean()


@pytest.mark.parametrize("size", [17, 33])
def test_greys_never_fall_even_where_the_result_inverts_them(size):
    content = photo()
    fitted = fit_lut(content, 1 - content, size)
    greys = fitted.table[np.arange(size), np.arange(size), np.arange(size)]
    assert (np.diff(greys, axis=0) >= 0).all()
    ramp = np.linspace(0, 1, 1001, dtype=np.float32)[:, None].repeat(3, 1)
    assert (np.diff(fitted(ramp), axis=0) >= -1e-6).all()


def test_greys_that_rise_are_left_alone():
    content = photo(shape=(100, 90))
    result = content**2
    fitted = fit_lut(content, result, 17)
    greys = fitted.table[GREY, GREY, GREY]
    np.testing.assert_allclose(greys[1:-1], (GREY[1:-1, None] / 16) ** 2 * np.ones(3), atol=0.06)


def test_only_pixels_of_the_region_count():
    content = photo(shape=(60, 40))
    mask = np.zeros((60, 40), np.float32)
    mask[:30] = 1
    result = np.where(mask[..., None] > 0, content * 0.5, 1 - content)
    fitted = fit_lut(content, result, 17, mask)
    half = fit_lut(content[:30], result[:30], 17)
    np.testing.assert_allclose(fitted.table, half.table, atol=1e-4)


def test_a_table_stays_within_colours():
    content = photo()
    table = fit_lut(content, np.round(content), 17).table
    assert table.min() >= 0 and table.max() <= 1


def test_fit_is_measured_in_ciede2000():
    content, result = photo(), photo(seed=1)
    difference = ciede2000(cielab(content.reshape(-1, 3), 1.0), cielab(result.reshape(-1, 3), 1.0))
    fit = fit_of(Lut.identity(17), content, result)
    assert fit.mean == pytest.approx(difference.mean(), rel=1e-4)
    assert fit.percentile95 == pytest.approx(np.percentile(difference, 95), rel=1e-2)
    assert str(fit) == f"CIEDE2000 to the result {difference.mean():.1f} on average, 95th percentile {fit.percentile95:.1f}"


def test_fit_of_a_region_looks_at_it_alone():
    content, result = photo(), photo(seed=1)
    mask = np.zeros(content.shape[:2], np.float32)
    mask[10:20] = 1
    inside = fit_of(Lut.identity(17), content[10:20], result[10:20])
    assert fit_of(Lut.identity(17), content, result, mask) == pytest.approx(inside)
