"""Calls of the library with values of any type."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from dpst.files.luts import Lut
from dpst.files.photos import Photo, read_photo
from dpst.files.writing import write_photo
from dpst.options import Options
from dpst.regions.reading import read_regions
from dpst.regions.regions import Regions
from dpst.solver.result import Result
from hostile import seeds
from photo_style import stylize
from vgg19.networks import Networks

_PHOTO = np.full((20, 24, 3), 0.5, np.float32)
_NARROW = _PHOTO[:2]  # too narrow to solve
_RESULT = Result(_PHOTO, _PHOTO, masks={"sky": _PHOTO[..., 0]})
_LUT = Lut.identity(3)
_TINY = Photo(np.zeros((20, 24, 3), np.uint8))
_OPTIONS = [field.name for field in dataclasses.fields(Options)]


def _values() -> list[object]:
    """Values of many types, made anew, as some can be used once."""
    numbers = [0, 1, 3, -1, 17, 0.5, 2.5, float("nan"), float("inf"), 10**400, np.float32(0.5), np.int64(3), np.array(1.5), True]
    texts = [
        "",
        "x",
        "photo.png",
        "new.png",
        "new.jpg",
        "new.cube",
        "a\0b",
        "\ud800",
        "x" * 5000,
        b"photo.png",
        Path("photo.png"),
    ]
    arrays = [np.zeros(0), np.zeros((2, 2)), _PHOTO, _PHOTO[:0], _PHOTO[..., :1], _PHOTO * np.nan, _PHOTO * 1e30, -_PHOTO]
    arrays += [_PHOTO.astype(kind) for kind in (np.uint8, np.float16, np.float64, np.complex64, object)]
    strips = [[_PHOTO], [_PHOTO[:, :3]], [3], iter([_PHOTO[..., 0]]), [[1, 2], [3]]]
    others = [None, [], [1], {}, {"a": 1}, (), set(), object(), lambda x: x, Options(), _LUT, _RESULT]
    photos = [Photo(np.zeros((20, 24, 3), np.uint8)), Photo(np.zeros((20, 24, 4), np.uint16))]
    return [*numbers, *texts, *arrays, *strips, *others, *photos]


CALLS: dict[str, Callable[[object, object], object]] = {
    "read_photo": lambda one, other: read_photo(one, "content image", other),
    "write_photo": lambda one, other: write_photo(one, other),
    "write_photo like": lambda one, other: write_photo("new.png", one, other),
    "write_photo text": lambda one, other: write_photo("new.png", _PHOTO, text=one),
    "read_regions": lambda one, other: read_regions(one, other, _PHOTO, _PHOTO, Options()),
    "read_regions photos": lambda one, other: read_regions("photo.png", "photo.png", one, other, Options()),
    "read_regions options": lambda one, other: read_regions("", "", _PHOTO, _PHOTO, one),
    "at": lambda one, other: _RESULT.at(one, other),
    "at realism": lambda one, other: _RESULT.at(_PHOTO, one, other),
    "lut": lambda one, other: _RESULT.lut(one, 17, other),
    "lut size": lambda one, other: _RESULT.lut("sky", one),
    "lut_fit": lambda one, other: _RESULT.lut_fit(one, other),
    "Lut of colours": lambda one, other: _LUT(one),
    "Lut.read": lambda one, other: Lut.read(one),
    "Lut.write": lambda one, other: _LUT.write(one),
    "Lut.identity": lambda one, other: Lut.identity(one),
    "resized": lambda one, other: _TINY.resized(one, other),
    "equal": lambda one, other: (one == _RESULT, other == _TINY),
    "for_photos": lambda one, other: Networks().for_photos("learned", one, other, -1),
    "for_photos weights": lambda one, other: Networks().for_photos(one, _PHOTO, _PHOTO, other),
    "pretrained": lambda one, other: (Networks().channels(one), Networks().description(other)),
    "Regions": lambda one, other: stylize(_NARROW, _PHOTO, regions=Regions(("sky",), one, other)),
    "Regions names": lambda one, other: stylize(_NARROW, _PHOTO, regions=Regions(one, _PHOTO[..., :1], _PHOTO[..., :1])),
    "stylize": lambda one, other: stylize(_NARROW, one, init=other),
    "stylize content": lambda one, other: stylize(one, _PHOTO, callback=other, regions=1),
    "stylize masks": lambda one, other: stylize(_NARROW, _PHOTO, one, other),
    "stylize options": lambda one, other: stylize(_NARROW, _PHOTO, options=one, regions=other),
    "stylize chosen": lambda one, other: [_tried_choice(name, one) for name in _OPTIONS],
    "Options": lambda one, other: [_tried_option(name, one) for name in _OPTIONS],
}


def _tried_option(name: str, value: object) -> None:
    Options(**{name: value})


def _tried_choice(name: str, value: object) -> None:
    stylize(_NARROW, _PHOTO, **{"auto_seg": 0, name: value})


def calls() -> st.SearchStrategy[bytes]:
    """The name of a call, and which values it gets."""
    which = st.integers(0, len(_values()) - 1)
    return st.builds(lambda *each: json.dumps(each).encode(), st.sampled_from(list(CALLS)), which, which)


def call(path: Path) -> None:
    """It returns, or says in a line what its caller can fix."""
    name, one, other = json.loads(path.read_text())
    Path("photo.png").write_bytes(seeds.pngs()[0])
    values = _values()
    CALLS[name](values[one], values[other])
