#!/usr/bin/env python3
"""Where the seconds of a whole command go, and how they and the memory grow.

    python benchmarks/stages.py [examples] [--pairs FOLDER ...] [--repeats 5]
    python benchmarks/stages.py growth [--repeats 1]

`examples`: for each pair (a folder with content, style and, if there are masks, content_seg and style_seg; by default the shipped
examples) the seconds of the process from start to end, its processor seconds, their ratio (how many cores were busy), its peak
memory, the wall seconds of each stage, and the floor: as many bare passes of the network, forward and backward, as there were
evaluations. Stages that run beside each other count twice, so that they add up to more than the whole. Medians.

`growth`: the same sums for more regions, larger pictures and longer batches.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
if TYPE_CHECKING:
    from vgg19.network import Network

EXAMPLES = [ROOT / "examples" / name for name in ("landscape", "portrait", "monument")]
REGIONS, SIZES, JOBS = (1, 2, 6, 9), (256, 512, 1024, 2048), (1, 10, 100)


def command_of(pair: Path, output: Path, *more: str) -> list[str]:
    """The options of a pair's default run, with masks where it has them."""
    words = ["--style_option", "2", "--quiet", "--output_image", str(output)]
    for option, name in (("image", "content"), ("seg", "content_seg"), ("image", "style"), ("seg", "style_seg")):
        if path := next(pair.resolve().glob(f"{name}.*"), None):
            words += [f"--{name.removesuffix('_seg')}_{option}_path", str(path)]
    return [*words, *more]


def measured(words: list[str], watched: bool = False) -> tuple[float, float, float, dict]:
    """(wall seconds, processor seconds, peak MiB, what a watched run says of its stages) of a run in a process of its own."""
    with tempfile.NamedTemporaryFile("r") as told:
        program = [__file__, "--watched", told.name] if watched else [str(ROOT / "deep_photostyle.py")]
        begin = time.perf_counter()
        child = subprocess.Popen([sys.executable, *program, *words])
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{words} ended with {child.returncode}")
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10, json.loads(told.read() or "{}")


def watch(told: Path, words: list[str]) -> int:
    """Runs the command line in this process and writes the wall seconds of its stages, and those of bare passes."""
    import deep_photostyle
    from dpst.jobs import picture
    from dpst.regions.regions import Regions
    from vgg19.networks import Networks

    seconds: dict[str, float] = defaultdict(float)
    evaluations: dict[tuple[int, int], int] = defaultdict(int)
    networks: list[Network] = []

    def timed(owner: object, name: str, stage: str, after: Callable[..., None] = lambda result, *args: None) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def call(*args, **kwargs):
            begin = time.perf_counter()
            try:
                result = function(*args, **kwargs)
            finally:
                seconds[stage] += time.perf_counter() - begin
            after(result, *args)
            return result

        setattr(owner, name, call)

    def watch_objective(*_) -> None:
        from dpst.solver.look import LookObjective

        timed(LookObjective, "__init__", "objectives")
        timed(LookObjective, "__call__", "evaluations", count)

    def count(_, objective, *__) -> None:
        evaluations[objective.content.shape[:2]] += 1

    timed(picture, "load_tensorflow", "TensorFlow", watch_objective)
    timed(Networks, "for_photos", "features", lambda network, *_: networks.append(network))
    for owner, name, stage in (
        (picture, "read_photo", "photos"),
        (picture, "read_regions", "masks"),
        (picture, "found_regions", "masks"),
        (Regions, "refined", "masks"),
        (Regions, "with_edges", "edges"),
        (picture, "write_results", "writing"),
        (picture, "scores", "scores"),
    ):
        timed(owner, name, stage)
    code = deep_photostyle.main(words)
    floor = sum(count * bare_seconds(networks[0], size) for size, count in evaluations.items())
    told.write_text(json.dumps({"stages": seconds, "floor": floor, "evaluations": sum(evaluations.values())}))
    return code


