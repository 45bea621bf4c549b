"""Penalties of the three families: by hand, without cancellation, at the ends of the range."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import phi

from bayes_mesa.costing.exchange import FAMILIES, added_penalty, penalty, relative_penalty

PARAMETERS = {
    "linear": {"rate": 40.0},
    "levin": {"kappa": 1.3},
    "power": {"rate": 40.0, "exponent": 1.7},
}
positive = st.floats(1e-3, 1e12)


@pytest.mark.parametrize(
    ("family", "parameters", "expected"),
    [
        ("linear", {"rate": 4.0}, 10 + 64 / 4),
        ("levin", {"kappa": 1.5}, 10 + 1.5 * 6),
        ("power", {"rate": 4.0, "exponent": 2.0}, 10 + 4.0),
    ],
)
def test_penalty_by_hand(family, parameters, expected):
    assert penalty(family, parameters, 10.0, 64.0) == pytest.approx(expected, rel=1e-15)


def test_power_with_exponent_1_is_linear():
    steps, added = np.array([1.0, 7.0, 1e9]), np.array([0.0, 3.0, 1e12])
    power, linear = {"rate": 40.0, "exponent": 1.0}, {"rate": 40.0}
    np.testing.assert_allclose(
        penalty("power", power, 2.0, steps), penalty("linear", linear, 2.0, steps), rtol=1e-15
    )
    np.testing.assert_allclose(
        added_penalty("power", power, steps, added),
        added_penalty("linear", linear, steps, added),
        rtol=1e-14,
    )


def exact_added(family, parameters, steps, added):
    with mpmath.workdps(60):
        p = {k: mpmath.mpf(float(x)) for k, x in parameters.items()}
        t, x = mpmath.mpf(float(steps)), mpmath.mpf(float(added))
        if family == "linear":
            return float(x / p["rate"])
        if family == "levin":
            return float(p["kappa"] * mpmath.log((t + x) / t, 2))
        root = 1 / p["exponent"]
        return float(((t + x) / p["rate"]) ** root - (t / p["rate"]) ** root)


@pytest.mark.parametrize("family", FAMILIES)
@given(steps=positive, added=positive)
def test_added_penalty_has_all_its_digits(family, steps, added):
    found = added_penalty(family, PARAMETERS[family], steps, added)
    expected = exact_added(family, PARAMETERS[family], steps, added)
    assert float(found) == pytest.approx(expected, rel=2e-14)


@pytest.mark.parametrize("family", FAMILIES)
@given(steps=positive, added=positive, more=positive)
def test_added_steps_cost_ever_less_beside_more_steps(family, steps, added, more):
    # Concave in steps: the least cost under facts rests on it.
    before = added_penalty(family, PARAMETERS[family], steps, added)
    after = added_penalty(family, PARAMETERS[family], steps + more, added)
    assert 0 < after <= before * (1 + 1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_steps_more_add_nothing(family):
    assert added_penalty(family, PARAMETERS[family], 10.0, 0.0) == 0.0


def test_added_to_no_steps_at_all():
    assert added_penalty("power", {"rate": 4.0, "exponent": 2.0}, 0.0, 64.0) == 4.0
    assert added_penalty("power", {"rate": 4.0, "exponent": 2.0}, 0.0, 0.0) == 0.0
    assert added_penalty("linear", {"rate": 4.0}, 0.0, 64.0) == 16.0
    assert added_penalty("levin", {"kappa": 1.0}, 0.0, 64.0) == np.inf


@pytest.mark.parametrize("family", FAMILIES)
def test_relative_penalty_is_a_difference_of_penalties(family):
    bits, steps = np.array([[5.0, 0.0, 9.0]]), np.array([[30.0, 200.0, 4.0]])
    parameters = {k: np.array([x]) for k, x in PARAMETERS[family].items()}
    found = relative_penalty(
        family, parameters, bits, steps, np.array([100.0]), np.ones((1, 3), dtype=bool)
    )
    expected = phi(family, PARAMETERS[family], bits, 100 + steps)
    expected -= phi(family, PARAMETERS[family], 0.0, 104.0)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_shared_steps_do_not_cancel_under_levin_and_do_under_linear():
    bits, steps = np.zeros((1, 2)), np.array([[0.0, 64.0]])

    def gap(family, parameters, shared):
        columns = {k: np.array([x]) for k, x in parameters.items()}
        found = relative_penalty(
            family, columns, bits, steps, np.array([shared]), np.ones((1, 2), dtype=bool)
        )
        return found[0, 1] - found[0, 0]

    assert gap("levin", {"kappa": 1.0}, 64.0) == pytest.approx(1.0)
    assert gap("levin", {"kappa": 1.0}, 64.0 * 1023) == pytest.approx(np.log2(1024 / 1023))
    assert gap("linear", {"rate": 1.0}, 64.0) == gap("linear", {"rate": 1.0}, 1e15) == 64.0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steps", [1.0, 1e10, 1e307])
@pytest.mark.parametrize("rate", [1e-300, 1e-2, 1e300])
def test_extreme_numbers_give_no_nan(family, steps, rate):
    parameters = {"rate": rate, "kappa": rate, "exponent": 1.5}
    with np.errstate(over="ignore"):
        found = added_penalty(family, parameters, steps, np.array([0.0, steps]))
    assert found[0] == 0.0
    assert found[1] >= 0.0
    with mpmath.workdps(30):
        expected = exact_added(family, parameters, steps, steps)
    if 1e-300 < expected < 1e300:
        np.testing.assert_allclose(found[1], expected, rtol=1e-11)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_finite_at_no_steps_and_no_more(family):
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):

        def total(steps, added, **p):
            return added_penalty(family, p, steps, added, jnp)

        for steps in (0.0, 10.0):
            if family == "levin" and steps == 0.0:
                continue
            slope = jax.grad(lambda p, t=steps: total(t, 0.0, **p))(PARAMETERS[family])
            assert all(np.isfinite(x) for x in slope.values())
            assert np.isfinite(jax.grad(total)(steps, 0.0, **PARAMETERS[family]))


def test_numpy_and_jax_agree():
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(42)
    steps, added = rng.lognormal(5, 4, 100), rng.lognormal(5, 4, 100)
    with jax.enable_x64(True):
        for family in FAMILIES:
            np.testing.assert_allclose(
                added_penalty(family, PARAMETERS[family], jnp.asarray(steps), added, jnp),
                added_penalty(family, PARAMETERS[family], steps, added),
                rtol=1e-13,
            )
