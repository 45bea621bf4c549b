"""Experts' quantiles as one belief: the linear pool of two-piece lognormals.

A judgement q05 < q50 < q95 is the distribution of exp(μ + s₁z) for z < 0 and exp(μ + s₂z) for
z ≥ 0, z ~ Normal(0, 1), with μ = ln q50, s₁ = (ln q50 − ln q05)/z₉₅ and s₂ = (ln q95 − ln q50)/z₉₅:
it has exactly these three quantiles, and its density jumps at the median by the factor s₁/s₂. A
pool is the mixture of its judgements (Stone 1961, *The opinion pool*), not their average on some
scale: where experts disagree it stays wide, and may have several modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.errors import InputError

if TYPE_CHECKING:
    import numpyro.distributions as dist

#: Distance in standard deviations from the median to the 95 % quantile of a normal.
Z95 = NormalDist().inv_cdf(0.95)
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
#: Beyond this many standard deviations a normal's tail is no longer a double.
_FARTHEST = 37.0
_ITERATIONS = 300
#: Score with 1e-12 beyond it, and a log whose exponential is still a number.
_TAIL_SCORE, _LARGEST_LOG = 7.04, 708.0


@dataclass(frozen=True)
class Judgement:
    """One expert's 5, 50 and 95 % quantiles of a cost (its unit), and the weight of that expert."""

    q05: float
    q50: float
    q95: float
    weight: float = 1.0
    expert: str = ""

    def __post_init__(self) -> None:
        if not 0.0 < self.q05 < self.q50 < self.q95 < math.inf:
            found = f"{self.q05:g}, {self.q50:g}, {self.q95:g}"
            raise InputError(f"a judgement needs 0 < q05 < q50 < q95 < inf, found {found}")
        if not 0.0 < self.weight < math.inf:
            raise InputError(f"a judgement needs a finite weight > 0, found {self.weight:g}")

    @property
    def drawable(self) -> bool:
        """Whether all but 1e-12 in either tail are numbers of double precision."""
        low = self.log_median - _TAIL_SCORE * self.left_sd
        return -_LARGEST_LOG < low and (
            self.log_median + _TAIL_SCORE * self.right_sd < _LARGEST_LOG
        )

    @property
    def log_median(self) -> float:
        """μ."""
        return math.log(self.q50)

    @property
    def left_sd(self) -> float:
        """s₁, of the logarithm below the median."""
        return (math.log(self.q50) - math.log(self.q05)) / Z95

    @property
    def right_sd(self) -> float:
        """s₂, of the logarithm above the median."""
        return (math.log(self.q95) - math.log(self.q50)) / Z95


