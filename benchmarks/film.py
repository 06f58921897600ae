#!/usr/bin/env python3
"""Films: frames a second beside ffmpeg's own lut3d, memory by length, flicker and cuts on clips made here, or on any others.

    python benchmarks/film.py                        # all but the hour, on clips that ffmpeg makes; some minutes
    python benchmarks/film.py --speed 720p           # one size, or several: 720p,1080p,4k
    python benchmarks/film.py --flicker CLIP STYLE   # any clip with any style photo
    python benchmarks/film.py --memory
    python benchmarks/film.py --hour                 # of tiny frames; some minutes
    python benchmarks/film.py --fade                 # a shot whose light changes slowly

It needs `ffmpeg` beside requirements-video.txt.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dpst.files.clips import frames_at, opened, read_clip, small_frames  # noqa: E402
from dpst.files.luts import Lut  # noqa: E402
from dpst.files.photos import read_photo  # noqa: E402
from dpst.imaging.ciede2000 import ciede2000  # noqa: E402
from dpst.imaging.colours import LUMA, cielab  # noqa: E402
from dpst.imaging.resizing import resize  # noqa: E402
from dpst.imaging.shots import find_shots  # noqa: E402
from dpst.jobs.clip import run_clip  # noqa: E402
from dpst.jobs.job import Job  # noqa: E402
from dpst.jobs.progress import log_terms  # noqa: E402
from dpst.options import Options  # noqa: E402
from vgg19.networks import Networks  # noqa: E402

# Frame sizes, and the number of frames that takes some tens of seconds on two cores.
SIZES = {"720p": ("1280x720", 150), "1080p": ("1920x1080", 75), "4k": ("3840x2160", 24)}
EXAMPLES = ROOT / "examples"
TAGS = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]


def ffmpeg(*arguments: object) -> float:
    """Runs ffmpeg; returns the seconds it took."""
    begin = time.perf_counter()
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)
    return time.perf_counter() - begin


def moving(path: Path, size: str, frames: int) -> Path:
    """ffmpeg's test pattern with motion and noise, as H.264."""
    noise = "noise=alls=8:allf=t:all_seed=1,format=yuv420p"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=s={size}:r=25",
        "-frames:v",
        frames,
        "-vf",
        noise,
        "-c:v",
        "libx264",
        "-crf",
        18,
        *TAGS,
        path,
    )
    return path


def made_films(folder: Path) -> dict[str, tuple[Path, Path, list[int]]]:
    """Films by name: the clip, a style photo and the frames at which its shots begin."""
    size, noise = "480x270", "noise=alls=5:allf=t:all_seed=2"
    pan = folder / "pan.mkv"
    ffmpeg(
        *("-loop", 1, "-i", EXAMPLES / "landscape" / "content.jpg", "-frames:v", 75),
        *("-vf", f"scale=720:-2,crop={size.replace('x', ':')}:x='t*60':y='10+t*20',{noise},format=yuv444p"),
        *("-c:v", "ffv1", *TAGS, pan),
    )
    parts = []
    for number, (name, frames, change) in enumerate(
        (("monument", 40, "null"), ("portrait", 25, "null"), ("landscape", 50, "fade=t=out:st=1.2:d=0.8"))
    ):
        parts.append(folder / f"part{number}.mkv")
        crop = f"crop={size.replace('x', ':')}:x='20+t*15':y='30+t*10'"
        ffmpeg(
            *("-loop", 1, "-i", EXAMPLES / name / "content.jpg", "-frames:v", frames),
            *("-vf", f"scale=640:480:force_original_aspect_ratio=increase,{crop},{noise},{change},format=yuv420p"),
            *("-c:v", "ffv1", parts[-1]),
        )
    cut = folder / "cut.mkv"
    inputs = [text for part in parts for text in ("-i", part)]
    ffmpeg(*inputs, "-filter_complex", "concat=n=3:v=1", "-c:v", "libx264", "-crf", 12, *TAGS, cut)
    return {
        "panned photo": (pan, EXAMPLES / "landscape" / "style.jpg", [0]),
        "three shots, a fade": (cut, EXAMPLES / "monument" / "style.jpg", [0, 40, 65]),
    }


def graded(options: Options) -> None:
    """Runs a job on a clip in this process."""
    run_clip(Job(options), log_terms, Networks())


def solved(clip: Path, style: Path, result: Path, folder: Path) -> None:
    """Restyles a clip with the look of a style photo and learned features, losslessly."""
    graded(
        Options(
            content_image_path=str(clip),
            style_image_path=str(style),
            output_image=str(result),
            serial=str(folder),
            video_codec="ffv1",
            vgg19_weights="learned",
        )
    )


