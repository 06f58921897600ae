"""Many pictures: every job checked before it is needed, run, recorded and reported, whatever becomes of the others.

One worker runs in this process. More, and those on a cluster, are Ray actors (`cluster`) that run the same `Worker`.
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
from dpst.batch.report import Page
from dpst.errors import UserError, one_line
from dpst.files.atomic import remove_partials
from dpst.jobs.files_in_use import FilesInUse
from dpst.jobs.job import Job, Outcome, Status
from dpst.jobs.messages import warnings_caught
from dpst.jobs.picture import check_job, run_job
from dpst.jobs.places import by_products, log_path, make_folders, results
from dpst.jobs.progress import ProgressLine, Tell
from dpst.jobs.records import finished, write_record
from dpst.jobs.stopping import INTERRUPTED, check_stop
from dpst.option_checks import REGION
from dpst.options import Options
from vgg19.networks import Networks

logger = logging.getLogger(__name__)

# Jobs that are checked ahead of the workers; a batch of no more is checked as a whole before the first runs.
CHECKED_AHEAD = 1000
# Different warnings that are remembered, not to be repeated for each job.
_REMEMBERED = 100
_BAR = "{percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} jobs{postfix}"


def run_batch(options: Options, command: str) -> int:
    """Runs all jobs of `--batch`; returns the exit code: 0, 1 if any failed, 130 after Ctrl-C.

    Raises:
        UserError: nothing could be begun.
    """
    found = find_jobs(options, command)
    total = len(found)
    folder = Path(options.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {folder} cannot be created ({error.strerror}); choose another folder") from error
    tally, seconds = collections.Counter[Status](), 0.0
    said: collections.deque[str] = collections.deque(maxlen=_REMEMBERED)
    page = Page(folder / "report.html", options.batch, total)
    remove_partials(page.path)
    progress_line = tqdm(total=total, disable=True if options.quiet else None, bar_format=_BAR)
    with contextlib.closing(FilesInUse()) as files, progress_line as bar:
        for job in found:  # and once more below, as the first job must not replace what the last one reads
            if isinstance(job, Job):
                files.add_inputs(job.options)
        jobs = check_ahead(found, files, options.keep_going)
        with_ray = options.workers > 1 or options.ray_address
        reports = run_on_ray(jobs, options, Worker) if with_ray else _run_here(jobs, options)
        try:
            for outcome in reports:
                tally[outcome.status] += 1
                seconds += outcome.record.seconds if outcome.record and outcome.status is Status.DONE else 0
                _announce(outcome, said)
                page.add(outcome)
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
            reports.close()
            page.write()
    counts = ", ".join(f"{number} {status}" for status, number in sorted(tally.items()))
    logger.info("%s; see %s", counts, page.path)
    if tally[Status.STOPPED]:
        return INTERRUPTED
    return 1 if tally[Status.FAILED] + tally[Status.LEFT_OUT] else 0


def check_ahead(
    found: Iterable[Job | Outcome], files: FilesInUse, keep_going: bool = True, ahead: int = CHECKED_AHEAD
) -> Iterator[Job | Outcome]:
    """The jobs, `ahead` of them checked before the first is handed out; for one that cannot run, the outcome that it failed.

    Args:
        found: the jobs; for one that cannot be made, the outcome that it failed.
        files: what all of them read is in it.
        keep_going: leave out jobs that cannot run.
        ahead: how many are checked before the first is handed out.

    Raises:
        UserError: without `keep_going`, that jobs cannot run, after all of these have been listed that are known by then.
    """
    window: collections.deque[Job | Outcome] = collections.deque()
    bad = 0

    def stop_for_bad() -> None:
        if bad and not keep_going:
            raise UserError(f"{bad} jobs cannot run; fix them, or skip them with --keep_going")

    for job in found:
        if isinstance(job, Job):
            try:
                check_job(job.options)
                files.add_outputs(job.options)  # last, as a job that cannot run must not keep its files from another
            except UserError as error:
                files.remove_inputs(job.options)
                job = Outcome(job.name, Status.LEFT_OUT, job.options, error=str(error))
            except Exception as failure:  # whatever one job's files do, the others go on
                files.remove_inputs(job.options)
                job = Outcome(job.name, Status.LEFT_OUT, job.options, error=_in_one_line(failure))
        if isinstance(job, Outcome):
            logger.error("%s: %s", job.name, job.error)
            bad += 1
        window.append(job)
        if len(window) > ahead:
            stop_for_bad()
            yield window.popleft()
    stop_for_bad()
    yield from window


class Worker:
    """Runs jobs one after another in one process and keeps what they share: TensorFlow and the pretrained network."""

    def __init__(self):
        self._networks = Networks()

    def run(self, job: Job, tell: Tell) -> Outcome:
        """Runs a job if it is not done already. A failure that is not the user's is tried once more."""
        options, error, log = job.options, "", log_path(job.options)
        with warnings_caught() as warnings:
            for _ in range(2):
                warnings.clear()
                try:
                    if not options.dry_run and (record := finished(options)):
                        return Outcome(job.name, Status.UNCHANGED, options, record, warnings=tuple(record.warnings))
                    for _, path in (*results(options), *by_products(options)):
                        remove_partials(path.replace(REGION, "*"))
                    make_folders(options)
                    outcome = run_job(job, tell, self._networks)
                    if outcome.record:
                        write_record(dataclasses.replace(outcome.record, warnings=list(warnings)), options)
                    return dataclasses.replace(outcome, warnings=tuple(warnings))
                except UserError as mistake:
                    error = str(mistake)
                    break
                except Exception as failure:
                    check_stop()
                    error = f"{_in_one_line(failure)} (more in {log})"
                    with contextlib.suppress(OSError):  # a full disk may be why it failed
                        log.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
                finally:
                    gc.collect()  # compiled functions and what they hold are cycles, large ones
            return Outcome(job.name, Status.FAILED, options, error=error, warnings=tuple(warnings))


def _in_one_line(failure: Exception) -> str:
    return one_line(" ".join(traceback.format_exception_only(failure)[-1].split()))


def _run_here(jobs: Iterable[Job | Outcome], options: Options) -> Generator[Outcome]:
    worker = Worker()
    with ProgressLine(options.quiet, position=1, leave=False, bar_format="{desc}") as line:
        for job in jobs:
            yield job if isinstance(job, Outcome) else worker.run(job, line)


def _announce(outcome: Outcome, said: collections.deque[str]) -> None:
    """Reports an outcome; not its warnings that are among those `said`, such as each worker's that there are no weights."""
    for warning in outcome.warnings if outcome.status is not Status.UNCHANGED else ():
        if warning not in said:
            logger.warning("%s: %s", outcome.name, warning)
            said.append(warning)
    if outcome.status is Status.FAILED:
        logger.error("%s: %s", outcome.name, outcome.error)
    if outcome.status is Status.DONE and outcome.record:
        logger.info("%s: done in %.1f s", outcome.name, outcome.record.seconds)
