"""People in photos. Expected shares are those of MediaPipe's own model file, run by its own interpreter."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dpst.files.photos import read_photo
from dpst.regions import automatic
from dpst.regions.automatic import find_regions
from dpst.regions.people import find_people

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name, long_side=512):
    photo = read_photo(str(EXAMPLES / name), "photo", 10**6)
    height, width = (round(side * long_side / max(photo.size)) for side in photo.size)
    return photo.resized(height, width)


def drawn(name, size, *colours):
    """Where a mask drawn by hand has one of some colours, bool of a size (height, width)."""
    mask = np.asarray(Image.open(EXAMPLES / name).convert("RGB").resize(size[::-1], Image.Resampling.NEAREST))
    return np.any([(mask == colour).all(-1) for colour in colours], axis=0)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("portrait/content.jpg", 0.572),
        ("portrait/style.jpg", 0.580),
        ("landscape/content.jpg", 0.112),
        ("monument/style.jpg", 0.0),
    ],
)
def test_the_network_sees_what_the_original_sees(name, share):
    people = find_people(example(name))
    assert people.shape == (256, 256) and people.dtype == np.float32
    assert people.mean() == pytest.approx(share, abs=0.005)


def test_the_person_is_found_and_the_wall_is_not():
    people = find_people(example("portrait/content.jpg")) > 0.5
    head, wall = (drawn("portrait/content_seg.png", (256, 256), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    assert people[head].mean() > 0.97 and people[wall].mean() < 0.05


def test_heads_and_walls_are_different_regions_of_both_photos():
    photos = [example(f"portrait/{name}.jpg") for name in ("content", "style")]
    regions = find_regions(*photos)
    heads, walls = [], []
    for name, photo, masks in zip(("content", "style"), photos, (regions.content, regions.style), strict=True):
        for colour, found in (((255, 0, 0), heads), ((0, 0, 255), walls)):
            found.append(masks[drawn(f"portrait/{name}_seg.png", photo.shape[:2], colour)].mean(0))
    assert np.argmax(heads[0]) == np.argmax(heads[1]) != np.argmax(walls[0]) == np.argmax(walls[1])
    assert min(head.max() for head in heads) > 0.8 and min(wall.max() for wall in walls) > 0.8


def test_people_and_surroundings_share_no_region_unless_there_are_too_few_of_either(monkeypatch):
    photos = [example(f"portrait/{name}.jpg", 256) for name in ("content", "style")]
    sides = np.repeat([[1.0, 0.0]], 128, axis=1) * np.ones((256, 1))  # people on the left

    def found(people):
        monkeypatch.setattr(automatic, "find_people", lambda photo: people.astype(np.float32))
        return find_regions(*photos).content

    regions = found(sides)
    middle = regions.shape[1] // 2
    left, right = (side.reshape(-1, side.shape[-1]).mean(0) for side in (regions[:, : middle - 20], regions[:, middle + 20 :]))
    assert np.minimum(left, right).max() < 0.02 < np.maximum(left, right).min()
    nobody = found(np.zeros((256, 256)))
    np.testing.assert_array_equal(found(np.ones((256, 256))), nobody)
    np.testing.assert_array_equal(found(sides * (np.arange(256) < 50)), nobody)
