"""The result files: at the photo's own size, at each realism and strength."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from photo_files.photos import Photo
from photo_files.writing import write_photo
from photo_jobs.progress import ctrl_c_waits
from photo_options import Options
from photo_solver.affine_field import Look
from photo_solver.carrying import apply_maps, confine_maps, fit_maps


@ctrl_c_waits()
def write_results(
    image: np.ndarray,
    content: np.ndarray,
    photo: Photo,
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
        write_photo(path, pixels if full else next(pixels), photo, about, options.drop_exif)


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
