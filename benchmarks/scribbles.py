#!/usr/bin/env python3
"""Strokes against whole masks: how well the regions completed from strokes agree with the masks that the strokes were drawn in.

    python benchmarks/scribbles.py [PAIRS] [--megapixels 12] [--restyle] [--output scribbles]

PAIRS holds a folder for each pair with content, style, content_seg and style_seg (.png or .jpg); the shipped examples by default.
Strokes are drawn from each mask as a person would: along the medial line of each of a region's larger parts, with its longest
branches, 3 pixels wide, on at most 2 % of the photo. The pictures of strokes, and of the regions, are kept in the output folder.

`--megapixels` enlarges photos and strokes first. `--restyle` also restyles each pair with the given masks and with the strokes,
by the command line with learned features, and prints the scores of both; both are measured by the given masks.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse
from pictures import SCORES, found, restyle
from PIL import Image
from scipy import ndimage
from scipy.sparse.csgraph import dijkstra

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dpst.files.photos import read_photo  # noqa: E402
from dpst.imaging.resizing import resize, shrunk  # noqa: E402
from dpst.jobs.scores import scores  # noqa: E402
from dpst.options import Options  # noqa: E402
from dpst.regions import mask_classes, scribbles  # noqa: E402
from dpst.regions.reading import read_regions, read_samples  # noqa: E402

KINDS = ("content", "style")
# Share of the photo that strokes may cover, their width, and how far from the edge of their region they end.
COVER, WIDTH, CLEARANCE = 0.02, 3, 4
# A part of a region gets strokes if it has this share of the photo, or is the region's largest.
PART = 0.003
# Branches of a part's medial line that are tried, and how long each must be, in radii of the part's largest circle.
BRANCHES, BRANCH = 10, 1.5
# A line of one pixel covers this much when it is drawn: WIDTH straight ahead, more aslant.
DRAWN = 1.25 * WIDTH


def medial_lines(part: np.ndarray) -> list[np.ndarray]:
    """The medial line of a part, bool (H, W), and its branches: pixels (n, 2) in order, the trunk first.

    Each is the path to the pixel that is farthest from those before it, by steps that are cheap far from the part's edge.
    """
    depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1][part]
    places = np.argwhere(part)
    number = np.full(part.shape, -1)
    number[part] = np.arange(len(places))
    steps = []
    for ahead, beside in ((0, 1), (1, 0), (1, 1), (1, -1)):
        near = number[: part.shape[0] - ahead, max(0, -beside) : part.shape[1] - max(0, beside)]
        far = number[ahead:, max(0, beside) : part.shape[1] + min(0, beside)]
        joined = (near >= 0) & (far >= 0)
        length = np.full(joined.sum(), np.hypot(ahead, beside))
        steps.append(np.stack([near[joined], far[joined], length], axis=1))
    one, other, length = np.concatenate(steps).T
    ends, shape = (one.astype(int), other.astype(int)), (len(places), len(places))
    lengths = scipy.sparse.csr_matrix((length, ends), shape)
    costs = scipy.sparse.csr_matrix((length / ((depth[ends[0]] + depth[ends[1]]) / 2) ** 2, ends), shape)
    root = int(depth.argmax())
    _, before = dijkstra(costs, directed=False, indices=root, return_predecessors=True)
    tree, lines = {root}, []
    for branch in range(BRANCHES):
        away = dijkstra(lengths, directed=False, indices=sorted(tree), min_only=True)
        end = int(away.argmax())
        if branch and away[end] < BRANCH * depth[root]:
            break
        path = []
        while end not in tree:
            path.append(end)
            end = int(before[end])
        tree.update(path)
        path.append(end)
        clear = [pixel for pixel in path if depth[pixel] >= min(CLEARANCE, depth[root])]
        lines.append(places[clear])
    return [line for line in lines if len(line)]


def draw_strokes(masks: np.ndarray) -> np.ndarray:
    """Strokes for whole masks (H, W, K): int (H, W), the class of each stroke's pixels, -1 elsewhere.

    Where there is no room for all trunks, each keeps its middle; branches get what the trunks leave, the longest first.
    """
    area = masks.shape[0] * masks.shape[1]
    trunks, branches = [], []
    for k in range(masks.shape[-1]):
        parts, count = ndimage.label(masks[..., k] > 0.5)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        for part in np.flatnonzero((sizes >= PART * area) | (sizes == sizes.max(initial=0))):
            trunk, *others = medial_lines(parts == part + 1)
            trunks.append((k, trunk))
            branches += [(k, branch) for branch in others]
    room = COVER * area / DRAWN
    kept = min(1.0, room / sum(len(trunk) for _, trunk in trunks))
    lines = []
    for k, trunk in trunks:
        ends = round(len(trunk) * (1 - kept) / 2)
        lines.append((k, trunk[ends : max(len(trunk) - ends, ends + 1)]))
        room -= len(lines[-1][1])
    for k, branch in sorted(branches, key=lambda line: -len(line[1])):
        if len(branch) <= room:
            lines.append((k, branch))
            room -= len(branch)
    drawn = np.full(masks.shape[:2], -1)
    for k, line in lines:
        stroke = np.zeros(drawn.shape, bool)
        stroke[tuple(line.T)] = True
        drawn[ndimage.binary_dilation(stroke, np.ones((WIDTH, WIDTH))) & (masks[..., k] > 0.5)] = k
    return drawn


def painted(index: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Strokes, -1 where there are none, in their colours on a transparent layer: uint8 (H, W, 4)."""
    return np.where(index[..., None] >= 0, np.insert(colours[index], 3, 255, axis=-1), 0).astype(np.uint8)


