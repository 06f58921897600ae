"""EXIF in TIFF files, built byte by byte from the TIFF 6.0 and Exif 2.32 specifications."""

import struct

import pytest
from PIL import Image

from dpst.files.tiff_exif import add_exif, read_exif

MAKE, ORIENTATION, ARTIST, EXIF, GPS, INTEROPERABILITY = 271, 274, 315, 0x8769, 0x8825, 0xA005
EXPOSURE, MAKERS_NOTE, LATITUDE, INTEROPERABILITY_INDEX = 0x829A, 0x927C, 2, 1
NOTE = b"\x01\x02 as it is \xff"


def directory(order, start, entries):
    """A directory of (tag, type, count, value) that stands at byte `start`; a value is bytes of any length, or an offset."""
    head, tail = struct.pack(order + "H", len(entries)), b""
    for tag, kind, count, value in entries:
        if isinstance(value, int):
            value = struct.pack(order + "L", value)
        if len(value) > 4:
            offset = start + 2 + 12 * len(entries) + 4 + len(tail)
            tail += value + b"\0" * (len(value) % 2)
            value = struct.pack(order + "L", offset)
        head += struct.pack(order + "HHL", tag, kind, count) + value.ljust(4, b"\0")
    return head + b"\0\0\0\0" + tail


def block(order):
    """An EXIF block with all of its four directories and values of one, two, four and eight bytes."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    exif, interoperability, gps = 200, 400, 600
    pieces = {
        0: magic + struct.pack(order + "L", 8),
        8: directory(
            order,
            8,
            [
                (MAKE, 2, 7, b"Makers\0"),
                (ORIENTATION, 3, 1, struct.pack(order + "H", 6)),
                (ARTIST, 2, 6, "Jörg\0".encode()),
                (EXIF, 4, 1, exif),
                (GPS, 4, 1, gps),
            ],
        ),
        exif: directory(
            order,
            exif,
            [
                (EXPOSURE, 5, 1, struct.pack(order + "LL", 1, 250)),
                (MAKERS_NOTE, 7, len(NOTE), NOTE),
                (INTEROPERABILITY, 4, 1, interoperability),
            ],
        ),
        interoperability: directory(order, interoperability, [(INTEROPERABILITY_INDEX, 2, 4, b"R98\0")]),
        gps: directory(order, gps, [(LATITUDE, 5, 3, struct.pack(order + "6L", 48, 1, 30, 1, 5, 2))]),
    }
    data = bytearray(700)
    for start, piece in pieces.items():
        data[start : start + len(piece)] = piece
    return bytes(data)


def picture(path):
    Image.new("RGB", (20, 17), (1, 2, 3)).save(path)
    return str(path)


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_block_of_either_byte_order_goes_in_and_comes_out(tmp_path, order, prefix):
    path = picture(tmp_path / "a.tif")
    assert read_exif(path) is None
    add_exif(path, prefix + block(order))

    with Image.open(path) as read:
        tags = read.getexif()
        assert tags[MAKE] == "Makers" and ORIENTATION not in tags
        assert tags.get_ifd(EXIF)[EXPOSURE] == 1 / 250 and tags.get_ifd(EXIF)[MAKERS_NOTE] == NOTE
        assert tags.get_ifd(INTEROPERABILITY)[INTEROPERABILITY_INDEX] == "R98"
        assert tags.get_ifd(GPS)[LATITUDE] == (48, 30, 2.5)
        assert read.size == (20, 17) and read.getpixel((3, 4)) == (1, 2, 3)

    back = Image.Exif()
    back.load(read_exif(path))
    assert set(back) == {MAKE, ARTIST, EXIF, GPS}
    assert back.get_ifd(EXIF)[MAKERS_NOTE] == NOTE and back.get_ifd(GPS)[LATITUDE] == (48, 30, 2.5)
    assert "Jörg\0".encode() in read_exif(path)


def test_adding_what_is_there_changes_nothing(tmp_path):
    path = picture(tmp_path / "a.tif")
    add_exif(path, block(">"))
    first = read_exif(path)
    add_exif(path, first)
    assert read_exif(path) == first


def test_directory_and_values_begin_on_even_bytes(tmp_path):
    # TIFF 6.0, section 2; the file is made odd, and so is the first value.
    path = tmp_path / "a.tif"
    picture(path)
    path.write_bytes(path.read_bytes() + b"\0" * (1 - path.stat().st_size % 2))
    add_exif(path, block("<"))
    file = path.read_bytes()
    (start,) = struct.unpack_from("<L", file, 4)
    (length,) = struct.unpack_from("<H", file, start)
    entries = {tag: value for tag, _, _, value in struct.iter_unpack("<HHLL", file[start + 2 : start + 2 + 12 * length])}
    assert start % 2 == 0 and entries[MAKE] % 2 == 0 and entries[ARTIST] % 2 == 0 and entries[EXIF] % 2 == 0


def damaged(offset, content):
    data = bytearray(block("<"))
    data[offset : offset + len(content)] = content
    return bytes(data)


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\0",
        b"no EXIF at all",
        block("<")[:300],
        damaged(4, struct.pack("<L", 10**6)),
        damaged(8 + 2 + 8, struct.pack("<L", 698)),  # Make reaches beyond the end
        damaged(8 + 2 + 8, struct.pack("<L", 10**6)),
        damaged(8 + 2 + 2, struct.pack("<H", 99)),  # Make is of no known type
        damaged(8 + 2 + 3 * 12 + 8, struct.pack("<L", 10**6)),  # the EXIF directory lies beyond the end
        damaged(2, b"+"),  # BigTIFF
    ],
)
def test_damage_is_reported_and_the_file_left_as_it_was(tmp_path, exif):
    path = picture(tmp_path / "a.tif")
    before = (tmp_path / "a.tif").read_bytes()
    with pytest.raises(ValueError, match=r"damaged|beyond|kind"):
        add_exif(path, exif)
    assert (tmp_path / "a.tif").read_bytes() == before


def test_directories_in_a_circle_end(tmp_path):
    path = picture(tmp_path / "a.tif")
    add_exif(path, damaged(8 + 2 + 3 * 12 + 8, struct.pack("<L", 8)))
    assert read_exif(path) is not None
