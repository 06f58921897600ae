"""Deep Photo Style Transfer (Luan, Paris, Shechtman, Bala, CVPR 2017): style options 0, 1 and 2, and the library's door.

    from photo_style import Options, read_photo, stylize, write_photo
    content, style = read_photo("content.jpg"), read_photo("style.jpg")
    result = stylize(content.pixels, style.pixels, options=Options(style_option=2))
    write_photo("result.jpg", result.at(content), like=content)

0 minimises the objective without its photorealism term (segmented style), 1 with it from an init image (refinement), 2 is both in
sequence. `stylize` knows no files: arrays in, arrays out, and a callback that sees every step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from photo_files.luts import Lut
from photo_files.photos import Photo, read_photo
from photo_files.pictures import check_kind, check_picture
from photo_files.resizing import resize, shrunk
from photo_files.writing import write_photo
from photo_options import LIGHT, Options, UserError
from photo_regions.finding import found_regions
from photo_regions.refining import refined
from photo_regions.regions import Regions, read_regions, whole_image
from photo_solver.colourless import colourless, neutral, neutral_look, neutral_progress
from photo_solver.light import with_light
from photo_solver.maps import solve_maps
from photo_solver.pixels import solve_pixels
from photo_solver.reference import solve_reference
from photo_solver.result import Result
from photo_solver.run import Pair, Run
from photo_solver.sizes import LEAST_SIDE, network_side
from photo_solver.smoothing import smooth_local_affine
from photo_solver.stages import REFINEMENT, SEGMENTED, Progress
from vgg19.backend import check_process, memory_errors
from vgg19.network import Network
from vgg19.networks import Networks

__all__ = [
    "REFINEMENT",
    "SEGMENTED",
    "Lut",
    "Network",
    "Networks",
    "Options",
    "Photo",
    "Progress",
    "Regions",
    "Result",
    "UserError",
    "read_photo",
    "read_regions",
    "stylize",
    "write_photo",
]

# Long side in pixels at which the pixels solver's smoothing has the radius asked for. Its results are calm already: at 512
# pixels a radius of 6 instead of 8 looks the same and keeps a twentieth more of the style, for 2 % more residual.
_SMOOTHING_SIZE = 1280
# How far rounding may have taken a picture out of 0..1.
_ROUNDING = 1e-3
# How far from the drawn edge of a mask the photo's own edge is looked for, as a share of the longer side, and how much the
# drawing counts there: given masks are drawn loosely, and with the maps solver each side of an edge gets a look of its own.
_MASK_REACH, _MASK_TRUST = 0.04, 3e-4


@memory_errors()
def stylize(
    content: np.ndarray,
    style: np.ndarray,
    *,
    regions: Regions | None = None,
    options: Options | None = None,
    network: Network | None = None,
    init: np.ndarray | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Result:
    """Gives the content photo the look of the style photo.

    Args:
        content: photo, floats (H, W, 3), 0..1, sRGB.
        style: photo (h, w, 3), 0..1; of any size.
        regions: corresponding regions of both, at any size; without them `options.auto_seg` says whether some are found, or the
            whole photos correspond.
        options: `style_option`, `solver`, `max_size`, weights, smoothing; the defaults if None. Paths in it are not used.
        network: feature extractor; by default the one that `options.vgg19_weights` asks for.
        init: picture to start from, (H', W', 3), 0..1.
        callback: called with each step's `Progress`; what it raises ends the run.

    Returns:
        The result at the solve size, that is at most `options.solve_size` pixels on the long side; `Result.at` brings it to the
        photo's own size.

    Raises:
        UserError: an array that is no such picture, no weights, a content photo too narrow for the solve size, a process that was
            forked from one that has used TensorFlow, or a loss that is not finite (`photo_solver.optimum.NonFiniteLoss`).
        MemoryError: there is too little memory, of a GPU too.
    """
    check_process()
    for value, kind, name in ((options, Options, "options"), (regions, Regions, "regions"), (network, Network, "network")):
        check_kind(value, kind, name)
    if callback is not None and not callable(callback):
        raise UserError(f"callback is of type {type(callback).__name__}; give a function of a Progress")
    options = options or Options()
    content, style = _picture(content, "content"), _picture(style, "style")
    init = None if init is None else _picture(init, "init")
    regions = regions or _own_regions(content, style, options)
    for name, masks in (("content", regions.content), ("style", regions.style)):
        if np.ndim(masks) != 3 or np.shape(masks)[2] != len(regions.names) or not np.size(masks):
            wrong = f"masks of the {name} have the shape {np.shape(masks)}"
            raise UserError(f"{wrong}; give (height, width, regions), with a name for each of the regions")
    content, style = shrunk(content, options.solve_size), shrunk(style, options.solve_size)
    height, width = content.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise UserError(f"content image is {width}x{height} at --max_size {options.solve_size}, too narrow; raise --max_size")
    regions = regions.resized(content.shape[:2], style.shape[:2])
    for region, mask in zip(regions.names, np.moveaxis(regions.style, -1, 0), strict=True):
        if not mask.any():
            raise UserError(f"region {region} has no pixel of the style photo; leave it out, or take the style from elsewhere")
    if network is None:
        side = network_side(content.shape[:2], options)
        network = Networks().of_pair(options.vgg19_weights, shrunk(content, side), shrunk(style, side), options.seed)
    masks, tell = regions.content, callback or (lambda progress: None)
    if options.solver_used == "maps" and masks.shape[2] > 1:
        masks = refined(masks, content, _MASK_REACH, _MASK_TRUST)
    grey = colourless(style, regions.style) & (options.solver_used != "reference")  # which goes the script's own way
    run = Run(network, options, (lambda progress: tell(neutral_progress(progress, grey, masks))) if grey.any() else tell)
    if options.solver_used == "maps":
        looks = solve_maps(run, Pair(content, style, masks, regions.style), init)
        looks = {realism: neutral_look(look, grey) for realism, look in looks.items()}
        image = next(iter(looks.values())).apply(content, 0, height)
    else:
        looks, solve = {}, solve_reference if options.solver_used == "reference" else solve_pixels
        image = solve(run, Pair(content, style, masks, regions.style), init)
        if options.style_option != 0 and options.apply_smooth:
            image = _smoothed(content, image, options)
        image = neutral(image, masks[..., grey].sum(-1))
    named_masks = dict(zip(regions.names, np.moveaxis(masks, -1, 0), strict=True))
    light = options.keep == LIGHT
    image = np.clip(image, 0, 1)
    names = frozenset(name for name, without in zip(regions.names, grey, strict=True) if without)
    image = with_light(content, image) if light else image
    return Result(image, content, run.records, network.description, named_masks, looks, names, light)


def _own_regions(content: np.ndarray, style: np.ndarray, options: Options) -> Regions:
    """The regions of photos that come without any."""
    if not options.auto_seg_used:
        return whole_image(content, style)
    larger = functools.partial(resize, content), functools.partial(resize, style)
    return found_regions(options, shrunk(content, options.solve_size), shrunk(style, options.solve_size), larger)


def _picture(array: np.ndarray, name: str) -> np.ndarray:
    """The array as float32, if it is a picture (H, W, 3), 0..1."""
    array = check_picture(array, name)
    if not np.isfinite(array).all():
        raise UserError(f"{name} has values that are not finite; replace them by numbers from 0 to 1")
    least, most = float(array.min()), float(array.max())
    if least < -_ROUNDING or most > 1 + _ROUNDING:
        raise UserError(f"{name} has values from {least:g} to {most:g}; scale them to 0..1")
    return np.clip(array, 0, 1).astype(np.float32, copy=False)


def _smoothed(content: np.ndarray, image: np.ndarray, options: Options) -> np.ndarray:
    """The post-filter: the reference's with its solver, else one that keeps the content's grain.

    The reference's ridge pulls the colour maps towards 0 and so the picture towards flatness; smoothing the change from the
    content instead pulls it towards the content. The radius scales with the size, to mean the same at every size.
    """
    if options.solver_used == "reference":
        return smooth_local_affine(content, image, options.f_radius, options.f_edge)
    radius = max(1, round(options.f_radius * max(content.shape) / _SMOOTHING_SIZE))
    return content + smooth_local_affine(content, image - content, radius, options.f_edge)