def measured(pair: Path, kind: str, megapixels: float, folder: Path) -> tuple[float, float, float] | None:
    """Draws the strokes of one photo into a folder; returns their share, the regions' agreement and the seconds they take.

    None where the mask has one region alone, so that there is nothing to tell apart.
    """
    photo = read_photo(found(pair, kind)).pixels
    if megapixels:
        scale = (megapixels * 1e6 / (photo.shape[0] * photo.shape[1])) ** 0.5
        photo = resize(photo, *(round(side * scale) for side in photo.shape[:2]))
    mask = read_samples(kind, found(pair, f"{kind}_seg"), photo.shape[:2])
    flat = mask_classes.flat_classes(kind, mask, mask.shape[:2], mask_classes.is_label_image(mask))
    classes, masks = flat.colours, flat.masks(mask, mask.shape[:2])
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(found(pair, kind), folder)
    colours, strokes_path = np.array(classes, np.uint8), folder / f"{kind}_seg.png"
    if len(classes) == 1:
        shutil.copy(found(pair, f"{kind}_seg"), folder)
        return None
    layer = Image.fromarray(painted(draw_strokes(masks), colours))
    layer.resize(photo.shape[1::-1], Image.Resampling.NEAREST).save(strokes_path)
    begin = time.perf_counter()
    strokes = scribbles.find_strokes(kind, read_samples(kind, str(strokes_path), photo.shape[:2]), "always")
    assert strokes is not None
    regions = scribbles.complete(photo, strokes[1])
    seconds = time.perf_counter() - begin
    order = np.array([classes.index(colour) for colour in strokes[0]])
    agree = order[regions.argmax(axis=-1)] == mask_classes.resized(masks, photo.shape[:2]).argmax(axis=-1)
    small = shrunk(np.concatenate([photo, regions @ colours[order].astype(np.float32) / 255], axis=-1), 700)
    Image.fromarray(np.uint8(255 * (0.4 * small[..., :3] + 0.6 * small[..., 3:]))).save(folder / f"{kind}_regions.png")
    return float((strokes[1].index >= 0).mean()), float(agree.mean()), seconds


def restyled(pair: Path, drawn: Path, output: Path) -> np.ndarray:
    """The scores (2, len(SCORES)) of a pair restyled with the given masks and with strokes; both by the given masks."""
    content, style = (shrunk(read_photo(found(pair, kind)).pixels, Options().solve_size) for kind in KINDS)
    regions = read_regions(found(pair, "content_seg"), found(pair, "style_seg"), content, style, Options())
    rows = []
    for way, masks_of in (("given", pair), ("strokes", drawn)):
        path, _ = restyle(masks_of, "learned", "1", output / way)
        figures = scores(content, style, read_photo(str(path)).resized(*content.shape[:2]), regions)
        rows.append([figures[name] for name in SCORES])
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="?", type=Path, default=ROOT / "examples")
    parser.add_argument("--megapixels", type=float, default=0)
    parser.add_argument("--restyle", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("scribbles"))
    arguments = parser.parse_args()
    print("python " + " ".join(sys.argv))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"{'pair':>12} {'photo':>8} {'strokes':>8} {'agreement':>9} {'seconds':>8}")
    pairs = sorted(path for path in arguments.pairs.iterdir() if path.is_dir() and found(path, "content"))
    rows = []
    for pair in pairs:
        for kind in KINDS:
            row = measured(pair, kind, arguments.megapixels, arguments.output / "drawn" / pair.name)
            if row is None:
                print(f"{pair.name:>12} {kind:>8} one region, no strokes")
                continue
            rows.append(row)
            print(f"{pair.name:>12} {kind:>8} {row[0]:8.2%} {row[1]:9.3f} {row[2]:8.2f}", flush=True)
    cover, agreement, seconds = np.array(rows).T
    print(f"{'mean':>12} {'':>8} {cover.mean():8.2%} {agreement.mean():9.3f} {np.median(seconds):8.2f} (median)")
    if not arguments.restyle:
        return
    print(f"{'pair':>12} {'masks':>8} " + " ".join(f"{name:>16}" for name in SCORES))
    both = []
    for pair in pairs:
        both.append(restyled(pair, arguments.output / "drawn" / pair.name, arguments.output))
        for way, figures in zip(("given", "strokes"), both[-1], strict=True):
            print(f"{pair.name:>12} {way:>8} " + " ".join(f"{figure:16.3f}" for figure in figures), flush=True)
    for way, figures in zip(("given", "strokes"), np.mean(both, axis=0), strict=True):
        print(f"{'mean':>12} {way:>8} " + " ".join(f"{figure:16.3f}" for figure in figures))


if __name__ == "__main__":
    main()
