"""Masks from files to regions, and down the network."""

import io
import logging

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter

from dpst.errors import UserError
from dpst.options import Options
from dpst.regions.film import read_film_regions
from dpst.regions.mask_classes import REFERENCE_COLOURS
from dpst.regions.reading import read_classes, read_regions
from dpst.regions.regions import Regions, table
from vgg19.masks import propagate

BLACK, WHITE, BLUE, RED = (REFERENCE_COLOURS[name] for name in ("black", "white", "blue", "red"))
SIZE = (60, 84)  # (height, width)
PHOTO = np.full((*SIZE, 3), 0.5, np.float32)


def painted(background, *rectangles, size=SIZE):
    """A mask of one colour with rectangles (colour, top, bottom, left, right) in shares of the sides."""
    mask = np.empty((*size, len(background)), np.uint8)
    mask[:] = background
    for colour, top, bottom, left, right in rectangles:
        rows = slice(round(top * size[0]), round(bottom * size[0]))
        mask[rows, round(left * size[1]) : round(right * size[1])] = colour
    return mask


SCENE = painted(BLUE, (WHITE, 0.5, 1, 0, 1), (RED, 0.6, 0.9, 0.2, 0.5))
OTHER = painted(BLUE, (WHITE, 0.4, 1, 0, 1), (RED, 0.5, 0.8, 0.6, 0.9))


@pytest.fixture
def regions_of(tmp_path):
    """Writes two masks, arrays or Pillow images, and reads their regions."""

    def read(content, style, size=SIZE, suffix=".png", **options):
        for name, mask in (("content", content), ("style", style)):
            image = Image.fromarray(mask) if isinstance(mask, np.ndarray) else mask
            image.save(tmp_path / (name + suffix), quality=60)
        paths = [str(tmp_path / (name + suffix)) for name in ("content", "style")]
        photo = np.full((*size, 3), 0.5, np.float32)
        return read_regions(*paths, photo, photo, Options(**options))

    return read


def overlap(masks, others):
    """Intersection over union of each region: (R,)."""
    return np.minimum(masks, others).sum(axis=(0, 1)) / np.maximum(masks, others).sum(axis=(0, 1))


def in_order_of(regions, names):
    return regions.content[..., [regions.names.index(name) for name in names]]


def assert_partition(regions):
    for masks in (regions.content, regions.style):
        assert masks.dtype == np.float32
        np.testing.assert_allclose(masks.sum(axis=-1), 1, atol=1e-6)


# Down the network


