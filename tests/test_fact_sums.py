"""Exact sums over fact choices: by hand, against all 2^n choices, the twin, laws, bad input."""

import math

import numpy as np
import pytest
from reference import fact_choices
from reference import fact_sums as twin

from bayes_mesa.costing.fact_sums import log_fact_factor
from bayes_mesa.errors import InputError

PARAMETERS = {
    "linear": {"rate": 40.0},
    "levin": {"kappa": 1.3},
    "power": {"rate": 40.0, "exponent": 1.7},
}


def factor(family, pressure, parameters, t, uses, bits, steps):
    """log_factor and error of one draw of one structure."""
    sums = log_fact_factor(
        family,
        pressure=[pressure],
        parameters={name: [value] for name, value in parameters.items()},
        steps=[[t]],
        uses=[uses],
        fact_bits=[bits],
        fact_steps=[steps],
    )
    return float(sums.log_factor[0, 0]), float(sums.error[0, 0])


def check(family, pressure, parameters, t, uses, bits, steps, tolerance=1e-12):
    """Within `tolerance` (relative where the log is large) and within the error it states."""
    found, error = factor(family, pressure, parameters, t, uses, bits, steps)
    wanted = fact_choices.log_fact_factor(family, pressure, parameters, t, uses, bits, steps)
    assert abs(found - wanted) <= tolerance * max(1.0, abs(wanted))
    assert abs(found - wanted) <= error
    assert error <= 100 * tolerance * max(1.0, abs(wanted))


def facts_of_penalty(rng, n, pressure, penalty, exponent, rate, largest=60.0):
    """Base steps of a given penalty in nats, and facts whose two prices are comparable."""
    nats = pressure * math.log(2)
    t = rate * (penalty / nats) ** exponent
    bits = rng.uniform(0, largest, n)
    extra = bits * nats * 10 ** rng.uniform(-1.5, 0.7, n)
    return t, bits, np.array([t * math.expm1(exponent * math.log1p(x / penalty)) for x in extra])


def test_one_fact_by_hand():
    store = 2.0 ** -(0.7 * 5)
    by_hand = {
        "linear": math.log(store + 2.0 ** (-0.7 * 2 * 30 / 40)),
        "levin": math.log(store + (100 / 160) ** (0.7 * 1.3)),
        "power": math.log(store + 2.0 ** (-0.7 * (4 ** (1 / 1.7) - 2.5 ** (1 / 1.7)))),
    }
    for family, wanted in by_hand.items():
        found, _ = factor(family, 0.7, PARAMETERS[family], 100.0, 2.0, [5.0], [30.0])
        assert found == pytest.approx(wanted, rel=0, abs=1e-14)


def test_two_free_facts_double_twice():
    for family, parameters in PARAMETERS.items():
        found, _ = factor(family, 0.7, parameters, 100.0, 1.0, [0.0, 0.0], [0.0, 0.0])
        assert found == pytest.approx(2 * math.log(2), rel=0, abs=1e-15)


@pytest.mark.parametrize("family", PARAMETERS)
def test_three_structures_and_fourteen_facts(family):
    rng = np.random.default_rng(42)
    bits, steps = rng.uniform(2, 60, 14), 10 ** rng.uniform(1, 5, 14)
    times, uses = [1e3, 3e4, 5e6], [1.0, 2.0, 1.0]
    sums = log_fact_factor(
        family,
        pressure=[0.7],
        parameters={name: [value] for name, value in PARAMETERS[family].items()},
        steps=[times],
        uses=uses,
        fact_bits=[bits],
        fact_steps=[steps],
    )
    for s in range(3):
        wanted = fact_choices.log_sum_at_once(
            family, 0.7, PARAMETERS[family], times[s], uses[s], bits, steps
        )
        assert abs(sums.log_factor[0, s] - wanted) <= 1e-12 * max(1.0, abs(wanted))
        assert abs(sums.log_factor[0, s] - wanted) <= sums.error[0, s]


