"""Requests of the page, in JSON, as calls of its session, and the messages that answer them."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from typing import Any

from photo_jobs.session import Kind, PageClosed, Session
from photo_options import UserError

logger = logging.getLogger("deep_photostyle")

# Requests that take time; one of all pages' runs at a time.
TASKS = ("regions", "draft", "make")


class BadRequest(Exception):
    """A value is missing from a request, or is of the wrong kind."""


def _regions(request: bytes) -> tuple[Kind, int]:
    """Where the regions come from, and how many."""
    return _values(request, regions=Kind, count=int)


def realism_and_strength(request: bytes) -> tuple[float, float]:
    """The two numbers of a request.

    Raises:
        BadRequest: one is missing, or is no number.
    """
    return _values(request, realism=float, strength=float)


def _values(request: bytes, **kinds: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The values of these names, each as its kind."""
    try:
        values = json.loads(request)
        return tuple(kind(values[name]) for name, kind in kinds.items())
    except (ValueError, TypeError, KeyError) as error:
        raise BadRequest(repr(error)) from error


def task(session: Session, what: str, request: bytes) -> Callable[[], dict]:
    """One of `TASKS` as a function that does it and returns the message that answers it.

    Raises:
        BadRequest: a value is missing, or is of the wrong kind.
    """
    regions = _regions(request)
    if what == "regions":
        return lambda: {"kind": what} | dict(zip(("picture", "warnings"), session.show_regions(*regions), strict=True))
    if what == "draft":
        return lambda: {"kind": what, "warnings": session.draft(*regions)}
    realism, strength = realism_and_strength(request)

    def make() -> dict:
        made = session.make(*regions, realism, strength)
        return {"kind": what} | dataclasses.asdict(made) if made else {"kind": "stopped"}

    return make


def run_task(task: Callable[[], dict], tell: Callable[[dict], None]) -> None:
    """Runs what `task` returned and tells the page how it ended; raises nothing."""
    try:
        tell(task())
    except PageClosed:
        pass
    except KeyboardInterrupt:
        tell({"kind": "stopped"})
    except UserError as error:
        tell({"kind": "error", "error": str(error)})
    except Exception as failure:  # a bug must not end the other pages; the console has the traceback
        logger.exception("the page's task failed")
        tell({"kind": "error", "error": f"the program failed ({failure!r}); the console says more"})
