"""Masks: read, match between the two photos, check, and carry down the network.

A region is a pair of masks, one for each photo: the content's takes its look from the style's. Any mask that people have will
do: flat colours with hard, anti-aliased or JPEG edges, label images, soft grey masks, alpha, a folder with one file per region.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Sequence

import numpy as np

from dpst.errors import UserError
from dpst.imaging.pictures import check_kind, check_path, check_picture
from dpst.options import Options
from dpst.regions import mask_classes, scribbles
from dpst.regions.mask_classes import REFERENCE_COLOURS, Colour
from dpst.regions.refining import refined
from dpst.regions.scribbles import Strokes

logger = logging.getLogger(__name__)

# Colours for classes that have none: labels, and files of regions.
_STEPS = (40, 105, 170, 235)
PALETTE: list[Colour] = [*REFERENCE_COLOURS.values(), *((r, g, b) for r in _STEPS for g in _STEPS for b in _STEPS)]

# The largest label, of 16 bits.
_MOST_LABEL = 65535

# What the mask is to the user, its path, its photo, and how that is stored.
_Mask = tuple[str, str, np.ndarray, int]


@dataclasses.dataclass(frozen=True)
class Unmatched:
    """A class that is no region of its own: its shares of the two photos and what becomes of it."""

    name: str
    content_share: float
    style_share: float
    fate: str


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """Corresponding regions of the two photos.

    Attributes:
        names: R names.
        content: float32 (H, W, R), 0..1, sum over R at most 1; a pixel whose sum is 0 has no part in the style loss.
        style: float32 (h, w, R), the same of the style photo.
        colours: R colours for previews, RGB in levels.
        unmatched: the classes that became no region, for the table.
        content_strokes: bool (H, W), at its mask's own size, where the content's mask had strokes; None if it was a whole mask.
        style_strokes: the same of the style photo.
    """

    names: tuple[str, ...]
    content: np.ndarray
    style: np.ndarray
    colours: tuple[Colour, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    content_strokes: np.ndarray | None = None
    style_strokes: np.ndarray | None = None

    def resized(self, content_size: tuple[int, int], style_size: tuple[int, int]) -> Regions:
        """The regions of photos of other sizes (height, width); pixels are averaged, so that whole partitions stay whole."""
        content = mask_classes.resized(self.content, content_size)
        style = mask_classes.resized(self.style, style_size)
        return dataclasses.replace(self, content=content, style=style)

    def refined(self, content: np.ndarray, style: np.ndarray) -> Regions:
        """The regions with their edges moved to those of the photos, (H, W, 3) and (h, w, 3), 0..1."""
        return dataclasses.replace(self, content=refined(self.content, content), style=refined(self.style, style))


def whole_image(content: np.ndarray, style: np.ndarray) -> Regions:
    """The one region of photos (H, W, 3) and (h, w, 3) that are matched as a whole."""
    content_mask, style_mask = (np.ones((*photo.shape[:2], 1), np.float32) for photo in (content, style))
    return Regions(("whole image",), content_mask, style_mask, (REFERENCE_COLOURS["blue"],))


def read_regions(
    content_seg_path: str,
    style_seg_path: str,
    content: np.ndarray,
    style: np.ndarray,
    options: Options,
    orientations: tuple[int, int] = (1, 1),
) -> Regions:
    """Reads and matches the masks of both photos.

    By default every pixel joins the nearest of the flat colours that its mask really has, near in colour and in place, so that
    the odd colours along soft or compressed edges neither become classes nor fall to a third one. With `options.strict_masks`
    the nine colours and the thresholds of the reference decide, and a pixel may be in no class. Strokes are completed to regions
    along the photo, as `options.seg_scribbles` says.

    Args:
        content_seg_path: mask of the content photo, a file, or a folder of grey files, one per region and named after it.
            Without either mask there is one region, the whole image.
        style_seg_path: mask of the style photo; a folder if the content's is one.
        content: the content photo, float32 (H, W, 3), 0..1, to whose size its mask is brought.
        style: the style photo, float32 (h, w, 3).
        options: `strict_masks`, `seg_classes`, `seg_scribbles` and `missing_class` are used.
        orientations: how the files of the two photos store them, by EXIF's numbers; masks may be stored likewise.

    Raises:
        UserError: a mask is missing or unreadable or has no flat colours, or the two have no class in common.
    """
    for role, path in (("content segmentation", content_seg_path), ("style segmentation", style_seg_path)):
        check_path(path, role)
    content, style = check_picture(content, "content"), check_picture(style, "style")
    check_kind(options, Options, "options", is_optional=False)
    if not content_seg_path and not style_seg_path:
        return whole_image(content, style)
    check_both(content_seg_path, style_seg_path)
    listed = _listed(options)
    both = (
        ("content segmentation", content_seg_path, content, orientations[0]),
        ("style segmentation", style_seg_path, style, orientations[1]),
    )
    folders = [os.path.isdir(path) for _, path, *_ in both]
    if all(folders):
        classes, palette = _of_folders(both, options)
    elif any(folders):
        role, path, *_ = both[folders.index(False)]
        raise UserError(f"{role} {path} is a file and the other mask a folder; give two folders with files of the same names")
    else:
        classes, palette = _of_files(both, listed, options)
    return _match(classes[0], classes[1], palette, listed, options.missing_class)


def regions_of_masks(
    content_mask: np.ndarray, style_mask: np.ndarray, content: np.ndarray, style: np.ndarray, options: Options
) -> Regions:
    """Matches masks that are arrays of samples, as `imaging.pictures.as_mask` gives them; see `read_regions`."""
    names, listed = ("content mask", "style mask"), _listed(options)
    classes, palette = _of_samples(names, (content_mask, style_mask), (content, style), listed, options)
    return _match(classes[0], classes[1], palette, listed, options.missing_class)


def _listed(options: Options) -> dict[str, Colour]:
    """The classes of `seg_classes`, where these may be used."""
    listed = _parse_classes(options.seg_classes)
    if listed and options.strict_masks:
        raise UserError(f"`seg_classes` {options.seg_classes} names colours and `strict_masks` has its own; use one of them")
    return listed


def check_both(content_seg_path: str, style_seg_path: str) -> None:
    """Raises `UserError` if only one photo has a mask."""
    if bool(content_seg_path) != bool(style_seg_path):
        missing = "`style_seg_path`" if content_seg_path else "`content_seg_path`"
        raise UserError(f"{missing} is missing; give the masks of both photos or of neither")


def read_classes(path: str, photo: np.ndarray, options: Options, orientation: int = 1) -> tuple[list[str], np.ndarray]:
    """The classes of the mask of a content photo alone, named as `read_regions` names them.

    Args:
        path: a file, or a folder of grey files, one per class and named after it.
        photo: the photo, float32 (H, W, 3), 0..1, to whose size the mask is brought.
        options: `strict_masks`, `seg_classes`, `seg_scribbles` and `max_pixels` are used.
        orientation: how the photo's file stores it, by EXIF's number.

    Returns:
        K different names, and float32 (H, W, K), sum over K at most 1.

    Raises:
        UserError: the mask cannot be read or has no flat colours.
    """
    mask, listed = [("content segmentation", path, photo, orientation)], _parse_classes(options.seg_classes)
    (classes,), palette = _of_folders(mask, options) if os.path.isdir(path) else _of_files(mask, listed, options)
    names = [name for name in dict.fromkeys(classes.names) if classes.share(name) > 0 and (not listed or name in listed)]
    if not names:
        raise UserError(f"{classes.file} has none of the classes {', '.join(listed or palette)} ({classes}); see `seg_classes`")
    return names, np.stack([classes.mask(name) for name in names], -1)


def merged(masks: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Masks (H, W, R) that get what another one (H, W) has, each pixel by the region nearest to it."""
    kept = masks.sum(axis=-1)
    nearest = mask_classes.filled(masks, kept >= 0.5 * kept.max())
    return masks + lost[..., None] * nearest / nearest.sum(axis=-1, keepdims=True)


