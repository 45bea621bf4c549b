"""Exact sums and draws over a grammar: brute force, series by hand, laws, errors, bad input."""

import math
import os
import signal
import threading
import time
from collections import Counter
from itertools import product

import mpmath
import numpy as np
import pytest
from reference import program_sums as twin
from small_grammars import catalan, chain, finite, grammar_model, post_like, rule

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import CLASSES, Facts, Overlap
from bayes_mesa.domain.slots import assemble, slots
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars.inside import System
from bayes_mesa.grammars.program_inputs import mandatory_steps
from bayes_mesa.grammars.program_sums import class_sums
from bayes_mesa.grammars.tree_draws import draw_grammar_programs

FAMILIES = ("linear", "levin", "power")
FACTS = Facts(
    ("a", "b", "c"),
    (Known(3.0), Known(5.0), Known(0.5)),
    (Known(20.0), Known(7.0), Known(300.0)),
    ((), (), ()),
)
mpmath.mp.dps = 40


def theta_of(model, family, rows=1, **changes):
    """Theta at the known values, with some entries replaced."""
    values = {}
    for s in slots(model, family):
        shape = (rows,) if s.size is None else (rows, s.size)
        values[s.name] = np.full(shape, s.belief.median)
    theta = assemble(model, values, family, np)
    return theta | {n: np.broadcast_to(np.asarray(x, float), np.shape(theta[n])).copy()
                    for n, x in changes.items()}  # fmt: skip


def codes(grammar, symbol, depth):
    """Every tree of a symbol that is at most so deep."""
    if depth == 0:
        return
    for index in grammar.rules_of[symbol]:
        parts = [list(codes(grammar, a, depth - 1)) for a in grammar.rules[index].args]
        for chosen in product(*parts):
            yield sum(chosen, (index,))


def cheap_codes(grammar, symbol, bits):
    """Every tree of a symbol whose rules take at most so many bits."""
    for index in grammar.rules_of[symbol]:
        left = bits - grammar.rule_bits[index]
        if left >= 0:
            for args, _ in _cheap_args(grammar, grammar.rules[index].args, left):
                yield (index, *args)


def _cheap_args(grammar, symbols, bits):
    if not symbols:
        yield (), 0.0
        return
    for code in cheap_codes(grammar, symbols[0], bits):
        own = sum(grammar.rule_bits[k] for k in code)
        for rest, more in _cheap_args(grammar, symbols[1:], bits - own):
            yield (*code, *rest), own + more


def class_of(model, meaning):
    if meaning.train != model.base_objective:
        return 2 if meaning.train in model.losses else None
    return 0 if meaning.deploy == model.base_objective else 1


def penalty(family, theta, steps):
    """Phi(0, steps) in many digits."""
    at = {n: mpmath.mpf(float(theta[f"{family.name}_{n}"][0])) for n in family.parameters}
    if family.name == "linear":
        return steps / at["rate"]
    if family.name == "levin":
        return at["kappa"] * mpmath.log(steps, 2)
    return (steps / at["rate"]) ** (1 / at["exponent"])


def dot(counts, costs):
    return sum((int(k) * mpmath.mpf(float(x)) for k, x in zip(counts, costs, strict=True) if k),
               mpmath.mpf(0))  # fmt: skip


def brute(model, family, theta, added, programs):
    """log weight of every class over the programs given, times all choices of facts."""
    system, index = System.of(model), model.component_index
    beta, ln2 = mpmath.mpf(float(theta["pressure"][0])), mpmath.log(2)
    shared = dot(system.mandatory_runs, theta["steps"][0])
    reference = penalty(family, theta, shared + mpmath.mpf(float(added)))
    terms = [[], [], []]
    for code in programs:
        meaning = interpret(model.grammar, code)
        c = class_of(model, meaning)
        if c is None:
            continue
        stores, runs = -system.mandatory_stores, np.zeros(len(index), int)
        for name, count in meaning.stores.items():
            stores[index[name]] += count
        for name, count in meaning.runs.items():
            runs[index[name]] += count
        bits = meaning.rule_bits + dot(stores, theta["bits"][0])
        steps = dot(runs, theta["steps"][0])
        names = list(model.losses)
        loss = theta["loss"][0][names.index(meaning.train)] if meaning.train in names else 0.0
        for stored in product((0, 1), repeat=len(model.facts)):
            b = bits + dot(stored, theta["fact_bits"][0])
            t = steps + dot([1 - z for z in stored], theta["fact_steps"][0])
            value = -beta * ln2 * (b + penalty(family, theta, t) - reference)
            terms[c].append(value - model.selection.episodes * mpmath.mpf(float(loss)))
    return [
        max(x) + mpmath.log(sum(mpmath.exp(v - max(x)) for v in x)) if x else -mpmath.inf
        for x in terms
    ]


