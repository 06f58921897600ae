"""The long run: `make faults KILLS=10`."""

from __future__ import annotations

import argparse
import collections
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from faults.kills import JOBS, Batch
from faults.phases import PHASES


def main() -> int:
    """Returns 1 if a killed batch could not be resumed to the same bytes."""
    parser = argparse.ArgumentParser(prog="make faults", description="Kills batches at seeded moments, and starts them again.")
    parser.add_argument("--kills", type=int, default=10, help="of each phase, by each signal")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES), metavar="PHASE")
    options = parser.parse_args()
    failed = 0
    print(f"{'phase':<13} {'signal':<8} {'resumed':>7}  results left, of {JOBS}")
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Batch(Path(folder, "batch"))) as batch:
        for phase in options.phases:
            for number in (signal.SIGKILL, signal.SIGTERM):
                left = [batch.killed(phase, number, seed) for seed in range(options.kills)]
                bad = {seed: each for seed, each in enumerate(left) if not each.is_resumed}
                failed += len(bad)
                counts = sorted(collections.Counter((each.results, each.code) for each in left).items())
                told = ", ".join(f"{results} (exit {code}) {times} times" for (results, code), times in counts)
                print(f"{phase:<13} {number.name:<8} {len(left) - len(bad):3}/{len(left):<3}  {told}", flush=True)
                for seed, each in bad.items():
                    print(f"    seed {seed}: {each}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
