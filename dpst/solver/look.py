"""Solves for a look: the coefficients of a field of affine maps that bring the content nearest to the style.

What is minimised, in units that depend neither on the features nor on the size of the photo:

- style and content of Luan et al. 2017 (eq. 5), each style layer divided by its loss at the content photo, so that every layer
  counts alike and a style loss of 1 means that nothing was taken over; total variation, divided by the content's
- the distance of each region's colours from the style region's, and how foreign they are to it (`palette`)
- photorealism, times `8^(realism - 1)`: the quadratic form of the matting Laplacian (eq. 4), nothing invented, one object in one
  hue, and nothing lost (`photograph`); below realism 1 this last one counts as at 1
- what keeps the maps calm, times the same: maps that vary slowly, little gain, and nearness to the region-wise colour grade that
  it starts from
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from closed_form_matting import matting_laplacian
from dpst.imaging.fitted_masks import FittedMasks
from dpst.options import Options
from dpst.solver.affine_field import Grid, Look
from dpst.solver.field import BASIS, Field
from dpst.solver.grams import RegionGrams
from dpst.solver.objective import CONTENT_LAYER, STYLE_LAYERS, matched_masks, total_variation
from dpst.solver.optimum import Evaluation, NonFiniteLoss, non_finite_message
from dpst.solver.palette import Palettes, colour_grade
from dpst.solver.photograph import Photograph
from dpst.solver.run import Pair
from dpst.solver.sizes import MIN_SOLVE_SIDE
from dpst.solver.terms import TERMS, RegionColours, Scales, Scene, compiled_terms
from vgg19.backend import sparse_tensor, stoppable, tf
from vgg19.network import Network

# Weights of the terms, chosen on photo pairs by scores and by eye; a style loss of 1 is the unit.
_CONTENT, _VARIATION, _COLOURS, _FOREIGN, _RANGE = 0.06, 0.002, 0.76, 0.6, 90.0
# The same of photorealism: the matting form, of colours 0..1, a pixel; invented variance, wandering hue, lost contrast.
_AFFINE, _INVENTED, _WANDERING, _LOST = 300.0, 740.0, 70.0, 0.1
# The same of the maps: roughness, gain, distance from the grade.
_ROUGHNESS, _GAIN, _GRADE = 0.0011, 0.004, 0.18
# Weight of a difference in hue from the grade, relative to one in brightness.
_HUE = 8.0
# Factor by which the terms that realism scales grow from one value of realism to the next.
_REALISM_STEP = 8.0
# Standard deviation, 0..1, of colours below which the colour grade does not amplify contrast further.
_NOISE = 0.06
# Curvature assumed for the terms that the preconditioner leaves out: a multiple of the identity on the picture (loss per pixel;
# above realism 1 it is mostly the grade's, and grows with its weight), and of the identity on the coefficients.
_CURVATURE, _LEAST_CURVATURE = 1.2, 1e-5
_LEAST_UNIT = 1e-3  # of a layer's style loss, against that of a picture without features; real pairs have 0.08 and more
# The square of one level of 8 bits: colours that differ by less, and noise below it, are no unit of a difference.
_LEVEL = 255.0**-2
_LEAST_COLOURS = 10  # pixels of a region, below which it has no colours to compare
# One pixel of so many stands for the colours of all, in regions that then still have so many.
_EVERY, _LEAST_SAMPLE = 4, 500


@dataclasses.dataclass(frozen=True)
class Weights:
    """Multiples of the terms above, from the options and from one value of realism."""

    content: float
    style: float
    variation: float
    affine: float
    photograph: float
    lost: float
    calm: float

    @classmethod
    def of(cls, options: Options, realism: float) -> Weights:
        """The defaults of the reference's weights count as 1 each.

        Above realism 1, `calm` is the cube of `photograph`. Below it, `lost` stays as it is at 1: style needs neither black
        shadows nor bleached highlights.
        """
        defaults, step = Options(), _REALISM_STEP ** (realism - 1)
        return cls(
            options.content_weight / defaults.content_weight,
            options.style_weight / defaults.style_weight,
            options.tv_weight / defaults.tv_weight,
            options.affine_weight / defaults.affine_weight * step,
            step,
            max(step, 1.0),
            step * max(step, 1.0) ** 2,
        )

    @property
    def segmented(self) -> Weights:
        """The same without photorealism, as the paper's first stage has it."""
        return dataclasses.replace(self, affine=0.0, photograph=0.0, lost=0.0)


