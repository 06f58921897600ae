"""The sizes at which a picture is solved."""

from __future__ import annotations

from dpst.imaging.resizing import fitted
from dpst.options import Options

# Long side of the coarsest scale. At 64 pixels the statistics of the deeper layers rest on so few positions that a slightly
# blurred mask led elsewhere: results moved by up to 13 levels, and kept less of the photo's structure.
COARSEST = 128
# Pixels on the short side at any scale: a window of the matting Laplacian.
MIN_SOLVE_SIDE = 3


def scales(size: tuple[int, int]) -> list[int]:
    """Long sides from the coarsest to that of a size (height, width), each at most twice the one before."""
    sizes = [max(size)]
    while sizes[0] >= 2 * COARSEST and min(fitted(size, round(sizes[0] / 2))) >= MIN_SOLVE_SIDE:
        sizes.insert(0, round(sizes[0] / 2))
    return sizes


def network_side(size: tuple[int, int], options: Options) -> int:
    """Long side in pixels at which the network sees a photo that is solved at some size (height, width).

    With the maps solver half the solve size: the maps vary so slowly that a larger one leads to the same.
    """
    return max(COARSEST, round(max(size) / 2)) if options.solver_used == "maps" else max(size)
