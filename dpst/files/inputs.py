"""Opening the files that a user names, and keeping what was made from them while they stay as they are."""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
from collections.abc import Callable, Iterable
from typing import BinaryIO, TypeVar

_Made = TypeVar("_Made")


def open_input(path: str | os.PathLike) -> BinaryIO:
    """Opens a file to be read in bytes, if it is one: a pipe or a device could be waited for without end.

    Raises:
        OSError: it is not there, may not be read, or is no regular file.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer is opened at once
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, os.strerror(code) if stat.S_ISDIR(mode) else "It is no regular file", os.fspath(path))
    return os.fdopen(file, "rb")


def in_counting_order(names: Iterable[str]) -> list[str]:
    """Names of files in order, in2 before in10."""
    # Every second part is of digits; characters such as ² are none that int() takes.
    return sorted(names, key=lambda name: [int(part) if n % 2 else part for n, part in enumerate(re.split(r"(\d+)", name))])


def kept_while_unchanged(most: int) -> Callable[[Callable[[str], _Made]], Callable[[str], _Made]]:
    """Decorates a function of a file's path: what it returned for the last `most` files is kept until they change.

    The function also raises OSError where there is no such file.
    """

    def decorate(function: Callable[[str], _Made]) -> Callable[[str], _Made]:
        kept = functools.lru_cache(most)(lambda path, *state: function(path))

        @functools.wraps(function)
        def call(path: str) -> _Made:
            state = os.stat(path)
            return kept(path, state.st_size, state.st_mtime_ns, state.st_ino)

        return call

    return decorate
