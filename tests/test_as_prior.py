"""A posterior as the next model's prior: fits, what the file keeps, and what is said to be lost."""

import json
import math

import numpy as np
import pytest
import tomlkit
from scipy import stats
from small_models import lognormal, prior, two_sided
from typer.testing import CliRunner

import bayes_mesa as bm
from bayes_mesa.domain.beliefs import FORMS, Known, Prior
from bayes_mesa.domain.slots import slots
from bayes_mesa.errors import InputError
from bayes_mesa.handing_on.belief_fit import compared, fit_prior
from bayes_mesa.handing_on.dependence import stated
from bayes_mesa.interface import cli
from bayes_mesa.interface.console import next_prior_text
from bayes_mesa.verdicts.prior_draws import draw_prior

DRAWS = {"num_samples": 500, "num_chains": 4}

# Two structures, of which the deceptive one is favored where bits.b + 1/rate < bits.a + 2/rate.
SMALL = """
[model]
name = "small"
note = "Two programs."

# A comment that stays.
[components.a]
bits = { dist = "LogNormal", loc = 3.0, scale = 1.0 }   # a guess
steps = 2
note = "What a costs."

[components.b]
bits = { q05 = 5, q95 = 100 }
steps = 1

[structures.honest]
stores = ["a"]
runs = ["a"]
train = "base"
deploy = "base"

[structures.deceptive]
stores = ["b"]
runs = ["b"]
train = "base"
deploy = "other"

[exchange.linear]
rate = { dist = "LogNormal", loc = 0.0, scale = 1.0 }
"""

#: Every place in which a model file may be uncertain, but two; and every way to write a belief.
EVERYWHERE = """
selection.pressure = { dist = "LogNormal", loc = 0.0, scale = 0.5 }
[model]
name = "everywhere"
[components.a]
kind = "cited"
bits.q05 = 10
bits.q95 = 1e3
[components.a.steps]
dist = "Gamma"
concentration = 2.0
rate = 0.1
[structures.honest]
stores = ["a"]
runs = ["a"]
train = "base"
deploy = "base"
[components.b]
bits = { q05 = 1, q95 = 50 }
steps = { dist = "Uniform", low = 1.0, high = 9.0 }
note = 'literal "text"'
[structures.drifted]
stores = ["b"]
runs = ["b"]
train = "other"
deploy = "other"
[structures.deceptive]
stores = ["a", "b"]
runs = ["b"]
train = "base"
deploy = "other"
[objectives]
other = { loss = { dist = "Exponential", rate = 3.0 } }
[[constraints]]
at_least = ["steps.a", "steps.b"]
[[overlaps]]
component = "b"
inside = "a"
fraction = { dist = "Uniform", low = 0.0, high = 0.5 }
[heuristics]
of = ["b"]
bits = 3
steps = { dist = "Uniform", low = 1.0, high = 3.0 }
[exchange.linear]
weight = 2.0
rate = { q05 = 0.1, q95 = 10 }
[exchange.levin]
kappa = { dist = "HalfNormal", scale = 2.0 }
[exchange.power]
rate = { dist = "LogUniform", low = 0.1, high = 100.0 }
exponent = { dist = "LogNormal", loc = 0.2311, scale = 0.47 }
[path]
lock_in = { dist = "Beta", concentration1 = 2.0, concentration0 = 5.0 }
deceptive = 0.1
"""

#: These two exclude each other: a regime sets a cap, under which facts have no exact sum.
FACTS = """
[facts]
count = 3
bits = { q05 = 2, q95 = 60 }
steps = { dist = "Weibull", scale = 5.0, concentration = 1.5 }
"""
REGIME = """
[regime]
budget = 1e12
steps_per_rollout = 1e6
rollouts = 8
task_rollouts = { q05 = 2, q95 = 64 }
planning_exponent = { dist = "LogNormal", loc = 0.0, scale = 0.3 }
task_episodes = 1e3
learning_exponent = { dist = "Gamma", concentration = 4.0, rate = 4.0 }
target_success = 0.9
"""


@pytest.fixture
def rng():
    return np.random.default_rng(42)


def model_of(text, folder, name="model.toml"):
    (folder / name).write_text(text)
    return bm.load_model(folder / name)


def measured(value, log_sd):
    rows = {"component": ["a"], "quantity": ["bits"], "value": [value], "log_sd": [log_sd]}
    return {"sizes": {"kind": "measurement", **rows}}


