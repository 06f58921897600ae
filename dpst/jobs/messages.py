"""The messages of the tool's packages, as the standard library's logging has them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
import threading
from collections.abc import Iterator

from dpst.options import Options

# The packages whose modules log, each under its own name.
LOGGERS = tuple(map(logging.getLogger, ("dpst", "vgg19")))

# An option as messages name it.
_OPTION = re.compile("`(" + "|".join(field.name for field in dataclasses.fields(Options)) + ")`")


def with_flags(message: str) -> str:
    """A message, or part of one, for users of the command line: `max_size` is --max_size there."""
    return _OPTION.sub(r"--\1", message)


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


class _Warnings(logging.Handler):
    """Keeps warnings, those of one thread if there is one."""

    def __init__(self, thread: int | None = None):
        super().__init__(logging.WARNING)
        self._thread = thread
        self.caught: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if self._thread in (None, record.thread):
            self.caught.append(record.getMessage())


@contextlib.contextmanager
def warnings_here() -> Iterator[list[str]]:
    """The packages' warnings in this thread, as a list; they are logged as ever."""
    handler = _Warnings(threading.get_ident())
    with handled(handler):
        yield handler.caught


@contextlib.contextmanager
def warnings_caught() -> Iterator[list[str]]:
    """The packages' warnings as a list; nothing that they log goes anywhere else."""
    handler = _Warnings()
    before = [(logger.handlers, logger.propagate) for logger in LOGGERS]
    for logger in LOGGERS:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield handler.caught
    finally:
        for logger, (handlers, propagate) in zip(LOGGERS, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
