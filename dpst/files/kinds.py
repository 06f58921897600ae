"""Kinds of picture files that are not read, so that a user learns what to do with them."""

from __future__ import annotations

import re

from dpst.files import tiff_exif
from dpst.imaging.vips import pyvips, source

# Endings of messages. Makers of cameras have a raw format each: many are TIFF with a preview first, others a format of their own.
_RAW = "is a raw file; develop it, and give the TIFF or JPEG"
_LAB = "has Lab colours, which are not read; save it as RGB of 8 or 16 bits"
_HEIC = "is HEIC, which is not read here; export it as JPEG, PNG or TIFF"

# First bytes, and the end of the message.
_SIGNATURES = (
    (rb"....ftypcrx |FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|MMOR|FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR", _RAW),
    (rb"....ftyp(?:hei|hev|mif)", _HEIC),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "is JPEG XL, which is not read here; export it as JPEG, PNG or TIFF"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "is JPEG 2000, which is not read here; export it as JPEG, PNG or TIFF"),
    (rb"8BPS", "is a Photoshop document, which is not read; export it as PNG or TIFF"),
    (rb"%PDF", "is a PDF, which is not read; export its picture as PNG or TIFF"),
    (rb"\x76\x2f\x31\x01", "is OpenEXR, which is not read; convert it to sRGB and save it as TIFF of 16 bits"),
)

_RAW_EXTENSIONS = ".3fr .arw .cr2 .cr3 .dng .erf .iiq .kdc .mef .mrw .nef .nrw .orf .pef .raf .raw .rw2 .srw .x3f"
# Extensions of pictures that people keep among photos, and of which none is made here.
OTHER_EXTENSIONS = frozenset(f"{_RAW_EXTENSIONS} .heic .heif .hif .avif .jxl .jp2 .gif .bmp .psd .exr".split())

# Tags of TIFF and the first version of DNG (DNG 1.7, section 4), the flag of a reduced picture, and kinds of colours: of the
# filters of a sensor, of its channels; CIE L*a*b*, with its names in ICC profiles and in fax (TIFF 6.0, sections 8 and 23).
_SUBFILE_TYPE, _PHOTOMETRIC, _DNG_VERSION, _REDUCED, _OF_A_SENSOR, _LABS = 254, 262, 50706, 1, (32803, 34892), (8, 9, 10)


def wrong_kind_of(image: pyvips.Image, path: str) -> str:
    """What a file that can be opened is, and what to do with it, if its picture is not to be read; else nothing."""
    if image.get("vips-loader").startswith("tiff") and _is_raw(path):
        return _RAW
    if image.interpretation.startswith("lab"):
        return _LAB
    if image.get_typeof("heif-compression") and image.get("heif-compression") == "hevc":
        try:
            pyvips.Image.new_from_source(source(path), "").getpoint(0, 0)
        except pyvips.Error:  # many libraries know the format, and for its patents not this kind of it
            return _HEIC
    return ""


def _is_raw(path: str) -> bool:
    """Whether a TIFF file is a raw one, by its tags, or as CR2 by the mark after its header. Its first picture is a preview."""
    tags = tiff_exif.first_numbers(path)
    if tags.get(_SUBFILE_TYPE, 0) & _REDUCED or tags.get(_PHOTOMETRIC) in _OF_A_SENSOR or _DNG_VERSION in tags:
        return True
    with open(path, "rb") as file:
        return file.read(10)[8:] == b"CR"


def wrong_kind(path: str) -> str:
    """What a file that cannot be opened is, and what to do with it: the end of a message."""
    with open(path, "rb") as file:
        first = file.read(32)
    for signature, wrong in _SIGNATURES:
        if re.match(signature, first, re.DOTALL):
            return wrong
    if first[:4] in (b"II*\0", b"MM\0*"):
        if _is_raw(path):
            return _RAW
        if tiff_exif.first_numbers(path).get(_PHOTOMETRIC) in _LABS:
            return _LAB
    return "cannot be read as a picture; use a complete PNG, JPEG, TIFF or WebP file"
