"""`.cube` files: LUTs as text (Adobe, "Cube LUT Specification", version 1.0, 2013, and DaVinci Resolve's additions).

Files in the wild are less tidy than either. What can be meant in one way only is read; else the message names the line.
"""

from __future__ import annotations

import codecs
import dataclasses
import io
import itertools
import logging
import os
import re
from collections.abc import Iterator
from typing import TextIO

import numpy as np

from dpst.errors import UserError
from dpst.files.inputs import open_input
from dpst.imaging.vips import reason

# Nodes a side that the specification allows, by the keyword that gives them; with two tables the curves come first.
_MAX_NODES = {"LUT_1D_SIZE": 65536, "LUT_3D_SIZE": 256}
# Keywords for the lowest and the highest colour of the table; the second kind is DaVinci Resolve's, a pair for all channels.
_DOMAIN, _RANGE = ("DOMAIN_MIN", "DOMAIN_MAX"), ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE")
# The largest number in a table or its domain, far beyond what films and displays need; the least width of a domain.
_MAX_NUMBER, _MIN_RANGE = 1e6, 1e-6
# A file is read no further if its header has more lines, or a line more characters, or if it has more bytes for each row that
# the header promises. The specification allows 250 characters a line.
_HEADER_LINES, _LINE, _ROW_BYTES = 1000, 1000, 250

