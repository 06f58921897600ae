"""Colour look-up tables (LUTs): what they do to a photo, and the files that hold them.

Two kinds of file, which most programs for photos and films read: `.cube` text, with a table of one or of three dimensions
(`cube`); and HaldCLUT, a picture of L^3 x L^3 pixels that holds a table of L^2 nodes a side (Eskil Steenberg's layout). In both
red runs fastest. Their numbers are colours as files hold them, 0..1, not linear light; no file says of which profile.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path

import numpy as np
import scipy

from dpst.errors import UserError
from dpst.files.atomic import write_text
from dpst.files.colour_profiles import unit
from dpst.files.cube import Cube, Table, read_cube
from dpst.files.lut_profiles import SRGB_PROFILE, check_lut_profile, in_profile
from dpst.files.machine import cores
from dpst.files.notebook import above, colour_chart, png
from dpst.files.photos import Photo, check_readable, read_photo
from dpst.files.writing import check_place, write_photo
from dpst.imaging.pictures import as_array, check_path
from dpst.imaging.vips import reason
from dpst.option_checks import LUT_EXTENSIONS

_HALD_EXTENSIONS = (".png", ".tif", ".tiff")
# Of pictures whose colours are not exact.
_LOSSY_EXTENSIONS = (".jpg", ".jpeg", ".webp")
# Levels L of a HaldCLUT: the least that can be a picture here, and the table of 256 nodes a side.
_HALD_LEVELS = range(3, 17)
# The level that other tables are brought to, if it is fine enough: 512x512 pixels, which every program takes.
_HALD_LEVEL = 8
# Nodes a side of the largest table: a level of 16, which has 4096 x 4096 pixels.
_MAX_SIZE = 256
# Pixels that one thread looks up at a time: what is computed for them stays in a processor's cache.
_PIXELS = 32768


@dataclasses.dataclass(frozen=True, eq=False)
class Lut:
    """A table of colours.

    Attributes:
        table: float32 (n, n, n, 3), the new colour by red, green and blue; or (n, 3), a curve for each channel. n is 2 or more.
        low: the colour of the first node; darker ones get what it gets.
        high: the colour of the last node.
        title: one line.
        comments: more lines.
        shaper: curves that colours go through before the table; its colours are the curves' results.
        profile: whose colours the table takes and gives: "srgb", "adobe-rgb" or "rec709".
    """

    table: np.ndarray
    low: tuple[float, ...] = (0.0, 0.0, 0.0)
    high: tuple[float, ...] = (1.0, 1.0, 1.0)
    title: str = ""
    comments: tuple[str, ...] = ()
    shaper: Lut | None = None
    profile: str = SRGB_PROFILE

    def __post_init__(self):
        check_lut_profile(self.profile)

    def __repr__(self) -> str:
        nodes = f"{len(self.table)} nodes a side" if self.table.ndim == 4 else f"three curves of {len(self.table)} nodes"
        return f"<Lut{f' {self.title!r}' if self.title else ''}, {nodes}, {self.profile}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: a chart of colours, and below it the same chart by this LUT."""
        chart = colour_chart()
        return png(above(chart, self(chart)))

    @classmethod
    def identity(cls, size: int) -> Lut:
        """The table of `size` nodes a side that changes nothing.

        Raises:
            UserError: it is no whole number from 2 to 256.
        """
        if isinstance(size, bool) or not isinstance(size, Integral) or not 2 <= size <= _MAX_SIZE:
            raise UserError(f"LUT size {size} is unknown; use a whole number from 2 to {_MAX_SIZE}")
        nodes = np.linspace(0, 1, size, dtype=np.float32)
        return cls(np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1))

    @classmethod
    def read(cls, path: str, profile: str = SRGB_PROFILE) -> Lut:
        """Reads a `.cube` file or a HaldCLUT (PNG or TIFF), whose size is checked before the table is read.

        Args:
            path: the file.
            profile: whose colours it was made for, as the file itself does not say.

        Raises:
            UserError: no such profile, or the file is missing, of another kind, damaged, or larger than the formats allow.
        """
        path = check_path(path, "LUT")
        extension = Path(path).suffix.lower()
        if extension in _HALD_EXTENSIONS:
            return dataclasses.replace(_read_hald(path), profile=profile)
        if extension != ".cube":
            if extension in _LOSSY_EXTENSIONS:
                raise UserError(f"LUT {path} is in a format that changes colours; save it as PNG")
            kinds = ", ".join((".cube", *_HALD_EXTENSIONS))
            raise UserError(f"LUT {path} has the unknown extension '{extension}'; use one of {kinds}")
        found = read_cube(path)
        *before, last = (cls(each.table, each.low, each.high) for each in found.tables)
        shaper = before[0] if before else None
        return dataclasses.replace(last, title=found.title, comments=found.comments, shaper=shaper, profile=profile)

    def write(self, path: str) -> None:
        """Writes a `.cube` file, or for `.png` a HaldCLUT of 16 bits, whole or not at all.

        A HaldCLUT has 9, 16, 25, 36, 49, 64, 81... nodes a side, from 0 to 1; other tables are interpolated at 64 or more.

        Raises:
            UserError: another extension, or the file cannot be written.
        """
        path = check_path(path, "LUT")
        check_lut_writable(path)
        if path.lower().endswith(".png"):
            level = self._hald_level()
            colours = self._looked_up(Lut.identity(level**2).table)
            picture = np.clip(colours.transpose(2, 1, 0, 3).reshape(level**3, level**3, 3), 0, 1)
            text: dict[str, object] = {"title": self.title, "comment": " ".join(self.comments)}
            write_photo(path, picture, Photo(np.empty((0, 0, 3), np.uint16)), {k: v for k, v in text.items() if v})
            return
        tables = [Table(lut.table, lut.low, lut.high) for lut in (self.shaper, self) if lut]
        try:
            write_text(Path(path), "\n".join(Cube(tuple(tables), self.title, self.comments).lines()) + "\n")
        except OSError as error:
            raise UserError(f"LUT {path} cannot be written ({reason(error)}); choose another place") from error

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """A photo with its colours looked up.

        Between nodes the colour is interpolated linearly along a curve, and in three dimensions within the tetrahedron around
        it (Kasson, Nin, Plouffe, Hafner 1995, "Performing color space conversions with three-dimensional linear interpolation"),
        as ffmpeg's `lut3d` and most others do: greys then depend on the greys of the table alone.

        Args:
            image: (..., 3), sRGB, 0..1, whatever the LUT's own profile is.

        Returns:
            float32 (..., 3), sRGB; outside 0..1 where the table is, if that is of sRGB.
        """
        image = as_array(image, "image")
        if not image.ndim or image.shape[-1] != 3 or image.dtype.kind != "f":
            wrong = f"image has the shape {image.shape} and the type {image.dtype}"
            raise UserError(f"{wrong}; give floats from 0 to 1 of the shape (height, width, 3)")
        if not np.isfinite(image).all():
            raise UserError("image has values that are not finite; replace them by numbers from 0 to 1")
        return in_profile(self._looked_up, self.profile)(image)

    def _looked_up(self, image: np.ndarray) -> np.ndarray:
        """The colours (..., 3) of the table's own profile."""
        shaped = self.shaper(image) if self.shaper else image
        colours = np.ascontiguousarray(shaped, np.float32).reshape(-1, 3)
        result = np.empty_like(colours)
        low = np.array(self.low, np.float32)
        scale = np.float32(len(self.table) - 1) / (np.array(self.high, np.float32) - low)
        flat = np.ascontiguousarray(self.table, np.float32).reshape(-1, 3)

        def look_up(start: int) -> None:
            part = slice(start, start + _PIXELS)
            position = np.clip((colours[part] - low) * scale, 0, len(self.table) - 1)
            if self.table.ndim == 2:
                for channel in range(3):
                    result[part, channel] = np.interp(position[:, channel], np.arange(len(flat)), flat[:, channel])
            else:
                result[part] = from_nodes(*tetrahedra(position, len(self.table)), len(flat)) @ flat

        with ThreadPoolExecutor(cores()) as threads:
            list(threads.map(look_up, range(0, len(colours), _PIXELS)))
        return result.reshape(image.shape)

    def _hald_level(self) -> int:
        """The level of a HaldCLUT that holds this table as it is, or else finely enough."""
        if self.table.ndim == 2:
            return _HALD_LEVEL
        same = [level for level in _HALD_LEVELS if level**2 == len(self.table)]
        finer = (level for level in _HALD_LEVELS if level >= _HALD_LEVEL and level**2 >= len(self.table))
        return same[0] if same else next(finer, _HALD_LEVELS[-1])


