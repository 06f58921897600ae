"""What a page asks for, in JSON, as calls of its session, and the messages about how they ended."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from typing import Any

from photo_jobs.session import Kind, PageClosed, Session
from photo_options import UserError

logger = logging.getLogger("deep_photostyle")

# What takes time, and is done one page at a time.
WORK = ("regions", "draft", "make")


class Unclear(Exception):
    """The wish lacks something, or has it in another form."""


def _regions(wish: bytes) -> tuple[Kind, int]:
    """Where the regions come from, and how many."""
    return _values(wish, regions=Kind, count=int)


def numbers(wish: bytes) -> tuple[float, float]:
    """Realism and strength."""
    return _values(wish, realism=float, strength=float)


def _values(wish: bytes, **kinds: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The values of these names, each as its kind."""
    try:
        values = json.loads(wish)
        return tuple(kind(values[name]) for name, kind in kinds.items())
    except (ValueError, TypeError, KeyError) as error:
        raise Unclear(repr(error)) from error


def work(session: Session, what: str, wish: bytes) -> Callable[[], dict]:
    """What is asked for, one of `WORK`, as a function that returns the message about it.

    Raises:
        Unclear: see there.
    """
    regions = _regions(wish)
    if what == "regions":
        return lambda: {"kind": what} | dict(zip(("picture", "warnings"), session.show_regions(*regions), strict=True))
    if what == "draft":
        return lambda: {"kind": what, "warnings": session.draft(*regions)}
    realism, strength = numbers(wish)

    def make() -> dict:
        made = session.make(*regions, realism, strength)
        return {"kind": what} | dataclasses.asdict(made) if made else {"kind": "stopped"}

    return make


def do(asked: Callable[[], dict], tell: Callable[[dict], None]) -> None:
    """Does what `work` returned, and tells the page how it ended; raises nothing."""
    try:
        tell(asked())
    except PageClosed:
        pass
    except KeyboardInterrupt:
        tell({"kind": "stopped"})
    except UserError as error:
        tell({"kind": "error", "error": str(error)})
    except Exception as failure:  # a bug must not end the other pages; the console has the traceback
        logger.exception("the page's work failed")
        tell({"kind": "error", "error": f"the program failed ({failure!r}); the console says more"})