@pytest.mark.parametrize("power", [1e-6, 0.02, 0.05, 0.3, 1, 1.3, 4, 12, 100, 1000])
def test_levin_over_pressure_times_kappa(power):
    rng = np.random.default_rng(round(1e6 * power))
    for ratio in (-3, 0, 3, 8):
        bits = rng.uniform(0, 60, 7)
        steps = 1e4 * 10 ** (ratio + rng.uniform(-2, 2, 7))
        check("levin", 0.7, {"kappa": power / 0.7}, 1e4, 1.0, bits, steps)


@pytest.mark.parametrize("exponent", [1.0, 1 + 1e-12, 1 + 1e-6, 1.001, 1.01, 1.26, 1.7, 2.5, 4, 6])
def test_power_over_exponents_and_penalties(exponent):
    rng = np.random.default_rng(round(1e6 * exponent))
    for penalty in 10.0 ** np.array([-8, -3, -1, 0, 1, 2, 4, 8, 12]):
        rate = 10 ** rng.uniform(-2, 6)
        t, bits, steps = facts_of_penalty(rng, 5, 0.7, penalty, exponent, rate)
        check("power", 0.7, {"rate": rate, "exponent": exponent}, t, 1.0, bits, steps)


@pytest.mark.slow
@pytest.mark.parametrize("family", PARAMETERS)
def test_over_the_shipped_priors(family):
    rng = np.random.default_rng(42)
    for _ in range(300):
        parameters = {
            "linear": {"rate": math.exp(rng.normal(4.6, 5.6))},
            "levin": {"kappa": math.exp(rng.normal(0.35, 0.63))},
            "power": {
                "rate": math.exp(rng.normal(4.6, 5.6)),
                "exponent": max(1.0, 1.26 * math.exp(rng.normal(0, 0.47))),
            },
        }[family]
        bits, steps = rng.uniform(2, 60, 6), 10 ** rng.uniform(1, 5, 6)
        pressure, t = math.exp(rng.normal(0, 0.5)), 10 ** rng.uniform(0, 10.5)
        check(family, pressure, parameters, t, 1.0, bits, steps)


@pytest.mark.parametrize("family", PARAMETERS)
@pytest.mark.parametrize(
    ("t", "uses", "bits", "steps"),
    [
        (50.0, 1.0, [0.0, 3.0, 0.0], [10.0, 0.0, 0.0]),
        (50.0, 0.0, [1.0, 3.0], [10.0, 1e9]),
        (50.0, 1.0, [1e6, 1e6, 2.0], [10.0, 1e4, 1e6]),
        (1e-3, 1.0, [1e6, 1e6], [1e12, 1e15]),
        (1e15, 1.0, [5.0, 1e-3], [1e-3, 1.0]),
        (1.0, 1.0, [5.0, 20.0], [1e15, 1e14]),
        (1e300, 3.0, [5.0, 20.0], [1e300, 1e299]),
    ],
    ids=["free", "unused", "dear", "dear and slow", "tiny steps", "huge ratio", "huge steps"],
)
def test_extremes(family, t, uses, bits, steps):
    check(family, 0.9, PARAMETERS[family], t, uses, bits, steps)


def test_steps_near_the_largest_double():
    found, _ = factor("levin", 0.9, {"kappa": 1.3}, 1e308, 2.0, [5.0, 20.0], [1.7e308, 1e300])
    store = 2.0 ** -(0.9 * np.array([5.0, 20.0]))
    slow = math.log(store[0] + (1 + 2 * 1.7) ** -(0.9 * 1.3))
    assert found == pytest.approx(slow + math.log1p(store[1]), rel=0, abs=1e-7)


