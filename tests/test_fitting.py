"""`fit` as a whole: posteriors against grids and weighted prior draws, and the tree it returns."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from small_grammars import post_like, uncertain
from small_models import (
    at_least,
    correlation,
    family,
    known_facts,
    lognormal,
    prior,
    two_sided,
)
from test_verdict import limited

from bayes_mesa import fit, summarize
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Facts, Heuristics, Path, Selection
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.inference.fitting import Interrupted

LN2 = np.log(2.0)
SETTINGS = {"num_warmup": 300, "num_samples": 500, "num_chains": 2}


def families_of(post):
    return json.loads(post.attrs["families"])


def ess(draws):
    from arviz_stats.base import array_stats

    return float(array_stats.ess(np.asarray(draws), chain_axis=0, draw_axis=1, method="mean"))


def agrees(draws, values, weights):
    """Mean of NUTS draws against that of weighted prior draws, within 5 joint standard errors."""
    draws = np.asarray(draws, dtype=float)
    weights = weights / weights.sum()
    mean = weights @ values
    error = np.sqrt((weights**2) @ (values - mean) ** 2)
    error = np.hypot(error, draws.std() / np.sqrt(ess(draws)))
    assert abs(draws.mean() - mean) < 5 * error, (draws.mean(), mean, error)


def log_mean(log_likelihood):
    """Log mean likelihood over prior draws, and its error."""
    top = log_likelihood.max()
    weight = np.exp(log_likelihood - top)
    return top + np.log(weight.mean()), weight.std() / weight.mean() / np.sqrt(weight.size)


# --- measurement: constraint, copula, heuristics --------------------------------------------

MEASURED = two_sided(
    (lognormal(1.0, 1.0), lognormal(1.0, 1.0)),
    (lognormal(0.5, 1.0), lognormal(1.0, 1.0)),
    families=(family("linear", 0.5, rate=lognormal(0, 1)),),
    constraints=(at_least("steps.a + bits.a", "steps.b"),),
    correlations=(correlation("bits.b", "steps.b", 0.7),),
    heuristics=Heuristics(("b",), Known(1.0), prior("Uniform", 1.0, 3.0)),
    selection=Selection(lognormal(0, 0.5)),
    path_dependence=Path(Known(0.2), Known(0.1)),
)
SIZES = {
    "sizes": {
        "kind": "measurement",
        "component": ["b", "a"],
        "quantity": ["steps", "steps"],
        "value": [9.0, 2.0],
        "log_sd": [0.1, 0.4],
    }
}


@pytest.fixture(scope="module")
def measured():
    return fit(MEASURED, SIZES, seed=42, **SETTINGS)


@pytest.fixture(scope="module")
def weighted():
    """Prior draws that satisfy the constraint, made here, with their log likelihood."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal((5, 2_000_000))
    v = {"bits.a": np.exp(1 + z[0]), "steps.a": np.exp(1 + z[1]), "bits.b": np.exp(0.5 + z[2])}
    v["steps.b"] = np.exp(1 + 0.7 * z[2] + np.sqrt(1 - 0.49) * z[3])
    v["factor"] = rng.uniform(1.0, 3.0, z.shape[1])
    effective = v["steps.b"] * v["factor"]
    holds = v["steps.a"] + v["bits.a"] >= effective
    v = {n: x[holds] for n, x in v.items()} | {"effective": effective[holds]}
    log_likelihood = stats.lognorm(0.1, scale=v["effective"]).logpdf(9.0)
    return v, log_likelihood + stats.lognorm(0.4, scale=v["steps.a"]).logpdf(2.0)


