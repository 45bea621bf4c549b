"""Log marginal likelihood of one family, estimated twice over, with its error.

Bridge sampling from the posterior: Meng & Wong (1996), *Simulating ratios of normalizing constants
via a simple identity*; error as in Frühwirth-Schnatter (2004), *Estimating marginal likelihoods for
mixture and Markov switching models using bridge sampling techniques*. And the plain mean of the
likelihood over prior draws. Bridge sampling is the sharper one where the evidence says much, the
prior mean where the posterior is hard to explore; the two check one another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_TOLERANCE = 1e-10
_ITERATIONS = 1000
#: Effective prior draws below which their mean's error is not believed.
_LEAST_EFFECTIVE = 50.0
#: Draws per half chain below which no proposal is fitted.
_LEAST_HALF = 4
#: Standard errors by which the two estimates may differ.
_APART = 4.0


@dataclass(frozen=True)
class LogMarginalLikelihood:
    """log p(D | F) in nats and its standard error, to be trusted where ``sound``."""

    value: float
    error: float
    sound: bool = True


def bridge_sampling(
    draws: np.ndarray,
    log_density: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> LogMarginalLikelihood:
    """Estimate the log of the integral of an unnormalised density from draws of it.

    Parameters
    ----------
    draws
        (chains, draws, d) draws in unconstrained space, float64.
    log_density
        Maps (n, d) points to (n,) log densities, unnormalised, prior and Jacobian included.
    rng
        For the draws of the proposal, a normal fitted to the first half of each chain; the second
        half enters the estimate. The two halves then change places, and the two estimates are
        averaged.

    Returns
    -------
    LogMarginalLikelihood
        Unsound, with an infinite error, when there are too few draws to fit a normal to.
    """
    half = draws.shape[1] // 2
    if half < _LEAST_HALF or draws.shape[0] * half <= 2 * draws.shape[2]:
        return LogMarginalLikelihood(-np.inf, np.inf, sound=False)
    parts = (draws[:, :half], draws[:, half : 2 * half])
    estimates = [_one_way(fitted, used, log_density, rng) for fitted, used in (parts, parts[::-1])]
    value = float(np.mean([e.value for e in estimates]))
    # Each half fits once and counts once, so the two are not independent: no gain of 1/sqrt(2).
    error = float(np.sqrt(np.mean([e.error**2 for e in estimates])))
    spread = abs(estimates[0].value - estimates[1].value) / 2.0
    return LogMarginalLikelihood(value, max(error, spread), all(e.sound for e in estimates))


def prior_mean(log_likelihood: np.ndarray) -> LogMarginalLikelihood:
    """Log of the mean likelihood over independent prior draws, (n,); error by the delta method.

    Unsound where fewer than `_LEAST_EFFECTIVE` draws carry the mean: its error is then a guess.
    """
    from scipy.special import logsumexp

    count = len(log_likelihood)
    total = float(logsumexp(log_likelihood))
    if not np.isfinite(total):
        return LogMarginalLikelihood(-np.inf, np.inf, sound=False)
    share = np.exp(log_likelihood - total)
    effective = 1.0 / float((share**2).sum())
    error = float(np.sqrt(max(1.0 / effective - 1.0 / count, 0.0)))
    return LogMarginalLikelihood(total - float(np.log(count)), error, effective >= _LEAST_EFFECTIVE)


def agreed(bridge: LogMarginalLikelihood, prior: LogMarginalLikelihood) -> LogMarginalLikelihood:
    """The estimate with the smaller error; unsound where the two contradict one another."""
    if not np.isfinite(bridge.error):
        return prior
    if not prior.sound:
        return bridge
    best = min((bridge, prior), key=lambda e: (not e.sound, e.error))
    apart = abs(bridge.value - prior.value)
    # A difference beyond the stated errors is itself the better measure of the error.
    if best is bridge and apart > _APART * float(np.hypot(bridge.error, prior.error)):
        return LogMarginalLikelihood(bridge.value, apart, sound=False)
    return best


def family_probabilities(
    weights: np.ndarray, log_likelihoods: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """π_F ∝ w_F p(D | F), and its covariance by the delta method.

    Parameters
    ----------
    weights, log_likelihoods, errors
        (F,): prior weights, log p(D | F) in nats, and their standard errors.

    Returns
    -------
    probability (F,), covariance (F, F)
    """
    log_probability = np.log(weights) + log_likelihoods
    probability = np.exp(log_probability - log_probability.max())
    probability /= probability.sum()
    slope = np.diag(probability) - np.outer(probability, probability)
    return probability, slope @ np.diag(errors**2) @ slope.T


def _one_way(
    fitted: np.ndarray,
    used: np.ndarray,
    log_density: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> LogMarginalLikelihood:
    points = fitted.reshape(-1, fitted.shape[-1])
    mean = points.mean(axis=0)
    factor = np.linalg.cholesky(_covariance(points))
    posterior = used.reshape(-1, used.shape[-1])
    proposal = mean + rng.standard_normal(posterior.shape) @ factor.T
    # l = log q* − log g at the posterior's draws (l1) and at the proposal's (l2).
    l1 = log_density(posterior) - _log_normal(posterior, mean, factor)
    l2 = log_density(proposal) - _log_normal(proposal, mean, factor)
    ess = _effective_size(l1.reshape(used.shape[:2]))
    shift = float(np.median(l1))
    log_r, converged = _iterate(l1 - shift, l2 - shift, ess)
    error = _relative_error(l1 - shift - log_r, l2 - shift - log_r, ess)
    return LogMarginalLikelihood(log_r + shift, error, converged)


def _covariance(points: np.ndarray) -> np.ndarray:
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    return covariance + 1e-10 * np.diag(np.diag(covariance))


def _log_normal(points: np.ndarray, mean: np.ndarray, factor: np.ndarray) -> np.ndarray:
    from scipy.linalg import solve_triangular

    z = solve_triangular(factor, (points - mean).T, lower=True)
    constant = np.log(np.diag(factor)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
    return -0.5 * (z**2).sum(axis=0) - constant


def _effective_size(statistic: np.ndarray) -> float:
    from arviz_stats.base import array_stats

    if np.ptp(statistic) == 0.0:
        return float(statistic.size)
    return float(min(array_stats.ess(statistic, chain_axis=0, draw_axis=1), statistic.size))


def _iterate(l1: np.ndarray, l2: np.ndarray, ess: float) -> tuple[float, bool]:
    """Fixed point of Meng & Wong's eq. 4.1 with s1 : s2 = ESS : number of proposals, in logs."""
    from scipy.special import logsumexp

    s1, s2 = ess / (ess + len(l2)), len(l2) / (ess + len(l2))
    log_r = 0.0
    for _ in range(_ITERATIONS):
        over = l2 - np.logaddexp(np.log(s1) + l2, np.log(s2) + log_r)
        under = -np.logaddexp(np.log(s1) + l1, np.log(s2) + log_r)
        new = logsumexp(over) - np.log(len(l2)) - logsumexp(under) + np.log(len(l1))
        if abs(new - log_r) <= _TOLERANCE * max(1.0, abs(new)):
            return float(new), True
        log_r = float(new)
    return log_r, False


def _relative_error(l1: np.ndarray, l2: np.ndarray, ess: float) -> float:
    """Relative root mean squared error of r; ``l1`` and ``l2`` are log densities less log r."""
    s1, s2 = ess / (ess + len(l2)), len(l2) / (ess + len(l2))
    f2 = np.exp(l2 - np.logaddexp(np.log(s1) + l2, np.log(s2)))  # p/(s1 p + s2 g) under g
    f1 = np.exp(-np.logaddexp(np.log(s1) + l1, np.log(s2)))  # g/(s1 p + s2 g) under p
    term2 = np.var(f2) / np.mean(f2) ** 2 / len(l2)
    term1 = np.var(f1) / np.mean(f1) ** 2 / ess
    return float(np.sqrt(term1 + term2))
