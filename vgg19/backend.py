"""TensorFlow, imported in one place: `from vgg19.backend import tf`."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import numpy as np
import scipy.sparse
import tensorflow as tf

from dpst.errors import UserError

__all__ = ["added_rows", "memory_errors", "on_device", "sparse_product", "sparse_tensor", "stoppable", "tf"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_device = contextvars.ContextVar("_device", default="auto")  # of `on_device`
_computing = ThreadPoolExecutor(1)


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
    before = _device.set(device)
    try:
        with tf.device(f"/{device.upper()}:0") if device != "auto" else contextlib.nullcontext():
            yield
    finally:
        _device.reset(before)


def stoppable(compute: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """The result of a computation that may take seconds, and does not hold up what a signal raises in the main thread.

    Python handles signals between two steps of the main thread only, so that another thread computes. After a signal it ends what
    it has begun, and nobody waits for that.
    """
    if threading.current_thread() is not threading.main_thread():
        return compute(*arguments, **named)
    device = _device.get()  # TensorFlow's device is set for each thread

    def there() -> _T:
        with on_device(device):
            return compute(*arguments, **named)

    return _computing.submit(there).result()


def sparse_tensor(matrix: scipy.sparse.spmatrix) -> tf.SparseTensor:
    """A sparse matrix as TensorFlow has it, float32."""
    entries = matrix.tocsr().tocoo()  # in the order of rows
    places = np.stack([entries.row, entries.col], 1).astype(np.int64)
    return tf.SparseTensor(places, entries.data.astype(np.float32), matrix.shape)


def sparse_product(matrix: tf.SparseTensor, dense: tf.Tensor, transpose: bool = False) -> tf.Tensor:
    """A sparse matrix, or its transpose, times a dense one.

    With deterministic operations TensorFlow has no such product on a GPU: there the entries' parts of the sums are added up.
    """
    if not tf.config.list_logical_devices("GPU"):
        return tf.sparse.sparse_dense_matmul(matrix, dense, adjoint_a=transpose)
    rows, columns = tf.unstack(matrix.indices, axis=1)[:: -1 if transpose else 1]
    parts = matrix.values[:, None] * tf.gather(dense, columns)
    return tf.math.unsorted_segment_sum(parts, rows, matrix.dense_shape[1 if transpose else 0])


def added_rows(rows: tf.Tensor, places: tf.Tensor, more: tf.Tensor) -> tf.Tensor:
    """Rows (n, k) with more of them, (m, k), added at their places (m,), several of which may be the same.

    With deterministic operations TensorFlow would leave a GPU for the one that does this.
    """
    if not tf.config.list_logical_devices("GPU"):
        return tf.tensor_scatter_nd_add(rows, places[:, None], more)
    return rows + tf.math.unsorted_segment_sum(more, places, tf.shape(rows)[0])
