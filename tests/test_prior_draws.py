"""Draws from the conditioned prior: its quantiles, its constraints, its copula, its streams."""

import numpy as np
import pytest
from scipy import stats
from small_models import (
    at_least,
    component,
    correlation,
    family,
    known_facts,
    lognormal,
    model,
    prior,
    structure,
    two_sided,
)

from bayes_mesa.domain.beliefs import FORMS, Known
from bayes_mesa.domain.model import Facts, Heuristics, Selection
from bayes_mesa.domain.slots import Slot, slots
from bayes_mesa.errors import InputError
from bayes_mesa.inference.prior_density import log_prior
from bayes_mesa.verdicts.prior_draws import draw_prior

SIZE = 40_000
ARGUMENTS = {
    "LogNormal": (0.3, 0.7),
    "Gamma": (2.0, 3.0),
    "InverseGamma": (3.0, 2.0),
    "Exponential": (2.0,),
    "HalfNormal": (2.0,),
    "Uniform": (1.0, 4.0),
    "LogUniform": (1.0, 4.0),
    "Weibull": (2.0, 1.5),
    "Beta": (2.0, 3.0),
}


def drawn(found, size=SIZE, seed=42):
    rng = np.random.default_rng(seed)
    return draw_prior(found, slots(found, found.families[0]), size, rng)


def ks(x, cdf):
    """Distance in units that 5 of exceed with probability under 1e-20 (Kolmogorov)."""
    return stats.kstest(x, cdf).statistic * np.sqrt(len(x))


@pytest.mark.parametrize("name", FORMS)
def test_draws_have_the_prior_s_distribution(name):
    found = prior(name, *ARGUMENTS[name])
    x = found.at_score(np.random.default_rng(42).standard_normal(SIZE))
    assert ks(x, found.scipy().cdf) < 2.2


def test_draws_of_a_truncated_prior():
    found = prior("LogNormal", 0.0, 1.0, low=1.0)
    x = found.at_score(np.random.default_rng(42).standard_normal(SIZE))
    assert found.share_cut == pytest.approx(0.5)
    assert x.min() >= 1.0
    assert ks(x, lambda t: 2 * stats.norm.cdf(np.log(t)) - 1) < 2.2


def test_far_ends_keep_their_digits():
    found = prior("LogNormal", 0.0, 1.0, low=1.0)
    assert found.at_score(np.array([-8.5]))[0] >= 1.0
    assert np.isfinite(found.at_score(np.array([8.0]))[0])
    plain = lognormal(2.0, 3.0).at_score(np.array([-9.0, 9.0]))
    np.testing.assert_allclose(plain, np.exp([2 - 27, 2 + 27]), rtol=1e-12)


def test_known_numbers_are_filled_in():
    found = drawn(two_sided((3.0, 1.0), (lognormal(0, 1), 7.0)), 10)
    np.testing.assert_array_equal(found.values["bits.a"], np.full(10, 3.0))
    assert found.acceptance == 1.0


def test_each_fact_has_a_draw_of_its_own():
    facts = Facts(("f", "g"), (lognormal(0, 1),) * 2, (Known(5.0),) * 2, ((), ()))
    found = drawn(two_sided(facts=facts)).values
    assert found["fact_bits"].shape == found["fact_steps"].shape == (SIZE, 2)
    np.testing.assert_array_equal(found["fact_steps"], 5.0)
    assert abs(np.corrcoef(np.log(found["fact_bits"]).T)[0, 1]) < 5 / np.sqrt(SIZE)


def test_known_facts_have_no_slot():
    assert not any(
        s.name.startswith("fact") for s in slots(two_sided(facts=known_facts([1.0], [2.0])))
    )


def test_constraint_conditions_the_prior():
    # Two equal lognormals, a >= b: a is the larger of the two.
    found = two_sided(
        (0.0, lognormal(1.0, 2.0)),
        (0.0, lognormal(1.0, 2.0)),
        constraints=(at_least("steps.a", "steps.b"),),
    )
    draws = drawn(found)
    a, b = draws.values["steps.a"], draws.values["steps.b"]
    assert (a >= b).all()
    assert draws.acceptance == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(SIZE))
    assert ks(a, lambda x: stats.lognorm(2.0, scale=np.e).cdf(x) ** 2) < 2.2
    assert len(a) == len(b) == SIZE


