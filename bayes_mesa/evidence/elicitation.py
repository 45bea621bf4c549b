"""Evidence of kind ``elicitation``: experts' quantiles of costs that nobody has measured.

It has no likelihood. The quantiles of all experts on one cost are its prior (see `elicited`), so a
cost has either a belief in the model file or judgements, never both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.pool import Judgement, Pool
from bayes_mesa.evidence.kind import AXES, Columns, undeclared, wrong_axis
from bayes_mesa.reading.tables import Column, RowFault, Rows
from bayes_mesa.text.wording import shown

if TYPE_CHECKING:
    from bayes_mesa.domain.model import Component, EvidenceTable, Family, Model
    from bayes_mesa.evidence.hypothesis import Hypothesis


@dataclass(frozen=True)
class Elicitation:
    """What an ``expert`` holds to be the 5, 50 and 95 % quantiles of a component's cost."""

    name: str = "elicitation"
    outcome: str = ""
    columns: tuple[Column, ...] = (
        Column("expert", "name"),
        Column("component", "name"),
        Column("quantity", "name"),
        Column("q05", "number", low=0.0, above=True),
        Column("q50", "number", low=0.0, above=True),
        Column("q95", "number", low=0.0, above=True),
        Column("weight", "number", low=0.0, above=True, required=False),
    )

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """Quantiles rise, an expert judges a cost once, and the model file leaves that cost out."""
        yield from wrong_axis(rows)
        yield from _out_of_order(rows)
        yield from _twice(rows)
        if model is not None:
            yield from _not_left_out(rows, model)

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> frozenset[str]:
        """Nothing: judgements are priors, not data."""
        return frozenset()

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """State nothing: the judgements are in the model's beliefs already."""

    def observed(self, columns: Columns) -> np.ndarray:
        """The medians: nothing was observed, but something was said."""
        return np.asarray(columns["q50"])


def given_in_file(component: Component, axis: str) -> bool:
    """Whether the model says what a cost is, other than by judgements."""
    belief = getattr(component, axis)
    if axis in component.given:
        return True
    return not (isinstance(belief, Pool) and belief.experts) and belief != Known(0.0)


def _out_of_order(rows: Rows) -> Iterator[RowFault]:
    for low, high in (("q05", "q50"), ("q50", "q95")):
        for row, least, value in rows.sound(low, high):
            if not value > least:
                found = f"must exceed {low} ({shown(least)}), found {shown(value)}"
                yield RowFault(row, high, found)
    for row, q05, q50, q95 in rows.sound("q05", "q50", "q95"):
        if q05 < q50 < q95 and not Judgement(q05, q50, q95).drawable:
            found = f"must leave both tails between 1e-307 and 1e307, found {shown(q05)}"
            yield RowFault(row, "q05", f"{found} to {shown(q95)}")


def _twice(rows: Rows) -> Iterator[RowFault]:
    seen = set()
    for row, *judged in rows.sound("expert", "component", "quantity"):
        if tuple(judged) in seen:
            expert, component, axis = judged
            found = f"must judge each cost once, found {axis} of {component} twice by {expert}"
            yield RowFault(row, "expert", found)
        seen.add(tuple(judged))


def _not_left_out(rows: Rows, model: Model) -> Iterator[RowFault]:
    components = {component.name: component for component in model.components}
    for row, name in rows.sound("component"):
        if name not in components:
            yield undeclared(row, "component", name, list(components))
    for row, name, axis in rows.sound("component", "quantity"):
        if name in components and axis in AXES and given_in_file(components[name], axis):
            found = (
                "must be a cost that the model file leaves out, since elicitation replaces its "
                f"prior, found {axis} given for {name}"
            )
            yield RowFault(row, "quantity", found)
