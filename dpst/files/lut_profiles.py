"""The colours that LUTs are made for, and the way between them and sRGB. All have sRGB's white.

Logs of cameras are not among them: a LUT for a log expects light far above a photo's white, and turns it into a picture for a
screen as the making of the photo already did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dpst.errors import UserError
from dpst.files.colour_signals import ADOBE, ADOBE_GAMMA, SRGB, to_xyz
from dpst.options import LUT_PROFILES

SRGB_PROFILE = LUT_PROFILES[0]


class _Profile(NamedTuple):
    """From sRGB's linear light: to these primaries, and by this power to what files hold."""

    matrix: np.ndarray
    power: float


_PROFILES = {
    # Adobe RGB (1998) Color Image Encoding, 4.3.4 and 4.3.1.
    "adobe-rgb": _Profile(np.linalg.solve(to_xyz(ADOBE), to_xyz(SRGB)), ADOBE_GAMMA),
    # ITU-R BT.709, whose primaries are sRGB's, on the display that films are graded on (ITU-R BT.1886, black of 0).
    "rec709": _Profile(np.eye(3), 2.4),
}


def check_lut_profile(profile: str) -> None:
    """Refuses what is no name of a profile.

    Raises:
        UserError: it is none.
    """
    if profile not in LUT_PROFILES:
        raise UserError(f"LUT profile {profile} is unknown; use one of {', '.join(LUT_PROFILES)}")


def in_profile(look_up: Callable[[np.ndarray], np.ndarray], profile: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function of colours (..., 3) of a profile as one of colours in sRGB; its results are then cut to 0..1."""
    if profile == SRGB_PROFILE:
        return look_up
    return lambda image: to_srgb(look_up(from_srgb(image, profile)), profile)


def from_srgb(image: np.ndarray, profile: str) -> np.ndarray:
    """Colours (..., 3) in sRGB, 0..1, as those of a profile, float32, 0..1."""
    if profile == SRGB_PROFILE:
        return image
    matrix, power = _PROFILES[profile]
    light = np.asarray(image, np.float32)
    light = np.where(light <= 0.04045, light / 12.92, ((np.maximum(light, 0) + 0.055) / 1.055) ** np.float32(2.4))
    return np.clip(light @ matrix.T.astype(np.float32), 0, 1) ** np.float32(1 / power)


def to_srgb(image: np.ndarray, profile: str) -> np.ndarray:
    """Colours (..., 3) of a profile, as sRGB, float32, 0..1: what these do not hold is cut off."""
    if profile == SRGB_PROFILE:
        return image
    matrix, power = _PROFILES[profile]
    light = np.clip(np.asarray(image, np.float32), 0, 1) ** np.float32(power)
    light = np.clip(light @ np.linalg.inv(matrix).T.astype(np.float32), 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
