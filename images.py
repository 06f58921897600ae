"""Pictures in files: the only module that knows formats, bits, EXIF, colour profiles and alpha.

libvips (through pyvips) does the pixels, because it alone of the common libraries reads, converts by ICC profile and writes
8 and 16 bits alike, in strips. A photo keeps its own integer samples and its own colours; what the rest of the program
works on is made from them on demand: float32 (H, W, 3), sRGB, 0..1. Going back, only the change of colour is converted,
so that an unchanged pixel returns to the very samples it came from, whatever the profile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from options import Options, UserError

# libvips otherwise answers a path with the pixels it read there before, even when the file has changed.
pyvips.cache_set_max(0)

logger = logging.getLogger("deep_photostyle")

# Four poolings halve 16 pixels to the single one that conv5_1 still needs.
MIN_SIDE = 16

# What each extension is written with. JPEG and WebP lose something at any quality; 95 without chroma subsampling is
# where the loss stays under the noise of a camera. Compression of PNG and TIFF is a matter of time and size only.
_JPEG = ("jpegsave", {"Q": 95, "subsample_mode": "off", "optimize_coding": True})
_TIFF = ("tiffsave", {"compression": "deflate", "predictor": "horizontal"})
FORMATS = {
    ".png": ("pngsave", {"compression": 6}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": ("webpsave", {"Q": 95, "smart_subsample": True}),
}

# The first directory of a TIFF file holds EXIF's tags beside those of its own structure. These are EXIF's
# (Exif 2.32, tables 4 and 5): description, make, model, resolution, software, date, artist, host, copyright,
# Windows' rating and titles, and the pointers to the EXIF and GPS directories.
_EXIF_POINTERS = (0x8769, 0x8825)
_EXIF_TAGS = {270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 33432, 0x4746, 0x4749, *range(0x9C9B, 0x9CA0), *_EXIF_POINTERS}

_RELATIVE = {"intent": "relative", "black_point_compensation": True, "depth": 16}


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo as its file holds it, upright.

    Attributes:
        samples: (H, W, 3) or, with alpha, (H, W, 4), uint8 or uint16, in the photo's own colours.
        profile: its ICC profile where that is not as good as sRGB, else None.
        metadata: what goes into the result beside the pixels: libvips' names and values.
    """

    samples: np.ndarray
    profile: bytes | None
    metadata: dict[str, object]

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
        return _srgb(self.samples[start:stop], self.profile).numpy()

    def strips(self, height: int = 256) -> Iterator[np.ndarray]:
        """The photo from top to bottom, `height` rows at a time, as `rows` gives them."""
        for start in range(0, self.size[0], height):
            yield self.rows(start, min(start + height, self.size[0]))

    def resized(self, height: int, width: int) -> np.ndarray:
        """`resize(photo.pixels, height, width)`, without the whole photo ever being in float."""
        return _resize(_srgb(self.samples, self.profile), height, width)


