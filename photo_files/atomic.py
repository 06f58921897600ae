"""Files that appear whole or not at all, whenever the process is killed.

A file is written under a name of its own, and locked while it is: whoever can lock it knows that its writer has died. Numbers of
processes would not tell, as containers and machines that share a folder have the same ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

_PARTIAL = r"\.[0-9a-f]{8}\.part"


@contextlib.contextmanager
def partial_file(path: str | os.PathLike) -> Iterator[Path]:
    """A new empty file beside another one, whose name it can take in a single step; removed at the end if it has not.

    Raises:
        OSError: no file can be made there.
    """
    partial, lock = _new_partial(Path(path))
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
        os.close(lock)


def _new_partial(path: Path) -> tuple[Path, int]:
    """A new file and the descriptor that locks it."""
    while True:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            lock = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        with contextlib.suppress(OSError):  # a file system that knows no locks, so that nobody removes the file either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return partial, lock
        os.close(lock)  # it was taken for abandoned and removed before it was locked


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write to; the file takes its name if the block ends without an error, and is removed otherwise."""
    with partial_file(path) as partial:
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
    """Removes what killed processes left while they wrote a file; a `*` in the name matches anything.

    What cannot be removed does no harm and stays: it is still being written, somebody else's, or no such file at all.
    """
    name = re.compile(r"\." + ".*".join(map(re.escape, Path(path).name.split("*"))) + _PARTIAL, re.DOTALL)
    with contextlib.suppress(OSError), os.scandir(Path(path).parent) as files:
        for partial in [file.path for file in files if name.fullmatch(file.name) and file.is_file(follow_symlinks=False)]:
            _remove_if_abandoned(partial)


def _remove_if_abandoned(partial: str) -> None:
    with contextlib.suppress(OSError):
        file = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(partial)
        finally:
            os.close(file)
