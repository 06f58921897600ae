"""The bounds of the page's server, and that every request gets an answer."""

import errno
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import DATA

import deep_photostyle
from dpst.page import routes as page_module
from dpst.page import server as page_server
from dpst.page import session

HEAD = b"Host: 127.0.0.1\r\n\r\n"
LENGTH = b"Host: 127.0.0.1\r\nContent-Length: "


def connect(server):
    return socket.create_connection(("127.0.0.1", server.address[1]), timeout=20)


def raw(server, data):
    """What is answered to some bytes, to the end of the connection or to a second's silence."""
    with connect(server) as connection:
        connection.sendall(data)
        connection.settimeout(1)
        answer = b""
        try:
            while part := connection.recv(1 << 16):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def ask(server, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.address[1], timeout=20)
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content)


def open_stream(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.address[1], timeout=20)
    connection.request("GET", "/messages")
    answer = connection.getresponse()
    return connection, answer, answer.readline()


@pytest.fixture
def name(server):
    """The name of an open session."""
    connection, answer, line = open_stream(server)
    yield json.loads(line.removeprefix(b"data: "))["session"]
    answer.close()
    connection.close()


def wait_until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://[\r\n\r\n", 403),
        (b"GET /page.js\r\n\r\n", 403),  # of the first HTTP, which knew no hosts
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # somebody speaks TLS
        (b"GET\r\n" + HEAD, 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n" + HEAD, 400),
        (b"GET //[/ HTTP/1.1\r\n" + HEAD, 404),
        (b"GET /%00%ff%2e%2e/ HTTP/1.1\r\n" + HEAD, 404),
        (b"GET " + b"/x" * 2000 + b" HTTP/1.1\r\n" + HEAD, 404),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n" + HEAD, 431),
        (b"BREW /x HTTP/1.1\r\n" + HEAD, 405),
        (b"HEAD /messages HTTP/1.1\r\n" + HEAD, 405),
        (b"POST /x/view HTTP/1.1\r\n" + LENGTH + b"-1\r\n\r\n", 400),
        (b"POST /x/view HTTP/1.1\r\n" + LENGTH + b"1e3\r\n\r\n", 400),
        (b"POST /x/view HTTP/1.1\r\n" + LENGTH + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /x/view HTTP/1.1\r\n" + LENGTH + b"99999999999999\r\n\r\n", 413),
        (b"POST /x/view HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"zz\r\n", 400),
        (b"POST /x/view HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + HEAD, 501),
        (b"POST /x/view HTTP/1.1\r\n" + HEAD, 404),
        # Bodies that are not waited for.
        (b"PUT /x/y HTTP/1.1\r\nHost: other.example\r\nContent-Length: 1000\r\n\r\n", 403),
        (
            b"PUT /x/y HTTP/1.1\r\nOrigin: http://other.example\r\nExpect: 100-continue\r\n" + LENGTH + b"9\r\n\r\n",
            403,
        ),
        (b"POST /x/view HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nTransfer-Encoding: chunked\r\n" + HEAD, 403),
        (b"POST /x/view HTTP/1.1\r\n" + LENGTH + b"65537\r\n\r\n", 413),
        (b"POST /x/view HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"11000\r\n" + b" " * 0x11000, 413),
    ],
)
def test_every_request_gets_an_answer_of_its_own(server, sent, status, caplog, capfd):
    answer = raw(server, sent)
    assert int(answer.split()[1]) == status
    assert answer.count(b"HTTP/1") == 1 and b"Traceback" not in answer
    assert not caplog.records and capfd.readouterr() == ("", "")
    assert not server.pages.sessions
    assert ask(server, "GET", "/nothing")[0] == 404  # and the next one is answered


@pytest.mark.slow
@pytest.mark.parametrize("padding", [b" ", b"\t", b" a"])
def test_no_head_keeps_the_server_busy(server, padding):
    begin = time.monotonic()
    raw(server, b"GET / HTTP/1.1\r\nHost:" + (padding * 100_000)[:8000] + b"\x01\r\n\r\n")
    assert ask(server, "GET", "/nothing")[0] == 404
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("view", b'{"realism": NaN, "strength": 1}'),
        ("view", b'{"realism": 1, "strength": Infinity}'),
        ("view", b'{"realism": 1, "strength": -Infinity}'),
        ("view", b'{"realism": 1, "strength": 2.01}'),
        ("view", b'{"realism": -0.01, "strength": 1}'),
        ("view", b'{"realism": 3.01, "strength": 1}'),
        ("view", b'{"realism": true, "strength": 1}'),
        ("view", b'{"realism": "1", "strength": 1}'),
        ("view", b'{"realism": 1' + b"0" * 400 + b', "strength": 1}'),
        ("view", b"[" * 50_000),
        ("view", b"\xff\xfe\x00"),
        ("view", b"7"),
        ("draft", b'{"regions": "found", "count": -1}'),
        ("draft", b'{"regions": "found", "count": 10}'),
        ("draft", b'{"regions": "found", "count": 2.5}'),
        ("draft", b'{"regions": ["found"], "count": 2}'),
        ("make", b'{"regions": "found", "count": 2, "realism": 1}'),
    ],
)
def test_values_are_finite_and_in_range(server, name, what, body):
    status, answer = ask(server, "POST", f"/{name}/{what}", body)
    assert status == 400
    assert answer["error"].startswith(f"/{name}/{what} is not understood: ") and "\n" not in answer["error"]
    assert len(answer["error"]) < 1100


def test_a_request_without_a_file_is_small(server, name):
    for what in ("view", "stop"):
        assert ask(server, "POST", f"/{name}/{what}", b" " * 65_537)[0] == 413
    assert ask(server, "POST", f"/{name}/view", b'{"realism": 1, "strength": 1}' + b" " * 65_000) == (200, {})


def test_a_file_is_refused_by_its_length_before_it_is_read(server, name, tmp_path):
    with connect(server) as connection:
        start = (
            f"PUT /{name}/content_image_path?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {(512 << 20) + 1}\r\n\r\n"
        )
        connection.sendall(start.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    assert not list(tmp_path.rglob("a.png"))


def test_files_of_a_session_are_bounded_together(server, name, monkeypatch, tmp_path):
    photo = (DATA / "content.png").read_bytes()
    monkeypatch.setattr(session, "MAX_SESSION_BYTES", len(photo) * 3 // 2)
    for _ in range(3):  # a photo that takes the place of another counts once
        assert ask(server, "PUT", f"/{name}/content_image_path?name=a.png", photo)[0] == 200
    status, answer = ask(server, "PUT", f"/{name}/style_image_path?name=b.png", photo)
    assert status == 400 and "together; give smaller ones" in answer["error"]
    assert not list(tmp_path.rglob("b.png"))
    assert len(list(tmp_path.rglob("*_shown.jpg"))) == 1


def test_sessions_and_threads_are_bounded(server):
    streams = [open_stream(server) for _ in range(page_module.MAX_PAGES)]
    try:
        threads = threading.active_count()
        assert ask(server, "GET", "/messages") == (503, {"error": "8 pages are open, and no more can be; close one of them"})
        assert ask(server, "GET", "/nothing")[0] == 404  # the streams do not take all threads
        assert len(server.pages.sessions) == 8
        halves = [connect(server) for _ in range(50)]
        for half in halves:
            half.sendall(b"GET")
        time.sleep(0.5)
        assert threading.active_count() == threads
        for half in halves:
            half.close()
    finally:
        for connection, answer, _ in streams:
            answer.close()
            connection.close()
    assert wait_until(lambda: not server.pages.sessions)


def test_requests_that_wait_are_bounded(server, name):
    released = threading.Event()
    server.pages.line.join("another page", lambda: released.wait(30), lambda place: None)
    values = b'{"regions": "whole", "count": 3, "realism": 1, "strength": 1}'
    assert [ask(server, "POST", f"/{name}/draft", values)[0] for _ in range(5)] == [200] * 4 + [429]
    assert ask(server, "POST", f"/{name}/stop")[0] == 200
    assert ask(server, "POST", f"/{name}/draft", values)[0] == 200
    released.set()


@pytest.fixture
def in_a_second(monkeypatch):
    monkeypatch.setattr(page_server, "SECONDS", 1)


@pytest.mark.slow
def test_half_sent_requests_hold_nothing_for_ever(in_a_second, server):
    halves = [connect(server) for _ in range(200)]
    for half in halves:
        half.sendall(b"POST /x/view HTTP/1.1\r\n" + LENGTH + b"10\r\n\r\n1")
    assert ask(server, "GET", "/nothing")[0] == 404  # though there are more than there may be at a time
    for half in halves:
        half.settimeout(10)
        assert half.recv(1) == b""  # closed by the server
        half.close()


@pytest.mark.slow
def test_a_request_that_trickles_in_is_closed_in_time(in_a_second, server):
    with connect(server) as connection:
        start = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() < start + 15:
                connection.sendall(b"G")
                time.sleep(0.1)
    assert time.monotonic() < start + 10


@pytest.mark.slow
def test_a_stream_is_no_idle_connection(in_a_second, server, name):
    time.sleep(4)
    assert ask(server, "POST", f"/{name}/stop")[0] == 200


def test_a_body_for_which_there_is_no_room_is_answered(server, name, monkeypatch, caplog):
    def full(self, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("waitress.buffers.TempfileBasedBuffer.newfile", full)
    start = f"PUT /{name}/content_image_path?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 700000\r\n\r\n"
    assert raw(server, start.encode() + b"x" * (513 << 10)).startswith(b"HTTP/1.1 500 ")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert ask(server, "POST", f"/{name}/stop")[0] == 200


def test_a_photo_for_which_there_is_no_room_is_refused_in_a_line(server, name, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(session.Session, "_within_limit", full)
    status, answer = ask(server, "PUT", f"/{name}/content_image_path?name=a.png", b"x")
    assert status == 507
    assert answer["error"] == "the file cannot be saved (No space left on device); make room for temporary files"


def test_without_flask_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "flask", None)
    for module in ("dpst.page.routes", "dpst.page.server"):
        monkeypatch.delitem(sys.modules, module)
    assert deep_photostyle.main(["--app", "--app_port=0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --app needs Flask and waitress (") and line.endswith("; pip install -r requirements-page.txt")


def test_without_room_for_temporary_files_one_line_says_so(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkdtemp", full)
    assert deep_photostyle.main(["--app", "--app_port=0"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: --app finds no room for temporary files (No space left on device); make room, or name another folder in TMPDIR"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0, 0.02, 0.1, 0.3])
def test_more_signals_do_not_disturb_the_end(tmp_path, pause):
    line = [sys.executable, "deep_photostyle.py", "--app", "--app_port=0"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(line, cwd=DATA.parents[1], env=environment, stdout=subprocess.PIPE, text=True) as program:
        said = [program.stdout.readline()]
        for _ in range(3):
            program.terminate()
            time.sleep(pause)
        said += program.stdout.read().splitlines()
    assert program.returncode in (0, -15)  # by a signal if it came after everything was done
    assert said[1:] == ["the page is closed"]
    assert not list(tmp_path.iterdir())
