"""Other beliefs on the same draws: closed forms, new fits, and how many draws are left."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from small_models import (
    at_least,
    belief,
    component,
    correlation,
    family,
    lognormal,
    model,
    prior,
    structure,
    two_sided,
)

import bayes_mesa as bm
from bayes_mesa.domain.model import Selection
from bayes_mesa.errors import InputError
from bayes_mesa.reweighting.reweighed_phase import phase
from bayes_mesa.reweighting.reweighing import reweighed
from bayes_mesa.reweighting.scaled_belief import scaled_belief
from bayes_mesa.reweighting.stock import Stock

FORMS = {
    "LogNormal": (3.0, 0.7),
    "Gamma": (2.5, 0.1),
    "InverseGamma": (3.0, 40.0),
    "Exponential": (0.05,),
    "HalfNormal": (20.0,),
    "Weibull": (20.0, 1.7),
}
SEED = 42


def agree(a, b):
    """Two estimates within five standard errors of their difference."""
    return abs(a.mean - b.mean) < 5 * math.hypot(a.mcse, b.mcse)


def record(form, arguments, low=-np.inf):
    """What a result says of a belief."""
    found = prior(form, *arguments, low=low)
    q05, median, q95 = found.quantile([0.05, 0.5, 0.95])
    said = {"name": form, "arguments": dict(found.arguments)}
    said["low"] = low if np.isfinite(low) else None
    return {"quantity": "x", "form": said, "q05": q05, "median": median, "q95": q95}


def one_cost(form, arguments):
    """The honest program's bits decide alone: deceptive is favored where they exceed 20."""
    return two_sided(a=(prior(form, *arguments), 1.0), b=(20.0, 1.0))


# --- the ratio of densities ---------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_the_ratio_is_that_of_the_densities(form, factor):
    x = np.array([0.5, 3.0, 20.0, 60.0])
    old = prior(form, *FORMS[form])
    scaled = scaled_belief(record(form, FORMS[form]))
    ratio = scaled.log_ratio(np.log(x), math.log(factor))
    wanted = old.logpdf(x / factor) - math.log(factor) - old.logpdf(x)
    assert np.allclose(ratio, wanted, rtol=1e-12, atol=1e-12)
    assert scaled.median == pytest.approx(old.median)


@pytest.mark.parametrize(("low", "factor"), [(1.0, 2.0), (30.0, 0.2), (400.0, 3.0)])
def test_what_is_cut_off_is_scaled_before_the_cut(low, factor):
    x = low * np.array([1.0, 1.5, 10.0])
    scaled = scaled_belief(record("LogNormal", (3.0, 0.7), low))
    moved = prior("LogNormal", 3.0 + math.log(factor), 0.7, low=low)
    wanted = moved.logpdf(x) - prior("LogNormal", 3.0, 0.7, low=low).logpdf(x)
    assert np.allclose(scaled.log_ratio(np.log(x), math.log(factor)), wanted, rtol=1e-9)
    assert scaled.median == pytest.approx(math.exp(3.0))


def test_what_has_no_median_to_be_moved():
    assert scaled_belief(record("Uniform", (1.0, 2.0))) is None
    assert scaled_belief(record("Beta", (1.0, 2.0))) is None
    assert scaled_belief(record("Gamma", (2.0, 1.0), 1.0)) is None
    assert scaled_belief({"quantity": "x", "form": None}) is None
    assert scaled_belief({"quantity": "x"}) is None


# --- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_one_cost_decides(form):
    fitted = bm.fit(one_cost(form, FORMS[form]), num_samples=1000, seed=SEED)
    belief = prior(form, *FORMS[form])
    for factor in (0.6, 1.8):
        found = bm.reweigh(fitted, {"bits.a": belief.median * factor})
        figure = found.deceptive_favored
        assert abs(figure.mean - float(belief.scipy().sf(20.0 / factor))) < 5 * figure.mcse
        assert figure.lower < figure.mean < figure.upper
        assert found.reliable


def test_the_verdict_moves_as_the_normal_distribution_says():
    fitted = bm.fit(one_cost("LogNormal", (3.0, 0.7)), num_samples=1000, seed=SEED)
    for median in (8.0, 15.0, 40.0):
        figure = bm.reweigh(fitted, {"bits.a": median}).deceptive_favored
        assert abs(figure.mean - norm.cdf(math.log(median / 20.0) / 0.7)) < 5 * figure.mcse


