"""Batches whose jobs read and write the same places, under whatever names."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from dpst.errors import UserError
from dpst.jobs.files_in_use import FilesInUse
from dpst.jobs.places import by_products, inputs, results
from dpst.options import Options
from hostile.broken import Broken, one_clear_line, shown

_FOLDERS = ["", "x/", "x/../", "y/", "link/"]  # link is x
_NAMES = ["a.png", "b.png", "other.png", "hard.png", "a.png.json", "a.json", "a.log", "a_0.5.png", "a_realism2.png"]
_NAMES += [
    "tmp_result.png",
    "out_iter_7.png",
    "out_iter_*.png",
    "auto_content_seg.png",
    "a.png.tmp_result.png",
    "a_tmp_result.png",
]
_NAMES += ["a.png.out_iter_7.png", "a_out_iter_1.png", "a_auto_style_seg.png"]
_NAMES += ["{region}", "look_{region}.cube", "look_sky.cube", "look_sky_realism2.cube"]
_NUMBERS, _REGIONS = ("0", "1", "7", "12"), ("sky", "sky_realism2", "x")


def places() -> st.SearchStrategy[bytes]:
    """Jobs with names out of a few."""
    paths = st.builds("{}{}".format, st.sampled_from(_FOLDERS), st.sampled_from(_NAMES))
    job = {
        "content_image_path": paths,
        "output_image": paths,
        "serial": st.sampled_from(["", "x", "y", "link", "."]),
        "lut": st.just("") | paths.map(lambda path: f"{path.removesuffix('.png')}{'' if path.endswith('.cube') else '.cube'}"),
        "mask_preview": st.just("") | paths,
        "strength": st.sampled_from(["1", "0.5,1"]),
        "realism": st.sampled_from(["1", "1,2"]),
        "auto_seg": st.sampled_from(["0", "auto"]),
        "batch": st.sampled_from(["", "m.jsonl"]),
    }
    return st.lists(st.fixed_dictionaries(job), min_size=1, max_size=4).map(lambda jobs: json.dumps(jobs).encode())


def share(path: Path) -> None:
    """Of the jobs that are accepted, none writes what any job reads, nor what another one writes."""
    for folder in ("x", "y"):
        Path(folder).mkdir()
    Path("link").symlink_to("x")
    Path("a.png").touch()
    Path("other.png").symlink_to("b.png")
    Path("hard.png").hardlink_to("a.png")
    jobs = []
    for values in json.loads(path.read_text()):
        with contextlib.suppress(UserError):
            jobs.append(Options(style_image_path="style.png", vgg19_weights="learned", **values))
    taken: dict[str, int] = {}
    for job in jobs:
        Path(job.content_image_path).parent.mkdir(exist_ok=True)
        Path(job.content_image_path).touch()
    read = {key for job in jobs for file in inputs(job).values() for key in _identities(file)}
    with contextlib.closing(FilesInUse()) as files:
        for job in jobs:
            files.add_inputs(job)
        for number, job in enumerate(jobs):
            try:
                files.add_outputs(job)
            except UserError as error:
                one_clear_line(shown(str(error)))
                continue
            own: set[str] = set()
            for role, pattern in (*results(job), *by_products(job)):
                written = {os.path.realpath(file) for file in _concrete(role, pattern)}
                if any(key in read for file in written for key in _identities(file)):
                    raise Broken(f"a {role} replaces an input")
                if own & written:
                    raise Broken(f"a {role} replaces another file of its job")
                own |= written
            if any(taken.setdefault(file, number) != number for file in own):
                raise Broken("two jobs write one file")
    if not taken:
        raise UserError("all jobs are refused; give others")


def _concrete(role: str, pattern: str) -> Iterator[str]:
    """Some of the files that a pattern stands for; other roles have no patterns, whatever their names hold."""
    if role == "LUT":
        yield from (pattern.replace("{region}", region) for region in _REGIONS)
    elif role == "snapshot" and pattern.endswith("out_iter_*.png"):
        yield from (pattern.removesuffix("*.png") + f"{number}.png" for number in _NUMBERS)
    else:
        yield pattern


def _identities(path: str) -> set[str]:
    """The true path and, of a file that is there, its place on the disk."""
    found = {os.path.realpath(path)}
    with contextlib.suppress(OSError):
        found.add(f"{os.stat(path).st_ino}")
    return found
