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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize(("phase", "seed"), [("solve", 1), ("name result", 0), ("write record", 0)])  # seed 0: as it begins
def test_a_killed_batch_is_resumed_to_the_same_bytes(batch, phase, number, seed):
    left = batch.killed(phase, number, seed)
    assert left.code == (-number if number is signal.SIGKILL else 130), left
    assert left.is_resumed, left
