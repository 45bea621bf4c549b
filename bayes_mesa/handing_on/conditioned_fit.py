"""Priors that, once conditioned on the model's constraints, look like the draws.

Draws of a posterior satisfy the constraints already; a model file's priors are conditioned on them
again. Fitted as they stand, the margins of constrained costs would be conditioned twice. So what
conditioning does to the fits is simulated and taken out of the draws before they are fitted again:
with q the quantiles of a fit and q|C those of the same fit where the constraints C hold,

    ln x ← ln x − ( ln q|C − ln q )(rank of x),   R ← R − ( R|C − R ),

until the conditioned fits agree with the draws. Where constraints exclude most of the prior this
need not converge; the best round is kept, and how well it does is measured and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_mesa.domain.beliefs import Prior
from bayes_mesa.domain.model import Correlation, Model
from bayes_mesa.domain.slots import Slot
from bayes_mesa.handing_on.belief_fit import fit_prior
from bayes_mesa.handing_on.dependence import score_correlations, stated
from bayes_mesa.verdicts.prior_draws import draw_prior, slack

_ROUNDS = 8
_DRAWS = 20_000
#: Fewer draws within the constraints say too little of what conditioning does.
_LEAST_HELD = 1000
#: Distances below this over √N are those of draws from one distribution, half of the time.
_CLOSE = 0.83


@dataclass(frozen=True, eq=False)
class ConditionedFit:
    """Fits by slot and correlations, as a model file states them, and what conditioning leaves.

    ``held`` are draws of the slots that conditioning moves, by slot (M,); ``acceptance`` is the
    share of the fitted priors in which the constraints hold.
    """

    priors: Mapping[str, Prior]
    correlations: tuple[Correlation, ...]
    held: Mapping[str, np.ndarray]
    acceptance: float


def condition(
    model: Model,
    found: Sequence[Slot],
    draws: Mapping[str, np.ndarray],
    priors: Mapping[str, Prior],
    matrix: np.ndarray,
    least: np.ndarray,
    seed: int,
) -> ConditionedFit:
    """Fit the costs (and heuristics) of a model with constraints.

    Parameters
    ----------
    model
        Its constraints are what is conditioned on.
    found
        Slots of all costs, and of heuristics; the known ones too.
    draws
        Slot name → (N,) draws of those that are uncertain.
    priors
        Fits to these draws as they stand: where the search starts.
    matrix, least
        Correlations of the costs among them, and what is noise, (K, K), in the order of ``draws``.
    seed
        Of the simulation.
    """
    costs = [n for n in draws if "." in n]
    moved = _moved(model, stated(costs, matrix, least), draws)
    ranks = {n: _ranks(draws[n]) for n in moved}
    aim, best, misfit = matrix, None, np.inf
    close = _CLOSE / np.sqrt(min(x.size for x in draws.values()))
    for _ in range(_ROUNDS):
        correlations = stated(costs, aim, least)
        free, holds = _simulated(model, found, priors, correlations, seed)
        held = {n: free[n][holds] for n in moved}
        here = ConditionedFit(priors, correlations, held, float(holds.mean()))
        distance = max((_two_sample(draws[n], held[n]) for n in moved), default=0.0)
        if best is None or distance < misfit:
            best, misfit = here, distance
        # Nearer than chance would have it is as near as draws can tell.
        if holds.sum() < _LEAST_HELD or holds.all() or distance < close:
            break
        shift = {
            n: _log_quantiles(held[n], r) - _log_quantiles(free[n], r) for n, r in ranks.items()
        }
        priors = {**priors} | {n: _fitted(draws[n], shift[n]) for n in moved}
        aim = matrix - _conditioning(costs, free, held)
    assert best is not None  # noqa: S101 - the first round sets it
    return best


def _conditioning(
    costs: Sequence[str], free: Mapping[str, np.ndarray], held: Mapping[str, np.ndarray]
) -> np.ndarray:
    """What conditioning adds to the correlations of the costs, (K, K)."""
    added = np.zeros((len(costs), len(costs)))
    moved = [n for n in costs if n in held]
    if len(moved) > 1:
        place = np.ix_([costs.index(n) for n in moved], [costs.index(n) for n in moved])
        after = score_correlations({n: held[n] for n in moved})
        added[place] = after - score_correlations({n: free[n] for n in moved})
    return added


def _fitted(draws: np.ndarray, shift: np.ndarray) -> Prior:
    return fit_prior(np.exp(np.log(np.maximum(draws, np.finfo(float).tiny)) - shift))


def _moved(
    model: Model, correlations: Sequence[Correlation], draws: Mapping[str, np.ndarray]
) -> list[str]:
    """Uncertain slots that the constraints read, directly or through correlations."""
    ties = [
        {str(q) for q in (*c.larger, *c.smaller)}
        | {
            f"heuristics_{q.axis}"
            for q in (*c.larger, *c.smaller)
            if q.component in model.heuristics.of
        }
        for c in model.constraints
    ]
    reached = set().union(*ties)
    pairs = [{str(q) for q in c.between} for c in correlations]
    while grown := {n for pair in pairs if pair & reached for n in pair} - reached:
        reached |= grown
    return [n for n in draws if n in reached]


def _simulated(
    model: Model,
    found: Sequence[Slot],
    priors: Mapping[str, Prior],
    correlations: tuple[Correlation, ...],
    seed: int,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draws of the uncertain slots before conditioning, and where the constraints hold."""
    free = replace(model, constraints=(), correlations=correlations)
    fitted = [replace(s, belief=priors.get(s.name, s.belief)) for s in found]
    values = draw_prior(free, fitted, _DRAWS, np.random.default_rng(seed)).values
    holds = np.ones(_DRAWS, dtype=bool)
    for constraint in model.constraints:
        holds &= slack(model, constraint, values) >= 0
    return {n: values[n] for n in priors}, holds


def _ranks(draws: np.ndarray) -> np.ndarray:
    return (draws.argsort().argsort() + 0.5) / draws.size


def _log_quantiles(draws: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    return np.quantile(np.log(np.maximum(draws, np.finfo(float).tiny)), ranks)


def _two_sample(one: np.ndarray, other: np.ndarray) -> float:
    """Largest gap between the distributions of two sets of draws; 1 where one is empty."""
    if not other.size:
        return 1.0
    both = np.concatenate([one, other])
    below = [np.searchsorted(np.sort(x), both, side="right") / x.size for x in (one, other)]
    return float(np.max(np.abs(below[0] - below[1])))
