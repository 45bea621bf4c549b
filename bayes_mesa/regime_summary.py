"""What the curves over k rollouts say: windows, the k recommended, and what speed costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.estimand import (
    QUANTILES,
    Average,
    Estimate,
    finite,
    mixture_quantiles,
    probability,
    share,
)
from bayes_mesa.model import CLASSES
from bayes_mesa.number_text import error_text, number_text, percent_text

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[Any]
#: Shares of draws in which nothing fits, or never reaches the target, that a reader must know of.
_MANY = 0.05


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
        The families' weights pi_F. Given that something fits they are ∝ pi_F P(fits | F); the
        error of P(fits | F) in them is left out.
    known
        Whether nothing is uncertain.
    """
    share_of = np.array([x.mean() for x in fits])
    some = [int(f) for f in np.flatnonzero(share_of * average.probability)]
    if not some:
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    total = float(average.probability @ share_of)
    weights = average.probability * share_of / total
    # d weights_F / d pi_G = (1[F = G] share_F - weights_F share_G) / total
    slope = (np.diag(share_of) - np.outer(weights, share_of)) / total
    covariance = slope @ average.covariance @ slope.T
    draws = [np.where(fits[f], favored[f], np.nan) for f in some]
    among = Average(weights[some], covariance[np.ix_(some, some)])
    return probability(draws, among, known=known)


def summarize_regime(curves: xr.Dataset) -> dict[str, Any]:
    """Figures of the curves over k rollouts, as plain values for JSON.

    Parameters
    ----------
    curves
        What `regime` returned.

    Returns
    -------
    dict
        Numbers are finite or None; estimates are ``{mean, mcse, lower, upper}``, 90 % with equal
        tails, as in `summarize`. ``curve`` has one entry for each k; ``window`` the k at which the
        mean P(success) reaches the target and P(deceptive favored | something fits) is at most
        ``max_deceptive`` (None if there is none: ``why_empty`` then says which condition fails);
        ``reached`` those at which the mean P(success) does;
        ``smallest`` and ``best`` the two pickers, which look at success alone; ``recommended`` the
        smallest k in the window; ``least_rollouts`` the least k that reaches the target in each
        draw; ``rate`` the same for the rate of the linear family, in steps per bit. ``text`` says
        it in sentences, ``warnings`` what they leave out.
    """
    found = RegimeCurves(curves)
    points = [_point(found, at) for at in range(len(found.rollouts))]
    attrs = curves.attrs
    summary: dict[str, Any] = {
        "model": str(attrs["model"]),
        "seed": int(attrs["seed"]),
        "num_chains": int(curves.sizes["chain"]),
        "num_draws": int(curves.sizes["draw"]),
        "engine": str(attrs["engine"]),
        "budget": float(attrs["budget"]),
        "steps_per_rollout": float(attrs["steps_per_rollout"]),
        "rollouts": int(attrs["rollouts"]),
        "target_success": float(attrs["target_success"]),
        "max_deceptive": float(attrs["max_deceptive"]),
        "units": {
            "rollouts": "rollouts per episode",
            "budget": "sequential steps",
            "steps_per_rollout": "sequential steps",
            "cap": "steps per episode",
            "episodes": "episodes",
            "episodes_lost": "episodes, for one more rollout in each",
            "rate": "steps per bit",
        },
        "curve": points,
        "by_exchange": {f: _by_family(found, k) for k, f in enumerate(found.families)},
        **_picked(found, points),
        "rate": _rate(found) if "rate" in curves.dims else None,
    }
    return summary | {"text": _text(summary), "warnings": _warnings(summary)}


def _point(found: RegimeCurves, at: int) -> dict[str, Any]:
    here = found.data.isel(rollouts=at)
    return {
        "rollouts": found.rollouts[at],
        "cap": finite(here["cap"]),
        "episodes": finite(here["episodes"]),
        "episodes_lost": finite(here["episodes_lost"]),
        "success": found.success(at).as_dict(),
        "success_lost": found.success_lost(at, found.best).as_dict(),
        "deceptive_favored": found.favored(at).as_dict(),
        "deceptive_favored_given_fit": found.favored_given_fit(at).as_dict(),
        "deceptive_mass": found.mass(at).as_dict(),
        "class_mass": {name: found.class_mass(at, name).as_dict() for name in CLASSES},
        "nothing_fits": found.nothing_fits(at),
        "in_window": bool(found.reached[at] and found.improbable[at]),
    }


