"""Draws of replicated evidence in NumPy, from the rows' distributions as NumPyro names them.

JAX could draw them too, but compiling its binomial sampler costs more than the whole fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

Parameters = Mapping[str, np.ndarray]


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


#: Distribution class → its parameters' names, and how to draw from them.
SAMPLERS: Mapping[str, tuple[tuple[str, ...], Callable[..., np.ndarray]]] = MappingProxyType(
    {
        "BinomialLogits": (("total_count", "logits"), _binomial),
        "BetaBinomial": (("total_count", "concentration1", "concentration0"), _beta_binomial),
        "LogNormal": (("loc", "scale"), _lognormal),
        "RowMultinomial": (("log_mass", "total"), _multinomial),
    }
)
