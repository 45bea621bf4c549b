"""Estimates from draws, with their Monte Carlo error, averaged over exchange families.

Two kinds, told apart everywhere. A *probability* (deceptive favored, a structure favored) is a mean
of zeros and ones: its interval is of the probability itself and comes from Monte Carlo error. A
*share* (deceptive mass, a class's or a structure's mass) differs from draw to draw: its interval
holds 90 % of the draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.beliefs import Z95

Draws = NDArray[np.float64]
QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class Estimate:
    """Mean, Monte Carlo standard error of the mean, and ends of a 90 % equal-tailed interval."""

    mean: float
    mcse: float
    lower: float
    upper: float

    def as_dict(self) -> dict[str, float | None]:
        """The four numbers as JSON can hold them: finite, or None."""
        return {name: finite(getattr(self, name)) for name in ("mean", "mcse", "lower", "upper")}


@dataclass(frozen=True, eq=False)
class Average:
    """The weights pi_F of the families, in their order, and the covariance of their errors."""

    probability: Draws
    covariance: Draws

    @classmethod
    def alone(cls) -> Average:
        """A single family, whose weight is 1 without error."""
        return cls(np.ones(1), np.zeros((1, 1)))

    def of(self, means: Sequence[float], errors: Sequence[float]) -> tuple[float, float, float]:
        """Sum_F pi_F x_F, its standard error, and the part of it that the weights contribute.

        var = sum_F pi_F^2 error_F^2 + x' Cov(pi) x (errors of pi and of x are independent).
        """
        x, error = np.asarray(means), np.asarray(errors)
        from_weights = max(float(x @ self.covariance @ x), 0.0)
        variance = float(np.sum((self.probability * error) ** 2)) + from_weights
        return float(self.probability @ x), math.sqrt(variance), math.sqrt(from_weights)

    def given(self, shares: Sequence[float]) -> tuple[Average, list[int]]:
        """The weights given an event, ∝ pi_F P(event | F), of the families where it can happen.

        ``shares`` are P(event | F); their own error is left to the caller. The second value holds
        the places of the families that are left.
        """
        share = np.asarray(shares, dtype=float)
        if (share == 1.0).all():
            return self, list(range(share.size))
        some = [int(f) for f in np.flatnonzero(share * self.probability)]
        if not some:
            return Average(np.zeros(0), np.zeros((0, 0))), []
        total = float(self.probability @ share)
        weights = self.probability * share / total
        # d weights_F / d pi_G = (1[F = G] share_F - weights_F share_G) / total
        slope = (np.diag(share) - np.outer(weights, share)) / total
        covariance = slope @ self.covariance @ slope.T
        return Average(weights[some], covariance[np.ix_(some, some)]), some


def finite(x: Any) -> float | None:
    """``x`` as a float, or None where JSON has no number for it."""
    return float(x) if x is not None and math.isfinite(x) else None


def is_constant(draws: NDArray[Any]) -> bool:
    """Whether all draws are equal (such draws are not passed to ArviZ)."""
    return bool(np.all(draws == draws.flat[0]))


def mean_and_mcse(draws: NDArray[Any]) -> tuple[float, float]:
    """Mean and Monte Carlo standard error over (chain, draw), leaving NaN draws out.

    Constants have error 0. With NaN among the draws the mean is the ratio Σ x·1[x is a number] / Σ
    1[x is a number], and its error that of its linearisation; all NaN gives NaN.
    """
    x = np.asarray(draws, dtype=np.float64)
    there = ~np.isnan(x)
    if not there.any():
        return math.nan, math.nan
    mean = float(np.mean(x, where=there))
    if is_constant(x[there]):
        return float(x[there][0]), 0.0
    return mean, _arviz_mcse(np.where(there, x - mean, 0.0) / there.mean())


def _arviz_mcse(x: Draws) -> float:
    from arviz_stats.base import array_stats

    if x.shape[1] < 4:
        # Too short to split into halves: as if independent.
        return float(np.std(x) / math.sqrt(x.size))
    return float(array_stats.mcse(x, chain_axis=0, draw_axis=1, method="mean"))


def probability(
    draws: Sequence[NDArray[Any]],
    average: Average,
    *,
    proved_never: bool = False,
    known: bool = False,
    locked: Sequence[NDArray[Any]] | None = None,
    free: Sequence[NDArray[Any]] | None = None,
) -> Estimate:
    """Estimate of a probability from zeros and ones.

    Parameters
    ----------
    draws
        One bool array (chain, draw) for each family; or float, with NaN where a draw is left out.
    average
        The families' weights.
    proved_never
        Whether dominance proves that every draw must be 0: then nothing unseen is allowed for.
    known
        Whether nothing is uncertain: then no draw could have come out differently.
    locked, free
        For path dependence, one float array (chain, draw) for each family: the figure estimated is
        the mean of locked + free × draws.

    Returns
    -------
    Estimate
        The interval is mean ± 1.645 mcse clipped to [0, 1]. A family whose draws are all 0 has, in
        place of an error it cannot estimate, the upper end 1 − 0.05^{1/N} that N independent
        draws would give (all 1: mirrored). Over families half-widths add in quadrature, weighted
        by pi_F.
    """
    locked = [np.zeros(d.shape) for d in draws] if locked is None else locked
    free = [np.ones(d.shape) for d in draws] if free is None else free
    parts = [mean_and_mcse(a + b * d) for a, b, d in zip(locked, free, draws, strict=True)]
    means, errors = [p[0] for p in parts], [p[1] for p in parts]
    mean, mcse, from_weights = average.of(means, errors)
    rule = not (proved_never or known)
    unseen = [_unseen(d) if rule else (0.0, 0.0) for d in draws]
    ends = []
    for side, sign in ((0, -1.0), (1, 1.0)):
        extra = [float(b.mean()) * u[side] for b, u in zip(free, unseen, strict=True)]
        half = np.hypot(Z95 * np.asarray(errors), extra)
        width = math.hypot(float(np.linalg.norm(average.probability * half)), Z95 * from_weights)
        ends.append(min(max(mean + sign * width, 0.0), 1.0))
    return Estimate(mean, mcse, *ends)


def _unseen(draws: NDArray[Any]) -> tuple[float, float]:
    """How far below and above the mean a probability may lie when all draws agree."""
    there = draws[~np.isnan(draws)]
    if not there.size or not is_constant(there):
        return 0.0, 0.0
    width = -math.expm1(math.log(0.05) / there.size)
    return (width, 0.0) if there.flat[0] else (0.0, width)


def share(draws: Sequence[NDArray[Any]], average: Average) -> Estimate:
    """Estimate of a quantity that differs from draw to draw.

    ``draws`` holds one float array (chain, draw) for each family; NaN draws (nothing fits) are
    left out, so that a family counts by pi_F times the share of its draws that are not. ``lower``
    and ``upper`` are the 5 % and 95 % quantiles of the families' draws, mixed in that proportion.
    """
    among, some = average.given([float(np.mean(~np.isnan(d))) for d in draws])
    if not some:
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    parts = [mean_and_mcse(draws[f]) for f in some]
    means, errors = [p[0] for p in parts], [p[1] for p in parts]
    mean = float(among.probability @ np.asarray(means))
    for place, f in enumerate(some):
        there = ~np.isnan(draws[f])
        if not there.all():  # how many draws there are moves the family's weight as well
            influence = np.where(there, draws[f] - mean, 0.0) / there.mean()
            errors[place] = mean_and_mcse(influence)[1]
    mean, mcse, _ = among.of(means, errors)
    lower, upper = mixture_quantiles(draws, average, QUANTILES)
    return Estimate(mean, mcse, lower, upper)


def mixture_quantiles(
    draws: Sequence[NDArray[Any]], average: Average, q: Sequence[float]
) -> list[float]:
    """Quantiles of the families' draws mixed in the proportions pi_F; NaN where there are none.

    NaN draws are left out: a family counts by pi_F times the share of its draws that are not.
    The inverse of the weighted distribution function: always one of the draws, so that infinite
    ones do no harm.
    """
    whole = [np.asarray(d) for d in draws]
    present = [d[~np.isnan(d)] for d in whole]
    size = sum(d.size for d in whole)
    # About 1 for each draw, so that equal weights add up without rounding.
    weights = [
        np.full(found.size, p * size / d.size)
        for found, d, p in zip(present, whole, average.probability, strict=True)
    ]
    if not weights or not sum(w.sum() for w in weights) > 0.0:
        return [math.nan] * len(q)
    values = np.concatenate(present)
    found = np.quantile(values, q, weights=np.concatenate(weights), method="inverted_cdf")
    return [float(x) for x in found]
