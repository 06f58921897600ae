"""Reading photos and masks from files.

libvips does the work, because it reads, converts by ICC profile and resizes 8 and 16 bits alike, strip by strip. A photo keeps
its own integer samples in its own colours; what the rest of the program works on is made from them on demand: float32 (H, W, 3),
sRGB, 0..1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import stat
from collections.abc import Iterator

import numpy as np
from pyvips.enums import ForeignKeep

from dpst.errors import UserError
from dpst.files import colour_profiles, kinds, tiff_exif, xmp
from dpst.files.bmp import is_bmp, read_bmp
from dpst.files.colour_profiles import to_srgb
from dpst.files.colour_signals import read_signal
from dpst.files.notebook import DISPLAY_SIZE, png
from dpst.imaging.pictures import check_number, check_path, check_side
from dpst.imaging.resizing import fitted, resize_vips
from dpst.imaging.strips import STRIP, strips_of
from dpst.imaging.vips import pyvips, reason, source
from dpst.options import Options

logger = logging.getLogger(__name__)


# Four poolings halve 16 pixels to the one that conv5_1 needs.
MIN_SIDE = 16
# EXIF's orientations that swap height and width.
_ON_ITS_SIDE = range(5, 9)
# Marks a JPEG that has a gain map, among the metadata of libvips' picture.
_GAIN_MAP = "deep-photostyle-gain-map"
# Pixels per millimetre that libvips can write.
_MAX_RESOLUTION = 1e6


@dataclasses.dataclass(frozen=True, eq=False)  # as arrays have many answers to ==, a photo equals itself alone
class Photo:
    """A photo as its file holds it, upright.

    Attributes:
        samples: (H, W, 3) or, with alpha, (H, W, 4), uint8 or uint16, in the photo's own colours.
        profile: the ICC profile of these colours, or None where it is as good as sRGB.
        metadata: what belongs into the result beside the pixels, by libvips' names: EXIF, XMP, ICC profile.
        resolution: pixels per millimetre, across and down.
        orientation: how its file stores it, by EXIF's number; 1 is upright.
    """

    samples: np.ndarray
    profile: bytes | None = None
    metadata: dict[str, bytes] = dataclasses.field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)
    orientation: int = 1

    def __repr__(self) -> str:
        height, width, channels = self.samples.shape
        alpha, own = ", alpha" * (channels == 4), ", a colour profile of its own" * (self.profile is not None)
        return f"<Photo {width}x{height}, {8 * self.samples.itemsize} bits{alpha}{own}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return png(self.resized(*fitted(self.size, DISPLAY_SIZE)))

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
        return (self.rows(rows.start, rows.stop) for rows in strips_of(self.size[0], height))

    def resized(self, height: int, width: int) -> np.ndarray:
        """`resize(photo.pixels, height, width)`, without the whole photo ever being in float."""
        for name, value in (("height", height), ("width", width)):
            check_side(value, name)
        return resize_vips(to_srgb(self.samples, self.profile), height, width)


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
    path = check_path(path, role)
    check_number(max_pixels, "max_pixels")
    image = _open(path, role, max_pixels)
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        logger.warning("%s %s holds %d pictures; only the first is used", role, path, image.get("n-pages"))
    orientation, told = _orientation(image), read_signal(path, image)
    if told.hdr:
        raise UserError(f"{role} {path} is HDR ({told.hdr}), which is not read; export it as SDR, in sRGB or Display P3")
    try:
        if told.profile:
            image = _grey_as_rgb(image).copy()
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", told.profile)
        if orientation != 1:
            image = image.copy_memory().autorot()  # turning takes the rows out of order
        image, profile = _rgb(image, f"{role} {path}")
        samples = image.numpy()
    except pyvips.Error as error:
        raise UserError(f"{role} {path} is damaged or truncated ({reason(error)}); get a complete copy") from error
    resolution = (image.xres, image.yres)
    if not all(0 <= each <= _MAX_RESOLUTION for each in resolution):  # damaged
        resolution = Photo.resolution
    return Photo(samples, profile, _metadata(image, role, path), resolution, orientation)


def read_mask_samples(
    path: str,
    role: str,
    max_pixels: float = Options.max_pixels,
    size: tuple[int, int] = (0, 0),
    orientation: int = 1,
) -> np.ndarray:
    """A mask as its file holds it, upright. Its colours are labels, so that no colour profile is heeded.

    Programs that do not know of EXIF make the mask of a photo as that is stored. Such a mask is turned with its photo where only
    one of both ways fits its shape; where both do, a warning says so.

    Args:
        path: the file.
        role: what the file is to the user, for messages.
        max_pixels: megapixels above which the file is refused, before anything is decoded.
        size: (height, width) of the upright photo that it is the mask of.
        orientation: how that photo is stored, by EXIF's number.

    Returns:
        uint8 (H, W) grey or label values, also where they stand in three equal channels; (H, W, 3) colours, palettes looked up;
        (H, W, 4) with an alpha that is not opaque throughout. Samples of 16 bits are brought to 8, but for those (H, W) that
        would lose by it: uint16.

    Raises:
        UserError: as `read_photo`.
    """
    image = _open(path, role, max_pixels)
    try:
        image = image.copy_memory()  # turning needs the pixels out of order
        if orientation != 1 and _orientation(image) == 1 and _is_stored(image, f"{role} {path}", size, orientation):
            image = image.copy()
            image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        image = image.autorot()
        samples = (image.icc_transform("srgb", embedded=True) if image.interpretation == "cmyk" else image).numpy()
    except pyvips.Error as error:
        raise UserError(f"{role} {path} is damaged or truncated ({reason(error)}); get a complete copy") from error
    if samples.ndim == 3 and samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    if samples.ndim == 3 and samples.shape[2] == 4 and samples[..., 3].min() == np.iinfo(samples.dtype).max:
        samples = samples[..., :3]
    if samples.ndim == 3 and samples.shape[2] == 3 and (samples[..., :1] == samples[..., 1:]).all():
        samples = samples[..., 0]
    return _as_8_bits(samples)


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two pictures of these sizes (height, width) have one shape, give or take a pixel that rounding made."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= max(*size, *other)


def _is_stored(image: pyvips.Image, name: str, size: tuple[int, int], orientation: int) -> bool:
    """Whether a mask is as its photo is stored, by their shapes; a warning where these do not tell."""
    lies, stands = same_shape((image.width, image.height), size), same_shape((image.height, image.width), size)
    if orientation in _ON_ITS_SIDE and lies != stands:
        if lies:
            logger.warning("%s is stored on its side, like its photo; it is rotated with it", name)
        return lies
    if stands:
        wrong = "%s may not be upright, since its photo is stored rotated (EXIF orientation %d); check the preview"
        logger.warning(wrong, name, orientation)
    return False


def _orientation(image: pyvips.Image) -> int:
    """EXIF's number of how the picture is stored, 1 to 8."""
    number = image.get("orientation") if image.get_typeof("orientation") else 1
    return number if 1 <= number <= 8 else 1


