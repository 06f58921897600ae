"""One picture, from files to files: check the job, run it, save its pictures and its record.

Nothing that takes time happens before everything about a job that can be checked is checked. TensorFlow is imported after that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

import images
import segmentation
from auto_seg import find_regions, write_masks
from mask_preview import preview
from memory import MIB, gpu_memory, within_memory
from options import VERSION, Options, UserError
from records import input_hashes, output_hashes, write_record
from scores import scores
from smooth_local_affine import apply_maps, confine_maps, fit_maps
from vgg19.weights import CONVOLUTIONS, check_weights_path

if TYPE_CHECKING:
    from photo_solver.affine_field import Look
    from photo_style import Progress
    from vgg19.network import Network

logger = logging.getLogger("deep_photostyle")

# What a shell reports of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130
# Most iterations of each stage of a preview: the colours have settled by then.
PREVIEW_ITERATIONS = 25
_BAR = "{percentage:3.0f}%|{bar:24}| {elapsed}<{remaining}  {desc}"


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to make.

    Attributes:
        options: everything about it.
        command: the command line, for the result's metadata.
    """

    options: Options
    command: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return Path(self.options.output_image).name


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of a job.

    Attributes:
        name: what messages call it.
        status: `done`, `unchanged` since it was done before, `left out` because it cannot run, `failed`, or `stopped` by Ctrl-C.
        options: None where not even they could be read.
        record: see `records`; empty unless done.
        error: why it failed, one line.
        warnings: one line each.
    """

    name: str
    status: str
    options: Options | None = None
    record: dict = dataclasses.field(default_factory=dict)
    error: str = ""
    warnings: tuple[str, ...] = ()


def check_job(options: Options) -> None:
    """Looks at every path of a job, without TensorFlow and without reading whole pictures; makes the snapshot folder.

    Raises:
        UserError: a file is missing, no picture or too large, a mask lacks its partner, or the output cannot be written.
    """
    sizes = []
    for name, role in (("content_image_path", "content image"), ("style_image_path", "style image")):
        if not getattr(options, name):
            raise UserError(f"--{name} is missing; give the {role}")
        sizes.append(images.check_readable(getattr(options, name), role, options.max_pixels))
    if options.init_image_path:
        images.check_readable(options.init_image_path, "init image", options.max_pixels)
    masks = ("content segmentation", options.content_seg_path), ("style segmentation", options.style_seg_path)
    for role, path in masks:
        if path and not os.path.isdir(path):
            images.check_readable(path, role, options.max_pixels)
    if bool(options.content_seg_path) != bool(options.style_seg_path):
        missing = "--style_seg_path" if options.content_seg_path else "--content_seg_path"
        raise UserError(f"{missing} is empty; give the masks of both photos or of neither")
    if options.auto_seg and options.content_seg_path:
        logger.warning("--auto_seg %d is not used; %s gives the regions", options.auto_seg, options.content_seg_path)
    size = sizes[0] if options.output_size == "full" else images.fitted(sizes[0], options.solve_size)
    for path in options.output_images:
        images.check_writable(path, size)
    if options.mask_preview:
        images.check_writable(options.mask_preview)
    check_weights_path(options.vgg19_weights)
    try:
        Path(options.serial).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--serial {options.serial} cannot be made ({error.strerror}); choose another folder") from error
    if not os.access(options.serial, os.W_OK):
        raise UserError(f"--serial {options.serial} cannot be written to; choose another folder")


def run_one(options: Options, command: str) -> int:
    """The command line's single picture, with a progress line; returns the exit code.

    Raises:
        UserError: see `check_job` and `run_job`.
    """
    check_job(options)
    with tqdm(total=100, disable=True if options.quiet else None, bar_format=_BAR) as bar:
        record = run_job(Job(options, command), bar)
    if record is None:
        return INTERRUPTED
    if options.dry_run:
        return 0
    write_record(record, options)
    logger.info("%s is ready after %.0f s", ", ".join(options.output_images), record["seconds"])
    return 0


def run_job(job: Job, bar: tqdm, networks: dict[str, Network | None] | None = None) -> dict | None:
    """Makes one picture, with its snapshots; returns its record (see `records`), or None after Ctrl-C.

    With `dry_run` it only finds the regions and shows them; the record is empty.

    Whatever ends the optimisation early, the best image so far is saved first.

    Args:
        job: the picture to make.
        bar: shows how far it is, out of 100.
        networks: see `photo_style.find_network`.

    Raises:
        UserError: the input is no good, or the loss is not finite.
    """
    options = _as_preview(job.options)
    begin = time.perf_counter()
    hashes = input_hashes(options)
    content_photo = images.read_photo(options.content_image_path, "content image", options.max_pixels)
    content, style, init = _read_photos(options, content_photo)
    if options.auto_seg and not options.content_seg_path:
        own, options = _network(options, content, style, content_photo, networks, for_regions=True)
        regions = find_regions(own, content, style, options.auto_seg, options.seed)
        logger.info(
            "regions found: %s and %s; correct copies by hand and give them as masks", *write_masks(regions, options.serial)
        )
    else:
        sizes = content.shape[:2], style.shape[:2]
        regions = segmentation.read_regions(options.content_seg_path, options.style_seg_path, *sizes, options)
    if options.refine_masks:
        regions = segmentation.refine(regions, content, style)
    logger.info("%s", segmentation.table(regions))
    if options.mask_preview:
        images.write_photo(options.mask_preview, preview(regions, content, style))
    if options.dry_run:
        return {}

    network, options = _network(options, content, style, content_photo, networks)
    logger.info("features: %s", network.description)
    import photo_style
    from objective import NonFiniteLoss

    watch = _Watch(options, bar)
    about = {"command": job.command, "seed": options.seed, "version": VERSION, "features": network.description}
    try:
        result = photo_style.stylize(content, style, regions, options, network, init, watch)
    except (KeyboardInterrupt, NonFiniteLoss) as stop:
        if watch.image is not None:
            content = content_photo.resized(*images.fitted(content_photo.size, options.solve_size))
            write_results(watch.image, content, content_photo, options, about)  # at every realism the same
            logger.warning("the best image so far is in %s", ", ".join(options.output_images))
        if isinstance(stop, NonFiniteLoss):
            raise
        return None
    write_results(result.image, result.content, content_photo, options, about, result.looks)
    solved_regions = regions.resized(result.content.shape[:2], style.shape[:2])
    return {
        **about,
        "options": dataclasses.asdict(job.options),
        "inputs": hashes,
        "outputs": output_hashes(options),
        "regions": _region_shares(regions),
        "scores": scores(result.content, style, result.image, solved_regions),
        "seconds": round(time.perf_counter() - begin, 2),
        "stages": [dataclasses.asdict(stage) for stage in result.stages],
    }


def _as_preview(options: Options) -> Options:
    """The options, of a preview those that end early; it is small unless the user has fixed its size."""
    if not options.preview:
        return options
    options = dataclasses.replace(options, max_iter=min(options.max_iter, PREVIEW_ITERATIONS))
    logger.info("preview: solved at %d pixels, at most %d iterations a stage", options.solve_size, options.max_iter)
    return options


def _network(
    options: Options,
    content: np.ndarray,
    style: np.ndarray,
    photo: images.Photo,
    networks: dict[str, Network | None] | None,
    for_regions: bool = False,
) -> tuple[Network, Options]:
    """Loads TensorFlow and the feature extractor; returns that, and the options with a size for which there is memory."""
    load_tensorflow(options.device, options.gpus_per_job)
    from photo_style import find_network, pretrained_network
    from vgg19.learned import FLOOR, REGIONS_FLOOR, WIDTHS

    networks = {} if networks is None else networks
    pretrained = pretrained_network(options.vgg19_weights, networks)
    channels = {name: pretrained.channels(name) if pretrained else WIDTHS[int(name[4]) - 1] for name in CONVOLUTIONS}
    options = within_memory(options, content.shape[:2], style.shape[:2], channels, photo.samples.nbytes)
    content, style = (images.resize(image, *images.fitted(image.shape[:2], options.solve_size)) for image in (content, style))
    return find_network(options, content, style, networks, REGIONS_FLOOR if for_regions else FLOOR), options


def _read_photos(options: Options, content_photo: images.Photo) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Content, style and init image, all at the size where the style is solved."""
    style_photo = images.read_photo(options.style_image_path, "style image", options.max_pixels)
    content, style = (photo.resized(*images.fitted(photo.size, options.solve_size)) for photo in (content_photo, style_photo))
    init = None
    if options.init_image_path:
        init_photo = images.read_photo(options.init_image_path, "init image", options.max_pixels)
        if init_photo.size != content_photo.size:
            logger.warning("init image %s is of another size than the content image; it is resized", options.init_image_path)
        init = init_photo.resized(*content.shape[:2])
    return content, style, init


