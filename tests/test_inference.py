"""The NumPyro programs: sites, densities, constraints by pivot and by wall, what is touched."""

import jax
import numpy as np
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer.util import log_density
from scipy import stats
from small_models import (
    HONEST,
    at_least,
    component,
    correlation,
    family,
    lognormal,
    model,
    prior,
    structure,
    two_sided,
)
from test_prior_draws import ARGUMENTS

from bayes_mesa import numpyro_model
from bayes_mesa.domain.beliefs import FORMS, Known
from bayes_mesa.domain.model import Heuristics, Selection
from bayes_mesa.domain.slots import Slot, slots
from bayes_mesa.errors import InputError
from bayes_mesa.inference.inference import Program, evidence_tables, site_distribution, touched
from bayes_mesa.inference.prior_density import log_prior

HALF_LINE = [n for n in FORMS if prior(n, *ARGUMENTS[n]).support[1] == np.inf]
STEPS_A_AT_LEAST_B = at_least("steps.a", "steps.b")


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def program(found, tables=()):
    chosen = found.families[0]
    everything = frozenset(s.name for s in slots(found, chosen) if s.uncertain)
    return Program(found, chosen, tables, everything)


def log_joint(found, values):
    return float(log_density(program(found), (), {}, values)[0])


def measured(component="a", axis="steps", value=5.0, log_sd=1.0):
    return {
        "m": {
            "kind": "measurement",
            "component": [component],
            "quantity": [axis],
            "value": [value],
            "log_sd": [log_sd],
        }
    }