@dataclass(frozen=True)
class Pool:
    """The weighted mixture of judgements' two-piece lognormals; weights need not sum to 1."""

    judgements: tuple[Judgement, ...]

    def __post_init__(self) -> None:
        if not self.judgements:
            raise InputError("a pool needs at least one judgement, found none")

    @property
    def experts(self) -> tuple[str, ...]:
        """Who judged, in order; without the nameless."""
        return tuple(j.expert for j in self.judgements if j.expert)

    @property
    def support(self) -> tuple[float, float]:
        """All positive numbers."""
        return 0.0, math.inf

    @property
    def low(self) -> float:
        """A pool is not truncated."""
        return -math.inf

    @property
    def share_cut(self) -> float:
        """A pool is not truncated."""
        return 0.0

    @property
    def median(self) -> float:
        """Median of the mixture."""
        return float(self.at_score(0.0))

    def quantile(self, q: Any) -> Any:
        """Quantile function; ``q`` an array in [0, 1]."""
        from scipy.special import ndtri

        return self.at_score(ndtri(np.asarray(q, dtype=float)))

    def cdf(self, x: Any) -> Any:
        """Probability of at most ``x``."""
        from scipy.special import ndtr

        return self._mean(ndtr(self._scores(_log(x))[0]))

    def logpdf(self, x: Any) -> Any:
        """Natural log of the density at ``x``, per unit of the cost."""
        log_x = _log(x)
        z, sd = self._scores(log_x)
        with np.errstate(all="ignore"):  # inf - inf where x is 0, which has no density
            terms = -0.5 * z**2 - np.log(sd)
            top = terms.max(axis=0)
            density = top + np.log(self._mean(np.exp(terms - top))) - _LOG_SQRT_2PI - log_x
        return np.where(np.isnan(density), -np.inf, density)[()]

    def score(self, x: Any) -> Any:
        """The z with P(at most x) = Φ(z), from the smaller tail, so that both keep their digits."""
        z, _ = self._scores(_log(x))
        if len(z) == 1:
            return z[0]
        from scipy.special import ndtr, ndtri

        below, above = self._mean(ndtr(z)), self._mean(ndtr(-z))
        return np.where(below < above, ndtri(below), -ndtri(above))[()]

    def at_score(self, z: Any) -> Any:
        """The quantile at Φ(z): the x whose score is ``z``, to 1e-12 of its size for |z| < 37.

        It lies between the judgements' own quantiles at Φ(z); Newton's method on the score, which
        is nearly linear in ln x, is kept inside that bracket by bisection.
        """
        z = np.asarray(z, dtype=float)
        flat = z.ravel()
        sd = np.where(flat < 0.0, self._left[:, None], self._right[:, None])
        ends = self._middle[:, None] + sd * flat
        low, high = ends.min(axis=0), ends.max(axis=0)
        # So far out the judgement that reaches farthest is all that there is.
        log_x = np.where(flat < 0.0, low, high)
        open_ = np.flatnonzero((high > low) & (np.abs(flat) < _FARTHEST))
        if open_.size:
            log_x[open_] = self._solved(flat[open_], low[open_], high[open_])
        with np.errstate(over="ignore"):
            return np.exp(log_x).reshape(z.shape)

    def numpyro(self) -> dist.Distribution:
        """The same distribution for NumPyro."""
        from bayes_mesa.domain.two_piece import TwoPieceLogNormals

        return TwoPieceLogNormals(self._middle, self._left, self._right, self._weights)

    def __str__(self) -> str:
        count = len(self.judgements)
        return f"linear pool of {count} judgement{'s' if count > 1 else ''}"

    @cached_property
    def _middle(self) -> np.ndarray:
        return np.array([j.log_median for j in self.judgements])

    @cached_property
    def _left(self) -> np.ndarray:
        return np.array([j.left_sd for j in self.judgements])

    @cached_property
    def _right(self) -> np.ndarray:
        return np.array([j.right_sd for j in self.judgements])

    @cached_property
    def _weights(self) -> np.ndarray:
        # Divided by the largest first: the sum of huge weights would overflow.
        weights = np.array([j.weight for j in self.judgements])
        weights = weights / weights.max()
        return weights / weights.sum()

    def _scores(self, log_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score of x under each judgement, and the sd on its side: (K, *shape of x) both."""
        shape = (-1, *(1,) * log_x.ndim)
        away = log_x - self._middle.reshape(shape)
        sd = np.where(away < 0.0, self._left.reshape(shape), self._right.reshape(shape))
        return away / sd, sd

    def _mean(self, of_each: np.ndarray) -> np.ndarray:
        """Weighted mean over judgements, the first axis."""
        return np.tensordot(self._weights, of_each, 1)

    def _solved(self, z: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Solve for ln x between ``low`` and ``high``, where the score is ``z``; each (n,)."""
        low, high = low.copy(), high.copy()
        log_x = 0.5 * (low + high)
        left = np.arange(len(z))
        for iteration in range(_ITERATIONS):
            at = log_x[left]
            away, slope = self._newton(at, z[left])
            low[left] = np.where(away < 0.0, at, low[left])
            high[left] = np.where(away < 0.0, high[left], at)
            with np.errstate(all="ignore"):
                new = at - away / slope
            inside = (new >= low[left]) & (new <= high[left])
            # Between modes the score is flat, and Newton alone would only creep up on the end.
            halved = ~inside | (iteration % 4 == 3)
            new = np.where(halved, 0.5 * (low[left] + high[left]), new)
            log_x[left] = new
            left = left[np.abs(new - at) > np.maximum(1e-14, 4.5e-16 * np.abs(new))]
            if not left.size:
                break
        return log_x

    def _newton(self, log_x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far the score at ``log_x`` is above ``z``, and its slope; from the tail of ``z``."""
        from scipy.special import ndtr, ndtri

        scores, sd = self._scores(log_x)
        side = np.where(z < 0.0, 1.0, -1.0)
        score = side * ndtri(np.minimum(self._mean(ndtr(side * scores)), 1.0))
        with np.errstate(all="ignore"):
            return score - z, self._mean(np.exp(0.5 * (score**2 - scores**2)) / sd)


def _log(x: Any) -> np.ndarray:
    """Natural log; -inf for what is not positive."""
    x = np.asarray(x, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0.0, np.log(x), -np.inf)
