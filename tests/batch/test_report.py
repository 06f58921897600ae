"""The page of a batch: what it holds, that it stays small, and, in a browser, that it works."""

import base64
import dataclasses
import io
import logging
import re
import shutil
import time
import urllib.parse

import pytest
from conftest import DATA, made_record
from PIL import Image

from dpst.batch import report
from dpst.batch.report import Page
from dpst.jobs.job import Outcome, Status
from dpst.jobs.places import output_images
from dpst.options import Options
from dpst.solver.stages import Stage


def ended(name="a.png", status=Status.DONE, **changes):
    """The report of a job on the golden photos."""
    options = Options(
        content_image_path=str(DATA / "content.png"),
        style_image_path=str(DATA / "style.png"),
        mask_preview=str(DATA / "content_seg.png"),
        output_image=str(DATA / "init.png"),
    )
    losses = [{"total": 10.0 ** (5 - step / 3)} for step in range(7)]
    stage = Stage("segmented style", (45, 61), losses, 6, 7, 1.0, "all 6 iterations made")
    record = made_record(
        options,
        features="VGG19 weights",
        seconds=12.34,
        scores={"edge_ssim": 0.91234, "affine_residual": 1.5, "colour_distance": 0.25},
        stages=[stage, dataclasses.replace(stage, phase="photorealistic refinement")],
    )
    made = Outcome(name, status, options, record, warnings=("masks overlap; draw others",))
    return dataclasses.replace(made, **changes)


def failed(name="b.png", error="style image is empty; get another", **changes):
    return ended(name, Status.FAILED, record=None, error=error, **changes)


@pytest.fixture
def write(tmp_path):
    """A function that writes a page of some reports and returns its text."""

    def write(*reports, running=False, total=None):
        page = Page(tmp_path / "report.html", "holiday <2024>", total or len(reports))
        for each in reports:
            page.add(each)
        page.write(running)
        return (tmp_path / "report.html").read_text()

    return write


def test_a_job_is_shown_with_everything_about_it(write):
    text = write(ended())
    for shown in ("0.912", "1.50", "0.250", "12.3 s", "VGG19 weights", "warning: masks overlap; draw others"):
        assert shown in text
    assert "segmented style 61x45, 6 iterations: loss 1e+05 to 1000" in text
    for role in ("content photo", "result", "style photo", "both photos with their regions"):
        assert f'alt="{role}"' in text
    assert "1 of 1 jobs" in text and "data-running" not in text


def test_pictures_are_small_jpegs_and_nothing_is_loaded_from_elsewhere(write, tmp_path, monkeypatch):
    large = Image.effect_noise((2000, 1500), 60).convert("RGB")
    large.save(tmp_path / "large.png")
    paths = dataclasses.replace(ended().options, content_image_path=str(tmp_path / "large.png"))
    text = write(ended(options=paths))
    uris = re.findall(r'(?:src|<link rel="icon" href)="([^"#]*)"', text)
    assert len(uris) == 5
    assert uris[0] == "data:,"  # the icon, which a browser would ask for
    for uri in uris[1:]:
        kind, _, content = uri.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert len(content) < 150_000
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert max(picture.size) <= 480
    assert "http" not in text and "@import" not in text


def test_a_curve_falls_from_the_top_left_to_the_bottom_right(write):
    first, second = re.findall(r'<polyline points="([^"]*)">', write(ended()))
    points = [tuple(map(float, point.split(","))) for point in (first + " " + second).split()]
    assert points[0] == (0, 2)
    assert points[-1] == (300, 88)
    assert len(points) == 14
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_a_long_curve_is_thinned(write):
    record = ended().record
    stage = dataclasses.replace(record.stages[0], losses=[{"total": 1000.0 - step} for step in range(997)])
    (points,) = re.findall(r'<polyline points="([^"]*)">', write(ended(record=dataclasses.replace(record, stages=[stage]))))
    assert len(points.split()) <= 101
    assert points.endswith("300.0,88.0")


def test_failures_are_counted_above_the_results_in_their_order(write):
    bad_line = Outcome("line 7", Status.LEFT_OUT, error="manifest m.csv line 7: column 'x' is not an option; use another")
    text = write(ended("one.png"), failed("two.png"), ended("three.png"), bad_line)
    headings = re.findall(r"<h2.*?>(.*?)</h2>", text)
    assert headings == ["2 failed or left out", "one.png", "three.png", "Figures"]
    failures = re.findall(r'<li><b>(.*?)</b> (.*?): <span class="bad">(.*?)</span>', text)
    line = "manifest m.csv line 7: column &#39;x&#39; is not an option; use another"
    assert failures == [("two.png", "failed", "style image is empty; get another"), ("line 7", "left out", line)]
    assert text.index("2 failed or left out") < text.index('id="job-1"') < text.index("<table>")
    assert re.findall(r'class="bad">(\d+ [\w ]+)</span>', text) == ["1 failed", "1 left out"]


def test_results_are_linked_to_their_files(tmp_path, write):
    (tmp_path / "a b").mkdir()
    output, lut = tmp_path / "a b" / "50%#é.png", tmp_path / "look.cube"
    options = dataclasses.replace(ended().options, output_image=str(output), strength="0.5,1")
    for path in (*output_images(options), lut, f"{output}.json"):
        shutil.copy(DATA / "init.png", path)
    record = dataclasses.replace(ended().record, luts={str(lut): "", str(tmp_path / "lost.cube"): ""})
    text = write(ended(options=options, record=record))
    names = ["50%#é_0.5.png", "50%#é_1.png", "look.cube", "50%#é.png.json"]
    links = re.findall(r'<a href="(\./[^"]*)">([^<]*)</a>', text)
    assert [name for _, name in links] == names
    for address, name in links:
        (found,) = tmp_path.rglob(name)
        assert urllib.parse.urljoin(f"{tmp_path.as_uri()}/report.html", address) == found.as_uri()


