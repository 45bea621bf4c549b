"""Sums over every choice: by hand, against the product formula, and with limits by brute force."""

from itertools import product

import numpy as np
import pytest

from bayes_mesa.costing.exchange import penalty
from bayes_mesa.costing.fact_choices import (
    choice_sums,
    derivation_steps,
    every_choice,
    minimal_choices,
)
from bayes_mesa.costing.fact_sums import log_fact_factor
from bayes_mesa.costing.least import least_fact_penalty

FAMILIES = {
    "linear": {"rate": np.array([5.0, 0.7, 90.0])},
    "levin": {"kappa": np.array([1.5, 0.2, 3.0])},
    "power": {"rate": np.array([5.0, 0.7, 90.0]), "exponent": np.array([1.0, 1.4, 2.5])},
}
NEEDS = ((), (0,), (0, 1), (), (2, 3))


@pytest.fixture
def theta():
    rng = np.random.default_rng(42)
    return {
        "pressure": rng.uniform(0.5, 2.0, 3),
        "bits": rng.uniform(1.0, 30.0, (3, 2)),
        "steps": rng.uniform(1.0, 100.0, (3, 2)),
        "uses": np.array([1.0, 2.0]),
        "fact_bits": rng.uniform(0.0, 9.0, (3, 5)),
        "fact_steps": rng.uniform(0.0, 50.0, (3, 5)),
    }


def test_choices_are_all_there_once():
    found = every_choice(4)
    assert found.shape == (16, 4)
    assert {tuple(row) for row in found.tolist()} == set(product((False, True), repeat=4))


def test_derivations_repeat_what_they_need_unless_it_is_stored():
    stored = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
    steps = derivation_steps([(), (0,), (0, 1)], np.array([1.0, 10.0, 100.0]), stored)
    # T_1 = 10 + 1, T_2 = 100 + 1 + T_1; a stored fact is neither derived nor repeated.
    assert steps.tolist() == [1 + 11 + 112, 10 + 110, 1 + 101, 0]


def test_order_of_facts_does_not_matter():
    forward = derivation_steps([(), (0,), (1,)], np.array([1.0, 10.0, 100.0]), every_choice(3))
    backward = derivation_steps(
        [(1,), (2,), ()], np.array([100.0, 10.0, 1.0]), every_choice(3)[:, ::-1]
    )
    assert np.array_equal(forward, backward)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_needs_it_is_the_product(family, theta):
    found = choice_sums(family, parameters=FAMILIES[family], needs=(), **theta)
    same = {k: x for k, x in theta.items() if k != "bits"}
    sums = log_fact_factor(family, parameters=FAMILIES[family], **same)
    del same["pressure"]
    least, bits, steps = least_fact_penalty(family, parameters=FAMILIES[family], **same)
    assert found.log_factor == pytest.approx(sums.log_factor, abs=1e-12)
    assert found.least == pytest.approx(least, abs=1e-12)
    assert found.bits == pytest.approx(bits)
    assert found.steps == pytest.approx(steps)


@pytest.mark.parametrize("limits", [{}, {"cap": 160.0}, {"max_bits": 25.0}])
@pytest.mark.parametrize("family", FAMILIES)
def test_needs_and_limits_against_plain_loops(family, limits, theta):
    found = choice_sums(family, parameters=FAMILIES[family], needs=NEEDS, **theta, **limits)
    for n, s in np.ndindex(3, 2):
        chosen = {k: x[n] for k, x in FAMILIES[family].items()}
        t = theta["steps"][n, s]
        added = []
        for z in product((0, 1), repeat=5):
            own: dict[int, float] = {}
            for j in range(5):
                own[j] = theta["fact_steps"][n, j] + sum(own[i] for i in NEEDS[j] if not z[i])
            extra = theta["uses"][s] * sum(own[j] for j in range(5) if not z[j])
            stored = sum(theta["fact_bits"][n, j] for j in range(5) if z[j])
            if t + extra > limits.get("cap", np.inf):
                continue
            if theta["bits"][n, s] + stored > limits.get("max_bits", np.inf):
                continue
            both = penalty(family, chosen, stored, t + extra) - penalty(family, chosen, 0.0, t)
            added.append((both, stored, extra))
        if not added:
            assert found.log_factor[n, s] == -np.inf
            assert found.least[n, s] == np.inf
            continue
        weights = [2.0 ** (-theta["pressure"][n] * a) for a, _, _ in added]
        assert found.log_factor[n, s] == pytest.approx(np.log(sum(weights)), abs=1e-9)
        least = min(added)
        assert found.least[n, s] == pytest.approx(least[0], abs=1e-9)
        assert (found.bits[n, s], found.steps[n, s]) == pytest.approx(least[1:])


def test_limits_that_nothing_meets(theta):
    found = choice_sums("linear", parameters=FAMILIES["linear"], needs=NEEDS, **theta, cap=0.5)
    assert np.all(found.log_factor == -np.inf)
    assert np.all(found.least == np.inf)


@pytest.mark.parametrize("limits", [{}, {"cap": 160.0}, {"max_bits": 25.0}])
@pytest.mark.parametrize("family", FAMILIES)
def test_minimal_choices_hold_the_least(family, limits, theta):
    same = theta | {n: theta[n][:1].repeat(3, axis=0) for n in ("fact_bits", "fact_steps")}
    kept = minimal_choices(NEEDS, same["fact_bits"], same["fact_steps"])
    assert 1 < len(kept) < 32
    arguments = {"parameters": FAMILIES[family], "needs": NEEDS, **same, **limits}
    whole, part = choice_sums(family, **arguments), choice_sums(family, **arguments, stored=kept)
    assert np.array_equal(part.least, whole.least)


def test_facts_that_vary_leave_no_choice_out(theta):
    assert len(minimal_choices((), theta["fact_bits"], theta["fact_steps"])) == 32