@pytest.mark.parametrize("family", PARAMETERS)
@pytest.mark.parametrize("count", [100, 1000])
def test_a_thousand_equal_facts(family, count):
    for t, bits, steps in ((1e5, 3.0, 100.0), (10.0, 0.3, 1e-2), (1e4, 40.0, 300.0)):
        parameters = PARAMETERS[family]
        found, error = factor(family, 0.8, parameters, t, 1.0, [bits] * count, [steps] * count)
        wanted = fact_choices.equal_facts(family, 0.8, parameters, t, bits, steps, count)
        assert abs(found - wanted) <= min(error, 1e-11 * max(1.0, abs(wanted)))


@pytest.mark.parametrize("exponent", [1.01, 1.26, 4.0])
def test_many_dear_and_slow_facts_under_power(exponent):
    # The peak of the sum is far from that of the structure alone: thousands of nodes apart.
    parameters = {"rate": 100.0, "exponent": exponent}
    for t, bits, steps, count in (
        (1e3, 3e5, 1e7, 300),
        (1.0, 1e6, 1e12, 50),
        (1e-3, 3.0, 1e9, 300),
    ):
        found, error = factor("power", 1.0, parameters, t, 1.0, [bits] * count, [steps] * count)
        wanted = fact_choices.equal_facts("power", 1.0, parameters, t, bits, steps, count)
        assert abs(found - wanted) <= min(error, 1e-11 * max(1.0, abs(wanted)))


def test_power_from_no_steps_at_all():
    check("power", 0.7, {"rate": 3.0, "exponent": 1.4}, 0.0, 1.0, [4.0, 9.0], [20.0, 700.0])


@pytest.mark.parametrize("family", PARAMETERS)
def test_no_pressure_counts_the_choices(family):
    found, _ = factor(family, 0.0, PARAMETERS[family], 10.0, 1.0, [4.0, 9.0], [20.0, 700.0])
    assert found == pytest.approx(2 * math.log(2), rel=0, abs=1e-15)


def test_kappa_zero_makes_time_free():
    found, _ = factor("levin", 1.0, {"kappa": 0.0}, 10.0, 1.0, [1.0, 2.0], [20.0, 700.0])
    assert found == pytest.approx(math.log(1.5) + math.log(1.25), rel=0, abs=1e-15)


def test_exponent_one_is_linear():
    facts = [3.0, 8.0, 20.0], [20.0, 700.0, 1e3]
    power, _ = factor("power", 0.7, {"rate": 50.0, "exponent": 1.0}, 1e3, 1.0, *facts)
    linear, _ = factor("linear", 0.7, {"rate": 50.0}, 1e3, 1.0, *facts)
    assert power == pytest.approx(linear, rel=0, abs=1e-14)


@pytest.mark.parametrize("family", PARAMETERS)
def test_order_of_facts_does_not_matter(family):
    rng = np.random.default_rng(42)
    bits, steps = rng.uniform(2, 60, 40), 10 ** rng.uniform(1, 5, 40)
    order = rng.permutation(40)
    first, _ = factor(family, 0.7, PARAMETERS[family], 1e4, 1.0, bits, steps)
    second, _ = factor(family, 0.7, PARAMETERS[family], 1e4, 1.0, bits[order], steps[order])
    assert first == pytest.approx(second, rel=1e-14)


def test_levin_does_not_know_the_unit_of_time():
    facts = np.array([3.0, 8.0, 20.0]), np.array([20.0, 700.0, 1e3])
    seconds, _ = factor("levin", 0.7, {"kappa": 1.3}, 1e3, 1.0, *facts)
    hours, _ = factor("levin", 0.7, {"kappa": 1.3}, 1e3 / 3600, 1.0, facts[0], facts[1] / 3600)
    assert seconds == pytest.approx(hours, rel=1e-13)


def test_no_facts_no_factor():
    sums = log_fact_factor(
        "levin",
        pressure=[1.0],
        parameters={"kappa": [1.0]},
        steps=[[3.0, 4.0]],
        uses=[1.0, 1.0],
        fact_bits=np.empty((1, 0)),
        fact_steps=np.empty((1, 0)),
    )
    assert sums.log_factor.tolist() == [[0.0, 0.0]]
    assert sums.error.tolist() == [[0.0, 0.0]]


