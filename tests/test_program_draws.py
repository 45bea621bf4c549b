"""Exact draws of programs: the twin bit for bit, frequencies against all programs, bad input."""

import math
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
from reference import fact_choices
from reference import program_draws as twin
from scipy.stats import chi2

from bayes_mesa.costing.fact_sums import draw_programs
from bayes_mesa.errors import InputError

PARAMETERS = {
    "linear": {"rate": 40.0},
    "levin": {"kappa": 1.3},
    "power": {"rate": 40.0, "exponent": 1.7},
}


def fixed(family, mass, steps, uses, bits, fact_steps, pressure=0.7, rows=1):
    """Arguments of `draw_programs` for one theta, in as many equal rows as asked for."""
    return {
        "family": family,
        "mass": np.tile(mass, (rows, 1)),
        "pressure": np.full(rows, pressure),
        "parameters": {name: np.full(rows, x) for name, x in PARAMETERS[family].items()},
        "steps": np.tile(steps, (rows, 1)),
        "uses": np.array(uses),
        "fact_bits": np.tile(bits, (rows, 1)),
        "fact_steps": np.tile(fact_steps, (rows, 1)),
    }


SMALL = ([0.6, 0.4], [300.0, 20.0], [1.0, 2.0], [2.0, 5.0, 0.5], [40.0, 700.0, 1.0])


def probabilities(family, mass, steps, uses, bits, fact_steps, pressure=0.7):
    """P(structure, stored) as (S, 2^n); bit j of the column is 0 where fact j is stored."""
    out = []
    for m, t, v in zip(mass, steps, uses, strict=True):
        terms = fact_choices.log_terms(family, pressure, PARAMETERS[family], t, v, bits, fact_steps)
        norm = fact_choices.log_sum(terms)
        out.append([m * float(mpmath.exp(x - norm)) for x in terms])
    return np.array(out)


def random_theta(family, rng, rows, n):
    parameters = {
        "linear": {"rate": 10 ** rng.uniform(-2, 6, rows)},
        "levin": {"kappa": 10 ** rng.uniform(-3, 2, rows)},
        "power": {
            "rate": 10 ** rng.uniform(-2, 6, rows),
            "exponent": 1 + 10 ** rng.uniform(-4, 0.7, rows),
        },
    }[family]
    return {
        "family": family,
        "mass": rng.dirichlet(np.ones(3), rows),
        "pressure": np.exp(0.5 * rng.normal(size=rows)),
        "parameters": parameters,
        "steps": 10 ** rng.uniform(0, 8, (rows, 3)),
        "uses": rng.choice([0.0, 1.0, 2.0], 3),
        "fact_bits": rng.uniform(0, 40, (rows, n)),
        "fact_steps": 10 ** rng.uniform(0, 6, (rows, n)),
    }


def assert_same(found, wanted):
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], np.array(wanted[1], bool).reshape(found[1].shape))


@pytest.mark.parametrize("family", PARAMETERS)
@pytest.mark.parametrize("n", [0, 1, 4, 50])
def test_one_program_per_theta_equals_the_twin(family, n):
    theta = random_theta(family, np.random.default_rng(n), 12, n)
    theta["mass"][5] = np.nan
    generators = np.random.PCG64(7), np.random.PCG64(7)
    assert_same(draw_programs(generators[0], **theta), twin.draw_programs(generators[1], **theta))
    assert generators[0].state == generators[1].state


@pytest.mark.parametrize("family", PARAMETERS)
@pytest.mark.parametrize("n", [0, 1, 7])
def test_many_programs_of_one_theta_equal_the_twin(family, n):
    theta = random_theta(family, np.random.default_rng(n), 1, n)
    generators = np.random.PCG64(7), np.random.PCG64(7)
    found = draw_programs(generators[0], **theta, num_draws=300)
    assert_same(found, twin.draw_programs(generators[1], **theta, num_draws=300))
    assert generators[0].state == generators[1].state


def test_ties_are_broken_as_by_the_twin():
    # Even chances: the threshold is 0x8000 in its first 16 bits and 0 below, so ties happen.
    arguments = fixed("linear", [1.0], [1.0], [1.0], [0.0] * 40, [0.0] * 40)
    generators = np.random.PCG64(3), np.random.PCG64(3)
    found = draw_programs(generators[0], **arguments, num_draws=20_000)
    assert_same(found, twin.draw_programs(generators[1], **arguments, num_draws=20_000))
    assert generators[0].state == generators[1].state
    without_ties = np.random.PCG64(3).advance(20_000 * (1 + 10))
    assert generators[0].state != without_ties.state


@pytest.mark.parametrize("family", PARAMETERS)
@pytest.mark.parametrize("varying", [False, True])
def test_frequencies_of_whole_programs(family, varying):
    count = 10_000 if varying else 200_000
    wanted = probabilities(family, *SMALL)
    arguments = fixed(family, *SMALL, rows=count if varying else 1)
    structure, stored = draw_programs(
        np.random.PCG64(42), **arguments, num_draws=None if varying else count
    )
    cell = structure * 8 + (~stored) @ np.array([1, 2, 4])
    found = np.bincount(cell, minlength=16)
    expected = count * wanted.ravel()
    keep = expected > 5
    distance = np.sum((found - expected)[keep] ** 2 / expected[keep])
    # The same false-alarm rate as five standard errors.
    assert distance < chi2.isf(5.7e-7, keep.sum() - 1)
    assert found[~keep].sum() <= expected[~keep].sum() + 5 * math.sqrt(expected[~keep].sum() + 1)


