"""What a kind of evidence is: its columns, what its rows must be, and its likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.reading.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    import numpy as np

    from bayes_mesa.domain.model import EvidenceTable, Family, Model
    from bayes_mesa.evidence.hypothesis import Hypothesis

Columns = Mapping[str, Any]

AXES = ["bits", "steps"]


class EvidenceKind(Protocol):
    """One kind of evidence, under the name that a model file gives it."""

    @property
    def name(self) -> str:
        """Name of the kind."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of its table."""
        ...

    @property
    def outcome(self) -> str:
        """The column that is random given theta; empty where the table is no data but a prior."""
        ...

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """What is wrong between columns, between rows, or with the model.

        Without a model (its file is faulty too), only what needs none is asked.
        """
        ...

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> frozenset[str] | None:
        """Names of the slots that the likelihood reads; None: every one."""
        ...

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """State the likelihood of the rows, as a NumPyro site called ``name``."""
        ...

    def observed(self, columns: Columns) -> np.ndarray:
        """What was observed, one value per row."""
        ...


def undeclared(row: int, column: str, found: str, known: list[str]) -> RowFault:
    """Make the fault of a row that names something that the model does not have."""
    from bayes_mesa.text.wording import listed, shown, suggestion

    near = suggestion(found, known)
    return RowFault(row, column, f"must be one of {listed(known)}, found {shown(found)}{near}")


def wrong_axis(rows: Rows) -> Iterator[RowFault]:
    """Find the rows whose ``quantity`` is neither of the two costs."""
    for row, axis in rows.sound("quantity"):
        if axis not in AXES:
            yield undeclared(row, "quantity", axis, AXES)


def wrong_cost(rows: Rows, column: str, blamed: str, model: Model) -> Iterator[RowFault]:
    """Find the rows whose ``column`` names no component, or one whose cost is surely 0.

    ``blamed`` is the column that answers for a cost of 0.
    """
    components = {component.name: component for component in model.components}
    for row, name in rows.sound(column):
        if name not in components:
            yield undeclared(row, column, name, list(components))
    for row, name, axis in rows.sound(column, "quantity"):
        if name in components and getattr(components[name], axis, None) == Known(0.0):
            found = f"must be a cost that the model does not hold to be 0, found {axis} of {name}"
            yield RowFault(row, blamed, found)