def check(sums, wanted, tolerance=1e-12):
    """Within `tolerance`, relative where the log is large, and within the error that is stated."""
    for found, error, true in zip(sums.log_weight[0], sums.class_error[0], wanted, strict=True):
        if true == -mpmath.inf:
            assert found == -math.inf
            continue
        off = abs(float(mpmath.mpf(float(found)) - true))
        assert off <= tolerance * max(1.0, abs(float(true)))
        assert off <= error
        assert error <= 100 * tolerance * max(1.0, abs(float(true)))


def twice(**kwargs):
    """Shared components stored once or twice, an unshared one, arguments that do not execute."""
    rules = (
        rule("P", "one", ["G"], stores=["tool"], runs=["act"], weight=2.0),
        rule("P", "two", ["G", "Q"], stores={"tool": 2}, runs=["act", "check"], executes=(1,),
             train=1, deploy=0),
        rule("Q", "plain", ["G"], stores=["note"], runs=["check"]),
        rule("Q", "deep", ["G", "G"], stores=["tool", "note"], runs=["act"], train=1, deploy=1),
        rule("G", "base", stores={"base": 2, "note": 1}, runs=["base"], train="base",
             deploy="base"),
        rule("G", "near", stores=["base"], runs=["act"], train="base", deploy="near", weight=3.0),
        rule("G", "own", stores=["own"], train="own", deploy="own"),
    )  # fmt: skip
    costs = {"tool": (2, 0), "act": (0, 9), "check": (1, 4), "note": (0.7, 1), "base": (1.5, 2),
             "own": (0.25, 0)}  # fmt: skip
    return grammar_model(rules, costs, start="P", unshared=("note",), **kwargs)


FINITE = {
    "finite": finite,
    "with a loss": lambda **k: finite(losses={"own": 0.7}, **k),
    "counts of two": lambda **k: twice(losses={"own": 0.3, "near": 9.0}, **k),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("facts", [Facts(), FACTS], ids=["no facts", "facts"])
@pytest.mark.parametrize("make", FINITE.values(), ids=FINITE)
def test_against_every_program(make, facts, family):
    for pressure, added in ((0.8, 0.0), (1.0, 3.5), (2.0, 40.0)):
        model = make(facts=facts, pressure=pressure)
        theta = theta_of(model, model.family(family))
        programs = list(codes(model.grammar, model.grammar.start, 4))
        wanted = brute(model, model.family(family), theta, added, programs)
        check(class_sums(model, model.family(family), theta, added), wanted)


def series(model, family, theta, added, terms):
    """Log of a series of (log2 of a multiplicity without pressure, bits, steps)."""
    beta, ln2 = mpmath.mpf(float(theta["pressure"][0])), mpmath.log(2)
    shared = dot(System.of(model).mandatory_runs, theta["steps"][0])
    reference = penalty(family, theta, shared + added)
    weights = [m * mpmath.exp(-beta * ln2 * (b + penalty(family, theta, t) - reference))
               for m, b, t in terms]  # fmt: skip
    return mpmath.log(mpmath.fsum(weights))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("pressure", "left"), [(0.8, 19.0), (1.0, 3.0), (2.0, 0.5), (1.0, 1.2)])
def test_catalan_by_its_series(family, pressure, left):
    mpmath.mp.dps = 25
    model = catalan(left=left, pressure=pressure)
    p, q = (mpmath.mpf(x) for x in model.grammar.rule_bits)
    terms, number = [], mpmath.mpf(1)
    for n in range(1, 4000):
        terms.append((number, n * p + (n - 1) * q, mpmath.mpf(n + 2 * (n - 1))))
        number = number * 2 * (2 * n - 1) / (n + 1)
    theta = theta_of(model, model.family(family))
    wanted = series(model, model.family(family), theta, mpmath.mpf(2), terms)
    check(class_sums(model, model.family(family), theta, 2.0), [wanted, -mpmath.inf, -mpmath.inf])


