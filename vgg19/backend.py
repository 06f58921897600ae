"""TensorFlow, imported in one place: `from vgg19.backend import tf`. It is quiet, and half as slow to import and to leave."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
from collections.abc import Iterator

__all__ = ["tf"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discards what TensorFlow's C++ parts write to standard error on start-up; a failing import still raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it holds after start-up only
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


# The objects that the import makes live until the end; searching them for garbage would take most of a second.
gc.disable()
try:
    with _quiet():
        import tensorflow as tf

        tf.config.list_physical_devices()
finally:
    gc.enable()
gc.freeze()
atexit.register(gc.freeze)
