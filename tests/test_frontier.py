"""The frontier of programs against deep listings, and Knuth's shortest derivation."""

import numpy as np
import pytest
from small_grammars import (
    POST_COSTS,
    catalan,
    chain,
    codes_up_to,
    finite,
    grammar_model,
    post_like,
    random_model,
    rule,
)
from small_models import phi

from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import CLASSES, Overlap
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars import frontier as frontier_module
from bayes_mesa.grammars.frontier import (
    frontier,
    program_structure,
    pursued_in_training,
    with_frontier,
)
from bayes_mesa.grammars.inside import System

MODELS = {
    "post": (post_like(), 9),
    "post, openly too": (post_like(losses={"simplest": 0.1}), 9),
    "finite": (finite(losses={"own": 0.2}), 5),
    "catalan": (catalan(), 9),
    "chain": (chain(), 9),
} | {f"random {k}": (random_model(k, losses={"x": 0.5}), 10 if k == 2 else 8) for k in range(12)}

RATES = {
    "linear": {"rate": 3.0},
    "levin": {"kappa": 2.0},
    "power": {"rate": 0.5, "exponent": 1.6},
}


def everything(model, nodes):
    """Counts of every program up to a size: structures, and their rows (P, 1 + 2 C)."""
    found = [program_structure(model, code) for code in codes_up_to(model.grammar, nodes)]
    pursued = {model.base_objective, *model.losses}
    found = [s for s in found if s.train in pursued]
    return found, rows_of(model, found)


def rows_of(model, structures):
    counts = Counts.of(with_structures(model, structures))
    return np.hstack([counts.rule_bits[:, None], counts.bits, counts.steps])


def with_structures(model, structures):
    from dataclasses import replace

    return replace(model, structures=tuple(structures))


@pytest.mark.parametrize("name", MODELS)
def test_every_program_has_one_on_the_frontier_that_is_no_dearer(name):
    model, nodes = MODELS[name]
    listed, rows = everything(model, nodes)
    kept = frontier(model)
    own = rows_of(model, kept)
    for structure, row in zip(listed, rows, strict=True):
        same = [(k.train, k.deploy) == (structure.train, structure.deploy) for k in kept]
        assert (own[same] <= row + 1e-9).all(axis=1).any(), structure.name


@pytest.mark.parametrize("name", MODELS)
def test_no_program_on_the_frontier_is_in_vain(name):
    kept = frontier(MODELS[name][0])
    own = rows_of(MODELS[name][0], kept)
    for i, one in enumerate(kept):
        for j, other in enumerate(kept):
            if i != j and (one.train, one.deploy) == (other.train, other.deploy):
                assert not (own[i] <= own[j]).all(), (one.name, other.name)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("family", RATES)
