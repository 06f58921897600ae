"""Colours that LUTs are made for, held to published values."""

import numpy as np
import pytest

from dpst.errors import UserError
from dpst.files.lut_profiles import from_srgb, to_srgb
from dpst.files.luts import Lut

# sRGB's primaries and white in Adobe RGB (1998), in levels of 8 bits, as photo editors show them.
ADOBE = {(255, 0, 0): (219, 0, 0), (0, 255, 0): (144, 255, 60), (0, 0, 255): (0, 0, 250), (255, 255, 255): (255, 255, 255)}


def test_adobe_rgb():
    colours = np.float32(list(ADOBE)) / 255
    np.testing.assert_allclose(255 * from_srgb(colours, "adobe-rgb"), list(ADOBE.values()), atol=0.51)


def test_rec709_is_a_power_of_what_srgb_means():
    # 0.5 of sRGB is 0.21404 of white's light, and 0.21404^(1/2.4) is 0.52611.
    np.testing.assert_allclose(from_srgb(np.float32([[0.5, 0, 1]]), "rec709"), [[0.52611, 0, 1]], atol=1e-4)


@pytest.mark.parametrize("profile", ["srgb", "adobe-rgb", "rec709"])
def test_there_and_back(profile):
    colours = np.random.default_rng(0).random((50, 3), dtype=np.float32)
    np.testing.assert_allclose(to_srgb(from_srgb(colours, profile), profile), colours, atol=2e-5)
    greys = np.repeat(np.linspace(0, 1, 50, dtype=np.float32)[:, None], 3, 1)
    assert np.ptp(from_srgb(greys, profile), -1).max() < 1e-5


def test_colours_that_srgb_does_not_hold_are_cut_off():
    np.testing.assert_allclose(to_srgb(np.float32([[0, 1, 0], [1.5, -1, 0.0]]), "adobe-rgb"), [[0, 1, 0], [1, 0, 0]], atol=0.001)


def test_a_lut_looks_up_the_colours_that_it_was_made_for(tmp_path):
    path = str(tmp_path / "a.cube")
    # Adobe RGB's red halved, and green and blue left out: of sRGB's white only 0.5 of Adobe RGB's red is left.
    Lut(np.float32([(0, 0, 0), (0.5, 0, 0)])).write(path)
    found = Lut.read(path, "adobe-rgb")(np.ones((1, 3), np.float32))
    # 0.5^(563/256) is 0.21776 of light; of red alone, sRGB has 1.39836 times as much: 0.30450, which is 0.58781 of its curve.
    np.testing.assert_allclose(found, [[0.58781, 0, 0]], atol=2e-4)


def test_the_file_holds_the_table_whatever_its_profile(tmp_path):
    lut = Lut(np.random.default_rng(0).random((64, 64, 64, 3), dtype=np.float32), profile="rec709")
    for name in ("a.cube", "a.png"):
        lut.write(str(tmp_path / name))
        np.testing.assert_allclose(Lut.read(str(tmp_path / name)).table, lut.table, atol=1e-5)


def test_an_unknown_profile_is_refused():
    with pytest.raises(UserError, match=r"^LUT profile p3 is unknown; use one of srgb, adobe-rgb, rec709$"):
        Lut(np.zeros((2, 3), np.float32), profile="p3")
