"""TensorFlow is imported wherever it can be, and used where it can work."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse
from conftest import DATA, golden_photo

from photo_style import Options, stylize
from vgg19.backend import added_rows, memory_errors, sparse_product, stoppable, tf

ROOT = DATA.parents[1]


def runs(code, *shell):
    subprocess.run([*shell, sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_a_process_that_is_forked_after_a_solve_is_refused_in_a_line():
    code = f"""
import os, sys
import numpy as np
from photo_style import Options, UserError, stylize
photo = np.random.default_rng(0).random((24, 32, 3)).astype(np.float32)
options = Options(style_option=2, max_iter=1, vgg19_weights={str(DATA / "thin_vgg19.npy")!r})
stylize(photo, photo, options=options)
child = os.fork()
if child:
    stylize(photo, photo, options=options)
    sys.exit(os.waitpid(child, 0)[1] != 17 << 8)
try:
    stylize(photo, photo, options=options)
except UserError as error:
    os._exit(17 if "was forked from one that has used TensorFlow" in str(error) else 1)
"""
    runs(code)


def test_a_process_that_is_forked_before_may_solve():
    code = f"""
import os, sys
import numpy as np
from photo_style import Options, stylize
photo = np.random.default_rng(0).random((24, 32, 3)).astype(np.float32)
child = os.fork()
stylize(photo, photo, options=Options(style_option=2, max_iter=1, vgg19_weights={str(DATA / "thin_vgg19.npy")!r}))
if child:
    sys.exit(os.waitpid(child, 0)[1])
os._exit(0)
"""
    runs(code)


def test_what_does_not_fit_into_memory_is_a_memory_error(monkeypatch):
    full = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9] on GPU:0 [[node]] [Op:Conv2D]")
    with pytest.raises(MemoryError, match=r"^OOM when allocating tensor with shape\[9\] on GPU:0$"), memory_errors():
        raise full

    def fail(*_, **__):
        raise full

    monkeypatch.setattr("dpst.solver.maps.solve_maps", fail)
    photo = golden_photo("content.png")
    options = Options(style_option=2, vgg19_weights=str(DATA / "thin_vgg19.npy"))
    with pytest.raises(MemoryError):
        stylize(photo, photo, options=options)


@pytest.mark.parametrize("gpus", [[], ["GPU"]])
def test_sparse_products_are_those_of_scipy_on_any_device(monkeypatch, gpus):
    """On a GPU another way is taken, as TensorFlow's own operation refuses to be deterministic there."""
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    random = np.random.default_rng(0)
    matrix = scipy.sparse.random(7, 5, 0.4, random_state=0, format="coo")
    tensor = tf.sparse.reorder(tf.SparseTensor(np.stack([matrix.row, matrix.col], 1).astype(np.int64), matrix.data, matrix.shape))
    wide, tall = random.random((5, 3)), random.random((7, 3))
    np.testing.assert_allclose(sparse_product(tensor, wide), matrix @ wide)
    np.testing.assert_allclose(sparse_product(tensor, tall, transpose=True), matrix.T @ tall)


@pytest.mark.parametrize("gpus", [[], ["GPU"]])
def test_rows_are_added_where_they_belong_on_any_device(monkeypatch, gpus):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    added = added_rows(tf.ones((4, 2)), tf.constant([2, 0, 2]), tf.constant([[1.0, 2], [3, 4], [5, 6]]))
    np.testing.assert_array_equal(added, [[4, 5], [1, 1], [7, 9], [1, 1]])


def test_a_computation_does_not_hold_a_stop_up():
    begun, released, ended = threading.Event(), threading.Event(), threading.Event()

    def compute():
        begun.set()
        released.wait(30)
        ended.set()

    def stop():
        begun.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(KeyboardInterrupt):
        stoppable(compute)
    assert not ended.is_set()
    released.set()
    stopping.join()
    assert stoppable(lambda number: number + 1, 2) == 3
