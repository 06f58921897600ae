"""Named classes of masks: the same colour, label or file name in both masks is the same class.

Strokes are completed to whole classes here.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dpst.errors import UserError
from dpst.options import Options
from dpst.regions import mask_classes, scribbles
from dpst.regions.mask_classes import REFERENCE_COLOURS, Colour
from dpst.regions.regions import PALETTE
from dpst.regions.scribbles import Strokes

logger = logging.getLogger(__name__)

# The largest label of 16 bits.
_MAX_LABEL = 65535


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of one mask.

    Attributes:
        file: name of the mask in messages.
        names: of the K classes.
        masks: float32 (H, W, K) at the photo's size.
        strokes: bool (H, W), where the mask has strokes; None if it has none.
        classify: function of the samples of another mask and a size that returns its masks for the same classes; None for strokes
            and folders.
    """

    file: str
    names: list[str]
    masks: np.ndarray
    strokes: np.ndarray | None = None
    classify: Callable[[np.ndarray, tuple[int, int]], np.ndarray] | None = None

    def share(self, name: str) -> float:
        return float(self.mask(name).mean(dtype=np.float64))

    def mask(self, name: str) -> np.ndarray:
        """(H, W): the sum of the classes of this name."""
        columns = [column for column, own in enumerate(self.names) if own == name]
        return self.masks[..., columns].sum(axis=-1)

    def __str__(self) -> str:
        shares = {name: self.share(name) for name in self.names}
        return ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share > 0) or "nothing"


def listed_classes(options: Options) -> dict[str, Colour]:
    """Names and colours of `seg_classes`: "sky=0000ff,water=00ffff", or of label images "sky=2,water=21".

    Raises:
        UserError: a part is not a class, or `strict_masks` is given too, which has its own colours.
    """
    classes: dict[str, Colour] = {}
    for part in filter(None, (part.strip() for part in options.seg_classes.split(","))):
        found = re.fullmatch(r"([^=]+)=#?([0-9a-fA-F]{6}|[0-9]{1,5})", part)
        if not found or (len(found[2]) <= 5 and int(found[2]) > _MAX_LABEL):
            raise UserError(f"`seg_classes` {part} is not a class; write name=colour as in sky=0000ff, or name=label as in sky=2")
        name, value = found[1].strip(), found[2]
        red, green, blue = bytes.fromhex(value) if len(value) == 6 else (int(value),) * 3
        classes[name] = (red, green, blue)
    if classes and options.strict_masks:
        raise UserError(f"`seg_classes` {options.seg_classes} names colours and `strict_masks` has its own; use one of them")
    return classes


def classes_of_folders(
    files: Sequence[str], folders: Sequence[Mapping[str, np.ndarray]], photos: Sequence[np.ndarray], options: Options
) -> tuple[list[Classes], dict[str, Colour]]:
    """The classes of folders of masks, one for each file name, and their common palette.

    `files` are the names of the folders in messages, `folders` the samples by file name, `photos` are (H, W, 3).
    """
    classes = []
    for photo, file, folder in zip(photos, files, folders, strict=True):
        names, samples = list(folder), list(folder.values())
        strokes = None if options.strict_masks else scribbles.folder_strokes(file, samples, options.seg_scribbles)
        if strokes is None:
            classes.append(Classes(file, names, mask_classes.grey_masks(samples, photo.shape[:2])))
        else:
            classes.append(_completed(file, names, strokes, photo))
    names = sorted({name for each in classes for name in each.names})
    return classes, dict(zip(names, PALETTE, strict=False))


def classes_of_samples(
    files: Sequence[str],
    samples: Sequence[np.ndarray],
    photos: Sequence[np.ndarray],
    listed: Mapping[str, Colour],
    options: Options,
    can_be_strokes: Sequence[bool] = (True, True),
) -> tuple[list[Classes], dict[str, Colour]]:
    """The classes of masks from their samples, and their common palette, with the `listed` classes first.

    `files` are the names of the masks in messages, `photos` are (H, W, 3). Masks that cannot be strokes are never completed.
    """
    choices = ["never" if options.strict_masks or not can_be else options.seg_scribbles for can_be in can_be_strokes]
    strokes = [scribbles.find_strokes(*each) for each in zip(files, samples, choices, strict=False)]
    samples = [mask_classes.without_alpha(mask) for mask in samples]
    labels = not options.strict_masks and not any(strokes) and all(mask_classes.is_label_image(mask) for mask in samples)
    palette, classes, within = dict(REFERENCE_COLOURS if options.strict_masks else listed), [], 0
    for photo, file, mask, drawn in zip(photos, files, samples, strokes, strict=True):
        size = photo.shape[:2]
        if options.strict_masks:
            classes.append(Classes(file, list(palette), mask_classes.thresholded(mask, size), classify=mask_classes.thresholded))
        elif drawn:
            classes.append(_completed(file, _named(file, drawn[0], palette, mask_classes.SAME), drawn[1], photo))
        else:
            flat = mask_classes.flat_classes(file, mask, size, labels)
            within = max(within, flat.within)
            names = _named(file, flat.colours, palette, within, labels)
            classes.append(Classes(file, names, flat.masks(mask, size), classify=flat.masks))
    if labels:
        palette = dict(zip(palette, PALETTE, strict=False))
    return classes, palette


def _completed(file: str, names: list[str], strokes: Strokes, photo: np.ndarray) -> Classes:
    """The classes that strokes are completed to; logs this, and a warning for each pair of strokes that touch."""
    painted = strokes.index >= 0
    logger.info(
        "%s: strokes on %.1f %% of the photo are completed to whole regions (see `seg_scribbles`)", file, 100 * painted.mean()
    )
    for one, other in scribbles.touching(strokes):
        logger.warning("%s has strokes of %s and %s that touch; keep each inside its own region", file, names[one], names[other])
    return Classes(file, names, scribbles.complete(photo, strokes), painted)


def _named(file: str, colours: Sequence[Colour], palette: dict[str, Colour], within: int, labels: bool = False) -> list[str]:
    """The name of each colour of a mask: that of the nearest colour of the palette, or a new one, which is added to the palette.

    Two colours of a mask never get the same name. The nearest pair is named first, so that equal colours are the same class.

    Args:
        file: name of the mask in messages.
        colours: K different colours.
        palette: colours by name.
        within: largest difference in levels from a colour of the palette.
        labels: whether colours are labels.
    """
    distances = [
        (mask_classes.colour_distance(other, colour), column, name)
        for column, colour in enumerate(colours)
        for name, other in palette.items()
        if labels or max(other) <= 255  # otherwise a label of 16 bits, not a colour
    ]
    names: dict[int, str] = {}
    for distance, column, name in sorted(distances):
        if distance <= within and column not in names and name not in names.values():
            names[column] = name
            if distance > mask_classes.NOISE:
                pair = _hex(colours[column]), name, _hex(palette[name])
                logger.warning(
                    "%s has the colour %s, which is taken for class %s (%s); use the same colour in both masks", file, *pair
                )
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
