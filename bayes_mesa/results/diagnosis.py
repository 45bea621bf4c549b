"""Whether the sampling can be trusted, in numbers and in words that say what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.verdicts.estimand import finite

if TYPE_CHECKING:
    import xarray as xr

#: Thresholds of Vehtari et al. (2021), "Rank-normalization, folding, and localization".
MAX_R_HAT = 1.01
MIN_ESS = 400.0
MIN_DRAWS = 8

#: Variables computed from theta; the sampler never moved them.
DERIVED = frozenset(
    {
        "structure_bits",
        "structure_steps",
        "structure_mass",
        "structure_favored",
        "class_mass",
        "deceptive_mass",
        "deceptive_favored",
        "margin_bits",
        "critical_rate",
        "critical_kappa",
        "rate_crossings",
        "kappa_crossings",
        "log_weight_error",
        "mass_error",
        "mass_bound",
        "least_steps",
    }
)


@dataclass(frozen=True)
class Mixing:
    """Worst R-hat and smallest bulk ESS of one family's unknowns, and where; None: not defined.

    ``unknowns`` holds names, R-hat and bulk ESS of all of them, the largest R-hat first.
    """

    r_hat: float | None
    r_hat_at: str
    ess: float
    ess_at: str
    unknowns: tuple[tuple[str, float | None, float | None], ...] = ()


def mixings(tree: xr.DataTree, families: Iterable[str]) -> dict[str, Mixing]:
    """How the draws of every family's own group mix."""
    return {name: mixing(tree[f"posterior_{name}"].to_dataset()) for name in families}


def diagnose(
    tree: xr.DataTree, families: tuple[str, ...], mixed: Mapping[str, Mixing] | None = None
) -> dict[str, Any]:
    """``{r_hat_max, ess_bulk_min, divergences, warnings}`` over the groups of ``families``.

    Known numbers take no part: where nothing varies ``r_hat_max`` is None and ``ess_bulk_min`` the
    number of draws. ``mixed`` is what `mixings` found, if it is at hand.
    """
    found = mixings(tree, families) if mixed is None else mixed
    diverging = {name: divergences(tree, name) for name in families}
    r_hats = [m.r_hat for m in found.values() if m.r_hat is not None]
    warnings = [str(w) for w in json.loads(tree.attrs.get("warnings", "[]"))]
    # Without evidence the draws are independent: their R-hat strays, and no remedy would help.
    independent = tree.attrs.get("evidence") == "[]"
    for name in families:
        judged = replace(found[name], r_hat=None) if independent else found[name]
        warnings += _in_words(name, judged, diverging[name])
    if tree[f"posterior_{families[0]}"].sizes["draw"] < MIN_DRAWS:
        warnings.append(
            f"fewer than {MIN_DRAWS} draws per chain: convergence cannot be judged; raise --draws"
        )
    return {
        "r_hat_max": max(r_hats, default=None),
        "ess_bulk_min": finite(min(m.ess for m in found.values())),
        "divergences": sum(diverging.values()),
        "warnings": warnings,
    }


def unknowns(dataset: xr.Dataset) -> tuple[list[str], np.ndarray]:
    """Names and draws, float64 (V, chain, draw), of every sampled number that varies."""
    names: list[str] = []
    columns: list[np.ndarray] = []
    for name, variable in dataset.data_vars.items():
        if name in DERIVED or variable.dtype.kind != "f":
            continue
        for label, draws in scalars(str(name), variable):
            if np.all(np.isfinite(draws)) and np.any(draws != draws[0, 0]):
                names.append(label)
                columns.append(draws)
    shape = (0, dataset.sizes["chain"], dataset.sizes["draw"])
    return names, np.stack(columns) if columns else np.empty(shape)


def scalars(name: str, variable: xr.DataArray) -> list[tuple[str, np.ndarray]]:
    """Every scalar of a variable, as ``name`` or ``name[label]`` with its (chain, draw) draws."""
    inner = [str(d) for d in variable.dims if d not in ("chain", "draw")]
    values = variable.transpose("chain", "draw", *inner).to_numpy()
    if not inner:
        return [(name, values)]
    labels = [variable[d].to_numpy() for d in inner]
    found = []
    for index in np.ndindex(*values.shape[2:]):
        label = ",".join(str(axis[k]) for axis, k in zip(labels, index, strict=True))
        found.append((f"{name}[{label}]", values[:, :, *index]))
    return found


def mixing(dataset: xr.Dataset) -> Mixing:
    """Rank-normalised split R-hat and bulk ESS of a family's unknowns, by ArviZ."""
    names, draws = unknowns(dataset)
    size = float(dataset.sizes["chain"] * dataset.sizes["draw"])
    if not names or dataset.sizes["draw"] < MIN_DRAWS:
        return Mixing(None, "", size, "", tuple((name, None, None) for name in names))
    from arviz_stats.base import array_stats

    r_hat = array_stats.rhat(chains_to_compare(draws), chain_axis=1, draw_axis=2)
    ess = array_stats.ess(draws, chain_axis=1, draw_axis=2, method="bulk")
    # Undefined ones count as the worst.
    order = np.argsort(-np.where(np.isnan(r_hat), np.inf, r_hat), kind="stable")
    least = int(np.argmin(np.where(np.isnan(ess), 0.0, ess)))
    found = tuple((names[k], finite(r_hat[k]), finite(ess[k])) for k in order)
    return Mixing(found[0][1], found[0][0], float(ess[least]), names[least], found)


def chains_to_compare(draws: np.ndarray) -> np.ndarray:
    """The chains (V, chain, draw); a single one as its two halves, which ArviZ splits again."""
    if draws.shape[1] > 1:
        return draws
    half = draws.shape[2] // 2
    return draws[:, 0, : 2 * half].reshape(-1, 2, half)


def divergences(tree: xr.DataTree, family: str) -> int:
    """Divergent transitions of NUTS under one family; 0 where it did not run."""
    group = f"sample_stats_{family}"
    if group not in tree.children or "diverging" not in tree[group].data_vars:
        return 0
    return int(tree[group]["diverging"].sum())


def _in_words(family: str, found: Mixing, divergences: int) -> list[str]:
    said = []
    if found.r_hat is not None and found.r_hat > MAX_R_HAT:
        said.append(
            f"{family}: R-hat is {found.r_hat:.3f} for {found.r_hat_at} (at most {MAX_R_HAT} is "
            "wanted): the chains do not agree yet; raise --warmup and --draws"
        )
    if found.ess_at and found.ess < MIN_ESS:
        said.append(
            f"{family}: the draws of {found.ess_at} are worth {found.ess:.0f} independent ones "
            f"(at least {MIN_ESS:.0f} are wanted): errors are themselves rough; raise --draws or "
            "--chains"
        )
    if divergences:
        plural = "s" if divergences > 1 else ""
        said.append(
            f"{family}: {divergences} divergent transition{plural}: part of the posterior may have "
            "been missed; raise --warmup, or narrow the priors that the evidence hardly touches"
        )
    return said
