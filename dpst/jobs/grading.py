"""A photo given a look that is there already, as LUTs: nothing is solved, and TensorFlow is not needed."""

from __future__ import annotations

import dataclasses
import logging
import os
import time

from dpst import __version__
from dpst.errors import UserError
from dpst.files.inputs import kept_while_unchanged
from dpst.files.luts import Lut
from dpst.files.photos import Photo, read_photo
from dpst.files.writing import write_photo
from dpst.imaging.fitted_masks import FittedMasks
from dpst.imaging.resizing import fitted
from dpst.imaging.strips import restyled
from dpst.jobs.job import Job, Outcome, Record, Status
from dpst.jobs.places import output_images
from dpst.jobs.progress import OnProgress
from dpst.jobs.records import input_hashes, output_hashes
from dpst.jobs.region_files import region_files, region_path
from dpst.jobs.stopping import interrupts_deferred
from dpst.option_checks import REGION
from dpst.options import LIGHT, Options
from dpst.regions.matching import merged
from dpst.regions.reading import read_classes
from dpst.regions.refining import refined
from dpst.solver.lut_look import LutLook

logger = logging.getLogger(__name__)


def check_luts_to_apply(options: Options) -> None:
    """Reads the LUTs of a job.

    Raises:
        UserError: one cannot be read, there are none, or they do not go with the masks.
    """
    if (REGION in options.apply_lut) != bool(options.content_seg_path):
        if options.content_seg_path:
            raise UserError(f"--apply_lut {options.apply_lut} is for the whole photo; put {REGION} in its name, or give no masks")
        raise UserError(f"--apply_lut {options.apply_lut} is for regions; give their mask, --content_seg_path")
    if REGION not in options.apply_lut:
        read_lut(options.apply_lut)
        return
    files = region_files(options.apply_lut)
    if not files:
        raise UserError(f"--apply_lut {options.apply_lut} matches no file; check the path")
    for path in files.values():
        read_lut(path)


def run_grading(job: Job, on_progress: OnProgress) -> Outcome:
    """Puts LUTs on a photo at each strength; nothing is written with `dry_run`.

    Raises:
        UserError: the input is no good.
    """
    options, begin = job.options, time.perf_counter()
    hashes = input_hashes(options)
    photo = read_photo(options.content_image_path, "content image", options.max_pixels)
    look = dataclasses.replace(_look(options, photo), keeps_light=options.keep == LIGHT)
    if options.dry_run:
        return Outcome(job.name, Status.CHECKED, options)
    about = {"command": job.command, "version": __version__}
    _write(look, photo, options, about, on_progress)
    record = Record(
        version=__version__,
        command=job.command,
        seed=options.seed,
        options=dataclasses.asdict(options),
        inputs=hashes,
        outputs=output_hashes(options),
        seconds=round(time.perf_counter() - begin, 2),
    )
    return Outcome(job.name, Status.DONE, options, record)


@interrupts_deferred()
def _write(look: LutLook, photo: Photo, options: Options, about: dict, on_progress: OnProgress) -> None:
    for done, (path, strength) in enumerate(zip(output_images(options), options.strengths, strict=True)):
        if options.output_size == "full":
            write_photo(path, restyled(look, photo.strips(), photo.size[0], strength), photo, about, options.drop_exif)
        else:
            small = photo.resized(*fitted(photo.size, options.solve_size))
            write_photo(path, look.apply(small, 0, len(small), strength), photo, about, options.drop_exif)
        on_progress((done + 1) / len(options.strengths), f"writing {path}")


def _look(options: Options, photo: Photo) -> LutLook:
    """The LUT, or one for each region of the mask; a region without one is dealt with as `missing_class` says."""
    if not options.content_seg_path:
        return LutLook([read_lut(options.apply_lut, options.lut_profile)])
    small = photo.resized(*fitted(photo.size, options.solve_size))
    names, masks = read_classes(options.content_seg_path, small, options, photo.orientation)
    paths = {name: region_path(options.apply_lut, name) for name in names}
    known = [name for name in names if os.path.isfile(paths[name])]
    if not known:
        raise UserError(
            f"--apply_lut {options.apply_lut} has no LUT for the regions of {options.content_seg_path} ({', '.join(names)}); "
            f"there are {', '.join(region_files(options.apply_lut))}"
        )
    own = masks[..., [names.index(name) for name in known]]
    for name in (name for name in names if name not in known):
        lack = f"region {name} of {options.content_seg_path} has no LUT {paths[name]}"
        if options.missing_class == "error":
            raise UserError(f"{lack}; make one, or use --missing_class merge or ignore")
        merge = options.missing_class == "merge"
        logger.warning("%s; it is %s", lack, "merged into the nearest region" if merge else "left as it is")
        if merge:
            own = merged(own, masks[..., names.index(name)])
    if options.refine_masks:
        own = refined(own, small)
    return LutLook([read_lut(paths[name], options.lut_profile) for name in known], FittedMasks.fitted(own, small))


def read_lut(path: str, profile: str = Options.lut_profile) -> Lut:
    """A LUT of some profile.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return dataclasses.replace(_kept_lut(path), profile=profile)
    except OSError as error:
        raise UserError(f"LUT {path} cannot be read ({error.strerror}); check the path") from error


_kept_lut = kept_while_unchanged(16)(Lut.read)  # the same few serve a whole batch
