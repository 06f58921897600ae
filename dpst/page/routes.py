"""The page's requests: files and values from a browser in, pictures and progress out. What is done with them is `session`'s.

A page is a session, and lives as long as the stream of messages that it opened. It consists of page.html, page.css and page.js,
and its browser is told to load nothing from anywhere else.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import os
import queue
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.wsgi import wrap_file

from dpst.errors import UserError
from dpst.options import MAX_STRENGTH, Options, is_clip_name
from dpst.page.line import Line
from dpst.page.requests import MAX_REGIONS, TASKS, BadRequest, realism_and_strength, run_task, task
from dpst.page.session import REALISMS, PageClosed, Session
from dpst.page.wording import ROLES
from dpst.regions.mask_classes import REFERENCE_COLOURS
from dpst.regions.segformer import is_installed
from vgg19.networks import Networks

logger = logging.getLogger(__name__)

LOCAL = ("127.0.0.1", "::1", "localhost")
# Most pages that are open at the same time: each one has a stream, which keeps a thread.
MAX_PAGES = 8
# Most requests of one page that wait or run; the page itself waits for each one's end.
MAX_TASKS = 4
# Most bytes of a photo, clip or mask, and of a request without one. 512 MiB are 90 megapixels of 16 bits, uncompressed.
MAX_BYTES, MAX_WORDS = 512 << 20, 64 << 10

_HERE = Path(__file__).parent
_PARTS = {f"/{name}": name for name in ("page.css", "page.js", "dom.js", "frame.js", "strokes.js")} | {"/": "page.html"}
# Only a checkout has them.
_EXAMPLES = _HERE.parents[1] / "examples"
_EXAMPLE_FILES = dict(zip(ROLES, ("content.jpg", "style.jpg", "content_seg.png", "style_seg.png"), strict=True))
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".jpg": "image/jpeg",
    ".png": "image/png",
}
_HEADERS = {
    "Cache-Control": "no-store",
    # The browser itself then refuses whatever would be loaded from, or sent, elsewhere; and no other page may embed this one.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Seconds after which an idle stream is written to; only that shows that the page was closed.
_PULSE = 0.5
_CHUNK = 1 << 20
# Most bytes of a file's name that are kept, and of its extension; file systems allow 255, and names of results are longer.
_NAME, _EXTENSION = 120, 20
# What the page must know before it asks for anything.
_FACTS = {
    "colours": {name: f"#{bytes(colour).hex()}" for name, colour in REFERENCE_COLOURS.items()},
    "realisms": REALISMS,
    "max_strength": MAX_STRENGTH,
    "max_bytes": MAX_BYTES,
    "max_regions": MAX_REGIONS,
    "finds_semantic": is_installed(),
    "example_files": _EXAMPLE_FILES,
}


class Pages:
    """The sessions of all open pages, and the line in which their work waits."""

    def __init__(self, options: Options, root: Path):
        """No pages yet; sessions have their folders in `root`."""
        self.sessions: dict[str, tuple[Session, queue.SimpleQueue]] = {}
        self.line = Line()
        self._options, self._root, self._networks = options, root, Networks()
        self._lock, self._closed = threading.Lock(), False

    def open(self) -> str | None:
        """A new session's secret name; None if there are as many as there may be."""
        messages: queue.SimpleQueue = queue.SimpleQueue()

        def on_progress(share: float, words: str) -> None:
            messages.put({"kind": "progress", "share": share, "words": words})

        with self._lock:
            if self._closed or len(self.sessions) >= MAX_PAGES:
                return None
            name = secrets.token_urlsafe(16)
            self.sessions[name] = Session(self._root, self._options, self._networks, on_progress), messages
            return name

    def close(self, name: str) -> None:
        """Ends a session, if it is there."""
        if found := self.sessions.pop(name, None):
            session, _ = found
            session.close()
            self.line.leave(session)

    def close_all(self) -> None:
        """Ends all sessions, and opens no more."""
        with self._lock:
            self._closed = True
        for name in list(self.sessions):
            self.close(name)

    def stream(self, name: str) -> Iterator[str]:
        """The messages of a session as they come (server-sent events), to its end."""
        _, messages = self.sessions[name]
        yield _event({"kind": "open", "session": name, "examples": _examples()} | _FACTS)
        while name in self.sessions:
            try:
                yield _event(messages.get(timeout=_PULSE))
            except queue.Empty:
                yield ":\n\n"


