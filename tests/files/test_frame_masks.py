"""Masks for each frame of a clip, from clips and from folders."""

import numpy as np
import pytest
from made_clips import HEIGHT, WIDTH, colour_frames, make_clip
from PIL import Image

from dpst.errors import UserError
from dpst.files.clips import read_clip
from dpst.files.frame_masks import are_frame_masks, check_frame_masks, frame_masks


def painted(level, height=HEIGHT, width=WIDTH):
    return np.full((height, width, 3), (level, 0, 255), np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = make_clip(tmp_path_factory.mktemp("clip") / "clip.mov", colour_frames(2), "libx264", "yuv420p", rotation=90)
    return read_clip(path, "clip", 200.0)  # shown upright, 24 pixels wide


def test_a_folder_holds_a_mask_for_each_frame_in_counting_order(tmp_path, clip):
    for number in (10, 9, 100):
        Image.fromarray(painted(number, WIDTH, HEIGHT)).save(tmp_path / f"mask{number}.png")
    (tmp_path / "notes.txt").touch()
    Image.fromarray(np.full((WIDTH, HEIGHT), 7, np.uint8)).save(tmp_path / "mask101.png")  # grey
    check_frame_masks(str(tmp_path), clip, 200.0)
    masks = list(frame_masks(str(tmp_path), 16, 200.0))
    assert [tuple(mask[0, 0]) for mask in masks] == [(9, 0, 255), (10, 0, 255), (100, 0, 255), (7, 7, 7)]


def test_a_clip_of_masks_is_read_as_it_is_shown(tmp_path, clip):
    path = make_clip(tmp_path / "masks.mkv", [painted(0, 2 * WIDTH, 2 * HEIGHT) / 255] * 3)
    check_frame_masks(path, clip, 200.0)
    masks = list(frame_masks(path, 16, 200.0))
    assert [mask.shape for mask in masks] == [(16, 12, 3)] * 3
    assert np.abs(masks[0].astype(int) - (0, 0, 255)).max() <= 3


@pytest.mark.parametrize("kind", ["folder", "clip"])
def test_masks_of_another_shape_are_refused(tmp_path, clip, kind):
    if kind == "clip":
        path = make_clip(tmp_path / "masks.mkv", colour_frames(1))
    else:
        path = str(tmp_path)
        Image.fromarray(painted(0)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match="is 32x24, another shape than the clip, 24x32; give masks of its shape"):
        check_frame_masks(path, clip, 200.0)


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_masks_that_are_no_colours_of_8_bits_are_refused(tmp_path, mode):
    samples = np.arange(WIDTH, dtype=np.uint16)[None, :] + np.zeros((HEIGHT, 1), np.uint16) + 5000
    Image.fromarray(samples if mode == "I;16" else np.zeros((HEIGHT, WIDTH, 4), np.uint8)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match=r"0\.png has 16 bits or transparency; save"):
        list(frame_masks(str(tmp_path), 16, 200.0))


def test_two_folders_hold_a_file_for_each_region(tmp_path):
    folder = str(tmp_path)
    assert are_frame_masks("masks.MP4", "style.png") and are_frame_masks(folder, "style.png")
    assert not any(are_frame_masks(*paths) for paths in ((folder, folder), ("mask.png", "style.png"), ("", "")))