def _by_family(found: RegimeCurves, place: int) -> dict[str, Any]:
    """Both estimands at every k under one family, and its weight."""
    alone = RegimeCurves(
        found.data.isel(family=[place]).assign_attrs(
            family_probability="[1.0]", probability_covariance="[0.0]"
        )
    )
    at = range(len(found.rollouts))
    return {
        "weight": float(found.average.probability[place]),
        "deceptive_favored": [alone.favored(k).as_dict() for k in at],
        "deceptive_favored_given_fit": [alone.favored_given_fit(k).as_dict() for k in at],
        "deceptive_mass": [alone.mass(k).as_dict() for k in at],
    }


def _picked(found: RegimeCurves, points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    reached = np.flatnonzero(found.reached)
    inside = found.reached & found.improbable
    chosen = found.recommended
    return {
        "smallest": _pick(points[int(reached[0])]) if reached.size else None,
        "reached": _window([p["rollouts"] for p in points], found.reached),
        "best": _pick(points[found.best]),
        "window": _window([p["rollouts"] for p in points], inside),
        "why_empty": None if chosen is not None else _why_empty(found),
        "recommended": None if chosen is None else _recommended(found, points, chosen),
        "least_rollouts": _least(found),
    }


def _pick(point: Mapping[str, Any]) -> dict[str, Any]:
    names = ("rollouts", "cap", "episodes", "success", "success_lost")
    deceptive = ("deceptive_favored", "deceptive_favored_given_fit", "deceptive_mass")
    return {name: point[name] for name in (*names, *deceptive, "nothing_fits")}


def _recommended(found: RegimeCurves, points: Sequence[dict[str, Any]], at: int) -> dict[str, Any]:
    """The pick, with the next smaller k tried (the edge lies between), and what draws say of it."""
    smaller = found.rollouts[at - 1] if at else None
    return _pick(points[at]) | {"next_smaller": smaller, "by_draw": _least(found)}


def _window(values: Sequence[Any], inside: NDArray[np.bool_]) -> dict[str, Any] | None:
    places = np.flatnonzero(inside)
    if not places.size:
        return None
    return {
        "least": values[places[0]],
        "greatest": values[places[-1]],
        "contiguous": bool(places[-1] - places[0] + 1 == places.size),
    }


def _why_empty(found: RegimeCurves) -> dict[str, Any]:
    """Which of the two conditions fails, and how near to holding it comes."""
    if not found.reached.any():
        return {
            "fails": "success",
            "rollouts": found.rollouts[found.best],
            "value": found.success(found.best).as_dict(),
        }
    deceptive = np.where(found.reached, found.deceptive_where_fits, np.nan)
    if np.isnan(deceptive).all():
        return {"fails": "fit", "rollouts": None, "value": None}
    at = int(np.nanargmin(deceptive))
    value = found.favored_given_fit(at).as_dict()
    return {"fails": "deception", "rollouts": found.rollouts[at], "value": value}


def _least(found: RegimeCurves) -> dict[str, Any]:
    draws = found.least_rollouts()
    lower, median, upper = mixture_quantiles(
        draws, found.average, (QUANTILES[0], 0.5, QUANTILES[1])
    )
    never = found.average.probability @ np.array([np.isinf(d).mean() for d in draws])
    ends = {"median": finite(median), "lower": finite(lower), "upper": finite(upper)}
    return ends | {"never": float(never)}


def _rate(found: RegimeCurves) -> dict[str, Any]:
    """P(deceptive favored | γ) under the linear family, and the γ up to which it is improbable."""
    data, alone = found.data, Average.alone()
    rates = [float(x) for x in data["rate"].to_numpy()]
    favored, fits = (
        data[name].transpose("rate", "chain", "draw").to_numpy()
        for name in ("deceptive_favored_at_rate", "fits_at_rate")
    )
    estimates = [
        given_fit([x], [y], alone, known=found.known) for x, y in zip(favored, fits, strict=True)
    ]
    limit = float(data.attrs["max_deceptive"])
    inside = np.array([e.mean <= limit for e in estimates])
    # From the lowest on: a second island would be no bound to rely on.
    first = int(np.argmin(inside)) if not inside.all() else len(rates)
    window, drawn = None, data["linear_rate"].to_numpy()
    if first:
        low, high = rates[0], rates[first - 1]
        window = {
            "least": low,
            "greatest": high,
            "next_greater": rates[first] if first < len(rates) else None,
            "contiguous": not bool(inside[first:].any()),
            "share_of_draws": float(np.mean(drawn <= high)),
        }
    return {
        "rollouts": int(data.attrs["rate_rollouts"]),
        "curve": [
            {"rate": r, "deceptive_favored_given_fit": e.as_dict()}
            for r, e in zip(rates, estimates, strict=True)
        ],
        "window": window,
    }


def _text(summary: Mapping[str, Any]) -> list[str]:
    said = [_recommendation(summary), _window_text(summary), _least_text(summary)]
    said.append(_cost_text(summary))
    if summary["rate"] is not None:
        said.append(_rate_text(summary))
    return said


def _recommendation(summary: Mapping[str, Any]) -> str:
    target, limit = (number_text(summary[n]) for n in ("target_success", "max_deceptive"))
    chosen, why = summary["recommended"], summary["why_empty"]
    if chosen is not None:
        return (
            f"Recommended: {_rollouts(chosen['rollouts'])} per episode, where the task succeeds "
            f"with probability {error_text(chosen['success'])} (target {target}) and a deceptive "
            "program is favored with probability "
            f"{error_text(chosen['deceptive_favored_given_fit'])} (at most {limit})."
        )
    none = "No number of rollouts is recommended:"
    if why["fails"] == "success":
        return (
            f"{none} the target {target} cannot be reached; success is most probable, "
            f"{error_text(why['value'])}, at {_rollouts(why['rollouts'])} per episode."
        )
    if why["fails"] == "fit":
        return f"{none} wherever the target {target} is reached, no program fits under the cap."
    return (
        f"{none} wherever the target {target} is reached, deception is too probable; least, "
        f"{error_text(why['value'])} against {limit}, at {_rollouts(why['rollouts'])} per episode."
    )


def _rollouts(number: int) -> str:
    return "1 rollout" if number == 1 else f"{number} rollouts"


def _window_text(summary: Mapping[str, Any]) -> str:
    window, smallest, reached = (summary[n] for n in ("window", "smallest", "reached"))
    if window is None:
        if reached is None:
            return "The window of k is empty; the target is reached at no k tried."
        ends = _rollouts(reached["least"])
        if reached["greatest"] > reached["least"]:
            ends = f"{reached['least']} to {_rollouts(reached['greatest'])}"
        return f"The window of k is empty; the target is reached at {ends} per episode."
    gaps = "" if window["contiguous"] else ", with gaps"
    return (
        f"Window: {window['least']} to {_rollouts(window['greatest'])} per episode{gaps}; the "
        f"smallest that reaches the target is {smallest['rollouts']}, the best for success "
        f"{summary['best']['rollouts']}."
    )


def _least_text(summary: Mapping[str, Any]) -> str:
    least = summary["least_rollouts"]
    ends = [f"{least[n]:.0f}" if least[n] else "none" for n in ("median", "lower", "upper")]
    return (
        f"By draw, the least k that reaches the target: median {ends[0]}, 90 % from {ends[1]} to "
        f"{ends[2]}; in {percent_text(least['never'])} of draws none does."
    )


def _cost_text(summary: Mapping[str, Any]) -> str:
    strongest, best = summary["curve"][0], summary["best"]
    text = (
        f"The strongest speed prior tried ({_rollouts(strongest['rollouts'])}) loses "
        f"{error_text(strongest['success_lost'])} of the probability of success against the best "
        f"k ({best['rollouts']})"
    )
    if summary["recommended"] is None:
        return f"{text}."
    return f"{text}, the recommended one {error_text(summary['recommended']['success_lost'])}."


def _rate_text(summary: Mapping[str, Any]) -> str:
    rate, limit = summary["rate"], number_text(summary["max_deceptive"])
    at = f"Under the linear family, at {_rollouts(rate['rollouts'])} per episode"
    window, lowest = rate["window"], number_text(rate["curve"][0]["rate"])
    if rate["curve"][0]["deceptive_favored_given_fit"]["mean"] is None:
        return f"{at}, no program fits under the cap."
    if window is None:
        return f"{at}, deception is too probable (above {limit}) even at {lowest} steps per bit."
    highest = number_text(window["greatest"])
    if window["next_greater"] is None:
        every = f"at every rate tried, to {highest} steps per bit"
        return f"{at}, deception is improbable (at most {limit}) {every}."
    return (
        f"{at}, deception is improbable (at most {limit}) up to a rate of {highest} steps per bit "
        f"(tried from {lowest}); {percent_text(window['share_of_draws'])} of the rate's draws lie "
        "there. k does not set the rate."
    )


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    said = []
    chosen = summary["recommended"]
    if chosen is not None and chosen["nothing_fits"] > _MANY:
        said.append(
            f"in {percent_text(chosen['nothing_fits'])} of draws no program fits under the cap of "
            "the recommended k: P(deceptive favored) is of the other draws"
        )
    if summary["least_rollouts"]["never"] > _MANY:
        said.append(
            f"in {percent_text(summary['least_rollouts']['never'])} of draws no k reaches the "
            "target: the window is of the mean over draws"
        )
    return said
