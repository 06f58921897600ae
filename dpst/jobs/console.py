"""The console of a run: it may go away, and the run goes on without it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO


class Lasting:
    """A standard stream that can always be written to.

    A closed terminal, a pipe that nobody reads or a full disk must not cost a picture, so the first write that fails is the last:
    this and everything after it is dropped.
    """

    def __init__(self, stream: TextIO):
        """Takes what to write to."""
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes the text, with escapes for characters that the stream's encoding lacks, or drops it."""
        try:
            self._try(lambda: self._stream.write(text))
        except UnicodeEncodeError as error:
            escaped = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            self._try(lambda: self._stream.write(escaped))
        return len(text)

    def flush(self) -> None:
        """Writes what is held back, or drops it."""
        self._try(self._stream.flush)

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError):  # ValueError: it is closed
            # The stream still holds the text. It can be written to nowhere, or Python would fail with it once more at the end.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


@contextlib.contextmanager
def lasting_console() -> Iterator[None]:
    """Lets standard output and standard error be closed, full or gone, now or at any time to the end."""
    _open_missing()
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:
        sys.stdout, sys.stderr = (Lasting(stream or nowhere) for stream in before)  # type: ignore[assignment]
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


def writes_to(stream: TextIO | None, descriptor: int) -> bool:
    """Whether a stream writes to a file descriptor; one that was put in its place, such as a notebook's, does not."""
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError, AttributeError):  # it has none, or is closed
        return False


def _open_missing() -> None:
    """Opens those of descriptors 0 to 2 that were closed at the start: a picture could get their number, and messages in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free
