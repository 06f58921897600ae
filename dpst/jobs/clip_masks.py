"""The regions of a clip: one mask for all frames, of a camera that stands still, or a mask for each frame."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from dpst.errors import UserError
from dpst.files.clips import Clip
from dpst.files.frame_masks import frame_masks
from dpst.imaging.resizing import fitted
from dpst.imaging.shots import Shot, smoothed_in_time
from dpst.jobs.stopping import check_stop
from dpst.options import Options
from dpst.regions.film import read_film_regions
from dpst.regions.reading import read_regions
from dpst.regions.regions import Regions

# Pixels of the sampled masks that are looked at together for their classes.
_MAX_PIXELS = 2**22


class StillMasks:
    """One mask for all frames.

    Attributes:
        regions: of the style photo and of a frame.
    """

    def __init__(self, options: Options, frame: np.ndarray, style: np.ndarray, orientation: int):
        """Reads both masks.

        Args:
            options: of the job.
            frame: of the clip, as it is shown, float32 (h, w, 3), 0..1, small.
            style: the style photo, float32 (H, W, 3).
            orientation: how the file of the style photo stores it, by EXIF's number.
        """
        orientations = 1, orientation
        self.regions = read_regions(options.content_seg_path, options.style_seg_path, frame, style, options, orientations)
        if options.refine_masks:
            self.regions = self.regions.refined(frame, style)

    def of(self, shot: Shot) -> np.ndarray:
        """Masks of the frames that stand for a shot, float32 (n, h, w, R)."""
        return np.stack([self.regions.content] * len(shot.numbers))

    def frames(self) -> Generator[np.ndarray]:
        """Masks of each frame of the clip, as it is shown, float32 (h, w, R), small."""
        while True:
            yield self.regions.content


class FrameMasks:
    """A mask for each frame; in time they are smoothed within a shot.

    Attributes:
        regions: of the style photo, and of some sampled frames, one below the other.
    """

    def __init__(self, options: Options, clip: Clip, shots: Sequence[Shot], folder: Path, style: np.ndarray, orientation: int):
        """Reads all masks once, and keeps those of the frames that stand for shots.

        Args:
            options: of the job.
            clip: whose frames they belong to.
            shots: of the clip.
            folder: for the masks that are kept.
            style: the style photo, float32 (H, W, 3).
            orientation: how the file of the style photo stores it, by EXIF's number.

        Raises:
            UserError: there are more or fewer masks than frames, or they cannot be read.
        """
        self._path, self._most = options.content_seg_path, options.max_pixels
        self._firsts, self._folder = [shot.first for shot in shots], folder
        self._size = fitted(clip.shown_size, options.solve_size)
        wanted, count = {number for shot in shots for number in shot.numbers}, 0
        for number, samples in enumerate(self._read()):
            check_stop()
            if number in wanted:
                np.save(self._kept(number), _thinned(samples, self._size))
            count = number + 1
        frames = shots[-1].first + shots[-1].length
        if count != frames:
            wrong = f"content segmentation {self._path} has masks for {count} frames, and the clip has {frames}"
            raise UserError(f"{wrong}; give one for each frame, or a picture for all of them")
        every = -(-len(wanted) * self._size[0] * self._size[1] // (4 * _MAX_PIXELS))
        sampled = np.stack([np.load(self._kept(number))[::2, ::2] for number in sorted(wanted)[::every]])
        name = f"content segmentation {self._path}"
        self._film = read_film_regions(name, sampled, options.style_seg_path, style, options, orientation)
        self.regions: Regions = self._film.regions

    def of(self, shot: Shot) -> np.ndarray:
        """Masks of the frames that stand for a shot, float32 (n, h, w, R)."""
        return np.stack([self._film.masks(np.load(self._kept(number)), self._size) for number in shot.numbers])

    def frames(self) -> Generator[np.ndarray]:
        """Masks of each frame of the clip, as it is shown, float32 (h, w, R), small."""
        masks = (self._film.masks(samples, self._size) for samples in self._read())
        yield from smoothed_in_time(masks, self._firsts)

    def _read(self) -> Generator[np.ndarray]:
        yield from frame_masks(self._path, max(self._size), self._most)

    def _kept(self, number: int) -> Path:
        return self._folder / f"mask_{number}.npy"


def _thinned(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Samples (h, w, 3) at a size, not averaged, as colours between two classes are none."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, samples.shape, strict=False))
    return samples[rows[:, None], columns]
