"""Draws of one exchange family, and the settings they were made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayes_mesa.domain.model import Family
from bayes_mesa.errors import InputError
from bayes_mesa.inference.marginal_likelihood import LogMarginalLikelihood

Arrays = dict[str, np.ndarray]


#: Draws in all that a fit takes on: more do not fit into any memory.
MOST_DRAWS = 10**8


def checked_seed(seed: Any) -> int:
    """A seed as a whole number.

    Raises
    ------
    InputError
        If it is none, or below 0.
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed must be a whole number >= 0, found {seed!r}")
    return int(seed)


@dataclass(frozen=True)
class Settings:
    """How much to draw per chain, and from which seed."""

    num_warmup: int = 1000
    num_samples: int = 1000
    num_chains: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_warmup", 0), ("num_samples", 1), ("num_chains", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} must be a whole number >= {least}, found {value!r}")
        if self.num_chains * (self.num_warmup + self.num_samples) > MOST_DRAWS:
            raise InputError(
                f"num_chains × (num_warmup + num_samples) must be at most {MOST_DRAWS:,}, found "
                f"{self.num_chains} × ({self.num_warmup} + {self.num_samples}): take fewer draws"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(chains, draws)."""
        return self.num_chains, self.num_samples


@dataclass(frozen=True, eq=False)
class FamilyFit:
    """Draws under one family; every array starts with (chains, draws).

    ``values`` are slot values, ``posterior`` what is stored, ``marginal`` log p(D | F); the rest is
    empty where NUTS did not run or there is no evidence. ``tails`` alone has no draws, as
    `likelihood.tails` gives it.
    """

    family: Family
    values: Arrays
    posterior: Arrays
    log_prior: Arrays
    marginal: LogMarginalLikelihood = LogMarginalLikelihood(0.0, 0.0)
    stats: Arrays = field(default_factory=dict)
    log_likelihood: Arrays = field(default_factory=dict)
    predictive: Arrays = field(default_factory=dict)
    prior_predictive: Arrays = field(default_factory=dict)
    tails: Arrays = field(default_factory=dict)