def table(regions: Regions) -> str:
    """The regions with their shares of both photos, and what becomes of every other class; printed before optimising."""
    rows = [(n, c, s, "") for n, c, s in zip(regions.names, _shares(regions.content), _shares(regions.style), strict=True)]
    rows += [(other.name, other.content_share, other.style_share, other.fate) for other in regions.unmatched]
    width = max(len("region"), *(len(name) for name, *_ in rows))
    lines = [f"{'region':<{width}}  content    style"]
    lines += [f"{name:<{width}}  {content:7.1%}  {style:7.1%}  {fate}".rstrip() for name, content, style, fate in rows]
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Classes:
    """The classes of one mask: `file` for messages, K names, float32 masks (H, W, K) at the photo's size, and its strokes."""

    file: str
    names: list[str]
    masks: np.ndarray
    strokes: np.ndarray | None = None

    def share(self, name: str) -> float:
        return float(self.mask(name).mean(dtype=np.float64))

    def mask(self, name: str) -> np.ndarray:
        """(H, W): the sum of the classes of this name."""
        columns = [column for column, own in enumerate(self.names) if own == name]
        return self.masks[..., columns].sum(axis=-1)

    def __str__(self) -> str:
        shares = {name: self.share(name) for name in self.names}
        return ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share > 0) or "nothing"