def page_app(pages: Pages, is_local: bool) -> Flask:
    """The WSGI application. A session's requests are below its secret name: /NAME/what.

    Args:
        pages: what is asked.
        is_local: whether requests under names of other machines are refused.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.url_map.merge_slashes = False  # another path is another path

    def found(name: str) -> tuple[Session, queue.SimpleQueue]:
        return pages.sessions.get(name) or abort(404)

    @app.before_request
    def check_request() -> None:
        if status := refusal_of_head(request.method, request.path, request.headers.get, request.content_length or 0, is_local):
            abort(status)
        if isinstance(request.routing_exception, RequestRedirect):  # of no path to /, which error handlers do not see
            abort(404)

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.get("/messages")
    def messages() -> Response:
        if request.method == "HEAD":  # which would open a session and not listen
            abort(405)
        name = pages.open()
        if name is None:
            abort(503)
        response = Response(pages.stream(name), mimetype="text/event-stream")
        response.call_on_close(lambda: pages.close(name))
        return response

    @app.get("/<name>/files/<file>")
    def give(name: str, file: str) -> Response:
        session, _ = found(name)
        opened = session.file(file)
        if opened is None:
            abort(404)
        response = _file(file, wrap_file(request.environ, opened))
        response.content_length = os.fstat(opened.fileno()).st_size
        response.direct_passthrough = True  # clips are large
        return response

    @app.put("/<name>/<option>")
    def take(name: str, option: str) -> Response:
        """A photo, clip or mask, for the option that the path names."""
        session, _ = found(name)
        if option not in ROLES:
            abort(404)
        file = _file_name(request.args.get("name", ""))
        shown = session.add_file(option, file, iter(lambda: request.stream.read(_CHUNK), b""))
        return jsonify(shown=shown, is_clip=is_clip_name(file))

    @app.post("/<name>/stop")
    def stop(name: str) -> Response:
        session, messages = found(name)
        session.stop()
        if pages.line.leave(session):
            messages.put({"kind": "stopped"})
        return jsonify({})

    @app.post("/<name>/view")
    def view(name: str) -> Response:
        session, _ = found(name)
        view = session.view(*realism_and_strength(request.get_data()))
        return jsonify(dataclasses.asdict(view) | {"picture": _data_uri(view.picture)}) if view else jsonify({})

    @app.post("/<name>/<what>")
    def work(name: str, what: str) -> Response:
        """What takes time joins the line and is answered by a message."""
        session, messages = found(name)
        if what not in TASKS:
            abort(404)
        job = task(session, what, request.get_data(), messages.put)
        if pages.line.count(session) >= MAX_TASKS:
            abort(429)
        stop = session.start()

        def run() -> None:
            session.begin(stop)
            run_task(job, messages.put)

        pages.line.join(
            session,
            run,
            lambda before: messages.put({"kind": "waiting", "before": before}),
        )
        return jsonify({})

    @app.get("/<path:path>")
    @app.get("/")
    def part(path: str = "") -> Response:
        """The page itself, and the examples."""
        if name := _PARTS.get(f"/{path}"):
            return _file(name, (_HERE / name).read_bytes())
        if path in {f"examples/{name}/{file}" for name in _examples() for file in _EXAMPLE_FILES.values()}:
            return _file(path, (_EXAMPLES.parent / path).read_bytes())
        return abort(404)

    @app.errorhandler(Exception)
    def refuse(error: Exception) -> tuple[Response, int]:
        status, words = _refusal(error)
        return jsonify(error=words), status

    return app


def _refusal(error: Exception) -> tuple[int, str]:
    """The status and the line with which an error is answered."""
    known = {
        403: "only the page itself may ask",
        404: f"{request.path} is not here; load the page again",
        429: f"{MAX_TASKS} requests of this page are waiting; wait for one to end",
        413: f"the request is too large; send a file of {MAX_BYTES >> 20} MiB at most, or {MAX_WORDS >> 10} KiB without one",
        503: f"{MAX_PAGES} pages are open, and no more can be; close one of them",
    }
    match error:
        case UserError():
            return 400, str(error)
        case PageClosed():
            return 404, known[404]
        case BadRequest():  # what the page itself never sends
            return 400, f"{request.path} is not understood: {error}"
        case HTTPException(code=int(code)):
            return code, known.get(code, f"{request.method} {request.path} is not understood: {error.name}")
        case OSError():  # a full disk, most often
            logger.warning("a request of the page failed (%s)", error)
            return 507, f"the file cannot be saved ({error.strerror or error}); make room for temporary files"
    logger.error("a request of the page failed", exc_info=error)
    return 500, f"the program failed ({error!r}); the console says more"


def refusal_of_head(method: str, path: str, header: Callable[[str], str | None], length: int, is_local: bool) -> int | None:
    """The status with which a request is refused by what comes before its body; None for one that is welcome.

    Args:
        method: GET, PUT or another one.
        path: what is asked for.
        header: the value of a header by its name, None for one that is not there.
        length: bytes of the body.
        is_local: whether requests under names of other machines are refused.
    """
    if not _is_from_page(path, header, is_local):
        return 403
    return 413 if method != "PUT" and length > MAX_WORDS else None


def _is_from_page(path: str, header: Callable[[str], str | None], is_local: bool) -> bool:
    """Whether the request comes from the page and not from one of another site, nor under a name that one has pointed here."""
    host, origin = header("Host") or "", header("Origin")
    # Pictures and links of other sites have no origin, but browsers say whose they are; a link may lead to the page itself.
    is_own = header("Sec-Fetch-Site") in (None, "same-origin", "none") or path == "/"
    try:
        is_own &= origin is None or urlsplit(origin).netloc == host
        return is_own and (not is_local or urlsplit(f"//{host}").hostname in LOCAL)
    except ValueError:  # no address at all
        return False


def _event(message: dict) -> str:
    return f"data: {json.dumps(message)}\n\n"


def _examples() -> list[str]:
    return sorted(folder.name for folder in _EXAMPLES.glob("*") if (folder / "content.jpg").is_file())


def _file(name: str, content: bytes | Iterable[bytes]) -> Response:
    return Response(content, content_type=_TYPES.get(Path(name).suffix.lower(), "application/octet-stream"))


def _file_name(name: str) -> str:
    """The name of a file of somebody else's, without what a file system or a command line might take for something else."""
    kept = re.sub(r"[^\w. ()+-]", "_", name.replace("\\", "/").rsplit("/", 1)[-1]).lstrip(".- ")
    stem, dot, extension = kept.rpartition(".")
    stem, extension = (stem, extension) if dot else (kept, "")
    return f"{_cut(stem, _NAME)}{dot}{_cut(extension, _EXTENSION)}" or "photo"


def _cut(text: str, most: int) -> str:
    """The text without what is beyond this many bytes."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
