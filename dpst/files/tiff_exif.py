"""EXIF in TIFF files, which libvips neither reads nor writes.

EXIF is itself a TIFF directory without pixels: in JPEG, PNG and WebP a block of its own, in TIFF spread over the first
directory of the file among the tags of the picture (TIFF 6.0, section 2; Exif 2.32, section 4.6). Values are carried over
byte by byte, so that text in any encoding and makers' notes stay as they are.
"""

from __future__ import annotations

import mmap
import os
import struct

import numpy as np

# Tags whose value is another directory: EXIF, GPS, interoperability.
_POINTERS = {0x8769, 0x8825, 0xA005}

# EXIF's tags in the first directory: description, make, model, resolution, software, date, artist, host, rating, copyright,
# titles of Windows, EXIF, GPS. All others there belong to the picture of that very file.
_DESCRIPTION = {270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096), 0x8769, 0x8825}

# Bytes of a number and numbers in a value, by field type: byte, ASCII, short, long, rational, and their signed kin.
_TYPES = {1: (1, 1), 2: (1, 1), 3: (2, 1), 4: (4, 1), 5: (4, 2), 6: (1, 1), 7: (1, 1), 8: (2, 1), 9: (4, 1), 10: (4, 2)}
_TYPES |= {11: (4, 1), 12: (8, 1), 13: (4, 1)}

_MAGIC = b"II*\0" + struct.pack("<L", 8)


def read_exif(path: str) -> bytes | None:
    """The EXIF block (as JPEG has it) of a TIFF file, or None where there is none.

    Raises:
        ValueError: the directories are damaged.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = {tag: field for tag, field in _first_directory(data).items() if tag in _DESCRIPTION}
    return b"Exif\0\0" + _MAGIC + _to_bytes(found, len(_MAGIC)) if found else None


def first_numbers(path: str) -> dict[int, int]:
    """The tags of the first picture of a TIFF file, each with the first four bytes of its value as a number.

    Empty where the directories are damaged.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            fields = _first_directory(data)
        except ValueError:
            return {}
    return {tag: int.from_bytes(value[:4], "little") for tag, (_, _, value) in fields.items() if isinstance(value, bytes)}


def add_exif(path: str | os.PathLike, exif: bytes) -> None:
    """Append to a little-endian TIFF file a first directory that holds its own tags and those of an EXIF block.

    Raises:
        ValueError: the block is damaged.
    """
    block = _first_directory(exif.removeprefix(b"Exif\0\0"))
    with open(path, "r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            own = _first_directory(data)
        end = file.seek(0, os.SEEK_END)
        end += file.write(b"\0" * (end % 2))
        file.write(_to_bytes({tag: field for tag, field in block.items() if tag in _DESCRIPTION} | own, end))
        file.seek(4)
        file.write(struct.pack("<L", end))


def _first_directory(data) -> dict[int, tuple]:
    order = "<" if data[:2] == b"II" else ">"
    try:
        magic, start = struct.unpack_from(order + "2xHL", data)
        if magic != 42:  # 43 is BigTIFF, with other directories
            raise ValueError(f"TIFF of kind {magic}")
        return _directory(data, start, order, _POINTERS, [len(data)])
    except (struct.error, KeyError) as error:
        raise ValueError(f"damaged directory: {error}") from error


def _directory(data, start: int, order: str, pointers: set[int], left: list[int]) -> dict[int, tuple]:
    """{tag: (field type, count, value)}, a value being little-endian bytes or, for a pointer, another such dictionary.

    `left` counts down the bytes that values may still take: no more than there are, however often entries point to them.
    """
    (length,) = struct.unpack_from(order + "H", data, start)
    directory: dict[int, tuple] = {}
    for entry in range(start + 2, start + 2 + 12 * length, 12):
        tag, kind, count, offset = struct.unpack_from(order + "HHLL", data, entry)
        if tag in pointers:
            directory[tag] = (kind, 1, _directory(data, offset, order, pointers - {tag}, left))
            continue
        unit, numbers = _TYPES[kind]
        size = unit * numbers * count
        left[0] -= size
        if left[0] < 0:
            raise ValueError(f"tag {tag} and those before it hold more than the file")
        raw = data[entry + 8 : entry + 8 + size] if size <= 4 else data[offset : offset + size]
        if len(raw) < size:
            raise ValueError(f"tag {tag} reaches beyond the end")
        directory[tag] = (kind, count, np.frombuffer(raw, f"{order}u{unit}").astype(f"<u{unit}").tobytes())
    return directory


def _to_bytes(directory: dict[int, tuple], start: int) -> bytes:
    """The directory as it stands at byte `start` of a little-endian file: entries, then the values that do not fit them."""
    entries = struct.pack("<H", len(directory))
    values = b""
    values_start = start + 2 + 12 * len(directory) + 4
    for tag, (kind, count, value) in sorted(directory.items()):
        here = struct.pack("<L", values_start + len(values))
        if isinstance(value, dict):
            values += _to_bytes(value, values_start + len(values))
        elif len(value) > 4:
            values += value + b"\0" * (len(value) % 2)
        else:
            here = value.ljust(4, b"\0")
        entries += struct.pack("<HHL", tag, kind, count) + here
    return entries + b"\0\0\0\0" + values
