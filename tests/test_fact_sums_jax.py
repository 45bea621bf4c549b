"""The sums over fact choices in JAX: equal to the kernels, and with the right derivatives."""

import functools
import math

import jax
import numpy as np
import pytest

from bayes_mesa.costing import fact_sums, fact_sums_jax

PARAMETERS = {
    "linear": {"rate": 40.0},
    "levin": {"kappa": 1.3},
    "power": {"rate": 40.0, "exponent": 1.7},
}
#: Measured over the shipped priors: 1e-14 but for power, 1.3e-10 at worst.
TOLERANCE = {"linear": 1e-13, "levin": 1e-12, "power": 1e-9}


def native(family, pressure, parameters, steps, uses, bits, fact_steps):
    return fact_sums.log_fact_factor(
        family,
        pressure=[pressure],
        parameters={name: [x] for name, x in parameters.items()},
        steps=[steps],
        uses=uses,
        fact_bits=[bits],
        fact_steps=[fact_steps],
    ).log_factor[0]


USES = np.array([1.0, 2.0, 1.0])
WEIGHTS = np.array([1.0, -0.5, 2.0])


@functools.cache
def compiled(family):
    """Values of three structures with six facts, and the gradient of their weighted sum."""

    def weighted(pressure, parameters, steps, bits, fact_steps):
        values = fact_sums_jax.log_fact_factor(
            family,
            pressure=pressure,
            parameters=parameters,
            steps=steps,
            uses=USES,
            fact_bits=bits,
            fact_steps=fact_steps,
        )
        return WEIGHTS @ values, values

    gradient = jax.value_and_grad(weighted, argnums=(0, 1, 2, 3, 4), has_aux=True)
    return jax.jit(gradient)


def in_jax(family, pressure, parameters, steps, bits, fact_steps):
    with jax.enable_x64(True):
        numbers = {name: np.float64(x) for name, x in parameters.items()}
        (_, values), gradient = compiled(family)(
            np.float64(pressure), numbers, *map(np.array, (steps, bits, fact_steps))
        )
        return np.asarray(values), jax.tree.map(np.asarray, gradient)


def prior_draw(family, rng, n=6):
    """Pressure, parameters, steps, bits, fact steps of the shipped priors."""
    parameters = {
        "linear": {"rate": math.exp(rng.normal(4.6, 5.6))},
        "levin": {"kappa": math.exp(rng.normal(0.35, 0.63))},
        "power": {
            "rate": math.exp(rng.normal(4.6, 5.6)),
            "exponent": max(1.0 + 1e-6, 1.26 * math.exp(rng.normal(0, 0.47))),
        },
    }[family]
    pressure, steps = math.exp(rng.normal(0, 0.5)), 10 ** rng.uniform(0, 10.5, 3)
    return pressure, parameters, steps, rng.uniform(2, 60, n), 10 ** rng.uniform(1, 5, n)


@pytest.mark.parametrize("family", PARAMETERS)
def test_equal_to_the_kernels_over_the_priors(family):
    rng = np.random.default_rng(42)
    for _ in range(30):
        pressure, parameters, steps, bits, fact_steps = prior_draw(family, rng)
        found, gradient = in_jax(family, pressure, parameters, steps, bits, fact_steps)
        wanted = native(family, pressure, parameters, steps, USES, bits, fact_steps)
        scale = np.maximum(1.0, np.abs(wanted))
        assert found.dtype == np.float64
        assert np.all(np.abs(found - wanted) <= TOLERANCE[family] * scale)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))


@pytest.mark.parametrize("family", PARAMETERS)
def test_gradients_are_those_of_the_kernels(family):
    p, steps = PARAMETERS[family], [300.0, 2e4, 7.0]
    # The first fact costs as much either way under linear: no kink there.
    bits, fact_steps = [2.0, 30.0, 8.0, 0.0, 5.0, 11.0], [40.0, 9e3, 600.0, 3.0, 0.0, 1e4]
    _, found = in_jax(family, 0.7, p, steps, bits, fact_steps)

    def slope(change, value):
        """Central difference along one argument, which `change` moves by an absolute amount."""
        h = 1e-5 * max(value, 1.0)
        return WEIGHTS @ (native(*change(h)) - native(*change(-h))) / (2 * h)

    moved = slope(lambda h: (family, 0.7 + h, p, steps, USES, bits, fact_steps), 0.7)
    np.testing.assert_allclose(found[0], moved, rtol=1e-6, atol=1e-7)
    for name, value in p.items():

        def parameter(h, name=name):
            return family, 0.7, p | {name: p[name] + h}, steps, USES, bits, fact_steps

        np.testing.assert_allclose(found[1][name], slope(parameter, value), rtol=1e-6, atol=1e-7)
    for place in range(3):
        for j, value in enumerate((steps, bits, fact_steps)[place]):
            if value == 0.0:
                continue

            def entry(h, place=place, j=j):
                lists = [list(steps), list(bits), list(fact_steps)]
                lists[place][j] += h
                return family, 0.7, p, lists[0], USES, lists[1], lists[2]

            wanted = slope(entry, value)
            np.testing.assert_allclose(found[2 + place][j], wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("family", "parameters", "steps"),
    [
        ("linear", {"rate": 1e-6}, 10.0),
        ("levin", {"kappa": 0.0}, 10.0),
        ("levin", {"kappa": 1e-7}, 10.0),
        ("levin", {"kappa": 30.0}, 1e-3),
        ("power", {"rate": 1e-6, "exponent": 1.0}, 10.0),
        ("power", {"rate": 1.0, "exponent": 1.0 + 1e-9}, 0.0),
        ("power", {"rate": 1e12, "exponent": 3.0}, 1.0),
        ("power", {"rate": 1e-9, "exponent": 1.01}, 1e12),
    ],
)
def test_finite_everywhere(family, parameters, steps):
    bits, fact_steps = [0.0, 1e6, 3.0, 40.0, 2.0, 2.0], [0.0, 1e12, 1e-6, 1e4, 0.0, 7.0]
    times = [steps, 2 * steps, 1e3 * steps]
    found, gradient = in_jax(family, 0.7, parameters, times, bits, fact_steps)
    wanted = native(family, 0.7, parameters, times, USES, bits, fact_steps)
    assert np.all(np.abs(found - wanted) <= 1e-4 * np.maximum(1.0, np.abs(wanted)))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))


def test_traced_uses_give_the_same():
    arguments = {
        "pressure": 0.7,
        "parameters": {"kappa": 1.3},
        "steps": np.array([3e2, 4e4]),
        "fact_bits": np.array([3.0, 9.0]),
        "fact_steps": np.array([5.0, 1e3]),
    }

    def function(uses):
        return fact_sums_jax.log_fact_factor("levin", uses=uses, **arguments)

    uses = np.array([1.0, 2.0])
    with jax.enable_x64(True):
        traced, known = jax.jit(function)(uses), jax.jit(lambda: function(uses))()
        np.testing.assert_allclose(traced, known, rtol=1e-13)
