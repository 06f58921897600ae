#!/usr/bin/env python3
"""Deep photo style transfer from the command line.

deep-photostyle --content_image_path photo.jpg --style_image_path sunset.jpg --output_image result.jpg
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from dpst import __version__
from dpst.errors import OptionError, UserError, one_line
from dpst.files.machine import check_address_space
from dpst.jobs.console import lasting_console
from dpst.jobs.messages import LOGGERS, handled, with_flags
from dpst.jobs.stopping import INTERRUPTED, signals_stop, stop_requested
from dpst.options import BOOLEANS, MOST_USED, REFERENCE_OPTIONS, Options, nearest

# Bytes of address space for the libraries and a small photo; 0.3 GiB did not suffice on two cores, 0.4 did.
_ADDRESS_SPACE = 1 << 29
_NAMES = [field.name for field in dataclasses.fields(Options)]


_USAGE = """%(prog)s [options]

One photo, a folder of photos, and in the browser:

  %(prog)s --content_image_path photo.jpg --style_image_path sunset.jpg --output_image result.jpg
  %(prog)s --batch photos --style_image_path sunset.jpg --output_dir results
  %(prog)s --app"""


class _Parser(argparse.ArgumentParser):
    """Reports an error on one line, without the usage text, and takes abbreviations of the reference script's options."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        """Like the method of the parent, but unknown arguments are an error, which suggests a similar option."""
        arguments = sys.argv[1:] if args is None else args
        namespace, unknown = super().parse_known_args(list(map(_in_full, arguments)), namespace)
        for name in (each.partition("=")[0] for each in unknown if re.match("--?[A-Za-z]", each)):
            if meant := _meant(name.lstrip("-").replace("-", "_").lower()):
                self.exit(2, f"error: {one_line(name)} is not an option; use {' or '.join(f'--{each}' for each in meant)}\n")
        if unknown and not unknown[0].startswith("-"):
            values = one_line(" ".join(unknown))
            self.exit(2, f"error: {values} belongs to no option; name the option before its value, and write several as 0,1,2\n")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        if found := re.fullmatch(r"argument (--\w+): expected one argument", message):
            message += f"; write one that starts with - as {found[1]}=-name.jpg"
        self.exit(2, f"error: {one_line(message)}; --help lists the options\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all options; names, defaults and help are those of `Options`."""
    parser = _Parser(
        prog="deep-photostyle",
        usage=_USAGE,
        description="Transfers the look of one photo to another, region by region, so that the result still looks like a photo.",
        epilog="Exit code: 0 success; 1 an error, or a job of a batch failed; 2 an option, or a combination of options,\n"
        "is invalid; 130 stopped by Ctrl-C or a signal such as SIGTERM.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"deep-photostyle {__version__}")
    groups = {MOST_USED: parser.add_argument_group(MOST_USED)}
    for field in dataclasses.fields(Options):
        rule = field.metadata
        name = rule["group"]
        group = groups.setdefault(name, parser.add_argument_group(name))
        shown = "none" if field.default == "" else field.default
        text = f"{rule['help']} (default: {shown})".replace("%", "%%")
        if isinstance(field.default, bool):
            group.add_argument(
                f"--{field.name}", type=_boolean, nargs="?", const=True, default=field.default, metavar="True|False", help=text
            )
        else:
            choices = "{" + ",".join(map(str, rule["choices"])) + "}" if "choices" in rule else None
            metavar = rule.get("metavar", choices or "N")
            group.add_argument(f"--{field.name}", type=type(field.default), default=field.default, metavar=metavar, help=text)
    return parser


def _in_full(argument: str) -> str:
    """The argument, with an abbreviated option of the reference script written in full."""
    name, equals, value = argument.partition("=")
    meant = [each for each in REFERENCE_OPTIONS if f"--{each}".startswith(name)]
    is_short = name.startswith("--") and name != "--" and name[2:] not in _NAMES and len(meant) == 1
    return f"--{meant[0]}{equals}{value}" if is_short else argument


def _meant(given: str) -> list[str]:
    """The options that an unknown name may stand for: it begins them, is nearly one, or is one that its value is joined to."""
    joined = [each for each in _NAMES if given.startswith(each)]
    return [each for each in _NAMES if each.startswith(given)] or nearest(given, _NAMES) or sorted(joined, key=len)[-1:]


def _boolean(text: str) -> bool:
    """`--lbfgs False` means false."""
    if text.lower() not in BOOLEANS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return BOOLEANS[text.lower()]


class _OneLine(logging.Formatter):
    """`warning: ...` for warnings, the plain message for information."""

    def format(self, record: logging.LogRecord) -> str:
        message = one_line(with_flags(record.getMessage()))
        return message if record.levelno == logging.INFO else f"{record.levelname.lower()}: {message}"


class _AboveTheBar(logging.Handler):
    """Writes each line above the progress line, if one is shown: warnings and errors to standard error, the rest to output."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        stream = sys.stdout if record.levelno < logging.WARNING else sys.stderr
        tqdm.write(self.format(record), file=stream)
        stream.flush()  # so that the lines of both are in order where both go to one file


def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit code."""
    if os.name != "posix":  # Windows has neither the locks nor the signals that keep results safe
        print(f"error: the system {sys.platform} is not supported; use Linux, macOS, or Windows' WSL", file=sys.stderr)
        return 1
    # The sparse solvers and the learned features compute many small matrix products, which several threads make slower, above all
    # if other programs are running. TensorFlow has threads of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # tqdm, and a part of NumPy that TensorFlow imports, fail at their import if these have values of another kind.
    for name in [each for each in os.environ if each.startswith("TQDM_") or each == "SOURCE_DATE_EPOCH"]:
        del os.environ[name]
    arguments = sys.argv[1:] if argv is None else argv
    with lasting_console():
        chosen = vars(build_parser().parse_args(arguments))
        try:
            with signals_stop(), _messages():
                return _exit_code(chosen, shlex.join(["deep-photostyle", *arguments]))
        except KeyboardInterrupt:  # outside of a run
            return INTERRUPTED


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Shows the tool's messages on the console."""
    handler = _AboveTheBar()
    handler.setFormatter(_OneLine())
    levels = [logger.level for logger in LOGGERS]
    # Warnings of libraries have several lines, and users cannot act on them: they go to a logger without a handler.
    logging.captureWarnings(True)
    try:
        with handled(handler):
            yield
    finally:
        logging.captureWarnings(False)
        for logger, level in zip(LOGGERS, levels, strict=True):
            logger.setLevel(level)


def _exit_code(chosen: dict[str, Any], command: str) -> int:
    """Runs the tool with the given options; prints errors that a user can fix."""
    try:
        return _run(Options(**chosen), command)
    except UserError as error:
        print(f"error: {with_flags(str(error))}", file=sys.stderr)
        if isinstance(error, OptionError):
            return 2
    except MemoryError as error:
        reason = one_line(str(error))
        wrong = f"there is not enough memory{f' ({reason})' if reason else ''}"
        print(f"error: {wrong}; use smaller photos or a smaller --max_size", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if stop_requested():
            return INTERRUPTED  # a library has turned the KeyboardInterrupt into this
        if str(error) != "can't start new thread":
            raise
        print("error: the system allows no more threads; end other programs, or raise the limit (ulimit -u)", file=sys.stderr)
    # If a stop was requested during a write that failed, the exit code is that of the stop.
    return INTERRUPTED if stop_requested() else 1


def _run(options: Options, command: str) -> int:
    """Runs the page, the batch or the single job; returns the exit code."""
    for logger in LOGGERS:
        logger.setLevel(logging.WARNING if options.quiet else logging.INFO)
    check_address_space(_ADDRESS_SPACE, "this program")
    if options.app:
        from dpst.page.app import run_app

        return run_app(options)
    if options.batch:
        from dpst.batch.batch import run_batch

        return run_batch(options, command)
    from dpst.jobs.picture import run_one

    return run_one(options, command)


def program() -> NoReturn:
    """Runs the tool and ends the process with its exit code.

    After a stop everything is saved, and threads that still compute what nobody needs any more are not waited for.
    """
    code = main()
    if code == INTERRUPTED:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    program()
