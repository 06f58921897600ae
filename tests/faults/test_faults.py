"""Batches killed by either signal where it matters most; `make faults` does it ten times in every phase."""

import contextlib
import signal

import pytest

from faults.kills import Batch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    with contextlib.ExitStack() as at_end:
        replace = at_end.enter_context(pytest.MonkeyPatch.context()).setattr
        yield at_end.enter_context(contextlib.closing(Batch(tmp_path_factory.mktemp("kills"), replace)))


# With seed 0 the signal comes as the phase begins.
@pytest.mark.parametrize(
    ("phase", "number", "seed"),
    [
        ("check", signal.SIGKILL, 0),
        ("solve", signal.SIGTERM, 1),
        ("name result", signal.SIGKILL, 0),
        ("name result", signal.SIGTERM, 0),
        ("write record", signal.SIGKILL, 0),
    ],
)
def test_a_killed_batch_is_resumed_to_the_same_bytes(batch, phase, number, seed):
    left = batch.killed(phase, number, seed)
    assert left.is_resumed, left
