"""The objective against the reference's figures, closed forms, the formulas written out, and finite differences."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import golden_masks, golden_photo

from closed_form_matting import matting_laplacian
from dpst.errors import UserError
from dpst.options import Options
from dpst.solver.grams import RegionGrams
from dpst.solver.objective import STYLE_LAYERS, Objective, matched_masks, total_variation
from dpst.solver.optimum import NonFiniteLoss
from vgg19.masks import propagate

HEIGHT, WIDTH = 19, 26
START = golden_photo("init.png").astype(np.float64) * 255


@pytest.fixture(scope="module")
def objectives(golden_objective):
    return {"segmented": golden_objective(matting=False), "matting": golden_objective(matting=True)}


@pytest.fixture(scope="module")
def evaluations(objectives):
    return {name: objective(START) for name, objective in objectives.items()}


@pytest.mark.parametrize("name", ["segmented", "matting"])
def test_losses_agree_with_the_reference(reference, evaluations, name):
    losses, expected = evaluations[name].losses, reference[name]
    assert set(losses) == {"content", "style", "tv", "total"} | ({"affine"} if name == "matting" else set())
    for term in losses:
        assert losses[term] == pytest.approx(np.sum(expected[term]), rel=1e-4), term
    assert evaluations[name].total == losses["total"]


def test_the_style_loss_of_each_layer_agrees_with_the_reference(reference, thin_network):
    images = golden_photo("init.png"), golden_photo("style.png")
    generated, style = (thin_network.features(tf.constant(image), STYLE_LAYERS) for image in images)
    masks, style_masks = (propagate(golden_masks(name), STYLE_LAYERS) for name in ("content_seg.png", "style_seg.png"))
    for layer, expected in zip(STYLE_LAYERS, reference["segmented"]["style"], strict=True):
        targets = RegionGrams.of(style_masks[layer])(style[layer])
        loss = Options().style_weight * float(RegionGrams.of(masks[layer]).loss(generated[layer], targets)[0])
        assert loss == pytest.approx(expected, rel=1e-4), layer


@pytest.mark.parametrize("name", ["segmented", "matting"])
def test_the_gradient_agrees_with_the_reference(reference, evaluations, name):
    gradient, expected = evaluations[name].gradient[..., ::-1], reference[name]  # the figures are in BGR
    assert gradient.dtype == np.float64
    assert np.linalg.norm(gradient) == pytest.approx(expected["grad_norm"], rel=1e-3)
    assert gradient.sum() == pytest.approx(expected["grad_sum"], rel=1e-3)
    for place, value in expected["grad_samples"].items():
        assert gradient[tuple(map(int, place.split(",")))] == pytest.approx(value, rel=1e-3), place


def test_total_variation_of_a_checkerboard_a_ramp_and_a_constant():
    y, x = np.mgrid[:7, :5]
    checkerboard = np.repeat(((y + x) % 2)[..., None], 3, axis=2) * 10.0
    ramp = np.stack([2.0 * x, 3.0 * y, np.zeros((7, 5))], axis=2)
    # 6 x 4 pixels have both neighbours; each of three channels differs by 10 from two.
    assert float(total_variation(tf.constant(checkerboard))[0]) == 6 * 4 * 3 * 2 * 100 / 2
    assert float(total_variation(tf.constant(ramp))[0]) == 6 * 4 * (4 + 9) / 2
    assert float(total_variation(tf.ones((7, 5, 3)))[0]) == 0


@pytest.mark.parametrize("amount", [1.0, 0.5])
def test_the_gram_matrix_of_constant_features(amount):
    constant = np.array([1.0, 2.0, -3.0], np.float32)
    features = tf.constant(np.broadcast_to(constant, (1, 4, 6, 3)))
    masks = np.zeros((4, 6, 1), np.float32)
    masks[1:3, 2:] = amount
    # Features times the mask squared over size times the mean mask: the amount counts once.
    (gram,) = RegionGrams.of(masks)(features)
    np.testing.assert_allclose(gram, amount * np.outer(constant, constant) / 3, rtol=1e-6)


def random_layer(regions=4):
    """Features (1, 5, 8, 6) and masks (5, 8, R): one soft, one hard, one everywhere, the last empty."""
    random = np.random.default_rng(0)
    masks = np.zeros((5, 8, regions), np.float32)
    masks[..., 0] = random.random((5, 8)) * (random.random((5, 8)) < 0.6)
    masks[1:4, 2:7, 1] = 1
    masks[..., 2] = 1
    return tf.constant(random.standard_normal((1, 5, 8, 6)), tf.float32), masks


def grams_by_formula(features, masks):
    """OBJECTIVE's formula, over all pixels of every region: F' F / (size(F) * mean(m))."""
    grams = []
    for mask in np.moveaxis(masks, -1, 0):
        flat = tf.reshape(features * mask[..., None], (-1, features.shape[-1]))
        grams.append(tf.matmul(flat, flat, transpose_a=True) / (tf.size(features, tf.float32).numpy() * (mask.mean() or 1)))
    return grams


def test_gathered_gram_matrices_are_those_of_the_formula():
    features, masks = random_layer()
    for gram, expected in zip(RegionGrams.of(masks)(features), grams_by_formula(features, masks), strict=True):
        np.testing.assert_allclose(gram, expected, rtol=1e-5, atol=1e-6)


def test_a_mask_of_ones_is_no_mask():
    features, masks = random_layer()
    flat = features.numpy().reshape(-1, 6)
    (gram,) = RegionGrams.of(np.ones_like(masks[..., :1]))(features)
    np.testing.assert_allclose(gram, flat.T @ flat / flat.size, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [1], [2]])
def test_the_region_loss_and_its_own_gradient_are_those_of_the_formula(columns):
    features, masks = random_layer()
    masks = masks[..., columns]
    roots = np.random.default_rng(1).standard_normal((len(columns), 6, 6)).astype(np.float32)
    targets = [tf.constant(root @ root.T) for root in roots]
    loss, gradient = RegionGrams.of(masks).loss(features, targets)
    with tf.GradientTape() as tape:
        tape.watch(features)
        pairs = zip(grams_by_formula(features, masks), targets, masks.mean(axis=(0, 1)), strict=True)
        expected = tf.add_n([tf.reduce_mean((gram - target) ** 2) * share for gram, target, share in pairs])
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, tape.gradient(expected, features), rtol=1e-4, atol=1e-6)


@pytest.fixture
def make(thin_network):
    """A function that makes an objective of small photos of different sizes, whose masks, options and Laplacian may be given."""
    random = np.random.default_rng(2)
    content, style = random.random((HEIGHT, WIDTH, 3), np.float32), random.random((23, 17, 3), np.float32)

    def make(masks=None, matting=False, **options):
        masks = masks or (np.ones((HEIGHT, WIDTH, 1), np.float32), np.ones((23, 17, 1), np.float32))
        laplacian = matting_laplacian(content) if matting else None
        return Objective(thin_network, content, style, masks, dataclasses.replace(Options(), **options), laplacian)

    make.content, make.style = content, style
    return make


@pytest.fixture
def levels():
    return np.random.default_rng(3).random((HEIGHT, WIDTH, 3)) * 255


def test_the_style_loss_sums_the_layers_of_the_formula(make, thin_network, levels):
    # Even a mask of ones counts less near the border: on its way down it is averaged with zeros beyond.
    image, style = (tf.constant(x, tf.float32) for x in (levels / 255, make.style))
    features, targets = (thin_network.features(x, STYLE_LAYERS) for x in (image, style))
    expected = 0.0
    for layer in STYLE_LAYERS:
        mask, style_mask = (propagate(np.ones((*x.shape[:2], 1), np.float32), [layer])[layer] for x in (image, style))
        (gram,), (target,) = grams_by_formula(features[layer], mask), grams_by_formula(targets[layer], style_mask)
        expected += 100 * float(tf.reduce_mean((gram - target) ** 2)) * mask.mean()
    assert make()(levels).losses["style"] == pytest.approx(expected, rel=1e-4)


def test_a_region_in_neither_photo_changes_nothing(make, levels):
    masks = [np.zeros((*size, 2), np.float32) for size in ((HEIGHT, WIDTH), (23, 17))]
    for mask in masks:
        mask[..., 1] = 1
    expected, found = make()(levels), make(tuple(masks))(levels)
    assert found.total == pytest.approx(expected.total, rel=1e-5)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-3, atol=1e-3)


def test_pixels_in_no_region_have_no_part_in_the_style_loss(make, levels):
    mask = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    mask[:, :2] = 1
    gradient = make((mask, np.ones((23, 17, 1), np.float32)), content_weight=0.0, tv_weight=0.0)(levels).gradient
    assert gradient[:, :2].any()
    # conv1_1 and conv2_1 see as far as this from the mask's edge; deeper layers see all of so small a photo.
    shallow = np.abs(gradient[:, :6]).mean()
    assert np.abs(gradient[:, -6:]).mean() < 0.01 * shallow


def test_each_weight_scales_its_own_term_alone(make, levels):
    once = make(matting=True)(levels).losses
    for term in ("content", "style", "tv", "affine"):
        name = f"{term}_weight"
        twice = make(matting=True, **{name: 2 * getattr(Options(), name)})(levels).losses
        assert twice[term] == pytest.approx(2 * once[term], rel=1e-5)
        assert {k: v for k, v in twice.items() if k not in (term, "total")} == pytest.approx(
            {k: v for k, v in once.items() if k not in (term, "total")}, rel=1e-5
        )
        assert twice["total"] == pytest.approx(once["total"] + once[term], rel=1e-5)


def test_the_content_itself_has_no_content_loss_and_the_style_itself_no_style_loss(make, thin_network):
    assert make()(make.content * 255.0).losses["content"] == pytest.approx(0, abs=1e-6)
    ones = np.ones((23, 17, 1), np.float32)
    itself = Objective(thin_network, make.style, make.style, (ones, ones), Options())
    assert itself(make.style * 255.0).losses["style"] < 1e-6 * make()(make.content * 255.0).losses["style"]


def test_the_affine_term_is_the_laplacian_form_of_each_channel(make, levels):
    laplacian, columns = matting_laplacian(make.content), (levels / 255).reshape(-1, 3)
    expected = 1e4 * sum(v @ (laplacian @ v) for v in columns.T)
    evaluation = make(matting=True, content_weight=0.0, style_weight=0.0, tv_weight=0.0)(levels)
    assert evaluation.losses["affine"] == pytest.approx(expected, rel=1e-5)
    slope = 1e4 * 2 * (laplacian @ columns).reshape(levels.shape) / 255
    np.testing.assert_allclose(evaluation.gradient, slope, rtol=1e-3, atol=1e-4 * np.abs(slope).max())


@pytest.mark.parametrize("matting", [False, True])
def test_the_gradient_agrees_with_finite_differences(make, levels, matting):
    # Weights that make each term count alike; in single precision only differences along long directions mean anything.
    losses = make(matting=True)(levels).losses
    weights = {f"{k}_weight": getattr(Options(), f"{k}_weight") * 1e4 / v for k, v in losses.items() if k != "total"}
    objective = make(matting=matting, **weights)
    gradient = objective(levels).gradient
    random = np.random.default_rng(4)
    directions = [gradient, *(gradient * random.random(gradient.shape) for _ in range(3))]
    for direction in directions:
        step = 0.02 * direction / np.abs(direction).max()
        difference = (objective(levels + step).total - objective(levels - step).total) / 2
        assert difference == pytest.approx(np.vdot(gradient, step), rel=0.01)


def test_flat_and_shaped_images_are_the_same_and_evaluations_are_counted(make, levels):
    objective = make()
    assert objective.evaluations == 0
    assert objective(levels.ravel()).losses == objective(levels).losses
    assert objective.evaluations == 2


def test_a_loss_that_is_not_finite_says_which_term(make, levels):
    levels[3, 4, 1] = np.nan
    with pytest.raises(NonFiniteLoss, match=r"^loss nan is not finite \(content .*, style .*, tv nan, total nan\); use smaller"):
        make()(levels)
    assert issubclass(NonFiniteLoss, UserError)


def test_a_gradient_that_is_not_finite_counts_as_well(make, levels, monkeypatch):
    objective = make()
    losses, gradient = objective._compiled(tf.constant(levels, tf.float32))
    infinite = tf.where(gradient == gradient[0, 0, 0], np.inf, gradient)
    monkeypatch.setattr(objective, "_compiled", lambda levels: (losses, infinite))
    with pytest.raises(NonFiniteLoss):
        objective(levels)


def test_a_region_whose_style_vanishes_down_the_network_has_no_part_there(thin_network):
    content_masks, style_masks = golden_masks("content_seg.png"), golden_masks("style_seg.png")
    style_masks[..., 0] = 0
    style_masks[20, 20, 0] = 1  # one pixel
    of_content, of_style = matched_masks(content_masks, style_masks)
    gone = [layer for layer in STYLE_LAYERS if not of_content[layer][..., 0].any()]
    assert 0 < len(gone) < len(STYLE_LAYERS) and gone == list(STYLE_LAYERS[-len(gone) :])
    plain = propagate(content_masks, STYLE_LAYERS)
    for layer in STYLE_LAYERS:
        np.testing.assert_array_equal(of_content[layer][..., 1:], plain[layer][..., 1:])
    # So at these layers it costs nothing, where less than a tenth of the style's features was aimed at.
    features = thin_network.features(tf.constant(golden_photo("content.png")), STYLE_LAYERS)
    style = thin_network.features(tf.constant(golden_photo("style.png")), STYLE_LAYERS)
    for layer in gone:
        targets = RegionGrams.of(of_style[layer][..., :1])(style[layer])
        loss, gradient = RegionGrams.of(of_content[layer][..., :1]).loss(features[layer], targets)
        assert float(loss) == 0 and not gradient.numpy().any()
        (whole,) = RegionGrams.of(np.ones((*of_style[layer].shape[:2], 1), np.float32))(style[layer])
        assert np.linalg.norm(targets[0]) < 0.2 * np.linalg.norm(whole)
