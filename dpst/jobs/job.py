"""A job and its outcome: what goes into a run, and what comes out of it."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from dpst.options import Options
from dpst.solver.stages import Stage


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


class Status(str, enum.Enum):
    """What became of a job; the values are the words that people read."""

    DONE = "done"
    UNCHANGED = "unchanged"  # since it was done before
    CHECKED = "checked"  # by --dry_run: what there is was found and shown; or by the preview of a clip, which is no result
    LEFT_OUT = "left out"  # it cannot run
    FAILED = "failed"
    STOPPED = "stopped"  # by Ctrl-C

    __str__ = str.__str__


@dataclasses.dataclass(frozen=True)
class RegionShare:
    """A region's name and the shares, 0..1, of the two photos that it fills."""

    name: str
    content: float
    style: float


@dataclasses.dataclass(frozen=True)
class Record:
    """Everything about a finished run; `records` writes it to a file.

    Attributes:
        version: of the program.
        command: the command line.
        seed: of everything random.
        options: of the job, by name.
        inputs: SHA-256 of each input, by option.
        outputs: SHA-256 of each result.
        seconds: from reading the inputs to writing the results.
        features: where the features came from.
        regions: their shares of the photos.
        scores: see `scores`.
        stages: what each did.
        luts: SHA-256 of each LUT that was written, by path.
        lut_fits: mean and 95th percentile of CIEDE2000 between LUT and result, by path.
        warnings: one line each.
    """

    version: str
    command: str
    seed: int
    options: dict[str, object]
    inputs: dict[str, str]
    outputs: list[str]
    seconds: float
    features: str = ""
    regions: list[RegionShare] = dataclasses.field(default_factory=list)
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    stages: list[Stage] = dataclasses.field(default_factory=list)
    luts: dict[str, str] = dataclasses.field(default_factory=dict)
    lut_fits: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        name: what messages call it.
        status: see `Status`.
        options: None where not even they could be read.
        record: of a job that is done or unchanged.
        error: why it failed, one line.
        warnings: one line each.
    """

    name: str
    status: Status
    options: Options | None = None
    record: Record | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()