class LookObjective:
    """The loss of a field's coefficients, float32 (R, nodes, 4, 3), at one size of the photo.

    A coefficient's third axis is luma relative to the region's mean, red minus luma, blue minus luma, and the constant.

    Attributes:
        content: the content photo, (H, W, 3).
        grid: of the field.
        weights: of the terms; after a change, `begin` must follow.
        evaluations: number of evaluations so far.
    """

    def __init__(
        self,
        network: Network,
        pair: Pair,
        palettes: Palettes,
        cells: int,
        weights: Weights,
        check: Callable[[], None] = lambda: None,
    ):
        """Computes the targets.

        Args:
            network: feature extractor.
            pair: photos and masks.
            palettes: of the style's regions, from `palettes`.
            cells: of the grid on the photo's longer side; 0 where place does not count.
            weights: of the terms.
            check: called between the steps, of a second or more each for a large photo; what it raises ends this.
        """
        self.content, self._pair, self._network = pair.content, pair, network
        self.grid, self.evaluations, self.weights = Grid.over(pair.size, cells), 0, weights
        self._pixels = pair.size[0] * pair.size[1]
        masks = pair.content_masks.reshape(self._pixels, -1)
        self._seen = (masks.astype(np.float64) ** 2).sum(0) / self.grid.nodes  # (R,), the mean over the nodes of S'S 1
        self._waves = [tf.constant(waves) for waves in self.grid.waves()]
        check()
        if min(pair.size) >= MIN_SOLVE_SIDE:
            laplacian = matting_laplacian(pair.content)
        else:  # a ribbon that is narrower than a window
            laplacian = scipy.sparse.csr_matrix((self._pixels, self._pixels))
        check()
        self._prepare(sparse_tensor(laplacian), self._colours(masks, palettes), check)

    def _colours(self, masks: np.ndarray, palettes: Palettes) -> RegionColours:
        """Pixels of the regions, masks (pixels, R), that are large enough in both photos."""
        inside = [np.flatnonzero(mask > 0.5).astype(np.int32) for mask in masks.T]
        there = (self._pair.style_masks > 0.5).sum((0, 1))
        some = [_sample(own) if min(len(own), n) >= _LEAST_COLOURS else own[:0] for own, n in zip(inside, there, strict=True)]
        counts = [len(own) for own in some]
        each = [len(own) / max(n, 1) / self._pixels for own, n in zip(inside, counts, strict=True)]
        regions = np.repeat(np.arange(len(some), dtype=np.int32), counts)
        return RegionColours(tf.constant(np.concatenate(some)), tf.constant(regions), tf.constant(each, tf.float32), palettes)

    def _prepare(self, laplacian: tf.SparseTensor, colours: RegionColours, check: Callable[[], None]) -> None:
        """Computes the units of the terms, and compiles them."""

        def checked(layers: Iterable[str]) -> Iterator[str]:
            for layer in layers:
                check()
                yield layer

        content_masks, style_masks = matched_masks(self._pair.content_masks, self._pair.style_masks)
        grams = {layer: RegionGrams.of(content_masks[layer]) for layer in checked(STYLE_LAYERS)}
        style = self._network.features(tf.constant(self._pair.style), STYLE_LAYERS)
        targets = {layer: tuple(RegionGrams.of(style_masks[layer])(style[layer])) for layer in checked(STYLE_LAYERS)}
        check()
        content = self._network.features(tf.constant(self.content), (*STYLE_LAYERS, CONTENT_LAYER))
        units = []
        for layer in checked(STYLE_LAYERS):
            at_content, at_nothing = (
                float(grams[layer].loss(features, targets[layer])[0])
                for features in (content[layer], tf.zeros_like(content[layer]))
            )
            # The second bounds it where the content has the style's look already: then next to nothing is left to take over.
            units.append(len(STYLE_LAYERS) * max(at_content, _LEAST_UNIT * at_nothing, 1e-12))
        check()
        self._style_units = np.array(units, np.float32)
        self._content_unit = max(float(tf.reduce_mean(content[CONTENT_LAYER] ** 2)), 1e-12)
        photo = tf.constant(self.content)
        flat = tf.reshape(photo, (-1, 3))
        self._variation_unit = max(float(total_variation(photo)[0]), _LEVEL * self._pixels)
        distances, _ = colours.palettes.transport(tf.gather(flat, colours.pixels), colours.regions)
        self._colour_unit = max(float(tf.reduce_sum(colours.each * distances)), _LEVEL)
        self._scene = Scene(
            photo,
            Field.over(self.content, self._pair.content_masks, self.grid),
            self._network.tensors,
            tuple(grams.values()),
            tuple(targets.values()),
            content[CONTENT_LAYER],
            Photograph.of(self.content, None if self._pair.are_guessed else self._pair.content_masks),
            laplacian,
            colours,
            flat,
        )
        check()
        self._terms = compiled_terms(self._network.layers, self._scene)

    @property
    def _scales(self) -> Scales:
        weights = self.weights
        return Scales(
            content=weights.content * _CONTENT / self._content_unit,
            style=tf.constant(weights.style / self._style_units),
            variation=weights.variation * _VARIATION / self._variation_unit,
            colours=weights.style * _COLOURS / self._colour_unit,
            foreign=_FOREIGN,
            range=_RANGE,
            affine=weights.affine * _AFFINE,
            invented=weights.photograph * _INVENTED,
            wandering=weights.photograph * _WANDERING,
            lost=weights.lost * _LOST,
            roughness=weights.calm * _ROUGHNESS,
            gain=weights.calm * _GAIN,
            light=weights.calm * _GRADE,
            chroma=weights.calm * _GRADE * _HUE,
        )

    def unchanged(self) -> np.ndarray:
        """Coefficients that leave the content as it is."""
        return np.zeros((len(self._seen), self.grid.nodes, 4, 3), np.float32)

    def graded(self) -> np.ndarray:
        """Coefficients of the region-wise colour grade (`palette.colour_grade`)."""
        coefficients = self.unchanged()
        for r, centre in enumerate(self._scene.field.centres.numpy().ravel()):
            mask, style_mask = self._pair.content_masks[..., r], self._pair.style_masks[..., r]
            if min(mask.sum(), style_mask.sum()) >= 1:
                change = colour_grade(self.content, self._pair.style, mask, style_mask, _NOISE) - np.eye(3, 4)
                own = np.linalg.solve(BASIS.T, change.T)  # change = own' basis
                own[3] += centre * own[0]
                coefficients[r] = own
        return coefficients

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Coefficients whose result is nearest to an image (H, W, 3), 0..1, in least squares with smoothness."""
        change = tf.constant((image - self.content).reshape(-1, 3), tf.float32)
        shape = (len(self._seen), self.grid.nodes, 4, 1)
        roughness = self.weights.calm * _ROUGHNESS + 1e-6

        def normal(flat: np.ndarray) -> np.ndarray:
            coefficients = tf.constant(flat.reshape(shape), tf.float32)
            seen = self._scene.field.by_coefficients(self._scene.field.change(coefficients) / self._pixels)
            return (seen + roughness * self._scene.field.rough(coefficients)).numpy().ravel()

        operator = scipy.sparse.linalg.LinearOperator((np.prod(shape),) * 2, matvec=normal)
        aims = (self._scene.field.by_coefficients(change[:, k : k + 1] / self._pixels).numpy().ravel() for k in range(3))
        columns = [scipy.sparse.linalg.cg(operator, aim, rtol=1e-4, maxiter=200)[0] for aim in aims]
        return np.stack([column.reshape(shape[:3]) for column in columns], axis=-1).astype(np.float32)

    def begin(self, grade: np.ndarray) -> None:
        """Sets the result that the grade term pulls to, by coefficients, and the known part of the Hessian."""
        picture = tf.reshape(self.content, (-1, 3)) + self._scene.field.change(tf.constant(grade))
        self._scene = self._scene._replace(grade=tf.clip_by_value(picture, 0.0, 1.0))
        rough = 2 * self.weights.calm * _ROUGHNESS * self.grid.roughness_spectrum() + _LEAST_CURVATURE
        curvature = _CURVATURE * max(self.weights.calm, 1.0) / self._pixels * self._seen.reshape(-1, 1, 1, 1)
        self._inverse = tf.constant((1 / (rough + curvature))[..., None], tf.float32)  # (R, levels, height, width, 1)

    def precondition(self, gradient: tf.Tensor) -> tf.Tensor:
        """The approximate inverse Hessian times a gradient (R, nodes, 4, 3): exact for smoothness, a multiple for the rest."""
        waves = self._along_axes(self._waves, tf.cast(gradient, tf.float32)) * self._inverse
        return tf.reshape(self._along_axes([tf.transpose(each) for each in self._waves], waves), gradient.shape)

    def _along_axes(self, matrices: list[tf.Tensor], values: tf.Tensor) -> tf.Tensor:
        """Values at the nodes (R, ...) times a matrix along each axis of the grid, (R, levels, height, width, 12)."""
        up, down, across = matrices
        grid = self.grid
        values = tf.matmul(up, tf.reshape(values, (-1, grid.levels, grid.height * grid.width * 12)))
        values = tf.matmul(down, tf.reshape(values, (-1, grid.height, grid.width * 12)))
        values = tf.matmul(across, tf.reshape(values, (-1, grid.width, 12)))
        return tf.reshape(values, (-1, grid.levels, grid.height, grid.width, 12))

    def look(self, coefficients: tf.Tensor, masks: FittedMasks) -> Look:
        """The maps of these coefficients."""
        maps = np.einsum("rnkj,kc->rnjc", self._scene.field.uncentred(coefficients), BASIS)
        return Look(self.grid, maps.astype(np.float32), masks)

    def __call__(self, coefficients: tf.Tensor) -> Evaluation:
        """The loss at some coefficients.

        Raises:
            NonFiniteLoss: the loss or its gradient is not finite.
        """
        self.evaluations += 1
        terms, gradient, picture = stoppable(self._terms, tf.cast(coefficients, tf.float32), self._scene, self._scales)
        *terms, is_finite = map(float, terms.numpy())  # all that leaves the device
        losses = dict(zip(TERMS, terms, strict=True))
        losses["total"] = sum(losses.values())
        if not (np.isfinite(losses["total"]) and is_finite):
            raise NonFiniteLoss(non_finite_message(losses))
        return Evaluation(losses, gradient, picture)


def palettes(pair: Pair) -> Palettes:
    """The colours of each region of the style; of one that is nowhere, any."""
    colours = [pair.style[mask > 0.5] for mask in np.moveaxis(pair.style_masks, -1, 0)]
    return Palettes.of([own if len(own) else np.zeros((1, 3), np.float32) for own in colours])


def _sample(inside: np.ndarray) -> np.ndarray:
    """One of every few of a region's pixels, by chance with a fixed seed: their colours stand for all."""
    every = max(1, min(_EVERY, len(inside) // _LEAST_SAMPLE))
    strata = len(inside) // every
    return inside[np.arange(strata) * every + np.random.default_rng(0).integers(0, every, strata)]


def settled(levels: float, steps: int) -> Callable[[Evaluation], str]:
    """A stopping test to be called with each step's evaluation: why to stop, or nothing.

    Args:
        levels: of 0..255; a root mean square change of the picture of less than this over the last `steps` cannot be seen.
        steps: see `levels`.
    """
    seen: list[tf.Tensor] = []

    def test(evaluation: Evaluation) -> str:
        seen.append(tf.clip_by_value(evaluation.image, 0.0, 1.0))
        if len(seen) <= steps:
            return ""
        moved = 255 * float(tf.sqrt(tf.reduce_mean((seen[-1] - seen.pop(0)) ** 2)))
        return f"the picture changes by {moved:.2f} levels in {steps} steps" if moved < levels else ""

    return test
