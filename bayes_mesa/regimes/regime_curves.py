"""Curves over k rollouts, read as figures averaged over the exchange families."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES
from bayes_mesa.verdicts.estimand import Average, Estimate, probability, share

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[Any]


@dataclass(frozen=True, eq=False)
class RegimeCurves:
    """Curves over k as `regime` returns them, read as figures averaged over the families."""

    data: xr.Dataset

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Exchange families, in the order of the model file."""
        return tuple(map(str, self.data["family"].to_numpy()))

    @cached_property
    def average(self) -> Average:
        """Weights pi_F with their covariance."""
        covariance = np.asarray(json.loads(self.data.attrs["probability_covariance"]), dtype=float)
        size = len(self.families)
        return Average(
            np.asarray(json.loads(self.data.attrs["family_probability"]), dtype=float),
            covariance.reshape(size, size),
        )

    @cached_property
    def known(self) -> bool:
        """Whether nothing is uncertain, so that errors are 0."""
        return bool(self.data.attrs["all_known"])

    @cached_property
    def rollouts(self) -> tuple[int, ...]:
        """The k tried, rising."""
        return tuple(map(int, self.data["rollouts"].to_numpy()))

    def success(self, at: int) -> Estimate:
        """P(success | k); the interval holds 90 % of the draws."""
        return share(self._of("success", at), self.average)

    def success_lost(self, at: int, best: int) -> Estimate:
        """P(success) at the best k less that here, on the same draws."""
        here, there = self._of("success", at), self._of("success", best)
        return share([b - a for a, b in zip(here, there, strict=True)], self.average)

    def favored(self, at: int) -> Estimate:
        """P(deceptive favored | k); where nothing fits, nothing is favored."""
        return probability(self._of("deceptive_favored", at), self.average, known=self.known)

    def favored_given_fit(self, at: int) -> Estimate:
        """P(deceptive favored | k, something fits); NaN where nothing fits in any draw."""
        fits = self._of("fits", at)
        return given_fit(self._of("deceptive_favored", at), fits, self.average, known=self.known)

    def mass(self, at: int) -> Estimate:
        """Share of the program weight that deceptive programs hold, where something fits."""
        return share(self._of("deceptive_mass", at), self.average)

    def class_mass(self, at: int, class_name: str) -> Estimate:
        """The same of a class."""
        place = CLASSES.index(class_name)
        return share([x[..., place] for x in self._of("class_mass", at)], self.average)

    def nothing_fits(self, at: int) -> float:
        """Share of draws in which no program fits under the cap k·s."""
        fits = np.array([x.mean() for x in self._of("fits", at)])
        return float(self.average.probability @ (1.0 - fits))

    @cached_property
    def mean_success(self) -> NDArray[np.float64]:
        """Mean P(success) at every k, (rollouts,)."""
        means = self._arrays["success"].mean(axis=(2, 3))
        return np.asarray(self.average.probability @ means)

    @cached_property
    def deceptive_where_fits(self) -> NDArray[np.float64]:
        """Mean of P(deceptive favored | k, something fits), (rollouts,); NaN where nothing fits."""
        favored, fits = (
            self.average.probability @ self._arrays[name].mean(axis=(2, 3))
            for name in ("deceptive_favored", "fits")
        )
        with np.errstate(invalid="ignore"):
            return np.asarray(favored / fits)

    @cached_property
    def reached(self) -> NDArray[np.bool_]:
        """At which k the mean P(success) reaches the target, (rollouts,)."""
        # A target that is met exactly must not be missed by rounding.
        return self.mean_success >= float(self.data.attrs["target_success"]) * (1.0 - 1e-12)

    @cached_property
    def improbable(self) -> NDArray[np.bool_]:
        """At which k something fits and deception is improbable, (rollouts,)."""
        return self.deceptive_where_fits <= float(self.data.attrs["max_deceptive"])

    @cached_property
    def best(self) -> int:
        """Place of the k with the largest mean P(success), the least of equals."""
        return int(np.argmax(self.mean_success))

    @cached_property
    def recommended(self) -> int | None:
        """Place of the smallest k in the window, or None."""
        inside = np.flatnonzero(self.reached & self.improbable)
        return int(inside[0]) if inside.size else None

    def between(self) -> list[int]:
        """The k halfway between neighbours where the window or the reach ends, or success peaks."""
        inside = self.reached & self.improbable
        places = {int(k) for x in (self.reached, inside) for k in np.flatnonzero(x[1:] != x[:-1])}
        places |= {self.best - 1, self.best} & set(range(len(self.rollouts) - 1))
        pairs = [(self.rollouts[k], self.rollouts[k + 1]) for k in sorted(places)]
        return [(low + high) // 2 for low, high in pairs if high - low > 1]

    def least_rollouts(self) -> list[Draws]:
        """For each draw the least k tried whose success reaches the target, inf: none does."""
        reached = self._arrays["success"] >= float(self.data.attrs["target_success"]) * (1 - 1e-12)
        first = np.asarray(self.rollouts, dtype=float)[np.argmax(reached, axis=1)]
        return list(np.where(reached.any(axis=1), first, np.inf))

    def _of(self, name: str, at: int) -> list[Draws]:
        return list(self._arrays[name][:, at])

    @cached_property
    def _arrays(self) -> Mapping[str, Draws]:
        """Every variable over all of these, (family, rollouts, chain, draw, ...)."""
        names = ("success", "deceptive_favored", "deceptive_mass", "class_mass", "fits")
        first = ("family", "rollouts", "chain", "draw")
        return {n: self.data[n].transpose(*first, ...).to_numpy() for n in names}


def given_fit(
    favored: Sequence[Draws], fits: Sequence[Draws], average: Average, *, known: bool
) -> Estimate:
    """Probability of being favored among the draws in which something fits.

    Parameters
    ----------
    favored, fits
        Zeros and ones (chain, draw) for each family.
    average
        The families' weights pi_F; given that something fits they are ∝ pi_F P(fits | F).
    known
        Whether nothing is uncertain.
    """
    among, some = average.given([float(x.mean()) for x in fits])
    if not some:
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    draws = [np.where(fits[f], favored[f], np.nan) for f in some]
    return probability(draws, among, known=known)
