"""Whole runs of the program, small and quick, while something is done to them: consoles that go away, signals, leftovers.

Each is held to what the same run does undisturbed.
"""

from __future__ import annotations

import _signal
import contextlib
import dataclasses
import errno
import functools
import io
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from hypothesis import strategies as st
from PIL import Image

import deep_photostyle
from dpst.jobs import stopping
from hostile import seeds
from hostile.broken import Broken, one_clear_line

_getsignal = _signal.getsignal  # the one of signal takes longer than most of the calls that are counted
_INPUTS = ("photo.png", "look.cube", "style.png", "photos")
_GRADE = "--content_image_path photo.png --apply_lut look.cube --output_image out.png"
_COMMANDS = {
    "grade": _GRADE,
    "several": f"{_GRADE} --strength 0.5,1",
    "quiet": f"{_GRADE} --quiet",
    "check": "--content_image_path photo.png --style_image_path style.png --auto_seg 2 --max_size 64 --dry_run",
    "batch": "--batch photos --apply_lut look.cube --output_dir res",
    "no photo": "--content_image_path none.png --apply_lut look.cube --output_image out.png",
    "no option": "--nonsense",
    "help": "--help",
}


@dataclasses.dataclass(frozen=True)
class _Run:
    """Attributes: the exit code, the pictures that were made, the names of all files, and the calls of functions that it took."""

    code: int
    pictures: dict[str, bytes]
    names: frozenset[str]
    calls: int = 0


@functools.cache
def _inputs() -> dict[str, bytes]:
    """The inputs of all commands, by their paths in the working folder."""

    def picture(value: int) -> bytes:
        rows = np.arange(24 * 32 * 3).reshape(24, 32, 3) % 120 + value
        Image.fromarray(rows.astype(np.uint8)).save(content := io.BytesIO(), "png", compress_level=1)
        return content.getvalue()

    photo, style = picture(40), picture(90)
    photos = {"photos/a.png": photo, "photos/b.png": photo, "photos/c.png": b"no picture"}
    return {"photo.png": photo, "style.png": style, "look.cube": seeds.cubes()[0], **photos}


@contextlib.contextmanager
def _folder() -> Iterator[None]:
    """A working folder of its own, with the inputs."""
    before = Path.cwd()
    Path("run", "photos").mkdir(parents=True)
    os.chdir("run")
    try:
        for name, content in _inputs().items():
            Path(name).write_bytes(content)
        yield
    finally:
        os.chdir(before)
        shutil.rmtree("run")


def _main(command: str, out: TextIO, err: TextIO) -> int:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            return deep_photostyle.main(_COMMANDS[command].split())
        except SystemExit as end:
            return int(end.code or 0)


def _found(code: int, calls: int = 0) -> _Run:
    """What a run left in the working folder."""
    paths = [path for path in Path().rglob("*") if path.parts[0] not in _INPUTS and not path.is_dir()]
    pictures = {str(path): path.read_bytes() for path in paths if path.suffix == ".png" and path.is_file()}
    return _Run(code, pictures, frozenset(map(str, paths)), calls)


@functools.cache
def _undisturbed(command: str) -> _Run:
    with _folder():
        _main(command, io.StringIO(), io.StringIO())  # imports take many more calls than anything later
    with _folder():
        counted = _Calls(lambda number: None)
        with counted:
            code = _main(command, io.StringIO(), io.StringIO())
        return _found(code, counted.number)


def _check_same(run: _Run, command: str) -> None:
    """Sees that a run ended as an undisturbed one."""
    good = _undisturbed(command)
    if run.code != good.code:
        raise Broken(f"exit code {run.code} instead of {good.code}")
    if run.pictures != good.pictures:
        raise Broken("other pictures")
    if run.names != good.names:
        raise Broken("other files")


# Consoles that go away.


