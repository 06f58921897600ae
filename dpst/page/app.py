"""`--app`: serves the page on this machine until Ctrl-C, and removes all it was given, and what a killed one left."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dpst.errors import UserError
from dpst.files.atomic import temporary_folder
from dpst.options import Options

if TYPE_CHECKING:
    from dpst.page.server import Server

logger = logging.getLogger(__name__)


def run_app(options: Options) -> int:
    """Serves the page; returns the exit code.

    Raises:
        UserError: Flask or waitress is missing, the address cannot be listened on, or there is no room for temporary files.
    """
    with _root() as root, contextlib.closing(_server(options, root)) as server:
        try:
            host = f"[{options.app_host}]" if ":" in options.app_host else options.app_host
            logger.info("the page is at http://%s:%d until Ctrl-C", host, server.address[1])
            if not server.is_local:
                logger.warning("--app_host %s lets everyone who can reach this machine use the page", options.app_host)
            server.serve()
        except KeyboardInterrupt:
            logger.info("the page is closed")
    return 0


@contextlib.contextmanager
def _root() -> Iterator[Path]:
    """The folder of all that the page is given."""
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(temporary_folder("deep-photostyle-page-"))
        except OSError as error:
            wrong = f"--app finds no room for temporary files ({error.strerror or error})"
            raise UserError(f"{wrong}; make room, or name another folder in TMPDIR") from error
        yield root


def _server(options: Options, root: Path) -> Server:
    try:
        from dpst.page.server import Server
    except ImportError as error:
        raise UserError(f"--app needs Flask and waitress ({error}); pip install -r requirements-page.txt") from error
    try:
        return Server(options, root)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        where = f"--app_port {options.app_port} cannot be opened at {options.app_host}"
        raise UserError(f"{where} ({reason}); give another --app_port or --app_host") from error
