"""Likelihoods of the kinds of evidence against SciPy, and the masses in JAX against NumPy's."""

import json
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density
from scipy import stats
from scipy.special import expit
from small_grammars import post_like
from small_models import (
    component,
    family,
    known_facts,
    lognormal,
    model,
    phi,
    prior,
    structure,
    theta_at,
    two_sided,
)

from bayes_mesa import fit, load_evidence
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Heuristics, Regime, Selection
from bayes_mesa.domain.slots import slots
from bayes_mesa.errors import InputError
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.replicate import SAMPLERS, TAILS
from bayes_mesa.inference.inference import Program, evidence_tables, numpyro_model, touched
from bayes_mesa.verdicts.log_mass import log_mass
from bayes_mesa.verdicts.verdict import verdicts

LN2 = np.log(2.0)
FAMILIES = {
    "linear": family("linear", rate=lognormal(3, 1)),
    "levin": family("levin", kappa=lognormal(0, 1)),
    "power": family("power", rate=lognormal(3, 1), exponent=lognormal(0.5, 0.1)),
}
VALUES = {
    "linear": {"linear_rate": 25.0},
    "levin": {"levin_kappa": 1.7},
    "power": {"power_rate": 25.0, "power_exponent": 1.6},
}
PARAMETERS = {n: {k.split("_")[1]: x for k, x in v.items()} for n, v in VALUES.items()}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def rows(found, evidence, values, extra=None):
    """(log likelihood of every row, its distribution) at fixed values."""
    site = sites_of(found, evidence, {**values, **(extra or {})})[next(iter(evidence))]
    return np.asarray(site["fn"].log_prob(site["value"])), site["fn"]


def sites_of(found, evidence, values, chosen=None):
    """All sites of the program of one family at fixed values."""
    chosen = chosen or found.families[0]
    tables = evidence_tables(found, evidence)
    named = frozenset(s.name for s in slots(found, chosen) if s.uncertain)
    program = Program(found, chosen, tables, named)
    fixed = {k: jnp.asarray(x, dtype=float) for k, x in values.items()}
    return trace(seed(substitute(program, fixed), 0)).get_trace()


CHOICE = {
    "kind": "choice",
    "bits": [5.0, 40.0, 0.0, 12.0],
    "steps": [30.0, 2000.0, 7.0, 0.0],
    "base_steps": [100.0, 50.0, 1e6, 3.0],
    "stored": [3, 10, 0, 2],
    "trials": [10, 10, 4, 5],
}


def choice_logit(name, pressure, parameters):
    c = {k: np.array(x) for k, x in CHOICE.items() if k != "kind"}
    derived = phi(name, parameters, 0.0, c["base_steps"] + c["steps"])
    return pressure * LN2 * (derived - phi(name, parameters, c["bits"], c["base_steps"]))


@pytest.mark.parametrize("name", FAMILIES)
def test_choice_is_binomial(name):
    found = two_sided(families=(FAMILIES[name],), selection=Selection(lognormal(0, 0.5)))
    found_rows, _ = rows(found, {"c": CHOICE}, VALUES[name] | {"pressure": 0.3})
    p = expit(choice_logit(name, 0.3, PARAMETERS[name]))
    np.testing.assert_allclose(
        found_rows, stats.binom.logpmf(CHOICE["stored"], CHOICE["trials"], p), rtol=1e-8
    )


@pytest.mark.parametrize(
    ("name", "varied"), [("linear", "rate"), ("levin", "kappa"), ("power", "rate")]
)
def test_choice_with_groups_is_beta_binomial(name, varied):
    found = two_sided(families=(FAMILIES[name],), selection=Selection(lognormal(0, 0.5)))
    groups = ["late", "early", "late", "early"]
    extra = {"c_sd": 0.8, "c_intercept": -0.4, "c_concentration": 6.0, "c_offset": [-1.0, 0.5]}
    found_rows, _ = rows(
        found, {"c": {**CHOICE, "group": groups}}, VALUES[name] | {"pressure": 0.3}, extra
    )
    offsets = {"early": -1.0, "late": 0.5}
    expected = []
    for k, group in enumerate(groups):
        moved = dict(PARAMETERS[name])
        moved[varied] *= np.exp(0.8 * offsets[group])
        p = expit(np.clip(choice_logit(name, 0.3, moved)[k] - 0.4, -40, 40))
        row = stats.betabinom.logpmf(CHOICE["stored"][k], CHOICE["trials"][k], 6 * p, 6 * (1 - p))
        expected.append(row)
    # JAX's log beta function is good to about 1e-6.
    np.testing.assert_allclose(found_rows, expected, rtol=1e-5, atol=1e-9)