def load_tensorflow(device: str, gpu_share: float = 0.0) -> None:
    """Imports TensorFlow without its chatter; it sees no GPU for `cpu`, and else takes a GPU's memory as it needs it.

    Args:
        device: see `Options.device`.
        gpu_share: between 0 and 1, the share of a GPU's memory that is taken at once and never exceeded.

    Raises:
        UserError: `gpu`, and there is none.
    """
    # Its C++ parts write notes on start-up to the standard error, whatever the log level; a failing import still raises.
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError("--device gpu finds no GPU that TensorFlow can use; install tensorflow[and-cuda] or use --device cpu")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return
    for gpu in gpus:
        if 0 < gpu_share < 1:
            memory = tf.config.LogicalDeviceConfiguration(int(gpu_share * gpu_memory()[1] / MIB))
            tf.config.set_logical_device_configuration(gpu, [memory])
        else:
            tf.config.experimental.set_memory_growth(gpu, True)


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Holds Ctrl-C back to the end: libvips calls into Python while it writes, and what Ctrl-C raises there would be lost."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    pressed: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)


class _Watch:
    """Follows a run: draws the progress line, saves snapshots, and keeps the best image of the stage that is running."""

    def __init__(self, options: Options, bar: tqdm):
        self.image: np.ndarray | None = None
        self._options, self._bar = options, bar
        self._phase, self._stage, self._best, self._steps = "", -1, np.inf, 0

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self._phase:
            if self._phase:  # the reference hands its first stage's result on in this file
                self._save("tmp_result.png")
            self._phase = progress.phase
        if progress.stage != self._stage:
            self._stage, self._best = progress.stage, np.inf
        if progress.losses["total"] < self._best:
            self._best, self.image = progress.losses["total"], progress.image
        if progress.step == 0:
            return
        self._steps += 1
        if self._steps % self._options.save_iter == 0:
            self._save(f"out_iter_{self._steps}.png")
        if self._steps % self._options.print_iter == 0:
            height, width = progress.image.shape[:2]
            self._bar.set_description_str(
                f"{progress.phase} {width}x{height}, iteration {progress.step}, loss {progress.losses['total']:.4g}",
                refresh=False,
            )
            self._bar.update(100 * progress.share - self._bar.n)

    @_ctrl_c_waits()
    def _save(self, name: str) -> None:
        if self.image is not None:
            images.write_photo(str(Path(self._options.serial) / name), self.image)