def beliefs(model):
    return {s.name: s.belief for f in model.families for s in slots(model, f) if s.uncertain}


def ess(draws):
    from arviz_stats.base import array_stats

    return float(array_stats.ess(np.asarray(draws), chain_axis=0, draw_axis=1, method="mean"))


def bits_of(post, component):
    return np.log(post["posterior"]["bits"].sel(component=component).to_numpy())


def estimate(post):
    return bm.summarize(post)["deceptive_favored"]


# --- one distribution ---------------------------------------------------------------------------

TRUE = [
    prior("LogNormal", 5.0, 3.0),
    prior("Gamma", 2.5, 0.01),
    prior("InverseGamma", 3.0, 40.0),
    prior("Exponential", 1e-4),
    prior("HalfNormal", 7.0),
    prior("Uniform", 3.0, 8.0),
    prior("LogUniform", 1e-3, 1e4),
    prior("Weibull", 1e6, 1.8),
]


@pytest.mark.parametrize("true", TRUE, ids=str)
def test_draws_of_every_form_get_a_prior_that_fits_them(true, rng):
    draws = true.quantile(rng.random(4000))
    fit = compared("x", fit_prior(draws), draws)
    # P(sqrt(N) D > 2.5) = 7e-6 for a known distribution; fitting only brings it nearer.
    assert fit.ks < 2.5 / math.sqrt(draws.size)
    # True to the draws in the sense of their own error, about 3 % of the spread at the ends.
    for q, fitted in zip((0.05, 0.5, 0.95), fit.fitted, strict=True):
        assert abs(true.scipy().cdf(fitted) - q) < 5 * math.sqrt(q * (1 - q) / draws.size) + 1e-3


def test_a_lognormal_is_recovered_with_its_arguments(rng):
    draws = np.exp(2.0 + 0.7 * rng.standard_normal(4000))
    found = fit_prior(draws)
    assert found.name == "LogNormal"
    loc, scale = (x for _, x in found.arguments)
    assert abs(loc - 2.0) < 5 * 0.7 / math.sqrt(4000)
    assert abs(scale - 0.7) < 5 * 0.7 / math.sqrt(8000)


def test_shares_stay_between_0_and_1_and_costs_are_no_beta(rng):
    draws = rng.beta(2.0, 5.0, 4000)
    share = fit_prior(draws, within=(0.0, 1.0))
    assert share.name == "Beta"
    assert share.support == (0.0, 1.0)
    assert fit_prior(draws).support[1] > 1.0 or fit_prior(draws).name != "Beta"


def test_the_ends_of_a_share_are_not_left(rng):
    draws = rng.uniform(0.0, 0.5, 4000)
    assert fit_prior(draws, within=(0.0, 0.5)).support[1] <= 0.5


def test_a_truncated_prior_is_fitted_as_it_will_be_truncated(rng):
    true = prior("LogNormal", 0.2311, 0.47, low=1.0)
    draws = true.quantile(rng.random(4000))
    found = fit_prior(draws, low=1.0)
    assert found.low == 1.0
    assert compared("x", found, draws).ks < 2.5 / math.sqrt(draws.size)
    # As they stand, without the cut in mind, the draws would give another distribution.
    plain = Prior(*(lambda p: (p.name, p.arguments))(fit_prior(draws)), low=1.0)
    assert compared("x", plain, draws).ks > 0.05


@pytest.mark.parametrize(
    "draws", [np.ones(100), np.array([1.0, np.inf]), np.array([-1.0, 2.0])], ids=str
)
def test_draws_that_no_prior_fits_are_refused(draws):
    with pytest.raises(InputError, match="finite, at least 0 and not all the same"):
        fit_prior(draws)


def test_distance_and_quantiles_by_hand():
    fit = compared("x", prior("Uniform", 0.0, 1.0), np.array([0.1, 0.2, 0.3, 0.4]))
    assert fit.ks == pytest.approx(0.6)  # at 0.4: all draws against 0.4
    assert fit.fitted == pytest.approx((0.05, 0.5, 0.95))
    assert fit.drawn[1] == pytest.approx(0.25)
    assert fit.errors[1] == pytest.approx(1.0)
    simulated = compared("x", prior("Uniform", 0.0, 1.0), np.arange(4.0), np.arange(4.0))
    assert simulated.ks == pytest.approx(0.25)  # a step of the draws themselves


