"""Colours by ICC profile, against the definitions of the colour spaces."""

import struct

import numpy as np
import pytest
import pyvips
from PIL import ImageCms

from dpst.files.colour_profiles import from_srgb, has_way_back, is_rgb, is_srgb, to_srgb
from dpst.files.photos import read_photo
from dpst.files.writing import write_photo

DISPLAY_P3 = pyvips.Operation.call("profile_load", "p3")
CMYK = pyvips.Operation.call("profile_load", "cmyk")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def p3_to_srgb(colours):
    """By primaries, white point D65 and transfer curve of both (SMPTE EG 432-1, IEC 61966-2-1), clipped."""

    def to_xyz(primaries):
        xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        return xyz * np.linalg.solve(xyz, [0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])

    srgb, p3 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), ((0.680, 0.320), (0.265, 0.690), (0.15, 0.06))
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.linalg.solve(to_xyz(srgb), to_xyz(p3)).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("dtype, accuracy", [(np.uint8, 4e-3), (np.uint16, 8e-3)])
def test_display_p3_by_its_definition(dtype, accuracy):
    levels = np.iinfo(dtype).max
    muted = np.random.default_rng(0).uniform(0.2, 0.7, (20, 30, 3))
    samples = np.rint(levels * muted).astype(dtype)
    samples[0] = levels * np.array([1, 0, 0], dtype)  # outside sRGB
    expected = p3_to_srgb(samples / levels)
    np.testing.assert_allclose(to_srgb(samples, DISPLAY_P3).numpy(), expected, atol=accuracy)
    assert np.abs(samples / levels - expected).max() > 0.05


def test_way_there_inverts_the_way_back():
    image = np.random.default_rng(0).uniform(0.1, 0.9, (20, 30, 3)).astype(np.float32)
    with from_srgb(DISPLAY_P3) as back:
        own = back(image)
    assert np.abs(own - image).max() > 0.03
    there = to_srgb(np.rint(65535 * own).astype(np.uint16), DISPLAY_P3).numpy()
    np.testing.assert_allclose(there, image, atol=8e-3)


def test_without_profile_samples_are_srgb_and_alpha_is_left_out():
    samples = np.random.default_rng(0).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    image = to_srgb(samples, None).numpy()
    assert image.dtype == np.float32 and np.array_equal(np.rint(image * 255), samples[..., :3])


def test_profiles_are_distinguished():
    assert is_srgb(SRGB) and not is_srgb(DISPLAY_P3)
    assert is_rgb(SRGB) and is_rgb(DISPLAY_P3)
    assert not is_rgb(CMYK) and not is_rgb(b"no profile " * 20) and not is_rgb(b"")


def input_profile():
    """A profile with a table from RGB to L* = 100 (R + G + B) / 3, grey, and none back (ICC.1:2001-04, 6.5.7, lut8Type)."""
    corners = bytes(level for total in (0, 1, 1, 2, 1, 2, 2, 3) for level in (85 * total, 128, 128))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1\0\0\0\0" + bytes([3, 3, 2, 0]) + matrix + bytes(range(256)) * 3 + corners + bytes(range(256)) * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc\0\0\0\0" + struct.pack(">L", 8) + b"scanner\0" + bytes(78)
    parts, offset = {b"A2B0": table, b"wtpt": white, b"desc": name, b"cprt": b"text\0\0\0\0none\0"}, 128 + 4 + 4 * 12
    directory = struct.pack(">L", len(parts))
    for tag, data in parts.items():
        directory += tag + struct.pack(">LL", offset, len(data))
        offset += len(data)
    header = struct.pack(">L4sL4s4s4s12x4s28x", offset, b"none", 0x02400000, b"scnr", b"RGB ", b"Lab ", b"acsp")
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + b"".join(parts.values())


def lightness_to_srgb(lightness):
    """The level, 0..1, of a grey of this L* above 8 (CIE 15:2004, 8.2.1; IEC 61966-2-1)."""
    return 1.055 * ((lightness + 16) / 116) ** (3 / 2.4) - 0.055


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_photo_with_a_profile_that_leads_in_alone_becomes_srgb(tmp_path, caplog, depth, channels):
    profile, dtype = input_profile(), np.uint8 if depth == 8 else np.uint16
    assert is_rgb(profile) and not is_srgb(profile) and not has_way_back(profile) and has_way_back(DISPLAY_P3)
    most = np.iinfo(dtype).max
    samples = np.random.default_rng(0).integers(most // 4, most, (20, 30, channels)).astype(dtype)
    scan = pyvips.Image.new_from_array(samples).copy(interpretation="srgb" if depth == 8 else "rgb16")
    scan.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    scan.write_to_file(str(tmp_path / "scan.tif"))
    photo = read_photo(str(tmp_path / "scan.tif"))
    assert photo.profile is None and "icc-profile-data" not in photo.metadata and photo.samples.dtype == dtype
    expected = lightness_to_srgb(100 * samples[..., :3].mean(-1, keepdims=True) / most)
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(expected, (20, 30, 3)), atol=6e-3)
    np.testing.assert_array_equal(photo.samples[..., 3:], samples[..., 3:])
    (record,) = caplog.records
    assert "has an input-only colour profile, such as a scanner's; it is converted to sRGB" in record.getMessage()
    write_photo(str(tmp_path / "result.tif"), photo.strips(), photo)
    np.testing.assert_array_equal(read_photo(str(tmp_path / "result.tif")).samples, photo.samples)
