"""Dominance: the post's statements, overlaps, losses, ties, and laws on random models."""

from dataclasses import replace
from itertools import product
from types import MappingProxyType

import numpy as np
import pytest
import scipy.optimize

from bayes_mesa.domain.beliefs import Known, Prior
from bayes_mesa.domain.model import (
    Component,
    Constraint,
    Facts,
    Family,
    Heuristics,
    Model,
    Overlap,
    Quantity,
    Structure,
)
from bayes_mesa.verdicts.dominance import dominance, never_costlier, never_favored

OPEN = Prior("LogNormal", (("loc", 3.0), ("scale", 2.0)))
HALF = Prior("Beta", (("concentration1", 1.0), ("concentration0", 3.0)))
LINEAR = Family("linear", 0.5, {"rate": OPEN})
LEVIN = Family("levin", 0.5, {"kappa": OPEN})


def structure(name, stores="", runs="", deploy="base", train="base", **more):
    def counts(text):
        return {word: text.split().count(word) for word in text.split()}

    return Structure(name, counts(stores), counts(runs), train, deploy, **more)


def order(axis, larger, smaller):
    return Constraint(
        tuple(Quantity(axis, c) for c in larger.split()),
        tuple(Quantity(axis, c) for c in smaller.split()),
    )


def model_of(*structures, components=None, **more):
    ordered = (q for c in more.get("constraints", ()) for q in c.larger + c.smaller)
    names = {c for s in structures for c in (*s.stores, *s.runs)} | {q.component for q in ordered}
    made = components or tuple(Component(name, OPEN, OPEN) for name in sorted(names))
    return Model("case", made, structures, more.pop("families", (LINEAR, LEVIN)), **more)


HONEST = structure("fast_honest", "get_base mesa useful", "get_base mesa_env")
SLOW = structure(
    "slow_deceptive",
    "simplest combine mesa useful",
    "combine find mesa_env outer",
    deploy="simplest",
)
FAST = structure(
    "fast_deceptive",
    "get_base simplest deployed mesa useful",
    "get_base deployed mesa_env",
    deploy="simplest",
)


def pairs(model):
    return {(s.winner, s.loser): s.needs for s in dominance(model)}


def test_post_honest_dominates_fast_deceptive_without_constraints():
    model = model_of(HONEST, SLOW, FAST)
    (statement,) = dominance(model)
    assert (statement.winner, statement.loser) == ("fast_honest", "fast_deceptive")
    assert statement.needs == ()
    assert statement.text == (
        "fast_honest is never costlier than fast_deceptive: whatever the prior and the exchange "
        "rate, fast_deceptive is never favored."
    )
    assert never_favored(model) == {"fast_deceptive"}


def test_post_honest_beats_slow_deceptive_on_steps_only_as_declared():
    declared = order("steps", "find combine outer", "get_base")
    model = model_of(HONEST, SLOW, constraints=(declared,))
    assert never_costlier(model, "bits", "fast_honest", "slow_deceptive") is None
    assert never_costlier(model, "steps", "fast_honest", "slow_deceptive") == (
        "steps.find + steps.combine + steps.outer >= steps.get_base",
    )
    assert never_costlier(model_of(HONEST, SLOW), "steps", "fast_honest", "slow_deceptive") is None
    assert dominance(model) == ()


def test_stronger_constraint_is_used_and_named_in_the_text():
    bits = order("bits", "simplest combine", "get_base")
    steps, idle = order("steps", "find", "get_base"), order("steps", "outer", "combine")
    model = model_of(HONEST, SLOW, constraints=(idle, bits, steps))
    (statement,) = dominance(model)
    assert statement.needs == (str(bits), str(steps))
    assert statement.text.startswith(
        "given bits.simplest + bits.combine >= bits.get_base and steps.find >= steps.get_base, "
        "fast_honest is never costlier than slow_deceptive:"
    )
    assert never_favored(model) == {"slow_deceptive"}


