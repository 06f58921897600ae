"""What is minimised: content, region-wise style, total variation and photorealism (Luan et al. 2017, eq. 5).

The variable is an image in levels, RGB 0..255, so that weights, step sizes and gradients are those of the reference script.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from dpst.options import Options
from dpst.solver.grams import RegionGrams
from dpst.solver.optimum import Evaluation, NonFiniteLoss, non_finite_message
from vgg19.backend import sparse_product, sparse_tensor, stoppable, tf
from vgg19.masks import propagate
from vgg19.network import Network

CONTENT_LAYER = "conv4_2"
# A style region's mask at a layer is at least so sharp, in shares of the content's: else less than a tenth is left of the style.
_MIN_SHARP = 0.1
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


def matched_masks(content_masks: np.ndarray, style_masks: np.ndarray) -> tuple[dict, dict]:
    """The masks (H, W, R) of both photos at each style layer; a region whose style has vanished there takes no part.

    A Gram matrix is as large as its mask is sharp: sum(m^2) / sum(m) of it is left where the mask is m < 1. A style region of a
    few pixels blurs away on the way down the network, and the content's region would be made like nothing at all.
    """
    of_content, of_style = (propagate(masks, STYLE_LAYERS) for masks in (content_masks, style_masks))
    for layer in STYLE_LAYERS:
        content, style = (
            (mask**2).sum((0, 1)) / np.maximum(mask.sum((0, 1)), 1e-30) for mask in (of_content[layer], of_style[layer])
        )
        of_content[layer] = of_content[layer] * (style > _MIN_SHARP * content)
    return of_content, of_style


def total_variation(levels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Half the sum of squared differences to the right and lower neighbours, and its derivative.

    It takes (H, W, 3); the last row and column have no neighbours.
    """
    corner = levels[:-1, :-1]
    right, down = levels[:-1, 1:] - corner, levels[1:, :-1] - corner
    by_corner = tf.pad(-right - down, ((0, 1), (0, 1), (0, 0)))
    by_levels = by_corner + tf.pad(right, ((0, 1), (1, 0), (0, 0))) + tf.pad(down, ((1, 0), (0, 1), (0, 0)))
    return (tf.reduce_sum(right**2) + tf.reduce_sum(down**2)) / 2, by_levels


class Objective:
    """Loss, its parts and its gradient, at the size of `content`, as one compiled function.

    Attributes:
        evaluations: number of evaluations so far.
    """

    def __init__(
        self,
        network: Network,
        content: np.ndarray,
        style: np.ndarray,
        masks: tuple[np.ndarray, np.ndarray],
        options: Options,
        laplacian: scipy.sparse.csr_matrix | None = None,
    ):
        """Computes the targets.

        Args:
            network: feature extractor.
            content: (H, W, 3), 0..1.
            style: (h, w, 3), 0..1.
            masks: of content (H, W, R) and style (h, w, R).
            options: its weights are used.
            laplacian: matting Laplacian of the content, (H * W, H * W); None leaves the photorealism term out.
        """
        content_masks, style_masks = matched_masks(*masks)
        self._network, self._options = network, options
        self._grams = {layer: RegionGrams.of(content_masks[layer]) for layer in STYLE_LAYERS}
        content_features = network.features(tf.constant(content), [CONTENT_LAYER])
        style_features = network.features(tf.constant(style), STYLE_LAYERS)
        self._content_target = content_features[CONTENT_LAYER]
        self._style_targets = {k: RegionGrams.of(style_masks[k])(style_features[k]) for k in STYLE_LAYERS}
        self._sparse = None if laplacian is None else sparse_tensor(laplacian)
        self._shape = content.shape
        self._compiled = tf.function(self._evaluate, input_signature=[tf.TensorSpec(content.shape, tf.float32)], autograph=False)
        self.evaluations = 0

    def _affine_form(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Sum over channels of v' L v (Luan et al. 2017, eq. 4), and its derivative by v, 2 L v."""
        v = tf.reshape(image, (-1, 3))
        lv = sparse_product(self._sparse, v)
        return tf.reduce_sum(v * lv), tf.reshape(2.0 * lv, image.shape)

    def _evaluate(self, levels: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        options = self._options
        with tf.GradientTape() as tape:
            tape.watch(levels)
            features = self._network.features(levels / 255.0, (*STYLE_LAYERS, CONTENT_LAYER))
            content = options.content_weight * tf.reduce_mean((features[CONTENT_LAYER] - self._content_target) ** 2)
        style = [self._grams[k].loss(features[k], self._style_targets[k]) for k in STYLE_LAYERS]
        # Not tf.custom_gradient: it registers each gradient, with its graph, for as long as the process lives.
        upstream = [tf.constant(1.0), *(options.style_weight * by_features for _, by_features in style)]
        gradient = tape.gradient([content, *(features[k] for k in STYLE_LAYERS)], levels, output_gradients=upstream)
        variation, by_levels = total_variation(levels)
        gradient += options.tv_weight * by_levels
        losses = {
            "content": content,
            "style": options.style_weight * tf.add_n([loss for loss, _ in style]),
            "tv": options.tv_weight * variation,
        }
        if self._sparse is not None:
            affine, by_image = self._affine_form(levels / 255.0)
            losses["affine"] = options.affine_weight * affine
            gradient += options.affine_weight / 255.0 * by_image
        losses["total"] = tf.add_n(list(losses.values()))
        return losses, gradient

    def __call__(self, levels: np.ndarray) -> Evaluation:
        """The objective at an image in levels, (H, W, 3) or flat.

        Raises:
            NonFiniteLoss: the loss or its gradient is not finite.
        """
        self.evaluations += 1
        levels = levels.reshape(self._shape)
        losses, gradient = stoppable(self._compiled, tf.constant(levels, tf.float32))
        evaluation = Evaluation({k: float(v) for k, v in losses.items()}, gradient.numpy().astype(np.float64), levels / 255)
        if not (np.isfinite(evaluation.total) and np.isfinite(evaluation.gradient).all()):
            raise NonFiniteLoss(non_finite_message(evaluation.losses))
        return evaluation
