"""A TOML document whose every value can be traced to its line: limits first, then parsing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from bayes_mesa.errors import Fault, ModelFileError
from bayes_mesa.reading.source_file import SourceFile, read_source
from bayes_mesa.reading.toml_lines import excess, key_lines
from bayes_mesa.text.wording import Location, field_name

MAX_BYTES = 1_000_000

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

#: What `tomllib` says of a document, where its own words would show Python's notation.
_PLAIN = (
    (re.compile(r"Cannot (?:declare|overwrite|redefine|mutate).*"), "a key or table given twice"),
    (re.compile(r"Duplicate inline table key .*"), "a key given twice"),
    (re.compile(r"Found invalid character '\\n'"), "a line that ends too early"),
    (re.compile(r"(?:Found invalid|Illegal) character (.*)"), r"the character \1 out of place"),
    (re.compile(r"Expected newline or end of document.*"), "more text after the end of a value"),
    (re.compile(r"Unterminated string"), "a text that is not closed"),
    (re.compile(r"Unclosed (.*)"), r"an \1 that is not closed"),
    (re.compile(r"Expected '=' after a key.*"), "a key without '='"),
    (re.compile(r"Invalid value"), "something that is no TOML value"),
    (re.compile(r"Invalid (?:statement|initial.*)"), "something that is no key"),
    (re.compile(r"Invalid date or datetime"), "a date that does not exist"),
    (re.compile(r"Expected '\]+' at.*"), "a table header that is not closed"),
    (re.compile(r"Expected .*"), "a text that is not closed"),
)


class _Unbounded(float):
    """A float that no finite number can hold, shown as it was written (``nan``, ``1e400``)."""

    def __repr__(self) -> str:
        return self.written

    def __format__(self, _: str) -> str:
        return self.written

    def __init__(self, written: str):
        self.written = written


def _number(written: str) -> float:
    value = float(written)
    return value if isfinite(value) else _Unbounded(written)


@dataclass(frozen=True)
class TomlSource:
    """A parsed document, with the file it came from."""

    file: SourceFile
    data: Mapping[str, Any] = field(repr=False)

    @cached_property
    def _lines(self) -> Mapping[Location, int]:
        return key_lines(self.file.lines)

    def line(self, location: Location) -> int:
        """Line of a key or list item; of what holds it, where it is missing."""
        for end in range(len(location), 0, -1):
            if location[:end] in self._lines:
                return self._lines[location[:end]]
        return 1

    def fault(self, location: Location, message: str) -> Fault:
        """Make a fault that stands at ``location``."""
        return Fault(self.file.path, self.line(location), field_name(location), message)


def read_toml(path: Path, shown: str) -> TomlSource:
    """Read a TOML file within its limits: 1 MB, 64 levels, numbers of 300 digits.

    Raises
    ------
    ModelFileError
        If the file cannot be read, exceeds a limit, or is not TOML. Nothing else escapes.
    """
    return parse_toml(read_source(path, shown, MAX_BYTES))


def parse_toml(file: SourceFile) -> TomlSource:
    """Parse the text of a file, read or made, within the limits of `read_toml`.

    Raises
    ------
    ModelFileError
        If the text exceeds a limit, or is not TOML. Nothing else escapes.
    """
    shown = file.path
    if len(file.text) > MAX_BYTES:
        raise ModelFileError([Fault(shown, 1, "file", f"must be at most {MAX_BYTES} bytes")])
    if (found := excess(file.lines)) is not None:
        raise ModelFileError([Fault(shown, *found)])
    try:
        data = tomllib.loads(file.lines, parse_float=_number)
    except RecursionError:
        raise ModelFileError([Fault(shown, 1, "depth", "must nest less, found more")]) from None
    except ValueError as error:
        raise ModelFileError([_syntax_fault(file, str(error))]) from None
    return TomlSource(file, data)


def _syntax_fault(file: SourceFile, message: str) -> Fault:
    place = _PLACE.search(message)
    found = message[: place.start()] if place else message
    for pattern, plain in _PLAIN:
        if pattern.fullmatch(found):
            found = pattern.sub(plain, found)
            break
    if place and place[1]:
        text = f"must be TOML, found {found} (column {place[2]})"
        return Fault(file.path, int(place[1]), "syntax", text)
    last = len(file.lines.rstrip("\n").split("\n"))
    return Fault(file.path, last, "syntax", f"must be TOML, found {found} at the end of the file")
