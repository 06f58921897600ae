"""What can be lost on a cluster, with a stand-in for Ray: each of its errors costs an attempt, and no more."""

import types

import pytest

from dpst.batch import cluster
from dpst.errors import UserError
from dpst.jobs.job import Job, Outcome, Status
from dpst.options import Options


def test_workers_find_the_tools_modules():
    assert all((cluster.ROOT / name).is_file() for name in ("photo_style.py", "dpst/batch/cluster.py", "vgg19/network.py"))


class RayError(Exception):
    """The base of all of Ray's own."""


def errors():
    """By the names and the bases that they have in Ray."""
    names = ["RayActorError", "RayTaskError", "OutOfMemoryError", "ObjectLostError", "WorkerCrashedError", "RaySystemError"]
    names += ["RuntimeEnvSetupError", "ActorUnschedulableError", "NodeDiedError", "OutOfDiskError", "ObjectStoreFullError"]
    return {name: type(name, (RayError,), {}) for name in names}


class Ray:
    """Runs everything in `get`, and raises an error at one job for a number of times; it counts the workers that live."""

    def __init__(self, error, times, at="b.png", capacity=1):
        self.exceptions = types.SimpleNamespace(RayError=RayError)
        self.error, self.times, self.at, self.capacity = error, times, at, capacity
        self.living, self.pending = [], {}

    def actor(ray):
        class Method:
            def __init__(self, name):
                self.name = name

            def remote(self, job=None):
                key = object()
                ray.pending[key] = job
                return key

        class Actor:
            def __init__(self):
                ray.living.append(1)
                assert len(ray.living) <= ray.capacity, "a worker waits for ever for the processors of one that was lost"
                self.ready, self.run = Method("ready"), Method("run")

            def __del__(self):
                ray.living.pop()

            @classmethod
            def remote(cls):
                return cls()

        return Actor

    def wait(self, keys, num_returns):
        return keys[:1], keys[1:]

    def get(self, key):
        job = self.pending.pop(key)
        if self.times and (job.name if job else None) == self.at:
            self.times -= 1
            raise self.error
        return Outcome(job.name, Status.DONE) if job else None


def run(ray):
    jobs = iter([Job(Options(output_image=f"{name}.png")) for name in "abc"])
    return {outcome.name: outcome for outcome in cluster._run(ray, jobs, ray.actor(), 1)}


@pytest.mark.parametrize("name", errors())
def test_whatever_is_lost_the_job_is_run_again(name, caplog):
    outcomes = run(Ray(errors()[name]("lost\nmore"), cluster.MAX_LOST - 1))
    assert {name: outcome.status for name, outcome in outcomes.items()} == dict.fromkeys(["a.png", "b.png", "c.png"], Status.DONE)
    assert caplog.messages == ["b.png: its worker was lost (lost); it will be run again"] * (cluster.MAX_LOST - 1)


@pytest.mark.parametrize("message", ["lost", ""])
def test_a_job_that_is_lost_again_and_again_fails_alone(message):
    outcomes = run(Ray(errors()["ObjectLostError"](message), 100))
    assert [outcomes[name].status for name in ("a.png", "b.png", "c.png")] == [Status.DONE, Status.FAILED, Status.DONE]
    wrong = f"3 workers were lost with it ({message or 'ObjectLostError'}); give it more memory, or check Ray's logs"
    assert outcomes["b.png"].error == wrong


def test_workers_that_never_start_end_the_batch():
    with pytest.raises(UserError, match=r"^--workers 1 cannot start \(no library\); check Ray's logs$"):
        run(Ray(errors()["RuntimeEnvSetupError"]("summary\nno library"), 100, at=None))
