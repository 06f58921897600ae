"""Requests of the page, in JSON, as calls of its session, and the messages that answer them."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from typing import Any

from dpst.errors import UserError, one_line
from dpst.options import MAX_REALISM, MAX_STRENGTH
from dpst.page.session import PageClosed, Session
from dpst.page.views import Download, RegionSource

logger = logging.getLogger(__name__)

# Requests that take time; one of all pages' runs at a time.
TASKS = ("regions", "draft", "make", "write")
# Most regions that can be looked for.
MAX_REGIONS = 9


class BadRequest(Exception):
    """A value is missing from a request, of the wrong kind or out of range."""


def _regions(request: bytes) -> tuple[RegionSource, int]:
    """Where the regions come from, and how many."""
    return _values(request, regions=RegionSource, count=_number(int, MAX_REGIONS))


def realism_and_strength(request: bytes) -> tuple[float, float]:
    """The two numbers of a request.

    Raises:
        BadRequest: one is missing, no number or out of range.
    """
    return _values(request, realism=_number(float, MAX_REALISM), strength=_number(float, MAX_STRENGTH))


def _number(kind: type[int] | type[float], most: float) -> Callable[[Any], Any]:
    """A function that returns a number from 0 to `most` as its kind, and raises ValueError for anything else."""

    def checked(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, kind)) or not 0 <= value <= most:  # NaN is none of them either
            raise ValueError(f"{value!r} is not a number from 0 to {most:g}")
        return kind(value)

    return checked


def _values(request: bytes, **kinds: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The values of these names, each as its kind."""
    try:
        values = json.loads(request)
        return tuple(kind(values[name]) for name, kind in kinds.items())
    except KeyError as error:
        raise BadRequest(f"{error} is missing") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest(one_line(str(error))) from error


def task(session: Session, what: str, request: bytes, send: Callable[[dict], None]) -> Callable[[], dict]:
    """One of `TASKS` as a function that does it and returns the message that answers it; `send` gets those that come before.

    Raises:
        BadRequest: a value is missing, of the wrong kind or out of range.
    """
    if what == "write":
        (file,), numbers = _values(request, what=Download), realism_and_strength(request)
        return lambda: {"kind": what, "file": session.write(file, *numbers)}
    regions = _regions(request)
    if what == "regions":
        return lambda: {"kind": what} | dataclasses.asdict(session.show_regions(*regions))
    realism, strength = realism_and_strength(request)

    def on_view() -> None:
        send({"kind": "view"})

    if what == "draft":
        return lambda: {"kind": what, "warnings": session.draft(*regions, realism, on_view)}

    def make() -> dict:
        warnings = session.make(*regions, realism, strength, on_view)
        return {"kind": "stopped"} if warnings is None else {"kind": what, "warnings": warnings}

    return make


def run_task(task: Callable[[], dict], send: Callable[[dict], None]) -> None:
    """Runs what `task` returned and sends the page how it ended; raises nothing."""
    try:
        send(task())
    except PageClosed:
        pass
    except KeyboardInterrupt:
        send({"kind": "stopped"})
    except UserError as error:
        send({"kind": "error", "error": str(error)})
    except Exception as failure:  # a bug must not end the other pages; the console has the traceback
        logger.exception("the page's task failed")
        send({"kind": "error", "error": f"the program failed ({failure!r}); the console says more"})
