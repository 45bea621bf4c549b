"""Experts' judgements as the priors of the costs that a model leaves out.

Tables of kind ``elicitation`` have no likelihood: with them a cost's belief is the linear pool of
all judgements of it, from every table in force, weights normalised cost by cost. They stay in the
model's evidence, where the raw judgements can be read, and in force whatever other evidence a fit
is given or denied: they are priors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from bayes_mesa.domain.beliefs import Belief
from bayes_mesa.domain.model import Component, EvidenceTable, Model
from bayes_mesa.domain.pool import Judgement, Pool
from bayes_mesa.errors import InputError

KIND = "elicitation"
Cost = tuple[str, str]

#: Of the same judgements the same model: what is compiled for one serves again.
_MADE: WeakKeyDictionary[Model, dict[tuple, Model]] = WeakKeyDictionary()


def judgement_tables(model: Model) -> tuple[EvidenceTable, ...]:
    """The elicitation tables that are in force."""
    return tuple(table for table in model.evidence if table.kind == KIND)


def with_elicited(model: Model, tables: Iterable[EvidenceTable] = ()) -> Model:
    """The model with the pool of all judgements as the belief of every cost that was judged.

    Parameters
    ----------
    model
        A model; elicitation tables among its evidence are in force already.
    tables
        Evidence, of which the elicitation tables come into force too. One that is in force (its
        name and content the same) changes nothing, so this may be called twice. The judgements of
        another one are pooled with those in force, not instead of them.

    Raises
    ------
    InputError
        Where a table has the name of one in force but says something else, or an expert judges a
        cost in two tables.
    """
    own = judgement_tables(model)
    new = [t for t in tables if t.kind == KIND and not _in_force(t, own)]
    for name, message in clashes((*own, *new)):
        raise InputError(f"evidence.{name}: {message}")
    made = _MADE.setdefault(model, {})
    key = tuple(map(_content, new))
    if key not in made:
        components = _pooled(model.components, (*own, *new))
        if not new and components == model.components:
            return model
        made[key] = replace(model, components=components, evidence=(*model.evidence, *new))
    return made[key]


def clashes(tables: Sequence[EvidenceTable]) -> Iterator[tuple[str, str]]:
    """Name of a table, and what is wrong: it repeats an expert's judgement from another one."""
    seen: dict[tuple[str, Cost], str] = {}
    for table in tables:
        for cost, judged in _rows(table):
            before = seen.setdefault((judged.expert, cost), table.name)
            if before != table.name:
                axis, component = cost
                yield (
                    table.name,
                    f"must not judge again what another table holds, found {axis} of {component} "
                    f"by {judged.expert} in {before} too",
                )


def _in_force(table: EvidenceTable, own: Sequence[EvidenceTable]) -> bool:
    same = next((t for t in own if t.name == table.name), None)
    if same is None:
        return False
    if _content(same) != _content(table):
        raise InputError(
            f"evidence.{table.name}: must have a name of its own, found that of judgements in "
            "force, which say something else (they are priors, and stay)"
        )
    return True


def _content(table: EvidenceTable) -> tuple:
    return table.name, tuple(_rows(table))


def _rows(table: EvidenceTable) -> Iterator[tuple[Cost, Judgement]]:
    columns = table.columns
    weight = columns.get("weight", np.ones(len(table)))
    for k, (axis, component) in enumerate(
        zip(columns["quantity"], columns["component"], strict=True)
    ):
        q05, q50, q95 = (float(columns[name][k]) for name in ("q05", "q50", "q95"))
        judged = Judgement(q05, q50, q95, float(weight[k]), str(columns["expert"][k]))
        yield (str(axis), str(component)), judged


def _pooled(
    components: Sequence[Component], tables: Iterable[EvidenceTable]
) -> tuple[Component, ...]:
    judged: dict[Cost, list[Judgement]] = {}
    for table in tables:
        for cost, judgement in _rows(table):
            judged.setdefault(cost, []).append(judgement)
    pools: dict[Cost, Belief] = {cost: Pool(tuple(all_)) for cost, all_ in judged.items()}
    return tuple(
        replace(
            c,
            bits=pools.get(("bits", c.name), c.bits),
            steps=pools.get(("steps", c.name), c.steps),
        )
        for c in components
    )