@pytest.mark.parametrize("pressure", [1.0001, 1.00001])
def test_a_linear_sum_near_the_critical_pressure_is_the_root_of_a_square(pressure):
    # F = p + q F^2 at a rate of nothing to speak of; at pressure 1 and p = q = 1/2 it is critical.
    model = catalan(left=1.0, pressure=pressure)
    theta = theta_of(model, model.family("linear"), linear_rate=1e30)
    sums = class_sums(model, model.family("linear"), theta)
    half = mpmath.mpf(2) ** -mpmath.mpf(pressure)
    wanted = mpmath.log((1 - mpmath.sqrt(1 - 4 * half * half)) / (2 * half))
    off = abs(float(sums.log_weight[0, 0] - wanted))
    assert off <= sums.class_error[0, 0] <= 1e-9


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pressure", [0.8, 1.0, 2.0])
def test_chain_by_its_geometric_series(family, pressure):
    model = chain(pressure=pressure)
    bits = model.grammar.rule_bits
    theta = theta_of(model, model.family(family))
    wanted = []
    for k, (stored, run) in enumerate([(3, 4), (2, 6)]):
        terms = [(1, bits[k] + n * bits[2] + stored + n * mpmath.mpf(0.5), mpmath.mpf(run + 2 * n))
                 for n in range(300)]  # fmt: skip
        wanted.append(series(model, model.family(family), theta, mpmath.mpf(4), terms))
    check(class_sums(model, model.family(family), theta, 4.0), [*wanted, -mpmath.inf])


@pytest.mark.parametrize("family", FAMILIES)
def test_approached_from_below_by_enumeration(family):
    model = post_like()
    theta = theta_of(model, model.family(family))
    sums = class_sums(model, model.family(family), theta)
    total = np.logaddexp.reduce(sums.log_weight[0])
    missing = []
    for bits in (6, 9, 12, 15):
        programs = cheap_codes(model.grammar, "Policy", bits)
        listed = brute(model, model.family(family), theta, 0.0, programs)
        assert all(x <= y for x, y in zip(listed, sums.log_weight[0], strict=True))
        missing.append(-math.expm1(np.logaddexp.reduce(np.array(listed, float)) - total))
    assert missing == sorted(missing, reverse=True)
    assert 0.0 < missing[-1] < 2e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_costs_over_the_whole_range_of_the_priors(family):
    rng = np.random.default_rng(42)
    model = finite(losses={"own": 0.1})
    programs = list(codes(model.grammar, "Policy", 3))
    chosen = model.family(family)
    for bits, steps in ((8, 10), (8, 10), (3, 10), (2, 4), (1, 2)) * 3:
        theta = theta_of(
            model, chosen,
            bits=10 ** rng.uniform(0, bits, 5), steps=10 ** rng.uniform(0, steps, 5),
            pressure=math.exp(rng.normal(0, 0.5)),
        )  # fmt: skip
        for name, values in {
            "linear_rate": 10 ** rng.uniform(-2, 6),
            "power_rate": 10 ** rng.uniform(-2, 6),
            "levin_kappa": math.exp(rng.normal(0.35, 0.9)),
            "power_exponent": 1.0 + math.exp(rng.normal(-1.3, 1.5)),
        }.items():
            if name in theta:
                theta[name] = np.array([values])
        added = rng.choice([0.0, float(theta["steps"][0, 1])])
        wanted = brute(model, chosen, theta, added, programs)
        sums = class_sums(model, chosen, theta, added)
        for found, error, true in zip(sums.log_weight[0], sums.class_error[0], wanted, strict=True):
            off = abs(float(mpmath.mpf(float(found)) - true))
            assert off <= min(error, 1e-13 * max(1e3, abs(float(true))))


def test_a_huge_shared_penalty_does_not_blur_differences():
    # 1e9 shared steps at 1e-2 steps per bit^1.3: 3e8 bits that all programs pay.
    model = finite()
    chosen = model.family("power")
    theta = theta_of(model, chosen, power_rate=0.01, steps=[1e9, 1e-3, 2e-3, 3e-3, 0.0])
    wanted = brute(model, chosen, theta, 0.0, list(codes(model.grammar, "Policy", 3)))
    found = class_sums(model, chosen, theta).log_weight[0]
    assert penalty(chosen, theta, mpmath.mpf(10) ** 9) > 1e8
    np.testing.assert_allclose(found[:2], [float(x) for x in wanted[:2]], rtol=0, atol=1e-9)


