"""The whole page in a browser: from two photos to a result, wrong files, two pages at once, and one that is closed."""

import logging
import re
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import DATA
from PIL import Image

from dpst.jobs import picture
from dpst.page.server import Server

pytestmark = pytest.mark.slow
IDLE = "document.querySelector('#busy').hidden"
BUSY_WORDS = "document.querySelector('#words').textContent"


@pytest.fixture
def visit(browse, server):
    """A function that opens the page in a browser of some width."""

    def visit(width=1280):
        browser = browse(width)
        browser.go(f"http://127.0.0.1:{server.address[1]}/")
        browser.wait("document.querySelector('#brushes input')")
        return browser

    return visit


@pytest.fixture
def slow_steps(monkeypatch):
    """Solves whose steps take a tenth of a second and do not come to an end; the list has the steps."""
    steps = []

    class Watch(picture.Watch):
        def __call__(self, progress):
            steps.append(progress)
            super().__call__(progress)
            while not self.ended.wait(0.1):
                self._bar.update(0.001)
                steps.append(progress)

        ended = threading.Event()

    monkeypatch.setattr(picture, "Watch", Watch)
    yield steps
    Watch.ended.set()


def give_photos(browser):
    browser.press("#content-photo", str(DATA / "content.png"))
    browser.wait(IDLE)
    browser.press("#style-photo", str(DATA / "style.png"))
    browser.wait(f"{IDLE} && !document.querySelector('.later').hidden")


