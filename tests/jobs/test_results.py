"""What is written of a result: at the photo's own size, at each strength, and the photo itself where nothing changed."""

import dataclasses
import json
import logging
import re
import resource

import numpy as np
import pytest
import pyvips
from conftest import DATA
from PIL import Image

from dpst.errors import UserError
from dpst.files.photos import read_photo
from dpst.imaging.resizing import resize
from dpst.jobs.picture import check_job, run_one
from dpst.jobs.places import output_images
from dpst.jobs.results import write_results
from dpst.options import PREVIEW_ITERATIONS, Options
from dpst.solver.result import Result

SIZE, SOLVED = (67, 91), (20, 27)


@pytest.fixture
def levels():
    """Noise of 8 bits, with black, white and every grey, (67, 91, 3)."""
    levels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    levels[:3, :91] = np.arange(273, dtype=np.uint8).reshape(3, 91, 1)
    return levels


def written(photo, image, solved=SOLVED, path="result.png", **options):
    """The result's samples after a run on `photo` that ended with `image(content)`."""
    content = photo.resized(*solved)
    options = Options(output_image=str(path), **options)
    write_results(Result(image(content), content), photo, options, {})
    return [read_photo(name).samples for name in output_images(options)]


def saved(samples, path, profile=None):
    """The photo that a file of these samples holds."""
    pyvips.Image.new_from_array(samples).copy(interpretation="rgb16" if samples.dtype == np.uint16 else "srgb").write_to_file(
        str(path), **({"profile": profile} if profile else {})
    )
    return read_photo(str(path))


@pytest.mark.parametrize("solved", [SOLVED, SIZE])
@pytest.mark.parametrize("profile", [None, "p3"])
@pytest.mark.parametrize("strength", ["1", "0.5", "2"])
def test_a_result_like_the_content_gives_the_photo_to_the_last_bit(levels, tmp_path, solved, profile, strength):
    photo = saved(levels, tmp_path / "photo.png", profile)
    assert (photo.profile is None) == (profile is None)
    (samples,) = written(photo, lambda content: content, solved, tmp_path / "result.png", strength=strength)
    np.testing.assert_array_equal(samples, levels)


@pytest.mark.parametrize("solved", [SOLVED, SIZE])
@pytest.mark.parametrize("profile", [None, "p3"])
def test_of_16_bits_all_come_back(tmp_path, solved, profile):
    samples = np.random.default_rng(0).integers(0, 65536, (*SIZE, 3), np.uint16)
    photo = saved(samples, tmp_path / "photo.png", profile)
    (result,) = written(photo, lambda content: content, solved, tmp_path / "result.png")
    assert result.dtype == np.uint16
    assert np.abs(result.astype(int) - samples).max() <= 1


@pytest.mark.parametrize("solved", [SOLVED, SIZE])
@pytest.mark.parametrize("profile", [None, "p3"])
def test_strength_0_is_the_photo(levels, tmp_path, solved, profile):
    photo = saved(levels, tmp_path / "photo.png", profile)
    (samples,) = written(photo, lambda content: 1 - content, solved, tmp_path / "result.png", strength="0")
    np.testing.assert_array_equal(samples, levels)


@pytest.mark.parametrize("solved", [SOLVED, SIZE])
def test_strengths_lie_on_the_line_from_photo_to_result(tmp_path, solved):
    grey = np.tile(np.linspace(100, 150, SIZE[1]).astype(np.uint8)[None, :, None], (SIZE[0], 1, 3))
    photo = saved(grey, tmp_path / "photo.png")
    results = written(photo, lambda content: content * 0.9, solved, tmp_path / "a.b.png", strength="0.5,1,1.25")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b_0.5.png", "a.b_1.25.png", "a.b_1.png", "photo.png"]
    for strength, result in zip((0.5, 1, 1.25), results, strict=True):
        np.testing.assert_allclose(result, grey * (1 - 0.1 * strength), atol=1)