def test_measurements_under_constraint_copula_and_heuristics(measured, weighted):
    v, log_likelihood = weighted
    weights = np.exp(log_likelihood - log_likelihood.max())
    post = measured["posterior_linear"].to_dataset()
    steps, bits = post["steps"], post["bits"]
    agrees(np.log(steps.sel(component="b")), np.log(v["effective"]), weights)
    agrees(np.log(steps.sel(component="a")), np.log(v["steps.a"]), weights)
    agrees(np.log(bits.sel(component="a")), np.log(v["bits.a"]), weights)
    agrees(np.log(bits.sel(component="b")), np.log(v["bits.b"]), weights)
    agrees(post["heuristics_steps"], v["factor"], weights)
    slack = steps.sel(component="a") + bits.sel(component="a") - steps.sel(component="b")
    assert float(slack.min()) >= -1e-9
    # No row speaks of the pressure: it keeps its prior.
    agrees(np.log(post["pressure"]), np.random.default_rng(2).normal(0, 0.5, 10**6), np.ones(10**6))


def test_marginal_likelihood_is_under_the_conditioned_prior(measured, weighted):
    # p(D | F) = E[p(D | theta)] under the prior given the constraint, which holds in a fifth of it.
    value, error = log_mean(weighted[1])
    found = families_of(measured)["linear"]
    stated = np.hypot(found["log_marginal_likelihood_error"], error)
    assert abs(found["log_marginal_likelihood"] - value) < 4 * stated
    assert found["log_marginal_likelihood_error"] < 0.1


def test_marginal_likelihood_of_sharp_evidence_under_a_constraint():
    # So sharp that only bridge sampling serves; P(a >= b) = 1/2 must be divided by all the same.
    found = two_sided(
        (1.0, lognormal(0, 1)),
        (1.0, lognormal(0, 1)),
        constraints=(at_least("steps.a", "steps.b"),),
    )
    sharp = {
        "kind": "measurement",
        "component": ["b"],
        "quantity": ["steps"],
        "value": [1.5],
        "log_sd": [5e-4],
    }
    part = families_of(fit(found, {"m": sharp}, seed=42, **SETTINGS))["linear"]
    normal, x = stats.norm, np.log(1.5)
    exact = normal.logpdf(x) + normal.logsf(x) - x - np.log(0.5)
    assert abs(part["log_marginal_likelihood"] - exact) < (
        4 * part["log_marginal_likelihood_error"] + 1e-3
    )


def test_rows_have_matching_names_and_dimensions(measured):
    for group in ("posterior_predictive", "log_likelihood", "prior_predictive"):
        assert measured[group]["sizes"].dims == ("chain", "draw", "sizes_row")
        assert measured[group]["sizes"].shape == (2, 500, 2)
    assert measured["observed_data"]["sizes"].dims == ("sizes_row",)
    np.testing.assert_array_equal(measured["observed_data"]["sizes"], [9.0, 2.0])


