"""The sums over fact choices in JAX: differentiable, with a fixed number of nodes, for NUTS.

The same mixtures of linear rates as in ``_ext/``, for one theta. Where the nodes stand is held
constant in the derivative: the rules converge geometrically, so moving the nodes changes nothing
that could be seen. Everything is done in logs, so no product can underflow and no gradient is NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayes_mesa.costing.exchange import LN2
from bayes_mesa.costing.rate_nodes_jax import (
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

#: Nodes of levin's rule over log rate, and of the power family's over the distance from the peak.
_LEVIN_NODES, _POWER_NODES = 192, 128


def log_fact_factor(
    family: str,
    *,
    pressure: Any,
    parameters: Mapping[str, Any],
    steps: Any,
    uses: Any,
    fact_bits: Any,
    fact_steps: Any,
) -> Any:
    """Log of the sum over all 2^n choices of what to store, of every structure, for one theta.

    Parameters
    ----------
    family
        ``linear``, ``levin`` or ``power``.
    pressure
        beta > 0, scalar.
    parameters
        ``rate`` (linear, power), ``kappa`` (levin), ``exponent`` (power), scalars.
    steps
        t_s in steps, in full, (S,); > 0 under levin.
    uses
        v_s >= 0, (S,).
    fact_bits, fact_steps
        b_j in bits, tau_j in steps, (n,).

    Returns
    -------
    JAX array (S,)
        Natural log, as `bayes_mesa.costing.fact_sums.log_fact_factor` gives it; float64 where JAX
        has been told to use it.
    """
    import jax
    import jax.numpy as jnp

    steps, uses = jnp.asarray(steps), jnp.asarray(uses)
    cost = pressure * LN2 * jnp.asarray(fact_bits)
    added = uses[:, None] * jnp.asarray(fact_steps)
    if family == "linear":
        slope = pressure * LN2 / parameters["rate"]
        return log_either(cost, slope * added).sum(-1)
    if family == "levin":
        power = jnp.maximum(pressure * parameters["kappa"], LEAST_POWER)
        return _levin_by_uses(power, steps, uses, cost, added)
    return jax.vmap(_power_from, (None, None, None, 0, None, 0))(
        pressure, parameters["rate"], parameters["exponent"], steps, cost, added
    )


def _levin_by_uses(power: Any, times: Any, uses: Any, cost: Any, added: Any) -> Any:
    """Structures that use their facts equally often share the products, which are the work."""
    import jax
    import jax.numpy as jnp

    if isinstance(uses, jax.core.Tracer):
        alone = jax.vmap(_levin, (None, 0, None, 0))
        return alone(power, times[:, None], cost, added)[:, 0]
    known = np.asarray(uses)
    out = jnp.zeros(times.shape, added.dtype)
    for value in np.unique(known):
        members = np.flatnonzero(known == value)
        out = out.at[members].set(_levin(power, times[members], cost, added[members[0]]))
    return out


def _levin(power: Any, times: Any, cost: Any, added: Any) -> Any:
    """Structures (S,) under t^−a, a = ``power``: nodes at log rate = x − e^−x − log t_max.

    The map reaches down doubly exponentially, so that no a needs a clamp. Dividing by the same rule
    without facts takes out Γ(a) and what both sums have in common.
    """
    import jax.numpy as jnp
    from jax import lax
    from jax.scipy.special import logsumexp

    longest = times.max() + added.sum()
    span = jnp.log(longest / times.min())
    nodes = levin_nodes(*lax.stop_gradient((power, span)), 0.0, _LEVIN_NODES)
    log_rate = nodes - jnp.exp(-nodes) - lax.stop_gradient(jnp.log(longest))
    rate = jnp.exp(log_rate)
    times = times[:, None]
    log_weight = power * (log_rate + jnp.log(times / power)) - (rate * times - power)
    log_weight = log_weight + jnp.log1p(jnp.exp(-nodes))
    log_product = _log_product(rate, cost, added)
    return logsumexp(log_weight + log_product, axis=-1) - logsumexp(log_weight, axis=-1)


def log_either(x: Any, y: Any) -> Any:
    """Log(e^−x + e^−y)."""
    return _make_log_either()(x, y)


@functools.cache
def _make_log_either() -> Callable[[Any, Any], Any]:
    """`log_either`, made at its first use so that importing this module does not import JAX.

    The derivative is given by hand: through abs and min it would be wrong where x = y, and
    `jnp.logaddexp` takes longer.
    """
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def log_either(x: Any, y: Any) -> Any:
        return jnp.log1p(jnp.exp(-jnp.abs(x - y))) - jnp.minimum(x, y)

    @log_either.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        first = jax.nn.sigmoid(primals[1] - primals[0])
        slope = first * tangents[0] + (1.0 - first) * tangents[1]
        return log_either(*primals), -slope

    return log_either


def _power_from(pressure: Any, rate: Any, exponent: Any, time: Any, cost: Any, added: Any) -> Any:
    import jax.numpy as jnp

    # t = 0 is legal; a time whose penalty nobody can see takes its place.
    least = rate * (LEAST_PENALTY / (pressure * LN2)) ** exponent
    time = jnp.maximum(time, least)
    penalty = pressure * LN2 * (time / rate) ** (1.0 / exponent)
    return _power(exponent, penalty, cost, added / time)


def _power(exponent: Any, penalty: Any, cost: Any, step: Any) -> Any:
    """One structure under the power family; ``step`` is v tau / t_s, ``penalty`` of t_s in nats.

    Kanter's mixture in one dimension, as in ``_ext/power_rows.pxd``: a node is a distance delta
    from the peak of the tilted exponent.
    """
    import jax.numpy as jnp
    from jax import lax
    from jax.scipy.special import logsumexp

    alpha = jnp.maximum(exponent, 1.0 + LEAST_EXCESS)
    excess = alpha - 1.0
    omega = excess / alpha
    peak = penalty * omega
    slope = penalty / alpha
    free = jnp.log1p(jnp.exp(-cost)).sum()
    frozen = lax.stop_gradient((alpha, peak, cost, step))
    delta, log_width = _power_nodes(*frozen[:2], lax.stop_gradient(free) - _best(*frozen))
    log_weight = log_density(alpha, jnp.log(peak) - delta) + tilt(peak, excess, delta) + log_width
    log_product = _log_product(slope * jnp.exp(excess * delta), cost, step)
    return logsumexp(log_weight + log_product) - logsumexp(log_weight)


def _power_nodes(alpha: Any, peak: Any, gain: Any) -> tuple[Any, Any]:
    """Distances delta from the peak, and the log of what each node stands for."""
    import jax.numpy as jnp

    ends = power_places(alpha, peak, jnp.stack(power_window(alpha, peak, gain)))
    delta, log_slope = power_points(alpha, peak, jnp.linspace(ends[0], ends[1], _POWER_NODES))
    return delta, log_slope + jnp.log((ends[1] - ends[0]) / (_POWER_NODES - 1))


def _log_product(rate: Any, cost: Any, step: Any) -> Any:
    return log_either(cost, rate[:, None] * step).sum(-1)


def _best(alpha: Any, peak: Any, cost: Any, step: Any) -> Any:
    """Largest log integrand on a ladder from the peak to the left, to see how far to go there."""
    import jax.numpy as jnp

    excess = alpha - 1.0
    delta = -1.4 * jnp.arange(24.0)
    rate = peak / excess * jnp.exp(excess * delta)
    return (tilt(peak, excess, delta) + _log_product(rate, cost, step)).max()