def test_every_column_is_explained_and_none_is_empty(write):
    text = write(ended(), ended("b.png", warnings=()))
    heads = re.findall(r'<th scope="col".*?<button type="button">(.*?)</button>', text)
    assert heads == ["job", "time", "edges", "residual", "colour distance", "loss", "warnings"]
    meanings = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text[text.index("</table>") :]))
    assert list(meanings) == heads[1:] and all(len(meaning.split()) > 3 for meaning in meanings.values())
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr data-job.*?</tr>", text, re.DOTALL)]
    assert rows == [["12.3", "0.912", "1.50", "0.250", "1000.00", "1"], ["12.3", "0.912", "1.50", "0.250", "1000.00", "–"]]
    of_a_lut = dataclasses.replace(ended().record, scores={}, stages=[], features="")
    text = write(ended(record=of_a_lut, warnings=()))
    assert re.findall(r'<th scope="col".*?<button type="button">(.*?)</button>', text) == ["job", "time"]
    assert "<svg" not in text and "features" not in text


def test_names_and_messages_cannot_break_the_page(write):
    text = write(failed("<script>alert(1)</script>.png", error='"><img src=x onerror=alert(1)>'))
    assert "<script>alert" not in text and "<img src=x" not in text
    assert "holiday &lt;2024&gt;" in text


def test_the_page_stays_bounded(write, monkeypatch):
    monkeypatch.setattr(report, "SHOWN", 6)
    monkeypatch.setattr(report, "SHOWN_FAILED", 3)
    text = write(*(ended(f"d{n}.png") for n in range(20)), *(failed(f"f{n}.png") for n in range(9)))
    assert re.findall(r"<b>(.*?)</b>", text) == ["f6.png", "f7.png", "f8.png"]
    assert re.findall(r"<h2>(.*?)</h2>", text) == [*(f"d{n}.png" for n in range(14, 20)), "Figures"]
    assert "9 failed or left out" in text and "listed; 6 more are not" in text and "shown; 14 more are not" in text
    assert "20 done" in text


def test_only_pictures_that_are_shown_are_read(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(report, "SHOWN", 2)
    monkeypatch.setattr(report, "thumbnail", lambda path, side, most: read.append(path) or b"")
    page = Page(tmp_path / "report.html", "b", 50)
    page.add(ended())
    for _ in range(49):
        page.add(ended())
    page.write()
    assert len(read) == 3 * 4  # of the first job, at once, and of the last two


def test_a_running_page_reloads_itself_and_is_written_as_jobs_end(tmp_path):
    page = Page(tmp_path / "report.html", "b", 3)
    page.add(ended())
    text = (tmp_path / "report.html").read_text()
    assert "<body data-running>" in text and "1 of 3 jobs, running" in text
    page.write()
    assert "1 of 3 jobs, stopped" in (tmp_path / "report.html").read_text()


def test_pictures_that_cannot_be_read_are_left_out(write, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    options = dataclasses.replace(ended().options, style_image_path=str(tmp_path / "broken.png"), mask_preview="")
    text = write(ended(options=options))
    assert re.findall(r'alt="([^"]*)"', text) == ["content photo", "result"]


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    page = Page(tmp_path / "gone" / "report.html", "b", 1)
    with caplog.at_level(logging.WARNING):
        page.add(ended())
    assert caplog.messages == [
        f"report {tmp_path}/gone/report.html cannot be written (No such file or directory); the jobs go on"
    ]


# In a browser, if Chromium and its driver are there


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_in_a_browser(write, tmp_path, browse, width):
    scores = {"edge_ssim": 0.5, "affine_residual": 9.0, "colour_distance": 0.1}
    write(
        ended("x10.png"),
        failed("bad.png"),
        ended("x9.png", record=dataclasses.replace(ended().record, scores=scores, seconds=3.0)),
    )
    browser = browse(width, 900)
    browser.go(f"file://{tmp_path}/report.html")
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [width, True]
    at = "return document.querySelector('.compare').style.getPropertyValue('--at')"
    browser.press(".compare input", "\ue014\ue014\ue014")  # arrow right
    assert browser.run(at) == "53%"
    browser.drag(".compare", (0.53, 0.5), (0.9, 0.5))
    assert 85 <= float(browser.run(at).rstrip("%")) <= 95
    shown = browser.run("return getComputedStyle(document.querySelector('.result')).clipPath")
    assert re.fullmatch(r"inset\(0px 0px 0px [89]\d(\.\d+)?%\)", shown)
    sizes = browser.run(
        "return [...document.querySelectorAll('.compare:first-child img')].map(i => [i.offsetWidth, i.offsetHeight])"
    )
    assert sizes[0] == sizes[1] and sizes[0][0] > 300

    order = "return [...document.querySelectorAll('article h2')].map(h => h.textContent)"
    assert browser.run(order) == ["x10.png", "x9.png"]
    assert browser.run("return document.querySelector('li').innerText").startswith("bad.png failed: ")
    rows = "return [...document.querySelectorAll('tbody th')].map(h => h.textContent)"
    browser.click("th[data-key=name] button")
    assert browser.run(order) == browser.run(rows) == ["x9.png", "x10.png"]
    browser.click("th[data-key=name] button")
    assert browser.run(order) == browser.run(rows) == ["x10.png", "x9.png"]
    browser.click("th[data-key=seconds] button")
    assert browser.run(order) == browser.run(rows) == ["x9.png", "x10.png"]
    browser.reload()
    assert browser.run(order) == ["x9.png", "x10.png"]  # as before it was loaded again
    time.sleep(0.2)
    assert browser.messages() == []
