#!/usr/bin/env python3
"""How near a known colour grade is recovered: a photo is cut in two, one half is graded, and the other is to be graded alike.

    python benchmarks/grades.py [--realism 1,2] [--max_size 256]

Mean CIEDE2000 to the half that was really graded, of each shipped content photo, four grades, both ways: untouched, by the linear
Monge-Kantorovich map between the halves' colours (Pitie, Kokaram 2007), and by the tool at each realism. The halves do not show
the same, so none of them can be perfect.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from dpst.files.photos import read_photo  # noqa: E402
from dpst.imaging.ciede2000 import ciede2000  # noqa: E402
from dpst.imaging.colours import cielab  # noqa: E402
from dpst.imaging.resizing import fitted  # noqa: E402
from dpst.options import Options  # noqa: E402
from dpst.solver.palette import colour_grade  # noqa: E402
from photo_style import stylize  # noqa: E402

GRADES = {
    "warm": lambda x: np.clip(x * (1.12, 1.0, 0.82) + (0.02, 0, -0.02), 0, 1),
    "night": lambda x: np.clip(0.45 * x**1.3 * (0.8, 0.95, 1.25), 0, 1),
    "faded": lambda x: 0.18 + 0.68 * (0.65 * x + 0.35 * x.mean(-1, keepdims=True)),
    "contrast": lambda x: x + 0.16 * np.sin(2 * np.pi * (x - 0.5)),
}


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean CIEDE2000 of images (H, W, 3), sRGB, 0..1."""
    return float(ciede2000(cielab(one.reshape(-1, 3), 1.0), cielab(other.reshape(-1, 3), 1.0)).mean())


def main() -> None:
    """Prints a line for each case, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realism", default="1,2")
    parser.add_argument("--max_size", type=int, default=256)
    arguments = parser.parse_args()
    options = Options(
        style_option=2, max_size=arguments.max_size, realism=arguments.realism, vgg19_weights="learned", auto_seg="0"
    )
    columns = ["untouched", "linear", *(f"realism {realism:g}" for realism in options.realisms)]
    print(f"{'case':24}", *(f"{name:>11}" for name in columns))
    rows = []
    for folder in sorted((ROOT / "examples").iterdir()):
        if not (folder / "content.jpg").is_file():
            continue
        photo = read_photo(str(folder / "content.jpg"), "content image", options.max_pixels)
        pixels = photo.resized(*fitted(photo.size, 2 * arguments.max_size))
        middle = pixels.shape[1] // 2
        halves = pixels[:, :middle], pixels[:, middle:]
        for name, grade in GRADES.items():
            for way, (content, like) in enumerate((halves, halves[::-1])):
                style, truth = grade(like).astype(np.float32), grade(content).astype(np.float32)
                linear = colour_grade(content, style, np.ones(content.shape[:2]), np.ones(style.shape[:2]), noise=0.0)
                result = stylize(content, style, options=options)
                found = [content, np.clip(content @ linear[:, :3].T + linear[:, 3], 0, 1)]
                found += [result.at(content, realism=realism) for realism in options.realisms]
                rows.append([difference(image, truth) for image in found])
                print(f"{folder.name + ' ' + name + ' ' + 'ab'[way]:24}", *(f"{value:11.2f}" for value in rows[-1]), flush=True)
    print(f"{'mean':24}", *(f"{value:11.2f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
