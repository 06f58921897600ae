"""The loss of a look's coefficients and its derivative, as one TensorFlow function of tensors.

Everything that depends on the photo, its size or the network is an argument, so that the function is compiled only once for all
sizes, and for all jobs of a process with the same number of regions. What it computes stays where TensorFlow computes, on a GPU
too; all terms of the loss leave it as one tensor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dpst.imaging.colours import LUMA
from dpst.solver.field import Field
from dpst.solver.grams import RegionGrams
from dpst.solver.objective import CONTENT_LAYER, STYLE_LAYERS, total_variation
from dpst.solver.palette import Palettes
from dpst.solver.photograph import Photograph
from vgg19.backend import added_rows, sparse_product, tf
from vgg19.network import features

# The terms of the loss, in the order in which the function returns them.
TERMS = (
    *("content", "style", "tv", "colours", "foreign", "range"),
    *("affine", "invented", "hue", "lost", "roughness", "gain", "grade"),
)
# Number of compiled functions that are kept: there is one for each number of regions, and one for masks without soft edges.
_KEPT = 8


class RegionColours(NamedTuple):
    """Some pixels of the regions, which stand for all of them, and the colours that they are to have.

    Attributes:
        pixels: int32 (n,).
        regions: int32 (n,), which of the palettes' regions each of them is in.
        each: (regions,), for how many pixels each of them stands, as a share of the photo.
        palettes: of the style's regions.
    """

    pixels: tf.Tensor
    regions: tf.Tensor
    each: tf.Tensor
    palettes: Palettes


class Scene(NamedTuple):
    """What the terms depend on besides the coefficients; tensors and arrays.

    Attributes:
        photo: the content photo, (H, W, 3).
        field: over it.
        network: filters and biases of each layer.
        grams: of each style layer.
        targets: the style's Gram matrices, for each style layer and region.
        content: the content's features, (1, h, w, channels).
        photograph: of the content photo.
        laplacian: its matting Laplacian, sparse (pixels, pixels).
        colours: of the regions.
        grade: (pixels, 3), the picture that the result is pulled to.
    """

    photo: tf.Tensor
    field: Field
    network: tuple[tuple[tf.Tensor, tf.Tensor], ...]
    grams: tuple[RegionGrams, ...]
    targets: tuple[tuple[tf.Tensor, ...], ...]
    content: tf.Tensor
    photograph: Photograph
    laplacian: tf.SparseTensor
    colours: RegionColours
    grade: tf.Tensor


class Scales(NamedTuple):
    """What the terms are multiplied by, numbers; those of the style layers are (5,), `light` and `chroma` are the grade's."""

    content: float
    style: tf.Tensor
    variation: float
    colours: float
    foreign: float
    range: float
    affine: float
    invented: float
    wandering: float
    lost: float
    roughness: float
    gain: float
    light: float
    chroma: float


def compiled_terms(layers: tuple[str, ...], scene: Scene) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """A function of coefficients (R, nodes, 4, 3), a scene and scales.

    It returns the `TERMS` of the loss and 1 if all derivatives are finite, else 0, as one tensor; the derivative of their sum by
    the coefficients; and the picture (H, W, 3). `layers` are the names of the network's. Scenes may have any size.
    """
    scales = Scales(*(tf.TensorSpec((len(STYLE_LAYERS),) if name == "style" else (), tf.float32) for name in Scales._fields))
    return _compiled(layers, _spec_of(scene), scales)


@functools.lru_cache(maxsize=_KEPT)
def _compiled(layers: tuple[str, ...], scene: Scene, scales: Scales) -> Callable:
    function = tf.function(functools.partial(_terms, layers), autograph=False)
    regions = scene.field.centres.shape[0]
    return function.get_concrete_function(tf.TensorSpec((regions, None, 4, 3), tf.float32), scene, scales)


def _spec_of(scene: Scene) -> Scene:
    """What a function that is compiled for this scene accepts: any size, with as many regions and layers of the same widths."""

    def exact(tensor) -> tf.TensorSpec:
        return tf.TensorSpec(tensor.shape, tensor.dtype)

    def any_size(tensor, *fixed: int):
        """Any size but along the fixed axes."""
        if tensor is None:
            return None
        shape = [side if axis in fixed else None for axis, side in enumerate(tensor.shape)]
        return (tf.SparseTensorSpec if isinstance(tensor, tf.SparseTensor) else tf.TensorSpec)(shape, tensor.dtype)

    def windows(each):
        sizes = tf.nest.map_structure(any_size, each)
        inverse = any_size(each.inverse, 0, 1, 2)
        return sizes._replace(content=any_size(each.content, 0), mean=any_size(each.mean, 0, 1), inverse=inverse)

    field, photograph = scene.field, scene.photograph
    return Scene(
        any_size(scene.photo, 2),
        Field(
            any_size(field.colours, 1),
            exact(field.centres),
            any_size(field.slices),
            any_size(field.roughness),
            any_size(field.mass, 0, 2, 3),
        ),
        tf.nest.map_structure(exact, scene.network),
        tuple(
            tf.nest.map_structure(any_size, each)._replace(counts=exact(each.counts), shares=exact(each.shares))
            for each in scene.grams
        ),
        tf.nest.map_structure(exact, scene.targets),
        any_size(scene.content),
        tf.nest.map_structure(any_size, photograph)._replace(
            windows=windows(photograph.windows), hue_windows=windows(photograph.hue_windows)
        ),
        any_size(scene.laplacian),
        RegionColours(
            any_size(scene.colours.pixels),
            any_size(scene.colours.regions),
            exact(scene.colours.each),
            Palettes(*map(exact, scene.colours.palettes)),
        ),
        any_size(scene.grade, 1),
    )