def test_choice_under_certainty_stays_finite():
    found = two_sided(families=(FAMILIES["linear"],))
    far = {**CHOICE, "bits": [1e6] * 4, "stored": [0, 1, 0, 0]}
    found_rows, _ = rows(found, {"c": far}, VALUES["linear"])
    assert np.isfinite(found_rows).all()
    assert found_rows[0] == pytest.approx(0.0, abs=1e-12)
    # One network in ten stored it against odds of 2^-(10^6 - 80).
    assert found_rows[1] == pytest.approx(-LN2 * (1e6 - 80) + np.log(10), rel=1e-9)


def test_measurement_is_lognormal_around_the_effective_cost():
    found = two_sided(
        (lognormal(1, 1), 5.0),
        (0.0, lognormal(1, 1)),
        heuristics=Heuristics(("b",), Known(1.0), Known(4.0)),
    )
    evidence = {
        "kind": "measurement",
        "component": ["a", "b", "b"],
        "quantity": ["bits", "steps", "steps"],
        "value": [3.0, 7.0, 9.0],
        "log_sd": [0.5, 0.2, 1.5],
    }
    found_rows, _ = rows(found, {"m": evidence}, {"bits.a": 2.0, "steps.b": 1.5})
    expected = [
        stats.lognorm(s, scale=true).logpdf(x)
        for x, s, true in ((3, 0.5, 2.0), (7, 0.2, 6.0), (9, 1.5, 6.0))
    ]
    np.testing.assert_allclose(found_rows, expected, rtol=1e-12)


# --- comparison, winrate, tradeoff ----------------------------------------------------------

COMPARED = two_sided(
    (lognormal(1, 1), lognormal(1, 1)),
    (lognormal(1, 1), lognormal(1, 1)),
    heuristics=Heuristics(("b",), lognormal(1, 1), Known(4.0)),
)
COMPARISON = {
    "kind": "comparison",
    "left": ["a", "b", "b"],
    "right": ["b", "a", "a"],
    "quantity": ["steps", "steps", "bits"],
    "left_larger": [3, 0, 7],
    "trials": [10, 4, 7],
}
COSTS = {"bits.a": 3.0, "steps.a": 5.0, "bits.b": 2.0, "steps.b": 0.5, "heuristics_bits": 6.0}
LOG_RATIOS = np.log([5.0 / 2.0, 2.0 / 5.0, 12.0 / 3.0])


def test_comparison_is_probit_in_the_log_ratio_of_effective_costs():
    found_rows, _ = rows(COMPARED, {"c": COMPARISON}, COSTS, {"c_sd": 0.7})
    p = stats.norm.cdf(LOG_RATIOS / 0.7)
    np.testing.assert_allclose(found_rows, stats.binom.logpmf([3, 0, 7], [10, 4, 7], p), rtol=1e-9)


def test_comparison_has_one_noise_for_each_expert():
    experts = {**COMPARISON, "expert": ["zoe", "ann", "zoe"]}
    sites = sites_of(COMPARED, {"c": experts}, COSTS | {"c_sd": [0.4, 1.5]})
    assert sites["c_sd"]["cond_indep_stack"][0].name == "c_expert"
    p = stats.norm.cdf(LOG_RATIOS / np.array([1.5, 0.4, 1.5]))
    found_rows = sites["c"]["fn"].log_prob(sites["c"]["value"])
    np.testing.assert_allclose(found_rows, stats.binom.logpmf([3, 0, 7], [10, 4, 7], p), rtol=1e-9)


def test_comparison_reads_what_it_compares():
    (table,) = evidence_tables(COMPARED, {"c": {**COMPARISON, "quantity": ["bits"] * 3}})
    found = touched(COMPARED, COMPARED.families[0], [table])
    assert found == {"bits.a", "bits.b", "heuristics_bits"}


