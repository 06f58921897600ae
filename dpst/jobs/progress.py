"""Following a run: the progress line, the snapshots, the best image so far, and the warnings."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from dpst.errors import UserError
from dpst.files.writing import write_photo
from dpst.jobs.places import FIRST_STAGE, by_product_path
from dpst.jobs.stopping import check_stop, interrupts_deferred
from dpst.options import Options
from dpst.solver.stages import Progress

logger = logging.getLogger(__name__)

# Gets the share of the work that is done, 0..1, and what is being done.
Tell = Callable[[float, str], None]


class Watch:
    """Follows a run: reports how far it is, saves snapshots, and keeps the best step of the stage that is running."""

    def __init__(self, options: Options, bar: tqdm):
        self.best: Progress | None = None
        self._options, self._bar, self._saves = options, bar, True
        self._phase, self._stage, self._least, self._steps = "", -1, np.inf, 0
        self._first: tuple[float, float] | None = None  # time and share of the first report

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self._phase:
            if self._phase:  # the reference hands its first stage's result on in this file
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
        """Moves the progress line; where there is none, or the messages go to a file, prints the terms of the loss."""
        height, width = progress.image.shape[:2]
        where = f"{progress.phase} {width}x{height}, iteration {progress.step}, loss {progress.losses['total']:.4g}"
        self._bar.set_description_str(where, refresh=False)
        self._bar.set_postfix_str(f"{self._left(progress.share)} left", refresh=False)
        self._bar.update(100 * progress.share - self._bar.n)
        if not isinstance(self._bar, Relay) and (self._bar.disable or not sys.stdout.isatty()):
            terms = (f"{name} {loss:.4g}" for name, loss in progress.losses.items() if name != "total")
            logger.info("%s (%s)", where, ", ".join(terms))

    def _left(self, share: float) -> str:
        """The time that is left, by that since the first report: loading and compiling come before, and once."""
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
        except UserError as error:  # a full disk, most often; the result matters more
            self._saves = False
            logger.warning("%s; no more snapshots are saved", str(error).split(";")[0])


class Relay(tqdm):
    """A progress line that is not drawn: it tells somebody else, who may end the run by raising."""

    def __init__(self, tell: Tell):
        super().__init__(total=100, disable=True)
        self._tell, self._phase = tell, "preparing"
        tell(0, self._phase)

    def set_description_str(self, desc: str | None = None, refresh: bool = True) -> None:
        self._phase = desc or ""

    def update(self, n: float | None = 1) -> None:
        self.n += n or 0
        self._tell(self.n / self.total, self._phase)
