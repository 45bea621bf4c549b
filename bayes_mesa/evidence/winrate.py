"""Evidence of kind ``winrate``: games between two players of unequal compute.

wins ~ Binomial(games, r^η / (1 + r^η)) for the player who has r times the other's compute, that
is logit = η ln r, independent by row. η is the regime's planning exponent: at η = 1 twice the
compute wins two games of three (Jones 2021, *Scaling Scaling Laws with Board Games*).
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
class Winrate:
    """Of ``games``, ``wins`` went to the player with ``compute_ratio`` times the other's compute.

    Games without a winner are left out.
    """

    name: str = "winrate"
    columns: tuple[Column, ...] = (
        Column("compute_ratio", "number", low=0.0, above=True),
        Column("wins", "count"),
        Column("games", "count"),
    )
    outcome: str = "wins"

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """No more games can have been won than played, and the model has an exponent to inform."""
        for row, wins, games in rows.sound("wins", "games"):
            if wins > games:
                yield RowFault(row, "wins", f"must be at most games ({games}), found {wins}")
        if model is not None and model.regime is None:
            found = "must go with a [regime], whose planning_exponent it informs, found none"
            yield RowFault(None, "compute_ratio", found)

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> frozenset[str]:
        """The planning exponent alone."""
        return frozenset({"planning_exponent"})

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """Binomial, its logit proportional to the log ratio of compute."""
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        logit = given.theta["planning_exponent"] * jnp.log(columns["compute_ratio"])
        with numpyro.plate(f"{name}_row", len(columns["games"])):
            rows = dist.Binomial(columns["games"], logits=logit)
            numpyro.sample(name, rows, obs=columns["wins"] if observed else None)

    def observed(self, columns: Columns) -> np.ndarray:
        """How many games were won."""
        return np.asarray(columns["wins"])
