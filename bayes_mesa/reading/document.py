"""A model file's tables, each read against its schema, with every fault found on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bayes_mesa.errors import Fault
from bayes_mesa.reading import schema
from bayes_mesa.reading.schema_grammar import MAX_RULES, GrammarTable, ProgramTable, RuleTable
from bayes_mesa.reading.schema_types import SAFE_NAME, Names, Table, belief_keys, without_tags
from bayes_mesa.reading.toml_source import TomlSource
from bayes_mesa.text.wording import Location, closest, listed, shown, suggestion

SECTIONS = (
    *("model", "components", "structures", "objectives", "constraints", "correlations"),
    *("overlaps", "heuristics", "facts", "exchange", "selection", "regime", "path", "grammar"),
    "evidence",
)
#: More than anyone reads; a hostile file could have a fault for every few bytes.
MAX_FAULTS = 1000

#: In the message of every fault that is a key which no table of its kind has.
UNKNOWN_KEY = "found an unknown key"

_REQUIREMENTS = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "dict_type": "a table",
    "model_type": "a table",
    "list_type": "a list",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "string_pattern_mismatch": "made of small letters, digits and _",
    "string_too_long": "at most {max_length} characters long",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}

_Kind = TypeVar("_Kind", bound=Table)


@dataclass
class Document:
    """The tables of one file that are sound, by section and name, and the faults of the others."""

    source: TomlSource
    names: Names
    tables: dict[str, dict[str | int, Table]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether so many faults are known that more would help nobody."""
        return len(self.faults) >= MAX_FAULTS

    def refuse(self, location: Location, message: str) -> None:
        """Note a fault at ``location``."""
        if not self.full:
            self.faults.append(self.source.fault(location, message))

    def table(self, kind: type[_Kind], section: str, name: str | int = "") -> _Kind | None:
        """The sound table of that name, or None."""
        found = self.tables.get(section, {}).get(name)
        return found if isinstance(found, kind) else None

    def each(self, kind: type[_Kind], section: str) -> Iterator[tuple[Any, _Kind]]:
        """Name (or position) and table of every sound entry of a section, in file order."""
        for name, table in self.tables.get(section, {}).items():
            if isinstance(table, kind):
                yield name, table

    def sound(self, *sections: str) -> bool:
        """Whether every entry of these sections is sound."""
        return all(
            len(given) == len(self.tables.get(section, {}))
            if isinstance(given := self.source.data.get(section, {}), dict | list)
            else False
            for section in sections
        )

    def has(self, section: str) -> bool:
        """Whether the file gives this section at all, sound or not."""
        return section in self.source.data


def read_document(source: TomlSource, only: str = "") -> Document:
    """Check a file table by table.

    Parameters
    ----------
    source
        The parsed file.
    only
        The one section that the file may hold; by default any.
    """
    document = Document(source, _declared(source.data))
    allowed = (only,) if only else SECTIONS
    for section, value in source.data.items():
        if document.full:
            break
        if section not in allowed:
            document.refuse((section,), _unknown_key(section, allowed))
        else:
            _read_section(document, section, value)
    return document


def _declared(data: Mapping[str, Any]) -> Names:
    def names(section: str) -> Mapping[str, Any] | None:
        table = data.get(section)
        return table if isinstance(table, dict) else None

    return Names(names("components"), names("structures"))


def _read_section(document: Document, section: str, value: Any) -> None:
    if section in schema.LISTED:
        if not isinstance(value, list):
            document.refuse((section,), f"must be tables in [[ ]], found {shown(value)}")
            return
        for index, entry in enumerate(value):
            _read_table(document, schema.LISTED[section], (section, index), entry)
    elif section in schema.ONE:
        _read_table(document, schema.ONE[section], (section,), value)
    elif not isinstance(value, dict):
        document.refuse((section,), f"must be a table, found {shown(value)}")
    elif section == "exchange":
        _read_exchange(document, value)
    elif section == "grammar":
        _read_grammar(document, value)
    else:
        for name, entry in value.items():
            _read_entry(document, section, name, entry)


def _read_exchange(document: Document, value: dict[str, Any]) -> None:
    for name, entry in value.items():
        kind = schema.FAMILIES.get(name)
        if kind is None:
            near = suggestion(name, schema.FAMILIES)
            found = f"must be one of {listed(schema.FAMILIES)}, found {shown(name)}{near}"
            document.refuse(("exchange", name), found)
        else:
            _read_table(document, kind, ("exchange", name), entry)


def _read_grammar(document: Document, value: dict[str, Any]) -> None:
    _read_table(document, GrammarTable, ("grammar",), value)
    rules = value.get("rules")
    for index, entry in enumerate(rules[:MAX_RULES] if isinstance(rules, list) else ()):
        _read_table(document, RuleTable, ("grammar", "rules", index), entry)