def _of_folders(masks: Sequence[_Mask], options: Options) -> tuple[list[_Classes], dict[str, Colour]]:
    """The classes of each folder of masks, and the palette of all."""
    classes = []
    folders = [
        mask_classes.read_folder(role, path, photo.shape[:2], options.max_pixels, orientation)
        for role, path, photo, orientation in masks
    ]
    for (role, path, photo, _), files in zip(masks, folders, strict=True):
        file, names, samples = f"{role} {path}", list(files), list(files.values())
        strokes = None if options.strict_masks else scribbles.folder_strokes(file, samples, options.seg_scribbles)
        if strokes is None:
            classes.append(_Classes(file, names, mask_classes.grey_masks(samples, photo.shape[:2])))
        else:
            classes.append(_completed(file, names, strokes, photo))
    names = sorted({name for each in classes for name in each.names})
    return classes, dict(zip(names, PALETTE, strict=False))


def _of_files(masks: Sequence[_Mask], listed: dict[str, Colour], options: Options) -> tuple[list[_Classes], dict[str, Colour]]:
    """The classes of each mask, and the palette of all."""
    samples = [
        mask_classes.read_samples(role, path, photo.shape[:2], options.max_pixels, orientation)
        for role, path, photo, orientation in masks
    ]
    files = [f"{role} {path}" for role, path, *_ in masks]
    return _of_samples(files, samples, [photo for _, _, photo, _ in masks], listed, options)


def _of_samples(
    files: Sequence[str],
    samples: Sequence[np.ndarray],
    photos: Sequence[np.ndarray],
    listed: dict[str, Colour],
    options: Options,
) -> tuple[list[_Classes], dict[str, Colour]]:
    """The classes of masks by their samples, and the palette of all; `files` is what to call them in messages."""
    choice = "never" if options.strict_masks else options.seg_scribbles
    strokes = [scribbles.find_strokes(file, mask, choice) for file, mask in zip(files, samples, strict=True)]
    samples = [mask_classes.without_alpha(mask) for mask in samples]
    labels = not options.strict_masks and not any(strokes) and all(mask_classes.is_label_image(mask) for mask in samples)
    palette, classes = dict(REFERENCE_COLOURS if options.strict_masks else listed), []
    for photo, file, mask, drawn in zip(photos, files, samples, strokes, strict=True):
        size = photo.shape[:2]
        if options.strict_masks:
            classes.append(_Classes(file, list(palette), mask_classes.thresholded(mask, size)))
        elif drawn:
            classes.append(_completed(file, _named(file, drawn[0], palette, mask_classes.SAME), drawn[1], photo))
        else:
            colours, found, within = mask_classes.flat_classes(file, mask, size, labels)
            classes.append(_Classes(file, _named(file, colours, palette, within, labels), found))
    if labels:
        palette = dict(zip(palette, PALETTE, strict=False))
    return classes, palette


def _completed(file: str, names: list[str], strokes: Strokes, photo: np.ndarray) -> _Classes:
    """The classes of strokes, with a line that says so, and one for each two of them that touch."""
    painted = strokes.index >= 0
    logger.info("%s: strokes on %.1f %% of it are completed to whole regions (see `seg_scribbles`)", file, 100 * painted.mean())
    for one, other in scribbles.touching(strokes):
        logger.warning("%s has strokes of %s and %s that touch; keep each inside its own region", file, names[one], names[other])
    return _Classes(file, names, scribbles.complete(photo, strokes), painted)


