#!/usr/bin/env python3
"""Batches as whole processes: throughput by workers, recovery from kill -9, memory over many jobs and long manifests.

    python benchmarks/batches.py throughput [--pairs FOLDER ...] [--size 256] [--repeats 3]
    python benchmarks/batches.py kills [--pairs FOLDER ...] [--kills 10] [--seed 0]
    python benchmarks/batches.py memory [--jobs 100]
    python benchmarks/batches.py manifest [--lines 100000]

A pair is a folder with content, style, content_seg and style_seg; by default both examples. `throughput` and `kills` need Ray
(requirements-ray.txt), all need /proc.

`kills` runs a batch undisturbed, then again, over and over, ending the driver and one worker in turn at random moments; then
no half-written file may be left, and every result the same to the last bit as the undisturbed one's.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = [ROOT / "examples" / name for name in ("landscape", "portrait")]
KINDS = {
    "content_image_path": "content",
    "style_image_path": "style",
    "content_seg_path": "content_seg",
    "style_seg_path": "style_seg",
}
MIB = 2**20


def manifest_of_pairs(pairs: list[Path], path: Path) -> None:
    """Writes a manifest with one job for each pair, named after its folder."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*KINDS, "output_image"])
        for pair in pairs:
            writer.writerow([*(str(next(pair.resolve().glob(f"{kind}.*"))) for kind in KINDS.values()), f"{pair.name}.png"])


def manifest_of_tiny_jobs(folder: Path, jobs: int) -> None:
    """Writes a manifest of jobs that share two photos of 32x32 pixels."""
    for seed, name in enumerate(("content.png", "style.png")):
        noise = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(folder / name)
    with (folder / "manifest.csv").open("w") as file:
        file.write("content_image_path,style_image_path,output_image\n")
        file.writelines(f"content.png,style.png,{number}.png\n" for number in range(jobs))


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """The tool on `manifest.csv` in a folder, writing to `out` there."""
    command = [sys.executable, str(ROOT / "deep_photostyle.py"), "--batch", "manifest.csv", "--output_dir", "out", "--quiet"]
    return subprocess.Popen([*command, "--style_option", "2", "--vgg19_weights", "learned", *arguments], cwd=folder)


def run(folder: Path, *arguments: str) -> float:
    """Seconds of a whole batch that must succeed."""
    begin = time.perf_counter()
    code = start(folder, *arguments).wait()
    if code:
        raise SystemExit(f"the batch ended with {code}")
    return time.perf_counter() - begin


def throughput(arguments: argparse.Namespace) -> None:
    """Seconds with one worker (in the driver) and two, in turn."""
    times: dict[str, list[float]] = {"1": [], "2": []}
    for _ in range(arguments.repeats):
        for workers, seconds in times.items():
            with tempfile.TemporaryDirectory() as folder:
                manifest_of_pairs(arguments.pairs, Path(folder, "manifest.csv"))
                seconds.append(run(Path(folder), "--workers", workers, "--max_size", str(arguments.size)))
                print(f"{workers} workers, {len(arguments.pairs)} jobs: {seconds[-1]:.1f} s", flush=True)
    ratio = statistics.median(one / two for one, two in zip(times["1"], times["2"], strict=True))
    print("median seconds:", {k: round(statistics.median(v), 1) for k, v in times.items()}, f"ratio {ratio:.2f}")


def processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent and command line of each process."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines() if ":\t" in line)
            yield int(path.name), int(status["PPid"]), (path / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue


def workers_of(driver: int) -> list[int]:
    """Process numbers of the driver's Ray actors."""
    known = list(processes())
    family, size = {driver}, 0
    while len(family) > size:
        size = len(family)
        family |= {number for number, parent, _ in known if parent in family}
    return [number for number, _, command in known if number in family and command.startswith("ray::Actor")]


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").glob("*.png"))}


def kills(arguments: argparse.Namespace) -> None:
    """Ends drivers and workers, resumes, and compares."""
    dice = random.Random(arguments.seed)
    options = "--workers", "2", "--max_size", str(arguments.size)
    with tempfile.TemporaryDirectory() as name:
        calm, wild = Path(name, "calm"), Path(name, "wild")
        for folder in (calm, wild):
            folder.mkdir()
            manifest_of_pairs(arguments.pairs, folder / "manifest.csv")
        whole = run(calm, *options)
        print(f"undisturbed: {whole:.1f} s, {len(results(calm))} results", flush=True)
        killed = 0
        while killed < arguments.kills:
            driver, moment = start(wild, *options), dice.uniform(0.1, 0.9) * whole
            try:
                driver.wait(moment)
            except subprocess.TimeoutExpired:
                alive = workers_of(driver.pid)
                victim = driver.pid if killed % 2 == 0 or not alive else dice.choice(alive)
                os.kill(victim, signal.SIGKILL)
                killed += 1
                print(f"{moment:5.1f} s: {'driver' if victim == driver.pid else 'worker'} killed;", end=" ")
            else:
                print(f"{moment:5.1f} s: over before;", end=" ")
            print(f"driver ends with {driver.wait()}, {len(results(wild))} results", flush=True)
            for result, image in results(wild).items():
                if image != results(calm)[result]:
                    raise SystemExit(f"{result} is not the undisturbed one")
            if len(results(wild)) == len(results(calm)):  # all done: from the start again
                shutil.rmtree(wild / "out")
        run(wild, *options)
        same = results(wild) == results(calm)
        strange = [str(path) for path in (wild / "out").rglob(".*")]
        print(f"after resuming: {len(results(wild))} results, {'all' if same else 'NOT all'} bit-identical; left over: {strange}")
        if not same or strange:
            raise SystemExit(1)


def resident(number: int) -> float:
    """MiB of a process; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGESIZE") / MIB


def follow(folder: Path, jobs: int, seconds: float, *arguments: str) -> tuple[float, list[float]]:
    """Runs a batch of tiny jobs; returns when the first result was there, and the peak memory (MiB) while each was made."""
    manifest_of_tiny_jobs(folder, jobs)
    begin, peaks, first, driver = time.perf_counter(), [0.0], 0.0, start(folder, *arguments)
    while driver.poll() is None and time.perf_counter() - begin < seconds:
        done = len(list((folder / "out").glob("*.png")))
        if done and not first:
            first = time.perf_counter() - begin
        peaks += [0.0] * (done + 1 - len(peaks))
        peaks[done] = max(peaks[done], resident(driver.pid))
        time.sleep(0.01)
    if driver.poll() is None:
        driver.terminate()
    driver.wait()
    return first, peaks


def memory(arguments: argparse.Namespace) -> None:
    """Peak memory while the second ten and the last ten of many jobs are made."""
    with tempfile.TemporaryDirectory() as folder:
        _, peaks = follow(Path(folder), arguments.jobs, 3600, "--preview")
    second, last = max(peaks[10:20]), max(peaks[arguments.jobs - 10 : arguments.jobs])
    print(f"{arguments.jobs} jobs: second ten {second:.0f} MiB, last ten {last:.0f} MiB, ratio {last / second:.3f}")


def manifest(arguments: argparse.Namespace) -> None:
    """Time to the first result and memory of a short and a long manifest, both stopped after a while."""
    for lines in (1000, arguments.lines):
        with tempfile.TemporaryDirectory() as folder:
            first, peaks = follow(Path(folder), lines, arguments.seconds, "--preview")
        print(
            f"{lines} lines: first result after {first:.1f} s, {len(peaks) - 1} results in {arguments.seconds:.0f} s, "
            f"at most {max(peaks):.0f} MiB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["throughput", "kills", "memory", "manifest"], nargs="?", default="throughput")
    parser.add_argument("--pairs", type=Path, nargs="+", default=EXAMPLES)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60, help="how long each manifest is followed")
    arguments = parser.parse_args()
    print("command:", " ".join(sys.argv), f"\nmachine: {platform.machine()}, {os.cpu_count()} cores", flush=True)
    {"throughput": throughput, "kills": kills, "memory": memory, "manifest": manifest}[arguments.what](arguments)


if __name__ == "__main__":
    main()
