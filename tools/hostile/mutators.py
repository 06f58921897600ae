"""Damage to files: to any bytes, and to the pieces of a format, whose lengths and checksums are set right again afterwards.

Random bytes are refused by the first check of a reader. What lies behind it is reached by files that are whole but for one field.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

# Bytes of the largest file that is made: damage that grows is what limits are for, but not the disk's.
MAX_BYTES = 1 << 18
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class Edit:
    """One piece of damage.

    Attributes:
        how: a key of `BYTE_EDITS`, for bytes; or of `PIECE_EDITS`, for the list of pieces.
        piece: which piece, counted round and round; -1 for the whole file.
        where: where in it, counted round and round.
        length: how many bytes or pieces, or how many times.
        data: what is written.
    """

    how: str
    piece: int
    where: int
    length: int
    data: bytes


def _flip(content: bytes, at: int, edit: Edit) -> bytes:
    return content[:at] + bytes([content[at] ^ (1 << edit.length % 8)]) + content[at + 1 :] if content else content


def _times(piece: bytes, edit: Edit) -> int:
    """How often a piece is repeated, so that the file stays small."""
    return min(edit.length, MAX_BYTES // (1 + len(piece)))


BYTE_EDITS: dict[str, Callable[[bytes, int, Edit], bytes]] = {
    "flip": _flip,
    "write": lambda content, at, edit: content[:at] + edit.data + content[at + len(edit.data) :],
    "insert": lambda content, at, edit: content[:at] + edit.data + content[at:],
    "cut": lambda content, at, edit: content[:at] + content[at + edit.length :],
    "end": lambda content, at, edit: content[:at],
    "repeat": lambda content, at, edit: content[:at] + content[at : at + 16] * (1 + edit.length) + content[at + 16 :],
}
PIECE_EDITS: dict[str, Callable[[list[bytes], int, Edit], list[bytes]]] = {
    "drop": lambda pieces, at, edit: pieces[:at] + pieces[at + 1 :],
    "double": lambda pieces, at, edit: pieces[:at] + [pieces[at]] * (1 + _times(pieces[at], edit)) + pieces[at + 1 :],
    "first": lambda pieces, at, edit: [pieces[at], *pieces[:at], *pieces[at + 1 :]],
    "last": lambda pieces, at, edit: [*pieces[:at], *pieces[at + 1 :], pieces[at]],
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a format's files are split into pieces, and put together again."""

    split: Callable[[bytes], list[bytes]]
    join: Callable[[list[bytes]], bytes]


def damaged(content: bytes, edits: list[Edit], layout: Layout) -> bytes:
    """The file with all the damage done, one after the other; what cannot be split is damaged as bytes."""
    for edit in edits:
        pieces = [content]
        if edit.piece >= 0 or edit.how in PIECE_EDITS:
            with contextlib.suppress(Exception):
                pieces = layout.split(content) or pieces
        whole = len(pieces) == 1
        at = edit.piece % len(pieces)
        if edit.how in PIECE_EDITS:
            pieces = PIECE_EDITS[edit.how](pieces, at, edit)
        else:
            pieces[at] = BYTE_EDITS[edit.how](pieces[at], edit.where % max(1, len(pieces[at])), edit)
        content = (b"".join(pieces) if whole else layout.join(pieces))[:MAX_BYTES]
    return content


def _png_chunks(content: bytes) -> list[bytes]:
    """Type and data of each chunk, without length and checksum (PNG, third edition, 5.3)."""
    pieces, at = [], len(PNG_SIGNATURE)
    while at < len(content):
        (length,) = struct.unpack_from(">L", content, at)
        pieces.append(content[at + 4 : at + 8 + length])
        at += 12 + length
    return pieces


def _png_joined(pieces: list[bytes]) -> bytes:
    chunks = (struct.pack(">L", max(0, len(piece) - 4)) + piece + struct.pack(">L", zlib.crc32(piece)) for piece in pieces)
    return PNG_SIGNATURE + b"".join(chunks)


def _png_inflated(content: bytes) -> list[bytes]:
    """As `_png_chunks`, with the pixels unpacked, so that damage reaches the filters."""
    pieces = _png_chunks(content)
    return [piece[:4] + zlib.decompress(piece[4:]) if piece[:4] == b"IDAT" else piece for piece in pieces]