def _as_8_bits(samples: np.ndarray) -> np.ndarray:
    """Samples of a mask of 8 or 16 bits as uint8, the very values where they fit; uint16 (H, W) that would lose as they are."""
    if samples.dtype == np.uint8 or samples.max() < 256:
        return samples.astype(np.uint8)
    if samples.ndim == 3 or not (samples % 257).any():
        return np.rint(samples / 257).astype(np.uint8)
    return samples


def thumbnail(path: str, long_side: int, max_pixels: float = Options.max_pixels) -> bytes:
    """A small JPEG of a picture of at most `max_pixels` megapixels, upright, in sRGB, on white where it is transparent.

    Raises:
        UserError: the picture cannot be read.
    """
    check_readable(path, "picture", max_pixels)
    try:
        how = {"height": long_side, "size": "down", "output_profile": "srgb"}
        if is_bmp(path):
            small = _open(path, "picture", max_pixels).thumbnail_image(long_side, **how)
        else:
            small = pyvips.Image.thumbnail_source(source(path), long_side, **how)
        small = small.colourspace("srgb")
        return (small.flatten(background=255) if small.hasalpha() else small).jpegsave_buffer(Q=80, keep=ForeignKeep.NONE)
    except pyvips.Error as error:
        wrong = f"picture {path} cannot be read ({reason(error)})"
        raise UserError(f"{wrong}; use a complete PNG, JPEG, TIFF or WebP file") from error


def check_readable(path: str, role: str, max_pixels: float = Options.max_pixels) -> tuple[int, int]:
    """Look at the file's header alone; (height, width), not yet turned upright.

    Raises:
        UserError: as `read_photo`, but for damage after the header.
    """
    image = _open(path, role, max_pixels)
    return image.height, image.width