def test_effective_draws_of_a_lognormal_fall_as_its_square():
    # E[w]²/E[w²] = exp(−(log f/σ)²)
    fitted = bm.fit(one_cost("LogNormal", (3.0, 0.7)), num_samples=2000, seed=SEED)
    scaled = bm.reweigh(fitted, {"bits.a": math.exp(3.0 + 0.35)})
    assert scaled.effective_draws / 8000 == pytest.approx(math.exp(-0.25), rel=0.05)
    assert scaled.effective_draws == pytest.approx(scaled.by_exchange["linear"].effective_draws)
    far = bm.reweigh(fitted, {"bits.a": math.exp(3.0 + 5.0)})
    assert far.effective_draws < 100
    assert not far.reliable
    assert far.as_dict()["reliable"] is False


# --- at the model's own beliefs -----------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return bm.fit(bm.load_model("speed_simplicity"), num_samples=1000, seed=SEED)


def test_nothing_moves_at_the_models_own_beliefs(shipped):
    summary = bm.summarize(shipped)
    for medians in (None, {"pressure": 1.0}):
        found = bm.reweigh(shipped, medians)
        for name in ("deceptive_favored", "deceptive_mass"):
            assert getattr(found, name).as_dict() == pytest.approx(summary[name], abs=1e-12)
            for family_name, own in found.by_exchange.items():
                wanted = summary["by_exchange"][family_name][name]
                assert getattr(own, name).as_dict() == pytest.approx(wanted, abs=1e-12)
        assert found.effective_draws == pytest.approx(12_000)
        assert found.medians == (medians or {})


def test_a_family_alone(shipped):
    found = bm.reweigh(shipped, families={"levin": 2.0})
    assert found.by_exchange["levin"].probability == 1.0
    assert found.deceptive_favored == found.by_exchange["levin"].deceptive_favored
    assert found.effective_draws == found.by_exchange["levin"].effective_draws == 4000
    half = bm.reweigh(shipped, families={"linear": 1.0, "levin": 1.0, "power": 0.0})
    parts = [half.by_exchange[n].deceptive_favored.mean for n in ("linear", "levin")]
    assert half.deceptive_favored.mean == pytest.approx(sum(parts) / 2)


def test_a_familys_own_parameter_moves_that_family_alone(shipped):
    before = bm.reweigh(shipped).by_exchange
    after = bm.reweigh(shipped, {"linear_rate": 1.0}).by_exchange
    assert after["levin"] == before["levin"]
    assert after["power"] == before["power"]
    fallen = before["linear"].deceptive_favored.mean - after["linear"].deceptive_favored.mean
    assert fallen > 10 * after["linear"].deceptive_favored.mcse


def test_some_of_the_draws_spread_over_the_chains(shipped):
    stock = Stock.of(shipped, 400)
    assert stock.families[0].favored.shape == (4, 100)
    whole = shipped["posterior_linear"]["deceptive_favored"].to_numpy()
    assert np.array_equal(stock.families[0].favored, whole[:, ::10])
    assert Stock.of(shipped, 10**6).families[0].favored.shape == (4, 1000)
    assert bm.reweigh(shipped, num_draws=400).effective_draws == pytest.approx(1200)


# --- against a new fit --------------------------------------------------------------------------


def test_it_agrees_with_a_fit_at_the_moved_medians(shipped):
    text = bm.load_model("speed_simplicity")
    moved = replace(
        text,
        components=tuple(
            _times(c, {"get_base_obj": 4.0, "find_base_obj": 0.1}) for c in text.components
        ),
        families=tuple(_family_times(f) for f in text.families),
    )
    again = bm.reweigh(bm.fit(moved, num_samples=1000, seed=7))
    medians = {
        "bits.get_base_obj": math.sqrt(1e2 * 1e5) * 4.0,
        "steps.find_base_obj": math.sqrt(1e2 * 1e7) * 0.1,
        "power_exponent": 1.26 * 1.3,
        "linear_rate": 1e3,
    }
    found = bm.reweigh(shipped, medians)
    assert found.reliable
    for name, own in found.by_exchange.items():
        assert agree(own.deceptive_favored, again.by_exchange[name].deceptive_favored), name
        assert agree(own.deceptive_mass, again.by_exchange[name].deceptive_mass), name
    assert agree(found.deceptive_favored, again.deceptive_favored)
    # Not by accident: all of it moved.
    before = bm.reweigh(shipped)
    assert not agree(found.deceptive_favored, before.deceptive_favored)


