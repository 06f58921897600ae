"""TensorFlow is imported wherever it can be, and used where it can work."""

import subprocess
import sys

import pytest
from conftest import DATA, golden_photo

from photo_style import Options, stylize
from vgg19.backend import memory_errors, tf

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
