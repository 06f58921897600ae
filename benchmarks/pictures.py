#!/usr/bin/env python3
"""Restyles a folder of pairs: the scores of each result, the seconds, and a contact sheet of content, style and results.

    python benchmarks/pictures.py [PAIRS] [--weights learned] [--realism 0,1,2] [--output pictures]

PAIRS holds a folder for each pair with content, style, content_seg and style_seg (.png or .jpg); the shipped examples by default.
If there is somebody else's result, published (.png or .jpg), it is scored too, at the size where ours is solved.
Each pair is a run of the command line of its own, so that the seconds are those of a user, start-up included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dpst.imaging.resizing import resize, shrunk  # noqa: E402
from dpst.jobs.scores import scores  # noqa: E402
from dpst.options import SOLVE_SIZE  # noqa: E402
from photo_style import Options, read_photo, read_regions  # noqa: E402

SCORES = ("detail_kept", "invented_detail", "blotches", "foreign_colours", "colour_distance")
PUBLISHED = "published"


def found(folder: Path, name: str) -> str:
    """The picture of this name in a folder, whatever its kind; empty if there is none."""
    return next((str(path) for end in (".png", ".jpg") if (path := folder / (name + end)).exists()), "")


def restyle(pair: Path, weights: str, realism: str, output: Path) -> tuple[Path, dict]:
    """Runs the command line on a pair; returns the result and its record, with the seconds of the whole process."""
    folder = output / pair.name
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"realism{realism}.png"
    command = [sys.executable, str(ROOT / "deep_photostyle.py"), "--style_option", "2", "--quiet", "--vgg19_weights", weights]
    command += ["--realism", realism, "--output_image", str(result), "--serial", str(folder)]
    for option, name in (("image", "content"), ("seg", "content_seg"), ("image", "style"), ("seg", "style_seg")):
        command += [f"--{name.removesuffix('_seg')}_{option}_path", found(pair, name)]
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    record = json.loads(result.with_suffix(".json").read_text())
    return result, record["scores"] | {"seconds": time.perf_counter() - begin}


def scores_of(pair: Path, result: str) -> dict[str, float]:
    """The scores of a result that was made elsewhere, at the size where a style is solved."""
    content, style, image = (
        shrunk(read_photo(path).pixels, SOLVE_SIZE) for path in (found(pair, "content"), found(pair, "style"), result)
    )
    image = resize(image, *content.shape[:2])
    return scores(
        content, style, image, read_regions(found(pair, "content_seg"), found(pair, "style_seg"), content, style, Options())
    )


def sheet(rows: list[list[str]], width: int = 1500, gap: int = 6) -> Image.Image:
    """Rows of pictures, each row as wide as the sheet."""
    lines = []
    for row in rows:
        opened = [Image.open(path).convert("RGB") for path in row]
        height = round((width - gap * (len(row) - 1)) / sum(p.width / p.height for p in opened))
        lines.append([p.resize((round(p.width * height / p.height), height), Image.Resampling.LANCZOS) for p in opened])
    whole = Image.new("RGB", (width, sum(line[0].height + gap for line in lines) - gap), "white")
    y = 0
    for line in lines:
        x = 0
        for picture in line:
            whole.paste(picture, (x, y))
            x += picture.width + gap
        y += line[0].height + gap
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="?", type=Path, default=ROOT / "examples")
    parser.add_argument("--weights", default="learned")
    parser.add_argument("--realism", default="1")
    parser.add_argument("--output", type=Path, default=Path("pictures"))
    arguments = parser.parse_args()
    print("python " + " ".join(sys.argv))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    realisms = arguments.realism.split(",")
    figures: dict[str, list[list[float]]] = {realism: [] for realism in realisms}
    rows = []
    print(f"{'pair':>12}   realism " + " ".join(f"{name:>16}" for name in (*SCORES, "seconds")))
    for pair in sorted(path for path in arguments.pairs.iterdir() if path.is_dir() and found(path, "content")):
        row = [found(pair, "content"), found(pair, "style")]
        for realism in realisms:
            result, scores = restyle(pair, arguments.weights, realism, arguments.output)
            values = [scores[name] for name in (*SCORES, "seconds")]
            figures[realism].append(values)
            row.append(str(result))
            print(f"{pair.name:>12} {realism:>9} " + " ".join(f"{value:16.3f}" for value in values), flush=True)
        if published := found(pair, PUBLISHED):
            scored = scores_of(pair, published)
            values = [*(scored[name] for name in SCORES), np.nan]
            figures.setdefault(PUBLISHED, []).append(values)
            print(f"{pair.name:>12} {PUBLISHED} " + " ".join(f"{value:16.3f}" for value in values), flush=True)
        rows.append(row)
    for realism, values in figures.items():
        print(f"{'mean':>12} {realism:>9} " + " ".join(f"{value:16.3f}" for value in np.mean(values, axis=0)))
    sheet(rows).save(arguments.output / "sheet.jpg", quality=90)
    print(f"contact sheet: {arguments.output / 'sheet.jpg'}")


if __name__ == "__main__":
    main()
