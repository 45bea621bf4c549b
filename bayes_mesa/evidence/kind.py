"""What a kind of evidence is: its columns, what its rows must be, and its likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bayes_mesa.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    import numpy as np

    from bayes_mesa.evidence.hypothesis import Hypothesis
    from bayes_mesa.model import EvidenceTable, Family, Model

Columns = Mapping[str, Any]


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
    from bayes_mesa.wording import listed, shown, suggestion

    near = suggestion(found, known)
    return RowFault(row, column, f"must be one of {listed(known)}, found {shown(found)}{near}")
