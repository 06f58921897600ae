"""Files that appear whole or not at all, and folders that go, whenever the process is killed.

A file is written under a name of its own, and locked while it is: whoever can lock it knows that its writer has died. Numbers of
processes would not tell, as containers and machines that share a folder have the same ones. So are folders while they are used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError as error:
    raise ImportError("this system has no file locks; use Linux, macOS, or Windows' WSL") from error

# What file systems say that have no files without a name; there are none at all on macOS.
_NO_NAMELESS_FILES = (errno.EISDIR, errno.EOPNOTSUPP)
_PARTIAL = r"\.[0-9a-f]{8}\.part"


@contextlib.contextmanager
def partial_file(path: str | os.PathLike) -> Iterator[Path]:
    """A new empty file beside another one, whose name it can take in a single step; removed at the end if it has not.

    Raises:
        OSError: no file can be made there.
    """
    while True:
        partial, lock = _free_name(Path(path)), None
        try:  # before the file is made, as Ctrl-C may come at any moment
            lock = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
            with contextlib.suppress(OSError):  # a file system that knows no locks, so that nobody removes the file either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink:  # else it was taken for abandoned and removed before it was locked
                yield partial
                return
        finally:
            partial.unlink(missing_ok=True)
            if lock is not None:
                os.close(lock)


def _free_name(path: Path) -> Path:
    """A random name for a partial file, which no file has; 32 bits, so that two processes do not choose the same at once."""
    while os.path.lexists(partial := path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")):
        pass
    return partial


def check_partial_file(path: str | os.PathLike) -> None:
    """See whether `partial_file` could make its file, without leaving one if the process is killed meanwhile.

    Raises:
        OSError: no file can be made there.
    """
    with contextlib.suppress(FileNotFoundError):
        os.lstat(_free_name(Path(path)))  # the name may be too long
    try:
        os.close(os.open(Path(path).parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666))  # a file without a name
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_NAMELESS_FILES:
            raise
        with partial_file(path):
            pass


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


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A new folder among the temporary files, removed at the end; those that this user's killed processes left are removed first.

    Args:
        prefix: how the names of such folders begin.

    Raises:
        OSError: no folder can be made.
    """
    with os.scandir(tempfile.gettempdir()) as files:
        left = [file.path for file in files if file.name.startswith(prefix) and file.is_dir(follow_symlinks=False)]
    for path in left:
        _remove_folder_if_abandoned(path)
    while True:
        folder = tempfile.mkdtemp(prefix=prefix)
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a file system that knows no locks, so that nobody removes the folder either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            break
        os.close(lock)  # it was taken for abandoned and removed before it was locked
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)
        os.close(lock)


def _remove_folder_if_abandoned(path: str) -> None:
    with contextlib.suppress(OSError):  # somebody else's, or in use
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(folder).st_uid == os.getuid():
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
        finally:
            os.close(folder)
