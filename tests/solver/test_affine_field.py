"""A look: what its maps do to a photo, at any size, and what solving for one promises."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import golden_masks, golden_photo

from closed_form_matting import matting_laplacian
from dpst.errors import UserError
from dpst.imaging.fitted_masks import FittedMasks
from dpst.imaging.resizing import resize
from dpst.imaging.strips import restyled
from dpst.options import Options
from dpst.regions.regions import Regions
from dpst.solver import terms
from dpst.solver.affine_field import LEVELS, Grid, Look, slicing
from dpst.solver.look import LookObjective, Weights, palettes, settled
from dpst.solver.maps import DeviceInverseHessian
from dpst.solver.optimizers import minimize_preconditioned
from dpst.solver.optimum import Evaluation
from dpst.solver.run import Pair
from dpst.solver.stages import REFINEMENT, SEGMENTED
from photo_style import stylize

OPTIONS = Options(style_option=2, max_iter=3, max_size=61)


@pytest.fixture(scope="module")
def photos():
    return golden_photo("content.png"), golden_photo("style.png")


@pytest.fixture(scope="module")
def regions():
    return Regions(("blue", "white", "red"), golden_masks("content_seg.png"), golden_masks("style_seg.png"))


def whole(content):
    return FittedMasks.fitted(np.ones((*content.shape[:2], 1), np.float32), content)


def constant_look(content, change):
    """A look whose maps are all the same change (3, 4)."""
    grid = Grid.over(content.shape[:2], 4)
    maps = np.broadcast_to(np.float32(change), (1, grid.nodes, 3, 4)).copy()
    return Look(grid, maps, whole(content))


def test_interpolation_weights_add_up_to_one_and_give_linear_functions_back(photos):
    content = photos[0]
    grid = Grid.over(content.shape[:2], 5)
    nodes, weights = grid.weights(content, 0, len(content))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    level, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in (LEVELS, grid.height, grid.width)), indexing="ij")
    height, width = content.shape[:2]
    rows, columns = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    for values, expected in ((level, content @ [0.299, 0.587, 0.114]), (y, rows), (x, columns)):
        sliced = slicing(nodes, weights, np.ones(height * width, np.float32), grid) @ values.ravel()
        np.testing.assert_allclose(sliced.reshape(height, width), expected, atol=1e-5)


def test_without_place_a_grid_knows_luma_alone(photos):
    content = photos[0]
    grid = Grid.over(content.shape[:2], 0)
    assert (grid.levels, grid.height, grid.width) == (LEVELS, 1, 1)
    nodes, weights = grid.weights(content, 0, len(content))
    assert nodes.max() < LEVELS
    ones = np.ones(content.shape[0] * content.shape[1], np.float32)
    sliced = slicing(nodes, weights, ones, grid) @ np.arange(LEVELS, dtype=np.float32)
    np.testing.assert_allclose(sliced, (LEVELS - 1) * (content @ [0.299, 0.587, 0.114]).ravel(), atol=1e-4)
    np.testing.assert_allclose(np.linalg.eigvalsh(grid.roughness().toarray()), grid.roughness_spectrum().ravel(), atol=1e-9)


def test_without_place_equal_colours_are_changed_alike_and_tones_keep_their_order(photos, thin_network):
    content = photos[0].copy()
    content[-5:] = content[:5]  # the same colours above and below
    options = Options(style_option=2, max_iter=20, max_size=61, auto_seg="0")
    result = stylize(content, photos[1], options=options, network=thin_network, by_place=False)
    assert np.abs(result.image - content).max() > 0.05
    np.testing.assert_allclose(result.image[-5:], result.image[:5], atol=1e-6)
    ramp = np.repeat(np.linspace(0, 1, 32, dtype=np.float32), 3).reshape(1, 32, 3)
    ramp = np.repeat(ramp, 4, 0)
    assert (np.diff(result.looks[1.0].apply(ramp, 0, 4)[0] @ [0.299, 0.587, 0.114]) > -0.01).all()


def test_rows_of_a_photo_are_sliced_as_in_the_whole(photos):
    content = resize(photos[0], 200, 271)
    look = constant_look(photos[0], 0.1 * np.eye(3, 4))
    random = np.random.default_rng(0).normal(0, 0.1, look.maps.shape).astype(np.float32)
    look = dataclasses.replace(look, maps=random)
    strips = (content[top : top + 37] for top in range(0, 200, 37))
    np.testing.assert_allclose(np.concatenate(list(restyled(look, strips, 200))), look.apply(content, 0, 200), atol=1e-6)


def test_the_same_map_everywhere_is_that_map_at_any_size(photos):
    change = np.array([[-0.3, 0.1, 0, 0.1], [0, -0.4, 0.1, 0.2], [0.1, 0, -0.2, 0]])
    for size in ((45, 61), (150, 203)):
        content = resize(photos[0], *size)
        expected = np.clip(content + content @ change[:, :3].T + change[:, 3], 0, 1)
        np.testing.assert_allclose(constant_look(photos[0], change).apply(content, 0, size[0]), expected, atol=1e-4)


def test_no_change_is_the_photo_to_the_last_bit_and_so_is_strength_zero(photos):
    content = photos[0]
    np.testing.assert_array_equal(constant_look(content, np.zeros((3, 4))).apply(content, 0, len(content)), content)
    np.testing.assert_array_equal(constant_look(content, 0.3 * np.eye(3, 4)).apply(content, 0, len(content), 0.0), content)


def test_roughness_is_free_for_constant_maps_and_the_gradient_elsewhere():
    for cells in (8, 16):
        grid = Grid.over((60, 60), cells)
        form = grid.roughness()
        assert abs(form @ np.ones(grid.nodes)).max() < 1e-9
        x = np.tile(np.linspace(0, 1, grid.width), grid.nodes // grid.width)
        # A unit slope over a unit square, at each level; there is one more row of nodes than of cells.
        assert x @ form @ x == pytest.approx(LEVELS * (cells + 1) / cells)


@pytest.fixture(scope="module")
def objective(photos, regions, thin_network):
    pair = Pair(*photos, regions.content, regions.style)
    objective = LookObjective(thin_network, pair, palettes(pair), 48, Weights.of(OPTIONS, 1.0))
    objective.begin(objective.graded())
    return objective


def test_the_gradient_is_that_of_the_loss(objective):
    random = np.random.default_rng(0)
    coefficients = objective.graded()
    coefficients += 0.02 * random.standard_normal(coefficients.shape)
    evaluation = objective(coefficients)
    direction = -objective.precondition(evaluation.gradient)
    direction /= np.abs(direction).max()
    step = 1e-3
    up, down = (objective(coefficients + sign * step * direction) for sign in (1, -1))
    slope = (up.total - down.total) / (2 * step)
    assert slope == pytest.approx(float(np.vdot(evaluation.gradient, direction)), rel=0.02)


def test_the_grade_gives_each_region_its_styles_mean_colour(objective, photos, regions):
    image = objective(objective.graded()).image.numpy()
    for mask, style_mask in zip(regions.content.transpose(2, 0, 1), regions.style.transpose(2, 0, 1), strict=True):
        found, expected = image[mask == 1].mean(0), photos[1][style_mask == 1].mean(0)
        np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_fit_is_near_the_image_it_is_fitted_to(objective, photos):
    image = np.clip(0.7 * photos[0] + 0.1, 0, 1)
    fitted = objective(objective.fitted(image)).image.numpy()
    assert np.abs(fitted - image).mean() < 0.01


def test_the_matting_term_is_the_quadratic_form_of_the_laplacian(objective, photos):
    """Luan et al. 2017, eq. 4, of colours 0..1 a pixel, at the default weight 300 times that."""
    evaluation = objective(0.1 * np.random.default_rng(3).normal(0, 1, objective.unchanged().shape))
    losses, image, laplacian = (
        evaluation.losses,
        evaluation.image.numpy().reshape(-1, 3).astype(np.float64),
        matting_laplacian(photos[0]),
    )
    assert losses["affine"] == pytest.approx(300 / len(image) * np.vdot(image, laplacian @ image), rel=1e-3)


def test_preconditioning_solves_for_the_roughness(objective):
    """With no picture to see, the inverse is that of the roughness alone, and of a little of the identity."""
    grid, nodes = objective.grid, objective.grid.nodes
    objective.begin(objective.graded())
    gradient = np.random.default_rng(4).normal(0, 1, objective.unchanged().shape)
    solved = objective.precondition(gradient)
    back = solved.numpy().reshape(len(solved), nodes, 12)
    curvature = [1 / float(inverse[0, 0, 0, 0]) for inverse in objective._inverse]  # of the constant, which is not rough
    rough = 2 * objective.weights.calm * 0.0011 * np.stack([grid.roughness() @ each for each in back])
    again = rough + np.reshape(curvature, (-1, 1, 1)) * back
    np.testing.assert_allclose(again, gradient.reshape(back.shape), atol=2e-3)


def test_a_step_takes_only_a_few_numbers_from_the_device(objective, monkeypatch):
    """On a GPU every number that is looked at has to be waited for, and a picture travels long."""
    fetched = []
    tensor = type(tf.constant(0.0)).__base__
    fetch = tensor._numpy
    monkeypatch.setattr(tensor, "_numpy", lambda self: fetched.append(self.shape.num_elements()) or fetch(self))
    start, before = tf.constant(objective.graded()), objective.evaluations
    inverse = DeviceInverseHessian(objective.unchanged().size, 4)
    fetched.clear()
    minimize_preconditioned(
        objective, start, 8, lambda *_: None, objective.precondition, settled=settled(0.0, 2), inverse=inverse
    )
    assert max(fetched) == len(terms.TERMS) + 1
    assert len(fetched) <= 10 * (objective.evaluations - before)


def test_the_ways_that_a_gpu_takes_lead_to_the_same_picture(photos, regions, thin_network, monkeypatch):
    usual = stylize(*photos, regions=regions, options=OPTIONS, network=thin_network).image
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU"])
    terms._compiled.cache_clear()
    try:
        other = stylize(*photos, regions=regions, options=OPTIONS, network=thin_network).image
    finally:
        terms._compiled.cache_clear()
    assert not np.array_equal(usual, other)  # it has been another way
    np.testing.assert_allclose(usual, other, atol=1 / 255)


def test_realism_multiplies_by_eight_except_lost_below_1_and_calm_above_1():
    found = [(each.affine, each.photograph, each.lost, each.calm) for each in (Weights.of(OPTIONS, value) for value in (0, 1, 2))]
    assert found == [(1 / 8, 1 / 8, 1, 1 / 8), (1, 1, 1, 1), (8, 8, 8, 8**3)]
    assert not any(getattr(Weights.of(OPTIONS, 1).segmented, name) for name in ("affine", "photograph", "lost"))


def test_it_is_settled_when_the_picture_is(photos):
    test = settled(0.5, 2)
    same, other = (Evaluation({"total": 1.0}, np.zeros(3), photos[0] + np.float32(change)) for change in (0, 0.1))
    assert [test(same) for _ in range(2)] == ["", ""]
    assert "0.00 levels in 2 steps" in test(same)
    assert test(other) == ""


def test_both_stages_of_style_option_2_are_reported(photos, regions, thin_network):
    seen = []
    result = stylize(*photos, regions=regions, options=OPTIONS, network=thin_network, callback=seen.append)
    assert [stage.phase for stage in result.stages] == [SEGMENTED, REFINEMENT]
    assert [stage.iterations for stage in result.stages] == [3, 3]
    photorealism = ("affine", "invented", "hue", "lost")
    assert not any(result.stages[0].losses[-1].get(term) for term in photorealism)
    assert all(result.stages[1].losses[-1][term] > 0 for term in photorealism)
    assert all(stage.reason and stage.seconds > 0 and stage.size == (45, 61) for stage in result.stages)
    assert seen[0].share == 0 and seen[-1].share == 1
    for stage in result.stages:
        assert stage.losses[-1]["total"] < stage.losses[0]["total"]
    for progress in seen:
        parts = sum(value for term, value in progress.losses.items() if term != "total")
        assert progress.losses["total"] == pytest.approx(parts, rel=1e-6)


@pytest.mark.slow
def test_each_realism_has_a_look_and_more_of_it_has_calmer_maps(photos, regions, thin_network, caplog):
    caplog.set_level("INFO", "dpst.solver.run")
    options = dataclasses.replace(OPTIONS, realism="0,3", max_iter=20)
    result = stylize(*photos, regions=regions, options=options, network=thin_network)
    stages = [line.split(":")[0] for line in caplog.messages]
    assert stages[-2:] == [f"photorealistic refinement at 61x45, realism {realism}" for realism in (0, 3)]
    np.testing.assert_array_equal(result.image, next(iter(result.looks.values())).apply(photos[0], 0, 45))
    form = next(iter(result.looks.values())).grid.roughness()
    free, bound = (sum(np.vdot(m, form @ m) for m in look.maps.reshape(3, -1, 12)) for look in result.looks.values())
    assert bound < 0.5 * free
    alone = stylize(*photos, regions=regions, options=dataclasses.replace(options, realism="3"), network=thin_network)
    np.testing.assert_allclose(list(result.looks.values())[1].apply(photos[0], 0, 45), alone.image, atol=0.03)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_look(photos, regions, thin_network):
    first, second = (stylize(*photos, regions=regions, options=OPTIONS, network=thin_network).looks[1.0].maps for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_refinement_starts_from_the_init_image_as_maps_can_hold_it(photos, thin_network):
    init = np.clip(photos[0] * [0.9, 0.6, 0.3], 0, 1).astype(np.float32)
    seen = []
    options = dataclasses.replace(OPTIONS, style_option=1)
    stylize(*photos, options=options, network=thin_network, init=init, callback=seen.append)
    assert np.abs(seen[0].image - init).mean() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_option": 0, "solver": "maps"}, "`solver` maps cannot paint"),
        ({"style_option": 0, "realism": "0,1"}, "`realism` 0,1 needs `solver` maps"),
        ({"realism": "4"}, "`realism` 4 is out of range; use numbers from 0 to 3"),
        ({"realism": "a"}, "`realism` a is not a list of numbers"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        Options(**options)
