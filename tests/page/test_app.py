"""The whole page in a browser: from two photos to a result, wrong files, two pages at once, and one that is closed."""

import logging
import re
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import DATA
from made_clips import colour_frames, contents, make_clip
from PIL import Image

from dpst.jobs import picture
from dpst.page.server import Server

pytestmark = pytest.mark.slow
CONTROL, SHIFT, LEFT = "\ue009", "\ue008", "\ue012"
IDLE = "document.querySelector('#busy').hidden"
BUSY_WORDS = "document.querySelector('#words').textContent"


@pytest.fixture
def visit(browse, server):
    """A function that opens the page in a browser of some size."""

    def visit(width=1280, height=900):
        browser = browse(width, height)
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
                self._on_progress(0.001, "")
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


def drawn(browser, of):
    """How many pixels of a photo's canvas have a stroke."""
    canvas = f"document.querySelector('.photo[data-of={of}] canvas')"
    pixels = f"{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height).data"
    return browser.run(f"return {pixels}.reduce((count, level, n) => count + (n % 4 === 3 && level > 0), 0)")


def messages(browser):
    """What the browser says of the page, without its advice on how `drawn` reads the canvas."""
    return [message for message in browser.messages() if "getImageData" not in message["message"]]


def text(browser, selector):
    return browser.run(f"return document.querySelector('{selector}').textContent")


def test_from_two_photos_by_strokes_to_a_downloaded_result_by_mouse(visit, server, tmp_path):
    browser = visit()
    give_photos(browser)
    browser.click("input[value=strokes]")
    for of in ("content", "style"):
        canvas = f".photo[data-of={of}] canvas"
        browser.click("#brushes label[title=blue]")
        browser.drag(canvas, (0.1, 0.1), (0.5, 0.15), (0.9, 0.1))
        browser.click("#brushes label[title=red]")
        browser.drag(canvas, (0.1, 0.9), (0.9, 0.9))
    two = drawn(browser, "content")
    browser.drag(".photo[data-of=content] canvas", (0.4, 0.5), (0.6, 0.5))
    three = drawn(browser, "content")
    assert three > two > 0
    browser.keys(CONTROL, "z")
    assert drawn(browser, "content") == two
    browser.keys(CONTROL, SHIFT, "z")
    assert drawn(browser, "content") == three
    browser.click("#clear")
    assert drawn(browser, "content") == drawn(browser, "style") == 0
    browser.click("#undo")
    browser.click("#undo")
    assert drawn(browser, "content") == two and drawn(browser, "style") > 0
    browser.click("#show")
    browser.wait(f"{IDLE} && !document.querySelector('#regions').hidden")
    assert browser.run("return [...document.querySelectorAll('#legend b')].map((name) => name.textContent)") == ["blue", "red"]
    browser.click("#draft")
    browser.wait("document.querySelector('.after').naturalWidth", 120)
    browser.wait(IDLE, 120)
    assert text(browser, "#view-name") == "draft"
    browser.press("#realism", LEFT)
    browser.press("#strength", LEFT + LEFT)
    assert browser.run("return [...document.querySelectorAll('.sliders output')].map(o => o.value)") == ["0.5", "0.9"]
    browser.drag(".compare", (0.5, 0.5), (0.2, 0.5))
    assert 15 <= float(browser.run("return document.querySelector('.compare').style.getPropertyValue('--at')").rstrip("%")) <= 25
    browser.click("#make")
    browser.wait(f"{IDLE} && !document.querySelector('#to-download').hidden", 120)
    assert text(browser, "#state") == "The result is ready."
    box = "const box = document.querySelector('#download').getBoundingClientRect();"
    assert browser.run(f"{box} return box.top >= 0 && box.bottom <= innerHeight")
    command = text(browser, "#command")
    browser.click("#download")
    browser.wait(f"{IDLE} && document.querySelector('#state').textContent.includes('downloads')")
    browser.click("#download-lut")
    browser.wait(f"{IDLE} && document.querySelector('#state').textContent === 'content_look.cube is in your downloads.'")
    for link in (1, 2):
        browser.click(f"#masks a:nth-child({link})")
    names = ("content_restyled.png", "content_strokes.png", "style_strokes.png", "content_look.cube")
    downloads = [tmp_path / "downloads" / name for name in names]
    assert eventually(lambda: all(path.is_file() for path in downloads))
    with Image.open(downloads[0]) as result, Image.open(DATA / "content.png") as content:
        assert result.size == content.size
        assert np.abs(np.asarray(result.convert("RGB")).astype(int) - np.asarray(content.convert("RGB"))).mean() > 2
    with Image.open(downloads[1]) as strokes:
        colours = {colour for _, colour in strokes.getcolors()}
        assert strokes.size == (61, 45) and colours - {(0, 0, 0, 0)} == {(0, 0, 255, 255), (255, 0, 0, 255)}
    assert downloads[3].read_text().splitlines()[-1].count(" ") == 2
    assert command.startswith("python deep_photostyle.py --content_image_path content.png")
    assert "--realism 0.5" in command and "--strength 0.9" in command
    assert "--seg_scribbles always" in command and str(tmp_path / "root") not in command
    browser.press("#realism", LEFT)  # of which there is only the draft
    browser.wait("document.querySelector('#view-name').textContent === 'draft'")
    assert browser.run("return document.querySelector('#to-download').hidden && !document.querySelector('#view').hidden")

    requests = browser.requests()
    assert len(requests) > 10
    assert {urlsplit(url).netloc for url in requests if urlsplit(url).scheme in ("http", "https", "ws", "wss")} == {
        f"127.0.0.1:{server.address[1]}"
    }
    assert {urlsplit(url).scheme for url in requests} <= {"http", "data", "blob"}
    assert messages(browser) == []


