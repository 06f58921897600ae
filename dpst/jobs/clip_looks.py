"""The looks of a clip's shots: one LUT for all, or one look for each shot, solved for a few of its frames together."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from dpst.files.clips import Clip, small_frames
from dpst.files.frame_masks import are_frame_masks
from dpst.files.luts import Lut
from dpst.files.photos import read_photo
from dpst.files.writing import write_photo
from dpst.imaging.colours import LUMA
from dpst.imaging.resizing import fitted, resize, shrunk
from dpst.imaging.shots import find_shots, tiled, without_bars
from dpst.jobs.clip_masks import FrameMasks, StillMasks
from dpst.jobs.grading import read_lut
from dpst.jobs.job import RegionShare
from dpst.jobs.kept_looks import KeptLooks
from dpst.jobs.progress import OnProgress
from dpst.jobs.start import load_tensorflow
from dpst.jobs.stopping import check_stop
from dpst.options import LIGHT, Options
from dpst.regions.mask_classes import SPECK
from dpst.regions.preview import preview
from dpst.regions.regions import Regions, table, whole_image
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
# Share of the work, as the progress has it, for finding the shots, which decodes all frames once.
FINDING = 0.15


class Looks:
    """The look of each shot, as tables of colours.

    Attributes:
        firsts: the numbers of the frames that begin a shot; only the first frame's if there is one look for all.
        cuts: the number of cuts where the look stays the same.
        features: where those of the solves came from.
        shares: of the regions.
        options: of the job, with a size for which there is memory.
        kept: where looks are kept that are found.
        clip: whose looks they are.
        are_written: whether frames are written meanwhile, which takes most of the time and is what progress is about.
    """

    def __init__(self, options: Options, clip: Clip, folder: Path):
        """Takes a folder for the tables, which FFmpeg reads from files."""
        self.firsts, self.cuts = [0], 0
        self.features = ""
        self.shares: list[RegionShare] = []
        self.options, self.clip, self._folder, self.are_written = options, clip, folder, True
        self.kept = KeptLooks(folder / "looks", "look")
        self._stages: dict[int, list[Stage]] = {}  # by shot

    @property
    def stages(self) -> list[Stage]:
        """Of all solves."""
        return [stage for shot in sorted(self._stages) for stage in self._stages[shot]]

    def prepare(self) -> None:
        """Does once what all shots need."""

    def luts(self, shot: int) -> list[Lut]:
        """The tables of a shot, one for each region."""
        raise NotImplementedError

    def masks(self) -> Generator[np.ndarray] | None:
        """Of the regions in each frame as it is shown, float32 (h, w, R), small; None for the whole frame."""
        return None

    def tables(self, shot: int, strength: float) -> list[str]:
        """Paths of the tables of a shot at some strength, one for each region."""
        paths = []
        for number, lut in enumerate(self.luts(shot)):
            path = self._folder / f"shot_{shot}_{number}_{strength:g}.cube"
            if not path.exists():
                _plain(lut, strength, self.options.keep == LIGHT).write(str(path))
            paths.append(str(path))
        return paths

    def restyled(self, shot: int, frame: np.ndarray, masks: np.ndarray | None, strength: float) -> np.ndarray:
        """A frame (H, W, 3), 0..1, of a shot, as it is shown; with the frame's own of `masks`."""
        tables = [_plain(lut, strength, self.options.keep == LIGHT) for lut in self.luts(shot)]
        if masks is None:
            return np.clip(tables[0](frame), 0, 1)
        masks = resize(masks, *frame.shape[:2])
        change = sum(masks[..., region, None] * (lut(frame) - frame) for region, lut in enumerate(tables))
        return np.clip(frame + change, 0, 1).astype(np.float32)


class GivenLook(Looks):
    """A LUT, for all frames."""

    def luts(self, shot: int) -> list[Lut]:
        return [read_lut(self.options.apply_lut, self.options.lut_profile)]


