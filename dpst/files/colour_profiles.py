"""Colours by ICC profile: into sRGB for the work, and back into the photo's own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dpst.imaging.vips import pyvips

# Photos' colours are kept as they measure, but for black, which each profile puts elsewhere.
COLORIMETRIC = {"intent": "relative", "black_point_compensation": True}
# Bytes of a profile's header (ICC.1:2022, 7.2).
_HEADER = 128


def unit(samples: np.ndarray) -> np.ndarray:
    """Integer samples as float32 in 0..1."""
    return samples / np.float32(np.iinfo(samples.dtype).max)


def trimmed(profile: bytes) -> bytes:
    """A profile without what follows its end, by its header (ICC.1:2022, 7.2.2); libpng takes no other."""
    size = int.from_bytes(profile[:4], "big")
    return profile[:size] if _HEADER < size < len(profile) else profile


def is_rgb(profile: bytes) -> bool:
    """Whether these bytes are an ICC profile for RGB, by its header (ICC.1:2022, 7.2: colour space, signature)."""
    return profile[16:20] == b"RGB " and profile[36:40] == b"acsp"


def is_srgb(profile: bytes) -> bool:
    """Whether no colour of a 6x6x6 grid differs from sRGB by more than one level of 8 bits, roundings included."""
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(levels.size, -1, 3)
    return np.abs(to_srgb(grid, profile).numpy() - unit(grid)).max() <= 1.5 / 255


def has_way_back(profile: bytes) -> bool:
    """Whether colours can be converted to this profile too; many of scanners and cameras only lead from the device."""
    try:
        with from_srgb(profile) as convert:
            convert(np.zeros((1, 1, 3), np.float32))
    except pyvips.Error:
        return False
    return True


def to_srgb(samples: np.ndarray, profile: bytes | None) -> pyvips.Image:
    """The picture in sRGB, computed when its pixels are asked for.

    Args:
        samples: (h, w, 3), or (h, w, 4) with an alpha that is left out; uint8 or uint16.
        profile: their ICC profile, or None for sRGB.

    Returns:
        float (h, w, 3), 0..1; colours outside sRGB are clipped.
    """
    image = pyvips.Image.new_from_array(samples)[0:3]
    levels = np.iinfo(samples.dtype).max
    if profile is not None:
        image = image.copy(interpretation="rgb16" if samples.dtype == np.uint16 else "srgb")
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        image = converted(image, 16)
        levels = 65535
    return (image / float(levels)).cast("float")


def converted(image: pyvips.Image, depth: int) -> pyvips.Image:
    """A picture of RGB, by its embedded profile, in sRGB of so many bits, 16 where it has them itself; its alpha is kept."""
    colours, alpha = image[0:3], image.bandsplit()[3:]
    if image.format == "ushort":
        # In one step, 16 bits are converted by a coarse table, up to 0.1 wrong where sRGB ends; in float XYZ it is 0.01.
        colours = colours.icc_import(embedded=True, pcs="xyz", **COLORIMETRIC)
        colours = colours.icc_export(output_profile="srgb", pcs="xyz", depth=16, **COLORIMETRIC)
    else:
        colours = colours.icc_transform("srgb", embedded=True, depth=depth, **COLORIMETRIC)
    return colours.bandjoin(alpha) if alpha else colours


@contextlib.contextmanager
def from_srgb(profile: bytes) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """A function from float32 (h, w, 3), sRGB, 0..1, to the same in the colours of `profile`, 0..1."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "profile.icc")  # libvips converts to a profile in a file only
        path.write_bytes(profile)

        def convert(image: np.ndarray) -> np.ndarray:
            wide = pyvips.Image.new_from_array(np.rint(65535 * np.clip(image, 0, 1)).astype(np.uint16))
            wide = wide.copy(interpretation="rgb16")
            return unit(wide.icc_transform(str(path), input_profile="srgb", depth=16, **COLORIMETRIC).numpy())

        yield convert
