"""TensorFlow, imported in one place: `from vgg19.backend import tf`. It is quiet, and half as slow to import and to leave."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import tempfile
from collections.abc import Iterator

from photo_options import UserError

__all__ = ["check_process", "memory_errors", "tf"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discards what TensorFlow's C++ parts write to standard error on start-up; a failing import still raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it holds after start-up only
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # GPUs have the numbers that nvidia-smi gives them
    try:
        standard_error = os.dup(2)
    except OSError:  # it is closed: nothing can be written there
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


@contextlib.contextmanager
def _some_temporary_folder() -> Iterator[None]:
    """Names one where all disks are full: the import asks for its name, and writes nothing there."""
    before = tempfile.tempdir
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = os.curdir
    try:
        yield
    finally:
        tempfile.tempdir = before


_user: int | None = None


def check_process() -> None:
    """Takes this process for the one that uses TensorFlow.

    Raises:
        UserError: it was forked from one that has used it, whose threads it would wait for without end.
    """
    global _user
    _user = _user or os.getpid()
    if _user != os.getpid():
        wrong = f"process {os.getpid()} was forked from one that has used TensorFlow, and cannot use it too"
        raise UserError(f"{wrong}; start processes by multiprocessing's 'spawn' or 'forkserver'")


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turns what TensorFlow raises where memory, a GPU's too, is too small into MemoryError."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(str(error).split(" [")[0].strip()) from error


# The objects that the import makes live until the end; searching them for garbage would take most of a second.
gc.disable()
try:
    with _quiet(), _some_temporary_folder():
        import tensorflow as tf

        tf.config.list_physical_devices()
finally:
    gc.enable()
gc.freeze()
atexit.register(gc.freeze)