@pytest.mark.parametrize("larger", [0, 1, 5])
@pytest.mark.parametrize(("a", "b"), [(1e-300, 1e300), (1e300, 1e-300), (2.0, 2.0)])
def test_comparison_of_rows_far_apart_stays_finite(a, b, larger):
    found = two_sided((lognormal(1, 1), 0.0), (lognormal(1, 1), 0.0))
    row = {"left": ["a"], "right": ["b"], "quantity": ["bits"], "trials": [5]}
    evidence = {"c": {"kind": "comparison", **row, "left_larger": [larger]}}

    def total(values):
        site = sites_of(found, evidence, values)["c"]
        return site["fn"].log_prob(site["value"]).sum()

    values = {"bits.a": a, "bits.b": b, "c_sd": 1e-5}
    with np.errstate(divide="ignore"):
        x = np.clip((np.log(a) - np.log(b)) / 1e-5, -1e6, 1e6)
    expected = larger * stats.norm.logcdf(x) + (5 - larger) * stats.norm.logcdf(-x)
    expected += np.log(stats.binom(5, 0.5).pmf(larger) * 32)
    assert float(total(values)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    slopes = jax.grad(total)({k: jnp.asarray(v) for k, v in values.items()})
    assert all(np.isfinite(float(slope)) for slope in slopes.values())


REGIME = Regime(1e12, 1e6, 8, Known(8.0), Known(1e3), lognormal(0.0, 0.5))
WINRATE = {
    "kind": "winrate",
    "compute_ratio": [2.0, 0.25, 1.0, 1e300, 1e-300],
    "wins": [20, 3, 5, 9, 0],
    "games": [30, 7, 5, 9, 9],
}


def test_winrate_is_binomial_in_the_ratio_of_compute():
    found = two_sided(regime=REGIME)
    found_rows, _ = rows(found, {"w": WINRATE}, {"planning_exponent": 0.8})
    ratio = np.array(WINRATE["compute_ratio"])
    p = 1.0 / (1.0 + ratio**-0.8)
    expected = stats.binom.logpmf(WINRATE["wins"], WINRATE["games"], p)
    np.testing.assert_allclose(found_rows, expected, rtol=1e-9, atol=1e-12)
    (table,) = evidence_tables(found, {"w": WINRATE})
    assert touched(found, found.families[0], [table]) == {"planning_exponent"}


def test_twice_the_compute_wins_two_of_three_and_surprises_stay_finite():
    found = two_sided(regime=REGIME)
    surprise = {**WINRATE, "wins": [20, 3, 5, 0, 9]}
    found_rows, of = rows(found, {"w": surprise}, {"planning_exponent": 1.0})
    np.testing.assert_allclose(expit(of.logits)[:3], [2 / 3, 1 / 5, 1 / 2], rtol=1e-12)
    np.testing.assert_allclose(found_rows[3:], -9 * np.log(1e300), rtol=1e-9)


ALL = (
    family("linear", 0.3, rate=lognormal(0, 1)),
    family("levin", 0.5, kappa=lognormal(0, 0.5)),
    family("power", 0.2, rate=lognormal(0, 1), exponent=prior("LogNormal", 0.1, 0.5, low=1.0)),
)
TRADEOFF = {"kind": "tradeoff", "source": ["x", "y"], "exponent": [2.0, 1e-9], "log_sd": [0.2, 3.0]}


@pytest.mark.parametrize("chosen", ALL, ids=lambda f: f.name)
def test_tradeoff_is_lognormal_around_one_exponent_in_every_family(chosen):
    found = two_sided(families=ALL)
    more = {"kind": "tradeoff", "source": ["z"], "exponent": [1.5], "log_sd": [0.4]}
    evidence = {"t": TRADEOFF, "u": more}
    sites = sites_of(found, evidence, {"power_exponent": 1.3}, chosen)
    for name, exponents, sds in (("t", [2.0, 1e-9], [0.2, 3.0]), ("u", [1.5], [0.4])):
        found_rows = sites[name]["fn"].log_prob(sites[name]["value"])
        expected = stats.lognorm(sds, scale=1.3).logpdf(exponents)
        np.testing.assert_allclose(found_rows, expected, rtol=1e-9)
    # The site holds the power family's prior, cut at 1, in whichever family.
    base = stats.lognorm(0.5, scale=np.exp(0.1))
    density = float(sites["power_exponent"]["fn"].log_prob(1.3))
    assert density == pytest.approx(base.logpdf(1.3) - base.logsf(1.0), rel=1e-8)


def test_tradeoff_around_a_known_exponent_adds_no_unknown():
    known = (FAMILIES["linear"], family("power", rate=1.0, exponent=1.26))
    found = two_sided(families=known)
    found_rows, _ = rows(found, {"t": TRADEOFF}, {})
    expected = stats.lognorm([0.2, 3.0], scale=1.26).logpdf([2.0, 1e-9])
    np.testing.assert_allclose(found_rows, expected, rtol=1e-9)
    assert "power_exponent" not in sites_of(found, {"t": TRADEOFF}, {})


def test_the_joint_of_the_families_takes_no_evidence_with_unknowns_of_its_own():
    joint = numpyro_model(two_sided(families=ALL), {"t": TRADEOFF})
    with pytest.raises(InputError, match="pass family= to numpyro_model"):
        trace(seed(joint, 0)).get_trace()


ONE_OF_EACH = {
    "choice": ({"bits": 1.0, "steps": 1.0, "base_steps": 1.0, "stored": 0, "trials": 0}, {}),
    "measurement": ({"component": "a", "quantity": "bits", "value": 3.0, "log_sd": 2.0}, {}),
    "comparison": (
        {"left": "a", "right": "b", "quantity": "bits", "left_larger": 0, "trials": 0},
        {"c_sd": 1.0},
    ),
    "selection": ({"class": "honest", "count": 0}, {}),
    "winrate": ({"compute_ratio": 3.0, "wins": 0, "games": 0}, {}),
    "tradeoff": ({"source": "x", "exponent": 1.0, "log_sd": 1.0}, {}),
}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_one_row_and_counts_of_nothing(kind):
    row, extra = ONE_OF_EACH[kind]
    found = two_sided((2.0, 1.0), (3.0, 1.0), families=(FAMILIES["power"],), regime=REGIME)
    evidence = {"c": {"kind": kind, **{name: [value] for name, value in row.items()}}}
    values = VALUES["power"] | {"planning_exponent": 1.0}
    found_rows, _ = rows(found, evidence, values, extra)
    assert found_rows.shape == (1,)
    assert np.isfinite(found_rows).all()
    if KINDS[kind].outcome not in ("value", "exponent"):
        assert found_rows[0] == pytest.approx(0.0, abs=1e-12)
    (table,) = evidence_tables(found, evidence)
    assert KINDS[kind].observed(table.columns).tolist() == [row[KINDS[kind].outcome]]


def test_every_kind_says_which_column_is_random():
    for kind in KINDS.values():
        assert kind.outcome in {"", *(c.name for c in kind.columns if c.required)}


def three(chosen, facts=0, **parts):
    rng = np.random.default_rng(5)
    return model(
        [
            component("a", lognormal(2, 1), 12),
            component("b", 5, lognormal(4, 1)),
            component("c", 2),
        ],
        [
            structure("one", ["a", "b"], ["a"]),
            structure("two", ["b", "c"], ["b"], deploy="x", multiplicity=3.0),
            structure("three", ["a", "c"], ["a", "b"], train="y", deploy="y"),
            structure("out", ["c"], ["a"], train="z", deploy="z"),
        ],
        [chosen],
        losses={"y": Known(0.5)},
        facts=known_facts(
            rng.lognormal(1.5, 1, facts), rng.lognormal(4, 2, facts), {"two": 2.0, "one": 0.0}
        ),
        selection=Selection(lognormal(-1, 0.5), parts.pop("episodes", 2.0), **parts),
    )


AT = {"bits.a": 9.0, "steps.b": 80.0, "pressure": 0.4}


def mass_of(found, name, values=AT):
    chosen = found.families[0]
    theta = theta_at(found, chosen, values | VALUES[name])
    return verdicts(found, chosen, theta)["structure_mass"][0]


#: Compiling a gradient through the power family's sum over facts takes a minute.
CASES = [
    pytest.param(n, facts, marks=[pytest.mark.slow] if (n, facts) == ("power", 6) else [])
    for n in FAMILIES
    for facts in (0, 6)
]
PRESSURES = (0.01, 0.4, 30.0)


@pytest.mark.parametrize(("name", "facts"), CASES)
def test_masses_in_jax_and_their_gradients(name, facts):
    found = three(FAMILIES[name], facts)
    chosen = found.families[0]

    def of(values):
        return log_mass(found, chosen, theta_at(found, chosen, values, jnp, ()))

    masses = jax.jit(of)
    slopes_of = jax.jit(jax.grad(lambda values: of(values)[1]))
    for pressure in PRESSURES:
        values = AT | {"pressure": pressure}
        with np.errstate(divide="ignore"):
            expected = np.log(mass_of(found, name, values))
        point = {k: float(x) for k, x in (values | VALUES[name]).items()}
        logs = np.asarray(masses(point))
        near = expected > -600
        np.testing.assert_allclose(logs[near], expected[near], rtol=1e-9, atol=1e-9)
        assert (logs[~near] < -500).all()
        assert logs[3] == -np.inf
        slopes = slopes_of(point)
        for key, x in point.items():
            step = 1e-5 * x
            up, down = (float(masses({**point, key: x + d})[1]) for d in (step, -step))
            assert float(slopes[key]) == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-6)


