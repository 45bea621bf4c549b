"""The text of a model file with gaps where fields are swept: filled, it is a model file again."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayes_mesa.errors import InputError
from bayes_mesa.reading.source_file import text_source
from bayes_mesa.sweeps.field_range import FieldRange, Place
from bayes_mesa.text.wording import field_name, listed, shown, suggestion

#: A table whose keys all have defaults, so that a file may do without it.
_OPTIONAL = "selection"


@dataclass(frozen=True)
class Template:
    """Pieces of text, and between them the number of the field whose value stands there."""

    pieces: tuple[str, ...]
    gaps: tuple[int, ...]

    def filled(self, literals: Sequence[str]) -> str:
        """The text with one literal of TOML for each field."""
        filled = [self.pieces[0]]
        for gap, piece in zip(self.gaps, self.pieces[1:], strict=True):
            filled += (literals[gap], piece)
        return "".join(filled)


def template(text: str, fields: Sequence[FieldRange]) -> Template:
    """Find every field in a model file's text; comments, notes and order stay.

    Raises
    ------
    InputError
        If a field leads nowhere, or one field lies within another.
    """
    import tomlkit

    source = text_source(text, "").lines
    document = tomlkit.parse(source)
    wanted: dict[str, Any] = tomllib.loads(source)
    mark = _unused(source)
    places: dict[Place, str] = {}
    marks: dict[Place, str] = {}
    for number, field in enumerate(fields):
        for place in _places(field, wanted):
            _keep_apart(field.name, place, places)
            places[place], marks[place] = field.name, f"{mark}{number}"
    for place, marked in marks.items():
        for table in (document, wanted):
            _put(table, place, marked)
    written = tomlkit.dumps(document)
    if tomllib.loads(written) != wanted:
        # No text is better than one in which something else has moved.
        raise InputError(
            f"{listed(field.name for field in fields)}: cannot be set in this file as it is "
            "written: give every swept number on a line of its own"
        )
    pieces = re.split(rf"""["']{mark}(\d+)["']""", written)
    return Template(tuple(pieces[::2]), tuple(map(int, pieces[1::2])))


def _unused(text: str) -> str:
    """A word that is not in the text."""
    mark = "swept"
    while mark in text:
        mark += "_"
    return f"{mark}_field_"


def _places(field: FieldRange, document: Mapping[str, Any]) -> Iterator[Place]:
    """Where the field is: one place, or with ``*`` that of every entry."""
    found: list[Place] = [()]
    for depth, part in enumerate(field.place):
        last = depth == len(field.place) - 1
        found = [
            (*place, key) for place in found for key in _keys(field, document, place, part, last)
        ]
    yield from found


def _keys(
    field: FieldRange, document: Mapping[str, Any], place: Place, part: str | int, last: bool
) -> list[str | int]:
    holder: Any = document
    for key in place:
        if place == (_OPTIONAL,) and _OPTIONAL not in document:
            return [part]
        holder = holder[key]
    if isinstance(holder, list) and isinstance(part, int):
        if part < len(holder):
            return [part]
        raise _leads_nowhere(field, place, f"it has {len(holder)} entries, counted from 0")
    if not isinstance(holder, Mapping):
        raise _leads_nowhere(field, place, f"it is {shown(holder)} there")
    key = str(part)
    if key == "*":
        return [str(name) for name in holder]
    if last or key in holder or (not place and key == _OPTIONAL):
        return [key]
    raise _leads_nowhere(
        field, (*place, key), f"known are {listed(holder)}{suggestion(key, holder)}"
    )


def _leads_nowhere(field: FieldRange, place: Place, why: str) -> InputError:
    return InputError(
        f"{field.name}: must be a field of the model file, but {field_name(place)} leads nowhere: "
        f"{why}"
    )


def _keep_apart(name: str, place: Place, others: Mapping[Place, str]) -> None:
    for other, its_name in others.items():
        short = min(len(place), len(other))
        if place[:short] == other[:short]:
            raise InputError(
                f"{name} and {its_name}: must not be swept at once: one holds the other"
            )


def _put(document: Any, place: Place, value: str) -> None:
    from tomlkit.items import AoT, Table

    table: Any = document
    for key in place[:-1]:
        if key == _OPTIONAL and key not in table:
            table[key] = {}
        table = table[key]
    key = place[-1]
    if not isinstance(table, list) and isinstance(table.get(key), Table | AoT):
        del table[key]  # written in brackets, it would leave its header behind
    table[key] = value
