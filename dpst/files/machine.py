"""What this process may use of the machine. Where the system does not say, nothing is raised: it is unknown."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from dpst.errors import UserError

# Who is inside `linear_algebra_on_one_thread`, and what ends the limit.
_inside, _limit, _lock = 0, contextlib.ExitStack(), threading.Lock()


def cores(root: str = "/") -> int:
    """Processors that this process may use at a time.

    These are the ones that it is bound to, and no more than its control groups allow, and OMP_NUM_THREADS, which the workers of a
    batch have as their share.

    Args:
        root: where `proc` and `sys` are.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = [float(bound)]
    for folder in control_groups("cpu", root):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            quota, period = (str(number_in(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
        if quota.isdecimal() and period.isdecimal() and int(period):
            allowed.append(math.ceil(int(quota) / int(period)))
    if (share := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        allowed.append(int(share))
    return max(1, int(min(allowed)))


def control_groups(controller: str, root: str = "/") -> Iterator[Path]:
    """The folders of this process' control groups, version 1 or 2, for a controller such as `memory`, and of those above them."""
    try:
        lines = Path(root, "proc/self/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and (not controllers or controller in controllers.split(",")):
            # In a container the path may be the host's; its own limit is then at the top.
            group = Path(path.lstrip("/"))
            for each in (group, *group.parents):
                yield Path(root, "sys/fs/cgroup", controllers and controller, each)


def number_in(path: Path) -> int | None:
    """The whole number in a small file; None if there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def linear_algebra_on_one_thread() -> Iterator[None]:
    """BLAS does not spread its work, in the whole process, while anybody is inside; then its limits are what they were.

    Many small products and factorisations take no less time on more threads, which wait for each other by spinning: on a busy
    machine they would cost several times the processor time. The command line says the same by OPENBLAS_NUM_THREADS, but in a
    library NumPy has been imported before.
    """
    from threadpoolctl import threadpool_limits

    global _inside
    with _lock:
        if not _inside:
            _limit.enter_context(threadpool_limits(1, user_api="blas"))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.close()


def check_address_space(least: int, user: str) -> None:
    """Sees that this process may have as many bytes of address space as something needs.

    With fewer, the system's loader may end the program in the middle of an import, and OpenBLAS waits for memory without end.

    Raises:
        UserError: it may not.
    """
    import resource  # not on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < least:
        allowed = f"the address space of {limit / 2**30:.1f} GiB is too small for {user}"
        raise UserError(f"{allowed}; allow {least / 2**30:g} GiB or more with ulimit -v")
