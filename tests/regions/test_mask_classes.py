"""What counts as a class of a mask, and what is only an edge, noise or a picture."""

import logging

import numpy as np
import pytest
from scipy import ndimage

from dpst.errors import UserError
from dpst.regions.mask_classes import colour_distance, filled, flat_classes, is_label_image

SIZE = (90, 120)
GREEN, PURPLE = (0, 255, 0), (255, 0, 255)


def halves(left=GREEN, right=PURPLE, size=SIZE):
    mask = np.empty((*size, 3), np.uint8)
    mask[:, : size[1] // 2], mask[:, size[1] // 2 :] = left, right
    return mask


def classes_of(mask):
    """Colours, masks and tolerance of a mask that is not one of labels."""
    flat = flat_classes("mask", mask, SIZE, labels=False)
    return flat.colours, flat.masks(mask, SIZE), flat.within


def test_every_pixel_of_a_feathered_mask_joins_a_class(caplog):
    feathered = ndimage.gaussian_filter(halves().astype(np.float32), (0, 8, 0)).astype(np.uint8)
    colours, masks, _ = classes_of(feathered)
    assert {min((GREEN, PURPLE), key=lambda c: colour_distance(c, colour)) for colour in colours} == {GREEN, PURPLE}
    np.testing.assert_array_equal(masks.sum(axis=-1), 1)
    assert masks[:, :57].var(axis=(0, 1)).max() == 0 and masks[:, 63:].var(axis=(0, 1)).max() == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING] and "no flat colour in" in caplog.text


def test_near_colours_are_two_classes_where_edges_are_hard_and_one_where_they_are_not():
    near = (0, 225, 0)
    hard = halves(GREEN, near)
    assert len(classes_of(hard)[0]) == 2
    noisy = np.where(np.random.default_rng(0).random((*SIZE, 1)) < 0.05, np.uint8(255), hard)
    assert len(classes_of(noisy)[0]) == 1


def test_colours_hardly_apart_are_two_classes_where_there_are_no_others():
    hardly = (6, 255, 0)
    colours, masks, within = classes_of(halves(GREEN, hardly))
    assert set(colours) == {GREEN, hardly} and within < 20
    np.testing.assert_array_equal(masks.mean(axis=(0, 1)), 0.5)
    edged = halves(GREEN, PURPLE)
    edged[:, 60:63] = (255, 6, 255)  # along the edge alone, as compression makes them
    assert set(classes_of(edged)[0]) == {GREEN, PURPLE}


def test_a_mask_much_larger_than_its_photo_is_thinned_in_place():
    mask = halves(size=(540, 720))
    colours, masks, _ = classes_of(mask)
    assert masks.shape == (*SIZE, 2)
    np.testing.assert_array_equal(masks[..., colours.index(GREEN)] == 1, (halves() == GREEN).all(axis=-1))


def test_labels_are_few_values_in_one_channel_with_hard_edges():
    labels = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4), np.ones((30, 30), np.uint8))
    assert is_label_image(labels)
    assert not is_label_image(halves())
    assert not is_label_image((labels > 5) * np.uint8(255))
    assert not is_label_image(ndimage.gaussian_filter(labels * np.uint8(20), 2))
    assert not is_label_image(np.tile(np.repeat(np.arange(100, dtype=np.uint8), 4), (90, 1)))


def test_more_colours_than_classes_can_be_is_no_mask():
    steps = np.arange(0, 256, 50, dtype=np.uint8)
    many = np.stack(np.meshgrid(steps, steps, steps[:3]), -1).reshape(9, 12, 3)
    with pytest.raises(UserError, match="mask has more than 64 flat colours"):
        classes_of(np.kron(many, np.ones((10, 10, 1), np.uint8)))


def test_filled_takes_the_nearest():
    values = np.array([[1, 0, 0, 0, 2]])
    np.testing.assert_array_equal(filled(values, values > 0), [[1, 1, 1, 2, 2]])
    np.testing.assert_array_equal(filled(values, values >= 0), values)
