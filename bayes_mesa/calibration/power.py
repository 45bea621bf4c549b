"""What a calibration of so many simulations would catch: the errors that it can and cannot see."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.calibration.uniformity import TESTS

Floats = NDArray[np.float64]

#: Nodes over the truth, and the widest error looked for: sd times or over 2^6, mean off by 20 sd.
_NODES, _WIDEST_LOG, _WIDEST_SHIFT = 801, 6.0 * math.log(2.0), 20.0


@dataclass(frozen=True)
class Power:
    """Errors of a normal posterior that are caught with probability one half, and nine tenths.

    Attributes
    ----------
    too_wide_50, too_wide_90
        Share by which the posterior's sd is too large: 0.1 is a tenth. Infinite where no error of
        up to a factor of 64 would be.
    too_narrow_50, too_narrow_90
        Share by which it is too small.
    shift_50, shift_90
        Shift of the mean in sd.
    """

    num_simulations: int
    num_draws: int
    num_quantities: int
    level: float
    too_wide_50: float
    too_wide_90: float
    too_narrow_50: float
    too_narrow_90: float
    shift_50: float
    shift_90: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is infinite is None."""
        return {n: x if math.isfinite(x) else None for n, x in asdict(self).items()}


@lru_cache(maxsize=64)
def power(num_simulations: int, num_draws: int, num_quantities: int, level: float) -> Power:
    """Errors that are caught in one of ``num_quantities`` quantities.

    Truths are N(0, 1) given the data, and the draws N(shift, s²). The tests ``shift`` and ``width``
    of `uniformity` are sums of N independent terms whose mean and variance under the error follow
    from the probabilities of the L + 1 ranks; their sum is taken for normal, which 30 simulations
    are enough for. The third test only adds to the power.
    """

    def solve(share: float, caught: Callable[[float], float], widest: float) -> float:
        if caught(widest) < share:
            return math.inf
        low, high = 0.0, widest
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (low, middle) if caught(middle) >= share else (middle, high)
        return high

    each = level / (len(TESTS) * num_quantities)

    def wide(log_sd: float) -> float:
        return chance(num_simulations, num_draws, each, sd=math.exp(log_sd))["width"]

    def narrow(log_sd: float) -> float:
        return chance(num_simulations, num_draws, each, sd=math.exp(-log_sd))["width"]

    def moved(shift: float) -> float:
        return chance(num_simulations, num_draws, each, shift=shift)["shift"]

    found = {}
    for name, share in (("50", 0.5), ("90", 0.9)):
        found[f"too_wide_{name}"] = math.expm1(solve(share, wide, _WIDEST_LOG))
        found[f"too_narrow_{name}"] = _lost(solve(share, narrow, _WIDEST_LOG))
        found[f"shift_{name}"] = solve(share, moved, _WIDEST_SHIFT)
    return Power(num_simulations, num_draws, num_quantities, level, **found)


def _lost(log_sd: float) -> float:
    return math.inf if math.isinf(log_sd) else -math.expm1(-log_sd)


def chance(
    num_simulations: int, num_draws: int, level: float, *, sd: float = 1.0, shift: float = 0.0
) -> dict[str, float]:
    """Probability that each of the two tests by moments rejects at ``level``, by its name."""
    from scipy.special import ndtr, ndtri

    shares = rank_shares(num_draws, sd, shift)
    bound = -float(ndtri(level / 2.0))
    found = {}
    for name, (first, second) in _cell_moments(num_draws).items():
        mean = float(shares @ first)
        spread = math.sqrt(max(float(shares @ second) - mean * mean, 1e-300))
        away = math.sqrt(num_simulations) * mean
        found[name] = float(ndtr((away - bound) / spread) + ndtr((-away - bound) / spread))
    return found


def rank_shares(num_draws: int, sd: float, shift: float) -> Floats:
    """Probability of every rank of a N(0, 1) truth among L draws of N(shift, sd²), (L + 1,)."""
    from scipy.special import gammaln, log_ndtr

    z = np.linspace(-8.0, 8.0, _NODES)
    weight = np.exp(-0.5 * z * z)
    below, above = log_ndtr((z - shift) / sd), log_ndtr((shift - z) / sd)
    rank = np.arange(num_draws + 1)
    ways = gammaln(num_draws + 1) - gammaln(rank + 1) - gammaln(num_draws - rank + 1)
    log_share = ways[:, None] + rank[:, None] * below + (num_draws - rank)[:, None] * above
    found = np.exp(log_share) @ weight
    return found / found.sum()


def _cell_moments(num_draws: int) -> dict[str, tuple[Floats, Floats]]:
    """Mean of each test's term and of its square, over the cell of every rank."""
    ends = np.linspace(-1.0, 1.0, num_draws + 2)
    terms = {
        "shift": np.polynomial.Polynomial([0.0, math.sqrt(3.0)]),
        "width": np.polynomial.Polynomial([-math.sqrt(5.0) / 2, 0.0, 1.5 * math.sqrt(5.0)]),
    }
    return {name: (_means(f, ends), _means(f * f, ends)) for name, f in terms.items()}


def _means(of: np.polynomial.Polynomial, ends: Floats) -> Floats:
    return np.diff(of.integ()(ends)) / np.diff(ends)
