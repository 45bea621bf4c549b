"""The text of a model file with other priors in it; comments, notes and order stay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bayes_mesa.domain.beliefs import Prior
from bayes_mesa.domain.model import Correlation, Model

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Place = tuple[str | int, ...]

#: First lines of a text whose beliefs were fitted: its own comments are older than they are.
FITTED = """\
# The beliefs below were fitted to draws of a posterior. Comments and notes that call them opinions,
# or tell their ranges, are of the file that the posterior came from.

"""
#: Smallest weight written: a family that evidence all but excludes must keep one above 0.
_LEAST_WEIGHT = 1e-300


def parsed(text: str) -> TOMLDocument:
    """The document, to be changed in place; ``tomlkit.dumps`` makes text of it."""
    import tomlkit

    return tomlkit.parse(text)


def place_of(slot: str, model: Model) -> Place:
    """Keys under which a model file gives the belief of a slot."""
    first, dot, rest = slot.partition(".")
    if dot:
        overlaps = [f"{o.component}.{o.inside}" for o in model.overlaps]
        places: dict[str, Place] = {
            "overlap_fraction": (
                ("overlaps", overlaps.index(rest), "fraction") if rest in overlaps else ()
            ),
            "loss": ("objectives", rest, "loss"),
        }
        return places.get(first, ("components", rest, first))
    for family in model.families:
        for parameter in family.parameters:
            if slot == f"{family.name}_{parameter}":
                return "exchange", family.name, parameter
    section, _, key = slot.partition("_")
    own = {"heuristics": "heuristics", "fact": "facts", "path": "path"}
    if slot == "pressure":
        return "selection", "pressure"
    return (own[section], key) if section in own else ("regime", slot)


def without_evidence(document: TOMLDocument, families: Iterable[str]) -> None:
    """Drop all evidence, and the families that were not fitted."""
    document.pop("evidence", None)
    exchange: Any = document["exchange"]
    for name in set(exchange) - set(families):
        del exchange[name]


def put_prior(document: TOMLDocument, place: Place, prior: Prior, remark: str) -> None:
    """Replace a belief; outside of components, which have notes, the remark is a comment."""
    import tomlkit

    table: Any = document
    for key in place[:-1]:
        table = table[key]
    key = place[-1]
    old = table.get(key)
    pairs = {"dist": prior.name, **dict(prior.arguments)}
    if isinstance(old, tomlkit.items.Table):  # [components.x.bits], or dotted keys
        for name in list(old):
            del old[name]
        old.update(pairs)
        return
    inside = ", ".join(f"{name} = {tomlkit.item(x).as_string()}" for name, x in pairs.items())
    table[key] = tomlkit.value(f"{{ {inside} }}")
    # An inline table must stay on its line: a comment in it would end it.
    if place[0] != "components" and not isinstance(table, tomlkit.items.InlineTable):
        said = table[key].trivia.comment.lstrip("# ")
        table[key].comment(f"{said}; {remark}" if said else remark)


def add_note(document: TOMLDocument, place: Place, text: str) -> None:
    """Extend the note of a component or of the model."""
    table: Any = document
    for key in place:
        table = table[key]
    table["note"] = _extended(table["note"], text) if table.get("note") else text


def _extended(note: Any, text: str) -> Any:
    """The note as it is written, line ends included, and the text on a line of its own."""
    import tomlkit

    raw = note.as_string()
    more = f' \\\n{json.dumps(text, ensure_ascii=False)[1:-1]}"""'
    if raw.startswith('"""'):
        return tomlkit.value(raw[:-3] + more)
    if raw.startswith('"'):
        return tomlkit.value('"""\n' + raw[1:-1] + more)
    return f"{note} {text}"


def put_name(document: TOMLDocument, name: str, title: str) -> None:
    """Give the model another name and title."""
    table: Any = document["model"]
    table["name"], table["title"] = name, title


def put_weights(document: TOMLDocument, weights: Mapping[str, float]) -> None:
    """Replace the families' weights."""
    exchange: Any = document["exchange"]
    for name, weight in weights.items():
        exchange[name]["weight"] = max(float(f"{weight:.9g}"), _LEAST_WEIGHT)


def put_correlations(document: TOMLDocument, correlations: Iterable[Correlation]) -> None:
    """Replace all correlations."""
    import tomlkit

    tables = tomlkit.aot()
    for correlation in correlations:
        table = tomlkit.table()
        table["between"] = [str(q) for q in correlation.between]
        table["rho"] = correlation.rho
        tables.append(table)
    if len(tables):
        document["correlations"] = tables
    else:
        document.pop("correlations", None)