Colour = tuple[float, ...]

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of a file: (n, n, n, 3) by red, green and blue, or curves (n, 3), float32; the colours of its ends."""

    table: np.ndarray
    low: Colour = (0.0, 0.0, 0.0)
    high: Colour = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Cube:
    """What a file holds: one table, or the curves that come before it and the table; title and other lines of text."""

    tables: tuple[Table, ...]
    title: str = ""
    comments: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """The lines of the file, as the specification has them, or Resolve where there are curves before the table."""
        if self.title:
            yield 'TITLE "{}"'.format(self.title.replace('"', "'"))
        yield from (f"# {line}" for comment in self.comments for line in comment.splitlines())
        for each in self.tables:
            dimensions = 3 if each.table.ndim == 4 else 1
            yield f"LUT_{dimensions}D_SIZE {len(each.table)}"
            if len(self.tables) > 1:
                yield f"LUT_{dimensions}D_INPUT_RANGE {each.low[0]:.9g} {each.high[0]:.9g}"
                continue
            for keyword, colour in zip(_DOMAIN, (each.low, each.high), strict=True):
                yield " ".join([keyword, *(f"{value:.9g}" for value in colour)])
        for each in self.tables:
            rows = each.table.transpose(2, 1, 0, 3).reshape(-1, 3) if each.table.ndim == 4 else each.table
            yield from (f"{red:.7f} {green:.7f} {blue:.7f}" for red, green, blue in rows.tolist())


def read_cube(path: str) -> Cube:
    """Reads a `.cube` file, whose size is checked before the table is read.

    Raises:
        UserError: the file is missing, damaged, or larger than the formats allow.
    """
    try:
        with open_input(path) as file:
            wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with io.TextIOWrapper(open_input(path), "utf-16" if wide else "utf-8-sig", "replace") as text:
            return _Reader(path, text).cube(os.path.getsize(path))
    except OSError as error:
        raise UserError(f"LUT {path} cannot be read ({reason(error)}); check the path") from error


class _Reader:
    """Goes through the lines of a file once and keeps what they say."""

    def __init__(self, path: str, file: TextIO):
        self._path, self._file, self._number, self._line = path, file, 0, ""
        self._title, self._in_table = "", False
        self._comments: list[str] = []
        self._passed_over: list[str] = []
        # By their keywords.
        self._sizes: dict[str, int] = {}
        self._ends: dict[str, Colour] = {}

    def cube(self, length: int) -> Cube:
        """What a file of so many bytes holds."""
        lines = self._rows()
        begin = list(itertools.islice(lines, 1))
        if not self._sizes:
            raise self._wrong("no LUT_1D_SIZE or LUT_3D_SIZE before its table; give a .cube file")
        promised = " and ".join(f"{keyword} {size}" for keyword, size in self._sizes.items())
        counts = [size**3 if keyword == "LUT_3D_SIZE" else size for keyword, size in self._sizes.items()]
        rows = sum(counts)
        if length > _ROW_BYTES * (rows + _HEADER_LINES):
            raise self._wrong(f"{length} bytes, too many for {promised}; export it again")
        try:
            # One row more than wanted, to see it; and none at all would be warned of.
            numbers = itertools.chain(begin, lines)
            table = np.loadtxt(numbers, np.float32, comments=None, ndmin=2, max_rows=rows + 1) if begin else np.empty((0, 3))
        except UserError:  # of a line; it is a ValueError, too
            raise
        except ValueError as error:
            raise self._wrong_line(f"'{self._line[:40]}', not three numbers") from error
        if not np.isfinite(table).all() or (table.size and np.abs(table).max() > _MAX_NUMBER):
            raise self._wrong(f"numbers that are not finite or above {_MAX_NUMBER:g}; get a complete copy")
        if len(table) != rows:
            found = f"{len(table)} rows" if len(table) < rows else "more rows"
            raise self._wrong(f"{found}, not the {rows} of {promised}; get a complete copy")
        if self._passed_over:
            logger.warning("LUT %s %s, which is ignored", self._path, self._passed_over[0])
        parts = np.split(table, np.cumsum(counts)[:-1])
        tables = (self._table(keyword, part) for keyword, part in zip(self._sizes, parts, strict=True))
        return Cube(tuple(tables), self._title, tuple(self._comments))

    def _table(self, keyword: str, rows: np.ndarray) -> Table:
        size = self._sizes[keyword]
        if keyword == "LUT_3D_SIZE":
            rows = np.ascontiguousarray(rows.reshape(size, size, size, 3).transpose(2, 1, 0, 3))
        pairs = [f"{keyword.removesuffix('SIZE')}INPUT_RANGE"] if len(self._sizes) > 1 else _RANGE
        low, high = Table.low, Table.high
        for name in pairs:
            if name in self._ends:
                least, most = self._ends[name]
                low, high = (least,) * 3, (most,) * 3
        low, high = self._ends.get(_DOMAIN[0], low), self._ends.get(_DOMAIN[1], high)
        if not all(high - low >= _MIN_RANGE for low, high in zip(low, high, strict=True)):
            raise self._wrong(f"a domain from {low} to {high}, which is empty; export it again")
        return Table(rows, low, high)

    def _rows(self) -> Iterator[str]:
        """The lines of the table, as numbers in Python's writing; what the others say is kept."""
        for line in iter(lambda: self._file.readline(_LINE), ""):
            self._number += 1
            self._line, end = line.strip(), False
            if "\0" in line or "\x1a" in line:  # zeros fill up a block, and Ctrl-Z ends a text of DOS
                self._line, end = re.split(r"[\0\x1a]", self._line)[0], True
            values, _, comment = self._line.partition("#")
            first, *rest = values.split() or [""]
            if first and (first[0] in "0123456789+-." or first[:3].lower() in ("nan", "inf")):
                self._in_table = True
                yield values if len(rest) == 2 and "," not in values else self._with_points(values)
            elif first.upper() == "TITLE":
                self._title = self._line[len("TITLE") :].strip().strip('"')
            elif first:
                self._keyword(first.upper(), rest)
            elif comment and not self._in_table:
                self._comments.append(comment.lstrip("#").strip())
            if end or (self._number >= _HEADER_LINES and not self._in_table):
                return

    def _with_points(self, values: str) -> str:
        """Three numbers of a line with points for decimals, whichever way it uses commas."""
        if "," in values:
            # Commas stand between numbers if there are points or spaces too, or if no other thing does; else for points.
            between = "." in values or re.search(r",\s|\s,", values) or not re.search(r"\s", values.strip())
            values = values.replace(",", " " if between else ".")
        if len(values.split()) != 3:
            raise self._wrong_line(f"'{self._line[:40]}', not three numbers")
        return values

    def _keyword(self, keyword: str, values: list[str]) -> None:
        if keyword in _MAX_NODES:
            after = "a row of the table" if self._in_table else next(reversed(self._sizes), "")
            if after and (after, keyword) != ("LUT_1D_SIZE", "LUT_3D_SIZE"):
                raise self._wrong_line(f"{keyword} after {after}")
            self._sizes[keyword] = self._nodes(keyword, values)
        elif keyword in _DOMAIN:
            self._ends[keyword] = self._numbers(keyword, values, 3)
        elif keyword in _RANGE:
            self._ends[keyword] = self._numbers(keyword, values, 2)
        elif self._sizes:
            raise self._wrong_line(f"'{self._line[:40]}', no part of a .cube file")
        else:  # as ffmpeg and OpenColorIO do
            self._passed_over.append(f"line {self._number} has '{self._line[:40]}'")
        if len(self._sizes) > 1 and set(_DOMAIN) & set(self._ends):
            raise self._wrong_line("a domain for two tables", "give each its LUT_1D_INPUT_RANGE or LUT_3D_INPUT_RANGE")

    def _nodes(self, keyword: str, values: list[str]) -> int:
        most = _MAX_NODES[keyword]
        if len(values) != 1 or not (values[0].isascii() and values[0].isdigit()) or not 2 <= int(values[0][:9]) <= most:
            raise self._wrong_line(f"{keyword} {' '.join(values)[:40]}, not a number from 2 to {most}")
        return int(values[0])

    def _numbers(self, keyword: str, values: list[str], count: int) -> Colour:
        try:
            numbers = tuple(float(value) for value in values)
        except ValueError:
            numbers = ()
        if len(numbers) != count or not all(abs(number) <= _MAX_NUMBER for number in numbers):
            wanted = f"{count} numbers up to {_MAX_NUMBER:g}"
            raise self._wrong_line(f"{keyword} {' '.join(values)[:40]}, not {wanted}")
        return numbers

    def _wrong(self, what: str) -> UserError:
        return UserError(f"LUT {self._path} has {what}")

    def _wrong_line(self, what: str, fix: str = "export it again") -> UserError:
        return UserError(f"LUT {self._path} line {self._number} has {what}; {fix}")
