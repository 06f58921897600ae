"""The picture of both photos with their regions."""

import numpy as np
import pytest

from dpst.regions.preview import preview
from dpst.regions.regions import Regions, Unmatched


def test_preview_tints_the_regions_and_stripes_what_is_in_none():
    content, style = np.full((60, 90, 3), 0.5, np.float32), np.full((70, 40, 3), 0.5, np.float32)
    masks, style_masks = np.zeros((60, 90, 2), np.float32), np.ones((70, 40, 2), np.float32) / 2
    masks[:, :30, 0] = masks[:, 30:60, 1] = 1
    left_out = (Unmatched("lamp", 1 / 3, 0.0, "only in the content: not matched"),)
    picture = preview(Regions(("sky", "sea"), masks, style_masks, ((0, 0, 255), (0, 255, 0)), left_out), content, style)
    assert picture.dtype == np.float32 and picture.ndim == 3 and picture.min() >= 0 and picture.max() <= 1
    sky, sea, none = (picture[100:300, 12 + left : 112 + left] for left in (60, 300, 540))
    assert sky[..., 2].min() > sky[..., 0].max() and sea[..., 1].min() > sea[..., 0].max()
    assert np.ptp(none[..., 1]) > 0.3 and (none[..., 0] > none[..., 1] - 1e-3).all()
    assert picture[-72:].min() < 0.1  # the legend's text


@pytest.mark.parametrize("size", [(16, 300), (300, 16)])
def test_preview_of_extreme_shapes(size):
    photo, mask = np.zeros((*size, 3), np.float32), np.ones((*size, 1), np.float32)
    picture = preview(Regions(("whole image",), mask, mask, ((0, 0, 255),)), photo, photo)
    assert np.isfinite(picture).all() and picture.shape[2] == 3
