"""A job and its outcome: what goes into a run, and what comes out of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from photo_options import Options


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to make.

    Attributes:
        options: everything about it.
        command: the command line, for the result's metadata.
    """

    options: Options
    command: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return Path(self.options.output_image).name


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of a job.

    Attributes:
        name: what messages call it.
        status: `done`, `unchanged` since it was done before, `left out` because it cannot run, `failed`, or `stopped` by Ctrl-C.
        options: None where not even they could be read.
        record: see `records`; empty unless done.
        error: why it failed, one line.
        warnings: one line each.
    """

    name: str
    status: str
    options: Options | None = None
    record: dict = dataclasses.field(default_factory=dict)
    error: str = ""
    warnings: tuple[str, ...] = ()