def measure_speed(sizes: list[str], runs: int, folder: Path) -> None:
    """Seconds of this program and of ffmpeg's lut3d with the same codec settings, in turns, the least of some runs."""
    lut = Lut.identity(33)
    table = folder / "look.cube"
    dataclasses.replace(lut, table=(0.05 + 0.9 * lut.table ** np.float32(1.2))).write(str(table))
    print(f"{'frames':>12} {'ours':>14} {'ffmpeg lut3d':>14} {'times':>6}")
    for name in sizes:
        size, frames = SIZES[name]
        clip, out = moving(folder / f"{name}.mp4", size, frames), folder / "out.mp4"
        options = Options(content_image_path=str(clip), apply_lut=str(table), output_image=str(out), serial=str(folder))
        ours, theirs = [], []
        for _ in range(runs):
            begin = time.perf_counter()
            graded(options)
            ours.append(time.perf_counter() - begin)
            how = ("-c:v", "libx264", "-crf", options.crf, "-pix_fmt", "yuv420p")
            theirs.append(ffmpeg("-i", clip, "-vf", f"lut3d=file={table}", *how, out))
        best, other = min(ours), min(theirs)
        print(f"{frames:>6} {name:>5} {frames / best:>9.1f} fps {frames / other:>10.1f} fps {best / other:>6.2f}")


def measure_memory(folder: Path) -> None:
    """Peak memory of the program on a film and on one four times as long."""
    for frames in (100, 400):
        clip = moving(folder / f"{frames}.mp4", "1280x720", frames)
        print(f"memory: {frames} frames of 720p take {peak_of_grading(clip, folder / 'out.mp4')} MiB at most")


def measure_hour(folder: Path) -> None:
    """Time and peak memory of two minutes and of an hour with sound, and whether all frames and packets of sound are there."""
    clip, out = folder / "long.mp4", folder / "out.mp4"
    for minutes in (2, 60):
        film = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25", "-f", "lavfi", "-i", "sine=sample_rate=22050")
        ffmpeg(
            *film, "-t", 60 * minutes, *TAGS, "-c:v", "libx264", "-preset", "ultrafast", "-crf", 28, "-pix_fmt", "yuv420p", clip
        )
        begin = time.perf_counter()
        peak = peak_of_grading(clip, out)
        seconds = time.perf_counter() - begin
        found, expected = packets_of(out), packets_of(clip)
        print(f"{minutes} minutes of 160x90 in {seconds:.0f} s, {peak} MiB at most; packets by stream {found}, of {expected}")


def packets_of(path: Path) -> list[int]:
    """The number of packets in each stream of a clip."""
    how = ("-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0")
    told = subprocess.run(["ffprobe", "-v", "error", *how, str(path)], check=True, capture_output=True, text=True)
    return [int(line) for line in told.stdout.split()]


def peak_of_grading(clip: Path, out: Path) -> int:
    """Peak memory of the program, in MiB, where a clip gets a LUT."""
    Lut.identity(33).write(str(out.with_name("same.cube")))
    command = [sys.executable, str(ROOT / "deep_photostyle.py"), "--content_image_path", str(clip), "--apply_lut"]
    command += [str(out.with_name("same.cube")), "--output_image", str(out), "--serial", str(out.parent), "--quiet"]
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    peak = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True).stdout
    return int(re.findall(r"[0-9]+", peak)[-1]) // 1024


def colours_of(path: Path) -> list[np.ndarray]:
    """The frames of a clip in luma and chroma, uint8 (h, w, 3), chroma repeated."""
    clip = read_clip(str(path), "clip", 1e3)
    with opened(str(path), "clip") as container:
        return [
            np.moveaxis(frame.to_ndarray(format="yuv444p"), 0, -1) for frame in container.decode(container.streams[clip.stream])
        ]


