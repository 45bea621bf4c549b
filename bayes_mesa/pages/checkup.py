"""What can be said of a model before any draw: costs, what is proved, the verdict at medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from bayes_mesa.domain.critical_pressure import critical_pressure
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import assemble, slots
from bayes_mesa.inference.datasets import describe_beliefs
from bayes_mesa.inference.warning_texts import model_warnings
from bayes_mesa.verdicts.dominance import dominance, never_favored
from bayes_mesa.verdicts.estimand import finite
from bayes_mesa.verdicts.favorable import can_be_favored
from bayes_mesa.verdicts.prior_draws import slack
from bayes_mesa.verdicts.program_list import with_listed
from bayes_mesa.verdicts.verdict import verdicts


def checkup(model: Model) -> dict[str, Any]:
    """Everything that the command ``check`` prints; all numbers are finite or None.

    Of a grammar the labelled programs are looked at, and the best at the prior medians.

    Returns
    -------
    dict
        ``model``, ``title``, ``beliefs``, ``structures`` (class, and bits and steps at the prior
        medians), ``dominance``, ``never_favored``, ``critical_rate`` and ``critical_kappa`` at the
        medians, ``by_exchange`` (what is favored at the medians, and by how much), ``warnings``.
        With a grammar also ``grammar``: ``rules``, ``symbols``, ``critical_pressure``, and the
        programs that ``can_be_favored`` at some costs.
    """
    model = with_listed(model)
    found = {family.name: _at_medians(model, family) for family in model.families}
    first = next(iter(found.values()))
    return {
        "model": model.name,
        "title": model.title,
        "beliefs": describe_beliefs(model),
        "structures": _structures(model, first),
        "dominance": [asdict(statement) for statement in dominance(model)],
        "never_favored": sorted(never_favored(model)),
        "critical_rate": _critical(first, "rate", always=0.0, never=np.inf),
        "critical_kappa": _critical(first, "kappa", always=np.inf, never=0.0),
        "by_exchange": {name: _verdict(model, figures) for name, figures in found.items()},
        "warnings": [*model_warnings(model), *_broken_constraints(model)],
        **_grammar(model),
    }


def _grammar(model: Model) -> dict[str, Any]:
    """Size of the grammar, its critical pressure, and the programs that can be favored at all."""
    if model.grammar is None:
        return {}
    found = {
        "symbols": len(model.grammar.symbols),
        "rules": len(model.grammar.rules),
        "critical_pressure": critical_pressure(model.grammar),
        "can_be_favored": [s.name for s in can_be_favored(model)],
    }
    return {"grammar": found}


def _medians(model: Model, family: Family) -> dict[str, np.ndarray]:
    """One draw: every belief at its median."""
    return {
        s.name: np.full((1,) if s.size is None else (1, s.size), s.belief.median)
        for s in slots(model, family)
    }


def _at_medians(model: Model, family: Family) -> Mapping[str, np.ndarray]:
    return verdicts(model, family, assemble(model, _medians(model, family), family, np))


def _structures(model: Model, figures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    named = len(model.structures if model.named is None else model.named)
    return {
        column.name: {
            "symbol": column.symbol,
            "class": column.class_name,
            "bits": finite(figures["structure_bits"][0, index]),
            "steps": finite(figures["structure_steps"][0, index]),
        }
        for index, column in enumerate(model.columns[:named])
    }


def _critical(
    figures: Mapping[str, np.ndarray], name: str, *, always: float, never: float
) -> dict[str, Any]:
    value = float(figures[f"critical_{name}"][0])
    return {
        "value": finite(value),
        "always": value == always,
        "never": value == never,
        "crossings": int(figures[f"{name}_crossings"][0]),
    }


def _verdict(model: Model, figures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    favored = np.flatnonzero(figures["structure_favored"][0])
    return {
        "favored": model.columns[int(favored[0])].name if favored.size else None,
        "deceptive_mass": finite(figures["deceptive_mass"][0]),
        "margin_bits": finite(figures["margin_bits"][0]),
    }


def _broken_constraints(model: Model) -> list[str]:
    values = _medians(model, model.families[0])
    return [
        f"The prior medians break the constraint {constraint}: the verdict at the medians is not "
        "one that the prior allows."
        for constraint in model.constraints
        if float(slack(model, constraint, values)[0]) < 0.0
    ]
