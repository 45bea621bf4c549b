"""Masses by listing programs at every draw: where a cap or a capacity cuts a grammar off.

Nothing factorises under a limit, but every listed program can be held against it, and what is not
listed is bounded (`certificate`). Where that bound is tight the masses are nearly exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import numpy as np

from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.grammars.certificate import At, Weights
from bayes_mesa.grammars.coverage import Evaluation, evaluate
from bayes_mesa.grammars.listing import Listing, cheapest_programs
from bayes_mesa.verdicts.enumeration import programs_of
from bayes_mesa.verdicts.grammar_verdict import Field
from bayes_mesa.verdicts.theta_at import theta_at

#: Programs listed, and the interval around the deceptive mass that counts as tight.
LISTED, TIGHT = 30_000, 0.01

_LISTINGS: WeakKeyDictionary[Model, tuple[Listing, Listing | None]] = WeakKeyDictionary()


def enumerated_verdict(
    model: Model, family: Family, theta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What `verdict.verdicts` gives, with masses taken of the programs listed.

    Returns
    -------
    dict of arrays
        With ``mass_bound`` (N,) in place of ``log_weight_error``: the deceptive mass is certain to
        be no further than this from what is given. Least costs are exact, from the frontier.
    """
    row, classes = _rows(model), np.array([c.class_name for c in model.columns])
    size = len(theta["pressure"])
    mass = np.full((size, len(model.columns)), np.nan)
    bound = np.full(size, np.nan)
    for n in range(size):
        found = _evaluated(model, family, {k: x[n : n + 1] for k, x in theta.items()})
        log_weight, interval = found.weights.log_weight, found.interval
        if log_weight.max() == -np.inf:
            continue  # nothing fits
        mass[n] = _shares(_listing(model)[0], found.weights, row, classes)
        bound[n] = max(interval.upper - interval.mean, interval.mean - interval.lower)
    by_class = np.stack([mass[:, classes == c].sum(axis=1) for c in CLASSES], axis=-1)
    return {
        "structure_mass": mass,
        "class_mass": by_class,
        "deceptive_mass": by_class[:, CLASSES.index(DECEPTIVE)],
        "mass_bound": bound,
        **Field.of(model).race(family, theta)[1],
    }


def width_at_medians(model: Model) -> tuple[float, int]:
    """Widest interval around the deceptive mass at the prior medians, and the programs listed."""
    listing, _ = _listing(model)
    if listing.complete:
        return 0.0, int(listing.programs)
    theta = theta_at(model, {}).theta
    found = [_evaluated(model, f, theta[f.name]).interval for f in model.families]
    width = max(x.upper - x.lower for x in found)
    return (1.0 if np.isnan(width) else width), int(listing.programs)


def _listing(model: Model) -> tuple[Listing, Listing | None]:
    if model not in _LISTINGS:
        _LISTINGS[model] = programs_of(model, LISTED), cheapest_programs(model)
    return _LISTINGS[model]


def _evaluated(model: Model, family: Family, theta: Mapping[str, np.ndarray]) -> Evaluation:
    listing, cheapest = _listing(model)
    return evaluate(listing, At(model, family, theta, cheapest), None)


def _rows(model: Model) -> np.ndarray:
    """Row of the listing that holds each named program, int (S,), -1 where none does."""
    listing, _ = _listing(model)
    rows = []
    for structure in model.structures:
        same = listing.rule_bits == structure.rule_bits
        for pursued, name in ((listing.train, structure.train), (listing.deploy, structure.deploy)):
            same &= pursued == listing.objectives.index(name)
        for paid, of in ((listing.stores, structure.stores), (listing.runs, structure.runs)):
            same &= (paid == [of.get(c.name, 0) for c in model.components]).all(axis=1)
        rows.append(int(np.argmax(same)) if same.any() else -1)
    return np.array(rows, np.int64)


def _shares(listing: Listing, weights: Weights, row: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Share of every column: of a row, a named program takes its own part and no other's."""
    weight = np.exp(weights.log_weight - weights.log_weight.max())
    weight /= weight.sum()
    whole = np.bincount(weights.class_index, weight, len(CLASSES))
    own = np.where(row >= 0, weight[row] / listing.count[row], 0.0)
    taken = [own[classes[: len(row)] == c].sum() for c in CLASSES]
    return np.append(own, np.maximum(whole - taken, 0.0))