def _png_deflated(pieces: list[bytes]) -> bytes:
    return _png_joined([piece[:4] + zlib.compress(piece[4:], 1) if piece[:4] == b"IDAT" else piece for piece in pieces])


def _jpeg_segments(content: bytes) -> list[bytes]:
    """Marker and data of each segment, without length; the last is the scan, with all that follows (ITU T.81, B.1.1.4)."""
    pieces, at = [], 2
    while content[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, at + 2)
        pieces.append(content[at : at + 2] + content[at + 4 : at + 2 + length])
        at += 2 + length
    return [*pieces, content[at:]]


def _jpeg_joined(pieces: list[bytes]) -> bytes:
    segments = (piece[:2] + struct.pack(">H", (len(piece)) & 0xFFFF) + piece[2:] for piece in pieces[:-1])
    return b"\xff\xd8" + b"".join(segments) + pieces[-1]


def _riff_chunks(content: bytes) -> list[bytes]:
    """Name and data of each chunk (WebP container specification)."""
    pieces, at = [], 12
    while at < len(content):
        (length,) = struct.unpack_from("<L", content, at + 4)
        pieces.append(content[at : at + 4] + content[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return pieces


def _riff_joined(pieces: list[bytes]) -> bytes:
    chunks = [piece[:4] + struct.pack("<L", max(0, len(piece) - 4)) + piece[4:] + b"\0" * (len(piece) % 2) for piece in pieces]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _tiff_fields(content: bytes) -> list[bytes]:
    """Header, each field of each entry of the first directory, and what is between (TIFF 6.0, section 2; BigTIFF)."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    (start,) = struct.unpack_from(order + ("Q" if big else "L"), content, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), content, start)
    if count > 1000:
        raise ValueError(f"{count} entries")
    begin, sizes = start + (8 if big else 2), (2, 2, 8, 8) if big else (2, 2, 4, 4)
    ends = [2, 4, 16 if big else 8, start, begin]
    for _ in range(count):
        for size in sizes:
            ends.append(ends[-1] + size)
    ends = sorted({0, *(end for end in ends if end < len(content)), len(content)})
    return [content[a:b] for a, b in itertools.pairwise(ends)]


def _pickle_opcodes(content: bytes) -> list[bytes]:
    """The header of the array, and each opcode with its argument."""
    begin = 10 + int.from_bytes(content[8:10], "little")
    ends = [position + begin for _, _, position in pickletools.genops(content[begin:])]
    ends = [0, *ends, len(content)]
    return [content[a:b] for a, b in itertools.pairwise(ends)]


def _zip_members(content: bytes) -> list[bytes]:
    """Name, a zero, and data of each member."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError("grown too large")
        return [member.filename.encode() + b"\0" + archive.read(member) for member in archive.infolist()]


def _zipped(pieces: list[bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        names = set()
        for piece in pieces:
            name, _, data = piece.partition(b"\0")
            member = name.decode("latin1")[:1000] or "x"
            if member not in names:
                names.add(member)
                archive.writestr(member, data)
    return content.getvalue()


def _words(content: bytes) -> list[bytes]:
    """Words and numbers of a text, and runs of the same mark or space."""
    return [match.group() for match in re.finditer(rb"\w+|(\W)\1*", content)]


def _blocks(content: bytes) -> list[bytes]:
    """Eight bytes each, the grain of HDF5's addresses, and of ICC's numbers."""
    return [content[at : at + 8] for at in range(0, len(content), 8)]


PNG = Layout(_png_chunks, _png_joined)
PNG_PIXELS = Layout(_png_inflated, _png_deflated)
JPEG = Layout(_jpeg_segments, _jpeg_joined)
WEBP = Layout(_riff_chunks, _riff_joined)
TIFF = Layout(_tiff_fields, b"".join)
PICKLE = Layout(_pickle_opcodes, b"".join)
ZIP = Layout(_zip_members, _zipped)
TEXT = Layout(_words, b"".join)
BLOCKS = Layout(_blocks, b"".join)