def far_pair(dear=0.0, slow=1.0, honest=0.0):
    """An honest program, and a deceptive one that stores and runs more."""
    rules = (
        rule("S", "h", stores={"c": 1}, runs={"one": 1}, train="base", deploy="base"),
        rule("S", "d", stores={"b": 1}, runs={"one": 1, "a": 1}, train="base", deploy="x"),
    )
    costs = {"one": (0, 1), "a": (0, slow), "b": (dear, 0), "c": (honest, 0)}
    return grammar_model(rules, costs, start="S")


def power_of(model, rate, exponent, pressure):
    family = model.family("power")
    changes = {"power_rate": rate, "power_exponent": exponent, "pressure": pressure}
    return family, theta_of(model, family, **changes)


@pytest.mark.parametrize(
    ("slow", "rate", "exponent", "dear", "pressure"),
    [(10, 1, 15, 1e40, 1), (1e6, 1, 1.3, 1e35, 1), (10, 1, 2, 1e300, 1), (1e60, 1, 1.3, 0, 1),
     (1e100, 1e3, 1.3, 0, 0.05), (10, 1, 1.001, 1e30, 1), (10, 1e-200, 3, 1e30, 1)],
)  # fmt: skip
def test_a_class_that_is_out_of_reach_is_left_with_no_claim(slow, rate, exponent, dear, pressure):
    model = far_pair(dear, slow)
    family, theta = power_of(model, rate, exponent, pressure)
    sums = class_sums(model, family, theta)
    # Penalties of 1e66 nats in the reference and in the program must cancel.
    with mpmath.workdps(400):
        wanted = brute(model, family, theta, 0.0, list(codes(model.grammar, "S", 1)))
    assert abs(sums.log_weight[0, 0] - float(wanted[0])) <= sums.class_error[0, 0] <= 1e-12
    assert float(wanted[1]) * 3.0 <= sums.log_weight[0, 1] <= float(wanted[1]) * (1.0 - 1e-12)
    assert sums.class_error[0].tolist()[1:] == [math.inf, 0.0]
    assert sums.error[0] == sums.class_error[0, 0]
    found, error = twin.class_sums(model, family, theta)
    np.testing.assert_array_equal(sums.log_weight, found)
    np.testing.assert_array_equal(sums.class_error, error)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dear", [1e17, 1e19, 1e20, 1e300])
def test_a_class_with_programs_is_never_one_without(family, dear):
    for model in (far_pair(dear), far_pair(dear, honest=dear)):
        chosen = model.family(family)
        theta = theta_of(model, chosen)
        wanted = brute(model, chosen, theta, 0.0, list(codes(model.grammar, "S", 1)))
        sums = class_sums(model, chosen, theta)
        for k in (0, 1):
            off = abs(float(mpmath.mpf(float(sums.log_weight[0, k])) - wanted[k]))
            assert off <= sums.class_error[0, k]
        assert (sums.log_weight[0, 2], sums.class_error[0, 2]) == (-math.inf, 0.0)