def test_least_cost_of_every_class_at_random_costs(name, family):
    model, nodes = MODELS[name]
    rng = np.random.default_rng(42)
    listed, rows = everything(model, nodes)
    kept = frontier(model)
    own = rows_of(model, kept)
    size = len(model.components)
    for _ in range(40):
        # A third of the costs is nothing: where ties and dominated programs come from.
        prices = rng.lognormal(1.0, 2.0, 2 * size) * (rng.random(2 * size) < 0.67)

        def least(structures, counts, prices=prices):
            bits = counts[:, 0] + counts[:, 1 : 1 + size] @ prices[:size]
            steps = counts[:, 1 + size :] @ prices[size:] + 0.25
            cost = phi(family, RATES[family], bits, steps)
            classes = np.array([s.class_under("base") for s in structures])
            return [cost[classes == c].min(initial=np.inf) for c in CLASSES]

        np.testing.assert_allclose(least(kept, own), least(listed, rows), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("price", [0.0, 0.05, 3.0])
def test_least_cost_is_that_of_the_shortest_derivation(name, price):
    model = MODELS[name][0]
    counts = Counts.of(with_structures(model, frontier(model)))
    bits = np.array([c.bits.value for c in model.components])
    steps = np.array([c.steps.value for c in model.components])
    cost = counts.rule_bits + counts.bits @ bits + price * (counts.steps @ steps)
    classes = np.array([s.class_under("base") for s in frontier(model)])
    own = [cost[classes == c].min(initial=np.inf) for c in CLASSES]
    np.testing.assert_allclose(own, shortest(System.of(model), bits, price * steps), rtol=1e-12)


def shortest(system, bits, prices):
    """Knuth's shortest derivation in every case of what may be stored, least by class."""
    found = np.full(len(CLASSES), np.inf)
    own = system.rule_bits + system.stores @ bits + system.runs @ prices
    for case in system.cases:
        cost = np.full(len(system.states) + 1, np.inf)
        cost[-1] = 0.0  # in place of an argument that is not there
        for _ in range(len(system.states) + 1):
            whole = np.where(case.alive, own + cost[system.args].sum(axis=1), np.inf)
            np.minimum.at(cost, system.target, whole)
        stored = (case.availability + system.mandatory_stores) @ bits
        extra = system.root_stores @ bits + (system.root_runs + system.mandatory_runs) @ prices
        whole = cost[system.roots] + extra + stored.min()
        np.minimum.at(found, system.root_class, whole)
    return found


def test_the_frontier_of_the_post_by_hand():
    names = [s.name for s in frontier(post_like())]
    assert names == ["fast_honest", "pretend(base)", "slow_deceptive", "fast_deceptive"]


def test_of_equal_programs_the_shorter_is_kept_then_the_first():
    rules = (
        rule("S", "twice", ["S"], weight=1.0),
        rule("S", "later", stores=["a"], train="base", deploy="base", weight=1.0),
        rule("S", "same", stores=["a"], train="base", deploy="base", weight=1.0),
    )
    model = grammar_model(rules, {"a": (1, 1)}, start="S")
    assert [s.name for s in frontier(model)] == ["later"]


def test_own_structures_come_first_and_once():
    model = post_like(programs={"odd": "delegate(optimize(base))", "quick": "optimize(base)"})
    names = [s.name for s in with_frontier(model).structures]
    assert names[:2] == ["odd", "quick"]
    assert len(names) == 5
    assert names.count("quick") == 1


def test_what_is_pursued_in_training_without_a_loss_is_out_but_named():
    assert pursued_in_training(finite()) == ("base", "own")
    assert {s.train for s in frontier(finite())} == {"base"}


def test_no_program_that_may_be_selected():
    model = grammar_model([rule("S", "own", train="own", deploy="own")], {}, start="S")
    with pytest.raises(InputError, match="must have a program that may be selected"):
        frontier(model)


def test_overlaps_are_refused_with_the_reason():
    from dataclasses import replace

    model = replace(post_like(), overlaps=(Overlap("find", "world", Known(0.5)),))
    with pytest.raises(RefusedError, match=r"overlaps.*fewer steps"):
        frontier(model)


def many_trade_offs(count):
    """Any of ``count`` components may be stored instead of run: 2^count programs to keep."""
    rules = [rule("S0", "end", runs=["go"], train="base", deploy="base")]
    for k in range(count):
        rules += [
            rule(f"S{k + 1}", f"store{k}", [f"S{k}"], stores=[f"c{k}"]),
            rule(f"S{k + 1}", f"run{k}", [f"S{k}"], runs=[f"c{k}"]),
        ]
    costs = {"go": (0, 1)} | {f"c{k}": (1, 1) for k in range(count)}
    return grammar_model(rules, costs, start=f"S{count}")


def test_the_limit_is_said(monkeypatch):
    assert len(frontier(many_trade_offs(5))) == 32
    monkeypatch.setattr(frontier_module, "MAX_TREES", 60)
    with pytest.raises(RefusedError, match="more than 60 trees"):
        frontier(many_trade_offs(5))


def test_costs_do_not_matter():
    dear = post_like()
    assert [s.code for s in frontier(dear)] == [
        s.code
        for s in frontier(grammar_model(dear.grammar.rules, dict.fromkeys(POST_COSTS, (0, 1))))
    ]
