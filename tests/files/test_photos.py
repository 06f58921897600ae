"""Pictures in files. Pillow, with which `images` touches no file, makes and reads them wherever it can hold them."""

import base64
import dataclasses
import errno
import os
import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image

from dpst.errors import UserError
from dpst.files import photos
from dpst.files.photos import STRIP, Photo, check_readable, read_mask_samples, read_photo, thumbnail
from dpst.files.writing import check_result, check_writable, write_photo
from dpst.imaging.resizing import resize

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
HEIGHT, WIDTH = 37, 53


def gradient(dtype=np.uint8, channels=3):
    """Smooth samples (HEIGHT, WIDTH, channels), each channel another."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    ramps = np.stack([x, y, 1 - (x + y) / 2, 0.2 + x / 2], -1)[..., :channels]
    return np.rint(ramps * np.iinfo(dtype).max).astype(dtype)


def noise(dtype=np.uint8, channels=3):
    samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels), endpoint=True)
    return samples.astype(dtype)


def save(path, samples, **settings):
    """A file of any bits, alpha and profile, by libvips."""
    kind = "rgb16" if samples.dtype == np.uint16 else "srgb"
    pyvips.Image.new_from_array(samples).copy(interpretation=kind).write_to_file(str(path), **settings)
    return str(path)


def save_with_exif(path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x013B] = "Maker", 6, "Jörg".encode()
    details = exif.get_ifd(EXIF_IFD)
    details[0x829A], details[0x9003], details[0x9011] = 0.004, "2020:01:02 03:04:05", "+02:00"
    details[0x927C], details[0xA433] = b"maker's note \x01\x02\xff", "Lens"
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (48.0, 30.0, 0.0)})
    Image.fromarray(gradient()).save(path, exif=exif.tobytes())
    return str(path)


def exif_of(path):
    """Orientation and the rest of EXIF, but for what describes the file rather than the photo."""
    with Image.open(path) as picture:
        exif = picture.getexif()
        own = {0x010F, 0x013B} & set(exif)
        details = {tag: value for tag, value in exif.get_ifd(EXIF_IFD).items() if tag in (0x829A, 0x9003, 0x9011, 0x927C, 0xA433)}
        gps = {tag: value for tag, value in exif.get_ifd(GPS_IFD).items() if tag in (1, 2)}
        return exif.get(0x0112, 1), {tag: exif[tag] for tag in own} | details | gps


def profile_of(path):
    with Image.open(path) as picture:
        return picture.info.get("icc_profile")


# Identity


@pytest.mark.parametrize("extension", ["png", "tif"])
@pytest.mark.parametrize("profile", [None, "srgb", "p3"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_unchanged_pixels_get_their_own_samples_back(tmp_path, dtype, channels, profile, extension):
    samples = noise(dtype, channels)
    source = save(tmp_path / f"in.{extension}", samples, **({"profile": profile} if profile else {}))
    photo = read_photo(source)
    assert photo.samples.dtype == dtype and np.array_equal(photo.samples, samples)
    strips, whole = str(tmp_path / f"strips.{extension}"), str(tmp_path / f"whole.{extension}")
    write_photo(strips, photo.strips(10), like=photo)
    write_photo(whole, photo.pixels, like=photo)
    for path in (strips, whole):
        result = read_photo(path)
        assert result.samples.dtype == dtype and np.array_equal(result.samples, samples)
        assert profile_of(path) == profile_of(source) and (profile is None) == (profile_of(path) is None)


@pytest.mark.parametrize("extension, worst", [("jpg", 3), ("webp", 8)])
def test_lossy_formats_stay_near(tmp_path, extension, worst):
    path = str(tmp_path / f"a.{extension}")
    write_photo(path, gradient() / np.float32(255))
    with Image.open(path) as picture:
        assert np.abs(np.asarray(picture.convert("RGB"), int) - gradient()).max() <= worst


def test_samples_are_rounded_and_clipped(tmp_path):
    image = np.full((HEIGHT, WIDTH, 3), (100.6 / 255, -0.2, 1.3), np.float32)
    write_photo(str(tmp_path / "a.png"), image)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.getpixel((3, 2)) == (101, 0, 255)


def test_16_bits_into_8_bits_is_reported(tmp_path, caplog):
    photo = read_photo(save(tmp_path / "in.png", gradient(np.uint16)))
    write_photo(str(tmp_path / "out.webp"), photo.strips(), like=photo)
    assert read_photo(str(tmp_path / "out.webp")).samples.dtype == np.uint8
    assert "keeps only 8 of the content's 16 bits" in caplog.text


def test_alpha_without_room_is_reported(tmp_path, caplog):
    photo = read_photo(save(tmp_path / "in.png", gradient(channels=4)))
    write_photo(str(tmp_path / "out.jpg"), photo.strips(), like=photo)
    assert read_photo(str(tmp_path / "out.jpg")).samples.shape == (HEIGHT, WIDTH, 3)
    assert "cannot hold the content's alpha" in caplog.text


def test_alpha_follows_a_result_of_another_size(tmp_path):
    samples = noise(channels=4)
    samples[..., 3] = 77
    photo = read_photo(save(tmp_path / "in.png", samples))
    write_photo(str(tmp_path / "out.png"), np.zeros((20, 30, 3), np.float32), like=photo)
    result = read_photo(str(tmp_path / "out.png")).samples
    assert result.shape == (20, 30, 4) and (result[..., 3] == 77).all()


# Colours


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (20, 30)])
def test_changed_colours_arrive_in_the_photos_own_profile(tmp_path, size):
    photo = read_photo(save(tmp_path / "in.png", np.full((HEIGHT, WIDTH, 3), 128, np.uint8), profile="p3"))
    result = np.full((*size, 3), (0.3, 0.5, 0.7), np.float32)
    write_photo(str(tmp_path / "out.png"), result, like=photo)
    np.testing.assert_allclose(read_photo(str(tmp_path / "out.png")).pixels, result, atol=1.5 / 255)
    assert profile_of(tmp_path / "out.png") == profile_of(tmp_path / "in.png")


def test_colour_outside_srgb_leaves_nothing_in_another_colour(tmp_path):
    green = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    green[..., 1] = 255
    photo = read_photo(save(tmp_path / "in.png", green, profile="p3"))
    write_photo(str(tmp_path / "out.png"), 1 - photo.pixels, like=photo)
    np.testing.assert_allclose(read_photo(str(tmp_path / "out.png")).pixels, 1 - photo.pixels, atol=2 / 255)


def test_profile_as_good_as_srgb_costs_no_conversion(tmp_path):
    assert read_photo(save(tmp_path / "in.png", gradient(), profile="srgb")).profile is None
    assert read_photo(save(tmp_path / "p3.png", gradient(), profile="p3")).profile is not None


def test_unusable_profile_is_reported(tmp_path, caplog):
    Image.fromarray(gradient()).save(tmp_path / "a.jpg", icc_profile=b"no profile " * 20)
    photo = read_photo(str(tmp_path / "a.jpg"))
    assert "colour profile that cannot be used" in caplog.text
    write_photo(str(tmp_path / "out.jpg"), photo.strips(), like=photo)
    assert profile_of(tmp_path / "out.jpg") is None


@pytest.mark.parametrize("mode, extension", [("L", "png"), ("LA", "png"), ("1", "png"), ("1", "tif"), ("P", "png"), ("P", "tif")])
def test_grey_and_palettes_become_rgb(tmp_path, mode, extension):
    path = tmp_path / f"a.{extension}"
    picture = Image.fromarray(gradient()).convert(mode)
    picture.save(path)
    expected = np.asarray(picture.convert("RGBA" if mode == "LA" else "RGB"))
    assert np.array_equal(read_photo(str(path)).samples, expected)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_grey_of_16_bits_keeps_them(tmp_path, extension):
    grey = gradient(np.uint16)[..., 0]
    Image.fromarray(grey).save(tmp_path / f"a.{extension}")
    photo = read_photo(str(tmp_path / f"a.{extension}"))
    assert photo.samples.dtype == np.uint16 and np.array_equal(photo.samples, np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_cmyk_is_converted_with_a_message(tmp_path, caplog, extension):
    muted = 80 + gradient() // 4  # as printing inks can show them
    inks = pyvips.Image.new_from_array(muted).icc_transform("cmyk", input_profile="srgb", black_point_compensation=True)
    inks.write_to_file(str(tmp_path / "p.tif"))
    with Image.open(tmp_path / "p.tif") as picture:
        assert picture.mode == "CMYK"
        picture.save(tmp_path / f"a.{extension}", icc_profile=picture.info["icc_profile"], quality=100)
    photo = read_photo(str(tmp_path / f"a.{extension}"))
    # Inks of 8 bits and an inverted table do not come back exactly; without heeding the profile the mean is 15.
    assert np.abs(photo.samples - muted.astype(int)).mean() <= 3
    assert "is CMYK; it is converted to sRGB" in caplog.text and "icc-profile-data" not in photo.metadata


# Orientation and EXIF


@pytest.mark.parametrize(
    "orientation, upright",
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a)),
    ],
)
@pytest.mark.parametrize("extension", ["png", "tif"])
def test_orientation_is_applied_once(tmp_path, extension, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(tmp_path / f"in.{extension}", exif=exif)
    photo = read_photo(str(tmp_path / f"in.{extension}"))
    assert np.array_equal(photo.samples, upright(gradient())) and photo.orientation == orientation
    write_photo(str(tmp_path / f"out.{extension}"), photo.strips(), like=photo)
    assert exif_of(tmp_path / f"out.{extension}")[0] == 1
    assert np.array_equal(read_photo(str(tmp_path / f"out.{extension}")).samples, upright(gradient()))


@pytest.mark.parametrize("after", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("before", ["jpg", "png", "tif", "webp"])
def test_exif_goes_from_any_format_to_any(tmp_path, before, after):
    source, target = save_with_exif(tmp_path / f"in.{before}"), str(tmp_path / f"out.{after}")
    photo = read_photo(source)
    write_photo(target, photo.strips(), like=photo)
    orientation, kept = exif_of(target)
    assert orientation == 1
    assert kept == exif_of(source)[1] and len(kept) == 9


def test_exif_in_a_tiff_of_16_bits_with_profile_and_alpha(tmp_path):
    exif = read_photo(save_with_exif(tmp_path / "exif.jpg")).metadata["exif-data"]
    photo = read_photo(save(tmp_path / "in.tif", noise(np.uint16, 4), profile="p3"))
    photo.metadata["exif-data"] = exif
    write_photo(str(tmp_path / "out.tif"), photo.strips(), like=photo)
    result = read_photo(str(tmp_path / "out.tif"))
    assert exif_of(tmp_path / "out.tif")[1] == exif_of(tmp_path / "exif.jpg")[1]
    assert np.array_equal(result.samples, photo.samples) and result.profile == photo.profile


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_no_exif_is_made_up(tmp_path, extension):
    photo = read_photo(save(tmp_path / "in.webp", gradient(), keep="none"))
    write_photo(str(tmp_path / f"out.{extension}"), photo.strips(), like=photo)
    with Image.open(tmp_path / f"out.{extension}") as picture:
        assert not picture.getexif()


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp"])
def test_drop_exif(tmp_path, extension):
    photo = read_photo(save_with_exif(tmp_path / "in.jpg"))
    photo.metadata["xmp-data"] = b"<x:xmpmeta>place</x:xmpmeta>"
    path = str(tmp_path / f"out.{extension}")
    write_photo(path, photo.strips(), like=photo)
    assert read_photo(path).metadata["xmp-data"] == photo.metadata["xmp-data"]
    write_photo(path, photo.strips(), like=photo, drop_exif=True)
    assert exif_of(path) == (1, {}) and "xmp-data" not in read_photo(path).metadata


def test_xmp_does_not_turn_the_result_again(tmp_path):
    xmp = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6">text</x:xmpmeta>'
    Image.fromarray(gradient()).save(tmp_path / "in.png")
    picture = pyvips.Image.new_from_file(str(tmp_path / "in.png")).copy()
    picture.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    picture.write_to_file(str(tmp_path / "in.jpg"))
    assert read_photo(str(tmp_path / "in.jpg")).metadata["xmp-data"] == xmp.replace(b"6", b"1")


GAIN_MAP = (
    b"""<x:xmpmeta><a xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" xmp:Rating="5"/></x:xmpmeta>"""
)


