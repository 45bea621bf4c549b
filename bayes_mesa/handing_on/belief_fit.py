"""One prior of the model file's table, fitted to draws by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bayes_mesa.domain.beliefs import FORMS, Prior
from bayes_mesa.errors import InputError

Arguments = dict[str, float]

#: Probabilities at which fit and draws are compared.
QUANTILES = (0.05, 0.5, 0.95)
#: What a loader asks of a prior's upper tail: a finite number.
_TAIL = 1e-12
#: Least share of a prior above the point where the loader truncates it.
_LEAST_SHARE = 1e-6
_DIGITS = 9


@dataclass(frozen=True)
class BeliefFit:
    """A prior beside the draws that it is fitted to.

    ``ks`` is the Kolmogorov-Smirnov distance between the draws and what the next model will draw,
    truncation and constraints included; ``drawn`` and ``fitted`` are the 5, 50 and 95 % quantiles
    of both.
    """

    slot: str
    prior: Prior
    ks: float
    drawn: tuple[float, float, float]
    fitted: tuple[float, float, float]

    @property
    def errors(self) -> tuple[float, float, float]:
        """Relative errors of the fitted quantiles."""
        low, middle, high = (
            f / d - 1.0 if d else math.inf for f, d in zip(self.fitted, self.drawn, strict=True)
        )
        return low, middle, high


def fit_prior(
    draws: np.ndarray,
    *,
    low: float = -math.inf,
    within: tuple[float, float] = (0.0, math.inf),
) -> Prior:
    """The prior of the table with the lowest AIC, 2 (arguments) − 2 Σ ln f(x).

    Parameters
    ----------
    draws
        (N,), all of them ≥ 0 and not all the same.
    low
        Where the loader will truncate the prior; the density that is fitted is renormalised above.
    within
        Interval that the prior's support must not leave. Where its upper end is infinite ``Beta``
        is not asked, however small the draws are.

    Raises
    ------
    InputError
        If the draws do not vary, or are negative or not finite.
    """
    x = np.maximum(np.asarray(draws, dtype=float).ravel(), np.finfo(float).tiny)
    if not np.all(np.isfinite(x)) or np.min(draws) < 0.0 or np.ptp(x) == 0.0:
        raise InputError("draws must be finite, at least 0 and not all the same to fit a prior")
    best, lowest = None, math.inf
    for name, fitted in _FITTED.items():
        try:
            prior = _allowed(name, fitted, x, low, within)
        except ValueError:  # SciPy's word for a fit that did not come to an end
            continue
        if prior is not None and (aic := _aic(prior, x)) < lowest:
            best, lowest = prior, aic
    if best is None:
        raise InputError(f"no distribution of the table fits draws within {within}")
    return best


def compared(
    slot: str, prior: Prior, draws: np.ndarray, simulated: np.ndarray | None = None
) -> BeliefFit:
    """How well a prior fits draws (N,); ``simulated`` (M,) stands for it where it is given."""
    x = np.sort(draws.ravel())
    drawn = np.quantile(x, QUANTILES)
    if simulated is None:
        cut = prior.share_cut
        below = (prior.scipy().cdf(x) - cut) / (1.0 - cut)
        fitted = np.asarray(prior.quantile(np.asarray(QUANTILES)))
    else:
        below = np.searchsorted(np.sort(simulated), x, side="right") / simulated.size
        fitted = np.quantile(simulated, QUANTILES)
    return BeliefFit(slot, prior, _distance(below), _three(drawn), _three(fitted))


def _distance(below: np.ndarray) -> float:
    """Largest gap between sorted draws' own distribution and probabilities ``below`` each."""
    n = below.size
    steps = np.arange(n + 1) / n
    return float(max(np.max(steps[1:] - below), np.max(below - steps[:-1])))


