"""Evidence of kind ``tradeoff``: how much running time has bought back training, as published.

exponent ~ LogNormal(ln α, log_sd), independent by row, with α the power family's exponent.

The figures are about the world, not about one family. Linear and levin have no α of their own, so
theirs is drawn from the power family's prior: rows of this kind alone then have the same marginal
likelihood in every family, and do not move the family probabilities. Left out of linear and levin,
a likelihood of 1 there would have been compared with a density in the power family: π_F would
hang on the units of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.evidence.kind import Columns
from bayes_mesa.reading.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    from bayes_mesa.domain.model import EvidenceTable, Family, Model
    from bayes_mesa.evidence.hypothesis import Hypothesis


@dataclass(frozen=True)
class Tradeoff:
    """An ``exponent`` found by ``source``, with the sd ``log_sd`` of its logarithm.

    The exponent is how many orders of magnitude of running compute make up for one of training
    compute.
    """

    name: str = "tradeoff"
    columns: tuple[Column, ...] = (
        Column("source", "name"),
        Column("exponent", "number", low=0.0, above=True),
        Column("log_sd", "number", low=0.0, above=True),
    )
    outcome: str = "exponent"

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """The model has the family whose exponent this is."""
        if model is None or not model.families:
            return
        if all(family.name != "power" for family in model.families):
            found = "must go with [exchange.power], whose exponent it informs, found none"
            yield RowFault(None, "exponent", found)

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> frozenset[str]:
        """The power family's exponent alone; under other families it is no slot of theirs."""
        return frozenset({"power_exponent"})

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """Lognormal around the exponent."""
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        centre = jnp.log(given.exponent)  # before the plate: its site is one number, not one a row
        with numpyro.plate(f"{name}_row", len(columns["exponent"])):
            rows = dist.LogNormal(centre, columns["log_sd"])
            numpyro.sample(name, rows, obs=columns["exponent"] if observed else None)

    def observed(self, columns: Columns) -> np.ndarray:
        """The published exponents."""
        return np.asarray(columns["exponent"])
