"""The verdict over a grammar against all its programs, listed one by one with all fact choices."""

from dataclasses import replace

import numpy as np
import pytest
from small_grammars import chain, codes_up_to, finite, grammar_model, post_like, random_model, rule
from small_models import every_program, known_facts, theta_at

from bayes_mesa.costing.exchange import LN2
from bayes_mesa.domain.model import CLASSES
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.frontier import frontier, program_structure, with_frontier
from bayes_mesa.grammars.inside import System
from bayes_mesa.verdicts.verdict import refuse_what_has_no_exact_route, verdicts

FAMILIES = ("linear", "levin", "power")
LISTED = {"plain": "follow(base)", "sly": "fake(base, own)", "open": "follow(own)"}
FACTS = known_facts([3.0, 0.5, 6.0, 2.0], [10.0, 40.0, 3.0, 8.0])


def verdict(model, name, values=None, shape=(1,)):
    family = model.family(name)
    return verdicts(model, family, theta_at(model, family, values, shape=shape))


def all_programs(model, nodes):
    """The model with every program up to a size as a structure, the named ones first."""
    named = {s.code: s for s in model.structures}
    rest = [c for c in codes_up_to(model.grammar, nodes) if c not in named]
    found = (*named.values(), *(program_structure(model, c) for c in rest))
    return replace(model, structures=found, grammar=None)


def by_hand(model, name, nodes=5):
    """Masses by column and class, least costs by program, from the list of all programs."""
    whole = all_programs(model, nodes)
    log_weight, cost, *_ = every_program(whole, whole.family(name))
    loss = np.array([
        model.losses[s.train].value if s.train in model.losses else 0.0 for s in whole.structures
    ])  # fmt: skip
    out = ~np.array(whole.eligible)
    log_weight = np.where(out[:, None], -np.inf, log_weight - loss[:, None])
    pressure = model.selection.pressure.value
    least = np.where(out, np.inf, cost.min(axis=1) + loss / (pressure * LN2))
    weight = np.exp(log_weight - log_weight.max()).sum(axis=1)
    weight /= weight.sum()
    classes = np.array(whole.classes)
    by_class = np.array([weight[classes == c].sum() for c in CLASSES])
    size = len(model.structures)
    rest = [weight[size:][classes[size:] == c].sum() for c in CLASSES]
    return np.concatenate([weight[:size], rest]), by_class, least, classes


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("facts", [None, FACTS], ids=["", "facts"])
@pytest.mark.parametrize("losses", [{}, {"own": 0.4}], ids=["", "losses"])
@pytest.mark.parametrize("listed", [{}, LISTED], ids=["", "listed"])
def test_masses_and_favored_of_a_finite_grammar(name, facts, losses, listed):
    parts = {"facts": facts} if facts else {}
    model = finite(programs=listed, losses=losses, pressure=0.7, **parts)
    mass, by_class, least, classes = by_hand(model, name)
    found = verdict(model, name)
    np.testing.assert_allclose(found["structure_mass"][0], mass, atol=1e-9)
    np.testing.assert_allclose(found["class_mass"][0], by_class, atol=1e-9)
    assert found["structure_mass"].sum() == pytest.approx(1.0, abs=1e-12)
    assert found["deceptive_mass"][0] == found["class_mass"][0, 1]
    margin = least[classes != "deceptive"].min() - least[classes == "deceptive"].min()
    assert found["margin_bits"][0] == pytest.approx(margin, abs=1e-9)
    assert found["deceptive_favored"][0] == (margin > 0)
    best = int(np.argmin(least))
    column = best if best < len(listed) else len(listed) + CLASSES.index(classes[best])
    np.testing.assert_array_equal(np.flatnonzero(found["structure_favored"][0]), [column])
    assert found["log_weight_error"][0] < 1e-9


