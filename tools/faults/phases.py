"""The phases of a job, each named by the function that does it."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

# In order: where the function's name is looked up when it is called, and the name.
PHASES = {
    "check": ("dpst.batch.batch", "check_job"),
    "hash inputs": ("dpst.jobs.picture", "input_hashes"),
    "read photos": ("dpst.jobs.picture", "read_photo"),
    "find regions": ("dpst.jobs.picture", "found_regions"),
    "load network": ("vgg19.networks.Networks", "channels"),
    "solve": ("photo_style", "stylize"),
    "write result": ("dpst.jobs.picture", "write_results"),
    "name result": ("dpst.files.atomic", "_take_name"),
    "score": ("dpst.jobs.picture", "scores"),
    "write record": ("dpst.batch.batch", "write_record"),
    "write report": ("dpst.batch.report.Report", "write"),
}


def wrap(phase: str, wrapper: Callable[[Callable[[], Any]], Any], replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """From now on each call of a phase's function goes to `wrapper`, as a function without arguments."""
    place, name = PHASES[phase]
    owner = _owner(place)
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*arguments, **named):
        return wrapper(functools.partial(function, *arguments, **named))

    replace(owner, name, wrapped)


def _owner(place: str) -> Any:
    """The module, or what is in it, of a dotted path."""
    module, _, attribute = place.rpartition(".")
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        return getattr(_owner(module), attribute)
