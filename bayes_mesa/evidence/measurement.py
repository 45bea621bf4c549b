"""Evidence of kind ``measurement``: measured costs of components.

value ~ LogNormal(log of the component's effective cost, log_sd), independent by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.evidence.kind import AXES, Columns, wrong_axis, wrong_cost
from bayes_mesa.reading.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    from bayes_mesa.domain.model import EvidenceTable, Family, Model
    from bayes_mesa.evidence.hypothesis import Hypothesis


@dataclass(frozen=True)
class Measurement:
    """A ``value`` of a component's bits or steps, with the sd ``log_sd`` of its logarithm."""

    name: str = "measurement"
    columns: tuple[Column, ...] = (
        Column("component", "name"),
        Column("quantity", "name"),
        Column("value", "number", low=0.0, above=True),
        Column("log_sd", "number", low=0.0, above=True),
    )
    outcome: str = "value"

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """Every row measures a cost that the model has and that is not surely 0."""
        yield from wrong_axis(rows)
        if model is not None:
            yield from wrong_cost(rows, "component", "quantity", model)

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> frozenset[str]:
        """The measured costs, and the heuristics that multiply them."""
        pairs = zip(table.columns["quantity"], table.columns["component"], strict=True)
        costs = {f"{axis}.{component}" for axis, component in pairs}
        return frozenset(costs | {f"heuristics_{axis}" for axis in AXES})

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """Lognormal around the true costs."""
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        true = given.costs(columns["quantity"], columns["component"])
        with numpyro.plate(f"{name}_row", len(columns["value"])):
            rows = dist.LogNormal(jnp.log(true), columns["log_sd"])
            numpyro.sample(name, rows, obs=columns["value"] if observed else None)

    def observed(self, columns: Columns) -> np.ndarray:
        """The measured values."""
        return np.asarray(columns["value"])
