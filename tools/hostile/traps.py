"""Kinds whose targets misbehave in every way that the hunt must notice: for the tests of the hunt itself."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from hypothesis import strategies as st

from dpst.errors import UserError
from hostile.broken import one_clear_line
from hostile.kinds import Kind


def _raise(_: Path) -> None:
    raise ZeroDivisionError("1/0")


def _swallow_memory_error(_: Path) -> None:
    try:
        bytearray(1 << 40)
    except MemoryError as error:
        raise UserError("file x is no good; use another") from error


def _work_forever(_: Path) -> None:
    while True:
        pass


def _refuse(_: Path) -> None:
    raise UserError("file x is no good; use another")


def _kind(target) -> Kind:
    return Kind(".bin", lambda: st.binary(max_size=4), target)


# What each should be called.
EXPECTED = {
    "raise": "ZeroDivisionError, in traps._raise",
    "lines": "a message of several lines, or with control characters, in broken.one_clear_line",
    "noise": "noise on standard error: boo",
    "memory": "memory, in traps.<lambda>",
    "swallowed": "memory, in traps._swallow_memory_error",
    "signal": "signal SIGSEGV",
    "work": "time",
    "sleep": "time, by the clock",
    "refuse": "refused",
    "read": "read",
}
KINDS = {
    "raise": _kind(_raise),
    "lines": _kind(lambda _: one_clear_line("one\ntwo")),
    "noise": _kind(lambda _: print("boo", file=sys.stderr)),
    "memory": _kind(lambda _: bytearray(1 << 40)),
    "swallowed": _kind(_swallow_memory_error),
    "signal": _kind(lambda _: os.kill(os.getpid(), signal.SIGSEGV)),
    "work": _kind(_work_forever),
    "sleep": _kind(lambda _: time.sleep(600)),
    "refuse": _kind(_refuse),
    "read": _kind(lambda _: None),
}
