"""What does not factorise: needs, a cap, a capacity; verdicts against every program one by one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from every_program import EveryProgram
from small_grammars import finite, post_like
from small_models import component, family, known_facts, lognormal, model, structure, theta_at
from test_tempering import NEEDY, structures_only
from test_tempering import limited as under

from bayes_mesa import fit
from bayes_mesa.chains.tempered_masses import tempered_masses
from bayes_mesa.domain.model import CLASSES, Overlap
from bayes_mesa.errors import RefusedError
from bayes_mesa.verdicts.engines import Engines
from bayes_mesa.verdicts.tempered_verdict import tempered_verdict
from bayes_mesa.verdicts.verdict import verdicts

FAMILIES = ("linear", "levin", "power")
USES = {"two": 2.0, "three": 0.5, "four": 0.0}


def facts(count, needs=None):
    rng = np.random.default_rng(7)
    return known_facts(rng.uniform(0.5, 4, count), rng.uniform(5, 60, count), USES, needs)


DIAMOND = ((), (0,), (0,), (1, 2), (), (3, 4), (5,))
#: Facts, cap and capacity of structures with overlaps, multiplicities and a loss.
TIED = {
    "needs": (facts(7, DIAMOND), None, None),
    "cap": (facts(6), 320.0, None),
    "capacity": (facts(6), None, 22.0),
    "all": (facts(7, DIAMOND), 400.0, 24.0),
}


def tied(name):
    given, cap, max_bits = TIED[name]
    return under(structures_only(facts=given), cap=cap, max_bits=max_bits)


def verdict(found, name, values=None, shape=(1,), **kwargs):
    chosen = found.family(name)
    return verdicts(found, chosen, theta_at(found, chosen, values, shape=shape), **kwargs)


def assert_least_costs(result, row, every):
    """A, the favored column, margin and critical exchange."""
    assert result["margin_bits"][row] == pytest.approx(every.margin(), abs=1e-9)
    assert result["deceptive_favored"][row] == (every.margin() > 0)
    assert np.flatnonzero(result["structure_favored"][row]).tolist() == [every.favored()]
    for kind, of in (("linear", "rate"), ("levin", "kappa")):
        value, crossings = every.critical(kind)
        assert result[f"critical_{of}"][row] == pytest.approx(value, rel=1e-9)
        assert result[f"{of}_crossings"][row] == crossings


def assert_masses(result, row, every, columns, atol=1e-11):
    np.testing.assert_allclose(result["structure_mass"][row], every.mass(columns), atol=atol)
    np.testing.assert_allclose(result["class_mass"][row], every.class_mass(), atol=atol)
    assert result["deceptive_mass"][row] == result["class_mass"][row, 1]


# --- structures: all 2^n choices -------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("ties", TIED)
def test_masses_and_least_costs_of_structures(ties, name):
    found = tied(ties)
    every = EveryProgram.of(found, found.family(name))
    assert 1e-3 < every.class_mass()[1] < 1 - 1e-3
    result = verdict(found, name)
    assert_masses(result, 0, every, 5)
    assert_least_costs(result, 0, every)
    assert result["log_weight_error"][0] < 1e-9
    # A limit that binds, and facts that matter: what is compared is no trivial case.
    if ties != "needs":
        assert 0.05 < np.isinf(every.cost[every.column != 4]).mean() < 0.95


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("ties", TIED)
def test_every_draw_of_many_has_its_own_verdict(ties, name):
    found = tied(ties)
    rng = np.random.default_rng(11)
    values = {f"steps.{c}": rng.lognormal(3.5, 0.7, 6) for c in "abc"}
    values |= {f"bits.{c}": rng.lognormal(1.5, 0.7, 6) for c in "abc"}
    together = verdict(found, name, values, (6,))
    for row in range(6):
        every = EveryProgram.of(found, found.family(name), {n: x[row] for n, x in values.items()})
        if not np.isfinite(every.cost).any():
            assert np.isnan(together["class_mass"][row]).all()
            continue
        assert_masses(together, row, every, 5)
        assert_least_costs(together, row, every)


@pytest.mark.parametrize(
    "limits", [{"cap": 9.0}, {"max_bits": 1.5}, {"cap": 50.0, "max_bits": 9.0}]
)
def test_where_nothing_fits_with_facts(limits):
    result = verdict(under(structures_only(facts=facts(3)), **limits), "levin")
    assert np.isnan(result["structure_mass"]).all()
    assert np.isnan(result["class_mass"]).all()
    assert np.isnan([result[n][0] for n in ("deceptive_mass", "margin_bits")]).all()
    assert not result["structure_favored"].any()
    assert result["deceptive_favored"][0] == 0


def test_a_program_that_only_its_facts_tip_over_is_out():
    # 60 steps of 100 without the fact, 4 bits of 10: storing it takes 7 bits, deriving 45 steps.
    one = known_facts([7.0], [45.0], uses={"deceptive": 0.5})
    parts = (component("a", 4.0, 60.0),)
    shapes = (structure("honest", ["a"], ["a"]), structure("deceptive", ["a"], ["a"], deploy="x"))
    found = under(
        model(parts, shapes, (family("linear", rate=20.0),), facts=one), cap=100.0, max_bits=10.0
    )
    result = verdict(found, "linear")
    # The one that needs it every other episode derives it in 22.5 steps.
    np.testing.assert_array_equal(result["structure_mass"], [[0.0, 1.0]])
    assert result["margin_bits"][0] == np.inf
    np.testing.assert_array_equal(verdict(under(found, cap=100.0), "linear")["class_mass"] > 0,
                                  [[True, True, False]])  # fmt: skip


# --- more facts than can be listed -----------------------------------------------------------


def crowd(count=17):
    """Needs among five facts, and others that nobody derives: they can be stored for nothing."""
    bits, steps = np.zeros(count), np.full(count, 1e6)
    bits[:5], steps[:5] = (2.0, 1.0, 3.0, 0.5, 2.0), (30.0, 12.0, 25.0, 9.0, 40.0)
    needs = ((), (0,), (), (2,), (1, 3)) + ((),) * (count - 5)
    uses = {"two": 2.0, "three": 0.5}
    return [known_facts(bits[:n], steps[:n], uses, needs[:n]) for n in (count, 5)]


@pytest.mark.parametrize("name", FAMILIES)
def test_more_facts_than_can_be_listed(name):
    many, few = crowd()
    found, same = structures_only(facts=many), structures_only(facts=few)
    assert Engines.of(found).masses == "tempered"
    chosen = found.family(name)
    every = EveryProgram.of(same, chosen)
    draws = 64
    theta = theta_at(found, chosen, shape=(draws,))
    result = tempered_verdict(found, chosen, theta, np.random.SeedSequence(42))
    mass = result["structure_mass"]
    error = 1.2 * mass.std(axis=0, ddof=1) / np.sqrt(draws)
    assert 0.01 < every.class_mass()[1] < 0.99
    assert (np.abs(mass.mean(axis=0) - every.mass(5)) < 5 * error + 1e-3).all()
    # Least costs are those met: never lower than the least there is, and it is met often.
    right = np.abs(result["margin_bits"] - every.margin()) < 1e-9
    assert right.mean() > 0.1
    assert (result["deceptive_favored"][right] == (every.margin() > 0)).all()
    assert np.isnan(result["critical_rate"]).all()
    assert (result["rate_crossings"] == 0).all()


def test_multiplicity_is_no_part_of_the_least_cost_met():
    facts = known_facts([0.0] * 17, [1e6] * 17, needs=((),) * 16 + ((0,),))
    parts = (component("a", 3.0, 5.0), component("b", 2.0, 5.0))
    shapes = (
        structure("many", ["a"], ["a"], multiplicity=1e6),
        structure("one", ["b"], ["b"], deploy="x", multiplicity=1e6),
    )
    chosen = family("linear", rate=1.0)
    found = model(parts, shapes, (chosen,), facts=facts)
    other = model(parts, (shapes[0], replace(shapes[1], multiplicity=1.0)), (chosen,), facts=facts)
    stream = np.random.SeedSequence(1)
    result = tempered_verdict(found, chosen, theta_at(found, chosen), stream)
    assert result["margin_bits"][0] == pytest.approx(1.0)
    least = tempered_masses(other, chosen, theta_at(other, chosen), seed=1).least_cost[0]
    assert least[0] == pytest.approx(least.min())
    assert not np.isfinite(least[1]) or least[1] == pytest.approx(least[0] - 1.0)


def test_all_deceptive_and_more_facts_than_can_be_listed():
    facts = known_facts([1.0] * 17, [2.0] * 17, needs=((),) * 16 + ((0,),))
    shapes = (structure("d", ["a"], ["a"], deploy="x"),)
    chosen = family("linear", rate=3.0)
    found = model((component("a", 3, 1),), shapes, (chosen,), facts=facts)
    result = verdict(found, "linear")
    assert result["margin_bits"][0] == np.inf
    assert (result["deceptive_favored"][0], result["deceptive_mass"][0]) == (1, 1.0)


# --- grammars --------------------------------------------------------------------------------

NAMED = {"plain": "follow(base)", "sly": "fake(base, own)", "open": "follow(own)"}
PARTS = {"losses": {"own": 0.4}, "programs": NAMED, "pressure": 0.7}
LONE = known_facts([3.0, 0.5, 6.0, 2.0], [10.0, 40.0, 3.0, 8.0])
GRAMMARS = {
    "needs": {"facts": NEEDY},
    "cap": {"facts": LONE, "cap": 40.0},
    "capacity": {"facts": LONE, "max_bits": 16.0},
    "all": {"facts": NEEDY, "cap": 45.0, "max_bits": 20.0},
}


def tempered(found, name, draws):
    """As the fit does it, at the same theta many times: independent estimates to be averaged."""
    chosen = found.family(name)
    theta = theta_at(found, chosen, shape=(draws,))
    return tempered_verdict(found, chosen, theta, np.random.SeedSequence(42))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("ties", GRAMMARS)
def test_tempered_verdict_of_a_finite_grammar(ties, name):
    found = finite(**PARTS, **GRAMMARS[ties])
    # With every number known `auto` lists them; the chains must agree.
    assert Engines.of(found).masses == "enumerated"
    every = EveryProgram.of(found, found.family(name))
    assert np.isfinite(every.cost).mean() > 0.05
    draws = 40
    result = tempered(found, name, draws)
    mass = result["structure_mass"]
    # Draws of one chain, 240 rounds apart, of which 40 are dropped.
    error = mass.std(axis=0, ddof=1) / np.sqrt(draws) * 1.2
    assert (np.abs(mass.mean(axis=0) - every.mass(6)) < 5 * error + 1e-4).all()
    stated = np.sqrt((result["mass_error"] ** 2).mean())
    assert result["deceptive_mass"].std() < 2 * stated
    np.testing.assert_allclose(mass.sum(axis=1), 1.0)
    assert_least_costs(result, 0, every)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "limits", [{"cap": 12.5}, {"max_bits": 12.0}, {"cap": 13.0, "max_bits": 14.0}]
)
def test_a_cap_without_facts_is_listed(limits, name):
    found = finite(**PARTS, **limits)
    assert Engines.of(found).masses == "enumerated"
    every = EveryProgram.of(found, found.family(name))
    assert 0.2 < np.isfinite(every.cost).mean() < 1.0
    result = verdict(found, name)
    assert_masses(result, 0, every, 6)
    assert_least_costs(result, 0, every)
    assert result["mass_bound"][0] < 1e-9


@pytest.mark.parametrize("name", FAMILIES)
def test_a_listed_program_takes_its_own_part_of_those_that_cost_the_same(name):
    programs = {"left": "switch(delegate(optimize(base)), optimize(simplest))",
                "right": "switch(optimize(base), delegate(optimize(simplest)))",
                "twice": "delegate(delegate(optimize(base)))"}  # fmt: skip
    exact, listed = (post_like(programs=programs, cap=cap) for cap in (None, 1e12))
    masses = [verdict(m, name)["structure_mass"][0] for m in (exact, listed)]
    np.testing.assert_allclose(masses[0][:3], masses[1][:3], rtol=1e-2)
    np.testing.assert_allclose(masses[0], masses[1], atol=0.01)


@pytest.mark.parametrize("cap", [80.0, 200.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_capped_infinite_grammar_is_within_its_bound(name, cap):
    found = post_like(cap=cap, losses={"simplest": 0.3})
    assert Engines.of(found).masses == "enumerated"
    # Every policy plans for 40 steps: what fits is finite but for what is never executed.
    every = EveryProgram.of(found, found.family(name), nodes=9)
    result = verdict(found, name)
    # What is left out of the list here weighs little beside what the bound allows.
    assert abs(result["deceptive_mass"][0] - every.class_mass()[1]) < result["mass_bound"][0] + 1e-2
    assert_least_costs(result, 0, every)


@pytest.mark.parametrize("parts", [{"facts": NEEDY}, {"cap": 70.0, "facts": LONE}, {"cap": 70.0}])
def test_where_nothing_fits_in_some_draws(parts):
    found = post_like(**{"cap": 70.0} | parts)
    chosen = found.family("levin")
    values = {"steps.plan": np.array([40.0, 90.0, 10.0, 1e3])}
    result = verdict(found, "levin", values, (4,))
    for row, fits in enumerate((True, False, True, False)):
        assert np.isnan(result["structure_mass"][row]).all() != fits
        assert np.isnan(result["class_mass"][row]).all() != fits
        assert np.isnan(result["margin_bits"][row]) != fits
        assert (result["structure_favored"][row].sum() == 1) == fits
        at = {"steps.plan": values["steps.plan"][row]}
        every = EveryProgram.of(found, chosen, at, nodes=5)
        assert np.isfinite(every.cost).any() == fits
        if fits:
            assert_least_costs(result, row, every)


def test_overlaps_with_a_grammar_are_met_and_not_listed():
    overlaps = (Overlap("plan", "world", lognormal(0, 1)), Overlap("find", "plan", lognormal(0, 1)))
    found = replace(post_like(), overlaps=overlaps)
    chosen = found.family("linear")
    values = {"overlap_fraction.plan.world": 0.5, "overlap_fraction.find.plan": 0.25}
    every = EveryProgram.of(found, chosen, values, nodes=7)
    theta = theta_at(found, chosen, values, shape=(96,))
    result = tempered_verdict(found, chosen, theta, np.random.SeedSequence(42))
    mass = result["structure_mass"]
    error = mass.std(axis=0, ddof=1) / np.sqrt(96) * 1.2
    # The longest programs are missing from the list.
    assert (np.abs(mass.mean(axis=0) - every.mass(6)) < 5 * error + 5e-3).all()
    assert np.abs(result["margin_bits"] - every.margin()).min() < 1e-9
    assert np.isnan(result["critical_rate"]).all()


# --- what needs Z is refused, with the reason --------------------------------------------------

COUNTS = {"kind": "selection", "class": ["honest", "deceptive"], "count": [3, 17]}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (finite(cap=16.0), "a cap cuts the grammar off"),
        (finite(max_bits=14.0), "a capacity cuts the grammar off"),
        (finite(facts=NEEDY), "facts need one another"),
        (structures_only(facts=NEEDY), "facts need one another"),
        (tied("cap"), "the cap bounds the steps of all facts together"),
        (tied("capacity"), "the capacity bounds the bits of all facts together"),
    ],
)
def test_selection_evidence_and_exact_draws_are_refused(found, reason):
    from bayes_mesa import sample_programs

    with pytest.raises(RefusedError, match=f"{reason}.*refused"):
        fit(found, {"seen": COUNTS}, num_samples=2, num_chains=1)
    post = fit(found, {}, num_samples=2, num_chains=1)
    with pytest.raises(RefusedError, match=f"{reason}.*method 'tempered'"):
        sample_programs(found, post, method="exact")
    assert reason in json.loads(post.attrs["engines"])["reason"]


def test_classes_of_every_program_are_those_of_the_results():
    assert CLASSES == ("honest", "deceptive", "misaligned")
