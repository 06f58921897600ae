"""Progress of a run: the progress bar, the snapshots and the best image so far."""

from __future__ import annotations

import logging
import sys
import time
from typing import Protocol

import numpy as np
from tqdm import tqdm

from dpst.errors import UserError
from dpst.files.writing import write_photo
from dpst.jobs.places import FIRST_STAGE, by_product_path
from dpst.jobs.stopping import check_stop, interrupts_deferred
from dpst.options import Options
from dpst.solver.stages import Progress

logger = logging.getLogger(__name__)

_BAR = "{percentage:3.0f}%|{bar:24}| {elapsed}{postfix}  {desc}"


class OnProgress(Protocol):
    """Shows the progress of a job: a progress bar, the page, a log. An exception that it raises ends the job."""

    def __call__(self, share: float, doing: str, left: str = "", terms: str = "") -> None:
        """Gets the share of the work that is done, 0..1, the current step, the remaining time, and the terms of the loss."""


def log_terms(share: float, doing: str, left: str = "", terms: str = "") -> None:
    """Logs the terms of the loss."""
    if terms:
        logger.info("%s (%s)", doing, terms)


class ProgressLine:
    """Shows a progress bar on the console; without one, or if messages go to a file, logs the terms of the loss."""

    def __init__(self, quiet: bool, **appearance: object):
        """With `quiet`, nothing is drawn; `appearance` are settings of tqdm."""
        self.bar = tqdm(total=1, disable=True if quiet else None, **({"bar_format": _BAR} | appearance))

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def __call__(self, share: float, doing: str, left: str = "", terms: str = "") -> None:
        self.bar.set_description_str(doing, refresh=False)
        self.bar.set_postfix_str(f"{left} left" if left else "", refresh=False)
        self.bar.update(share - self.bar.n)
        if self.bar.disable or not sys.stdout.isatty():
            log_terms(share, doing, left, terms)


class Watch:
    """Called after each step of a run: reports progress, saves snapshots, and keeps the best step of the running stage."""

    def __init__(self, options: Options, on_progress: OnProgress):
        self.best: Progress | None = None
        self._options, self._on_progress, self._saves = options, on_progress, True
        self._phase, self._stage, self._least, self._steps = "", -1, np.inf, 0
        self._first: tuple[float, float] | None = None  # time and share of the first report

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self._phase:
            if self._phase and self._options.serial:  # where the reference script writes the result of its first stage
                self._save(FIRST_STAGE)
            self._phase = progress.phase
        if progress.stage != self._stage:
            self._stage, self._least = progress.stage, np.inf
        if progress.losses["total"] < self._least:
            self._least, self.best = progress.losses["total"], progress
        check_stop()
        if progress.step == 0:
            return
        self._steps += 1
        if self._steps % self._options.save_iter == 0:
            self._save(f"out_iter_{self._steps}.png")
        if self._steps % self._options.print_iter == 0:
            self._report(progress)

    def _report(self, progress: Progress) -> None:
        height, width = progress.size
        doing = f"{progress.phase} {width}x{height}, iteration {progress.step}, loss {progress.losses['total']:.4g}"
        terms = ", ".join(f"{name} {loss:.4g}" for name, loss in progress.losses.items() if name != "total")
        self._on_progress(progress.share, doing, self._left(progress.share), terms)

    def _left(self, share: float) -> str:
        """The remaining time, from the rate since the first report; loading and compiling happen only once, before it."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, share
        seconds, done = now - self._first[0], share - self._first[1]
        return tqdm.format_interval(round(seconds / done * (1 - share))) if done > 0 else "?"

    @interrupts_deferred()
    def _save(self, name: str) -> None:
        if not (self.best and self._saves):
            return
        try:
            write_photo(by_product_path(self._options, name), self.best.image)
        except UserError as error:  # most often a full disk; the run goes on
            self._saves = False
            logger.warning("%s; no more snapshots are saved", str(error).split(";")[0])