def read_photo(path: str, role: str = "content image", max_pixels: float = Options.max_pixels) -> Photo:
    """Read a PNG, JPEG, TIFF or WebP file, upright.

    Greyscale and palettes become RGB. CMYK and other colour models are converted to sRGB, with a warning.

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
            image = image.copy_memory().autorot()  # turning needs the pixels out of order
        image, profile = _rgb(image, role, path)
        samples = image.numpy()
    except pyvips.Error as error:
        raise UserError(f"{role} {path} is damaged or cut short ({_reason(error)}); get a whole copy of it") from error
    return Photo(samples, profile, _metadata(image, path))


def write_photo(
    path: str,
    image: np.ndarray | Iterable[np.ndarray],
    like: Photo | None = None,
    text: dict[str, object] | None = None,
    drop_exif: bool = False,
) -> None:
    """Write a picture in the format of its extension, whole or not at all.

    With `like`, the file gets that photo's bits, colour profile, alpha and EXIF (without the thumbnail, which would show
    the old picture). Samples are rounded, not truncated. Where `image` equals `like`'s own pixels, the samples written are
    `like`'s own.

    Args:
        path: the file; an existing one is replaced.
        image: float32 (H, W, 3), sRGB, 0..1, or, with `like`, its strips of rows from top to bottom.
        like: the photo the picture was made from.
        text: names and values for the text chunks of a PNG; other formats have no place for them.
        drop_exif: leave out EXIF, XMP and IPTC, that is camera, date and place.

    Raises:
        UserError: the file cannot be written.
    """
    saver, settings = _format(path)
    whole = isinstance(image, np.ndarray)
    height, width = image.shape[:2] if whole else like.size
    strips = (image[y : y + 256] for y in range(0, height, 256)) if whole else image
    wide = like is not None and like.samples.dtype == np.uint16
    alpha = like is not None and like.samples.shape[2] == 4
    if wide and saver not in ("pngsave", "tiffsave"):
        logger.warning("output image %s can hold 8 bits only; write .png or .tif to keep the content's 16", path)
        wide = False
    if alpha and saver == "jpegsave":
        logger.warning("output image %s cannot hold the content's alpha; write .png, .tif or .webp to keep it", path)
        alpha = False

    samples = np.empty((height, width, 4 if alpha else 3), np.uint16 if wide else np.uint8)
    levels = np.iinfo(samples.dtype).max
    if alpha:
        opacity = like.samples[..., 3:] / np.float32(np.iinfo(like.samples.dtype).max)
        samples[..., 3:] = np.rint(levels * (opacity if like.size == (height, width) else resize(opacity, height, width)))
    y = 0
    with _own_colours(like if like is not None and like.profile else None, (height, width)) as own:
        for strip in strips:
            samples[y : y + len(strip), :, :3] = np.rint(levels * np.clip(own(strip, y), 0, 1))
            y += len(strip)
    if y != height:
        raise ValueError(f"the strips have {y} rows, the photo {height}")

    out = pyvips.Image.new_from_array(samples).copy(interpretation="rgb16" if wide else "srgb")
    metadata = dict(like.metadata) if like is not None else {}
    if drop_exif:
        metadata = {name: value for name, value in metadata.items() if name == "icc-profile-data"}
    for number, (name, value) in enumerate((text or {}).items()):
        # The text chunks of PNG are Latin-1; ASCII with escapes survives every reader.
        metadata[f"png-comment-{number}-{name}"] = str(value).encode("ascii", "backslashreplace").decode()
    for name, value in metadata.items():
        out.set_type(pyvips.GValue.blob_type if isinstance(value, bytes) else pyvips.GValue.gstr_type, name, value)

    partial = _partial(path)
    try:
        getattr(out, saver)(str(partial), **settings)
        if saver == "tiffsave" and "exif-data" in metadata:
            _add_exif_to_tiff(partial, metadata["exif-data"])
        os.replace(partial, path)
    except (pyvips.Error, OSError) as error:
        raise UserError(f"output image {path} cannot be written ({_reason(error)}); choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture or masks, antialiased.

    The filter is a triangle as wide as the larger of the two pixel sizes. Its weights are positive, so that edges do not
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


def check_readable(path: str, role: str, max_pixels: float = Options.max_pixels) -> None:
    """Look at the file's header alone.

    Raises:
        UserError: as `read_photo`, but for damage after the header.
    """
    _open(path, role, max_pixels)


def check_writable(path: str) -> None:
    """See whether `write_photo` could write here.

    Raises:
        UserError: unknown extension, no such folder, or nothing can be written there.
    """
    _format(path)
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
        raise UserError(f"{role} {path} is not a picture that can be read; use PNG, JPEG, TIFF or WebP") from error
    size = f"{image.width}x{image.height} pixels"
    if min(image.width, image.height) < MIN_SIDE:
        raise UserError(f"{role} {path} has {size}, too few; use a picture of {MIN_SIDE} pixels a side or more")
    if image.width * image.height > 1e6 * max_pixels:
        raise UserError(f"{role} {path} has {size}, more than --max_pixels {max_pixels:g} million; raise it if the file is sound")
    return image


def _rgb(image: pyvips.Image, role: str, path: str) -> tuple[pyvips.Image, bytes | None]:
    """(picture in RGB with or without alpha, its ICC profile if that differs from sRGB)."""
    if image.format not in ("uchar", "ushort") or image.bands > 4 + (image.interpretation == "cmyk"):
        raise UserError(f"{role} {path} has {image.bands} channels of type {image.format}; save it as RGB of 8 or 16 bits")
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    srgb = "rgb16" if image.format == "ushort" else "srgb"
    if image.interpretation in ("b-w", "grey16") and profile is None:
        image = image[0].bandjoin([image[0], *image.bandsplit()]).copy(interpretation=srgb)
    elif image.interpretation not in ("rgb", "srgb", "rgb16"):
        kind = image.interpretation if profile is None else f"{image.interpretation} with a colour profile of its own"
        logger.warning("%s %s is %s; it is converted to sRGB, and the result stays so", role, path, kind)
        image = image.icc_transform("srgb", embedded=True, **_RELATIVE | {"depth": 16 if srgb == "rgb16" else 8})
        image.remove("icc-profile-data")
    if profile is None or not image.get_typeof("icc-profile-data"):
        return image, None
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(levels.size, -1, 3)
    moved = np.abs(_srgb(probe, profile).numpy() - probe / np.float32(255)).max()
    return image, profile if moved > 1.5 / 255 else None


def _srgb(samples: np.ndarray, profile: bytes | None) -> pyvips.Image:
    """Samples (h, w, 3 or 4) with their ICC profile as a float picture (h, w, 3) in sRGB, 0..1, computed when asked for."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(samples))[0:3]
    if profile is None:
        return (image / float(np.iinfo(samples.dtype).max)).cast("float")
    image = image.copy(interpretation="rgb16" if samples.dtype == np.uint16 else "srgb")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return (image.icc_transform("srgb", embedded=True, **_RELATIVE) / 65535.0).cast("float")


