"""Ctrl-C, and SIGTERM, by which systems that shut down and schedulers whose time is up end a program.

Both raise KeyboardInterrupt. In a library that Python is called back from, TensorFlow's import and its compiled functions for
example, that can be lost or become another error; therefore it is also kept that a stop was asked for, and seen at the next step.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
_asked = threading.Event()


def stop_asked() -> bool:
    """Whether one of the signals has come within `signals_stop`."""
    return _asked.is_set()


def check_stop() -> None:
    """Raises KeyboardInterrupt if one of the signals has come within `signals_stop`."""
    if _asked.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Makes both signals ask for a stop, except those that the program was started to ignore."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        _asked.set()
        raise KeyboardInterrupt

    try:
        with _handled_by(stop, [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]):
            yield
    finally:
        _asked.clear()


@contextlib.contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Holds both signals back to the end: libraries call into Python meanwhile, and what is raised there is lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    with _handled_by(lambda number, _: pressed.append(number), _SIGNALS):
        yield
    for number in pressed[:1]:
        signal.raise_signal(number)


@contextlib.contextmanager
def _handled_by(handler, numbers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)
