"""The messages of the tool's packages, as the standard library's logging has them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

# The packages whose modules log, each under its own name.
LOGGERS = tuple(map(logging.getLogger, ("dpst", "vgg19")))


@contextlib.contextmanager
def handled(handler: logging.Handler) -> Iterator[None]:
    """The handler gets the packages' messages."""
    for logger in LOGGERS:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in LOGGERS:
            logger.removeHandler(handler)


@contextlib.contextmanager
def warnings_here() -> Iterator[list[str]]:
    """The packages' warnings in this thread, as a list; they are logged as ever."""
    caught: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                caught.append(record.getMessage())

    thread = threading.get_ident()
    with handled(Handler(logging.WARNING)):
        yield caught


@contextlib.contextmanager
def warnings_caught() -> Iterator[list[str]]:
    """The packages' warnings as a list; nothing that they log goes anywhere else."""
    caught: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: caught.append(record.getMessage())  # type: ignore[method-assign]
    before = [(logger.handlers, logger.propagate) for logger in LOGGERS]
    for logger in LOGGERS:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield caught
    finally:
        for logger, (handlers, propagate) in zip(LOGGERS, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
