"""Evidence drawn from a model: against likelihoods written out, and what a design may not be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from small_grammars import post_like
from small_models import at_least, family, lognormal, prior, two_sided

import bayes_mesa as bm
from bayes_mesa.domain.model import Facts, Regime, Selection
from bayes_mesa.errors import InputError
from bayes_mesa.evidence import KINDS
from bayes_mesa.inference.inference import evidence_tables

LN2 = np.log(2.0)
MODEL = two_sided(
    (lognormal(1.0, 1.0), lognormal(1.0, 1.0)),
    (lognormal(1.0, 1.0), lognormal(1.0, 1.0)),
    (
        family("linear", 0.25, rate=lognormal(3.0, 1.0)),
        family(
            "power", 0.75, rate=lognormal(3.0, 1.0), exponent=prior("LogNormal", 0.3, 0.3, low=1.0)
        ),
    ),
    selection=Selection(lognormal(0.0, 0.5)),
    regime=Regime(1e9, 1e3, 4, lognormal(2, 1), lognormal(6, 1), lognormal(0, 0.5)),
)
AT = {"pressure": 1.0, "bits.a": 4.0, "steps.a": 8.0, "bits.b": 5.0, "steps.b": 20.0}
LINEAR = AT | {"linear_rate": 10.0}
MANY = 4000


def rows(values):
    return np.full(MANY, values)


def drawn(design, at, seed=42, **more):
    """The outcomes of one table, and everything that was made."""
    made = bm.simulate_evidence(MODEL, {"e": design}, at=at, seed=seed, **more)
    return np.asarray(made.evidence["e"][KINDS[design["kind"]].outcome], dtype=float), made


def agrees(counts, mean, variance):
    """Mean of independent draws, within 5 standard errors."""
    assert abs(counts.mean() - mean) < 5 * np.sqrt(variance / counts.size)


CHOICE = {"kind": "choice", "bits": rows(2.0), "steps": rows(25.0), "base_steps": rows(9.0)}
P = expit(LN2 * (2.5 - 2.0))


def test_choices_are_binomial():
    counts, made = drawn(CHOICE | {"trials": rows(20)}, LINEAR)
    assert made.family == "linear"
    agrees(counts, 20 * P, 20 * P * (1 - P))
    assert counts.var() == pytest.approx(20 * P * (1 - P), rel=0.15)


def test_choices_with_groups_are_beta_binomial():
    group = np.repeat(["x", "y"], MANY // 2)
    own = {"e_sd": 0.5, "e_offset": [2.0, 0.0], "e_intercept": 0.3, "e_concentration": 5.0}
    design = CHOICE | {"trials": rows(20), "group": group}
    counts, made = drawn(design, LINEAR | own)
    for k, rate in enumerate((10.0 * np.e, 10.0)):
        p = expit(0.3 + LN2 * (25.0 / rate - 2.0))
        expected = stats.betabinom(20, 5.0 * p, 5.0 * (1 - p))
        agrees(counts.reshape(2, -1)[k], expected.mean(), expected.var())
        assert counts.reshape(2, -1)[k].var() == pytest.approx(expected.var(), rel=0.15)
    np.testing.assert_array_equal(made.truth["e_offset"], [2.0, 0.0])


def test_measurements_are_lognormal():
    names = {"component": rows("b"), "quantity": rows("steps"), "log_sd": rows(0.4)}
    values, _ = drawn({"kind": "measurement", **names}, LINEAR)
    z = (np.log(values) - np.log(20.0)) / 0.4
    assert stats.kstest(z, "norm").statistic * np.sqrt(z.size) < 2.2


def test_comparisons_are_probit_in_the_log_ratio():
    names = {"left": rows("b"), "right": rows("a"), "quantity": rows("bits")}
    experts = {"expert": np.repeat(["x", "y"], MANY // 2), "trials": rows(6)}
    counts, _ = drawn({"kind": "comparison", **names, **experts}, LINEAR | {"e_sd": [0.2, 2.0]})
    for k, sd in enumerate((0.2, 2.0)):
        p = stats.norm.cdf(np.log(5.0 / 4.0) / sd)
        agrees(counts.reshape(2, -1)[k], 6 * p, 6 * p * (1 - p))


def test_games_are_binomial_in_the_compute_ratio():
    games = {"compute_ratio": rows(2.0), "games": rows(5)}
    wins, _ = drawn({"kind": "winrate", **games}, LINEAR | {"planning_exponent": 1.0})
    agrees(wins, 5 * 2 / 3, 5 * 2 / 9)


@pytest.mark.parametrize("rule", ["linear", "power"])
def test_tradeoffs_are_lognormal_around_the_exponent(rule):
    figures = {"source": rows("x"), "log_sd": rows(0.2)}
    at = AT | {"power_exponent": 1.5}
    values, made = drawn({"kind": "tradeoff", **figures}, at, family=rule)
    agrees(np.log(values), np.log(1.5), 0.04)
    assert made.truth["power_exponent"] == 1.5


def test_counts_are_multinomial_of_the_masses():
    design = {"kind": "selection", "structure": ["honest", "deceptive"], "total": 100_000}
    counts, made = drawn(design, LINEAR)
    p = 1.0 / (1.0 + 2.0 ** ((4.0 + 0.8) - (5.0 + 2.0)))
    assert counts.sum() == 100_000
    assert abs(counts[0] - 1e5 * p) < 5 * np.sqrt(1e5 * p * (1 - p))
    assert "total" not in made.evidence["e"]


def test_counts_with_facts_drawn_anew():
    found = two_sided(
        (3.0, 1.0),
        (2.0, 5.0),
        facts=Facts(("f", "g"), (lognormal(1, 1),) * 2, (lognormal(2, 1),) * 2),
    )
    design = {"s": {"kind": "selection", "class": ["honest", "deceptive"], "total": 9}}
    made = bm.simulate_evidence(found, design, at={"fact_bits": [1.0, 3.0]}, seed=3)
    np.testing.assert_array_equal(made.truth["fact_bits"], [1.0, 3.0])
    assert made.truth["fact_steps"].shape == (2,)
    assert made.evidence["s"]["count"].sum() == 9


def test_counts_at_several_numbers_of_rollouts():
    found = replace(MODEL, regime=replace(MODEL.regime, steps_per_rollout=5.0))
    design = {
        "kind": "selection",
        "class": ["honest", "deceptive", "honest", "deceptive"],
        "rollouts": [2, 2, 8, 8],
        "total": 20,
    }
    made = bm.simulate_evidence(found, {"s": design}, at=LINEAR, seed=1)
    # Under the cap of 10 steps only the honest program fits, with its 8; under 40 both do.
    count = np.asarray(made.evidence["s"]["count"])
    assert count[:2].tolist() == [20, 0]
    assert count[2:].sum() == 20
    assert count[3] > 0


def test_counts_where_networks_end_elsewhere_or_nothing_fits():
    design = {"kind": "selection", "class": ["deceptive"], "total": 500}
    with pytest.raises(InputError, match=r"design\.s: must name every .* of 500 ended in"):
        bm.simulate_evidence(MODEL, {"s": design}, at=LINEAR)
    whole = EVERY["s"] | {"rollouts": [1, 1]}
    found = replace(MODEL, regime=replace(MODEL.regime, steps_per_rollout=1.0))
    with pytest.raises(InputError, match="5 of 5 ended in none"):
        bm.simulate_evidence(found, {"s": whole}, at=LINEAR)


@pytest.mark.slow
def test_counts_of_a_grammar():
    design = {"s": {"kind": "selection", "class": ["honest", "deceptive"], "total": 50}}
    made = bm.simulate_evidence(post_like(), design, seed=3)
    assert made.evidence["s"]["count"].sum() == 50


EVERY = {
    "c": {
        "kind": "choice",
        "bits": [1.0, 2.0],
        "steps": [20.0, 5.0],
        "base_steps": [9.0, 9.0],
        "trials": [10, 10],
        "group": ["x", "y"],
    },
    "m": {"kind": "measurement", "component": ["a"], "quantity": ["bits"], "log_sd": [0.1]},
    "q": {
        "kind": "comparison",
        "left": ["a"],
        "right": ["b"],
        "quantity": ["steps"],
        "trials": [4],
    },
    "w": {"kind": "winrate", "compute_ratio": [4.0], "games": [7]},
    "t": {"kind": "tradeoff", "source": ["x"], "log_sd": [0.3]},
    "s": {"kind": "selection", "class": ["honest", "deceptive"], "total": 5},
}


def test_every_kind_is_served_and_passes_its_own_checks():
    made = bm.simulate_evidence(MODEL, EVERY, seed=1)
    tables = evidence_tables(MODEL, made.evidence)
    assert {t.kind for t in tables} == {n for n, k in KINDS.items() if k.outcome}
    assert {"c_sd", "c_offset", "c_intercept", "c_concentration", "q_sd"} <= set(made.truth)
    assert {"pressure", "bits.a", "power_exponent", "planning_exponent"} <= set(made.truth)


def test_the_same_seed_gives_the_same_evidence():
    first, again, other = (bm.simulate_evidence(MODEL, EVERY, seed=s) for s in (1, 1, 2))
    np.testing.assert_equal(first.evidence, again.evidence)
    np.testing.assert_equal(first.truth, again.truth)
    assert first.truth["bits.a"] != other.truth["bits.a"]


def test_what_is_not_given_is_drawn_from_the_prior():
    found = two_sided(
        (lognormal(1.0, 1.0), 2.0),
        (lognormal(1.0, 1.0), 2.0),
        constraints=(at_least("bits.a", "bits.b"),),
    )
    design = {"m": EVERY["m"]}
    truths = [bm.simulate_evidence(found, design, seed=k).truth for k in range(200)]
    a, b = (np.array([t[f"bits.{n}"] for t in truths]) for n in "ab")
    assert np.all(a >= b)
    # The larger of two standard normals has mean 1/√π and variance 1 − 1/π.
    agrees(np.log(a), 1.0 + 1 / np.sqrt(np.pi), 1 - 1 / np.pi)
    held = [
        bm.simulate_evidence(found, design, at={"bits.b": 9.0}, seed=k).truth for k in range(50)
    ]
    assert min(t["bits.a"] for t in held) >= 9.0


def test_the_family_is_drawn_by_its_prior_weight():
    design = {"m": EVERY["m"]}
    power = [bm.simulate_evidence(MODEL, design, seed=k).family == "power" for k in range(100)]
    assert abs(np.mean(power) - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 100)
    made = bm.simulate_evidence(MODEL, design, at={"linear_rate": 3.0})
    assert (made.family, made.truth["linear_rate"]) == ("linear", 3.0)
    assert "power_rate" not in made.truth


@pytest.mark.parametrize(
    ("design", "more", "said"),
    [
        ({"m": 3}, {}, r"design\.m: must be a mapping of columns"),
        ({"m": {"kind": "guess"}}, {}, r"design\.m\.kind: must be one of .*found .guess"),
        (
            {"m": EVERY["m"] | {"value": [3.0]}},
            {},
            r"design\.m\.value: must be left out: it is the outcome",
        ),
        ({"m": {"kind": "elicitation"}}, {}, r"design\.m\.kind: .*simulate_judgements"),
        ({"s": {"kind": "selection", "class": ["honest"]}}, {}, r"total: must be a whole .* none"),
        ({"s": EVERY["s"] | {"total": 2.5}}, {}, r"design\.s\.total: .*found 2\.5"),
        ({"m": EVERY["m"] | {"component": ["z"]}}, {}, r"evidence\.m\.component\[0\]: must be one"),
        ({"m": EVERY["m"] | {"extra": [1]}}, {}, r"evidence\.m\.extra: .*unknown column"),
        ({"m": EVERY["m"]}, {"family": "levin"}, "family must be one of linear, power"),
        ({"m": EVERY["m"]}, {"at": {"bits.q": 1.0}}, "at must name .* found 'bits.q'"),
        ({"m": EVERY["m"]}, {"at": {"bits.a": -1.0}}, r"at\.bits\.a must be a finite number"),
        ({"m": EVERY["m"]}, {"at": {"bits.a": [1.0, 2.0]}}, r"at\.bits\.a must be one number"),
        ({"t": EVERY["t"]}, {"at": {"power_exponent": 0.5}}, "from 1 to inf, found 0.5"),
        ({"c": EVERY["c"]}, {"at": {"c_sd": -1.0}}, r"at\.c_sd must be a value that its prior"),
        ({"c": EVERY["c"]}, {"at": {"c_offset": [1.0]}}, r"at\.c_offset must have shape \(2,\)"),
        (
            {"m": EVERY["m"]},
            {"at": {"linear_rate": 1.0, "power_rate": 1.0}},
            "at must name parameters of one exchange family",
        ),
    ],
)
def test_designs_that_cannot_be(design, more, said):
    with pytest.raises(InputError, match=said):
        bm.simulate_evidence(MODEL, design, **more)


def test_judgements_of_calibrated_experts():
    said = bm.simulate_judgements({"bits.a": 20.0, "steps.b": 3.0}, experts=MANY, log_sd=0.4)
    first = np.array([c == "a" for c in said["component"]])
    assert first.sum() == MANY
    assert set(np.array(said["quantity"])[first]) == {"bits"}
    z = np.log(said["q50"][first] / 20.0) / 0.4
    assert stats.kstest(z, "norm").statistic * np.sqrt(z.size) < 2.2
    held = (said["q05"] <= np.where(first, 20.0, 3.0)) & (np.where(first, 20.0, 3.0) <= said["q95"])
    agrees(held.astype(float), 0.9, 0.09)
    named = bm.simulate_judgements({"bits.a": 20.0}, experts=["ann", "bob"])
    assert named["expert"] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("truth", "more", "said"),
    [
        ({"a": 1.0}, {}, "truth must name costs, bits.NAME or steps.NAME, found 'a'"),
        ({"bits.a": 0.0}, {}, r"truth\.bits\.a must be a number greater than 0"),
        ({"bits.a": 1.0}, {"log_sd": 0.0}, "log_sd must be a number greater than 0"),
    ],
)
def test_judgements_that_cannot_be(truth, more, said):
    with pytest.raises(InputError, match=said):
        bm.simulate_judgements(truth, **more)
