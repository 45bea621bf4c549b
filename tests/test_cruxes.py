"""Cruxes, on models whose answer is known: one belief, two halves, interaction only."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import pytest
from scipy.stats import norm
from small_models import (
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
from typer.testing import CliRunner

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Facts, Path, Selection
from bayes_mesa.errors import InputError
from bayes_mesa.handing_on.reloaded import reloaded_model
from bayes_mesa.handing_on.slot_draws import slot_draws
from bayes_mesa.inference.fitting import fit
from bayes_mesa.interface.cli import app
from bayes_mesa.interface.crux_text import cruxes_text
from bayes_mesa.interface.page_text import show
from bayes_mesa.model_file import load_model
from bayes_mesa.pages.report import render
from bayes_mesa.regimes.updating import update
from bayes_mesa.results.store import save_posterior
from bayes_mesa.sensitivity.crux import crux_table, cruxes
from bayes_mesa.sensitivity.crux_result import FAMILY, FROM_DRAWS, REJUDGED_DRAWS, REJUDGED_PRIOR
from bayes_mesa.sensitivity.crux_sample import _inflation
from bayes_mesa.sensitivity.crux_table import HEADER, sensitivity_text
from bayes_mesa.sensitivity.flips import smallest_factor
from bayes_mesa.sensitivity.partial_information import (
    Decision,
    worth_of_everything,
    worth_of_group,
    worth_of_one,
)
from bayes_mesa.sensitivity.power_scaling import (
    likelihood_sensitivities,
    prior_noise,
    prior_sensitivity,
)
from bayes_mesa.sensitivity.redrawing import Redraw
from bayes_mesa.sensitivity.rejudging import Judge, whole_values
from bayes_mesa.sensitivity.variance_shares import (
    Mixture,
    first_order,
    first_order_of_groups,
    total_effect,
    totals_of_draws,
)

N = 4000


def close(share, true, slack=0.0):
    """Within five standard errors, as the interval tells them."""
    error = max(share.upper - share.mean, share.mean - share.lower) / 1.645
    return abs(share.mean - true) <= 5.0 * error + slack


def by_name(found):
    return {c.name: c for c in found.rows}


# --- the estimators, on arrays -----------------------------------------------------------------


def test_a_belief_that_decides_alone_has_the_whole_variance():
    x = np.random.default_rng(42).random((3, N))
    for cut in (0.5, 0.95):
        y = (x[0] > cut).astype(float)
        assert first_order(x[0], y).mean > 0.99
        assert close(first_order(x[1], y), 0.0, 1e-3)


def test_two_beliefs_that_decide_together_have_a_third_each_alone_and_two_thirds_in_all():
    x, again = np.random.default_rng(42).random((2, 2, N))
    y = (x[0] + x[1] > 1.0).astype(float)
    for k in range(2):
        assert close(first_order(x[k], y), 1 / 3)
        redone = (again[k] + x[1 - k] > 1.0).astype(float)
        assert close(total_effect(y, redone), 2 / 3)


def test_an_interaction_has_all_in_total_and_nothing_alone():
    x, again = np.random.default_rng(42).random((2, 2, N)) > 0.5
    y = (x[0] ^ x[1]).astype(float)
    for k in range(2):
        assert close(first_order(x[k] + 0.0, y), 0.0, 1e-3)
        assert close(total_effect(y, (again[k] ^ x[1 - k]).astype(float)), 1.0)


def test_shares_of_a_sum_of_normals():
    rng = np.random.default_rng(42)
    x = rng.standard_normal((3, N)) * np.array([[3.0], [1.0], [0.0]])
    y = x.sum(axis=0)
    for k, share in enumerate((0.9, 0.1, 0.0)):
        assert close(first_order(x[k], y), share, 2e-3)
        redone = y - x[k] + rng.permutation(x[k])
        assert close(total_effect(y, redone), share)


@pytest.mark.slow
@pytest.mark.parametrize("true", [0.1, 0.5, 0.9])
def test_intervals_cover_as_they_say(true):
    rng = np.random.default_rng(42)
    hits = np.zeros(2)
    for _ in range(400):
        x, e, new = rng.standard_normal((3, N))
        a, b = math.sqrt(true), math.sqrt(1.0 - true)
        found = (first_order(x, a * x + b * e), total_effect(a * x + b * e, a * new + b * e))
        hits += [s.lower <= true <= s.upper for s in found]
    # 90 % wanted; where x has nearly all of the variance the O(1/N) bias shows.
    assert np.all(hits / 400 > 0.8)


def test_what_never_changes_may_still_change_too_rarely_to_be_seen():
    y = np.r_[np.zeros(50), np.ones(50)]
    found = total_effect(y, y)
    assert found.mean == found.lower == 0.0
    assert found.upper == pytest.approx((1.0 - 0.05**0.01) / 2 / 0.25)
    assert math.isnan(total_effect(np.ones(9), np.ones(9)).mean)
    assert math.isnan(first_order(np.arange(99.0), np.ones(99)).mean)


def test_what_a_single_draw_says_is_not_certain():
    """One draw of 400 decides otherwise: whether it changes says nothing of the next one."""
    y = np.r_[np.zeros(399), 1.0]
    for again in (np.zeros(400), np.r_[1.0, np.zeros(398), 1.0]):
        found = total_effect(y, again)
        assert found.lower < 0.1
        assert found.upper > 0.9
    found = first_order(np.random.default_rng(42).random(400), y)
    assert found.upper > 0.9
    found = first_order_of_groups(np.arange(400) % 2, y)
    assert found.upper > 0.9


def test_errors_of_the_families_probabilities_count():
    """Family 0: y = x > 0; family 1: y = e > 1.5. Probabilities known to ± 0.05."""

    def sample(rng, pi, size):
        label = (np.arange(size) >= round(pi * size)).astype(int)
        x, e, new = rng.standard_normal((3, size))
        other = (rng.random(size) >= pi).astype(int)
        y, again, under = (
            np.where(f == 0, z > 0.0, e > 1.5) + 0.0
            for f, z in ((label, x), (label, new), (other, x))
        )
        gain = Decision(1.0, -3.0).gain(y)
        mixture = Mixture(label, 0.05**2 * np.array([[1.0, -1.0], [-1.0, 1.0]]))
        return x, y, again, under, label, gain, mixture

    def shares(x, y, again, under, label, gain, mixture):
        return (
            first_order(x, y, mixture=mixture),
            total_effect(y, again, mixture=mixture),
            total_effect(y, under, mixture=mixture, of_mixture=True),
            first_order_of_groups(label, y, mixture=mixture),
        )

    true = [s.mean for s in shares(*sample(np.random.default_rng(42), 0.4, 200_000))]
    everything = worth_of_everything(sample(np.random.default_rng(42), 0.4, 200_000)[5]).mean
    hits = np.zeros(5)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        drawn = sample(rng, 0.4 + 0.05 * rng.standard_normal(), 1000)
        hits[:4] += [s.lower <= t <= s.upper for s, t in zip(shares(*drawn), true, strict=True)]
        worth = worth_of_everything(drawn[5], mixture=drawn[6])
        hits[4] += abs(worth.mean - everything) <= 1.645 * worth.error
    assert np.all(hits / 100 > 0.75)


def test_groups_share_what_their_means_do():
    rng = np.random.default_rng(42)
    label = rng.integers(3, size=N)
    y = np.array([0.0, 1.0, 4.0])[label] + rng.standard_normal(N)
    between = np.var([0.0, 1.0, 4.0])
    assert close(first_order_of_groups(label, y), between / (between + 1.0))


def test_first_order_agrees_with_salib_where_harmonics_serve():
    from SALib.analyze import rbd_fast

    x = np.random.default_rng(42).random((N, 3))
    y = np.sin(2 * np.pi * x[:, 0]) + 0.7 * x[:, 1]
    names = list("abc")
    problem = {"num_vars": 3, "names": names, "bounds": [[0.0, 1.0]] * 3}
    theirs = rbd_fast.analyze(problem, x, y, num_resamples=2, seed=42)["S1"]
    for k in range(3):
        assert close(first_order(x[:, k], y), theirs[k], 0.02)


@pytest.mark.slow
def test_totals_of_draws_alone_see_an_interaction_of_two():
    x = np.random.default_rng(42).lognormal(size=(3, 800))
    y = ((x[0] > 1.0) ^ (x[1] > 1.0)).astype(float)
    found = totals_of_draws(dict(zip("abc", x, strict=True)), y)
    assert found["a"].mean > 0.6
    assert found["b"].mean > 0.6
    assert found["c"].mean < 0.1


def test_totals_of_draws_alone_have_errors_and_leave_the_global_stream_alone():
    x = np.random.default_rng(42).lognormal(size=(2, 400))
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = totals_of_draws(dict(zip("ab", x, strict=True)), (x[0] > x[1]) + 0.0)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    for share in found.values():
        assert share.lower < share.mean < share.upper


def test_totals_of_draws_need_draws():
    with pytest.raises(InputError, match="at least 400 draws"):
        totals_of_draws({"a": np.ones(5), "b": np.ones(5)}, np.ones(5))


# --- the worth of knowing ----------------------------------------------------------------------


@pytest.mark.parametrize("mean", [-1.0, -0.2, 0.5])
def test_worth_of_one_of_two_normals(mean):
    rng = np.random.default_rng(42)
    x, e = rng.standard_normal((2, 20_000))
    gain = mean + 0.8 * x + 0.5 * e

    def closed(sd):
        return sd * norm.pdf(mean / sd) + mean * norm.cdf(mean / sd) - max(mean, 0.0)

    one = worth_of_one(x, gain)
    assert abs(one.mean - closed(0.8)) < 5.0 * one.error + 2e-3
    everything = worth_of_everything(gain)
    assert abs(everything.mean - closed(math.hypot(0.8, 0.5))) < 5.0 * everything.error
    assert worth_of_one(rng.random(20_000), gain).mean < 5.0 * one.error
    assert worth_of_one(np.ones(20_000), gain).mean == 0.0


def test_few_draws_tell_no_worth():
    x = np.random.default_rng(42).random(20)
    assert worth_of_one(x, x - 0.5).as_dict() == {"mean": None, "error": None}
    assert worth_of_one(x, np.ones(20)).mean == 0.0


def test_worth_of_a_group():
    label = np.random.default_rng(42).integers(2, size=N)
    gain = np.where(label == 0, 1.0, -2.0)
    share = float((label == 0).mean())
    assert worth_of_group(label, gain).mean == pytest.approx(share - max(gain.mean(), 0.0))


def test_a_decision_says_what_it_takes():
    asked = {"train": {"safe": 2, "deceptive": -5}, "stop": 0.5}
    assert Decision.of(asked) == Decision(2.0, -5.0, 0.5)
    assert Decision(1.0, -10.0).gain(np.array([0.0, 1.0, np.nan])).tolist() == [1.0, -10.0, 0.0]
    with pytest.raises(InputError, match="must look like"):
        Decision.of({"train": {"fine": 1}})
    with pytest.raises(InputError, match="safe of a decision must be a finite number"):
        Decision(safe=math.nan)


# --- flips -------------------------------------------------------------------------------------


def test_the_nearer_of_two_flips_is_found():
    assert smallest_factor(lambda x: norm.cdf(x - 1.5), 0.5) == pytest.approx(10**1.5, rel=1e-3)
    assert smallest_factor(lambda x: float(x > 2.5 or x < -0.3), 0.5) == pytest.approx(
        10**-0.3, rel=1e-3
    )
    assert smallest_factor(lambda x: 0.2, 0.5) is None
    assert smallest_factor(lambda x: 0.5, 0.5) == 1.0
    assert smallest_factor(lambda x: 0.2 if x <= 0 else math.nan, 0.5) is None


# --- models ------------------------------------------------------------------------------------


def of(small, **asked):
    return cruxes(fit(small, num_samples=1000), small, **asked)


def test_one_belief_carries_everything():
    small = model(
        (
            component("a", lognormal(2.0, 1.0), 1.0),
            component("b", 20.0, 1.0),
            component("c", lognormal(1.0, 1.0), lognormal(1.0, 1.0)),
        ),
        (
            structure("honest", ["a", "c"], ["a", "c"]),
            structure("deceptive", ["b", "c"], ["b", "c"], deploy="other"),
        ),
        (family("linear", rate=1.0),),
    )
    found = of(small, decision=Decision(1.0, -10.0, 0.0))
    assert found.how == REJUDGED_PRIOR
    assert [c.name for c in found.rows][0] == "bits.a"
    rows = by_name(found)
    assert rows["bits.a"].first_order.mean > 0.99
    assert close(rows["bits.a"].total, 1.0)
    for idle in ("bits.c", "steps.c"):
        assert close(rows[idle].first_order, 0.0, 1e-3)
        assert rows[idle].total.mean == 0.0
        assert rows[idle].flip is None
        assert rows[idle].worth.mean <= 5.0 * rows[idle].worth.error
    p = norm.sf(math.log(20.0) - 2.0)
    assert abs(found.probability - p) < 5.0 * math.sqrt(p * (1.0 - p) / N)
    flip = rows["bits.a"].flip
    assert flip.median == pytest.approx(math.exp(2.0))
    assert flip.to == pytest.approx(20.0, rel=5.0 * 1.25 / math.sqrt(N))
    everything = (1.0 - p) - max(0.0, 1.0 - 11.0 * p)
    assert abs(found.evpi.mean - everything) < 5.0 * found.evpi.error + 0.01
    assert rows["bits.a"].worth.mean == pytest.approx(found.evpi.mean, rel=0.05)
    assert "hangs most on bits.a" in found.sentence


def test_two_beliefs_carry_half_each():
    small = two_sided((lognormal(3.0, 0.3), 1.0), (lognormal(3.0, 0.3), 1.0))
    post = fit(small)
    margin = by_name(cruxes(post, small, of="margin"))
    favored = by_name(cruxes(post, small))
    for name in ("bits.a", "bits.b"):
        assert close(margin[name].first_order, 0.5, 3e-3)
        assert close(margin[name].total, 0.5)
        assert close(favored[name].first_order, 1 / 3, 3e-3)
        assert close(favored[name].total, 2 / 3)


def test_an_interaction_only():
    """The least of 2a, 2m against the least of 2b, 2m: deceptive if one is above m and not both."""
    parts = (
        component("a", lognormal(3.0, 1.0), 1.0),
        component("b", lognormal(3.0, 1.0), 1.0),
        component("m", math.exp(3.0), 0.0),
    )
    small = model(
        parts,
        (
            structure("low", ["a", "b"]),
            structure("high", ["m", "m"]),
            structure("one", ["a", "m"], deploy="other"),
            structure("other", ["m", "b"], deploy="other"),
        ),
        (family("linear", rate=1.0),),
    )
    found = by_name(of(small))
    for name in ("bits.a", "bits.b"):
        assert close(found[name].first_order, 0.0, 2e-3)
        assert close(found[name].total, 1.0)
        assert found[name].worth.mean < 0.05


def test_correlated_beliefs_are_redrawn_given_one_another():
    rho = 0.6
    parts = (lognormal(3.0, 1.0), 1.0)
    small = two_sided(parts, parts, correlations=(correlation("bits.a", "bits.b", rho),))
    kappa = (1.0 - rho) / (1.0 + rho)
    total = 1.0 - 4.0 * math.asin(kappa / (1.0 + kappa)) / (2.0 * math.pi)
    # Alone: P(z_b < z_a | z_a) = Φ(z_a √κ), the same form.
    first = 4.0 * math.asin(kappa / (1.0 + kappa)) / (2.0 * math.pi)
    found = by_name(of(small))
    for name in ("bits.a", "bits.b"):
        assert close(found[name].first_order, first, 3e-3)
        assert close(found[name].total, total)


def test_redrawing_leaves_the_joint_distribution_as_it_is():
    parts = (lognormal(3.0, 1.0), lognormal(2.0, 1.0))
    small = two_sided(
        parts,
        parts,
        correlations=(correlation("bits.a", "bits.b", 0.7),),
        constraints=(at_least("steps.a", "steps.b"),),
    )
    post = fit(small)
    chosen = small.families[0]
    drawn = {n: x.reshape(N) for n, x in slot_draws(post, "posterior_linear").items()}
    values = whole_values(small, chosen, drawn, N)
    # Draws are held to a constraint twice: their copula knows it already.
    for make, off in ((Redraw.from_prior, 0.08), (Redraw.from_draws, 0.25)):
        redraw = make(small, chosen, values)
        for name, partner in (("bits.a", "bits.b"), ("steps.a", "steps.b")):
            again = redraw(name, np.random.default_rng(42))
            x, y = np.log(values[name]), np.log(again[name])
            assert np.mean(x != y) > 0.99
            assert abs(x.mean() - y.mean()) < 5.0 * math.sqrt(2.0 * x.var() / N) + off / 2
            z = np.log(values[partner])
            assert abs(np.corrcoef(x, z)[0, 1] - np.corrcoef(y, z)[0, 1]) < off
        assert np.all(redraw("steps.a", np.random.default_rng(1))["steps.a"] >= values["steps.b"])


def test_the_family_and_its_parameter():
    """Under linear never; under levin when κ < κ₀, its median: closed forms of the mixture."""
    parts = (component("a", 10.0, 1.0), component("b", 2.0, 256.0))
    small = model(
        parts,
        (structure("honest", ["a"], ["a"]), structure("deceptive", ["b"], ["b"], deploy="other")),
        (family("linear", 0.5, rate=1.0), family("levin", 0.5, kappa=lognormal(0.0, 1.0))),
    )
    found = of(small)
    rows = by_name(found)
    assert set(rows) == {"levin_kappa", FAMILY}
    for row in rows.values():
        assert close(row.first_order, 1 / 3, 5e-3)
        assert close(row.total, 2 / 3)
    own = rows["levin_kappa"].by_family["levin"]
    assert own.first_order.mean > 0.99
    assert close(own.total, 1.0)
    assert set(rows["levin_kappa"].by_family) == {"levin"}


def test_flips_of_a_rate_and_of_costs_under_a_constraint():
    """P = Φ((μ_γ + μ_c − μ_t)/s) flips at μ_γ = μ_t − μ_c; one that hardly binds is free."""
    parts = (component("a", lognormal(5.0, 1.0), 0.0), component("b", 0.0, lognormal(9.0, 1.0)))
    shapes = (structure("honest", ["a"]), structure("deceptive", [], ["b"], deploy="other"))
    families = (family("linear", rate=lognormal(3.0, 1.0)),)
    small = model(parts, shapes, families)
    tied = model(parts, shapes, families, constraints=(at_least("steps.b", "steps.a"),))
    for one in (small, tied):
        rows = by_name(of(one))
        error = 5.0 * math.sqrt(3.0) * 1.26 / math.sqrt(N)
        for name, sign in (("linear_rate", 1.0), ("bits.a", 1.0), ("steps.b", -1.0)):
            assert math.log(rows[name].flip.factor) == pytest.approx(sign, abs=error)
            assert rows[name].by_family["linear"].flip.factor == rows[name].flip.factor


def test_flips_under_a_constraint_that_leaves_little():
    """1 % of the prior is left: the verdict with the moved median is even, all the same."""
    parts = (component("a", lognormal(5.0, 1.0), 0.0), component("b", 0.0, lognormal(8.5, 1.0)))
    shapes = (structure("honest", ["a"]), structure("deceptive", [], ["b"], deploy="other"))
    tied = (at_least("bits.a", "steps.b"),)

    def at(median):
        rate = family("linear", rate=lognormal(median, 1.0))
        return model(parts, shapes, (rate,), constraints=tied)

    flip = by_name(of(at(3.0)))["linear_rate"].flip
    again = fit(at(3.0 + math.log(flip.factor)), num_samples=1000)
    mean = float(again["posterior"]["deceptive_favored"].mean())
    assert abs(mean - 0.5) < 5.0 * math.sqrt(2.0) * 0.5 / math.sqrt(N)


def test_where_nothing_fits_training_fails():
    small = two_sided(
        (lognormal(3.0, 1.0), 1.0),
        (lognormal(3.0, 1.0), 1.0),
        selection=Selection(Known(1.0), max_bits=20.0),
    )
    post = fit(small, num_samples=1000)
    payoffs = {"train": {"safe": 0.0, "deceptive": 0.0, "failed": -1.0}, "stop": -0.5}
    nothing = norm.sf((math.log(20.0) - 3.0) / 1.0) ** 2
    for asked in ("deceptive_favored", "deceptive_mass", "margin"):
        found = cruxes(post, small, of=asked, decision=payoffs, by_family=False)
        # Train unless nothing fits: half of the stakes saved there.
        assert abs(found.evpi.mean - 0.5 * nothing) < 5.0 * found.evpi.error


def test_few_draws_are_said_to_be_few():
    small = two_sided((lognormal(3.0, 1.0), 1.0), (lognormal(3.0, 1.0), 1.0))
    post = fit(small, num_samples=5, num_chains=4)
    found = cruxes(post)
    assert 0.0 < found.probability < 1.0
    assert "too few to say" in found.sentence
    found = cruxes(post, small)
    assert "nan" not in found.sentence
    assert found.as_dict()["cruxes"][0]["evppi"] is None


def test_draws_without_a_verdict_do_not_hide_how_draws_hang_together():
    step = np.random.default_rng(42).standard_normal((2, 500))
    walk = np.zeros((2, 500))
    for k in range(1, 500):
        walk[:, k] = 0.9 * walk[:, k - 1] + step[:, k]
    whole = _inflation(walk)
    assert whole > 5.0
    walk[0, 3] = math.nan
    assert _inflation(walk) == pytest.approx(whole, rel=0.1)
    assert _inflation(np.full((2, 500), math.nan)) == 1.0


def test_what_all_draws_agree_on_is_not_redrawn():
    small = two_sided((lognormal(3.0, 1.0), 1.0), (lognormal(3.0, 1.0), 1.0))
    values = {"bits.a": np.full(9, 20.0), "bits.b": np.arange(1.0, 10.0)}
    values = whole_values(small, small.families[0], values, 9)
    redraw = Redraw.from_draws(small, small.families[0], values)
    rng = np.random.default_rng(42)
    assert np.array_equal(redraw("bits.a", rng)["bits.a"], values["bits.a"])
    assert set(redraw("bits.b", rng)["bits.b"]) <= set(values["bits.b"])


def test_what_early_training_locks_in_counts():
    """Y = lock_in · 1 + (1 − lock_in) · 0: the path's belief has it all."""
    small = replace(
        two_sided((1.0, 1.0), (20.0, 1.0)),
        path_dependence=Path(prior("Beta", 2.0, 2.0), Known(1.0)),
        selection=Selection(lognormal(0.0, 0.3)),
    )
    found = of(small)
    assert found.rows[0].name == "path_lock_in"
    assert found.rows[0].first_order.mean > 0.99
    assert close(found.rows[0].total, 1.0)
    assert found.rows[0].prior_sensitivity > 0.02
    assert found.rows[1].total.mean == 0.0
    # From 1/2 up or down by little: a share cannot be multiplied beyond 1.
    assert found.rows[0].flip.to == pytest.approx(0.5, abs=0.05)


