"""Masks: read, match between the two photos, check, and carry down the network.

A region is a pair of masks, one for each photo: the content's takes its look from the style's. Any mask that people have will
do: flat colours with hard, anti-aliased or JPEG edges, label images, soft grey masks, alpha, a folder with one file per region.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

import images
from options import Options, UserError

Colour = tuple[int, int, int]

logger = logging.getLogger("deep_photostyle")

# The nine colours of the reference script, in its order.
REFERENCE_COLOURS: dict[str, Colour] = {
    "blue": (0, 0, 255),
    "green": (0, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "yellow": (255, 255, 0),
    "grey": (128, 128, 128),
    "light blue": (0, 255, 255),
    "purple": (255, 0, 255),
}

# Colours for previews of classes that have none: labels, and files of regions.
_PREVIEW_COLOURS = list(dict.fromkeys([*REFERENCE_COLOURS.values(), *itertools.product((0, 85, 170, 255), repeat=3)]))

# VGG19 up to the last style layer: convolutions in each block, a pooling between blocks.
_CONVOLUTIONS = (2, 2, 4, 4, 1)

# Levels by which compression moves a flat colour, and by which one class may differ between the two masks.
_NOISE, _SAME = 16, 32
# A class has at least this share of its mask; less is a speck. (An eye in a portrait has 2e-3, specks of compression 1e-5.)
_SPECK = 2e-4
# More classes than this are a gradient, not labels.
_MOST_CLASSES = 64
# Share of a mask's pixels in flat colours: more than the first, and its edges are hard; less than the second, worth a warning;
# less than the third, it is a photo.
_HARD, _FLAT, _PHOTO = 0.999, 0.9, 0.5
# How many pixels away from a class weigh as much as the way from black to full red.
_REACH = 16


@dataclasses.dataclass(frozen=True)
class Unmatched:
    """A class that is no region of its own: its shares of the two photos and what becomes of it."""

    name: str
    content_share: float
    style_share: float
    fate: str


@dataclasses.dataclass(frozen=True)
class Regions:
    """Corresponding regions of the two photos.

    Attributes:
        names: R names.
        content: float32 (H, W, R), 0..1, sum over R at most 1; a pixel whose sum is 0 has no part in the style loss.
        style: float32 (h, w, R), the same of the style photo.
        colours: R colours for previews, RGB in levels.
        unmatched: the classes that became no region, for the table.
    """

    names: tuple[str, ...]
    content: np.ndarray
    style: np.ndarray
    colours: tuple[Colour, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()

    def resized(self, content_size: tuple[int, int], style_size: tuple[int, int]) -> Regions:
        """The regions of photos of other sizes (height, width); pixels are averaged, so that whole partitions stay whole."""
        content, style = _resized(self.content, content_size), _resized(self.style, style_size)
        return dataclasses.replace(self, content=content, style=style)


def read_regions(
    content_seg_path: str,
    style_seg_path: str,
    content_size: tuple[int, int],
    style_size: tuple[int, int],
    options: Options,
) -> Regions:
    """Reads and matches the masks of both photos.

    By default every pixel joins the nearest of the flat colours that its mask really has, near in colour and in place, so that
    the odd colours along soft or compressed edges neither become classes nor fall to a third one. With `options.strict_masks`
    the nine colours and the thresholds of the reference decide, and a pixel may be in no class.

    Args:
        content_seg_path: mask of the content photo, a file, or a folder of grey files, one per region and named after it.
            Without either mask there is one region, the whole image.
        style_seg_path: mask of the style photo; a folder if the content's is one.
        content_size: (height, width) of the content photo, to which its mask is brought.
        style_size: the same of the style photo.
        options: `strict_masks`, `seg_classes` and `missing_class` are heeded.

    Raises:
        UserError: a mask is missing or unreadable or has no flat colours, or the two have no class in common.
    """
    if not content_seg_path and not style_seg_path:
        masks = (np.ones((*size, 1), np.float32) for size in (content_size, style_size))
        return Regions(("whole image",), *masks, colours=((0, 0, 255),))
    if not (content_seg_path and style_seg_path):
        missing = "--style_seg_path" if content_seg_path else "--content_seg_path"
        raise UserError(f"{missing} is empty; give the masks of both photos or of neither")
    listed = _parse_classes(options.seg_classes)
    content_file, style_file = f"content segmentation {content_seg_path}", f"style segmentation {style_seg_path}"
    if Path(content_seg_path).is_dir() or Path(style_seg_path).is_dir():
        content = _region_files(content_file, content_seg_path, content_size)
        style = _region_files(style_file, style_seg_path, style_size)
        names = sorted({*content.names, *style.names})
        return _match(content, style, dict(zip(names, _PREVIEW_COLOURS, strict=False)), listed, options.missing_class)
    content_samples = _read_mask("content segmentation", content_seg_path, content_size)
    style_samples = _read_mask("style segmentation", style_seg_path, style_size)
    if options.strict_masks:
        content = _Classes(content_file, list(REFERENCE_COLOURS), _thresholded(content_samples, content_size))
        style = _Classes(style_file, list(REFERENCE_COLOURS), _thresholded(style_samples, style_size))
        return _match(content, style, REFERENCE_COLOURS, listed, options.missing_class)
    labels = _is_label_image(content_samples) and _is_label_image(style_samples)
    noise = 0 if labels else _NOISE
    content_colours, content_masks = _flat_masks(content_file, content_samples, content_size, noise)
    style_colours, style_masks = _flat_masks(style_file, style_samples, style_size, noise)
    palette = dict(listed)
    content = _Classes(content_file, _named(content_colours, palette, labels), content_masks)
    style = _Classes(style_file, _named(style_colours, palette, labels), style_masks)
    if labels:
        palette = dict(zip(palette, _PREVIEW_COLOURS, strict=False))
    return _match(content, style, palette, listed, options.missing_class)


def propagate(masks: np.ndarray, layers: Iterable[str]) -> dict[str, np.ndarray]:
    """Carries masks down VGG19, doing to them what each of its layers does to the reach of a pixel.

    At each convolution a 3x3 mean with zeros around, always divided by 9; at each pooling a bilinear resize to ceil(size / 2) with
    the sampling of TensorFlow 1 (corners not aligned, no half-pixel centres). A layer's masks are those after its own convolution.

    Args:
        masks: float32 (H, W, R), 0..1.
        layers: names of layers, from conv1_1 to conv5_1.

    Returns:
        For each layer float32 (h, w, R), 0..1.
    """
    wanted, carried = set(layers), {}
    for block, convolutions in enumerate(_CONVOLUTIONS, start=1):
        if block > 1:
            masks = _halved(_halved(masks, axis=0), axis=1)
        for convolution in range(1, convolutions + 1):
            masks = _mean_3x3(masks)
            if (layer := f"conv{block}_{convolution}") in wanted:
                carried[layer] = masks
            if wanted <= carried.keys():
                return carried
    raise ValueError(f"layers {', '.join(sorted(wanted - carried.keys()))} are unknown; masks reach from conv1_1 to conv5_1")


def table(regions: Regions) -> str:
    """The regions with their shares of both photos, and what becomes of every other class; printed before optimising."""
    rows = [(n, c, s, "") for n, c, s in zip(regions.names, _shares(regions.content), _shares(regions.style), strict=True)]
    rows += [dataclasses.astuple(unmatched) for unmatched in regions.unmatched]
    width = max(len("region"), *(len(name) for name, *_ in rows))
    lines = [f"{'region':<{width}}  content    style"]
    lines += [f"{name:<{width}}  {content:7.1%}  {style:7.1%}  {fate}".rstrip() for name, content, style, fate in rows]
    return "\n".join(lines)


def _halved(masks: np.ndarray, axis: int) -> np.ndarray:
    """One axis resized to ceil(size / 2): output i samples at i * size / ceil(size / 2), between the two nearest inputs."""
    size = masks.shape[axis]
    out = -(-size // 2)
    position = np.arange(out, dtype=np.float32) * np.float32(size / out)
    lower = position.astype(np.intp)
    upper = np.minimum(lower + 1, size - 1)
    blend = (position - lower).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(masks.ndim)])
    first = masks.take(lower, axis)
    return first + (masks.take(upper, axis) - first) * blend


def _mean_3x3(masks: np.ndarray) -> np.ndarray:
    """Mean of the 3x3 neighbourhood, zeros outside, divided by 9 everywhere."""
    rows = masks.copy()
    rows[1:] += masks[:-1]
    rows[:-1] += masks[1:]
    total = rows.copy()
    total[:, 1:] += rows[:, :-1]
    total[:, :-1] += rows[:, 1:]
    return total / np.float32(9)


@dataclasses.dataclass(frozen=True)
class _Classes:
    """The classes of one mask: `file` for messages, K names, float32 masks (H, W, K) at the photo's size."""

    file: str
    names: list[str]
    masks: np.ndarray

    def share(self, name: str) -> float:
        return float(self.mask(name).mean(dtype=np.float64))

    def mask(self, name: str) -> np.ndarray:
        """(H, W): the sum of the classes of this name."""
        columns = [column for column, own in enumerate(self.names) if own == name]
        return self.masks[..., columns].sum(axis=-1)

    def __str__(self) -> str:
        return ", ".join(f"{name} {self.share(name):.0%}" for name in dict.fromkeys(self.names)) or "nothing"


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
        raise UserError(
            f"{style.file} holds no class of the content segmentation (content: {content}; style: {style}); use the same colours in both"
        )
    content_masks = np.stack([content.mask(name) for name in regions], axis=-1)
    style_masks = np.stack([style.mask(name) for name in regions], axis=-1)
    missing, unmatched = [], []
    for name, (in_content, in_style) in shares.items():
        if name in regions or not (in_content or in_style):
            continue
        lack = "not in --seg_classes" if listed and name not in listed else f"only in the {'content' if in_content else 'style'}"
        fate = "not used"
        if in_content:
            missing.append(name)
            fate = "merged into the nearest region" if missing_class == "merge" else "left out of the style loss"
            what = f"{content.file} has class {name} ({in_content:.1%} of the photo) {lack}"
            if missing_class == "error":
                raise UserError(f"{what}; paint it in both masks, or use --missing_class merge or ignore")
            logger.warning("%s; it is %s", what, fate)
        unmatched.append(Unmatched(name, in_content, in_style, f"{lack}: {fate}"))
    none = tuple(max(0.0, 1 - classes.masks.sum(axis=-1).mean(dtype=np.float64)) for classes in (content, style))
    if max(none) > _SPECK:
        unmatched.append(Unmatched("no class", *none, "left out of the style loss"))
        logger.warning(
            "%.1f %% of the content and %.1f %% of the style segmentation are in no class", 100 * none[0], 100 * none[1]
        )
    if missing and missing_class == "merge":
        lost = np.sum([content.mask(name) for name in missing], axis=0)
        content_masks = content_masks + lost[..., None] * _filled(content_masks, content_masks.sum(axis=-1) > 0.5)
    return Regions(tuple(regions), content_masks, style_masks, tuple(palette[name] for name in regions), tuple(unmatched))


