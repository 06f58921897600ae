"""Regions by meaning, from labels to masks; no network is needed."""

import numpy as np
import pytest

from dpst.errors import UserError
from dpst.options import Options
from dpst.regions.ade20k import GROUPS
from dpst.regions.automatic import write_masks
from dpst.regions.reading import read_regions
from dpst.regions.regions import Unmatched, table
from dpst.regions.semantic import find_regions, merges

NAMES = [group.name for group in GROUPS]


def labels(names, sure=0.9):
    """Probabilities (h, w, groups) of a network that sees these names (h, w) and is so sure."""
    index = np.vectorize(NAMES.index)(names)
    return (np.eye(len(NAMES)) * (sure - (1 - sure) / 25) + (1 - sure) / 25).astype(np.float32)[index]


def bands(*names, height=40, width=24):
    """Names (height, width) in bands from top to bottom, as high as each other."""
    return np.repeat(np.array(names, "U9")[np.arange(height) * len(names) // height][:, None], width, axis=1)


def painted(names):
    """A photo (h, w, 3) that shows each name in a colour of its own."""
    return np.random.default_rng(0).random((len(NAMES), 3), np.float32)[np.vectorize(NAMES.index)(names)]


def regions_of(content, style):
    return find_regions(labels(content), labels(style), painted(content), painted(style))


def test_a_group_of_both_photos_is_a_region_wherever_it_is():
    content, style = bands("sky", "water", "plant"), bands("plant", "sky", "water", height=30, width=50)
    regions = regions_of(content, style)
    assert regions.names == ("sky", "water", "plant") and not regions.unmatched
    for masks, names in ((regions.content, content), (regions.style, style)):
        assert masks.dtype == np.float32
        for column, name in enumerate(regions.names):
            assert np.array_equal(masks[..., column] == 1, names == name)


MERGES = {
    "the nearest of its kin": (["sky", "road", "fence"], ["sky", "ground", "wall"], {"road": "ground", "fence": "wall"}, {}),
    "what both have": (["sky", "plant", "grass"], ["sky", "grass"], {"plant": "grass"}, {}),
    "what only the other has": (["grass"], ["plant"], {"grass": "plant"}, {}),
    "kin of the style's too": (["wall", "furniture"], ["wall", "bed", "window"], {"furniture": "bed"}, {"window": "wall"}),
    "what the style was merged into": (["light", "wall"], ["stairs"], {"light": "wall"}, {"stairs": "wall"}),
    "nothing without kin": (["sky", "person"], ["sky", "vehicle"], {}, {}),
}


@pytest.mark.parametrize("case", MERGES)
def test_what_one_photo_has_is_merged_into(case):
    content, style, of_content, of_style = MERGES[case]
    assert merges(content, style) == (of_content, of_style)


def test_no_group_stays_alone_that_has_kin_in_the_other_photo():
    kin, random = {group.name: group.kin for group in GROUPS}, np.random.default_rng(0)
    for _ in range(300):
        both = [random.choice(NAMES, random.integers(1, 9), replace=False).tolist() for _ in range(2)]
        after = []
        for own, other, into in zip(both, reversed(both), merges(*both), strict=True):
            assert not set(into) & set(other)  # what both have stays
            assert all(target in kin[name] for name, target in into.items())
            after.append({into.get(name, name) for name in own})
        for own, other in (after, reversed(after)):
            assert not any(set(kin[name]) & other for name in own - other)


def test_kin_become_one_region_and_the_table_tells():
    regions = regions_of(bands("sky", "road", "plant", "plant"), bands("sky", "ground", "grass", "grass"))
    assert regions.names == ("sky", "grass", "ground")
    assert regions.content.mean(axis=(0, 1)) == pytest.approx([0.25, 0.5, 0.25])
    assert regions.unmatched == (
        Unmatched("plant", 0.5, 0, "only in the content: merged into grass"),
        Unmatched("road", 0.25, 0, "only in the content: merged into ground"),
    )
    assert "plant     50.0%     0.0%  only in the content: merged into grass" in table(regions)


def test_what_has_no_kin_joins_its_surroundings_in_the_content_and_is_left_out_of_the_style(tmp_path):
    content, style = bands("sky", "grass"), bands("sky", "grass")
    content[32:36, 4:10], style[2:6, 4:16] = "vehicle", "person"
    regions = regions_of(content, style)
    assert regions.names == ("sky", "grass")
    assert np.array_equal(regions.content.argmax(axis=-1), np.arange(40)[:, None] // 20 + np.zeros((1, 24)))
    assert np.array_equal(regions.style.sum(axis=-1) == 0, style == "person")
    assert regions.unmatched == (
        Unmatched("vehicle", 24 / 960, 0, "only in the content: merged into the nearest region"),
        Unmatched("person", 0, 48 / 960, "only in the style: not used"),
    )
    paths = [str(tmp_path / name) for name in ("c.png", "s.png")]
    write_masks(regions, *paths)
    read = read_regions(*paths, painted(content), painted(style), Options(seg_classes="sky=00ffff,grass=aaff00"))
    assert read.names == regions.names
    assert np.array_equal(read.content, regions.content) and np.array_equal(read.style, regions.style)


def test_every_region_is_read_back_from_the_masks(tmp_path):
    names = bands(*NAMES, height=5 * len(NAMES))
    regions = regions_of(names, names[::-1])
    assert set(regions.names) == set(NAMES)
    paths = [str(tmp_path / name) for name in ("c.png", "s.png")]
    write_masks(regions, *paths)
    read = read_regions(*paths, painted(names), painted(names), Options())
    order = [read.colours.index(colour) for colour in regions.colours]
    assert np.array_equal(read.content[..., order], regions.content) and np.array_equal(read.style[..., order], regions.style)


def test_specks_are_no_regions():
    content, style = bands("sky", "grass"), bands("sky", "grass")
    content[30:32, 8:10] = style[10:12, 8:10] = "person"  # four pixels of 960
    regions = regions_of(content, style)
    assert regions.names == ("sky", "grass") and not regions.unmatched
    for masks in (regions.content, regions.style):
        assert (masks.sum(axis=-1) == 1).all()


def test_probabilities_of_kin_add_up():
    """What is a mountain rather than a plant, and rather than grass, is none where plants and grass are one."""
    content, style = bands("sky", "plant", "mountain", "plant"), bands("sky", "grass", "mountain", "grass")
    seen = labels(content)
    seen[30:] = 0
    for name, probability in (("plant", 0.3), ("grass", 0.3), ("mountain", 0.4)):
        seen[30:, :, NAMES.index(name)] = probability
    regions = find_regions(seen, labels(style), painted(content), painted(style))
    assert regions.names == ("sky", "mountain", "grass")
    assert np.array_equal(regions.content[..., 2] == 1, content == "plant")


def test_edges_follow_the_photo():
    """Labels at a quarter of the size, whose edge is beside the photo's."""
    photo = np.full((80, 120, 3), 0.2, np.float32)
    photo[:, 62:] = 0.7
    names = np.full((20, 30), "sky", "U9")
    names[:, 15:] = "wall"  # at 60
    regions = find_regions(labels(names), labels(names), photo, photo)
    for masks in (regions.content, regions.style):
        assert np.array_equal(masks[..., 0] == 1, photo[..., 0] < 0.5)


def test_photos_with_nothing_in_common():
    with pytest.raises(
        UserError,
        match=r"^`auto_seg` semantic finds nothing that both photos have \(content: sky, plant; style: vehicle, person\); give ",
    ):
        regions_of(bands("sky", "plant"), bands("person", "vehicle"))
