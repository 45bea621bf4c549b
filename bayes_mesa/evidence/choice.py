"""Evidence of kind ``choice``: trained networks that stored a fact rather than derive it.

Rows are independent, with logit of the probability of storing

    β ln 2 · (Φ(0, base_steps + steps) − Φ(bits, base_steps)),

the log odds of the two programs' weights. Without groups: Binomial. With groups: the logarithm of
the exchange parameter (κ, or γ) of group i is that of the model plus sd · z_i, z_i ~ Normal(0, 1),
sd ~ HalfNormal(1); the logit has an intercept ~ Normal(0, 2), since deriving has a fixed cost; and
counts are beta-binomial with concentration ~ LogNormal(2, 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.costing.exchange import LN2, added_penalty
from bayes_mesa.evidence.kind import Columns
from bayes_mesa.reading.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    from bayes_mesa.domain.model import EvidenceTable, Family, Model
    from bayes_mesa.evidence.hypothesis import Hypothesis

#: The parameter of each family that groups vary around.
_VARIES = {"linear": "rate", "levin": "kappa", "power": "rate"}
#: Beyond these log odds a beta-binomial's arguments underflow; probabilities there are under 1e-17.
_WIDEST_LOGIT = 40.0


@dataclass(frozen=True)
class Choice:
    """Of ``trials`` networks that stored or derived a fact, ``stored`` stored it.

    Storing costs ``bits``, deriving ``steps`` beyond the ``base_steps`` of the rest; ``group`` is
    a training regime or a seed.
    """

    name: str = "choice"
    columns: tuple[Column, ...] = (
        Column("bits", "number", low=0.0),
        Column("steps", "number", low=0.0),
        Column("base_steps", "number", low=0.0, above=True),
        Column("stored", "count"),
        Column("trials", "count"),
        Column("group", "name", required=False),
    )
    outcome: str = "stored"

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """No more networks can have stored the fact than there were."""
        for row, stored, trials in rows.sound("stored", "trials"):
            if stored > trials:
                found = f"must be at most trials ({trials}), found {stored}"
                yield RowFault(row, "stored", found)

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> frozenset[str]:
        """The pressure and the exchange parameters: costs stand in the table."""
        return frozenset({"pressure", *family.variables()})

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """Binomial, or beta-binomial with one exchange parameter per group."""
        import numpyro
        import numpyro.distributions as dist

        if "group" in columns:
            rows = _grouped(name, columns, given)
        else:
            rows = dist.Binomial(columns["trials"], logits=_logit(columns, given, 1.0))
        with numpyro.plate(f"{name}_row", len(columns["trials"])):
            numpyro.sample(name, rows, obs=columns["stored"] if observed else None)

    def observed(self, columns: Columns) -> np.ndarray:
        """How many networks stored each fact."""
        return np.asarray(columns["stored"])


def _logit(columns: Columns, given: Hypothesis, factor: Any) -> Any:
    import jax.numpy as jnp

    parameters = given.parameters
    varied = _VARIES[given.family.name]
    parameters |= {varied: parameters[varied] * factor}
    base, steps = (jnp.asarray(columns[c], dtype=float) for c in ("base_steps", "steps"))
    derived = added_penalty(given.family.name, parameters, base, steps, jnp)
    return given.pressure * LN2 * (derived - columns["bits"])


def _grouped(name: str, columns: Columns, given: Hypothesis) -> Any:
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from jax.nn import sigmoid

    groups, code = np.unique(np.asarray(columns["group"]), return_inverse=True)
    sd = numpyro.sample(f"{name}_sd", dist.HalfNormal(1.0))
    intercept = numpyro.sample(f"{name}_intercept", dist.Normal(0.0, 2.0))
    concentration = numpyro.sample(f"{name}_concentration", dist.LogNormal(2.0, 1.0))
    with numpyro.plate(f"{name}_group", len(groups)):
        offset = numpyro.sample(f"{name}_offset", dist.Normal(0.0, 1.0))
    logit = intercept + _logit(columns, given, jnp.exp(sd * offset[code]))
    logit = jnp.clip(logit, -_WIDEST_LOGIT, _WIDEST_LOGIT)
    return dist.BetaBinomial(
        concentration * sigmoid(logit), concentration * sigmoid(-logit), columns["trials"]
    )
