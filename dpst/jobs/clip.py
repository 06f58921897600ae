"""A clip of film, from file to file: its shots, one look for each of them, and the frames written with it.

A look is solved for a few frames of a shot together, and depends on colour and region alone, not on place: equal colours get
equal results in every frame of a shot, so that nothing can flicker or swim. It is put on the frames as a table of colours.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import time
from pathlib import Path

from tqdm import tqdm

from dpst import __version__
from dpst.errors import OptionError
from dpst.files.atomic import temporary_folder
from dpst.files.clip_writing import check_clip_writable, write_clip
from dpst.files.clips import Clip, frames_at, read_clip
from dpst.files.frame_masks import are_frame_masks, check_frame_masks
from dpst.files.photos import check_readable
from dpst.files.writing import check_place, check_writable, write_photo
from dpst.jobs.clip_looks import FINDING, FoundLooks, GivenLook, Looks
from dpst.jobs.grading import check_luts_to_apply
from dpst.jobs.job import Job, Outcome, Record, Status
from dpst.jobs.kept_looks import KeptLooks
from dpst.jobs.places import looks_folder, output_images, record_path, shot_path
from dpst.jobs.progress import OnProgress
from dpst.jobs.records import fingerprint, input_hashes, output_hashes
from dpst.jobs.stopping import check_stop, interrupts_deferred, stop_requested
from dpst.options import FFV1, PRORES, Options
from dpst.regions.reading import check_mask_pair
from vgg19.networks import Networks
from vgg19.weights import check_weights_path

logger = logging.getLogger(__name__)

# Shots that are listed.
_LISTED = 20
# Seconds between two frames that are a pause, in which a look is found, and do not count for the frames a second.
_PAUSE = 2.0


def check_clip(options: Options) -> None:
    """Looks at every path of a job on a clip, decodes its first frame, and makes nothing.

    Raises:
        UserError: a file is missing or cannot be read, a mask lacks its partner, the output cannot be written, or PyAV is
            missing.
    """
    clip = _clip(options)
    if options.apply_lut:
        check_luts_to_apply(options)
    else:
        if not options.style_image_path:
            raise OptionError("--style_image_path is missing; give the style image")
        check_readable(options.style_image_path, "style image", options.max_pixels)
        of_frames = are_frame_masks(options.content_seg_path, options.style_seg_path)
        for role, path in ("content segmentation", options.content_seg_path), ("style segmentation", options.style_seg_path):
            if of_frames and path == options.content_seg_path:
                check_frame_masks(path, clip, options.max_pixels)
            elif path and not os.path.isdir(path):
                check_readable(path, role, options.max_pixels)
        if of_frames and options.one_look:
            raise OptionError("--one_look is not for masks of each frame; leave it out, or give one mask for all frames")
        if of_frames and options.refine_masks:
            logger.warning("--refine_masks is not used; masks for each frame are used as they are")
        check_mask_pair(options.content_seg_path, options.style_seg_path)
        check_weights_path(options.vgg19_weights)
    for path in output_images(options):
        check_clip_writable(path, options.video_codec, clip)
    if options.preview:
        check_writable(shot_path(options, 1))
    if options.mask_preview:
        check_writable(options.mask_preview)
        if not options.content_seg_path:
            logger.warning("--mask_preview %s is not written; a clip without masks has no regions", options.mask_preview)
    if options.crf != Options.crf and options.video_codec in (PRORES, FFV1):
        logger.warning("--crf %d is not used; %s has no such scale", options.crf, options.video_codec)
    check_place(str(record_path(options)), "record")


def run_clip(job: Job, on_progress: OnProgress, networks: Networks) -> Outcome:
    """Restyles a clip, at each strength; with `dry_run` only its shots are listed, and with `preview` their first frames made.

    A stop leaves a file with the frames that are done.

    Args:
        job: the clip to make.
        on_progress: is told how far it is.
        networks: those of the runs before.

    Raises:
        UserError: the input is no good, or the output cannot be written.
    """
    options, begin = job.options.as_preview, time.perf_counter()
    hashes = input_hashes(options)
    clip = _clip(options)
    try:
        with temporary_folder("deep-photostyle-clip-") as folder:
            looks: Looks
            if options.apply_lut:
                looks = GivenLook(options, clip, folder)
            else:
                looks = FoundLooks(options, clip, folder, networks, on_progress)
                _list_shots(looks)
            if options.dry_run:
                return Outcome(job.name, Status.CHECKED, job.options)
            looks.prepare()
            hashes |= input_hashes(options, ["vgg19_weights"]) if not options.apply_lut else {}  # of a download, too
            if options.preview:
                _write_previews(looks, options, on_progress)
                return Outcome(job.name, Status.CHECKED, job.options)
            looks.kept = KeptLooks(looks_folder(options), fingerprint(looks.options, hashes))
            if count := looks.kept.count():
                logger.info("looks: %d of %d are kept from a run that was stopped", count, len(looks.firsts))
            write_clips(looks, options, on_progress, FINDING)
            looks.kept.remove()
    except KeyboardInterrupt:
        return Outcome(job.name, Status.STOPPED, job.options)
    record = Record(
        version=__version__,
        command=job.command,
        seed=options.seed,
        options=dataclasses.asdict(job.options),
        inputs=hashes,
        outputs=output_hashes(options),
        seconds=round(time.perf_counter() - begin, 2),
        features=looks.features,
        regions=looks.shares,
        stages=looks.stages,
    )
    return Outcome(job.name, Status.DONE, job.options, record)


def _clip(options: Options) -> Clip:
    return read_clip(options.content_image_path, "content clip", options.max_pixels)


def _list_shots(looks: Looks) -> None:
    """Says where the shots begin."""
    if looks.cuts:
        logger.info("shots: %d, with one look", looks.cuts + 1)
        return
    begins = ", ".join(_time(float(first / looks.clip.rate)) for first in looks.firsts[:_LISTED])
    more = ", ..." if len(looks.firsts) > _LISTED else ""
    logger.info("shots: %d, beginning at %s%s", len(looks.firsts), begins, more)


def _time(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def _write_previews(looks: Looks, options: Options, on_progress: OnProgress) -> None:
    """Writes the first frame of each shot, restyled."""
    masks, firsts = looks.masks() or itertools.repeat(None), set(looks.firsts)
    masks_at = (mask for number, mask in enumerate(masks) if number in firsts)
    for number, (frame, mask) in enumerate(zip(frames_at(looks.clip, looks.firsts), masks_at, strict=False), 1):
        check_stop()
        write_photo(shot_path(options, number), looks.restyled(number - 1, frame, mask, options.strengths[0]))
        on_progress(FINDING + (1 - FINDING) * number / len(looks.firsts), f"shot {number} of {len(looks.firsts)}")
    logger.info("the first frame of each shot is in %s", shot_path(options, "*"))


def solve_one_look(options: Options, folder: Path, networks: Networks, on_progress: OnProgress) -> FoundLooks:
    """Solves for the one look of a clip that `one_look` asks for, or a mask for all frames; `write_clips` writes it.

    Args:
        options: of the clip; those about the result are not used.
        folder: for files of the look, for as long as it is used.
        networks: those of the runs before.
        on_progress: called with the progress.

    Raises:
        UserError: the input is no good.
    """
    looks = FoundLooks(options, _clip(options), folder, networks, on_progress)
    looks.are_written = False
    looks.prepare()
    looks.luts(0)
    return looks


@interrupts_deferred()
def write_clips(looks: Looks, options: Options, on_progress: OnProgress, begin: float, keeps_part: bool = True) -> None:
    """Writes the clip at each strength. After a stop it ends early, and nothing more is begun.

    Args:
        looks: of the clip's shots.
        options: where to write it, and how.
        on_progress: called with the progress.
        begin: share of the progress, 0..1, that is done already.
        keeps_part: whether frames that are done when an error or a stop comes are written.

    Raises:
        UserError: a file cannot be written.
    """
    clip, clips = looks.clip, len(options.strengths)
    for done, (path, strength) in enumerate(zip(output_images(options), options.strengths, strict=True)):
        written = write_clip(
            clip,
            path,
            looks.firsts,
            lambda shot, strength=strength: looks.tables(shot, strength),  # type: ignore[misc]
            looks.masks(),
            options.video_codec,
            options.crf,
            _Following(on_progress, clip, begin + (1 - begin) * done / clips, (1 - begin) / clips),
            options.drop_exif,
            keeps_part,
        )
        if stop_requested():
            return
        if clip.frames and abs(written - clip.frames) > 1:
            logger.warning("%s has %d frames, not %d as its file says", clip.path, written, clip.frames)


class _Following:
    """Reports the progress of writing a clip."""

    def __init__(self, on_progress: OnProgress, clip: Clip, begin: float, share: float):
        """Takes the share of the whole progress that is done before this clip, and the share that this clip is."""
        self._on_progress, self._clip, self._before, self._share = on_progress, clip, begin, share
        self._begin = self._newest = time.monotonic()
        self._pauses = 0.0  # in which a look was solved for

    def __call__(self, written: int) -> bool:
        """Takes the number of frames that are written; whether to go on."""
        now = time.monotonic()
        if now - self._newest > _PAUSE:
            self._pauses += now - self._newest
        self._newest = now
        rate = written / max(now - self._begin - self._pauses, 1e-6)
        total = self._clip.frames
        left = tqdm.format_interval(round((total - written) / rate)) if total > written and rate else ""
        of = f" of {total}" if total else ""
        share = min(1, written / total) if total else 0
        self._on_progress(self._before + self._share * share, f"frame {written}{of}, {rate:.1f} frames/s", left)
        return not stop_requested()