# --- distributions --------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_a_site_has_the_density_of_the_belief(name):
    found = prior(name, *ARGUMENTS[name])
    x = found.quantile(np.array([0.01, 0.4, 0.99]))
    site = site_distribution(Slot("s", found))
    np.testing.assert_allclose(site.log_prob(x), found.scipy().logpdf(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", HALF_LINE)
def test_a_conditioned_site_keeps_the_density_and_loses_the_rest(name):
    found = prior(name, *ARGUMENTS[name])
    low, inside = found.quantile(np.array([0.3, 0.9]))
    site = site_distribution(Slot("s", found), low)
    assert float(site.log_prob(inside)) == pytest.approx(found.scipy().logpdf(inside))
    assert float(site.log_prob(low * 0.999)) == -np.inf


def test_a_truncated_site_is_renormalised():
    found = prior("LogNormal", 0.2, 0.5, low=1.0)
    site = site_distribution(Slot("s", found))
    grid = np.linspace(1.0, 40.0, 400_001)
    assert np.trapezoid(np.exp(site.log_prob(grid)), grid) == pytest.approx(1.0, abs=1e-8)
    assert float(site.log_prob(0.9)) == -np.inf


@pytest.mark.parametrize("name", HALF_LINE)
def test_draws_of_a_conditioned_site(name):
    found = prior(name, *ARGUMENTS[name])
    low = float(found.quantile(0.8))
    x = np.asarray(site_distribution(Slot("s", found), low).sample(jax.random.PRNGKey(42), (1000,)))
    assert x.min() >= low
    base = found.scipy()
    distance = stats.kstest(x, lambda t: (base.cdf(t) - base.cdf(low)) / base.sf(low)).statistic
    assert distance * np.sqrt(1000) < 2.2


def test_facts_are_one_vector_site():
    site = site_distribution(Slot("fact_bits", lognormal(0.0, 1.0), 3))
    x = np.array([1.0, 2.0, 5.0])
    assert float(site.log_prob(x)) == pytest.approx(stats.lognorm(1.0).logpdf(x).sum())


# --- joint density --------------------------------------------------------------------------

RICH = two_sided(
    (lognormal(1, 1), prior("Gamma", 2.0, 3.0)),
    (0.0, lognormal(0, 1)),
    families=(family("power", rate=lognormal(3, 2), exponent=prior("LogNormal", 0.2, 0.5, low=1)),),
    constraints=(STEPS_A_AT_LEAST_B,),
    correlations=(correlation("bits.a", "steps.a", 0.6),),
    heuristics=Heuristics(("b",), Known(1.0), prior("Uniform", 1.0, 3.0)),
    selection=Selection(lognormal(0, 0.5)),
)
RICH_VALUES = {
    "bits.a": 4.0,
    "steps.a": 2.1,
    "steps.b": 0.8,
    "heuristics_steps": 2.5,
    "pressure": 1.2,
    "power_rate": 30.0,
    "power_exponent": 1.4,
}


def test_joint_density_is_that_of_the_prior():
    chosen = RICH.families[0]
    values = {n: np.array([x]) for n, x in RICH_VALUES.items()}
    terms = log_prior(RICH, slots(RICH, chosen), values)
    assert log_joint(RICH, RICH_VALUES) == pytest.approx(
        sum(t[0] for t in terms.values()), rel=1e-12
    )


def test_joint_density_is_0_where_a_constraint_fails():
    # 0.8 * 2.5 = 2.0 steps after heuristics: 1.9 are too few, though more than 0.8.
    assert log_joint(RICH, RICH_VALUES | {"steps.a": 2.001}) > -np.inf
    assert log_joint(RICH, RICH_VALUES | {"steps.a": 1.9}) == -np.inf


@pytest.mark.parametrize("name", FORMS)
def test_copula_density_for_every_form(name):
    first = prior(name, *ARGUMENTS[name])
    found = two_sided(
        (first, lognormal(0, 1)), correlations=(correlation("bits.a", "steps.a", -0.5),)
    )
    x, y = float(first.quantile(0.7)), 1.5
    z = [stats.norm.ppf(0.7), np.log(y)]
    joint = stats.multivariate_normal([0, 0], [[1, -0.5], [-0.5, 1]]).logpdf(z)
    expected = joint - stats.norm.logpdf(z).sum()
    expected += first.scipy().logpdf(x) + stats.lognorm(1.0).logpdf(y)
    assert log_joint(found, {"bits.a": x, "steps.a": y}) == pytest.approx(expected, rel=1e-9)
    slope = jax.grad(lambda x: log_density(program(found), (), {}, {"bits.a": x, "steps.a": y})[0])
    assert np.isfinite(slope(x))


@pytest.mark.parametrize(
    ("larger", "smaller", "holds", "fails"),
    [
        ("steps.a + steps.b", "steps.c", (1.0, 2.0, 2.9), (1.0, 2.0, 3.1)),
        ("steps.a", "steps.b + steps.c", (5.1, 2.0, 3.0), (4.9, 2.0, 3.0)),
        ("steps.a + steps.a", "steps.c", (1.0, 2.0, 1.9), (1.0, 2.0, 2.1)),
    ],
)
def test_constraints_on_sums(larger, smaller, holds, fails):
    found = chain_of(at_least(larger, smaller))
    prior_only = stats.lognorm(1.0)
    for values, inside in ((holds, True), (fails, False)):
        named = {f"steps.{n}": x for n, x in zip("abc", values, strict=True)}
        expected = prior_only.logpdf(values).sum() if inside else -np.inf
        assert log_joint(found, named) == pytest.approx(expected, rel=1e-12)


def chain_of(*constraints, belief=None):
    belief = belief or lognormal(0, 1)
    return model(
        [component(n, steps=belief) for n in "abc"],
        [structure("one", [], ["a", "b"]), structure("two", [], ["c"], deploy="x")],
        [family("linear", rate=1.0)],
        constraints=constraints,
    )


def test_a_chain_of_constraints_and_two_on_one_side():
    found = chain_of(
        at_least("steps.a", "steps.b"),
        at_least("steps.b", "steps.c"),
        at_least("steps.a", "steps.c"),
    )
    good = {"steps.a": 3.0, "steps.b": 2.0, "steps.c": 1.0}
    assert log_joint(found, good) == pytest.approx(stats.lognorm(1.0).logpdf([3, 2, 1]).sum())
    for wrong in ({"steps.a": 1.5}, {"steps.b": 0.5}, {"steps.c": 2.5}):
        assert log_joint(found, good | wrong) == -np.inf


@pytest.mark.parametrize(
    "found",
    [
        chain_of(at_least("steps.a", "steps.b"), belief=prior("Uniform", 1.0, 4.0)),
        chain_of(at_least("steps.a + steps.b", "steps.a + steps.b")),
        chain_of(
            at_least("steps.a", "steps.b"),
            at_least("steps.b", "steps.c"),
            at_least("steps.c + steps.b", "steps.a"),
        ),
    ],
)
def test_a_constraint_that_no_pivot_can_serve_is_a_wall(found):
    values = {"steps.a": 3.0, "steps.b": 2.5, "steps.c": 1.5}
    expected = sum(
        float(c.steps.scipy().logpdf(x))
        for c, x in zip(found.components, values.values(), strict=True)
    )
    assert log_joint(found, values) == pytest.approx(expected)
    if found.constraints[0].smaller != found.constraints[0].larger:
        assert log_joint(found, values | {"steps.a": 1.2}) == -np.inf


# --- what NUTS moves ------------------------------------------------------------------------


def touched_by(found, evidence):
    return touched(found, found.families[0], evidence_tables(found, evidence))


def test_evidence_touches_what_it_reads():
    found = two_sided(
        (lognormal(0, 1),) * 2,
        (lognormal(0, 1),) * 2,
        families=(family("levin", kappa=lognormal(0, 1)),),
        selection=Selection(lognormal(0, 0.5)),
    )
    choice = {"bits": [1], "steps": [1], "base_steps": [1], "stored": [1], "trials": [1]}
    assert touched_by(found, {"c": {"kind": "choice", **choice}}) == {"pressure", "levin_kappa"}
    assert touched_by(found, measured()) == {"steps.a"}
    counts = {"kind": "selection", "structure": ["honest"], "count": [1]}
    assert touched_by(found, {"s": counts}) == {s.name for s in slots(found, found.families[0])}
    assert touched_by(found, {}) == frozenset()


def test_ties_carry_evidence_along():
    found = two_sided(
        (lognormal(0, 1),) * 2,
        (lognormal(0, 1),) * 2,
        constraints=(STEPS_A_AT_LEAST_B,),
        correlations=(correlation("bits.b", "steps.b", 0.5),),
    )
    assert touched_by(found, measured()) == {"steps.a", "steps.b", "bits.b"}
    assert touched_by(found, measured("a", "bits")) == {"bits.a"}


def test_ties_run_through_heuristics():
    found = two_sided(
        (lognormal(0, 1),) * 2,
        (lognormal(0, 1),) * 2,
        constraints=(STEPS_A_AT_LEAST_B,),
        heuristics=Heuristics(("b",), Known(1.0), lognormal(0, 1)),
    )
    assert touched_by(found, measured()) == {"steps.a", "steps.b", "heuristics_steps"}


def test_sites_are_the_uncertain_slots_and_draws_obey_the_constraints():
    sites = trace(seed(numpyro_model(RICH, {}), 0)).get_trace()
    assert {n for n, s in sites.items() if s["type"] == "sample" and not s["is_observed"]} == set(
        RICH_VALUES
    )
    for key in range(20):
        drawn = trace(seed(numpyro_model(RICH, {}), key)).get_trace()
        value = {n: float(drawn[n]["value"]) for n in RICH_VALUES}
        assert value["steps.a"] >= value["steps.b"] * value["heuristics_steps"] * (1 - 1e-12)
        assert value["power_exponent"] >= 1.0


def test_the_joint_of_all_families_sums_the_family_out():
    families = (family("linear", 0.25, rate=lognormal(0, 1)), family("levin", 0.75, kappa=2.0))
    found = two_sided((3.0, 4.0), (1.0, 9.0), families)
    evidence = {"s": {"kind": "selection", "structure": ["honest", "deceptive"], "count": [2, 1]}}
    joint = log_density(numpyro_model(found, evidence), (), {}, {"linear_rate": 0.7})[0]
    prior_part = stats.lognorm(1.0).logpdf(0.7)
    likelihood = 0.0
    for weight, gap in ((0.25, -2 + 5 / 0.7), (0.75, -2 + 2 * np.log2(9 / 4))):
        deceptive = 1 / (1 + 2.0**gap)
        likelihood += weight * stats.binom.pmf(1, 3, deceptive)
    assert float(joint) == pytest.approx(prior_part + np.log(likelihood), rel=1e-10)


def test_an_unknown_family_is_named():
    with pytest.raises(InputError, match="family must be one of linear, found 'cubic'"):
        numpyro_model(two_sided(), {}, family="cubic")


def test_jax_is_left_in_single_precision():
    assert HONEST.name == "honest"
    with jax.enable_x64(False):
        numpyro_model(RICH, {})
        assert not jax.config.jax_enable_x64
