"""Regions from mask files: read the files, find the classes, complete strokes, match the classes of both masks."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dpst.errors import UserError
from dpst.files.kinds import OTHER_EXTENSIONS
from dpst.files.photos import read_mask_samples, same_shape
from dpst.files.writing import EXTENSIONS
from dpst.imaging.pictures import check_kind, check_path, check_picture
from dpst.options import Options
from dpst.regions.classes import Classes, classes_of_folders, classes_of_samples, listed_classes
from dpst.regions.mask_classes import HARD, MAX_CLASSES, Colour, flat_labels, is_label_image
from dpst.regions.matching import match
from dpst.regions.regions import Regions, whole_image

logger = logging.getLogger(__name__)

_ROLES = ("content segmentation", "style segmentation")
# Samples of a mask, or of each file of a folder by region.
Samples = np.ndarray | dict[str, np.ndarray]


def read_samples(
    role: str, path: str, size: tuple[int, int], max_pixels: float = Options.max_pixels, orientation: int = 1
) -> np.ndarray:
    """Samples of a mask: uint8 (h, w), (h, w, 3) or, with alpha, (h, w, 4); or labels of 16 bits, uint16 (h, w).

    A warning says so if the mask has another shape than its photo, whose `size` is (height, width). A mask of more than
    `max_pixels` megapixels is refused. If the mask is rotated as the photo is stored (EXIF `orientation`), it is rotated back.
    """
    samples = read_mask_samples(path, role, max_pixels, size, orientation)
    height, width = samples.shape[:2]
    if not same_shape((height, width), size):
        shapes = (width, height, size[1], size[0])
        logger.warning("%s %s is %dx%d and its photo %dx%d, another shape; the mask is stretched to fit", role, path, *shapes)
    if samples.dtype == np.uint8 or is_label_image(samples):
        return samples
    labels = flat_labels(samples)
    if np.isin(samples, labels).mean() > HARD:
        raise UserError(
            f"{role} {path} has {len(labels)} labels, more than {MAX_CLASSES}; merge some, or save a soft mask with 8 bits"
        )
    return np.rint(samples / 257).astype(np.uint8)


def read_folder(
    role: str, folder: str, size: tuple[int, int], max_pixels: float = Options.max_pixels, orientation: int = 1
) -> dict[str, np.ndarray]:
    """The samples of each picture in a folder, see `read_samples`, by region; the file name is the name of the region.

    Files that are not pictures, such as lists that networks write next to masks, are ignored.
    """
    kinds = EXTENSIONS | OTHER_EXTENSIONS
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in kinds and not path.name.startswith("."))
    if not 0 < len(paths) <= MAX_CLASSES:
        raise UserError(f"{role} {folder} holds {len(paths)} pictures; give one for each region, {MAX_CLASSES} at most")
    regions: dict[str, Path] = {}
    for path in paths:
        if (other := regions.setdefault(path.stem, path)) != path:
            raise UserError(f"{role} {folder} holds {other.name} and {path.name}, two pictures for one region; keep one of them")
    return {path.stem: read_samples(role, str(path), size, max_pixels, orientation) for path in paths}


def read_regions(
    content_seg_path: str,
    style_seg_path: str,
    content: np.ndarray,
    style: np.ndarray,
    options: Options,
    orientations: tuple[int, int] = (1, 1),
) -> Regions:
    """Reads and matches the masks of both photos.

    By default each pixel is assigned to a flat colour of its mask that is near in colour and in position, so that the colours
    along soft or compressed edges neither become classes nor are assigned to a third class. With `options.strict_masks` the nine
    colours and the thresholds of the reference script are used, and a pixel may be in no class. Strokes are completed to regions
    according to `options.seg_scribbles`.

    Args:
        content_seg_path: mask of the content photo, a file, or a folder of grey files, one per region and named after it.
            Without both masks there is one region, the whole image.
        style_seg_path: mask of the style photo; a folder if the content's is one.
        content: the content photo, float32 (H, W, 3), 0..1; its mask is resized to it.
        style: the style photo, float32 (h, w, 3).
        options: `strict_masks`, `seg_classes`, `seg_scribbles` and `missing_class` are used.
        orientations: EXIF orientations of the files of both photos; masks may be stored in the same way.

    Raises:
        UserError: a mask is missing or unreadable or has no flat colours, or the two have no class in common.
    """
    for role, path in (("content segmentation", content_seg_path), ("style segmentation", style_seg_path)):
        check_path(path, role)
    content, style = check_picture(content, "content"), check_picture(style, "style")
    check_kind(options, Options, "options", is_optional=False)
    if not content_seg_path and not style_seg_path:
        return whole_image(content, style)
    check_mask_pair(content_seg_path, style_seg_path)
    paths, photos = (content_seg_path, style_seg_path), (content, style)
    return regions_of_samples(paths, read_masks(paths, photos, options.max_pixels, orientations), photos, options)


def read_masks(
    paths: Sequence[str], photos: Sequence[np.ndarray], max_pixels: float, orientations: Sequence[int]
) -> list[Samples]:
    """The samples of the masks of the content and, if given, of the style; the arguments are those of `read_regions`.

    Raises:
        UserError: a mask cannot be read, or only one of them is a folder.
    """
    folders = [os.path.isdir(path) for path in paths]
    if any(folders) and not all(folders):
        single = folders.index(False)
        wrong = f"{_ROLES[single]} {paths[single]} is a file and the other mask a folder"
        raise UserError(f"{wrong}; give two folders with files of the same names")
    read = read_folder if all(folders) else read_samples
    masks = zip(_ROLES, paths, photos, orientations, strict=False)
    return [read(role, path, photo.shape[:2], max_pixels, orientation) for role, path, photo, orientation in masks]


def regions_of_samples(
    paths: Sequence[str], samples: Sequence[Samples], photos: Sequence[np.ndarray], options: Options
) -> Regions:
    """Matches masks that `read_masks` has read; see `read_regions`."""
    listed = listed_classes(options)
    (content_classes, style_classes), palette = _classes(paths, samples, photos, listed, options)
    return match(content_classes, style_classes, palette, listed, options.missing_class)


def regions_of_masks(
    content_mask: np.ndarray, style_mask: np.ndarray, content: np.ndarray, style: np.ndarray, options: Options
) -> Regions:
    """Matches masks that are arrays of samples, as `imaging.pictures.as_mask` gives them; see `read_regions`."""
    files, listed = ("content mask", "style mask"), listed_classes(options)
    masks, photos = (content_mask, style_mask), (content, style)
    (content_classes, style_classes), palette = classes_of_samples(files, masks, photos, listed, options)
    return match(content_classes, style_classes, palette, listed, options.missing_class)


def read_classes(path: str, photo: np.ndarray, options: Options, orientation: int = 1) -> tuple[list[str], np.ndarray]:
    """The classes of the mask of a content photo without a style, named as by `read_regions`.

    Args:
        path: a file, or a folder of grey files, one per class and named after it.
        photo: the photo, float32 (H, W, 3), 0..1; the mask is resized to it.
        options: `strict_masks`, `seg_classes`, `seg_scribbles` and `max_pixels` are used.
        orientation: EXIF orientation of the photo's file.

    Returns:
        K different names, and float32 (H, W, K), sum over K at most 1.

    Raises:
        UserError: the mask cannot be read or has no flat colours.
    """
    listed = listed_classes(options)
    samples = read_masks([path], [photo], options.max_pixels, [orientation])
    (classes,), palette = _classes([path], samples, [photo], listed, options)
    names = [name for name in dict.fromkeys(classes.names) if classes.share(name) > 0 and (not listed or name in listed)]
    if not names:
        raise UserError(f"{classes.file} has none of the classes {', '.join(listed or palette)} ({classes}); see `seg_classes`")
    return names, np.stack([classes.mask(name) for name in names], -1)


def _classes(
    paths: Sequence[str],
    samples: Sequence[Samples],
    photos: Sequence[np.ndarray],
    listed: dict[str, Colour],
    options: Options,
) -> tuple[list[Classes], dict[str, Colour]]:
    """The classes of each mask, and their common palette."""
    files = [f"{role} {path}" for role, path in zip(_ROLES, paths, strict=False)]
    if folders := [each for each in samples if isinstance(each, dict)]:
        return classes_of_folders(files, folders, photos, options)
    return classes_of_samples(files, [each for each in samples if not isinstance(each, dict)], photos, listed, options)


def check_mask_pair(content_seg_path: str, style_seg_path: str) -> None:
    """Raises `UserError` if only one photo has a mask."""
    if bool(content_seg_path) != bool(style_seg_path):
        missing = "`style_seg_path`" if content_seg_path else "`content_seg_path`"
        raise UserError(f"{missing} is missing; give the masks of both photos or of neither")
