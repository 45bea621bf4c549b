"""Independent draws from the prior, conditioned on the constraints, in NumPy.

Not in JAX: a NumPy generator gives the same bytes on any number of threads, and a run without
evidence need not load JAX at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Constraint, Model, Quantity
from bayes_mesa.domain.slots import Slot
from bayes_mesa.errors import InputError

#: Below this acceptance a constraint contradicts the prior rather than conditioning it.
LEAST_ACCEPTANCE = 1e-4
_BLOCK = 4096
_TRIAL = 200_000


@dataclass(frozen=True)
class PriorDraws:
    """Draws of slot values, ``values[name]`` (num_draws,) or (num_draws, size), and acceptance."""

    values: Mapping[str, np.ndarray]
    acceptance: float


def draw_prior(
    model: Model, slots: Sequence[Slot], num_draws: int, rng: np.random.Generator
) -> PriorDraws:
    """Draw the given slots from ∝ Π p · copula · 1[constraints hold], by rejection.

    Constraints and correlations count when all their quantities are among ``slots``: the caller
    passes sets that neither cuts through.

    Raises
    ------
    InputError
        When fewer than one draw in ten thousand satisfies the constraints.
    """
    names = {s.name for s in slots}
    constraints = [c for c in model.constraints if _names(c) <= names]
    if not constraints:
        return PriorDraws(_draw_block(model, slots, num_draws, rng), 1.0)
    kept: list[dict[str, np.ndarray]] = []
    accepted = tried = 0
    while accepted < num_draws:
        # Whole blocks, so that the stream does not depend on how many draws were still missing.
        values = _draw_block(model, slots, _BLOCK, rng)
        holds = np.ones(len(next(iter(values.values()))), dtype=bool)
        for constraint in constraints:
            holds &= slack(model, constraint, values) >= 0
        kept.append({name: x[holds] for name, x in values.items()})
        accepted += int(holds.sum())
        tried += holds.size
        if tried >= _TRIAL and accepted < LEAST_ACCEPTANCE * tried:
            raise InputError(
                f"constraints must hold for at least {LEAST_ACCEPTANCE:g} of the prior, but held "
                f"for {accepted} of {tried} draws: "
                + "; ".join(map(str, constraints))
                + " (widen the priors of these costs or drop the constraint)"
            )
    values = {n: np.concatenate([k[n] for k in kept])[:num_draws] for n in kept[0]}
    return PriorDraws(values, accepted / tried)


def slack(model: Model, constraint: Constraint, values: Mapping[str, Any]) -> Any:
    """Sum of the larger side less the sum of the smaller one, of effective costs."""
    larger = sum(effective(model, q, values) for q in constraint.larger)
    return larger - sum(effective(model, q, values) for q in constraint.smaller)


def effective(model: Model, quantity: Quantity, values: Mapping[str, Any]) -> Any:
    """A component's cost after heuristics, from slot values."""
    cost = values[str(quantity)]
    if quantity.component in model.heuristics.of:
        return cost * values[f"heuristics_{quantity.axis}"]
    return cost


def copula_matrix(model: Model, names: Sequence[str]) -> np.ndarray:
    """Correlation matrix of the Gaussian copula over ``names``, (K, K)."""
    index = {name: k for k, name in enumerate(names)}
    matrix = np.eye(len(names))
    for correlation in model.correlations:
        left, right = (index.get(str(q)) for q in correlation.between)
        if left is not None and right is not None:
            matrix[left, right] = matrix[right, left] = correlation.rho
    return matrix


def correlated_names(model: Model) -> tuple[str, ...]:
    """Names of the quantities that a correlation mentions, in file order."""
    return tuple(dict.fromkeys(str(q) for c in model.correlations for q in c.between))


def _names(constraint: Constraint) -> set[str]:
    return {str(q) for q in (*constraint.larger, *constraint.smaller)}


def _draw_block(
    model: Model, slots: Sequence[Slot], size: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    normals = {
        s.name: rng.standard_normal((size, *([s.size] if s.size else [])))
        for s in slots
        if s.uncertain
    }
    names = [n for n in correlated_names(model) if n in normals]
    if names:
        factor = np.linalg.cholesky(copula_matrix(model, names))
        independent = np.stack([normals[n] for n in names], axis=-1)
        normals |= dict(zip(names, np.einsum("nk,jk->jn", independent, factor), strict=True))
    return {s.name: _value(s, normals.get(s.name), size) for s in slots}


def _value(slot: Slot, normal: np.ndarray | None, size: int) -> np.ndarray:
    if isinstance(slot.belief, Known):
        return np.full((size, *([slot.size] if slot.size else [])), slot.belief.value)
    assert normal is not None  # noqa: S101 - every uncertain slot was drawn above
    return slot.belief.at_score(normal)
