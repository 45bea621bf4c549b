"""Where the nodes of the mixtures of linear rates stand in JAX, and what each weighs.

The same rules as in ``_ext/`` (``levin_rows.pxd``, ``power_rows.pxd``) with a fixed number of
nodes, for one theta. Everything is in logs, so nothing underflows and no gradient is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Below this power of time, time costs nothing that a double could see.
LEAST_POWER = 1e-13
#: Exponents nearer to 1 than this have the shape of the mixture at this one.
LEAST_EXCESS = 1e-7
#: Least penalty (nats) of a structure's own steps that is told from none.
LEAST_PENALTY = 2.0**-60
#: What is this many nats below the peak is cut off.
CUT = 40.0
#: Nodes of the two inner rules that give the density of the power family's mixture.
_BODY_NODES, _TAIL_NODES = 48, 192
_LOG_HALF = float(np.log(0.5))
#: Shape of the map from nodes to w, as in ``_ext/power_rows.pxd``.
_BEND, _GROWTH, _ONSET = 1.0 / 3.0, 2.0, 2.0


def left_reach(x: Any) -> Any:
    """Some u with e^u − 1 − u ≥ x."""
    import jax.numpy as jnp

    return jnp.where(x < 1.0, jnp.sqrt(2.0 * x), jnp.log(1.0 + x + 2.0 * jnp.log1p(x)))


def right_reach(x: Any) -> Any:
    """Some u with u − 1 + e^−u ≥ x."""
    import jax.numpy as jnp

    return jnp.where(x < 0.5, jnp.sqrt(2.0 * x) + x, 1.0 + x)


def levin_nodes(power: Any, log_span: Any, margin: Any, num_nodes: int) -> Any:
    """Nodes x of the rule for t^−a, a = ``power``: the rate is exp(x − e^−x) over the longest time.

    ``log_span`` is log(longest/shortest time), ``margin`` how much of it lies beyond the times that
    carry the weight, so that rates that low need no nodes for their own sake.
    """
    import jax.numpy as jnp

    low = jnp.log(power) - right_reach(CUT / power) + margin
    high = jnp.log(power) + log_span + left_reach(CUT / power)
    first = jnp.where(low < 0.0, -jnp.log1p(-jnp.minimum(low, 0.0)), low)
    last = high + jnp.exp(-high)
    return first + (last - first) * jnp.linspace(0.0, 1.0, num_nodes)


def tilt(peak: Any, excess: Any, delta: Any) -> Any:
    """What the exponent e' + lambda t_s has gained on its least value, negated."""
    return -peak * (_exp_excess(-delta) + _exp_excess(excess * delta) / excess)


def _exp_excess(x: Any) -> Any:
    """e^x − 1 − x without cancellation."""
    import jax.numpy as jnp

    small = jnp.abs(x) < 0.25
    near = jnp.where(small, x, 0.0)
    series = jnp.ones_like(near)
    for k in range(12, 2, -1):
        series = 1.0 + series * near / k
    return jnp.where(small, 0.5 * near * near * series, jnp.expm1(x) - x)


def power_window(alpha: Any, peak: Any, gain: Any) -> tuple[Any, Any]:
    """Distances delta from the peak between which the tilted mixture stands.

    ``gain`` is what a factor that falls with the rate can add, in nats, to the left of the peak.
    """
    import jax.numpy as jnp

    excess = alpha - 1.0
    left = -left_reach((CUT + gain) / peak)
    right = jnp.minimum(right_reach(CUT / peak), left_reach(CUT * excess / peak) / excess)
    return left, right


def power_places(alpha: Any, peak: Any, delta: Any) -> Any:
    """Places eta of distances ``delta``: in eta the mixture is smooth, however wide or narrow."""
    return _stretch(delta, _log_root(alpha, peak), _GROWTH * (alpha - 1.0))


def power_points(alpha: Any, peak: Any, eta: Any) -> tuple[Any, Any]:
    """Distances delta from the peak at the places ``eta``, and log |d delta/d eta|."""
    import jax.numpy as jnp

    log_root, growth = _log_root(alpha, peak), _GROWTH * (alpha - 1.0)
    rise = jnp.where(growth < 1.0, growth * jnp.exp(jnp.minimum(eta - _ONSET, 600.0)), 0.0)
    xi = eta + jnp.log1p(rise) / growth
    log_bent = _log_softplus(-_BEND * xi)
    delta = -2.0 * (log_bent - jnp.log(_BEND) - log_root)
    log_slope = -jnp.logaddexp(0.0, _BEND * xi) - log_bent + jnp.log(_BEND)
    return delta, np.log(2.0) + log_slope + jnp.log1p(rise / (1.0 + rise) / growth)


def log_density(alpha: Any, log_e: Any) -> Any:
    """Log of the mixture's density over log e', plus e': what `tilt` does not hold already."""
    import jax.numpy as jnp

    omega = (alpha - 1.0) / alpha
    high, low = jnp.maximum(log_e, _LOG_HALF), jnp.minimum(log_e, _LOG_HALF)
    body = log_e + _log_body(omega, high)
    return jnp.where(log_e >= _LOG_HALF, body, jnp.exp(low) + _log_tail(alpha, omega, low))


def _log_root(alpha: Any, peak: Any) -> Any:
    import jax.numpy as jnp

    return 0.5 * jnp.log(alpha * peak) - jnp.log(jnp.maximum(1.0, alpha - 1.0))


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
