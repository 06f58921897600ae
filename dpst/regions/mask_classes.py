"""One mask: from the samples of its file to its classes, as a person would see them.

A class is a flat colour (or label) that fills areas of the mask. What lies between classes, the colours of soft, anti-aliased
or compressed edges, is no class; those pixels join the class nearest in colour and in place.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence

import numpy as np
import scipy

from dpst.errors import UserError
from dpst.imaging.resizing import resize

Colour = tuple[int, int, int]

logger = logging.getLogger(__name__)

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
_BLACK_AND_WHITE = [REFERENCE_COLOURS["black"], REFERENCE_COLOURS["white"]]
_GREYS = {*_BLACK_AND_WHITE, REFERENCE_COLOURS["grey"]}

# Levels by which compression moves a flat colour.
NOISE = 16
# Levels by which one class may differ between two masks, or within one, where edges are soft or compressed.
SAME = 48
# A class has at least this share of its mask; less is a speck. (An eye in a portrait has 2e-3, specks of compression 1e-5.)
SPECK = 2e-4
# More classes than this are a gradient, not labels.
MOST_CLASSES = 64
# Share of a mask's pixels in flat colours: above the first its edges are hard, below the second it is worth a warning, below the
# third it is a photo.
HARD, FLAT, PHOTO = 0.999, 0.9, 0.5
# How many pixels away from a class weigh as much as the way from black to full red.
_REACH = 16


def without_alpha(samples: np.ndarray) -> np.ndarray:
    """Samples (h, w) or (h, w, 3) of a mask: with alpha, its colours over black where they are classes.

    Where they are not, as in a subject cut out, alpha itself is the mask.
    """
    if samples.ndim == 2 or samples.shape[2] == 3:
        return samples
    colours, alpha = samples[..., :3], samples[..., 3]
    if alpha.min() == 255:
        return colours
    over_black = np.rint(colours * (alpha[..., None] / 255)).astype(np.uint8)
    classes = _flat_colours(over_black, NOISE)
    return over_black if len(classes) > 1 and nearest(over_black, classes, NOISE)[1].mean() > FLAT else alpha


def grey_masks(files: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """A region for each file of a folder: how grey a pixel is, or how opaque, says how far it belongs there.

    Returns:
        float32 (H, W, K), sum over K at most 1.
    """
    masks = []
    for samples in map(without_alpha, files):
        grey = samples if samples.ndim == 2 else samples.mean(axis=-1)
        full = 1 if grey.max() <= 1 else np.iinfo(samples.dtype).max  # networks write no and yes as 0 and 1
        masks.append(resized((grey / full).astype(np.float32), size))
    stacked = np.stack(masks, axis=-1)
    return stacked / np.maximum(stacked.sum(axis=-1, keepdims=True), 1)


def thresholded(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks of the reference's nine colours by its thresholds: 0 is below 0.1, 1 above 0.9, half between 0.4 and 0.6.

    Returns:
        float32 (H, W, 9), each pixel in one class or in none.
    """
    unit = resized(rgb(samples).astype(np.float32) / np.iinfo(samples.dtype).max, size)
    level = {0: unit < 0.1, 128: (unit > 0.4) & (unit < 0.6), 255: unit > 0.9}
    masks = [level[red][..., 0] & level[green][..., 1] & level[blue][..., 2] for red, green, blue in REFERENCE_COLOURS.values()]
    return np.stack(masks, axis=-1).astype(np.float32)


def is_label_image(samples: np.ndarray) -> bool:
    """Whether these are labels: one channel of few values, all in flat areas and none between, and not black, grey and white."""
    if samples.ndim == 3:
        return False
    values = _flat_colours(samples, 0)
    if not 0 < len(values) <= MOST_CLASSES or set(values) <= _GREYS:
        return False
    return bool(nearest(samples, values, 0)[1].mean() > HARD)


def flat_labels(samples: np.ndarray) -> np.ndarray:
    """The different labels, sorted, of the flat areas of a mask's samples (h, w)."""
    return np.unique(samples[_is_flat(rgb(samples), 0)])