def test_at_full_size_a_result_has_the_colours_it_had_where_it_was_solved(tmp_path):
    coarse = np.random.default_rng(0).random((7, 9, 3)).astype(np.float32)
    photo = saved(np.rint(255 * np.clip(resize(coarse, *SIZE), 0, 1)).astype(np.uint8), tmp_path / "photo.png")
    (samples,) = written(photo, lambda content: 0.8 * content[..., ::-1], path=tmp_path / "result.png")
    np.testing.assert_allclose(samples, 255 * 0.8 * photo.pixels[..., ::-1], atol=8)


def test_output_size_solve_is_the_result_itself(levels, tmp_path):
    photo = saved(levels, tmp_path / "photo.png")
    content = photo.resized(*SOLVED)
    half, whole = written(photo, lambda _: 1 - content, path=tmp_path / "r.png", output_size="solve", strength="0.5,1")
    np.testing.assert_allclose(whole, 255 * (1 - content), atol=0.51)
    np.testing.assert_allclose(half, np.full_like(content, 127.5), atol=0.51)


@pytest.mark.parametrize("output_size", ["full", "solve"])
def test_a_result_of_a_coarse_scale_is_written_at_the_same_size(levels, tmp_path, output_size):
    photo = saved(levels, tmp_path / "photo.png")
    coarse = resize(photo.resized(*SOLVED), 10, 14)
    (samples,) = written(photo, lambda _: coarse, path=tmp_path / "result.png", output_size=output_size)
    wanted = levels if output_size == "full" else np.rint(255 * photo.resized(*SOLVED))
    np.testing.assert_array_equal(samples, wanted)


@pytest.mark.parametrize("strength", ["", "x", "0.5,", "0.5;1", "-0.1", "2.1", "nan", "inf", "0.5,0.50"])
def test_strengths_that_cannot_be(strength):
    with pytest.raises(UserError, match=r"^`strength` .+; "):
        Options(strength=strength)


@pytest.mark.parametrize(("name", "most"), [("r.webp", 16383), ("r.jpg", 65535)])
def test_a_photo_too_large_for_the_format_is_refused_at_once(tmp_path, name, most):
    content, style = tmp_path / "content.png", tmp_path / "style.png"
    Image.new("1", (16, most + 1)).save(content)
    Image.new("RGB", (16, 16)).save(style)
    options = Options(
        content_image_path=str(content), style_image_path=str(style), output_image=str(tmp_path / name), serial=str(tmp_path)
    )
    with pytest.raises(UserError, match=rf"r\.\w+ can have {most} pixels a side, not {most + 1}; write"):
        check_job(options)
    check_job(dataclasses.replace(options, output_size="solve"))
    check_job(dataclasses.replace(options, output_image=str(tmp_path / "r.png")))


