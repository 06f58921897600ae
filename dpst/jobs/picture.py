"""One picture, from files to files: check the job, run it, save its pictures and its record.

A job is checked as far as possible before anything that takes time, such as the import of TensorFlow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dpst import __version__
from dpst.errors import OptionError, UserError
from dpst.files.photos import Photo, check_readable, read_photo
from dpst.files.writing import check_place, check_result, check_writable, write_photo
from dpst.imaging.resizing import fitted, shrunk
from dpst.jobs.clip import check_clip, run_clip
from dpst.jobs.files_in_use import FilesInUse
from dpst.jobs.grading import check_luts_to_apply, run_grading
from dpst.jobs.job import Job, Outcome, Record, RegionShare, Status
from dpst.jobs.lut_results import check_luts, write_luts
from dpst.jobs.places import check_names, mask_paths, output_images, prepare_folders, record_path, results
from dpst.jobs.progress import OnProgress, ProgressLine, Watch, log_terms
from dpst.jobs.records import input_hashes, lut_hashes, output_hashes, write_record
from dpst.jobs.region_files import region_paths
from dpst.jobs.results import write_results
from dpst.jobs.scores import advice, scores
from dpst.jobs.start import load_tensorflow
from dpst.jobs.stopping import INTERRUPTED, check_stop, interrupts_deferred, stop_requested
from dpst.option_checks import REGION
from dpst.options import LIGHT, SEMANTIC, Options
from dpst.regions.automatic import write_masks
from dpst.regions.finding import found_regions, needs_tensorflow
from dpst.regions.preview import preview
from dpst.regions.reading import check_mask_pair, read_masks, regions_of_samples
from dpst.regions.regions import Regions, table, whole_image
from dpst.regions.segformer import check_model
from dpst.solver.memory import within_memory
from dpst.solver.result import Result
from dpst.solver.stages import Progress
from vgg19.networks import Networks
from vgg19.weights import check_weights_path

logger = logging.getLogger(__name__)


def check_job(options: Options) -> None:
    """Checks every path of a job, without TensorFlow, without reading whole pictures and without creating files.

    Raises:
        UserError: a file is missing, not a picture or too large, only one photo has a mask, or an output cannot be written.
        OptionError: a photo is not given, or two outputs have the same name.
    """
    check_names(options)
    if options.is_clip:
        check_clip(options)
        return
    sizes = []
    photos = [("content_image_path", "content image"), ("style_image_path", "style image")]
    for name, role in photos[:1] if options.apply_lut else photos:
        if not getattr(options, name):
            raise OptionError(f"--{name} is missing; give the {role}")
        sizes.append(check_readable(getattr(options, name), role, options.max_pixels))
    if options.style_image_path and os.path.samefile(options.content_image_path, options.style_image_path):
        logger.warning("content image %s is also the style image; the result will hardly differ", options.content_image_path)
    if options.init_image_path:
        check_readable(options.init_image_path, "init image", options.max_pixels)
    masks = ("content segmentation", options.content_seg_path), ("style segmentation", options.style_seg_path)
    for role, path in masks:
        if path and not os.path.isdir(path):
            check_readable(path, role, options.max_pixels)
    if options.apply_lut:
        check_luts_to_apply(options)
    else:
        check_mask_pair(options.content_seg_path, options.style_seg_path)
    if options.content_seg_path and options.auto_seg not in (Options.auto_seg, "0"):
        logger.warning("--auto_seg %s is not used; %s gives the regions", options.auto_seg, options.content_seg_path)
    if options.auto_seg_used == SEMANTIC:
        check_model(options.seg_model)
    elif options.seg_model != Options.seg_model:
        logger.warning("--seg_model %s is not used; give --auto_seg %s, and no masks", options.seg_model, SEMANTIC)
    if options.seg_scribbles not in ("auto", "never") and not options.content_seg_path:
        logger.warning("--seg_scribbles %s is not used; there are no masks", options.seg_scribbles)
    if options.lut_profile != Options.lut_profile and not (options.lut or options.apply_lut):
        logger.warning("--lut_profile %s is not used; give --lut or --apply_lut", options.lut_profile)
    size = sizes[0] if options.output_size == "full" else fitted(sizes[0], options.solve_size)
    for path in output_images(options):
        check_writable(path, size)
    if options.mask_preview:
        check_writable(options.mask_preview)
    check_luts(options)
    check_weights_path(options.vgg19_weights)
    check_place(str(record_path(options)), "record")


def run_one(options: Options, command: str) -> int:
    """Runs the job of a command line without `--batch`, with a progress bar; returns the exit code.

    Raises:
        UserError: see `check_job` and `run_job`.
    """
    for role, path in results(options):
        # A batch creates missing folders; here they are most often a typing error.
        if role != "record" and not os.path.isdir(os.path.dirname(path) or os.curdir):
            raise UserError(f"{role} {path} is in a folder that does not exist; create it, or check the path")
    check_job(options)
    with contextlib.closing(FilesInUse()) as files:
        files.add_inputs(options)
        files.add_outputs(options)
    prepare_folders(options)
    with ProgressLine(options.quiet) as line:
        outcome = run_job(Job(options, command), line)
    if outcome.record:
        write_record(outcome.record, options)
        are = "are" if len(output_images(options)) > 1 else "is"
        logger.info("%s %s ready after %.0f s", " and ".join(output_images(options)), are, outcome.record.seconds)
    elif outcome.status is Status.CHECKED:
        logger.info("%s: no result was written", "dry run" if options.dry_run else "preview")
    return INTERRUPTED if outcome.status is Status.STOPPED else 0


@dataclasses.dataclass(frozen=True)
class Receiver:
    """Gets the results of a run in memory instead of in files: the run writes no result, LUT, mask preview or record.

    Attributes:
        regions: called with the regions.
        result: called after each stage with the result so far, and at the end with the result.
        by_place: see `photo_style.stylize`.
    """

    regions: Callable[[Regions], None]
    result: Callable[[Result], None]
    by_place: bool = True


def run_job(
    job: Job, on_progress: OnProgress = log_terms, networks: Networks | None = None, receiver: Receiver | None = None
) -> Outcome:
    """Runs one job; with `dry_run` it only finds the regions and shows them.

    If the solve is interrupted or fails, the best image so far is saved first.

    Args:
        job: the picture to make.
        on_progress: called with the progress.
        networks: feature extractors of earlier jobs, to be used again.
        receiver: gets the regions and the result instead of files.

    Returns:
        `DONE`, with the record unless there is a receiver, `CHECKED`, or `STOPPED` by Ctrl-C or SIGTERM.

    Raises:
        UserError: an input is wrong, or the loss is not finite.
    """
    if job.options.is_clip:
        return run_clip(job, on_progress, networks or Networks())
    if job.options.apply_lut:
        return run_grading(job, on_progress)
    background = ThreadPoolExecutor(1)  # imports TensorFlow while masks are read, and scores the result while it is written
    try:
        return _solve(job, on_progress, networks or Networks(), receiver, background)
    finally:  # without waiting for it after an error
        background.shutdown(wait=False, cancel_futures=True)


def _solve(
    job: Job, on_progress: OnProgress, networks: Networks, receiver: Receiver | None, background: ThreadPoolExecutor
) -> Outcome:
    """Finds the regions, solves, writes and scores; see `run_job`."""
    options = _as_preview(job.options)
    begin = time.perf_counter()
    hashes = input_hashes(options)
    with interrupts_deferred():  # libvips calls back into Python
        content_photo = read_photo(options.content_image_path, "content image", options.max_pixels)
        style_photo = read_photo(options.style_image_path, "style image", options.max_pixels)
        content, style = (photo.resized(*fitted(photo.size, options.solve_size)) for photo in (content_photo, style_photo))
        init = _read_init(options, content_photo, content.shape[:2])
    needs_network = not options.dry_run or (options.auto_seg_used and needs_tensorflow(options))
    loading = background.submit(load_tensorflow, options.device, options.gpus_per_job) if needs_network else None
    if options.auto_seg_used:
        if loading and needs_tensorflow(options):
            loading.result()
        seen, style_seen = (photo.resized(*fitted(photo.size, options.regions_size)) for photo in (content_photo, style_photo))
        regions = found_regions(options, seen, style_seen, (content_photo.resized, style_photo.resized))
        if len(regions.names) > 1:
            write_masks(regions, *mask_paths(options))
            if not receiver:  # otherwise these files are temporary
                logger.info("the masks of the regions are in %s and %s; to change them, use edited copies", *mask_paths(options))
        regions = regions.resized(content.shape[:2], style.shape[:2])
    elif options.content_seg_path:
        paths = options.content_seg_path, options.style_seg_path
        orientations = content_photo.orientation, style_photo.orientation
        with interrupts_deferred():
            masks = read_masks(paths, (content, style), options.max_pixels, orientations)
        regions = regions_of_samples(paths, masks, (content, style), options)
    else:
        regions = whole_image(content, style)
    del style_photo  # it may be large
    if options.refine_masks:
        regions = regions.refined(content, style)
    for line in table(regions).splitlines():
        logger.info("%s", line)
    region_paths(options.lut, regions.names if REGION in options.lut else ())
    if receiver:
        receiver.regions(regions)
    elif options.mask_preview:
        write_photo(options.mask_preview, preview(regions, content, style))
        logger.info("%s shows the regions", options.mask_preview)
    if options.dry_run:
        return Outcome(job.name, Status.CHECKED, job.options)

    with interrupts_deferred():
        check_result(output_images(options)[0], content_photo, options.drop_exif)
    if loading:
        loading.result()
    channels = networks.channels(options.vgg19_weights)
    options = within_memory(options, content.shape[:2], style.shape[:2], channels, content_photo.samples.nbytes)
    features = networks.description(options.vgg19_weights)
    hashes |= input_hashes(options, ["vgg19_weights"])  # again, as they may have been downloaded
    is_learned = networks.pretrained(options.vgg19_weights) is None
    if options.vgg19_weights == "learned" or not is_learned:  # otherwise there has been a warning
        logger.info("features: %s", features)
    if options.style_option == 0 and is_learned:
        logger.warning("learned features do not capture brush strokes; a painting needs VGG19's weights (--vgg19_weights FILE)")
    import photo_style

    check_stop()
    watch = Watch(options, on_progress)
    about = about_result(job, features)
    stage = 0

    def so_far(progress: Progress, realisms: tuple[float, ...]) -> Result:
        """The result so far; for realisms that are not finished, with the look of the running stage."""
        looks = {**dict.fromkeys(realisms, progress.look), **progress.looks} if progress.look else {}
        small = shrunk(content, options.solve_size)
        return Result(progress.image, small, features=features, looks=looks, keeps_light=options.keep == LIGHT)

    def follow(progress: Progress) -> None:
        nonlocal stage
        if receiver and progress.stage > stage:
            stage = progress.stage
            receiver.result(so_far(progress, options.realisms[:1]))
        watch(progress)

    try:
        result = photo_style.stylize(
            content,
            style,
            regions=regions,
            options=options,
            network=networks,
            init=init,
            by_place=receiver.by_place if receiver else True,
            callback=follow,
        )
    except BaseException as stop:  # also for bugs, the result so far is saved
        if best := watch.best:
            with interrupts_deferred():
                if receiver:
                    receiver.result(so_far(best, options.realisms[:1]))
                else:
                    write_results(so_far(best, options.realisms), content_photo, options, about)
                    logger.warning("the best image so far is in %s", ", ".join(output_images(options)))
        if not (isinstance(stop, KeyboardInterrupt) or stop_requested()):
            raise
        return Outcome(job.name, Status.STOPPED, job.options)
    if receiver:
        receiver.result(result)
    solved_regions = regions.resized(result.content.shape[:2], style.shape[:2])
    scoring = background.submit(scores, result.content, style, result.image, solved_regions)
    lut_fits = {}
    if not receiver:
        write_results(result, content_photo, options, about)
        lut_fits = write_luts(result, options)
    figures = scoring.result()
    if options.style_option and (line := advice(figures, result.image.shape, options.realisms, bool(options.content_seg_path))):
        logger.warning("%s", line)
    if receiver:
        return Outcome(job.name, Status.DONE, job.options)
    record = Record(
        version=__version__,
        command=job.command,
        seed=options.seed,
        options=dataclasses.asdict(job.options),
        inputs=hashes,
        outputs=output_hashes(options),
        features=features,
        regions=RegionShare.of(regions),
        scores=figures,
        seconds=round(time.perf_counter() - begin, 2),
        stages=result.stages,
        luts=lut_hashes(lut_fits),
        lut_fits=lut_fits,
    )
    return Outcome(job.name, Status.DONE, job.options, record)


def about_result(job: Job, features: str) -> dict[str, object]:
    """The metadata that is written into a result, for `write_results`; `features` describes the feature extractor."""
    return {"command": job.command, "seed": job.options.seed, "version": __version__, "features": features}


def _as_preview(options: Options) -> Options:
    """`Options.as_preview`, with a message if it is one."""
    options = options.as_preview
    if options.preview:
        size = " and written at the photo's own size" if options.output_size == "full" else ""
        logger.info("preview: solved small, stopped early%s", size)
    return options


def _read_init(options: Options, content_photo: Photo, size: tuple[int, int]) -> np.ndarray | None:
    """The init image at the size (height, width) of the solve."""
    if not options.init_image_path:
        return None
    init_photo = read_photo(options.init_image_path, "init image", options.max_pixels)
    if init_photo.size != content_photo.size:
        logger.warning("init image %s has a different size from the content image; it is resized", options.init_image_path)
    return init_photo.resized(*size)
