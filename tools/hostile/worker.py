"""Tries cases in a process of its own, under limits: `python -m hostile.worker KINDS MEBIBYTES SECONDS` in an empty folder.

It reads orders from standard input, a line of JSON each, and answers on standard output, a line of JSON each:
`{"kind": ..., "seed": ..., "count": ...}` draws so many cases, `{"kind": ..., "file": ...}` tries that one. Each case is
written to a file before it is tried, so that whoever started this process still has it if the process dies; answers hold the
files of other findings.
"""

from __future__ import annotations

import base64
import gc
import importlib
import json
import logging
import os
import resource
import shutil
import sys
import traceback
import warnings
from pathlib import Path

import hypothesis
import numpy as np
from hypothesis import strategies as st

from dpst.errors import UserError
from dpst.jobs.messages import handled
from hostile.broken import Broken, one_clear_line, shown
from hostile.kinds import Kind

ROOT = Path(__file__).parents[2]
READ, REFUSED = "read", "refused"


class _Kept(logging.Handler):
    """Keeps what is logged in a case."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def attempt(kind: Kind, path: Path, logged: _Kept) -> str:
    """What becomes of a file: `READ`, `REFUSED`, or a line that names the finding, the same for all with one cause."""
    logged.messages.clear()
    try:
        try:
            kind.target(path)
            outcome = READ
        except UserError as error:
            outcome = REFUSED
            one_clear_line(shown(str(error)))
            if "out of memory" in str(error) or isinstance(error.__cause__, MemoryError):
                return f"memory, in {_place(error.__cause__ or error)}"
        for message in logged.messages:
            one_clear_line(shown(message))
    except Broken as error:
        return f"{error}, in {_place(error.__cause__ or error)}"
    except MemoryError as error:
        return f"memory, in {_place(error)}"
    except Exception as error:  # whatever it is, it is what is looked for
        return f"{type(error).__name__}, in {_place(error)}"
    return outcome


def _place(error: BaseException) -> str:
    """Module and function of this project where an error comes from."""
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [code for code in frames if Path(code.co_filename).is_relative_to(ROOT) and "tools" not in Path(code.co_filename).parts]
    code = (own or frames)[-1]
    return f"{Path(code.co_filename).stem}.{code.co_name}"


def _answer(**values) -> None:
    print(json.dumps(values), file=_answers, flush=True)


class _Trial:
    """Tries files of one kind in the working folder, one at a time."""

    def __init__(self, kind: Kind, seconds: int) -> None:
        self._kind, self._seconds, self._number = kind, seconds, 0
        self._logged = _Kept()

    def __call__(self, content: bytes) -> None:
        for path in Path.cwd().iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        path = Path.cwd() / f"case{self._kind.extension}"
        path.write_bytes(content)
        used = resource.getrusage(resource.RUSAGE_SELF)
        soon = int(used.ru_utime + used.ru_stime) + self._seconds + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soon, resource.RLIM_INFINITY))
        os.ftruncate(2, 0)  # what was said while the case was drawn is not the target's
        self._number += 1
        _answer(case=self._number)
        with handled(self._logged):
            outcome = attempt(self._kind, path, self._logged)
        sys.stderr.flush()
        if said := os.pread(2, 300, 0).decode(errors="replace"):
            os.ftruncate(2, 0)
            outcome = f"noise on standard error: {said.splitlines()[0][-80:]}" if outcome in (READ, REFUSED) else outcome
        _answer(outcome=outcome, **({} if outcome in (READ, REFUSED) else {"file": base64.b64encode(content).decode()}))


def _drawn(trial: _Trial, kind: Kind, seed: int, count: int) -> None:
    """Tries so many cases that hypothesis draws from a seed."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.deferred(kind.strategy))
    def draw(content: bytes) -> None:
        trial(content)

    draw()


def main(module: str, mebibytes: int, seconds: int) -> None:
    """Follows orders until standard input ends."""
    kinds = importlib.import_module(module).KINDS
    warnings.simplefilter("always")  # each is a line on standard error
    warnings.simplefilter("ignore", hypothesis.errors.HypothesisWarning)
    np.seterr(all="warn")
    gc.freeze()  # so that the program, which collects after each job, need not look at all libraries each time
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        order = json.loads(line)
        kind = kinds[order["kind"]]
        trial = _Trial(kind, seconds)
        if "file" in order:
            trial(Path(order["file"]).read_bytes())
        else:
            try:
                _drawn(trial, kind, order["seed"], order["count"])
            except Exception as error:  # a mistake in a strategy, to which hypothesis adds pages
                sys.exit(f"{type(error).__name__} {str(error)[:200]} in {_place(error)}, drawing {order}")
        _answer(done=True)


if __name__ == "__main__":
    # Answers have a channel of their own; what else is printed is noise.
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
