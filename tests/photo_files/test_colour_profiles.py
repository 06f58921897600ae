"""Colours by ICC profile, against the definitions of the colour spaces."""

import numpy as np
import pytest
import pyvips
from PIL import ImageCms

from photo_files.colour_profiles import from_srgb, is_rgb, is_srgb, to_srgb

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


def test_profiles_are_told_apart():
    assert is_srgb(SRGB) and not is_srgb(DISPLAY_P3)
    assert is_rgb(SRGB) and is_rgb(DISPLAY_P3)
    assert not is_rgb(CMYK) and not is_rgb(b"no profile " * 20) and not is_rgb(b"")
