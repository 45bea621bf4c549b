r"""Exact sums over all programs of a grammar in JAX: differentiable, for one theta, for NUTS.

Log weights of whole classes, relative to a *base* that listed programs share: what every program
stores, and the penalty of the least steps t_0 that a program runs. A speed prior is a mixture of
linear rates lambda; at each rate the sum is that of `inside.System`,

.. math:: S(\lambda) = \prod_j (2^{-\beta b_j} + e^{-\lambda \tau_j})
          \sum_{\text{cases}} P(\text{case})
          \sum_{\text{roots}} e^{-E \text{loss}} F_\text{root}(\lambda).

Where the nodes stand is held constant in the derivative. Masses in results never come from here:
they are those of the compiled sums, with bounds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_mesa.costing.exchange import LN2
from bayes_mesa.costing.fact_sums_jax import log_either
from bayes_mesa.costing.rate_nodes_jax import (
    CUT,
    LEAST_EXCESS,
    LEAST_PENALTY,
    LEAST_POWER,
    levin_nodes,
    log_density,
    power_places,
    power_points,
    power_window,
    tilt,
)
from bayes_mesa.domain.model import CLASSES, Family, Model
from bayes_mesa.domain.slots import parameters
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.inside import System
from bayes_mesa.grammars.inside_jax import NEVER, Stage, log_sum, log_sums, stages

#: Components that some programs store and others do not, beyond which nothing is differentiated.
MAX_COINS = 8
#: Cases × nodes × terms of one sum, beyond which nothing is differentiated.
MAX_SIZE = 10_000_000
#: Nodes of levin's rule over log rate, and of the power family's for each class.
_LEVIN_NODES, _POWER_NODES = 160, 96
#: How many e-folds beyond the mean time levin's nodes stand close; less for a steep power of time,
#: which makes long programs rare by itself.
_MARGIN = 10.0
#: Points of a ladder that finds the power family's nodes, and how often it is refined.
_LADDER, _REFINEMENTS = 24, 4


@dataclass(frozen=True, eq=False)
class Grounds:
    """What exact sums over a model's grammar need and theta does not change.

    Attributes
    ----------
    system, order
        The equations, and their stages.
    present
        Positions in ``CLASSES`` of the classes that have programs.
    """

    system: System
    order: tuple[Stage, ...]
    present: tuple[int, ...]


@functools.lru_cache(maxsize=8)
def grounds(model: Model) -> Grounds:
    """What the sums need of a model.

    Raises
    ------
    RefusedError
        If the sums do not factorise, or are too large to be differentiated.
    """
    reasons = {
        "facts that need one another": model.facts.depend,
        "a cap": model.selection.cap is not None,
        "a capacity": model.selection.max_bits is not None,
        "overlaps": bool(model.overlaps),
    }
    for what, found in reasons.items():
        if found:
            raise RefusedError(
                "selection evidence needs the sum over all programs of the grammar, which does not "
                f"factorise with {what}: drop that or the evidence"
            )
    system = System.of(model)
    _refuse_what_is_large(model, system)
    return Grounds(system, stages(system), tuple(sorted(set(system.root_class.tolist()))))


def _refuse_what_is_large(model: Model, system: System) -> None:
    coins = int(np.count_nonzero(system.most))
    if coins > MAX_COINS:
        raise RefusedError(
            f"selection evidence differentiates sums over at most {MAX_COINS} components that some "
            f"programs store and others do not, found {coins}: drop the evidence, or rules"
        )
    nodes = max(_nodes(f.name) for f in model.families)
    size = len(system.cases) * nodes * len(system.target)
    if size > MAX_SIZE:
        raise RefusedError(
            f"selection evidence differentiates sums of at most {MAX_SIZE} numbers (cases of what "
            f"is stored × nodes × terms), found {len(system.cases)} × {nodes} × "
            f"{len(system.target)}: drop the evidence, or rules"
        )


def _nodes(family: str) -> int:
    return {"linear": 1, "levin": _LEVIN_NODES, "power": len(CLASSES) * _POWER_NODES}[family]


def log_class_weights(model: Model, family: Family, theta: Mapping[str, Any]) -> Any:
    """Log of the total weight of every class, relative to the base.

    Parameters
    ----------
    theta
        As `slots.assemble` gives it with ``xp = jax.numpy`` and no leading dimension.

    Returns
    -------
    JAX array (3,)
        In the order of `model.CLASSES`, natural log; −inf for a class without programs, NaN where
        the sum diverges. linear is exact. levin and power have a fixed number of nodes: about 1e-9
        over the shipped priors.
    """
    import jax.numpy as jnp

    ground = grounds(model)
    weights = _Weights.at(model, ground, theta)
    found = _FAMILIES[family.name](weights, parameters(family, theta))
    out = jnp.full(len(CLASSES), -jnp.inf, found.dtype)
    return out.at[np.array(ground.present)].set(found)


def base_steps(model: Model, theta: Mapping[str, Any]) -> tuple[Any, Any]:
    """Steps that every program runs, and the least that a program runs beyond them; scalars."""
    system = grounds(model).system
    return system.mandatory_runs @ theta["steps"], _least_counts(system, theta) @ theta["steps"]


@dataclass(frozen=True, eq=False)
class _Weights:
    """Everything but the rate: S at any rates, for one theta.

    ``least`` is t_0 and ``added`` the part of it that not every program runs, steps; ``log_cases``
    (K,) is log P(case); ``log_roots`` (Q,) what roots pay that does not depend on time.
    """

    ground: Grounds
    theta: Mapping[str, Any]
    least: Any
    added: Any
    log_cases: Any
    log_roots: Any

    @classmethod
    def at(cls, model: Model, ground: Grounds, theta: Mapping[str, Any]) -> _Weights:
        shared, added = base_steps(model, theta)
        system = ground.system
        return cls(
            ground,
            theta,
            shared + added,
            added,
            _log_cases(system, theta),
            _log_roots(model, system, theta),
        )

    @property
    def slope(self) -> Any:
        """Nats per bit."""
        return self.theta["pressure"] * LN2

    def log_classes(self, rates: Any) -> Any:
        """Log S of the classes that are present, at rates (L,) in nats per step, (P, L)."""
        import jax.numpy as jnp

        system, steps = self.ground.system, self.theta["steps"]
        bits = system.rule_bits + system.stores @ self.theta["bits"]
        log_terms = -self.slope * bits[:, None] - (system.runs @ steps)[:, None] * rates
        found = log_sums(system, self.ground.order, log_terms)
        roots = log_sum(found + self.log_cases[:, None], axis=1) + self.log_roots[:, None]
        roots = roots - (system.root_runs @ steps - self.added)[:, None] * rates
        members = [np.flatnonzero(system.root_class == c) for c in self.ground.present]
        return jnp.stack([log_sum(roots[m], axis=0) for m in members]) + self._log_facts(rates)

    def _log_facts(self, rates: Any) -> Any:
        cost = self.slope * self.theta["fact_bits"]
        return log_either(cost, rates[:, None] * self.theta["fact_steps"]).sum(-1)


def _log_cases(system: System, theta: Mapping[str, Any]) -> Any:
    """Log P(case): a coin shows at least j with probability 2^(−beta j b)."""
    import jax.numpy as jnp

    cost = theta["pressure"] * LN2 * theta["bits"]
    free = cost <= 0.0
    short = jnp.where(free, NEVER, jnp.log(-jnp.expm1(-jnp.where(free, 1.0, cost))))
    rows, sizes = [], [len(case.availability) for case in system.cases]
    for case in system.cases:
        missed = case.availability < system.most
        rows.append(-(case.availability @ cost) + missed.astype(float) @ short)
    never = jnp.full((1,), NEVER, cost.dtype)
    padded = np.full((len(sizes), max(sizes)), sum(sizes), np.int64)
    starts = np.cumsum([0, *sizes])
    for row, start, size in zip(padded, starts, sizes, strict=False):
        row[:size] = start + np.arange(size)
    return log_sum(jnp.concatenate([*rows, never])[padded], axis=1)


def _log_roots(model: Model, system: System, theta: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    loss = jnp.concatenate([theta["loss"], jnp.zeros(1)])[system.root_objective]
    bits = system.root_stores @ theta["bits"]
    return -model.selection.episodes * loss - theta["pressure"] * LN2 * bits


def _least_counts(system: System, theta: Mapping[str, Any]) -> Any:
    """Runs (C,), beyond the mandatory ones, of the program that runs the fewest steps."""
    import jax.numpy as jnp
    from jax import lax

    steps = lax.stop_gradient(theta["steps"])
    num_states = len(system.states)
    by_state = [np.flatnonzero(system.target == s) for s in range(num_states)]
    rows = np.array([np.resize(r, max(map(len, by_state))) for r in by_state])
    own = (system.runs @ steps)[rows]

    def deeper(_: int, state: Any) -> Any:
        cost, counts = state
        whole = own + jnp.append(cost, 0.0)[system.args].sum(-1)[rows]
        pick = jnp.take_along_axis(rows, whole.argmin(axis=1)[:, None], axis=1)[:, 0]
        padded = jnp.vstack([counts, jnp.zeros_like(counts[:1])])
        return whole.min(axis=1), (system.runs + padded[system.args].sum(axis=1))[pick]

    start = jnp.full(num_states, jnp.inf), jnp.zeros((num_states, system.runs.shape[1]))
    cost, counts = lax.fori_loop(0, num_states, deeper, start)
    best = (cost[system.roots] + system.root_runs @ steps).argmin()
    return lax.stop_gradient((counts[system.roots] + system.root_runs)[best])


def _linear(weights: _Weights, given: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    return weights.log_classes(jnp.reshape(weights.slope / given["rate"], 1))[:, 0]


def _levin(weights: _Weights, given: Mapping[str, Any]) -> Any:
    """Nodes as in `fact_sums_jax`, over times from t_0 to well beyond every class's mean time."""
    import jax.numpy as jnp
    from jax import lax

    power = jnp.maximum(weights.theta["pressure"] * given["kappa"], LEAST_POWER)
    least = weights.least
    log_longest = jnp.log(least + _mean_added(weights))
    margin = _MARGIN / (1.0 + power)
    log_span, margin, log_longest = lax.stop_gradient(
        (log_longest - jnp.log(least) + margin, margin, log_longest + margin)
    )
    nodes = levin_nodes(lax.stop_gradient(power), log_span, margin, _LEVIN_NODES)
    log_rate = nodes - jnp.exp(-nodes) - log_longest
    rate = jnp.exp(log_rate)
    log_weight = power * (log_rate + jnp.log(least / power)) - (rate * least - power)
    log_weight = log_weight + jnp.log1p(jnp.exp(-nodes))
    return log_sum(weights.log_classes(rate) + log_weight, axis=1) - log_sum(log_weight, axis=0)


