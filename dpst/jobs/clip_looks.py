"""The looks of a clip's shots: one LUT for all, or one look for each shot, solved for a few of its frames together."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dpst.files.clip_grading import Grade
from dpst.files.clips import Clip, small_frames
from dpst.files.luts import Lut
from dpst.files.photos import read_photo
from dpst.files.writing import write_photo
from dpst.imaging.colours import LUMA
from dpst.imaging.resizing import fitted, resize, shrunk
from dpst.imaging.shots import find_shots, tiled, without_bars
from dpst.jobs.grading import read_lut
from dpst.jobs.job import RegionShare
from dpst.jobs.start import load_tensorflow
from dpst.jobs.stopping import check_stop
from dpst.options import LIGHT, Options
from dpst.regions.preview import preview
from dpst.regions.reading import read_regions
from dpst.regions.regions import table, whole_image
from dpst.solver.lut_look import LutLook
from dpst.solver.memory import within_memory
from dpst.solver.sizes import network_side
from dpst.solver.stages import Progress, Stage
from vgg19.networks import Networks

logger = logging.getLogger(__name__)

# Nodes a side of the table that stands for a LUT of another kind: a curve, or one for other colours than sRGB.
_NODES = 65
# Luma up to which a look sets in, from none in black.
_SHADOWS = np.float32(0.1)
# Share of the progress line, of 100, for finding the shots, which decodes all frames once.
FINDING = 15


class Looks:
    """The look of each shot, as tables of colours.

    Attributes:
        firsts: the numbers of the frames that begin a shot.
        features: where those of the solves came from.
        shares: of the regions.
        stages: of all solves.
    """

    def __init__(self, options: Options, clip: Clip, folder: Path):
        """Takes a folder for the tables, which FFmpeg reads from files."""
        self.firsts = [0]
        self.features = ""
        self.shares: list[RegionShare] = []
        self.stages: list[Stage] = []
        self._options, self._clip, self._folder = options, clip, folder
        self._masks: np.ndarray | None = None  # of the regions in a frame as it is shown, small

    def prepare(self) -> None:
        """Does once what all shots need."""

    def luts(self, shot: int) -> list[Lut]:
        """The tables of a shot, one for each region."""
        raise NotImplementedError

    def grade(self, shot: int, strength: float) -> Grade:
        """What is done to the frames of a shot at some strength."""
        paths = []
        for number, lut in enumerate(self.luts(shot)):
            path = self._folder / f"shot_{shot}_{number}_{strength:g}.cube"
            if not path.exists():
                _plain(lut, strength, self._options.keep == LIGHT).write(str(path))
            paths.append(str(path))
        return Grade(paths, None if self._masks is None else _stored(self._masks, self._clip))

    def restyled(self, shot: int, frame: np.ndarray, strength: float) -> np.ndarray:
        """A frame (H, W, 3), 0..1, of a shot, as it is shown."""
        tables = [Lut.read(path) for path in self.grade(shot, strength).tables]
        if self._masks is None:
            return np.clip(tables[0](frame), 0, 1)
        masks = resize(self._masks, *frame.shape[:2])
        change = sum(masks[..., region, None] * (lut(frame) - frame) for region, lut in enumerate(tables))
        return np.clip(frame + change, 0, 1).astype(np.float32)


class GivenLook(Looks):
    """A LUT, for all frames."""

    def luts(self, shot: int) -> list[Lut]:
        return [read_lut(self._options.apply_lut, self._options.lut_profile)]


class FoundLooks(Looks):
    """Looks that are solved for, each when its first frame is wanted, and kept as files."""

    def __init__(self, options: Options, clip: Clip, folder: Path, networks: Networks, bar: tqdm):
        """Finds the shots, and reads the style photo and the masks."""
        super().__init__(options, clip, folder)
        self._networks, self._bar = networks, bar
        self.firsts = []
        small = small_frames(clip, max(2, options.solve_size // 2))
        # A mask belongs to a camera that stands still: all frames are one shot then.
        for number, shot in enumerate(find_shots(_followed(small, clip, bar), not options.content_seg_path)):
            np.save(self._samples_path(number), shot.samples)
            self.firsts.append(shot.first)
        style = read_photo(options.style_image_path, "style image", options.max_pixels)
        self._style = style.resized(*fitted(style.size, options.solve_size))
        frame = self._samples(0)[0]
        self._regions = read_regions(
            options.content_seg_path, options.style_seg_path, frame, self._style, options, (1, style.orientation)
        )
        if options.content_seg_path:
            if options.refine_masks:
                self._regions = self._regions.refined(frame, self._style)
            self._masks = self._regions.content
            for line in table(self._regions).splitlines():
                logger.info("%s", line)
            if options.mask_preview:
                write_photo(options.mask_preview, preview(self._regions, frame, self._style))
            self.shares = RegionShare.of(self._regions)

    def prepare(self) -> None:
        options, picture = self._options, tiled(self._samples(0))
        load_tensorflow(options.device, options.gpus_per_job)
        channels = self._networks.channels(options.vgg19_weights)
        self._options = options = within_memory(options, picture.shape[:2], self._style.shape[:2], channels, 0)
        side = network_side(fitted(picture.shape[:2], options.solve_size), options)
        # One network for all shots, so that they are judged alike.
        pair = shrunk(picture, side), shrunk(self._style, side)
        self._network = self._networks.of_pair(options.vgg19_weights, *pair, options.seed)
        self.features = self._network.description
        logger.info("features: %s", self.features)

    def luts(self, shot: int) -> list[Lut]:
        names = self._regions.names
        paths = [self._folder / f"shot_{shot}_{region}.npy" for region in range(len(names))]
        if not paths[0].exists():
            for path, lut in zip(paths, self._solved(shot), strict=True):
                np.save(path, lut.table)
        return [Lut(np.load(path)) for path in paths]

    def _solved(self, shot: int) -> list[Lut]:
        import photo_style

        options, samples = self._options, self._samples(shot)
        content = tiled(samples)
        regions = whole_image(content, self._style)
        if self._masks is not None:
            masks = tiled(np.stack([self._masks] * len(samples)))
            regions = dataclasses.replace(self._regions, content=masks, content_strokes=None, style_strokes=None)

        def follow(progress: Progress) -> None:
            check_stop()
            self._bar.set_description_str(f"look {shot + 1} of {len(self.firsts)}, {progress.phase}", refresh=True)

        result = photo_style.stylize(
            content, self._style, regions=regions, options=options, network=self._network, by_place=False, callback=follow
        )
        self.stages += result.stages
        luts = []
        for region in [None] if self._masks is None else regions.names:
            lut = result.lut(region, options.lut_size)
            logger.info("look %d%s: %s", shot + 1, f", {region}" if region else "", result.lut_fit(lut, region))
            luts.append(_with_black(lut))
        return luts

    def _samples_path(self, shot: int) -> Path:
        return self._folder / f"samples_{shot}.npy"

    def _samples(self, shot: int) -> np.ndarray:
        """The frames that stand for a shot, float32 (n, h, w, 3), 0..1; without masks also without black bars."""
        samples = np.load(self._samples_path(shot))
        if not self._options.content_seg_path:
            samples = without_bars(samples)
        return samples.astype(np.float32) / np.float32(255)


def _with_black(lut: Lut) -> Lut:
    """The table with black as it is: a fade has to end in black, and bars have to stay so, whatever the style's shadows are."""
    colours = Lut.identity(len(lut.table)).table
    dark = np.clip(colours @ LUMA / _SHADOWS, 0, 1)[..., None]
    return dataclasses.replace(lut, table=colours + dark**2 * (3 - 2 * dark) * (lut.table - colours))


