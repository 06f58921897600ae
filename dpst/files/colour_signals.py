"""Colours told by other means than an ICC profile: as code points, by numbers in PNG, by a letter in EXIF.

Code points are those of ITU-T H.273 (2021), tables 2 and 3; PNG has them in cICP, AVIF in a box of the kind nclx. What is told is
made an ICC profile, so that the rest of the program, and whoever gets the result, need know of no other way.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable

import numpy as np

from dpst.imaging.vips import pyvips

# x and y of red, green, blue and white, by H.273's code points: BT.709 and sRGB, BT.2020, DCI-P3, Display P3.
Primaries = tuple[float, ...]
_D65 = (0.3127, 0.3290)
SRGB: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
_PRIMARIES: dict[int, Primaries] = {
    1: SRGB,
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
}
# Adobe RGB (1998), which cameras mark with R03 in EXIF's directory of interoperability (Exif 2.32, annex C; DCF 2.0, 4.2).
ADOBE: Primaries = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65)
ADOBE_GAMMA = 563 / 256
# Curves by H.273's code points: powers; those of light far above white; all others are taken for sRGB's, as pictures mean them.
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}
# PNG's gAMA of a picture in sRGB (PNG 3, 11.3.2.5), give or take, and what is a power at all.
_SRGB_GAMMA, _ANY_GAMMA = (1 / 0.47, 1 / 0.44), (0.2, 5.0)
# Primaries that differ less are the same.
_SAME = 0.003
# X, Y or Z of a primary colour, of which three make up white.
_MAX_XYZ = 2.0
# Chunks, and bytes, before a picture's pixels, in which colours are looked for.
_CHUNKS, _BYTES = 1000, 1 << 16
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclasses.dataclass(frozen=True)
class Signal:
    """What a file tells of its colours: an ICC profile, empty for sRGB or nothing; or the name of a curve for HDR."""

    profile: bytes = b""
    hdr: str = ""


def read_signal(path: str, image: pyvips.Image) -> Signal:
    """What the file of a picture tells of its colours beside an ICC profile, or before it: PNG's cICP comes first."""
    has_profile, loader = bool(image.get_typeof("icc-profile-data")), image.get("vips-loader")
    if loader.startswith("png"):
        chunks = _png_chunks(path)
        if len(chunks.get(b"cICP", b"")) == 4:
            return _of_code_points(*chunks[b"cICP"][:2])
        if not has_profile and chunks.keys() & {b"sRGB", b"gAMA", b"cHRM"}:
            return _of_png(chunks)
    if loader.startswith("heif") and not has_profile:
        with open(path, "rb") as file:
            found = re.search(rb"colrnclx(....)", file.read(_BYTES), re.DOTALL)
        return _of_code_points(*struct.unpack(">HH", found[1])) if found else Signal()
    name = "exif-ifd4-InteroperabilityIndex"
    if not has_profile and image.get_typeof(name) and str(image.get(name)).startswith("R03"):
        return Signal(_profile(ADOBE, lambda levels: levels**ADOBE_GAMMA))
    return Signal()


def _of_code_points(primaries: int, curve: int) -> Signal:
    if curve in _HDR:
        return Signal(hdr=_HDR[curve])
    return _of_numbers(_PRIMARIES.get(primaries, SRGB), _GAMMAS.get(curve))


def _of_png(chunks: dict[bytes, bytes]) -> Signal:
    if b"sRGB" in chunks:
        return Signal()
    gamma, primaries = None, SRGB
    if len(chunks.get(b"gAMA", b"")) == 4:
        power = 100_000 / max(1, int.from_bytes(chunks[b"gAMA"], "big"))
        plausible, srgb = (low < power < high for low, high in (_ANY_GAMMA, _SRGB_GAMMA))
        gamma = power if plausible and not srgb else None
    if len(chunks.get(b"cHRM", b"")) == 32:
        white_x, white_y, *others = (number / 100_000 for number in struct.unpack(">8L", chunks[b"cHRM"]))
        primaries = (*others, white_x, white_y)
    return _of_numbers(primaries, gamma)


def _of_numbers(primaries: Primaries, gamma: float | None) -> Signal:
    """The profile of these primaries and a power, or sRGB's curve; none where that is sRGB, or nothing that can be."""
    x, y = np.reshape(primaries, (4, 2)).T
    same = np.abs(np.subtract(primaries, SRGB)).max() < _SAME
    possible = (y > 0.01).all() and (x + y <= 1).all() and 0.2 < x[3] < 0.5 and 0.2 < y[3] < 0.5
    apart = possible and abs(np.linalg.det(np.stack([x, y, 1 - x - y])[:, :3])) > 0.01
    if not apart or (same and gamma is None):
        return Signal()
    return Signal(_profile(primaries, _srgb_curve if gamma is None else lambda levels: levels**gamma))


def _srgb_curve(levels: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def to_xyz(primaries: Primaries) -> np.ndarray:
    """The matrix (3, 3) from linear light of these primaries, whose white is 1, 1, 1, to XYZ of the same white with Y = 1."""
    x, y = np.reshape(primaries, (4, 2)).T
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])  # of red, green, blue and white, each with Y = 1
    return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])


def _profile(primaries: Primaries, curve: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """An ICC profile of version 2.4 (ICC.1:2001-04) of three primaries and one curve, from levels to light, both 0..1.

    Empty where the primaries are none: far from what they are in any space of colours.
    """
    xyz = to_xyz(primaries)
    scales = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ xyz.sum(1)))
    colours = np.linalg.inv(_BRADFORD) @ scales @ _BRADFORD @ xyz
    if np.abs(colours).max() > _MAX_XYZ:
        return b""
    light = np.rint(65535 * curve(np.linspace(0, 1, 4096))).astype(">u2")
    tags = {
        b"desc": b"desc" + struct.pack(">4xL", 9) + b"as told\0\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        **{name + b"XYZ": b"XYZ \0\0\0\0" + _fixed(colour) for name, colour in zip((b"r", b"g", b"b"), colours.T, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + struct.pack(">4xL", light.size) + light.tobytes()),
    }
    directory, data, places = struct.pack(">L", len(tags)), b"", {}
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        if value not in places:
            places[value] = start + len(data)
            data += value + b"\0" * (-len(value) % 4)
        directory += name + struct.pack(">LL", places[value], len(value))
    kind = struct.pack(">L4xL4s4s4s12x4s28x", start + len(data), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (kind + _fixed(_D50)).ljust(128, b"\0") + directory + data


def _fixed(numbers) -> bytes:
    return struct.pack(f">{len(numbers)}l", *(round(65536 * number) for number in numbers))


def _png_chunks(path: str) -> dict[bytes, bytes]:
    """The small chunks of a PNG file before its pixels, the first of each name."""
    found: dict[bytes, bytes] = {}
    with open(path, "rb") as file:
        file.seek(8)
        for _ in range(_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                break
            length = int.from_bytes(head[:4], "big")
            if length <= 32:
                found.setdefault(head[4:], file.read(length))
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)
    return found
