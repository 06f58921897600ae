"""Pictures in files: the only module that knows formats, bits, EXIF, colour profiles and alpha.

libvips (through pyvips) does the work, because it reads, converts by ICC profile, resizes and writes 8 and 16 bits alike,
strip by strip. A photo keeps its own integer samples in its own colours; what the rest of the program works on is made from
them on demand: float32 (H, W, 3), sRGB, 0..1. Where the result equals the photo, the very samples of the photo are written.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from pyvips.enums import ForeignKeep

import colour_profiles
import tiff_exif
from colour_profiles import to_srgb, unit
from options import Options, UserError

# libvips otherwise answers a path with the pixels it read there before, even when the file has changed.
pyvips.cache_set_max(0)
# Loaders that libvips' authors do not trust with strangers' files: SVG, PDF, tables of numbers and the like.
pyvips.block_untrusted_set(True)
# What it warns of either fails afterwards, and is then told once as an error, or does no harm to the picture.
logging.getLogger("pyvips").setLevel(logging.ERROR)

logger = logging.getLogger("deep_photostyle")

# Four poolings halve 16 pixels to the one that conv5_1 needs.
MIN_SIDE = 16

# Rows that are in float at one time when a whole photo is written.
STRIP = 256


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


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo as its file holds it, upright.

    Attributes:
        samples: (H, W, 3) or, with alpha, (H, W, 4), uint8 or uint16, in the photo's own colours.
        profile: the ICC profile of these colours, or None where it is as good as sRGB.
        metadata: what belongs into the result beside the pixels, by libvips' names: EXIF, XMP, ICC profile.
        resolution: pixels per millimetre, across and down.
    """

    samples: np.ndarray
    profile: bytes | None = None
    metadata: dict[str, bytes] = dataclasses.field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.samples.shape[0], self.samples.shape[1]

    @property
    def pixels(self) -> np.ndarray:
        """The whole photo, float32 (H, W, 3), sRGB, 0..1; 12 bytes a pixel."""
        return self.rows(0, self.size[0])

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` (excluded), float32 (stop - start, W, 3), sRGB, 0..1."""
        return to_srgb(self.samples[start:stop], self.profile).numpy()

    def strips(self, height: int = STRIP) -> Iterator[np.ndarray]:
        """The photo from top to bottom, `height` rows at a time, as `rows` gives them."""
        for start in range(0, self.size[0], height):
            yield self.rows(start, min(start + height, self.size[0]))

    def resized(self, height: int, width: int) -> np.ndarray:
        """`resize(photo.pixels, height, width)`, without the whole photo ever being in float."""
        return _resize(to_srgb(self.samples, self.profile), height, width)


def read_photo(path: str, role: str = "content image", max_pixels: float = Options.max_pixels) -> Photo:
    """Read a PNG, JPEG, TIFF or WebP file, upright.

    Greyscale and palettes become RGB. CMYK is converted to sRGB, with a warning.

    Args:
        path: the file.
        role: what the file is to the user, for messages.
        max_pixels: megapixels above which the file is refused, before anything is decoded.

    Raises:
        UserError: the file is missing, no picture, damaged, too small or too large.
    """
    image = _open(path, role, max_pixels)
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        logger.warning("%s %s holds %d pictures; only the first is used", role, path, image.get("n-pages"))
    try:
        if image.get_typeof("orientation") and image.get("orientation") != 1:
            image = image.copy_memory().autorot()  # turning takes the rows out of order
        image, profile = _rgb(image, f"{role} {path}")
        samples = image.numpy()
    except pyvips.Error as error:
        raise UserError(f"{role} {path} is damaged or cut short ({_reason(error)}); get a whole copy of it") from error
    return Photo(samples, profile, _metadata(image, role, path), (image.xres, image.yres))


def read_mask_samples(path: str, role: str, max_pixels: float = Options.max_pixels) -> np.ndarray:
    """A mask as its file holds it, upright. Its colours are labels, so that no colour profile is heeded.

    Args:
        path: the file.
        role: what the file is to the user, for messages.
        max_pixels: megapixels above which the file is refused, before anything is decoded.

    Returns:
        uint8 (H, W) grey or label values; (H, W, 3) colours, palettes looked up; (H, W, 4) with alpha. Samples of 16 bits
        are labels if they fit in 8, and scaled otherwise.

    Raises:
        UserError: as `read_photo`.
    """
    image = _open(path, role, max_pixels)
    try:
        image = image.copy_memory().autorot()  # turning needs the pixels out of order
        samples = (image.icc_transform("srgb", embedded=True) if image.interpretation == "cmyk" else image).numpy()
    except pyvips.Error as error:
        raise UserError(f"{role} {path} is damaged or cut short ({_reason(error)}); get a whole copy of it") from error
    if samples.dtype == np.uint16:
        samples = (samples if samples.max() < 256 else np.rint(samples / 257)).astype(np.uint8)
    return samples[..., [0, 0, 0, 1]] if samples.ndim == 3 and samples.shape[2] == 2 else samples


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
    form = _format(path)
    if isinstance(image, np.ndarray):
        whole = image
        height, width = whole.shape[:2]
        image = (whole[top : top + STRIP] for top in range(0, height, STRIP))
    elif like is not None:
        height, width = like.size
    else:
        raise ValueError("strips without the photo they were made from")
    like = like or Photo(np.empty((0, 0, 3), np.uint8))
    dtype, alpha = like.samples.dtype, like.samples.shape[2] == 4
    if dtype == np.uint16 and form.dtype == np.uint8:
        logger.warning("output image %s holds 8 of the content's 16 bits; write .png or .tif to keep them all", path)
        dtype = np.dtype(np.uint8)
    if alpha and not form.alpha:
        logger.warning("output image %s cannot hold the content's alpha; write .png, .tif or .webp to keep it", path)
        alpha = False

    samples = np.empty((height, width, 4 if alpha else 3), dtype)
    levels = np.iinfo(dtype).max
    if alpha:
        samples[..., 3:] = np.rint(levels * resize(unit(like.samples[..., 3:]), height, width))
    top = 0
    for strip in _from_srgb(image, like, (height, width)):
        samples[top : top + len(strip), :, :3] = np.rint(levels * np.clip(strip, 0, 1))
        top += len(strip)
    if top != height:
        raise ValueError(f"strips of {top} rows for a picture of {height}")

    partial = _partial(path)
    try:
        _save(samples, like, text or {}, drop_exif, form, partial)
        os.replace(partial, path)
    except (pyvips.Error, OSError) as error:
        raise UserError(f"output image {path} cannot be written ({_reason(error)}); choose another place or format") from error
    finally:
        partial.unlink(missing_ok=True)


def fitted(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(height, width) brought to at most `long_side` pixels on the longer side; 0 leaves it as it is."""
    scale = min(1.0, long_side / max(size)) if long_side else 1.0
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture or masks, antialiased.

    The filter is a triangle, as wide as two pixels of the coarser grid. Its weights are positive, so that edges do not
    ring, masks stay within 0..1, and masks that add up to one still do.

    Args:
        image: (h, w, C) or (h, w).
        height: rows wanted.
        width: columns wanted.

    Returns:
        float32 (height, width, C) or (height, width).
    """
    resized = _resize(pyvips.Image.new_from_array(np.ascontiguousarray(image, np.float32)), height, width)
    return resized.reshape(height, width, *image.shape[2:])


def thumbnail(path: str, long_side: int) -> bytes:
    """A small JPEG of a picture, upright, in sRGB, on white where it is transparent.

    Raises:
        UserError: the picture cannot be read.
    """
    try:
        small = pyvips.Image.thumbnail(path, long_side, height=long_side, size="down", output_profile="srgb").colourspace("srgb")
        return (small.flatten(background=255) if small.hasalpha() else small).jpegsave_buffer(Q=80, keep=ForeignKeep.NONE)
    except pyvips.Error as error:
        raise UserError(f"picture {path} cannot be read ({_reason(error)}); use a whole PNG, JPEG, TIFF or WebP file") from error


def drawn_text(line: str, size: int) -> np.ndarray:
    """A line of text `size` pixels high, in a font that needs not be installed: float32 (h, w), 0 paper, 1 ink."""
    font = ImageFont.load_default(size)
    ink = PillowImage.new("L", (max(1, math.ceil(font.getlength(line))), round(1.4 * size)))
    ImageDraw.Draw(ink).text((0, 0), line, 255, font)
    return np.asarray(ink, np.float32) / 255


def check_readable(path: str, role: str, max_pixels: float = Options.max_pixels) -> tuple[int, int]:
    """Look at the file's header alone; (height, width), not yet turned upright.

    Raises:
        UserError: as `read_photo`, but for damage after the header.
    """
    image = _open(path, role, max_pixels)
    return image.height, image.width


def check_writable(path: str, size: tuple[int, int] = (1, 1)) -> None:
    """See whether `write_photo` could write a picture of this size here, without changing anything.

    Raises:
        UserError: unknown extension, too large for the format, no such folder, or nothing can be written there.
    """
    most = _format(path).most
    if max(size) > most:
        raise UserError(f"output image {path} can have {most} pixels a side, not {max(size)}; write .png or .tif")
    if os.path.isdir(path):
        raise UserError(f"output image {path} is a folder; give a file name")
    try:
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        raise UserError(f"output image {path} cannot be written ({_reason(error)}); choose another place") from error


def _open(path: str, role: str, max_pixels: float) -> pyvips.Image:
    """The picture with its header read and its size checked; pixels come when asked for."""
    if not os.path.exists(path):
        raise UserError(f"{role} {path} does not exist; check the path")
    if os.path.isdir(path):
        raise UserError(f"{role} {path} is a folder; give a file")
    if os.path.getsize(path) == 0:
        raise UserError(f"{role} {path} is empty; get a whole copy of it")
    try:
        image = pyvips.Image.new_from_file(path, access="sequential", fail_on="error")
    except pyvips.Error as error:
        raise UserError(f"{role} {path} cannot be read as a picture; use a whole PNG, JPEG, TIFF or WebP file") from error
    size = f"{image.width}x{image.height} pixels"
    if min(image.width, image.height) < MIN_SIDE:
        raise UserError(f"{role} {path} has {size}, too few; use a picture of {MIN_SIDE} pixels a side or more")
    if image.width * image.height > 1e6 * max_pixels:
        raise UserError(f"{role} {path} has {size}, more than {max_pixels:g} million; if that is right, raise --max_pixels")
    if image.format not in ("uchar", "ushort") or image.bands > (5 if image.interpretation == "cmyk" else 4):
        raise UserError(f"{role} {path} has {image.bands} channels of type {image.format}; save it as RGB of 8 or 16 bits")
    return image


def _rgb(image: pyvips.Image, name: str) -> tuple[pyvips.Image, bytes | None]:
    """(picture in RGB with or without alpha, its ICC profile if that differs from sRGB)."""
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    depth = 16 if image.format == "ushort" else 8
    if image.interpretation in ("b-w", "grey16") and profile is None:
        return image[0].bandjoin([image[0], *image.bandsplit()]), None
    if image.interpretation not in ("rgb", "srgb", "rgb16"):
        kind = "CMYK" if image.interpretation == "cmyk" else "greyscale with a colour profile"
        logger.warning("%s is %s; it is converted to sRGB, and the result stays so", name, kind)
        image = image.icc_transform("srgb", embedded=True, depth=depth, **colour_profiles.COLORIMETRIC)
        return _without_profile(image), None
    if profile is None or colour_profiles.is_rgb(profile):
        return image, None if profile is None or colour_profiles.is_srgb(profile) else profile
    logger.warning("%s has a colour profile that cannot be used; its colours are taken as sRGB", name)
    return _without_profile(image), None


def _without_profile(image: pyvips.Image) -> pyvips.Image:
    image = image.copy()
    image.remove("icc-profile-data")
    return image


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


def _resize(image: pyvips.Image, height: int, width: int) -> np.ndarray:
    """float32 (height, width, C) or (height, width), pixel centres in place."""
    smaller = image.resize(min(1, width / image.width), vscale=min(1, height / image.height), kernel="linear")
    if (smaller.height, smaller.width) == (height, width):
        return smaller.numpy()
    # libvips' own resize enlarges half a pixel off.
    scale = [width / smaller.width, 0, 0, height / smaller.height]
    centres = {"idx": 0.5, "idy": 0.5, "odx": -0.5, "ody": -0.5}
    bilinear = pyvips.Interpolate.new("bilinear")
    return smaller.affine(scale, interpolate=bilinear, oarea=[0, 0, width, height], extend="copy", **centres).numpy()


def _metadata(image: pyvips.Image, role: str, path: str) -> dict[str, bytes]:
    """EXIF, XMP, IPTC and ICC profile, by libvips' names, to go with an upright picture."""
    loader = image.get("vips-loader")
    # Between formats libvips would write IPTC that no one can read.
    names = ["exif-data", "xmp-data", "icc-profile-data", *(["iptc-data"] if loader.startswith("jpeg") else [])]
    metadata = {name: image.get(name) for name in names if image.get_typeof(name)}
    if loader.startswith("tiff"):
        try:
            exif = tiff_exif.read_exif(path)
        except ValueError:
            logger.warning("%s %s has damaged EXIF; it is left out of the result", role, path)
        else:
            metadata |= {"exif-data": exif} if exif else {}
    if "xmp-data" in metadata:
        metadata["xmp-data"] = re.sub(rb'(tiff:Orientation(?:="|>))\d', rb"\g<1>1", metadata["xmp-data"])
    return metadata


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
        keep |= ForeignKeep.XMP | (ForeignKeep.EXIF if exif else 0) | (ForeignKeep.IPTC if form is _JPEG else 0)
    getattr(image, form.saver)(str(path), keep=keep, **form.settings)
    if form is _TIFF and keep & ForeignKeep.EXIF and "exif-data" in like.metadata:
        tiff_exif.add_exif(path, like.metadata["exif-data"])


def _format(path: str) -> _Format:
    extension = Path(path).suffix.lower()
    if extension not in _FORMATS:
        raise UserError(f"output image {path} has the unknown extension '{extension}'; use one of {', '.join(_FORMATS)}")
    return _FORMATS[extension]


def _partial(path: str) -> Path:
    """Where a file is written before it takes its name: in the same folder, so that taking it is a single step."""
    return Path(path).with_name(f".{Path(path).name}.{os.getpid()}")


def _reason(error: Exception) -> str:
    """What the system or libvips says, in one line."""
    return (getattr(error, "strerror", None) or getattr(error, "detail", None) or str(error)).strip().splitlines()[0]