def test_log_likelihood_is_that_of_the_stored_draws(measured):
    steps = measured["posterior"]["steps"].to_numpy()
    expected = stats.norm.logpdf(np.log(9.0), np.log(steps[..., 1]), 0.1) - np.log(9.0)
    found = measured["log_likelihood"]["sizes"].to_numpy()[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_replicates_scatter_around_the_stored_draws(measured):
    steps = measured["posterior"]["steps"].to_numpy()
    z = (
        np.log(measured["posterior_predictive"]["sizes"].to_numpy()[..., 0]) - np.log(steps[..., 1])
    ) / 0.1
    assert stats.kstest(z.ravel(), "norm").statistic * np.sqrt(z.size) < 2.2
    before = measured["prior"]["steps"].to_numpy()
    z = (
        np.log(measured["prior_predictive"]["sizes"].to_numpy()[..., 1]) - np.log(before[..., 0])
    ) / 0.4
    assert stats.kstest(z.ravel(), "norm").statistic * np.sqrt(z.size) < 2.2


def test_arviz_reads_the_tree(measured):
    import arviz as az

    names = ["pressure", "steps", "linear_rate", "deceptive_mass"]
    table = az.summary(measured, group="posterior_linear", var_names=names)
    assert np.isfinite(table.to_numpy(dtype=float)[:, 0]).all()
    assert len(az.summary(measured)) > 5
    assert np.isfinite(az.loo(measured, var_name="sizes").elpd)


def test_the_tree_of_a_fit_with_evidence(measured):
    assert {"posterior", "posterior_linear", "sample_stats_linear", "prior", "log_prior"} <= set(
        measured.children
    )
    stats_of = measured["sample_stats_linear"]
    names = {"diverging", "energy", "acceptance_rate", "n_steps", "step_size", "tree_depth", "lp"}
    assert names <= set(stats_of.data_vars)
    summary = summarize(measured)
    assert 0 <= summary["deceptive_favored"]["mean"] <= 1
    assert summary["with_path"]["deceptive_favored"]["mean"] == pytest.approx(
        0.02 + 0.8 * summary["deceptive_favored"]["mean"]
    )


def test_the_process_keeps_its_settings(measured):
    import jax

    assert not jax.config.jax_enable_x64
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002 - the global one is the point
    fit(two_sided((lognormal(0, 1), 1.0)), {}, num_samples=10)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


# --- choice: family probabilities against a grid --------------------------------------------


def choice_table(true, rows, trials, seed):
    """Rows of stored or derived facts from a true exchange, (evidence, columns)."""
    rng = np.random.default_rng(seed)
    bits, steps = rng.uniform(0.5, 6, rows), rng.lognormal(4, 1.5, rows)
    base = rng.lognormal(4, 1, rows)
    columns = {"bits": bits, "steps": steps, "base_steps": base}
    p = expit(LN2 * (true(base, steps) - bits))
    stored = rng.binomial(trials, p)
    return {"kind": "choice", **columns, "stored": stored, "trials": np.full(rows, trials)}


TRUTH = {
    "levin": (choice_table(lambda b, t: 1.2 * np.log2(1 + t / b), 10, 10, 11)),
    "linear": (choice_table(lambda b, t: t / 60.0, 20, 20, 12)),
}
BOTH = (
    family("linear", 0.5, rate=lognormal(4.0, 1.0)),
    family("levin", 0.5, kappa=lognormal(0.0, 0.7)),
)
ONE_UNKNOWN = two_sided((3.0, 9.0), (5.0, 2.0), BOTH)
TWO_UNKNOWNS = two_sided((3.0, 9.0), (5.0, 2.0), BOTH, selection=Selection(lognormal(0, 0.5)))


def grid_log_marginal(name, table, pressure_sd):
    """Log of the integral over the exchange parameter (and the pressure), by the midpoint rule."""
    loc, scale = {"linear": (4.0, 1.0), "levin": (0.0, 0.7)}[name]
    z = (np.arange(600) + 0.5) / 600 * 14 - 7
    parameter = np.exp(loc + scale * z)
    pressure = np.exp(pressure_sd * z[::4]) if pressure_sd else np.ones(1)
    weight = stats.norm.pdf(z[::4] if pressure_sd else z[:1])
    gain = (
        table["steps"] / parameter[:, None]
        if name == "linear"
        else parameter[:, None] * np.log2(1 + table["steps"] / table["base_steps"])
    )
    logit = LN2 * pressure[:, None, None] * (gain - table["bits"])
    rows = stats.binom.logpmf(table["stored"], table["trials"], expit(logit)).sum(axis=-1)
    weights = (weight / weight.sum())[:, None] * (stats.norm.pdf(z) / stats.norm.pdf(z).sum())
    top = rows.max()
    return top + np.log((np.exp(rows - top) * weights).sum())


def grid_probability(table, pressure_sd):
    logs = np.array([grid_log_marginal(f.name, table, pressure_sd) for f in BOTH])
    return logs, np.exp(logs[0] - np.logaddexp(*logs))


def check_families(post, table, pressure_sd):
    logs, probability = grid_probability(table, pressure_sd)
    found = families_of(post)
    for name, exact in zip(("linear", "levin"), logs, strict=True):
        part = found[name]
        error = part["log_marginal_likelihood_error"]
        assert abs(part["log_marginal_likelihood"] - exact) < 4 * error + 1e-4, (name, part, exact)
        assert error < 0.1
    linear = found["linear"]
    assert abs(linear["probability"] - probability) < 4 * linear["probability_error"] + 1e-5
    return linear


def test_family_probabilities_are_those_of_a_grid():
    post = fit(ONE_UNKNOWN, {"c": TRUTH["levin"]}, seed=0, **SETTINGS)
    linear = check_families(post, TRUTH["levin"], 0.0)
    share = float((post["posterior"]["family"] == "linear").mean())
    assert share == pytest.approx(linear["probability"], abs=1 / 500)


def test_interrupted_after_the_first_family():
    import threading

    def stop(stage, done, total):
        if stage == "NUTS, levin":
            raise KeyboardInterrupt

    before = threading.active_count()
    # The model and the settings of the test above: compiled already.
    with pytest.raises(Interrupted) as caught:
        fit(ONE_UNKNOWN, {"c": TRUTH["levin"]}, seed=0, progress=stop, **SETTINGS)
    assert threading.active_count() <= before
    partial = caught.value.partial
    assert "posterior_linear" in partial.children
    assert "posterior_levin" not in partial.children
    assert families_of(partial)["linear"]["probability"] == 1.0


def test_interrupted_before_anything_is_done():
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        fit(ONE_UNKNOWN, {}, num_samples=5, progress=stop)
    assert caught.value.partial is None


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTH)
@pytest.mark.parametrize("pressure_sd", [0.0, 0.5])
def test_family_probabilities_from_four_seeds(truth, pressure_sd):
    found = TWO_UNKNOWNS if pressure_sd else ONE_UNKNOWN
    parts = [
        check_families(fit(found, {"c": TRUTH[truth]}, seed=s), TRUTH[truth], pressure_sd)
        for s in range(4)
    ]
    values = [p["probability"] for p in parts]
    assert np.ptp(values) < 5 * np.hypot(*[max(p["probability_error"] for p in parts)] * 2) + 1e-5


