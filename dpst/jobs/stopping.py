"""Ctrl-C, SIGTERM, by which systems that shut down end a program, SIGHUP, a terminal's end, and what schedulers send before.

Schedulers announce that they will kill a job by SIGXCPU, SIGUSR1 or SIGUSR2, which would otherwise end it without a picture.
Each raises KeyboardInterrupt. Inside a library that calls Python back, such as TensorFlow while it is imported or traces a
function, that exception can be lost or turn into another error. So a flag also remembers the request, and every step checks it.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# The exit code after a stop, which shells report of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130
_NAMES = "SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2"
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class _State:
    """Plain attributes, since a signal may come while another one is handled: a lock, as events have, would wait for itself."""

    asked = False  # whether a stop was
    holding = 0  # how many blocks hold the exception back


_state = _State()


def stop_requested() -> bool:
    """Whether one of the signals has come within `signals_stop`."""
    return _state.asked


def check_stop() -> None:
    """Raises KeyboardInterrupt if one of the signals has come within `signals_stop`."""
    if _state.asked:
        raise KeyboardInterrupt


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Makes the signals ask for a stop, except those that the program was started to ignore."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, _stop)
        yield
    finally:
        _state.holding += 1  # there is nothing left to stop
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.holding -= 1
        _state.asked = False


def _stop(number: int, frame: FrameType | None) -> None:
    """Handles a signal. Those after the first ask for nothing new, and must not interrupt the saving of what there is."""
    if _state.asked:
        return
    _state.asked = True
    if not _state.holding:
        raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Holds a stop back to the end: libraries call into Python meanwhile, and what is raised there is lost.

    An error in the block is raised as it is; that a stop was asked for is then what `stop_requested` says.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked_before = _state.asked
    _state.holding += 1
    try:
        yield
    finally:
        _state.holding -= 1
    if not asked_before:
        check_stop()