def _scaled(old, factor):
    (loc, scale) = (x for _, x in old.arguments)
    return prior("LogNormal", loc + math.log(factor), scale, low=old.low)


def _times(part, factors):
    axis = "bits" if part.name == "get_base_obj" else "steps"
    if part.name not in factors:
        return part
    return replace(part, **{axis: _scaled(getattr(part, axis), factors[part.name])})


def _family_times(exchange):
    factors = {("linear", "rate"): 10.0, ("power", "exponent"): 1.3}
    return replace(
        exchange,
        parameters={
            k: _scaled(b, factors.get((exchange.name, k), 1.0))
            for k, b in exchange.parameters.items()
        },
    )


def correlated(a=3.0, c=2.0):
    return model(
        (
            component("a", lognormal(a, 0.8)),
            component("b", lognormal(3.0, 0.8), lognormal(2.0, 0.5)),
            component("c", lognormal(c, 0.6)),
        ),
        (structure("honest", ["a", "c"]), structure("pretender", ["b"], ["b"], deploy="other")),
        (family("linear", rate=lognormal(2.0, 0.5)),),
        correlations=(correlation("bits.a", "bits.b", 0.7), correlation("bits.c", "bits.b", -0.4)),
        constraints=(at_least("bits.a", "bits.c"),),
    )


def test_correlated_costs_keep_their_copula():
    fitted = bm.fit(correlated(), num_samples=1500, seed=SEED)
    found = bm.reweigh(fitted, {"bits.a": math.exp(3.5), "bits.c": math.exp(1.8)})
    again = bm.reweigh(bm.fit(correlated(3.5, 1.8), num_samples=1500, seed=7))
    assert found.reliable
    assert agree(found.deceptive_favored, again.deceptive_favored)
    assert agree(found.deceptive_mass, again.deceptive_mass)


def test_correlated_costs_that_are_not_lognormal_stay():
    costs = (
        component("a", lognormal(3.0, 0.8), lognormal(1.0, 1.0)),
        component("b", belief(prior("Gamma", 2.0, 0.1))),
    )
    mixed = model(
        costs,
        (structure("honest", ["a"], ["a"]), structure("pretender", ["b"], deploy="other")),
        (family("linear", rate=1.0),),
        correlations=(correlation("bits.a", "bits.b", 0.7),),
    )
    fitted = bm.fit(mixed, num_samples=100, seed=SEED)
    assert list(Stock.of(fitted).beliefs) == ["steps.a"]
    with pytest.raises(InputError, match=r"of steps\.a; found 'bits\.a'"):
        bm.reweigh(fitted, {"bits.a": 10.0})


# --- evidence -----------------------------------------------------------------------------------


def two_families(a=3.0):
    return two_sided(
        a=(lognormal(a, 0.7), 1.0),
        b=(20.0, lognormal(2.0, 1.0)),
        families=(family("linear", 0.3, rate=0.3), family("levin", 0.7, kappa=1.0)),
    )


@pytest.mark.parametrize("ratio", [8.0, 0.2])
def test_after_a_likelihood_ratio_families_move_as_their_evidence_does(ratio):
    # Reweighed after the update is updated after a fit at the new median: P′ = LR P/(LR P + 1 − P).
    fitted = bm.fit(two_families(), num_samples=2000, seed=SEED)
    found = bm.reweigh(bm.update(fitted, likelihood_ratio=ratio, seed=3), {"bits.a": math.exp(3.4)})
    parts = bm.reweigh(fitted, {"bits.a": math.exp(3.4)})
    assert parts.by_exchange["linear"].probability == pytest.approx(0.3)
    before = parts.deceptive_favored
    wanted = ratio * before.mean / (ratio * before.mean + 1 - before.mean)
    slope = ratio / (ratio * before.mean + 1 - before.mean) ** 2
    error = math.hypot(found.deceptive_favored.mcse, slope * before.mcse)
    assert abs(found.deceptive_favored.mean - wanted) < 5 * error
    means = {n: 1 + (ratio - 1) * f.deceptive_favored.mean for n, f in parts.by_exchange.items()}
    linear = 0.3 * means["linear"] / (0.3 * means["linear"] + 0.7 * means["levin"])
    assert found.by_exchange["linear"].probability == pytest.approx(linear, abs=0.02)
    assert linear != pytest.approx(0.3, abs=0.02)