class _Going(io.TextIOBase):
    """A console that takes so many writes and fails from then on."""

    encoding = "utf-8"

    def __init__(self, writes: int, error: Callable[[], Exception], is_terminal: bool):
        self._left, self._error, self._is_terminal = writes, error, is_terminal

    def write(self, text: str) -> int:
        self._left -= 1
        self.flush()
        return len(text)

    def flush(self) -> None:
        if self._left < 0:
            raise self._error()

    def isatty(self) -> bool:
        return self._is_terminal


_ERRORS: dict[str, Callable[[], Exception]] = {
    "pipe": lambda: BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)),
    "full": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "gone": lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    "closed": lambda: ValueError("I/O operation on closed file."),
}


class _Losing(io.TextIOWrapper):
    """A console on a descriptor, whose other end goes after so many writes."""

    def __init__(self, own: int, other: int, writes: int):
        super().__init__(
            io.BufferedWriter(io.FileIO(own, "wb")), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        os.set_blocking(other, False)
        self._other, self._left = other, writes

    def write(self, text: str) -> int:
        if self._left == 0:
            os.close(self._other)
        elif self._left > 0 and os.isatty(self.fileno()):  # whose few bytes would soon be full
            with contextlib.suppress(BlockingIOError):  # nothing has been written since
                os.read(self._other, 1 << 16)
        self._left -= 1
        return super().write(text)

    def close(self) -> None:
        if self._left >= 0:
            os.close(self._other)
            self._left = -1
        super().close()


_DESCRIPTORS = ("/dev/full", "a pipe", "a full pipe", "a terminal", "closed")


def _console(how: str, writes: int, is_terminal: bool) -> TextIO:
    if how in _ERRORS:
        return _Going(writes, _ERRORS[how], is_terminal)  # type: ignore[return-value]
    if how == "/dev/full":
        return open(how, "w", buffering=1)
    if how == "closed":
        with open(os.devnull, "w") as stream:
            return stream
    other, own = os.openpty() if how == "a terminal" else os.pipe()
    if how == "a full pipe":  # another program that shares it wants to wait for nobody
        os.set_blocking(own, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(own, bytes(4096))
        writes = 1000  # it stays there, and nobody reads it
    return _Losing(own, other, writes)


def consoles() -> st.SearchStrategy[bytes]:
    """A command, and when and how each of its two streams goes away."""
    streams = st.tuples(st.sampled_from([*_ERRORS, *_DESCRIPTORS]), st.integers(0, 60), st.booleans())
    return st.builds(lambda *each: json.dumps(each).encode(), st.sampled_from(list(_COMMANDS)), streams, streams)


def console(path: Path) -> None:
    """The pictures and the exit code are those of a run with a console."""
    command, *streams = json.loads(path.read_text())
    _undisturbed(command)
    with _folder():
        out, err = (_console(*each) for each in streams)
        _check_same(_found(_main(command, out, err)), command)
        for stream in (out, err):
            if not isinstance(stream, _Going):
                stream.close()  # which writes what is still held back


# Signals.


def _can_be_stopped() -> bool:
    """Whether the program handles signals: it takes SIGINT first and SIGHUP last."""
    return _getsignal(2) is stopping._stop and _getsignal(1) is stopping._stop


class _Calls:
    """Counts the calls of Python functions and of those in C, while they can be interrupted."""

    def __init__(self, at: Callable[[int], None]):
        """Takes what is called with each one's number, until it raises an exception."""
        self._at, self.number = at, 0

    def _seen(self, frame: Any, event: str, argument: Any) -> None:
        if _can_be_stopped():
            self.number += 1
            self._at(self.number)

    def __enter__(self) -> None:
        sys.setprofile(self._seen)

    def __exit__(self, *_) -> None:
        sys.setprofile(None)


@contextlib.contextmanager
def _second(number: int) -> Iterator[None]:
    """On SIGALRM, sends another signal if the program still handles it."""

    def send(*_) -> None:
        if _can_be_stopped():
            os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGALRM, send)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def signals() -> st.SearchStrategy[bytes]:
    """A command, the share of it after which a signal comes, and the microseconds to a second one."""
    numbers = st.sampled_from([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]).map(int)
    pairs = st.tuples(st.floats(0, 1), numbers, st.integers(1, 30_000), numbers)
    names = [name for name in _COMMANDS if name not in ("no option", "help")]
    return st.builds(lambda *each: json.dumps(each).encode(), st.sampled_from(names), pairs)


def interrupted(path: Path) -> None:
    """The run stops; what is there is whole, and the same command goes on to the end."""
    command, (share, number, gap, other) = json.loads(path.read_text())
    good = _undisturbed(command)
    at = 1 + int(share * (good.calls - 1))

    def send(call: int) -> None:
        if call == at:
            signal.setitimer(signal.ITIMER_REAL, gap / 1e6)
            os.kill(os.getpid(), number)

    with _folder():
        with _second(other), _Calls(send):
            code = _main(command, io.StringIO(), io.StringIO())
        left = _found(code)
        if code not in (130, good.code):
            raise Broken(f"exit code {code} after a signal")
        if not left.pictures.items() <= good.pictures.items():
            raise Broken("a picture that is not whole, after a signal")
        _check_same(_found(_main(command, io.StringIO(), io.StringIO())), command)


# What other runs and other users left.

_PLACES = ["out.png", "out.png.json", "out.png.log", ".out.png.b99.part", ".out.png.json.b99.part", "out_0.5.png", "out_1.png"]
_PLACES += ["out.png.auto_content_seg.png", "best_stylized.png.auto_content_seg.png"]
_PLACES += ["res", "res/a.png", "res/a", "res/a/a.json", "res/a/a.log", "res/report.html"]
_PLACES += ["res/.a.png.b99.part", "res/.report.html.b99.part", "res/b/.b.json.b99.part"]
_LEFT: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_bytes(b"left"),
    "empty file": Path.touch,
    "unreadable file": lambda path: path.touch(0o000),
    "folder": Path.mkdir,
    "full folder": lambda path: (path.mkdir(), (path / "kept").touch()),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to an input": lambda path: path.symlink_to(Path("photo.png").resolve()),
    "hard link to an input": lambda path: path.hardlink_to("photo.png"),
    "link to a folder": lambda path: path.symlink_to(Path("photos").resolve()),
    "pipe": os.mkfifo,
    "socket": lambda path: _bound(path),
}