# --- correlations -------------------------------------------------------------------------------


def test_correlations_that_contradict_each_other_are_drawn_towards_0_together():
    names = ["bits.a", "bits.b", "bits.c"]
    matrix = np.array([[1, 0.9, 0.2], [0.9, 1, -0.9], [0.2, -0.9, 1]])
    found = {c.between: c.rho for c in stated(names, matrix, np.full((3, 3), 0.3))}
    assert len(found) == 2  # 0.2 is noise
    whole = np.array([[1, 0.9, 0.0], [0.9, 1, -0.9], [0.0, -0.9, 1]])
    rho = list(found.values())
    assert rho[0] == pytest.approx(-rho[1])
    assert 0.6 < rho[0] < 0.9 / 1.2  # 1/sqrt 2 is the largest for such a matrix
    whole[whole != 1] *= rho[0] / 0.9
    assert np.linalg.eigvalsh(whole)[0] > 0


CORRELATED = SMALL + '[[correlations]]\nbetween = ["bits.a", "bits.b"]\nrho = -0.8\n'


def test_correlations_of_costs_are_kept_and_others_are_not_made_up(tmp_path):
    post = bm.fit(model_of(CORRELATED, tmp_path), **DRAWS)
    (found,) = bm.as_prior(post).correlations
    assert [str(q) for q in found.between] == ["bits.a", "bits.b"]
    assert abs(found.rho + 0.8) < 5 * (1 - 0.8**2) / math.sqrt(2000)
    assert bm.as_prior(bm.fit(model_of(SMALL, tmp_path), **DRAWS)).correlations == ()


# --- a posterior, in closed form ----------------------------------------------------------------


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """One measurement of bits.a, from a model file that names it."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "sizes.csv").write_text("component,quantity,value,log_sd\na,bits,40.0,0.5\n")
    text = SMALL + '[evidence.sizes]\nkind = "measurement"\nfile = "sizes.csv"\n'
    post = bm.fit(model_of(text, folder), num_warmup=300, **DRAWS, seed=1)
    return post, bm.as_prior(post, folder / "elsewhere.toml")


def normal_posterior(*measurements):
    """Mean and sd of ln bits.a: precisions add up."""
    precision, total = 1.0, 3.0
    for value, sd in measurements:
        precision += sd**-2
        total += math.log(value) * sd**-2
    return total / precision, precision**-0.5


@pytest.mark.slow
def test_a_lognormal_posterior_is_recovered(first):
    post, found = first
    mean, sd = normal_posterior((40.0, 0.5))
    fitted = {f.slot: f for f in found.fits}["bits.a"]
    size = ess(bits_of(post, "a"))
    loc, scale = fitted.prior.scipy().mean(), fitted.prior.scipy().std()
    true = stats.lognorm(s=sd, scale=math.exp(mean))
    # Whatever form was chosen: mean and quantiles within 5 errors of the draws' own.
    assert abs(loc - true.mean()) < 5 * true.std() / math.sqrt(size)
    assert abs(scale / true.std() - 1) < 5 * 1.5 / math.sqrt(size)
    middle = abs(math.log(fitted.fitted[1]) - mean)
    assert middle < 5 * 1.25 * sd / math.sqrt(size)


def test_evidence_is_in_the_priors_and_no_longer_in_the_file(first):
    post, found = first
    nxt = bm.load_model(found.path)
    assert nxt.evidence == ()
    assert nxt.text == found.text
    assert "evidence: sizes" in nxt.note
    assert "# A comment that stays." in found.text
    assert "# a guess" in found.text
    assert nxt.structures == bm.load_model(found.path.with_name("model.toml")).structures
    (a,) = [c for c in nxt.components if c.name == "a"]
    assert a.note.startswith("What a costs. Fitted to 2000 draws of the posterior of small (sha256")
    assert a.steps == Known(2.0)


def test_the_next_prior_gives_the_posterior_probability(first):
    post, found = first
    again = estimate(bm.fit(bm.load_model(found.path), **DRAWS, seed=2))
    before = estimate(post)
    assert 0.05 < before["mean"] < 0.95
    assert abs(again["mean"] - before["mean"]) < 5 * math.hypot(again["mcse"], before["mcse"])


def test_two_steps_are_one(first):
    """Evidence 2 on the posterior of evidence 1 is both at once, as Bayes' rule has it."""
    _, found = first
    nxt = bm.load_model(found.path)
    drawn = draw_prior(nxt, slots(nxt), 100_000, np.random.default_rng(4))
    logs = np.log(drawn.values["bits.a"])
    weight = stats.norm(logs, 0.4).pdf(math.log(15.0))
    weight /= weight.sum()
    two_steps_agree(
        weight @ logs, math.sqrt(weight @ (logs - weight @ logs) ** 2), 1 / np.sum(weight**2)
    )


