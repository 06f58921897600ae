"""The tool, killed in one phase: PYTHONPATH=.:tools python -m faults.program PHASE CALL SECONDS SIGNAL ARGUMENTS.

The signal comes SECONDS after the CALL-th call of the phase has begun, or when that call ends if it is shorter.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from deep_photostyle import main
from faults.phases import wrap


def _kill_at(phase: str, call: int, seconds: float, number: int) -> None:
    calls, once = 0, threading.Lock()

    def kill() -> None:
        if once.acquire(blocking=False):
            os.kill(os.getpid(), number)

    def kill_later() -> None:
        time.sleep(seconds)
        kill()

    def count(function):
        nonlocal calls
        calls += 1
        if calls != call:
            return function()
        if seconds:
            threading.Thread(target=kill_later, daemon=True).start()
        else:
            kill()
        try:
            return function()
        finally:
            kill()

    wrap(phase, count)


if __name__ == "__main__":
    phase, call, seconds, number, *arguments = sys.argv[1:]
    _kill_at(phase, int(call), float(seconds), int(number))
    sys.exit(main(arguments))