def _open(path: str, role: str, max_pixels: float) -> pyvips.Image:
    """The picture with its header read and its size checked; pixels are decoded when they are needed."""
    try:
        state = os.stat(path)
    except PermissionError as error:
        raise UserError(f"{role} {path} cannot be read ({error.strerror}); change the permissions of its folder") from error
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise UserError(f"{role} {path} does not exist; check the path") from error
    if stat.S_ISDIR(state.st_mode):
        raise UserError(f"{role} {path} is a folder; give a file")
    if not stat.S_ISREG(state.st_mode):  # it could be waited for without end
        raise UserError(f"{role} {path} is a pipe or a device; save it as a file first")
    if state.st_size == 0:
        raise UserError(f"{role} {path} is empty; get a complete copy")

    def check_size(width: int, height: int) -> None:
        size = f"{width}x{height} pixels"
        if min(width, height) < MIN_SIDE:
            raise UserError(f"{role} {path} has {size}, too few; use a picture of {MIN_SIDE} pixels a side or more")
        if width * height > 1e6 * max_pixels:
            raise UserError(f"{role} {path} has {size}, more than {max_pixels:g} million; raise `max_pixels` to read it")

    try:
        image = pyvips.Image.new_from_source(source(path), "", access="sequential", fail_on="error")
        if image.get("vips-loader").startswith("uhdr"):  # which knows of no XMP; without its gain map the photo is a JPEG
            image = pyvips.Image.jpegload_source(source(path), access="sequential", fail_on="error").copy()
            image.set_type(pyvips.GValue.gint_type, _GAIN_MAP, 1)
    except pyvips.Error as error:
        try:
            if not is_bmp(path):
                raise UserError(f"{role} {path} {kinds.wrong_kind(path)}") from error
            return read_bmp(path, check_size)
        except PermissionError as unread:
            raise UserError(f"{role} {path} cannot be read ({unread.strerror}); change its permissions") from unread
        except OSError as damage:
            raise UserError(f"{role} {path} is damaged or truncated ({reason(damage)}); get a complete copy") from damage
    check_size(image.width, image.height)
    if wrong := kinds.wrong_kind_of(image, path):
        raise UserError(f"{role} {path} {wrong}")
    if image.format not in ("uchar", "ushort") or image.bands > (5 if image.interpretation == "cmyk" else 4):
        raise UserError(f"{role} {path} has {image.bands} channels of type {image.format}; save it as RGB of 8 or 16 bits")
    return image


def _rgb(image: pyvips.Image, name: str) -> tuple[pyvips.Image, bytes | None]:
    """(picture in RGB with or without alpha, its ICC profile if that differs from sRGB)."""
    profile = colour_profiles.trimmed(image.get("icc-profile-data")) if image.get_typeof("icc-profile-data") else None
    depth = 16 if image.format == "ushort" else 8
    if profile is None and image.interpretation in ("b-w", "grey16"):
        return _grey_as_rgb(image), None
    if image.interpretation not in ("rgb", "srgb", "rgb16"):
        kind = "CMYK" if image.interpretation == "cmyk" else "greyscale with a colour profile"
        logger.warning("%s is %s; it is converted to sRGB, and so is the result", name, kind)
        image = image.icc_transform("srgb", embedded=True, depth=depth, **colour_profiles.COLORIMETRIC)
        return _without_profile(image), None
    if profile is None:
        return image, None
    if colour_profiles.is_rgb(profile):
        with contextlib.suppress(pyvips.Error):
            if colour_profiles.is_srgb(profile):
                return image, None
            if colour_profiles.has_way_back(profile):
                return image, profile
            logger.warning(
                "%s has an input-only colour profile, such as a scanner's; it is converted to sRGB, and so is the result", name
            )
            return _without_profile(colour_profiles.converted(image, depth)), None
    logger.warning("%s has a colour profile that cannot be used; its colours are read as sRGB", name)
    return _without_profile(image), None


def _grey_as_rgb(image: pyvips.Image) -> pyvips.Image:
    """A grey picture in three channels, with alpha where it has one; others as they are."""
    if image.interpretation not in ("b-w", "grey16"):
        return image
    kind = "rgb16" if image.format == "ushort" else "srgb"
    return image[0].bandjoin([image[0], *image.bandsplit()]).copy(interpretation=kind)


def _without_profile(image: pyvips.Image) -> pyvips.Image:
    image = image.copy()
    image.remove("icc-profile-data")
    return image


def _metadata(image: pyvips.Image, role: str, path: str) -> dict[str, bytes]:
    """EXIF, XMP, IPTC and ICC profile, by libvips' names, to go with an upright picture."""
    loader = image.get("vips-loader")
    names = ["exif-data", "xmp-data", "icc-profile-data", "iptc-data"]
    metadata = {name: image.get(name) for name in names if image.get_typeof(name)}
    if loader.startswith("tiff"):
        try:
            exif = tiff_exif.read_exif(path)
        except (OSError, ValueError):
            logger.warning("%s %s has damaged EXIF; it is left out of the result", role, path)
        else:
            metadata |= {"exif-data": exif} if exif else {}
    if "icc-profile-data" in metadata:
        metadata["icc-profile-data"] = colour_profiles.trimmed(metadata["icc-profile-data"])
    more = bool(image.get_typeof(_GAIN_MAP))
    if "xmp-data" in metadata:
        whole = xmp.upright(metadata["xmp-data"])
        metadata["xmp-data"] = xmp.of_one_picture(whole)
        more = more or metadata["xmp-data"] != whole
    if more:
        logger.warning("%s %s holds a gain map for HDR or a film beside the photo; it is left out of the result", role, path)
    return metadata
