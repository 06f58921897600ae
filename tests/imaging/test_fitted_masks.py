"""Masks at another size than they were fitted at."""

import numpy as np

from dpst.imaging.fitted_masks import FittedMasks


def test_masks_at_another_size_follow_the_photos_edges():
    content = np.zeros((40, 60, 3), np.float32)
    content[:, 29:] = 0.8
    masks = np.stack([content[..., 0] < 0.5, content[..., 0] > 0.5], -1).astype(np.float32)
    large = np.zeros((400, 600, 3), np.float32)
    large[:, 293:] = 0.8  # between two pixels of the small one
    found = FittedMasks.fitted(masks, content).rows(large[100:140], 100, 400)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    assert found[:, :293, 0].min() > 0.8 and found[:, 293:, 1].min() > 0.8


def test_masks_that_are_affine_in_the_colours_come_back_at_any_size():
    random = np.random.default_rng(0)
    content, large = random.random((24, 17, 3)).astype(np.float32), random.random((60, 50, 3)).astype(np.float32)

    def masks(photo):
        first = 0.2 + photo @ [0.3, 0.1, 0.2]
        return np.stack([first, 1 - first], -1).astype(np.float32)

    fits = FittedMasks.fitted(masks(content), content)
    for rows in (slice(0, 60), slice(13, 20)):
        # The ridge costs a little of the slopes.
        np.testing.assert_allclose(fits.rows(large[rows], rows.start, 60), masks(large[rows]), atol=0.01)


def test_where_no_mask_is_there_is_none_at_another_size():
    content = np.random.default_rng(0).random((20, 30, 3)).astype(np.float32)
    masks = np.zeros((20, 30, 2), np.float32)
    masks[:, :12, 0] = 1
    found = FittedMasks.fitted(masks, content).rows(content.repeat(2, 0).repeat(2, 1), 0, 40)
    assert found[:, 26:].max() == 0 and found[..., 1].max() < 1e-5
