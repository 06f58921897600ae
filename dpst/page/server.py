"""The page's server: waitress, which reads requests whole and within bounds before anything here sees them."""

from __future__ import annotations

import functools
import logging
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.utilities import BadRequest, InternalServerError

from dpst.jobs.stopping import check_stop
from dpst.options import Options
from dpst.page.routes import LOCAL, MAX_BYTES, MAX_PAGES, Pages, page_app, refusal_of_head

logger = logging.getLogger(__name__)

# Most connections at the same time; others wait for one to end. A browser opens up to six for a page.
MAX_CONNECTIONS = 100
# Threads that answer: one for the stream of each page, and some for all other requests.
THREADS = MAX_PAGES + 4
# Seconds in which a request must have arrived whole, and after which a connection without one is closed.
SECONDS = 60
# Most bytes of a request's head. waitress takes time by the square of the spaces in a line of it: 14 seconds for 64 KiB.
MAX_HEAD = 8 << 10
# Seconds after which a loop without requests looks whether it shall end.
_PULSE = 1.0


class _Request(HTTPRequestParser):
    """A request as it arrives. One that is refused by its head is answered without waiting for its body."""

    completed: bool  # waitress has no types

    def __init__(self, is_local: bool, adjustments: Any):
        """Takes whether requests under names of other machines are refused, and waitress's settings."""
        super().__init__(adjustments)
        self._is_local = is_local

    def received(self, data: bytes) -> int:
        """Takes a part of the request; returns how many bytes of it."""
        taken = super().received(data)
        if self.completed or not self.headers_finished:
            return taken
        length = max(self.content_length, self.body_bytes_received)  # chunks do not say how many will come
        if refusal_of_head(self.command, self.path, self._header, length, self._is_local):
            self.headers |= {"CONTENT_LENGTH": str(length), "CONNECTION": "close"}  # what follows is no other request
            self.body_rcv, self.completed, self.expect_continue = None, True, False
            return len(data)
        return taken

    def _header(self, name: str) -> str | None:
        return self.headers.get(name.upper().replace("-", "_"))


class _Channel(HTTPChannel):
    """A connection."""

    request: Any  # waitress has no types
    last_activity: float

    def __init__(self, is_local: bool, *arguments: Any, **named: Any):
        """Takes whether requests under names of other machines are refused, then what waitress gives."""
        self.parser_class = functools.partial(_Request, is_local)
        super().__init__(*arguments, **named)

    def handle_read(self) -> None:
        """Takes what has arrived. A request that trickles in counts as idle since its first bytes, and is closed in time."""
        begun = self.last_activity if self.request else None
        super().handle_read()
        if begun and self.request:
            self.last_activity = begun

    def received(self, data: bytes) -> bool:
        """Takes a part of a request; what waitress raises there, instead of answering, is answered too."""
        try:
            return super().received(data)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                logger.warning(
                    "a request of the page cannot be kept (%s); make room for temporary files", error.strerror or error
                )
                self.request.error = InternalServerError("no room for the request")
            else:  # a length of thousands of digits
                self.request.error = BadRequest("Content-Length is invalid")
            self.requests.append(self.request)
            self.request = None
            self.server.add_task(self)
            return True

    def handle_error(self) -> None:
        """Ends the connection that failed, and no other."""
        logger.error("a connection of the page failed", exc_info=sys.exc_info())
        self.handle_close()


class Server:
    """Listens on `Options.app_host` and `Options.app_port`."""

    def __init__(self, options: Options, root: Path):
        """A server that is not serving yet; sessions have their folders in `root`. Raises OSError where it cannot listen."""
        family = socket.AF_INET6 if ":" in options.app_host else socket.AF_INET
        listener = socket.create_server((options.app_host, options.app_port), family=family)
        self.address = listener.getsockname()
        self.is_local = options.app_host in LOCAL
        self.pages = Pages(options, root)
        self._sockets: dict = {}
        self._ended = threading.Event()
        # Its warnings, of queues and of browsers that have gone, are nothing that a user could act on.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._waitress = create_server(
            page_app(self.pages, self.is_local),
            self._sockets,
            sockets=[listener],
            threads=THREADS,
            connection_limit=MAX_CONNECTIONS + 2,  # its own two sockets count
            channel_timeout=SECONDS,
            cleanup_interval=max(1, SECONDS // 10),
            max_request_body_size=MAX_BYTES,
            max_request_header_size=MAX_HEAD,
            log_socket_errors=False,
            ident=None,
        )
        self._waitress.channel_class = functools.partial(_Channel, self.is_local)

    def serve(self) -> None:
        """Answers requests until `shutdown`. Raises KeyboardInterrupt after a signal that asks for a stop."""
        while not self._ended.is_set():
            check_stop()
            wasyncore.loop(_PULSE, use_poll=True, map=self._sockets, count=1)

    def shutdown(self) -> None:
        """Ends `serve`; may be called from any thread."""
        self._ended.set()
        self._waitress.pull_trigger()

    def close(self) -> None:
        """Stops listening, ends all sessions, and waits for what runs to stop at its next step."""
        wasyncore.dispatcher.close(self._waitress)  # the listener alone: threads that answer still need the rest
        self.pages.close_all()
        self._waitress.task_dispatcher.shutdown()
        self.pages.line.close()
        wasyncore.close_all(self._sockets, ignore_all=True)
