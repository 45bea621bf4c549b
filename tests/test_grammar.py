"""Grammars, the meaning of their programs, and programs as text: by hand, and there and back."""

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_grammars import catalan, chain, finite, post_like, rule

from bayes_mesa.domain.expression import MAX_NODES, expression, parse_expression
from bayes_mesa.domain.grammar import Grammar
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.recursion import components, finite_symbols, reachable, recursive_rules
from bayes_mesa.errors import InputError
from bayes_mesa.model_file import load_model

POST = post_like().grammar
SHIPPED = load_model("program_space").grammar


def meaning(text, grammar=POST):
    return interpret(grammar, parse_expression(grammar, text))


@st.composite
def codes(draw, grammar, most=30):
    """Codes of random trees: rules at random, then the shallowest that end."""
    ends = {s: shallowest(grammar, s) for s in grammar.symbols}
    code, pending = [], [grammar.start]
    while pending:
        symbol = pending.pop()
        free = len(code) < most
        index = draw(st.sampled_from(grammar.rules_of[symbol])) if free else ends[symbol]
        code.append(index)
        pending += reversed(grammar.rules[index].args)
    return tuple(code)


def shallowest(grammar, symbol):
    depth = {}
    while symbol not in depth:
        depth |= {
            r.symbol: k
            for k, r in enumerate(grammar.rules)
            if r.symbol not in depth and all(a in depth for a in r.args)
        }
    return depth[symbol]


# Grammar ------------------------------------------------------------------------------------------


def test_symbols_rules_and_objectives_in_order():
    assert POST.symbols == ("Policy", "Objective")
    assert POST.rules_of == {"Policy": (0, 1, 2, 3), "Objective": (4, 5)}
    assert POST.objectives == ("base", "simplest")
    other = Grammar("B", (rule("A", "a"), rule("B", "b", ["A"])))
    assert other.symbols == ("B", "A")


def test_rule_bits_by_hand():
    # Weights 4, 1, 1, 1/2 of Policy and 1, 1 of Objective.
    by_hand = [math.log2(6.5 / w) for w in (4, 1, 1, 0.5)] + [1.0, 1.0]
    assert POST.rule_bits == pytest.approx(by_hand, rel=1e-15)


def test_ends_and_arguments_of_a_code():
    code = parse_expression(POST, "switch(delegate(optimize(base)), pretend(simplest))")
    assert code == (2, 3, 0, 4, 1, 5)
    assert [POST.end(code, at) for at in range(6)] == [6, 4, 4, 4, 6, 6]
    assert list(POST.arguments(code)) == [1, 4]
    assert list(POST.arguments(code, 3)) == []
    with pytest.raises(ValueError, match="ends inside the subtree at 4"):
        POST.end(code[:5], 4)


# Meaning ------------------------------------------------------------------------------------------


def test_the_posts_programs():
    honest = meaning("optimize(base)")
    assert (honest.train, honest.deploy) == ("base", "base")
    assert honest.stores == {"search": 1, "base": 1}
    assert honest.runs == {"plan": 1, "base": 1}
    assert honest.rule_bits == pytest.approx(math.log2(6.5 / 4) + 1)
    slow = meaning("pretend(simplest)")
    assert (slow.train, slow.deploy) == ("base", "simplest")
    assert slow.stores == {"search": 1, "combine": 1, "simplest": 1}
    assert slow.runs == {"combine": 1, "find": 1, "plan": 1, "world": 1}
    fast = meaning("switch(optimize(base), optimize(simplest))")
    assert (fast.train, fast.deploy) == ("base", "simplest")
    assert fast.stores == {"search": 1, "check": 1, "base": 1, "simplest": 1}
    assert fast.runs == {"check": 1, "plan": 1, "base": 1}


def test_what_does_not_execute_is_stored_and_not_run():
    # pretend executes nothing below it, whatever stands there: base is stored, never run.
    found = meaning("switch(pretend(base), delegate(optimize(simplest)))")
    assert found.runs == {"check": 1, "combine": 1, "find": 1, "plan": 1, "world": 1}
    assert found.stores == {"search": 1, "combine": 1, "check": 1, "base": 1, "simplest": 1}
    assert (found.train, found.deploy) == ("base", "simplest")
    assert meaning("switch(optimize(simplest), pretend(base))").train == "simplest"


def test_time_is_paid_at_every_node_and_shared_storage_once():
    deep = meaning("delegate(delegate(optimize(base)))")
    assert deep.stores == {"search": 1, "base": 1}
    assert deep.runs == {"plan": 3, "base": 1}


def test_an_unshared_component_is_stored_at_every_node_also_idle_ones():
    grammar = chain().grammar
    assert meaning("wrap(wrap(wrap(own)))", grammar).stores == {"own": 1, "layer": 3}
    rules = (
        rule("S", "leaf", train="base", deploy="base"),
        rule("S", "both", ["S", "S"], stores=["x", "x"], executes=(), train=0, deploy=1),
    )
    shared, unshared = (Grammar("S", rules, frozenset(u)) for u in ((), ("x",)))
    text = "both(both(leaf, leaf), leaf)"
    assert meaning(text, shared).stores == {"x": 2}
    assert meaning(text, unshared).stores == {"x": 4}


def test_a_shared_component_is_paid_with_its_largest_count():
    rules = (
        rule("S", "two", ["T"], stores=["x", "x"]),
        rule("T", "one", stores=["x", "y"], train="base", deploy="base"),
    )
    assert meaning("two(one)", Grammar("S", rules)).stores == {"x": 2, "y": 1}


