"""Batches that are killed at seeded moments of each phase, and started again."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deep_photostyle import main
from faults.phases import PHASES, wrap

_ROOT = Path(__file__).parents[2]
_DATA = _ROOT / "tests" / "data"  # not from conftest, which imports TensorFlow: the undisturbed run takes the time of that
JOBS = 2


@dataclasses.dataclass(frozen=True)
class Left:
    """What a killed batch left, and whether it could be resumed.

    Attributes:
        number: the signal.
        code: of the killed program, minus the signal's number if that ended it.
        results: how many were there, of `JOBS`.
        damaged: results that were neither whole nor those of a stopped solve.
        again: the exit code when the batch was started again.
        differ: results that then did not have the bytes of an undisturbed one.
        partials: names of half-written files that were still there after that.
        said: what the killed program and the one that went on said.
    """

    number: signal.Signals
    code: int
    results: int
    damaged: int
    again: int
    differ: tuple[str, ...]
    partials: tuple[str, ...]
    said: str

    @property
    def is_resumed(self) -> bool:
        """Whether the signal ended the program as it should, and in the end all is as if nothing had happened."""
        code = -self.number if self.number is signal.SIGKILL else 130
        return self.code == code and not (self.again or self.damaged or self.differ or self.partials)


class Batch:
    """A batch of small jobs in a folder, and its undisturbed results. It has a process, which `close` ends."""

    def __init__(self, folder: Path, replace: Callable[[Any, str, Any], None] = setattr) -> None:
        """Makes the photos, and runs the batch once to see what it gives and how long each phase takes.

        `replace` puts a function that takes the time in the place of each phase's.
        """
        self._folder = folder
        # One thread for OpenBLAS as in the program: another number may change the last bits.
        environment = os.environ | {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'tools'}", "OPENBLAS_NUM_THREADS": "1"}
        self._program = subprocess.Popen(
            [sys.executable, "-m", "faults.program"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        (folder / "photos").mkdir(parents=True)
        with Image.open(_DATA / "content.png") as photo:
            for number in range(JOBS):
                photo.crop((0, 0, 32 + 2 * number, 28)).save(folder / "photos" / f"{number}.png")
        self.results: dict[str, bytes] = {}
        self.seconds: dict[str, float] = {}
        self.calls: collections.Counter[str] = collections.Counter()
        for phase in PHASES:
            self._time(phase, replace)
        self._run("undisturbed")
        self.results = self._results("undisturbed")
        assert len(self.results) == JOBS

    def killed(self, phase: str, number: signal.Signals, seed: int) -> Left:
        """Kills a run in one of a phase's calls, drawn by the seed, and starts it again."""
        random = np.random.default_rng((seed, *phase.encode(), number))
        call, name = int(random.integers(1, self.calls[phase] + 1)), f"{phase} {number} {seed}"
        # Every third one as the call begins, the others at any moment of the longest one.
        delay = 0.0 if seed % 3 == 0 else random.uniform(0, self.seconds[phase])
        home, said = self._home(name), self._folder / f"{name}.txt"
        order = {"phase": phase, "call": call, "seconds": delay, "signal": int(number), "folder": str(home), "said": str(said)}
        assert self._program.stdin and self._program.stdout
        print(json.dumps(order | {"arguments": self._arguments}), file=self._program.stdin, flush=True)
        code = int(self._program.stdout.readline())
        found = self._results(name)
        damaged = sum(not self._is_whole(name, file) for file in found)
        again = self._run(name, said)
        after = self._results(name)
        differ = tuple(file for file in self.results if after.get(file) != self.results[file])
        partials = tuple(str(path.relative_to(home)) for path in home.rglob(".*"))
        return Left(number, code, len(found), damaged, again, differ, partials, said.read_text())

    def close(self) -> None:
        """Ends the process."""
        self._program.communicate()

    def _is_whole(self, name: str, file: str) -> bool:
        """Whether a result is a picture of the right size; a stopped solve leaves other pixels than an undisturbed one."""
        try:
            with Image.open(self._home(name) / "out" / file) as result, Image.open(self._folder / "photos" / file) as photo:
                result.load()
                return result.size == photo.size
        except OSError:
            return False

    def _time(self, phase: str, replace: Callable[[Any, str, Any], None]) -> None:
        """Counts the calls of a phase in the undisturbed run, and takes the time of the longest."""

        def timed(function):
            if self.results:  # the undisturbed run is over
                return function()
            self.calls[phase] += 1
            begin = time.perf_counter()
            try:
                return function()
            finally:
                self.seconds[phase] = max(self.seconds.get(phase, 0.0), time.perf_counter() - begin)

        wrap(phase, timed, replace)

    @property
    def _arguments(self) -> list[str]:
        """The same for every run: a result holds its command."""
        options = {
            "batch": "../photos",
            "style_image_path": _DATA / "style.png",
            "output_dir": "out",
            "vgg19_weights": _DATA / "thin_vgg19.npy",
            "max_iter": 2,
            "style_option": 2,
            "save_iter": 1,
        }
        return [f"--{option}={value}" for option, value in options.items()]

    def _home(self, name: str) -> Path:
        """The working folder of a run and of those that go on with it."""
        (self._folder / name).mkdir(exist_ok=True)
        return self._folder / name

    def _run(self, name: str, said: str | os.PathLike = os.devnull) -> int:
        """Runs the batch in this process; what it says is added to a file."""
        before = os.getcwd()
        os.chdir(self._home(name))
        try:
            with open(said, "a") as console, contextlib.redirect_stderr(console), contextlib.redirect_stdout(console):
                return main(self._arguments)
        finally:
            os.chdir(before)

    def _results(self, name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self._home(name) / "out").glob("*.png")}