def test_after_evidence_other_prior_weights_are_as_in_bayes_rule():
    new = bm.update(bm.fit(two_families(), num_samples=500, seed=SEED), likelihood_ratio=8.0)
    own = {n: f.probability for n, f in bm.reweigh(new).by_exchange.items()}
    even = bm.reweigh(new, families={"linear": 1.0, "levin": 1.0}).by_exchange
    odds = own["linear"] / own["levin"] * 0.7 / 0.3
    assert even["linear"].probability / even["levin"].probability == pytest.approx(odds)


@pytest.mark.slow
def test_it_agrees_with_a_fit_to_evidence_at_the_moved_median():
    """With NUTS and a marginal likelihood: the rate of linear moves, and π with it."""
    rows = {"component": ["a", "b"], "quantity": ["bits", "steps"], "value": [30.0, 40.0]}
    choices = {"bits": [10.0, 30.0], "steps": [50.0, 50.0], "base_steps": [10.0, 10.0]}
    evidence = {
        "seen": {"kind": "measurement", **rows, "log_sd": [0.8, 0.8]},
        "chosen": {"kind": "choice", **choices, "stored": [6, 2], "trials": [8, 8]},
    }

    def fitted(loc, rate, seed):
        made = two_sided(
            a=(lognormal(loc, 0.7), 1.0),
            b=(20.0, lognormal(2.0, 1.0)),
            families=(
                family("linear", 0.05, rate=lognormal(rate, 1.0)),
                family("levin", 0.95, kappa=lognormal(0.0, 0.7)),
            ),
        )
        return bm.fit(made, _tables(evidence), num_samples=1500, seed=seed)

    first = fitted(3.0, 1.0, SEED)
    found = bm.reweigh(first, {"bits.a": math.exp(3.5), "linear_rate": math.exp(2.0)})
    again = bm.reweigh(fitted(3.5, 2.0, 7))
    assert found.reliable
    assert agree(found.deceptive_favored, again.deceptive_favored)
    assert agree(found.deceptive_mass, again.deceptive_mass)
    before, after = (r.by_exchange["linear"].probability for r in (bm.reweigh(first), found))
    assert after == pytest.approx(again.by_exchange["linear"].probability, abs=0.03)
    assert abs(after - before) > 0.06


def _tables(evidence):
    from bayes_mesa.domain.model import EvidenceTable

    return {
        name: EvidenceTable(
            name, said["kind"], {k: np.array(x) for k, x in said.items() if k != "kind"}
        )
        for name, said in evidence.items()
    }


@pytest.mark.slow
def test_what_fits_after_evidence_is_as_in_a_fit_at_the_moved_median():
    """With NUTS under a capacity and a cap: the averaged mass agrees with a new fit's."""
    rows = {"component": ["a", "b"], "quantity": ["bits", "steps"], "value": [25.0, 6.0]}
    tables = _tables({"seen": {"kind": "measurement", **rows, "log_sd": [0.8, 0.8]}})
    first, again = (
        bm.fit(where_some_fit(a), tables, num_samples=1500, seed=seed)
        for a, seed in ((0.5, SEED), (0.9, 7))
    )
    found = bm.reweigh(first, {"steps.a": math.exp(0.9)})
    assert found.reliable
    assert agree(found.deceptive_mass, bm.reweigh(again).deceptive_mass)
    summary = bm.summarize(again)["deceptive_mass"]
    assert bm.reweigh(again).deceptive_mass.as_dict() == pytest.approx(summary, rel=1e-6)


# --- other slots, and what is left out ----------------------------------------------------------


def test_draws_in_which_nothing_fits_have_no_mass():
    capped = two_sided(
        a=(lognormal(3.0, 0.7), lognormal(2.0, 1.0)),
        b=(20.0, lognormal(2.0, 1.0)),
        selection=Selection(pressure=lognormal(0.0, 0.5), cap=5.0),
    )
    fitted = bm.fit(capped, num_samples=1000, seed=SEED)
    medians = {"steps.a": math.exp(2.4), "pressure": 1.3}
    found = bm.reweigh(fitted, medians)
    stock = Stock.of(fitted)
    family_draws = stock.families[0]
    weight = np.exp(stock.log_weights(family_draws, stock.moved(medians)))
    there = ~np.isnan(family_draws.mass)
    assert 0.2 < there.mean() < 0.95
    assert found.deceptive_mass.mean == pytest.approx(
        np.average(family_draws.mass[there], weights=weight[there])
    )
    assert 0.0 < found.deceptive_mass.mcse < 0.05
    assert found.deceptive_favored.mean == pytest.approx(
        np.average(family_draws.favored, weights=weight)
    )


