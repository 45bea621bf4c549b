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

from bayes_mesa.exchange import LN2

#: Nodes of levin's rule over log rate.
_LEVIN_NODES = 192
#: Below this power of time, time costs nothing that a double could see.
_LEAST_POWER = 1e-13
#: What is this many nats below the peak is cut off.
_CUT = 40.0
#: Nodes of the power family: over w, and of the two inner rules that give its density.
_POWER_NODES, _BODY_NODES, _TAIL_NODES = 128, 48, 192
#: Exponents nearer to 1 than this have the shape of the mixture at this one.
_LEAST_EXCESS = 1e-7
#: Least penalty (nats) of a structure's own steps that is told from none.
_LEAST_PENALTY = 2.0**-60
_LOG_HALF = float(np.log(0.5))
#: Shape of the map from nodes to w, as in ``_ext/power_rows.pxd``.
_BEND, _GROWTH, _ONSET = 1.0 / 3.0, 2.0, 2.0


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
        Natural log, as `bayes_mesa.fact_sums.log_fact_factor` gives it; float64 where JAX has been
        told to use it.
    """
    import jax
    import jax.numpy as jnp

    steps, uses = jnp.asarray(steps), jnp.asarray(uses)
    cost = pressure * LN2 * jnp.asarray(fact_bits)
    added = uses[:, None] * jnp.asarray(fact_steps)
    if family == "linear":
        slope = pressure * LN2 / parameters["rate"]
        return _log_either(cost, slope * added).sum(-1)
    if family == "levin":
        power = jnp.maximum(pressure * parameters["kappa"], _LEAST_POWER)
        return _levin_by_uses(power, steps, uses, cost, added)
    return jax.vmap(_power_from, (None, None, None, 0, None, 0))(
        pressure, parameters["rate"], parameters["exponent"], steps, cost, added
    )


def _left_reach(x: Any) -> Any:
    """Some u with e^u − 1 − u ≥ x."""
    import jax.numpy as jnp

    return jnp.where(x < 1.0, jnp.sqrt(2.0 * x), jnp.log(1.0 + x + 2.0 * jnp.log1p(x)))


def _right_reach(x: Any) -> Any:
    """Some u with u − 1 + e^−u ≥ x."""
    import jax.numpy as jnp

    return jnp.where(x < 0.5, jnp.sqrt(2.0 * x) + x, 1.0 + x)


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
    nodes = _levin_nodes(*lax.stop_gradient((power, times.min(), longest)))
    log_rate = nodes - jnp.exp(-nodes) - lax.stop_gradient(jnp.log(longest))
    rate = jnp.exp(log_rate)
    times = times[:, None]
    log_weight = power * (log_rate + jnp.log(times / power)) - (rate * times - power)
    log_weight = log_weight + jnp.log1p(jnp.exp(-nodes))
    log_product = _log_product(rate, cost, added)
    return logsumexp(log_weight + log_product, axis=-1) - logsumexp(log_weight, axis=-1)


def _log_either(x: Any, y: Any) -> Any:
    """Log(e^−x + e^−y)."""
    return _make_log_either()(x, y)


@functools.cache
def _make_log_either() -> Callable[[Any, Any], Any]:
    """`_log_either`, made at its first use so that importing this module does not import JAX.

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


def _levin_nodes(power: Any, shortest: Any, longest: Any) -> Any:
    import jax.numpy as jnp

    low = jnp.log(power) - _right_reach(_CUT / power)
    high = jnp.log(power * longest / shortest) + _left_reach(_CUT / power)
    first = jnp.where(low < 0.0, -jnp.log1p(-jnp.minimum(low, 0.0)), low)
    last = high + jnp.exp(-high)
    return first + (last - first) * jnp.linspace(0.0, 1.0, _LEVIN_NODES)


def _power_from(pressure: Any, rate: Any, exponent: Any, time: Any, cost: Any, added: Any) -> Any:
    import jax.numpy as jnp

    # t = 0 is legal; a time whose penalty nobody can see takes its place.
    least = rate * (_LEAST_PENALTY / (pressure * LN2)) ** exponent
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

    alpha = jnp.maximum(exponent, 1.0 + _LEAST_EXCESS)
    excess = alpha - 1.0
    omega = excess / alpha
    peak = penalty * omega
    slope = penalty / alpha
    free = jnp.log1p(jnp.exp(-cost)).sum()
    frozen = lax.stop_gradient((alpha, peak, cost, step))
    delta, log_width = _power_nodes(*frozen[:2], lax.stop_gradient(free) - _best(*frozen))
    log_e = jnp.log(peak) - delta
    tilt = _tilt(peak, excess, delta)
    log_density = jnp.where(
        log_e >= _LOG_HALF,
        log_e + _log_body(omega, jnp.maximum(log_e, _LOG_HALF)),
        jnp.exp(jnp.minimum(log_e, _LOG_HALF))
        + _log_tail(alpha, omega, jnp.minimum(log_e, _LOG_HALF)),
    )
    log_weight = log_density + tilt + log_width
    log_product = _log_product(slope * jnp.exp(excess * delta), cost, step)
    return logsumexp(log_weight + log_product) - logsumexp(log_weight)


