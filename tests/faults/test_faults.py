"""Batches that are killed, in each phase from the solve on, by either signal; `make faults` does it ten times in all phases."""

import signal

import pytest

from faults.kills import Batch
from faults.phases import PHASES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield Batch(tmp_path_factory.mktemp("kills"), patch.setattr)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("phase", ["solve", "name result", "write record"])
def test_a_killed_batch_is_resumed_to_the_same_bytes(batch, phase, number):
    seed = 3 * list(PHASES).index(phase)
    left = batch.killed(phase, number, seed)
    assert left.code == (-number if number is signal.SIGKILL else 130) and not left.damaged
    assert left.same and not left.partials
