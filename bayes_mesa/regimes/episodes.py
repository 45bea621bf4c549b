"""How the verdict moves with the number of training episodes: the post's B against B′.

An objective that loses a little in every episode costs E · loss / (β ln 2) bits: nothing where
training is short, everything where it is long. What takes its place then is the base objective, or
a program that wants the other one and pretends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES, DECEPTIVE, HONEST, MISALIGNED, Model, given_model
from bayes_mesa.errors import InputError
from bayes_mesa.regimes.verdict_curve import VerdictCurve, verdict_curve
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.text.number_text import number_text, probability_text
from bayes_mesa.verdicts.estimand import (
    QUANTILES,
    Average,
    Estimate,
    finite,
    mixture_quantiles,
    probability,
    share,
)
from bayes_mesa.verdicts.program_list import with_listed

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[str, int, int], None]
#: Names along the dimension ``figure``, and along ``quantile``.
FIGURES = ("mean", "mcse", "lower", "upper")
LEVELS = (QUANTILES[0], 0.5, QUANTILES[1])
_LEVEL_NAMES = ("lower", "median", "upper")
#: Ends of the default grid, and points on it: two in every decade.
FIRST, LAST, POINTS = 1.0, 1e12, 25
MOST_POINTS = 10_000


def episodes_grid(
    model: Model, first: float = FIRST, last: float = LAST, points: int = POINTS
) -> NDArray[np.float64]:
    """Numbers of episodes, evenly spaced on a log scale, and the model's own if it is among them.

    Raises
    ------
    InputError
        Unless 0 < first <= last < ∞ and there are at least 2 points.
    """
    if not (0.0 < first <= last < math.inf):
        raise InputError(
            f"the numbers of episodes must run from one above 0 to a larger one, "
            f"found {first:g} to {last:g}"
        )
    if not 2 <= points <= MOST_POINTS:
        raise InputError(f"the curve must have 2 to {MOST_POINTS} points, found {points}")
    grid = np.geomspace(first, last, points)
    # Powers of ten as people write them: the logarithm's rounding would show in every table.
    grid = np.array([float(f"{x:.12g}") for x in grid])
    own = [model.selection.episodes] if first <= model.selection.episodes <= last else []
    return np.unique(np.append(grid, own))


def episodes_curve(
    model: Model,
    post: xr.DataTree | None = None,
    *,
    episodes: Iterable[float] | None = None,
    num_draws: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Which class of programs is favored, and by how much, for each number of episodes E.

    Every draw of θ is judged again at each E by Ψ = Φ + E · loss/(β ln 2), all else held: a cap, a
    capacity and whatever evidence θ was fitted to. The same draws serve at all E, so differences
    along the curve are far more exact than any one point.

    Parameters
    ----------
    model
        From `load_model`. Without declared losses the curve is flat.
    post
        Result of `fit` for this model; fitted here, with ``seed`` and ``num_draws``, if None.
    episodes
        Numbers of episodes, > 0; by default `episodes_grid`.
    num_draws
        Draws of each chain to judge; all, or 1000 where the fit is done here.
    seed
        Of the fit that is done here.
    progress
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    xarray.Dataset
        Over ``episodes`` (dimensionless): ``class_favored`` and ``class_mass`` (episodes, class,
        figure); ``deceptive_favored`` and ``deceptive_mass`` (episodes, exchange, figure) by
        exchange family; ``margin_bits`` (episodes, quantile), by which the best deceptive program
        beats the best other one, negative where it loses; ``pays_bits`` (episodes, quantile), the
        same over the draws in which it wins, NaN where there are none; ``nothing_fits``
        (episodes,), a share of draws. ``figure`` is mean, Monte Carlo standard error, and the ends
        of the 90 % interval, as in `summarize`.

    Raises
    ------
    InputError
        Numbers of episodes that are not finite and above 0, or results of another model.
    """
    if post is not None:
        require_result(post)
    given_model(model)
    chosen = episodes_grid(model) if episodes is None else _checked(episodes)
    if post is None:
        from bayes_mesa.inference.fitting import fit

        post = fit(model, num_samples=num_draws or 1000, seed=seed, progress=progress)
    model = with_listed(model)
    curve = verdict_curve(
        model,
        post,
        [replace(model.selection, episodes=float(e)) for e in chosen],
        num_draws=num_draws,
        stage="episodes",
        progress=progress,
    )
    return _dataset(model, post, curve, chosen)