def test_chain_of_constraints_with_multiples():
    chain = (order("bits", "a", "b b"), order("bits", "b", "c c c"), order("steps", "a", "b"))
    left, right = structure("left", "c c c c c c"), structure("right", "a", deploy="x")
    assert pairs(model_of(left, right, constraints=chain)) == {
        ("left", "right"): ("bits.a >= bits.b + bits.b", "bits.b >= bits.c + bits.c + bits.c")
    }
    more = structure("left", "c c c c c c c")
    assert pairs(model_of(more, right, constraints=chain)) == {}


def test_constraint_over_both_axes_proves_nothing():
    mixed = Constraint((Quantity("steps", "a"),), (Quantity("bits", "b"),))
    left, right = structure("left", "b"), structure("right", "a", "a")
    assert pairs(model_of(left, right, constraints=(mixed,))) == {}


@pytest.mark.parametrize(
    ("left", "right", "dominated"),
    [
        ("a b", "a b c", True),  # both save the same: it cancels
        ("b", "a b", True),  # at fraction 1 all of a is saved: level
        ("a b", "a a b", True),
        ("a", "a b", False),  # at fraction 1 the right one pays b instead of a
        ("a a", "a a b b", False),
        ("a b", "a c", False),
        ("a b b", "a a b b", True),
    ],
)
def test_overlap_at_its_corners(left, right, dominated):
    overlap = Overlap("a", "b", HALF)
    model = model_of(
        structure("left", "", left), structure("right", "", right), overlaps=(overlap,)
    )
    assert (("left", "right") in pairs(model)) == dominated
    values = product((0.0, 1.0, 5.0), (0.0, 1.0, 5.0), (0.0, 1.0, 5.0), (0.0, 0.4, 1.0))
    dearer = [
        steps_of(left, t := dict(zip("abc", costs, strict=True)), f) > steps_of(right, t, f)
        for *costs, f in values
    ]
    assert any(dearer) != dominated


def steps_of(runs, steps, fraction):
    words = runs.split()
    shared = min(words.count("a"), words.count("b"))
    return sum(steps[word] for word in words) - fraction * steps["a"] * shared


def test_twelve_overlaps_answer_at_once():
    inside = [f"i{k}" for k in range(12)]
    overlaps = tuple(Overlap(f"c{k}", name, HALF) for k, name in enumerate(inside))
    runs = " ".join(f"c{k} i{k}" for k in range(12))
    model = model_of(
        structure("left", "", runs), structure("right", "", runs + " more"), overlaps=overlaps
    )
    assert pairs(model) == {("left", "right"): ()}


def test_equal_counts_give_the_one_statement_of_the_tie_rule():
    first = structure("first", "a", "a", deploy="x")
    second = structure("second", "a", "a")
    third = structure("third", "a", "a")
    model = model_of(first, second, third)
    assert pairs(model) == {
        ("second", "first"): (),
        ("second", "third"): (),
        ("third", "first"): (),
    }
    assert never_favored(model) == {"first", "third"}


def test_constraints_in_both_directions_are_an_equality():
    both = (order("bits", "a", "b"), order("bits", "b", "a"))
    model = model_of(structure("left", "a", deploy="x"), structure("right", "b"), constraints=both)
    assert pairs(model) == {("right", "left"): ("bits.a >= bits.b",)}


AB = (Component("a", OPEN, OPEN), Component("b", OPEN, OPEN))


def deceptive_first(stores="a", runs="a", **more):
    left, right = structure("left", "a", "a", deploy="x"), structure("right", stores, runs)
    return model_of(left, right, **{"components": AB, **more})


def test_deceptive_winner_needs_a_strict_gap():
    assert never_favored(deceptive_first(stores="a b")) == {"right"}
    assert never_favored(deceptive_first(runs="a b")) == {"right"}


