"""How success and deception move with k, the rollouts per episode that a developer chooses.

k acts on programs in two ways and no other: through the cap k·s on their steps, and through the
number E = T/(k s) of episodes in which a loss is paid. It does not set the exchange rate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES, Model, Regime, given_model
from bayes_mesa.domain.task_success import episodes_lost, most_rollouts, success
from bayes_mesa.errors import InputError
from bayes_mesa.inference.fitting import fit
from bayes_mesa.regimes.regime_curves import RegimeCurves
from bayes_mesa.regimes.verdict_curve import VerdictCurve, verdict_curve
from bayes_mesa.results.diagnosis import diagnose
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.verdicts.engines import ENUMERATED, LISTED, TEMPERED, Engines

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[str, int, int], None]
_SIZE = 60
#: Draws for each chain where every verdict takes a search or Markov chains over programs, and the
#: number of facts beyond which summing over all their choices is as slow.
_DEAR_DRAWS, _MANY_FACTS = 50, 6
#: Rates tried for each factor of ten (where verdicts are slow), and the most factors of ten.
_RATES, _FEW_RATES, _DECADES = 8, 1, 24
_UNITS = {
    "rollouts": "rollouts per episode",
    "cap": "steps per episode",
    "episodes": "episodes",
    "episodes_lost": "episodes, for one more rollout in each",
    "success": "probability",
    "deceptive_favored": "1 if so",
    "fits": "1 if so",
    "deceptive_mass": "share of the program weight",
    "class_mass": "share of the program weight",
    "rate": "steps per bit",
    "linear_rate": "steps per bit",
    "deceptive_favored_at_rate": "1 if so",
    "fits_at_rate": "1 if so",
}


def regime(
    model: Model,
    post: xr.DataTree | None = None,
    *,
    rollouts: Iterable[int] | None = None,
    max_deceptive: float = 0.05,
    num_draws: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Success, deception and masses at every k rollouts per episode, on the same draws of theta.

    P(success | k) = k^η/(k^η + k_task^η) · E^ψ/(E^ψ + E_task^ψ) with E = T/(k s), see
    `task_success.success`; the verdict is that under the cap k·s (steps) in E episodes.

    Parameters
    ----------
    model
        A model with a ``[regime]``.
    post
        Result of `fit` for this model; by default a fit with the model's own evidence.
    rollouts
        The k to try, whole numbers from 1 to the largest that leaves the budget one episode. By
        default about 60 of them on a logarithmic scale, the model's own and all powers of 2
        included, and more where the window ends and success is largest, until neighbours are 1
        apart; where every verdict is slow, the powers of 2 and the model's own alone.
    max_deceptive
        Largest P(deceptive favored) that the window of k allows, in [0, 1].
    num_draws
        Draws from each chain. By default all; 50 where every verdict is slow: a search or Markov
        chains over programs (a grammar, or more than six facts, under the cap).
    seed
        Of the fit, where ``post`` is not given.
    workers, scheduler
        So many k at the same time, on threads, or on Dask as in `sweep`. By default one after the
        other. No figure changes.
    progress
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    xarray.Dataset
        Over (family, chain, draw, rollouts): ``success`` in [0, 1]; ``deceptive_favored`` and
        ``fits`` (whether any program fits under the cap), 0 or 1; ``deceptive_mass`` and
        ``class_mass`` (..., class), NaN where nothing fits. Over rollouts: ``cap`` (steps per
        episode), ``episodes``, ``episodes_lost`` by one more rollout, T/(s k (k + 1)). With a
        linear family also, over (chain, draw, rate): ``deceptive_favored_at_rate`` and
        ``fits_at_rate``, where ``rate`` (steps per bit) takes the place of every draw's own, at
        the recommended k (else the model's own: attribute ``rate_rollouts``); and
        ``linear_rate``, that of the draws. Units are attributes of the variables.

    Raises
    ------
    InputError
        For a model without a regime, k that cannot be, or a ``post`` of another model.
    """
    if post is not None:
        require_result(post)
    stated = _stated(model)
    grid = regime_grid(model, rollouts)
    _check_settings(max_deceptive, num_draws)
    if post is None:
        samples = num_draws or default_draws(model)
        post = fit(model, num_samples=samples, seed=seed, progress=progress)
    if num_draws is None and _dear(model):
        num_draws = _DEAR_DRAWS
    if post.attrs["all_known"] and not _dear(model):
        num_draws = 1  # one serves for all: they are the same

    engine: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "progress": progress}

    def judged(k: list[int]) -> xr.Dataset:
        points = [stated.selection(x, model.selection) for x in k]
        verdicts = verdict_curve(
            model, post, points, num_draws=num_draws, stage="rollouts", **engine
        )
        found = _dataset(stated, k, verdicts, _succeeding(stated, post, verdicts, k))
        return found.assign_attrs(_attributes(model, stated, post, verdicts, max_deceptive))

    data = judged(grid)
    if rollouts is None and not _dear(model):
        data = _refined(data, judged)
    data.attrs["given_rollouts"] = int(rollouts is not None)
    if "linear" in data["family"]:
        data = _with_rates(model, post, data, engine)
    for name, unit in _UNITS.items():
        if name in data:
            data[name].attrs["units"] = unit
    return data