def measure_flicker(name: str, clip: Path, style: Path, begins: list[int] | None, folder: Path) -> None:
    """Whether equal colours get equal results, how the mean colour moves over time, and whether the cuts are the known ones."""
    out = folder / "flicker.mkv"
    begin = time.perf_counter()
    solved(clip, style, out, folder)
    seconds = time.perf_counter() - begin
    clip_read = read_clip(str(clip), "clip", 1e3)
    shots = list(find_shots(small_frames(clip_read, Options().solve_size // 2)))
    firsts = [shot.first for shot in shots]
    print(f"{name}: {seconds:.1f} s; shots begin at {firsts}{'' if begins in (None, firsts) else f', WRONG: {begins}'}")
    content, result = colours_of(clip), colours_of(out)
    for first, last in zip(firsts, [*firsts[1:], len(content)], strict=True):
        own, other = (np.stack(frames[first:last]).astype(int) for frames in (content, result))
        pairs, most = equal_colours(own, other, whole=clip_read.pixels.startswith("yuv444"))
        spread = [float(np.sqrt((frames.mean((1, 2)).std(0) ** 2).sum())) for frames in (own, other)]
        print(f"  frames {first} to {last - 1}: {pairs} pixels of an equal colour, their results at most {most} levels apart")
        print(
            f"    standard deviation over time of the mean colour {spread[1]:.2f}, the content's {spread[0]:.2f}: "
            f"{spread[1] / max(spread[0], 1e-9):.2f} times"
        )


def equal_colours(content: np.ndarray, result: np.ndarray, whole: bool) -> tuple[int, int]:
    """How many pixels have a colour that another one has, and how many levels their results are apart at most.

    Args:
        content: int (frames, h, w, 3), luma and chroma.
        result: the same of the result.
        whole: compare all pixels of all frames; else the same place in successive frames, and only where the neighbours are equal
            in colour too, as chroma at half the size is shared between pixels.
    """
    if not whole:
        same = (content[1:] == content[:-1]).all(-1)
        for axis in (1, 2):
            same &= np.roll(same, 1, axis) & np.roll(same, -1, axis)
        apart = np.abs(result[1:] - result[:-1]).max(-1)[same]
        return apart.size, int(apart.max(initial=0))
    colours = (content @ [65536, 256, 1]).ravel()
    order = np.argsort(colours, kind="stable")
    starts = np.flatnonzero(np.diff(colours[order], prepend=-1))
    results = result.reshape(-1, 3)[order]
    apart = np.maximum.reduceat(results, starts) - np.minimum.reduceat(results, starts)
    return len(colours) - len(starts), int(apart.max())


def measure_fade(folder: Path, frames: int = 100) -> None:
    """A photo whose light rises by two stops: one look for all frames beside looks of its first, middle and last frame.

    It should be the middle frame's result with the light of each frame, in stops.
    """
    style = EXAMPLES / "landscape" / "style.jpg"
    photo = resize(read_photo(str(EXAMPLES / "landscape" / "content.jpg")).pixels, 270, 480)
    stops = np.linspace(-1, 1, frames)
    keys = [0, frames // 2, frames - 1]
    clips = {"one look": range(frames)} | {f"look of frame {key}": range(key, key + 1) for key in keys}
    results: dict[str, list[np.ndarray]] = {}
    contents: dict[str, list[np.ndarray]] = {}
    for name, numbers in clips.items():
        clip, out = folder / "fade.mkv", folder / "fade_out.mkv"
        raw = b"".join(np.uint8(255 * exposed(photo, stops[number]) + 0.5).tobytes() for number in numbers)
        how = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "480x270", "-r", "25", "-i", "-", "-pix_fmt", "gbrp", "-c:v", "ffv1")
        subprocess.run(["ffmpeg", "-v", "error", "-y", *how, clip], input=raw, check=True)
        solved(clip, style, out, folder)
        firsts = keys if name == "one look" else [0]
        for kept, path in ((contents, clip), (results, out)):
            kept[name] = list(frames_at(read_clip(str(path), "clip", 1e3), firsts))
    own = [results[f"look of frame {key}"][0] for key in keys]
    middle = results["one look"][1]
    for name, found in (("content", contents["one look"]), ("one look", results["one look"]), ("own looks", own)):
        lights = [np.log2((linear(frame) @ LUMA).mean()) for frame in found]
        print(f"{name}: from frame {keys[0]} to {keys[-1]} the mean light rises by {lights[-1] - lights[0]:.2f} stops")
    for name, found in (("one look", results["one look"]), ("own looks", own)):
        pairs = [(frame, exposed(middle, stops[key])) for key, frame in zip(keys, found, strict=True)]
        away = [ciede2000(*(cielab(each.reshape(-1, 3), 1.0) for each in pair)).mean() for pair in pairs]
        print(f"{name}: CIEDE2000 to the middle frame in the light of each frame {', '.join(f'{each:.1f}' for each in away)}")
    codes = [np.uint8(frame * 255 + 0.5).reshape(-1, 3) @ [65536, 256, 1] for frame in contents["one look"]]
    _, first, last = np.intersect1d(codes[0], codes[2], return_indices=True)
    apart = np.abs(own[0].reshape(-1, 3)[first] - own[2].reshape(-1, 3)[last]).max(-1) * 255
    print(f"own looks: {len(apart)} colours are in the first and the last frame; results are {apart.mean():.0f} levels apart")


def exposed(image: np.ndarray, stops: float) -> np.ndarray:
    """An image (H, W, 3), sRGB 0..1, in other light."""
    light = np.clip(linear(image) * 2**stops, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def linear(image: np.ndarray) -> np.ndarray:
    """sRGB, 0..1, as linear light (IEC 61966-2-1)."""
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def main() -> None:
    """Measures what is asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", metavar="SIZES", help=f"of {','.join(SIZES)}")
    parser.add_argument("--runs", type=int, default=2, help="of each program, in turns")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--fade", action="store_true")
    parser.add_argument("--hour", action="store_true", help="not among those that run by default")
    parser.add_argument("--flicker", nargs="*", metavar="CLIP STYLE")
    chosen = parser.parse_args()
    everything = chosen.speed is None and chosen.flicker is None and not (chosen.memory or chosen.fade or chosen.hour)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if everything or chosen.flicker is not None:
            if chosen.flicker:
                clip, style = map(Path, chosen.flicker)
                measure_flicker(clip.name, clip, style, None, folder)
            else:
                for film, (clip, style, begins) in made_films(folder).items():
                    measure_flicker(film, clip, style, begins, folder)
        if everything or chosen.fade:
            measure_fade(folder)
        if everything or chosen.speed:
            measure_speed((chosen.speed or ",".join(SIZES)).split(","), chosen.runs, folder)
        if everything or chosen.memory:
            measure_memory(folder)
        if chosen.hour:
            measure_hour(folder)


if __name__ == "__main__":
    main()
