"""Jobs on many processes and machines, through Ray: it places the workers, ships jobs and reports, and notices who is lost."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

from dpst.errors import UserError, one_line
from dpst.jobs.job import Job, Outcome, Status
from dpst.jobs.progress import log_terms
from dpst.options import Options

logger = logging.getLogger(__name__)

# The folder that holds the tool's modules, for workers that start elsewhere.
ROOT = Path(__file__).parents[2]
# A job is given up when this many workers were lost with it, the batch when this many in a row are lost before they are ready.
MAX_LOST = 3


def run_on_ray(jobs: Iterator[Job | Outcome], options: Options, worker_class: type) -> Generator[Outcome]:
    """Runs jobs on `options.workers` actors, each of them one `worker_class()` with a method `run(job, on_progress)`.

    A job is taken from `jobs` when a worker is free, and no earlier. The job of a lost worker goes to the next free one.

    Raises:
        UserError: Ray is missing or cannot be reached, or no worker can start.
    """
    asked = f"--ray_address {options.ray_address}" if options.ray_address else f"--workers {options.workers}"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report home
    try:
        import ray
    except ImportError as error:
        raise UserError(f"{asked} needs Ray; pip install -r requirements-ray.txt") from error
    try:
        _check_reachable(options.ray_address)
        ray.init(
            address=options.ray_address or "local",
            include_dashboard=None if options.ray_address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(f"{asked} cannot connect to Ray ({_reason(error)}); check it with ray status") from error
    try:
        yield from _run(ray, jobs, _actor(ray, options, worker_class), options.workers)
    finally:
        ray.shutdown()


def _actor(ray, options: Options, worker_class: type):
    """The actor class, with its share of processors and GPUs."""
    total = ray.cluster_resources()
    cpus, gpus = total.get("CPU", 1) / options.workers, 0.0
    if options.device != "cpu":
        gpus = options.gpus_per_job or total.get("GPU", 0) / options.workers
    # Shares of more than one are made whole, or they would not fit on machines.
    cpus, gpus = (int(share) if share > 1 else share for share in (cpus, gpus))
    threads = str(max(1, int(cpus)))
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "VIPS_CONCURRENCY")
    environment = dict.fromkeys(names, threads) | {
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OPENBLAS_NUM_THREADS": "1",
    }
    folder = os.getcwd()

    class Actor:
        def __init__(self):
            os.chdir(folder)  # paths may be relative to it
            self._worker = worker_class()

        def ready(self) -> None:
            """Returns when the worker has started."""

        def run(self, job: Job) -> Outcome:
            shared = dataclasses.replace(job.options, gpus_per_job=gpus)
            return self._worker.run(dataclasses.replace(job, options=shared), log_terms)

    return ray.remote(num_cpus=cpus, num_gpus=gpus, runtime_env={"env_vars": environment})(Actor)


def _run(ray, jobs: Iterator[Job | Outcome], actor, workers: int) -> Iterator[Outcome]:
    """Keeps every worker that has started busy, with one job each."""
    # What a worker will return: the worker, its job (None while it starts), and how many workers that job has lost.
    at_work: dict = {}
    idle: list = []
    again: list[tuple[Job, int]] = []
    lost_starting = 0

    def start() -> None:
        worker = actor.remote()
        at_work[worker.ready.remote()] = worker, None, 0

    for _ in range(workers):
        start()
    while True:
        while idle:
            job, losses = again.pop() if again else (next(jobs, None), 0)
            if job is None:
                break
            if isinstance(job, Outcome):
                yield job
            else:
                worker = idle.pop()
                at_work[worker.run.remote(job)] = worker, job, losses
        if idle and not any(job for _, job, _ in at_work.values()):
            return
        (ended,), _ = ray.wait(list(at_work), num_returns=1)
        worker, job, losses = at_work.pop(ended)
        try:
            outcome = ray.get(ended)
        except ray.exceptions.RayError as error:  # workers, machines, memory, disks and outcomes can be lost, each in its own way
            if job is None:
                lost_starting += 1
                if lost_starting == MAX_LOST:
                    raise UserError(f"--workers {workers} cannot start ({_reason(error, -1)}); check Ray's logs") from error
            elif losses + 1 == MAX_LOST:
                wrong = f"{MAX_LOST} workers were lost with it ({_reason(error)}); give it more memory, or check Ray's logs"
                yield Outcome(job.name, Status.FAILED, job.options, error=wrong)
            else:
                logger.warning("%s: its worker was lost (%s); it will be run again", job.name, _reason(error))
                again.append((job, losses + 1))
            del worker  # one that lives ends with its last reference, and gives its processors and memory to the next
            start()
        else:
            lost_starting = 0
            idle.append(worker)
            if job:
                yield outcome


def _reason(error: Exception, line: int = 0) -> str:
    """A line of what Ray says; the first is its summary, the last a worker's own error."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return one_line(lines[line].strip())


def _check_reachable(address: str) -> None:
    """Knocks at HOST:PORT, for Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.removeprefix("ray://"), int(port)), timeout=10).close()