def test_a_cost_of_zero_is_no_gap():
    free = Heuristics(("b",), bits=Known(0.0))
    for model in (
        deceptive_first(stores="a b", heuristics=free),
        deceptive_first(stores="a b", components=(AB[0], Component("b"))),
    ):
        assert pairs(model) == {("right", "left"): ()}
        assert never_favored(model) == {"left"}


def test_gap_in_steps_needs_a_price_on_steps_in_every_family():
    unpriced = Family("levin", 1.0, {"kappa": Known(0.0)})
    model = deceptive_first(runs="a b", families=(LINEAR, unpriced))
    assert never_favored(model) == set()
    (statement,) = dominance(model)
    assert statement.text.endswith("right is favored in an exact tie at most.")


def test_gap_that_constraints_leave_over():
    at_least = order("bits", "b", "a")
    left = structure("left", "a a", deploy="x")
    level, dearer = structure("right", "a b"), structure("right", "b b c")
    assert never_favored(model_of(left, level, constraints=(at_least,))) == set()
    assert never_favored(model_of(left, dearer, constraints=(at_least,))) == {"right"}


def test_gap_is_looked_for_with_the_thriftiest_constraints():
    wasteful, thrifty = order("bits", "a a", "b"), order("bits", "a", "b")
    left, right = structure("left", "b", deploy="x"), structure("right", "a a")
    assert never_favored(model_of(left, right, constraints=(wasteful,))) == set()
    assert never_favored(model_of(left, right, constraints=(wasteful, thrifty))) == {"right"}


@pytest.mark.parametrize("flip", [1, -1])
def test_needs_cannot_be_shortened(flip):
    """The cheapest multipliers here use both constraints, but one suffices."""
    alone, idle = order("bits", "a", "b"), order("bits", "a a a a a a", "b b b b b")
    left, right = structure("left", "b b b b b b"), structure("right", "a a a a a a a")
    model = model_of(left, right, constraints=(alone, idle)[::flip])
    assert pairs(model) == {("left", "right"): (str(alone),)}


def test_an_answer_of_the_solver_that_is_not_exact_proves_nothing(monkeypatch):
    solve = scipy.optimize.linprog

    def careless(*args, **kwargs):
        outcome = solve(*args, **kwargs)
        outcome.x = outcome.x - 1e-3
        return outcome

    left, right = structure("left", "b"), structure("right", "a")
    model = model_of(left, right, constraints=(order("bits", "a", "b"),))
    assert pairs(model) == {("left", "right"): ("bits.a >= bits.b",)}
    monkeypatch.setattr(scipy.optimize, "linprog", careless)
    assert pairs(model) == {}


def test_losses():
    base, drifted = structure("left", "a"), structure("right", "a", train="d", deploy="d")
    other = structure("other", "a", train="e", deploy="e")
    unknown = {"d": OPEN, "e": Known(2.0)}
    assert pairs(model_of(base, drifted, other)) == {}  # undeclared: not eligible
    assert pairs(model_of(base, drifted, other, losses=unknown)) == {
        ("left", "right"): (),
        ("left", "other"): (),
    }
    known = {"d": Known(1.0), "e": Known(2.0)}
    model = model_of(other, drifted, losses=known)
    assert pairs(model) == {("right", "other"): ()}
    assert never_favored(model) == {"other"}  # the smaller loss is strict: file order is no help
    twin = replace(drifted, name="twin", stores={"a": 2})
    assert pairs(model_of(drifted, twin, losses=unknown)) == {("right", "twin"): ()}


def test_uses_matter_only_with_facts():
    left, right = structure("left", "a"), structure("right", "a b")
    uses = MappingProxyType({"left": 2.0})
    without = model_of(left, right, facts=Facts(uses=uses))
    assert pairs(without) == {("left", "right"): ()}
    facts = Facts(("f",), (OPEN,), (OPEN,), ((),), uses)
    assert pairs(replace(without, facts=facts)) == {}
    fewer = replace(facts, uses=MappingProxyType({"left": 0.5}))
    assert pairs(replace(without, facts=fewer)) == {("left", "right"): ()}