COUNTS = {"kind": "selection", "structure": ["three", "one", "two"], "count": [2, 5, 4]}


@pytest.mark.parametrize(("name", "facts"), CASES)
def test_selection_is_multinomial(name, facts):
    found = three(FAMILIES[name], facts)
    found_rows, _ = rows(found, {"s": COUNTS}, AT | VALUES[name])
    mass = mass_of(found, name)
    expected = stats.multinomial(11, mass[[2, 0, 1]]).logpmf([2, 5, 4])
    assert found_rows.shape == (3,)
    assert found_rows.sum() == pytest.approx(expected, rel=1e-9)


def test_selection_with_rows_left_out_leaves_their_mass():
    found = three(FAMILIES["linear"])
    counts = {"kind": "selection", "structure": ["one", "two"], "count": [5, 4]}
    found_rows, _ = rows(found, {"s": counts}, AT | VALUES["linear"])
    mass = mass_of(found, "linear")
    expected = stats.multinomial(9, [mass[0], mass[1], mass[2]]).logpmf([5, 4, 0])
    assert found_rows.sum() == pytest.approx(expected, rel=1e-9)


def test_selection_by_class_adds_up_structures():
    found = three(FAMILIES["levin"], 6)
    counts = {
        "kind": "selection",
        "class": ["misaligned", "honest", "deceptive"],
        "count": [1, 5, 4],
    }
    found_rows, _ = rows(found, {"s": counts}, AT | VALUES["levin"])
    mass = mass_of(found, "levin")
    expected = stats.multinomial(10, mass[[2, 0, 1]]).logpmf([1, 5, 4])
    assert found_rows.sum() == pytest.approx(expected, rel=1e-9)


