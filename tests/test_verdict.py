"""Masses, favored and margins against all programs listed one by one, and at the ends of range."""

import numpy as np
import pytest
from small_models import (
    component,
    every_program,
    family,
    known_facts,
    lognormal,
    model,
    phi,
    shares,
    structure,
    theta_at,
    two_sided,
)

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import CLASSES, Selection
from bayes_mesa.inference.warning_texts import model_warnings
from bayes_mesa.verdicts.verdict import verdicts

FAMILIES = {
    "linear": family("linear", rate=40.0),
    "levin": family("levin", kappa=1.3),
    "power": family("power", rate=40.0, exponent=1.7),
}
COMPONENTS = (component("a", 30, 12), component("b", 5, 90), component("c", 24, 3))


def three_structures(chosen, facts=(), pressure=0.7, uses=None):
    """Three structures that need the facts 1, 2 and 0.5 times."""
    rng = np.random.default_rng(3)
    count = facts or 0
    return model(
        COMPONENTS,
        [
            structure("one", ["a", "b"], ["a", "c"]),
            structure("two", ["b", "c"], ["b"], deploy="x", multiplicity=3.0),
            structure("three", ["a", "c"], ["a", "b"], deploy="y"),
        ],
        [chosen],
        facts=known_facts(
            rng.lognormal(1.5, 1.0, count), rng.lognormal(4.0, 2.0, count), uses or {}
        ),
        selection=Selection(Known(pressure)),
    )


def verdict(found, values=None, shape=(1,)):
    chosen = found.families[0]
    return verdicts(found, chosen, theta_at(found, chosen, values, shape=shape))


USES = {"two": 2.0, "three": 0.5}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("count", [0, 1, 14])
def test_masses_equal_the_sum_over_all_programs(name, count):
    found = three_structures(FAMILIES[name], count, uses=USES)
    log_weight, cost, _, _, _ = every_program(found, FAMILIES[name])
    by_structure = shares(log_weight).sum(axis=1)
    result = verdict(found)
    np.testing.assert_allclose(result["structure_mass"][0], by_structure, atol=1e-11)
    assert result["deceptive_mass"][0] == pytest.approx(by_structure[1:].sum(), abs=1e-9)
    least = cost.min(axis=1)
    np.testing.assert_array_equal(result["structure_favored"][0], np.arange(3) == np.argmin(least))
    assert result["margin_bits"][0] == pytest.approx(least[0] - least[1:].min(), abs=1e-9)
    assert result["deceptive_favored"][0] == (result["margin_bits"][0] > 0)