def _refined(data: xr.Dataset, judged: Callable[[list[int]], xr.Dataset]) -> xr.Dataset:
    """The same with k between those where what is said of the curves changes, until it is exact."""
    import xarray as xr

    while between := RegimeCurves(data).between():
        more = judged(between)
        data = xr.concat([data, more], "rollouts", data_vars="minimal", combine_attrs="override")
        data = data.sortby("rollouts")
    return data


def default_draws(model: Model) -> int:
    """Draws for each chain that `regime` fits if nothing is said."""
    return _DEAR_DRAWS if _dear(model) else 1000


def _dear(model: Model) -> bool:
    masses = Engines.of(model).masses
    many = masses == LISTED and len(model.facts) > _MANY_FACTS
    return many or masses in (TEMPERED, ENUMERATED)


def regime_grid(model: Model, rollouts: Iterable[int] | None = None) -> list[int]:
    """The k that `regime` tries: those given, checked, or else its own, see there."""
    stated = _stated(model)
    return _grid(stated, _dear(model)) if rollouts is None else _given(rollouts, stated)


def _stated(model: Model) -> Regime:
    given_model(model)
    if model.regime is None:
        raise InputError(
            f"the model {model.name} must have a [regime] table (budget, steps_per_rollout, "
            "rollouts, task_rollouts, task_episodes), found none: add one to its file"
        )
    return model.regime


def _check_settings(max_deceptive: float, num_draws: int | None) -> None:
    if not 0.0 <= max_deceptive <= 1.0:
        raise InputError(f"max_deceptive must be from 0 to 1, found {max_deceptive}")
    if num_draws is not None and num_draws < 1:
        raise InputError(f"num_draws must be at least 1, found {num_draws}")


def _grid(stated: Regime, dear: bool) -> list[int]:
    """Whole numbers on a logarithmic scale, with every power of 2 and the model's own k."""
    most = most_rollouts(stated)
    size = 0 if dear else _SIZE
    spread = {round(math.exp(x)) for x in np.linspace(0.0, math.log(most), size)}
    powers = {2**j for j in range(most.bit_length())}
    return sorted(k for k in spread | powers | {stated.rollouts} if 1 <= k <= most)


def _given(rollouts: Iterable[int], stated: Regime) -> list[int]:
    most = most_rollouts(stated)
    if not isinstance(rollouts, Iterable) or isinstance(rollouts, str):
        raise InputError(f"rollouts must be a list of whole numbers, found {rollouts!r}")
    given = list(rollouts)
    if not given:
        raise InputError("rollouts must hold at least one number, found none")
    for k in given:
        whole = not isinstance(k, bool) and isinstance(k, int | np.integer)
        if not whole or not 1 <= k <= most:
            raise InputError(
                f"rollouts must be whole numbers from 1 to {most} (the budget then pays for one "
                f"episode), found {k}"
            )
    return sorted({int(k) for k in given})


def _succeeding(
    stated: Regime, post: xr.DataTree, verdicts: VerdictCurve, grid: list[int]
) -> NDArray[np.float64]:
    """P(success), (rollouts, families, chains, draws), for the draws that were judged."""
    *_, draws = verdicts.draws["deceptive_mass"][0].shape
    k = np.array(grid, dtype=float)[:, None, None]
    found = []
    for family in verdicts.families:
        group = post[f"posterior_{family}"].to_dataset().isel(draw=slice(draws))
        task = {
            name: group[name].transpose("chain", "draw").to_numpy() for name in stated.beliefs()
        }
        found.append(success(k, stated.episodes(k), **task))
    return np.stack(found, axis=1)


