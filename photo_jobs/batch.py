"""Many pictures: every job checked before it is needed, run, recorded and reported, whatever becomes of the others.

One worker runs in this process. More, and those on a cluster, are Ray actors (`cluster`) that run the same `Worker`.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import logging
import os
import sqlite3
import traceback
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from photo_files.atomic import remove_partials
from photo_jobs.cluster import run_on_ray
from photo_jobs.job import Job, Outcome, Status
from photo_jobs.manifest import find_jobs
from photo_jobs.picture import INTERRUPTED, check_job, run_job
from photo_jobs.records import finished, record_path, write_record
from photo_jobs.report import Page
from photo_options import INPUT_FILES, REGION, Options, UserError
from vgg19.networks import Networks

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
    tally, seconds = collections.Counter[Status](), 0.0
    page = Page(folder / "report.html", options.batch, total)
    remove_partials(page.path)
    with tqdm(total=total, disable=True if options.quiet else None, bar_format=_BAR) as bar:
        jobs = check_ahead(found, options.keep_going)
        with_ray = options.workers > 1 or options.ray_address
        reports = run_on_ray(jobs, options, Worker) if with_ray else _run_here(jobs, options)
        try:
            for outcome in reports:
                tally[outcome.status] += 1
                seconds += outcome.record.seconds if outcome.record and outcome.status is Status.DONE else 0
                _announce(outcome)
                page.add(outcome)
                left = (total - sum(tally.values())) * seconds / max(1, tally[Status.DONE]) / options.workers
                failed = tally[Status.FAILED] + tally[Status.LEFT_OUT]
                bar.set_postfix_str(f"{failed} failed, {tqdm.format_interval(round(left))} left", refresh=False)
                bar.update()
                if outcome.status is Status.STOPPED:
                    break
        except KeyboardInterrupt:
            tally[Status.STOPPED] += 1
        finally:
            reports.close()
            page.write()
    counts = ", ".join(f"{number} {status}" for status, number in sorted(tally.items()))
    logger.info("%s; see %s", counts, page.path)
    if tally[Status.STOPPED]:
        return INTERRUPTED
    return 1 if tally[Status.FAILED] + tally[Status.LEFT_OUT] else 0


def check_ahead(found: Iterable[Job | Outcome], keep_going: bool = True, ahead: int = CHECKED_AHEAD) -> Iterator[Job | Outcome]:
    """The jobs, `ahead` of them checked before the first is handed out; for one that cannot run, the outcome that it failed.

    Raises:
        UserError: without `keep_going`, that jobs cannot run, after all of these have been listed that are known by then.
    """
    window: collections.deque[Job | Outcome] = collections.deque()
    bad = 0

    def stop_for_bad() -> None:
        if bad and not keep_going:
            raise UserError(f"{bad} jobs cannot run; mend them, or leave them out with --keep_going")

    # On disk, if there are many: a manifest of any length must not fill the memory. The file goes when it is closed.
    with contextlib.closing(sqlite3.connect("", isolation_level=None)) as written:
        written.execute("PRAGMA journal_mode=OFF")
        written.execute("CREATE TABLE written (path TEXT PRIMARY KEY, content TEXT) WITHOUT ROWID")
        for job in found:
            if isinstance(job, Job):
                try:
                    _check(job, written)
                except UserError as error:
                    job = Outcome(job.name, Status.LEFT_OUT, job.options, error=str(error))
            if isinstance(job, Outcome):
                logger.error("%s: %s", job.name, job.error)
                bad += 1
            window.append(job)
            if len(window) > ahead:
                stop_for_bad()
                yield window.popleft()
    stop_for_bad()
    yield from window


def _check(job: Job, written: sqlite3.Connection) -> None:
    """Checks a job and makes its folders; `written` holds the files of the jobs before."""
    options = job.options
    outputs = options.output_images
    for path in (*outputs, *options.lut_paths, str(record_path(options))):
        try:
            written.execute("INSERT INTO written VALUES (?, ?)", (os.path.realpath(path), options.content_image_path))
        except sqlite3.IntegrityError:
            other = written.execute("SELECT content FROM written WHERE path = ?", (os.path.realpath(path),)).fetchone()[0]
            raise UserError(f"file {path} is also written for {other}; give each job its own output_image") from None
    for path in filter(None, (*outputs, *options.lut_paths, options.mask_preview)):
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"folder of {path} cannot be made ({error.strerror}); choose another --output_dir") from error
    check_job(options)
    inputs = {os.path.realpath(path): path for path in (getattr(options, name) for name in INPUT_FILES) if path}
    for path in outputs:
        if os.path.realpath(path) in inputs:
            raise UserError(f"output image {path} would replace {inputs[os.path.realpath(path)]}; choose another --output_dir")


class Worker:
    """Runs jobs one after another in one process and keeps what they share: TensorFlow and the pretrained network."""

    def __init__(self):
        self._networks = Networks()

    def run(self, job: Job, bar: tqdm) -> Outcome:
        """Runs a job if it is not done already. A failure that is not the user's is tried once more."""
        options = job.options
        with _warnings_caught() as warnings:
            if not options.dry_run and (record := finished(options)):
                return Outcome(job.name, Status.UNCHANGED, options, record, warnings=tuple(record.warnings))
            error, log = "", record_path(options).with_suffix(".log")
            snapshots = (str(log.with_name(name)) for name in ("tmp_result.png", "out_iter_*.png"))
            luts = (path.replace(REGION, "*") for path in options.lut_paths)
            for path in (*options.output_images, *luts, str(record_path(options)), *snapshots):
                remove_partials(path)
            for _ in range(2):
                warnings.clear()
                try:
                    outcome = run_job(job, bar, self._networks)
                    if outcome.record:
                        write_record(dataclasses.replace(outcome.record, warnings=list(warnings)), options)
                    return dataclasses.replace(outcome, warnings=tuple(warnings))
                except UserError as mistake:
                    error = str(mistake)
                    break
                except Exception as failure:
                    error = f"{' '.join(traceback.format_exception_only(failure)[-1].split())} (more in {log})"
                    with contextlib.suppress(OSError):  # a full disk may be why it failed
                        log.write_text(traceback.format_exc())
                finally:
                    gc.collect()  # compiled functions and what they hold are cycles, large ones
            return Outcome(job.name, Status.FAILED, options, error=error, warnings=tuple(warnings))


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


def _run_here(jobs: Iterable[Job | Outcome], options: Options) -> Generator[Outcome]:
    worker = Worker()
    with tqdm(total=100, position=1, leave=False, disable=True if options.quiet else None, bar_format="{desc}") as bar:
        for job in jobs:
            bar.reset()
            yield job if isinstance(job, Outcome) else worker.run(job, bar)


def _announce(outcome: Outcome) -> None:
    for warning in outcome.warnings if outcome.status is not Status.UNCHANGED else ():
        logger.warning("%s: %s", outcome.name, warning)
    if outcome.status is Status.FAILED:
        logger.error("%s: %s", outcome.name, outcome.error)
    if outcome.status is Status.DONE and outcome.record:
        logger.info("%s: done in %.1f s", outcome.name, outcome.record.seconds)
