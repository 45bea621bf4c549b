"""Cruxes found: every belief is asked the four questions, averaged over families and by family."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.task_success import success
from bayes_mesa.reweighting.reweighing import reweighed
from bayes_mesa.reweighting.stock import Stock
from bayes_mesa.sensitivity.crux_result import (
    FAMILY,
    FROM_DRAWS,
    JUDGED,
    NOT_FOUND,
    REJUDGED_DRAWS,
    REJUDGED_PRIOR,
    REWEIGHED,
    Crux,
    Cruxes,
)
from bayes_mesa.sensitivity.crux_sample import CruxSample, FamilySample, Movable, one_number
from bayes_mesa.sensitivity.crux_sensitivity import CruxSensitivity
from bayes_mesa.sensitivity.flips import Flip, smallest_factor
from bayes_mesa.sensitivity.partial_information import (
    Decision,
    worth_of_everything,
    worth_of_group,
    worth_of_one,
)
from bayes_mesa.sensitivity.variance_shares import (
    HDMR_DRAWS,
    NO_SHARE,
    Mixture,
    VarianceShare,
    first_order,
    first_order_of_groups,
    total_effect,
    totals_of_draws,
)

Draws = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CruxSearch:
    """All that is asked of one sample; ``quick`` leaves out what takes more than seconds."""

    sample: CruxSample
    decision: Decision
    threshold: float
    rollouts: int | None
    seed: int
    quick: bool

    def everything(self, by_family: bool) -> Cruxes:
        """Every belief's row, ranked, and what is said of all together."""
        sample = self.sample
        if not sample.names:
            return Cruxes(
                sample.of,
                self._probability(),
                self.threshold,
                self.decision,
                None,
                NOT_FOUND,
                "",
                None,
                (),
            )
        again = {f.name: self._again(f) for f in sample.families}
        gains = {f.name: self._gain(f) for f in sample.families}
        movable = self._movable()
        totals = self._totals_from_draws() if sample.judge is None and not self.quick else {}
        sensitivities = CruxSensitivity.of(sample)
        rows = []
        for name in sample.names:
            crux = self._average(name, again, gains)
            if name in totals:
                crux = replace(crux, total=totals[name])
            flips = self._flips(name, movable, by_family) if movable else self._reweighed_flip(name)
            crux = replace(
                crux,
                flip=flips.get(""),
                likelihood_sensitivity=sensitivities.likelihood.get(name),
            )
            if self.rollouts is None:  # else the stored verdict is not the one that is asked about
                crux = replace(crux, prior_sensitivity=sensitivities.prior(name))
                if not self.quick:
                    noise = sensitivities.noise(name, self.seed)
                    crux = replace(crux, prior_sensitivity_noise=noise)
            if by_family:
                crux = replace(crux, by_family=self._by_family(name, again, flips))
            rows.append(crux)
        if len(sample.families) > 1:
            rows.append(self._of_family(gains))
        how = REJUDGED_PRIOR if sample.prior else REJUDGED_DRAWS
        if sample.judge is None:
            how = FROM_DRAWS if totals else NOT_FOUND
        gain = np.concatenate([gains[f.name][f.share] for f in sample.families])
        return Cruxes(
            sample.of,
            self._probability(),
            self.threshold,
            self.decision,
            worth_of_everything(gain, inflation=self._inflation, mixture=self._mixture),
            how,
            JUDGED if movable else REWEIGHED,
            sensitivities.likelihood.get("") if self.rollouts is None else None,
            tuple(sorted(rows, key=lambda c: c.rank)),
            self._varies(),
        )

    def _varies(self) -> bool:
        y = np.concatenate([f.y[f.share] for f in self.sample.families])
        there = y[~np.isnan(y)]
        return bool(there.size and np.any(there != there[0]))

    @property
    def _inflation(self) -> float:
        return max(f.inflation for f in self.sample.families)

    @cached_property
    def _mixture(self) -> Mixture:
        """The families of the draws that stand for the average."""
        label = [np.full(f.share.size, k) for k, f in enumerate(self.sample.families)]
        return Mixture(np.concatenate(label), self.sample.covariance)

    @property
    def _asked(self) -> str:
        """What has a threshold and a decision: never the margin."""
        return "deceptive_favored" if self.sample.of == "margin" else self.sample.of

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, *place])))

    def _again(self, family: FamilySample) -> dict[str, Draws]:
        """The verdict with each belief drawn anew."""
        judge = self.sample.judge
        if judge is None:
            return {}
        redraw = self.sample.redraw(family)
        member = judge.model.family(family.name)
        place = [f.name for f in self.sample.families].index(family.name)
        return {
            name: judge(member, redraw(name, self._rng(place, k)), self.sample.of)
            for k, name in enumerate(self.sample.names)
            if name in family.values
        }

    def _gain(self, family: FamilySample) -> Draws:
        likely: Draws | float = 1.0
        judge, y, fits = self.sample.judge, family.y, family.fits
        if self.sample.of == "margin":
            y = (family.y > 0.0).astype(float)
        if self.rollouts is not None and judge is not None and judge.model.regime is not None:
            stated = judge.model.regime
            task = {n: family.values.get(n, b.median) for n, b in stated.beliefs().items()}
            likely = success(self.rollouts, stated.episodes(self.rollouts), **task)
            _, values = self.sample.whole(family)
            member = judge.model.family(family.name)
            fits = ~np.isnan(judge(member, values, "deceptive_mass"))
        return self.decision.gain(np.where(fits, y, np.nan), likely)

    def _average(
        self, name: str, again: Mapping[str, Mapping[str, Draws]], gains: Mapping[str, Draws]
    ) -> Crux:
        families = self.sample.families
        own = self.sample.family_of(name)
        y = np.concatenate([f.y[f.share] for f in families])
        redone = np.concatenate([again[f.name].get(name, f.y)[f.share] for f in families])
        total = NO_SHARE
        if self.sample.judge is not None:
            total = _total(y, redone, self._inflation, self._mixture)
        if own is not None:
            return replace(self._parameter(name, own, y, gains), total=total)
        x = np.concatenate([one_number(f.values[name])[f.share] for f in families])
        gain = np.concatenate([gains[f.name][f.share] for f in families])
        worth = worth_of_one(
            x, gain, seed=self.seed, inflation=self._inflation, mixture=self._mixture
        )
        return Crux(name, _first(x, y, self._inflation, self._mixture), total, worth)

    def _parameter(self, name: str, own: str, y: Draws, gains: Mapping[str, Draws]) -> Crux:
        """A family's own parameter: E[Y | x] = π E[Y | x, family] + what the others give."""
        family = next(f for f in self.sample.families if f.name == own)
        x = one_number(family.values[name])
        alone = _first(x, family.y, family.inflation)
        first = alone.part(family.probability**2, family.y, y, inflation=self._inflation)
        first = first.widened(self._error_of_part(first.mean, own, y))
        others = [f for f in self.sample.families if f.name != own]
        weight = sum(f.probability for f in others)
        rest = sum(f.probability * float(gains[f.name].mean()) for f in others)
        worth = worth_of_one(
            x,
            gains[own],
            seed=self.seed,
            inflation=family.inflation,
            share=family.probability,
            rest=rest / weight if weight > 0.0 else 0.0,
        )
        return Crux(name, first, NO_SHARE, worth)

    def _error_of_part(self, first: float, own: str, y: Draws) -> float:
        """Of S = π² Var(E[Y | x, family])/Var(Y) from the error of π: ∂S/∂π = 2 S/π, and Var(Y)."""
        there = np.isfinite(y)
        if not there.any() or not math.isfinite(first) or first == 0.0:
            return 0.0
        k = [f.name for f in self.sample.families].index(own)
        square = (y[there] - y[there].mean()) ** 2
        among = self._mixture.among(there)
        own_slope = 2.0 * first / self.sample.families[k].probability
        influence = np.where(among.label == k, own_slope, 0.0) - first * square / square.mean()
        return among.error(influence)

    def _of_family(self, gains: Mapping[str, Draws]) -> Crux:
        """Which family it is, with the parameters of each as they are drawn."""
        families, judge = self.sample.families, self.sample.judge
        label = self._mixture.label
        y = np.concatenate([f.y[f.share] for f in families])
        gain = np.concatenate([gains[f.name][f.share] for f in families])
        there = np.isfinite(y)
        first = NO_SHARE
        if there.any():
            first = first_order_of_groups(
                label[there],
                y[there],
                inflation=self._inflation,
                mixture=self._mixture.among(there),
            )
        worth = worth_of_group(label, gain, inflation=self._inflation, mixture=self._mixture)
        total = NO_SHARE
        if judge is not None:
            again = self._under_other_families()
            total = _total(y, again, self._inflation, self._mixture, of_mixture=True)
        return Crux(FAMILY, first, total, worth)

    def _under_other_families(self) -> Draws:
        """Y of every draw with the family drawn anew, and the parameters that all have kept.

        Parameters of a family that is not the one are idle: those of the new one are any of its own
        draws, and where the family stays the draw does.
        """
        families, judge = self.sample.families, self.sample.judge
        assert judge is not None  # noqa: S101 - asked by the only caller
        rng = self._rng(len(families))
        pi = np.array([f.probability for f in families])
        found = []
        for here in families:
            new = rng.choice(len(families), size=here.share.size, p=pi / pi.sum())
            y = here.y[here.share]
            for k, there in enumerate(families):
                rows = np.flatnonzero(new == k)
                if there is here or not rows.size:
                    continue
                own, shared = rng.integers(len(there.y), size=rows.size), here.share[rows]
                values = {n: x[own] for n, x in there.values.items()}
                values |= {n: here.values[n][shared] for n in values if n in here.values}
                stand_in = replace(there, values=values, y=there.y[own])
                y[rows] = judge(*self.sample.whole(stand_in), self.sample.of)
            found.append(y)
        return np.concatenate(found)

    def _totals_from_draws(self) -> dict[str, VarianceShare]:
        """By SALib; a family's own parameter is idle, and so shuffled, in the others' draws."""
        families = self.sample.families
        rng = self._rng(len(families) + 1)
        y = np.concatenate([f.y[f.share] for f in families])
        columns = {}
        for name in self.sample.names:
            own = next(f for f in families if name in f.values)
            columns[name] = np.concatenate(
                [
                    one_number(f.values[name])[f.share]
                    if name in f.values
                    else rng.choice(one_number(own.values[name]), size=f.share.size)
                    for f in families
                ]
            )
        there = np.isfinite(y)
        if there.sum() < HDMR_DRAWS or len(columns) < 2:
            return {}
        return totals_of_draws(
            {n: x[there] for n, x in columns.items()},
            y[there],
            seed=self.seed,
            inflation=self._inflation,
        )

    def _movable(self) -> list[Movable]:
        if self.sample.judge is None:
            return []
        return [
            Movable.of(self.sample, f, self.seed + 1 + k)
            for k, f in enumerate(self.sample.families)
        ]

    def _probability(self) -> float:
        margin = self.sample.of == "margin"
        means = [np.nanmean(f.y > 0.0 if margin else f.y) for f in self.sample.families]
        return sum(
            f.probability * float(x) for f, x in zip(self.sample.families, means, strict=True)
        )

    def _flips(self, name: str, movable: list[Movable], by_family: bool) -> dict[str, Flip]:
        """The smallest change of the median, averaged ("") and by family."""
        families = self.sample.families
        curves = {}
        for f, m in zip(families, movable, strict=True):
            curves[f.name] = _curve(m, name if name in f.values else None, self._asked)

        def average(x: float) -> float:
            return sum(f.probability * curves[f.name](x) for f in families if f.probability > 0.0)

        medians = self._medians(name, movable)
        wanted: dict[str, Callable[[float], float]] = {"": average}
        if by_family:
            wanted |= {f.name: curves[f.name] for f in families if name in f.values}
        found = {n: smallest_factor(p, self.threshold) for n, p in wanted.items()}
        return {n: Flip(x, medians[n], x * medians[n]) for n, x in found.items() if x is not None}

    def _medians(self, name: str, movable: list[Movable]) -> dict[str, float]:
        """What the factor multiplies: by family, and ("") of the average."""
        pairs = list(zip(self.sample.families, movable, strict=True))
        found = {f.name: m.median(name) for f, m in pairs if name in f.values}
        first, *others = found.values()
        if all(x == first for x in others):
            return {"": first, **found}
        # With evidence each family has a posterior of its own.
        drawn = [m.values[name][f.share].ravel() for f, m in pairs if name in f.values]
        return {"": float(np.median(np.concatenate(drawn))), **found}

    @cached_property
    def _stock(self) -> Stock:
        # Plain means move no faster than their noise: 1000 draws of each family do.
        return Stock.of(self.sample.tree, None if not self.quick else 1000)

    def _reweighed_flip(self, name: str) -> dict[str, Flip]:
        """Where draws cannot be judged again: as far as they can be reweighed."""
        if name not in self._stock.beliefs:
            return {}
        median = self._stock.beliefs[name].median

        def average(x: float) -> float:
            found = reweighed(self._stock, {name: median * 10.0**x}, None)
            mass = self._asked == "deceptive_mass"
            mean = (found.deceptive_mass if mass else found.deceptive_favored).mean
            return mean if found.reliable else math.nan

        factor = smallest_factor(average, self.threshold, step=0.25)
        return {} if factor is None else {"": Flip(factor, median, factor * median)}

    def _by_family(
        self, name: str, again: Mapping[str, Mapping[str, Draws]], flips: Mapping[str, Flip]
    ) -> dict[str, Crux]:
        found = {}
        for f in self.sample.families:
            if name not in f.values:
                continue
            first = _first(one_number(f.values[name]), f.y, f.inflation)
            redone = again[f.name].get(name)
            total = NO_SHARE if redone is None else _total(f.y, redone, f.inflation)
            found[f.name] = Crux(name, first, total, flip=flips.get(f.name))
        return found


def _curve(movable: Movable, name: str | None, of: str) -> Callable[[float], float]:
    """The probability by log10 of the factor, each judged once."""
    known: dict[float, float] = {}

    def at(x: float) -> float:
        place = x if name is not None else 0.0
        if place not in known:
            known[place] = movable.probability(name, place, of)
        return known[place]

    return at


def _first(x: Draws, y: Draws, inflation: float, mixture: Mixture | None = None) -> VarianceShare:
    there = np.isfinite(y)
    if not there.any():
        return NO_SHARE
    among = None if mixture is None else mixture.among(there)
    return first_order(x[there], y[there], inflation=inflation, mixture=among)


def _total(
    y: Draws,
    again: Draws,
    inflation: float,
    mixture: Mixture | None = None,
    *,
    of_mixture: bool = False,
) -> VarianceShare:
    there = np.isfinite(y) & np.isfinite(again)
    if not there.any():
        return NO_SHARE
    among = None if mixture is None else mixture.among(there)
    return total_effect(
        y[there], again[there], inflation=inflation, mixture=among, of_mixture=of_mixture
    )
