"""Least cost under facts: against every choice, in floating point and at 40 digits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.least import least_added

from bayes_mesa.costing import least
from bayes_mesa.costing.least import fact_prefixes, least_fact_penalty

FAMILIES = {
    "linear": {"rate": (1e-2, 1e6)},
    "levin": {"kappa": (0.0, 4.0)},
    "power": {"rate": (1e-2, 1e6), "exponent": (1.0, 3.0)},
}


def drawn(family, num_draws, rng):
    return {
        name: np.exp(rng.uniform(np.log(low or 1e-3), np.log(high), num_draws))
        for name, (low, high) in FAMILIES[family].items()
    }


def added(family, parameters, steps, extra):
    """Phi(0, t + x) - Phi(0, t) for one draw; x an array."""
    p = {name: value for name, value in parameters.items()}
    if family == "linear":
        return extra / p["rate"]
    if family == "levin":
        return p["kappa"] * np.log1p(extra / steps) / np.log(2.0)
    power = 1.0 / p["exponent"]
    return (steps / p["rate"]) ** power * np.expm1(power * np.log1p(extra / steps))


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_brute_force_over_4096_choices(family, monkeypatch):
    monkeypatch.setattr(least, "BLOCK", 200)  # several blocks, the last one partly filled
    rng = np.random.default_rng(42)
    num_draws, n = 11, 12
    uses, steps = np.array([1.0, 2.5, 0.0]), np.exp(rng.uniform(0.0, 20.0, (num_draws, 3)))
    bits, taus = np.exp(rng.normal(2.0, 2.0, (2, num_draws, n)))
    bits[0, 0], taus[1, 1], bits[2, 2], taus[2, 2] = 0.0, 0.0, 0.0, 0.0
    parameters = drawn(family, num_draws, rng)
    found = least_fact_penalty(
        family, parameters=parameters, steps=steps, uses=uses, fact_bits=bits, fact_steps=taus
    )
    stored = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    for i, s in np.ndindex(num_draws, 3):
        one = {name: value[i] for name, value in parameters.items()}
        all_bits, all_steps = stored @ bits[i], uses[s] * ((1 - stored) @ taus[i])
        total = all_bits + added(family, one, steps[i, s], all_steps)
        penalty, more_bits, more_steps = (part[i, s] for part in found)
        assert penalty == pytest.approx(total.min(), rel=1e-12, abs=1e-12)
        # The reported bits and steps are those of a choice that reaches it.
        reached = more_bits + added(family, one, steps[i, s], more_steps)
        assert reached == pytest.approx(penalty, rel=1e-12)
        choice = np.argmin(abs(all_bits - more_bits) / (1 + more_bits))
        assert all_bits[choice] == pytest.approx(more_bits, rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@given(
    costs=st.lists(
        st.tuples(
            st.sampled_from([0.0, 1e-3, 1.0, 2.0, 1e6]), st.sampled_from([0.0, 1e-2, 1.0, 3.0, 1e9])
        ),
        max_size=6,
    ),
    steps=st.sampled_from([1.0, 7.0, 1e9, 1e15]),
    uses=st.sampled_from([0.0, 1.0, 3.0]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_40_digits(family, costs, steps, uses, seed):
    """Also where steps are so large that Phi(0, t + x) - Phi(0, t) cancels entirely."""
    parameters = drawn(family, 1, np.random.default_rng(seed))
    bits, taus = np.array(costs).reshape(-1, 2).T
    penalty, _, _ = least_fact_penalty(
        family,
        parameters=parameters,
        steps=np.array([[steps]]),
        uses=np.array([uses]),
        fact_bits=bits[None],
        fact_steps=taus[None],
    )
    one = {name: value[0] for name, value in parameters.items()}
    exact = least_added(family, one, steps, uses, bits, taus)
    assert penalty[0, 0] == pytest.approx(float(exact), rel=1e-11, abs=1e-300)


def least_of(family, bits, taus, steps, **parameters):
    found = least_fact_penalty(
        family,
        parameters={name: np.array([value]) for name, value in parameters.items()},
        steps=np.array([[steps]]),
        uses=np.array([1.0]),
        fact_bits=np.array([bits]),
        fact_steps=np.array([taus]),
    )
    return tuple(float(part[0, 0]) for part in found)


def test_hand_values():
    bits, taus = [3.0, 10.0], [12.0, 4.0]
    assert least_of("linear", bits, taus, 5.0, rate=2.0) == (3.0 + 2.0, 3.0, 4.0)
    # t = 4: deriving only the second takes 4 more steps, one doubling.
    assert least_of("levin", bits, taus, 4.0, kappa=1.0) == (np.log2(5.0), 0.0, 16.0)
    assert least_of("levin", bits, taus, 4.0, kappa=3.0) == (3.0 + 3.0, 3.0, 4.0)
    # From t = 9 to 25 steps: (5 - 3) / 1.
    assert least_of("power", [1.5, 9.0], [7.0, 16.0], 9.0, rate=1.0, exponent=2.0) == (
        pytest.approx(np.sqrt(32.0) - 3.0),
        0.0,
        23.0,
    )


def test_no_steps_of_its_own():
    assert least_of("linear", [5.0], [4.0], 0.0, rate=2.0) == (2.0, 0.0, 4.0)
    assert least_of("power", [5.0], [4.0], 0.0, rate=1.0, exponent=2.0) == (2.0, 0.0, 4.0)
    assert least_of("levin", [5.0], [4.0], 0.0, kappa=1.0)[0] == np.inf


def test_tie_takes_the_fewest_derived():
    assert least_of("linear", [2.0, 2.0, 9.0], [4.0, 4.0, 2.0], 1.0, rate=2.0) == (5.0, 4.0, 2.0)
    assert least_of("levin", [1.0, 0.0], [0.0, 7.0], 1.0, kappa=0.0) == (0.0, 0.0, 0.0)


def test_kappa_zero_derives_everything_that_costs_bits():
    assert least_of("levin", [7.0], [7.0], 1.0, kappa=0.0) == (0.0, 0.0, 7.0)


def test_free_storage_and_free_derivation():
    assert least_of("linear", [0.0, 8.0], [5.0, 0.0], 1.0, rate=1.0) == (0.0, 0.0, 0.0)


def test_no_facts():
    none = np.empty((2, 0))
    found = least_fact_penalty(
        "linear",
        parameters={"rate": np.ones(2)},
        steps=np.ones((2, 3)),
        uses=np.ones(3),
        fact_bits=none,
        fact_steps=none,
    )
    for part in found:
        np.testing.assert_array_equal(part, np.zeros((2, 3)))


def test_prefixes_are_convex():
    rng = np.random.default_rng(1)
    bits, steps = fact_prefixes(*np.exp(rng.normal(0.0, 3.0, (2, 5, 20))))
    price = -np.diff(bits, axis=1) / np.diff(steps, axis=1)
    assert np.all(np.diff(price, axis=1) <= 1e-9 * price[:, 1:])
    np.testing.assert_array_equal(bits[:, -1], 0.0)
    np.testing.assert_array_equal(steps[:, 0], 0.0)
