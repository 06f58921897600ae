"""LUTs written beside a result, for each region and realism."""

import dataclasses
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, golden_masks, golden_photo

from deep_photostyle import main
from dpst.errors import UserError
from dpst.files.luts import Lut
from dpst.imaging.ciede2000 import ciede2000
from dpst.imaging.colours import cielab
from dpst.jobs.lut_results import write_luts
from dpst.options import Options
from dpst.solver.lut_look import LutLook
from photo_style import Result


@pytest.fixture
def result():
    """As a solve returns it; blue is darkened and the rest inverted."""
    content, masks = golden_photo("content.png"), golden_masks("content_seg.png")
    image = np.where(masks[..., :1] > 0, content / 2, 1 - content)
    return Result(image, content, [], "none", dict(zip(("blue", "white", "red"), np.moveaxis(masks, -1, 0), strict=True)))


def test_a_region_has_its_own_lut(result):
    blue = result.masks["blue"] > 0
    near = {
        region: np.abs(result.lut(region, 17)(result.content) - result.image)[blue].mean() for region in (None, "blue", "red")
    }
    assert near["blue"] < near[None] < near["red"]
    with pytest.raises(UserError, match=r"^region sky is not in the photo; use one of blue, white, red$"):
        result.lut("sky")


def test_a_lut_says_what_its_colours_are(result):
    assert result.lut(size=17).comments == ("Colours in and out are sRGB as files hold them, not linear light and not log.",)
    assert result.lut("red", 17).title == "deep-photostyle, red"


def test_a_lut_is_made_for_the_requested_colours(result):
    plain, video = (result.lut(size=17, profile=profile) for profile in ("srgb", "rec709"))
    assert np.abs(plain.table - video.table).mean() > 0.01
    assert result.lut_fit(video).mean < 1.2 * result.lut_fit(plain).mean
    (comment,) = result.lut(size=17, profile="adobe-rgb").comments
    assert comment == "Colours in and out are Adobe RGB (1998) as files hold them, not linear light and not log."
    with pytest.raises(UserError, match=r"^LUT profile log is unknown"):
        result.lut(profile="log")


def test_the_lut_of_a_result_that_keeps_the_light_does_too(result):
    weights = np.array([0.299, 0.587, 0.114])
    content = golden_photo("content.png")
    for keeps_light, least, most in ((True, 0, 0.03), (False, 0.1, 1)):
        kept = dataclasses.replace(result, keeps_light=keeps_light)
        change = np.abs((kept.lut(size=17)(content) - content) @ weights)
        assert least <= change.mean() <= most


def run(golden_paths, capsys, **options):
    chosen = golden_paths | {"style_option": 2, "lut_size": 17} | options
    code = main([f"--{name}={value}" for name, value in chosen.items()])
    return code, "".join(capsys.readouterr())


def test_each_realism_and_region_has_a_lut_with_a_reported_fit(result, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dpst")
    darker = LutLook([Lut(np.float32([(0, 0, 0), (0.3, 0.3, 0.3)]))])
    lighter = LutLook([Lut(np.float32([(0.2, 0.2, 0.2), (1, 1, 1)]))])
    result = dataclasses.replace(result, looks={0.0: lighter, 1.0: darker})
    options = Options(lut=str(tmp_path / "look_{region}.cube"), lut_size=17, realism="0,1", style_option=2)
    fits = write_luts(result, options)
    assert [Path(path).name for path in fits] == [
        f"look_{region}_realism{realism}.cube" for realism in (0, 1) for region in ("blue", "white", "red")
    ]
    for (path, fit), line in zip(fits.items(), caplog.messages, strict=True):
        found = re.fullmatch(r"(.+) is written; in the region (\w+), (CIEDE2000 .* (\S+) on average, .* (\S+))", line)
        assert found[1] == path and found[2] in path
        assert [float(found[4]), float(found[5])] == pytest.approx(list(fit.values()), abs=0.051)
        assert f"Fit to the region {found[2]}: {found[3]}." in Lut.read(path).comments
    dark = Lut.read(str(tmp_path / "look_red_realism1.cube"))
    assert np.abs(dark(result.content) - 0.3 * result.content).mean() < 0.05


@pytest.mark.parametrize("solver", ["maps", "pixels"])
def test_the_fit_is_what_whoever_applies_the_lut_finds(solver, golden_paths, capsys, tmp_path):
    code, error = run(golden_paths, capsys, lut=tmp_path / "look.cube", solver=solver)
    assert code == 0, error
    lut = Lut.read(str(tmp_path / "look.cube"))
    result = golden_photo(tmp_path / "result.png")
    found = ciede2000(cielab(lut(golden_photo("content.png")).reshape(-1, 3), 1.0), cielab(result.reshape(-1, 3), 1.0))
    fit = json.loads((tmp_path / "snapshots" / "result.json").read_text())["lut_fits"][str(tmp_path / "look.cube")]
    assert fit["mean"] == pytest.approx(found.mean(), abs=0.1)  # the result's file has 8 bits
    assert fit["percentile95"] == pytest.approx(np.percentile(found, 95), abs=0.2)


def test_a_batch_makes_a_lost_lut_again(tmp_path, capsys):
    (tmp_path / "jobs.csv").write_text(
        f"content_image_path,style_image_path,lut\n{DATA / 'content.png'},{DATA / 'style.png'},look.cube\n"
    )
    options = {"batch": tmp_path / "jobs.csv", "output_dir": tmp_path / "out", "style_option": 2, "max_iter": 2, "lut_size": 17}
    arguments = [f"--{name}={value}" for name, value in options.items()] + [f"--vgg19_weights={DATA / 'thin_vgg19.npy'}"]
    for expected in ("1 done", "1 unchanged"):
        assert main(arguments) == 0
        assert expected in "".join(capsys.readouterr())
    (tmp_path / "out" / "look.cube").unlink()
    assert main(arguments) == 0
    assert "1 done" in "".join(capsys.readouterr())
    assert Lut.read(str(tmp_path / "out" / "look.cube")).table.shape == (17, 17, 17, 3)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({"lut": "a.3dl"}, 2, "--lut a.3dl has an unknown extension; use one of .cube, .png"),
        ({"lut": "{region}/a.cube"}, 2, "--lut {region}/a.cube has {region} in the folder's name; put it in the file's name"),
        ({"lut": "a.png", "output_image": "a.png"}, 2, "--lut a.png is also the name of the result; use another name"),
        ({"lut": "none/a.cube"}, 1, "LUT none/a.cube is in a folder that does not exist; create it, or check the path"),
    ],
)
def test_a_lut_that_cannot_be_written_is_refused_first(options, code, message, golden_paths, capsys):
    assert run(golden_paths, capsys, **options) == (code, f"error: {message}\n")
