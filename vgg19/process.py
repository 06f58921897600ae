"""Which process uses TensorFlow; nothing here imports it."""

from __future__ import annotations

import os
import sys

from dpst.errors import UserError

_user: int | None = None


def check_process() -> None:
    """Takes this process, once TensorFlow is imported, for the one that uses it.

    Raises:
        UserError: it was forked from one that has used it, whose threads it would wait for without end.
    """
    global _user
    if _user is None and "tensorflow" in sys.modules:
        _user = os.getpid()
    if _user not in (None, os.getpid()):
        wrong = f"process {os.getpid()} was forked from one that has used TensorFlow, and cannot use it"
        raise UserError(f"{wrong}; start processes with multiprocessing's 'spawn' or 'forkserver'")