def _match(
    content: _Classes, style: _Classes, palette: dict[str, Colour], listed: dict[str, Colour], missing_class: str
) -> Regions:
    """Makes regions of the classes that both masks have, and deals with the rest.

    Args:
        content: classes of the content mask.
        style: classes of the style mask.
        palette: every class with its colour, in the order of the regions.
        listed: the classes that count; if empty, all do.
        missing_class: what becomes of a class that only the content has: "merge", "ignore" or "error".
    """
    shares = {name: (content.share(name), style.share(name)) for name in palette}
    regions = [name for name, share in shares.items() if min(share) > 0 and (not listed or name in listed)]
    if not regions:
        both = f"content: {content}; style: {style}"
        raise UserError(f"{style.file} holds no class of the content segmentation ({both}); use the same colours in both")
    content_masks = np.stack([content.mask(name) for name in regions], axis=-1)
    style_masks = np.stack([style.mask(name) for name in regions], axis=-1)
    for name in listed:
        if name in palette and not any(shares[name]):
            logger.warning("`seg_classes` %s is in neither mask; the regions are %s", name, ", ".join(regions))
    missing, unmatched = [], []
    for name, (in_content, in_style) in shares.items():
        if name in regions or not (in_content or in_style):
            continue
        lack = "not in `seg_classes`" if listed and name not in listed else f"only in the {'content' if in_content else 'style'}"
        fate = "not used"
        if in_content:
            missing.append(name)
            fate = "merged into the nearest region" if missing_class == "merge" else "not matched"
            what = f"{content.file} has class {name} ({in_content:.1%} of the photo) {lack}"
            if missing_class == "error":
                raise UserError(f"{what}; paint it in both masks, or use `missing_class` merge or ignore")
            logger.warning("%s; it is %s", what, fate)
        elif style.strokes is not None:
            logger.warning("%s has strokes of %s and %s has none; they are not used", style.file, name, content.file)
        unmatched.append(Unmatched(name, in_content, in_style, f"{lack}: {fate}"))
    in_content, in_style = (1 - float(classes.masks.sum(axis=-1).mean(dtype=np.float64)) for classes in (content, style))
    if max(in_content, in_style) > mask_classes.SPECK:
        unmatched.append(Unmatched("no class", in_content, in_style, "not matched"))
        logger.warning("%s has no class in %.1f %% of the photo; that is not matched", content.file, 100 * in_content)
    if missing and missing_class == "merge":
        content_masks = merged(content_masks, np.sum([content.mask(name) for name in missing], axis=0))
    colours = tuple(palette[name] for name in regions)
    return Regions(tuple(regions), content_masks, style_masks, colours, tuple(unmatched), content.strokes, style.strokes)


def _shares(masks: np.ndarray) -> list[float]:
    return [float(share) for share in masks.mean(axis=(0, 1), dtype=np.float64)]


def _parse_classes(text: str) -> dict[str, Colour]:
    """Names and colours of `seg_classes`: "sky=0000ff,water=00ffff", or of label images "sky=2,water=21"."""
    classes: dict[str, Colour] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(r"([^=]+)=#?([0-9a-fA-F]{6}|[0-9]{1,5})", part)
        if not found or (len(found[2]) <= 5 and int(found[2]) > _MOST_LABEL):
            raise UserError(f"`seg_classes` {part} is no class; write name=colour as in sky=0000ff, or name=label as in sky=2")
        name, value = found[1].strip(), found[2]
        red, green, blue = bytes.fromhex(value) if len(value) == 6 else (int(value),) * 3
        classes[name] = (red, green, blue)
    return classes


def _named(file: str, colours: Sequence[Colour], palette: dict[str, Colour], within: int, labels: bool = False) -> list[str]:
    """The name of each colour of a mask: of the nearest of the palette's, or one of its own, which is added to the palette.

    Two colours of a mask never have one name, and the nearest pair comes first, so that equal colours are one class.

    Args:
        file: what to call the mask in messages.
        colours: K different colours.
        palette: colours by name.
        within: levels by which a colour may differ from the palette's.
        labels: whether colours are labels.
    """
    distances = [
        (mask_classes.colour_distance(other, colour), column, name)
        for column, colour in enumerate(colours)
        for name, other in palette.items()
        if labels or max(other) <= 255  # else a label of 16 bits, and no colour
    ]
    names: dict[int, str] = {}
    for distance, column, name in sorted(distances):
        if distance <= within and column not in names and name not in names.values():
            names[column] = name
            if distance > mask_classes.NOISE:
                pair = _hex(colours[column]), name, _hex(palette[name])
                logger.warning("%s has the colour %s, which is taken for class %s (%s); use the same in both masks", file, *pair)
    for column, colour in enumerate(colours):
        if column not in names:
            near = (usual for usual, other in REFERENCE_COLOURS.items() if _is_near(colour, other))
            name = f"label {colour[0]}" if labels else next(near, "")
            if not name or name in palette:
                name = _hex(colour)
            palette[name], names[column] = colour, name
    return [names[column] for column in range(len(colours))]


def _is_near(colour: Colour, other: Colour) -> bool:
    return mask_classes.colour_distance(colour, other) <= mask_classes.SAME


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{level:02x}" for level in colour)
