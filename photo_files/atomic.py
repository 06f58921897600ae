"""Files that appear whole or not at all, whenever the process is killed."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path


def partial_path(path: str | os.PathLike) -> Path:
    """Where a file is written before it takes its name: in the same folder, so that taking it is a single step."""
    return Path(path).with_name(f".{Path(path).name}.{os.getpid()}")


@contextlib.contextmanager
def temporary(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write to, beside `path`; the file is removed when the block ends."""
    partial = partial_path(path)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write to; the file takes its name if the block ends without an error, and is removed otherwise."""
    with temporary(path) as partial:
        yield partial
        _take_name(partial, path)


def _take_name(partial: Path, path: str | os.PathLike) -> None:
    """The single step in which a file appears."""
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all; names that are no UTF-8 are written with escapes.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def remove_partials(path: str | os.PathLike) -> None:
    """Removes what a killed process left while it wrote a file; a `*` in the name matches anything.

    The files of other processes that still run on this machine stay: they may belong to another run of the same jobs.
    """
    for partial in Path(path).parent.glob(f".{glob.escape(Path(path).name).replace('[*]', '*')}.[0-9]*"):
        number = partial.suffix[1:]
        if not (number.isdecimal() and _is_running(int(number))):
            partial.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    """Whether another process of this number runs; this one's own writing has ended."""
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return pid != os.getpid()
