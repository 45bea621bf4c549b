"""Masses counted again, one program at a time, from nothing but what the results hold.

Beside the engine that answered stands the sum it stands for: for a few draws every program is
weighed by w = m 2^(-beta Psi) as `exchange` states the penalty, all 2^n choices over the facts
included. Feasible for structures with few facts; a grammar's programs are too many.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.costing.exchange import LN2, added_penalty
from bayes_mesa.costing.fact_choices import derivation_steps, every_choice
from bayes_mesa.domain.model import DECEPTIVE

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]
#: Draws of each family, and the most facts, whose choices are listed.
_DRAWS, _MOST_FACTS = 16, 10


@dataclass(frozen=True)
class Recount:
    """How far the masses that results hold are from those counted program by program.

    ``worst`` is the largest difference in the deceptive mass over ``draws`` draws of each family;
    both are 0 where nothing was counted, and ``why_not`` then says why.
    """

    worst: float
    draws: int
    programs: int
    why_not: str


def recount(tree: xr.DataTree) -> Recount:
    """Count a few draws of every family again, program by program.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    """
    if (why := _why_not(tree)) is not None:
        return Recount(0.0, 0, 0, why)
    worst = 0.0
    families = list(json.loads(tree.attrs["families"]))
    for family in families:
        data = tree[f"posterior_{family}"].to_dataset().stack(point=("chain", "draw"))
        size = data.sizes["point"]
        data = data.isel(point=np.unique(np.linspace(0, size - 1, _DRAWS).astype(int)))
        counted = _deceptive_mass(tree, data, family)
        held = np.asarray(data["deceptive_mass"], dtype=float)
        both = ~(np.isnan(counted) & np.isnan(held))
        off = np.abs(counted - held)[both]
        # A mass on one side only: they disagree on whether anything fits.
        worst = max(worst, float(np.where(np.isnan(off), 1.0, off).max(initial=0.0)))
    facts = tree["posterior"].sizes.get("fact", 0)
    programs = tree["constant_data"].sizes["structure"] << facts
    return Recount(worst, min(_DRAWS, size), programs, "")


def _why_not(tree: xr.DataTree) -> str | None:
    facts = tree["posterior"].sizes.get("fact", 0)
    if "grammar" in tree.attrs:
        return "the programs of a grammar are too many to be listed one by one"
    if "structures" in tree.attrs:
        return "results name only the heaviest of very many structures"
    if facts > _MOST_FACTS:
        return f"{facts} facts make 2^{facts} programs of every structure"
    if any(u["of"] == "program" for u in json.loads(tree.attrs.get("updates", "[]"))):
        return "the masses are those of one trained program, given what was observed of it"
    if "selection" not in tree.attrs or "structure_train" not in tree["constant_data"]:
        return "the results do not say how programs were selected"
    return None


def _deceptive_mass(tree: xr.DataTree, data: xr.Dataset, family: str) -> Draws:
    """Share of the weight of deceptive programs, (N,); NaN where nothing fits."""
    log_weight = _log_weights(tree, data, family)
    deceptive = tree["constant_data"]["structure_class"].to_numpy() == DECEPTIVE
    top = log_weight.max(axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):
        weight = np.exp(log_weight - np.where(np.isfinite(top), top, np.nan)).sum(axis=2)
    return weight[:, deceptive].sum(axis=1) / weight.sum(axis=1)


def _log_weights(tree: xr.DataTree, data: xr.Dataset, family: str) -> Draws:
    """Natural log of the weight of every program, (N, S, Z)."""
    constant, limits = tree["constant_data"].to_dataset(), json.loads(tree.attrs["selection"])
    bits, steps = (_columns(data, f"structure_{axis}")[:, :, None] for axis in ("bits", "steps"))
    fact_bits, fact_steps = (_facts(data, f"fact_{axis}") for axis in ("bits", "steps"))
    stored = every_choice(fact_bits.shape[1])
    uses = constant["uses"].to_numpy()[None, :, None]
    derived = derivation_steps(json.loads(tree.attrs["fact_needs"]), fact_steps, stored)
    bits = bits + (fact_bits @ stored.T)[:, None, :]
    steps = steps + uses * derived[:, None, :]
    least = steps.min(axis=(1, 2), keepdims=True)
    parameters = {
        str(n).removeprefix(f"{family}_"): np.asarray(x, dtype=float)[:, None, None]
        for n, x in data.data_vars.items()
        if str(n).startswith(f"{family}_")
    }
    penalty = bits + added_penalty(family, parameters, least, steps - least)
    pressure = np.asarray(data["pressure"], dtype=float)[:, None, None]
    loss, eligible = _losses(tree, data)
    weight = np.log(constant["multiplicity"].to_numpy())[None, :, None] - (
        pressure * LN2 * penalty + limits["episodes"] * loss[:, :, None]
    )
    fits = eligible[None, :, None] & (bits <= _limit(limits["max_bits"]))
    return np.where(fits & (steps <= _limit(limits["cap"])), weight, -np.inf)


def _losses(tree: xr.DataTree, data: xr.Dataset) -> tuple[Draws, NDArray[np.bool_]]:
    """Loss of every structure in nats per episode, (N, S), and whether it is declared, (S,)."""
    pursued = [str(x) for x in tree["constant_data"]["structure_train"].to_numpy()]
    base = str(tree.attrs["base_objective"])
    loss = np.zeros((data.sizes["point"], len(pursued)))
    known = np.array([x == base for x in pursued])
    if "loss" in data:
        names = [str(x) for x in data["objective"].to_numpy()]
        values = data["loss"].transpose("point", "objective").to_numpy()
        for s, objective in enumerate(pursued):
            if objective in names:
                loss[:, s], known[s] = values[:, names.index(objective)], True
    return loss, known


def _columns(data: xr.Dataset, name: str) -> Draws:
    return data[name].transpose("point", "structure").to_numpy()


def _facts(data: xr.Dataset, name: str) -> Draws:
    if name not in data:
        return np.zeros((data.sizes["point"], 0))
    return data[name].transpose("point", "fact").to_numpy()


def _limit(value: float | None) -> float:
    return np.inf if value is None else float(value)
