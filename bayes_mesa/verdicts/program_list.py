"""Which programs of a grammar the results name: the labelled ones, and the best at the medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from bayes_mesa.costing.exchange import LN2, penalty
from bayes_mesa.domain.grammar import Code
from bayes_mesa.domain.model import CLASSES, Facts, Family, Model, Structure
from bayes_mesa.domain.slots import Theta, parameters
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.frontier import frontier, program_structure
from bayes_mesa.grammars.listing import Listing
from bayes_mesa.verdicts.enumeration import programs_of
from bayes_mesa.verdicts.favorable import can_be_favored
from bayes_mesa.verdicts.heaviest import log_shares, with_heaviest
from bayes_mesa.verdicts.theta_at import theta_at

#: Best programs that are listed besides the labelled ones, and programs searched for them.
COUNT, SEARCHED = 20, 50_000
#: As many programs that can be favored are all listed, wherever they stand at the medians.
FEW = 30
#: Rule bits beyond the shortest program's, after which the search ends.
DEEPEST = 48.0
#: Nodes of the longest program found that is listed: longer ones nobody reads.
LONGEST = 64

_LISTED: WeakKeyDictionary[Model, dict[int, Model]] = WeakKeyDictionary()
_COMPLETE: WeakSet[Model] = WeakSet()


def with_listed(model: Model, count: int = COUNT) -> Model:
    """The model with every program that results name among its structures.

    Labelled programs in file order, then those of the best ``count`` at the prior medians that are
    not among them, best first, called by their expressions. Without a grammar all structures are
    named, or, of very many, the heaviest (`with_heaviest`). What has been through here is returned
    as it is.
    """
    if model.grammar is None:
        return with_heaviest(model)
    if model in _COMPLETE:
        return model
    made = _LISTED.setdefault(model, {})
    if count not in made:
        own = {s.code for s in model.structures}
        more = [c for c in best_programs(model, count) if c not in own]
        programs = tuple(program_structure(model, code) for code in more)
        made[count] = replace(model, structures=(*model.structures, *programs))
        _COMPLETE.add(made[count])
    return made[count]


def best_programs(model: Model, count: int) -> list[Code]:
    """Codes of the programs of the largest weight at the prior medians, best first.

    Then those of each class's best one under every family, and of every program that can be favored
    at some costs if these are few, where they are not among them.

    They are looked for on the frontier and among the `SEARCHED` programs of the fewest rule bits;
    of those with equal costs and behaviour one is taken. The weight is the share under each family,
    averaged with the families' prior weights.
    """
    theta = theta_at(model, {}).theta
    candidates = _candidates(model, theta, count)
    codes = [s.code for s in candidates.structures]
    shares = {f.name: log_shares(candidates, f, theta[f.name]) for f in model.families}
    with np.errstate(invalid="ignore"):  # -inf twice
        whole = np.logaddexp.reduce([np.log(f.weight) + shares[f.name] for f in model.families])
    chosen = np.argsort(-whole, kind="stable")[:count].tolist()
    best = [codes[k] for k in dict.fromkeys([*chosen, *_champions(candidates, shares)])]
    return [*best, *(s.code for s in _favorable(model) if s.code not in best)]


def _favorable(model: Model) -> tuple[Structure, ...]:
    try:
        found = can_be_favored(model)
    except RefusedError:
        return ()
    return found if len(found) <= FEW else ()


def _champions(candidates: Model, shares: Mapping[str, np.ndarray]) -> list[int]:
    """Row of the best candidate of every class under every family."""
    classes = np.array(candidates.classes)
    found = []
    for share in shares.values():
        for name in CLASSES:
            rows = np.flatnonzero((classes == name) & (share > -np.inf))
            found += [int(rows[np.argmax(share[rows])])] if rows.size else []
    return found


def _candidates(model: Model, theta: Mapping[str, Theta], count: int) -> Model:
    """The model with the programs among which the best are looked for."""
    listing = programs_of(model, SEARCHED, _deep_enough)
    kept = {k for f in model.families for k in _cheapest(model, listing, f, theta[f.name], count)}
    codes = dict.fromkeys(listing.codes.of(k) for k in sorted(kept))
    listed = [program_structure(model, code) for code in codes if len(code) <= LONGEST]
    known = {_payments(s) for s in listed}
    listed += [s for s in _frontier(model) if _payments(s) not in known]
    # The sum over facts that need one another is no part of a ranking.
    facts = Facts() if model.facts.depend else model.facts
    return replace(model, structures=tuple(listed), facts=facts)


def _deep_enough(listing: Listing) -> bool:
    return bool(listing.up_to_bits - listing.rule_bits.min(initial=np.inf) > DEEPEST)


def _cheapest(
    model: Model, listing: Listing, family: Family, theta: Theta, count: int
) -> list[int]:
    """Rows of the cheapest programs without facts: more than ``count``, since facts differ."""
    losses = {model.base_objective: 0.0} | {
        n: model.selection.episodes * float(theta["loss"][0, k]) for k, n in enumerate(model.losses)
    }
    loss = np.array([losses.get(o, np.inf) for o in listing.objectives])[listing.train]
    # A program of no steps under levin is told of elsewhere; one beyond all numbers comes last.
    with np.errstate(divide="ignore", over="ignore"):
        bits = listing.rule_bits + listing.stores @ theta["bits"][0]
        cost = penalty(
            family.name, parameters(family, theta), bits, listing.runs @ theta["steps"][0]
        )
    order = np.argsort(cost + loss / (theta["pressure"][0] * LN2), kind="stable")
    return [int(k) for k in order[: 5 * count]]


def _frontier(model: Model) -> tuple[Structure, ...]:
    try:
        return frontier(model)
    except RefusedError:
        return ()


def _payments(structure: Structure) -> tuple[object, ...]:
    counts = (frozenset(x.items()) for x in (structure.stores, structure.runs))
    return (structure.rule_bits, *counts, structure.train, structure.deploy)
