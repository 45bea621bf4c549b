"""Evidence of kind ``comparison``: which of two components costs more, judged again and again.

Thurstone's law of comparative judgement (1927, case V) on a log scale: a judge sees the log ratio
of the two effective costs through normal noise, so that

    left_larger ~ Binomial(trials, Φ_N((ln cost_left − ln cost_right) / sd)),  sd ~ HalfNormal(1),

with one sd for each expert, or one for the table. Rows are independent given the costs and the sd.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.evidence.kind import Columns, wrong_axis, wrong_cost
from bayes_mesa.reading.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    from bayes_mesa.domain.model import EvidenceTable, Family, Model
    from bayes_mesa.evidence.hypothesis import Hypothesis

SIDES = ("left", "right")
#: Scores beyond this are held there: the gradient of log Φ_N is a difference of terms of order x²,
#: and keeps no digit from about 1e8 on.
_WIDEST_SCORE = 1e6


@dataclass(frozen=True)
class Comparison:
    """Of ``trials`` judgements, ``left_larger`` held that ``left`` costs more than ``right``."""

    name: str = "comparison"
    columns: tuple[Column, ...] = (
        Column("left", "name"),
        Column("right", "name"),
        Column("quantity", "name"),
        Column("left_larger", "count"),
        Column("trials", "count"),
        Column("expert", "name", required=False),
    )
    outcome: str = "left_larger"

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """Two costs that the model has, neither surely 0, and no more answers than questions."""
        yield from wrong_axis(rows)
        for row, left, right in rows.sound(*SIDES):
            if left == right:
                yield RowFault(row, "right", f"must be another component than left, found {right}")
        for row, larger, trials in rows.sound("left_larger", "trials"):
            if larger > trials:
                found = f"must be at most trials ({trials}), found {larger}"
                yield RowFault(row, "left_larger", found)
        if model is not None:
            for side in SIDES:
                yield from wrong_cost(rows, side, side, model)

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> frozenset[str]:
        """The costs that are compared, and the heuristics that multiply them."""
        columns = table.columns
        costs = {
            f"{axis}.{component}"
            for side in SIDES
            for axis, component in zip(columns["quantity"], columns[side], strict=True)
        }
        return frozenset(costs | {"heuristics_bits", "heuristics_steps"})

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """Binomial, probit in the log ratio of the effective costs."""
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        left, right = (jnp.log(given.costs(columns["quantity"], columns[side])) for side in SIDES)
        rows = dist.Binomial(
            columns["trials"], logits=_logit((left - right) / _noise(name, columns))
        )
        with numpyro.plate(f"{name}_row", len(columns["trials"])):
            numpyro.sample(name, rows, obs=columns["left_larger"] if observed else None)

    def observed(self, columns: Columns) -> np.ndarray:
        """How many judgements held the left one to be larger."""
        return np.asarray(columns["left_larger"])


def _noise(name: str, columns: Columns) -> Any:
    """Sd of the judgements' noise, one for all rows or (rows,) by expert."""
    import numpyro
    import numpyro.distributions as dist

    if "expert" not in columns:
        return numpyro.sample(f"{name}_sd", dist.HalfNormal(1.0))
    experts, code = np.unique(np.asarray(columns["expert"]), return_inverse=True)
    with numpyro.plate(f"{name}_expert", len(experts)):
        sd = numpyro.sample(f"{name}_sd", dist.HalfNormal(1.0))
    return sd[code]


def _logit(score: Any) -> Any:
    """Log odds of Φ_N(score): finite where Φ_N itself is 0 or 1 in double precision."""
    import jax.numpy as jnp
    from jax.scipy.special import log_ndtr

    score = jnp.clip(score, -_WIDEST_SCORE, _WIDEST_SCORE)
    below, above = log_ndtr(jnp.stack([score, -score]))
    return below - above
