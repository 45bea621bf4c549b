"""Replicated evidence in NumPy, from the rows' distributions as NumPyro names them.

Draws, and how far out in them an observed value lies. JAX could draw them too, but compiling its
binomial sampler costs more than the whole fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

Parameters = Mapping[str, np.ndarray]
Tails = tuple[np.ndarray, np.ndarray]


def _binomial(rng: np.random.Generator, p: Parameters) -> np.ndarray:
    from scipy.special import expit

    return rng.binomial(p["total_count"], expit(p["logits"]))


def _beta_binomial(rng: np.random.Generator, p: Parameters) -> np.ndarray:
    return rng.binomial(p["total_count"], rng.beta(p["concentration1"], p["concentration0"]))


def _lognormal(rng: np.random.Generator, p: Parameters) -> np.ndarray:
    return rng.lognormal(p["loc"], p["scale"])


def _multinomial(rng: np.random.Generator, p: Parameters) -> np.ndarray:
    mass = np.exp(p["log_mass"])
    rest = np.maximum(0.0, 1.0 - mass.sum(axis=-1, keepdims=True))
    whole = np.concatenate([mass, rest], axis=-1)
    return rng.multinomial(p["total"], whole / whole.sum(axis=-1, keepdims=True))[..., :-1]


def _grouped_multinomial(rng: np.random.Generator, p: Parameters) -> np.ndarray:
    """One multinomial for each group; the groups are the same in every draw."""
    group = p["group"].reshape(-1, p["group"].shape[-1])[0]
    counts = np.zeros(p["log_mass"].shape, np.int64)
    for each in np.unique(group):
        rows = np.flatnonzero(group == each)
        total = p["total"][..., rows[0]]
        own = {"log_mass": p["log_mass"][..., rows], "total": total}
        counts[..., rows] = _multinomial(rng, own)
    return counts


#: Distribution class → its parameters' names, and how to draw from them.
SAMPLERS: Mapping[str, tuple[tuple[str, ...], Callable[..., np.ndarray]]] = MappingProxyType(
    {
        "BinomialLogits": (("total_count", "logits"), _binomial),
        "BetaBinomial": (("total_count", "concentration1", "concentration0"), _beta_binomial),
        "LogNormal": (("loc", "scale"), _lognormal),
        "RowMultinomial": (("log_mass", "total"), _multinomial),
        "GroupedMultinomial": (("log_mass", "total", "group"), _grouped_multinomial),
    }
)


def _binomial_tails(observed: np.ndarray, trials: np.ndarray, probability: np.ndarray) -> Tails:
    from scipy.special import bdtr, bdtrc

    with np.errstate(invalid="ignore"):  # a mass of NaN has no tails
        return bdtr(observed, trials, probability), bdtrc(observed - 1, trials, probability)


def _of_binomial(rng: np.random.Generator, y: np.ndarray, p: Parameters) -> Tails:
    from scipy.special import expit

    return _binomial_tails(y, p["total_count"], expit(p["logits"]))


def _of_beta_binomial(rng: np.random.Generator, y: np.ndarray, p: Parameters) -> Tails:
    drawn = rng.beta(p["concentration1"], p["concentration0"])
    return _binomial_tails(y, p["total_count"], drawn)


def _of_lognormal(rng: np.random.Generator, y: np.ndarray, p: Parameters) -> Tails:
    from scipy.special import ndtr

    z = (np.log(y) - p["loc"]) / p["scale"]
    return ndtr(z), ndtr(-z)


def _of_multinomial(rng: np.random.Generator, y: np.ndarray, p: Parameters) -> Tails:
    mass = np.exp(np.minimum(p["log_mass"], 0.0))
    total = np.asarray(p["total"])
    return _binomial_tails(y, total[..., None] if total.ndim < mass.ndim else total, mass)


#: Distribution class → P(replicate <= observed) and P(replicate >= observed) at every draw.
#: Averaged over draws these reach far further out than counting replicates would.
TAILS: Mapping[str, Callable[[np.random.Generator, np.ndarray, Parameters], Tails]] = (
    MappingProxyType(
        {
            "BinomialLogits": _of_binomial,
            "BetaBinomial": _of_beta_binomial,
            "LogNormal": _of_lognormal,
            "RowMultinomial": _of_multinomial,
            "GroupedMultinomial": _of_multinomial,
        }
    )
)
