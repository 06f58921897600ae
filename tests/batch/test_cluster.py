"""Workers through Ray: none is idle, none is asked for more than it can do, and lost ones cost nothing but time."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")

from dpst.batch.cluster import run_on_ray
from dpst.errors import UserError
from dpst.jobs.job import Job, Outcome, Status
from dpst.options import Options

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


def workers(folder):
    """A class of workers that write down in a folder the jobs they begin; they die at `fatal` and, once, at the unlucky ones."""

    class Worker:
        def run(self, job, on_progress):
            name = job.name
            attempt = len(list(Path(folder).glob(f"{name}.*")))
            Path(folder, f"{name}.{attempt}.{os.getpid()}").touch()
            if name == "fatal" or (name == "unlucky" and attempt == 0):
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "terminated" and attempt == 0:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            environment = {name: os.environ.get(name) for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}
            told = {"pid": os.getpid(), "folder": os.getcwd(), **environment}
            return Outcome(name, Status.DONE, job.options, warnings=(json.dumps(told),))

    return Worker


def told(outcome):
    """What a worker of `workers` says of itself."""
    return json.loads(outcome.warnings[0])


def jobs(names, drawn):
    for name in names:
        drawn.append(name)
        yield Job(Options(output_image=name)) if name != "bad" else Outcome(name, Status.LEFT_OUT, error="is bad; mend it")


def test_every_job_ends_once_on_warm_workers_whatever_becomes_of_some(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a", "unlucky", "bad", "b", "fatal", "terminated", *(f"job{n}" for n in range(12))]
    drawn: list[str] = []
    options = Options(workers=2)
    ended = []
    for outcome in run_on_ray(jobs(names, drawn), options, workers(str(tmp_path))):
        ended.append(outcome)
        assert len(drawn) <= len(ended) + options.workers + 1  # no job is drawn before a worker is free
    assert sorted(outcome.name for outcome in ended) == sorted(names)
    by_name = {outcome.name: outcome for outcome in ended}
    assert {name for name, outcome in by_name.items() if outcome.status is not Status.DONE} == {"bad", "fatal"}
    assert re.fullmatch(r"3 workers were lost with it \(.+\); give it more memory, or check Ray's logs", by_name["fatal"].error)
    assert len(list(tmp_path.glob("fatal.*"))) == 3 and len(list(tmp_path.glob("unlucky.*"))) == 2
    assert len(list(tmp_path.glob("terminated.*"))) == 2
    done = [told(outcome) for outcome in ended if outcome.status is Status.DONE]
    assert len({worker["pid"] for worker in done}) <= 2 + 5  # the two, and one for each that was lost
    assert {worker["folder"] for worker in done} == {str(tmp_path)}
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert {(w["TF_NUM_INTRAOP_THREADS"], w["OMP_NUM_THREADS"]) for w in done} == {(threads, threads)}


def test_workers_that_cannot_start_end_the_batch(tmp_path):
    class Broken:
        def __init__(self):
            raise OSError("no library")

    with pytest.raises(UserError, match=r"^--workers 2 cannot start \(.*no library.*\); check Ray's logs$"):
        list(run_on_ray(jobs(["a"], []), Options(workers=2), Broken))


def test_a_cluster_that_is_not_there():
    with pytest.raises(UserError, match=r"^--ray_address 127\.0\.0\.1:1 cannot connect to Ray \(.*\); check it with ray status$"):
        list(run_on_ray(jobs(["a"], []), Options(ray_address="127.0.0.1:1"), workers("")))


def test_a_machine_that_dies_costs_no_job(tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        machine = cluster.add_node(num_cpus=1)
        names, ended, folder = [f"job{n}" for n in range(12)], [], str(tmp_path)

        class Slow(workers(folder)):
            def run(self, job, on_progress):
                time.sleep(0.5)
                return super().run(job, on_progress)

        for outcome in run_on_ray(jobs(names, []), Options(workers=2, ray_address=cluster.address), Slow):
            ended.append(outcome)
            if len(ended) == 4:  # both have had their first job by then
                cluster.remove_node(machine, allow_graceful=False)
        assert sorted(outcome.name for outcome in ended) == sorted(names)
        assert {outcome.status for outcome in ended} == {Status.DONE}
        assert len({told(outcome)["pid"] for outcome in ended}) == 2
    finally:
        cluster.shutdown()
