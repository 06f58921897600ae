"""Hypothesis strategies: damaged files of every kind, and command lines."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable

from hypothesis import strategies as st

from dpst.options import Options
from hostile import mutators, seeds
from hostile.mutators import BYTE_EDITS, PIECE_EDITS, Edit, Layout, damaged

# Numbers at which counts, sizes, offsets and signs go wrong.
_NUMBERS = (0, 1, 2, 15, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_TOKENS = [b"\0", b"\n", b"\r\n", b"\x1b[2J", b"../", b"%s%n", b"NaN", b"-inf", b"1e999", b"1e-999", b"-1", b"\xff\xfe"]
_TOKENS += [b'"', b"{", b"null", b"true", b'"\\u0000"', b'"\\ud800"', b"\xed\xa0\x80", b"{region}"]
_TOKENS += [b"[" * 20_000, b"9" * 5000, b"a" * 5000]

numbers = st.builds(
    lambda number, size, order: (number % (1 << (8 * size))).to_bytes(size, order),
    st.sampled_from(_NUMBERS) | st.integers(0, 2**64 - 1),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["big", "little"]),
)
edits = st.builds(
    Edit,
    how=st.sampled_from([*BYTE_EDITS, "write", "write", *PIECE_EDITS]),
    piece=st.integers(-1, 400),
    where=st.integers(0, 1 << 16),
    length=st.integers(0, 64) | st.sampled_from([1000, 60000]),
    data=numbers | st.binary(max_size=12) | st.sampled_from(_TOKENS),
)


def damage(good: Callable[[], list[bytes]], *layouts: Layout) -> st.SearchStrategy[bytes]:
    """One of the good files with up to three edits, by one of the layouts."""
    return st.builds(damaged, st.sampled_from(good()), st.lists(edits, min_size=1, max_size=3), st.sampled_from(layouts))


def _in_pictures(blocks: st.SearchStrategy[bytes], name: str) -> st.SearchStrategy[bytes]:
    """Good pictures that carry a damaged block of metadata; JPEG has room for 64 KiB."""
    forms = st.sampled_from(["PNG", "JPEG", "WEBP"])
    return st.builds(lambda form, block: seeds.with_metadata(form, **{name: block[:60000]}), forms, blocks)


def heif() -> st.SearchStrategy[bytes]:
    """Damaged AVIF, and the same under the names of HEIC, whose pixels nothing here can decode."""
    good = seeds.avifs() or [struct.pack(">L8sL8s", 24, b"ftypavif", 0, b"avifmif1")]
    names = {b"av01": b"hvc1", b"av1C": b"hvcC", b"avif": b"heic"}

    def as_heic(content: bytes) -> bytes:
        for name, other in names.items():
            content = content.replace(name, other)
        return content

    files = damage(lambda: good, mutators.BLOCKS)
    return files | files.map(as_heic)


def exif() -> st.SearchStrategy[bytes]:
    """Pictures with damaged EXIF, which is a TIFF directory after six bytes."""
    prefix = b"Exif\0\0"
    blocks = damage(lambda: [seeds.exif().removeprefix(prefix)], mutators.TIFF, mutators.BLOCKS)
    return _in_pictures(blocks.map(lambda block: prefix + block), "exif_block")


def icc() -> st.SearchStrategy[bytes]:
    """Pictures with damaged profiles."""
    return _in_pictures(damage(lambda: [seeds.icc()], mutators.BLOCKS), "profile")


def xmp() -> st.SearchStrategy[bytes]:
    """Pictures with damaged XMP."""
    return _in_pictures(damage(lambda: [seeds.XMP], mutators.TEXT), "xmp")


_FIELDS = dataclasses.fields(Options)
_text = st.text(max_size=12) | st.sampled_from(
    ["", " ", "a\0b", "\ud800", "a\nb", "\x1b[2J", "a" * 5000, "../a.png", "{region}", "."]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text | st.sampled_from([10**30, -1, 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


def _values(field: dataclasses.Field) -> st.SearchStrategy[str]:
    """Values of an option as text: good ones, edges, and others."""
    good = [str(field.default), *map(str, field.metadata.get("choices", ()))]
    return (
        st.sampled_from(good) | _text | st.sampled_from(["nan", "inf", "-1", "1e300", "9" * 5000, "0", "1", "٣", "0x10", "1_0"])
    )


def jsonl() -> st.SearchStrategy[bytes]:
    """Manifests of any values for the right names, and damaged ones."""
    names = st.sampled_from([field.name for field in _FIELDS]) | _text
    rows = st.dictionaries(names, json_values, max_size=6) | json_values
    lines = st.lists(rows.map(json.dumps), min_size=1, max_size=4).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))
    return lines | damage(seeds.jsonls, mutators.TEXT)


def names() -> st.SearchStrategy[bytes]:
    """Names of photos in a folder, of digits of any script and other odd characters."""
    digits = st.sampled_from(
        ["1", "2", "10", "²", "³", "٣", "१", "①", "Ⅳ", "𝟙", "½", "\udce9", " ", ".", "-", "\n", "a", "é", "*", "%s"]
    )
    stems = st.lists(digits, min_size=1, max_size=6).map("".join)
    photos = st.builds("{}{}".format, stems, st.sampled_from([".png", ".PNG", ".jpg", ".tif", ".heic", ""]))
    return st.lists(photos, min_size=1, max_size=6, unique=True).map(lambda names: json.dumps(names).encode())


def record() -> st.SearchStrategy[bytes]:
    """Records with any values, and damaged ones."""
    good = json.loads(seeds.records()[0])
    changed = st.dictionaries(st.sampled_from(list(good)) | _text, json_values, max_size=4)
    return changed.map(lambda change: json.dumps(good | change).encode()) | damage(seeds.records, mutators.TEXT)


def deep_cube() -> st.SearchStrategy[bytes]:
    """Headers of `.cube` files with any numbers, and damaged ones."""
    words = "LUT_1D_SIZE LUT_3D_SIZE DOMAIN_MIN DOMAIN_MAX LUT_1D_INPUT_RANGE LUT_3D_INPUT_RANGE TITLE lut_3d_size"
    keywords = st.sampled_from([*words.split(), "LUT_IN_VIDEO_RANGE", "#", ""])
    values = st.lists(st.floats().map(str) | st.integers().map(str) | st.sampled_from(["2", "0", "1"]), max_size=4).map(" ".join)
    lines = st.lists(st.builds("{} {}".format, keywords, values), max_size=12).map("\n".join)
    return lines.map(str.encode) | damage(seeds.cubes, mutators.TEXT)


def options() -> st.SearchStrategy[bytes]:
    """Command lines, one argument a line of JSON."""

    def arguments(field: dataclasses.Field) -> st.SearchStrategy[list[str]]:
        return _values(field).map(lambda value: [f"--{field.name}", value])

    known = st.sampled_from(_FIELDS).flatmap(arguments)
    parts = st.lists(known | _text.map(lambda text: [text]), max_size=5)
    return parts.map(lambda parts: json.dumps([argument for part in parts for argument in part]).encode())


def box(width: int, height: int) -> bytes:
    """A PNG header that promises so many pixels, and has none."""
    header = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return mutators.PNG.join([header, b"IDAT", b"IEND"])


def png() -> st.SearchStrategy[bytes]:
    """Damaged PNG files, and headers of any size."""
    sizes = st.integers(0, 2**31 - 1) | st.sampled_from([1, 16, 60_000_000, 65536])
    return damage(seeds.pngs, mutators.PNG, mutators.PNG_PIXELS) | st.builds(box, sizes, sizes)