def test_constraint_on_sums_and_effective_costs():
    parts = [component(n, steps=lognormal(0.0, 1.0)) for n in "abc"]
    found = model(
        parts,
        [structure("one", [], ["a", "b"]), structure("two", [], ["c"], deploy="x")],
        [family("linear", rate=1.0)],
        constraints=(at_least("steps.a + steps.b", "steps.c"),),
        heuristics=Heuristics(("c",), Known(1.0), lognormal(1.0, 0.5)),
    )
    v = drawn(found).values
    assert (v["steps.a"] + v["steps.b"] >= v["steps.c"] * v["heuristics_steps"]).all()


@pytest.mark.parametrize("known", [True, False])
def test_constraints_that_never_hold(known):
    a, b = (1.0, 2.0) if known else (lognormal(0.0, 0.1), lognormal(5.0, 0.1))
    found = two_sided((0.0, a), (0.0, b), constraints=(at_least("steps.a", "steps.b"),))
    with pytest.raises(InputError, match=r"at least 0\.0001 of the prior.*steps\.a >= steps\.b"):
        drawn(found, 10)


@pytest.mark.parametrize("rho", [-0.8, 0.5])
def test_copula_keeps_marginals_and_sets_the_correlation_of_scores(rho):
    found = two_sided(
        (prior("Gamma", 2.0, 3.0), 1.0),
        (0.0, lognormal(1.0, 2.0)),
        correlations=(correlation("bits.a", "steps.b", rho),),
    )
    v = drawn(found).values
    gamma, other = prior("Gamma", 2.0, 3.0).scipy(), lognormal(1.0, 2.0).scipy()
    assert ks(v["bits.a"], gamma.cdf) < 2.2
    assert ks(v["steps.b"], other.cdf) < 2.2
    scores = [stats.norm.ppf(gamma.cdf(v["bits.a"])), stats.norm.ppf(other.cdf(v["steps.b"]))]
    assert np.corrcoef(scores)[0, 1] == pytest.approx(rho, abs=5 * (1 - rho**2) / np.sqrt(SIZE))


def test_three_correlated_quantities():
    parts = [component(n, bits=lognormal(0.0, 1.0)) for n in "abc"]
    found = model(
        parts,
        [structure("one", ["a", "b"]), structure("two", ["c"], deploy="x")],
        [family("linear", rate=1.0)],
        correlations=(correlation("bits.a", "bits.b", 0.7), correlation("bits.c", "bits.a", -0.4)),
    )
    v = drawn(found).values
    matrix = np.corrcoef([np.log(v[f"bits.{n}"]) for n in "abc"])
    expected = [[1, 0.7, -0.4], [0.7, 1, 0], [-0.4, 0, 1]]
    np.testing.assert_allclose(matrix, expected, atol=5 / np.sqrt(SIZE))


def test_same_seed_same_bytes_and_another_seed_others():
    found = two_sided((lognormal(0, 1), 1.0), (0.0, lognormal(0, 1)))
    first, again, other = (drawn(found, 100, seed).values for seed in (1, 1, 2))
    assert all(first[n].tobytes() == again[n].tobytes() for n in first)
    assert (first["bits.a"] != other["bits.a"]).all()
    assert (first["bits.a"] != first["steps.b"]).all()


def test_log_prior_is_the_density():
    found = two_sided(
        (prior("Gamma", 2.0, 3.0), 1.0),
        (0.0, lognormal(1.0, 2.0)),
        families=(family("power", rate=3.0, exponent=prior("LogNormal", 0.2, 0.5, low=1.0)),),
        correlations=(correlation("bits.a", "steps.b", 0.6),),
        selection=Selection(lognormal(0, 0.5)),
    )
    values = {
        "bits.a": np.array([0.4]),
        "steps.b": np.array([9.0]),
        "power_exponent": np.array([1.3]),
        "pressure": np.array([1.1]),
    }
    terms = log_prior(found, slots(found, found.families[0]), values)
    assert set(terms) == {*values, "correlations"}
    cut = stats.lognorm(0.5, scale=np.exp(0.2))
    assert terms["power_exponent"][0] == pytest.approx(cut.logpdf(1.3) - cut.logsf(1.0))
    z = [stats.norm.ppf(stats.gamma(2, scale=1 / 3).cdf(0.4)), (np.log(9) - 1) / 2]
    joint = stats.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).logpdf(z)
    assert terms["correlations"][0] == pytest.approx(joint - stats.norm.logpdf(z).sum())


def test_log_prior_of_facts_is_summed():
    slot = Slot("fact_bits", lognormal(0.0, 1.0), 3)
    x = np.array([[1.0, 2.0, 5.0]])
    found = log_prior(two_sided(), [slot], {"fact_bits": x})["fact_bits"]
    assert found[0] == pytest.approx(stats.lognorm(1.0).logpdf(x).sum())
