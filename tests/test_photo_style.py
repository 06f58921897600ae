"""The stages of each style option with both solvers: what a callback sees, what a result holds, what stages hand on."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from conftest import golden_masks, golden_photo
from PIL import Image

import dpst.solver.run
import photo_style
from dpst.errors import UserError
from dpst.imaging.resizing import resize
from dpst.imaging.smoothing import smooth_local_affine
from dpst.options import Options
from dpst.regions.regions import Regions
from dpst.solver.optimum import NonFiniteLoss
from dpst.solver.stages import REFINEMENT, SEGMENTED, Progress
from photo_style import Lut, Network, Networks, Photo, Result, read_photo, read_regions, stylize, write_photo

SMALL = Options(style_option=0, max_size=40, max_iter=2)  # 40x30 of 61x45


@pytest.fixture(scope="module")
def photos():
    return golden_photo("content.png"), golden_photo("style.png")


@pytest.fixture(scope="module")
def regions():
    return Regions(("blue", "white", "red"), golden_masks("content_seg.png"), golden_masks("style_seg.png"))


def run(photos, network, regions=None, init=None, **options) -> tuple[Result, list[Progress]]:
    seen: list[Progress] = []
    result = stylize(
        *photos, regions=regions, options=dataclasses.replace(SMALL, **options), network=network, init=init, callback=seen.append
    )
    return result, seen


TERMS = {phase: {"content", "style", "tv", "total"} for phase in (SEGMENTED, REFINEMENT)}
TERMS[REFINEMENT].add("affine")
PHASES = {0: [SEGMENTED], 1: [REFINEMENT], 2: [SEGMENTED, REFINEMENT]}


@pytest.mark.parametrize("solver", ["pixels", "reference"])
@pytest.mark.parametrize("style_option", [0, 1, 2])
def test_every_style_option_with_either_solver(photos, regions, thin_network, solver, style_option):
    result, seen = run(photos, thin_network, regions, solver=solver, style_option=style_option)
    assert result.image.shape == result.content.shape == (30, 40, 3)
    assert result.image.dtype == np.float32
    assert result.image.min() >= 0 and result.image.max() <= 1
    assert np.abs(result.image - result.content).mean() > 0.001
    assert result.features == "thin"

    assert [stage.phase for stage in result.stages] == PHASES[style_option]
    for number, stage in enumerate(result.stages):
        steps = [progress for progress in seen if progress.stage == number]
        assert [progress.step for progress in steps] == [0, 1, 2]
        assert stage.losses == [progress.losses for progress in steps]
        assert stage.iterations == 2 <= stage.evaluations
        assert stage.size == (30, 40) and stage.seconds > 0 and stage.reason
        assert stage.losses[-1]["total"] < stage.losses[0]["total"]
        for progress in steps:
            assert progress.phase == stage.phase
            assert set(progress.losses) == TERMS[stage.phase]
            assert progress.step < progress.evaluations <= stage.evaluations
            parts = sum(value for term, value in progress.losses.items() if term != "total")
            assert progress.losses["total"] == pytest.approx(parts, rel=1e-5)
            assert progress.image.shape == (30, 40, 3) and progress.image.dtype == np.float32
            assert progress.image.min() >= 0 and progress.image.max() <= 1


@pytest.mark.slow
def test_the_share_of_the_work_rises_to_one(photos, thin_network):
    # 300 pixels on the long side: two scales, so that the share must know their different sizes.
    large = [np.clip(photo.repeat(6, 0).repeat(6, 1), 0, 1) for photo in photos]
    _, seen = run(large, thin_network, style_option=2, solver="pixels", max_size=300)
    shares = [progress.share for progress in seen]
    assert shares[0] == 0 and shares[-1] == pytest.approx(1)
    assert np.all(np.diff(shares) >= 0)
    sizes = [progress.image.shape[:2] for progress in seen]
    assert sizes[0] == sizes[3] == (110, 150) and sizes[-1] == (221, 300)
    # Two stages of the small size, each a quarter of the pixels of the large one's.
    finest = next(share for share, size in zip(shares, sizes, strict=True) if size == (221, 300))
    assert finest == pytest.approx(2 * 110 * 150 / (2 * 110 * 150 + 221 * 300))


@pytest.mark.parametrize("solver", ["pixels", "reference"])
def test_the_same_seed_gives_the_same_picture(photos, thin_network, solver):
    first, second = (run(photos, thin_network, solver=solver, seed=5)[0].image for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_seed_gives_another_start_of_the_reference(photos, thin_network):
    first, second = (run(photos, thin_network, solver="reference", seed=seed, max_iter=1)[1][0].image for seed in (5, 6))
    assert not np.array_equal(first, second)


def test_without_regions_the_whole_photos_correspond(photos, thin_network):
    whole = Regions(("everything",), *(np.ones((*photo.shape[:2], 1), np.float32) for photo in photos))
    np.testing.assert_array_equal(run(photos, thin_network)[0].image, run(photos, thin_network, whole)[0].image)


def test_regions_matter(photos, regions, thin_network):
    swapped = dataclasses.replace(regions, style=regions.style[..., [1, 0, 2]])
    one, other = (run(photos, thin_network, r, photos[0], max_iter=1)[1][0].losses for r in (regions, swapped))
    assert one["style"] != pytest.approx(other["style"], rel=1e-3)
    assert one["content"] == pytest.approx(other["content"])


def test_photos_smaller_than_the_solve_size_keep_theirs(photos, thin_network):
    result, _ = run(photos, thin_network, max_size=512)
    np.testing.assert_array_equal(result.content, photos[0])
    result, _ = run(photos, thin_network, max_size=0, max_iter=1)
    assert result.image.shape == photos[0].shape


@pytest.mark.parametrize(("solver", "lbfgs"), [("pixels", True), ("reference", True), ("reference", False)])
def test_max_iter_counts_the_true_iterations_of_each_stage(photos, thin_network, solver, lbfgs):
    result, seen = run(photos, thin_network, style_option=2, solver=solver, lbfgs=lbfgs, max_iter=2)
    assert [stage.iterations for stage in result.stages] == [2, 2]
    assert [progress.step for progress in seen] == [0, 1, 2] * 2


def test_the_learning_rate_is_adams(photos, thin_network):
    def moved(**options):
        _, seen = run(photos, thin_network, solver="reference", style_option=1, max_iter=1, lbfgs=False, **options)
        return np.abs(seen[1].image - seen[0].image).max() * 255

    # Adam's first step is the learning rate in every channel of every pixel, in levels.
    assert moved() == pytest.approx(1, rel=0.01)
    assert moved(learning_rate=3.0) == pytest.approx(3, rel=0.01)


def start(photos, network, regions=None, init=None, **options):
    """The image of the first stage before its first step, at the same size as the content."""
    return run(photos, network, regions, init, max_iter=1, **options)[1][0].image


@pytest.mark.parametrize("solver", ["pixels", "reference"])
def test_the_start_is_the_init_image(photos, thin_network, solver):
    init = golden_photo("init.png")
    for style_option in (1, 2):
        image = start(photos, thin_network, init=init, solver=solver, style_option=style_option)
        np.testing.assert_allclose(image, resize(init, 30, 40), atol=1e-6)


@pytest.mark.parametrize("solver", ["pixels", "reference"])
def test_without_an_init_image_refinement_starts_from_the_content(photos, thin_network, solver):
    image = start(photos, thin_network, solver=solver, style_option=1)
    np.testing.assert_allclose(image, resize(photos[0], 30, 40), atol=1e-6)


@pytest.mark.parametrize("style_option", [0, 2])
def test_the_reference_starts_from_noise_about_the_mean_pixel(photos, thin_network, style_option):
    noise = start(photos, thin_network, solver="reference", style_option=style_option) * 255 - [123.68, 116.779, 103.939]
    assert 0.5e-4 < noise.std() < 2e-4 and abs(noise.mean()) < 1e-4


@pytest.mark.parametrize("style_option", [0, 2])
def test_coarse_to_fine_starts_from_the_content_in_the_colours_of_its_styles_regions(photos, thin_network, style_option):
    # Weak contrast, so that nothing is clipped; left and right half of the content, top and bottom half of the style.
    content, style = (0.4 + 0.2 * resize(photo, 30, 40) for photo in photos)
    masks = np.zeros((2, 30, 40, 2), np.float32)
    masks[0, :, :20, 0] = masks[0, :, 20:, 1] = masks[1, :15, :, 0] = masks[1, 15:, :, 1] = 1
    image = start((content, style), thin_network, Regions(("a", "b"), *masks), solver="pixels", style_option=style_option)
    for r in range(2):
        colours, expected, before = (x[m[..., r] == 1] for x, m in ((image, masks[0]), (style, masks[1]), (content, masks[0])))
        np.testing.assert_allclose(colours.mean(0), expected.mean(0), atol=1e-3)
        np.testing.assert_allclose(np.cov(colours.T), np.cov(expected.T), rtol=0.05, atol=1e-5)
        # Of all maps that do so it is the one that changes least: light stays light.
        assert np.corrcoef(colours.mean(1), before.mean(1))[0, 1] > 0.8


@pytest.mark.parametrize("solver", ["pixels", "reference"])
def test_stages_hand_on_floats_and_not_pictures(photos, thin_network, solver, monkeypatch):
    # A picture of 8 bits, or one clipped to 0..1, would lose what the first stage found.
    starts, ends = [], []
    minimize = dpst.solver.run.Run.minimize

    def spied(self, phase, scale, start, *others, **settings):
        starts.append(np.array(start))
        ends.append(minimize(self, phase, scale, start, *others, **settings))
        ends[-1] = np.array(ends[-1])
        return ends[-1]

    monkeypatch.setattr(dpst.solver.run.Run, "minimize", spied)
    init = np.clip(golden_photo("init.png") * 3 - 1, 0, 1)  # much of it at the ends of the range
    run(photos, thin_network, init=init, solver=solver, style_option=2, max_iter=5)
    np.testing.assert_array_equal(starts[1], ends[0])
    assert np.abs(ends[0] * 255 - np.rint(ends[0] * 255)).mean() > 0.1


def test_the_reference_smooths_its_result_and_coarse_to_fine_its_change(photos, thin_network):
    settings = {"style_option": 1, "f_edge": 0.3, "init": golden_photo("init.png")}
    for solver, radius in (("reference", 3), ("pixels", 96)):  # 96 at 1280 pixels is 3 at 40
        with_it, _ = run(photos, thin_network, solver=solver, f_radius=radius, **settings)
        without, _ = run(photos, thin_network, solver=solver, f_radius=radius, apply_smooth=False, **settings)
        base = without.content if solver == "pixels" else np.zeros_like(without.content)
        expected = base + smooth_local_affine(without.content, without.image - base, 3, 0.3)
        # Within 0..1 to the last bit; what lay beyond was smoothed too.
        np.testing.assert_allclose(with_it.image, np.clip(expected, 0, 1), atol=5e-3)
        assert np.abs(with_it.image - without.image).mean() > 1e-3


@pytest.mark.parametrize("solver", ["pixels", "reference"])
def test_segmented_style_is_not_smoothed(photos, thin_network, solver):
    one, other = (run(photos, thin_network, solver=solver, apply_smooth=smooth)[0].image for smooth in (True, False))
    np.testing.assert_array_equal(one, other)


def test_what_the_callback_raises_ends_the_run(photos, thin_network):
    def callback(progress):
        if progress.phase == REFINEMENT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize(*photos, options=dataclasses.replace(SMALL, style_option=2), network=thin_network, callback=callback)


def test_a_loss_beyond_all_numbers_ends_the_run_after_the_callback_saw_the_start(photos, thin_network):
    with pytest.raises(NonFiniteLoss):
        run(photos, thin_network, tv_weight=1e35)
    seen: list[Progress] = []
    options = dataclasses.replace(SMALL, solver="reference", lbfgs=False, learning_rate=1e30, style_option=1)
    with pytest.raises(NonFiniteLoss):
        stylize(*photos, options=options, network=thin_network, callback=seen.append)
    assert [progress.step for progress in seen] == [0]


@pytest.mark.parametrize("realism", ["0", "1", "2"])
def test_a_photo_in_its_own_style_stays_as_it_is(photos, thin_network, realism):
    content = photos[0]
    options = Options(style_option=2, realism=realism, max_size=40)
    result = stylize(content, content, options=options, network=thin_network)
    assert np.abs(result.image - result.content).mean() < 0.012


@pytest.mark.parametrize(("size", "solved"), [((16, 16), (16, 16)), ((150, 20), (150, 20)), ((16, 400), (8, 200))])
def test_tiny_and_narrow_photos(thin_network, size, solved):
    photo = np.random.default_rng(0).random((*size, 3), np.float32)
    result, _ = run((photo, photo[::-1]), thin_network, style_option=2, max_size=200, max_iter=1)
    assert result.image.shape == (*solved, 3)


def test_a_photo_too_narrow_to_solve_is_reported(thin_network):
    photo = np.zeros((16, 1600, 3), np.float32)
    with pytest.raises(UserError, match=r"^content image is 200x2 at `max_size` 200, too narrow; raise `max_size`$"):
        run((photo, photo), thin_network, max_size=200)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((20, 30), np.float32), r"has the shape \(20, 30\); give \(height, width, 3\)"),
        (np.zeros((20, 30, 4), np.float32), r"has the shape \(20, 30, 4\); give"),
        (np.zeros((20, 30, 3), np.int64), "is of type int64; divide its levels by their maximum"),
        (np.full((20, 30, 3), np.nan), "has values that are not finite; replace them"),
        (np.full((20, 30, 3), 255.0), "has values from 255 to 255; scale them to 0..1"),
    ],
)
def test_an_array_that_is_not_a_picture_is_refused(photos, thin_network, wrong, message):
    for pair in ((wrong, photos[1]), (photos[0], wrong)):
        with pytest.raises(UserError, match=message):
            run(pair, thin_network)


LIBRARY = {
    "no pixels": (lambda photo, result: stylize(photo[:0], photo), "content has the shape (0, "),
    "no pixels of style": (lambda photo, result: stylize(photo, photo[:, :0]), "style has the shape ("),
    "ragged": (lambda photo, result: stylize([[1, 2], [3]], photo), "content is not an array ("),
    "nothing": (lambda photo, result: stylize(None, photo), "content is of type NoneType; give an array, "),
    "text": (lambda photo, result: stylize("content.png", photo), "content is of type str; give an array, "),
    "a photo": (
        lambda photo, result: stylize(photo, Photo(np.zeros((9, 9, 3), np.uint8))),
        "style is of type Photo; give an array, such as `read_photo(path).pixels`, or a Pillow image",
    ),
    "the path of a mask": (
        lambda photo, result: stylize(photo, photo, "a.png", "b.png"),
        "content_mask is of type str; give an ",
    ),
    "options": (
        lambda photo, result: stylize(photo, photo, options={"max_size": 64}),
        "options is of type dict; give dpst.options.",
    ),
    "regions": (lambda photo, result: stylize(photo, photo, regions=photo), "regions is of type ndarray; give dpst.regions."),
    "network": (
        lambda photo, result: stylize(photo, photo, network="learned"),
        "network is of type str; give vgg19.network.Network",
    ),
    "callback": (lambda photo, result: stylize(photo, photo, callback=3), "callback is of type int; give a function"),
    "masks": (
        lambda photo, result: stylize(photo, photo, regions=Regions(("a",), photo, photo)),
        "masks of the content have the shape (",
    ),
    "ragged masks": (
        lambda photo, result: stylize(photo, photo, regions=Regions(("a",), [[1, 2], [3]], photo)),
        "regions.content is not an array (",
    ),
    "masks with holes": (
        lambda photo, result: stylize(photo, photo, regions=Regions(("a",), photo[..., :1], photo[..., :1] * np.nan)),
        "masks of the style are of type float32 or out of range; ",
    ),
    "LUT size": (lambda photo, result: result.lut(size=20), "LUT size 20 is unknown; use one of 17, 33, 65"),
    "realism": (lambda photo, result: result.at(photo, realism=2.5), "realism 2.5 was not solved for; use one of 0.5"),
    "a grey photo": (lambda photo, result: result.at(photo[..., 0]), "photo has the shape ("),
    "levels": (lambda photo, result: result.at(255 * photo), "photo has values from "),
    "a grey picture": (lambda photo, result: write_photo("a.png", photo[..., 0]), "image has the shape ("),
    "four channels": (lambda photo, result: write_photo("a.png", photo[..., [0, 1, 2, 0]]), "image has the shape ("),
    "a picture of levels": (
        lambda photo, result: write_photo("a.png", np.zeros((9, 9, 3), np.uint8)),
        "image is of type uint8; ",
    ),
    "no picture": (lambda photo, result: write_photo("a.png", photo[:0]), "image has the shape (0, "),
    "like": (
        lambda photo, result: write_photo("a.png", photo, like=photo),
        "like is of type ndarray; give dpst.files.photos.Photo",
    ),
    "strength": (lambda photo, result: result.at(photo, 2.5), "strength 2.5 is out of range; use a number from 0 to 2"),
    "no number": (lambda photo, result: result.at(photo, float("nan")), "strength nan is out of range; "),
    "strength as text": (lambda photo, result: result.at(photo, "1"), "strength is of type str; give a number"),
    "realism as text": (lambda photo, result: result.at(photo, realism=[1]), "realism is of type list; give a number"),
    "a LUT size as text": (lambda photo, result: result.lut(size="17"), "LUT size 17 is unknown; use one of 17, 33, 65"),
    "another region": (lambda photo, result: result.lut(region=[]), "region [] is not in the photo; "),
    "no LUT": (lambda photo, result: result.lut_fit(None), "lut is of type NoneType; give dpst.files.luts.Lut"),
    "levels for a LUT": (lambda photo, result: Lut.identity(2)([[[1, 2, 3]]]), "image has the shape (1, 1, 3) and the type int"),
    "a LUT of half a node": (lambda photo, result: Lut.identity(2.5), "LUT size 2.5 is unknown; use a whole number from 2"),
    "no path": (lambda photo, result: read_photo(None), "the path of the content image is of type NoneType; give text"),
    "no path to write to": (lambda photo, result: write_photo(b"a.png", photo), "the path of the output image is of type bytes"),
    "no path of a LUT": (lambda photo, result: Lut.read(3), "the path of the LUT is of type int; "),
    "no limit": (lambda photo, result: read_photo("a.png", max_pixels=10**400), "max_pixels 1000"),
    "no options": (lambda photo, result: read_regions("", "", photo, photo, {}), "options is of type dict; give dpst.options."),
    "no photo for masks": (lambda photo, result: read_regions("", "", None, photo, Options()), "content is of type NoneType; "),
    "names of regions": (
        lambda photo, result: stylize(photo, photo, regions=Regions(3, photo, photo)),
        "names of the regions are not strings; give a tuple of strings",
    ),
    "holes in a picture": (lambda photo, result: write_photo("a.png", photo * np.nan), "image has values that are not finite; "),
    "weights without a name": (
        lambda photo, result: Networks().for_photos([], photo, photo),
        "the path of the weights is of type list; give text",
    ),
    "no photo to learn from": (lambda photo, result: Networks().for_photos("learned", photo, photo[0]), "style has the shape ("),
    "no seed": (
        lambda photo, result: Networks().for_photos("learned", photo, photo, -1),
        "seed -1 is not a seed; use",
    ),
    "no weights": (
        lambda photo, result: Network({"conv1_1": ()}),
        "weights of type dict do not hold two arrays for each ",
    ),
    "strips alone": (lambda photo, result: write_photo("a.png", [photo]), "image is not an array; "),
}


@pytest.mark.parametrize("case", LIBRARY)
def test_what_the_caller_can_fix_is_a_user_error(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    photo = np.full((20, 24, 3), 0.5, np.float32)
    calls, message = LIBRARY[case]
    with pytest.raises(UserError) as error:
        calls(photo, Result(photo, photo, looks={0.5: None}))
    assert str(error.value).startswith(message) and "; " in str(error.value)
    assert not list(tmp_path.iterdir())


def test_photos_and_results_can_be_compared():
    photo = Photo(np.zeros((20, 24, 3), np.uint8))
    assert photo == photo and photo != Photo(np.zeros((20, 24, 3), np.uint8)) and len({photo, photo}) == 1
    result = Result(np.zeros((20, 24, 3), np.float32), np.zeros((20, 24, 3), np.float32))
    assert result == result and result != dataclasses.replace(result)


def test_a_path_may_be_a_path(tmp_path):
    write_photo(tmp_path / "a.png", np.zeros((20, 24, 3), np.float32))
    assert read_photo(tmp_path / "a.png").size == (20, 24)


def test_without_a_size_photos_are_solved_at_a_moderate_one(thin_network):
    photo = np.zeros((1200, 32, 3), np.float32)
    seen = []

    def stop(progress):
        seen.append(progress.image.shape)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize(photo, photo, options=Options(solver="reference"), network=thin_network, callback=stop)
    assert seen == [(512, 14, 3)]


def test_pictures_are_floats_levels_or_images(photos, thin_network):
    """All of them hold the same colours, those of 8 bits."""
    levels = [np.rint(photo * 255).astype(np.uint8) for photo in photos]
    given = {
        "float": [level / 255 for level in levels],
        "uint8": levels,
        "uint16": [level.astype(np.uint16) * 257 for level in levels],
        "big-endian": [(level.astype(np.uint16) * 257).astype(">u2") for level in levels],
        "image": [Image.fromarray(level) for level in levels],
    }
    results = {kind: stylize(*pair, style_option=2, max_iter=1, network=thin_network, auto_seg=0) for kind, pair in given.items()}
    for kind, result in results.items():
        np.testing.assert_allclose(result.image, results["float"].image, atol=2e-3, err_msg=kind)
        at = result.at(given[kind][0])
        assert at.dtype == np.float32
        np.testing.assert_allclose(at, results["float"].at(given["float"][0]), atol=2e-3, err_msg=kind)


def test_found_regions_are_refined_by_the_photo_at_their_size(thin_network):
    """A photo larger than the size at which regions are found gives what the same photo at that size does."""
    photo = 0.3 * np.random.default_rng(0).random((64, 576, 3), np.float32)
    photo[28:] += 0.5
    options = Options(style_option=2, max_iter=1, max_size=96, auto_seg="2", refine_masks=True)
    both = [stylize(each, each, options=options, network=thin_network).masks for each in (photo, resize(photo, 57, 512))]
    assert len(both[0]) == 2
    for name, mask in both[0].items():
        np.testing.assert_allclose(mask, both[1][name], atol=0.03)


def test_masks_are_colours_labels_or_images(photos, thin_network):
    content, style = photos
    labels = [(np.arange(photo.shape[1]) * 2 // photo.shape[1] + np.zeros(photo.shape[:2], int)) for photo in photos]
    colours = [np.array([[255, 0, 0], [0, 0, 255]], np.uint8)[each] for each in labels]
    given = {
        "labels": [each + 7 for each in labels],
        "large labels": [each * 300 + 300 for each in labels],
        "colours": colours,
        "images": [Image.fromarray(each) for each in colours],
    }
    masks = {
        kind: stylize(content, style, *pair, style_option=2, max_iter=1, network=thin_network).masks.values()
        for kind, pair in given.items()
    }
    for kind, found in masks.items():
        both = sorted(found, key=lambda mask: mask[:, 0].mean())
        assert len(both) == 2, kind
        assert [mask[:, side].mean() > 0.9 for mask in both for side in (0, -1)] == [False, True, True, False], kind


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"realsim": 1}, "realsim is not an option; use realism"),
        ({"output_image": "a.png"}, "output_image 'a.png' belongs to the command line; leave it out here"),
        ({"strength": 0.5}, "strength 0.5 belongs to the command line"),
        ({"workers": 3}, "workers 3 belongs to the command line"),
        ({"options": Options(), "realism": 0}, "options are given, and also realism; give options or keywords, not both"),
        ({"device": "gpu"}, "there is no GPU"),
        ({"content_mask": np.zeros((4, 4), int)}, "style_mask is missing; give the masks of both photos or of neither"),
    ],
)
def test_what_the_library_cannot_do_is_refused_by_name(photos, thin_network, chosen, message):
    with pytest.raises(UserError, match=message):
        stylize(*photos, network=thin_network, **chosen)


def test_several_realisms_are_a_tuple(photos, thin_network):
    result = stylize(*photos, style_option=2, realism=(0, 2), max_iter=1, network=thin_network, preview=True, auto_seg=0)
    assert sorted(result.looks) == [0, 2]


def test_a_callback_may_cancel(photos, thin_network):
    def cancel(progress):
        raise photo_style.Cancelled

    with pytest.raises(photo_style.Cancelled):
        stylize(*photos, style_option=2, network=thin_network, callback=cancel)


def test_linear_algebra_has_one_thread_while_a_result_is_solved_and_as_many_as_before_afterwards(photos, thin_network):
    def threads(progress=None):
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before, within = threads(), []
        stylize(*photos, style_option=2, max_iter=1, network=thin_network, callback=lambda _: within.append(threads()))
        assert set(before) == {2} and {one for each in within for one in each} == {1}
        assert threads() == before


def test_importing_the_library_is_quick_and_leaves_the_process_as_it_was():
    code = """