def test_a_class_without_programs_may_go_uncounted():
    found = two_sided((lognormal(1, 1), 1.0), (2.0, 1.0))
    counts = {
        "kind": "selection",
        "class": ["honest", "deceptive", "misaligned"],
        "count": [3, 2, 0],
    }
    tables = evidence_tables(found, {"s": counts})
    program = Program(found, found.families[0], tables, frozenset({"bits.a"}))

    def total(x):
        site = trace(seed(substitute(program, {"bits.a": x}), 0)).get_trace()["s"]
        return site["fn"].log_prob(site["value"]).sum()

    deceptive = 1 / (1 + 2.0 ** (2 - 3.0))
    assert float(total(3.0)) == pytest.approx(stats.binom.logpmf(2, 5, deceptive), rel=1e-10)
    # d log-likelihood / d bits = ln 2 (count of deceptive - trials · mass).
    assert float(jax.grad(total)(3.0)) == pytest.approx(LN2 * (2 - 5 * deceptive), rel=1e-8)


def test_gradients_are_finite_where_a_cap_puts_structures_out():
    found = three(FAMILIES["levin"], cap=100.0)
    chosen = found.families[0]

    def of(x):
        return log_mass(found, chosen, theta_at(found, chosen, AT | VALUES["levin"] | x, jnp, ()))[
            0
        ]

    slopes = jax.grad(of)({"steps.b": 150.0, "bits.a": 9.0})
    assert all(np.isfinite(float(x)) for x in slopes.values())
    assert float(of({"steps.b": 150.0})) == pytest.approx(0.0, abs=1e-12)


# --- programs of a grammar ------------------------------------------------------------------


def grammar_masses(found):
    """Masses of every column, and of the classes, by the compiled sums."""
    chosen = found.families[0]
    masses = verdicts(found, chosen, theta_at(found, chosen))
    return masses["structure_mass"][0], masses["class_mass"][0]


