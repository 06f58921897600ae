"""Starting TensorFlow: quietly, on the device that was asked for."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from types import ModuleType

from photo_options import UserError
from photo_solver.memory import MIB, gpu_memory


def load_tensorflow(device: str, gpu_share: float = 0.0) -> None:
    """Imports TensorFlow without its chatter; it sees no GPU for `cpu`, and else takes a GPU's memory as it needs it.

    Args:
        device: see `Options.device`.
        gpu_share: between 0 and 1, the share of a GPU's memory that is taken at once and never exceeded.

    Raises:
        UserError: `gpu`, and there is none.
    """
    # Its C++ parts write notes on start-up to the standard error, whatever the log level; a failing import still raises.
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        tf = _tensorflow()
        tf.config.list_physical_devices()
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError("--device gpu finds no GPU that TensorFlow can use; install tensorflow[and-cuda] or use --device cpu")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return
    for gpu in gpus:
        if 0 < gpu_share < 1:
            memory = tf.config.LogicalDeviceConfiguration(int(gpu_share * gpu_memory()[1] / MIB))
            tf.config.set_logical_device_configuration(gpu, [memory])
        else:
            tf.config.experimental.set_memory_growth(gpu, True)


def _tensorflow() -> ModuleType:
    """Imports TensorFlow. Its many objects stay to the end, and looking for garbage among them would take most of a second."""
    if "tensorflow" not in sys.modules:
        gc.disable()
        try:
            import tensorflow  # noqa: F401
        finally:
            gc.enable()
        gc.freeze()
        atexit.register(gc.freeze)
    return sys.modules["tensorflow"]