@pytest.mark.slow
def test_two_fits_are_one(first):
    _, found = first
    post = bm.fit(bm.load_model(found.path), measured(15.0, 0.4), num_warmup=500, **DRAWS, seed=3)
    logs = bits_of(post, "a")
    two_steps_agree(logs.mean(), logs.std(), ess(logs))


def two_steps_agree(mean, sd, size):
    true_mean, true_sd = normal_posterior((40.0, 0.5), (15.0, 0.4))
    # The prior has an error of its own: that of 500 draws at the least.
    size = 1 / (1 / size + 1 / 500)
    assert abs(mean - true_mean) < 5 * true_sd / math.sqrt(size)
    assert abs(sd / true_sd - 1) < 5 / math.sqrt(size)


# --- constraints --------------------------------------------------------------------------------

CONSTRAINED = SMALL + '[[constraints]]\nat_least = ["bits.b", "bits.a"]\n'


def test_constraints_do_not_condition_twice(tmp_path):
    model = model_of(CONSTRAINED, tmp_path)
    post = bm.fit(model, **DRAWS)
    found = bm.as_prior(post, tmp_path / "next.toml")
    nxt = bm.load_model(found.path)
    assert nxt.constraints == model.constraints
    drawn = draw_prior(nxt, slots(nxt), 20_000, np.random.default_rng(5))
    assert drawn.acceptance == pytest.approx(found.acceptance, abs=0.05)
    assert found.acceptance < 0.95
    for component in "ab":
        values = np.log(drawn.values[f"bits.{component}"])
        target = bits_of(post, component).ravel()
        # sqrt(N) D of two samples beyond 2.5 once in 1e5; and what the table's forms cannot say.
        assert stats.ks_2samp(values, target).statistic < 2.5 / math.sqrt(2000) + 0.02
        # Fitted as the draws stand and conditioned again, they would be far off.
    naive = [fit_prior(np.exp(bits_of(post, c))) for c in "ab"]
    u = np.random.default_rng(6).random((2, 20_000))
    a, b = (p.quantile(x) for p, x in zip(naive, u, strict=True))
    assert stats.ks_2samp(np.log(a[b >= a]), bits_of(post, "a").ravel()).statistic > 0.06
    scores = [bits_of(post, c).ravel() for c in "ab"]
    again = [np.log(drawn.values[f"bits.{c}"]) for c in "ab"]
    assert abs(stats.spearmanr(*scores)[0] - stats.spearmanr(*again)[0]) < 0.1


# --- everything that a file may hold ------------------------------------------------------------