def _bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def leftovers() -> st.SearchStrategy[bytes]:
    """A command, and what lies where it writes."""
    left = st.lists(st.tuples(st.sampled_from(_PLACES), st.sampled_from(list(_LEFT))), min_size=1, max_size=3)
    names = ["grade", "several", "check", "batch"]
    return st.builds(lambda *each: json.dumps(each).encode(), st.sampled_from(names), left)


def among_leftovers(path: Path) -> None:
    """The run ends as ever, or says in a line what is in its way; no input is touched."""
    command, left = json.loads(path.read_text())
    good = _undisturbed(command)
    with _folder():
        inputs = _contents()
        for place, what in left:
            with contextlib.suppress(OSError):  # what was left before is in its way
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                if not os.path.lexists(place):
                    _LEFT[what](Path(place))
        said = io.StringIO()
        code = _main(command, io.StringIO(), said)
        if not inputs.items() <= _contents().items():
            raise Broken("an input has changed")
        for line in said.getvalue().splitlines():
            if not line.startswith(("error: ", "warning: ")):
                raise Broken("a line that is no error")
            one_clear_line(line)
        if code == 0 and not _found(code).pictures.items() >= good.pictures.items():
            raise Broken("other pictures, and no error")
        if code not in (0, 1) or (code == 1 and "error: " not in said.getvalue()):
            raise Broken(f"exit code {code} without an error")


def _contents() -> dict[str, bytes]:
    """The inputs."""
    return {str(path): path.read_bytes() for name in _INPUTS for path in (Path(name), *Path(name).rglob("*")) if path.is_file()}