def _log_product(rate: Any, cost: Any, step: Any) -> Any:
    return _log_either(cost, rate[:, None] * step).sum(-1)


def _tilt(peak: Any, excess: Any, delta: Any) -> Any:
    """What the exponent e' + lambda t_s has gained on its least value, negated."""
    return -peak * (_exp_excess(-delta) + _exp_excess(excess * delta) / excess)


def _best(alpha: Any, peak: Any, cost: Any, step: Any) -> Any:
    """Largest log integrand on a ladder from the peak to the left, to see how far to go there."""
    import jax.numpy as jnp

    excess = alpha - 1.0
    delta = -1.4 * jnp.arange(24.0)
    rate = peak / excess * jnp.exp(excess * delta)
    return (_tilt(peak, excess, delta) + _log_product(rate, cost, step)).max()


def _exp_excess(x: Any) -> Any:
    """e^x − 1 − x without cancellation."""
    import jax.numpy as jnp

    small = jnp.abs(x) < 0.25
    near = jnp.where(small, x, 0.0)
    series = jnp.ones_like(near)
    for k in range(12, 2, -1):
        series = 1.0 + series * near / k
    return jnp.where(small, 0.5 * near * near * series, jnp.expm1(x) - x)


def _power_nodes(alpha: Any, peak: Any, gain: Any) -> tuple[Any, Any]:
    """Distances delta from the peak, and the log of what each node stands for."""
    import jax.numpy as jnp

    excess = alpha - 1.0
    scale = jnp.maximum(1.0, excess)
    log_root = 0.5 * jnp.log(alpha * peak) - jnp.log(scale)
    left = -_left_reach((_CUT + gain) / peak)
    right = jnp.minimum(_right_reach(_CUT / peak), _left_reach(_CUT * excess / peak) / excess)
    growth = _GROWTH * excess
    ends = _stretch(jnp.stack([left, right]), log_root, growth)
    eta = jnp.linspace(ends[0], ends[1], _POWER_NODES)
    rise = jnp.where(growth < 1.0, growth * jnp.exp(jnp.minimum(eta - _ONSET, 600.0)), 0.0)
    xi = eta + jnp.log1p(rise) / growth
    log_bent = _log_softplus(-_BEND * xi)
    delta = -2.0 * (log_bent - jnp.log(_BEND) - log_root)
    log_slope = -jnp.logaddexp(0.0, _BEND * xi) - log_bent + jnp.log(_BEND)
    width = jnp.log(2.0 * (ends[1] - ends[0]) / (_POWER_NODES - 1))
    return delta, width + log_slope + jnp.log1p(rise / (1.0 + rise) / growth)


def _log_softplus(x: Any) -> Any:
    """Log log(1 + e^x)."""
    import jax.numpy as jnp

    return jnp.where(x < -35.0, x, jnp.log(jnp.logaddexp(0.0, jnp.maximum(x, -35.0))))


def _stretch(delta: Any, log_root: Any, growth: Any) -> Any:
    """Eta at a distance delta: the map of `_power_nodes`, inverted by Newton's method."""
    import jax.numpy as jnp
    from jax import lax

    log_bent = jnp.log(_BEND) + log_root - 0.5 * delta
    bent = jnp.exp(jnp.maximum(log_bent, -20.0))
    inverse = bent + jnp.log(-jnp.expm1(-bent))
    xi = -jnp.where(log_bent < -20.0, log_bent, inverse) / _BEND
    # The root lies left of both guesses, and the map is convex: from there Newton cannot overshoot.
    grown = growth * jnp.maximum(xi, 1.0)
    other = _ONSET + grown + jnp.log(-jnp.expm1(-grown)) - jnp.log(growth)
    start = jnp.where((xi > 2.0) & (growth < 1.0), jnp.minimum(xi, other), xi)

    def step(_: int, eta: Any) -> Any:
        rise = jnp.where(growth < 1.0, growth * jnp.exp(jnp.minimum(eta - _ONSET, 600.0)), 0.0)
        value = eta + jnp.log1p(rise) / growth - xi
        return eta - value / (1.0 + rise / (1.0 + rise) / growth)

    return lax.fori_loop(0, 30, step, start)


def _sine_series() -> Any:
    """Coefficients of x², x⁴, ... in −log(sin x / x)."""
    from scipy.special import zeta

    k = np.arange(1, 31)
    return zeta(2.0 * k) / (k * np.pi ** (2.0 * k))