def test_facts_are_judged_again_too():
    bits, steps = lognormal(3.0, 1.0), lognormal(4.0, 1.0)
    facts = Facts(("f", "g"), (bits, bits), (steps, steps), ((), ()), {})
    small = two_sided((lognormal(3.0, 0.5), 2.0), (lognormal(3.0, 0.5), 3.0), facts=facts)
    post = fit(small, num_samples=500)
    drawn = {n: x.reshape(2000, *x.shape[2:]) for n, x in slot_draws(post).items()}
    values = whole_values(small, small.families[0], drawn, 2000)
    mass = Judge(small)(small.families[0], values, "deceptive_mass")
    assert np.allclose(mass, post["posterior"]["deceptive_mass"].to_numpy().ravel(), rtol=1e-12)
    rows = by_name(cruxes(post, small))
    # What both have to know costs both the same under a linear rate.
    assert rows["fact_bits"].total.mean == rows["fact_steps"].total.mean == 0.0
    assert rows["bits.a"].total.mean > 0.5


def test_a_cut_prior_is_moved_before_its_cut():
    parts = (component("a", 20.0, 1.0), component("b", 2.0, 256.0))
    shapes = (structure("honest", ["a"], ["a"]), structure("deceptive", ["b"], ["b"], deploy="o"))
    power = family("power", rate=1.0, exponent=prior("LogNormal", 1.0, 0.5, low=1.0))
    small = model(parts, shapes, (power,))
    flip = by_name(of(small))["power_exponent"].flip
    # 20 + 1 = 2 + 256^(1/α) at α = ln 256/ln 19: the median after the cut must come there.
    wanted = math.log(256.0) / math.log(19.0)
    assert flip.median == pytest.approx(math.e)
    loc = math.log(flip.to)
    above = norm.sf(-loc / 0.5)
    assert math.exp(loc + 0.5 * norm.isf(0.5 * above)) == pytest.approx(wanted, rel=0.06)