@pytest.mark.parametrize("family", PARAMETERS)
def test_frequencies_of_fourteen_facts(family):
    rng = np.random.default_rng(42)
    bits, fact_steps = rng.uniform(0, 12, 14), 10 ** rng.uniform(0, 4, 14)
    arguments = fixed(family, [0.2, 0.8], [1e3, 2e5], [1.0, 1.0], bits, fact_steps)
    count = 100_000
    structure, stored = draw_programs(np.random.PCG64(42), **arguments, num_draws=count)
    assert abs(np.mean(structure == 0) - 0.2) < 5 * math.sqrt(0.16 / count)
    for s, t in enumerate((1e3, 2e5)):
        choices, terms = fact_choices.log_terms_at_once(
            family, 0.7, PARAMETERS[family], t, 1.0, bits, fact_steps
        )
        weight = np.exp(terms - terms.max())
        wanted = weight @ choices / weight.sum()
        of_s = stored[structure == s]
        error = np.sqrt(wanted * (1 - wanted) / len(of_s))
        assert np.all(np.abs(of_s.mean(axis=0) - wanted) <= 5 * error + 1e-12)


@pytest.mark.parametrize("family", PARAMETERS)
def test_drawing_in_pieces_goes_on_with_the_stream(family):
    theta = random_theta(family, np.random.default_rng(1), 9, 6)
    whole = draw_programs(np.random.PCG64(5), **theta)
    generator = np.random.PCG64(5)
    per_row = ("mass", "pressure", "steps", "fact_bits", "fact_steps")
    pieces = []
    for part in (slice(0, 4), slice(4, 9)):
        piece = theta | {name: theta[name][part] for name in per_row}
        piece["parameters"] = {name: x[part] for name, x in theta["parameters"].items()}
        pieces.append(draw_programs(generator, **piece))
    assert_same(whole, [np.concatenate(parts) for parts in zip(*pieces, strict=True)])


def test_pieces_of_one_theta_go_on_too():
    arguments = fixed("levin", *SMALL)
    whole = draw_programs(np.random.PCG64(5), **arguments, num_draws=1000)
    generator = np.random.PCG64(5)
    parts = [draw_programs(generator, **arguments, num_draws=k) for k in (1, 600, 399)]
    assert_same(whole, [np.concatenate(x) for x in zip(*parts, strict=True)])


@pytest.mark.parametrize("family", PARAMETERS)
def test_threads_do_not_change_programs(family):
    arguments = fixed(family, *SMALL, rows=200)

    def chain(seed):
        return draw_programs(np.random.PCG64(seed), **arguments)

    alone = [chain(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(chain, range(8)))
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


def test_nothing_fits():
    arguments = fixed("levin", *SMALL, rows=2)
    arguments["mass"] = np.full((2, 2), np.nan)
    generator = np.random.PCG64(1)
    structure, stored = draw_programs(generator, **arguments)
    assert structure.tolist() == [-1, -1]
    assert not stored.any()
    assert generator.state == np.random.PCG64(1).state
    one = fixed("levin", *SMALL) | {"mass": [[math.nan, math.nan]]}
    assert draw_programs(generator, **one, num_draws=2)[0].tolist() == [-1, -1]


def test_a_structure_without_mass_is_never_drawn():
    arguments = fixed("power", [0.0, 1.0, 0.0], [1.0, 2.0, 3.0], [1.0] * 3, [2.0], [4.0], rows=50)
    assert set(draw_programs(np.random.PCG64(1), **arguments)[0]) == {1}


def test_certain_facts():
    # A fact too dear to store, one too slow to derive: 1e5 nats apart.
    bits, fact_steps = [1e6, 0.0], [0.0, 1e9]
    arguments = fixed("linear", [1.0], [10.0], [1.0], bits, fact_steps, pressure=1.0)
    _, stored = draw_programs(np.random.PCG64(1), **arguments, num_draws=1000)
    assert not stored[:, 0].any()
    assert stored[:, 1].all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mass": [[1.0]]}, r"mass must have the shape of steps; got \(1, 1\) and \(1, 2\)"),
        ({"mass": [[-0.5, 1.5]]}, r"mass must be >= 0, or NaN where nothing fits; got -0\.5"),
        ({"mass": [[0.0, 0.0]]}, r"every row of mass must have a positive entry; got 0\.0"),
        ({"num_draws": -1}, "num_draws must be >= 0; got -1"),
        ({"uses": [1.0, math.nan]}, "uses must be finite and >= 0; got nan"),
    ],
)
def test_bad_input(change, message):
    arguments = fixed("levin", *SMALL) | {"num_draws": 3} | change
    with pytest.raises(InputError, match=message):
        draw_programs(np.random.PCG64(1), **arguments)


def test_many_draws_need_one_theta():
    with pytest.raises(InputError, match="num_draws needs one row of theta; got 2 rows"):
        draw_programs(np.random.PCG64(1), **fixed("levin", *SMALL, rows=2), num_draws=3)


def test_a_generator_is_required():
    with pytest.raises(InputError, match="bit_generator must be a NumPy BitGenerator; got Generat"):
        draw_programs(np.random.default_rng(1), **fixed("levin", *SMALL))
