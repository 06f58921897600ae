"""Deep Photo Style Transfer (Luan, Paris, Shechtman, Bala, CVPR 2017): the public functions of the library.

    from photo_style import read_photo, stylize, write_photo
    content, style = read_photo("content.jpg"), read_photo("style.jpg")
    result = stylize(content.pixels, style.pixels, style_option=2)
    write_photo("result.jpg", result.at(content), like=content)

Style option 0 minimises the objective without its photorealism term (segmented style), 1 with this term, starting from an init
image (refinement), and 2 runs both in sequence. `stylize` takes and returns arrays and calls a function after each step.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from dpst import __version__
from dpst.errors import Cancelled, UserError
from dpst.files.luts import Lut
from dpst.files.machine import linear_algebra_on_one_thread
from dpst.files.photos import Photo, read_photo
from dpst.files.writing import write_photo
from dpst.imaging.light import with_light
from dpst.imaging.pictures import Mask, Picture, as_array, as_mask, as_picture, check_kind
from dpst.imaging.resizing import resize, shrunk
from dpst.imaging.smoothing import smooth_local_affine
from dpst.options import INPUT_FILES, LIGHT, OUTPUT_FILES, PICTURE_OPTIONS, Options, nearest
from dpst.regions.finding import found_regions
from dpst.regions.reading import read_regions, regions_of_masks
from dpst.regions.regions import Regions, whole_image
from dpst.solver.sizes import MIN_SOLVE_SIDE, network_side
from vgg19.networks import Networks
from vgg19.process import check_process

if TYPE_CHECKING:
    from dpst.solver.result import Result
    from dpst.solver.stages import REFINEMENT, SEGMENTED, Progress
    from vgg19.network import Network

__all__ = [
    "REFINEMENT",
    "SEGMENTED",
    "Cancelled",
    "Lut",
    "Network",
    "Networks",
    "Options",
    "Photo",
    "Progress",
    "Regions",
    "Result",
    "UserError",
    "__version__",
    "read_photo",
    "read_regions",
    "stylize",
    "write_photo",
]

# Names that are imported on first use, because their modules import SciPy and TensorFlow.
_IMPORTED_LATER = {
    "Network": "vgg19.network",
    "Progress": "dpst.solver.stages",
    "REFINEMENT": "dpst.solver.stages",
    "Result": "dpst.solver.result",
    "SEGMENTED": "dpst.solver.stages",
}
# Long side in pixels at which the smoothing of the pixels solver has the radius `f_radius`, which scales with the size. At 512
# pixels, a radius of 6 instead of 8 looks the same and keeps 5 % more of the style, for 2 % more residual.
_SMOOTHING_SIZE = 1280
# Options of a picture that are not keywords of `stylize`: it has arguments, results or functions for them.
_NOT_KEYWORDS = (
    *INPUT_FILES,
    *OUTPUT_FILES,
    "apply_lut",
    "lut",
    "lut_size",
    "output_size",
    "strength",
    "drop_exif",
    "dry_run",
)


def stylize(
    content: Picture,
    style: Picture,
    content_mask: Mask | None = None,
    style_mask: Mask | None = None,
    *,
    options: Options | None = None,
    regions: Regions | None = None,
    network: Network | Networks | None = None,
    init: Picture | None = None,
    by_place: bool = True,
    callback: Callable[[Progress], None] | None = None,
    **chosen: object,
) -> Result:
    """Gives the content photo the look of the style photo.

        result = stylize(content, style, style_option=2, realism=0.5)

    Args:
        content: photo, sRGB, (H, W, 3): floats 0..1, uint8 or uint16; or a Pillow image.
        style: photo (h, w, 3), likewise; of any size.
        content_mask: the region of each pixel of the content: colours (., ., 3), labels or grey (., .), of any size; or a Pillow
            image. Without masks, `auto_seg` decides whether regions are found or the whole photos are matched.
        style_mask: the same for the style; regions of the same colour are matched.
        options: every option at once, instead of by keywords.
        regions: corresponding regions, at any size, instead of masks.
        network: feature extractor, or the `Networks` of earlier calls; by default the one that `vgg19_weights` selects.
        init: picture to start from, of any size.
        by_place: with the maps solver, whether equal colours may be changed differently at different positions in a region. False
            is for the frames of a film.
        callback: called with the `Progress` after each step; an exception that it raises, such as `Cancelled`, ends the run.
        chosen: options by name, with values of their own types: `style_option=2`, `realism=(0, 1)`.

    Returns:
        The result at the solve size, at most `options.solve_size` pixels on the long side; `Result.at` gives it at the
        photo's own size.

    Raises:
        UserError: an array is not a picture, an option is unknown or only for the command line, there are no weights, the content
            photo is too narrow for the solve size, `device` requires a GPU and there is none, the process was forked from one
            that had used TensorFlow, or the loss is not finite (`dpst.solver.optimum.NonFiniteLoss`).
        MemoryError: there is too little memory, in the machine or in the GPU.
    """
    check_process()
    for value, kind, name in ((options, Options, "options"), (regions, Regions, "regions")):
        check_kind(value, kind, name)
    if callback is not None and not callable(callback):
        raise UserError(f"callback is of type {type(callback).__name__}; give a function of a Progress")
    options = _options(options, chosen)
    content, style = as_picture(content, "content"), as_picture(style, "style")
    init = None if init is None else as_picture(init, "init")
    if regions is None:
        regions = _own_regions(content, style, content_mask, style_mask, options)
    elif content_mask is not None or style_mask is not None:
        raise UserError("masks and regions are both given; give one of them")
    if not isinstance(regions.names, (tuple, list)) or not all(isinstance(each, str) for each in regions.names):
        raise UserError("names of the regions are not strings; give a tuple of strings")
    for name, given in (("content", regions.content), ("style", regions.style)):
        masks = as_array(given, f"regions.{name}")
        if masks.ndim != 3 or masks.shape[2] != len(regions.names) or not masks.size:
            wrong = f"masks of the {name} have the shape {masks.shape}"
            raise UserError(f"{wrong}; give (height, width, regions), with a name for each of the regions")
        if masks.dtype.kind not in "fbiu" or not (masks.min() >= 0 and masks.max() <= 1):  # not a number is none of them either
            raise UserError(f"masks of the {name} are of type {masks.dtype} or out of range; give numbers from 0 to 1")
    content, style = shrunk(content, options.solve_size), shrunk(style, options.solve_size)
    height, width = content.shape[:2]
    if min(height, width) < MIN_SOLVE_SIDE:
        raise UserError(f"content image is {width}x{height} at `max_size` {options.solve_size}, too narrow; raise `max_size`")
    regions = regions.resized(content.shape[:2], style.shape[:2])
    for region, mask in zip(regions.names, np.moveaxis(regions.style, -1, 0), strict=True):
        if not mask.any():
            raise UserError(f"region {region} is empty in the style photo; remove it, or choose another style")
    from vgg19.backend import memory_errors, on_device  # TensorFlow comes with the first solve
    from vgg19.network import Network

    check_process()
    if not isinstance(network, Networks):
        check_kind(network, Network, "network")
    with memory_errors(), on_device(options.device), linear_algebra_on_one_thread():
        return _solved(content, style, regions, options, network, init, by_place, callback or (lambda progress: None))


def _solved(
    content: np.ndarray,
    style: np.ndarray,
    regions: Regions,
    options: Options,
    network: Network | Networks | None,
    init: np.ndarray | None,
    by_place: bool,
    callback: Callable[[Progress], None],
) -> Result:
    """The result of photos and regions at the solve size; see `stylize`."""
    from dpst.solver.colourless import colourless, neutral, neutral_look, neutral_progress
    from dpst.solver.maps import solve_maps
    from dpst.solver.pixels import solve_pixels
    from dpst.solver.reference import solve_reference
    from dpst.solver.result import Result
    from dpst.solver.run import Pair

    background = ThreadPoolExecutor(1)  # features are learned while masks are refined; a stop does not wait for them
    extractor = background.submit(_network, network, content, style, options)
    background.shutdown(wait=False)
    masks, on_step = (regions.with_edges(content) if options.solver_used == "maps" else regions).content, callback
    network = extractor.result()
    # The reference script does not treat grey styles specially.
    grey = colourless(style, regions.style) & (options.solver_used != "reference")
    if grey.any():

        def on_step(progress: Progress) -> None:
            callback(neutral_progress(progress, grey, masks))

    pair = Pair(content, style, masks, regions.style, regions.are_guessed)
    if options.solver_used == "maps":
        looks, stages = solve_maps(network, options, on_step, pair, init, by_place)
        looks = {realism: neutral_look(look, grey) for realism, look in looks.items()}
        image = next(iter(looks.values())).apply(content, 0, content.shape[0])
    else:
        looks, solve = {}, solve_reference if options.solver_used == "reference" else solve_pixels
        image, stages = solve(network, options, on_step, pair, init)
        if options.style_option != 0 and options.apply_smooth:
            image = _smoothed(content, image, options)
        image = neutral(image, masks[..., grey].sum(-1))
    named_masks = dict(zip(regions.names, np.moveaxis(masks, -1, 0), strict=True))
    light = options.keep == LIGHT
    image = np.clip(image, 0, 1)
    grey_names = frozenset(name for name, is_grey in zip(regions.names, grey, strict=True) if is_grey)
    image = with_light(content, image) if light else image
    return Result(image, content, stages, network.description, named_masks, looks, grey_names, light)


def _network(network: Network | Networks | None, content: np.ndarray, style: np.ndarray, options: Options) -> Network:
    """The feature extractor for two photos at the solve size; may run in any thread."""
    from vgg19.backend import on_device
    from vgg19.network import Network

    if isinstance(network, Network):
        return network
    side = network_side(content.shape[:2], options)
    networks = network or Networks()
    with on_device(options.device):
        return networks.for_photos(options.vgg19_weights, shrunk(content, side), shrunk(style, side), options.seed)


def _options(options: Options | None, chosen: dict[str, object]) -> Options:
    """All options of a call.

    Raises:
        UserError: options are given both as `options` and as keywords, or one is unknown or only for the command line.
    """
    if options is not None and chosen:
        raise UserError(f"options are given, and also {', '.join(chosen)}; give options or keywords, not both")
    known = {field.name: field for field in dataclasses.fields(Options)}
    for name, value in chosen.items():
        if name not in known:
            near = nearest(name, known)
            raise UserError(f"{name} is not an option; {f'use {near[0]}' if near else 'see photo_style.Options'}")
        if name in _NOT_KEYWORDS or (name not in PICTURE_OPTIONS and name != "device"):
            raise UserError(f"{name} {value!r} belongs to the command line; leave it out here")
        if name in ("realism", "auto_seg"):  # text on the command line
            chosen[name] = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    return (options or Options(**chosen)).as_preview  # type: ignore[arg-type]


def _own_regions(
    content: np.ndarray, style: np.ndarray, content_mask: Mask | None, style_mask: Mask | None, options: Options
) -> Regions:
    """The regions of the masks or, without any, those that are found."""
    if content_mask is not None and style_mask is not None:
        masks = as_mask(content_mask, "content_mask"), as_mask(style_mask, "style_mask")
        regions = regions_of_masks(*masks, content, style, options)
    elif content_mask is not None or style_mask is not None:
        missing = "style_mask" if style_mask is None else "content_mask"
        raise UserError(f"{missing} is missing; give the masks of both photos or of neither")
    elif not options.auto_seg_used:
        return whole_image(content, style)
    else:
        larger = functools.partial(resize, content), functools.partial(resize, style)
        content, style = shrunk(content, options.regions_size), shrunk(style, options.regions_size)
        regions = found_regions(options, content, style, larger)
    return regions.refined(content, style) if options.refine_masks else regions


def _smoothed(content: np.ndarray, image: np.ndarray, options: Options) -> np.ndarray:
    """The smoothing after a solve: the reference script's with its solver, else one that keeps the grain of the content.

    The ridge term of the reference pulls the colour maps towards 0, which flattens the picture; smoothing the difference from the
    content pulls the picture towards the content instead. The radius is relative to the size of the picture.
    """
    if options.solver_used == "reference":
        return smooth_local_affine(content, image, options.f_radius, options.f_edge)
    radius = max(1, round(options.f_radius * max(content.shape) / _SMOOTHING_SIZE))
    return content + smooth_local_affine(content, image - content, radius, options.f_edge)


def __getattr__(name: str) -> object:
    """The names that are imported when they are first used."""
    if name in _IMPORTED_LATER:
        return getattr(importlib.import_module(_IMPORTED_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