# --- results of files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def post():
    return fit(load_model("speed_simplicity"), num_samples=500)


def test_the_stored_verdict_is_judged_again_to_the_bit(post):
    known = reloaded_model(post)
    judge = Judge(known)
    for name in ("linear", "levin", "power"):
        member = known.family(name)
        group = post[f"posterior_{name}"]
        drawn = {n: x.reshape(2000) for n, x in slot_draws(post, f"posterior_{name}").items()}
        values = whole_values(known, member, drawn, 2000)
        for asked, variable in (
            ("deceptive_favored", "deceptive_favored"),
            ("deceptive_mass", "deceptive_mass"),
            ("margin", "margin_bits"),
        ):
            stored = group[variable].to_numpy().ravel()
            assert np.allclose(judge(member, values, asked), stored, rtol=1e-12, atol=0.0)


@pytest.fixture(scope="module")
def found(post):
    return cruxes(post)


def test_cruxes_of_the_post(found):
    names = [c.name for c in found.rows]
    assert names[:2] == [FAMILY, "bits.get_base_obj"]
    ranked = [c.total.mean for c in found.rows]
    assert ranked == sorted(ranked, reverse=True)
    rows = by_name(found)
    # Shared bits cancel under every family.
    assert rows["bits.mesaoptimize"].total.mean == 0.0
    assert 0.0 <= rows["bits.mesaoptimize"].prior_sensitivity < 0.1
    assert rows["bits.get_base_obj"].prior_sensitivity > 0.1
    assert rows["bits.get_base_obj"].likelihood_sensitivity is None
    assert rows["linear_rate"].prior_sensitivity > 0.1
    assert rows["bits.get_base_obj"].flip.factor < 1.0
    table = found.to_pandas()
    assert list(table.index) == names
    assert table["total"].iloc[0] == found.rows[0].total.mean
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_table_of_the_report(post, found):
    rows = crux_table(post)
    keys = {"name", "first_order", "total", "evppi", "flip"}
    assert keys | {"prior_sensitivity", "likelihood_sensitivity"} <= set(rows[0])
    assert set(rows[0]["total"]) == {"mean", "lower", "upper"}
    flips = [r["flip"] for r in rows if r["flip"] is not None]
    assert set(flips[0]) == {"median", "to", "factor"}
    assert [r["name"] for r in rows] == [c.name for c in found.rows]
    json.dumps(rows, allow_nan=False)