def _filled(values: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Gives each pixel that is not sure what the nearest one has that is; values (h, w, ...), sure (h, w)."""
    if sure.all():
        return values
    nearest = ndimage.distance_transform_edt(~sure, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


def _shares(masks: np.ndarray) -> list[float]:
    return [float(share) for share in masks.mean(axis=(0, 1), dtype=np.float64)]


def _resized(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return masks if masks.shape[:2] == size else images.resize(masks, *size)


def _rgb(samples: np.ndarray) -> np.ndarray:
    return samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)


def _parse_classes(text: str) -> dict[str, Colour]:
    """Names and colours of `--seg_classes`: "sky=0000ff,water=00ffff", or of label images "sky=2,water=21"."""
    classes: dict[str, Colour] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(r"([^=]+)=#?([0-9a-fA-F]{6}|\d{1,3})", part)
        if not found or (len(found[2]) <= 3 and int(found[2]) > 255):
            raise UserError(f"--seg_classes {part} is no class; write name=colour as in sky=0000ff, or name=label as in sky=2")
        name, value = found[1].strip(), found[2]
        red, green, blue = bytes.fromhex(value) if len(value) == 6 else (int(value),) * 3
        classes[name] = (red, green, blue)
    return classes


def _distance(a: Colour, b: Colour) -> int:
    return max(abs(i - j) for i, j in zip(a, b, strict=True))


def _named(colours: Sequence[Colour], palette: dict[str, Colour], labels: bool) -> list[str]:
    """The name of each colour: the nearest of the palette's, or else one of its own, added to the palette."""
    known, names = list(palette.items()), []
    for colour in colours:
        name, other = min(known, key=lambda item: _distance(item[1], colour), default=("", colour))
        if not name or _distance(other, colour) > (0 if labels else _SAME):
            usual = [usual for usual, other in REFERENCE_COLOURS.items() if _distance(other, colour) <= _SAME]
            name = f"label {colour[0]}" if labels else usual[0] if usual else ""
            if not name or name in palette:
                name = "#" + bytes(colour).hex()
            palette[name] = colour
        names.append(name)
    return names


def _read_mask(role: str, path: str, size: tuple[int, int]) -> np.ndarray:
    """uint8 samples (h, w) or (h, w, 3) of a mask; warns where bringing it to its photo's size (height, width) distorts it."""
    samples = images.read_mask_samples(path, role)
    height, width = samples.shape[:2]
    # One pixel more or less is the rounding of whoever made the photo or the mask smaller.
    if abs(height * size[1] - width * size[0]) > max(height, width, *size):
        shapes = (width, height, size[1], size[0])
        logger.warning("%s %s is %dx%d, another shape than its photo of %dx%d; it is stretched to fit", role, path, *shapes)
    return samples if samples.ndim == 2 or samples.shape[2] == 3 else _without_alpha(samples)


def _without_alpha(samples: np.ndarray) -> np.ndarray:
    """Colours over black where they are classes; where they are not, as in a subject cut out, alpha itself as a grey mask."""
    alpha = samples[..., 3]
    over_black = np.rint(samples[..., :3] * (alpha[..., None] / 255)).astype(np.uint8)
    colours = _flat_colours(over_black, _NOISE)
    classes = len(colours) > 1 and _nearest(over_black, colours, _NOISE)[1].mean() > _FLAT
    return over_black if classes or alpha.min() == 255 else alpha


def _region_files(file: str, folder: str, size: tuple[int, int]) -> _Classes:
    """A region for each file of a folder: its grey value, or its alpha, is how much of the region a pixel has."""
    if not Path(folder).is_dir():
        raise UserError(f"{file} is a file and the other mask a folder; give two folders with files of the same names")
    paths = sorted(path for path in Path(folder).iterdir() if not path.name.startswith("."))
    if not paths or len(paths) > _MOST_CLASSES:
        raise UserError(
            f"{file} holds {len(paths)} files; give a folder with one picture for each region, {_MOST_CLASSES} at most"
        )
    masks = []
    for path in paths:
        samples = _read_mask(file.split(" /")[0], str(path), size)
        grey = samples if samples.ndim == 2 else samples.mean(axis=-1)
        # Networks write yes and no as 1 and 0.
        masks.append(_resized((grey / np.float32(1 if grey.max() <= 1 else 255)).astype(np.float32), size))
    stacked = np.stack(masks, axis=-1)
    return _Classes(file, [path.stem for path in paths], stacked / np.maximum(stacked.sum(axis=-1, keepdims=True), 1))


def _thresholded(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks (H, W, 9) of the reference's colours by its thresholds: 0 is below 0.1, 1 above 0.9, half between 0.4 and 0.6."""
    unit = _resized(_rgb(samples).astype(np.float32) / 255, size)
    level = {0: unit < 0.1, 128: (unit > 0.4) & (unit < 0.6), 255: unit > 0.9}
    masks = [level[red][..., 0] & level[green][..., 1] & level[blue][..., 2] for red, green, blue in REFERENCE_COLOURS.values()]
    return np.stack(masks, axis=-1).astype(np.float32)


def _flat(samples: np.ndarray, noise: int) -> np.ndarray:
    """Whether the 3x3 window about each pixel has one colour, give or take the noise: bool (h, w)."""
    size = (3, 3, 1)
    return (ndimage.maximum_filter(samples, size) - ndimage.minimum_filter(samples, size)).max(axis=-1) <= noise


def _flat_colours(samples: np.ndarray, noise: int) -> list[Colour]:
    """The colours that fill flat areas of a mask, the commonest first.

    The pixels of a class crowd about one colour; edges are not flat, and the colours of a soft ramp are spread evenly.
    """
    samples = _rgb(samples)
    codes, counts = np.unique(samples[_flat(samples, noise)] @ np.array([65536, 256, 1]), return_counts=True)
    levels = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)  # (colours, 3)
    found: list[Colour] = []
    for _ in range(2 * _MOST_CLASSES):
        if not counts.size:
            break
        peak = levels[counts.argmax()]
        distance = np.abs(levels - peak).max(axis=-1)
        own, crowd = (counts[distance <= reach].sum() for reach in (noise, noise // 4))
        if own < _SPECK * samples[..., 0].size:
            break
        if crowd > own / 2:
            found.append((int(peak[0]), int(peak[1]), int(peak[2])))
        levels, counts = levels[distance > noise], counts[distance > noise]
    return found


def _nearest(samples: np.ndarray, colours: Sequence[Colour], noise: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel the index of the nearest colour, and whether that is the pixel's but for the noise."""
    samples = _rgb(samples).astype(np.int16)
    distance = np.stack([np.abs(samples - np.int16(colour)).max(axis=-1) for colour in colours])
    return distance.argmin(axis=0), distance.min(axis=0) <= noise


def _is_label_image(samples: np.ndarray) -> bool:
    """Whether these are labels: one channel with few values, all in flat areas and none between them."""
    if samples.ndim == 3:
        return False
    values = _flat_colours(samples, 0)
    return 0 < len(values) <= _MOST_CLASSES and _nearest(samples, values, 0)[1].mean() > _HARD


def _flat_masks(file: str, samples: np.ndarray, size: tuple[int, int], noise: int) -> tuple[list[Colour], np.ndarray]:
    """The classes of a mask: K colours and float32 (H, W, K), every pixel in the nearest; or a grey ramp, white against black.

    Raises:
        UserError: this is no mask but a picture.
    """
    colours = _flat_colours(samples, noise)
    labels, sure = (
        _nearest(samples, colours, noise) if colours else (np.zeros(samples.shape[:2], int), np.zeros(samples.shape[:2], bool))
    )
    share = sure.mean()
    black_and_white = [REFERENCE_COLOURS["black"], REFERENCE_COLOURS["white"]]
    if (
        samples.ndim == 2
        and share <= _HARD
        and (share < _FLAT or all(min(_distance(c, end) for end in black_and_white) <= noise for c in colours))
    ):
        # Compression turns black into nearly black; the ends of the ramp are made flat again.
        white = np.clip((samples.astype(np.float32) - _NOISE) / (255 - 2 * _NOISE), 0, 1)
        white = _resized(white, size)
        return black_and_white, np.stack([1 - white, white], axis=-1)
    if len(colours) > _MOST_CLASSES or share < _PHOTO:
        raise UserError(
            f"{file} has flat colours in only {share:.0%} of it, like a photo; paint each region in one colour of its own"
        )
    if share < _FLAT:
        logger.warning("%s has no flat colour in %.0f %% of it; those pixels join the nearest region", file, 100 * (1 - share))
    labels = _filled(labels, sure) if share > _HARD else _sharpened(samples, labels, sure, colours)
    one_hot = np.eye(len(colours), dtype=np.float32)
    masks = _resized(one_hot[labels], size)
    return colours, masks if masks.shape[:2] == labels.shape else one_hot[masks.argmax(axis=-1)]


def _sharpened(samples: np.ndarray, labels: np.ndarray, sure: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Labels (h, w) for a mask with soft or compressed edges: each pixel joins the class nearest in colour and in place.

    Colour alone would not do: halfway from blue to white is as near to light blue as to either, and halfway from black to white is
    grey.
    """
    inside = sure & _flat(samples, _NOISE)
    unit = _rgb(samples).astype(np.float32) / 255
    costs = []
    for index, colour in enumerate(colours):
        away = ndimage.distance_transform_edt(~(inside & (labels == index)))
        costs.append(((unit - np.float32(colour) / 255) ** 2).sum(axis=-1) + (away / _REACH).astype(np.float32) ** 2)
    return np.argmin(costs, axis=0)
