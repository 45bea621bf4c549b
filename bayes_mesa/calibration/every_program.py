"""Every program of a small model, weighed one by one: a way to a draw that no sampler shares.

w(s, z) = multiplicity · 2^(−β Φ(c, t)) · e^(−E loss), over all structures s and all 2^n choices z
of what to store, with no sum that is split into factors and no chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.costing.costs import Counts, totals
from bayes_mesa.costing.exchange import LN2, penalty
from bayes_mesa.costing.fact_choices import derivation_steps, every_choice
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import parameters

Floats = NDArray[np.float64]

#: Programs that are weighed at most.
MOST = 1 << 14


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of programs, (K,) each: ``log_weight`` in nats, −inf for what may not be selected."""

    bits: Floats
    steps: Floats
    log_weight: Floats


def can_be_listed(model: Model) -> bool:
    """Whether structures times choices of facts are few enough; a grammar's programs never are."""
    facts = len(model.facts)
    return model.grammar is None and facts < 15 and len(model.structures) << facts <= MOST


def drawn_program(
    model: Model, family: Family, theta: Mapping[str, Floats], rng: np.random.Generator
) -> tuple[int, NDArray[np.bool_]]:
    """One program by its exact weight: place of its structure, −1 where nothing fits, and z."""
    choices = every_choice(len(model.facts))
    structure = np.repeat(np.arange(len(model.structures)), len(choices))
    stored = np.tile(choices, (len(model.structures), 1))
    log_weight = costs(model, family, theta, structure, stored).log_weight
    if log_weight.max() == -np.inf:
        return -1, np.zeros(len(model.facts), bool)
    reached = np.cumsum(np.exp(log_weight - log_weight.max()))
    place = int(np.searchsorted(reached, rng.random() * reached[-1], side="right"))
    return int(structure[place]), stored[place]


def costs(
    model: Model,
    family: Family,
    theta: Mapping[str, Floats],
    structure: NDArray[np.int64],
    stored: NDArray[np.bool_],
) -> Costs:
    """Costs of programs (K,) of a model without a grammar, at one theta.

    Parameters
    ----------
    theta
        As `slots.assemble` gives it, of one draw: arrays that begin with 1.
    structure, stored
        Places in `Model.structures` (K,), none of them −1, and choices (K, n).
    """
    uses = np.array([model.facts.uses.get(s.name, 1.0) for s in model.structures])[structure]
    whole = totals(Counts.of(model), theta)
    bits = whole.full_bits[0][structure] + stored @ theta["fact_bits"][0]
    derived = derivation_steps(model.facts.needs, theta["fact_steps"][0], stored)
    steps = whole.full_steps[0][structure] + uses * derived
    own = {name: float(x[0]) for name, x in parameters(family, theta).items()}
    cost = penalty(family.name, own, bits, steps)
    multiplicity = np.array([s.multiplicity for s in model.structures])[structure]
    log_weight = np.log(multiplicity) - float(theta["pressure"][0]) * LN2 * cost
    log_weight = log_weight - _losses(model, theta)[structure]
    fits = np.isfinite(log_weight)
    for limit, spent in ((model.selection.cap, steps), (model.selection.max_bits, bits)):
        fits &= spent <= (np.inf if limit is None else limit)
    return Costs(bits, steps, np.where(fits, log_weight, -np.inf))


def _losses(model: Model, theta: Mapping[str, Floats]) -> Floats:
    """E · loss of what every structure pursues in training, nats; infinite where none is given."""
    names = list(model.losses)
    losses = dict(zip(names, theta["loss"][0] if names else (), strict=True))
    losses = {model.base_objective: 0.0} | losses
    episodes = model.selection.episodes
    return np.array([episodes * losses.get(s.train, np.inf) for s in model.structures])
