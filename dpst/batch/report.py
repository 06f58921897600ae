"""The report of a batch: one self-contained page, bounded in size, that can be watched while the batch runs."""

from __future__ import annotations

import base64
import collections
import dataclasses
import logging
import math
import os
import time
import urllib.parse
from pathlib import Path

import jinja2

from dpst.errors import UserError, one_line
from dpst.files.atomic import write_text
from dpst.files.clips import clip_thumbnail
from dpst.files.photos import thumbnail
from dpst.jobs.job import Outcome, Status
from dpst.jobs.messages import with_flags
from dpst.jobs.places import output_images, record_path
from dpst.jobs.scores import BLOTCHED
from dpst.options import Options, is_clip_name
from dpst.solver.stages import Stage

logger = logging.getLogger(__name__)

# Results on the page, the newest ones, about 100 kB each; and failures, one line each.
MAX_SHOWN, MAX_FAILED_SHOWN = 150, 50
# Long sides of the small pictures.
_LARGE, _SMALL = 480, 320
# The page is written no more often, in seconds, and not for more than this share of the time.
_PAUSE, _SHARE = 1.0, 0.05
_CURVE = (300, 90)
_CURVE_POINTS = 100


@dataclasses.dataclass(frozen=True)
class _Column:
    """A figure of each job: its name, what it means, and its digits after the point."""

    name: str
    meaning: str
    digits: int


_COLUMNS = {
    "seconds": _Column("time", "seconds that the job took", 1),
    "detail_kept": _Column("detail kept", "the share of the photo's detail that is still there; 1 is all of it", 3),
    "invented_detail": _Column("detail invented", "detail that the photo does not have, in levels of 255; 0 is none", 1),
    "blotches": _Column(
        "blotches", f"hue that varies within an object, in CIELAB; above {BLOTCHED} the result is worth a look", 1
    ),
    "foreign_colours": _Column(
        "foreign colours", "the share of the result in colours that the style's region does not have; 0 is none", 3
    ),
    "edge_ssim": _Column("edges", "how alike the edges of photo and result are (SSIM); 1 is the same structure", 3),
    "affine_residual": _Column(
        "residual", "what no local affine map of the photo's colours explains, in levels of 255; 0 is photorealistic", 2
    ),
    "matting_term": _Column("matting", "the paper's photorealism term before its weight; 0 is photorealistic", 2),
    "colour_distance": _Column(
        "colour distance", "how far the colours are from the style's; 0 is the style's colours, 1 is as far as the photo", 3
    ),
    "loss": _Column("loss", "the objective at the end; it can be compared between jobs with the same options only", 2),
    "warnings": _Column("warnings", "how many there are; they are shown with the result", 0),
}


@dataclasses.dataclass
class _Card:
    """A job as the template shows it."""

    name: str
    status: Status
    error: str
    warnings: tuple[str, ...]
    features: str
    figures: dict[str, str]  # by column; those that the job does not have are left out
    files: list[tuple[str, str]]  # text and address of a link
    curves: list[dict]
    options: Options | None
    pictures: dict[str, str] | None = None  # by role; made when the page is first written with them


class Report:
    """Collects reports and writes `report.html`."""

    def __init__(self, path: Path, title: str, total: int):
        """Takes where to write, what to call the batch, and how many jobs it has."""
        self.path = path
        self._title, self._total = title, total
        self._tally = collections.Counter[Status]()
        self._failed: collections.deque[_Card] = collections.deque(maxlen=MAX_FAILED_SHOWN)
        self._others: collections.deque[_Card] = collections.deque(maxlen=MAX_SHOWN)
        self._due = 0.0
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
        self._template = environment.from_string(Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8"))

    def add(self, outcome: Outcome) -> None:
        """Takes one more outcome, and writes the page unless that was done a moment ago."""
        self._tally[outcome.status] += 1
        (self._failed if outcome.error else self._others).append(_card(outcome, self.path.parent))
        if time.monotonic() >= self._due:
            begin = time.monotonic()
            self.write(running=True)
            self._due = time.monotonic() + max(_PAUSE, (time.monotonic() - begin) / _SHARE)

    def write(self, running: bool = False) -> None:
        """Writes the page; `running` makes it reload itself."""
        for card in self._others:
            if card.pictures is None:
                card.pictures = _pictures(card)
        failures = self._tally[Status.FAILED] + self._tally[Status.LEFT_OUT]
        page = self._template.render(
            title=self._title,
            running=running,
            total=self._total,
            tally={status: number for status, number in sorted(self._tally.items()) if number},
            failures=failures,
            failed=self._failed,
            hidden_failures=failures - len(self._failed),
            cards=self._others,
            hidden=sum(self._tally.values()) - failures - len(self._others),
            columns={key: column for key, column in _COLUMNS.items() if any(key in card.figures for card in self._others)},
            curve_size=_CURVE,
        )
        try:
            write_text(self.path, page)
        except OSError as error:  # the jobs matter more than the page
            logger.warning("report %s cannot be written (%s); the jobs go on", self.path, error.strerror)


def _card(outcome: Outcome, folder: Path) -> _Card:
    """What a page in a folder shows of an outcome."""
    record = outcome.record
    stages = record.stages if record else []
    figures = {"seconds": record.seconds, **record.scores} if record else {}
    if stages:
        figures["loss"] = stages[-1].losses[-1]["total"]
    if outcome.warnings:
        figures["warnings"] = len(outcome.warnings)
    return _Card(
        name=outcome.name,
        status=outcome.status,
        error=with_flags(outcome.error),
        warnings=tuple(map(with_flags, outcome.warnings)),
        features=record.features if record else "",
        figures={key: f"{figures[key]:.{column.digits}f}" for key, column in _COLUMNS.items() if key in figures},
        files=_files(outcome, folder),
        curves=_curves(stages),
        options=outcome.options,
    )


def _files(outcome: Outcome, folder: Path) -> list[tuple[str, str]]:
    """Name and address, from a page in a folder, of each file that a job has written."""
    if outcome.options is None or outcome.error:
        return []
    paths = [*output_images(outcome.options), *(outcome.record.luts if outcome.record else ()), str(record_path(outcome.options))]
    links = ((Path(path).name, os.path.relpath(path, folder)) for path in paths if os.path.isfile(path))
    return [(one_line(name), f"./{urllib.parse.quote(os.fsencode(address))}") for name, address in links]


def _pictures(card: _Card) -> dict[str, str]:
    """Small pictures as data URIs by role; those that cannot be read are left out."""
    if card.options is None:
        return {}
    wanted = {"content": (card.options.content_image_path, _LARGE), "style": (card.options.style_image_path, _SMALL)}
    wanted["regions"] = (card.options.mask_preview, _LARGE)
    wanted["result"] = (output_images(card.options)[-1], _LARGE)
    pictures = {}
    for role, (path, long_side) in wanted.items():
        if path and os.path.isfile(path):
            try:
                small = (clip_thumbnail if is_clip_name(path) else thumbnail)(path, long_side, card.options.max_pixels)
            except UserError:  # it has gone or become another file since
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
