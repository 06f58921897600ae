"""Opening the files that a user names."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


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