def test_after_an_update_the_draws_themselves_are_redrawn(post, found):
    after = cruxes(update(post, likelihood_ratio=2.0), by_family=False)
    assert after.how == REJUDGED_DRAWS
    assert after.probability > found.probability
    assert after.rows[0].name == FAMILY


@pytest.mark.slow
def test_what_was_seen_of_one_program_is_not_judged_again(post):
    """Masses are those of the program then: judged again they would be of another training."""
    after = update(post, likelihood_ratio=2.0, of="program")
    found = cruxes(after, of="deceptive_mass", by_family=False)
    assert found.how == FROM_DRAWS
    assert cruxes(after, by_family=False).how == REJUDGED_DRAWS


def test_a_flip_moves_the_median_of_its_own_family(post):
    after = update(post, likelihood_ratio=20.0)
    found = by_name(cruxes(after, threshold=0.9))
    flips = {f: c.flip for f, c in found["bits.get_base_obj"].by_family.items() if c.flip}
    assert flips
    for name, flip in flips.items():
        drawn = after[f"posterior_{name}"]["bits"].sel(component="get_base_obj")
        assert flip.median == pytest.approx(float(drawn.median()))


@pytest.mark.slow
def test_with_evidence_the_likelihood_has_a_sensitivity():
    small = two_sided((lognormal(3.0, 1.0), 1.0), (lognormal(3.0, 1.0), 1.0))
    rows = {"kind": "measurement", "component": ["a"] * 4, "quantity": ["bits"] * 4}
    table = {"seen": rows | {"value": [30.0, 31.0, 29.0, 30.5], "log_sd": [0.05] * 4}}
    post = fit(small, table, num_warmup=200, num_samples=300, num_chains=1)
    found = cruxes(post, small)
    assert found.how == REJUDGED_DRAWS
    assert found.likelihood_sensitivity is not None
    rows = by_name(found)
    assert rows["bits.a"].likelihood_sensitivity > 0.05
    # What is known now matters less than what is not.
    assert found.rows[0].name == "bits.b"
    assert rows["bits.b"].total.mean > 0.9


