"""What the curves over k rollouts say: windows, the k recommended, and what speed costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES
from bayes_mesa.regimes.regime_curves import RegimeCurves, given_fit
from bayes_mesa.regimes.regime_words import sentences, warnings
from bayes_mesa.verdicts.estimand import QUANTILES, Average, finite, mixture_quantiles

if TYPE_CHECKING:
    import xarray as xr


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
        "given_rollouts": bool(attrs["given_rollouts"]),
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
    said = [*warnings(summary), *json.loads(attrs["fit_warnings"])]
    return summary | {"text": sentences(summary), "warnings": said}


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
