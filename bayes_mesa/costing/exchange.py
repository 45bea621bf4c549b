"""Exchange families: what steps are worth in bits.

==========  ============================  =========================================
family      penalty Φ(c, t) in bits       parameters
==========  ============================  =========================================
``linear``  c + t/γ                       γ = rate > 0, steps per bit
``levin``   c + κ log2 t                  κ = kappa ≥ 0, bits per doubling; t > 0
``power``   c + (t/γ)^(1/α)               γ = rate, steps per bit^α; α = exponent ≥ 1
==========  ============================  =========================================

``levin`` with κ = 1 is Levin's Kt (Levin 1973). Functions take ``xp`` (`numpy` or `jax.numpy`), so
that the gradient-based fit and the vectorised pass over draws share one formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

FAMILIES = ("linear", "levin", "power")
LN2 = math.log(2.0)


#: Beyond double precision a penalty is infinite, and its program has no weight.
_may_overflow = np.errstate(over="ignore")


@_may_overflow
def penalty(family: str, parameters: Mapping[str, Any], bits: Any, steps: Any, xp: Any = np) -> Any:
    """Penalty Φ(c, t) in bits, of the broadcast shape of its arguments.

    ``levin`` at t = 0 is −inf for κ > 0: it needs t > 0, and nothing is clamped.
    """
    if family == "linear":
        return bits + steps / parameters["rate"]
    if family == "levin":
        return bits + parameters["kappa"] * xp.log2(steps)
    return bits + _root(steps, parameters["rate"], parameters["exponent"], xp)


@_may_overflow
def added_penalty(
    family: str, parameters: Mapping[str, Any], steps: Any, added: Any, xp: Any = np
) -> Any:
    """Φ(0, steps + added) − Φ(0, steps) in bits, without the cancellation of the difference.

    ``steps`` ≥ 0 (> 0 for ``levin``) and ``added`` ≥ 0 broadcast against each other and against the
    parameters.
    """
    if family == "linear":
        return added / parameters["rate"]
    positive = steps > 0
    safe = xp.where(positive, steps, 1.0)
    growth = xp.log1p(xp.where(positive, added, 0.0) / safe)
    if family == "levin":
        # No program runs 0 steps under levin; NaN would be louder than inf but would spread.
        return xp.where(positive, parameters["kappa"] * growth / LN2, xp.inf)
    rate, exponent = parameters["rate"], parameters["exponent"]
    # The root may overflow to infinity; nothing added is still nothing.
    more = growth > 0.0
    factor = xp.expm1(xp.where(more, growth, 1.0) / exponent)
    grown = xp.where(more, _root(safe, rate, exponent, xp) * factor, 0.0)
    return xp.where(positive, grown, _root(xp.where(positive, 0.0, added), rate, exponent, xp))


def relative_penalty(
    family: str,
    parameters: Mapping[str, Any],
    bits: Any,
    steps: Any,
    shared_steps: Any,
    eligible: Any,
    xp: Any = np,
) -> Any:
    """Penalty of each structure in bits, less what all structures share.

    Parameters
    ----------
    bits, steps
        (..., S): what structures do not share, as `costs.Totals` splits it.
    shared_steps
        (...,): steps that all structures share. They cancel under ``linear`` only.
    eligible
        bool (..., S): the structures that count. One that is out must not be the reference.

    Returns
    -------
    array (..., S)
        Φ(c_s, t_s) − Φ(shared bits, least t_r of those that are eligible); where s is not, a finite
        or infinite number without meaning.
    """
    any_left = xp.any(eligible, axis=-1, keepdims=True)
    counted = xp.where(eligible | ~any_left, steps, xp.inf)
    least = xp.min(counted, axis=-1, keepdims=True)
    columns = {name: xp.asarray(p)[..., None] for name, p in parameters.items()}
    base = xp.asarray(shared_steps)[..., None] + least
    return bits + added_penalty(family, columns, base, xp.maximum(steps - least, 0.0), xp)


def _root(steps: Any, rate: Any, exponent: Any, xp: Any) -> Any:
    """(steps/rate)^(1/exponent), root by root: steps/rate may overflow where this does not."""
    # A zero base gives 0, but its derivative would be infinite: keep it out of the gradient.
    positive = steps > 0
    base = xp.where(positive, steps, 1.0)
    return xp.where(positive, base ** (1.0 / exponent) / rate ** (1.0 / exponent), 0.0)