@pytest.mark.parametrize("name", FAMILIES)
def test_masses_of_an_infinite_grammar_are_approached_by_a_list(name):
    model = chain(programs={"plain": "base", "wrapped": "wrap(own)"}, facts=FACTS)
    mass, by_class, *_ = by_hand(model, name, nodes=40)
    found = verdict(model, name)
    np.testing.assert_allclose(found["structure_mass"][0], mass, atol=1e-9)
    np.testing.assert_allclose(found["class_mass"][0], by_class, atol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", [2, 5, 8, 12])
def test_favored_and_critical_exchange_from_a_deep_list(name, seed):
    model = random_model(seed, losses={"x": 0.5}, families=FAMILIES)
    rng = np.random.default_rng(seed)
    draws = 60
    values = {
        f"{axis}.{c.name}": rng.lognormal(2.0, 1.5, draws)
        for axis in ("bits", "steps")
        for c in model.components
    }
    found = verdict(model, name, values, (draws,))
    deep = all_programs(model, 10)
    other = verdicts(
        deep, deep.family(name), theta_at(deep, deep.family(name), values, shape=(draws,))
    )
    for variable in ("margin_bits", "critical_rate", "critical_kappa"):
        np.testing.assert_allclose(found[variable], other[variable], rtol=1e-9, atol=1e-9)
    for variable in ("deceptive_favored", "rate_crossings", "kappa_crossings"):
        np.testing.assert_array_equal(found[variable], other[variable])
    classes = np.array(deep.classes)
    by_class = [other["structure_favored"][:, classes == c].sum(axis=1) for c in CLASSES]
    np.testing.assert_array_equal(found["structure_favored"], np.stack(by_class, axis=1))


@pytest.mark.parametrize("seed", range(12))
def test_what_all_programs_share_is_found_twice(seed):
    model = random_model(seed, losses={"x": 0.5})
    kept = [s for s in frontier(model)]
    system = System.of(model)
    for of, shared in (("stores", system.mandatory_stores), ("runs", system.mandatory_runs)):
        least = [min(getattr(s, of).get(c.name, 0) for s in kept) for c in model.components]
        np.testing.assert_array_equal(least, shared)


def test_columns_and_what_they_hold():
    model = post_like(losses={"simplest": 0.3})
    found = verdict(model, "levin")
    assert [c.name for c in model.columns] == [
        "fast_honest", "slow_deceptive", "fast_deceptive",
        "other_honest", "other_deceptive", "other_misaligned",
    ]  # fmt: skip
    assert found["structure_mass"].shape == found["structure_favored"].shape == (1, 6)
    # search + base, and two ways to say so: weight 4 of 6.5 and 1 of 2.
    bits = np.log2(6.5 / 4) + 1 + 6 + 9
    np.testing.assert_allclose(found["structure_bits"][0, 0], bits)
    np.testing.assert_allclose(found["structure_steps"][0, :3], [43, 97, 44.5])
    assert np.isnan(found["structure_bits"][0, 3:]).all()
    assert found["least_steps"][0] == 40.0  # optimize(simplest)
    assert (found["structure_mass"][0, 3:] > 0).all()


def test_a_tie_goes_to_the_named_program_then_to_what_is_not_named():
    # delegate(optimize(base)) and optimize(base) tie only if nothing of delegate costs anything.
    named = post_like(programs={"longer": "delegate(optimize(base))"})
    favored = verdict(named, "linear")["structure_favored"][0]
    assert named.columns[int(np.argmax(favored))].name != "longer"
    same = finite(programs={"second": "fake(own, own)"}, losses={"own": 0.0})
    assert len(with_frontier(same).structures) == len(frontier(same)) + 1


@pytest.mark.parametrize("name", FAMILIES)
def test_one_bit_beside_1e12_shared_ones(name):
    model = post_like()
    values = {"bits.search": 1e12, "steps.plan": 1e3}
    far = verdict(model, name, values)
    near = verdict(model, name, {"bits.search": 1.0, "steps.plan": 1e3})
    np.testing.assert_allclose(far["structure_mass"], near["structure_mass"], rtol=1e-9)
    assert far["margin_bits"][0] == near["margin_bits"][0]


@pytest.mark.parametrize("name", FAMILIES)
def test_many_draws_are_each_draw(name):
    model = post_like(losses={"simplest": 0.3}, facts=FACTS)
    rng = np.random.default_rng(1)
    values = {f"bits.{c.name}": rng.lognormal(1, 1, 30) for c in model.components}
    together = verdict(model, name, values, (30,))
    for k in (0, 13, 29):
        alone = verdict(model, name, {n: x[k] for n, x in values.items()})
        for variable, x in together.items():
            np.testing.assert_allclose(x[k], alone[variable][0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("parts", "error", "reason"),
    [
        ({"cap": 95.0}, "mass_bound", "a cap cuts the grammar off"),
        ({"max_bits": 35.0}, "mass_bound", "a capacity cuts the grammar off"),
        (
            {"facts": known_facts([1.0, 2.0], [3.0, 4.0], needs=((), (0,)))},
            "mass_bound",
            "facts need one another",
        ),
    ],
)
def test_what_has_no_exact_route_is_answered_with_an_error_and_refused_as_evidence(
    parts, error, reason
):
    model = post_like(**parts)
    found = verdict(model, "linear")
    assert found["structure_mass"].sum() == pytest.approx(1.0)
    assert 0.0 < found[error][0] < 0.1
    assert "log_weight_error" not in found
    # Needs come after a program's tree: the exact route without facts has the same frontier.
    if model.facts.depend:
        alone = verdict(post_like(), "linear")
        assert found["margin_bits"][0] == pytest.approx(alone["margin_bits"][0], abs=1e-9)
    with pytest.raises(RefusedError, match=reason):
        refuse_what_has_no_exact_route(model)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_named_program_that_is_out_does_not_move_what_all_share(name):
    rules = (
        rule("S", "good", stores=["all", "a"], runs=["all"], train="base", deploy="base"),
        rule("S", "sly", stores=["all"], runs=["all", "b"], train="base", deploy="x"),
        rule("S", "bare", runs=["b"], train="x", deploy="x"),
    )
    costs = {"all": (7, 50), "a": (2, 0), "b": (0, 3)}
    model = grammar_model(rules, costs, start="S", programs={"good": "good", "bare": "bare"})
    mass, by_class, *_ = by_hand(model, name)
    found = verdict(model, name)
    np.testing.assert_allclose(found["structure_mass"][0], mass, atol=1e-12)
    np.testing.assert_allclose(found["class_mass"][0], by_class, atol=1e-12)
    assert found["structure_mass"][0, 1] == 0.0
    np.testing.assert_array_equal(found["structure_steps"][0, :2], [50, 3])
    assert found["least_steps"][0] == 50.0