@pytest.fixture(scope="module", params=[FACTS, REGIME], ids=["facts", "regime"])
def everywhere(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("everywhere")
    model = model_of(EVERYWHERE + request.param, folder)
    post = bm.fit(model, num_samples=1000)
    return model, post, bm.as_prior(post, folder / "next.toml")


def test_every_belief_is_replaced_wherever_it_stands(everywhere):
    model, _, found = everywhere
    before, after = beliefs(model), beliefs(bm.load_model(found.path))
    assert list(after) == list(before) == [f.slot for f in found.fits]
    # The overlap's ends may not be left, and are found again.
    assert {n for n in before if after[n] == before[n]} <= {"overlap_fraction.b.a"}
    written = {f.slot: f.prior for f in found.fits}
    assert after == written
    assert {p.name for p in written.values()} <= set(FORMS)
    assert ("planning_exponent" in written) == ("[regime]" in model.text)


def test_every_fit_is_close_to_the_true_prior(everywhere):
    """Without evidence the posterior is the prior: the fits must give it back."""
    _, _, found = everywhere
    for fit in found.fits:
        assert fit.ks < 0.05, fit
    assert found.warnings == ()
    assert found.lost == ()


def test_heuristics_are_divided_out(everywhere):
    """Steps of b are uniform on [1, 9]; times a factor on [1, 3] they would reach 27."""
    _, _, found = everywhere
    fitted = {f.slot: f for f in found.fits}
    assert fitted["steps.b"].drawn[2] < 9.0
    assert fitted["bits.b"].drawn[1] == pytest.approx(math.sqrt(50), rel=0.2)


@pytest.fixture
def two_families(tmp_path):
    text = SMALL + "[exchange.levin]\nkappa = { q05 = 0.5, q95 = 4 }\n"
    return bm.fit(model_of(text, tmp_path), num_samples=250)


def test_families_get_their_posterior_probabilities(two_families, tmp_path):
    families = json.loads(two_families.attrs["families"])
    families["linear"]["probability"], families["levin"]["probability"] = 1.0, 0.0
    two_families.attrs["families"] = json.dumps(families)
    nxt = bm.load_model(bm.as_prior(two_families, tmp_path / "next.toml").path)
    # A weight must be above 0, so that later evidence can bring a family back.
    assert [f.weight for f in nxt.families] == [1.0, 1e-300]


def test_a_family_that_was_not_fitted_is_left_out_and_said_so(two_families, tmp_path):
    families = json.loads(two_families.attrs["families"])
    del families["levin"]
    two_families.attrs["families"] = json.dumps(families)
    found = bm.as_prior(two_families, tmp_path / "next.toml")
    assert [f.name for f in bm.load_model(found.path).families] == ["linear"]
    assert any("families that were not fitted are left out: levin" in w for w in found.warnings)


def test_judgements_become_fitted_priors(tmp_path):
    rows = "expert,component,quantity,q05,q50,q95\nada,b,bits,5,20,100\ngrace,b,bits,10,30,200\n"
    (tmp_path / "judged.csv").write_text(rows)
    text = SMALL.replace("bits = { q05 = 5, q95 = 100 }\n", "")
    text += '[evidence.judged]\nkind = "elicitation"\nfile = "judged.csv"\n'
    post = bm.fit(model_of(text, tmp_path), **DRAWS)
    found = bm.as_prior(post, tmp_path / "next.toml")
    (fit,) = [f for f in found.fits if f.slot == "bits.b"]
    assert fit.ks < 0.05
    nxt = bm.load_model(found.path)
    assert nxt.evidence == ()
    assert beliefs(nxt)["bits.b"] == fit.prior


def test_facts_in_a_file_go_beside_the_new_file(tmp_path):
    rows = "name,bits,steps,needs\nart,1.5,20,\nskill,0.1,3e5,art\n"
    (tmp_path / "old.csv").write_text(rows)
    model = model_of(SMALL + '[facts]\nfile = "old.csv"\n', tmp_path)
    (tmp_path / "new").mkdir()
    # Without its sum there is no fit of facts with needs here; its draws are all that is used.
    from dataclasses import replace

    free = replace(model, facts=replace(model.facts, needs=((), ())))
    post = bm.fit(free, **DRAWS)
    post.attrs["fact_needs"] = "[[], [0]]"
    found = bm.as_prior(post, tmp_path / "new" / "next.toml")
    assert list(found.files) == ["next_facts.csv"]
    assert bm.load_model(found.path).facts == model.facts


def test_a_model_without_unknowns_loses_its_evidence_only(tmp_path):
    text = SMALL
    for belief in (
        '{ dist = "LogNormal", loc = 3.0, scale = 1.0 }',
        "{ q05 = 5, q95 = 100 }",
        '{ dist = "LogNormal", loc = 0.0, scale = 1.0 }',
    ):
        text = text.replace(belief, "2.0")
    found = bm.as_prior(bm.fit(model_of(text, tmp_path), **DRAWS))
    assert found.fits == ()
    assert found.path is None
    assert next_prior_text(found) == "No number of the model is uncertain."
    assert tomlkit.parse(found.text)["components"]["a"]["bits"] == 2.0


# --- what is lost -------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path):
    return bm.fit(
        model_of(SMALL + "[selection]\npressure = { q05 = 0.5, q95 = 2 }\n", tmp_path), **DRAWS
    )


def test_dependence_that_no_file_states_is_measured_and_said(plain):
    rate = plain["posterior_linear"]["linear_rate"]
    for group in ("posterior", "posterior_linear"):
        plain[group]["pressure"] = rate**-0.5
    found = bm.as_prior(plain)
    assert found.lost[0].between == ("pressure", "linear_rate")
    assert found.lost[0].rho == pytest.approx(-1.0, abs=1e-6)
    (said,) = found.warnings
    assert said.startswith("the posterior correlation -1.00 of pressure and linear_rate (linear)")


def test_what_differs_between_families_is_said(two_families):
    post = two_families
    bits = post["posterior"]["bits"]
    post["posterior"]["bits"] = bits * (1.0 + 9.0 * (bits["family"] == "levin"))
    found = bm.as_prior(post)
    said = "bits.a differs between exchange families"
    assert any(w.startswith(said) for w in found.warnings)
    # One prior for all families: that of the average.
    fitted = {f.slot: f for f in found.fits}["bits.a"]
    assert fitted.drawn[1] == np.median(post["posterior"]["bits"].sel(component="a"))


def test_a_bad_fit_is_named(plain):
    two_humps = np.where(np.arange(2000) % 2, 1.0, 100.0) * np.exp(
        0.05 * np.random.default_rng(0).standard_normal(2000)
    )
    rate = plain["posterior_linear"]["linear_rate"]
    plain["posterior_linear"]["linear_rate"] = rate.copy(data=two_humps.reshape(rate.shape))
    found = bm.as_prior(plain)
    (fit,) = [f for f in found.fits if f.slot == "linear_rate"]
    assert fit.ks > 0.2
    assert any(
        w.startswith("linear_rate: the posterior is no distribution") for w in found.warnings
    )


def test_evidence_that_was_not_used_is_named(first):
    post, _ = first
    folder_text = post.attrs["model_text"]
    changed = post.copy()
    changed.attrs = {**post.attrs, "evidence": "[]", "model_text": folder_text}
    assert any(
        w.startswith("evidence that this posterior did not use is left out too: sizes")
        for w in bm.as_prior(changed).warnings
    )


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


# --- refusals and the command -------------------------------------------------------------------


def test_a_model_made_in_python_is_refused():
    post = bm.fit(two_sided((lognormal(0, 1), 1.0)), num_samples=100)
    with pytest.raises(InputError, match="must be that of a model file"):
        bm.as_prior(post)


def test_too_few_draws_are_refused(tmp_path):
    post = bm.fit(model_of(SMALL, tmp_path), num_samples=10, num_chains=1)
    with pytest.raises(InputError, match="at least 50 draws, found 10"):
        bm.as_prior(post)


def test_a_tree_without_a_posterior_is_refused(plain):
    with pytest.raises(InputError, match="the group must be one of .*prior.* found 'posterior'"):
        bm.as_prior(plain.filter(lambda node: node.name != "posterior"))


def test_command_prints_fits_and_keeps_what_is_there(plain, tmp_path):
    bm.save_posterior(plain, tmp_path / "posterior.nc")
    command = ("prior", tmp_path / "posterior.nc", "--out", tmp_path / "next.toml")
    done = run(*command)
    assert done.exit_code == 0, done.stderr
    assert "linear_rate" in done.stdout
    assert "95 %" in done.stdout
    bm.load_model(tmp_path / "next.toml")
    again = run(*command)
    assert again.exit_code == 2
    assert "next.toml must not exist yet; --force replaces it" in again.stderr
    assert run(*command, "--force").exit_code == 0


def test_the_next_model_has_a_name_of_its_own(tmp_path):
    post = bm.fit(bm.load_model("rollouts"), {}, num_samples=100, num_chains=2)
    once = bm.as_prior(bm.update(post, likelihood_ratio=3), tmp_path / "next.toml")
    model = bm.load_model(tmp_path / "next.toml")
    assert model.name == "rollouts_next"
    assert model.title.endswith(", fitted to what came before")
    assert once.text.startswith("# The beliefs below were fitted to draws")
    assert "then a likelihood ratio of 3 (favored)" in once.text
    twice = bm.as_prior(bm.fit(model, {}, num_samples=100), tmp_path / "after.toml")
    assert bm.load_model(tmp_path / "after.toml").name == "rollouts_next"
    assert twice.text.count("# The beliefs below were fitted to draws") == 1


def test_draws_in_a_hair_of_each_other_are_fitted():
    rng = np.random.default_rng(1)
    fitted = fit_prior(1e6 * np.exp(1e-7 * rng.standard_normal(1000)))
    assert fitted.median == pytest.approx(1e6, rel=1e-6)