def _plain(lut: Lut, strength: float, keeps_light: bool) -> Lut:
    """A LUT as one table of sRGB from 0 to 1, with the strength and the light in it."""
    simple = lut.table.ndim == 4 and not lut.shaper and (lut.low, lut.high, lut.profile) == (Lut.low, Lut.high, Lut.profile)
    colours = Lut.identity(len(lut.table) if simple else _NODES).table
    picture = colours.reshape(len(colours), -1, 3)
    look = LutLook([lut], keeps_light=keeps_light)
    return Lut(look.apply(picture, 0, len(picture), strength).reshape(colours.shape))


def _stored(masks: np.ndarray, clip: Clip) -> np.ndarray:
    """Masks of a frame as it is shown, small, for a frame as it is stored."""
    large = np.clip(resize(np.ascontiguousarray(np.rot90(masks, -clip.turns)), *clip.size), 0, 1)
    return large / np.maximum(large.sum(-1, keepdims=True), 1)


def _followed(frames: Iterator[np.ndarray], clip: Clip, bar: tqdm) -> Iterator[np.ndarray]:
    """The frames, with a progress line."""
    for number, frame in enumerate(frames, 1):
        check_stop()
        bar.set_description_str(f"finding the shots, frame {number}{f' of {clip.frames}' if clip.frames else ''}", refresh=False)
        if clip.frames:
            bar.update(min(FINDING, FINDING * number / clip.frames) - bar.n)
        yield frame
