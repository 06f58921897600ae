"""Many pictures: every job checked before it is needed, run, recorded and reported, whatever becomes of the others.

One worker runs in this process. More, and those on a cluster, are Ray actors (`cluster`) that run the same `Worker`.
"""

from __future__ import annotations

import collections
import contextlib
import glob
import logging
import os
import sqlite3
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from job import INTERRUPTED, Job, Report, check_job, run_job
from manifest import find_jobs
from options import Options, UserError
from records import INPUTS, finished, record_path, write_record
from report import Page

logger = logging.getLogger("deep_photostyle")

# Jobs that are checked ahead of the workers; a batch of no more is checked as a whole before the first runs.
CHECKED_AHEAD = 1000
_BAR = "{percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} jobs{postfix}"


def run_batch(options: Options, command: str) -> int:
    """Runs all jobs of `--batch`; returns the exit code: 0, 1 if any failed, 130 after Ctrl-C.

    Raises:
        UserError: nothing could be begun.
    """
    total, found = find_jobs(options, command)
    folder = Path(options.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {folder} cannot be made ({error.strerror}); choose another folder") from error
    tally, seconds = collections.Counter[str](), 0.0
    page = Page(folder / "report.html", options.batch, total)
    with tqdm(total=total, disable=True if options.quiet else None, bar_format=_BAR) as bar:
        jobs = check_ahead(found, options.keep_going)
        reports = _run_here(jobs, options)
        try:
            for report in reports:
                tally[report.status] += 1
                seconds += report.record.get("seconds", 0) if report.status == "done" else 0
                _announce(report)
                page.add(report)
                left = (total - sum(tally.values())) * seconds / max(1, tally["done"]) / options.workers
                bar.set_postfix_str(
                    f"{tally['failed'] + tally['left out']} failed, {tqdm.format_interval(round(left))} left", refresh=False
                )
                bar.update()
                if report.status == "stopped":
                    break
        except KeyboardInterrupt:
            tally["stopped"] += 1
        finally:
            reports.close()
            page.write()
    counts = ", ".join(f"{number} {status}" for status, number in sorted(tally.items()))
    logger.info("%s; see %s", counts, page.path)
    if tally["stopped"]:
        return INTERRUPTED
    return 1 if tally["failed"] + tally["left out"] else 0


def check_ahead(found: Iterable[Job | Report], keep_going: bool = True, ahead: int = CHECKED_AHEAD) -> Iterator[Job | Report]:
    """The jobs, `ahead` of them checked before the first is handed out; for one that cannot run, the report that it failed.

    Raises:
        UserError: without `keep_going`, that jobs cannot run, after all of these have been listed that are known by then.
    """
    window: collections.deque[Job | Report] = collections.deque()
    bad = 0
    # On disk, if there are many: a manifest of any length must not fill the memory. The file goes when it is closed.
    with contextlib.closing(sqlite3.connect("", isolation_level=None)) as records:
        records.execute("PRAGMA journal_mode=OFF")
        records.execute("CREATE TABLE records (path TEXT PRIMARY KEY, job TEXT) WITHOUT ROWID")
        for job in found:
            if isinstance(job, Job):
                try:
                    _check(job, records)
                except UserError as error:
                    job = Report(job.name, "left out", job.options, error=str(error))
            if isinstance(job, Report):
                logger.error("%s: %s", job.name, job.error)
                bad += 1
            window.append(job)
            if len(window) > ahead:
                _stop_if(bad and not keep_going, bad)
                yield window.popleft()
    _stop_if(bad and not keep_going, bad)
    yield from window


def _stop_if(stop: object, bad: int) -> None:
    if stop:
        raise UserError(f"{bad} jobs cannot run; mend them, or leave them out with --keep_going")


def _check(job: Job, records: sqlite3.Connection) -> None:
    options = job.options
    path = os.path.realpath(record_path(options))
    try:
        records.execute("INSERT INTO records VALUES (?, ?)", (path, options.content_image_path))
    except sqlite3.IntegrityError:
        (other,) = records.execute("SELECT job FROM records WHERE path = ?", (path,)).fetchone()
        raise UserError(f"output image {options.output_image} is also that of {other}; give each its own output_image") from None
    for path in filter(None, (options.output_image, options.mask_preview)):
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"folder of {path} cannot be made ({error.strerror}); choose another --output_dir") from error
    check_job(options)
    for name in INPUTS:
        if getattr(options, name) and os.path.realpath(getattr(options, name)) == os.path.realpath(options.output_image):
            raise UserError(f"output image {options.output_image} would replace --{name}; choose another --output_dir")


class Worker:
    """Runs jobs one after another in one process and keeps what they share: TensorFlow and the pretrained network."""

    def __init__(self):
        self._networks = {}

    def run(self, job: Job, bar: tqdm) -> Report:
        """Runs a job if it is not done already. A failure that is not the user's is tried once more."""
        options = job.options
        with _warnings_caught() as warnings:
            if record := finished(options):
                return Report(job.name, "unchanged", options, record, warnings=tuple(record.get("warnings", ())))
            _remove_leftovers(options)
            error, log = "", record_path(options).with_suffix(".log")
            for _ in range(2):
                warnings.clear()
                try:
                    record = run_job(job, bar, self._networks)
                except UserError as mistake:
                    error = str(mistake)
                    break
                except Exception as failure:
                    error = f"{' '.join(traceback.format_exception_only(failure)[-1].split())} (more in {log})"
                    log.write_text(traceback.format_exc())
                    continue
                if record is None:
                    return Report(job.name, "stopped", options, warnings=tuple(warnings))
                write_record(record | {"warnings": warnings}, options)
                return Report(job.name, "done", options, record, warnings=tuple(warnings))
            return Report(job.name, "failed", options, error=error, warnings=tuple(warnings))


@contextlib.contextmanager
def _warnings_caught() -> Iterator[list[str]]:
    """The tool's warnings as a list; nothing that it logs goes anywhere else."""
    caught: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: caught.append(record.getMessage())  # type: ignore[method-assign]
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield caught
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def _remove_leftovers(options: Options) -> None:
    """Removes what a killed run of the same job was writing."""
    output = Path(options.output_image)
    for folder, name in ((output.parent, glob.escape(output.name)), (Path(options.serial), "*")):
        for partial in folder.glob(f".{name}.[0-9]*"):
            partial.unlink(missing_ok=True)


def _run_here(jobs: Iterable[Job | Report], options: Options) -> Iterator[Report]:
    worker = Worker()
    with tqdm(total=100, position=1, leave=False, disable=True if options.quiet else None, bar_format="{desc}") as bar:
        for job in jobs:
            bar.reset()
            yield job if isinstance(job, Report) else worker.run(job, bar)


def _announce(report: Report) -> None:
    for warning in report.warnings if report.status != "unchanged" else ():
        logger.warning("%s: %s", report.name, warning)
    if report.status == "failed":
        logger.error("%s: %s", report.name, report.error)
    if report.status == "done":
        logger.info("%s: done in %.1f s", report.name, report.record["seconds"])