def bare_seconds(network: Network, size: tuple[int, int]) -> float:
    """Median seconds of a pass forward and backward through the network alone, for a photo of this size."""
    from cost import bare_pass

    from vgg19.backend import tf

    evaluate, times = bare_pass(network, tf.constant(np.random.default_rng(0).random((*size, 3), np.float32))), []
    for _ in range(12):
        begin = time.perf_counter()
        evaluate()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def examples(arguments: argparse.Namespace) -> None:
    """Each pair as a whole, and by stages."""
    for pair in arguments.pairs:
        with tempfile.TemporaryDirectory() as folder:
            words = command_of(pair, Path(folder, "result.png"), *arguments.options.split())
            runs = [measured(words)[:3] for _ in range(arguments.repeats)]
            watched = measured(words, watched=True)[3]
        wall, processor, peak = (statistics.median(each) for each in zip(*runs, strict=True))
        print(f"{pair.name}: {wall:.1f} s, {processor:.1f} processor s ({processor / wall:.2f} cores), {peak:.0f} MiB")
        print("   ", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in watched["stages"].items()))
        print(f"    floor: {watched['evaluations']} bare passes, {watched['floor']:.1f} s", flush=True)


def growth(arguments: argparse.Namespace) -> None:
    """More regions, larger pictures, longer batches."""
    from photo_style import read_photo, write_photo

    def row(what: str, count: int, runs: Iterable[tuple]) -> None:
        wall, processor, peak = (statistics.median(each) for each in zip(*(run[:3] for run in runs), strict=True))
        print(f"{what:<8} {count:5}  {wall:6.1f} s  {processor:6.1f} processor s  {peak:5.0f} MiB", flush=True)

    photos = {name: next(arguments.pairs[0].resolve().glob(f"{name}.*")) for name in ("content", "style")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = folder / "result.png"
        for count in REGIONS:
            pair = folder / f"regions{count}"
            pair.mkdir()
            for kind, path in photos.items():
                (pair / path.name).symlink_to(path)
                height, width = read_photo(str(path)).size
                colours = np.random.default_rng(0).permutation(np.mgrid[0:3, 0:3, 0:3].reshape(3, -1).T)[:count] / 2
                stripes = colours[np.arange(width) * count // width]
                write_photo(str(pair / f"{kind}_seg.png"), np.broadcast_to(stripes, (height, width, 3)).astype(np.float32))
            row("regions", count, [measured(command_of(pair, output)) for _ in range(arguments.repeats)])
        for size in SIZES:
            pair = folder / f"size{size}"
            pair.mkdir()
            for kind, path in photos.items():
                photo = read_photo(str(path))
                factor = size / max(photo.size)
                write_photo(str(pair / f"{kind}.png"), photo.resized(*(round(factor * side) for side in photo.size)))
            words = command_of(pair, output, "--max_size", str(size), "--auto_seg", "0")
            row("max_size", size, [measured(words) for _ in range(arguments.repeats)])
        for count in JOBS:
            with (folder / "jobs.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["content_image_path", "style_image_path", "output_image"])
                writer.writerows([*photos.values(), f"{number}.png"] for number in range(count))
            words = ["--batch", str(folder / "jobs.csv"), "--output_dir", str(folder / f"out{count}"), "--style_option", "2"]
            row("jobs", count, [measured([*words, "--quiet", "--auto_seg", "0"])])


def main() -> int:
    if sys.argv[1:2] == ["--watched"]:
        return watch(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["examples", "growth"], nargs="?", default="examples")
    parser.add_argument("--pairs", type=Path, nargs="+", default=EXAMPLES)
    parser.add_argument("--options", default="", help="more options of the runs, as one text")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    print("command:", " ".join(sys.argv), f"\nmachine: {platform.machine()}, {os.cpu_count()} cores", flush=True)
    {"examples": examples, "growth": growth}[arguments.what](arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
