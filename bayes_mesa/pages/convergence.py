"""What the report says of its sampling: mixing by family, programs drawn, engines' agreement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.pages.recount import recount
from bayes_mesa.plots.rank_plot import WORST
from bayes_mesa.results.diagnosis import Mixing, divergences, mixings
from bayes_mesa.text.number_text import error_text, number_text, probability_text
from bayes_mesa.verdicts.estimand import Average, probability

if TYPE_CHECKING:
    import xarray as xr

_ENGINES = {
    "exact": "Masses are exact sums over all programs",
    "listed": "Masses are exact sums over all programs",
    "enumerated": "Masses are those of programs listed in order of rule bits, all others bounded",
    "tempered": "Masses come from Markov chains over programs, {inner_draws} draws of programs at "
    "the costs of every draw",
}

_MASS_ERRORS = {
    "mass_bound": "Room that programs not listed leave for the deceptive mass of a single draw",
    "mass_error": "Monte Carlo error of the deceptive mass at the costs of a single draw",
}


@dataclass(frozen=True)
class FamilyMixing:
    """How one family was sampled; figures are None, and places empty, where they do not exist.

    ``worst`` holds names, R-hat and bulk ESS of the unknowns whose R-hat is largest.
    """

    family: str
    by_nuts: bool
    r_hat: float | None
    r_hat_at: str
    ess: float
    ess_at: str
    divergences: int
    worst: tuple[tuple[str, float | None, float | None], ...]


@dataclass(frozen=True)
class Convergence:
    """The section's contents: how families mixed, and sentences on engines and their agreement."""

    families: tuple[FamilyMixing, ...]
    by_nuts: bool
    computed: str
    agreement: tuple[str, ...]


def convergence(tree: xr.DataTree, mixed: Mapping[str, Mixing] | None = None) -> Convergence:
    """Read from a result tree, and a few draws counted again.

    ``mixed`` is what `diagnosis.mixings` found, if it is at hand.
    """
    families = json.loads(tree.attrs["families"])
    own = mixings(tree, families) if mixed is None else mixed
    found = tuple(_of_family(tree, name, own[name]) for name in families)
    nuts = any(f.by_nuts for f in found)
    return Convergence(found, nuts, computed(tree), tuple(_agreement(tree)))


def computed(tree: xr.DataTree) -> str:
    """Which engine found the masses, why, and how far they can be off; empty if not recorded."""
    engines = json.loads(tree.attrs.get("engines", "{}"))
    said = []
    if engines:
        how = _ENGINES.get(engines["masses"], "Masses were found by the engine {masses}")
        said.append(
            f"{how.format_map({'inner_draws': 'several', **engines})}: {engines['reason']}."
        )
    if (error := _worst(tree, "log_weight_error")) is not None:
        how = "Estimated" if engines.get("masses") == "tempered" else "Bounded"
        said.append(f"{how} error of the log weights in the worst draw: {number_text(error)} nats.")
    for name, what in _MASS_ERRORS.items():
        if (error := _worst(tree, name)) is not None:
            said.append(f"{what}: {number_text(error)} at worst, {_in_the_middle(tree, name)}.")
    return " ".join(said)


def _of_family(tree: xr.DataTree, name: str, mixed: Mixing) -> FamilyMixing:
    return FamilyMixing(
        name,
        f"sample_stats_{name}" in tree.children,
        mixed.r_hat,
        mixed.r_hat_at,
        mixed.ess,
        mixed.ess_at,
        divergences(tree, name),
        mixed.unknowns[:WORST],
    )


def _agreement(tree: xr.DataTree) -> list[str]:
    """What a second way of computing the same masses gave, in sentences."""
    counted = recount(tree)
    if counted.why_not:
        said = [
            f"The masses were not counted again on this page: {counted.why_not}. The package’s "
            "tests hold its engines against one another, and against every program listed where "
            "that is possible."
        ]
    else:
        said = [
            f"Counted again for this page, each of the {counted.programs} programs by itself, in "
            f"{counted.draws} draws of every family: the deceptive mass differs by at most "
            f"{number_text(counted.worst)}."
        ]
    if (programs := _programs(tree)) is not None:
        said.append(programs)
    return said


def _programs(tree: xr.DataTree) -> str | None:
    """The share of deceptive programs among those drawn, against the masses of their draws."""
    if "programs" not in tree.children or "deceptive" not in tree["programs"].data_vars:
        return None
    drawn = tree["programs"]["deceptive"].transpose("chain", "draw").to_numpy().astype(float)
    share = probability([drawn], Average.alone()).as_dict()
    held = np.asarray(tree["posterior"]["deceptive_mass"], dtype=float)
    return (
        f"Of {drawn.size} programs drawn {error_text(share)} are deceptive; the masses say "
        f"{probability_text(float(np.nanmean(held)))}."
    )


def _finite(tree: xr.DataTree, name: str) -> np.ndarray:
    """All draws of a variable that are numbers, over the families' own groups."""
    groups = [tree[f"posterior_{f}"].to_dataset() for f in json.loads(tree.attrs["families"])]
    found = [np.asarray(g[name], dtype=float).ravel() for g in groups if name in g]
    draws: np.ndarray[Any, Any] = np.concatenate(found) if found else np.empty(0)
    return draws[~np.isnan(draws)]


def _worst(tree: xr.DataTree, name: str) -> float | None:
    draws = _finite(tree, name)
    return float(draws.max()) if draws.size else None


def _in_the_middle(tree: xr.DataTree, name: str) -> str:
    middle = float(np.median(_finite(tree, name)))
    # Inner draws that are all of one class show no error, whatever they missed.
    return f"{number_text(middle)} in the middle" if middle > 0.0 else "none seen in most draws"