class FoundLooks(Looks):
    """Looks that are solved for, each when its first frame is wanted, and kept as files."""

    def __init__(self, options: Options, clip: Clip, folder: Path, networks: Networks, on_progress: OnProgress):
        """Finds the shots, and reads the style photo and the masks."""
        super().__init__(options, clip, folder)
        self._networks, self._on_progress = networks, on_progress
        small = small_frames(clip, max(2, options.solve_size // 2))
        of_frames = are_frame_masks(options.content_seg_path, options.style_seg_path)
        # One mask for all frames belongs to a camera that stands still: they are one shot then.
        with_cuts = of_frames or not (options.content_seg_path or options.one_look)
        self._shots = []
        for number, shot in enumerate(find_shots(_followed(small, clip, on_progress), with_cuts)):
            np.save(self._samples_path(number), shot.samples)
            self._shots.append(dataclasses.replace(shot, samples=shot.samples[:0]))
        self.firsts, self.cuts = [shot.first for shot in self._shots], sum(shot.cuts for shot in self._shots)
        style = read_photo(options.style_image_path, "style image", options.max_pixels)
        self._style = style.resized(*fitted(style.size, options.solve_size))
        self._masks: StillMasks | FrameMasks | None = None
        if options.content_seg_path:
            frame = self._samples(0)[0]
            if of_frames:
                on_progress(FINDING, "reading the masks")
                self._masks = FrameMasks(options, clip, self._shots, folder, self._style, style.orientation)
            else:
                self._masks = StillMasks(options, frame, self._style, style.orientation)
            regions = self._masks.regions
            for line in table(regions).splitlines():
                logger.info("%s", line)
            if options.mask_preview:
                shown = dataclasses.replace(regions, content=self._masks.of(self._shots[0])[0])
                write_photo(options.mask_preview, preview(shown, frame, self._style))
            self.shares = RegionShare.of(regions)

    def masks(self) -> Generator[np.ndarray] | None:
        return self._masks.frames() if self._masks else None

    def prepare(self) -> None:
        options, picture = self.options, tiled(self._samples(0))
        load_tensorflow(options.device, options.gpus_per_job)
        channels = self._networks.channels(options.vgg19_weights)
        self.options = options = within_memory(options, picture.shape[:2], self._style.shape[:2], channels, 0)
        side = network_side(fitted(picture.shape[:2], options.solve_size), options)
        # One network for all shots, so that they are judged alike.
        pair = shrunk(picture, side), shrunk(self._style, side)
        self._network = self._networks.for_photos(options.vgg19_weights, *pair, options.seed)
        self.features = self._network.description
        logger.info("features: %s", self.features)

    def luts(self, shot: int) -> list[Lut]:
        kept = self.kept.read(shot)
        if not kept:
            kept = self._solved(shot)
            self.kept.write(shot, *kept)
        tables, self._stages[shot] = kept
        return [Lut(table) for table in tables]

    def _solved(self, shot: int) -> tuple[np.ndarray, list[Stage]]:
        """The tables of a shot, float32 (R, n, n, n, 3), and the stages of its solve."""
        import photo_style

        options, samples = self.options, self._samples(shot)
        content = tiled(samples)
        whole = regions = whole_image(content, self._style)
        if self._masks:
            matched, masks = self._masks.regions, tiled(self._masks.of(self._shots[shot]))
            shown = masks.mean((0, 1)) > SPECK
            if shown.any():
                names = tuple(itertools.compress(matched.names, shown))
                regions = Regions(names, masks[..., shown], matched.style[..., shown])

        def follow(progress: Progress) -> None:
            check_stop()
            share = self.firsts[shot] / self.clip.frames if self.clip.frames else 0
            of = f"look {shot + 1} of {len(self.firsts)}, " if len(self.firsts) > 1 else ""
            self._on_progress(FINDING + (1 - FINDING) * (share if self.are_written else progress.share), f"{of}{progress.phase}")

        result = photo_style.stylize(
            content, self._style, regions=regions, options=options, network=self._network, by_place=False, callback=follow
        )
        tables = []
        for name in self._masks.regions.names if self._masks else whole.names:
            # A region that is in none of these frames may still be in others: it gets the look of the whole shot.
            region = name if name in regions.names and self._masks and result.masks[name].any() else None
            lut = result.lut(region, options.lut_size)
            logger.info("look %d%s: %s", shot + 1, f", {region}" if region else "", result.lut_fit(lut, region))
            tables.append(_with_black(lut).table)
        return np.stack(tables), result.stages

    def _samples_path(self, shot: int) -> Path:
        return self._folder / f"samples_{shot}.npy"

    def _samples(self, shot: int) -> np.ndarray:
        """The frames that stand for a shot, float32 (n, h, w, 3), 0..1; without masks also without black bars."""
        samples = np.load(self._samples_path(shot))
        if not self.options.content_seg_path:
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


def _followed(frames: Iterator[np.ndarray], clip: Clip, on_progress: OnProgress) -> Iterator[np.ndarray]:
    """Yields the frames and reports progress."""
    for number, frame in enumerate(frames, 1):
        check_stop()
        share = FINDING * min(1, number / clip.frames) if clip.frames else 0
        on_progress(share, f"finding the shots, frame {number}{f' of {clip.frames}' if clip.frames else ''}")
        yield frame
