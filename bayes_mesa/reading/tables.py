"""Tables of rows: a CSV with a header, or arrays from Python, read column by column."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bayes_mesa.errors import Fault, ModelFileError
from bayes_mesa.reading.source_file import read_source
from bayes_mesa.text.wording import field_name, listed, quoted, shown, suggestion

MAX_BYTES = 50_000_000
MAX_FAULTS = 1000
#: Beyond this a double no longer holds every whole number.
MAX_COUNT = 2**53

_COUNT = re.compile(r"\+?[0-9]{1,300}", re.ASCII)
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,9})?"
)


_TWICE = "must be given once, found twice"
_MISSING = object()


class _WrongValue(ValueError):
    """What a value must be, and what was found."""


@dataclass(frozen=True)
class Column:
    """A column: its name, what its values are, and the range that they must be in.

    ``kind`` is ``number`` (finite, float64), ``count`` (whole, at least 0, int64), ``name``
    (text that is not empty) or ``names`` (parted by spaces, or none). Numbers must be at least
    ``low``, or above it where ``above``.
    """

    name: str
    kind: Literal["number", "count", "name", "names"]
    low: float = -math.inf
    above: bool = False
    required: bool = True

    def read(self, text: str) -> float | int | str | tuple[str, ...]:
        """Value of a CSV's field; raises ValueError saying what was required and found."""
        if self.kind == "names":
            return tuple(text.split())
        if self.kind == "name":
            return self.checked(text)
        written = _COUNT if self.kind == "count" else _NUMBER
        if not written.fullmatch(text):
            raise _WrongValue(f"must be {self._noun}, found {quoted(text)}")
        return self.checked(int(text) if self.kind == "count" else float(text), quoted(text))

    def checked(self, value: Any, found: str = "") -> float | int | str:
        """Value of an array's entry; raises ValueError as `read` does."""
        value = value.item() if isinstance(value, np.generic) else value
        found = found or shown(value)
        if self.kind == "name":
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise _WrongValue(f"must be a name, found {found}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _WrongValue(f"must be {self._noun}, found {found}")
        if self.kind == "count":
            if not 0 <= value <= MAX_COUNT or value != int(value):
                raise _WrongValue(f"must be {self._noun}, found {found}")
            return int(value)
        return self._in_range(value, found)

    def _in_range(self, value: float, found: str) -> float:
        if not -math.inf < value < math.inf:
            raise _WrongValue(f"must be a finite number, found {found}")
        if value < self.low or (self.above and value == self.low):
            bound = "greater than" if self.above else "at least"
            raise _WrongValue(f"must be {bound} {shown(self.low)}, found {found}")
        try:
            return float(value)
        except OverflowError:  # a whole number of Python's has no largest
            raise _WrongValue(f"must be a finite number, found {found}") from None

    @property
    def _noun(self) -> str:
        return "a finite number" if self.kind == "number" else "a whole number from 0 to 2^53"

    def array(self, values: Sequence[Any]) -> np.ndarray:
        """Values as float64, int64 or str."""
        kinds: dict[str, Any] = {"number": np.float64, "count": np.int64, "name": np.str_}
        return np.array(values, dtype=kinds[self.kind])


@dataclass(frozen=True)
class RowFault:
    """What is wrong in one row (from 0; None: the whole column) of one column."""

    row: int | None
    column: str
    message: str


@dataclass(frozen=True)
class Rows:
    """The sound values of a table's columns, one per row; None where a value is faulty."""

    columns: Mapping[str, list[Any]]
    faults: tuple[RowFault, ...]
    lines: tuple[int, ...] = ()
    header_line: int = 1

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def sound(self, *names: str) -> Iterable[tuple[Any, ...]]:
        """Row number and values of every row in which all of these columns are sound."""
        if all(name in self.columns for name in names):
            for row, values in enumerate(zip(*(self.columns[n] for n in names), strict=True)):
                if all(value is not None for value in values):
                    yield row, *values


def header_faults(given: Sequence[str], columns: Sequence[Column]) -> list[RowFault]:
    """Unknown, missing and repeated column names."""
    known = [column.name for column in columns]
    faults: list[RowFault] = []
    for name, times in Counter(given).items():
        if len(faults) >= MAX_FAULTS:
            break
        if name not in known:
            near = suggestion(name, known)
            found = f"must be one of the columns {listed(known)}, found an unknown column{near}"
            faults.append(RowFault(None, name, found))
        elif times > 1:
            faults.append(RowFault(None, name, _TWICE))
    there = set(given)
    for column in columns:
        if column.required and column.name not in there:
            faults.append(RowFault(None, column.name, "must be a column, found none"))
    return faults


def read_rows(given: Mapping[str, Sequence[Any]], columns: Sequence[Column], text: bool) -> Rows:
    """Read every value of the columns that are known; ``text``: from a CSV's fields."""
    faults = header_faults(list(given), columns)
    read: dict[str, list[Any]] = {}
    for column in columns:
        if column.name in given:
            parse = column.read if text else column.checked
            read[column.name] = _values(column.name, given[column.name], parse, faults)
    return Rows(read, tuple(faults))


def _values(
    name: str, given: Sequence[Any], parse: Callable[[Any], Any], faults: list[RowFault]
) -> list[Any]:
    values: list[Any] = []
    for row, value in enumerate(given):
        try:
            values.append(None if value is _MISSING else parse(value))
        except _WrongValue as error:
            values.append(None)
            if len(faults) < MAX_FAULTS:
                faults.append(RowFault(row, name, str(error)))
    return values


def read_csv(path: Path, path_shown: str, columns: Sequence[Column]) -> Rows:
    """Read a CSV with a header (UTF-8, fields parted by commas, quoted by ``"``).

    Returns the rows with their faults and line numbers; blank lines are passed over.

    Raises
    ------
    ModelFileError
        If it cannot be read, is no CSV, or has no row.
    """
    records = list(_records(read_source(path, path_shown, MAX_BYTES).lines, path_shown))
    if len(records) < 2:
        found = "must have a header and at least one row, found none"
        raise ModelFileError([Fault(path_shown, 1, "header", found)])
    header, rows = records[0][1], [fields for _, fields in records[1:]]
    faults: list[RowFault] = []
    missing = [_MISSING] * len(header)
    for k, fields in enumerate(rows):
        if len(fields) != len(header):
            if len(faults) < MAX_FAULTS:
                found = f"must have {len(header)} fields, found {len(fields)}"
                faults.append(RowFault(k, "row", found))
            rows[k] = missing
    given = {name: [row[k] for row in rows] for k, name in enumerate(header)}
    repeated = [f for f in header_faults(header, columns) if f.message == _TWICE]
    read = read_rows(given, columns, text=True)
    lines = tuple(line for line, _ in records[1:])
    return Rows(read.columns, (*faults, *repeated, *read.faults), lines, records[0][0])


def _records(text: str, path_shown: str) -> Iterator[tuple[int, list[Any]]]:
    """Line and fields of every record that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for record in reader:
            fields = [field.strip() for field in record]
            if any(fields) or len(fields) > 1:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        found = f"must be CSV, found: {error}"
        raise ModelFileError([Fault(path_shown, line, "row", found)]) from None


def file_faults(path_shown: str, rows: Rows, faults: Iterable[RowFault]) -> list[Fault]:
    """Faults of rows, and of the header, as faults of their file; of very many, the first."""
    found = [
        Fault(
            path_shown,
            rows.header_line if f.row is None else rows.lines[f.row],
            field_name((f.column,)),
            f.message,
        )
        for f in faults
    ]
    return sorted(found)[:MAX_FAULTS]
