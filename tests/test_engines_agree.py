"""The engines hold one another up: enumeration rises to the exact sums, draws follow the masses."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from small_grammars import catalan, chain, codes_up_to, finite, post_like

from bayes_mesa.costing.exchange import LN2, penalty
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import Facts, Overlap
from bayes_mesa.domain.slots import parameters
from bayes_mesa.grammars.certificate import At
from bayes_mesa.grammars.coverage import exact_totals
from bayes_mesa.grammars.listing import cheapest_programs
from bayes_mesa.verdicts.engines import Engines
from bayes_mesa.verdicts.enumeration import programs_of
from bayes_mesa.verdicts.theta_at import theta_at
from bayes_mesa.verdicts.verdict import verdicts

#: Grammar, programs to list, and how much of the total they are known to reach.
RISING = {
    "post_like": (lambda: post_like(pressure=1.3), 2_000_000, 1e-6),
    "catalan": (lambda: catalan(pressure=1.5), 200_000, 1e-4),
    "chain": (lambda: chain(), 2_000, 1e-12),
}


def left_out(model, family, place, num_programs):
    """Share of the exact total that the first programs leave out."""
    at = At(model, family, place.theta[family.name], cheapest_programs(model))
    listing = programs_of(model, num_programs)
    weights = at.weights(listing)
    totals = exact_totals(at)
    listed = np.logaddexp.reduce(weights.log_class_sums())
    total = np.logaddexp.reduce(totals.log_total + at.shift(totals.base, weights.base))
    return -np.expm1(listed - total)


@pytest.mark.parametrize("name", RISING)
@pytest.mark.parametrize("family_name", ["linear", "levin", "power"])
def test_enumeration_rises_to_the_exact_sum(name, family_name):
    make, most, reached = RISING[name]
    model = make()
    family, place = model.family(family_name), theta_at(model, {})
    shares = [left_out(model, family, place, n) for n in (10, 500, most)]
    assert shares == sorted(shares, reverse=True)
    # From below: never beyond the total but by rounding.
    assert min(shares) > -1e-12
    assert shares[-1] < reached
    # The first programs are no whole: the test can fail.
    assert shares[0] > 1e-9


@pytest.mark.parametrize("family_name", ["linear", "levin", "power"])
@pytest.mark.parametrize("tied", ["needs", "overlaps"])
def test_known_numbers_are_listed_and_exact_where_nothing_factorises(family_name, tied):
    model = finite(facts=NEEDY) if tied == "needs" else with_overlap(finite())
    assert Engines.of(model).masses == "enumerated"
    family = model.family(family_name)
    theta = theta_at(model, {}).theta[family_name]
    found = verdicts(model, family, theta)
    weight, cost = {}, {}
    for code in codes_up_to(model.grammar, 4):
        for (train, deploy), log_weight, psi in outcomes(model, family, theta, code):
            kind = (train, deploy)
            weight[kind] = weight.get(kind, 0.0) + np.exp(log_weight)
            cost[kind] = min(cost.get(kind, np.inf), psi)
    whole = sum(weight.values())
    deceptive = sum(w for (_, deploy), w in weight.items() if deploy != "base")
    assert found["deceptive_mass"][0] == pytest.approx(deceptive / whole, abs=1e-9)
    least = {d: min(c for (_, k), c in cost.items() if (k != "base") is d) for d in (False, True)}
    assert found["margin_bits"][0] == pytest.approx(least[False] - least[True], abs=1e-9)


NEEDY = Facts(
    ("a", "b", "c"),
    tuple(map(Known, (3.0, 2.0, 4.0))),
    tuple(map(Known, (5.0, 40.0, 9.0))),
    ((), (0,), (0, 1)),
)


def with_overlap(model):
    return replace(model, overlaps=(Overlap("near", "plan", Known(0.5)),))


def outcomes(model, family, theta, code):
    """What a program exhibits, its log weight and its cost, for every choice of what to store."""
    found = interpret(model.grammar, code)
    if found.train != "base":
        return
    prices = {a: dict(zip(model.component_index, theta[a][0], strict=True)) for a in AXES}
    bits = found.rule_bits + sum(n * prices["bits"][c] for c, n in found.stores.items())
    steps = sum(n * prices["steps"][c] for c, n in found.runs.items())
    for overlap in model.overlaps:
        both = min(found.runs.get(overlap.component, 0), found.runs.get(overlap.inside, 0))
        steps -= overlap.fraction.value * prices["steps"][overlap.component] * both
    facts, own = model.facts, parameters(family, theta)
    for stored in product((0, 1), repeat=len(facts)):
        spent = {}
        for j in range(len(facts)):
            inner = sum(spent[i] for i in facts.needs[j] if not stored[i])
            spent[j] = facts.steps[j].value + inner
        more = sum(spent[j] for j in spent if not stored[j])
        kept = sum(facts.bits[j].value for j in spent if stored[j])
        psi = float(penalty(family.name, own, bits + kept, steps + more)[0])
        yield (found.train, found.deploy), -LN2 * float(theta["pressure"][0]) * psi, psi


AXES = ("bits", "steps")
