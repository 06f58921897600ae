"""Batches: checks the jobs, runs them and writes the report; a job that fails does not stop the others.

A single worker runs in this process. Several, or those on a cluster, are Ray actors (`cluster`) with the same `Worker`.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import logging
import traceback
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from dpst.batch.cluster import run_on_ray
from dpst.batch.manifest import find_jobs
from dpst.batch.report import Report
from dpst.errors import UserError, one_line
from dpst.files.atomic import remove_partials
from dpst.jobs.files_in_use import FilesInUse
from dpst.jobs.job import Job, Outcome, Status
from dpst.jobs.messages import warnings_caught
from dpst.jobs.picture import check_job, run_job
from dpst.jobs.places import log_path, prepare_folders
from dpst.jobs.progress import OnProgress, ProgressLine
from dpst.jobs.records import finished, write_record
from dpst.jobs.stopping import INTERRUPTED, check_stop
from dpst.options import Options
from vgg19.networks import Networks

logger = logging.getLogger(__name__)

# Number of jobs that are checked ahead; a batch of at most this size is checked completely before the first job runs.
CHECKED_AHEAD = 1000
# Number of warnings that are remembered, so that they are not repeated for each job.
_WARNINGS_REMEMBERED = 100
_BAR = "{percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} jobs{postfix}"


def run_batch(options: Options, command: str) -> int:
    """Runs all jobs of `--batch`; returns the exit code: 0, 1 if any failed, 130 after Ctrl-C.

    Raises:
        UserError: the batch cannot start.
    """
    found = find_jobs(options, command)
    total = len(found)
    folder = Path(options.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {folder} cannot be created ({error.strerror}); choose another folder") from error
    tally, seconds = collections.Counter[Status](), 0.0
    recent_warnings: collections.deque[str] = collections.deque(maxlen=_WARNINGS_REMEMBERED)
    report = Report(folder / "report.html", options.batch, total)
    remove_partials(report.path)
    progress_line = tqdm(total=total, disable=True if options.quiet else None, bar_format=_BAR)
    with contextlib.closing(FilesInUse()) as files, progress_line as bar:
        for job in found:  # the inputs of all jobs first, as the first job must not replace an input of the last one
            if isinstance(job, Job):
                files.add_inputs(job.options)
        jobs = check_ahead(found, files, options.keep_going)
        with_ray = options.workers > 1 or options.ray_address
        outcomes = run_on_ray(jobs, options, Worker) if with_ray else _run_here(jobs, options)
        try:
            for outcome in outcomes:
                tally[outcome.status] += 1
                seconds += outcome.record.seconds if outcome.record and outcome.status is Status.DONE else 0
                _log(outcome, recent_warnings)
                report.add(outcome)
                left = "?"
                if done := tally[Status.DONE]:
                    left = tqdm.format_interval(round((total - sum(tally.values())) * seconds / done / options.workers))
                failed = tally[Status.FAILED] + tally[Status.LEFT_OUT]
                bar.set_postfix_str(f"{failed} failed, {left} left", refresh=False)
                bar.update()
                if outcome.status is Status.STOPPED:
                    break
                check_stop()
        except KeyboardInterrupt:
            tally[Status.STOPPED] += 1
        finally:
            outcomes.close()
            report.write()
    counts = ", ".join(f"{number} {status}" for status, number in sorted(tally.items()))
    logger.info("%s; see %s", counts, report.path)
    if tally[Status.STOPPED]:
        return INTERRUPTED
    return 1 if tally[Status.FAILED] + tally[Status.LEFT_OUT] else 0


def check_ahead(
    found: Iterable[Job | Outcome], files: FilesInUse, keep_going: bool = True, ahead: int = CHECKED_AHEAD
) -> Iterator[Job | Outcome]:
    """Yields the jobs, `ahead` of them checked before the first one; for a job that cannot run, its outcome.

    Args:
        found: the jobs; for a line of a manifest that is not a job, its outcome.
        files: has the inputs of all jobs; outputs are added.
        keep_going: whether to skip jobs that cannot run.
        ahead: number of jobs that are checked before the first one is yielded.

    Raises:
        UserError: without `keep_going`, if any of the jobs checked so far cannot run; their errors have been logged.
    """
    window: collections.deque[Job | Outcome] = collections.deque()
    refused = 0

    def check_refused() -> None:
        if refused and not keep_going:
            raise UserError(f"{refused} jobs cannot run; fix them, or skip them with --keep_going")

    for job in found:
        if isinstance(job, Job):
            try:
                check_job(job.options)
                files.add_outputs(job.options)  # last, as a job that cannot run must not keep its files from another
            except UserError as error:
                files.remove_inputs(job.options)
                job = Outcome(job.name, Status.LEFT_OUT, job.options, error=str(error))
            except Exception as failure:  # a bug that one job's files cause does not stop the others
                files.remove_inputs(job.options)
                job = Outcome(job.name, Status.LEFT_OUT, job.options, error=_in_one_line(failure))
        if isinstance(job, Outcome):
            logger.error("%s: %s", job.name, job.error)
            refused += 1
        window.append(job)
        if len(window) > ahead:
            check_refused()
            yield window.popleft()
    check_refused()
    yield from window


class Worker:
    """Runs jobs one after another in one process, which keeps TensorFlow and the network loaded."""

    def __init__(self):
        self._networks = Networks()

    def run(self, job: Job, on_progress: OnProgress) -> Outcome:
        """Runs a job unless it is finished and unchanged. After an error other than `UserError` it tries once more."""
        options, error, log = job.options, "", log_path(job.options)
        with warnings_caught() as warnings:
            for _ in range(2):
                warnings.clear()
                try:
                    if not options.dry_run and (record := finished(options)):
                        return Outcome(job.name, Status.UNCHANGED, options, record, warnings=tuple(record.warnings))
                    prepare_folders(options)
                    outcome = run_job(job, on_progress, self._networks)
                    if outcome.record:
                        write_record(dataclasses.replace(outcome.record, warnings=list(warnings)), options)
                    return dataclasses.replace(outcome, warnings=tuple(warnings))
                except UserError as failure:
                    error = str(failure)
                    break
                except Exception as failure:
                    check_stop()
                    error = f"{_in_one_line(failure)} (more in {log})"
                    with contextlib.suppress(OSError):  # a full disk may be why it failed
                        log.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
                finally:
                    gc.collect()  # compiled functions and their arrays are in reference cycles
            return Outcome(job.name, Status.FAILED, options, error=error, warnings=tuple(warnings))


def _in_one_line(failure: Exception) -> str:
    return one_line(" ".join(traceback.format_exception_only(failure)[-1].split()))


def _run_here(jobs: Iterable[Job | Outcome], options: Options) -> Generator[Outcome]:
    worker = Worker()
    with ProgressLine(options.quiet, position=1, leave=False, bar_format="{desc}") as line:
        for job in jobs:
            yield job if isinstance(job, Outcome) else worker.run(job, line)


def _log(outcome: Outcome, recent_warnings: collections.deque[str]) -> None:
    """Logs an outcome and its warnings, except those logged recently: many jobs may warn that there are no weights."""
    for warning in outcome.warnings if outcome.status is not Status.UNCHANGED else ():
        if warning not in recent_warnings:
            logger.warning("%s: %s", outcome.name, warning)
            recent_warnings.append(warning)
    if outcome.status is Status.FAILED:
        logger.error("%s: %s", outcome.name, outcome.error)
    if outcome.status is Status.DONE and outcome.record:
        logger.info("%s: done in %.1f s", outcome.name, outcome.record.seconds)
