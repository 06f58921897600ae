"""The page's server: files and requests of a browser in, pictures and progress out. What is done with them is `session`'s.

A page is a session, and lives as long as the stream of messages that it opened. It consists of page.html, page.css and page.js,
and its browser is told to load nothing from anywhere else.
"""

from __future__ import annotations

import base64
import json
import logging
import queue
import re
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from photo_jobs.line import Line
from photo_jobs.page_requests import TASKS, BadRequest, realism_and_strength, run_task, task
from photo_jobs.session import REALISMS, ROLES, PageClosed, Session
from photo_options import MOST_STRENGTH, Options, UserError
from photo_regions.mask_classes import REFERENCE_COLOURS
from vgg19.networks import Networks

logger = logging.getLogger("deep_photostyle")

_LOCAL = ("127.0.0.1", "::1", "localhost")
_HERE = Path(__file__).parent
_PARTS = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
# Only a checkout has them.
_EXAMPLES = _HERE.parent / "examples"
_EXAMPLE_FILES = dict(zip(ROLES, ("content.jpg", "style.jpg", "content_seg.png", "style_seg.png"), strict=True))
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".jpg": "image/jpeg",
    ".png": "image/png",
}
# The browser itself then refuses whatever would be loaded from, or sent, elsewhere; and no other page may embed this one.
_POLICY = "default-src 'self'; img-src 'self' data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
# Seconds after which an idle stream is written to; only that shows that the page was closed.
_PULSE = 0.5
_CHUNK = 1 << 20
# Most characters of a file's name that are kept; file systems allow 255 bytes.
_NAME = 60


class _NotHere(Exception):
    """There is no such page, session, file or option."""