@pytest.mark.slow
def test_selection_may_name_programs_of_a_grammar():
    found = post_like(families=("linear",), losses={"simplest": 0.2})
    counts = {"kind": "selection", "structure": ["slow_deceptive", "fast_honest"], "count": [2, 5]}
    found_rows, _ = rows(found, {"s": counts}, {})
    mass = grammar_masses(found)[0][[1, 0]]
    expected = stats.multinomial(7, [*mass, 1 - mass.sum()]).logpmf([2, 5, 0])
    assert found_rows.sum() == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_selection_by_class_counts_every_program_of_a_grammar():
    found = post_like(families=("linear",), losses={"simplest": 0.2})
    names = ["misaligned", "honest", "deceptive"]
    counts = {"kind": "selection", "class": names, "count": [1, 5, 4]}
    found_rows, _ = rows(found, {"s": counts}, {})
    mass = grammar_masses(found)[1][[2, 0, 1]]
    expected = stats.multinomial(10, mass / mass.sum()).logpmf([1, 5, 4])
    assert found_rows.sum() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("column", "name", "message"),
    [
        ("structure", "other_honest", "must be one of"),
        ("class", "misaligned", r"must be 0 where the model leaves no program \(misaligned\)"),
    ],
)
def test_selection_that_no_program_of_a_grammar_can_meet(column, name, message):
    counts = {"kind": "selection", column: [name], "count": [3]}
    with pytest.raises(InputError, match=message):
        evidence_tables(post_like(), {"s": counts})


def test_selection_by_class_needs_no_program_that_has_a_name():
    nameless = post_like(programs={})
    counts = {"kind": "selection", "class": ["honest"], "count": [3]}
    tables = evidence_tables(nameless, {"s": counts})
    assert len(tables[0]) == 1


# --- replicated evidence --------------------------------------------------------------------


def replicated(distribution, **parameters):
    rng = np.random.default_rng(42)
    names, draw = SAMPLERS[distribution]
    assert set(names) == set(parameters)
    size = (40_000, 1)
    return draw(
        rng, {k: np.broadcast_to(x, (size[0], *np.shape(x))) for k, x in parameters.items()}
    )


@pytest.mark.parametrize(
    ("distribution", "parameters", "expected"),
    [
        ("BinomialLogits", {"total_count": [9], "logits": [0.7]}, stats.binom(9, expit(0.7))),
        (
            "BetaBinomial",
            {"total_count": [9], "concentration1": [2.0], "concentration0": [3.0]},
            stats.betabinom(9, 2, 3),
        ),
        ("LogNormal", {"loc": [0.5], "scale": [0.8]}, stats.lognorm(0.8, scale=np.exp(0.5))),
    ],
)
def test_replicates_have_the_moments(distribution, parameters, expected):
    x = replicated(distribution, **parameters)
    assert x.shape == (40_000, 1)
    assert x.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / 200)
    assert x.std() == pytest.approx(expected.std(), rel=0.1)


def test_replicated_counts_leave_room_for_what_no_row_names():
    x = replicated("RowMultinomial", log_mass=np.log([0.2, 0.5]), total=10)
    assert x.shape == (40_000, 2)
    np.testing.assert_allclose(x.mean(axis=0), [2.0, 5.0], atol=5 * 1.6 / 200)
    assert x.sum(axis=1).max() == 10
    assert x.sum(axis=1).mean() == pytest.approx(7.0, abs=5 * 1.5 / 200)


@pytest.mark.parametrize(
    ("distribution", "observed", "parameters", "expected"),
    [
        (
            "BinomialLogits",
            [0, 4, 9],
            {"total_count": [[9, 9, 9]], "logits": [[0.7, -30.0, 30.0]]},
            stats.binom(9, expit([0.7, -30.0, 30.0])),
        ),
        (
            "LogNormal",
            [1e-9, 2.0, 1e9],
            {"loc": [[0.5, 0.5, 0.5]], "scale": [[0.8, 3.0, 0.8]]},
            stats.lognorm([0.8, 3.0, 0.8], scale=np.exp(0.5)),
        ),
        (
            "RowMultinomial",
            [0, 5, 10],
            {"log_mass": np.log([[0.2, 0.5, 1e-9]]), "total": np.array([10])},
            stats.binom(10, [0.2, 0.5, 1e-9]),
        ),
    ],
)
def test_tails_are_those_of_the_distribution(distribution, observed, parameters, expected):
    rng, y = np.random.default_rng(42), np.array(observed)
    given = {name: np.asarray(x) for name, x in parameters.items()}
    lower, upper = TAILS[distribution](rng, y, given)
    np.testing.assert_allclose(lower[0], expected.cdf(y), rtol=1e-9)
    reached = y - (distribution != "LogNormal")
    np.testing.assert_allclose(upper[0], expected.sf(reached), rtol=1e-9)