@contextlib.contextmanager
def _own_colours(like: Photo | None, size: tuple[int, int]):
    """A function from a strip (h, W, 3) of a picture in sRGB and its first row to the same strip in `like`'s colours.

    sRGB holds fewer colours than many profiles, so what the way to sRGB cut off `like` is handed back to the picture:

        own(result) = back(result) + (1 - |result - content|) * (original - back(content))

    with |.| the largest change of a channel: where nothing changed the original comes back exactly, and where a colour has
    become another one nothing is left of the old one's excess.
    """
    if like is None:
        yield lambda strip, y: strip
        return
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "profile.icc")  # libvips takes a profile to convert to from a file only
        profile.write_bytes(like.profile)

        def back(strip):
            wide = pyvips.Image.new_from_array(np.rint(65535 * np.clip(strip, 0, 1)).astype(np.uint16))
            image = wide.copy(interpretation="rgb16").icc_transform(str(profile), input_profile="srgb", **_RELATIVE)
            return (image / 65535.0).cast("float").numpy()

        def own(strip, y):
            if like.size != size:
                return back(strip)
            original = like.samples[y : y + len(strip), :, :3] / np.float32(np.iinfo(like.samples.dtype).max)
            content = like.rows(y, y + len(strip))
            kept = 1 - np.abs(strip - content).max(axis=2, keepdims=True)
            return back(strip) + kept * (original - back(content))

        yield own


def _resize(image: pyvips.Image, height: int, width: int) -> np.ndarray:
    return image.resize(width / image.width, vscale=height / image.height, kernel="linear").numpy()


def _metadata(image: pyvips.Image, path: str) -> dict[str, object]:
    """EXIF, XMP, IPTC and ICC profile, with the orientation already applied."""
    names = ("exif-data", "xmp-data", "iptc-data", "icc-profile-data")
    metadata = {name: image.get(name) for name in names if image.get_typeof(name)}
    if image.get("vips-loader").startswith("tiff"):
        exif = PillowImage.Exif()
        with open(path, "rb") as file:
            exif.load_from_fp(file)
            for pointer in _EXIF_POINTERS:
                exif.get_ifd(pointer)  # read while the file is open
        for tag in set(exif) - _EXIF_TAGS:
            del exif[tag]
        if exif:
            metadata["exif-data"] = exif.tobytes()
    if "xmp-data" in metadata:
        metadata["xmp-data"] = re.sub(rb'(tiff:Orientation(?:="|>))\d', rb"\g<1>1", metadata["xmp-data"])
    return metadata


def _add_exif_to_tiff(path: Path, exif: bytes) -> None:
    """Put EXIF into a TIFF file, which libvips leaves out: a new first directory is appended and pointed to."""
    tags = PillowImage.Exif()
    tags.load(exif)
    with open(path, "r+b") as file:
        header = file.read(8)
        added = ImageFileDirectory_v2(header)
        order = "<" if header[:2] == b"II" else ">"
        (start,) = struct.unpack(order + "L", header[4:])
        file.seek(start)
        (count,) = struct.unpack(order + "H", file.read(2))
        entries = [file.read(12) for _ in range(count)]
        present = {struct.unpack(order + "H", entry[:2])[0] for entry in entries}
        for tag in set(tags) & _EXIF_TAGS - present:
            added[tag] = tags.get_ifd(tag) if tag in _EXIF_POINTERS else tags[tag]
        end = file.seek(0, os.SEEK_END)
        end += file.write(b"\0" * (end % 2))
        # Values of `added` lie behind both directories' entries.
        block = added.tobytes(end + 12 * count)
        entries += [block[2 + 12 * i : 14 + 12 * i] for i in range(len(added))]
        entries.sort(key=lambda entry: struct.unpack(order + "H", entry[:2]))
        file.write(struct.pack(order + "H", len(entries)) + b"".join(entries) + block[2 + 12 * len(added) :])
        file.seek(4)
        file.write(struct.pack(order + "L", end))


def _format(path: str) -> tuple[str, dict[str, object]]:
    extension = Path(path).suffix.lower()
    if extension not in FORMATS:
        raise UserError(f"output image {path} has the unknown extension '{extension}'; use one of {', '.join(FORMATS)}")
    return FORMATS[extension]


def _partial(path: str) -> Path:
    """Where a file is written before it takes its name; the same folder, so that taking it is one step."""
    return Path(path).with_name(f".{Path(path).stem}.{os.getpid()}.part{Path(path).suffix}")


def _reason(error: Exception) -> str:
    """The error in a few words of one line."""
    return (getattr(error, "strerror", None) or getattr(error, "detail", None) or str(error)).strip().splitlines()[0]