def _terms(
    layers: tuple[str, ...], coefficients: tf.Tensor, scene: Scene, scales: Scales
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    size, pixels = tf.shape(scene.photo), tf.cast(tf.size(scene.photo) // 3, tf.float32)
    change = scene.field.change(coefficients)  # (pixels, 3)
    picture = scene.photo + tf.reshape(change, size)
    losses, by_picture = _by_picture(layers, picture, scene, scales)
    by_colours = _by_colours(tf.reshape(picture, (-1, 3)), pixels, scene, scales)
    losses |= by_colours[0]
    gradient = scene.field.by_coefficients(tf.reshape(by_picture, (-1, 3)) + by_colours[1])
    rough = scales.roughness * scene.field.rough(coefficients)
    gain = scales.gain * scene.field.mass * coefficients * np.array([[1], [1], [1], [0]], np.float32)  # the constant has none
    losses["roughness"], losses["gain"] = (tf.reduce_sum(coefficients * each) for each in (rough, gain))
    gradient += 2 * (rough + gain)
    is_finite = tf.cast(tf.reduce_all(tf.math.is_finite(gradient)), tf.float32)
    return tf.stack([*(losses[name] for name in TERMS), is_finite]), gradient, picture


def _by_picture(
    layers: tuple[str, ...], image: tf.Tensor, scene: Scene, scales: Scales
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """The terms that the network, neighbours and windows see, and their derivative by the picture (H, W, 3)."""
    network = dict(zip(layers, scene.network, strict=True))
    with tf.GradientTape() as tape:
        tape.watch(image)
        seen = features(network, image, (*STYLE_LAYERS, CONTENT_LAYER))
    change = seen[CONTENT_LAYER] - scene.content
    styles = []
    for name, grams, aims, scale in zip(STYLE_LAYERS, scene.grams, scene.targets, tf.unstack(scales.style), strict=True):
        loss, by_layer = grams.loss(seen[name], aims)
        styles.append((scale * loss, scale * by_layer))
    by_content = scales.content * 2 / tf.cast(tf.size(change), tf.float32) * change
    by_layers = [by_content, *(by_layer for _, by_layer in styles)]
    layers_seen = [seen[CONTENT_LAYER], *(seen[name] for name in STYLE_LAYERS)]
    by_image = tape.gradient(layers_seen, image, output_gradients=by_layers)
    variation, by_variation = total_variation(image)
    (invented, wandering, lost), by_photograph = scene.photograph(image, (scales.invented, scales.wandering, scales.lost))
    losses = {
        "content": scales.content * tf.reduce_mean(change**2),
        "style": tf.add_n([loss for loss, _ in styles]),
        "tv": scales.variation * variation,
        "invented": invented,
        "hue": wandering,
        "lost": lost,
    }
    return losses, by_image + scales.variation * by_variation + by_photograph


def _by_colours(image: tf.Tensor, pixels: tf.Tensor, scene: Scene, scales: Scales) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """The terms of each pixel's colour, and their derivative by the colours (pixels, 3)."""
    form = sparse_product(scene.laplacian, image)
    beyond, away = image - tf.clip_by_value(image, 0.0, 1.0), image - scene.grade
    light = tf.reduce_sum(away * LUMA, 1, keepdims=True)
    chroma = away - light
    affine, over = scales.affine / pixels, scales.range / pixels
    by_light, by_chroma = 3 * scales.light / pixels * light, scales.chroma / pixels * chroma
    gradient = 2 * (affine * form + over * beyond + by_chroma + (by_light - tf.reduce_sum(by_chroma, 1, keepdims=True)) * LUMA)
    some, regions, each, palettes = scene.colours
    own, each_own = tf.gather(image, some), tf.gather(each, regions)
    distance, by_distance = palettes.transport(own, regions)
    foreign, by_foreign = palettes.foreignness(own, regions)
    by_own = scales.colours * by_distance + 2 * scales.foreign * foreign[:, None] * by_foreign
    losses = {
        "affine": affine * tf.reduce_sum(image * form),  # Luan et al. 2017, eq. 4
        "range": over * tf.reduce_sum(beyond**2),
        "grade": tf.reduce_sum(by_light * light) + tf.reduce_sum(by_chroma * chroma),
        "colours": scales.colours * tf.reduce_sum(each * distance),
        "foreign": scales.foreign * tf.reduce_sum(each_own * foreign**2),
    }
    return losses, added_rows(gradient, some, each_own[:, None] * by_own)
