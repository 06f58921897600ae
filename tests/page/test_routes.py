"""The page's server, without a browser: who may ask, for what, and what is left when a page has gone."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import DATA

from dpst.errors import UserError
from dpst.options import Options
from dpst.page.app import run_app
from dpst.page.routes import _file_name

VALUES = b'{"regions": "whole", "count": 3, "realism": 1, "strength": 1}'


@pytest.fixture
def ask(server):
    """A function that sends a request and returns status, headers and body."""

    def ask(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.address[1], timeout=20)
        connection.request(method, path, body, {name.title(): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    return ask


class Page:
    """An open page: its stream of messages."""

    def __init__(self, server):
        self._connection = http.client.HTTPConnection("127.0.0.1", server.address[1], timeout=20)
        self._connection.request("GET", "/messages")
        self._stream = self._connection.getresponse()
        self.name = self.next()["session"]

    def next(self):
        while not (line := self._stream.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        return json.loads(line[6:])

    def close(self):
        self._stream.close()
        self._connection.close()


@pytest.fixture
def page(server):
    page = Page(server)
    yield page
    page.close()


def gone(folder):
    """Whether a folder is empty within some seconds."""
    end = time.monotonic() + 10
    while list(folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    return not list(folder.iterdir())


def test_it_listens_on_this_machine_alone(server):
    assert server.address[0] == "127.0.0.1" and server.is_local
    assert Options().app_host == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/frame.js"])
def test_browsers_are_told_to_load_nothing_from_elsewhere(ask, path):
    status, headers, content = ask("GET", path)
    assert status == 200
    assert headers["Content-Security-Policy"].startswith("default-src 'self'; img-src 'self' data: blob:;")
    assert b"//" not in content.replace(b"// ", b"")  # no address of another machine


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]:1"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "127.0.0.1:5", "origin": "http://127.0.0.1:5"}, 200),
        ({"host": "127.0.0.1:5", "origin": "http://127.0.0.1:6"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_may_not_ask(ask, headers, status):
    assert ask("GET", "/", **headers)[0] == status


@pytest.mark.parametrize(
    ("site", "path", "status"),
    [
        ("same-origin", "/page.js", 200),
        ("none", "/page.js", 200),  # typed by the user
        ("cross-site", "/page.js", 403),
        ("same-site", "/page.js", 403),
        ("cross-site", "/messages", 403),
        ("cross-site", "/", 200),  # a link to the page
    ],
)
def test_pictures_of_other_sites_may_not_ask(ask, server, site, path, status):
    assert ask("GET", path, **{"sec-fetch-site": site})[0] == status
    assert not server.pages.sessions


@pytest.mark.slow
def test_no_photo_stays_when_the_page_has_ended_or_at_the_next_start(tmp_path):
    def start():
        line = [sys.executable, "deep_photostyle.py", "--app", "--app_port=0"]
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        program = subprocess.Popen(line, cwd=DATA.parents[1], env=environment, stdout=subprocess.PIPE, text=True)
        assert "the page is at" in program.stdout.readline()
        return program

    def end(program, number):
        program.send_signal(number)
        program.communicate(timeout=60)

    with start() as other:
        (kept,) = tmp_path.iterdir()
        (kept / "photo.png").touch()
        for number in (signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with start() as program:
                (folder,) = set(tmp_path.iterdir()) - {kept}  # what the last one left is gone; the other page lives
                (folder / "photo.png").touch()
                end(program, number)
            assert folder.exists() == (number in (signal.SIGQUIT, signal.SIGKILL)), number
            assert (kept / "photo.png").exists()
        end(other, signal.SIGTERM)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path",
    ["/x", "/../dpst.options.py", "/examples/../README.md", "/examples/landscape/result.jpg", "/page.py", "/guess/files/a.png"],
)
def test_nothing_else_is_given_out(ask, path):
    assert ask("GET", path)[0] == 404


def test_a_session_gives_out_its_own_files_alone(ask, page, tmp_path):
    (tmp_path / "root" / "secret").write_text("x")
    assert ask("PUT", f"/{page.name}/content_image_path?name=a%20b.png", (DATA / "content.png").read_bytes())[0] == 200
    assert ask("GET", f"/{page.name}/files/a%20b.png")[2] == (DATA / "content.png").read_bytes()
    for path in ("files/..%2Fsecret", "files/../../secret", "files/", "files", "", "given/a%20b.png"):
        assert ask("GET", f"/{page.name}/{path}")[0] == 404
    assert ask("PUT", f"/{page.name}/init_image_path?name=a.png", b"x")[0] == 404
    assert ask("POST", f"/{page.name}/other", VALUES)[0] == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{", VALUES.replace(b"whole", b"none"), VALUES.replace(b"3", b'"x"')])
def test_a_bad_request_is_refused(ask, page, body):
    status, _, content = ask("POST", f"/{page.name}/draft", body)
    assert status == 400 and "is not understood" in json.loads(content)["error"]


def test_a_wrong_file_is_refused_with_one_line(ask, page):
    status, _, content = ask("PUT", f"/{page.name}/style_image_path?name=note.txt", b"no picture")
    assert status == 400
    assert json.loads(content)["error"].startswith("the other photo note.txt cannot be read as a picture")


def test_work_ends_with_a_message(ask, page):
    assert ask("POST", f"/{page.name}/draft", VALUES)[0] == 200
    assert page.next() == {"kind": "error", "error": "your photo is missing; give your photo"}


def test_a_bug_is_reported_and_ends_nothing_else(ask, page, server, monkeypatch, caplog):
    session, _ = server.pages.sessions[page.name]
    monkeypatch.setattr(session, "draft", lambda *_: 1 / 0)
    ask("POST", f"/{page.name}/draft", VALUES)
    message = page.next()
    assert message["kind"] == "error" and "ZeroDivisionError" in message["error"]
    assert "Traceback" in caplog.text
    ask("POST", f"/{page.name}/regions", VALUES)
    assert "is missing" in page.next()["error"]


def test_who_cancels_while_waiting_is_out_of_the_line(ask, page, server, monkeypatch):
    begun, released = threading.Event(), threading.Event()
    server.pages.line.join("another page", lambda: begun.set() or released.wait(20), lambda place: None)
    assert begun.wait(10)
    ask("POST", f"/{page.name}/draft", VALUES)
    assert page.next() == {"kind": "waiting", "before": 1}
    ask("POST", f"/{page.name}/stop")
    assert page.next() == {"kind": "stopped"}
    released.set()


def test_what_a_page_gave_is_deleted_when_it_goes(ask, server, tmp_path):
    page = Page(server)
    ask("PUT", f"/{page.name}/content_image_path?name=a.png", (DATA / "content.png").read_bytes())
    assert list(tmp_path.rglob("a.png"))
    page.close()
    assert gone(tmp_path / "root")
    assert ask("GET", f"/{page.name}/files/a.png")[0] == 404


def test_an_upload_that_breaks_off_leaves_nothing(server, page, tmp_path):
    connection = http.client.HTTPConnection("127.0.0.1", server.address[1], timeout=20)
    connection.putrequest("PUT", f"/{page.name}/content_image_path?name=a.png")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders((DATA / "content.png").read_bytes())
    time.sleep(0.5)
    connection.close()
    time.sleep(0.5)
    assert not list(tmp_path.rglob("a.png"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Café (1).png", "Café (1).png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.tif", "a.tif"),
        ("--rm.png", "rm.png"),
        (".hidden", "hidden"),
        ("a\nb$c.png", "a_b_c.png"),
        ("", "photo"),
        ("..", "photo"),
        ("x" * 300 + ".jpeg", "x" * 120 + ".jpeg"),
        ("\U00020000" * 60 + "." + "\U00020000" * 10, "\U00020000" * 30 + "." + "\U00020000" * 5),  # four bytes each
    ],
)
def test_names_of_files_are_harmless(given, kept):
    assert _file_name(given) == kept


def test_a_port_in_use_is_an_error_of_the_user(server):
    port, threads = server.address[1], threading.active_count()
    with pytest.raises(UserError, match=rf"^--app_port {port} cannot be opened at 127\.0\.0\.1 \(.*\); give another"):
        run_app(Options(app=True, app_port=port))
    assert threading.active_count() == threads


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_an_error_of_the_user(host):
    with pytest.raises(UserError, match=rf"^--app_port 7860 cannot be opened at {host} "):
        run_app(Options(app=True, app_host=host))
