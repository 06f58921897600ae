"""LUTs from the command line: put on photos of every kind, by region, in batches, and without TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from PIL import Image

from deep_photostyle import main
from dpst.errors import UserError
from dpst.files.luts import Lut
from dpst.files.photos import read_photo
from dpst.files.writing import write_photo
from dpst.options import Options

ROOT = Path(__file__).parents[2]
# The colours of a mask of three regions, by the names that the tool gives them.
RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)


def halving(share=0.5):
    """Makes colours darker."""
    return Lut(np.float32([(0, 0, 0), (share,) * 3]))


@pytest.fixture
def photo(tmp_path):
    """An 8-bit photo in three bands, and the mask of the bands."""
    samples = np.random.default_rng(0).integers(40, 250, (36, 30, 3), np.uint8)
    mask = np.zeros((36, 30, 3), np.uint8)
    mask[:12], mask[12:24], mask[24:] = RED, BLUE, BLACK
    Image.fromarray(samples).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return samples


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command line in tmp_path; returns exit code and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(**options):
        chosen = {"content_image_path": "photo.png", "output_image": "out.png", "serial": "s"} | options
        code = main([f"--{name}={value}" for name, value in chosen.items() if value is not None])
        return code, "".join(capsys.readouterr())

    return run


def samples_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_lut_is_put_on_a_photo_at_each_strength(photo, run):
    halving().write("a.cube")
    code, error = run(apply_lut="a.cube", strength="0.5,1")
    assert code == 0, error
    np.testing.assert_allclose(samples_of("out_1.png"), photo * 0.5, atol=0.501)
    np.testing.assert_allclose(samples_of("out_0.5.png"), photo * 0.75, atol=0.501)
    record = json.loads(Path("s/out.json").read_text())
    assert set(record["inputs"]) == {"content_image_path", "apply_lut"}


def test_sixteen_bits_alpha_and_exif_stay(run, tmp_path):
    wide = np.random.default_rng(0).integers(0, 65536, (20, 24, 4), np.uint16)
    with Image.open(DATA / "content.png") as picture:
        exif = picture.getexif()
        exif[271] = "camera"
        picture.crop((0, 0, 24, 20)).save(tmp_path / "exif.jpg", exif=exif)
    from dpst.files.photos import Photo

    like = Photo(wide, None, read_photo(str(tmp_path / "exif.jpg")).metadata)
    write_photo(str(tmp_path / "photo.tif"), iter([like.pixels]), like)
    halving().write("a.cube")
    code, error = run(content_image_path="photo.tif", output_image="out.tif", apply_lut="a.cube")
    assert code == 0, error
    out = read_photo("out.tif")
    np.testing.assert_allclose(out.samples[..., :3], wide[..., :3] / 2, atol=1)
    np.testing.assert_array_equal(out.samples[..., 3], wide[..., 3])
    assert b"camera" in out.metadata["exif-data"]


def test_the_solve_size(photo, run):
    halving().write("a.png")
    assert run(apply_lut="a.png", output_size="solve", max_size=18)[0] == 0
    assert samples_of("out.png").shape == (18, 15, 3)


def test_each_region_has_a_lut_of_its_own_and_one_without_stays(photo, run):
    halving(0.5).write("look_red.cube")
    halving(0.75).write("look_blue.cube")
    code, error = run(apply_lut="look_{region}.cube", content_seg_path="mask.png")
    assert code == 0, error
    assert "warning: region black of mask.png has no LUT look_black.cube; it is left as it is" in error
    out = samples_of("out.png")
    for rows, share in ((slice(0, 8), 0.5), (slice(16, 20), 0.75), (slice(28, 36), 1)):
        np.testing.assert_allclose(out[rows], photo[rows] * share, atol=1)


def test_a_region_without_a_lut_may_join_its_neighbour_or_stop(photo, run):
    halving(0.5).write("look_red.cube")
    halving(0.75).write("look_blue.cube")
    options = {"apply_lut": "look_{region}.cube", "content_seg_path": "mask.png"}
    assert run(**options, missing_class="merge")[0] == 0
    np.testing.assert_allclose(samples_of("out.png")[28:], photo[28:] * 0.75, atol=1)
    code, error = run(**options, missing_class="error")
    assert code == 1
    assert error.startswith("error: region black of mask.png has no LUT look_black.cube; make one, or")


def test_names_of_classes_find_the_luts(photo, run):
    halving(0.5).write("sky.cube")
    code, error = run(apply_lut="{region}.cube", content_seg_path="mask.png", seg_classes="sky=ff0000")
    assert code == 0, error
    out = samples_of("out.png")
    np.testing.assert_allclose(out[:8], photo[:8] * 0.5, atol=1)
    np.testing.assert_array_equal(out[16:], photo[16:])


def test_a_lut_is_applied_in_the_colours_that_it_is_made_for(photo, run):
    Lut(np.float32([(0, 0, 0), (0.5, 0.5, 0.5)])).write("a.cube")
    code, error = run(apply_lut="a.cube", lut_profile="rec709")
    assert (code, error.count("WARN")) == (0, 0)
    # Half of a power's value is a 2.4th power of a half of the light, whatever the colour.
    light = ((photo / 255 + 0.055) / 1.055) ** 2.4 * 0.5**2.4
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(samples_of("out.png"), 255 * expected, atol=0.55)


def test_a_profile_without_a_lut_is_named(photo, run):
    Image.fromarray(photo[::-1]).save("style.png")
    code, error = run(style_image_path="style.png", lut_profile="rec709", dry_run=True)
    assert (code, error.count("--lut_profile rec709 is not used; give --lut or --apply_lut")) == (0, 1)


@pytest.mark.parametrize("by_region", [False, True])
def test_only_colours_change_where_light_is_kept(photo, run, by_region):
    Lut(np.float32([(0.2, 0, 0), (0.6, 0.4, 0.2)])).write("a_red.cube")
    regions = {"apply_lut": "a_{region}.cube", "content_seg_path": "mask.png"} if by_region else {"apply_lut": "a_red.cube"}
    assert run(keep="light", strength="0.5,1", **regions)[0] == 0
    weights = np.array([0.299, 0.587, 0.114])
    for name in ("out_0.5.png", "out_1.png"):
        result = samples_of(name)
        np.testing.assert_allclose(result @ weights, photo @ weights, atol=0.6)
        assert np.abs(result[:10] - photo[:10].astype(int)).mean() > 5


REFUSED = {
    "no file": ({"apply_lut": "none.cube"}, "LUT none.cube cannot be read (No such file or directory); check the path"),
    "no files": (
        {"apply_lut": "no_{region}.cube", "content_seg_path": "mask.png"},
        "--apply_lut no_{region}.cube matches no file; check the path",
    ),
    "no mask": (
        {"apply_lut": "a_{region}.cube"},
        "--apply_lut a_{region}.cube is for regions; give their mask, --content_seg_path",
    ),
    "no region": (
        {"apply_lut": "a_green.cube", "content_seg_path": "mask.png"},
        "--apply_lut a_green.cube is for the whole photo; put {region} in its name, or give no masks",
    ),
    "no such region": (
        {"apply_lut": "a_{region}.cube", "content_seg_path": "mask.png"},
        "--apply_lut a_{region}.cube has no LUT for the regions of mask.png (black, red, blue); there are green",
    ),
    "damaged": (
        {"apply_lut": "bad.cube"},
        "LUT bad.cube has no LUT_1D_SIZE or LUT_3D_SIZE before its table; give a .cube file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused_in_a_line(case, photo, run):
    halving().write("a_green.cube")
    Path("bad.cube").write_text("bad")
    options, message = REFUSED[case]
    assert run(**options) == (1, f"error: {message}\n")
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    "other", [{"style_image_path": "s.png"}, {"lut": "b.cube"}, {"auto_seg": "3"}, {"mask_preview": "m.png"}]
)
def test_options_of_a_solve_do_not_go_with_it(other):
    with pytest.raises(UserError, match="cannot be combined with `apply_lut`, which solves nothing; remove one of them"):
        Options(apply_lut="a.cube", **other)


def test_a_batch_is_resumed_and_notices_another_lut(photo, run):
    Path("in").mkdir()
    for number in range(3):
        Image.fromarray(photo[number:]).save(f"in/{number}.png")
    halving().write("a.cube")
    options = {"content_image_path": None, "output_image": None, "serial": None, "batch": "in", "output_dir": "out"}
    code, error = run(**options, apply_lut="a.cube")
    assert code == 0 and "3 done" in error, error
    np.testing.assert_allclose(samples_of("out/2.png"), photo[2:] * 0.5, atol=0.501)
    Path("out/1.png").unlink()
    assert "1 done, 2 unchanged" in run(**options, apply_lut="a.cube")[1]
    halving(0.25).write("a.cube")
    assert "3 done" in run(**options, apply_lut="a.cube")[1]
    assert Path("out/report.html").stat().st_size > 1000


def test_a_batch_with_masks_and_a_lut_for_each_region(photo, run):
    for folder in ("in", "masks"):
        Path(folder).mkdir()
    for number in range(2):
        Image.fromarray(photo[:, number:]).save(f"in/{number}.png")
        Image.fromarray(samples_of("mask.png")[:, number:]).save(f"masks/{number}.png")
    for region, share in (("red", 0.5), ("blue", 0.75), ("black", 1.0)):
        halving(share).write(f"look_{region}.cube")
    options = {"content_image_path": None, "output_image": None, "serial": None, "batch": "in", "output_dir": "out"}
    options |= {"apply_lut": "look_{region}.cube", "content_seg_path": "masks"}
    code, error = run(**options)
    assert code == 0 and "2 done" in error, error
    np.testing.assert_allclose(samples_of("out/1.png")[:8], photo[:8, 1:] * 0.5, atol=1)
    assert "2 unchanged" in run(**options)[1]
    halving(0.9).write("look_blue.cube")
    assert "2 done" in run(**options)[1]


def test_a_manifest_may_give_each_photo_a_lut(photo, run, tmp_path):
    halving().write("a.cube")
    halving(0.25).write("b.cube")
    Path("jobs.csv").write_text("content_image_path,apply_lut,output_image\nphoto.png,a.cube,1.png\nphoto.png,b.cube,2.png\n")
    code, error = run(content_image_path=None, output_image=None, serial=None, batch="jobs.csv", output_dir="out")
    assert code == 0, error
    np.testing.assert_allclose(samples_of("out/2.png"), photo * 0.25, atol=0.501)


WITHOUT = """
import sys
from deep_photostyle import main
code = main(sys.argv[1:])
sys.exit(99 if {"tensorflow", "keras"} & set(sys.modules) else code)
"""


@pytest.mark.parametrize("batch", [False, True])
def test_tensorflow_is_not_imported(batch, photo, tmp_path):
    halving().write(str(tmp_path / "a.cube"))
    (tmp_path / "in").mkdir()
    os.link(tmp_path / "photo.png", tmp_path / "in" / "photo.png")
    one = ["--content_image_path=photo.png", "--output_image=out/photo.png", "--serial=s"]
    (tmp_path / "out").mkdir()
    arguments = ["--batch=in", "--output_dir=out"] if batch else one
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITHOUT, "--apply_lut=a.cube", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "out" / "photo.png").exists()


def test_dry_run_writes_no_picture(photo, run):
    halving().write("a.cube")
    assert run(apply_lut="a.cube", dry_run=True)[0] == 0
    assert not Path("out.png").exists()
