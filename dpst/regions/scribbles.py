"""Whole regions from a few strokes, by closed-form matting.

A stroke says which region its pixels are in. Every other pixel joins the strokes that the photo connects it with (Levin,
Lischinski, Weiss 2008, "A Closed-Form Solution to Natural Image Matting"). That is solved on a small photo, for all regions
together; local affine maps of the photo's colours carry the regions to its own size, so that their edges are the photo's.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import scipy

from closed_form_matting import matte, matting_laplacian
from dpst.errors import UserError
from dpst.imaging.fitted_masks import FittedMasks
from dpst.imaging.resizing import fitted, resize
from dpst.imaging.strips import strips_of
from dpst.regions import mask_classes
from dpst.regions.mask_classes import Colour
from dpst.regions.refining import refined

logger = logging.getLogger(__name__)

# Painted share of a mask below which `auto` takes the paint for strokes.
_LITTLE = 0.2
# Alpha from which a pixel is painted.
_OPAQUE = 128
# A colour has at least this share of the strokes. Less is where two of them mix.
_MIN_SHARE = 1e-3
# Long side in pixels of the solve. On eleven pairs of photos 200, 300 and 400 pixels agree equally well with masks drawn by hand;
# 300 still shows thin things, and takes a second.
_SIDE = 300
# Side of the windows of the matting Laplacian.
_WINDOW = 3


@dataclasses.dataclass(frozen=True)
class Strokes:
    """The strokes of one mask.

    Attributes:
        index: int8 (h, w), at the mask's own size: the class of each pixel of a stroke, -1 elsewhere.
        count: the number K of classes.
    """

    index: np.ndarray
    count: int

    def at(self, size: tuple[int, int]) -> np.ndarray:
        """The strokes at another size (H, W), as `index` has them.

        In a smaller picture a stroke is where it covers at least half as much as in any pixel beside. Lines thinner than a pixel
        stay so, and none becomes thicker.
        """
        index = self.index
        grown = max(size[0], index.shape[0]), max(size[1], index.shape[1])
        if grown != index.shape:
            rows, columns = (np.arange(new) * old // new for new, old in zip(grown, index.shape, strict=True))
            index = index[np.ix_(rows, columns)]
        if grown == tuple(size):
            return index
        y, x = np.nonzero(index >= 0)
        pixel = (y * size[0] // grown[0]) * size[1] + x * size[1] // grown[1]
        counts = np.bincount(pixel * self.count + index[y, x], minlength=size[0] * size[1] * self.count)
        counts = counts.reshape(*size, self.count)
        covered = counts.sum(axis=-1)
        there = (covered > 0) & (2 * covered >= scipy.ndimage.maximum_filter(covered, _WINDOW))
        return np.where(there, counts.argmax(axis=-1), -1).astype(np.int8)


def find_strokes(file: str, samples: np.ndarray, choice: str) -> tuple[list[Colour], Strokes] | None:
    """The strokes of a mask, or None if it is a whole mask.

    Args:
        file: what to call it in messages.
        samples: uint8 (h, w) or (h, w, 3) or, with alpha, (h, w, 4); or labels, uint16 (h, w).
        choice: `Options.seg_scribbles`.

    Returns:
        K colours, the commonest first, and the strokes.

    Raises:
        UserError: nothing is painted; or these are strokes because `choice` says so, and they have one colour or no flat ones.
    """
    painted = _painted(file, samples, choice)
    if painted is None:
        return None
    colours, index, flat = _paint(samples, painted)
    if choice == "auto" and flat < mask_classes.FLAT:
        return None  # a subject cut out
    if flat < mask_classes.PHOTO or len(colours) > mask_classes.MAX_CLASSES:
        raise UserError(f"{file} is flat in only {flat:.0%} of its strokes; draw each in one colour, without blending")
    if len(colours) == 1:
        one = f"{file} is painted in one colour alone, #{bytes(colours[0]).hex()}"
        if choice != "auto":
            raise UserError(f"{one}; draw strokes in each of two regions or more, or give no masks")
        logger.warning("%s; it is read as a subject cut out. Strokes need a colour for each region", one)
        return None
    return colours, Strokes(index, len(colours))


def folder_strokes(file: str, files: Sequence[np.ndarray], choice: str) -> Strokes | None:
    """The strokes of a folder that has a file for each region, or None if they are whole masks; see `find_strokes`.

    In a picture without transparency, strokes are light on dark. A pixel that several files have a stroke on is in none.
    """
    painted = []
    for samples in files:
        # A file without strokes of its own is no reason to stop: another one may have them.
        own = _painted(file, samples, choice, may_be_empty=True)
        if choice == "auto" and (own is None or (own.any() and _paint(samples, own)[2] < mask_classes.FLAT)):
            return None
        grey = samples if samples.ndim == 2 else samples[..., :3].mean(axis=-1)
        painted.append(grey >= _OPAQUE if own is None else own)
    if len({one.shape for one in painted}) > 1:
        raise UserError(f"{file} holds strokes in pictures of different sizes; make them all as large as the photo")
    covered = np.sum(painted, axis=0)
    if choice == "auto" and (covered > 0).mean() >= _LITTLE:
        return None
    drawn = sum(bool(one.any()) for one in painted)
    if drawn < 2:
        if choice == "auto":
            return None
        raise UserError(
            f"{file} holds strokes of {drawn} region{'s' * (drawn != 1)}; draw strokes in each of two regions or more"
        )
    return Strokes(np.where(covered == 1, np.argmax(painted, axis=0), -1).astype(np.int8), len(files))


def complete(photo: np.ndarray, strokes: Strokes) -> np.ndarray:
    """Regions from strokes: each pixel joins the strokes that the photo connects it with.

    Closed-form matting of all classes together: least m' L m with m = 1 on a class's own strokes and 0 on those of others
    (Levin et al. 2008, eq. 15, its constraints held exactly). The rows of L sum to 0, so that the classes of a pixel sum to 1.
    Far from strokes m is a blend of many; each pixel therefore joins the class that it is most in, and only along the edges
    between classes is it solved for again, softly where the photo mixes them. (A data term from the strokes' colours and places,
    a larger epsilon and a larger solve were tried on eleven pairs of photos; none agreed better with masks drawn by hand.)

    Args:
        photo: float32 (H, W, 3), 0..1.
        strokes: at least one pixel of them.

    Returns:
        float32 (H, W, K), 0..1, sum over K 1. Where there is a stroke, its class has 1.
    """
    size = photo.shape[0], photo.shape[1]
    small = resize(photo, *(max(side, _WINDOW) for side in fitted(size, _SIDE)))
    one_hot = np.eye(strokes.count, dtype=np.float32)
    index = strokes.at(small.shape[:2]).ravel()
    solved = matte(matting_laplacian(small), index >= 0, one_hot[index])  # pixels without a stroke are unknown
    masks = refined(one_hot[solved.argmax(axis=-1)].reshape(*small.shape[:2], strokes.count), small)
    if small.shape != photo.shape:
        fits = FittedMasks.fitted(masks, small)
        masks = np.concatenate([fits.rows(photo[rows], rows.start, size[0]) for rows in strips_of(size[0])])
    at_size = strokes.at(size)
    masks[at_size >= 0] = one_hot[at_size[at_size >= 0]]
    return masks


def touching(strokes: Strokes) -> list[tuple[int, int]]:
    """The pairs of classes whose strokes touch."""
    index, found = strokes.index, set()
    for one, other in ((index[1:], index[:-1]), (index[:, 1:], index[:, :-1])):
        meet = (one != other) & (one >= 0) & (other >= 0)
        found |= {(min(pair), max(pair)) for pair in zip(one[meet].tolist(), other[meet].tolist(), strict=True)}
    return sorted(found)


def _painted(file: str, samples: np.ndarray, choice: str, may_be_empty: bool = False) -> np.ndarray | None:
    """Where a mask has strokes, bool (h, w), as `choice` says; None if it is a whole mask."""
    if choice == "never" or samples.dtype == np.uint16:  # labels
        return None
    painted = np.ones(samples.shape[:2], bool)
    if samples.ndim == 3 and samples.shape[2] == 4:
        painted = samples[..., 3] >= _OPAQUE
    if choice not in ("auto", "always"):
        background = np.array(tuple(bytes.fromhex(choice.removeprefix("#"))), np.int16)
        painted &= np.abs(mask_classes.rgb(samples).astype(np.int16) - background).max(axis=-1) > mask_classes.NOISE
    if not (painted.any() or may_be_empty):
        raise UserError(f"{file} has nothing painted on it; draw a stroke in each region")
    if painted.all() and choice != "auto":
        logger.warning("%s has no background that `seg_scribbles` %s would complete; it is taken as it is", file, choice)
    return None if painted.all() or (choice == "auto" and painted.mean() >= _LITTLE) else painted


def _paint(samples: np.ndarray, painted: np.ndarray) -> tuple[list[Colour], np.ndarray, float]:
    """K colours of what is painted, int8 (h, w) of their numbers, -1 elsewhere, and the share of the paint in these colours."""
    colours_of, inner = mask_classes.rgb(samples)[painted], _inner(painted)[painted]  # (n, 3), (n,)
    colours = mask_classes.peaks(colours_of[inner], mask_classes.NOISE, _MIN_SHARE * inner.sum())
    number, sure = mask_classes.nearest(colours_of[None], colours, mask_classes.NOISE)  # (1, n)
    if sure[0, inner].mean() <= mask_classes.HARD:  # compressed
        colours = mask_classes.distinct(colours)
        number, sure = mask_classes.nearest(colours_of[None], colours, mask_classes.NOISE)
    index = np.full(painted.shape, -1, np.int8)
    index[painted] = np.where(sure, number, -1)[0]
    return colours, index, float(sure[0, inner].mean())


def _inner(painted: np.ndarray) -> np.ndarray:
    """The strokes without the pixels at their edges, whose colours may be mixed; those that have no others keep them."""
    core = scipy.ndimage.minimum_filter(painted, _WINDOW)
    parts, count = scipy.ndimage.label(painted, np.ones((3, 3)))
    thick = np.zeros(count + 1, bool)
    thick[parts[core]] = True
    return core | (painted & ~thick[parts])
