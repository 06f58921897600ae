"""TensorFlow, imported in one place: `from vgg19.backend import tf`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from dpst.errors import UserError

__all__ = ["memory_errors", "on_device", "tf"]


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turns what TensorFlow raises where memory, a GPU's too, is too small into MemoryError."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(str(error).split(" [")[0].strip()) from error


@contextlib.contextmanager
def on_device(device: str) -> Iterator[None]:
    """Has TensorFlow compute on the `cpu`, the `gpu`, or where it likes (`auto`).

    Raises:
        UserError: `gpu`, and there is none.
    """
    if device == "gpu" and not tf.config.list_logical_devices("GPU"):
        raise UserError("device gpu: there is no GPU that TensorFlow can use; install tensorflow[and-cuda] or use cpu")
    with tf.device(f"/{device.upper()}:0") if device != "auto" else contextlib.nullcontext():
        yield