@pytest.mark.parametrize("size", [(37, 52), (64, 48), (17, 16), (1, 5)])
def test_propagate_does_what_tensorflow_1_does(size):
    masks = np.random.default_rng(0).random((*size, 2), np.float32)
    layers, expected, carried = {}, masks[None], ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
    mean = tf.eye(2)[None, None] * tf.ones((3, 3, 1, 1)) / 9
    for block, convolutions in enumerate((2, 2, 4, 4, 1), start=1):
        if block > 1:
            half = [-(-side // 2) for side in expected.shape[1:3]]
            expected = tf.compat.v1.image.resize(expected, half, align_corners=False)
        for convolution in range(1, convolutions + 1):
            expected = tf.nn.conv2d(expected, mean, 1, "SAME")
            layers[f"conv{block}_{convolution}"] = expected[0].numpy()
    found = propagate(masks, carried)
    assert list(found) == carried
    for layer in carried:
        assert found[layer].dtype == np.float32
        np.testing.assert_allclose(found[layer], layers[layer], atol=1e-6)


def test_propagate_leaves_its_input_alone_and_refuses_unknown_layers():
    masks = np.ones((16, 20, 1), np.float32)
    assert propagate(masks, []) == {}
    propagate(masks, ["conv3_4"])
    assert (masks == 1).all()
    with pytest.raises(ValueError, match="conv5_2"):
        propagate(masks, ["conv1_1", "conv5_2"])


# Whole masks


def test_no_masks_are_one_region():
    regions = read_regions("", "", np.zeros((20, 30, 3), np.float32), np.zeros((40, 17, 3), np.float32), Options())
    assert regions.names == ("whole image",)
    assert regions.content.shape == (20, 30, 1) and regions.style.shape == (40, 17, 1)
    assert (regions.content == 1).all() and (regions.style == 1).all()


def test_flat_colours_are_read_to_the_pixel(regions_of):
    regions = regions_of(SCENE, OTHER)
    assert set(regions.names) == {"blue", "white", "red"}
    for name, colour in zip(regions.names, regions.colours, strict=True):
        assert colour == REFERENCE_COLOURS[name]
        for masks, mask in ((regions.content, SCENE), (regions.style, OTHER)):
            np.testing.assert_array_equal(masks[..., regions.names.index(name)] == 1, (mask == colour).all(axis=-1))
    assert_partition(regions)


def test_one_colour_alone_is_one_region(regions_of):
    regions = regions_of(painted(BLACK), painted(BLACK))
    assert regions.names == ("black",) and (regions.content == 1).all() and (regions.style == 1).all()


def test_other_colours_than_the_nine_match_though_they_differ_a_little(regions_of):
    teal, ochre = (20, 130, 120), (200, 120, 40)
    regions = regions_of(painted(teal, (ochre, 0, 0.3, 0, 1)), painted((22, 127, 125), ((204, 118, 36), 0.5, 1, 0, 1)))
    assert regions.names == ("#148278", "#c87828")
    np.testing.assert_allclose(regions.content.mean(axis=(0, 1)), [0.7, 0.3])
    np.testing.assert_allclose(regions.style.mean(axis=(0, 1)), [0.5, 0.5])


SKY, RIVER, WALL, ROAD = (6, 230, 230), (11, 200, 200), (120, 120, 120), (140, 140, 140)  # of ADE20K


def test_near_colours_of_hard_masks_are_other_classes(regions_of, caplog):
    with pytest.raises(UserError, match="holds no class of the content segmentation"):
        regions_of(painted(SKY, (WALL, 0.5, 1, 0, 1)), painted(RIVER, (ROAD, 0.5, 1, 0, 1)))
    regions = regions_of(painted(SKY, (WALL, 0.5, 1, 0, 1)), painted(RIVER, (SKY, 0, 0.3, 0, 1), (WALL, 0.5, 1, 0, 1)))
    assert set(regions.colours) == {SKY, WALL}
    np.testing.assert_allclose(regions.style[..., regions.colours.index(SKY)].mean(), 0.3, atol=0.01)
    assert not caplog.records
    assert [(other.name, other.fate) for other in regions.unmatched] == [("#0bc8c8", "only in the style: not used")]


def test_equal_colours_are_matched_before_near_ones(regions_of):
    first, second = (100, 40, 40), (112, 40, 40)  # as near as compression brings a colour
    regions = regions_of(painted(second, (first, 0, 0.2, 0, 1)), painted(first, (second, 0, 0.2, 0, 1)))
    np.testing.assert_allclose(regions.content.mean(axis=(0, 1)), [0.8, 0.2], atol=0.01)
    np.testing.assert_allclose(regions.style.mean(axis=(0, 1)), [0.2, 0.8], atol=0.01)


def test_a_soft_mask_may_differ_more_with_a_warning(regions_of, caplog):
    hard = painted(SKY, (RED, 0.5, 1, 0, 1))
    soft = Image.fromarray(painted(RIVER, (RED, 0.5, 1, 0, 1))).filter(ImageFilter.GaussianBlur(2))
    assert set(regions_of(hard, soft).colours) == {SKY, RED}
    (record,) = caplog.records
    assert "style.png has the colour #0bc8c8, which is taken for class light blue (#06e6e6); use the same" in record.getMessage()


def test_speckles_join_what_is_around_them(regions_of):
    big = (200, 260)
    clean = painted(BLUE, (WHITE, 0.5, 1, 0, 1), size=big)
    speckled = clean.copy()
    speckled[20, 30], speckled[3, 200:202], speckled[150, 99] = RED, (255, 255, 0), (128, 128, 128)
    regions = regions_of(speckled, clean, size=big)
    assert set(regions.names) == {"blue", "white"} and regions.unmatched == ()
    np.testing.assert_array_equal(
        in_order_of(regions, ("blue", "white")), np.stack([clean[..., 0] == 0, clean[..., 0] == 255], -1)
    )


def test_a_thin_line_stays_the_class_it_is_painted(regions_of):
    pole = painted(BLUE, (RED, 0, 0.4, 0, 1), (WHITE, 0, 1, 0.5, 0.5 + 3 / SIZE[1]))
    regions = regions_of(pole, pole)
    np.testing.assert_array_equal(regions.content[..., regions.names.index("white")] == 1, (pole == WHITE).all(axis=-1))


# Soft and damaged edges


def large(mask):
    return np.repeat(np.repeat(mask, 4, axis=0), 4, axis=1)


DAMAGES = {
    "jpeg": (lambda image: image, ".jpg"),
    "blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(3)), ".png"),
    "half": (lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR), ".png"),
    "all": (lambda image: image.filter(ImageFilter.GaussianBlur(3)).reduce(2), ".jpg"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_mask_is_nearly_the_clean_one(regions_of, damage):
    def harm(mask):
        return DAMAGES[damage][0](Image.fromarray(large(mask)))

    size = (4 * SIZE[0], 4 * SIZE[1])
    clean = regions_of(large(SCENE), large(OTHER), size=size)
    damaged = regions_of(harm(SCENE), harm(OTHER), size=size, suffix=DAMAGES[damage][1])
    assert set(damaged.names) == set(clean.names) and damaged.unmatched == ()
    assert_partition(damaged)
    assert overlap(clean.content, in_order_of(damaged, clean.names)).min() > 0.96


def test_soft_edges_do_not_fall_to_a_third_class(regions_of):
    # Halfway from black to white is grey, and halfway from blue to white is nearest to light blue.
    size = (120, 160)
    grey, light_blue = REFERENCE_COLOURS["grey"], REFERENCE_COLOURS["light blue"]
    corners = ((grey, 0, 0.2, 0, 0.2), (light_blue, 0.8, 1, 0, 0.2))
    mask = painted(BLACK, (WHITE, 0, 1, 0.6, 0.8), (BLUE, 0, 1, 0.8, 1), *corners, size=size)
    soft = Image.fromarray(mask).filter(ImageFilter.GaussianBlur(1.5))
    regions = regions_of(soft, mask, size=size)
    for name in ("grey", "light blue"):
        wide = regions.content[:, 50:, regions.names.index(name)]
        assert not wide.any()
    assert_partition(regions)


def test_masks_of_another_size_are_brought_to_the_photos(regions_of, caplog):
    regions = regions_of(large(SCENE), OTHER[::2, ::2])
    assert regions.content.shape[:2] == regions.style.shape[:2] == SIZE
    assert (
        overlap(
            in_order_of(regions, ("blue", "white", "red")), in_order_of(regions_of(SCENE, OTHER), ("blue", "white", "red"))
        ).min()
        > 0.95
    )
    assert not caplog.records
    assert_partition(regions)


def test_another_shape_is_stretched_with_a_warning(regions_of, caplog):
    regions_of(SCENE[:, :50], OTHER)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "50x60 and its photo 84x60, another shape; the mask is stretched" in caplog.text


# How the photo is stored, by EXIF's number, from how it is upright: 6 is turned clockwise to be seen.
STORED = {5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a), 8: lambda a: np.rot90(a, -1)}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("scale", [1, 2])
def test_a_mask_as_its_photo_is_stored_is_turned_with_it(regions_of, tmp_path, caplog, orientation, scale):
    expected = regions_of(SCENE, OTHER)
    stored = np.ascontiguousarray(STORED[orientation](SCENE)).repeat(scale, 0).repeat(scale, 1)
    Image.fromarray(stored).save(tmp_path / "stored.png")
    (tmp_path / "folder").mkdir()
    Image.fromarray((stored == RED).all(axis=-1)).save(tmp_path / "folder" / "red.png")
    regions = read_regions(
        str(tmp_path / "stored.png"), str(tmp_path / "style.png"), PHOTO, PHOTO, Options(), orientations=(orientation, 1)
    )
    np.testing.assert_array_equal(regions.content, in_order_of(expected, regions.names))
    (record,) = caplog.records
    assert "content segmentation" in record.getMessage() and "it is rotated with it" in record.getMessage()
    _, masks = read_classes(str(tmp_path / "folder"), PHOTO, Options(), orientation)
    np.testing.assert_array_equal(masks[..., 0] > 0.5, (SCENE == RED).all(axis=-1))


def test_a_mask_that_is_upright_or_says_how_it_is_stored_is_not_turned_again(tmp_path, caplog):
    for name, mask, number in (("upright", SCENE, 1), ("own", STORED[6](SCENE), 6)):
        exif = Image.Exif()
        exif[0x0112] = number
        Image.fromarray(np.ascontiguousarray(mask)).save(tmp_path / f"{name}.png", exif=exif)
        names, masks = read_classes(str(tmp_path / f"{name}.png"), PHOTO, Options(), 6)
        np.testing.assert_array_equal(masks[..., names.index("red")], (SCENE == RED).all(axis=-1))
    assert not caplog.records


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_mask_whose_shape_does_not_show_its_orientation_is_reported(tmp_path, caplog, orientation):
    size = (60, 60) if orientation == 6 else SIZE
    Image.fromarray(painted(BLUE, (RED, 0.5, 1, 0, 1), size=size)).save(tmp_path / "a.png")
    read_classes(str(tmp_path / "a.png"), np.full((*size, 3), 0.5, np.float32), Options(), orientation)
    (record,) = caplog.records
    assert f"a.png may not be upright, since its photo is stored rotated (EXIF orientation {orientation})" in record.getMessage()


# Kinds of mask


def test_label_images_keep_neighbouring_labels_apart(regions_of):
    labels = SCENE[..., 0] // 255 + (SCENE[..., 1] // 255) * 2  # blue 0, white 3, red 1
    others = OTHER[..., 0] // 255 + (OTHER[..., 1] // 255) * 2
    regions = regions_of(labels, others)
    assert set(regions.names) == {"label 0", "label 1", "label 3"}
    for name in regions.names:
        np.testing.assert_array_equal(regions.content[..., regions.names.index(name)] == 1, labels == int(name[-1]))
    assert len(set(regions.colours)) == 3


def test_sixteen_bit_labels_are_labels(regions_of):
    labels = (SCENE[..., 1] // 255 + 1).astype(np.uint16)
    assert regions_of(labels, labels).names == ("label 1", "label 2")


@pytest.mark.parametrize("mode", ["RGB", "LA", "RGBA"])
def test_labels_in_equal_channels_or_with_an_opaque_alpha_are_labels(regions_of, mode):
    labels = SCENE[..., 0] // 255 + SCENE[..., 1] // 255  # blue 0, white 2, red 1
    one, opaque = Image.fromarray(labels), Image.new("L", SIZE[::-1], 255)
    mask = Image.merge(mode, [*[one] * (len(mode) - mode.count("A")), *[opaque] * mode.count("A")])
    regions = regions_of(mask, labels)
    assert set(regions.names) == {"label 0", "label 1", "label 2"}
    np.testing.assert_array_equal(regions.content[..., regions.names.index("label 2")] == 1, (SCENE == WHITE).all(axis=-1))


def test_grey_in_equal_channels_is_grey(regions_of):
    ramp = np.repeat(np.tile(np.linspace(0, 255, SIZE[1]).astype(np.uint8), (SIZE[0], 1))[..., None], 3, axis=2)
    regions = regions_of(ramp, painted(BLACK, (WHITE, 0.5, 1, 0, 1)))
    assert 0.45 < regions.content[0, SIZE[1] // 2, regions.names.index("white")] < 0.55
    grey = painted(BLACK, ((128, 128, 128), 0.3, 0.6, 0, 1), (WHITE, 0.6, 1, 0, 1))
    assert set(regions_of(grey, grey[..., 0]).names) == {"black", "grey", "white"}


def identifiers(*numbers):
    """A mask of 16 bits: the blue, white and red of the scene as these numbers."""
    mask = np.empty(SIZE, np.uint16)
    for colour, number in zip((BLUE, WHITE, RED), numbers, strict=True):
        mask[(colour == SCENE).all(axis=-1)] = number
    return mask


@pytest.mark.parametrize("numbers", [(300, 310, 26001), (7, 300, 65535), (1000, 1001, 1002)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_labels_of_sixteen_bits_are_kept_apart(regions_of, numbers, suffix):
    regions = regions_of(identifiers(*numbers), identifiers(*numbers), suffix=suffix)
    assert set(regions.names) == {f"label {number}" for number in numbers} and len(set(regions.colours)) == 3
    red = regions.content[..., regions.names.index(f"label {numbers[2]}")]
    np.testing.assert_array_equal(red == 1, (SCENE == RED).all(axis=-1))
    listed = regions_of(identifiers(*numbers), identifiers(*numbers), suffix=suffix, seg_classes=f"boat={numbers[2]}")
    assert listed.names == ("boat",)


def test_labels_of_sixteen_bits_go_with_labels_of_eight(regions_of):
    assert set(regions_of(identifiers(1, 2, 300), identifiers(1, 2, 3).astype(np.uint8)).names) == {"label 1", "label 2"}
    with pytest.raises(UserError, match=r"content segmentation .* is a label image and the other mask is not; save both alike"):
        regions_of(identifiers(300, 310, 26001), OTHER)


def test_soft_grey_of_sixteen_bits_is_soft(regions_of):
    ramp = np.tile(np.linspace(0, 65535, SIZE[1]).astype(np.uint16), (SIZE[0], 1))
    regions = regions_of(ramp, painted(BLACK, (WHITE, 0.5, 1, 0, 1)))
    assert 0.45 < regions.content[0, SIZE[1] // 2, regions.names.index("white")] < 0.55
    wide = SCENE[..., 0].astype(np.uint16) * 257
    assert set(regions_of(wide, SCENE[..., 0]).names) == {"black", "white"}


def test_more_labels_of_sixteen_bits_than_classes_can_be_are_refused(regions_of):
    many = np.kron(np.arange(1000, 1070, dtype=np.uint16).reshape(7, 10), np.ones((9, 9), np.uint16))
    with pytest.raises(UserError, match=r"content segmentation .* has 70 labels, more than 64; merge some"):
        regions_of(many, many)


def test_labels_on_one_side_only_are_an_error(regions_of):
    with pytest.raises(UserError, match=r"content segmentation .* is a label image and the other mask is not"):
        regions_of(SCENE[..., 1] // 255, OTHER)


def test_palette_images_are_read_by_their_colours(regions_of):
    indexed = Image.fromarray(SCENE).quantize(8, dither=Image.Dither.NONE)
    assert indexed.mode == "P"
    regions = regions_of(indexed, OTHER)
    assert set(regions.names) == {"blue", "white", "red"}
    assert_partition(regions)


def test_black_and_white_in_one_channel_matches_colours(regions_of):
    mask = painted(BLACK, (WHITE, 0.5, 1, 0, 1))
    bits = Image.fromarray(mask).convert("1")
    for content in (bits, mask[..., 0], bits.convert("P")):
        assert set(regions_of(content, mask).names) == {"black", "white"}


def test_a_grey_ramp_is_a_soft_mask(regions_of):
    ramp = np.tile(np.linspace(0, 255, SIZE[1]).astype(np.uint8), (SIZE[0], 1))
    regions = regions_of(ramp, painted(BLACK, (WHITE, 0.5, 1, 0, 1)))
    white = regions.content[..., regions.names.index("white")]
    assert white[0, 0] == 0 and white[0, -1] == 1 and 0.45 < white[0, SIZE[1] // 2] < 0.55
    assert_partition(regions)


def test_a_subject_cut_out_is_masked_by_its_alpha(regions_of):
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), np.uint8)
    photo[..., 3] = painted(BLACK, (WHITE, 0.2, 0.7, 0.3, 0.6))[..., 0]
    regions = regions_of(photo, painted(BLACK, (WHITE, 0.5, 1, 0, 1)))
    np.testing.assert_array_equal(regions.content[..., regions.names.index("white")], photo[..., 3] / 255)


def test_colours_on_a_transparent_layer_stay_colours(regions_of):
    layer = np.dstack([SCENE, np.where((SCENE == BLUE).all(axis=-1), 0, 255).astype(np.uint8)])
    regions = regions_of(layer, painted(BLACK, (WHITE, 0.5, 1, 0, 1), (RED, 0.6, 0.9, 0.2, 0.5)))
    assert set(regions.names) == {"black", "white", "red"}
    assert_partition(regions)


def test_folders_hold_a_soft_mask_for_each_region(tmp_path):
    sky = np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8)[:, None], (1, SIZE[1]))
    for side in ("content", "style"):
        (tmp_path / side).mkdir()
        Image.fromarray(sky).save(tmp_path / side / "sky.png")
        Image.fromarray(255 - sky).save(tmp_path / side / "ground.png")
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(tmp_path / "content" / "haze.png")
    regions = read_regions(str(tmp_path / "content"), str(tmp_path / "style"), PHOTO, PHOTO, Options())
    assert regions.names == ("ground", "sky")
    assert [other.name for other in regions.unmatched] == ["haze"] and regions.unmatched[0].content_share == pytest.approx(0.5)
    np.testing.assert_allclose(regions.content.sum(axis=-1), 0.5, atol=1e-6)  # half of each pixel is haze
    np.testing.assert_allclose(regions.style[..., 1], sky / 255, atol=1e-6)
    merged = read_regions(str(tmp_path / "content"), str(tmp_path / "style"), PHOTO, PHOTO, Options(missing_class="merge"))
    assert_partition(merged)


def test_a_folder_beside_a_file_or_without_pictures_is_an_error(tmp_path):
    (tmp_path / "regions").mkdir()
    Image.fromarray(SCENE).save(tmp_path / "s.png")
    with pytest.raises(UserError, match=r"style segmentation .*s\.png is a file and the other mask a folder"):
        read_regions(str(tmp_path / "regions"), str(tmp_path / "s.png"), PHOTO, PHOTO, Options())
    with pytest.raises(UserError, match="holds 0 pictures; give one for each region"):
        read_regions(str(tmp_path / "regions"), str(tmp_path / "regions"), PHOTO, PHOTO, Options())


def test_files_of_a_folder_that_are_no_pictures_are_passed_over(tmp_path, caplog):
    for name in ("0", "1"):
        Image.fromarray((SCENE[..., 0] == (255 if name == "0" else 0)).astype(np.uint8) * 255).save(tmp_path / f"{name}.png")
    for name in ("metadata.csv", "Thumbs.db", ".DS_Store", "._0.png", "readme"):
        (tmp_path / name).write_bytes(b"no picture")
    names, masks = read_classes(str(tmp_path), PHOTO, Options())
    assert names == ["0", "1"] and not caplog.records
    np.testing.assert_array_equal(masks[..., 0] == 1, SCENE[..., 0] == 255)


def test_two_pictures_of_one_region_are_refused(tmp_path):
    for name in ("sky.png", "sky.tif"):
        Image.fromarray(SCENE[..., 0]).save(tmp_path / name)
    with pytest.raises(UserError, match=r"holds sky\.png and sky\.tif, two pictures for one region; keep one of them"):
        read_classes(str(tmp_path), PHOTO, Options())


# Strict masks


def test_strict_masks_are_the_thresholds_of_the_reference(regions_of, caplog):
    mask = np.zeros((*SIZE, 3), np.uint8)
    levels = [0, 25, 26, 101, 103, 152, 154, 229, 230, 255]  # 0.1 is 25.5, 0.4 is 102, 0.6 is 153, 0.9 is 229.5
    for column, level in enumerate(levels):
        mask[:, 8 * column : 8 * column + 8] = level
    regions = regions_of(mask, mask, strict_masks=True)
    assert set(regions.names) == {"black", "grey", "white"}
    at = {name: regions.content[0, 4:80:8, regions.names.index(name)].tolist() for name in regions.names}
    assert at == {
        "black": [1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        "grey": [0, 0, 0, 0, 1, 1, 0, 0, 0, 0],
        "white": [0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
    }
    assert "has no class in" in caplog.text and "no class" in table(regions)


def test_strict_masks_know_all_nine_colours(regions_of):
    mask = np.zeros((*SIZE, 3), np.uint8)
    for column, colour in enumerate(REFERENCE_COLOURS.values()):
        mask[:, 9 * column : 9 * column + 9] = colour
    regions = regions_of(mask, mask, strict_masks=True)
    assert regions.names == tuple(REFERENCE_COLOURS)
    for column in range(8):
        assert regions.content[5, 9 * column + 4, column] == 1


def test_on_clean_masks_strict_and_nearest_agree(regions_of):
    strict, nearest = regions_of(SCENE, OTHER, strict_masks=True), regions_of(SCENE, OTHER)
    np.testing.assert_array_equal(strict.content, in_order_of(nearest, strict.names))


# Matching


ONLY_CONTENT = painted(BLUE, (WHITE, 0.5, 1, 0, 1), (RED, 0.6, 0.9, 0.2, 0.5))
WITHOUT_RED = painted(BLUE, (WHITE, 0.4, 1, 0, 1))


def test_a_class_that_only_the_content_has_is_left_out(regions_of, caplog):
    regions = regions_of(ONLY_CONTENT, WITHOUT_RED)
    assert set(regions.names) == {"blue", "white"}
    red = (ONLY_CONTENT == RED).all(axis=-1)
    np.testing.assert_array_equal(regions.content.sum(axis=-1), ~red)
    assert "has class red (" in caplog.text and f"{red.mean():.1%}" in caplog.text and "not matched" in caplog.text
    row = next(line for line in table(regions).splitlines() if line.startswith("red"))
    assert "only in the content: not matched" in row


def test_a_class_that_only_the_content_has_can_be_merged(regions_of, caplog):
    regions = regions_of(ONLY_CONTENT, WITHOUT_RED, missing_class="merge")
    assert_partition(regions)
    red = (ONLY_CONTENT == RED).all(axis=-1)
    assert regions.content[red][:, regions.names.index("white")].mean() > 0.9  # red lies in white
    assert "merged into the nearest region" in caplog.text and "merged" in table(regions)


def test_a_class_that_only_the_content_has_can_be_an_error(regions_of):
    with pytest.raises(
        UserError, match=r"content segmentation .*content\.png has class red \(8\.9% of the photo\) only in the content"
    ):
        regions_of(ONLY_CONTENT, WITHOUT_RED, missing_class="error")


def test_a_class_that_only_the_style_has_is_not_used(regions_of, caplog):
    regions = regions_of(WITHOUT_RED, ONLY_CONTENT, missing_class="error")
    assert set(regions.names) == {"blue", "white"} and not caplog.records
    assert "only in the style: not used" in table(regions)


def test_masks_without_a_common_class_name_the_colours_of_both(regions_of):
    with pytest.raises(UserError) as error:
        regions_of(painted(BLUE, (WHITE, 0.5, 1, 0, 1)), painted(RED, ((255, 255, 0), 0.75, 1, 0, 1)))
    message = str(error.value)
    assert "holds no class of the content segmentation" in message and "\n" not in message
    for part in ("blue 50.0%", "white 50.0%", "red 75.0%", "yellow 25.0%", "use the same colours in both"):
        assert part in message


def test_seg_classes_name_and_restrict(regions_of, caplog):
    regions = regions_of(SCENE, OTHER, seg_classes="sky=0000ff, ground=#FFFFFF, sea=00ffff")
    assert regions.names == ("sky", "ground") and regions.colours == (BLUE, WHITE)
    assert [(other.name, other.fate) for other in regions.unmatched] == [("red", "not in `seg_classes`: not matched")]
    assert "`seg_classes` sea is in neither mask" in caplog.text
    merged = regions_of(SCENE, OTHER, seg_classes="sky=0000ff,ground=ffffff", missing_class="merge")
    np.testing.assert_array_equal(merged.content.sum(axis=-1), 1)


def test_seg_classes_name_labels(regions_of):
    labels = SCENE[..., 1] // 255 * 7
    assert regions_of(labels, labels, seg_classes="sky=0,ground=7").names == ("sky", "ground")


@pytest.mark.parametrize("text", ["sky", "sky=blue", "sky=0000f", "=0000ff", "sky=65536", "sky=0000ff;sea=00ffff"])
def test_bad_seg_classes_are_an_error(regions_of, text):
    with pytest.raises(UserError, match=r"`seg_classes` .* is not a class; write name=colour"):
        regions_of(SCENE, OTHER, seg_classes=text)


def test_seg_classes_with_strict_masks_are_an_error(regions_of):
    with pytest.raises(UserError, match="`seg_classes`"):
        regions_of(SCENE, OTHER, seg_classes="sky=0000ff", strict_masks=True)


# Bad masks


def test_a_photo_for_a_mask_is_an_error(regions_of):
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    with pytest.raises(UserError, match=r"content segmentation .* like a photo; paint each region"):
        regions_of(photo, OTHER)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_a_degenerate_mask_is_an_error(regions_of, shape):
    with pytest.raises(UserError, match=r"content segmentation .* too few"):
        regions_of(painted(BLUE, size=shape), OTHER)


def test_one_mask_alone_is_an_error():
    for paths, option in ((("a.png", ""), "`style_seg_path`"), (("", "a.png"), "`content_seg_path`")):
        with pytest.raises(UserError, match=f"{option} is missing"):
            read_regions(*paths, PHOTO, PHOTO, Options())


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(None, "does not exist"), (b"", "is empty"), (b"no picture", "cannot be read"), ("cut", "damaged|cannot")],
)
def test_an_unreadable_mask_is_an_error(tmp_path, content, wrong):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    for name in ("content.png", "style.png"):
        Image.fromarray(noise if content == "cut" else SCENE).save(tmp_path / name)
    path = tmp_path / "style.png"
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(UserError, match=f"style segmentation .*({wrong})"):
        read_regions(str(tmp_path / "content.png"), str(path), PHOTO, PHOTO, Options())


# Regions


def test_resized_regions_keep_their_sum_and_shares(regions_of):
    regions = regions_of(SCENE, OTHER).resized((23, 31), (40, 90))
    assert regions.content.shape == (23, 31, 3) and regions.style.shape == (40, 90, 3)
    assert_partition(regions)
    np.testing.assert_allclose(regions.content.mean(axis=(0, 1)), regions_of(SCENE, OTHER).content.mean(axis=(0, 1)), atol=5e-3)


def test_table_tells_names_and_shares(regions_of):
    lines = table(regions_of(SCENE, OTHER)).splitlines()
    assert lines[0].split() == ["region", "content", "style"]
    assert [line.split()[0] for line in lines[1:]] == ["blue", "white", "red"]
    assert [line.split()[1] for line in lines[1:]] == ["50.0%", "41.1%", "8.9%"]


def test_refine_moves_a_drawn_edge_to_the_photos():
    rng = np.random.default_rng(0)
    photo = np.full((50, 70, 3), 0.2, np.float32)
    photo[:, 40:] = (0.9, 0.6, 0.3)
    photo += rng.normal(0, 0.01, photo.shape).astype(np.float32)
    true = np.zeros((50, 70, 2), np.float32)
    true[:, :40, 0] = true[:, 40:, 1] = 1
    drawn = np.roll(true, 2, axis=1)
    drawn[:, :2] = true[:, :2]
    refined = Regions(("a", "b"), drawn, drawn).refined(photo, photo)
    assert_partition(refined)
    assert np.abs(refined.content - true).max() < 0.1 < np.abs(drawn - true).max()
    np.testing.assert_array_equal(refined.content[:, :30], drawn[:, :30])


def test_refine_leaves_regions_without_edges_or_without_guidance_alone():
    whole = np.ones((20, 24, 1), np.float32)
    photo = np.random.default_rng(0).random((20, 24, 3), np.float32)
    assert (Regions(("whole image",), whole, whole).refined(photo, photo).content == 1).all()
    halves = np.zeros((20, 24, 2), np.float32)
    halves[:, :12, 0] = halves[:, 12:, 1] = 1
    grey = np.full((20, 24, 3), 0.5, np.float32)
    refined = Regions(("a", "b"), halves, halves).refined(grey, grey)
    np.testing.assert_allclose(refined.content.mean(axis=(0, 1)), 0.5, atol=0.01)


# One mask alone


@pytest.mark.parametrize("options", [{}, {"strict_masks": True}, {"seg_classes": "sky=0000ff,boat=ff0000"}])
def test_the_mask_of_a_content_photo_alone_has_the_classes_of_a_pair(options, regions_of, tmp_path):
    both = regions_of(SCENE, OTHER, **options)
    names, masks = read_classes(str(tmp_path / "content.png"), PHOTO, Options(**options))
    assert sorted(names) == sorted(both.names)
    for name, mask in zip(names, np.moveaxis(masks, -1, 0), strict=True):
        np.testing.assert_array_equal(mask, both.content[..., both.names.index(name)])


def test_labels_and_folders_alone_have_names_too(tmp_path):
    labels = np.where(SCENE[..., 0] > 0, 3, 1).astype(np.uint8)
    labels[:9] = 7
    Image.fromarray(labels).save(tmp_path / "labels.png")
    assert sorted(read_classes(str(tmp_path / "labels.png"), PHOTO, Options())[0]) == ["label 1", "label 3", "label 7"]
    (tmp_path / "folder").mkdir()
    Image.fromarray(SCENE[..., 0]).save(tmp_path / "folder" / "sea.png")
    names, masks = read_classes(str(tmp_path / "folder"), PHOTO, Options())
    assert names == ["sea"]
    np.testing.assert_allclose(masks[..., 0], SCENE[..., 0] / 255, atol=1e-6)


def test_a_mask_without_any_class_that_counts_is_refused(tmp_path):
    Image.fromarray(SCENE).save(tmp_path / "content.png")
    with pytest.raises(UserError, match=r"content\.png has none of the classes sky \(.*blue .*\); see `seg_classes`$"):
        read_classes(str(tmp_path / "content.png"), PHOTO, Options(seg_classes="sky=00ff00"))


@pytest.fixture
def film_of(tmp_path):
    """Reads the regions of a film by masks (h, w, 3) of some frames and of a style photo."""

    def read(masks, style, **options):
        Image.fromarray(style).save(tmp_path / "style.png")
        return read_film_regions("film", np.stack(masks), str(tmp_path / "style.png"), PHOTO, Options(**options))

    return read


def compressed(mask):
    """A mask as a lossy clip has it: JPEG, with its chroma at half the size, and darker by a wrong matrix."""
    file = io.BytesIO()
    Image.fromarray(np.uint8(mask * 0.87)).save(file, "JPEG", quality=40, subsampling=2)
    return np.asarray(Image.open(file))


def test_the_classes_of_a_film_are_those_of_its_frames_together(film_of):
    frames = [painted(BLUE, (WHITE, 0, 1, edge, 1)) for edge in (0.2, 0.5)] + [painted(RED, (BLUE, 0, 0.5, 0, 1))]
    film = film_of([compressed(frame) for frame in frames], SCENE)
    assert set(film.regions.names) == {"blue", "white", "red"}
    for frame in (frames[2], painted(WHITE, (RED, 0, 1, 0.7, 1))):  # the second is none of those
        masks = film.masks(compressed(frame), SIZE)
        own = [np.array({"blue": BLUE, "white": WHITE, "red": RED}[name]) for name in film.regions.names]
        truth = np.stack([(frame == colour).all(-1) for colour in own], -1).astype(np.float32)
        np.testing.assert_array_equal(masks.sum(-1), 1)
        assert np.abs(masks - truth).mean() < 0.01


def test_a_grey_film_is_a_soft_mask(film_of):
    ramp = np.repeat(np.uint8(np.linspace(0, 255, SIZE[1]))[None, :, None], 3, -1) * np.ones((SIZE[0], 1, 1), np.uint8)
    film = film_of([ramp, painted(BLACK)], painted(BLACK, (WHITE, 0, 1, 0.5, 1)))
    white = film.masks(ramp, SIZE)[..., film.regions.names.index("white")]
    np.testing.assert_allclose(white, np.clip((ramp[..., 0] - 16.0) / 223, 0, 1), atol=1e-5)
    assert not film.masks(painted(BLACK), SIZE)[..., film.regions.names.index("white")].any()


@pytest.mark.parametrize(("missing_class", "shares"), [("ignore", (0.25, 0)), ("merge", (1, 0.5))])
def test_a_class_that_only_the_film_has(film_of, missing_class, shares):
    frame = painted(BLUE, (RED, 0, 0.75, 0, 1))
    film = film_of([frame, painted(WHITE)], painted(BLUE, (WHITE, 0, 1, 0.5, 1)), missing_class=missing_class)
    assert set(film.regions.names) == {"blue", "white"}
    found = [film.masks(mask, SIZE)[..., film.regions.names.index("blue")] for mask in (frame, painted(RED))]
    np.testing.assert_allclose([masks.mean() for masks in found], shares, atol=1e-6)