def _mean_added(weights: _Weights) -> Any:
    """Largest of the classes' mean steps beyond t_0, when steps cost nothing."""
    import jax
    import jax.numpy as jnp

    zero = jnp.zeros(1)
    _, slope = jax.jvp(weights.log_classes, (zero,), (jnp.ones(1),))
    return jax.lax.stop_gradient(-slope.min())


def _power(weights: _Weights, given: Mapping[str, Any]) -> Any:
    """Kanter's mixture as in `fact_sums_jax`, with nodes of its own for every class.

    A class whose every program is slow has its weight far to the left of the peak that t_0 has.
    """
    import jax.numpy as jnp
    from jax import lax

    rate, exponent = given["rate"], given["exponent"]
    least = jnp.maximum(weights.least, rate * (LEAST_PENALTY / weights.slope) ** exponent)
    penalty = weights.slope * (least / rate) ** (1.0 / exponent)
    alpha = jnp.maximum(exponent, 1.0 + LEAST_EXCESS)
    excess = alpha - 1.0
    peak = penalty * excess / alpha
    num = len(weights.ground.present)

    def by_class(delta: Any) -> Any:
        """Log S of each class at its own distances (P, L) from the peak."""
        rates = penalty / alpha / least * jnp.exp(excess * delta)
        found = weights.log_classes(rates.reshape(-1)).reshape(num, *delta.shape)
        return found[np.arange(num), np.arange(num)]

    eta = _ladder_nodes(alpha, peak, by_class, num)
    frozen_eta, frozen = lax.stop_gradient((eta, (alpha, peak)))
    delta, log_slope = power_points(*frozen, frozen_eta)
    log_width = log_slope + jnp.log(frozen_eta[:, 1:2] - frozen_eta[:, :1])
    density = log_density(alpha, (jnp.log(peak) - delta).reshape(-1)).reshape(delta.shape)
    return log_sum(by_class(delta) + density + tilt(peak, excess, delta) + log_width, axis=1)


