"""The figures of the report: what they are of pictures whose figures are known."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from dpst.imaging.colours import cielab
from dpst.jobs.scores import advice, affine_residual, blotches, colour_distance, details, edge_ssim, foreign_colours, scores
from dpst.regions.regions import Regions


def picture(seed=0, height=23, width=31):
    """Smooth coloured noise, float32, 0.2..0.8."""
    coarse = np.random.default_rng(seed).random((height // 4 + 2, width // 4 + 2, 3))
    return (0.2 + 0.6 * np.kron(coarse, np.ones((4, 4, 1)))[:height, :width]).astype(np.float32)


def whole(content, style):
    return Regions(("whole",), np.ones((*content.shape[:2], 1), np.float32), np.ones((*style.shape[:2], 1), np.float32))


def test_edges_alone_count_for_the_structure():
    content = picture()
    assert edge_ssim(content, content) == pytest.approx(1)
    assert edge_ssim(content, content + np.float32(0.1)) == pytest.approx(1, abs=1e-5)
    assert edge_ssim(content, content[::-1]) < 0.5


def test_a_global_recolouring_leaves_no_residual():
    content = picture() + np.random.default_rng(1).normal(0, 0.05, (23, 31, 3)).astype(np.float32)
    recoloured = content @ np.array([[0.5, 0.2, 0], [0.1, 0.6, 0.1], [0, 0.2, 0.7]], np.float32) + np.float32(0.1)
    assert affine_residual(content, recoloured) < 0.1
    assert affine_residual(content, picture(2)) > 5


def test_the_residual_is_that_of_a_fit_to_each_window():
    content, result = picture(0, 7, 9), np.random.default_rng(3).random((7, 9, 3)).astype(np.float32)
    content += np.random.default_rng(4).normal(0, 0.05, content.shape).astype(np.float32)
    pad = ((1, 1), (1, 1), (0, 0))
    wide, wide_result = np.pad(content, pad, "edge").astype(float), np.pad(result, pad, "edge").astype(float)
    squares = []
    for y in range(7):
        for x in range(9):
            window = np.c_[wide[y : y + 3, x : x + 3].reshape(9, 3), np.ones(9)]
            normal = window.T @ window / 9 + 1e-6 * np.diag([1, 1, 1, 0])
            fit = np.linalg.solve(normal, window.T @ wide_result[y : y + 3, x : x + 3].reshape(9, 3) / 9)
            squares.append((np.append(content[y, x], 1) @ fit - result[y, x]) ** 2)
    assert affine_residual(content, result) == pytest.approx(255 * np.sqrt(np.mean(squares)), rel=1e-6)


def test_the_colour_distance_is_one_for_the_content_and_zero_for_the_styles_colours():
    content, style = picture(0), picture(1) * np.float32(0.5)
    regions = whole(content, style)
    assert colour_distance(content, style, content, regions) == pytest.approx(1)
    shuffled = np.random.default_rng(0).permutation(style.reshape(-1, 3)).reshape(style.shape)
    assert colour_distance(content, style, shuffled, regions) == pytest.approx(0, abs=1e-6)
    assert 0.4 < colour_distance(content, style, (content + shuffled) / 2, regions) < 0.9


def test_each_region_is_held_against_its_own():
    content = np.full((20, 30, 3), 0.5, np.float32)
    left = np.arange(30) < 15
    style = np.where(left[:, None], np.float32([1, 0, 0]), np.float32([0, 0, 1])) * np.ones((20, 1, 1), np.float32)
    masks = np.stack([np.broadcast_to(left, (20, 30)), np.broadcast_to(~left, (20, 30))], -1).astype(np.float32)
    swapped = style[:, ::-1]
    assert colour_distance(content, style, swapped, whole(content, style)) == pytest.approx(0, abs=1e-6)
    assert colour_distance(content, style, swapped, Regions(("a", "b"), masks, masks)) > 1
    assert colour_distance(content, style, style, Regions(("a", "b"), masks, masks)) == pytest.approx(0, abs=1e-6)


def test_tiny_regions_do_not_count():
    content, style = picture(0), picture(1)
    masks = np.zeros((23, 31, 1), np.float32)
    masks[0, :2] = 1
    nearly_none = Regions(("speck",), masks, masks)
    result = picture(2)
    assert colour_distance(content, style, result, nearly_none) == colour_distance(content, style, result, whole(content, style))


def test_all_figures_are_plain_numbers():
    content, style = picture(0), picture(1)
    figures = scores(content, style, content, whole(content, style))
    foreign = figures.pop("foreign_colours")
    assert 0 <= foreign <= 1
    assert figures.pop("blotches") < 1
    assert figures.pop("detail_kept") == pytest.approx(1, abs=0.01) and figures.pop("invented_detail") < 2
    near_zero = pytest.approx(0, abs=0.01)
    assert figures == {"edge_ssim": 1.0, "affine_residual": near_zero, "matting_term": near_zero, "colour_distance": 1.0}
    assert {type(figure) for figure in [foreign, *figures.values()]} == {float}


def test_detail_is_kept_by_any_recolouring_and_lost_where_it_is_smeared():
    content = picture() + np.random.default_rng(1).normal(0, 0.05, (23, 31, 3)).astype(np.float32)
    kept, invented = details(content, 0.8 - 0.5 * content[..., ::-1])
    assert kept > 0.98 and invented < 1.5
    smeared = uniform_filter(content, (9, 9, 0))
    assert details(content, smeared)[0] < 0.6
    textured = content + np.random.default_rng(2).normal(0, 0.1, content.shape).astype(np.float32)
    # Three channels of noise of standard deviation 0.1, of which a window of 81 pixels explains a little by chance.
    assert details(content, textured)[1] == pytest.approx(255 * 0.1 * np.sqrt(3), rel=0.1)


def test_details_are_fits_to_each_window():
    content, result = picture(0, 11, 13).astype(float), np.random.default_rng(3).random((11, 13, 3))
    content += np.random.default_rng(4).normal(0, 0.05, content.shape)
    light, pad = content @ [0.299, 0.587, 0.114], ((4, 4), (4, 4), (0, 0))
    wide = [np.pad(x, pad, "edge") for x in (content, result, light[..., None])]
    lost, weights, invented = 0.0, 0.0, 0.0
    for y in range(11):
        for x in range(13):
            c, r, grey = (w[y : y + 9, x : x + 9].reshape(81, -1) - w[y : y + 9, x : x + 9].reshape(81, -1).mean(0) for w in wide)
            fit = np.linalg.solve(c.T @ c / 81 + 1e-5 * np.eye(3), c.T @ r / 81)
            invented += (r**2).mean(0).sum() - (fit * (c.T @ r / 81)).sum()
            contrast, shared = float((grey**2).mean()), r.T @ grey[:, 0] / 81
            explained = shared @ np.linalg.solve(r.T @ r / 81 + 1e-5 * np.eye(3), shared)
            lost, weights = lost + np.sqrt(contrast) * min(explained / (contrast + 1e-7), 1), weights + np.sqrt(contrast)
    kept, levels = details(content, result)
    assert kept == pytest.approx(lost / weights, rel=1e-5)
    assert levels == pytest.approx(255 * np.sqrt(invented / 143), rel=1e-5)


def test_foreign_colours_are_those_that_the_region_of_the_style_lacks():
    content = np.full((20, 30, 3), 0.5, np.float32)
    style = np.broadcast_to(np.float32([0.6, 0.2, 0.2]), (20, 30, 3)).copy()
    result = style.copy()
    result[:10] = (0.2, 0.6, 0.2)
    assert foreign_colours(style, result, whole(content, style)) == pytest.approx(0.5)
    style[:4, :4] = (0.2, 0.6, 0.2)
    assert foreign_colours(style, result, whole(content, style)) == 0


@pytest.mark.parametrize("size", [(4, 64), (64, 4), (7, 7), (3, 3), (8, 40)])
def test_a_narrow_photo_has_figures_too(size):
    random = np.random.default_rng(0)
    content, style, result = (random.random((*shape, 3), np.float32) for shape in (size, (9, 5), size))
    regions = Regions(("all",), np.ones((*size, 1), np.float32), np.ones((9, 5, 1), np.float32))
    assert np.isfinite(list(scores(content, style, result, regions).values())).all()
    assert edge_ssim(content, content) == pytest.approx(1)
    assert edge_ssim(content, result) < 0.9


def test_blotches_are_hue_that_the_photo_does_not_explain():
    """Root mean square over windows, each fitted by itself; light alone is none, and neither is a plain grade."""
    content = picture(5, 40, 56)
    darker = content * np.float32(0.6)
    side = np.where(np.arange(56) < 28, 0.12, -0.12).astype(np.float32)[None, :, None]
    stained = darker + side * np.array([1, 0, -1], np.float32)
    assert blotches(content, content) < 0.3 and blotches(content, darker) < 1
    assert blotches(content, stained) > 5 * blotches(content, darker)
    assert advice({"blotches": blotches(content, darker)}, (200, 300), (1.0,), False) == ""
    assert advice({"blotches": blotches(content, stained)}, (200, 300), (1.0,), False)
    assert advice({"blotches": blotches(content, stained)}, content.shape, (1.0,), False) == ""


def test_hue_that_changes_at_the_border_of_a_mask_is_no_blotch():
    content = np.full((40, 56, 3), 0.5, np.float32) + 0.02 * picture(5, 40, 56)
    left = (np.arange(56) < 28).astype(np.float32)[None, :, None] * np.ones((40, 1, 1), np.float32)
    result = content + (left - 0.5) * np.array([0.2, 0, -0.2], np.float32)
    masks = np.concatenate([left, 1 - left], -1)
    assert blotches(content, result, masks) < 0.2 * blotches(content, result)


@pytest.mark.parametrize(
    ("realisms", "has_masks", "result", "remedies"),
    [
        ((1.0,), False, "the result", "--realism 2, or masks, which may be a few strokes (--content_seg_path, --style_seg_path)"),
        ((0.0, 1.0), True, "the result of realism 0", "--realism 2, or other masks"),
        ((2.0,), True, "the result", "other masks"),
    ],
)
def test_the_advice_leaves_out_what_was_done(realisms, has_masks, result, remedies):
    advised = advice({"blotches": 2.71}, (200, 300), realisms, has_masks)
    assert advised == f"{result} may have one object in two hues (blotches 2.7, above 2.6); if so, use {remedies}"


def test_blotches_are_those_of_a_fit_to_each_window():
    content, result = picture(6, 20, 24), picture(7, 20, 24)
    lab, other = (cielab(image.reshape(-1, 3), 1.0).reshape(20, 24, 3) for image in (content, result))
    wide, wide_other = (np.pad(image, ((8, 8), (8, 8), (0, 0)), "edge") for image in (lab, other[..., 1:]))
    rest = []
    for y, x in np.ndindex(20, 24):
        colours, hues = (each[y : y + 17, x : x + 17].reshape(289, -1) for each in (wide, wide_other))
        colours, hues = colours - colours.mean(0), hues - hues.mean(0)
        fit = np.linalg.solve(colours.T @ colours / 289 + 4 * np.eye(3), colours.T @ hues / 289)
        rest.append(((hues - colours @ fit) ** 2).mean(0).sum())
    assert blotches(content, result) == pytest.approx(np.sqrt(np.mean(rest)), rel=1e-6)
