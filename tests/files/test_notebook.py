"""What a notebook and the prompt show of photos, LUTs and results."""

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import golden_photo
from PIL import Image

import photo_style
from dpst.files.notebook import colour_chart
from photo_style import Lut, Photo, Result


def shown(thing):
    """The levels of the PNG that a notebook gets."""
    with Image.open(io.BytesIO(thing._repr_png_())) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        return np.asarray(picture)


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (Photo(np.zeros((30, 40, 3), np.uint8)), "<Photo 40x30, 8 bits>"),
        (Photo(np.zeros((30, 40, 4), np.uint16), profile=b"x"), "<Photo 40x30, 16 bits, alpha, a colour profile of its own>"),
        (Lut.identity(17), "<Lut, 17 nodes a side, srgb>"),
        (Lut(np.zeros((5, 3)), title="Warm", profile="rec709"), "<Lut 'Warm', three curves of 5 nodes, rec709>"),
        (Result(np.zeros((30, 40, 3)), np.zeros((30, 40, 3))), "<Result 40x30>"),
        (
            Result(
                np.zeros((30, 40, 3)),
                np.zeros((30, 40, 3)),
                features="learned from the two photos",
                masks={"sky": np.zeros((30, 40)), "water": np.zeros((30, 40))},
                looks={0.0: None, 1.5: None},
            ),
            "<Result 40x30; realism 0, 1.5; regions sky, water; features learned from the two photos>",
        ),
    ],
)
def test_reprs_are_short(thing, text):
    assert repr(thing) == str(thing) == text


def test_a_notebook_shows_photos_and_results():
    picture = golden_photo("content.png")
    levels = np.rint(255 * picture).astype(np.uint8)
    np.testing.assert_array_equal(shown(Photo(levels)), levels)
    np.testing.assert_array_equal(shown(Result(picture * 2 - 0.5, picture)), np.rint(255 * np.clip(picture * 2 - 0.5, 0, 1)))
    assert shown(Photo(np.zeros((400, 2000, 3), np.uint16))).shape == (128, 640, 3)


def test_a_notebook_shows_a_lut_below_the_colours_that_it_takes():
    inverted = Lut(1 - Lut.identity(2).table)
    picture = shown(inverted).astype(int)
    height = len(colour_chart())
    before, after = picture[:height], picture[-height:]
    assert np.abs(255 - before - after).max() <= 1
    corners = {tuple(colour) for row in before[[0, -20, -1]] for colour in row[[0, -1]]}
    assert (255, 255, 255) in corners and (0, 0, 0) in corners
    middle = before[(height - 16) // 2 - 1]
    for colour in np.eye(3):  # pure red, green and blue, or nearly
        assert np.abs(middle - 255 * colour).sum(axis=1).min() < 20


def test_the_version_is_that_which_is_cited():
    citation = (Path(__file__).parents[2] / "CITATION.cff").read_text()
    assert f"\nversion: {photo_style.__version__}\n" in citation