def where_some_fit(a=0.5, **parts):
    """Two families that disagree, under a capacity and a cap that not every draw keeps to."""
    return two_sided(
        a=(lognormal(3.0, 0.7), lognormal(a, 1.5)),
        b=(15.0, lognormal(1.0, 1.0)),
        families=(
            family("linear", 0.3, rate=lognormal(-3.0, 0.5)),
            family("levin", 0.7, kappa=1.0),
        ),
        selection=Selection(belief(1.0), cap=4.0, max_bits=60.0),
        **parts,
    )


@pytest.fixture(scope="module")
def some_fit():
    """After evidence that moves the families' probabilities, and what fits in each, apart."""
    fitted = bm.fit(where_some_fit(), num_samples=500, seed=SEED)
    return bm.update(fitted, likelihood_ratio=0.1, seed=3)


def test_a_family_counts_by_its_draws_in_which_something_fits(some_fit):
    summary, found = bm.summarize(some_fit), bm.reweigh(some_fit)
    fits = [1 - np.isnan(f.mass).mean() for f in Stock.of(some_fit).families]
    own = [f.deceptive_mass.mean for f in found.by_exchange.values()]
    assert abs(fits[0] - fits[1]) > 0.02
    assert abs(own[0] - own[1]) > 0.02
    assert found.deceptive_mass.as_dict() == pytest.approx(summary["deceptive_mass"], rel=1e-9)


def test_the_averaged_mass_is_of_all_weighted_draws_that_have_one(some_fit):
    medians = {"steps.a": math.exp(1.0), "linear_rate": 0.06}
    found, stock = bm.reweigh(some_fit, medians), Stock.of(some_fit)
    assert found.reliable
    values, weights = [], []
    for one, said in zip(stock.families, found.by_exchange.values(), strict=True):
        weight = np.exp(stock.log_weights(one, stock.moved(medians)))
        there = ~np.isnan(one.mass)
        values.append(one.mass[there])
        weights.append(said.probability * (weight / weight.sum())[there])
    weights, values = np.concatenate(weights), np.concatenate(values)
    assert found.deceptive_mass.mean == pytest.approx(np.average(values, weights=weights))
    order = np.argsort(values)
    at = np.interp(0.95, np.cumsum(weights[order]) / weights.sum(), values[order])
    assert found.deceptive_mass.upper == pytest.approx(at, abs=0.01)


def test_its_error_is_that_of_many_fits():
    medians = {"steps.a": math.exp(1.3)}
    fits = (bm.fit(where_some_fit(), num_samples=100, seed=s) for s in range(40))
    found = [bm.reweigh(fitted, medians).deceptive_mass for fitted in fits]
    spread = np.std([f.mean for f in found], ddof=1)
    assert np.mean([f.mcse for f in found]) == pytest.approx(spread, rel=0.5)


def test_a_family_in_which_nothing_fits_has_no_part_in_the_mass():
    fitted = bm.fit(where_some_fit(), num_samples=100, seed=SEED)
    stock = Stock.of(fitted)
    none = replace(stock.families[1], mass=np.full_like(stock.families[1].mass, np.nan))
    found = reweighed(replace(stock, families=(stock.families[0], none)), {}, None)
    own = found.by_exchange["linear"].deceptive_mass
    assert found.deceptive_mass.mean == pytest.approx(own.mean)
    assert found.deceptive_mass.mcse == pytest.approx(own.mcse)


def test_nothing_fits_at_all():
    none = two_sided(
        a=(lognormal(3.0, 0.7), 9.0),
        b=(20.0, 9.0),
        selection=Selection(pressure=belief(1.0), cap=5.0),
    )
    found = bm.reweigh(bm.fit(none, num_samples=100, seed=SEED), {"bits.a": 10.0})
    assert math.isnan(found.deceptive_mass.mean)
    assert found.as_dict()["deceptive_mass"]["mean"] is None
    assert found.deceptive_favored.mean == 0.0