def eventually(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("width", [1280, 400])
def test_from_two_photos_by_strokes_to_a_downloaded_result(visit, server, tmp_path, width):
    browser = visit(width)
    give_photos(browser)
    browser.click("input[value=strokes]")
    for of in ("content", "style"):
        canvas = f".photo[data-of={of}] canvas"
        browser.click("#brushes label[title=blue]")
        browser.drag(canvas, (0.1, 0.1), (0.5, 0.15), (0.9, 0.1))
        browser.click("#brushes label[title=red]")
        browser.drag(canvas, (0.1, 0.9), (0.9, 0.9))
        browser.click("#brushes label[title=yellow]")
        browser.drag(canvas, (0.4, 0.5), (0.6, 0.5))
        browser.click("#undo")
    browser.click("#show")
    browser.wait(f"{IDLE} && document.querySelector('#regions img').naturalWidth > 300")
    browser.click("#draft")
    browser.wait(f"{IDLE} && document.querySelector('.after').naturalWidth", 120)
    assert browser.run("return document.querySelector('#view-name').textContent") == "draft"
    first = browser.run("return document.querySelector('.after').src")
    browser.press("#realism", "\ue012")  # arrow left
    browser.wait(f"document.querySelector('.after').src !== '{first}'")
    browser.press("#strength", "\ue012\ue012")
    assert browser.run("return [...document.querySelectorAll('.sliders output')].map(o => o.value)") == ["0.5", "0.9"]
    browser.drag(".compare", (0.5, 0.5), (0.2, 0.5))
    assert 15 <= float(browser.run("return document.querySelector('.compare').style.getPropertyValue('--at')").rstrip("%")) <= 25
    browser.click("#make")
    browser.wait(f"{IDLE} && !document.querySelector('#made').hidden", 120)
    browser.wait("document.querySelector('#view-name').textContent === 'result'")
    assert browser.run("return document.querySelector('#news').textContent") == "The result is ready."
    browser.click("#download")
    for link in range(3):
        browser.click(f"#files li:nth-child({link + 1}) a")
    names = ("content_restyled.png", "content_strokes.png", "style_strokes.png", "content_look.cube")
    downloads = [tmp_path / "downloads" / name for name in names]
    assert eventually(lambda: all(path.is_file() for path in downloads))
    assert downloads[3].read_text().splitlines()[-1].count(" ") == 2
    with Image.open(downloads[0]) as result, Image.open(DATA / "content.png") as content:
        assert result.size == content.size
        assert np.abs(np.asarray(result.convert("RGB")).astype(int) - np.asarray(content.convert("RGB"))).mean() > 2
    with Image.open(downloads[1]) as strokes:
        colours = {colour for _, colour in strokes.getcolors()}
        assert strokes.size == (61, 45) and colours - {(0, 0, 0, 0)} == {(0, 0, 255, 255), (255, 0, 0, 255)}
    # A picture that is not the file's cannot be downloaded, until it has been made.
    browser.press("#strength", "\ue012")
    assert browser.run("return document.querySelector('#made').hidden && !document.querySelector('#stale').hidden")
    browser.wait("document.querySelector('#view-name').textContent === 'not made yet'")
    browser.press("#strength", "\ue014")
    browser.wait("document.querySelector('#view-name').textContent === 'result' && !document.querySelector('#made').hidden")
    command = browser.run("return document.querySelector('#command').textContent")
    assert command.startswith("python deep_photostyle.py --content_image_path content.png")
    assert "--realism 0.5" in command and "--strength 0.9" in command
    assert "--seg_scribbles always" in command and str(tmp_path / "root") not in command
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [width, True]

    requests = browser.requests()
    assert len(requests) > 10
    assert {urlsplit(url).netloc for url in requests if urlsplit(url).scheme in ("http", "https", "ws", "wss")} == {
        f"127.0.0.1:{server.address[1]}"
    }
    assert {urlsplit(url).scheme for url in requests} <= {"http", "data", "blob"}
    assert browser.messages() == []


def test_a_wrong_file_is_refused_and_a_right_one_taken_after_it(visit, tmp_path):
    wrong = tmp_path / "note.txt"
    wrong.write_text("no picture")
    browser = visit()
    browser.press("#content-photo", str(wrong))
    browser.wait("!document.querySelector('#error-row').hidden")
    assert browser.run("return document.querySelector('#error').textContent").startswith(
        "content image note.txt cannot be read as a picture"
    )
    give_photos(browser)
    assert browser.run("return document.querySelector('#error-row').hidden")
    browser.click("input[value=masks]")
    browser.press("#content-mask", str(DATA / "content_seg.png"))
    browser.click("#make")  # of the two masks only one
    browser.wait("!document.querySelector('#error-row').hidden && document.querySelector('#busy').hidden")
    assert browser.run("return document.querySelector('#error').textContent") == (
        "the mask of the other photo is missing; give the masks of both photos or of neither"
    )


def test_a_page_that_is_closed_stops_its_solve_and_the_next_one_begins(visit, server, slow_steps, tmp_path):
    first, second = visit(), visit()
    give_photos(first)
    give_photos(second)
    folders = set((tmp_path / "root").iterdir())
    first.click("#make")
    assert eventually(lambda: len(slow_steps) > 3, 90)
    second.click("#make")
    second.wait(f"{BUSY_WORDS} === 'waiting for another page to finish'")
    assert not second.run(f"return {IDLE}")
    before = len(slow_steps)
    first.go("data:text/plain,elsewhere")
    assert eventually(lambda: len(set((tmp_path / "root").iterdir()) & folders) == 1)
    second.wait(f"{BUSY_WORDS} && !{BUSY_WORDS}.startsWith('waiting')")
    assert eventually(lambda: len(slow_steps) > before + 3, 90)
    second.click("#stop")
    second.wait(f"{IDLE} && !document.querySelector('#made').hidden", 60)
    assert "the best result so far" in second.run("return document.querySelector('#made-note').textContent")
    assert len(server.pages.sessions) == 1


def test_an_example_is_two_photos_and_their_masks(visit):
    browser = visit()
    browser.click("#examples button")
    browser.wait(f"{IDLE} && document.querySelector('input[value=masks]').checked")
    browser.click("#show")
    browser.wait(f"{IDLE} && document.querySelector('#regions img').naturalWidth > 300", 60)
    assert browser.run("return document.querySelector('#error-row').hidden")


def test_the_command_line_opens_the_page_and_says_where(tmp_path, caplog, monkeypatch):
    import deep_photostyle

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Server, "serve", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with caplog.at_level(logging.INFO, logger="dpst"):
        assert deep_photostyle.main(["--app", "--app_port", "0"]) == 0
    assert re.fullmatch(r"the page is at http://127\.0\.0\.1:\d+ until Ctrl-C", caplog.messages[0])
    assert not list(tmp_path.iterdir())