def _ladder_nodes(alpha: Any, peak: Any, by_class: Callable[[Any], Any], num: int) -> Any:
    """Places (P, nodes) that hold all of a class's integrand but e^−CUT of its largest value.

    Between two points of a ladder the integrand is bounded: the tilt is concave, and log S is
    convex and falls in the rate. What can still matter is kept, and looked at again more closely.
    """
    import jax.numpy as jnp
    from jax import lax

    alpha, peak = lax.stop_gradient((alpha, peak))
    excess = alpha - 1.0
    ends = jnp.array([[-jnp.inf, 0.0]])
    log_s = lax.stop_gradient(by_class(jnp.broadcast_to(ends, (num, 2))))
    left, right = power_window(alpha, peak, log_s[:, 0] - log_s[:, 1])
    low = power_places(alpha, peak, left)
    high = power_places(alpha, peak, jnp.broadcast_to(right, low.shape))
    share = jnp.linspace(0.0, 1.0, _LADDER)

    def closer(_: int, window: Any) -> Any:
        eta = window[0][:, None] + (window[1] - window[0])[:, None] * share
        delta, _ = power_points(alpha, peak, eta)
        log_s = lax.stop_gradient(by_class(delta))
        kept = _may_matter(peak, excess, delta, log_s)
        first = jnp.argmax(kept, axis=1)
        last = _LADDER - 1 - jnp.argmax(kept[:, ::-1], axis=1)
        rows = np.arange(num)
        return eta[rows, first], eta[rows, last]

    low, high = lax.fori_loop(0, _REFINEMENTS, closer, (low, high))
    return low[:, None] + (high - low)[:, None] * jnp.linspace(0.0, 1.0, _POWER_NODES)


def _may_matter(peak: Any, excess: Any, delta: Any, log_s: Any) -> Any:
    """Points (P, L) at an end of an interval that may reach within e^−CUT of the largest value."""
    import jax.numpy as jnp

    value = tilt(peak, excess, delta) + log_s
    slope = peak * (jnp.exp(-delta) - jnp.exp(excess * delta))
    bend = slope[:, :-1] - slope[:, 1:] + excess * (log_s[:, :-1] - log_s[:, 1:])
    rise = 0.25 * bend * (delta[:, 1:] - delta[:, :-1])
    bound = jnp.maximum(value[:, :-1], value[:, 1:]) + rise
    near = bound >= value.max(axis=1, keepdims=True) - CUT
    none = jnp.zeros_like(near[:, :1])
    return jnp.concatenate([near, none], axis=1) | jnp.concatenate([none, near], axis=1)


_FAMILIES: Mapping[str, Callable[[_Weights, Mapping[str, Any]], Any]] = {
    "linear": _linear,
    "levin": _levin,
    "power": _power,
}