@pytest.mark.slow
def test_groups_recover_their_mean():
    rng = np.random.default_rng(3)
    tables = []
    for group in range(6):
        kappa = 1.2 * np.exp(0.4 * rng.normal())
        tables.append(choice_table(lambda b, t, k=kappa: k * np.log2(1 + t / b), 12, 40, group))
    columns = {k: np.concatenate([t[k] for t in tables]) for k in tables[0] if k != "kind"}
    groups = np.repeat([f"g{k}" for k in range(6)], 12)
    found = two_sided((3.0, 9.0), (5.0, 2.0), (BOTH[1],))
    post = fit(found, {"c": {"kind": "choice", **columns, "group": groups}}, seed=1)
    kappa = np.log(post["posterior_levin"]["levin_kappa"].to_numpy())
    assert abs(kappa.mean() - np.log(1.2)) < 3 * kappa.std()
    assert kappa.std() > 0.08
    assert post["posterior_levin"]["c_offset"].shape == (4, 1000, 6)
    assert int(post["sample_stats_levin"]["diverging"].sum()) < 40


# --- selection ------------------------------------------------------------------------------

SELECTED = two_sided(
    (lognormal(1.5, 0.8), 30.0),
    (2.0, 60.0),
    (
        family("linear", 0.5, rate=lognormal(3.0, 1.0)),
        family("levin", 0.5, kappa=lognormal(0.0, 0.7)),
    ),
    selection=Selection(lognormal(-0.5, 0.5)),
)
COUNTS = {"structure": ["honest", "deceptive"], "count": [3, 17]}


def selection_draws(name):
    rng = np.random.default_rng(7)
    z = rng.standard_normal((3, 400_000))
    bits, pressure = np.exp(1.5 + 0.8 * z[0]), np.exp(-0.5 + 0.5 * z[1])
    parameter = np.exp(3.0 + z[2]) if name == "linear" else np.exp(0.7 * z[2])
    gap = 30.0 / parameter if name == "linear" else parameter
    logit = LN2 * pressure * (bits - 2.0 - gap)
    values = {"bits": np.log(bits), "pressure": np.log(pressure), "parameter": np.log(parameter)}
    return values, stats.binom.logpmf(17, 20, expit(logit)), expit(logit)


