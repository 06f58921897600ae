#!/usr/bin/env python3
"""Objective against time and evaluations: the pixels solver beside the reference solver, on one pair.

    python benchmarks/solver.py --weights vgg19/vgg19.npy --size 256 --output solver.csv

Two figures are followed at the final size: the objective of the image being optimised, which with the reference solver may leave
0..255, and that of the picture as it can be written, within 0..255. Needs matplotlib for the plot beside the CSV.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import photo_style
from closed_form_matting import matting_laplacian
from dpst.files.photos import read_photo
from dpst.imaging.resizing import fitted
from dpst.options import Options
from dpst.regions.reading import read_regions
from dpst.solver.objective import Objective
from vgg19.networks import Networks

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "landscape"
FIELDS = ("solver", "seconds", "evaluations", "objective", "objective_of_picture")


def follow(solver: str, options: Options, content, style, regions, judge: Objective) -> list[tuple]:
    """One run; a row for each tenth step at the final size, and for the end. The judge's own time is left out of the seconds."""
    rows: list[tuple] = []
    evaluations: dict[int, int] = {}  # by stage
    begin, spent = time.perf_counter(), 0.0

    def on_step(progress: photo_style.Progress) -> None:
        nonlocal spent
        evaluations[progress.stage] = progress.evaluations
        if progress.image.shape == content.shape and "affine" in progress.losses and progress.step % 10 == 0:
            now = time.perf_counter()
            of_picture = judge(progress.image * 255).total
            rows.append((solver, now - begin - spent, sum(evaluations.values()), progress.losses["total"], of_picture))
            spent += time.perf_counter() - now

    network = Networks().for_photos(options.vgg19_weights, content, style, options.seed)
    options = dataclasses.replace(options, solver=solver)
    result = photo_style.stylize(content, style, regions=regions, options=options, network=network, callback=on_step)
    seconds = time.perf_counter() - begin - spent
    end = result.stages[-1].losses[-1]["total"]
    rows.append((solver, seconds, sum(evaluations.values()), end, judge(result.image * 255).total))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, default=EXAMPLE, help="folder with content, style, content_seg and style_seg")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--weights", default="learned")
    parser.add_argument("--reference_iter", type=int, default=1000, help="iterations of each of the reference's two stages")
    parser.add_argument("--output", type=Path, default=Path("solver.csv"))
    arguments = parser.parse_args()
    print(
        "command:",
        " ".join(sys.argv),
        f"\nmachine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    )

    paths = {name: str(next(arguments.pair.glob(name + ".*"))) for name in ("content", "style", "content_seg", "style_seg")}
    options = Options(
        style_option=2,
        max_size=arguments.size,
        max_iter=arguments.reference_iter,
        vgg19_weights=arguments.weights,
        apply_smooth=False,
    )
    photos = [read_photo(paths[name], name) for name in ("content", "style")]
    content, style = (photo.resized(*fitted(photo.size, arguments.size)) for photo in photos)
    regions = read_regions(paths["content_seg"], paths["style_seg"], content, style, options)
    network = Networks().for_photos(options.vgg19_weights, content, style, options.seed)
    masks = regions.content, regions.style
    judge = Objective(network, content, style, masks, options, matting_laplacian(content))
    judge(content * 255)  # compiled before anything is timed

    rows = [row for solver in ("pixels", "reference") for row in follow(solver, options, content, style, regions, judge)]
    with arguments.output.open("w", newline="") as file:
        csv.writer(file).writerows([FIELDS, *rows])
    fast, slow = ([row for row in rows if row[0] == solver] for solver in ("pixels", "reference"))
    for name, column in (("objective", 3), ("objective of the picture", 4)):
        end = slow[-1][column]
        reached = next((row for row in fast if row[column] <= end), None)
        print(f"{name}: reference ends at {end:.4g} after {slow[-1][1]:.0f} s and {slow[-1][2]} evaluations;", end=" ")
        if reached:
            ratio = slow[-1][1] / reached[1]
            print(f"pixels is there after {reached[1]:.1f} s and {reached[2]} evaluations, {ratio:.1f} times sooner;", end=" ")
        print(f"pixels ends at {fast[-1][column]:.4g} after {fast[-1][1]:.1f} s")
    plot(rows, arguments.output.with_suffix(".png"))


def plot(rows: list[tuple], path: Path) -> None:
    """Objective of the picture against seconds, both axes logarithmic."""
    try:
        from matplotlib import pyplot
    except ImportError:
        print(f"no {path}: matplotlib is missing; pip install matplotlib")
        return
    for solver in ("pixels", "reference"):
        seconds, objective = zip(*[(row[1], row[4]) for row in rows if row[0] == solver], strict=True)
        pyplot.loglog(seconds, objective, label=solver)
    pyplot.xlabel("seconds")
    pyplot.ylabel("objective of the picture, final size")
    pyplot.legend()
    pyplot.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