def test_results_of_a_python_model_alone_have_what_draws_tell():
    small = two_sided((lognormal(3.0, 1.0), 1.0), (lognormal(3.2, 1.0), 1.0))
    post = fit(small, num_samples=500)
    found = cruxes(post)
    assert found.how == FROM_DRAWS
    whole = by_name(cruxes(post, small))
    for name, row in by_name(found).items():
        assert row.total.mean == pytest.approx(whole[name].total.mean, abs=0.2)
        assert row.first_order == whole[name].first_order
        # Reweighed and judged again agree on what flips.
        assert row.flip.factor == pytest.approx(whole[name].flip.factor, rel=0.3)


def test_a_text_that_cannot_be_read_leaves_the_draws(post):
    for text in ("[model", '[model]\nname = "x"\n[components]\n[exchange.linear]\nrate = 1\n'):
        changed = post.copy()
        changed.attrs = post.attrs | {"model_text": text}
        rows = crux_table(changed)
        assert rows[0]["total"]["mean"] is None
        assert rows[0]["first_order"]["mean"] > 0.1


def test_a_regime_has_its_own_decision():
    post = fit(load_model("rollouts"), num_samples=250)
    found = cruxes(post, rollouts=4, by_family=False, of="deceptive_mass")
    rows = by_name(found)
    assert rows["task_rollouts"].total.mean == 0.0
    # The stored verdict is another one than that at 4 rollouts.
    assert rows["bits.get_base_obj"].prior_sensitivity is None
    with pytest.raises(InputError, match="rollouts must be a whole number from 1"):
        cruxes(post, rollouts=0)


