"""LUTs on a photo: by strength, by region, and strip by strip."""

import numpy as np
import pytest

from dpst.files.luts import Lut
from dpst.imaging.fitted_masks import FittedMasks
from dpst.imaging.strips import restyled
from dpst.solver.lut_look import LutLook


def photo(height=24, width=17):
    return np.random.default_rng(3).random((height, width, 3), dtype=np.float32)


def curves(low, high):
    """The same line for each channel; it may leave 0..1."""
    return Lut(np.float32([(low,) * 3, (high,) * 3]))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_strength_is_the_share_of_the_change(strength):
    content = photo()
    expected = np.clip(content + strength * (1.25 * content - 0.1 - content), 0, 1)
    np.testing.assert_allclose(LutLook([curves(-0.1, 1.15)]).apply(content, 0, 24, strength), expected, atol=1e-6)


def test_each_region_has_its_lut_and_the_rest_stays():
    content = np.full((36, 18, 3), 0.5, np.float32)
    masks = np.zeros((36, 18, 2), np.float32)
    masks[:12, :, 0] = masks[12:24, :, 1] = 1
    result = LutLook([curves(0, 0.5), curves(0.5, 1)], FittedMasks.fitted(masks, content)).apply(content, 0, 36)
    np.testing.assert_allclose(result[:8], 0.25, atol=1e-3)
    np.testing.assert_allclose(result[16:20], 0.75, atol=1e-3)
    np.testing.assert_allclose(result[28:], 0.5, atol=1e-3)


def test_one_region_that_is_everywhere_is_the_whole_photo():
    content, lut = photo(), curves(0.2, 0.7)
    masks = FittedMasks.fitted(np.ones((24, 17, 1), np.float32), content)
    np.testing.assert_allclose(LutLook([lut], masks).apply(content, 0, 24), LutLook([lut]).apply(content, 0, 24), atol=1e-5)


def test_strips_make_up_the_photo():
    content = photo()
    masks = np.random.default_rng(0).dirichlet((1, 1), (12, 9)).astype(np.float32)
    look = LutLook([curves(0, 0.5), curves(0.5, 1)], FittedMasks.fitted(masks, content[::2, ::2]))
    strips = restyled(look, iter((content[:10], content[10:11], content[11:])), 24, 0.7)
    np.testing.assert_allclose(np.concatenate(list(strips)), look.apply(content, 0, 24, 0.7), atol=1e-6)
