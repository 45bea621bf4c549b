"""The critical pressure against grammars solved by hand, and sums against brute force."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from small_grammars import catalan, chain, finite, post_like, rule

from bayes_mesa.domain.critical_pressure import critical_pressure, tree_sums
from bayes_mesa.domain.grammar import Grammar
from bayes_mesa.domain.recursion import finite_symbols, reachable
from bayes_mesa.errors import InputError


def made(symbol, name, args=(), weight=1.0):
    leaf = {} if args else {"train": "base", "deploy": "base"}
    names = leaf or {"train": 0, "deploy": 0}
    return rule(symbol, name, args, weight=weight, **names)


def grammar(*rules):
    return Grammar(rules[0].symbol, rules)


@pytest.mark.parametrize(("left", "right"), [(3, 1), (1, 1), (1, 3), (1000, 1), (1, 1e6)])
def test_binary_trees(left, right):
    # F = p^β + q^β F² has a solution where 4 (p q)^β <= 1.
    p, q = left / (left + right), right / (left + right)
    by_hand = math.log(4) / -math.log(p * q)
    assert critical_pressure(catalan(left, right).grammar) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("left", [0.1, 1, 7])
def test_ternary_trees(left):
    # F = p^β + q^β F³: at the double root 3 q^β F² = 1, so (p² q)^β = 4 / 27.
    p, q = left / (left + 1), 1 / (left + 1)
    by_hand = math.log(4 / 27) / math.log(p * p * q)
    found = critical_pressure(grammar(made("S", "leaf", (), left), made("S", "t", ["S"] * 3)))
    assert found == pytest.approx(by_hand, abs=1e-12)


def test_symbols_that_call_one_another():
    # a = p^β + q^β b, b = r^β + s^β a²: 4 (p^β + q^β r^β) (q s)^β = 1.
    p, q, r, s = 0.7, 0.3, 0.4, 0.6
    rules = (
        made("A", "leaf", (), p),
        made("A", "go", ["B"], q),
        made("B", "leaf", (), r),
        made("B", "pair", ["A", "A"], s),
    )
    by_hand = brentq(
        lambda b: 4 * (p**b + (q * r) ** b) * (q * s) ** b - 1, 0.01, 1, xtol=1e-15, rtol=1e-14
    )
    assert critical_pressure(grammar(*rules)) == pytest.approx(by_hand, abs=1e-12)


def test_a_recursion_on_what_recurses():
    # y = a^β x + b^β y² over x = p^β + q^β x²: the outer one diverges first, at 4 (a b)^β x = 1.
    p, q, a, b = 0.9, 0.1, 0.8, 0.2
    rules = (
        made("Y", "of", ["X"], a),
        made("Y", "pair", ["Y", "Y"], b),
        made("X", "leaf", (), p),
        made("X", "pair", ["X", "X"], q),
    )

    def excess(beta):
        x = (1 - math.sqrt(1 - 4 * (p * q) ** beta)) / (2 * q**beta)
        return 4 * (a * b) ** beta * x - 1

    inner = math.log(4) / -math.log(p * q)
    by_hand = brentq(excess, inner + 1e-9, 1, xtol=1e-15, rtol=1e-14)
    assert critical_pressure(grammar(*rules)) == pytest.approx(by_hand, abs=1e-12)


def test_one_way_round_converges_at_every_pressure_and_two_do_not():
    assert critical_pressure(chain().grammar) == 0.0
    assert critical_pressure(chain(weight=1e6).grammar) == 0.0
    assert critical_pressure(finite().grammar) == 0.0
    # x = 2^-β + 2 · 4^-β x: a ratio of 1 at β = 1/2.
    two = (made("S", "end"), made("S", "a", ["S"], 0.5), made("S", "b", ["S"], 0.5))
    assert critical_pressure(grammar(*two)) == pytest.approx(0.5, abs=1e-12)


def test_sums_by_hand():
    assert tree_sums(catalan(1, 3).grammar, 1.0)["S"] == pytest.approx(1 / 3, rel=1e-13)
    p, q = 0.75**2, 0.25**2
    by_hand = (1 - math.sqrt(1 - 4 * p * q)) / (2 * q)
    assert tree_sums(catalan(3, 1).grammar, 2.0)["S"] == pytest.approx(by_hand, rel=1e-13)
    wrapped = 2 * 3**-0.3 / (1 - 3**-0.3)
    assert tree_sums(chain().grammar, 0.3)["S"] == pytest.approx(wrapped, rel=1e-13)
    # 1/3 · 3 one-goal programs and 2/3 · 9 two-goal ones, all weights to the power of 1/2.
    goals = 3 * math.sqrt(1 / 3)
    found = tree_sums(finite().grammar, 0.5)
    assert found["Goal"] == pytest.approx(goals, rel=1e-13)
    assert found["Policy"] == pytest.approx(
        math.sqrt(1 / 3) * goals + math.sqrt(2 / 3) * goals**2, rel=1e-13
    )


def test_sums_at_pressure_zero_count_programs():
    assert tree_sums(finite().grammar, 0.0)["Policy"] == pytest.approx(12)


def test_a_divergent_sum_is_refused_with_the_critical_pressure():
    with pytest.raises(
        InputError, match=r"must exceed .*critical pressure \(0.828144\), found 0.5"
    ):
        tree_sums(catalan(3, 1).grammar, 0.5)


def test_finite_above_and_infinite_below():
    found = critical_pressure(post_like().grammar)
    assert math.isfinite(tree_sums(post_like().grammar, found * (1 + 1e-9))["Policy"])
    with pytest.raises(InputError):
        tree_sums(post_like().grammar, found * (1 - 1e-9))


WEIGHTS = st.sampled_from([0.1, 0.3, 1.0, 2.5, 10.0])
RULES = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=3), WEIGHTS),
    min_size=1,
    max_size=10,
)


def random_grammar(drawn):
    """A grammar of what was drawn, without what is never reached or never ends."""
    rules = [made(f"S{s}", f"r{k}", [f"S{a}" for a in args], w) for k, (s, args, w) in drawn]
    ending = finite_symbols(rules)
    rules = [r for r in rules if ending.issuperset(r.args)]
    assume("S0" in ending)
    used = reachable(rules, "S0")
    return Grammar("S0", tuple(r for r in rules if r.symbol in used))


@settings(max_examples=60, deadline=None)
@given(RULES)
@example([(1, [], 0.1), (1, [], 0.1), (0, [0], 0.1), (0, [1, 1], 0.1), (1, [0], 10.0)])
def test_random_grammars(drawn):
    """Plain iteration from 0 rises to the sums above the critical pressure, without end below."""
    built = random_grammar(list(enumerate(drawn)))
    critical = critical_pressure(built)
    assert 0.0 <= critical <= 1.0
    for beta in (critical + 0.05, 1.0, 2.0):
        sums = tree_sums(built, beta)
        rising, change = iterate(built, beta, 1000)
        for symbol in built.symbols:
            assert rising[symbol] <= sums[symbol] * (1 + 1e-9)
            assert sums[symbol] == pytest.approx(image(built, beta, sums)[symbol], rel=1e-10)
            if change < 1e-12:
                assert rising[symbol] == pytest.approx(sums[symbol], rel=1e-6)
    if critical > 0.02:
        rising, change = iterate(built, critical - 0.01, 10_000)
        assert change > 1e-9


def image(built, beta, sums):
    found = dict.fromkeys(built.symbols, 0.0)
    for k, r in enumerate(built.rules):
        found[r.symbol] += 2 ** (-beta * built.rule_bits[k]) * math.prod(sums[a] for a in r.args)
    return found


def iterate(built, beta, times):
    """Sums over trees of at most so many levels, and the largest relative change of the last."""
    sums, change = dict.fromkeys(built.symbols, 0.0), math.inf
    for _ in range(times):
        new = image(built, beta, sums)
        change = max(1 - sums[s] / new[s] if new[s] else 0.0 for s in sums)
        sums = new
        if change < 1e-13 or max(sums.values()) > 1e100:
            break
    return sums, change


def test_sums_against_all_trees():
    """A grammar without recursion, its trees listed."""
    rules = (
        made("S", "f", ["A", "B"], 3),
        made("S", "g", ["A"], 1),
        made("A", "a1", (), 2),
        made("A", "a2", ["B", "B"], 1),
        made("B", "b1", (), 1),
        made("B", "b2", (), 4),
    )
    built = grammar(*rules)

    def weights(symbol):
        for k in built.rules_of[symbol]:
            for parts in product(*(list(weights(a)) for a in built.rules[k].args)):
                yield 2 ** (-0.6 * built.rule_bits[k]) * math.prod(parts)

    assert tree_sums(built, 0.6)["S"] == pytest.approx(np.sum(list(weights("S"))), rel=1e-13)
