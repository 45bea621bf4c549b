"""Draws of a result tree by slot: what was sampled, instead of the effective costs that are kept.

A posterior holds costs after heuristics, stacked by component. Whoever writes the next prior, or
hands draws to NumPyro, needs the slots themselves.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.reading.source_file import BYTE_ORDER_MARK

if TYPE_CHECKING:
    import xarray as xr

#: Dimension of the stacked variables, by the first part of a slot's name.
_STACKED = {
    "bits": "component",
    "steps": "component",
    "overlap_fraction": "overlap",
    "loss": "objective",
}


def uncertain_slots(tree: xr.DataTree) -> tuple[str, ...]:
    """Names of the slots that the fitted model was uncertain of, in any family."""
    beliefs = json.loads(tree.attrs["beliefs"])
    return tuple(b["quantity"] for b in beliefs if b["q05"] < b["q95"])


def slot_draws(tree: xr.DataTree, group: str = "posterior") -> dict[str, np.ndarray]:
    """Draws of every uncertain slot that a group holds.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    group
        ``posterior``, ``prior``, or ``posterior_FAMILY`` for the parameters of a family as well.

    Returns
    -------
    dict
        Slot name → (chains, draws), for facts (chains, draws, n). Bits and steps are those of the
        component itself: where heuristics multiply them, the factor is divided out.

    Raises
    ------
    InputError
        If the tree has no such group.
    """
    data = draws_of(tree, group)
    helped = _helped(tree)
    found = {}
    for name in uncertain_slots(tree):
        first, dot, rest = name.partition(".")
        variable = first if dot else name
        if variable not in data:
            continue
        chosen = data[variable].sel({_STACKED[first]: rest}) if dot else data[variable]
        values = chosen.transpose("chain", "draw", ...).to_numpy()
        if dot and rest in helped and f"heuristics_{first}" in data:
            values = values / data[f"heuristics_{first}"].transpose("chain", "draw").to_numpy()
        found[name] = values
    return found


def draws_of(tree: xr.DataTree, group: str) -> xr.Dataset:
    """The dataset of a group that has one entry per (chain, draw)."""
    known = [name for name in tree.children if {"chain", "draw"} <= set(tree[name].dims)]
    if group not in known:
        raise InputError(f"the group must be one of {', '.join(known)}, found {group!r}")
    return tree[group].to_dataset()


def model_table(tree: xr.DataTree) -> dict[str, Any]:
    """The model file that a tree was fitted to, parsed; empty for a model made in Python."""
    return tomllib.loads(model_lines(tree))


def model_lines(tree: xr.DataTree) -> str:
    """Text of the model file, without a byte order mark and with plain line ends."""
    return str(tree.attrs["model_text"]).removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n")


def _helped(tree: xr.DataTree) -> frozenset[str]:
    """Components whose costs the heuristics multiply."""
    posterior = tree["posterior"].to_dataset()
    if not any(str(name).startswith("heuristics_") for name in posterior.data_vars):
        return frozenset()
    table = model_table(tree)
    if not table:
        raise InputError(
            "draws must come from a model file where heuristics multiply costs (it says whose), "
            "found a model made in Python"
        )
    return frozenset(table["heuristics"]["of"])
