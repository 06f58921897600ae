"""VGG19 as a feature extractor, convolutions up to conv5_1 (Simonyan, Zisserman 2014)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vgg19.backend import tf
from vgg19.layers import block_of, is_first
from vgg19.process import check_process
from vgg19.weights import Weights, check_weights

# Mean pixel of the training photos in BGR, 0..255 (Simonyan, Zisserman 2014).
MEAN_BGR = (103.939, 116.779, 123.68)
MEAN_RGB = MEAN_BGR[::-1]


class Network:
    """VGG19 with given weights. Thinner networks work alike, and those without some of the layers that the losses do not look at.

    Attributes:
        description: where the weights come from, for the run's metadata.
        layers: names of its convolutions, in their order.
    """

    def __init__(self, weights: Weights, description: str = "given weights"):
        """Takes `weights`, layer name to (filters (3, 3, in, out), biases (out,)), at least those of `LOSS_LAYERS`.

        Raises:
            UserError: they are other than that.
        """
        check_process()
        weights = check_weights(weights)
        self.description = description
        self.layers = tuple(weights)
        self._layers = {name: (tf.constant(filters), tf.constant(biases)) for name, (filters, biases) in weights.items()}

    def channels(self, layer: str) -> int:
        """Number of channels of a layer."""
        return int(self._layers[layer][0].shape[-1])

    @property
    def tensors(self) -> tuple[tuple[tf.Tensor, tf.Tensor], ...]:
        """Filters and biases of each of its `layers`."""
        return tuple(self._layers.values())

    def features(self, image: tf.Tensor, layers: Iterable[str]) -> dict[str, tf.Tensor]:
        """Activations, after their ReLU, of some layers; see `features`."""
        return features(self._layers, image, layers)


def features(network: Mapping[str, tuple[tf.Tensor, tf.Tensor]], image: tf.Tensor, layers: Iterable[str]) -> dict[str, tf.Tensor]:
    """Activations, after their ReLU, of some layers of a network.

    Args:
        network: filters and biases of its layers, in their order.
        image: float32 (H, W, 3), RGB, 0..1.
        layers: names out of the network's.

    Returns:
        Layer name to (1, h, w, channels), where h and w are H and W halved, rounded up, at each pooling before the layer.
    """
    wanted = set(layers)
    found: dict[str, tf.Tensor] = {}
    x = image[tf.newaxis, :, :, ::-1] * 255.0 - tf.constant(MEAN_BGR)
    for name, (filters, biases) in network.items():
        if len(found) == len(wanted):
            break
        if is_first(name) and block_of(name) > 1:
            x = tf.nn.max_pool2d(x, 2, 2, "SAME")
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, filters, 1, "SAME"), biases))
        if name in wanted:
            found[name] = x
    return found
