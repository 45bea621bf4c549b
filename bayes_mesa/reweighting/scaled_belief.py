"""A belief with its median moved: every value multiplied by one factor, as a ratio of densities.

Multiplying a belief by f moves its median from m to m f, and leaves its spread as it is on the log
scale: p′(x) = p(x/f)/f. For the distributions of the half line, log p′(x) − log p(x) has one of two
closed forms, which is all that the page of a report needs to reweigh draws as Python does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayes_mesa.domain.beliefs import Z95

#: (a, b, c) of p(x) ∝ x^{a−1} e^{−b x^c}, with a in the sign that lets c be negative.
_POWERS: Mapping[str, Callable[..., tuple[float, float, float]]] = {
    "Gamma": lambda k, rate: (k, rate, 1.0),
    "InverseGamma": lambda k, rate: (-k, rate, -1.0),
    "Exponential": lambda rate: (1.0, rate, 1.0),
    "HalfNormal": lambda scale: (1.0, 0.5 / scale**2, 2.0),
    "Weibull": lambda scale, c: (c, scale**-c, c),
}
#: What can be moved, as messages name it.
MOVABLE = ("LogNormal", *_POWERS)


@dataclass(frozen=True)
class ScaledBelief:
    """What is needed to move the median of one slot's belief.

    Attributes
    ----------
    slot
        Its name.
    form
        ``"normal"``: the log of x is normal, ``coefficients`` are its mean and standard deviation.
        ``"power"``: p(x) ∝ x^{a−1} e^{−b x^c}, ``coefficients`` are (a, b, c).
    median, q05, q95
        Of the belief before it is cut off.
    low
        Where it is cut off (and stays so when it is moved: what is multiplied is the belief before
        the cut), or None.
    """

    slot: str
    form: Literal["normal", "power"]
    coefficients: tuple[float, ...]
    median: float
    q05: float
    q95: float
    low: float | None = None

    @property
    def scale(self) -> float:
        """Standard deviation of the log of x, nats; only of the form ``"normal"``."""
        return self.coefficients[1]

    def log_ratio(self, log_value: Any, log_factor: float) -> np.ndarray:
        """Log p(x/f)/f − log p(x), nats, at log x and log f; the shape of ``log_value``.

        With ℓ = log x and L = log f: (L (ℓ − μ) − L²/2)/σ² for a normal log, and
        −a L − b e^{cℓ} (e^{−cL} − 1) otherwise. A belief cut off at low is normalised anew:
        + log P(x ≥ low) − log P(f x ≥ low).
        """
        x, moved = np.asarray(log_value, dtype=float), float(log_factor)
        if self.form == "normal":
            mean, deviation = self.coefficients
            ratio = (moved * (x - mean) - 0.5 * moved**2) / deviation**2
            return ratio + self._normaliser(moved)
        a, b, c = self.coefficients
        return -a * moved - b * np.exp(c * x) * math.expm1(-c * moved)

    def _normaliser(self, moved: float) -> float:
        if self.low is None:
            return 0.0
        from scipy.special import log_ndtr

        mean, deviation = self.coefficients
        cut = (mean - math.log(self.low)) / deviation
        return float(log_ndtr(cut) - log_ndtr(cut + moved / deviation))


def scaled_belief(record: Mapping[str, Any]) -> ScaledBelief | None:
    """The belief of a result's record (`datasets.describe_beliefs`); None if it cannot be moved.

    Not moved are what is known; distributions of an interval, which a factor would take out of it;
    pools of experts; and what is cut off, unless it is a lognormal.
    """
    form = record.get("form")
    if not form:
        return None
    name, low = form["name"], form["low"]
    arguments = tuple(form["arguments"].values())
    slot = record["quantity"]
    median, q05, q95 = (float(record[name]) for name in ("median", "q05", "q95"))
    if name == "LogNormal":
        mean, deviation = arguments
        if low is not None:
            median, q05, q95 = (math.exp(mean + z * deviation) for z in (0.0, -Z95, Z95))
            low = low if low > 0.0 else None
        return ScaledBelief(slot, "normal", (mean, deviation), median, q05, q95, low)
    if name in _POWERS and low is None:
        return ScaledBelief(slot, "power", _POWERS[name](*arguments), median, q05, q95)
    return None
