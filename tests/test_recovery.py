"""Parameters recovered from evidence that the model itself brought forth: calibrated intervals.

Truth and evidence are drawn from the joint distribution, so that posterior intervals are calibrated
exactly: over repetitions, a central interval of content q holds the truth with probability q. The
counts of a test must lie, all of them together, in a band that a sound sampler leaves once in 1000
runs (`within`).
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small_models import family, lognormal, prior, two_sided

from bayes_mesa import fit, simulate_evidence, simulate_judgements
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Regime, Selection
from bayes_mesa.domain.slots import slots
from bayes_mesa.inference.compiled import _compile
from bayes_mesa.inference.inference import Program, evidence_tables, touched
from bayes_mesa.inference.nuts import run_nuts

CONTENTS = (0.5, 0.9)
LINEAR = family("linear", rate=lognormal(4.0, 1.0))
LEVIN = family("levin", kappa=lognormal(0.0, 0.7))
POWER = family("power", rate=lognormal(4.0, 1.0), exponent=prior("LogNormal", 0.3, 0.3, low=1.0))
PRESSURE = Selection(lognormal(0.0, 0.5))
COSTS = (lognormal(1.0, 1.0), lognormal(2.0, 1.0)), (lognormal(1.5, 0.7), lognormal(1.0, 1.0))
CLOSE = (lognormal(1.0, 0.5), lognormal(1.0, 0.5)), (lognormal(1.0, 0.5), lognormal(1.0, 0.5))
KNOWN = (3.0, 9.0), (5.0, 2.0)


def choices(rows, trials, seed=5, **more):
    rng = np.random.default_rng(seed)
    return {
        "kind": "choice",
        "bits": rng.uniform(0.5, 6.0, rows),
        "steps": rng.lognormal(4.0, 1.5, rows),
        "base_steps": rng.lognormal(4.0, 1.0, rows),
        "trials": np.full(rows, trials),
        **more,
    }


def grouped(groups, rows, trials):
    """The same rows in every group."""
    own = choices(rows, trials)
    columns = {n: np.tile(x, groups) for n, x in own.items() if n != "kind"}
    return {"kind": "choice", **columns, "group": np.repeat([f"g{k}" for k in range(groups)], rows)}


MEASURED = {
    "kind": "measurement",
    "component": ["a", "a", "b", "b", "b"],
    "quantity": ["bits", "steps", "bits", "bits", "steps"],
    "log_sd": [0.3, 1.0, 0.5, 0.5, 2.0],
}
COMPARED = {
    "kind": "comparison",
    "left": ["a", "a", "b", "b"],
    "right": ["b", "b", "a", "a"],
    "quantity": ["bits", "steps", "bits", "steps"],
    "trials": [8, 5, 8, 12],
    "expert": ["one", "two", "two", "one"],
}
GAMES = {"kind": "winrate", "compute_ratio": [0.5, 2.0, 4.0], "games": [10, 20, 5]}
FIGURES = {"kind": "tradeoff", "source": ["x", "y"], "log_sd": [0.1, 0.3]}
COUNTED = {"kind": "selection", "structure": ["honest", "deceptive"], "total": 30}
REGIME = Regime(1e9, 1e3, 4, Known(8.0), Known(1e3), lognormal(0.0, 0.5))

#: Kind → model, design, and the sites whose intervals are counted.
CASES = {
    "choice, linear": (
        two_sided(*KNOWN, (LINEAR,), selection=PRESSURE),
        choices(12, 20),
        ("linear_rate", "pressure"),
    ),
    "choice, levin": (
        two_sided(*KNOWN, (LEVIN,), selection=PRESSURE),
        choices(12, 20),
        ("levin_kappa", "pressure"),
    ),
    "choice, power": (
        two_sided(*KNOWN, (POWER,)),
        choices(12, 20),
        ("power_rate", "power_exponent"),
    ),
    "choice with groups": (
        two_sided(*KNOWN, (LEVIN,)),
        grouped(5, 6, 20),
        ("levin_kappa", "e_sd", "e_intercept", "e_concentration"),
    ),
    "measurement": (
        two_sided(*COSTS, (LINEAR,)),
        MEASURED,
        ("bits.a", "steps.a", "bits.b", "steps.b"),
    ),
    "comparison": (
        two_sided(*CLOSE, (LINEAR,)),
        COMPARED,
        ("bits.a", "bits.b", "steps.a", "e_sd"),
    ),
    "winrate": (
        two_sided(*KNOWN, (LINEAR,), regime=REGIME),
        GAMES,
        ("planning_exponent",),
    ),
    "tradeoff": (two_sided(*KNOWN, (POWER,)), FIGURES, ("power_exponent",)),
    "selection": (
        two_sided(*CLOSE, (LINEAR,), selection=PRESSURE),
        COUNTED,
        ("bits.a", "bits.b", "steps.b", "linear_rate", "pressure"),
    ),
}


def drawn(model, evidence, seed, num_samples):
    """Draws of one NUTS chain, site → (draws, ...)."""
    chosen = model.families[0]
    tables = evidence_tables(model, evidence)
    program = Program(model, chosen, tables, touched(model, chosen, tables))
    start = {s.name: s.belief.median for s in slots(model, chosen) if s.name in program.sampled}
    found = run_nuts(
        program,
        {t.name: t.numbers() for t in tables},
        [start],
        num_warmup=400,
        num_samples=num_samples,
        seed=seed,
    )
    return {n: x[0] for n, x in found.values.items()}


def positions(model, design, names, repetitions, seed=0, num_samples=500):
    """Share of the posterior below the truth, in every repetition, (repetitions, sites)."""
    rows = []
    for k in range(repetitions):
        made = simulate_evidence(model, {"e": design}, seed=1000 * seed + k)
        found = drawn(model, made.evidence, seed + k, num_samples)
        rows.append([np.mean(first(found[n], 1) < first(made.truth[n], 0)) for n in names])
    return np.array(rows)


def first(values, axis):
    """Of what has several copies, the first."""
    values = np.asarray(values)
    return values[..., 0] if values.ndim > axis else values


def within(position, names):
    """Counts of central intervals that hold the truth, each in its band."""
    count = len(position)
    level = 1.0 - 1e-3 / (len(CONTENTS) * len(names))
    said = {}
    for content in CONTENTS:
        low, high = stats.binom.interval(level, count, content)
        held = (np.abs(position - 0.5) <= content / 2).sum(axis=0)
        said[content] = (dict(zip(names, held.tolist(), strict=True)), (int(low), int(high)))
        print(f"{content:.0%} of {count}: {said[content]}")
        assert np.all((held >= low) & (held <= high)), said
    return said


def test_intervals_are_calibrated_over_50_repetitions():
    position = positions(*CASES["choice, levin"], 50, seed=42, num_samples=300)
    within(position, CASES["choice, levin"][2])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_intervals_are_calibrated_over_200_repetitions(case):
    model, design, names = CASES[case]
    before = _compile.cache_info().misses
    position = positions(model, design, names, 200, seed=1 + list(CASES).index(case))
    assert _compile.cache_info().misses <= before + 1  # once for all data sets
    within(position, names)


@pytest.mark.slow
def test_judgements_are_calibrated():
    # One calibrated expert's quantiles are the cost's prior; a pool of five is wider than each of
    # them and its middle is better than each of theirs, so that it holds the truth more often.
    found = two_sided((Known(0.0), lognormal(1.0, 1.0)), (3.0, 1.0))
    rng = np.random.default_rng(3)
    alone, pooled = [], []
    for k in range(200):
        truth = float(rng.lognormal(3.0, 1.0))
        for experts, rows in ((1, alone), (5, pooled)):
            said = simulate_judgements({"bits.a": truth}, experts=experts, log_sd=0.4, seed=k)
            post = fit(found, {"said": said}, num_samples=500, num_chains=1, seed=k)
            rows.append([np.mean(post["posterior"]["bits"].sel(component="a") < truth)])
    within(np.array(alone), ["one expert"])
    for content in CONTENTS:
        held = int((np.abs(np.array(pooled) - 0.5) <= content / 2).sum())
        print(f"{content:.0%} of 200: five experts {held}")
        assert held > 200 * content


# --- selection: towards the masses that the counts were drawn from ----------------------------

SMALL = {"num_warmup": 400, "num_samples": 500, "num_chains": 2}
AT = {"bits.a": 4.0, "bits.b": 2.5, "steps.a": 2.0, "steps.b": 4.0, "linear_rate": 30.0}
WEIGHED = two_sided(*CLOSE, (LINEAR,))


def mass_of(truth):
    """Deceptive mass of `WEIGHED` at known values: two programs, linear exchange."""
    cost = {x: truth[f"bits.{x}"] + truth[f"steps.{x}"] / truth["linear_rate"] for x in "ab"}
    return 1.0 / (1.0 + 2.0 ** (cost["b"] - cost["a"]))


def mass_draws(post, group):
    return post[group]["deceptive_mass"].to_numpy()


def warnings_of(post):
    return json.loads(post.attrs["warnings"])


@pytest.fixture(scope="module")
def counted():
    made = simulate_evidence(WEIGHED, {"counts": COUNTED | {"total": 200}}, at=AT, seed=42)
    return made, fit(WEIGHED, made.evidence, seed=42, **SMALL)


@pytest.mark.slow
def test_counts_shift_the_masses_to_those_they_were_drawn_from(counted):
    made, post = counted
    truth = mass_of(made.truth)
    before, after = mass_draws(post, "prior"), mass_draws(post, "posterior")
    assert made.evidence["counts"]["count"].sum() == 200
    # 5 standard deviations of a share among 200.
    assert abs(after.mean() - truth) < 5 * np.sqrt(truth * (1 - truth) / 200)
    assert after.std() < 0.4 * before.std()
    assert abs(after.mean() - truth) < 0.5 * abs(before.mean() - truth)
    assert not [w for w in warnings_of(post) if "hardly ever" in w]


@pytest.mark.slow
def test_counts_of_0_leave_the_prior():
    counts = {"kind": "selection", "class": ["honest", "deceptive"], "count": [0, 0]}
    post = fit(WEIGHED, {"counts": counts}, seed=1, **SMALL | {"num_chains": 4})
    families = json.loads(post.attrs["families"])
    assert families["linear"]["log_marginal_likelihood"] == pytest.approx(0.0, abs=1e-6)
    prior_draws, draws = mass_draws(post, "prior").ravel(), mass_draws(post, "posterior")
    for content in (0.1, 0.5, 0.9):  # the share below a prior quantile, with NUTS worth 400 draws
        below = np.mean(draws < np.quantile(prior_draws, content))
        assert abs(below - content) < 5 * np.sqrt(content * (1 - content) * (1 / 400 + 1 / 2000))


@pytest.mark.slow
def test_a_single_row_of_counts():
    counts = {"kind": "selection", "class": ["deceptive"], "count": [25]}
    post = fit(WEIGHED, {"counts": counts}, seed=1, **SMALL)
    # Nothing else was counted, so all of 25 were deceptive: the likelihood is mass^25.
    before, after = mass_draws(post, "prior"), mass_draws(post, "posterior")
    weight = before**25
    expected = (weight * before).sum() / weight.sum()
    assert abs(after.mean() - expected) < 0.05
    assert after.mean() > before.mean()


@pytest.mark.slow
def test_contradictory_evidence_says_so():
    one = {"component": ["a", "a"], "quantity": ["bits", "bits"], "value": [2.0, 40.0]}
    sizes = {"kind": "measurement", **one, "log_sd": [0.05, 0.05]}
    post = fit(WEIGHED, {"sizes": sizes}, seed=1, **SMALL)
    said = [w for w in warnings_of(post) if w.startswith("evidence sizes:")]
    assert len(said) == 1
    assert "contradict" in said[0]
    assert np.isfinite(mass_draws(post, "posterior")).all()


# --- which family -----------------------------------------------------------------------------

BOTH = two_sided(
    *KNOWN,
    (
        family("linear", 0.5, rate=lognormal(4.0, 1.0)),
        family("levin", 0.5, kappa=lognormal(0.0, 0.7)),
    ),
)
RULES = {"linear": {"linear_rate": 60.0}, "levin": {"levin_kappa": 1.2}}


def probability_of(rule, trials, seed):
    """Posterior probability of the family that the choices, ten rows of them, came from."""
    design = {"c": choices(10, trials)}
    made = simulate_evidence(BOTH, design, family=rule, at=RULES[rule], seed=seed)
    post = fit(BOTH, made.evidence, num_warmup=300, num_samples=400, num_chains=1, seed=seed)
    return json.loads(post.attrs["families"])[rule]["probability"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_the_family_that_made_the_choices_is_found(rule):
    means, least = [], []
    for trials in (1, 10, 100):  # 10, 100 and 1000 trials in all
        found = [probability_of(rule, trials, seed) for seed in range(40)]
        print(rule, 10 * trials, "trials:", np.mean(found), "least", min(found))
        means.append(np.mean(found))
        least.append(min(found))
    assert means[0] < means[1] < means[2]
    assert least[2] > 0.99


# --- groups -----------------------------------------------------------------------------------

NUM_GROUPS, KAPPA = 6, 1.2
#: Offsets that spread kappa five-fold, evenly on the log scale, around `KAPPA`.
FIVEFOLD = np.linspace(-0.5, 0.5, NUM_GROUPS) * np.log(5.0)
GROUPS = two_sided(*KNOWN, (LEVIN,))


def five_fold(seed, offsets):
    at = {"levin_kappa": KAPPA, "c_sd": 1.0, "c_intercept": 0.0, "c_concentration": 40.0}
    design = {"c": grouped(NUM_GROUPS, 12, 20)}
    made = simulate_evidence(GROUPS, design, at=at | {"c_offset": offsets}, seed=seed)
    whole = dict(made.evidence["c"])
    pooled = {n: x for n, x in whole.items() if n != "group"}
    settings = {"num_warmup": 500, "num_samples": 500, "num_chains": 2, "seed": seed}
    return tuple(fit(GROUPS, {"c": columns}, **settings) for columns in (whole, pooled))


def kappa_interval(post):
    return np.quantile(post["posterior_levin"]["levin_kappa"], [0.05, 0.95])


def spread_over_groups(counts):
    """Variance over groups, which all hold the same rows, of how many networks stored."""
    return counts.reshape(*counts.shape[:-1], NUM_GROUPS, -1).sum(axis=-1).var(axis=-1)


def p_value(post):
    """Share of replicates that scatter over groups at least as much as what was observed."""
    replicated = spread_over_groups(post["posterior_predictive"]["c"].to_numpy())
    return np.mean(replicated >= spread_over_groups(post["observed_data"]["c"].to_numpy()))


@pytest.mark.slow
def test_five_fold_groups_are_recovered_with_honest_width():
    rng = np.random.default_rng(8)
    held = np.zeros(2, dtype=int)
    widths, checks = [], []
    for seed in range(20):
        # A sample of the groups that could have been: the range of six normals is 2.53 sd.
        offsets = rng.normal(0.0, np.log(5.0) / 2.53, NUM_GROUPS)
        posts = five_fold(seed, offsets)
        ends = np.array([kappa_interval(p) for p in posts])
        held += (ends[:, 0] <= KAPPA) & (KAPPA <= ends[:, 1])
        widths.append(np.log(ends[:, 1] / ends[:, 0]))
        checks.append([p_value(p) for p in posts])
    widths, checks = np.array(widths), np.array(checks)
    print("held, of 20:", held, "widths", widths.mean(0), "p", np.median(checks, 0))
    assert held[0] >= stats.binom.ppf(1e-3, 20, 0.9)
    assert held[1] <= stats.binom.ppf(1e-3, 20, 0.9)
    assert np.all(widths[:, 0] > 2.0 * widths[:, 1])
    assert np.median(checks[:, 0]) > 0.05
    assert np.median(checks[:, 1]) < 0.005


@pytest.mark.slow
def test_the_groups_of_one_experiment():
    grouped_post, pooled_post = five_fold(42, FIVEFOLD)
    draws = grouped_post["posterior_levin"]
    factor = np.exp(draws["c_sd"].to_numpy()[..., None] * draws["c_offset"].to_numpy())
    kappa = draws["levin_kappa"].to_numpy()[..., None] * factor
    low, high = np.quantile(kappa, [0.001, 0.999], axis=(0, 1))
    each = KAPPA * np.exp(FIVEFOLD)
    assert np.all((low < each) & (each < high))
    assert p_value(pooled_post) < 0.005
    assert 0.01 < p_value(grouped_post) < 0.99


# --- the worked script --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_worked_script_recovers_the_rate(tmp_path):
    script = Path(__file__).resolve().parent.parent / "docs" / "recover_the_rate.py"
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "of 300 networks stored their fact" in done.stdout
    assert "the 90 % interval holds the truth" in done.stdout
    assert {p.name for p in (tmp_path / "recovered").iterdir()} == {
        *("recovery.toml", "posterior.nc", "report.html")
    }
    assert "What the evidence moved" in (tmp_path / "recovered" / "report.html").read_text()
