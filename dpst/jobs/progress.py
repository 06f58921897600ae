"""Following a run: the progress line, the snapshots, the best image so far, and the warnings."""

from __future__ import annotations

import logging
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
    """Follows a run: tells how far it is, saves snapshots, and keeps the best step of the stage that is running."""

    def __init__(self, options: Options, tell: Tell):
        self.best: Progress | None = None
        self._options, self._tell, self._saves = options, tell, True
        self._phase, self._stage, self._least, self._steps = "", -1, np.inf, 0

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
            height, width = progress.image.shape[:2]
            doing = f"{progress.phase} {width}x{height}, iteration {progress.step}, loss {progress.losses['total']:.4g}"
            self._tell(progress.share, doing)

    @interrupts_deferred()
    def _save(self, name: str) -> None:
        if not (self.best and self._saves):
            return
        try:
            write_photo(by_product_path(self._options, name), self.best.image)
        except UserError as error:  # a full disk, most often; the result matters more
            self._saves = False
            logger.warning("%s; there are no more snapshots", str(error).split(";")[0])


def drawn_on(bar: tqdm) -> Tell:
    """Draws progress on a line whose total is 100."""

    def tell(share: float, doing: str) -> None:
        bar.set_description_str(doing, refresh=False)
        bar.update(100 * share - bar.n)

    return tell