def _read_entry(document: Document, section: str, name: str, entry: Any) -> None:
    location = (section, name)
    if section != "objectives" and not SAFE_NAME.fullmatch(name):
        found = f"must be a name of at most 100 letters, digits and _, found {shown(name)}"
        document.refuse(location, found)
    if section == "structures" and document.has("grammar"):
        _read_program(document, location, entry)
        return
    if section == "structures" and isinstance(entry, dict) and "program" in entry:
        document.refuse((*location, "program"), "must be left out where there is no [grammar]")
        return
    _read_table(document, schema.NAMED[section], location, entry)


def _read_program(document: Document, location: Location, entry: Any) -> None:
    """A structure beside a grammar: it labels a program, and counts nothing by hand."""
    by_hand = schema.StructureTable.model_fields.keys() - ProgramTable.model_fields.keys()
    if isinstance(entry, dict) and (given := [key for key in entry if key in by_hand]):
        if "program" not in entry:
            found = 'must be written as program = "..." where there is a [grammar]'
            document.refuse(location, f"{found}, found {listed(given)}")
            return
        for key in given:
            document.refuse(
                (*location, key),
                "must be left out where a program is given (its rules say it), found one",
            )
        entry = {key: value for key, value in entry.items() if key not in by_hand}
    _read_table(document, ProgramTable, location, entry)


def _read_table(document: Document, kind: type[Table], location: Location, value: Any) -> None:
    if document.full:
        return
    try:
        read = kind.model_validate(value, context=document.names)
    except ValidationError as error:
        _refuse_all(document, kind, location, error.errors(include_url=False))
    else:
        # Those of the grammar's rules are told apart by their position.
        section, name = location[-2:] if len(location) > 1 else (location[0], "")
        document.tables.setdefault(str(section), {})[name] = read


def _refuse_all(
    document: Document, kind: type[Table], location: Location, details: list[ErrorDetails]
) -> None:
    said: set[tuple[Location, str]] = set()
    details = details[:MAX_FAULTS]
    misspelt = {_meant(detail, kind) for detail in details}
    for detail in details:
        at, message = _worded(detail, kind, document.names)
        if detail["type"] == "missing" and at in misspelt:
            continue
        # The same misspelt name twice in one list is one fault.
        place = at[:-1] if at and isinstance(at[-1], int) else at
        if (place, message) not in said:
            said.add((place, message))
            document.refuse((*location, *at), message)


def _meant(detail: ErrorDetails, kind: type[Table]) -> Location | None:
    """Location of the key that an unknown one is a misspelling of."""
    if detail["type"] != "extra_forbidden":
        return None
    at = without_tags(detail["loc"])
    near = closest(str(at[-1]), _keys(kind, detail))
    return (*at[:-1], near) if near else None


def _worded(detail: ErrorDetails, kind: type[Table], names: Names) -> tuple[Location, str]:
    """Location and plain sentence of one of pydantic's errors."""
    at = without_tags(detail["loc"])
    at = at[:-1] if at[-1:] == ("[key]",) else at
    context, found = detail.get("ctx", {}), detail["input"]
    match detail["type"]:
        case "plain":
            return (*at, *context["at"]), context["message"]
        case "undeclared":
            return at, _undeclared(context["name"], getattr(names, context["section"]))
        case "missing":
            return at, "must be given, found nothing"
        case "extra_forbidden":
            return at, _unknown_key(str(at[-1]), _keys(kind, detail))
        case "int_type" | "int_from_float" if isinstance(found, float):
            return at, f"must be a whole number, found {found!r}"
    bounds = {key: _bound(value) for key, value in context.items()}
    required = _REQUIREMENTS.get(detail["type"], "a value of its kind").format_map(bounds)
    return at, f"must be {required}, found {shown(found)}"


def _undeclared(name: str, known: Iterable[str]) -> str:
    axis, dot, _ = name.partition(".")
    names = [f"{axis}.{each}" for each in known] if dot and axis in ("bits", "steps") else known
    return f"must be one of {listed(names)}, found {shown(name)}{suggestion(name, names)}"


def _bound(value: Any) -> str:
    return shown(value) if isinstance(value, int | float) else str(value).replace("'", '"')


def _keys(kind: type[Table], detail: ErrorDetails) -> Iterable[str]:
    """Keys of the table that holds an unknown one; a belief's are those of its shape."""
    return kind.model_fields if len(detail["loc"]) == 1 else belief_keys(str(detail["loc"][-2]))


def _unknown_key(name: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"must be one of the keys {listed(known)}, {UNKNOWN_KEY}{suggestion(name, known)}"