def test_nothing_is_drawn_where_every_program_is_out_of_reach():
    model = far_pair(1e20, honest=1e20)
    family, theta = power_of(model, 5.0, 1.3, 1.0)
    with pytest.raises(RefusedError, match="linear rates"):
        draw_grammar_programs(np.random.PCG64(42), model, family, theta, num_draws=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_bits_that_overflow_do_not_reach_the_other_classes(family):
    model, plain = far_pair(1e308), far_pair(40.0)
    sums, other = (
        class_sums(m, m.family(family), theta_of(m, m.family(family), pressure=30.0))
        for m in (model, plain)
    )
    assert sums.log_weight[0, 0] == pytest.approx(other.log_weight[0, 0], abs=1e-12)
    assert sums.class_error[0, 0] < 1e-12
    assert -math.inf < sums.log_weight[0, 1] < -1e290
    assert sums.class_error[0, 1] == math.inf


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_that_are_clipped_are_owned_to(family):
    model = far_pair(slow=1e305)
    theta = theta_of(model, model.family(family))
    theta |= {n: np.array([1e304]) for n in theta if n == "linear_rate"}
    sums = class_sums(model, model.family(family), theta)
    assert sums.class_error[0, :2].tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_grammar_without_a_program_that_may_be_selected(family):
    model = grammar_model([rule("S", "h", train="y", deploy="base")], {"one": (0, 1)}, start="S")
    with pytest.raises(InputError, match="a program that may be selected, found none"):
        class_sums(model, model.family(family), theta_of(model, model.family(family)))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_time_pressure_at_the_families_limits(family):
    model = finite()
    free = {"linear": {"linear_rate": 1e300}, "levin": {"levin_kappa": 0.0},
            "power": {"power_rate": 1e300}}[family]  # fmt: skip
    theta = theta_of(model, model.family(family), **free)
    slow = theta_of(model, model.family("linear"), linear_rate=1e300)
    wanted = class_sums(model, model.family("linear"), slow).log_weight
    found = class_sums(model, model.family(family), theta).log_weight
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


def test_power_with_exponent_one_is_linear():
    model = post_like(facts=FACTS)
    power = theta_of(model, model.family("power"), power_exponent=1.0, power_rate=20.0)
    linear = theta_of(model, model.family("linear"), linear_rate=20.0)
    np.testing.assert_allclose(
        class_sums(model, model.family("power"), power, 7.0).log_weight,
        class_sums(model, model.family("linear"), linear, 7.0).log_weight,
        rtol=0, atol=1e-13,
    )  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_unit_of_time_does_not_matter(family):
    model = post_like(facts=FACTS)
    theta = theta_of(model, model.family(family))
    hours = {n: x / 3600 for n, x in theta.items() if n in ("steps", "fact_steps")}
    hours |= {n: x / 3600 for n, x in theta.items() if n.endswith("_rate")}
    one = class_sums(model, model.family(family), theta, 9.0)
    other = class_sums(model, model.family(family), theta | hours, 9.0 / 3600)
    np.testing.assert_allclose(one.log_weight, other.log_weight, rtol=0, atol=2e-13)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_rules_does_not_matter(family):
    rules = post_like().grammar.rules
    order = [5, 2, 0, 4, 3, 1]
    costs = {c.name: (c.bits.median, c.steps.median) for c in post_like().components}
    one = grammar_model(rules, costs, facts=FACTS)
    other = grammar_model([rules[k] for k in order], dict(reversed(costs.items())), facts=FACTS)
    found = [class_sums(m, m.family(family), theta_of(m, m.family(family))) for m in (one, other)]
    np.testing.assert_allclose(found[0].log_weight, found[1].log_weight, rtol=0, atol=1e-13)


def test_what_every_program_pays_changes_nothing_under_linear():
    model = finite(facts=FACTS)
    rules = [
        rule(r.symbol, r.name, r.args, stores={**r.stores, "all": 3} if r.symbol == "Policy" else
             dict(r.stores), runs={**r.runs, "all": 2} if r.symbol == "Policy" else dict(r.runs),
             executes=r.executes, train=r.train, deploy=r.deploy, weight=r.weight)
        for r in model.grammar.rules
    ]  # fmt: skip
    costs = {c.name: (c.bits.median, c.steps.median) for c in model.components}
    more = grammar_model(rules, costs | {"all": (1e9, 1e9)}, facts=FACTS)
    found = [class_sums(m, m.family("linear"), theta_of(m, m.family("linear"))).log_weight
             for m in (model, more)]  # fmt: skip
    np.testing.assert_array_equal(found[0], found[1])
    theta = theta_of(more, more.family("linear"))
    assert mandatory_steps(more, theta).tolist() == [2e9 + 10]


def test_a_reference_is_only_a_factor():
    model = post_like()
    for family in model.families:
        theta = theta_of(model, family)
        one = class_sums(model, family, theta, 0.0).log_weight[0, :2]
        other = class_sums(model, family, theta, 30.0).log_weight[0, :2]
        gain = [penalty(family, theta, mpmath.mpf(40 + t)) * mpmath.log(2) for t in (0, 30)]
        np.testing.assert_allclose(other - one, float(gain[1] - gain[0]), rtol=0, atol=1e-13)


def test_below_the_critical_pressure_the_sum_is_infinite():
    model = catalan(left=1.0, pressure=0.9)
    theta = theta_of(model, model.family("levin"))
    sums = class_sums(model, model.family("levin"), theta)
    assert sums.log_weight[0, 0] == math.inf
    assert sums.error[0] == math.inf
    with pytest.raises(InputError, match="found one that diverges"):
        draw_grammar_programs(np.random.PCG64(42), model, model.family("levin"), theta)


def random_thetas(model, family, rows, seed=42):
    rng = np.random.default_rng(seed)
    theta = theta_of(model, family, rows)
    for name in ("bits", "steps", "fact_bits", "fact_steps"):
        theta[name] = theta[name] * 10 ** rng.uniform(-1, 1.5, theta[name].shape)
    theta["pressure"] = rng.uniform(0.95, 2.0, rows)
    for name in ("linear_rate", "power_rate"):
        if name in theta:
            theta[name] = 10 ** rng.uniform(-1, 4, rows)
    if "power_exponent" in theta:
        theta["power_exponent"] = 1.0 + rng.choice([0.0, 1e-6, 0.2, 1.0], rows)
    if "levin_kappa" in theta:
        theta["levin_kappa"] = rng.choice([0.0, 0.01, 1.0, 4.0, 30.0], rows)
    return theta


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_the_twin_to_the_last_bit(family):
    for model, rows in ((post_like(facts=FACTS), 3), (twice(losses={"own": 0.3}), 3), (chain(), 2)):
        chosen = model.family(family)
        theta = random_thetas(model, chosen, rows)
        sums = class_sums(model, chosen, theta, 2.0)
        log_weight, error = twin.class_sums(model, chosen, theta, 2.0)
        np.testing.assert_array_equal(sums.log_weight, log_weight)
        np.testing.assert_array_equal(sums.class_error, error)


@pytest.mark.parametrize("family", FAMILIES)
def test_threads_do_not_change_a_bit(family):
    model = post_like(facts=FACTS)
    theta = random_thetas(model, model.family(family), 200)
    found = [class_sums(model, model.family(family), theta, 1.0, threads=n) for n in (1, 2, 4)]
    for other in found[1:]:
        assert found[0].log_weight.tobytes() == other.log_weight.tobytes()
        assert found[0].class_error.tobytes() == other.class_error.tobytes()


@pytest.mark.slow
def test_an_interrupt_ends_the_sums_soon():
    model = post_like(facts=FACTS)
    theta = random_thetas(model, model.family("levin"), 20_000)
    class_sums(model, model.family("levin"), {n: x[:1] for n, x in theta.items()}, 1.0)
    begun = time.perf_counter()
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        class_sums(model, model.family("levin"), theta, 1.0, threads=2)
    assert time.perf_counter() - begun < 0.3 + 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cap": 100.0}, "selection.cap: the weights"),
        ({"max_bits": 100.0}, "selection.max_bits: the weights"),
        ({"facts": Facts(("a", "b"), (Known(1.0),) * 2, (Known(1.0),) * 2, ((), (0,)))},
         "facts that need one another"),
    ],
)  # fmt: skip
def test_what_does_not_factorise_is_refused(change, reason):
    model = finite(**change)
    theta = theta_of(finite(), model.family("linear"))
    with pytest.raises(RefusedError, match=reason):
        class_sums(model, model.family("linear"), theta)


