"""Writing pictures: whole or not at all, with everything of the photo that the format can hold.

Where the result equals the photo, the very samples of the photo are written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyvips.enums import ForeignKeep

from dpst.errors import UserError
from dpst.files import colour_profiles, tiff_exif
from dpst.files.atomic import check_partial_file, partial_file, replacing
from dpst.files.colour_profiles import unit
from dpst.files.photos import MIN_SIDE, Photo
from dpst.imaging.pictures import check_kind, check_path, check_picture
from dpst.imaging.resizing import resize
from dpst.imaging.strips import strips_of
from dpst.imaging.vips import pyvips, reason

logger = logging.getLogger(__name__)


class _Format(NamedTuple):
    saver: str
    settings: dict[str, object]
    dtype: type
    alpha: bool
    most: int = 10**9  # pixels a side


# JPEG and WebP always lose something; at 95, and for JPEG without chroma subsampling, it is less than a camera's noise.
_JPEG = _Format("jpegsave", {"Q": 95, "subsample_mode": "off"}, np.uint8, False, 65535)
_TIFF = _Format("tiffsave", {"compression": "deflate", "predictor": "horizontal"}, np.uint16, True)
_FORMATS = {
    ".png": _Format("pngsave", {}, np.uint16, True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _Format("webpsave", {"Q": 95, "smart_subsample": True}, np.uint8, True, 16383),
}
EXTENSIONS = frozenset(_FORMATS)
# How IPTC begins that comes from a JPEG. To and from other formats libvips would write some that no one can read.
_IPTC_OF_JPEG = b"Photoshop 3.0"


def write_photo(
    path: str,
    image: np.ndarray | Iterable[np.ndarray],
    like: Photo | None = None,
    text: dict[str, object] | None = None,
    drop_exif: bool = False,
) -> None:
    """Write a picture in the format of its extension, whole or not at all.

    Samples are rounded, not truncated. With `like`, the file gets that photo's bits, alpha, ICC profile, resolution, EXIF
    (less the thumbnail, which would show the old picture) and XMP, and, from JPEG to JPEG, IPTC. What the format cannot hold
    is named in a warning.

    Args:
        path: the file; an existing one is replaced.
        image: float32 (H, W, 3), sRGB, 0..1; or, with `like` and of its size, strips of rows from top to bottom.
        like: the photo the picture was made from.
        text: names and values for the text chunks of a PNG; other formats have no place for them.
        drop_exif: leave out EXIF, XMP and IPTC, that is camera, date and place.

    Raises:
        UserError: the file cannot be written.
    """
    _write(path, image, like, {} if text is None else text, drop_exif)


def _write(
    path: str,
    image: np.ndarray | Iterable[np.ndarray],
    like: Photo | None,
    text: dict[str, object],
    drop_exif: bool,
    place: Callable[[str], contextlib.AbstractContextManager[Path]] = replacing,
    level: int = logging.WARNING,
) -> None:
    """`write_photo`, into the file of `place`; what is lost is logged at `level`."""
    path = check_path(path, "output image")
    form = _format(path)
    check_kind(like, Photo, "like")
    check_kind(text, dict, "text")
    if isinstance(image, np.ndarray):
        whole = check_picture(image, "image")
        height, width = whole.shape[:2]
        image = (whole[rows] for rows in strips_of(height))
    elif like is not None and isinstance(image, Iterable) and not isinstance(image, (str, bytes, dict)):
        height, width = like.size
        image = (check_picture(strip, "a strip of the image") for strip in image)
    else:
        raise UserError("image is not an array; give one, or strips with the photo that they were made from as like")
    like = like or Photo(np.empty((0, 0, 3), np.uint8))
    dtype, alpha = like.samples.dtype, like.samples.shape[2] == 4
    if dtype == np.uint16 and form.dtype == np.uint8:
        logger.log(level, "output image %s keeps only 8 of the content's 16 bits; write .png or .tif to keep them all", path)
        dtype = np.dtype(np.uint8)
    if alpha and not form.alpha:
        logger.log(level, "output image %s cannot hold the content's alpha; write .png, .tif or .webp to keep it", path)
        alpha = False
    if (iptc := like.metadata.get("iptc-data")) and not (form is _JPEG and iptc.startswith(_IPTC_OF_JPEG)):
        if not drop_exif:
            logger.log(level, "output image %s cannot hold the content's IPTC; it is left out", path)
        like = dataclasses.replace(like, metadata={name: blob for name, blob in like.metadata.items() if name != "iptc-data"})

    samples = np.empty((height, width, 4 if alpha else 3), dtype)
    levels = np.iinfo(dtype).max
    if alpha:
        samples[..., 3:] = np.rint(levels * resize(unit(like.samples[..., 3:]), height, width))
    top = 0
    for strip in _from_srgb(image, like, (height, width)):
        samples[top : top + len(strip), :, :3] = np.rint(levels * np.clip(strip, 0, 1))
        top += len(strip)
    if top != height:
        raise UserError(f"image has {top} rows in its strips, and its photo {height}; give strips of all rows")

    first: Exception | None = None
    for carried, lost in _fewer_and_fewer_metadata(like):
        if carried.profile is None and like.profile is not None:
            for strip in (samples[rows] for rows in strips_of(height)):
                strip[..., :3] = np.rint(levels * colour_profiles.to_srgb(strip, like.profile).numpy())
        try:
            with place(path) as partial:
                _save(samples, carried, text, drop_exif, form, partial)
        # Its traceback would keep libvips' open file, and with it the file's space on the disk.
        except OSError as error:
            first = first or error.with_traceback(None)
            break
        except (pyvips.Error, ValueError) as error:
            first = first or error.with_traceback(None)
            continue
        if first:
            wrong = "output image %s cannot hold the content's %s (%s); they are left out"
            logger.log(level, wrong, path, lost, reason(first))
        return
    assert first
    raise UserError(f"output image {path} cannot be written ({reason(first)}); choose another place or format") from first


def check_writable(path: str, size: tuple[int, int] = (1, 1)) -> None:
    """See whether `write_photo` could write a picture of this size here, without changing anything.

    Raises:
        UserError: unknown extension, too large for the format, no such folder, or nothing can be written there.
    """
    most = _format(path).most
    if max(size) > most:
        raise UserError(f"output image {path} can have {most} pixels a side, not {max(size)}; write .png or .tif")
    check_place(path, "output image")


def check_result(path: str, like: Photo, drop_exif: bool = False) -> None:
    """See whether a result for this photo could be written here: a corner of the photo is, and removed again.

    Raises:
        UserError: it cannot.
    """
    corner = dataclasses.replace(like, samples=like.samples[:MIN_SIDE, :MIN_SIDE])
    _write(path, corner.strips(), corner, {}, drop_exif, partial_file, logging.DEBUG)


def check_place(path: str, role: str) -> None:
    """See whether a file can be written here; `role` is what it is to the user. A missing folder is one that could be made.

    Raises:
        UserError: this is a folder, a pipe or a device, or nothing can be written there.
    """
    if os.path.isdir(path):
        raise UserError(f"{role} {path} is a folder; give a file name")
    if os.path.exists(path) and not os.path.isfile(path):  # another program may be waiting for it
        raise UserError(f"{role} {path} is a pipe or a device; give a file name")
    try:
        folder = next(folder for folder in Path(path).absolute().parents if folder.exists())
        check_partial_file(folder / Path(path).name)
    except OSError as error:
        raise UserError(f"{role} {path} cannot be written ({reason(error)}); choose another place") from error


def _from_srgb(strips: Iterable[np.ndarray], like: Photo, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The strips of a picture in sRGB, in `like`'s colours.

    sRGB holds fewer colours than many profiles. What the way to sRGB took from `like` is given back to a picture of its size:

        own(result) = back(result) + (1 - |result - content|) * (original - back(content))

    with |.| the largest difference of a channel: a pixel that did not change gets its original samples, and one that became
    another colour keeps nothing of its former excess.
    """
    if like.profile is None:
        yield from strips
        return
    with colour_profiles.from_srgb(like.profile) as back:
        top = 0
        for strip in strips:
            own = back(strip)
            if like.size == size:
                bottom = top + len(strip)
                content = like.rows(top, bottom)
                kept = 1 - np.abs(strip - content).max(axis=2, keepdims=True)
                own += kept * (unit(like.samples[top:bottom, :, :3]) - back(content))
                top = bottom
            yield own