def random_theta(family, rng, rows=3, structures=3):
    n = int(rng.integers(1, 30))
    parameters = {
        "linear": {"rate": 10 ** rng.uniform(-2, 6, rows)},
        "levin": {"kappa": 10 ** rng.uniform(-3, 2, rows)},
        "power": {
            "rate": 10 ** rng.uniform(-2, 6, rows),
            "exponent": 1 + 10 ** rng.uniform(-4, 0.7, rows),
        },
    }[family]
    return {
        "pressure": np.exp(rng.normal(size=rows)),
        "parameters": parameters,
        "steps": 10 ** rng.uniform(0, 10, (rows, structures)),
        "uses": rng.choice([0.0, 1.0, 1.0, 2.0], structures),
        "fact_bits": rng.uniform(0, 60, (rows, n)) * 10 ** rng.uniform(-1, 2, (rows, n)),
        "fact_steps": 10 ** rng.uniform(0, 10, (rows, n)),
    }


@pytest.mark.parametrize("family", PARAMETERS)
def test_equal_to_the_twin_to_the_last_bit(family):
    rng = np.random.default_rng(42)
    for _ in range(6):
        theta = random_theta(family, rng)
        sums = log_fact_factor(family, **theta)
        log_factor, error = twin.log_fact_factor(family, **theta)
        np.testing.assert_array_equal(sums.log_factor, log_factor)
        np.testing.assert_array_equal(sums.error, error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "cubic"}, "family must be linear, levin or power; got 'cubic'"),
        ({"pressure": [1.0, 2.0]}, r"pressure must have shape \(1,\); got \(2,\)"),
        ({"pressure": [-1.0]}, r"pressure must be finite and >= 0; got -1\.0"),
        ({"pressure": [math.nan]}, "pressure must be finite and >= 0; got nan"),
        ({"parameters": {"kappa": [-1.0]}}, r"kappa must be finite and >= 0; got -1\.0"),
        ({"parameters": {"rate": [1.0]}}, "levin needs the parameters kappa; got rate"),
        ({"steps": [1.0]}, "steps must have 2 dimensions; got 1"),
        ({"steps": [[0.0]]}, r"steps must be finite and > 0; got 0\.0"),
        ({"uses": [1.0, 1.0]}, r"uses must have shape \(1,\); got \(2,\)"),
        ({"uses": [-0.5]}, r"uses must be finite and >= 0; got -0\.5"),
        ({"fact_bits": [[1.0, -2.0]]}, r"fact_bits must be finite and >= 0; got -2\.0"),
        ({"fact_steps": [[1.0]]}, r"fact_steps must have shape \(1, 2\); got \(1, 1\)"),
        ({"fact_steps": [[1.0, math.inf]]}, "fact_steps must be finite and >= 0; got inf"),
    ],
)
def test_bad_input(change, message):
    arguments = {
        "family": "levin",
        "pressure": [1.0],
        "parameters": {"kappa": [1.0]},
        "steps": [[3.0]],
        "uses": [1.0],
        "fact_bits": [[1.0, 2.0]],
        "fact_steps": [[3.0, 4.0]],
    } | change
    with pytest.raises(InputError, match=message):
        log_fact_factor(**arguments)


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("linear", {"rate": [0.0]}, r"rate must be finite and > 0; got 0\.0"),
        (
            "power",
            {"rate": [1.0], "exponent": [0.9]},
            r"exponent must be finite and >= 1; got 0\.9",
        ),
    ],
)
def test_bad_parameters(family, parameters, message):
    with pytest.raises(InputError, match=message):
        log_fact_factor(
            family,
            pressure=[1.0],
            parameters=parameters,
            steps=[[3.0]],
            uses=[1.0],
            fact_bits=[[1.0]],
            fact_steps=[[1.0]],
        )