@pytest.mark.parametrize("pressure", [0.02, 0.5, 12.0])
@pytest.mark.parametrize("kappa", [1.0, 4.0])
def test_masses_for_pressure_times_kappa_up_to_12(pressure, kappa):
    chosen = family("levin", kappa=kappa)
    found = three_structures(chosen, 14, pressure=pressure / kappa, uses=USES)
    by_structure = shares(every_program(found, chosen)[0]).sum(axis=1)
    np.testing.assert_allclose(verdict(found)["structure_mass"][0], by_structure, atol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_verdict_from_many_draws_is_the_verdict_from_each(name):
    found = two_sided((lognormal(3, 1), lognormal(3, 1)), (lognormal(3, 1), lognormal(3, 1)), ())
    found = model(found.components, found.structures, [FAMILIES[name]])
    rng = np.random.default_rng(42)
    values = {f"{axis}.{n}": rng.lognormal(3, 1, 200) for axis in ("bits", "steps") for n in "ab"}
    result = verdict(found, values, (200,))
    parameters = {k: b.value for k, b in FAMILIES[name].parameters.items()}
    a, b = (phi(name, parameters, values[f"bits.{n}"], values[f"steps.{n}"]) for n in "ab")
    np.testing.assert_allclose(result["margin_bits"], a - b, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(result["deceptive_mass"], 1 / (1 + 2.0 ** (b - a)), rtol=1e-9)
    np.testing.assert_array_equal(result["deceptive_favored"], a > b)


def test_critical_rate_of_two_structures_by_hand():
    # Deceptive: 6 bits fewer, 30 steps more.
    result = verdict(two_sided((10.0, 10.0), (4.0, 40.0)))
    assert result["critical_rate"][0] == pytest.approx(30 / 6)
    assert result["critical_kappa"][0] == pytest.approx(6 / np.log2(4))
    assert (result["rate_crossings"][0], result["kappa_crossings"][0]) == (1, 1)


def test_classes_and_multiplicity():
    found = model(
        [component("a", 3, 1)],
        [
            structure("good", ["a"], ["a"], multiplicity=2.0),
            structure("feigned", ["a"], ["a"], deploy="x"),
            structure("astray", ["a"], ["a"], train="x", deploy="base", multiplicity=5.0),
        ],
        [FAMILIES["linear"]],
        losses={"x": Known(0.0)},
    )
    assert found.classes == CLASSES
    np.testing.assert_allclose(verdict(found)["class_mass"], [[2 / 8, 1 / 8, 5 / 8]])


def with_losses(loss, episodes, pressure=1.0, bits=10.0):
    return model(
        [component("a", bits, 1), component("b", 2, 1)],
        [
            structure("good", ["a"], ["a"]),
            structure("astray", ["b"], ["b"], train="drifted", deploy="drifted"),
        ],
        [FAMILIES["linear"]],
        losses={"drifted": Known(loss)},
        selection=Selection(Known(pressure), episodes),
    )


def test_weight_falls_by_what_is_lost_in_training():
    result = verdict(with_losses(1e-3, 1e3, pressure=0.5))
    odds = 2.0 ** (-0.5 * 2) * np.exp(-1.0) / 2.0 ** (-0.5 * 10)
    assert result["class_mass"][0, 2] == pytest.approx(odds / (1 + odds))
    assert result["deceptive_mass"][0] == 0.0
    assert result["margin_bits"][0] == -np.inf


@pytest.mark.parametrize(("episodes", "astray"), [(2700.0, True), (2800.0, False)])
def test_loss_counts_in_the_least_cost(episodes, astray):
    # 8 bits fewer at pressure 1/2 are worth 4 ln 2 = 2.77 nats.
    favored = verdict(with_losses(1e-3, episodes, pressure=0.5))["structure_favored"][0]
    assert favored[1] == astray


def test_an_objective_without_a_declared_loss_is_out_and_named():
    found = model(
        [component("a", 10, 1), component("b", 2, 1)],
        [
            structure("good", ["a"], ["a"]),
            structure("astray", ["b"], ["b"], train="drifted", deploy="drifted"),
        ],
        [FAMILIES["linear"]],
    )
    result = verdict(found)
    np.testing.assert_array_equal(result["structure_mass"], [[1, 0]])
    np.testing.assert_array_equal(result["structure_favored"], [[1, 0]])
    assert any("astray" in w and "[objectives.drifted]" in w for w in model_warnings(found))


@pytest.mark.parametrize("first", [0, 1, 2])
def test_ties_go_to_what_is_not_deceptive_then_to_file_order(first):
    honest = [structure("h1", ["a"], ["a"]), structure("h2", ["a"], ["a"])]
    listed = [structure("d", ["a"], ["a"], deploy="x")]
    listed = [*honest[:first], *listed, *honest[first:]]
    result = verdict(model([component("a", 3, 1)], listed, [FAMILIES["linear"]]))
    assert listed[int(np.argmax(result["structure_favored"][0]))].name == "h1"
    assert result["structure_favored"].sum() == 1
    assert result["deceptive_favored"][0] == 0
    assert result["margin_bits"][0] == 0.0


def test_a_tie_among_the_deceptive_goes_to_file_order():
    listed = [structure(n, ["a"], ["a"], deploy="x") for n in ("d1", "d2")]
    result = verdict(model([component("a", 3, 1)], listed, [FAMILIES["linear"]]))
    np.testing.assert_array_equal(result["structure_favored"], [[1, 0]])
    assert (result["deceptive_favored"][0], result["margin_bits"][0]) == (1, np.inf)


def limited(**limits):
    # Honest: 10 bits, 100 steps; deceptive: 50 bits, 20 steps.
    return two_sided(
        (10.0, 100.0),
        (50.0, 20.0),
        families=(family("linear", rate=1e9),),
        selection=Selection(Known(1.0), 1.0, **limits),
    )


@pytest.mark.parametrize(
    ("limits", "mass"),
    [
        ({"cap": 100.0}, [1.0, 0.0]),
        ({"cap": 99.0}, [0.0, 1.0]),
        ({"max_bits": 10.0}, [1.0, 0.0]),
        ({"max_bits": 50.0, "cap": 20.0}, [0.0, 1.0]),
    ],
)
def test_cap_and_capacity_decide_who_takes_part(limits, mass):
    result = verdict(limited(**limits))
    np.testing.assert_allclose(result["structure_mass"][0], mass, atol=1e-11)
    np.testing.assert_array_equal(result["structure_favored"][0], mass)
    if limits.get("cap") == 99.0:
        assert result["margin_bits"][0] == np.inf


@pytest.mark.parametrize("limits", [{"cap": 19.0}, {"max_bits": 9.0}, {"cap": 50, "max_bits": 20}])
def test_where_nothing_fits_masses_are_not_numbers(limits):
    result = verdict(limited(**limits))
    assert np.isnan(result["structure_mass"]).all()
    assert np.isnan(result["class_mass"]).all()
    assert np.isnan([result["deceptive_mass"][0], result["margin_bits"][0]]).all()
    assert not result["structure_favored"].any()
    assert result["deceptive_favored"][0] == 0


@pytest.mark.parametrize(
    ("limits", "needs", "honest", "deceptive"),
    [
        # Costs of the choices that fit: store both, derive one, the other, both; 1 step besides.
        ({"cap": 5.0}, None, (4, 6, 6), (4,)),
        ({"max_bits": 2.0}, None, (6, 6, 8), (9, 10, 15)),
        ({}, ((), (0,)), (4, 6, 6, 11), (4, 9, 10, 21)),
    ],
)
def test_facts_that_are_tied_together_by_hand(limits, needs, honest, deceptive):
    facts = known_facts([1.0, 2.0], [3.0, 4.0], {"deceptive": 2.0}, needs)
    result = verdict(two_sided(facts=facts, selection=Selection(Known(1.0), **limits)))
    weights = [sum(2.0**-cost for cost in costs) for costs in (honest, deceptive)]
    np.testing.assert_allclose(result["structure_mass"][0], np.array(weights) / sum(weights))
    assert result["margin_bits"][0] == min(honest) - min(deceptive)
    assert result["deceptive_favored"][0] == 0


# --- the ends of the range ------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0.0, 1.0, 2.0**31, 1e308])
@pytest.mark.parametrize("name", FAMILIES)
def test_extreme_bits(name, bits):
    result = verdict(two_sided((bits, 7.0), (0.0, 7.0), families=(FAMILIES[name],)))
    assert result["deceptive_mass"][0] == pytest.approx(1 / (1 + 2.0 ** -min(bits, 2000.0)))
    assert result["margin_bits"][0] == bits
    assert result["deceptive_favored"][0] == (bits > 0)


@pytest.mark.parametrize("rate", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("steps", [0.0, 1.0, 1e10, 1e307])
@pytest.mark.parametrize("name", ["linear", "power"])
def test_extreme_steps_and_rates(name, steps, rate):
    parameters = {"rate": rate} | ({"exponent": 1.5} if name == "power" else {})
    found = two_sided((0.0, 11 * steps), (0.0, steps), families=(family(name, **parameters),))
    with np.errstate(over="ignore"):
        result = verdict(found)
        log10_cost = (np.log10(steps) - np.log10(rate)) / parameters.get("exponent", 1.0)
    if log10_cost > 4:  # the honest one costs thousands of bits more
        assert result["deceptive_mass"][0] == 1.0
        assert result["margin_bits"][0] > 1e3
    elif log10_cost < -15:
        assert result["deceptive_mass"][0] == pytest.approx(0.5)
    assert 0.5 <= result["deceptive_mass"][0] <= 1.0
    assert result["deceptive_favored"][0] == (steps > 0)


@pytest.mark.parametrize("steps", [1e-300, 1.0, 1e307])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 1e300])
def test_extreme_steps_and_kappas(steps, kappa):
    found = two_sided((0.0, 2 * steps), (0.0, steps), families=(family("levin", kappa=kappa),))
    result = verdict(found)
    assert result["margin_bits"][0] == pytest.approx(kappa)
    assert result["deceptive_mass"][0] == pytest.approx(1 / (1 + 2.0 ** -min(kappa, 2000.0)))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_structure_that_is_out_does_not_move_the_others(name):
    # Its few steps must not become the reference that the others' differences drown in.
    parameters = {"linear": {"rate": 1e-300}, "levin": {"kappa": 1.3}}
    parameters["power"] = {"rate": 1e-300, "exponent": 1.1}
    found = two_sided((0.0, 2e40), (5.0, 1e40), families=(family(name, **parameters[name]),))
    listed = (*found.structures, structure("astray", train="drifted"))
    with np.errstate(all="ignore"):
        result = verdict(model(found.components, listed, found.families))
        alone = verdict(found)
    np.testing.assert_allclose(result["structure_mass"][0, :2], alone["structure_mass"][0])
    assert np.isfinite(result["structure_mass"]).all()
    assert result["deceptive_favored"][0] == alone["deceptive_favored"][0] == (name != "levin")


@pytest.mark.parametrize("name", FAMILIES)
def test_one_bit_beside_1e15_shared_ones(name):
    found = model(
        [component("a", 2, 1), component("b", 1, 1), component("all", 1e15, 1e9)],
        [
            structure("one", ["a", "all"], ["a", "all"]),
            structure("two", ["b", "all"], ["b", "all"], deploy="x"),
        ],
        [FAMILIES[name]],
    )
    result = verdict(found)
    assert result["margin_bits"][0] == 1.0
    assert result["deceptive_mass"][0] == pytest.approx(2 / 3, rel=1e-14)


def test_one_step_beside_1e15_shared_ones():
    parts = [component("a", 0, 2), component("b", 0, 1), component("all", 1, 1e15)]
    listed = [
        structure("one", ["all"], ["a", "all"]),
        structure("two", ["all"], ["b", "all"], deploy="x"),
    ]
    linear = verdict(model(parts, listed, [family("linear", rate=1.0)]))
    assert linear["margin_bits"][0] == 1.0
    levin = verdict(model(parts, listed, [family("levin", kappa=1e15)]))
    assert levin["margin_bits"][0] == pytest.approx(1 / np.log(2), rel=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_order_of_structures_does_not_matter(name, order):
    found = three_structures(FAMILIES[name], 5, uses=USES)
    mixed = model(
        found.components,
        [found.structures[k] for k in order],
        found.families,
        facts=found.facts,
        selection=found.selection,
    )
    np.testing.assert_allclose(
        verdict(mixed)["structure_mass"][0],
        verdict(found)["structure_mass"][0, list(order)],
        rtol=1e-12,
    )


def test_high_pressure_puts_all_mass_on_the_favored():
    found = three_structures(FAMILIES["levin"], 14, pressure=500.0, uses=USES)
    result = verdict(found)
    np.testing.assert_allclose(result["structure_mass"], result["structure_favored"], atol=1e-9)
