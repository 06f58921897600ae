"""Raw HTTP requests, through waitress's parser to the page's application; no socket is opened."""

from __future__ import annotations

import functools
import json
import queue
import types
from pathlib import Path

from hypothesis import strategies as st
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from dpst.errors import UserError
from dpst.options import Options
from dpst.page.requests import TASKS
from dpst.page.routes import MAX_BYTES, Pages, page_app
from dpst.page.server import MAX_HEAD
from dpst.page.session import ROLES, Session
from hostile import mutators, seeds, strategies
from hostile.broken import Broken, one_clear_line
from vgg19.networks import Networks

_HEAD = b"Host: 127.0.0.1\r\n"
_VALUES = b'{"regions": "found", "count": 3, "realism": 1, "strength": 0.5, "what": "lut"}'
# What a request may be answered with; 500 and what is beyond are faults of the program.
_STATUSES = (200, 400, 403, 404, 405, 413, 415)


def _request(method: str, path: str, body: bytes = b"", head: bytes = _HEAD) -> bytes:
    length = f"Content-Length: {len(body)}\r\n".encode() if body else b""
    return f"{method} {path} HTTP/1.1\r\n".encode() + head + length + b"\r\n" + body


@functools.cache
def requests() -> list[bytes]:
    """Every request that the page makes, and some of others."""
    photo = seeds.pngs()[0]
    found = [_request("GET", path) for path in ("/", "/page.js", "/examples/landscape/style.jpg", "/name/files/a.png")]
    found += [_request("PUT", f"/name/{option}?name=caf%C3%A9%20(1).png", photo) for option in ROLES]
    found += [_request("POST", f"/name/{what}", _VALUES) for what in ("view", *TASKS, "stop")]
    found.append(_request("GET", "/", b"", _HEAD + b"Origin: http://127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n"))
    chunked = b"Transfer-Encoding: chunked\r\n"
    found.append(_request("POST", "/name/view", b"", _HEAD + chunked) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(_VALUES), _VALUES))
    return found


def http() -> st.SearchStrategy[bytes]:
    """Damaged requests, and values of any kind for the right names."""
    names = st.sampled_from(["regions", "count", "realism", "strength", "what"])
    values = st.dictionaries(names, strategies.json_values, max_size=5).map(lambda value: json.dumps(value).encode())
    what = st.sampled_from(["view", *TASKS, "stop", "other"])
    posts = st.builds(lambda what, body: _request("POST", f"/name/{what}", body), what, values)
    return posts | strategies.damage(requests, mutators.TEXT, mutators.BLOCKS)


def page(path: Path) -> None:
    """Whatever is sent is answered, with one line of JSON if it is refused."""
    parser = HTTPRequestParser(Adjustments(max_request_body_size=MAX_BYTES, max_request_header_size=MAX_HEAD))
    data = path.read_bytes()
    try:
        while data and not parser.completed:
            data = data[parser.received(data) :]
    except ValueError as error:  # the server answers that itself
        raise UserError("the request is malformed; send another") from error
    if parser.error or not parser.completed or parser.empty:
        raise UserError("the request is malformed or half sent; send another")
    pages = Pages.__new__(Pages)  # without its thread: nothing is solved
    pages.line = types.SimpleNamespace(count=lambda _: 0, join=lambda *_: None, leave=lambda _: False)
    session = Session(Path.cwd(), Options(app=True, quiet=True, max_pixels=4.0), Networks(), lambda *_: None)
    pages.sessions = {"name": (session, queue.SimpleQueue())}
    pages.open = lambda: None  # streams have no end
    try:
        _ask(pages, parser)
    finally:
        session.close()


def _ask(pages: Pages, parser: HTTPRequestParser) -> None:
    body = parser.get_body_stream()
    environ = {
        "REQUEST_METHOD": parser.command.upper(),
        "PATH_INFO": parser.path,
        "QUERY_STRING": parser.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "7860",
        "SERVER_PROTOCOL": f"HTTP/{parser.version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in parser.headers.items():
        environ[name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"] = value
    environ["CONTENT_LENGTH"] = str(len(body.getvalue()) if hasattr(body, "getvalue") else len(body))
    answered: list[str] = []
    answer = page_app(pages, is_local=True)(environ, lambda status, headers, *_: answered.append(status))
    content = b"".join(answer)
    answer.close()
    status = int(answered[0].split()[0])
    if status not in _STATUSES and not (status == 503 and parser.path == "/messages"):
        raise Broken(f"status {status}")
    if status >= 400 and parser.command.upper() != "HEAD":
        message = json.loads(content)["error"]
        if "\n" in message:
            raise Broken("an answer of several lines")
        if status != 404 and status != 405:  # these name the path, of any length
            one_clear_line(message)
        raise UserError("refused; send another")
