"""Errors that a user can fix, and the one line in which each is reported."""

from __future__ import annotations

# Most characters of a message: whole paths of a usual length, and never a screen full of a stranger's text.
MAX_CHARACTERS = 1000


def one_line(text: str, most: int = MAX_CHARACTERS) -> str:
    """Any text as one line that is safe to print: control characters escaped, and the middle of a long one left out."""

    def shortened(text: str) -> str:
        return text if len(text) <= most else f"{text[: most // 2 - 3]} ... {text[len(text) - most // 2 + 2 :]}"

    def printable(character: str) -> str:
        return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")

    return shortened("".join(map(printable, shortened(text))))


class UserError(ValueError):
    """An error the user can fix. The message is one line: what, what is wrong with it; what to do."""

    def __init__(self, message: str):
        """Takes the message, which may quote anything."""
        super().__init__(one_line(message))


class OptionError(UserError):
    """An option has a value that it cannot have, alone or beside the others."""


class Cancelled(Exception):
    """For a callback to raise, to end a run of the library; the tool itself never does."""