@pytest.mark.parametrize(("fixed", "solved"), [({"max_iter": 2}, 160), ({"max_size": 40}, 40)])
def test_a_preview_is_solved_small_unless_its_size_is_fixed_and_given_at_full_size(tmp_path, caplog, fixed, solved):
    photo = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    options = Options(
        content_image_path=str(tmp_path / "photo.png"),
        style_image_path=str(DATA / "style.png"),
        output_image=str(tmp_path / "result.png"),
        serial=str(tmp_path),
        vgg19_weights=str(DATA / "thin_vgg19.npy"),
        preview=True,
        style_option=0,
        strength="0,1",
        quiet=True,
        **fixed,
    )
    with caplog.at_level(logging.INFO, "dpst"):
        assert run_one(options, "") == 0
    assert "preview: solved small, stopped early and written at the photo's own size" in caplog.text
    stages = json.loads((tmp_path / "result.json").read_text())["stages"]
    assert stages[-1]["size"] == [solved * 120 // 200, solved]
    assert all(0 < stage["iterations"] <= fixed.get("max_iter", PREVIEW_ITERATIONS) for stage in stages)
    np.testing.assert_array_equal(read_photo(str(tmp_path / "result_0.png")).samples, photo)
    result = read_photo(str(tmp_path / "result_1.png")).samples
    assert result.shape == photo.shape and not np.array_equal(result, photo)


def test_a_result_that_cannot_be_written_to_its_path_is_saved_elsewhere(levels, tmp_path, monkeypatch):
    photo = saved(levels, tmp_path / "photo.png")
    (tmp_path / "serial").mkdir()
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    lost, options = tmp_path / "gone" / "result.png", {"strength": "0.5,1"}
    for serial, place in ((tmp_path / "serial", "serial"), (tmp_path / "gone too", "temp")):
        with pytest.raises(UserError) as error:
            written(photo, lambda content: content, path=lost, serial=str(serial), **options)
        found = sorted((tmp_path / place).glob("*/*.png"), key=lambda path: path.name)
        assert [path.name for path in found] == ["result_0.5.png", "result_1.png"]  # all of them
        said = re.fullmatch(r"output image (.*) cannot be written \(.*\); it is saved as (.*)", str(error.value))
        assert said and said.groups() == (str(lost.with_name("result_0.5.png")), str(found[0]))
        for path in found:
            np.testing.assert_array_equal(read_photo(str(path)).samples, levels)


def test_what_stands_in_the_place_of_refuge_is_not_replaced(levels, tmp_path):
    photo = saved(levels, tmp_path / "photo.png")
    (tmp_path / "serial").mkdir()
    (tmp_path / "serial" / "result.png").write_text("mine")
    with pytest.raises(UserError, match="it is saved as"):
        written(photo, lambda content: content, path=tmp_path / "gone" / "result.png", serial=str(tmp_path / "serial"))
    assert (tmp_path / "serial" / "result.png").read_text() == "mine"


def test_a_result_that_is_nowhere_is_reported(levels, tmp_path, monkeypatch):
    photo = saved(levels, tmp_path / "photo.png")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    said = r"cannot be written \(.*\); free disk space or memory and run it again, for .* cannot hold it either$"
    with pytest.raises(UserError, match=said):
        written(photo, lambda content: content, path=tmp_path / "gone" / "result.png", serial=str(tmp_path / "no"))


def test_without_memory_for_the_photos_size_a_result_is_saved_at_the_solve_size(levels, tmp_path, monkeypatch):
    photo = saved(levels, tmp_path / "photo.png")
    (tmp_path / "serial").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))

    def no_memory(*_):
        raise MemoryError("unable to allocate 9 GiB")

    monkeypatch.setattr("dpst.files.photos.Photo.rows", no_memory)
    said = r"result\.png cannot be written \(unable to allocate 9 GiB\); it is saved as .*, at the size where it was solved$"
    with pytest.raises(UserError, match=said):
        written(photo, lambda content: content, path=tmp_path / "result.png", serial=str(tmp_path / "serial"))
    monkeypatch.undo()
    (place,) = tmp_path.glob("serial/*")  # no empty folders beside it
    np.testing.assert_allclose(read_photo(str(place / "result.png")).samples, 255 * photo.resized(*SOLVED), atol=0.51)
    assert not (tmp_path / "result.png").exists()


def test_with_room_for_the_solve_size_alone_a_result_has_that_size(levels, tmp_path, monkeypatch):
    photo = saved(levels, tmp_path / "photo.png")
    (tmp_path / "serial").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, whole[1]))
    try:
        with pytest.raises(UserError, match=r"cannot be written \(.*\); it is saved as .*, at the size where it was solved$"):
            written(photo, lambda content: content, path=tmp_path / "result.png", serial=str(tmp_path / "serial"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    (place,) = tmp_path.glob("serial/*")
    assert read_photo(str(place / "result.png")).size == SOLVED