def test_train_and_deploy_may_follow_different_arguments():
    rules = (
        rule("S", "f", ["S", "S", "S"], train=2, deploy=0),
        rule("S", "a", train="base", deploy="p"),
        rule("S", "b", train="q", deploy="base"),
    )
    found = meaning("f(a, b, f(b, b, a))", Grammar("S", rules))
    assert (found.train, found.deploy) == ("base", "p")


def test_a_code_that_goes_on_is_refused():
    with pytest.raises(ValueError, match="goes on after its tree"):
        interpret(POST, (0, 4, 4))


@given(codes(POST))
def test_rule_bits_and_times_are_sums_over_nodes(code):
    found = interpret(POST, code)
    assert found.rule_bits == pytest.approx(sum(POST.rule_bits[k] for k in code), rel=1e-12)
    names = [POST.rules[k].name for k in code]
    assert ("check" in found.stores) == ("switch" in names)
    assert found.runs.get("check", 0) <= names.count("switch")
    assert max(found.stores.values()) == 1


@given(codes(catalan().grammar))
def test_a_tree_that_executes_whole_runs_every_node(code):
    runs = interpret(catalan().grammar, code).runs
    assert runs["leaf"] == code.count(0)
    assert runs.get("pair", 0) == code.count(1) == code.count(0) - 1


# Text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grammar", [POST, SHIPPED, finite().grammar, catalan().grammar])
@given(data=st.data())
def test_text_and_back(grammar, data):
    code = data.draw(codes(grammar))
    text = expression(grammar, code)
    assert parse_expression(grammar, text) == code
    assert parse_expression(grammar, text.replace(" ", "")) == code
    assert parse_expression(grammar, f" {text.replace('(', ' ( ')}\n") == code


def test_a_leaf_may_have_empty_brackets():
    assert parse_expression(POST, "optimize(base())") == (0, 4)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "a program of type Policy must begin with one of optimize, pretend, switch, delegate"),
        ("optimise(base)", r'found "optimise"; did you mean optimize\?'),
        ("base", 'of type Policy must begin with one of .*, found "base"'),
        ("optimize", r'must have 1 argument in \( \).*expected "\(", found the end'),
        ("optimize(base", r'expected "\)", found the end'),
        ("optimize(base, base)", r'expected "\)", found ","'),
        ("optimize(optimize(base))", "argument 0 of optimize of type Objective must begin with"),
        ("switch(optimize(base))", r'must have 2 arguments in \( \).*expected ",", found "\)"'),
        ("optimize(base) optimize(base)", 'must end after the program, found "optimize"'),
        ("optimize[base]", r'expected "\(", found "\["'),
    ],
)
def test_text_that_is_no_program(text, found):
    with pytest.raises(InputError, match=found):
        parse_expression(POST, text)


def test_deep_and_long_text_is_refused_in_time():
    deep = "delegate(" * (MAX_NODES - 2) + "optimize(base)" + ")" * (MAX_NODES - 2)
    code = parse_expression(POST, deep)
    assert interpret(POST, code).runs["plan"] == MAX_NODES - 1
    with pytest.raises(InputError, match=f"at most {MAX_NODES} nodes"):
        parse_expression(POST, f"delegate({deep})")
    with pytest.raises(InputError):
        parse_expression(POST, "delegate(" * 100_000)


# Recursion ----------------------------------------------------------------------------------------


def test_what_is_reachable_ends_and_recurses():
    rules = (
        rule("A", "to_b", ["B", "C"]),
        rule("B", "to_a", ["A"]),
        rule("B", "end", train="base", deploy="base"),
        rule("C", "end", train="base", deploy="base"),
        rule("D", "loop", ["D"]),
        rule("D", "out", ["C", "E"]),
        rule("E", "to_d", ["D"]),
    )
    assert reachable(rules, "A") == {"A", "B", "C"}
    assert reachable(rules, "E") == {"E", "D", "C"}
    assert finite_symbols(rules) == {"A", "B", "C"}
    assert recursive_rules(rules) == (0, 1, 4, 5, 6)
    groups = components(rules)
    assert set(groups) == {frozenset("C"), frozenset("AB"), frozenset("DE")}
    assert groups.index(frozenset("C")) < groups.index(frozenset("AB"))


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_components_against_paths(edges):
    rules = [rule(f"S{a}", f"r{k}", [f"S{b}"]) for k, (a, b) in enumerate(edges)]
    groups = components(rules)
    symbols = sorted({s for r in rules for s in (r.symbol, *r.args)})
    assert sorted(s for g in groups for s in g) == symbols
    place = {s: k for k, g in enumerate(groups) for s in g}
    ways = {s: reachable(rules, s) for s in symbols}
    for a in symbols:
        for b in symbols:
            assert (place[a] == place[b]) == (b in ways[a] and a in ways[b])
            assert b not in ways[a] or place[b] <= place[a]


def test_the_shipped_grammar_has_programs_that_nobody_named():
    named = {s.code for s in load_model("program_space").structures}
    base = parse_expression(SHIPPED, "optimize(base)")
    wrapper = parse_expression(SHIPPED, "delegate(optimize(base))")[:1]
    unnamed = [wrapper * depth + base for depth in range(1, 4)]
    assert not named & set(islice(unnamed, 3))
    assert [interpret(SHIPPED, c).runs["hand_over"] for c in unnamed] == [1, 2, 3]
