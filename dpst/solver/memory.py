"""Checks before a solve whether it fits in memory, and finds the largest size that does.

The figures of `solving_bytes` were fitted to the peaks of whole runs, less what the program takes before: 128 to 1024 pixels,
features learned and VGG19's, both solvers, on a CPU. What of it falls to a GPU follows from which arrays those are.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from closed_form_matting import DIRECT_PIXELS
from dpst.errors import UserError
from dpst.files.machine import control_groups, number_in
from dpst.imaging.resizing import fitted
from dpst.options import Options
from dpst.solver.optimizers import LBFGSB_PAIRS, PAIRS
from dpst.solver.sizes import network_side
from vgg19.layers import block_of, is_first

logger = logging.getLogger(__name__)

MIB, GIB = 2**20, 2**30
# The smallest size at which a style can be recognised.
MIN_SIZE = 64

# Bytes: compiled functions and libraries that load late; copies of each filter, of which TensorFlow reorders some.
_START, _FILTER_COPIES = 60 * MIB, 4
# Bytes a pixel: images, gradients and masks; Laplacian, as SciPy and as TensorFlow hold it; and what the pixels solver adds
# to that above DIRECT_PIXELS.
_IMAGES, _LAPLACIAN, _SPARSE_TENSOR, _COARSER_GRIDS = 850, 500, 500, 900
# Of activations and the masked features for the Gram matrices, forward and backward.
_ACTIVATIONS = 1.12
# SuperLU's factors of a 5x5 stencil under minimum degree ordering: non-zeros over pixels^1.25; their copies while they are made.
_FILL, _FACTOR_COPIES = 19.1, 2
# Pairs that each solver keeps, and bytes a pixel of each.
_PAIRS = {"maps": (0, 0), "pixels": (PAIRS, 2 * 3 * 4), "reference": (LBFGSB_PAIRS, 2 * 3 * 8)}


# Seconds to wait for nvidia-smi, which takes one or two, and for ever where a driver hangs.
_PATIENCE = 20
# Of control groups, version 2 and 1: the files with limit and usage, and how memory.stat calls what can be reclaimed.
_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class Bytes(NamedTuple):
    """Memory of the machine and of its GPU."""

    host: float
    gpu: float = 0.0


def solving_bytes(
    content_size: tuple[int, int], style_size: tuple[int, int], channels: Mapping[str, int], options: Options, gpu: bool = False
) -> Bytes:
    """About what solving takes beyond what the program has taken before, TensorFlow imported and photos read.

    Args:
        content_size: (height, width) at which it is solved.
        style_size: that of the style photo.
        channels: of each layer of the network.
        options: `solver`, `style_option`, `affine_weight` and `max_iter` matter.
        gpu: whether the network runs on one.
    """
    pixels, style_pixels = content_size[0] * content_size[1], style_size[0] * style_size[1]
    floats, filters, below = 0.0, 0, 3
    for layer, width in channels.items():
        block, first = block_of(layer), is_first(layer)
        # The first layer of each block is a style layer; those of all blocks but the first follow a pooling.
        floats += (width * (1 + first) + below * (first and block > 1)) / 4 ** (block - 1)
        filters += 9 * below * width
        below = width
    # The style photo goes forward alone.
    seen = (network_side(content_size, options) / max(content_size)) ** 2
    network = 4 * (_ACTIVATIONS * floats * seen * max(pixels, style_pixels / 2) + _FILTER_COPIES * filters)
    pairs, pair_bytes = _PAIRS[options.solver_used]
    solver = pixels * (_IMAGES + min(pairs, options.max_iter) * pair_bytes)
    laplacian = tensor = 0.0
    if options.style_option != 0 and options.solver_used != "maps":
        laplacian, tensor = pixels * _LAPLACIAN, pixels * _SPARSE_TENSOR
        if options.solver_used == "pixels":
            factored = float(pixels)
            while factored > DIRECT_PIXELS:
                factored /= 4
            laplacian += _FACTOR_COPIES * 4 * _FILL * factored**1.25 + (pixels * _COARSER_GRIDS if factored < pixels else 0)
    host, device = _START + solver + laplacian, network + tensor
    return Bytes(host, device) if gpu else Bytes(host + device)


def within_memory(
    options: Options, content_size: tuple[int, int], style_size: tuple[int, int], channels: Mapping[str, int], result_bytes: int
) -> Options:
    """The options, with a smaller `max_size` where the memory is too short and the user has not fixed it.

    Args:
        options: what to solve.
        content_size: (height, width) at which it would be solved.
        style_size: that of the style photo.
        channels: of each layer of the network.
        result_bytes: samples of the full-size result.

    Raises:
        UserError: the memory is too short for the size that the user fixed, or for any.
    """
    free_gpu = _free_gpu_memory(options.gpus_per_job)
    free = Bytes(free_memory(), free_gpu or 0.0)

    def takes(long_side: int) -> Bytes:
        needed = solving_bytes(
            fitted(content_size, long_side), fitted(style_size, long_side), channels, options, free_gpu is not None
        )
        return needed._replace(host=needed.host + result_bytes)

    def fits(long_side: int) -> bool:
        return all(needed <= there for needed, there in zip(takes(long_side), free, strict=True))

    long_side = max(content_size)
    if fits(long_side):
        return options
    least, most = MIN_SIZE, long_side  # most does not fit
    if not fits(least):
        raise UserError(f"free memory {_described(free)} is not enough to solve even {least} pixels; close other programs")
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    short = f"about {_described(takes(long_side))} of memory, and {_described(free)} are free"
    if options.max_size:
        raise UserError(f"`max_size` {options.max_size} takes {short}; use `max_size` {least}")
    logger.warning("solving at %d pixels takes %s; solving at %d pixels instead", long_side, short, least)
    return dataclasses.replace(options, max_size=least)


def _described(memory: Bytes) -> str:
    host, gpu = (f"{each / GIB:.1f} GiB" if each >= GIB else f"{each / MIB:.0f} MiB" for each in memory)
    return f"{host} (GPU: {gpu})" if memory.gpu else host


def free_memory(root: str = "/") -> float:
    """Bytes of main memory that this process can still take; infinity where the system does not say.

    On Linux what is available, or less where a control group of this process (version 1 or 2) has a limit; else all there is.

    Args:
        root: where `proc` and `sys` are.
    """
    free = [_available(root)]
    for folder in control_groups("memory", root):
        for limit, usage, reclaimable in _GROUP_FILES:
            if (most := number_in(folder / limit)) is not None:
                free.append(most - (number_in(folder / usage) or 0) + _table(folder / "memory.stat").get(reclaimable, 0))
    return max(0.0, min(free))


def _available(root: str) -> float:
    """Bytes that are available by /proc/meminfo, or else all that there are."""
    if (available := _table(Path(root, "proc/meminfo")).get("MemAvailable:")) is not None:
        return 1024.0 * available
    names = getattr(os, "sysconf_names", {})
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if "SC_PHYS_PAGES" in names else float("inf")


def _table(path: Path) -> dict[str, int]:
    """The numbers of a file with a name and a number on each line; what is none is left out."""
    try:
        lines = [line.split() for line in path.read_text(errors="replace").splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdecimal()}


def gpu_memory() -> tuple[float, float] | None:
    """Free and total bytes of the GPU that TensorFlow uses, from NVIDIA's own tool; None where that does not say.

    It is the first that this process may use; `dpst.jobs.start` has CUDA count them as the tool does. TensorFlow itself reports
    what it has taken, not what is available.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command = ["nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits", "-i", chosen]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE).stdout
        free, total = (MIB * int(number) for number in said.split(","))
    except (OSError, subprocess.SubprocessError, ValueError):  # it is not there, fails, hangs, or says [N/A]
        return None
    return free, total


def _free_gpu_memory(share: float) -> float | None:
    """Bytes of a GPU that a job with this share may still take; None without a GPU, infinity if unknown."""
    from vgg19.backend import tf

    if not tf.config.get_visible_devices("GPU"):
        return None
    if (memory := gpu_memory()) is None:
        return float("inf")
    free, total = memory
    if 0 < share < 1:
        return share * total
    # What TensorFlow has taken, it keeps; what of it is not in use now is free for this job.
    taken = tf.config.experimental.get_memory_info("GPU:0")
    return free + taken["peak"] - taken["current"]