@pytest.mark.slow
def test_selection_is_that_of_weighted_prior_draws():
    post = fit(SELECTED, {"s": {"kind": "selection", **COUNTS}}, seed=42, **SETTINGS)
    logs = []
    for name, parameter in (("linear", "linear_rate"), ("levin", "levin_kappa")):
        values, log_likelihood, mass = selection_draws(name)
        weights = np.exp(log_likelihood - log_likelihood.max())
        draws = post[f"posterior_{name}"].to_dataset()
        agrees(np.log(draws["bits"].sel(component="a")), values["bits"], weights)
        agrees(np.log(draws["pressure"]), values["pressure"], weights)
        agrees(np.log(draws[parameter]), values["parameter"], weights)
        agrees(draws["deceptive_mass"], mass, weights)
        logs.append(log_mean(log_likelihood))
    found = families_of(post)["linear"]
    exact = 1 / (1 + np.exp(logs[1][0] - logs[0][0]))
    error = np.hypot(found["probability_error"], 0.25 * np.hypot(logs[0][1], logs[1][1]))
    assert abs(found["probability"] - exact) < 4 * error


# --- walls, little to do, bad input ---------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_a_constraint_that_is_a_wall(seed):
    uniform = prior("Uniform", 0.0, 10.0)
    found = WALLED.setdefault(
        "model",
        two_sided((1.0, uniform), (1.0, uniform), constraints=(at_least("steps.a", "steps.b"),)),
    )
    evidence = {**SIZES["sizes"], "component": ["a"], "quantity": ["steps"], "value": [5.0]}
    post = fit(found, {"m": evidence | {"log_sd": [1.0]}}, seed=seed, **SETTINGS)
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 10, (2, 10**6))
    a, b = a[a >= b], b[a >= b]
    weights = stats.lognorm(1.0, scale=a).pdf(5.0)
    steps = post["posterior_linear"]["steps"]
    agrees(steps.sel(component="a"), a, weights)
    agrees(steps.sel(component="b"), b, weights)


WALLED = {}  # one model object for both seeds: compiled once


