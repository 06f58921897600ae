"""`--app`: serves the page on this machine until Ctrl-C, and removes all it was given, and what a killed one left."""

from __future__ import annotations

import logging
from pathlib import Path

from photo_files.atomic import temporary_folder
from photo_jobs.page import Server
from photo_options import Options, UserError

logger = logging.getLogger("deep_photostyle")


def run_app(options: Options) -> int:
    """Serves the page; returns the exit code.

    Raises:
        UserError: the address cannot be listened on.
    """
    with temporary_folder("deep-photostyle-page-") as root, _serving(options, root) as server:
        host = f"[{options.app_host}]" if ":" in options.app_host else options.app_host
        logger.info("the page is at http://%s:%d until Ctrl-C", host, server.server_address[1])
        if not server.is_local:
            logger.warning("--app_host %s lets everyone who can reach this machine use the page", options.app_host)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            logger.info("the page is closed")
    return 0


def _serving(options: Options, root: Path) -> Server:
    try:
        return Server(options, root)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        where = f"--app_port {options.app_port} cannot be opened at {options.app_host}"
        raise UserError(f"{where} ({reason}); give another --app_port or --app_host") from error