def _checked(episodes: Iterable[float]) -> NDArray[np.float64]:
    found = np.unique(np.asarray(list(episodes), dtype=float))
    if not found.size or not np.all(np.isfinite(found) & (found > 0.0)):
        raise InputError(
            f"episodes must be finite numbers above 0, found {', '.join(map(str, found)) or 'none'}"
        )
    return found


def _dataset(
    model: Model, post: xr.DataTree, curve: VerdictCurve, episodes: NDArray[np.float64]
) -> xr.Dataset:
    import xarray as xr

    at = range(len(episodes))
    by_class = {
        f"class_{what}": [[_row(take(k, name)) for name in CLASSES] for k in at]
        for what, take in (("favored", curve.favored), ("mass", curve.mass))
    }
    by_family = {
        f"deceptive_{what}": [[_row(e) for e in _of_each_family(curve, what, k)] for k in at]
        for what in ("favored", "mass")
    }
    variables = {
        **{n: (("episodes", "class", "figure"), x) for n, x in by_class.items()},
        **{n: (("episodes", "exchange", "figure"), x) for n, x in by_family.items()},
        "margin_bits": (("episodes", "quantile"), [_margins(curve, k) for k in at]),
        "pays_bits": (("episodes", "quantile"), [_where_it_pays(curve, k) for k in at]),
        "nothing_fits": (("episodes",), [curve.nothing_fits(k) for k in at]),
    }
    data = xr.Dataset(
        variables,
        coords={
            "episodes": episodes,
            "class": list(CLASSES),
            "exchange": list(curve.families),
            "figure": list(FIGURES),
            "quantile": list(LEVELS),
        },
        attrs={
            "model": model.name,
            "model_sha256": model.sha256,
            "seed": int(post.attrs["seed"]),
            "own_episodes": model.selection.episodes,
            "openly_pursued": json.dumps(_openly_pursued(model)),
        },
    )
    for name in ("margin_bits", "pays_bits"):
        data[name].attrs["units"] = "bits"
    if model.selection.cap is not None:
        data.attrs["cap"] = model.selection.cap
    return data


def _row(estimate: Estimate) -> list[float]:
    return [getattr(estimate, name) for name in FIGURES]


def _of_each_family(curve: VerdictCurve, what: str, point: int) -> list[Estimate]:
    own = [d[point] for d in curve.draws[f"deceptive_{what}"]]
    if what == "favored":
        return [probability([d], Average.alone(), known=curve.known) for d in own]
    return [share([d], Average.alone()) for d in own]


def _margins(curve: VerdictCurve, point: int) -> list[float]:
    return mixture_quantiles([d[point] for d in curve.draws["margin_bits"]], curve.average, LEVELS)


def _where_it_pays(curve: VerdictCurve, point: int) -> list[float]:
    """Quantiles of the margin over the draws where it is positive."""
    margins = [d[point] for d in curve.draws["margin_bits"]]
    won = [np.where(m > 0.0, m, np.nan) for m in margins]
    return mixture_quantiles(won, curve.average, LEVELS)


def _openly_pursued(model: Model) -> list[str]:
    """Objectives other than the base one whose loss is declared."""
    return [name for name in model.losses if name != model.base_objective]


def episodes_summary(curve: xr.Dataset) -> dict[str, Any]:
    """What `episodes_curve` found as plain numbers: finite, or None.

    Returns
    -------
    dict
        ``model``, ``seed``, ``own_episodes``, ``sentence``, and ``curve``: for each number of
        episodes ``favored`` and ``mass`` by class, ``by_exchange`` with both for deception,
        ``margin_bits``, ``pays_bits`` and ``nothing_fits``.
    """
    families = [str(f) for f in curve["exchange"].to_numpy()]
    rows = []
    for k, number in enumerate(curve["episodes"].to_numpy()):
        at = {str(name): x.to_numpy() for name, x in curve.isel(episodes=k).data_vars.items()}
        rows.append(
            {
                "episodes": float(number),
                "favored": _named(CLASSES, at["class_favored"]),
                "mass": _named(CLASSES, at["class_mass"]),
                "by_exchange": {
                    family: {
                        name: _figures(FIGURES, at[name][j])
                        for name in ("deceptive_favored", "deceptive_mass")
                    }
                    for j, family in enumerate(families)
                },
                "margin_bits": _figures(_LEVEL_NAMES, at["margin_bits"]),
                "pays_bits": _figures(_LEVEL_NAMES, at["pays_bits"]),
                "nothing_fits": float(at["nothing_fits"]),
            }
        )
    return {
        "model": str(curve.attrs["model"]),
        "seed": int(curve.attrs["seed"]),
        "own_episodes": float(curve.attrs["own_episodes"]),
        "sentence": episodes_sentence(curve),
        "curve": rows,
    }