def test_evidence_that_informs_nothing_uncertain():
    found = two_sided((3.0, 30.0), (2.0, 60.0), (family("linear", rate=20.0),))
    post = fit(found, {"s": {"kind": "selection", **COUNTS}}, num_samples=20, num_chains=2)
    deceptive = expit(LN2 * (1.0 - 1.5))
    expected = stats.binom.logpmf(17, 20, deceptive)
    assert families_of(post)["linear"]["log_marginal_likelihood"] == pytest.approx(expected)
    assert "sample_stats_linear" not in post.children


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "num_samples must be a whole number >= 1, found 0"),
        ({"num_chains": 1.5}, "num_chains must be a whole number >= 1"),
        ({"num_warmup": -1}, "num_warmup must be a whole number >= 0"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        fit(two_sided(), {}, **settings)


def test_facts_under_a_cap_are_fitted_but_not_to_selections():
    # 1 step each; what is derived takes 2 steps, or 20 of the one that needs it ten times.
    facts = known_facts([1.0], [2.0], {"deceptive": 10.0})
    found = two_sided(facts=facts, selection=Selection(Known(1.0), cap=9.0))
    post = fit(found, {}, num_samples=2, num_chains=1)
    assert json.loads(post.attrs["engines"])["masses"] == "listed"
    share = 0.5 / (0.5 + 0.5 + 0.25)
    np.testing.assert_allclose(post["posterior"]["deceptive_mass"], share, rtol=1e-12)
    with pytest.raises(RefusedError, match="the cap bounds the steps of all facts together"):
        fit(found, {"s": {"kind": "selection", **COUNTS}}, num_samples=2, num_chains=1)


# --- prior draws ----------------------------------------------------------------------------

PRIOR = two_sided(
    (lognormal(2, 1), lognormal(3, 1)),
    (lognormal(2, 1), lognormal(3, 1)),
    (*BOTH, family("power", 0.5, rate=3.0, exponent=prior("LogNormal", 0.2, 0.5, low=1.0))),
    constraints=(at_least("steps.a", "steps.b"),),
)


def prior_bytes(post):
    return {
        f"{group}/{n}": post[group][n].to_numpy().tobytes()
        for group in post.children
        for n in post[group].data_vars
        if post[group][n].dtype.kind in "fib"
    }


def test_prior_draws_are_reproducible_to_the_byte():
    first, again, other = (
        prior_bytes(fit(PRIOR, {}, num_samples=50, num_chains=2, seed=s)) for s in (1, 1, 2)
    )
    assert first == again
    assert first["posterior_linear/bits"] != other["posterior_linear/bits"]


def test_chains_and_families_have_streams_of_their_own():
    post = fit(PRIOR, {}, num_samples=50, num_chains=2, seed=1)
    bits = post["posterior_linear"]["bits"].to_numpy()
    assert (bits[0] != bits[1]).all()
    assert (bits != post["posterior_levin"]["bits"].to_numpy()).all()


def test_the_average_takes_each_family_by_its_weight_from_its_own_group():
    post = fit(PRIOR, {}, num_samples=300, num_chains=2, seed=1)
    label = post["posterior"]["family"].to_numpy()
    for chain in label:
        counts = [(chain == f.name).sum() for f in PRIOR.families]
        assert max(counts) - min(counts) <= 1
    for name in ("linear", "levin", "power"):
        own = post[f"posterior_{name}"]["bits"].to_numpy()
        here = label == name
        np.testing.assert_array_equal(post["posterior"]["bits"].to_numpy()[here], own[here])


def test_a_truncated_exponent_is_reported_with_its_share():
    post = fit(PRIOR, {}, num_samples=20, num_chains=1)
    share = stats.norm.cdf(-0.2 / 0.5)
    warnings = json.loads(post.attrs["warnings"])
    assert any(f"power_exponent: {share:.3g} of the prior" in w for w in warnings)
    assert float(post["posterior_power"]["power_exponent"].min()) >= 1.0


def test_steps_below_one_are_warned_of_under_levin_only():
    short = {"a": (1.0, 0.5), "b": (1.0, 2.0)}
    for name, warned in (("levin", True), ("linear", False)):
        chosen = family(name, **({"kappa": 1.0} if warned else {"rate": 1.0}))
        post = fit(two_sided(**short, families=(chosen,)), {}, num_samples=5)
        assert any("less than one step" in w for w in json.loads(post.attrs["warnings"])) == warned


def test_share_of_draws_in_which_nothing_fits():
    summary = summarize(fit(limited(cap=19.0), {}, num_samples=5))
    assert summary["nothing_fits"] == 1.0
    assert summary["deceptive_mass"]["mean"] is None
    uniform = prior("Uniform", 0.0, 10.0)
    found = two_sided((1.0, 8.0), (1.0, uniform), selection=Selection(cap=5.0))
    post = fit(found, {}, num_samples=2000, num_chains=1, seed=3)
    summary = summarize(post)
    assert summary["nothing_fits"] == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(2000))
    assert summary["deceptive_mass"]["mean"] == pytest.approx(1.0)
    assert any("no structure fits" in w for w in json.loads(post.attrs["warnings"]))


def test_facts_drawn_by_count():
    facts = Facts(("f", "g"), (lognormal(1, 1),) * 2, (lognormal(4, 1),) * 2, ((), ()))
    post = fit(two_sided(facts=facts), {}, num_samples=40, num_chains=2)
    assert post["posterior"]["fact_bits"].dims == ("chain", "draw", "fact")
    assert post["log_prior"]["fact_bits"].dims == ("chain", "draw")


def test_prior_results_are_read_by_arviz():
    import arviz as az

    table = az.summary(fit(PRIOR, {}, num_samples=50), var_names=["bits", "deceptive_mass"])
    assert len(table) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "levin"])