def test_what_is_known_hangs_on_nothing():
    small = two_sided((3.0, 1.0), (2.0, 1.0))
    found = of(small)
    assert found.rows == ()
    assert found.probability == 1.0
    assert "Nothing is uncertain" in found.sentence
    assert crux_table(fit(small, num_samples=50)) == []


def test_wrong_input_is_answered(post):
    with pytest.raises(InputError, match="of must be one of"):
        cruxes(post, of="verdict")
    with pytest.raises(InputError, match="threshold must lie between"):
        cruxes(post, threshold=1.0)
    with pytest.raises(InputError, match="num_draws must be at least 1"):
        cruxes(post, num_draws=0)
    with pytest.raises(InputError, match="another text"):
        cruxes(post, load_model("discussion"))
    with pytest.raises(InputError, match="rollouts need a model with a"):
        cruxes(post, rollouts=3)


def test_power_scaling_of_what_says_nothing():
    y = np.random.default_rng(42).random((2, 100))
    assert prior_sensitivity(np.ones((2, 100)), y) is None
    assert prior_sensitivity(y, np.full((2, 100), np.inf)) is None
    assert prior_sensitivity(y, np.ones((2, 100))) == 0.0
    import xarray as xr

    flat = xr.Dataset({"rows": (("chain", "draw", "row"), np.ones((2, 100, 3)))})
    assert likelihood_sensitivities({"": y}, flat) == {"": None}


