"""What is looked for."""

from __future__ import annotations

from dpst.errors import one_line

# Characters of the longest message: some paths of a usual length, and what is wrong with them.
MAX_CHARACTERS = 1200


class Broken(Exception):
    """Something that was promised does not hold."""


def shown(message: str) -> str:
    """A message as the command line shows it."""
    return one_line(message)


def one_clear_line(message: str) -> None:
    """Sees that a message is one line that can be printed, and short.

    Raises:
        Broken: it is not.
    """
    if not message or not message.isprintable():
        raise Broken("a message of several lines, or with control characters")
    if len(message) > MAX_CHARACTERS:
        raise Broken("a message longer than a screen")
