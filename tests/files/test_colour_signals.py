"""Colours told by code points, by numbers in PNG and by a letter in EXIF, against the definitions of the colour spaces."""

import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image

from dpst.errors import UserError
from dpst.files.photos import read_mask_samples, read_photo
from dpst.files.writing import write_photo

SRGB = (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)
P3 = (0.680, 0.320), (0.265, 0.690), (0.15, 0.06)
BT2020 = (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)
ADOBE = (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)
WHITE = [0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290]  # D65


def srgb_to_linear(colours):
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def to_srgb(linear, primaries):
    """Light of these primaries and D65 as sRGB, clipped (IEC 61966-2-1)."""

    def to_xyz(primaries):
        xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        return xyz * np.linalg.solve(xyz, WHITE)

    linear = np.clip(linear @ np.linalg.solve(to_xyz(SRGB), to_xyz(primaries)).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def muted(dtype=np.uint16, shape=(20, 30, 3)):
    """Colours inside sRGB whatever the primaries."""
    return np.rint(np.iinfo(dtype).max * np.random.default_rng(0).uniform(0.45, 0.6, shape)).astype(dtype)


def chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(path, samples, *chunks, **settings):
    """A PNG file with more chunks behind its header."""
    kind = {2: "grey16", 3: "rgb16"}[samples.ndim] if samples.dtype == np.uint16 else "srgb"
    file = pyvips.Image.new_from_array(samples).copy(interpretation=kind).pngsave_buffer(**settings)
    path.write_bytes(file[:33] + b"".join(chunk(*each) for each in chunks) + file[33:])
    return str(path)


def gama(number):
    return b"gAMA", struct.pack(">L", number)


def chrm(primaries):
    return b"cHRM", struct.pack(">8L", 31270, 32900, *(round(1e5 * number) for pair in primaries for number in pair))


CASES = {
    "Display P3 by cICP": ([(b"cICP", bytes([12, 13, 0, 1]))], srgb_to_linear, P3),
    "BT.2020 by cICP": ([(b"cICP", bytes([9, 13, 0, 1]))], srgb_to_linear, BT2020),
    "linear by cICP": ([(b"cICP", bytes([1, 8, 0, 1]))], lambda levels: levels, SRGB),
    "linear by gAMA": ([gama(100_000)], lambda levels: levels, SRGB),
    "1.8 by gAMA": ([gama(55_556)], lambda levels: levels**1.8, SRGB),
    "Adobe RGB by cHRM and gAMA": ([gama(55_556), chrm(ADOBE)], lambda levels: levels**1.8, ADOBE),
    "cICP before gAMA": ([gama(100_000), (b"cICP", bytes([12, 13, 0, 1]))], srgb_to_linear, P3),
}


@pytest.mark.parametrize("case", CASES)
def test_colours_of_a_png_by_definition(tmp_path, case, caplog):
    chunks, curve, primaries = CASES[case]
    photo = read_photo(png(tmp_path / "a.png", muted(), *chunks))
    expected = to_srgb(curve(muted() / 65535), primaries)
    np.testing.assert_allclose(photo.pixels, expected, atol=3e-3)
    assert np.abs(muted() / 65535 - expected).max() > 0.01 and not caplog.records
    write_photo(str(tmp_path / "out.png"), photo.strips(), photo)
    again = read_photo(str(tmp_path / "out.png"))
    assert np.array_equal(again.samples, muted()) and again.profile == photo.profile
    np.testing.assert_allclose(again.pixels, expected, atol=3e-3)


def test_grey_and_alpha_use_signalled_colours_too(tmp_path):
    grey = muted(shape=(20, 30))
    photo = read_photo(png(tmp_path / "a.png", grey, gama(100_000)))
    expected = to_srgb((grey / 65535)[..., None].repeat(3, 2), SRGB)
    np.testing.assert_allclose(photo.pixels, expected, atol=3e-3)
    four = muted(shape=(20, 30, 4))
    photo = read_photo(png(tmp_path / "b.png", four, gama(100_000)))
    assert np.array_equal(photo.samples[..., 3], four[..., 3]) and photo.profile


PLAIN = {
    "nothing": [],
    "sRGB by gAMA": [gama(45_455)],
    "sRGB by gAMA and cHRM": [gama(45_455), chrm(SRGB)],
    "sRGB before gAMA": [(b"sRGB", b"\0"), gama(100_000)],
    "sRGB by cICP": [(b"cICP", bytes([1, 13, 0, 1]))],
    "no colours at all": [gama(0), (b"cHRM", bytes(32))],
    "points on a line": [chrm(((0.3, 0.3), (0.2, 0.2), (0.1, 0.1)))],
    "too short": [(b"cICP", b"\x0c"), (b"gAMA", b"\0")],
}


@pytest.mark.parametrize("case", PLAIN)
def test_what_tells_srgb_or_nothing_that_can_be_is_srgb(tmp_path, case):
    photo = read_photo(png(tmp_path / "a.png", muted(), *PLAIN[case]))
    assert photo.profile is None and "icc-profile-data" not in photo.metadata


def test_a_profile_comes_before_numbers_and_after_code_points(tmp_path):
    p3 = pyvips.Operation.call("profile_load", "p3")
    by_profile = read_photo(png(tmp_path / "a.png", muted(), gama(100_000), profile="p3"))
    assert by_profile.profile == p3
    by_points = read_photo(png(tmp_path / "b.png", muted(), (b"cICP", bytes([9, 13, 0, 1])), profile="p3"))
    np.testing.assert_allclose(by_points.pixels, to_srgb(srgb_to_linear(muted() / 65535), BT2020), atol=3e-3)


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_for_photos_and_not_for_masks(tmp_path, curve, name):
    path = png(tmp_path / "a.png", muted(np.uint8), (b"cICP", bytes([9, curve, 0, 1])))
    with pytest.raises(
        UserError, match=rf"a\.png is HDR \({name}\), which is not read; export it as SDR, in sRGB or Display P3$"
    ):
        read_photo(path)
    assert np.array_equal(read_mask_samples(path, "mask"), muted(np.uint8))


@pytest.mark.parametrize("extension", ["jpg", "webp", "png"])
def test_adobe_rgb_by_exif(tmp_path, extension):
    samples = np.rint(np.full((20, 30, 3), (90, 150, 120))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "Maker"  # Pillow writes none without
    exif.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    how = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}, "png": {}}[extension]
    Image.fromarray(samples).save(tmp_path / f"a.{extension}", exif=exif, **how)
    photo = read_photo(str(tmp_path / f"a.{extension}"))
    np.testing.assert_allclose(photo.pixels, to_srgb((samples / 255) ** (563 / 256), ADOBE), atol=2.5 / 255)
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    Image.fromarray(samples).save(tmp_path / f"b.{extension}", exif=exif, **how)
    assert read_photo(str(tmp_path / f"b.{extension}")).profile is None


@pytest.mark.skipif(not pyvips.type_find("VipsOperation", "heifsave"), reason="this libvips writes no AVIF")
def test_code_points_of_avif(tmp_path):
    image = pyvips.Image.new_from_array(np.full((64, 64, 3), (90, 150, 120), np.uint8)).copy(interpretation="srgb")
    file = image.heifsave_buffer(compression="av1", lossless=True)
    at = file.find(b"colrnclx")
    assert at > 0
    for points, profile in (((1, 13), False), ((12, 13), True)):
        (tmp_path / "a.avif").write_bytes(file[: at + 8] + struct.pack(">HH", *points) + file[at + 12 :])
        assert bool(read_photo(str(tmp_path / "a.avif")).profile) == profile
    (tmp_path / "a.avif").write_bytes(file[: at + 8] + struct.pack(">HH", 9, 16) + file[at + 12 :])
    with pytest.raises(UserError, match=r"is HDR \(PQ\)"):
        read_photo(str(tmp_path / "a.avif"))