def test_power_scaling_tells_the_informed_from_the_idle():
    import xarray as xr

    x, idle = np.random.default_rng(42).standard_normal((2, 2, 1000))
    rows = xr.Dataset({"rows": (("chain", "draw", "row"), -2.0 * x[..., None] ** 2)})
    found = likelihood_sensitivities({"x": x, "idle": idle}, rows)
    assert found["x"] > 0.1 > found["idle"]
    assert prior_sensitivity(x, -0.5 * x**2) > 0.05


def test_noise_of_power_scaling_is_told():
    rng = np.random.default_rng(42)
    y = (rng.random((4, 250)) < 0.2) + 0.0
    density = -0.5 * rng.standard_normal((20, 4, 250)) ** 2
    below = [prior_sensitivity(y, x) < prior_noise(y, x) for x in density]
    assert sum(below) >= 15
    informed = -2.0 * (y + 0.5 * rng.standard_normal(y.shape)) ** 2
    assert prior_sensitivity(y, informed) > prior_noise(y, informed)
    assert prior_noise(y, informed, inflation=4.0) == 2.0 * prior_noise(y, informed)
    assert prior_noise(y, np.ones(y.shape)) == 0.0
    assert prior_noise(np.ones(y.shape), informed) is None


def test_noise_is_not_shown_as_a_sensitivity(found):
    rows = by_name(found)
    idle, known = rows["bits.mesaoptimize"], rows["bits.get_base_obj"]
    assert known.prior_sensitivity > 3.0 * known.prior_sensitivity_noise
    assert sensitivity_text(known) == f"{known.prior_sensitivity:.2f}"
    idle = replace(idle, prior_sensitivity=0.01, prior_sensitivity_noise=0.03)
    assert sensitivity_text(idle) == "< 0.03"


