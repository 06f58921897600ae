"""The tool, killed in one phase, many times: PYTHONPATH=.:tools python -m faults.program.

Each line of standard input is an order, as JSON. It is run in a process of its own, and a line of standard output has its exit
code, minus the signal's number if that ended it. The processes are forked from this one, which has imported TensorFlow and not
used it, so that none of them takes the time of that import.

    {"phase": "solve", "call": 1, "seconds": 0.5, "signal": 15, "folder": "...", "said": "...", "arguments": [...]}

The signal comes `seconds` after the `call`-th call of the phase has begun, or when that call ends if it is shorter. What the tool
says goes to the file `said`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time

from deep_photostyle import main
from dpst.jobs.start import _import_quickly
from faults.phases import wrap

_TOO_LONG = 300  # seconds; a process that hangs so long says where, and ends


def _kill_at(phase: str, call: int, seconds: float, number: int) -> None:
    calls, killed, lock = 0, False, threading.Lock()

    def kill() -> None:
        nonlocal killed
        with lock:  # so that the call does not end before another thread has sent the signal
            if not killed:
                killed = True
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


def _follow(order: dict) -> int:
    os.chdir(order["folder"])
    said = os.open(order["said"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    faulthandler.enable()
    faulthandler.dump_traceback_later(_TOO_LONG, exit=True)
    _kill_at(order["phase"], order["call"], order["seconds"], order["signal"])
    return main(order["arguments"])


if __name__ == "__main__":
    _import_quickly()
    while line := sys.stdin.readline():
        if not (child := os.fork()):
            sys.exit(_follow(json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
