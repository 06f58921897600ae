"""Solves for a look: the coefficients of a field of affine maps that bring the content nearest to the style.

What is minimised, in units that depend neither on the features nor on the size of the photo:

- style and content of Luan et al. 2017 (eq. 5), each style layer divided by its loss at the content photo, so that every layer
  counts alike and a style loss of 1 means that nothing was taken over; total variation, divided by the content's
- the distance of each region's colours from the style region's, and how foreign they are to it (`palette`)
- photorealism, times `8^(realism - 1)`: the quadratic form of the matting Laplacian (eq. 4), nothing invented, one object in one
  hue, and nothing lost (`photograph`)
- what keeps the maps calm, times the same: maps that vary slowly, little gain, and nearness to the region-wise colour grade that
  it starts from
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg

from closed_form_matting import matting_laplacian
from dpst.imaging.colours import LUMA
from dpst.imaging.fitted_masks import FittedMasks
from dpst.options import Options
from dpst.solver.affine_field import Grid, Look, slicing
from dpst.solver.grams import RegionGrams
from dpst.solver.objective import CONTENT_LAYER, STYLE_LAYERS, matched_masks, total_variation
from dpst.solver.optimum import Evaluation, NonFiniteLoss, non_finite_message
from dpst.solver.palette import Palette, colour_grade
from dpst.solver.photograph import Photograph
from dpst.solver.run import Pair
from dpst.solver.sizes import MIN_SOLVE_SIDE
from dpst.solver.terms import Scales, Scene, compiled_terms
from vgg19.backend import tf
from vgg19.network import Network

# Weights of the terms, chosen on photo pairs by scores and by eye; a style loss of 1 is the unit.
_CONTENT, _VARIATION, _COLOURS, _FOREIGN, _RANGE = 0.06, 0.002, 0.76, 0.6, 90.0
# The same of photorealism: the matting form, of colours 0..1, a pixel; invented variance, wandering hue, lost contrast.
_AFFINE, _INVENTED, _WANDERING, _LOST = 300.0, 680.0, 150.0, 0.12
# The same of the maps: roughness, gain, distance from the grade.
_ROUGHNESS, _GAIN, _GRADE = 0.0011, 0.004, 0.18
# Weight of a difference in hue from the grade, relative to one in brightness.
_HUE = 8.0
# Factor by which the terms that realism scales grow from one value of realism to the next.
_REALISM_STEP = 8.0
# Standard deviation, 0..1, of noise in the content that the colour grade takes into account.
_NOISE = 0.045
# Curvature assumed for the terms that the preconditioner leaves out: a multiple of the identity on the picture (loss per pixel),
# and of the identity on the coefficients.
_CURVATURE, _LEAST_CURVATURE = 1.2, 1e-5
# Colours are taken relative to the region's mean luma, in units of this: constants and slopes are then of one size.
_SPREAD = 0.3
# (4, 4): from (red, green, blue, 1) to luma, red minus luma, blue minus luma, in that unit, and 1.
_BASIS = np.vstack([np.pad(np.array([LUMA, [1, 0, 0] - LUMA, [0, 0, 1] - LUMA]) / _SPREAD, ((0, 0), (0, 1))), [0, 0, 0, 1]])
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
    calm: float

    @classmethod
    def of(cls, options: Options, realism: float) -> Weights:
        """The defaults of the reference's weights count as 1 each; above realism 1 the grade pulls harder than realism does."""
        defaults, step = Options(), _REALISM_STEP ** (realism - 1)
        return cls(
            options.content_weight / defaults.content_weight,
            options.style_weight / defaults.style_weight,
            options.tv_weight / defaults.tv_weight,
            options.affine_weight / defaults.affine_weight * step,
            step,
            step * max(step, 1.0),
        )

    @property
    def segmented(self) -> Weights:
        """The same without photorealism, as the paper's first stage has it."""
        return dataclasses.replace(self, affine=0.0, photograph=0.0)


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
        palettes: list[Palette | None],
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
        content = pair.content
        self.grid, self.evaluations = Grid.over(pair.size, cells), 0
        self.weights = weights
        self.content, self._pair = content, pair
        self._pixels, self._network = content.shape[0] * content.shape[1], network
        masks = pair.content_masks.reshape(self._pixels, -1)
        centres = [_mean_luma(content, mask) / _SPREAD for mask in masks.T]
        self._centres = np.array(centres, np.float32)[:, None, None]  # (R, 1, 1)
        nodes, shares = self.grid.weights(content, 0, content.shape[0])
        slices = [slicing(nodes, shares, mask, self.grid) for mask in masks.T]
        self._slicing = scipy.sparse.hstack(slices, format="csr", dtype=np.float32)  # (pixels, R * nodes)
        self._splatting = self._slicing.T.tocsr()
        self._colours = (np.concatenate([content.reshape(-1, 3), np.ones((self._pixels, 1))], 1) @ _BASIS.T).astype(np.float32)
        self._mass = (np.asarray(self._slicing.sum(0)) / self._pixels).reshape(len(masks.T), -1, 1, 1)  # (R, nodes, 1, 1)
        self._seen = (masks.astype(np.float64) ** 2).sum(0) / self.grid.nodes  # (R,), the mean over the nodes of S'S 1
        self._roughness = self.grid.roughness().astype(np.float32)
        check()
        # A ribbon that is narrower than a window has none.
        self._laplacian = matting_laplacian(content).astype(np.float32) if min(pair.size) >= MIN_SOLVE_SIDE else None
        check()
        self._palettes: list[tuple[np.ndarray, float, Palette]] = []  # pixels, for how many each stands, and colours
        for mask, palette in zip(masks.T, palettes, strict=True):
            inside = np.flatnonzero(mask > 0.5)
            if palette and len(inside) >= _LEAST_COLOURS:
                some = _sample(inside)
                self._palettes.append((some, len(inside) / len(some), palette))
        self._colour_unit = max(self._colour_distance(content.reshape(-1, 3))[0], _LEVEL)
        self._prepare_network(check)
        self._grade = content.reshape(-1, 3)

    def _prepare_network(self, check: Callable[[], None]) -> None:
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
        self._variation_unit = max(float(total_variation(tf.constant(self.content))), _LEVEL * self._pixels)
        self._scene = Scene(
            self._network.tensors,
            tuple(grams.values()),
            tuple(targets.values()),
            content[CONTENT_LAYER],
            Photograph.of(self.content, None if self._pair.are_guessed else self._pair.content_masks),
        )
        check()
        self._terms = compiled_terms(self._network.layers, self._scene)

    @property
    def _scales(self) -> Scales:
        weights = self.weights
        return Scales(
            weights.content * _CONTENT / self._content_unit,
            tf.constant(weights.style / self._style_units),
            weights.variation * _VARIATION / self._variation_unit,
            weights.photograph * _INVENTED,
            weights.photograph * _WANDERING,
            weights.photograph * _LOST,
        )

    def unchanged(self) -> np.ndarray:
        """Coefficients that leave the content as it is."""
        return np.zeros((len(self._centres), self.grid.nodes, 4, 3), np.float32)

    def graded(self) -> np.ndarray:
        """Coefficients of the region-wise colour grade (`palette.colour_grade`)."""
        coefficients = self.unchanged()
        for r, centre in enumerate(self._centres.ravel()):
            mask, style_mask = self._pair.content_masks[..., r], self._pair.style_masks[..., r]
            if min(mask.sum(), style_mask.sum()) >= 1:
                change = colour_grade(self.content, self._pair.style, mask, style_mask, _NOISE) - np.eye(3, 4)
                own = np.linalg.solve(_BASIS.T, change.T)  # change = own' basis
                own[3] += centre * own[0]
                coefficients[r] = own
        return coefficients

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Coefficients whose result is nearest to an image (H, W, 3), 0..1, in least squares with smoothness."""
        change = (image - self.content).reshape(-1, 3)
        nodes, regions = self.grid.nodes, len(self._centres)
        roughness = self.weights.calm * _ROUGHNESS + 1e-6

        def normal(flat: np.ndarray) -> np.ndarray:
            coefficients = flat.reshape(regions, nodes, 4, 1)
            sliced = self._slice(coefficients)
            back = self._splat(sliced / self._pixels)
            rough = [self._roughness @ c.reshape(nodes, 4) for c in coefficients]
            return (back + roughness * np.stack(rough).reshape(back.shape)).ravel()

        size = regions * nodes * 4
        operator = scipy.sparse.linalg.LinearOperator((size, size), matvec=normal)
        columns = []
        for channel in range(3):
            aim = self._splat(change[:, channel : channel + 1] / self._pixels).ravel()
            columns.append(scipy.sparse.linalg.cg(operator, aim, rtol=1e-4, maxiter=200)[0].reshape(regions, nodes, 4))
        return np.stack(columns, axis=-1)

    def begin(self, grade: np.ndarray) -> None:
        """Sets the result that the grade term pulls to, by coefficients, and the known part of the Hessian."""
        self._grade = np.clip(self.content.reshape(-1, 3) + self._slice(grade), 0, 1)
        rough = 2 * self.weights.calm * _ROUGHNESS * self.grid.roughness_spectrum() + _LEAST_CURVATURE
        curvature = _CURVATURE / self._pixels * self._seen.reshape(-1, 1, 1, 1)
        self._inverse = (1 / (rough + curvature)[..., None]).astype(np.float32)

    def precondition(self, gradient: np.ndarray) -> np.ndarray:
        """The approximate inverse Hessian times a gradient (R, nodes, 4, 3): exact for smoothness, a multiple for the rest.

        The cosine transform diagonalises the roughness, whose neighbours have none beyond the ends (Neumann).
        """
        waves = scipy.fft.dctn(gradient.reshape(*self._inverse.shape[:-1], 12).astype(np.float32), axes=(1, 2, 3), norm="ortho")
        solved = scipy.fft.idctn(waves * self._inverse, axes=(1, 2, 3), norm="ortho", overwrite_x=True)
        return solved.reshape(gradient.shape)

    def look(self, coefficients: np.ndarray, masks: FittedMasks) -> Look:
        """The maps of these coefficients."""
        maps = np.einsum("rnkj,kc->rnjc", self._uncentred(coefficients), _BASIS)
        return Look(self.grid, maps.astype(np.float32), masks)

    def _uncentred(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients (R, nodes, 4, k) by which luma counts from 0, and no longer from the region's mean."""
        coefficients = coefficients.astype(np.float32)
        coefficients[:, :, 3] -= self._centres * coefficients[:, :, 0]
        return coefficients

    def _slice(self, coefficients: np.ndarray) -> np.ndarray:
        """The change (pixels, k) of coefficients (R, nodes, 4, k), float32."""
        channels = coefficients.shape[-1]
        maps = self._slicing @ self._uncentred(coefficients).reshape(-1, 4 * channels)
        return np.einsum("pk,pkj->pj", self._colours, maps.reshape(-1, 4, channels))

    def _splat(self, by_image: np.ndarray) -> np.ndarray:
        """The transpose of `_slice`: a derivative by the image (pixels, k) to one by the coefficients (R, nodes, 4, k)."""
        products = (self._colours[:, :, None] * by_image[:, None, :]).reshape(self._pixels, -1)
        by_maps = self._splatting @ products.astype(np.float32, copy=False)
        by_maps = by_maps.reshape(len(self._centres), -1, 4, by_image.shape[-1])
        by_maps[:, :, 0] -= self._centres * by_maps[:, :, 3]
        return by_maps

    def _colour_distance(self, colours: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean squared distance of the colours (pixels, 3) of each region from the style region's, and its gradient."""
        loss, gradient = 0.0, np.zeros_like(colours)
        for some, each, palette in self._palettes:
            own, by_colours = palette.transport(colours[some])
            loss += own * each / self._pixels
            gradient[some] += by_colours * np.float32(each / self._pixels)
        return loss, gradient

    def __call__(self, coefficients: np.ndarray) -> Evaluation:
        """The loss at some coefficients.

        Raises:
            NonFiniteLoss: the loss or its gradient is not finite.
        """
        self.evaluations += 1
        image = self.content.reshape(-1, 3) + self._slice(coefficients)
        picture = image.reshape(self.content.shape)
        calm = self.weights.calm
        with concurrent.futures.ThreadPoolExecutor(1) as beside:  # the network leaves a core idle now and then
            network = beside.submit(self._terms, tf.constant(picture), self._scene, self._scales)
            losses, gradient = self._by_colours(image)
            # Within the block: Ctrl-C while Python joins a thread makes it forget the thread (bpo-46726), and the program could
            # end while TensorFlow computes.
            found, by_image = network.result()
        losses |= {name: float(value) for name, value in found.items()}
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found below
            by_coefficients = self._splat(gradient + by_image.numpy().reshape(-1, 3))
        rough = np.stack([self._roughness @ own for own in coefficients.reshape(len(coefficients), -1, 12)])
        rough = rough.reshape(coefficients.shape)
        losses["roughness"] = calm * _ROUGHNESS * float(np.vdot(coefficients, rough))
        by_coefficients += np.float32(2 * calm * _ROUGHNESS) * rough
        gain = self._mass * coefficients[:, :, :3]
        losses["gain"] = calm * _GAIN * float(np.vdot(coefficients[:, :, :3], gain))
        by_coefficients[:, :, :3] += np.float32(2 * calm * _GAIN) * gain
        losses["total"] = sum(losses.values())
        if not (np.isfinite(losses["total"]) and np.isfinite(by_coefficients).all()):
            raise NonFiniteLoss(non_finite_message(losses))
        return Evaluation(losses, by_coefficients, picture)

    def _by_colours(self, image: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        """The terms of the colours (pixels, 3) of an image, each pixel for itself, and their gradient."""
        distance, by_image = self._colour_distance(image)
        weight = _COLOURS * self.weights.style / self._colour_unit
        losses = {"colours": weight * distance, "foreign": 0.0, "affine": 0.0}
        gradient = np.float32(weight) * by_image
        for some, each, palette in self._palettes:
            away, by_colours = palette.foreignness(image[some])
            losses["foreign"] += _FOREIGN * each * float(np.vdot(away, away)) / self._pixels
            gradient[some] += np.float32(2 * _FOREIGN * each / self._pixels) * away[:, None] * by_colours
        beyond = image - np.clip(image, 0, 1)
        losses["range"] = _RANGE * float(np.vdot(beyond, beyond)) / self._pixels
        gradient += np.float32(2 * _RANGE / self._pixels) * beyond
        pull, by_pull = self._pull(image - self._grade)
        losses["grade"] = self.weights.calm * pull
        gradient += np.float32(self.weights.calm) * by_pull
        if self.weights.affine and self._laplacian is not None:
            weight, by_form = self.weights.affine * _AFFINE / self._pixels, self._laplacian @ image
            losses["affine"] = weight * float(np.vdot(image, by_form))  # Luan et al. 2017, eq. 4
            gradient += np.float32(2 * weight) * by_form
        return losses, gradient

    def _pull(self, difference: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean squared difference (pixels, 3) from the colour grade, hue counting more than light, and its gradient."""
        light = (difference @ LUMA)[:, None]
        hue = difference - light
        loss = _GRADE * (3 * float(np.vdot(light, light)) + _HUE * float(np.vdot(hue, hue))) / self._pixels
        gradient = _HUE * (hue - hue.sum(1, keepdims=True) * LUMA) + 3 * light * LUMA
        return loss, gradient * np.float32(2 * _GRADE / self._pixels)


def palettes(pair: Pair) -> list[Palette | None]:
    """The colours of each region of the style; None where it has too few pixels to compare."""
    colours = [pair.style[mask > 0.5] for mask in np.moveaxis(pair.style_masks, -1, 0)]
    return [Palette(own) if len(own) >= _LEAST_COLOURS else None for own in colours]


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
    seen: list[np.ndarray] = []

    def test(evaluation: Evaluation) -> str:
        seen.append(evaluation.image)
        if len(seen) <= steps:
            return ""
        before = seen.pop(0)
        moved = 255 * float(np.sqrt(np.mean((np.clip(evaluation.image, 0, 1) - np.clip(before, 0, 1)) ** 2)))
        return f"the picture changes by {moved:.2f} levels in {steps} steps" if moved < levels else ""

    return test


def _mean_luma(content: np.ndarray, mask: np.ndarray) -> float:
    return float(np.average(content.reshape(-1, 3) @ LUMA, weights=mask + 1e-9))
