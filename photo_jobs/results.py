"""The result files: at the photo's own size, at each realism and strength."""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from photo_files.photos import Photo
from photo_files.writing import write_photo
from photo_jobs.progress import ctrl_c_waits
from photo_options import Options, UserError
from photo_solver.result import Result

logger = logging.getLogger("deep_photostyle")


@ctrl_c_waits()
def write_results(result: Result, photo: Photo, options: Options, about: dict) -> None:
    """Writes the picture, at each realism and strength, at the photo's own size or the solve size.

    A picture that cannot be written where it was asked for has cost its time all the same: it goes into a new folder in
    `options.serial`, else into one among the system's temporary files.

    Args:
        result: what was solved.
        photo: the content as its file holds it.
        options: where to write, at which strengths and size.
        about: names and values for the picture's text chunks.

    Raises:
        UserError: a picture is elsewhere, or nowhere; each of them has been tried.
    """
    target = photo if options.output_size == "full" or result.content.shape[:2] == photo.size else result.content
    restylers = [result.restyler(target, realism) for realism in options.realisms]
    failures = []
    for path, (restyled, strength) in zip(options.output_images, itertools.product(restylers, options.strengths), strict=True):

        def write(to: str, restyled=restyled, strength=strength) -> None:
            strips = restyled(strength)
            image = strips if target is photo else np.concatenate(list(strips))
            write_photo(to, image, photo, about, options.drop_exif)

        try:
            write(path)
        except UserError as error:
            failures.append(f"{str(error).split(';')[0]}; {_saved_elsewhere(write, path, options.serial)}")
    if failures:
        for failure in failures[1:]:
            logger.error("%s", failure)
        raise UserError(failures[0])


def _saved_elsewhere(write: Callable[[str], None], path: str, serial: str) -> str:
    """Writes a picture where nothing is replaced; says where it is."""
    for folder in (serial, tempfile.gettempdir()):
        try:
            place = Path(tempfile.mkdtemp(prefix="deep-photostyle-", dir=folder), Path(path).name)
            write(str(place))
        except (OSError, UserError):  # as full or as closed as the first; the next one is tried
            continue
        return f"it is saved as {place}"
    return f"make room and run it again, for {serial} and {tempfile.gettempdir()} cannot hold it either"
