"""XMP that goes into a result: what was true of the photo's file and is not of the result's is taken out.

The text is not parsed as XML: programs write XMP that is none, and what is not touched stays as it is, byte by byte.
"""

from __future__ import annotations

import re

# What announces a second picture or a film behind the photo: the namespace, and the names in it. Ultra HDR, Apple's gain maps,
# Google's motion photos and the directory of both ("Ultra HDR Image Format v1.1", "Motion Photo format 1.0").
_ANNOUNCED = (
    (rb"http://ns\.adobe\.com/hdr-gain-map/1\.0/", rb"\w+"),
    (rb"http://ns\.apple\.com/HDRGainMap/1\.0/", rb"\w+"),
    (rb"http://ns\.google\.com/photos/1\.0/container/", rb"Directory"),
    (rb"http://ns\.google\.com/photos/1\.0/camera/", rb"(?:MotionPhoto|MicroVideo)\w*"),
)


def upright(xmp: bytes) -> bytes:
    """XMP of a picture that has been turned upright."""
    return re.sub(rb'(tiff:Orientation(?:="|>))\d', rb"\g<1>1", xmp)


def of_one_picture(xmp: bytes) -> bytes:
    """XMP without what announces gain maps and films in the same file."""
    for namespace, names in _ANNOUNCED:
        for prefix in set(re.findall(rb"xmlns:(\w{1,40})\s*=\s*[\"']" + namespace + rb"[\"']", xmp)):
            name = prefix + rb":" + names
            xmp = re.sub(rb"\s" + name + rb"\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')", b"", xmp)
            xmp = _without_elements(xmp, name)
    return xmp


def _without_elements(xmp: bytes, name: bytes) -> bytes:
    """XMP without the elements of these names and all that is in them."""
    kept, start = [], 0
    while found := re.compile(rb"<(" + name + rb")(?:\s[^<>]*)?/?>").search(xmp, start):
        end = found.end()
        if not found[0].endswith(b"/>"):
            closing = b"</" + found[1] + b">"
            end = xmp.find(closing, end) + len(closing)
            if end < found.end():  # it has no end
                break
        kept.append(xmp[start : found.start()])
        start = end
    return b"".join([*kept, xmp[start:]])