def _three(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = (float(v) for v in values)
    return low, middle, high


def _allowed(
    name: str,
    fitted: Callable[[np.ndarray, tuple[float, float]], Arguments],
    x: np.ndarray,
    low: float,
    within: tuple[float, float],
) -> Prior | None:
    """The form fitted to the draws; None where a model file could not hold the outcome."""
    if name == "Beta" and not (within[1] <= 1.0 and x.max() < 1.0):
        return None
    with np.errstate(all="ignore"):
        prior = _prior(name, fitted(x, within), low)
        if low > FORMS[name].support(dict(prior.arguments))[0]:
            prior = _truncated(prior, x)
        support = FORMS[name].support(dict(prior.arguments))
        inside = within[0] <= support[0] and support[1] <= within[1]
        sound = all(math.isfinite(v) for _, v in prior.arguments) and all(
            v > 0.0 for n, v in prior.arguments if n in FORMS[name].positive
        )
        if not (inside and sound and support[0] < support[1] and math.isfinite(_tail(prior))):
            return None
        return prior


def _tail(prior: Prior) -> float:
    return float(prior.scipy().isf(_TAIL))


def _prior(name: str, arguments: Arguments, low: float) -> Prior:
    def rounded(value: float) -> float:
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else float(value)

    return Prior(name, tuple((n, rounded(arguments[n])) for n in FORMS[name].arguments), low)


def _log_likelihood(prior: Prior, x: np.ndarray) -> float:
    """Log likelihood after truncation; -inf where hardly anything of the prior would be left."""
    density = prior.scipy()  # made once: SciPy takes a millisecond
    cut = float(density.cdf(prior.low)) if math.isfinite(prior.low) else 0.0
    # Far below the cut any shape looks like an exponential: arguments would run away.
    if not cut <= 1.0 - _LEAST_SHARE:
        return -math.inf
    return float(np.sum(density.logpdf(x))) - x.size * math.log1p(-cut)


def _aic(prior: Prior, x: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        found = 2.0 * len(prior.arguments) - 2.0 * _log_likelihood(prior, x)
    return found if math.isfinite(found) else math.inf


def _truncated(prior: Prior, x: np.ndarray) -> Prior:
    """Maximum likelihood of the density renormalised above ``low``, from the plain fit on."""
    from scipy.optimize import minimize

    positive = FORMS[prior.name].positive
    names = [n for n, _ in prior.arguments]

    def at(point: np.ndarray) -> Prior:
        pairs = zip(names, point, strict=True)
        return _prior(
            prior.name, {n: math.exp(v) if n in positive else v for n, v in pairs}, prior.low
        )

    def loss(point: np.ndarray) -> float:
        try:
            tried = at(point)
        except OverflowError:
            return math.inf
        found = -_log_likelihood(tried, x) / x.size
        return found if math.isfinite(found) else math.inf

    start = np.array([math.log(v) if n in positive else v for n, v in prior.arguments])
    return at(minimize(loss, start, method="Nelder-Mead").x)


# One form after the other: closed where there is a closed form, else SciPy's fit with the ends of
# the support fixed, on draws of geometric mean 1 (costs reach 1e10, where its starts fail).


def _scale(x: np.ndarray) -> float:
    return math.exp(float(np.mean(np.log(x))))


def _log_normal(x: np.ndarray, _: tuple[float, float]) -> Arguments:
    logs = np.log(x)
    return {"loc": float(logs.mean()), "scale": float(logs.std())}


def _gamma(x: np.ndarray, _: tuple[float, float]) -> Arguments:
    import scipy.stats

    by = _scale(x)
    shape, _loc, scale = scipy.stats.gamma.fit(x / by, floc=0.0)
    return {"concentration": shape, "rate": 1.0 / (scale * by)}


def _inverse_gamma(x: np.ndarray, within: tuple[float, float]) -> Arguments:
    # 1/x is gamma-distributed with the same concentration and rate.
    return _gamma(1.0 / x, within)


def _exponential(x: np.ndarray, _: tuple[float, float]) -> Arguments:
    return {"rate": 1.0 / float(x.mean())}


def _half_normal(x: np.ndarray, _: tuple[float, float]) -> Arguments:
    return {"scale": float(np.sqrt(np.mean(x * x)))}


def _between(x: np.ndarray, within: tuple[float, float]) -> Arguments:
    # The extremes of n draws lie inside the support by a share of about 1/(n + 1) at each end.
    margin = float(np.ptp(x)) / (x.size - 1)
    return {
        "low": max(float(x.min()) - margin, within[0]),
        "high": min(float(x.max()) + margin, within[1]),
    }


def _log_between(x: np.ndarray, within: tuple[float, float]) -> Arguments:
    ends = (math.log(within[0]) if within[0] > 0.0 else -math.inf, _log(within[1]))
    return {n: math.exp(v) for n, v in _between(np.log(x), ends).items()}


def _log(value: float) -> float:
    return math.log(value) if math.isfinite(value) else math.inf


def _weibull(x: np.ndarray, _: tuple[float, float]) -> Arguments:
    import scipy.stats

    by = _scale(x)
    shape, _loc, scale = scipy.stats.weibull_min.fit(x / by, floc=0.0)
    return {"scale": scale * by, "concentration": shape}


def _beta(x: np.ndarray, _: tuple[float, float]) -> Arguments:
    import scipy.stats

    a, b, _loc, _scale = scipy.stats.beta.fit(x, floc=0.0, fscale=1.0)
    return {"concentration1": a, "concentration0": b}


_FITTED: Mapping[str, Callable[[np.ndarray, tuple[float, float]], Arguments]] = MappingProxyType(
    {
        "LogNormal": _log_normal,
        "Gamma": _gamma,
        "InverseGamma": _inverse_gamma,
        "Exponential": _exponential,
        "HalfNormal": _half_normal,
        "Uniform": _between,
        "LogUniform": _log_between,
        "Weibull": _weibull,
        "Beta": _beta,
    }
)
