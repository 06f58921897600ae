"""Following a run: the progress line, the snapshots, and the best image so far."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from photo_files.writing import write_photo
from photo_options import Options
from photo_solver.stages import Progress


@contextlib.contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Holds Ctrl-C back to the end: libvips calls into Python while it writes, and what Ctrl-C raises there would be lost."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    pressed: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)


class Watch:
    """Follows a run: draws the progress line, saves snapshots, and keeps the best step of the stage that is running."""

    def __init__(self, options: Options, bar: tqdm):
        self.best: Progress | None = None
        self._options, self._bar = options, bar
        self._phase, self._stage, self._least, self._steps = "", -1, np.inf, 0

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self._phase:
            if self._phase:  # the reference hands its first stage's result on in this file
                self._save("tmp_result.png")
            self._phase = progress.phase
        if progress.stage != self._stage:
            self._stage, self._least = progress.stage, np.inf
        if progress.losses["total"] < self._least:
            self._least, self.best = progress.losses["total"], progress
        if progress.step == 0:
            return
        self._steps += 1
        if self._steps % self._options.save_iter == 0:
            self._save(f"out_iter_{self._steps}.png")
        if self._steps % self._options.print_iter == 0:
            height, width = progress.image.shape[:2]
            self._bar.set_description_str(
                f"{progress.phase} {width}x{height}, iteration {progress.step}, loss {progress.losses['total']:.4g}",
                refresh=False,
            )
            self._bar.update(100 * progress.share - self._bar.n)

    @ctrl_c_waits()
    def _save(self, name: str) -> None:
        if self.best:
            write_photo(str(Path(self._options.serial) / name), self.best.image)
