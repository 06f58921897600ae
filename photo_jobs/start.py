"""Starting TensorFlow on the device that was asked for."""

from __future__ import annotations

import resource

from photo_jobs.stopping import ctrl_c_waits
from photo_options import UserError
from photo_solver.memory import MIB, gpu_memory

# Bytes of address space for TensorFlow, its threads and a small photo; 2.3 GiB did not suffice on two cores, 2.6 did.
_ADDRESS_SPACE = 3 << 30


def load_tensorflow(device: str, gpu_share: float = 0.0) -> None:
    """Imports TensorFlow and limits it to the CPU for `cpu`; otherwise it takes a GPU's memory as it needs it.

    Args:
        device: see `Options.device`.
        gpu_share: between 0 and 1, the share of a GPU's memory that is taken at once and never exceeded.

    Raises:
        UserError: `gpu`, and there is none; or TensorFlow is damaged, or there is no memory for it.
    """
    # With too little, the system's loader may end the program in the middle of the import, without a word.
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _ADDRESS_SPACE:
        allowed = f"the address space of {limit / 2**30:.1f} GiB is too small for TensorFlow"
        raise UserError(f"{allowed}; allow {_ADDRESS_SPACE >> 30} GiB or more with ulimit -v")
    try:
        with ctrl_c_waits():
            from vgg19.backend import tf
    except (ImportError, MemoryError, OSError) as error:
        said = str(error).strip().splitlines()
        wrong = f"TensorFlow cannot be loaded ({said[0] if said else 'no memory'})"
        raise UserError(f"{wrong}; install it anew, or allow the program more memory") from error

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
