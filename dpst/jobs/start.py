"""Starting TensorFlow on the requested device: quiet, and half as slow to import and to leave."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator

from dpst.errors import UserError
from dpst.files.machine import check_address_space
from dpst.jobs.console import Lasting, writes_to
from dpst.jobs.stopping import interrupts_deferred
from dpst.solver.memory import MIB, gpu_memory

# Bytes of address space for TensorFlow, its threads and a small photo; 2.3 GiB did not suffice on two cores, 2.6 did.
_ADDRESS_SPACE = 3 << 30
_OWN_PROGRAM = "/proc/self/exe"


def load_tensorflow(device: str, gpu_share: float = 0.0) -> None:
    """Imports TensorFlow and limits it to the CPU for `cpu`; otherwise it takes a GPU's memory as it needs it.

    Args:
        device: see `Options.device`.
        gpu_share: between 0 and 1, the share of a GPU's memory that is taken at once and never exceeded.

    Raises:
        UserError: `gpu`, and there is none; or TensorFlow is damaged, or there is no memory or no /proc for it.
    """
    check_address_space(_ADDRESS_SPACE, "TensorFlow")
    if sys.platform == "linux" and not os.path.lexists(_OWN_PROGRAM):  # TensorFlow would abort the program at its first operation
        raise UserError(f"{_OWN_PROGRAM} does not exist, which TensorFlow needs; mount /proc")
    try:
        with interrupts_deferred():
            _import_quickly()
            from vgg19.backend import tf
    except (ImportError, MemoryError, OSError) as error:
        said = str(error).strip().splitlines()
        wrong = f"TensorFlow cannot be loaded ({said[0] if said else 'no memory'})"
        raise UserError(f"{wrong}; reinstall it, or allow the program more memory") from error

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError("--device gpu finds no GPU that TensorFlow can use; install tensorflow[and-cuda] or use --device cpu")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return
    if gpus:  # the same command gives the same picture there too
        tf.config.experimental.enable_op_determinism()
    memory = gpu_memory() if 0 < gpu_share < 1 else None
    for gpu in gpus:
        if memory:
            share = tf.config.LogicalDeviceConfiguration(int(gpu_share * memory[1] / MIB))
            tf.config.set_logical_device_configuration(gpu, [share])
        else:
            tf.config.experimental.set_memory_growth(gpu, True)


def _import_quickly() -> None:
    """Imports TensorFlow, if it is not yet imported.

    The objects that the import makes live until the end; searching them for garbage would take most of a second. Keras, which
    only Adam needs, is left to its first use by the switch for the older one, which is seldom installed.
    """
    if "tensorflow" in sys.modules:
        return
    gc.disable()
    try:
        with _quiet(), _some_temporary_folder(), _without_keras():
            import tensorflow as tf

            tf.config.list_physical_devices()
    finally:
        gc.enable()
    gc.freeze()
    atexit.register(gc.freeze)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discards what TensorFlow's C++ parts write to standard error on start-up; a failing import still raises.

    Messages of other threads, which go through `sys.stderr`, are written all the same.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it holds after start-up only
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # GPUs have the numbers that nvidia-smi gives them
    if "TF_XLA_FLAGS" in os.environ:  # TensorFlow ends the program if these are wrong; its message must be seen
        yield
        return
    try:
        standard_error = os.dup(2)
    except OSError:  # it is closed: nothing can be written there
        yield
        return
    before = sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with open(standard_error, "w", buffering=1, encoding="utf-8", errors="backslashreplace") as copy:
        meanwhile = Lasting(copy)
        if writes_to(before, 2):
            sys.stderr = meanwhile  # type: ignore[assignment]
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            if sys.stderr is meanwhile:  # a run that failed has ended, and another one may have begun
                sys.stderr = before
            os.dup2(standard_error, 2)
            os.close(nowhere)


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Has TensorFlow's import look for `tf_keras` instead of importing Keras."""
    name = "TF_USE_LEGACY_KERAS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


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
