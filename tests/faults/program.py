"""The tool, killed in one phase: PYTHONPATH=.:tests python -m faults.program PHASE CALL SECONDS SIGNAL ARGUMENTS.

The signal comes SECONDS after the CALL-th call of the phase has begun; while that call is in progress, or just after it.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from deep_photostyle import main
from faults.phases import wrap


def _kill_at(phase: str, call: int, seconds: float, number: int) -> None:
    calls = 0

    def kill(pid: int) -> None:
        time.sleep(seconds)
        os.kill(pid, number)

    def count(function):
        nonlocal calls
        calls += 1
        if calls == call:
            if seconds:
                threading.Thread(target=kill, args=(os.getpid(),), daemon=True).start()
            else:
                os.kill(os.getpid(), number)
        return function()

    wrap(phase, count)


if __name__ == "__main__":
    phase, call, seconds, number, *arguments = sys.argv[1:]
    _kill_at(phase, int(call), float(seconds), int(number))
    sys.exit(main(arguments))