def _zolotarev(u: Any, omega: Any) -> Any:
    """phi(u) = log(A(u)/A(0+)), A being Zolotarev's function, u in (0, pi)."""
    import jax.numpy as jnp

    rho = 1.0 - omega
    near = u < 1.6
    low, high = jnp.where(near, u, 1.0), jnp.where(near, 2.0, u)
    geometric = jnp.cumsum(rho ** np.arange(61))[2::2]
    coefficients = _sine_series() * (geometric - omega ** (2 * np.arange(1, 31)))
    powers = jnp.cumprod(jnp.broadcast_to((low * low)[..., None], (*u.shape, 30)), axis=-1)
    series = powers @ coefficients
    shift = omega * high
    rest = -2.0 * jnp.sin(0.5 * shift) ** 2 - jnp.sin(shift) * jnp.cos(high) / jnp.sin(high)
    beyond = (
        (rho / omega) * (jnp.log1p(rest) - jnp.log1p(-omega))
        + jnp.log(jnp.sin(shift) / shift)
        + jnp.log(high / jnp.sin(high))
    )
    return jnp.where(near, series, beyond)


def _body_nodes(omega: Any, least: Any, most: Any) -> tuple[Any, Any, Any]:
    """Nodes u with e^phi − 1 = (sinh x)²/most, their weights, and that of u = 0."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    scale = 1.0 / jnp.sqrt(most)
    last = jnp.arcsinh(6.3 / (jnp.sqrt(least) * scale))
    h = last / _BODY_NODES
    x = h * jnp.arange(1, _BODY_NODES + 1)
    zeta = scale * jnp.sinh(x)
    target = jnp.log1p(zeta * zeta)
    both = jax.vmap(jax.value_and_grad(_zolotarev), (0, None))

    def step(_: int, u: Any) -> Any:
        value, slope = both(u, omega)
        new = u - (value - target) / slope
        return jnp.where(new >= np.pi, 0.5 * (u + np.pi), new)

    # phi >= rho u^2/2, so the first guess is on the right of the root of a convex function.
    guess = jnp.minimum(jnp.sqrt(2.0 * target / (1.0 - omega)), 3.0)
    u = lax.fori_loop(0, 12, step, guess)
    width = h * 2.0 * zeta * scale * jnp.cosh(x) / ((1.0 + zeta * zeta) * both(u, omega)[1])
    return u, width, 0.5 * h * scale * jnp.sqrt(2.0 / (1.0 - omega))


def _log_body(omega: Any, log_e: Any) -> Any:
    """Log J(e'), J = (1/pi) int exp(phi − e' (e^phi − 1)) du, for e' >= 1/2."""
    import jax.numpy as jnp
    from jax import lax

    e = jnp.exp(log_e)
    u, width, half_first = _body_nodes(*lax.stop_gradient((omega, e.min(), e.max())))
    phi = _zolotarev(u, omega)
    terms = jnp.exp(phi - e[:, None] * jnp.expm1(phi)) @ width
    return jnp.log((half_first + terms) / np.pi)


def _tail_end(alpha: Any, omega: Any, w: Any) -> Any:
    """How far down the grid of `_log_tail` must reach for the largest w."""
    import jax.numpy as jnp

    near_one = jnp.log(jnp.maximum(1.0, w - jnp.log(omega)))
    far = (alpha - 1.0) * w / alpha - jnp.log(jnp.sin(np.pi * omega) / np.pi)
    return -40.0 / (alpha + 1.0) - jnp.maximum(near_one, far)


def _log_tail(alpha: Any, omega: Any, log_e: Any) -> Any:
    """Log q(w) for e' <= 1/2, from the integral along the cut of the Laplace transform."""
    import jax.numpy as jnp
    from jax import lax

    w = jnp.log(omega) + jnp.log1p(-omega) / (alpha - 1.0) - log_e
    sine = jnp.sin(np.pi * omega)
    low = _tail_end(*lax.stop_gradient((alpha, omega, w.max())))
    h = (3.4 - low) / _TAIL_NODES
    s = 3.4 - h * jnp.arange(_TAIL_NODES)
    log_x = alpha * (s + jnp.log(np.pi / sine))
    drop = (
        jnp.expm1(-omega * log_x) * jnp.cos(np.pi * omega) - 2.0 * jnp.sin(0.5 * np.pi * omega) ** 2
    )
    x = jnp.exp(jnp.minimum(log_x, 300.0))
    log_rate = (alpha - 1.0) * w
    drawn = x * (jnp.expm1(log_rate)[:, None] - drop)
    kept = drawn < 50.0
    terms = jnp.where(kept, jnp.exp(-jnp.where(kept, drawn, 0.0)), 0.0)
    terms = terms @ (jnp.where(log_x < 300.0, x, 0.0) * jnp.sin(np.pi * jnp.exp(s)))
    return jnp.log((alpha - 1.0) * alpha * h / np.pi * terms) + log_rate
