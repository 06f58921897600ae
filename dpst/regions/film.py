"""The regions of a film that has a mask for each frame: its classes are those of sampled frames together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from dpst.options import Options
from dpst.regions.classes import classes_of_samples, listed_classes
from dpst.regions.matching import match, merged
from dpst.regions.reading import read_samples
from dpst.regions.regions import Regions


@dataclasses.dataclass(frozen=True, eq=False)
class FilmRegions:
    """Regions of a film that has masks for its frames, and of a style photo.

    Attributes:
        regions: those of the style photo and of the sampled frames, one below the other.
        classes: names of the K classes of the film's masks; some may be no regions.
        is_grey: whether these masks have no colours.
        classify: from samples of a mask and a size to the classes, (H, W, K).
        merges: whether what is in no region joins the nearest one.
    """

    regions: Regions
    classes: Sequence[str]
    is_grey: bool
    classify: Callable[[np.ndarray, tuple[int, int]], np.ndarray]
    merges: bool

    def masks(self, samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The regions in a frame, float32 (H, W, R), sum over R at most 1, by its mask, uint8 (h, w, 3)."""
        classes = self.classify(samples[..., 0] if self.is_grey else samples, size)
        names = self.regions.names
        masks = classes @ np.array([[own == name for name in names] for own in self.classes], np.float32)
        lost = classes[..., [own not in names for own in self.classes]].sum(-1)
        if not (self.merges and lost.any()):
            return masks
        if not masks.any():  # no region is nearest
            return masks + lost[..., None] / len(names)
        return merged(masks, lost)


def read_film_regions(
    file: str,
    samples: np.ndarray,
    style_seg_path: str,
    style: np.ndarray,
    options: Options,
    orientation: int = 1,
) -> FilmRegions:
    """Matches masks of the frames of a film with that of the style photo; see `read_regions`. Only the style's may be strokes.

    Args:
        file: what to call the masks of the film in messages.
        samples: uint8 (n, h, w, 3), masks of some frames; their colours together are the classes.
        style_seg_path: mask of the style photo, a file.
        style: the style photo, float32 (h, w, 3).
        options: see `read_regions`.
        orientation: how the file of the style photo stores it, by EXIF's number.

    Raises:
        UserError: see `read_regions`.
    """
    listed, size = listed_classes(options), (style.shape[0], style.shape[1])
    names = file, f"style segmentation {style_seg_path}"
    style_samples = read_samples("style segmentation", style_seg_path, size, options.max_pixels, orientation)
    is_grey = bool((samples == samples[..., :1]).all())
    stacked = np.concatenate(list(samples[..., 0] if is_grey else samples))
    sizes = stacked, style  # only strokes would need the frames themselves
    classes, palette = classes_of_samples(names, (stacked, style_samples), sizes, listed, options, can_be_strokes=(False, True))
    content, of_style = classes
    regions = match(content, of_style, palette, listed, options.missing_class)
    assert content.classify is not None
    return FilmRegions(regions, content.names, is_grey, content.classify, options.missing_class == "merge")
