"""Regions of two photos without masks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA

from deep_photostyle import main
from dpst.files.writing import write_photo
from dpst.options import Options
from dpst.regions import automatic
from dpst.regions.automatic import find_regions, write_masks
from dpst.regions.reading import read_regions


@pytest.fixture(scope="module")
def photos():
    """A hall by day and by night, (64, 96) and (80, 72): light above, and below to one side a rough heap; which side differs."""
    random = np.random.default_rng(1)
    content, style = np.empty((64, 96, 3), np.float32), np.empty((80, 72, 3), np.float32)
    content[:28], content[28:] = (0.6, 0.8, 1.0), (0.5, 0.45, 0.3)
    style[:30], style[30:] = (0.3, 0.1, 0.2), (0.1, 0.1, 0.05)
    content[28:, :40] += 0.25 * random.standard_normal((36, 40, 1))
    style[30:, 32:] += 0.08 * random.standard_normal((50, 40, 1))
    content += 0.01 * random.standard_normal(content.shape)
    style += 0.01 * random.standard_normal(style.shape)
    return np.clip(content, 0, 1), np.clip(style, 0, 1)


@pytest.fixture(scope="module")
def regions(photos):
    return find_regions(*photos, 3)


def masks_in(folder, regions):
    """The paths of both masks, written into a folder."""
    paths = [str(folder / name) for name in (automatic.CONTENT_MASK, automatic.STYLE_MASK)]
    write_masks(regions, *paths)
    return paths


def overlap(masks, area):
    """Intersection over union of each mask (H, W, R) with a bool area (H, W)."""
    return np.minimum(masks, area[..., None]).sum(axis=(0, 1)) / np.maximum(masks, area[..., None]).sum(axis=(0, 1))


def test_regions_correspond_though_light_and_place_differ(photos):
    regions = find_regions(*photos, 2)
    above, style_above = np.zeros((64, 96), bool), np.zeros((80, 72), bool)
    above[:28] = style_above[:30] = True
    for number, area, style_area in ((0, above, style_above), (1, ~above, ~style_above)):
        assert min(overlap(regions.content, area)[number], overlap(regions.style, style_area)[number]) > 0.8


def test_regions_make_up_the_photos_and_names_are_of_the_nine_colours(regions):
    assert regions.names == ("blue", "green", "black")
    for masks, size in ((regions.content, (64, 96)), (regions.style, (80, 72))):
        assert masks.shape == (*size, 3) and masks.dtype == np.float32
        assert masks.min() >= 0
        np.testing.assert_allclose(masks.sum(axis=-1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_regions(photos, regions):
    again = find_regions(*photos, 3)
    assert np.array_equal(again.content, regions.content) and np.array_equal(again.style, regions.style)


def test_written_masks_are_read_as_the_same_regions(tmp_path, photos, regions):
    paths = masks_in(tmp_path, regions)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [automatic.CONTENT_MASK, automatic.STYLE_MASK]
    read = read_regions(*paths, *photos, Options())
    assert set(read.names) == set(regions.names) and not read.unmatched
    order = [read.names.index(name) for name in regions.names]
    for found, written in ((read.content, regions.content), (read.style, regions.style)):
        assert np.array_equal(found[..., order].argmax(-1), written.argmax(-1)) and set(np.unique(found)) == {0, 1}


def test_edges_follow_the_photo():
    """A mask on the grid, a pixel or two beside an edge of the photo, goes to that edge."""
    photo = np.full((48, 60, 3), 0.2, np.float32)
    photo[:, 27:] = 0.7
    clusters = np.zeros((12, 15, 2), np.float32)
    clusters[:, :7, 0] = clusters[:, 7:, 1] = 1  # at 28 pixels
    moved = automatic._hard(automatic._along_edges(clusters, photo))
    assert np.array_equal(moved[..., 0] == 1, photo[..., 0] < 0.5)


def test_what_only_one_photo_has_is_no_region():
    random = np.random.default_rng(2)
    content = np.concatenate([random.standard_normal((300, 4)), 100 + random.standard_normal((100, 4))])
    style = random.standard_normal((200, 4)) + (6, 0, 0, 0) * random.integers(0, 2, (200, 1))
    content[:150, 0] += 6
    labels = automatic._clusters(np.concatenate([content, style]), np.array([400, 600]), 2, random)
    assert set(labels[:400]) == set(labels[400:]) == {0, 1}
    assert (labels[:150] == np.bincount(labels[:150]).argmax()).mean() > 0.95  # not merely content against style


def test_a_region_lost_at_the_edges_is_reported_and_removed(photos, monkeypatch, caplog):
    whole = automatic._along_edges
    monkeypatch.setattr(automatic, "_along_edges", lambda masks, photo: whole(masks, photo) * (1, 1, 0))
    regions = find_regions(*photos, 3)
    assert len(regions.names) == len(regions.colours) == regions.content.shape[-1] == regions.style.shape[-1] == 2
    np.testing.assert_allclose(regions.content.sum(axis=-1), 1, atol=1e-5)
    assert "`auto_seg` 3 is more regions than the photos have in common; the number is 2" in caplog.text


def test_fewer_regions_than_wanted_are_reported(caplog):
    noise = np.random.default_rng(3).random((16, 16, 3), np.float32)
    regions = find_regions(noise, np.full((16, 16, 3), 0.5, np.float32), 9)
    assert len(regions.names) < 9
    assert f"the number is {len(regions.names)}" in caplog.text


@pytest.fixture
def arguments(tmp_path, photos):
    """The command line for the photos, with everything that it writes in tmp_path."""
    paths = {
        "content_image_path": "day.png",
        "style_image_path": "night.png",
        "output_image": "result.png",
        "mask_preview": "seg.png",
    }
    for name, photo in zip(("day.png", "night.png"), photos, strict=True):
        write_photo(str(tmp_path / name), photo)
    given = [part for name, file in paths.items() for part in (f"--{name}", str(tmp_path / file))]
    return [*given, "--serial", str(tmp_path), "--vgg19_weights", str(DATA / "thin_vgg19.npy")]


def test_a_dry_run_finds_regions_and_stops(tmp_path, arguments, caplog):
    assert main([*arguments, "--auto_seg", "3", "--dry_run"]) == 0
    written = {path.name for path in tmp_path.iterdir()} - {"day.png", "night.png"}
    assert written == {automatic.CONTENT_MASK, automatic.STYLE_MASK, "seg.png"}
    assert "blue" in caplog.text and "green" in caplog.text


def test_a_preview_finds_the_regions_of_the_run(tmp_path, arguments, photos):
    for name, photo in zip(("day.png", "night.png"), photos, strict=True):
        write_photo(str(tmp_path / name), photo.repeat(4, 0).repeat(4, 1))
    found = []
    for preview in ([], ["--preview"]):
        assert main([*arguments, "--auto_seg", "3", "--dry_run", *preview]) == 0
        found.append([(tmp_path / name).read_bytes() for name in (automatic.CONTENT_MASK, automatic.STYLE_MASK)])
    assert found[0] == found[1]


def test_a_dry_run_with_masks_needs_no_tensorflow(tmp_path, arguments, regions):
    masks = masks_in(tmp_path, regions)
    given = [*arguments, "--content_seg_path", masks[0], "--style_seg_path", masks[1], "--auto_seg", "2", "--dry_run"]
    program = f"import sys, deep_photostyle as d; sys.exit(d.main({given!r}) or 3 * ('tensorflow' in sys.modules))"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert f"warning: --auto_seg 2 is not used; {masks[0]} gives the regions" in run.stderr
    assert "black" in run.stdout and (tmp_path / "seg.png").is_file() and not (tmp_path / "result.png").exists()


def test_a_dry_run_of_a_batch_solves_none(tmp_path, arguments, regions, caplog):
    pair = [str(tmp_path / "day.png"), str(tmp_path / "night.png"), *masks_in(tmp_path, regions)]
    header = "content_image_path,style_image_path,content_seg_path,style_seg_path"
    (tmp_path / "jobs.csv").write_text(f"{header}\n{','.join(pair)}\n")
    assert main(["--batch", str(tmp_path / "jobs.csv"), "--output_dir", str(tmp_path / "out"), "--dry_run"]) == 0
    assert "1 checked" in caplog.text
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["day_regions.jpg", "report.html"]


def scene(size, sky, ground, horizon, seed):
    """A sky above a rough ground, with edges between them."""
    random, (height, width) = np.random.default_rng(seed), size
    photo = np.empty((height, width, 3), np.float32)
    photo[:horizon], photo[horizon:] = sky, ground
    photo[horizon:] += 0.15 * random.standard_normal((height - horizon, width, 1)).astype(np.float32)
    return np.clip(photo + 0.01 * random.standard_normal(photo.shape), 0, 1).astype(np.float32)


def test_the_number_of_regions_is_chosen_and_the_sky_goes_with_the_sky():
    """By day with a light sky, at night with a dark one above lights; the horizons differ."""
    day, night = (
        scene((96, 128), (0.6, 0.8, 1), (0.4, 0.35, 0.2), 50, 0),
        scene((96, 128), (0.05, 0.05, 0.2), (0.5, 0.4, 0.2), 40, 1),
    )
    regions = find_regions(day, night)
    assert len(regions.names) >= 2
    sky, night_sky = (masks[:30].mean((0, 1)).argmax() for masks in (regions.content, regions.style))
    ground, night_ground = (masks[60:].mean((0, 1)).argmax() for masks in (regions.content, regions.style))
    assert sky == night_sky and ground == night_ground and sky != ground


def test_photos_with_nothing_to_match_are_one_region(photos):
    flat = np.full((48, 64, 3), 0.5, np.float32)
    regions = find_regions(flat, np.full((48, 64, 3), 0.2, np.float32))
    assert regions.names == ("whole image",) and (regions.content == 1).all() and (regions.style == 1).all()


def test_distances_from_the_borders_go_round_what_is_different():
    """Inside a closed ring a cell is as far from the top as it is from the ring's outside, and the ring's step more."""
    lab = np.zeros((21, 21, 3))
    lab[7:14, 7:14, 0] = 50
    top = automatic.border_distances(lab)["top"]
    assert top[20, 0] == pytest.approx(20 * 0.3)  # straight down, in steps that cost nothing but their length
    assert top[10, 10] > 0.7 * 50 > top[20, 10]


@pytest.mark.parametrize("size", [(2, 400), (400, 2), (16, 4000), (1, 1)])
def test_a_photo_too_narrow_for_regions_is_one_region(photos, size):
    narrow = np.random.default_rng(0).random((*size, 3), np.float32)
    assert find_regions(narrow, photos[1]).names == ("whole image",)
    assert len(find_regions(narrow, photos[1], 3).names) <= 3


def test_a_photo_of_fewer_cells_than_regions_gives_as_many_as_it_can():
    """Six pixels a side are four cells; warnings of NumPy would fail the test."""
    photo = np.random.default_rng(0).random((6, 6, 3), np.float32)
    regions = find_regions(photo, photo, 9)
    assert 1 <= len(regions.names) <= 4
    np.testing.assert_allclose(regions.content.sum(-1), 1, atol=1e-6)