import gc, os, sys, threading
def state():
    return gc.isenabled(), gc.get_freeze_count(), threading.active_count(), sorted(os.listdir("/dev/fd")), dict(os.environ)
before = state()
import photo_style
assert state() == before, state()
assert not {"tensorflow", *map("scipy.".__add__, ("ndimage", "optimize", "sparse", "spatial"))} & set(sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert (printed.returncode, printed.stdout + printed.stderr) == (0, "")


def test_a_region_without_style_is_refused(photos, regions, thin_network):
    style = regions.style.copy()
    style[..., 1] = 0
    with pytest.raises(UserError, match=r"^region white is empty in the style photo; remove it, or choose another style"):
        run(photos, thin_network, dataclasses.replace(regions, style=style))


FLAT = {"black": 0.0, "white": 1.0, "grey": 0.5}


def flat(name):
    if name == "two colours":
        photo = np.zeros((24, 28, 3), np.float32)
        photo[:, :11] = 0.2, 0.9, 0.4
        return photo
    return np.full((24, 28, 3), FLAT[name], np.float32)


@pytest.mark.parametrize("solver", ["maps", "pixels", "reference"])
def test_photos_of_a_colour_or_two_give_what_they_hold(photos, thin_network, solver):
    settings = {"solver": solver, "style_option": 1, "max_iter": 3}
    for name in ("black", "two colours"):
        for pair in ((flat(name), photos[1]), (photos[0], flat(name)), (flat(name), flat(name))):
            result, seen = run(pair, thin_network, **settings)
            assert np.isfinite(result.image).all()
            assert all(np.isfinite(list(progress.losses.values())).all() for progress in seen)
            assert seen[-1].losses["total"] <= seen[0].losses["total"]
        # A photo in its own style stays as it is.
        assert np.abs(result.image - result.content).max() < 0.02


@pytest.mark.parametrize(("solver", "style_option"), [("maps", 2), ("pixels", 2), ("reference", 1)])
def test_keep_light_keeps_the_light_of_the_photo(photos, thin_network, solver, style_option):
    content, style = photos
    weights = np.array([0.299, 0.587, 0.114])
    result, _ = run((content, 1 - style), thin_network, solver=solver, style_option=style_option, keep="light", realism="0")
    np.testing.assert_allclose(result.image @ weights, result.content @ weights, atol=1e-5)
    for strength in (0.5, 1, 2):
        np.testing.assert_allclose(result.at(content, strength=strength) @ weights, content @ weights, atol=1e-5)
    assert np.abs(result.at(content) - content).mean() > 0.005


def cast(image):
    """The largest difference between the channels of a pixel, in levels."""
    return 255 * np.ptp(image, axis=-1)


@pytest.mark.parametrize(("solver", "style_option"), [("maps", 1), ("maps", 2), ("pixels", 0), ("pixels", 2)])
def test_a_grey_style_gives_a_neutral_result(photos, thin_network, solver, style_option):
    content, style = photos
    grey = np.repeat(style[..., 1:2], 3, -1)
    result, seen = run((content, grey), thin_network, solver=solver, style_option=style_option, realism="0")
    assert cast(content).max() > 100
    assert cast(result.image).max() < 0.5
    assert max(cast(progress.image).max() for progress in seen) < 0.1
    assert cast(result.at(content)).max() < 0.5  # at the photo's own size
    assert np.ptp(result.image[..., 0]) > 0.1
    half = cast(result.at(content, strength=0.5))
    np.testing.assert_allclose(half, cast(content) / 2, atol=30)  # but where it is cut off at black or white
    assert np.median(np.abs(half - cast(content) / 2)) < 0.1
    everything = np.random.default_rng(0).random((20, 20, 3), dtype=np.float32)
    assert cast(result.lut(size=17)(everything)).max() < 0.5


@pytest.mark.parametrize("solver", ["maps", "pixels"])
def test_a_faint_tone_of_the_style_is_kept(photos, thin_network, solver):
    content, style = photos
    toned = style[..., 1:2] * np.float32([1, 0.985, 0.96])
    assert 5 < cast(toned).max() < 12
    result, _ = run((content, toned), thin_network, solver=solver, style_option=2, max_iter=20, realism="0")
    red, green, blue = result.image.reshape(-1, 3).mean(0)
    assert red > green > blue
    np.testing.assert_allclose(255 * (red - blue), 255 * np.ptp(toned.reshape(-1, 3).mean(0)), atol=3)


@pytest.mark.parametrize("solver", ["maps", "pixels"])
def test_a_grey_region_of_the_style_makes_its_region_neutral_alone(photos, thin_network, solver):
    halves = np.zeros((40, 60, 2), np.float32)
    halves[:, :30, 0] = halves[:, 30:, 1] = 1
    content = np.where(halves[..., :1] > 0, np.float32([0.2, 0.5, 0.8]), np.float32([0.8, 0.4, 0.1]))
    content += np.random.default_rng(0).normal(0, 0.05, content.shape).astype(np.float32)
    style = content.copy()
    style[:, :30] = content[:, :30, :1]
    result, _ = run(
        (np.clip(content, 0, 1), np.clip(style, 0, 1)),
        thin_network,
        Regions(("a", "b"), halves, halves),
        solver=solver,
        style_option=2,
    )
    assert result.colourless == {"a"}
    assert cast(result.image)[:, :17].max() < 0.5
    assert cast(result.image)[:, 23:].min() > 50
    colours = np.random.default_rng(0).random((9, 9, 3), dtype=np.float32)
    assert cast(result.lut("a", 17)(colours)).max() < 0.5
    assert cast(result.lut("b", 17)(colours)).max() > 20


def test_the_reference_keeps_the_casts_of_its_script(photos, thin_network):
    grey = np.repeat(photos[1][..., 1:2], 3, -1)
    result, _ = run((photos[0], grey), thin_network, solver="reference", style_option=1)
    assert cast(result.image).max() > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "style_option", "realism"), [("maps", 2, "0"), ("maps", 2, "2"), ("pixels", 0, "1"), ("pixels", 2, "1")]
)
def test_the_style_of_one_colour_gives_that_colour_whatever_the_photo(thin_network, solver, style_option, realism):
    # Nothing holds the pixels of a photo without edges apart, so that the style alone decides.
    settings = {"solver": solver, "style_option": style_option, "realism": realism, "max_iter": 20}
    for content, style in ((flat("black"), flat("white")), (flat("white"), flat("grey")), (flat("grey"), flat("black"))):
        result, seen = run((content, style), thin_network, **settings)
        assert np.abs(result.image - result.content).max() > 0.4
        assert np.abs(result.image - style[0, 0]).max() < 0.05
        assert all(np.isfinite(list(progress.losses.values())).all() for progress in seen)
        twice = result.at(content, strength=2)
        assert twice.min() >= 0 and twice.max() <= 1


@pytest.mark.parametrize(("solver", "style_option"), [("maps", 1), ("pixels", 0), ("pixels", 2), ("reference", 1)])
@pytest.mark.parametrize("weight", ["content_weight", "style_weight", "tv_weight", "affine_weight"])
def test_extreme_weights_give_a_picture_or_an_error(photos, thin_network, solver, style_option, weight):
    most = next(field.metadata["maximum"] for field in dataclasses.fields(Options) if field.name == weight)
    for value in (0, 1e6, most):
        try:
            result, seen = run(photos, thin_network, solver=solver, style_option=style_option, max_iter=3, **{weight: value})
        except UserError as error:
            assert value > 1e6 and "is not finite" in str(error)
            continue
        assert np.isfinite(result.image).all()
        for stage in {progress.stage for progress in seen}:
            losses = [progress.losses for progress in seen if progress.stage == stage]
            assert all(value >= -1e-6 * each["total"] for each in losses for value in each.values())
            assert losses[-1]["total"] <= losses[0]["total"]
