#!/usr/bin/env python3
"""Time and memory against the size of the photo.

    python benchmarks/resolution.py [--megapixels 0.5 2 6 12 24 50] [--repeats 3] [--csv FILE] [--end_to_end [OPTION ...]]

Each run is a process of its own, so that its peak memory is its own. Without `--end_to_end` the run is the full-resolution step
alone: a look of three regions is given to a photo in memory by strips of rows, after one strip of burn-in.
With it the run is the whole command line on an example photo enlarged to that size, from reading the JPEG to writing it, and
its seconds are given less those of the solver's stages; what follows `--end_to_end` is added to the command. CPU seconds are
those of all cores, the solver's too; they hardly depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "landscape"
ASPECT = 16 / 9  # of the example photo
MIB = 2**20
STRIP = 256  # rows


def size_of(megapixels: float) -> tuple[int, int]:
    """Height and width of a photo."""
    height = round((megapixels * 1e6 / ASPECT) ** 0.5)
    return height, round(height * ASPECT)


def apply_alone(megapixels: float) -> float:
    """Seconds to give a photo of this size a look with three regions; called in a process of its own."""
    sys.path.insert(0, str(ROOT))
    import numpy as np

    from dpst.imaging.fitted_masks import FittedMasks
    from dpst.solver.affine_field import Grid, Look

    random = np.random.default_rng(0)
    small = random.random((288, 512, 3), np.float32)
    regions = np.eye(3, dtype=np.float32)[np.arange(512) * 3 // 512]  # (512, 3)
    masks = FittedMasks.fitted(np.broadcast_to(regions, (288, 512, 3)), small)
    grid = Grid.over((288, 512), 48)
    look = Look(grid, random.normal(0, 0.1, (3, grid.nodes, 3, 4)).astype(np.float32), masks)
    height, width = size_of(megapixels)
    photo = np.empty((height, width, 3), np.float32)
    photo[:] = random.random((width, 3), np.float32)
    result = np.empty_like(photo)
    look.apply(photo[:STRIP], 0, height)
    begin = time.perf_counter()
    for row in range(0, height, STRIP):
        result[row : row + STRIP] = look.apply(photo[row : row + STRIP], row, height)
    return time.perf_counter() - begin


def measured(command: list[str]) -> tuple[str, float, float, float]:
    """What a command prints, its seconds, its CPU seconds, and its peak memory in MiB.

    Raises:
        SystemExit: it failed.
    """
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: exit code {process.returncode} from {shlex.join(command)}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # bytes on macOS, KiB elsewhere
    return printed, time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, peak / MIB


def end_to_end_command(megapixels: float, folder: Path, options: list[str]) -> list[str]:
    """Makes the enlarged photo and returns the command that restyles it."""
    from PIL import Image

    height, width = size_of(megapixels)
    content = folder / "content.jpg"
    Image.open(EXAMPLE / "content.jpg").resize((width, height), Image.Resampling.BICUBIC).save(content, quality=95)
    paths = {
        "content_image_path": content,
        "style_image_path": EXAMPLE / "style.jpg",
        "content_seg_path": EXAMPLE / "content_seg.png",
        "style_seg_path": EXAMPLE / "style_seg.png",
        "output_image": folder / "result.jpg",
        "serial": folder,
    }
    command = [sys.executable, "deep_photostyle.py", "--style_option", "2", "--quiet", *options]
    return command + [part for name, path in paths.items() for part in (f"--{name}", str(path))]


def solve_seconds(folder: Path) -> float:
    """Seconds of the solver's stages in a run's record."""
    return sum(stage["seconds"] for stage in json.loads((folder / "result.json").read_text())["stages"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.5, 2, 6, 12, 24, 50])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each size; the medians are printed")
    parser.add_argument("--csv", help="file to write the table to")
    parser.add_argument("--end_to_end", nargs=argparse.REMAINDER, help="time the whole command line, with these options added")
    parser.add_argument("--apply_alone", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.apply_alone:
        print(apply_alone(chosen.apply_alone))
        return

    print("command:", shlex.join(sys.argv))
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
    table = []
    print(f"{'megapixels':>10} {'seconds':>9} {'s/megapixel':>12} {'CPU s':>7} {'photo MiB':>10} {'peak MiB':>9}")
    for megapixels in chosen.megapixels:
        seconds, cpu_seconds, peaks = [], [], []
        with tempfile.TemporaryDirectory() as folder:
            if chosen.end_to_end is not None:
                command = end_to_end_command(megapixels, Path(folder), chosen.end_to_end)
            else:
                command = [sys.executable, __file__, "--apply_alone", str(megapixels)]
            for _ in range(chosen.repeats):
                printed, wall, cpu, peak = measured(command)
                seconds.append(float(printed) if chosen.end_to_end is None else wall - solve_seconds(Path(folder)))
                cpu_seconds.append(cpu)
                peaks.append(peak)
        height, width = size_of(megapixels)
        median = statistics.median(seconds)
        photo = height * width * 3 * 4 / MIB
        row = (megapixels, median, median / megapixels, statistics.median(cpu_seconds), photo, statistics.median(peaks))
        print("{:10g} {:9.2f} {:12.3f} {:7.1f} {:10.0f} {:9.0f}".format(*row), flush=True)
        table.append(row)
    if chosen.csv:
        with open(chosen.csv, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["megapixels", "seconds", "seconds_per_megapixel", "cpu_seconds", "float_photo_mib", "peak_mib"])
            writer.writerows(table)


if __name__ == "__main__":
    main()