def test_tails_of_a_beta_binomial_are_right_on_average():
    rng, y = np.random.default_rng(42), np.array([7])
    given = {"total_count": np.array([[9]]), "concentration1": 2.0, "concentration0": 3.0}
    drawn = {name: np.broadcast_to(x, (40_000, 1)) for name, x in given.items()}
    lower, upper = (side.mean() for side in TAILS["BetaBinomial"](rng, y, drawn))
    assert lower == pytest.approx(stats.betabinom(9, 2, 3).cdf(7), abs=5 * 0.5 / 200)
    assert upper == pytest.approx(stats.betabinom(9, 2, 3).sf(6), abs=5 * 0.5 / 200)


# --- fits -----------------------------------------------------------------------------------

SETTINGS = {"num_warmup": 300, "num_samples": 500, "num_chains": 2, "seed": 42}
SHIPPED = resources.files("bayes_mesa.models") / "evidence" / "published_tradeoff.toml"


def integrated(belief, exponents, sds):
    """Posterior mean and sd of the exponent, and log p(rows), by a sum over a fine grid."""
    grid = np.linspace(1.0, 8.0, 200_001)
    log_density = belief.scipy().logpdf(grid) - np.log1p(-belief.share_cut)
    rows_at = stats.norm(np.log(grid)[:, None], sds).logpdf(np.log(exponents)) - np.log(exponents)
    density = np.exp(log_density + rows_at.sum(axis=1))
    total = np.trapezoid(density, grid)
    mean = np.trapezoid(density * grid, grid) / total
    return mean, np.sqrt(np.trapezoid(density * (grid - mean) ** 2, grid) / total), np.log(total)


def check_tradeoff(families):
    from arviz_stats.base import array_stats

    found = two_sided((lognormal(1, 1), 1.0), (2.0, 1.0), families=families)
    (published,) = load_evidence(SHIPPED, found)
    more = {"kind": "tradeoff", "source": ["x"], "exponent": [2.0], "log_sd": [0.3]}
    post = fit(found, {"published": published, "more": more}, **SETTINGS)
    exponents, sds = ([*published.columns[c], x] for c, x in (("exponent", 2.0), ("log_sd", 0.3)))
    belief = families[-1].parameters["exponent"]
    mean, sd, log_rows = integrated(belief, np.array(exponents), np.array(sds))
    weights = {f.name: f.weight / sum(f.weight for f in families) for f in families}
    for name, of in json.loads(post.attrs["families"]).items():
        error = of["log_marginal_likelihood_error"]
        assert abs(of["log_marginal_likelihood"] - log_rows) < 5 * error
        assert abs(of["probability"] - weights[name]) < 5 * max(of["probability_error"], 1e-4)
        draws = np.asarray(post[f"posterior_{name}"]["power_exponent"])
        ess = float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean"))
        assert abs(draws.mean() - mean) < 5 * sd / np.sqrt(ess)
    for group in ("log_likelihood", "posterior_predictive", "prior_predictive"):
        assert post[group]["published"].dims == ("chain", "draw", "published_row")
        assert post[group]["more"].shape == (2, 500, 1)
    assert "power_exponent" in post["posterior"]
    assert "evidence" not in post.attrs["warnings"]


@pytest.mark.slow
def test_the_shipped_tradeoffs_move_the_exponent_and_no_family():
    check_tradeoff((ALL[0], ALL[2]))


@pytest.mark.slow
def test_the_shipped_tradeoffs_in_all_three_families():
    check_tradeoff(ALL)


