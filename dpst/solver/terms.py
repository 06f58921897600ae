"""The terms of a look's loss that the network and the windows see, as one TensorFlow function of tensors.

Everything that depends on the photo, its size or the network is an argument, so that the function is compiled only once for all
sizes, and for all jobs of a process with the same number of regions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from dpst.solver.grams import RegionGrams
from dpst.solver.objective import CONTENT_LAYER, STYLE_LAYERS, total_variation
from dpst.solver.photograph import Photograph
from vgg19.backend import tf
from vgg19.network import features

# Number of compiled functions that are kept: there is one for each number of regions, and one for masks without soft edges.
_KEPT = 8


class Scene(NamedTuple):
    """What the terms depend on besides the image; tensors and arrays.

    Attributes:
        network: filters and biases of each layer.
        grams: of each style layer.
        targets: the style's Gram matrices, for each style layer and region.
        content: the content's features, (1, h, w, channels).
        photograph: of the content photo.
    """

    network: tuple[tuple[tf.Tensor, tf.Tensor], ...]
    grams: tuple[RegionGrams, ...]
    targets: tuple[tuple[tf.Tensor, ...], ...]
    content: tf.Tensor
    photograph: Photograph


class Scales(NamedTuple):
    """What the terms are multiplied by, numbers; `style` has one for each style layer, (5,)."""

    content: float
    style: tf.Tensor
    variation: float
    invented: float
    wandering: float
    lost: float


def compiled_terms(layers: tuple[str, ...], scene: Scene) -> Callable[..., tuple[dict[str, tf.Tensor], tf.Tensor]]:
    """A function of an image (H, W, 3), a scene and scales: the terms of the loss, and the derivative of their sum by the image.

    `layers` are the names of the network's. Images and scenes may have any size.
    """
    scales = Scales(*(tf.TensorSpec((len(STYLE_LAYERS),) if name == "style" else (), tf.float32) for name in Scales._fields))
    return _compiled(layers, _spec_of(scene), scales)


@functools.lru_cache(maxsize=_KEPT)
def _compiled(layers: tuple[str, ...], scene: Scene, scales: Scales) -> Callable:
    function = tf.function(functools.partial(_terms, layers), autograph=False)
    return function.get_concrete_function(tf.TensorSpec((None, None, 3), tf.float32), scene, scales)


def _spec_of(scene: Scene) -> Scene:
    """What a function that is compiled for this scene accepts: any size, with as many regions and layers of the same widths."""

    def exact(tensor) -> tf.TensorSpec:
        return tf.TensorSpec(tensor.shape, tensor.dtype)

    def any_size(tensor) -> tf.TensorSpec | None:
        return None if tensor is None else tf.TensorSpec([None] * len(tensor.shape), tensor.dtype)

    grams = (
        tf.nest.map_structure(any_size, each)._replace(counts=exact(each.counts), shares=exact(each.shares))
        for each in scene.grams
    )
    photograph = tf.nest.map_structure(any_size, scene.photograph)

    def planes(windows):
        count = windows.content.shape[0]
        shapes = {"content": (count, None, None), "mean": (count, 1, None, None), "inverse": (count, count, 1, None, None)}
        return {name: tf.TensorSpec(shape, tf.float32) for name, shape in shapes.items()}

    windows, hue_windows = scene.photograph.windows, scene.photograph.hue_windows
    return Scene(
        tf.nest.map_structure(exact, scene.network),
        tuple(grams),
        tf.nest.map_structure(exact, scene.targets),
        any_size(scene.content),
        photograph._replace(
            windows=photograph.windows._replace(**planes(windows)),
            hue_windows=photograph.hue_windows._replace(**planes(hue_windows)),
        ),
    )


def _terms(layers: tuple[str, ...], image: tf.Tensor, scene: Scene, scales: Scales) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
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
