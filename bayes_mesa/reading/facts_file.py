"""Useful facts from a CSV: ``name,bits,steps[,needs]``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from pathlib import Path

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Facts
from bayes_mesa.errors import ModelFileError
from bayes_mesa.reading.tables import MAX_FAULTS, Column, RowFault, Rows, file_faults, read_csv
from bayes_mesa.text.wording import shown, suggestion

MAX_FACTS = 100_000

COLUMNS = (
    Column("name", "name"),
    Column("bits", "number", low=0.0),
    Column("steps", "number", low=0.0),
    Column("needs", "names", required=False),
)


def read_facts(path: Path, path_shown: str, uses: Mapping[str, float]) -> Facts:
    """Read the facts of a model.

    Raises
    ------
    ModelFileError
        With every fault of the file, among them names given twice, needs that are no facts, and
        facts that need themselves by way of others.
    """
    rows = read_csv(path, path_shown, COLUMNS)
    faults = (*rows.faults, *islice(_faults(rows), MAX_FAULTS))
    if faults:
        raise ModelFileError(file_faults(path_shown, rows, faults))
    names = tuple(rows.columns["name"])
    place = {name: j for j, name in enumerate(names)}
    return Facts(
        names,
        tuple(map(Known, rows.columns["bits"])),
        tuple(map(Known, rows.columns["steps"])),
        tuple(tuple(place[need] for need in needs) for needs in _needs(rows)),
        uses,
    )


def _needs(rows: Rows) -> Sequence[Sequence[str]]:
    return rows.columns.get("needs") or [()] * len(rows)


def _faults(rows: Rows) -> Iterator[RowFault]:
    if len(rows) > MAX_FACTS:
        yield RowFault(None, "name", f"must be at most {MAX_FACTS} facts, found {len(rows)}")
        return
    place: dict[str, int] = {}
    for row, name in rows.sound("name"):
        if len(name.split()) > 1:
            yield RowFault(row, "name", f"must be one word, found {shown(name)}")
        elif name in place:
            yield RowFault(row, "name", f"must differ from other facts, found {shown(name)} again")
        place.setdefault(name, row)
    needs: dict[str, Sequence[str]] = {}
    for row, name, needed in rows.sound("name", "needs"):
        if place[name] == row:
            needs[name] = [need for need in needed if need in place]
        for need, count in Counter(needed).items():
            if count > 1:
                yield RowFault(row, "needs", f"must name {shown(need)} once, found it again")
            if need not in place:
                near = suggestion(need, place)
                yield RowFault(row, "needs", f"must be facts, found {shown(need)}{near}")
    yield from _cycle(needs, place)


def _cycle(needs: Mapping[str, Sequence[str]], place: Mapping[str, int]) -> Iterator[RowFault]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        # Given from needed to needing; a reader follows it the other way.
        cycle = error.args[1][::-1]
        way = " needs ".join(cycle if len(cycle) <= 12 else [*cycle[:6], "...", *cycle[-5:]])
        row = min(place[name] for name in cycle)
        yield RowFault(row, "needs", f"must not lead back to the fact itself, found {way}")
