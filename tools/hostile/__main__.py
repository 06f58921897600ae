"""The long run: `make fuzz MINUTES=30`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from hostile.kinds import KINDS
from hostile.runner import FOUND, Tally, hunt


def main() -> int:
    """Returns 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Tries hostile files and command lines on every reader.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument(
        "--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="of the first cases; random by default"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--found", type=Path, default=FOUND, help="folder for the files of findings")
    options = parser.parse_args()

    tally = Tally()
    with tqdm(unit=" cases", bar_format="{n} cases, {rate_fmt}, {elapsed}{postfix}") as bar:

        def show(tally: Tally) -> None:
            bar.set_postfix_str(f"{len(tally.findings)} findings", refresh=False)
            bar.update(tally.cases - bar.n)

        try:
            hunt(tally, options.kinds, options.minutes, options.workers, options.seed, show)
        except KeyboardInterrupt:  # what there is so far is told
            pass
        finally:
            paths = tally.save(options.found, lambda kind: KINDS[kind].extension)
    print(f"seed {options.seed}\n{tally.table()}")
    if paths:
        print(f"{len(paths)} files are in {options.found}; a test tries them again")
    return 1 if paths else 0


if __name__ == "__main__":
    sys.exit(main())