def tetrahedra(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The four nodes around each colour, and their weights.

    Each cube of the table is split into the six tetrahedra that share its diagonal from dark to light. From the dark corner the
    way goes along the channel that is furthest, then along the next, then along the last.

    Args:
        position: (n, 3), in nodes, 0..size - 1.
        size: nodes a side.

    Returns:
        Node indices `(red * size + green) * size + blue`, int32, and weights, of the type of `position`, both (n, 4).
    """
    below = np.minimum(position.astype(np.int32), size - 2)
    red, green, blue = np.ascontiguousarray((position - below).T)
    along_red, along_green, along_blue = np.int32(size * size), np.int32(size), np.int32(1)
    red_green, green_blue, red_blue = red >= green, green >= blue, red >= blue
    first = np.where(red_green & red_blue, along_red, np.where(green_blue, along_green, along_blue))
    last = np.where(green_blue & red_blue, along_blue, np.where(red_green, along_green, along_red))
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    middle = np.maximum(np.minimum(red, green), np.minimum(np.maximum(red, green), blue))
    dark = below[:, 0] * along_red + below[:, 1] * along_green + below[:, 2]
    light = dark + (along_red + along_green + along_blue)
    nodes = np.stack([dark, dark + first, light - last, light], -1)
    return nodes, np.stack([1 - most, most - middle, middle - least, least], -1)


def from_nodes(nodes: np.ndarray, weights: np.ndarray, count: int) -> scipy.sparse.csr_matrix:
    """What `tetrahedra` returns, of a table of so many nodes, as a matrix (n, count) that takes nodes to colours."""
    starts = np.arange(0, nodes.size + 1, 4, dtype=np.int32)
    return scipy.sparse.csr_matrix((weights.ravel(), nodes.ravel(), starts), shape=(len(nodes), count))


def check_lut_writable(path: str) -> None:
    """Sees whether a LUT could be written here, without changing anything.

    Raises:
        UserError: unknown extension, no such folder, or nothing can be written there.
    """
    extension = Path(path).suffix.lower()
    if extension not in LUT_EXTENSIONS:
        raise UserError(f"LUT {path} has the unknown extension '{extension}'; use one of {', '.join(LUT_EXTENSIONS)}")
    check_place(path, "LUT")


def _read_hald(path: str) -> Lut:
    """A HaldCLUT, or a picture of its size with a tile for each blue, red across and green down, as GPUImage's filter has it.

    Both have the same red in a pixel. A table that is read the wrong way jumps from node to node.
    """
    most = _HALD_LEVELS[-1] ** 6 / 1e6
    height, width = check_readable(path, "LUT", most)
    level = round(width ** (1 / 3))
    if height != width or level**3 != width:
        raise UserError(
            f"LUT {path} has {width}x{height} pixels, no HaldCLUT, which has 216x216, 343x343, 512x512 and so on; give one"
        )
    colours = unit(read_photo(path, "LUT", most).samples[..., :3])
    nodes = level**2
    in_rows = colours.reshape(nodes, nodes, nodes, 3).transpose(2, 1, 0, 3)
    in_tiles = colours.reshape(level, nodes, level, nodes, 3).transpose(3, 1, 0, 2, 4).reshape(nodes, nodes, nodes, 3)
    return Lut(np.ascontiguousarray(in_tiles if 2 * _roughness(in_tiles) < _roughness(in_rows) else in_rows))


def _roughness(table: np.ndarray) -> float:
    """How much the colours of a table differ from node to node."""
    return float(sum(np.abs(np.diff(table, axis=axis)).mean() for axis in range(3)))
