"""The report of a batch: one self-contained page, bounded in size, that can be watched while the batch runs."""

from __future__ import annotations

import base64
import collections
import dataclasses
import logging
import math
import os
import time
from pathlib import Path

import jinja2

from dpst.errors import UserError
from dpst.files.atomic import write_text
from dpst.files.photos import thumbnail
from dpst.jobs.job import Outcome, Status
from dpst.jobs.messages import with_flags
from dpst.jobs.places import output_images
from dpst.options import Options
from dpst.solver.stages import Stage

logger = logging.getLogger(__name__)

# Jobs with pictures on the page: the newest ones, and the newest of those that failed. About 100 kB each.
SHOWN, SHOWN_FAILED = 150, 50
# Long sides of the small pictures.
_LARGE, _SMALL = 480, 320
# The page is written no more often, in seconds, and not for more than this share of the time.
_PAUSE, _SHARE = 1.0, 0.05
_CURVE = (300, 90)
_CURVE_POINTS = 100


@dataclasses.dataclass
class _Card:
    """A job as the template shows it."""

    name: str
    status: Status
    error: str
    warnings: tuple[str, ...]
    features: str
    seconds: float | None
    scores: dict[str, float]
    loss: float | None
    curves: list[dict]
    options: Options | None
    pictures: dict[str, str] | None = None  # by role; made when the page is first written with them


class Page:
    """Collects reports and writes `report.html`."""

    def __init__(self, path: Path, title: str, total: int):
        """Takes where to write, what to call the batch, and how many jobs it has."""
        self.path = path
        self._title, self._total = title, total
        self._tally = collections.Counter[Status]()
        self._failed: collections.deque[_Card] = collections.deque(maxlen=SHOWN_FAILED)
        self._others: collections.deque[_Card] = collections.deque(maxlen=SHOWN)
        self._due = 0.0
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
        self._template = environment.from_string(Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8"))

    def add(self, outcome: Outcome) -> None:
        """Takes one more outcome, and writes the page unless that was done a moment ago."""
        self._tally[outcome.status] += 1
        (self._failed if outcome.error else self._others).append(_card(outcome))
        if time.monotonic() >= self._due:
            begin = time.monotonic()
            self.write(running=True)
            self._due = time.monotonic() + max(_PAUSE, (time.monotonic() - begin) / _SHARE)

    def write(self, running: bool = False) -> None:
        """Writes the page; `running` makes it reload itself."""
        cards = [*reversed(self._failed), *reversed(self._others)]
        for card in cards:
            if card.pictures is None:
                card.pictures = _pictures(card)
        page = self._template.render(
            title=self._title,
            running=running,
            total=self._total,
            tally=dict(sorted(self._tally.items())),
            hidden=sum(self._tally.values()) - len(cards),
            cards=cards,
            curve_size=_CURVE,
        )
        try:
            write_text(self.path, page)
        except OSError as error:  # the jobs matter more than the page
            logger.warning("report %s cannot be written (%s); the jobs go on", self.path, error.strerror)


def _card(outcome: Outcome) -> _Card:
    record = outcome.record
    stages = record.stages if record else []
    return _Card(
        name=outcome.name,
        status=outcome.status,
        error=with_flags(outcome.error),
        warnings=tuple(map(with_flags, outcome.warnings)),
        features=record.features if record else "",
        seconds=record.seconds if record else None,
        scores=record.scores if record else {},
        loss=stages[-1].losses[-1]["total"] if stages else None,
        curves=_curves(stages),
        options=outcome.options,
    )


def _pictures(card: _Card) -> dict[str, str]:
    """Small pictures as data URIs by role; those that cannot be read are left out."""
    if card.options is None:
        return {}
    wanted = {"content": (card.options.content_image_path, _LARGE), "style": (card.options.style_image_path, _SMALL)}
    wanted["regions"] = (card.options.mask_preview, _LARGE)
    if not card.error:
        wanted["result"] = (output_images(card.options)[-1], _LARGE)
    pictures = {}
    for role, (path, long_side) in wanted.items():
        if path and os.path.isfile(path):
            try:
                small = thumbnail(path, long_side, card.options.max_pixels)
            except UserError:  # a picture that cannot be read is why the job failed, and its error says so
                continue
            pictures[role] = "data:image/jpeg;base64," + base64.b64encode(small).decode()
    return pictures


def _curves(stages: list[Stage]) -> list[dict]:
    """The logarithm of the total loss over the iterations, a line for each stage: its name and its points in an SVG."""
    totals = [[losses["total"] for losses in stage.losses] for stage in stages]
    logs = [[math.log10(max(total, 1e-12)) for total in stage] for stage in totals]
    if not logs:
        return []
    low, high = min(map(min, logs)), max(map(max, logs))
    width, height = _CURVE
    across, down = width / max(1, sum(map(len, logs)) - 1), (height - 4) / max(high - low, 1e-6)
    curves, begin = [], 0
    for stage, values, losses in zip(stages, logs, totals, strict=True):
        step = math.ceil(len(values) / _CURVE_POINTS)
        kept = sorted({*range(0, len(values), step), len(values) - 1})
        points = " ".join(f"{(begin + k) * across:.1f},{2 + (high - values[k]) * down:.1f}" for k in kept)
        size = f"{stage.size[1]}x{stage.size[0]}"
        name = f"{stage.phase} {size}, {stage.iterations} iterations: loss {losses[0]:.4g} to {losses[-1]:.4g}"
        curves.append({"name": name, "points": points})
        begin += len(values)
    return curves