def _fewer_and_fewer_metadata(like: Photo) -> Iterator[tuple[Photo, str]]:
    """The photo, and the same with ever less metadata, and what they lack."""
    yield like, ""
    profile = {name: blob for name, blob in like.metadata.items() if name == "icc-profile-data"}
    if profile != like.metadata:
        yield dataclasses.replace(like, metadata=profile), "EXIF, XMP and IPTC"
    if profile:
        yield dataclasses.replace(like, metadata={}, profile=None), "metadata and colour profile"


def _save(samples: np.ndarray, like: Photo, text: dict[str, object], drop_exif: bool, form: _Format, path: Path) -> None:
    wide = samples.dtype == np.uint16
    xres, yres = like.resolution
    image = pyvips.Image.new_from_array(samples).copy(interpretation="rgb16" if wide else "srgb", xres=xres, yres=yres)
    for name, blob in like.metadata.items():
        image.set_type(pyvips.GValue.blob_type, name, blob)
    # The samples are upright. libvips corrects EXIF by this if it is set after EXIF.
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    for number, (name, value) in enumerate(text.items()):
        # PNG's text is Latin-1; ASCII with escapes survives every reader.
        ascii_value = str(value).encode("ascii", "backslashreplace").decode()
        image.set_type(pyvips.GValue.gstr_type, f"png-comment-{number}-{name}", ascii_value)
    keep = ForeignKeep.ICC | ForeignKeep.OTHER
    if not drop_exif:
        # Without any EXIF, libvips would make some up; only a resolution is worth it.
        exif = "exif-data" in like.metadata or like.resolution != Photo.resolution
        keep |= ForeignKeep.XMP | (ForeignKeep.EXIF if exif else 0) | ForeignKeep.IPTC
    getattr(image, form.saver)(os.fsencode(path), keep=keep, **form.settings)
    if form is _TIFF and keep & ForeignKeep.EXIF and "exif-data" in like.metadata:
        tiff_exif.add_exif(path, like.metadata["exif-data"])


def _format(path: str) -> _Format:
    extension = Path(path).suffix.lower()
    if extension not in _FORMATS:
        if os.path.isdir(path):
            raise UserError(f"output image {path} is a folder; give a file name")
        wrong = f"the unknown extension '{extension}'" if extension else "no extension"
        raise UserError(f"output image {path} has {wrong}; use one of {', '.join(_FORMATS)}")
    return _FORMATS[extension]
