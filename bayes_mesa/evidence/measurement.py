"""Evidence of kind ``measurement``: measured costs of components.

value ~ LogNormal(log of the component's effective cost, log_sd), independent by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.beliefs import Known
from bayes_mesa.evidence.kind import Columns, undeclared
from bayes_mesa.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    from bayes_mesa.evidence.hypothesis import Hypothesis
    from bayes_mesa.model import EvidenceTable, Family, Model

AXES = ["bits", "steps"]


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

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """Every row measures a cost that the model has and that is not surely 0."""
        for row, axis in rows.sound("quantity"):
            if axis not in AXES:
                yield undeclared(row, "quantity", axis, AXES)
        if model is not None:
            yield from _unmeasurable(rows, model)

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

        index = given.model.component_index
        pairs = zip(columns["quantity"], columns["component"], strict=True)
        true = jnp.stack([given.theta[str(axis)][index[str(c)]] for axis, c in pairs])
        with numpyro.plate(f"{name}_row", len(columns["value"])):
            rows = dist.LogNormal(jnp.log(true), columns["log_sd"])
            numpyro.sample(name, rows, obs=columns["value"] if observed else None)

    def observed(self, columns: Columns) -> np.ndarray:
        """The measured values."""
        return np.asarray(columns["value"])


def _unmeasurable(rows: Rows, model: Model) -> Iterator[RowFault]:
    components = {component.name: component for component in model.components}
    for row, name in rows.sound("component"):
        if name not in components:
            yield undeclared(row, "component", name, list(components))
    for row, name, axis in rows.sound("component", "quantity"):
        if name in components and getattr(components[name], axis, None) == Known(0.0):
            found = f"must be a cost that the model does not hold to be 0, found {axis} of {name}"
            yield RowFault(row, "quantity", found)
