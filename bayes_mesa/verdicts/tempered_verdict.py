"""The verdict where no sum is closed: masses by tempered chains over programs at every draw.

Least costs are exact all the same wherever they can be listed: the structures, or the frontier of a
grammar, each with every choice of what to store. Where they cannot (overlaps with a grammar, or too
many facts that are tied to one another) the least costs are those that the chains have met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bayes_mesa.chains.tempered_masses import tempered_masses
from bayes_mesa.costing.costs import Counts
from bayes_mesa.costing.fact_choices import MAX_FACTS, ties_between_facts
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.errors import RefusedError
from bayes_mesa.verdicts.contest import Contest, in_places
from bayes_mesa.verdicts.grammar_verdict import Field

#: Programs drawn, and dropped, at every draw of theta.
INNER_DRAWS, BURN_IN = 200, 40


def tempered_verdict(
    model: Model, family: Family, theta: Mapping[str, np.ndarray], stream: np.random.SeedSequence
) -> dict[str, np.ndarray]:
    """What `verdict.verdicts` gives, with Monte Carlo error in the masses.

    Returns
    -------
    dict of arrays
        Also ``mass_error`` (N,): standard error of the deceptive mass at a draw, by batch means.
        There is no ``log_weight_error``, since Z is not known. Critical exchanges are NaN where
        least costs are not listed.
    """
    if model.named is not None:
        whole = replace(model, named=None)
        return _in_places(model, tempered_verdict(whole, family, theta, stream))
    found = tempered_masses(
        model, family, theta, num_inner=INNER_DRAWS, burn_in=BURN_IN, seed=stream
    )
    classes = np.array([c.class_name for c in model.columns])
    by_class = np.stack([found.mass[:, classes == c].sum(axis=1) for c in CLASSES], axis=-1)
    deceptive = classes == DECEPTIVE
    masses = {
        "structure_mass": found.mass,
        "class_mass": by_class,
        "deceptive_mass": by_class[:, CLASSES.index(DECEPTIVE)],
        "mass_error": _deceptive_error(by_class, found.effective),
    }
    try:
        return masses | _listed(model, family, theta)
    except RefusedError:
        return masses | _met(model, family, theta, found.least_cost, deceptive)


def _in_places(model: Model, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What was found of all structures, by place in the results."""
    places, named = len(model.columns), list(model.named or ())
    favored, steps = found["structure_favored"], found["structure_steps"]
    rest = np.full((len(steps), places - len(named)), np.nan)
    return {
        **found,
        "structure_mass": in_places(model, found["structure_mass"]),
        "structure_favored": np.stack(
            [favored[:, model.places == place].any(axis=1) for place in range(places)], axis=-1
        ).astype(np.int8),
        "structure_bits": np.hstack([found["structure_bits"][:, named], rest]),
        "structure_steps": np.hstack([steps[:, named], rest]),
        "least_steps": steps[:, np.array(model.eligible)].min(axis=1),
    }


def _deceptive_error(by_class: np.ndarray, effective: np.ndarray) -> np.ndarray:
    share = by_class[:, CLASSES.index(DECEPTIVE)]
    return np.sqrt(share * (1.0 - share) / np.maximum(effective, 1.0))


def _listed(model: Model, family: Family, theta: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if ties_between_facts(model) and len(model.facts) > MAX_FACTS:
        raise RefusedError("the choices over so many facts are not listed")
    if model.grammar is not None:
        return Field.of(model).race(family, theta)[1]
    contest = Contest.of(model, family, Counts.of(model), theta)
    places = len(model.structures)
    return contest.outcome(np.arange(places), range(places), places)


def _met(
    model: Model,
    family: Family,
    theta: Mapping[str, np.ndarray],
    cost: np.ndarray,
    deceptive: np.ndarray,
) -> dict[str, np.ndarray]:
    contest = Contest.of(model, family, Counts.of(model), theta)
    order = np.argsort(deceptive, kind="stable")
    met = np.isfinite(cost.min(axis=1))
    winner = np.where(met, order[np.argmin(cost[:, order], axis=1)], -1)
    with np.errstate(invalid="ignore"):
        margin = _least(cost[:, ~deceptive]) - _least(cost[:, deceptive])
    unknown = np.full(len(cost), np.nan)
    none = np.zeros(len(cost), np.int64)
    rest = np.full((len(cost), len(deceptive) - len(model.structures)), np.nan)
    return {
        "structure_favored": (np.arange(len(deceptive)) == winner[:, None]).astype(np.int8),
        "deceptive_favored": (deceptive[winner] & met).astype(np.int8),
        "margin_bits": margin,
        "critical_rate": unknown,
        "critical_kappa": unknown,
        "rate_crossings": none,
        "kappa_crossings": none,
        "structure_bits": np.hstack([contest.whole.full_bits, rest]),
        "structure_steps": np.hstack([contest.whole.full_steps, rest]),
    }


def _least(cost: np.ndarray) -> np.ndarray:
    return cost.min(axis=1, initial=np.inf)
