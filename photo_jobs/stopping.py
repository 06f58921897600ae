"""Ctrl-C, and SIGTERM, by which systems that shut down and schedulers whose time is up end a program.

Both raise KeyboardInterrupt. Inside a library that calls Python back, such as TensorFlow while it is imported or traces a
function, that exception can be lost or turn into another error. So a flag also remembers the request, and every step checks it.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
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
def _handled_by(handler: Callable[[int, FrameType | None], None], numbers: Iterable[int]) -> Iterator[None]:
    """Handles these signals in another way, to the end."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)