def test_xmp_promises_no_gain_map_that_is_not_there(tmp_path, caplog):
    Image.fromarray(gradient()).save(tmp_path / "in.jpg", xmp=GAIN_MAP)
    photo = read_photo(str(tmp_path / "in.jpg"))
    write_photo(str(tmp_path / "out.jpg"), photo.strips(), photo)
    with Image.open(tmp_path / "out.jpg") as written:
        assert b"hdrgm:Version" not in written.info["xmp"] and b'xmp:Rating="5"' in written.info["xmp"]
    (record,) = caplog.records
    assert "in.jpg holds a gain map for HDR or a film beside the photo; it is left out" in record.getMessage()


@pytest.mark.skipif(not pyvips.type_find("VipsOperation", "uhdrsave"), reason="this libvips writes no Ultra HDR")
def test_ultra_hdr_is_read_as_the_jpeg_that_it_is_and_keeps_its_xmp(tmp_path, caplog):
    light = pyvips.Image.new_from_array(np.tile(gradient(), (2, 2, 1))).copy(interpretation="srgb").colourspace("scrgb") * 2.5
    file = light.copy(interpretation="scrgb").uhdrsave_buffer(Q=95)
    body = b"http://ns.adobe.com/xap/1.0/\0" + GAIN_MAP
    path = write(tmp_path / "in.jpg", file[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + file[2:])
    photo = read_photo(path)
    with Image.open(path) as picture:
        assert np.abs(photo.samples - np.asarray(picture.convert("RGB"), int)).max() <= 2
    assert b'xmp:Rating="5"' in photo.metadata["xmp-data"] and b"hdrgm:Version" not in photo.metadata["xmp-data"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_damaged_exif_of_a_tiff_is_reported(tmp_path, caplog):
    path = tmp_path / "in.tif"
    save_with_exif(path)
    with Image.open(path) as picture:
        offset = picture.tag_v2[EXIF_IFD]
    file = path.read_bytes()
    path.write_bytes(file.replace(struct.pack("<L", offset), struct.pack("<L", len(file) + 1000)))
    photo = read_photo(str(path))
    assert "has damaged EXIF" in caplog.text and "exif-data" not in photo.metadata


def test_resolution_is_kept(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "in.png", dpi=(300, 300))
    photo = read_photo(str(tmp_path / "in.png"))
    for extension in ("png", "jpg", "tif"):
        write_photo(str(tmp_path / f"out.{extension}"), photo.strips(), like=photo)
        with Image.open(tmp_path / f"out.{extension}") as picture:
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.5)


def test_text_of_png(tmp_path):
    text = {"command": "--content_image_path größe.jpg", "seed": 7}
    write_photo(str(tmp_path / "a.png"), gradient() / np.float32(255), text=text)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text == {"command": "--content_image_path gr\\xf6\\xdfe.jpg", "seed": "7"}


# Sizes


def test_resized_is_resize_of_pixels(tmp_path):
    for profile in ({}, {"profile": "p3"}):
        photo = read_photo(save(tmp_path / "a.png", noise(np.uint16, 4), **profile))
        assert np.array_equal(photo.resized(11, 17), resize(photo.pixels, 11, 17))


@pytest.mark.parametrize("size", [(12, 17), (80, 120), (HEIGHT, WIDTH), (9, 90)])
def test_resized_masks_stay_a_partition(size):
    masks = np.eye(5, dtype=np.float32)[np.random.default_rng(0).integers(0, 5, (HEIGHT, WIDTH))]
    resized = resize(masks, *size)
    assert resized.shape == (*size, 5) and resized.dtype == np.float32
    assert resized.min() >= 0 and resized.max() <= 1
    np.testing.assert_allclose(resized.sum(-1), 1, atol=1e-5)


def test_resize_is_antialiased_and_keeps_place():
    checkerboard = (np.indices((64, 96)).sum(0) % 2).astype(np.float32)
    np.testing.assert_allclose(resize(checkerboard, 16, 24), 0.5, atol=0.01)
    ramp = np.repeat((np.arange(96, dtype=np.float32)[None] + 0.5) / 96, 64, 0)
    for columns in (24, 36, 192):
        centres = (np.arange(columns) + 0.5) / columns
        inner = slice(columns // 8, -columns // 8)
        away = columns * (resize(ramp, 64, columns) - centres)[:, inner]
        assert np.abs(away).max() < 0.05  # pixels of the result


@pytest.mark.parametrize("size", [(74, 106), (37, 80), (40, 61)])
def test_enlarging_is_pillows_bilinear(size):
    image = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resize(image, *size), expected, atol=1e-5)


def test_resize_to_the_same_size_changes_nothing():
    image = noise() / np.float32(255)
    assert np.array_equal(resize(image, HEIGHT, WIDTH), image)
    assert resize(image[..., 0], 9, 8).shape == (9, 8) and resize(image[..., :1], 9, 8).shape == (9, 8, 1)


# Bad input


def write(path, content=b""):
    path.write_bytes(content)
    return str(path)


def png_header(width, height):
    """A file that claims a size but holds next to nothing."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 99)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><rect width="9" height="9"/></svg>'

BAD = {
    "missing": (lambda folder: str(folder / "no.png"), "does not exist; check the path"),
    "folder": (lambda folder: str(folder), "is a folder; give a file"),
    "zero bytes": (lambda folder: write(folder / "a.jpg"), "is empty"),
    "text": (lambda folder: write(folder / "a.jpg", b"not a picture\n" * 50), "cannot be read as a picture"),
    "svg": (lambda folder: write(folder / "a.svg", SVG), "cannot be read as a picture"),
    "1x1": (lambda folder: save(folder / "a.png", gradient()[:1, :1]), "has 1x1 pixels, too few; use a picture of 16 pixels"),
    "bomb": (lambda folder: write(folder / "a.png", png_header(60000, 60000)), "has 60000x60000 pixels, more than 200 million"),
    "float": (lambda folder: save(folder / "a.tif", gradient().astype(np.float32)), "has 3 channels of type float; save it as"),
    "5 channels": (lambda folder: save(folder / "a.tif", noise(channels=5)), "has 5 channels"),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD.keys())
def test_bad_input_is_reported_before_decoding(tmp_path, make, message):
    path = make(tmp_path)
    for read in (read_photo, check_readable):
        with pytest.raises(UserError) as error:
            read(path, "style image")
        assert str(error.value).startswith(f"style image {path} ") and message in str(error.value)
        assert "\n" not in str(error.value)


def test_a_photo_that_may_not_be_read_is_reported(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything
        monkeypatch.setattr(photos, "is_bmp", denied)
    for read in (read_photo, check_readable):
        with pytest.raises(UserError) as error:
            read(str(path), "style image")
        assert str(error.value) == f"style image {path} cannot be read (Permission denied); change its permissions"


def test_a_photo_in_a_folder_that_may_not_be_entered_is_not_called_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "stat", denied)  # root may enter every folder
    with pytest.raises(UserError, match=r"a.png cannot be read \(Permission denied\); change the permissions of its folder$"):
        check_readable(str(tmp_path / "a.png"), "content image")


def denied(path):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def tiff(path, tags=None, mark=b""):
    """A TIFF file with more tags, or with a mark where its pixels begin, behind the header of eight bytes."""
    if tags:
        Image.fromarray(gradient()).save(path, "TIFF", tiffinfo=tags)
        return str(path)
    save(path.with_suffix(".tif"), gradient())
    file = bytearray(path.with_suffix(".tif").read_bytes())
    file[8 : 8 + len(mark)] = mark
    return write(path, file)


RAW = {
    "preview": {"tags": {254: 1}},
    "DNG": {"tags": {50706: b"\1\4\0\0"}},
    "CR2": {"mark": b"CR\2\0"},
}


@pytest.mark.parametrize("how", RAW.values(), ids=RAW)
def test_a_raw_file_is_refused_though_it_has_a_preview(tmp_path, how):
    path = tiff(tmp_path / "photo.nef", **how)
    for read in (read_photo, check_readable):
        with pytest.raises(UserError, match=r"photo\.nef is a raw file; develop it, and give the TIFF or JPEG$"):
            read(path, "content image")


def test_pages_and_pictures_at_full_size_are_no_raw_files(tmp_path):
    for kind in (0, 2):
        assert np.array_equal(read_photo(tiff(tmp_path / "a.tif", {254: kind})).samples, gradient())


OTHERS = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "a raw file": b"FUJIFILMCCD-RAW 0201FF383501",
    "JPEG XL": b"\xff\x0a\xfa\x1f\x01",
    "a Photoshop document": b"8BPS\0\1\0\0",
    "OpenEXR": b"\x76\x2f\x31\x01\2\0\0\0",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_kind_that_is_not_read_has_its_name_in_the_message(tmp_path, kind):
    path = write(tmp_path / "photo.jpg", OTHERS[kind] + bytes(100))
    with pytest.raises(UserError, match=rf"^content image .*photo\.jpg is {kind}[^;]*; (export|convert|develop) it"):
        check_readable(path, "content image")


# A picture of 64x64 red pixels by heif-enc 1.15, packed.
HEIC = (
    "c-muNV30{GsVvAy%}izhg51nBLl8SRGck>Ufzcs1wIq=N0u(b+a*CjAhJwuG5(YHDSCCnf3uZ9_u~KGEKG;YX2OysjESv(Nfgl@*l`}K*(%|Yvft*w(C@-Td*$~7$kX"
    "cYv0HhaX79{5b=`x^%Gb0NJ+)lX<41fOq`o+M&&#VB{DDJ?>!}$L{NC7j$+#Mj2L2eh5gCbB)%ZZT@RbqicBg@UaC6i`7d*I-3paCQZCR&t$%Gq5Q4;F1uasXN)l384"
    "k3boJyiUkTXD>6X>%v@YtKuRpLAQu)=K<_d)GBpEP#knbopm0jpU|i24kz4=k?tchy4*mcCFDH;uGkgF4Ul;5D|37?d|Ed4~9;*Kn{<P=wrFj#37yOZo7o2o%Bd7UN"
    "@%;0=mdqy~J#DoyE#b&X_!?xR>#DyZjOB{?l{~rl;1i}NEEODm|0@6hQ^k4G"
)


def test_heic_is_read_or_has_its_name_in_the_message(tmp_path):
    path = write(tmp_path / "photo.heic", zlib.decompress(base64.b85decode(HEIC)))
    try:
        photo = read_photo(path)
    except UserError as error:
        assert str(error).endswith("photo.heic is HEIC, which is not read here; export it as JPEG, PNG or TIFF")
        with pytest.raises(UserError, match="is HEIC"):
            check_readable(path, "content image")
    else:
        np.testing.assert_allclose(photo.pixels.mean(axis=(0, 1)), [1, 0, 0], atol=0.1)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
def test_bmp_is_read(tmp_path, mode):
    picture = Image.fromarray(gradient()).convert(mode)
    picture.save(tmp_path / "a.bmp")
    photo = read_photo(str(tmp_path / "a.bmp"))
    assert np.array_equal(photo.samples, np.asarray(picture.convert("RGB")))
    expected = np.asarray(picture.convert("RGB" if mode in ("RGB", "P") else "L"))
    assert np.array_equal(read_mask_samples(str(tmp_path / "a.bmp"), "mask"), expected)
    write_photo(str(tmp_path / "out.png"), photo.strips(), photo)
    assert np.array_equal(read_photo(str(tmp_path / "out.png")).samples, photo.samples)


def test_bmp_is_checked_before_it_is_decoded(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.bmp")
    whole = (tmp_path / "a.bmp").read_bytes()
    for width, height, message in (
        (53, 15, "53x15 pixels, too few"),
        (60000, 60000, "60000x60000 pixels, more than 200 million"),
    ):
        path = write(tmp_path / "b.bmp", whole[:18] + struct.pack("<ll", width, height) + whole[26:])
        with pytest.raises(UserError, match=rf"^content image \S*b\.bmp has {message}"):
            check_readable(path, "content image")
    with pytest.raises(UserError, match=r"b\.bmp is damaged or truncated \(.*\); get a complete copy"):
        read_photo(write(tmp_path / "b.bmp", whole[:-500]))


@pytest.mark.parametrize("depth", [8, 16])
def test_lab_is_refused_by_its_name(tmp_path, depth):
    path = str(tmp_path / "a.tif")
    lab = pyvips.Image.new_from_array(gradient()).copy(interpretation="srgb").colourspace("lab" if depth == 8 else "labs")
    lab.tiffsave(path)
    with pytest.raises(UserError, match="has Lab colours, which are not read; save it as RGB of 8 or 16 bits"):
        check_readable(path, "content image")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp"])
def test_truncated_picture(tmp_path, extension, share):
    whole = tmp_path / f"whole.{extension}"
    Image.fromarray(noise()).save(whole)
    path = write(tmp_path / f"cut.{extension}", whole.read_bytes()[: int(share * whole.stat().st_size)])
    damaged = r"damaged or truncated \(.*\); get a complete copy|cannot be read as a picture; use a complete"
    with pytest.raises(UserError, match=damaged) as error:
        read_photo(path)
    assert "\n" not in str(error.value)


def test_max_pixels_is_adjustable(tmp_path):
    path = save(tmp_path / "a.png", gradient())
    limit = HEIGHT * WIDTH / 1e6
    assert read_photo(path, max_pixels=limit).size == (HEIGHT, WIDTH)
    with pytest.raises(UserError, match="raise `max_pixels`"):
        read_photo(path, max_pixels=limit * 0.99)


def test_16_pixels_a_side_are_enough(tmp_path):
    assert read_photo(save(tmp_path / "a.png", gradient()[:16, :16])).size == (16, 16)
    with pytest.raises(UserError, match="has 16x15 pixels, too few"):
        read_photo(save(tmp_path / "b.png", gradient()[:15, :16]))


def test_only_the_first_of_several_pictures_is_used_with_a_warning(tmp_path, caplog):
    first, second = Image.fromarray(gradient()), Image.fromarray(noise())
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert np.array_equal(read_photo(str(tmp_path / "a.tif")).samples, gradient())
    assert "holds 2 pictures; only the first is used" in caplog.text


def test_file_that_changed_is_read_anew(tmp_path):
    path = save(tmp_path / "a.png", gradient())
    read_photo(path)
    save(tmp_path / "a.png", noise())
    assert np.array_equal(read_photo(path).samples, noise())


def test_odd_names(tmp_path):
    for name in ("größe ü.png", "a[1].png", "[page=2].png"):
        path = str(tmp_path / name)
        check_writable(path)
        write_photo(path, gradient() / np.float32(255))
        assert np.array_equal(read_photo(path).samples, gradient())


# Bad output


@pytest.mark.parametrize(
    "name, message",
    [
        ("a.bmp", "has the unknown extension '.bmp'; use one of .png, .jpg, .jpeg, .tif, .tiff, .webp"),
        ("noextension", "has no extension; use one of .png, "),
        ("folder.png", "is a folder; give a file name"),
        ("folder", "is a folder; give a file name"),
        ("a" * 260 + ".png", "cannot be written (File name too long)"),
        ("file/a.png", "cannot be written (Not a directory)"),
        ("pipe.png", "is a pipe or a device; give a file name"),
    ],
)
def test_unwritable_output_is_reported_early(tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as error:
        check_writable(str(tmp_path / name))
    assert str(error.value).startswith("output image ") and message in str(error.value) and "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_check_writable_leaves_no_trace(tmp_path):
    check_writable(str(tmp_path / "a.png"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "b.PNG").write_bytes(b"old")
    check_writable(str(tmp_path / "b.PNG"))
    assert (tmp_path / "b.PNG").read_bytes() == b"old"


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp"])
def test_check_result_writes_a_corner_and_leaves_no_trace(tmp_path, caplog, extension):
    photo = read_photo(save(tmp_path / "in.tif", gradient(np.uint16, 4), profile="p3"))
    photo.metadata["exif-data"] = DAMAGED_EXIF
    (tmp_path / f"out{extension}").write_bytes(b"old")
    check_result(str(tmp_path / f"out{extension}"), photo)
    assert sorted(os.listdir(tmp_path)) == ["in.tif", f"out{extension}"] and not caplog.records
    assert (tmp_path / f"out{extension}").read_bytes() == b"old"
    with pytest.raises(UserError, match=r"output image .*out.* cannot be written \(.*\); choose another place or format"):
        check_result(str(tmp_path / "none" / f"out{extension}"), photo)


def test_too_large_for_the_format_leaves_nothing_behind(tmp_path):
    # WebP ends at 16383 pixels a side.
    with pytest.raises(UserError, match=r"output image .*a\.webp cannot be written \(.*\); choose another place or format"):
        write_photo(str(tmp_path / "a.webp"), np.zeros((16, 16400, 3), np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp"])
def test_failing_write_keeps_the_old_file_and_no_other(tmp_path, monkeypatch, extension):
    path = tmp_path / f"a.{extension}"
    path.write_bytes(b"old")
    photo = Photo(gradient())

    def stopped():
        yield photo.rows(0, 10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_photo(str(path), stopped(), like=photo)
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left on device"):
        write_photo(str(path), photo.strips(), like=photo)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"old"


def test_strips_must_make_up_the_photo(tmp_path):
    photo = Photo(gradient())
    with pytest.raises(UserError, match=r"^image has 20 rows in its strips, and its photo 37; "):
        write_photo(str(tmp_path / "a.png"), iter([photo.rows(0, 20)]), like=photo)
    with pytest.raises(UserError, match=r"^image is not an array; "):
        write_photo(str(tmp_path / "a.png"), photo.strips())
    assert not list(tmp_path.iterdir())


def test_strips_are_the_pixels():
    photo = Photo(noise(np.uint16))
    assert np.array_equal(np.concatenate(list(photo.strips(10))), photo.pixels)
    assert photo.pixels.dtype == np.float32 and photo.size == (HEIGHT, WIDTH)
    assert STRIP > HEIGHT and len(list(photo.strips())) == 1


# What cannot be carried


HEADLINE = b"\x1c\x02\x69\0\x04Lake"  # IPTC IIM 4.2, record 2, data set 105


def with_iptc(path):
    """A JPEG or TIFF with a headline."""
    if path.suffix == ".tif":
        Image.fromarray(gradient()).save(path, tiffinfo={33723: HEADLINE})
        return
    Image.fromarray(gradient()).save(path)
    content = path.read_bytes()
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">L", len(HEADLINE)) + HEADLINE + b"\0" * (len(HEADLINE) % 2)
    path.write_bytes(content[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + content[2:])


@pytest.mark.parametrize("before", [".jpg", ".tif"])
@pytest.mark.parametrize("after", [".jpg", ".png", ".tif", ".webp"])
def test_iptc_is_kept_from_jpeg_to_jpeg_and_otherwise_its_loss_is_reported(tmp_path, caplog, before, after):
    source, target = tmp_path / f"a{before}", tmp_path / f"b{after}"
    with_iptc(source)
    photo = read_photo(str(source))
    write_photo(str(target), photo.pixels, photo, drop_exif=True)
    assert not caplog.records and b"Lake" not in target.read_bytes()
    write_photo(str(target), photo.pixels, photo)
    kept = (before, after) == (".jpg", ".jpg")
    assert (HEADLINE in target.read_bytes()) == kept
    told = [record.getMessage() for record in caplog.records]
    assert told == ([] if kept else [f"output image {target} cannot hold the content's IPTC; it is left out"])


DAMAGED_EXIF = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(64))


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp"])
def test_a_result_is_written_without_the_metadata_that_cannot_be_carried(tmp_path, caplog, extension):
    photo = Photo(gradient(), metadata={"exif-data": DAMAGED_EXIF})
    write_photo(str(tmp_path / f"a{extension}"), photo.strips(), photo)
    with Image.open(tmp_path / f"a{extension}") as written:
        assert written.size == (WIDTH, HEIGHT)
        assert np.abs(np.asarray(written.convert("RGB"), int) - gradient()).mean() < 3
    assert len(caplog.records) <= 1 and all("left out" in record.getMessage() for record in caplog.records)
    assert os.listdir(tmp_path) == [f"a{extension}"]


def test_damaged_exif_costs_a_tiff_a_warning_and_no_more(tmp_path, caplog):
    photo = Photo(gradient(), metadata={"exif-data": DAMAGED_EXIF})
    write_photo(str(tmp_path / "a.tif"), photo.strips(), photo)
    np.testing.assert_array_equal(read_photo(str(tmp_path / "a.tif")).samples, gradient())
    (record,) = caplog.records
    assert record.getMessage().startswith(f"output image {tmp_path / 'a.tif'} cannot hold the content's EXIF, XMP and IPTC (")


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp"])
def test_a_profile_with_bytes_after_its_end_is_carried_without_them(tmp_path, extension):
    save(tmp_path / "p3.png", gradient(), profile="p3")
    with Image.open(tmp_path / "p3.png") as picture:
        profile = picture.info["icc_profile"]
    Image.fromarray(gradient()).save(tmp_path / "long.jpg", icc_profile=profile + b"more")
    photo = read_photo(str(tmp_path / "long.jpg"))
    write_photo(str(tmp_path / f"a{extension}"), photo.strips(), photo)
    with Image.open(tmp_path / f"a{extension}") as written:
        assert written.info["icc_profile"] == profile


def test_a_profile_that_the_format_refuses_is_left_out_and_the_colours_kept(tmp_path, caplog):
    save(tmp_path / "p3.png", gradient(), profile="p3")
    photo = read_photo(str(tmp_path / "p3.png"))
    broken = {"icc-profile-data": photo.metadata["icc-profile-data"] + b"more"}  # not as a file that is read may have it
    bad = dataclasses.replace(photo, metadata=broken)
    write_photo(str(tmp_path / "a.png"), photo.strips(), bad)
    (record,) = caplog.records
    assert "cannot hold the content's metadata and colour profile (" in record.getMessage()
    with Image.open(tmp_path / "a.png") as written:
        assert "icc_profile" not in written.info
    seen = np.concatenate(list(read_photo(str(tmp_path / "a.png")).strips()))
    np.testing.assert_allclose(seen, np.clip(np.concatenate(list(photo.strips())), 0, 1), atol=1.01 / 255)


# What strangers call their files, and how large they say they are


@pytest.mark.parametrize("name", ["caf\udce9.png", "a.png[n=1]", "a b\n.png", "-x.png", "%d.png"])
def test_names_that_libvips_does_not_take_as_they_are(tmp_path, name):
    path = str(tmp_path / name)
    Image.fromarray(gradient()).save(os.fsencode(tmp_path / "plain.png"))
    os.rename(tmp_path / "plain.png", path)
    np.testing.assert_array_equal(read_photo(path).samples, gradient())
    assert thumbnail(path, 20).startswith(b"\xff\xd8")
    if not name.endswith("]"):
        write_photo(path, gradient().astype(np.float32) / 255)
        np.testing.assert_array_equal(read_photo(path).samples, gradient())
    assert len(os.listdir(tmp_path)) == 1


def test_a_thumbnail_is_of_no_more_pixels_than_are_read(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000_000, 16, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    png = b"".join(struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
    with pytest.raises(UserError, match="60000000x16 pixels"):
        thumbnail(str(tmp_path / "a.png"), 320)
    with pytest.raises(UserError, match="pixels"):
        thumbnail(save(tmp_path / "b.png", gradient()), 320, max_pixels=0.001)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a.png is a pipe or a device; save it as a file first$"):
        check_readable(str(tmp_path / "a.png"), "content image")