def _named(names: Sequence[str], rows: NDArray[np.float64]) -> dict[str, Any]:
    return {name: _figures(FIGURES, row) for name, row in zip(names, rows, strict=True)}


def _figures(names: Sequence[str], values: Iterable[float]) -> dict[str, float | None]:
    return {name: finite(x) for name, x in zip(names, values, strict=True)}


def episodes_sentence(curve: xr.Dataset) -> str:
    """Who is likeliest to be favored over which numbers of episodes, and where deception pays."""
    favored = curve["class_favored"].sel(figure="mean").to_numpy()
    masses = curve["class_mass"].sel(figure="mean").to_numpy()
    if np.array_equal(favored, np.broadcast_to(favored[0], favored.shape)) and np.array_equal(
        masses, np.broadcast_to(masses[0], masses.shape), equal_nan=True
    ):
        return _nothing_moves(curve, favored[0])
    numbers = curve["episodes"].to_numpy()
    said = []
    for leader, group in groupby(range(len(numbers)), key=lambda k: _leader(favored[k])):
        at = list(group)
        said.append(_stretch(numbers, at, len(numbers), leader, favored[at], curve.attrs))
    return f"{'; '.join(said)}. {_deception(curve, favored, numbers)}"


def _leader(means: NDArray[np.float64]) -> int:
    """Place of the class most often favored; of equals the honest one, -1 where nothing fits."""
    return int(np.argmax(means)) if means.any() else -1


def _stretch(
    numbers: NDArray[np.float64],
    at: list[int],
    total: int,
    leader: int,
    favored: NDArray[np.float64],
    attrs: Mapping[Any, Any],
) -> str:
    first, last = number_text(numbers[at[0]]), number_text(numbers[at[-1]])
    if at[0] == 0:
        where = f"Up to {last} episodes"
    elif at[-1] == total - 1:
        where = f"from {first} on"
    else:
        where = f"from {first} to {last}"
    if leader < 0:
        return f"{where} nothing fits"
    return f"{where} {_what(CLASSES[leader], attrs)} ({_range(favored[:, leader])})"


def _what(class_name: str, attrs: Mapping[Any, Any]) -> str:
    if class_name == MISALIGNED:
        names = ", ".join(json.loads(attrs["openly_pursued"])) or "another objective"
        return f"{names} most often wins openly"
    return {
        HONEST: "the base objective most often wins",
        DECEPTIVE: "deception most often wins",
    }[class_name]


def _range(means: NDArray[np.float64]) -> str:
    first, last = probability_text(means[0]), probability_text(means[-1])
    return f"probability {first}" if first == last else f"probability {first} to {last}"


def _deception(
    curve: xr.Dataset, favored: NDArray[np.float64], numbers: NDArray[np.float64]
) -> str:
    own = favored[:, CLASSES.index(DECEPTIVE)]
    if not own.any():
        return "Deception is never favored in these draws."
    best = int(np.argmax(own))
    lower, median, upper = (number_text(x) for x in curve["pays_bits"].to_numpy()[best])
    first = number_text(numbers[np.flatnonzero(own)[0]])
    return (
        f"Deception pays in some draws from {first} episodes on, most often at "
        f"{number_text(numbers[best])}: in {probability_text(own[best])} of the draws, there by "
        f"{median} bits (median; {lower} to {upper} in 90 % of them)."
    )


def _nothing_moves(curve: xr.Dataset, favored: NDArray[np.float64]) -> str:
    declared = json.loads(curve.attrs["openly_pursued"])
    why = (
        f"the loss of {', '.join(declared)} changes nothing here"
        if declared
        else "no objective with a declared loss is pursued in training"
    )
    found = probability_text(favored[CLASSES.index(DECEPTIVE)])
    return (
        f"Nothing depends on the number of episodes, because {why}: a deceptive program is favored "
        f"with probability {found} at any."
    )