@_ctrl_c_waits()
def write_results(
    image: np.ndarray,
    content: np.ndarray,
    photo: images.Photo,
    options: Options,
    about: dict,
    looks: Sequence[Look] = (),
) -> None:
    """Writes the picture, at each realism and strength, at the photo's own size or the solve size.

    Args:
        image: result (h, w, 3), 0..1, of whatever size it was solved at.
        content: the content at the solve size.
        photo: the content as its file holds it.
        options: where to write, at which strengths and size.
        about: names and values for the picture's text chunks.
        looks: one for each realism; without them the picture is `image`, carried to the photo's size.
    """
    full = options.output_size == "full" or content.shape[:2] == photo.size
    height, width = photo.size if full else content.shape[:2]
    strips = photo.strips if full else lambda: iter([content])
    maps = None
    if not looks and image.shape[:2] != (height, width):
        solved = content if image.shape == content.shape else photo.resized(*image.shape[:2])  # stopped at a coarse scale
        maps = confine_maps(fit_maps(solved, image), strips, height)
    chosen = itertools.product(looks or (None,) * len(options.realisms), options.strengths)
    for path, (look, strength) in zip(options.output_images, chosen, strict=True):
        strip = strips()
        pixels = look.apply_to(strip, height, strength) if look else _restyled(strip, height, image, maps, strength)
        images.write_photo(path, pixels if full else next(pixels), photo, about, options.drop_exif)


def _restyled(
    strips: Iterator[np.ndarray], height: int, image: np.ndarray, maps: np.ndarray | None, strength: float
) -> Iterator[np.ndarray]:
    """Strips (rows, W, 3) of a photo of some height, changed by maps (h, w, 3, 4), or without them towards an image (H, W, 3)."""
    top = 0
    for rows in strips:
        if maps is None:
            yield np.clip(rows + np.float32(strength) * (image[top : top + len(rows)] - rows), 0, 1)
        else:
            yield apply_maps(maps, rows, top, height, strength)
        top += len(rows)


def _region_shares(regions: segmentation.Regions) -> list[dict[str, str | float]]:
    shares = zip(regions.names, regions.content.mean(axis=(0, 1)), regions.style.mean(axis=(0, 1)), strict=True)
    return [{"name": name, "content": round(float(c), 4), "style": round(float(s), 4)} for name, c, s in shares]
