"""The smallest change of a belief's median that takes a verdict across a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bayes_mesa.verdicts.estimand import finite

#: Powers of ten that a median is moved by, at most, and at each step of the search.
REACH, STEP = 6.0, 1.0
_PRECISION = 1e-4


@dataclass(frozen=True)
class Flip:
    """``factor`` times the median flips the verdict: from ``median`` to ``to``, in its own unit."""

    factor: float
    median: float
    to: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON: finite, or None."""
        named = {"median": self.median, "to": self.to, "factor": self.factor}
        return {name: finite(x) for name, x in named.items()}


def smallest_factor(
    probability: Callable[[float], float],
    threshold: float,
    *,
    reach: float = REACH,
    step: float = STEP,
) -> float | None:
    """The factor nearest to 1, on a log scale within 10^±reach, at which the verdict changes.

    ``probability`` maps log10 of a factor to the probability. Looked at in steps of a factor of 10
    (10^step) to both sides, then bracketed by Brent's method to 1e-4 in log10: a change that is
    taken back within one step is not seen. NaN (nothing is left to judge) ends the search on its
    side.

    Returns
    -------
    float or None
        The factor, or None where nothing changes.
    """
    start = probability(0.0) - threshold
    if math.isnan(start):
        return None
    if start == 0.0:
        return 1.0
    open_sides = [-1.0, 1.0]
    for number in range(1, math.ceil(reach / step) + 1):
        near, far = (number - 1) * step, min(number * step, reach)
        found = []
        for side in tuple(open_sides):
            value = probability(side * far) - threshold
            if math.isnan(value):
                open_sides.remove(side)
            elif (value > 0.0) != (start > 0.0):
                found.append(_between(probability, threshold, side * near, side * far))
        if found:
            return float(10.0 ** min(found, key=abs))
    return None


def _between(
    probability: Callable[[float], float], threshold: float, near: float, far: float
) -> float:
    from scipy.optimize import brentq

    return float(brentq(lambda x: probability(x) - threshold, near, far, xtol=_PRECISION))