def test_a_verdict_that_never_varies_allows_for_what_is_unseen():
    never = two_sided(a=(lognormal(0.0, 0.1), 1.0), b=(50.0, 1.0))
    fitted = bm.fit(never, num_samples=100, seed=SEED)
    found = bm.reweigh(fitted, {"bits.a": 1.05})
    assert found.deceptive_favored.mean == found.deceptive_favored.mcse == 0.0
    width = 1 - 0.05 ** (1 / found.effective_draws)
    assert found.deceptive_favored.upper == pytest.approx(width)


def test_heuristics_are_divided_out_of_a_model_file(tmp_path):
    text = """
[model]
name = "helped"
[components.a]
bits = { q05 = 5, q95 = 80 }
[components.b]
bits = 60
[heuristics]
of = ["a"]
bits = { q05 = 1, q95 = 9 }
[structures.honest]
stores = ["a"]
train = "base"
deploy = "base"
[structures.pretender]
stores = ["b"]
train = "base"
deploy = "other"
[exchange.linear]
rate = 1.0
"""
    path = tmp_path / "helped.toml"
    path.write_text(text)
    fitted = bm.fit(bm.load_model(path), num_samples=1000, seed=SEED)
    found = bm.reweigh(fitted, {"bits.a": 40.0, "heuristics_bits": 2.0}).deceptive_favored
    spread = math.hypot(math.log(16), math.log(9)) / (2 * norm.ppf(0.95))
    assert abs(found.mean - norm.cdf(math.log(80.0 / 60.0) / spread)) < 5 * found.mcse


def test_the_phase_diagram_is_a_share_of_weighted_draws(shipped):
    stock = Stock.of(shipped, 1000)
    linear = stock.families[0]
    moved = stock.moved({"bits.get_base_obj": 1e4, "linear_rate": 1.0})
    rates = np.geomspace(1e-2, 1e6, 9)
    found = phase(stock, linear, "bits.get_base_obj", rates, moved, rows=4)
    values = linear.logs["bits.get_base_obj"].ravel()
    # Without evidence the rate says nothing of the costs: its own weight must not count.
    weight = np.exp(stock.log_weights(linear, {"bits.get_base_obj": moved["bits.get_base_obj"]}))
    row = np.digitize(values, found.edges)
    assert np.bincount(row).tolist() == [250] * 4
    for r in range(4):
        chosen = weight.ravel() * (row == r)
        for c, rate in enumerate(rates):
            share = np.average(linear.critical_rate.ravel() < rate, weights=chosen)
            assert found.shares[r, c] == pytest.approx(share)
        assert found.effective_draws[r] == pytest.approx(chosen.sum() ** 2 / (chosen**2).sum())
    assert (np.diff(found.shares, axis=1) >= 0).all()


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"medians": {"bits.nothing": 1.0}}, r"medians can be moved of .*found 'bits\.nothing'"),
        ({"medians": {"pressure": 0.0}}, "the median of pressure must be a finite number above 0"),
        ({"medians": {"pressure": math.inf}}, "finite number above 0, found inf"),
        ({"medians": {"pressure": "1"}}, "finite number above 0, found '1'"),
        ({"families": {"cubic": 1.0}}, "families must be among linear, levin, power, found cubic"),
        ({"families": {"levin": 0.0}}, "not all 0, found linear = 0, levin = 0, power = 0"),
        ({"families": {"levin": -1.0}}, "at least 0"),
        ({"num_draws": 0}, "num_draws must be at least 1, found 0"),
    ],
)
def test_what_cannot_be_asked(shipped, arguments, message):
    with pytest.raises(InputError, match=message):
        bm.reweigh(shipped, **arguments)


def test_results_with_nothing_uncertain():
    fitted = bm.fit(two_sided(a=(1.0, 1.0), b=(2.0, 1.0)), num_samples=50, seed=SEED)
    found = bm.reweigh(fitted)
    assert found.deceptive_favored.as_dict() == {
        "mean": 0.0,
        "mcse": 0.0,
        "lower": 0.0,
        "upper": 0.0,
    }
    with pytest.raises(InputError, match="moved of nothing; found 'pressure'"):
        reweighed(Stock.of(fitted), {"pressure": 2.0}, None)
