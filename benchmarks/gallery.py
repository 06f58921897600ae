#!/usr/bin/env python3
"""Makes the pictures of docs/gallery.md from the shipped examples, in about two minutes.

    python benchmarks/gallery.py [--output docs/pictures]

Each picture is a row: photos, and results of the command line with the options that docs/gallery.md names.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from pictures import ROOT, sheet
from PIL import Image

EXAMPLES = ROOT / "examples"
# Width of a picture in pixels, and JPEG's quality: below 60 kB each.
WIDTH, QUALITY = 1000, 78


def photo(pair: str, name: str) -> str:
    """The path of a picture of an example pair."""
    return str(next((EXAMPLES / pair).glob(f"{name}.*")))


def run(folder: Path, name: str, content: str, *options: str) -> str:
    """Runs the command line on the content photo of a pair, with its style photo unless there is a LUT; returns the result."""
    result = folder / f"{name}.png"
    command = [sys.executable, str(ROOT / "deep_photostyle.py"), "--quiet", "--vgg19_weights", "learned"]
    command += ["--content_image_path", photo(content, "content"), "--output_image", str(result)]
    if "--apply_lut" not in options:
        command += ["--style_image_path", photo(content, "style")]
    subprocess.run([*command, *options], check=True)
    return str(result)


def masks(pair: str, kind: str = "seg") -> list[str]:
    """The options that give the masks of a pair, or its strokes."""
    return ["--content_seg_path", photo(pair, f"content_{kind}"), "--style_seg_path", photo(pair, f"style_{kind}")]


def gallery(folder: Path) -> dict[str, list[str]]:
    """The pictures in each row, by the row's name; results go into a folder."""
    lake = [photo("landscape", "content"), photo("landscape", "style")]
    lut = str(folder / "look.cube")
    by_masks = run(folder, "masks", "landscape", *masks("landscape"), "--lut", lut)
    run(folder, "portrait", "portrait", *masks("portrait"), "--realism", "0,1,2")
    return {
        "realism": [
            photo("portrait", "content"),
            photo("portrait", "style"),
            *(str(folder / f"portrait_realism{realism}.png") for realism in (0, 1, 2)),
        ],
        "regions": [
            run(folder, "whole", "landscape", "--auto_seg", "0"),
            run(folder, "auto", "landscape"),
            run(folder, "strokes", "landscape", *masks("landscape", "strokes")),
            by_masks,
        ],
        "lut": [
            *lake,
            by_masks,
            run(folder, "lut_lake", "landscape", "--apply_lut", lut),
            run(folder, "lut_monument", "monument", "--apply_lut", lut),
        ],
        "fails": [
            photo("portrait", "content"),
            run(folder, "bare_portrait", "portrait"),
            photo("monument", "content"),
            run(folder, "bare_monument", "monument"),
            run(folder, "strong", "monument", "--realism", "0", "--strength", "1.6"),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        for name, row in gallery(Path(folder)).items():
            path = output / f"gallery_{name}.jpg"
            picture: Image.Image = sheet([row], WIDTH)
            picture.save(path, quality=QUALITY, optimize=True)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
