"""Likelihoods of the kinds of evidence against SciPy, and the masses in JAX against NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace
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
    structure,
    theta_at,
    two_sided,
)

from bayes_mesa.beliefs import Known
from bayes_mesa.errors import InputError
from bayes_mesa.evidence.replicate import SAMPLERS
from bayes_mesa.inference import Program, evidence_tables
from bayes_mesa.log_mass import log_mass
from bayes_mesa.model import Heuristics, Selection
from bayes_mesa.slots import slots
from bayes_mesa.verdict import verdicts

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
    chosen = found.families[0]
    tables = evidence_tables(found, evidence)
    named = frozenset(s.name for s in slots(found, chosen) if s.uncertain)
    program = Program(found, chosen, tables, named)
    fixed = {k: jnp.asarray(x, dtype=float) for k, x in {**values, **(extra or {})}.items()}
    sites = trace(seed(substitute(program, fixed), 0)).get_trace()
    site = sites[tables[0].name]
    return np.asarray(site["fn"].log_prob(site["value"])), site["fn"]


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
