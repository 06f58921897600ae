"""The result files: at the photo's own size, at each realism and strength."""

from __future__ import annotations

import contextlib
import itertools
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from dpst.errors import UserError
from dpst.files.photos import Photo
from dpst.files.writing import write_photo
from dpst.imaging.vips import reason
from dpst.jobs.places import folder_of_by_products, output_images
from dpst.jobs.stopping import interrupts_deferred
from dpst.options import Options
from dpst.solver.result import Result

logger = logging.getLogger(__name__)


@interrupts_deferred()
def write_results(result: Result, photo: Photo, options: Options, about: dict) -> None:
    """Writes the picture, at each realism and strength, at the photo's own size or the solve size.

    A picture that cannot be written where it was asked for has cost its time all the same: it goes into a new folder in
    the folder of the snapshots, else into one among the system's temporary files; at the solve size if neither has room, or
    there is no memory, for the photo's own.

    Args:
        result: what was solved.
        photo: the content as its file holds it.
        options: where to write, at which strengths and size.
        about: names and values for the picture's text chunks.

    Raises:
        UserError: a picture is elsewhere, or nowhere; each of them has been tried.
    """
    content = result.content
    target = photo if options.output_size == "full" or content.shape[:2] == photo.size else content
    restylers: dict[float, Callable] = {}  # by realism, each for all strengths
    failures = []
    pictures = itertools.product(options.realisms, options.strengths)
    for path, (realism, strength) in zip(output_images(options), pictures, strict=True):

        def write(to: str, small: bool = False, realism: float = realism, strength: float = strength) -> None:
            if small or target is content:
                write_photo(to, result.at(content, strength, realism), photo, about, options.drop_exif)
                return
            if realism not in restylers:
                restylers[realism] = result.restyler(photo, realism)
            write_photo(to, restylers[realism](strength), photo, about, options.drop_exif)

        try:
            write(path)
            continue
        except Exception as error:  # whatever it is, the time spent must not be lost
            logger.debug("output image %s", path, exc_info=True)
            wrong = f"output image {path} cannot be written ({reason(error)})"
            if isinstance(error, UserError):
                wrong = str(error).split(";")[0]
        # After the block, as the error's traceback holds the whole picture in memory.
        failures.append(f"{wrong}; {_saved_elsewhere(write, path, folder_of_by_products(options))}")
    if failures:
        for failure in failures[1:]:
            logger.error("%s", failure)
        raise UserError(failures[0])


def _saved_elsewhere(write: Callable[[str, bool], None], path: str, folder: str) -> str:
    """Writes a picture where nothing is replaced, at the size where it was solved if not at its own; says where it is."""
    folders = [folder]
    with contextlib.suppress(OSError):  # no folder for temporary files can be written to
        folders.append(tempfile.gettempdir())
    for small, parent in itertools.product((False, True), folders):
        place = None
        try:
            place = Path(tempfile.mkdtemp(prefix="deep-photostyle-", dir=parent), Path(path).name)
            write(str(place), small)
        except Exception:  # as full or as closed as the first, or no memory; the next one is tried
            if place:
                place.parent.rmdir()
            continue
        return f"it is saved as {place}{', at the size where it was solved' * small}"
    return f"free disk space or memory and run it again, for {' and '.join(folders)} cannot hold it either"
