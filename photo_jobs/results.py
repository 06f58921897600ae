"""The result files: at the photo's own size, at each realism and strength."""

from __future__ import annotations

import itertools

import numpy as np

from photo_files.photos import Photo
from photo_files.writing import write_photo
from photo_jobs.progress import ctrl_c_waits
from photo_options import Options
from photo_solver.result import Result


@ctrl_c_waits()
def write_results(result: Result, photo: Photo, options: Options, about: dict) -> None:
    """Writes the picture, at each realism and strength, at the photo's own size or the solve size.

    Args:
        result: what was solved.
        photo: the content as its file holds it.
        options: where to write, at which strengths and size.
        about: names and values for the picture's text chunks.
    """
    target = photo if options.output_size == "full" or result.content.shape[:2] == photo.size else result.content
    restylers = [result.restyler(target, realism) for realism in options.realisms]
    chosen = itertools.product(restylers, options.strengths)
    for path, (restyled, strength) in zip(options.output_images, chosen, strict=True):
        strips = restyled(strength)
        image = strips if target is photo else np.concatenate(list(strips))
        write_photo(path, image, photo, about, options.drop_exif)
