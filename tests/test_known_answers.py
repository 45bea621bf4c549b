"""Answers that the design of the package states, or that have a closed form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from small_models import family, lognormal, two_sided

from bayes_mesa import fit, load_model, summarize

#: P(deceptive favored) on the opinion priors; half a unit of the last digit given is its rounding.
FIXED = {
    ("linear", 1.0): ((0.0174, 5e-5), (0.016, 5e-4)),
    ("linear", 1e2): ((0.169, 5e-4), (0.167, 5e-4)),
    ("linear", 1e4): ((0.519, 5e-4), (0.518, 5e-4)),
    ("linear", 1e6): ((0.783, 5e-4), (0.783, 5e-4)),
    ("levin", 1.0): ((0.871, 5e-4), (0.871, 5e-4)),
}


@pytest.fixture(scope="module")
def shipped():
    return load_model("speed_simplicity")


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("exchange", FIXED, ids=str)
def test_probabilities_at_fixed_exchange(shipped, exchange, constrained):
    name, value = exchange
    parameter = "rate" if name == "linear" else "kappa"
    found = replace(
        shipped,
        families=(family(name, **{parameter: value}),),
        constraints=shipped.constraints if constrained else (),
    )
    post = fit(found, {}, num_samples=25_000, num_chains=4, seed=42)
    result = summarize(post)
    expected, rounding = FIXED[exchange][constrained]
    favored = result["deceptive_favored"]
    assert abs(favored["mean"] - expected) < 4 * favored["mcse"] + rounding
    assert 0 < favored["mcse"] < 2e-3
    never = result["structures"]["fast_deceptive"]["favored"]
    assert (never["mean"], never["upper"]) == (0.0, 0.0)


def test_the_fast_deceptive_structure_is_never_favored_and_it_is_said_why(shipped):
    result = summarize(fit(shipped, {}, num_samples=500, seed=1))
    favored = result["structures"]["fast_deceptive"]["favored"]
    assert favored == {"mean": 0.0, "mcse": 0.0, "lower": 0.0, "upper": 0.0}
    statement = next(s for s in result["dominance"] if s["loser"] == "fast_deceptive")
    assert (statement["winner"], statement["needs"]) == ("fast_honest", [])
    assert "fast_honest" in statement["text"]


def test_the_honest_one_has_more_bits_iff_its_objective_has(shipped):
    post = fit(shipped, {}, num_samples=500, seed=1)["posterior"]
    bits = post["bits"].sel
    more = post["structure_bits"].sel(structure="fast_honest") > post["structure_bits"].sel(
        structure="slow_deceptive"
    )
    objective = bits(component="get_base_obj") > (
        bits(component="simplest_obj") + bits(component="combine")
    )
    # The totals are of 1e9 bits, the differences of tens: a rounding may part them.
    assert (more == objective).mean() > 0.999


@pytest.mark.parametrize("rate", [0.5, 20.0, 4000.0])
def test_lognormal_closed_form(rate):
    # Honest: Δc bits and no steps; deceptive: Δt steps and no bits.
    mu_g, mu_c, mu_t = np.log(rate), 4.0, 6.0
    sd_g, sd_c, sd_t = 1.1, 1.5, 2.0
    found = two_sided(
        (lognormal(mu_c, sd_c), 0.0),
        (0.0, lognormal(mu_t, sd_t)),
        families=(family("linear", rate=lognormal(mu_g, sd_g)),),
    )
    post = fit(found, {}, num_samples=25_000, num_chains=4, seed=42)
    exact = norm.cdf((mu_g + mu_c - mu_t) / np.sqrt(sd_g**2 + sd_c**2 + sd_t**2))
    favored = summarize(post)["deceptive_favored"]
    assert abs(favored["mean"] - exact) < 4 * favored["mcse"]
    draws = post["posterior_linear"]
    critical = draws["steps"][..., 1] / draws["bits"][..., 0]
    np.testing.assert_allclose(draws["critical_rate"], critical, rtol=1e-12)
    np.testing.assert_array_equal(
        draws["deceptive_favored"], draws["linear_rate"] > draws["critical_rate"]
    )


def test_the_inequality_of_the_post_is_the_reversed_one(shipped):
    # Under an additive exchange the slow deceptive one can only win where the honest objective,
    # with the steps of its proxy, costs more than working the objective out.
    post = fit(shipped, {}, num_samples=2000, seed=1)["posterior_linear"]
    rate = post["linear_rate"]
    honest = (
        post["bits"].sel(component="get_base_obj")
        + post["steps"].sel(component="get_base_obj") / rate
    )
    working_out = post["steps"].sel(component="find_base_obj") / rate
    wins = post["structure_favored"].sel(structure="slow_deceptive").astype(bool)
    assert wins.any()
    assert (honest > working_out).to_numpy()[wins.to_numpy()].all()