@dataclasses.dataclass(frozen=True)
class FlatClasses:
    """The classes of a mask, or of all frames of a film of masks.

    Attributes:
        colours: of the K classes, the commonest first.
        within: levels by which the same class may differ in another mask.
        noise: levels by which a pixel may differ from its class.
        edges: "hard", every pixel has the colour of a class; "mixed", some lie between; "soft", grey says how white a pixel is.
    """

    colours: list[Colour]
    within: int
    noise: int
    edges: str

    def masks(self, samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Samples (h, w) or (h, w, 3) as float32 (H, W, K) at the photo's `size`, sum over K 1."""
        samples = _thinned(samples, size)
        if self.edges == "soft":
            # The ends of the ramp, that compression has moved, are made flat again.
            white = resized(np.clip((samples.astype(np.float32) - NOISE) / (255 - 2 * NOISE), 0, 1), size)
            return np.stack([1 - white, white], axis=-1)
        index, sure = nearest(samples, self.colours, self.noise)
        index = filled(index, sure) if self.edges == "hard" else _joined(samples, index, sure, self.colours)
        one_hot = np.eye(len(self.colours), dtype=np.float32)
        masks = resized(one_hot[index], size)
        return masks if index.shape == size else one_hot[masks.argmax(axis=-1)]


def flat_classes(file: str, samples: np.ndarray, size: tuple[int, int], labels: bool) -> FlatClasses:
    """The classes of a mask, every pixel in the nearest. A grey mask that is not flat is soft: white against black.

    Args:
        file: what to call it in messages.
        samples: uint8 (h, w) or (h, w, 3), or uint16 (h, w).
        size: (H, W) of the photo.
        labels: whether each value is a class of its own; else near values are one colour with noise, unless there is none.

    Raises:
        UserError: this is no mask but a picture, or labels where colours are wanted.
    """
    samples = _thinned(samples, size)
    exact = [] if labels else _exact_colours(samples)
    noise = 0 if labels or exact else NOISE
    colours = exact or _flat_colours(samples, noise)
    if (
        not labels
        and is_label_image(samples)
        and (samples.dtype == np.uint16 or len(_flat_colours(samples, NOISE)) < len(colours))
    ):
        raise UserError(f"{file} is a label image and the other mask is not; save both alike")
    share = nearest(samples, colours, noise)[1].mean()
    if samples.ndim == 2 and share <= HARD and (share < FLAT or _black_or_white(colours)):
        return FlatClasses(_BLACK_AND_WHITE, SAME, NOISE, "soft")
    if share < PHOTO:
        raise UserError(f"{file} is flat in only {share:.0%} of it, like a photo; paint each region in one colour of its own")
    if len(colours) > MOST_CLASSES:
        raise UserError(
            f"{file} has more than {MOST_CLASSES} flat colours, like a drawing; paint each region in one colour of its own"
        )
    if share < FLAT:
        logger.warning("%s has no flat colour in %.0f %% of it; those pixels join the nearest region", file, 100 * (1 - share))
    if share <= HARD:
        # Blur and the coarse colours of JPEG have plateaus of their own beside a class.
        return FlatClasses(distinct(colours), 0 if labels else SAME, noise, "mixed")
    return FlatClasses(colours, 0 if labels else NOISE, noise, "hard")


def _thinned(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Every n-th row and column of a mask that is much larger than its photo, for time; labels cannot be averaged."""
    step = max(1, min(samples.shape[0] // size[0], samples.shape[1] // size[1]))
    return samples[step // 2 :: step, step // 2 :: step]


def _black_or_white(colours: Sequence[Colour]) -> bool:
    return all(min(colour_distance(colour, end) for end in _BLACK_AND_WHITE) <= SAME for colour in colours)


def colour_distance(a: Colour, b: Colour) -> int:
    """Levels by which two colours differ in the channel where they differ most."""
    return max(abs(i - j) for i, j in zip(a, b, strict=True))


def distinct(colours: Sequence[Colour]) -> list[Colour]:
    """The colours without those that are nearly one before them."""
    return [c for n, c in enumerate(colours) if all(colour_distance(c, other) > SAME for other in colours[:n])]


def resized(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks at another size (height, width), averaged; the very same ones if they have it."""
    return masks if masks.shape[:2] == size else resize(masks, *size)


def filled(values: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Gives each pixel that is not sure what the nearest one has that is, if any is; values (h, w, ...), sure bool (h, w)."""
    if sure.all() or not sure.any():
        return values
    return values[tuple(scipy.ndimage.distance_transform_edt(~sure, return_distances=False, return_indices=True))]


def rgb(samples: np.ndarray) -> np.ndarray:
    """Samples (h, w, 3) of a mask, grey or not, without its alpha."""
    return samples[..., :3] if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)


def _is_flat(samples: np.ndarray, noise: int) -> np.ndarray:
    """Whether the 3x3 window about each pixel has one colour, give or take the noise: bool (h, w)."""
    flat = np.ones(samples.shape[:2], bool)
    for plane in _planes(samples):
        flat &= scipy.ndimage.maximum_filter(plane, 3) - scipy.ndimage.minimum_filter(plane, 3) <= noise
    return flat


def _planes(samples: np.ndarray) -> np.ndarray:
    """Samples (h, w, 3) as (3, h, w): NumPy takes a fraction of the time to look at one channel after the other."""
    return np.ascontiguousarray(np.moveaxis(samples, -1, 0))


def _flat_colours(samples: np.ndarray, noise: int) -> list[Colour]:
    """The colours that fill flat areas of a mask, the commonest first."""
    samples = rgb(samples)
    return peaks(samples[_is_flat(samples, noise)], noise, SPECK * samples[..., 0].size)


def _exact_colours(samples: np.ndarray) -> list[Colour]:
    """The colours of a mask that has no others, as those of a palette, the commonest first; empty if it has.

    Two of them that are near each other are two classes if both fill areas; what stands along edges is noise of the other.
    """
    found = _flat_colours(samples, 0)
    if not 0 < len(found) <= MOST_CLASSES:
        return []
    index, sure = nearest(samples, found, 0)
    if sure.mean() <= HARD:
        return []
    count, flat = (np.bincount(index[where], minlength=len(found)) for where in (sure, sure & _is_flat(rgb(samples), 0)))
    fills = 2 * flat >= count
    return [
        colour for n, colour in enumerate(found) if fills[n] or all(colour_distance(colour, other) > NOISE for other in found[:n])
    ]


def peaks(colours: np.ndarray, noise: int, least: float) -> list[Colour]:
    """The colours about which others (n, 3) crowd, and which have at least so many pixels; the commonest first.

    The pixels of a class crowd about one colour; edges do not, and the colours of a soft ramp are spread evenly.
    """
    codes, counts = np.unique(colours @ np.array([1 << 32, 1 << 16, 1]), return_counts=True)
    levels = np.stack([codes >> 32, codes >> 16 & 65535, codes & 65535], axis=-1)  # (colours, 3)
    found: list[Colour] = []
    for _ in range(2 * MOST_CLASSES):
        if not counts.size:
            break
        peak = levels[counts.argmax()]
        distance = np.abs(levels - peak).max(axis=-1)
        own, crowd = (counts[distance <= reach].sum() for reach in (noise, noise // 4))
        if own < least:
            break
        if crowd > own / 2:
            found.append((int(peak[0]), int(peak[1]), int(peak[2])))
        levels, counts = levels[distance > noise], counts[distance > noise]
    return found


def nearest(samples: np.ndarray, colours: Sequence[Colour], noise: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel the index of the nearest colour, int (h, w), and whether it has it but for the noise, bool (h, w)."""
    signed: type = np.int16 if samples.dtype == np.uint8 else np.int32
    planes = _planes(rgb(samples).astype(signed))
    index, least = np.zeros(planes.shape[1:], np.intp), np.full_like(planes[0], np.iinfo(signed).max)
    for number, colour in enumerate(colours):
        red, green, blue = (np.abs(plane - signed(level)) for plane, level in zip(planes, colour, strict=True))
        distance = np.maximum(np.maximum(red, green), blue)
        index[distance < least] = number
        least = np.minimum(least, distance)
    return index, least <= noise


def _joined(samples: np.ndarray, index: np.ndarray, sure: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """The class of each pixel of a mask with soft or compressed edges, int (h, w): the nearest in colour and in place.

    Colour alone would not do: halfway from blue to white is as near to light blue as to either, and halfway from black to
    white is grey.
    """
    samples = rgb(samples)
    inside = sure & _is_flat(samples, NOISE)
    planes = _planes(samples.astype(np.float32) / 255)
    best, least = index, np.full(index.shape, np.inf)
    for number, colour in enumerate(colours):
        own = inside & (index == number)
        if not own.any():  # in this frame of a film
            continue
        away = scipy.ndimage.distance_transform_edt(~own) / _REACH
        red, green, blue = ((plane - np.float32(level / 255)) ** 2 for plane, level in zip(planes, colour, strict=True))
        cost = red + green + blue + away**2
        best, least = np.where(cost < least, number, best), np.minimum(cost, least)
    return best
