"""Programs drawn from structures with facts: which structure, what is stored, what that costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayes_mesa.costing.costs import Counts
from bayes_mesa.costing.exchange import penalty
from bayes_mesa.costing.fact_sums import draw_programs
from bayes_mesa.domain.model import DECEPTIVE, Family, Model
from bayes_mesa.verdicts.verdict import of_every_structure

Arrays = dict[str, np.ndarray]


def draw_from_structures(
    model: Model,
    family: Family,
    theta: Arrays,
    bit_generator: np.random.BitGenerator,
    num_draws: int | None,
) -> Arrays:
    """Independent exact draws: one per theta, or ``num_draws`` at a single one.

    Parameters
    ----------
    theta
        Variables of a posterior with N draws first: masses, totals, costs of facts, pressure and
        the family's parameters.

    Returns
    -------
    dict of arrays
        ``structure`` (D,), −1 where nothing fits, ``stored`` (D, n) bool, ``bits``, ``steps`` and
        ``penalty`` (D,), NaN where nothing fits, ``deceptive`` (D,) 0 or 1.
    """
    theta = with_every_structure(model, family, theta)
    arguments = _arguments(model, family, theta)
    if num_draws is not None:
        arguments["num_draws"] = num_draws
    structure, stored = draw_programs(bit_generator, **arguments)
    rows = np.arange(len(structure)) % len(theta["pressure"])
    fits = structure >= 0
    chosen = np.where(fits, structure, 0)
    bits = theta["structure_bits"][rows, chosen]
    steps = theta["structure_steps"][rows, chosen]
    if len(model.facts):
        uses = arguments["uses"][chosen]
        bits = bits + np.einsum("nk,nk->n", theta["fact_bits"][rows], stored)
        steps = steps + uses * np.einsum("nk,nk->n", theta["fact_steps"][rows], ~stored)
    cost = penalty(family.name, arguments["parameters"], bits, steps)
    deceptive = np.array(model.classes)[chosen] == DECEPTIVE
    return {
        "structure": structure,
        "stored": stored,
        "bits": np.where(fits, bits, np.nan),
        "steps": np.where(fits, steps, np.nan),
        "penalty": np.where(fits, cost, np.nan),
        "deceptive": (deceptive & fits).astype(np.int8),
    }


def with_every_structure(model: Model, family: Family, theta: Arrays) -> Arrays:
    """Theta with the masses and totals of all structures, where results name only some of them."""
    if model.named is None:
        return theta
    none = np.zeros((len(theta["pressure"]), 0))
    may_be_empty = ("bits", "steps", "loss", "overlap_fraction", "fact_bits", "fact_steps")
    whole = {**dict.fromkeys(may_be_empty, none), **theta}
    return theta | of_every_structure(model, family, whole)


def place_names(model: Model) -> list[str]:
    """What the codes of drawn programs stand for: every structure by its own name."""
    if model.named is not None:
        return [s.name for s in model.structures]
    return [c.name for c in model.columns]


def place_classes(model: Model) -> list[str]:
    """The class of each of `place_names`."""
    if model.named is not None:
        return list(model.classes)
    return [c.class_name for c in model.columns]


def _arguments(model: Model, family: Family, theta: Arrays) -> dict[str, Any]:
    none = np.zeros((len(theta["pressure"]), 0))
    return {
        "family": family.name,
        "mass": theta["structure_mass"],
        "pressure": theta["pressure"],
        "parameters": {n: theta[f"{family.name}_{n}"] for n in family.parameters},
        "steps": theta["structure_steps"],
        "uses": Counts.of(model).uses,
        "fact_bits": theta.get("fact_bits", none),
        "fact_steps": theta.get("fact_steps", none),
    }