def test_selection_with_facts_is_that_of_weighted_prior_draws(name):
    from small_models import known_facts, theta_at

    from bayes_mesa.verdicts.verdict import verdicts

    chosen = next(f for f in SELECTED.families if f.name == name)
    found = two_sided(
        (lognormal(1.5, 0.8), 30.0),
        (2.0, 60.0),
        (chosen,),
        facts=known_facts([2.0, 5.0, 1.0], [20.0, 300.0, 4.0], {"deceptive": 2.0}),
        selection=Selection(lognormal(-0.5, 0.5)),
    )
    post = fit(found, {"s": {"kind": "selection", **COUNTS}}, seed=42, **SETTINGS)
    values = {k: np.exp(x[:100_000]) for k, x in selection_draws(name)[0].items()}
    parameter = next(iter(chosen.variables()))
    named = {
        "bits.a": values["bits"],
        "pressure": values["pressure"],
        parameter: values["parameter"],
    }
    mass = verdicts(found, chosen, theta_at(found, chosen, named, shape=(100_000,)))[
        "deceptive_mass"
    ]
    log_likelihood = stats.binom.logpmf(17, 20, mass)
    weights = np.exp(log_likelihood - log_likelihood.max())
    draws = post[f"posterior_{name}"]
    agrees(draws["deceptive_mass"], mass, weights)
    agrees(np.log(draws["pressure"]), np.log(values["pressure"]), weights)
    exact, error = log_mean(log_likelihood)
    part = families_of(post)[name]
    assert abs(part["log_marginal_likelihood"] - exact) < 4 * np.hypot(
        error, part["log_marginal_likelihood_error"]
    )


# --- a grammar ------------------------------------------------------------------------------


def test_a_grammar_is_fitted_to_evidence_like_any_other_model():
    found = uncertain(post_like(families=("levin",), programs={"quick": "optimize(base)"}))
    prior_only = fit(found, {}, num_samples=400, num_chains=1, seed=2)["posterior"]
    size = {
        "kind": "measurement",
        "component": ["base"],
        "quantity": ["bits"],
        "value": [0.5],
        "log_sd": [0.1],
    }
    post = fit(found, {"size": size}, seed=2, num_warmup=200, num_samples=400, num_chains=1)
    base = post["posterior"]["bits"].sel(component="base").to_numpy()
    # Conjugate: log normal with precision 1 around log 9 and 100 around log 1/2.
    mean = (np.log(9.0) + 100 * np.log(0.5)) / 101
    assert np.log(base).mean() == pytest.approx(mean, abs=5 * 0.1 / np.sqrt(ess(np.log(base))))
    mass = post["posterior"]["structure_mass"]
    assert list(mass["structure"].to_numpy())[:1] == ["quick"]
    np.testing.assert_allclose(mass.sum("structure"), 1.0, atol=1e-12)
    # The cheaper it is to store the base objective, the more honest the programs.
    honest = [
        float(x["class_mass"].sel({"class": "honest"}).mean())
        for x in (prior_only, post["posterior"])
    ]
    assert honest[1] > honest[0] + 0.1


# --- one process, many fits -----------------------------------------------------------------


def measured_again(**settings):
    return fit(MEASURED, SIZES, num_samples=60, num_chains=1, **settings)


@pytest.mark.slow
def test_another_warm_up_of_the_same_model_ends_where_it_says():
    measured_again(seed=1, num_warmup=120)
    steps = measured_again(seed=1, num_warmup=80)["sample_stats_linear"]["step_size"].to_numpy()
    # A kernel that adapts on while it draws moves its step size at every draw.
    assert np.unique(steps).size == 1


@pytest.mark.slow
def test_fits_in_threads_are_those_of_one_after_the_other():
    seeds = range(6)
    alone = [measured_again(seed=s, num_warmup=80)["posterior"]["bits"].mean() for s in seeds]
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda s: measured_again(seed=s, num_warmup=80), seeds)
        together = [post["posterior"]["bits"].mean() for post in found]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