def test_rows_against_one_another_or_against_what_is_known_are_named():
    found = two_sided((3.0, 1.0), (2.0, 1.0), families=(family("linear", rate=10.0),))
    side = {"kind": "choice", "bits": [5.0] * 2, "steps": [50.0] * 2, "base_steps": [1.0] * 2}
    evidence = {
        "even": {**side, "stored": [24, 31], "trials": [50, 50]},
        "split": {**side, "stored": [0, 50], "trials": [50, 50]},
        "ended": {"kind": "selection", "class": ["deceptive", "honest"], "count": [66, 34]},
        "never": {"kind": "selection", "class": ["deceptive", "honest"], "count": [1, 99]},
        "few": {"kind": "selection", "class": ["honest"], "count": [1]},
        "none": {"kind": "selection", "class": ["honest", "deceptive"], "count": [0, 0]},
    }
    post = fit(found, evidence, num_warmup=0, num_samples=10, num_chains=1)
    about = [text for text in json.loads(post.attrs["warnings"]) if text.startswith("evidence")]
    assert [text.split(" would")[0] for text in about] == [
        "evidence split: rows 1, 2 of 2",
        "evidence never: rows 1, 2 of 2",
    ]
    worst = 2 * stats.binom(50, 0.5).pmf(0)
    assert f"(probability {worst:.2g} at worst)" in about[0]


@pytest.mark.slow
def test_several_kinds_at_once_and_the_contradictory_one_is_named():
    found = two_sided((lognormal(1, 1), 1.0), (lognormal(1, 1), 1.0), regime=REGIME)
    evidence = {
        "judged": {
            "kind": "comparison",
            "left": ["a", "b"],
            "right": ["b", "a"],
            "quantity": ["bits"] * 2,
            "left_larger": [9, 0],
            "trials": [12, 3],
            "expert": ["ann", "bob"],
        },
        "games": {"kind": "winrate", "compute_ratio": [2.0], "wins": [31], "games": [50]},
        "sizes": {
            "kind": "measurement",
            "component": ["a", "b", "a"],
            "quantity": ["bits"] * 3,
            "value": [3.0, 1.0, 30.0],
            "log_sd": [0.05, 1.0, 0.05],
        },
    }
    post = fit(found, evidence, **SETTINGS)
    about = [text for text in json.loads(post.attrs["warnings"]) if text.startswith("evidence")]
    assert len(about) == 1
    assert about[0].startswith("evidence sizes: rows 1, 3 of 3 would hardly ever come out so")
    shapes = {"judged": 2, "games": 1, "sizes": 3}
    for group in ("log_likelihood", "posterior_predictive", "prior_predictive"):
        assert {n: x.shape[2] for n, x in post[group].data_vars.items()} == shapes
    assert {n: x.size for n, x in post["observed_data"].data_vars.items()} == shapes
    posterior = post["posterior"]
    assert posterior["judged_sd"].shape == (2, 500, 2)
    # The two sharp rows meet in the middle of their logarithms.
    assert float(np.log(posterior["bits"].sel(component="a")).mean()) == pytest.approx(
        np.log(90) / 2, abs=0.05
    )
    # At 31 wins of 50 the exponent is near 0.7, under a prior with median 1 and sd 0.5 of its log.
    grid = np.linspace(1e-3, 6.0, 20_001)
    density = stats.lognorm(0.5).pdf(grid) * stats.binom.pmf(31, 50, expit(grid * LN2))
    mean = (density * grid).sum() / density.sum()
    assert float(posterior["planning_exponent"].mean()) == pytest.approx(mean, abs=0.1)


@pytest.mark.parametrize("by", ["class", "structure"])
@pytest.mark.parametrize("cap", [10.0, 1.0])  # one structure fits, or none
def test_what_does_not_fit_leaves_slopes_finite(by, cap):
    uncertain = Selection(lognormal(0, 0.5), cap=cap)
    costs = {"a": (lognormal(1, 1), lognormal(1, 0.3)), "b": (3.0, lognormal(4, 0.3))}
    found = two_sided(families=(FAMILIES["linear"],), selection=uncertain, **costs)
    chosen = found.families[0]
    names = ["honest", "deceptive"] if by == "class" else [s.name for s in found.structures]
    tables = evidence_tables(found, {"s": {"kind": "selection", by: names, "count": [3, 0]}})
    values = {s.name: s.belief.median for s in slots(found, chosen) if s.uncertain}
    program = Program(found, chosen, tables, frozenset(values))

    def log_joint(at):
        return log_density(program, (), {}, at)[0]

    at = {n: jnp.asarray(x, dtype=float) for n, x in values.items()}
    assert np.isfinite(log_joint(at)) == (cap > 1.0)
    assert all(np.isfinite(np.asarray(x)) for x in jax.grad(log_joint)(at).values())
