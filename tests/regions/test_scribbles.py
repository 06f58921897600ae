"""From strokes to whole regions: what counts as a stroke, and where the regions end."""

import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dpst.errors import UserError
from dpst.options import Options
from dpst.regions.preview import preview
from dpst.regions.reading import read_regions
from dpst.regions.scribbles import Strokes, complete, find_strokes, touching

SIZE = (48, 70)
BLUE, RED, GREEN = (0, 0, 255), (255, 0, 0), (0, 255, 0)


def scene(edge=28, size=SIZE):
    """A photo of two sides, dark and light, each with a shading and a grain of its own."""
    random = np.random.default_rng(0)
    photo = np.empty((*size, 3), np.float32)
    photo[:, :edge], photo[:, edge:] = (0.2, 0.3, 0.4), (0.8, 0.7, 0.5)
    photo += np.linspace(0, 0.1, size[0], dtype=np.float32)[:, None, None]
    return np.clip(photo + 0.01 * random.standard_normal(photo.shape), 0, 1).astype(np.float32)


def layer(*lines, size=SIZE, width=3, background=None, samples=1):
    """Lines (colour, x, y, x, y) on a transparent layer or an opaque background, anti-aliased if drawn `samples` times larger."""
    large = size[1] * samples, size[0] * samples
    image = Image.new("RGB", large, background) if background else Image.new("RGBA", large, (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for colour, *ends in lines:
        draw.line([end * samples for end in ends], fill=colour, width=width * samples)
    return np.array(image.resize(size[::-1], Image.Resampling.BOX))


TWO = layer((BLUE, 8, 6, 14, 40), (RED, 50, 40, 60, 8))


@pytest.fixture
def regions_of(tmp_path):
    """Writes two masks and reads their regions for two photos."""

    def read(content_mask, style_mask, content=None, style=None, **options):
        paths = []
        for name, mask in (("content", content_mask), ("style", style_mask)):
            paths.append(str(tmp_path / f"{name}.png"))
            Image.fromarray(mask).save(paths[-1])
        content, style = (scene() if photo is None else photo for photo in (content, style))
        return read_regions(*paths, content, style, Options(**options))

    return read


# The solve


def test_regions_end_at_the_edge_of_the_photo_wherever_the_strokes_are():
    for edge in (20, 28, 45):
        index = np.full(SIZE, -1, np.int8)
        index[5:40, 3:6], index[20:23, 55:66] = 0, 1
        masks = complete(scene(edge), Strokes(index, 2))
        np.testing.assert_array_equal(masks.argmax(axis=-1), np.broadcast_to(np.arange(SIZE[1]) >= edge, SIZE))


def test_every_pixel_ends_in_a_class_and_every_stroke_in_its_own():
    random = np.random.default_rng(1)
    photo = random.random((*SIZE, 3), np.float32)  # nothing to go by
    index = np.where(random.random(SIZE) < 0.03, random.integers(0, 3, SIZE), -1).astype(np.int8)
    masks = complete(photo, Strokes(index, 3))
    assert masks.dtype == np.float32 and masks.shape == (*SIZE, 3)
    assert masks.min() >= 0
    np.testing.assert_allclose(masks.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(masks[index >= 0], np.eye(3)[index[index >= 0]])


def test_regions_are_soft_where_the_photo_mixes_both_sides():
    """A blend of two colours over nine pixels, as of hair before a wall: the masks are that blend."""
    blend = np.clip((np.arange(SIZE[1]) - 30) / 9, 0, 1).astype(np.float32)
    photo = np.broadcast_to((1 - blend)[:, None] * (0.1, 0.2, 0.3) + blend[:, None] * (0.9, 0.8, 0.4), (*SIZE, 3))
    index = np.full(SIZE, -1, np.int8)
    index[:, 10:13], index[:, 55:58] = 0, 1
    masks = complete(photo.astype(np.float32), Strokes(index, 2))
    assert np.abs(masks[..., 1] - blend).mean() < 0.02
    assert ((masks[:, 32:37, 1] > 0.05) & (masks[:, 32:37, 1] < 0.95)).all()


def test_a_region_apart_from_its_strokes_joins_what_surrounds_it():
    """Levin's constraints are local: a class reaches no pixel that others shut it off from."""
    photo = scene()
    photo[20:26, 50:56] = (0.2, 0.3, 0.4)  # as dark as the left side, in the middle of the right one
    index = np.full(SIZE, -1, np.int8)
    index[5:40, 8:11], index[16:30, 46:49], index[16:30, 57:60] = 0, 1, 1
    index[16:18, 46:60] = index[28:30, 46:60] = 1
    assert (complete(photo, Strokes(index, 2))[20:26, 50:56].argmax(axis=-1) == 1).all()


def test_a_large_photo_is_solved_small_with_edges_to_the_pixel():
    size, edge = (420, 640), 251
    photo = scene(edge, size)
    index = np.full(size, -1, np.int8)
    index[40:380, 60:64], index[200:204, 400:600] = 0, 1
    masks = complete(photo, Strokes(index, 2))
    wrong = masks.argmax(axis=-1) != (np.arange(size[1]) >= edge)
    assert wrong.mean() < 1e-3
    assert ((masks > 0.05) & (masks < 0.95)).any(axis=-1).mean() < 0.02


@pytest.mark.parametrize("size", [(3, 3), (2, 40), (400, 1)])
def test_photos_narrower_than_a_window_are_completed_too(size):
    index = np.full(size, -1, np.int8)
    index[0, 0], index[-1, -1] = 0, 1
    masks = complete(np.random.default_rng(0).random((*size, 3), np.float32), Strokes(index, 2))
    assert masks.shape == (*size, 2)
    np.testing.assert_allclose(masks.sum(axis=-1), 1, atol=1e-5)


def test_thin_strokes_stay_and_thick_ones_do_not_grow_in_smaller_pictures():
    line = np.full((400, 600), -1, np.int8)
    line[np.arange(400), np.arange(400) + 50] = 3
    for size in ((40, 60), (37, 90), (800, 1300), (1000, 100)):
        found = Strokes(line, 4).at(size)
        assert found.shape == size and set(np.unique(found)) == {-1, 3}
        assert (found == 3).any(axis=1).all()
    down, across = np.arange(400) * 40 // 400, (np.arange(400) + 50) * 60 // 600
    assert (
        Strokes(line, 4).at((40, 60)).max(initial=-1, where=~np.isin(np.arange(2400), down * 60 + across).reshape(40, 60)) == -1
    )
    thick = np.full((400, 600), -1, np.int8)
    thick[100:200] = 0
    np.testing.assert_array_equal(Strokes(thick, 1).at((40, 60))[:, 0] == 0, np.isin(np.arange(40), np.arange(10, 20)))
    np.testing.assert_array_equal(Strokes(thick, 1).at((400, 600)), thick)


# What is a stroke


def test_strokes_on_a_transparent_layer_are_found_by_themselves(regions_of, caplog):
    caplog.set_level(logging.INFO)
    regions = regions_of(TWO, TWO)
    assert set(regions.names) == {"blue", "red"}
    left = np.broadcast_to(np.arange(SIZE[1]) < 28, SIZE)
    for masks in (regions.content, regions.style):
        np.testing.assert_array_equal(masks.argmax(axis=-1) == regions.names.index("blue"), left)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2 and all(record.levelno == logging.INFO for record in caplog.records)
    share = (TWO[..., 3] > 0).mean()
    assert f"strokes on {100 * share:.1f} % of the photo are completed" in lines[0]
    assert "content" in lines[0] and "style" in lines[1]
    np.testing.assert_array_equal(regions.content_strokes, TWO[..., 3] > 0)


def test_strokes_in_one_mask_go_with_a_whole_mask_in_the_other(regions_of):
    whole = np.zeros((*SIZE, 3), np.uint8)
    whole[:, :30], whole[:, 30:] = BLUE, RED
    regions = regions_of(TWO, whole)
    assert regions.content_strokes is not None and regions.style_strokes is None
    np.testing.assert_array_equal(regions.style[..., regions.names.index("blue")], np.broadcast_to(np.arange(70) < 30, SIZE))


def test_painted_regions_on_a_transparent_layer_are_no_strokes(regions_of):
    half = layer((BLUE, 0, 10, 70, 10), (RED, 0, 25, 70, 25), width=12)
    assert set(regions_of(half, half).names) == {"black", "blue", "red"}
    always = regions_of(half, half, seg_scribbles="always")
    assert set(always.names) == {"blue", "red"}
    np.testing.assert_allclose(always.content.sum(axis=-1), 1, atol=1e-5)


def test_strokes_are_left_as_they_are_if_asked(regions_of):
    regions = regions_of(TWO, TWO, seg_scribbles="never")
    assert set(regions.names) == {"black", "blue", "red"} and regions.content_strokes is None
    black = regions.content[..., regions.names.index("black")]
    np.testing.assert_array_equal(black == 0, TWO[..., 3] > 0)


@pytest.mark.parametrize("background", ["#ffffff", "000000", "FFFFFF"])
def test_strokes_on_a_background_that_is_named(regions_of, background):
    colour = "#" + background.removeprefix("#")
    drawn = layer((BLUE, 8, 6, 14, 40), (RED, 50, 40, 60, 8), background=colour, samples=4)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10  # soft edges, whose colours are none of a stroke
    regions = regions_of(drawn, drawn, seg_scribbles=background)
    assert set(regions.names) == {"blue", "red"}
    left = regions.content.argmax(axis=-1) == regions.names.index("blue")
    np.testing.assert_array_equal(left, np.broadcast_to(np.arange(SIZE[1]) < 28, SIZE))


def test_soft_strokes_between_pixels_are_one_colour():
    """A row of half-covered pixels above and below: as many of one mixed colour as of the stroke's own."""
    drawn = np.full((*SIZE, 3), 255, np.uint8)
    for row, colour in ((10, BLUE), (30, GREEN)):
        half = (np.array(colour) + 255) // 2
        drawn[row : row + 4, 10:60] = np.stack([half, colour, colour, half])[:, None]
    colours, strokes = find_strokes("mask", drawn, "ffffff")
    assert set(colours) == {BLUE, GREEN}
    assert (strokes.index[11:13, 12:58] >= 0).all() and (strokes.index[[10, 13], 12:58] == -1).all()


def test_strokes_of_a_pixel_or_a_dot_count():
    drawn = np.zeros((*SIZE, 4), np.uint8)
    drawn[5, 10:60], drawn[20:23, 20:23], drawn[40, 40] = (*BLUE, 255), (*RED, 255), (*GREEN, 255)
    colours, strokes = find_strokes("mask", drawn, "auto")
    assert set(colours) == {BLUE, RED, GREEN}
    np.testing.assert_array_equal(strokes.index >= 0, drawn[..., 3] > 0)


def test_a_subject_cut_out_is_no_stroke():
    cut_out = np.zeros((*SIZE, 4), np.uint8)
    cut_out[10:20, 10:30, :3] = np.random.default_rng(0).integers(0, 256, (10, 20, 3))
    cut_out[10:20, 10:30, 3] = 255
    assert find_strokes("mask", cut_out, "auto") is None
    with pytest.raises(UserError, match=r"mask is flat in only .* of its strokes; draw each in one colour"):
        find_strokes("mask", cut_out, "always")


def test_strokes_in_a_folder(tmp_path, regions_of, caplog):
    caplog.set_level(logging.INFO)
    blue, red = layer((BLUE, 8, 6, 14, 40)), layer((RED, 50, 40, 60, 8))
    light = [np.where(mask[..., 3] > 0, 255, 0).astype(np.uint8) for mask in (blue, red)]
    for side, (one, other) in (("content", (blue, red)), ("style", (blue, red)), ("grey", light)):
        (tmp_path / side).mkdir()
        Image.fromarray(one).save(tmp_path / side / "sea.png")
        Image.fromarray(other).save(tmp_path / side / "cliff.png")
    left = np.broadcast_to(np.arange(SIZE[1]) < 28, SIZE)
    regions = read_regions(str(tmp_path / "content"), str(tmp_path / "style"), scene(), scene(), Options())
    assert regions.names == ("cliff", "sea")
    np.testing.assert_array_equal(regions.content[..., 1] > 0.5, left)
    assert caplog.text.count("are completed to whole regions") == 2
    grey = str(tmp_path / "grey")
    assert read_regions(grey, grey, scene(), scene(), Options()).content.sum(axis=-1).mean() < 0.1
    forced = read_regions(grey, grey, scene(), scene(), Options(seg_scribbles="always"))
    np.testing.assert_array_equal(forced.content[..., 1] > 0.5, left)
    on_black = read_regions(grey, grey, scene(), scene(), Options(seg_scribbles="000000"))
    np.testing.assert_array_equal(on_black.content[..., 1] > 0.5, left)


def test_strokes_of_a_folder_have_one_size_and_two_regions(tmp_path):
    Image.fromarray(TWO).save(tmp_path / "one.png")
    folder, always = str(tmp_path), Options(seg_scribbles="always")
    with pytest.raises(UserError, match="holds strokes of 1 region; draw strokes in each of two"):
        read_regions(folder, folder, scene(), scene(), always)
    Image.fromarray(np.zeros((20, 30, 4), np.uint8)).save(tmp_path / "other.png")
    with pytest.raises(UserError, match="holds strokes in pictures of different sizes"):
        read_regions(folder, folder, scene(), scene(), always)


# Strokes that cannot be meant


def test_strokes_of_one_colour_are_an_error_or_a_subject_cut_out(regions_of, caplog):
    one = layer((BLUE, 8, 6, 14, 40))
    with pytest.raises(UserError, match=r"content segmentation .* is painted in one colour alone, #0000ff; draw strokes in each"):
        regions_of(one, one, seg_scribbles="always")
    regions = regions_of(one, one)
    assert "is read as a subject cut out. Strokes need a colour for each region" in caplog.text
    np.testing.assert_array_equal(regions.content[..., regions.names.index("blue")] == 1, one[..., 3] > 0)


@pytest.mark.parametrize("choice", ["auto", "always", "000000"])
def test_a_mask_without_strokes_is_an_error(choice):
    with pytest.raises(UserError, match="mask has nothing painted on it; draw a stroke in each region"):
        find_strokes("mask", np.zeros((*SIZE, 4), np.uint8), choice)


def test_strokes_that_touch_are_reported(regions_of, caplog):
    crossing = layer((BLUE, 8, 6, 60, 40), (RED, 50, 40, 60, 8))
    regions_of(crossing, TWO)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1 and "content segmentation" in told[0]
    assert any(f"strokes of {pair} that touch; keep each inside" in told[0] for pair in ("blue and red", "red and blue"))
    colours, strokes = find_strokes("mask", crossing, "auto")
    assert touching(strokes) == [(0, 1)] and len(colours) == 2


def test_a_region_that_only_one_photo_has_strokes_in_is_reported(regions_of, caplog):
    three = np.where(TWO[..., 3:] > 0, TWO, layer((GREEN, 35, 5, 40, 20)))
    regions_of(TWO, three)
    assert "has strokes of green and content segmentation" in caplog.text and "they are not used" in caplog.text
    caplog.clear()
    regions_of(three, TWO)
    assert "has class green (" in caplog.text and "only in the content" in caplog.text


def test_a_forced_mask_without_background_is_reported_and_taken_whole(regions_of, caplog):
    whole = np.zeros((*SIZE, 3), np.uint8)
    whole[:, :30], whole[:, 30:] = BLUE, RED
    regions_of(TWO, whole, seg_scribbles="always")
    assert "style segmentation" in caplog.text and "has no background that `seg_scribbles` always would complete" in caplog.text


@pytest.mark.parametrize("choice", ["blue", "fff", "", "ffffff0"])
def test_an_unknown_choice_is_an_error(choice):
    with pytest.raises(UserError, match=r"`seg_scribbles` .* is unknown; use auto, always, never or a colour"):
        Options(seg_scribbles=choice)


def test_strict_masks_are_no_strokes(regions_of):
    with pytest.raises(UserError, match="`seg_scribbles` always and `strict_masks`"):
        Options(seg_scribbles="always", strict_masks=True)
    assert "black" in regions_of(TWO, TWO, strict_masks=True).names


# The preview


def test_the_preview_draws_strokes_in_full_colour(regions_of):
    regions = regions_of(TWO, TWO)
    shown = preview(regions, scene(), scene())
    panel = shown[12:492, 12 : 12 + 700]
    where = np.rint(np.array([23, 11]) * 480 / SIZE[0]).astype(int)
    np.testing.assert_allclose(panel[where[0], where[1]], (0, 0, 1), atol=0.02)
    assert panel[where[0], where[1] + 80].max() < 0.9  # the photo shows through the region beside