def test_the_command(post, found, tmp_path):
    path = str(save_posterior(post, tmp_path / "posterior.nc"))
    runner = CliRunner()
    said = runner.invoke(app, ["cruxes", path, "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout) == found.as_dict()
    said = runner.invoke(app, ["cruxes", path, "--of", "mass", "--threshold", "0.4"])
    assert said.exit_code == 0
    assert "hangs most on" in said.stdout
    assert "deceptive mass" in said.stdout
    said = runner.invoke(app, ["cruxes", path, "--payoffs", "1,2"])
    assert said.exit_code == 2
    assert "--payoffs must be three numbers" in said.output


def test_one_name_for_what_a_belief_does_with_others(post, found):
    """In the sentence, the command's table, the report and the page of the documentation."""
    assert re.search(r"by itself it explains .*, with others \d", found.sentence)
    assert re.search(r"Next comes .*, with others \d+ % \(", found.sentence)
    assert HEADER[1:3] == ("by itself", "with others")
    page = FilePath(__file__).parent.parent / "docs" / "cruxes.md"
    assert "| belief | by itself | with others | worth knowing |" in page.read_text()
    columns = re.findall(r'<th scope="col">([^<]*)</th>', render(post).split('id="hangs"')[1])
    assert columns[:3] == ["belief", "by itself", "with others"]
    for text in (found.sentence, cruxes_text(found)):
        assert "in all" not in text


def test_the_table_fits_a_terminal_of_eighty_columns(found, monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    assert show(cruxes_text(found), terminal)
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    top = next(k for k, line in enumerate(lines) if "belief" in line and "by itself" in line)
    assert any(set(line.strip()) == {"─"} for line in lines[top : top + 4])
    # Three lines at most for each belief, not a list of ten.
    table = lines[top : lines.index("", top)]
    assert len(table) <= 4 + 3 * 15


def test_a_notebook_is_shown_a_table(found):
    page = found._repr_html_()
    assert page.count("<table>") == 1
    assert page.count("<tr>") == 1 + min(len(found.rows), 15)
    assert "hangs most on" in page
    assert "<td>bits.get_base_obj</td>" in page
    assert page.count("more beliefs") == (len(found.rows) > 15)
    assert (
        repr(found) == f'<Cruxes of deceptive_favored: {len(found.rows)} beliefs, first "{FAMILY}">'
    )
    none = replace(found, rows=())
    assert repr(none) == "<Cruxes of deceptive_favored: 0 beliefs>"
    assert none._repr_html_() == f"<p>{none.sentence}</p>"


def test_a_notebook_obeys_no_name(found):
    hostile = '</td><script>alert(1)</script>\u202e"' + "x" * 300
    page = replace(found, rows=(replace(found.rows[1], name=hostile), *found.rows))._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert "x" * 80 not in page.split("<table>")[1]
    said = repr(replace(found, rows=(replace(found.rows[1], name="\x1b[31m" + hostile),)))
    assert "\x1b" not in said
    assert len(said) < 150