def test_overlaps_are_refused():
    from dataclasses import replace

    model = replace(finite(), overlaps=(Overlap("base", "plan", Known(0.5)),))
    with pytest.raises(RefusedError, match="overlaps of running times"):
        class_sums(model, model.family("linear"), theta_of(finite(), model.family("linear")))


def test_too_many_optional_components_are_refused():
    rules = [rule("S", "leaf", train="base", deploy="base", runs=["c0"])]
    rules += [rule("S", f"r{k}", ["S"], stores=[f"c{k}"]) for k in range(17)]
    model = grammar_model(rules, {f"c{k}": (1, 1) for k in range(17)}, start="S")
    with pytest.raises(RefusedError, match="17 components are stored by some programs"):
        class_sums(model, model.family("linear"), theta_of(model, model.family("linear")))


def test_bad_input():
    model = finite()
    theta = theta_of(model, model.family("levin"))
    with pytest.raises(InputError, match=r"reference_added must be >= 0, found -1\.0"):
        class_sums(model, model.family("levin"), theta, -1.0)
    idle = theta | {"steps": np.zeros((1, 5))}
    with pytest.raises(InputError, match="levin needs steps > 0"):
        class_sums(model, model.family("levin"), idle, 1.0)
    with pytest.raises(InputError, match="num_draws must be >= 0 and needs one row"):
        draw_grammar_programs(
            np.random.PCG64(42), model, model.family("levin"), theta, num_draws=-1
        )
    with pytest.raises(InputError, match="bit_generator must be a NumPy BitGenerator"):
        draw_grammar_programs(42, model, model.family("levin"), theta)