def test_found_regions_are_corrected_and_the_result_downloaded_by_touch(visit, tmp_path):
    def tap(selector):
        browser.touch(selector, [(0.5, 0.5)])

    browser = visit(390, 844)
    give_photos(browser)
    browser.click("#count option[value='2']")  # the browser's own list opens outside the page
    tap("#correct")
    browser.wait(f"{IDLE} && document.body.classList.contains('drawing')")
    frame = ".photo[data-of=content] .frame"
    browser.touch(frame, [(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)])
    one = drawn(browser, "content")
    assert one > 0
    browser.touch(frame, [(0.4, 0.5), (0.3, 0.5), (0.2, 0.5)], [(0.6, 0.5), (0.7, 0.5), (0.8, 0.5)])
    shown = f"document.querySelector('{frame} .layer').getBoundingClientRect().width"
    assert browser.run(f"return {shown} / document.querySelector('{frame}').clientWidth") == pytest.approx(3, abs=0.3)
    assert drawn(browser, "content") == one  # two fingers draw nothing
    tap("#make")
    browser.wait(f"{IDLE} && !document.querySelector('#to-download').hidden", 120)
    assert "--content_seg_path content_regions.png" in text(browser, "#command")
    browser.touch(".compare", [(0.5, 0.5), (0.4, 0.5), (0.3, 0.5)])
    assert browser.run("return Number(document.querySelector('.compare input').value)") == pytest.approx(30, abs=3)
    browser.touch("#strength", [(0.5, 0.5), (0.4, 0.5), (0.25, 0.5)])
    assert browser.run("return Number(document.querySelector('#strength-shown').value)") == pytest.approx(0.5, abs=0.1)
    tap("#download")
    assert eventually((tmp_path / "downloads" / "content_restyled.png").is_file)
    browser.touch("#realism", [(0.5, 0.5), (0.4, 0.5), (0.25, 0.5)])  # there is no draft
    browser.wait("document.querySelector('#view').classList.contains('not-made')")
    assert text(browser, "#state") == "Not made yet at realism 0.5. The picture below has realism 1."
    assert text(browser, "#make") == "Make this one"
    assert browser.run("return document.querySelector('#to-download').hidden && !document.querySelector('#view').hidden")
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [390, True]
    small = "[...document.querySelectorAll('button, select, .as-button, .choices label, #brushes label')].filter((element) => {"
    small += "const box = element.getBoundingClientRect(); return box.width && Math.min(box.width, box.height) < 43.9 })"
    assert browser.run(f"return {small}.map((element) => element.outerHTML)") == []  # a finger needs 44 pixels
    assert messages(browser) == []