def _dataset(
    stated: Regime, grid: list[int], verdicts: VerdictCurve, succeeding: NDArray[np.float64]
) -> xr.Dataset:
    import xarray as xr

    k = np.array(grid, dtype=float)
    over = ("rollouts", "family", "chain", "draw")
    kept = {name: np.stack(draws, axis=1) for name, draws in verdicts.draws.items()}
    found: dict[str, Any] = {
        "success": (over, succeeding),
        "deceptive_favored": (over, kept["deceptive_favored"].astype(np.int8)),
        "deceptive_mass": (over, kept["deceptive_mass"]),
        "class_mass": ((*over, "class"), kept["class_mass"]),
        "fits": (over, (~np.isnan(kept["deceptive_mass"])).astype(np.int8)),
        "cap": ("rollouts", stated.cap(1) * k),
        "episodes": ("rollouts", stated.budget / (stated.cap(1) * k)),
        "episodes_lost": ("rollouts", episodes_lost(stated, k)),
    }
    *_, chains, draws = succeeding.shape
    coordinates = {
        "rollouts": np.array(grid),
        "family": list(verdicts.families),
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        "class": list(CLASSES),
    }
    return xr.Dataset(found, coords=coordinates).transpose(
        "family", "chain", "draw", "rollouts", "class"
    )


def _attributes(
    model: Model,
    stated: Regime,
    post: xr.DataTree,
    verdicts: VerdictCurve,
    max_deceptive: float,
) -> dict[str, Any]:
    return {
        "model": model.name,
        "model_sha256": model.sha256,
        "seed": int(post.attrs["seed"]),
        "engine": Engines.of(model).reason,
        "budget": stated.budget,
        "steps_per_rollout": stated.steps_per_rollout,
        "rollouts": stated.rollouts,
        "target_success": stated.target_success,
        "max_deceptive": float(max_deceptive),
        "all_known": int(verdicts.known),
        "fit_warnings": json.dumps(diagnose(post, verdicts.families)["warnings"]),
        "family_probability": json.dumps(verdicts.average.probability.tolist()),
        "probability_covariance": json.dumps(verdicts.average.covariance.tolist()),
    }


def _with_rates(
    model: Model, post: xr.DataTree, data: xr.Dataset, engine: Mapping[str, Any]
) -> xr.Dataset:
    """Add the verdicts of the linear family over a grid of rates, at the recommended k."""
    stated = _stated(model)
    curves = RegimeCurves(data)
    place = curves.recommended
    k = stated.rollouts if place is None else curves.rollouts[place]
    rates = _rates(post, _FEW_RATES if _dear(model) else _RATES)
    at = stated.selection(k, model.selection)
    verdicts = verdict_curve(
        model,
        post,
        [at] * len(rates),
        family="linear",
        replaced=[{"linear_rate": float(rate)} for rate in rates],
        num_draws=data.sizes["draw"],
        stage="rates",
        **engine,
    )
    over = ("rate", "chain", "draw")
    favored, mass = (verdicts.draws[n][0] for n in ("deceptive_favored", "deceptive_mass"))
    drawn = post["posterior_linear"]["linear_rate"].isel(draw=slice(data.sizes["draw"]))
    data = data.assign_coords(rate=rates).assign(
        deceptive_favored_at_rate=(over, favored.astype(np.int8)),
        fits_at_rate=(over, (~np.isnan(mass)).astype(np.int8)),
        linear_rate=(("chain", "draw"), drawn.transpose("chain", "draw").to_numpy()),
    )
    return data.assign_attrs(rate_rollouts=k)


def _rates(post: xr.DataTree, each: int) -> NDArray[np.float64]:
    """So many rates for each factor of ten, around the draws' own and their critical ones."""
    group = post["posterior_linear"].to_dataset()
    seen = [group[n].to_numpy().ravel() for n in ("linear_rate", "critical_rate")]
    logs = [np.log10(x[np.isfinite(x) & (x > 0.0)]) for x in seen]
    ends = np.concatenate([np.quantile(x, (0.005, 0.995)) for x in logs if x.size])
    low, high = math.floor(ends.min()) - 1, math.ceil(ends.max()) + 1
    middle = float(np.median(logs[0]))
    low, high = max(low, round(middle) - _DECADES // 2), min(high, round(middle) + _DECADES // 2)
    return np.asarray(10.0 ** (np.arange(low * each, high * each + 1) / each))