class Server(ThreadingHTTPServer):
    """Listens on `Options.app_host` and `Options.app_port`; as a context it ends what runs and all sessions."""

    daemon_threads = True

    def __init__(self, options: Options, root: Path):
        """A server that is not serving yet; sessions have their folders in `root`. Raises OSError where it cannot listen."""
        self.is_local = options.app_host in _LOCAL
        self.sessions: dict[str, tuple[Session, queue.SimpleQueue]] = {}
        self.line = Line()
        self._options, self._root, self._networks = options, root, Networks()
        if ":" in options.app_host:
            self.address_family = socket.AF_INET6
        super().__init__((options.app_host, options.app_port), _Handler)

    def open_session(self) -> str:
        """A new session; returns its secret name."""
        messages: queue.SimpleQueue = queue.SimpleQueue()

        def tell(share: float, words: str) -> None:
            messages.put({"kind": "progress", "share": share, "words": words})

        name = secrets.token_urlsafe(16)
        self.sessions[name] = Session(self._root, self._options, self._networks, tell), messages
        return name

    def close_session(self, name: str) -> None:
        """Ends a session, if it is there."""
        if found := self.sessions.pop(name, None):
            session, _ = found
            session.close()
            self.line.leave(session)

    def server_close(self) -> None:
        """Stops listening, ends all sessions, and waits for what runs to stop at its next step."""
        super().server_close()
        for name in list(self.sessions):
            self.close_session(name)
        self.line.close()

    def handle_error(self, request, client_address) -> None:
        """Logs a bug with its traceback; that a browser has gone away is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            logger.exception("a request of the page failed")


class _Handler(BaseHTTPRequestHandler):
    """One request. A session's are below its secret name: /NAME/what."""

    server: Server

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, answer: Callable[[], None]) -> None:
        if not self._is_welcome():
            self._send_json({"error": "only the page itself may ask"}, HTTPStatus.FORBIDDEN)
            return
        try:
            answer()
        except UserError as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (_NotHere, PageClosed):
            self._send_json({"error": f"{self.path} is not here; load the page again"}, HTTPStatus.NOT_FOUND)
        except BadRequest as error:  # what the page itself never sends
            self._send_json({"error": f"{self.path} is not understood: {error}"}, HTTPStatus.BAD_REQUEST)

    def _is_welcome(self) -> bool:
        """Whether this comes from the page and not from one of another site, nor under a name that one has pointed here."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        # Pictures and links of other sites have no origin, but browsers say whose they are; a link may lead to the page itself.
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        is_own = site in ("same-origin", "none") or urlsplit(self.path).path == "/"
        is_own &= origin is None or urlsplit(origin).netloc == host
        return is_own and (not self.server.is_local or urlsplit(f"//{host}").hostname in _LOCAL)

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path in _PARTS:
            part = _HERE / _PARTS[path]
            self._send(part.read_bytes(), _TYPES[part.suffix])
        elif path == "/messages":
            self._stream()
        elif path in self._example_paths():
            self._send((_EXAMPLES.parent / path[1:]).read_bytes(), _TYPES[Path(path).suffix])
        else:
            session, _, what = self._session()
            folder, _, name = what.partition("/")
            content = session.file(unquote(name)) if folder == "files" else None
            if content is None:
                raise _NotHere
            self._send(content, _TYPES.get(Path(name).suffix.lower(), "application/octet-stream"))

    def _put(self) -> None:
        """A photo or mask, for the option that the path names."""
        session, _, option = self._session()
        if option not in ROLES:
            raise _NotHere
        name = parse_qs(urlsplit(self.path).query).get("name", [""])[0]
        shown = session.take(option, _file_name(name), self._chunks())
        self._send_json({"shown": shown})

    def _post(self) -> None:
        """A request of the page. What takes time joins the line and is answered by a message."""
        session, messages, what = self._session()
        request = b"".join(self._chunks())
        if what == "stop":
            session.stop()
            if self.server.line.leave(session):
                messages.put({"kind": "stopped"})
            self._send_json({})
        elif what == "view":
            view = session.view(*realism_and_strength(request))
            shown = {"picture": _data_uri(view.picture), "is_draft": view.is_draft} if view else {}
            self._send_json(shown)
        else:
            if what not in TASKS:
                raise _NotHere
            job = task(session, what, request)
            session.start()
            self.server.line.join(
                session,
                lambda: run_task(job, messages.put),
                lambda before: messages.put({"kind": "waiting", "before": before}),
            )
            self._send_json({})

    def _session(self) -> tuple[Session, queue.SimpleQueue, str]:
        """The session that the path names, its messages, and what is wanted of it."""
        name, _, what = urlsplit(self.path).path[1:].partition("/")
        if name not in self.server.sessions:
            raise _NotHere
        return *self.server.sessions[name], what

    def _stream(self) -> None:
        """Opens a session, sends its messages as they come (server-sent events), and closes it when the page has gone."""
        name = self.server.open_session()
        _, messages = self.server.sessions[name]
        try:
            self._head("text/event-stream")
            self._message({"kind": "open", "session": name, "examples": self._examples()} | _FACTS)
            while name in self.server.sessions:
                try:
                    self._message(messages.get(timeout=_PULSE))
                except queue.Empty:
                    self.wfile.write(b":\n\n")
        except ConnectionError:
            pass
        finally:
            self.server.close_session(name)

    def _message(self, message: dict) -> None:
        self.wfile.write(b"data: " + json.dumps(message).encode() + b"\n\n")

    def _examples(self) -> list[str]:
        return sorted(folder.name for folder in _EXAMPLES.glob("*") if (folder / "content.jpg").is_file())

    def _example_paths(self) -> set[str]:
        return {f"/examples/{name}/{file}" for name in self._examples() for file in _EXAMPLE_FILES.values()}

    def _chunks(self) -> Iterator[bytes]:
        """The body of the request."""
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                raise ConnectionResetError
            left -= len(chunk)
            yield chunk

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._head(kind, status, len(content))
        self.wfile.write(content)

    def _send_json(self, value: dict, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _head(self, kind: str, status: HTTPStatus = HTTPStatus.OK, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of each request."""


# What the page must know before it asks for anything.
_FACTS = {
    "colours": {name: f"#{bytes(colour).hex()}" for name, colour in REFERENCE_COLOURS.items()},
    "realisms": REALISMS,
    "most_strength": MOST_STRENGTH,
    "example_files": _EXAMPLE_FILES,
}


def _file_name(name: str) -> str:
    """The name of a file of somebody else's, without what a file system or a command line might take for something else."""
    kept = re.sub(r"[^\w. ()+-]", "_", name.replace("\\", "/").rsplit("/", 1)[-1]).lstrip(".- ")
    stem, dot, extension = kept.rpartition(".")
    return f"{(stem if dot else kept)[:_NAME]}{dot}{extension[:10] if dot else ''}" or "photo"


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