def described(model, draws):
    """Code and class of every program drawn."""
    found = [tuple(int(k) for k in row if k >= 0) for row in draws.codes]
    assert [len(code) for code in found] == draws.lengths.tolist()
    classes = {code: class_of(model, interpret(model.grammar, code)) for code in set(found)}
    return found, np.array([classes[code] for code in found])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("varying", [False, True], ids=["one theta", "a theta for each"])
def test_draws_have_the_exact_masses(family, varying):
    size = 3000 if varying else 40_000
    model = post_like(facts=FACTS)
    chosen = model.family(family)
    theta = theta_of(model, chosen, size if varying else 1)
    count = {} if varying else {"num_draws": size}
    draws = draw_grammar_programs(np.random.PCG64(42), model, chosen, theta, **count)
    found, classes = described(model, draws)
    one = theta_of(model, chosen)
    log_weight = class_sums(model, chosen, one).log_weight[0]
    total = np.logaddexp.reduce(log_weight)
    for c in range(len(CLASSES)):
        assert_share((classes == c).sum(), size, math.exp(log_weight[c] - total))
    tally = Counter(found)
    for s in model.structures:
        weight = brute(model, chosen, one, 0.0, [s.code])
        assert_share(tally[s.code], size, math.exp(float(max(weight)) - total))
    for j in range(len(FACTS)):
        held = class_sums(*without_derived(model, chosen, one, j)).log_weight[0]
        share = math.exp(np.logaddexp.reduce(held) - total)
        assert_share(draws.stored[:, j].sum(), size, share)


def without_derived(model, family, theta, j):
    """The same with fact j always stored: the sum over programs that store it."""
    steps = theta["fact_steps"].copy()
    steps[:, j] = 1e200
    return model, family, theta | {"fact_steps": steps}


def assert_share(count, size, share):
    assert abs(count - size * share) <= 5 * math.sqrt(size * share * (1 - share)) + 1


def test_draws_of_one_theta_are_those_of_the_twin():
    model = post_like(facts=FACTS)
    for family in model.families:
        theta = theta_of(model, family)
        draws = draw_grammar_programs(np.random.PCG64(7), model, family, theta, num_draws=300)
        found, stored = twin.draw_fixed(np.random.PCG64(7), model, family, theta, 300)
        assert [tuple(c[c >= 0].tolist()) for c in draws.codes] == found
        assert draws.stored.tolist() == stored


@pytest.mark.parametrize("varying", [False, True], ids=["one theta", "a theta for each"])
def test_drawing_in_pieces_is_drawing_at_once(varying):
    model = post_like(facts=FACTS)
    family = model.family("levin")
    theta = theta_of(model, family, 100 if varying else 1)
    count = [{}, {}] if varying else [{"num_draws": 100}, {"num_draws": 50}]
    half = {n: x[:50] for n, x in theta.items()}
    whole = draw_grammar_programs(np.random.PCG64(42), model, family, theta, **count[0])
    stream = np.random.PCG64(42)
    parts = [draw_grammar_programs(stream, model, family, half, **count[1]) for _ in range(2)]
    assert whole.flat.tobytes() == b"".join(p.flat.tobytes() for p in parts)
    assert whole.stored.tobytes() == b"".join(p.stored.tobytes() for p in parts)


def test_trees_longer_than_any_buffer():
    # One step below criticality most mass is in small trees, but the mean size is in the hundreds.
    model = catalan(left=1.0, pressure=1.0)
    family = model.family("linear")
    theta = theta_of(model, family, linear_rate=1e9)
    draws = draw_grammar_programs(np.random.PCG64(42), model, family, theta, num_draws=2000)
    assert draws.lengths.max() > 100_000
    assert (draws.lengths % 2 == 1).all()
    start = 0
    for length in draws.lengths[:200]:
        code = tuple(draws.flat[start : start + length].tolist())
        assert model.grammar.end(code) == length
        start += length


def test_nothing_drawn():
    model = finite()
    theta = theta_of(model, model.family("linear"))
    draws = draw_grammar_programs(
        np.random.PCG64(42), model, model.family("linear"), theta, num_draws=0
    )
    assert draws.codes.shape == (0, 0)
    assert draws.stored.shape == (0, 0)
