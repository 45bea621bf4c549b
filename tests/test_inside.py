"""The grammar as equations: states, mandatory counts, coins, cases, refusals; fewer terms."""

from dataclasses import replace

import numpy as np
import pytest
from small_grammars import catalan, chain, finite, grammar_model, post_like, rule

from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars import inside
from bayes_mesa.grammars.inside import State, System, solvable_order
from bayes_mesa.grammars.reduced_system import ReducedSystem


def counts(model, values):
    """Component name → number, where it is not 0."""
    return {c.name: int(v) for c, v in zip(model.components, values, strict=True) if v}


def test_what_every_program_of_the_post_pays():
    model = post_like()
    system = System.of(model)
    assert counts(model, system.mandatory_runs) == {"plan": 1}
    assert counts(model, system.mandatory_stores) == {"search": 1}
    assert counts(model, system.most) == {"combine": 1, "check": 1, "base": 1, "simplest": 1}
    assert [system.states[k] for k in system.roots] == [
        State("Policy", True, "base", "base"),
        State("Policy", True, "base", "simplest"),
    ]
    assert system.root_class.tolist() == [0, 1]
    assert system.root_objective.tolist() == [-1, -1]


def test_counts_that_differ_by_state():
    model = finite(losses={"own": 0.5})
    system = System.of(model)
    least = {
        (system.states[k].train, system.states[k].deploy): counts(model, system.state_runs[k])
        for k in system.roots
    }
    assert least == {
        ("base", "base"): {"plan": 1},  # fake(near, base) never runs base
        ("base", "near"): {"plan": 1},
        ("base", "own"): {"plan": 1, "check": 1},
        ("own", "base"): {"plan": 1, "check": 1},
        ("own", "near"): {"plan": 1, "check": 1},
        ("own", "own"): {"plan": 1},
    }
    assert system.root_objective[system.root_class == 2].tolist() == [0, 0, 0]


def test_unshared_components_are_paid_in_terms_and_are_no_coins():
    model = chain()
    system = System.of(model)
    assert counts(model, system.most) == {"base": 1, "own": 1}
    wrap = system.rule == 2
    assert counts(model, system.stores[wrap][0]) == {"layer": 1}
    assert not system.stores[~wrap].any()


def test_cases_are_the_sets_of_programs_that_availabilities_leave():
    system = System.of(chain())
    found = {
        tuple(sorted(set(system.rule[case.alive].tolist()))): case.availability[:, :2].tolist()
        for case in system.cases
    }
    assert found == {(0, 2): [[1, 0]], (1, 2): [[0, 1]], (0, 1, 2): [[1, 1]]}


def test_two_levels_of_one_component():
    rules = (
        rule("S", "plain", train="base", deploy="base", runs=["c"]),
        rule("S", "once", stores=["c"], train="base", deploy="base"),
        rule("S", "thrice", stores={"c": 3}, train="base", deploy="base"),
    )
    system = System.of(grammar_model(rules, {"c": (1, 1)}, start="S"))
    assert system.most.tolist() == [3]
    assert sorted(c.availability.ravel().tolist() for c in system.cases) == [[0], [1, 2], [3]]
    # Without the rule that stores nothing, one payment is everybody's.
    system = System.of(grammar_model(rules[1:], {"c": (1, 1)}, start="S"))
    assert system.mandatory_stores.tolist() == [1]
    assert system.most.tolist() == [2]


@pytest.mark.parametrize("make", [post_like, finite, catalan, chain])
def test_what_a_term_pays_beyond_its_state_is_never_negative(make):
    system = System.of(make())
    for found in (system, ReducedSystem.of(system)):
        assert (found.runs >= 0).all()
        assert (found.stores >= 0).all()
        used = found.args >= 0
        assert (
            found.block[found.args[used]] <= found.block[found.target].repeat(used.sum(1))
        ).all()
    assert (system.root_runs.min(axis=0) == 0).all()


def test_states_that_need_one_another_share_a_block():
    order, block = solvable_order(4, [(0, 1), (1, 0), (2, 0), (1, 3)])
    assert order == [3, 0, 1, 2]
    assert block.tolist() == [0, 1, 1, 2]


def trees_by_depth(found, num_states, depth):
    """How many trees every state has, by the number of nested terms."""
    number = np.zeros(num_states)
    for _ in range(depth):
        ways = np.append(number, 1.0)[found.args].prod(axis=1)
        number = np.bincount(found.target, ways, num_states)
    return number


def many_objectives():
    rules = [
        rule("P", "leaf", ["O"]),
        rule("P", "vote", ["P", "P", "P"], executes=(0, 2), train=2, deploy=0, weight=0.1),
        *(rule("O", n, train=n, deploy=n, runs=["c"], stores=["c"]) for n in ("base", "x", "y")),
        rule("O", "mix", ["O", "O"], train=0, deploy=1, weight=0.1),
    ]
    return grammar_model(rules, {"c": (1, 1)}, start="P", losses={"x": 1.0})


def test_the_reduced_system_has_the_same_trees_in_fewer_terms():
    model = many_objectives()
    system = System.of(model)
    reduced = ReducedSystem.of(system)
    assert len(reduced.target) < len(system.target) / 5
    # A finite grammar, so that depths need not be matched.
    leaves = [r for r in model.grammar.rules if r.symbol == "O" and not r.args]
    pairs = [rule(s, s, [a, a], train=0, deploy=1) for s, a in (("Q", "R"), ("R", "O"))]
    model = grammar_model([*leaves, *pairs], {"c": (1, 1)}, start="Q", losses={"x": 1.0})
    system = System.of(model)
    reduced = ReducedSystem.of(system)
    assert len(reduced.target) < len(system.target)
    one = trees_by_depth(system, len(system.states), 9)[system.roots]
    other = trees_by_depth(reduced, len(reduced.block), 9)[reduced.roots]
    assert one.tolist() == other.tolist() == [9.0] * 6


def test_nothing_is_reduced_where_nothing_is_gained():
    system = System.of(chain())
    assert (ReducedSystem.of(system).rule >= 0).all()


def test_too_many_terms_are_refused(monkeypatch):
    monkeypatch.setattr(inside, "MAX_TERMS", 100)
    with pytest.raises(RefusedError, match="the grammar has more than 100 terms"):
        System.of(many_objectives())


def test_too_many_availabilities_are_refused(monkeypatch):
    monkeypatch.setattr(inside, "MAX_AVAILABILITIES", 15)
    with pytest.raises(RefusedError, match="4 components are stored by some programs"):
        System.of(post_like())


def test_a_model_without_a_grammar_is_a_mistake():
    with pytest.raises(ValueError, match="needs a model with a grammar"):
        System.of(replace(finite(), grammar=None))