def random_model(rng):
    names = "abcd"
    structures = tuple(
        structure(
            f"s{k}",
            " ".join(rng.choice(list(names), rng.integers(1, 4))),
            " ".join(rng.choice(list(names), rng.integers(1, 4))),
            deploy=rng.choice(["base", "x"]),
        )
        for k in range(4)
    )
    constraints = tuple(
        order(axis, *(" ".join(part) for part in np.split(rng.permutation(list(names))[:3], [2])))
        if rng.random() < 0.3
        else order(axis, *rng.permutation(list(names))[:2])
        for axis in rng.choice(["bits", "steps"], 3)
    )
    overlaps = (Overlap(*rng.permutation(list(names))[:2], HALF),) if rng.random() < 0.5 else ()
    components = tuple(Component(name, OPEN, OPEN) for name in names)
    return model_of(*structures, components=components, constraints=constraints, overlaps=overlaps)


def totals(model, axis, values, fractions):
    index = model.component_index
    out = []
    for s in model.structures:
        counts = s.stores if axis == "bits" else s.runs
        cost = sum(n * values[..., index[c]] for c, n in counts.items())
        for o in model.overlaps if axis == "steps" else ():
            shared = min(s.runs.get(o.component, 0), s.runs.get(o.inside, 0))
            cost = cost - fractions * shared * values[..., index[o.component]]
        out.append(cost)
    return np.stack(out, axis=-1)


def allowed(model, axis, values):
    index = model.component_index
    ok = np.ones(values.shape[:-1], bool)
    for c in model.constraints:
        if c.larger[0].axis == axis:
            larger = sum(values[..., index[q.component]] for q in c.larger)
            ok &= larger >= sum(values[..., index[q.component]] for q in c.smaller)
    return ok


@pytest.mark.parametrize("seed", range(60))
def test_complete_on_every_small_cost(seed):
    """A dominance holds at every whole cost 0..3 and corner; without it some cost violates."""
    model = random_model(np.random.default_rng(seed))
    values = np.array(list(product(range(4), repeat=4)), float)
    found = {}
    for axis in ("bits", "steps"):
        possible = values[allowed(model, axis, values)]
        cost = np.concatenate([totals(model, axis, possible, f) for f in (0.0, 1.0)])
        found[axis] = np.all(cost[:, :, None] <= cost[:, None, :], axis=0)
        for i, j in product(range(4), repeat=2):
            if i != j:
                says = never_costlier(model, axis, f"s{i}", f"s{j}") is not None
                assert says == found[axis][i, j], (axis, i, j)
    both = found["bits"] & found["steps"]
    assert {(int(w[1]), int(r[1])) for w, r in pairs(model)} <= set(
        zip(*np.nonzero(both), strict=True)
    )


@pytest.mark.parametrize("seed", range(20))
def test_never_favored_is_never_drawn(seed):
    rng = np.random.default_rng(1000 + seed)
    model = random_model(rng)
    bits, steps = np.exp(rng.normal(0.0, 3.0, (2, 4000, 4)))
    keep = allowed(model, "bits", bits) & allowed(model, "steps", steps)
    fractions, price = rng.random(4000), np.exp(rng.normal(0.0, 4.0, (4000, 1)))
    bits, steps = totals(model, "bits", bits, 0.0), totals(model, "steps", steps, fractions)
    order_of_ties = sorted(range(4), key=lambda k: (model.classes[k] == "deceptive", k))
    for cost in (bits + price * steps, bits + price * np.log2(steps)):
        # Rounded, so that sums taken in another order do not part what is equal.
        rounded = np.round(cost[keep], 9)[:, order_of_ties]
        drawn = {f"s{order_of_ties[k]}" for k in np.unique(np.argmin(rounded, axis=1))}
        assert not drawn & never_favored(model)
