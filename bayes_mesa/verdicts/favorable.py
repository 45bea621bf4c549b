"""Which of all programs of a grammar can be favored at some costs: corners of the frontier.

Costs are sums of counts with prices >= 0, and every exchange is concave in them: over mixtures of
programs it is least at one of them. A program whose counts no mixture of the others undercuts is
the cheapest at some prices under the linear exchange; one that a mixture undercuts is under none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Model, Structure
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.frontier import with_frontier
from bayes_mesa.verdicts.dominance import constraint_rows, free, never_favored_of

Array = npt.NDArray[np.float64]

#: Programs beyond which mixtures are not looked at: one linear program each.
_MAX_PROGRAMS = 300
#: Advantage, at prices that sum to 1, that is no rounding error.
_ADVANTAGE = 1e-9


def can_be_favored(model: Model) -> tuple[Structure, ...]:
    """Programs that can be favored at some costs, whatever the model's priors: listed ones first.

    No other program of the grammar is ever the only cheapest one. Of equal programs the one that
    wins ties is given. Of more than 300 that no single other one undercuts, and under a cap or a
    capacity, all of those are given. Empty without a grammar, or where no finite frontier is known.
    """
    if model.grammar is None:
        return ()
    try:
        every = with_frontier(model)
    except RefusedError:
        return ()
    never = never_favored_of(every)
    left = [
        k
        for k, (s, eligible) in enumerate(zip(every.structures, every.eligible, strict=True))
        if eligible and s.name not in never
    ]
    # Part of a mixture may exceed a cap that the program keeps.
    limited = (model.selection.cap, model.selection.max_bits) != (None, None)
    if len(left) <= _MAX_PROGRAMS and not limited:
        rows = _rows(every)[left]
        bounds, prices = _limits(every)
        left = [k for own, k in enumerate(left) if _advantage(rows, own, bounds, prices)]
    return tuple(every.structures[k] for k in left)


def _rows(model: Model) -> Array:
    """What every program pays at each price: rule bits, stores, runs, losses, (S, P)."""
    counts = Counts.of(model)
    losses = list(model.losses)
    loses = np.array([[s.train == o for o in losses] for s in model.structures], float)
    loses = loses.reshape(len(model.structures), len(losses))
    return np.hstack([counts.rule_bits[:, None], counts.bits, counts.steps, loses])


def _limits(model: Model) -> tuple[list[tuple[float, float]], Array]:
    """Bounds of every price, and constraints on them: rows (K, P) that must not be negative."""
    bits, steps = (free(model, axis) for axis in ("bits", "steps"))
    nothing = [belief == Known(0.0) for belief in model.losses.values()]
    out = [False, *bits, *steps, *nothing]
    parts = [constraint_rows(model, axis)[1] for axis in ("bits", "steps")]
    size = len(model.components)
    rows = np.zeros((len(parts[0]) + len(parts[1]), len(out)))
    rows[: len(parts[0]), 1 : 1 + size] = parts[0]
    rows[len(parts[0]) :, 1 + size : 1 + 2 * size] = parts[1]
    return [(0.0, 0.0 if gone else 1.0) for gone in out], rows


def _advantage(rows: Array, own: int, bounds: list[tuple[float, float]], limits: Array) -> bool:
    """Whether some prices make a program cheaper than every other one that is not its equal."""
    from scipy.optimize import linprog

    priced = np.array([high > 0.0 for _, high in bounds])
    excess = rows - rows[own]
    differs = (excess[:, priced] != 0.0).any(axis=1)
    differs[:own] = True  # an equal that comes before wins the tie
    differs[own] = False
    if not differs.any():
        return True
    # Unknowns: the prices, which sum to at most 1, and the advantage, which is to be the largest.
    size = rows.shape[1]
    larger = np.hstack([-excess[differs], np.ones((np.count_nonzero(differs), 1))])
    kept = np.hstack([-limits, np.zeros((len(limits), 1))])
    total = np.append(np.ones(size), 0.0)[None]
    found = linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.vstack([larger, kept, total]),
        b_ub=np.append(np.zeros(len(larger) + len(kept)), 1.0),
        bounds=[*bounds, (None, None)],
        method="highs",
    )
    return found.status != 0 or -found.fun > _ADVANTAGE