def test_an_example_is_two_photos_and_their_masks_and_a_wrong_file_changes_nothing(visit, tmp_path):
    wrong = tmp_path / "note.txt"
    wrong.write_text("no picture")
    browser = visit()
    browser.click("#examples button")
    browser.wait(f"{IDLE} && document.querySelector('input[value=masks]').checked")
    browser.click("#show")
    browser.wait(f"{IDLE} && document.querySelector('#regions .base').naturalWidth > 300", 60)
    assert browser.run("return document.querySelector('#error').hidden")
    shown = "return document.querySelector('.photo .shown').src"
    before = browser.run(shown)
    browser.press("#content-photo", str(wrong))
    browser.wait("!document.querySelector('#error').hidden")
    assert text(browser, "#error-words").startswith("your photo note.txt cannot be read as a picture")
    assert browser.run(shown) == before and not browser.run("return document.querySelector('.photo .sheet').hidden")
    browser.click("#close-error")
    assert browser.run("return document.querySelector('#status').hidden")
    drop = "const event = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: new DataTransfer() });"
    drop += "event.dataTransfer.items.add(new File(['x'], 'x.png')); return document.querySelector('h1').dispatchEvent(event)"
    assert browser.run(drop) is False  # the browser does not open it
    assert text(browser, "#error-words") == "Drop the photo onto the one that it replaces."
    leave = "const event = new Event('beforeunload', { cancelable: true }); return dispatchEvent(event)"
    assert browser.run(leave) is True
    browser.click("#close-error")
    browser.click("input[value=strokes]")
    browser.drag(".photo[data-of=content] canvas", (0.1, 0.1), (0.5, 0.15))
    assert browser.run(leave) is False  # it asks
    browser.click("#undo")
    give_photos(browser)
    browser.click("input[value=masks]")
    browser.press("#content-mask", str(DATA / "content_seg.png"))
    browser.wait("document.querySelector('#for-masks .name').textContent")
    browser.click("#make")  # of the two masks only one
    browser.wait(f"!document.querySelector('#error').hidden && {IDLE}")
    assert text(browser, "#error-words") == "Choose the mask of the other photo, too."


def test_a_clip_is_restyled_by_the_look_of_its_first_frame(visit, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", colour_frames(30), "libx264", "yuv420p")
    browser = visit()
    browser.press("#content-photo", clip)
    browser.wait(IDLE)
    browser.press("#style-photo", str(DATA / "style.png"))
    browser.wait(f"{IDLE} && !document.querySelector('.later').hidden")
    size = "const shown = document.querySelector('.photo .shown'); return [shown.naturalWidth, shown.naturalHeight]"
    assert browser.run(size) == [32, 24]
    note = "document.querySelector('.of-clip').offsetHeight > 0"
    assert browser.run(f"return document.querySelector('input[value=whole]').checked && {note}")
    assert text(browser, "#photos-title") == "1. A clip and a photo"
    browser.click("#make")
    browser.wait(f"{IDLE} && !document.querySelector('#to-download').hidden", 120)
    assert text(browser, "#state").startswith("The look is ready; this is the first frame.")
    assert text(browser, "#download") == "Download the clip"
    assert "--content_image_path clip.mp4" in text(browser, "#command") and "one_look" not in text(browser, "#command")
    assert text(browser, "#command-note") == "In the folder of deep_photostyle.py, with the clip and the photo beside it:"
    browser.press("#strength", LEFT + LEFT)
    browser.click("#download")
    browser.wait(f"{IDLE} && document.querySelector('#state').textContent === 'clip_restyled.mp4 is in your downloads.'")
    result = tmp_path / "downloads" / "clip_restyled.mp4"
    assert eventually(result.is_file)
    before, after = contents(clip)[0], contents(result)[0]
    assert [frame.pts * frame.time_base for frame in after] == [frame.pts * frame.time_base for frame in before]
    assert np.abs(after[0].to_ndarray(format="rgb24").astype(int) - before[0].to_ndarray(format="rgb24")).mean() > 2
    assert "--strength 0.9" in text(browser, "#command")
    browser.click("input[value=strokes]")
    browser.drag(".photo[data-of=content] canvas", (0.1, 0.1), (0.9, 0.1))
    assert drawn(browser, "content") > 0  # the first frame is drawn on like a photo
    browser.press("#content-photo", str(DATA / "content.png"))
    browser.wait(f"{IDLE} && document.querySelector('input[value=found]').checked")
    assert text(browser, "#download") == "Download the picture"
    assert not browser.run(f"return {note}")
    assert messages(browser) == []


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
    begin = time.monotonic()
    second.click("#stop")
    second.wait(IDLE)
    assert time.monotonic() - begin < 1
    second.wait("document.querySelector('#state').textContent.startsWith('Not finished')", 60)
    assert not second.run("return document.querySelector('#to-make').hidden")
    assert len(server.pages.sessions) == 1


def test_the_command_line_opens_the_page_and_says_where(tmp_path, caplog, monkeypatch):
    import deep_photostyle

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Server, "serve", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with caplog.at_level(logging.INFO, logger="dpst"):
        assert deep_photostyle.main(["--app", "--app_port", "0"]) == 0
    assert re.fullmatch(r"the page is at http://127\.0\.0\.1:\d+ until Ctrl-C", caplog.messages[0])
    assert not list(tmp_path.iterdir())
