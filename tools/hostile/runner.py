"""Gives orders to workers, counts what they answer, and saves what they find."""

from __future__ import annotations

import base64
import collections
import dataclasses
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hostile.worker import READ, REFUSED, ROOT

# Files of findings; a test tries them again.
FOUND = ROOT / "tests" / "hostile" / "found"
# Cases for one order: so few that a worker which dies takes little with it, and that hypothesis has little to remember.
BATCH = 100
# Files that are kept of findings with the same name.
MAX_ALIKE = 3


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one case may take: memory above what the worker itself has, time of the processor, and time by the clock.

    The last is long, for the machine may have other work.
    """

    mebibytes: int = 1536
    seconds: int = 10
    clock: int = 60


@dataclasses.dataclass
class Tally:
    """Counts by kind and outcome, and the files of findings, by kind and what was found."""

    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    findings: dict[tuple[str, str], list[bytes]] = dataclasses.field(default_factory=dict)

    def add(self, kind: str, outcome: str, content: bytes) -> None:
        """Counts a case; the file of a finding is kept."""
        fine = outcome in (READ, REFUSED)
        self.counts[kind, outcome if fine else "found"] += 1
        if not fine:
            self.counts["finding", kind, outcome] += 1
            files = self.findings.setdefault((kind, outcome), [])
            if len(files) < MAX_ALIKE:
                files.append(content)

    @property
    def cases(self) -> int:
        """How many were tried."""
        return sum(number for key, number in self.counts.items() if len(key) == 2)

    def save(self, folder: Path, extension: Callable[[str], str]) -> list[Path]:
        """Writes the findings into `folder`, named by kind, cause and content."""
        paths = []
        for (kind, outcome), files in self.findings.items():
            for content in files:
                cause = re.sub(r"\W+", "_", outcome)[:60].strip("_")
                name = f"{kind}-{cause}-{hashlib.sha256(content).hexdigest()[:8]}{extension(kind)}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
                paths.append(folder / name)
        return paths

    def table(self) -> str:
        """Cases by kind, then the findings."""
        kinds = sorted({key[0] for key in self.counts if len(key) == 2})
        names = (READ, REFUSED, "found")
        rows = [(kind, *(self.counts[kind, name] for name in names)) for kind in kinds]
        rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3))))
        lines = [f"{'kind':<9} {'cases':>8} {'read':>8} {'refused':>8} {'found':>8}"]
        lines += [f"{kind:<9} {sum(numbers):8} " + " ".join(f"{number:8}" for number in numbers) for kind, *numbers in rows]
        found = [(number, key[1], key[2]) for key, number in self.counts.items() if len(key) == 3]
        return "\n".join([*lines, *(f"{number:8} {kind}: {outcome}" for number, kind, outcome in sorted(found, reverse=True))])


class Worker:
    """A process of `hostile.worker`, started when it is needed and again when it has died."""

    def __init__(self, limits: Limits = Limits(), module: str = "hostile.kinds") -> None:
        self._limits, self._module = limits, module
        self._home = tempfile.TemporaryDirectory()
        self._folder = Path(self._home.name, "cases")
        self._folder.mkdir()
        self._process: subprocess.Popen | None = None
        self._buffer = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self._end()
        self._home.cleanup()

    def tries(self, kind: str, seed: int, count: int = BATCH) -> Iterator[tuple[str, bytes]]:
        """The outcome of each case of an order and, of findings, its file."""
        yield from self._obeys({"kind": kind, "seed": seed, "count": count})

    def tries_file(self, kind: str, path: Path) -> str:
        """The outcome of one file."""
        ((outcome, _),) = self._obeys({"kind": kind, "file": str(path.resolve())})
        return outcome

    def _obeys(self, order: dict) -> Iterator[tuple[str, bytes]]:
        process = self._started()
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        begun, done = False, False
        try:
            while answer := self._answer():
                begun = begun or "case" in answer
                if "outcome" in answer:
                    yield answer["outcome"], base64.b64decode(answer.get("file", ""))
            done = True
        except TimeoutError:
            yield "time, by the clock", self._case()
        except EOFError as error:
            number = -process.wait()
            if number <= 0 or not begun:
                raise RuntimeError(f"the worker itself failed: {self._noise()}") from error
            yield "time" if number == signal.SIGXCPU else f"signal {signal.Signals(number).name}", self._case()
        finally:
            if not done:  # it has died, hangs, or nobody wants the rest
                self._end()

    def _answer(self) -> dict | None:
        """The next answer; None when an order is done."""
        while b"\n" not in self._buffer:
            if not select.select([self._process.stdout], [], [], self._limits.clock + 30 * (not self._warm))[0]:
                raise TimeoutError
            chunk = os.read(self._process.stdout.fileno(), 65536)
            if not chunk:
                raise EOFError
            self._buffer += chunk
        self._warm = True
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        return None if "done" in answer else answer

    def _case(self) -> bytes:
        (path,) = self._folder.glob("case.*")
        return path.read_bytes()

    def _noise(self) -> str:
        return Path(self._home.name, "noise").read_text(errors="replace")[-2000:]

    def _started(self) -> subprocess.Popen:
        if self._process is None:
            # One thread each: cases are small, and threads' stacks count as memory.
            few = {"VIPS_CONCURRENCY": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}
            environment = os.environ | few | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tools'}"}
            limits = [str(self._limits.mebibytes), str(self._limits.seconds)]
            self._buffer, self._warm = b"", False
            with open(Path(self._home.name, "noise"), "a+b") as noise:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "hostile.worker", self._module, *limits],
                    cwd=self._folder,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=noise,
                    start_new_session=True,  # Ctrl-C is for the runner
                )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def hunt(tally: Tally, kinds: list[str], minutes: float, workers: int, seed: int, after_each: Callable[[Tally], None]) -> None:
    """Tries orders of all kinds in turn until the time is over; the same seed tries the same cases in the same order."""
    lock, stop, end = threading.Lock(), threading.Event(), time.monotonic() + 60 * minutes
    orders = iter((kind, seed + number) for number in range(10**9) for kind in kinds)

    def follow() -> None:
        with Worker() as worker:
            while time.monotonic() < end and not stop.is_set():
                with lock:
                    kind, number = next(orders)
                for outcome, content in worker.tries(kind, number):
                    with lock:
                        tally.add(kind, outcome, content)
                with lock:
                    after_each(tally)

    with ThreadPoolExecutor(workers) as threads:
        try:
            for done in [threads.submit(follow) for _ in range(workers)]:
                done.result()
        finally:  # Ctrl-C, or a fault of the hunt itself
            stop.set()
