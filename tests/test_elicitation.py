"""Experts' quantiles: the pool as a distribution, as a prior, in files, in fits and in results."""

import json
import time
from dataclasses import replace

import jax
import numpy as np
import pytest
from numpyro.distributions.transforms import biject_to
from numpyro.infer.util import log_density
from scipy import stats
from scipy.integrate import quad
from small_models import at_least, component, correlation, family, lognormal, model, structure
from test_fitting import agrees
from test_prior_draws import ks
from typer.testing import CliRunner

from bayes_mesa import fit, load_evidence, load_model, numpyro_model, open_posterior, save_posterior
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Selection
from bayes_mesa.domain.pool import Judgement, Pool
from bayes_mesa.domain.slots import Slot, slots
from bayes_mesa.errors import InputError, ModelFileError
from bayes_mesa.evidence.elicited import judgement_tables, with_elicited
from bayes_mesa.inference.datasets import describe_beliefs
from bayes_mesa.inference.inference import Program, believed, site_distribution
from bayes_mesa.inference.prior_density import log_prior
from bayes_mesa.interface.cli import app
from bayes_mesa.verdicts.prior_draws import draw_prior

SIZE = 40_000
SKEWED = Judgement(1.0, 10.0, 50.0)
HIGH = Judgement(1e3, 2e4, 9e5, 2.0)
#: Two modes, three jumps, weights 2/7, 4/7 and 1/7.
POOL = Pool((SKEWED, HIGH, Judgement(3.0, 4.0, 5e3, 0.5)))
SETTINGS = {"num_warmup": 300, "num_samples": 500, "num_chains": 2}
PARTS = ["q05", "q50", "q95"]


def piece(judgement):
    """Cdf of one judgement, put together from two of SciPy's lognormals that meet at the median."""
    left, right = (
        stats.lognorm(abs(np.log(judgement.q50 / q)) / stats.norm.ppf(0.95), scale=judgement.q50)
        for q in (judgement.q05, judgement.q95)
    )
    return lambda x: np.where(np.asarray(x) < judgement.q50, left.cdf(x), right.cdf(x))


def judged(*rows, weight=None, quantity="bits"):
    """Evidence of rows (expert, component, q05, q50, q95)."""
    names = ("expert", "component", *PARTS)
    found = {name: list(x) for name, x in zip(names, zip(*rows, strict=True), strict=True)}
    found["quantity"] = [quantity] * len(rows)
    return {"kind": "elicitation", **found} | ({} if weight is None else {"weight": weight})


ANN, BOB = ("ann", "a", 1.0, 10.0, 50.0), ("bob", "a", 1e3, 2e4, 9e5)


def small(**parts):
    return model(
        [component("a"), component("b", 2.0, 1.0)],
        [structure("one", ["a"], ["b"]), structure("two", ["b"], ["b"], deploy="other")],
        [family("linear", rate=1.0)],
        **parts,
    )


# --- the distribution -----------------------------------------------------------------------


@pytest.mark.parametrize("judgement", [SKEWED, HIGH, Judgement(0.9, 1.0, 1e8)])
def test_one_judgement_has_exactly_its_quantiles(judgement):
    found = Pool((judgement,))
    expected = [judgement.q05, judgement.q50, judgement.q95]
    np.testing.assert_allclose(found.quantile([0.05, 0.5, 0.95]), expected, rtol=1e-12)
    np.testing.assert_allclose(found.cdf(expected), [0.05, 0.5, 0.95], rtol=1e-12)
    assert found.median == pytest.approx(judgement.q50, rel=1e-14)
    x = np.geomspace(judgement.q05 / 5, judgement.q95 * 5, 101)
    np.testing.assert_allclose(found.cdf(x), piece(judgement)(x), rtol=1e-10)


def test_symmetric_judgement_is_a_lognormal():
    found, x = Pool((Judgement(2.0, 6.0, 18.0, 3.0),)), np.geomspace(0.1, 300, 50)
    plain = stats.lognorm(np.log(3.0) / stats.norm.ppf(0.95), scale=6.0)
    np.testing.assert_allclose(found.logpdf(x), plain.logpdf(x), rtol=1e-11)
    np.testing.assert_allclose(found.cdf(x), plain.cdf(x), rtol=1e-11)


def test_pool_is_the_weighted_mixture():
    x = np.geomspace(0.1, 1e8, 200)
    expected = sum(
        w * piece(j)(x) for w, j in zip((2 / 7, 4 / 7, 1 / 7), POOL.judgements, strict=True)
    )
    np.testing.assert_allclose(POOL.cdf(x), expected, rtol=1e-10)
    huge = Pool((Judgement(1, 10, 50, 1e308), Judgement(1e3, 2e4, 9e5, 1e308)))
    assert huge.cdf(500.0) == pytest.approx((piece(SKEWED)(500) + piece(HIGH)(500)) / 2)


def test_density_is_the_slope_of_the_cdf():
    def density(log_x):
        return np.exp(POOL.logpdf(np.exp(log_x)) + log_x)

    jumps = np.log([4.0, 10.0, 2e4])
    for end in np.log([0.5, 7.0, 1e3, 1e6]):
        points = jumps[jumps < end]
        area = quad(density, -25, end, points=points, limit=300, epsabs=1e-13)[0]
        assert area == pytest.approx(float(POOL.cdf(np.exp(end))), abs=1e-11)
    # The jump at a median is by the ratio of the two spreads.
    alone = Pool((SKEWED,))
    above, below = alone.logpdf(10.0), alone.logpdf(10.0 * (1 - 1e-12))
    assert above - below == pytest.approx(np.log(SKEWED.left_sd / SKEWED.right_sd), abs=1e-9)
    assert POOL.logpdf(0.0) == POOL.logpdf(-1.0) == -np.inf
    assert POOL.cdf(0.0) == POOL.cdf(-1.0) == 0.0


def test_quantiles_invert_the_cdf_far_into_both_tails():
    q = np.concatenate([np.logspace(-300, -1, 100), np.linspace(0.1, 0.9, 81)])
    np.testing.assert_allclose(POOL.cdf(POOL.quantile(q[8:])), q[8:], rtol=1e-11)
    z = np.linspace(-36.9, 36.9, 301)
    np.testing.assert_allclose(POOL.score(POOL.at_score(z)), z, atol=1e-12)
    assert (np.diff(POOL.at_score(z)) > 0).all()
    np.testing.assert_array_equal(POOL.quantile([0.0, 1.0]), [0.0, np.inf])
    x = np.geomspace(1e-3, 1e9, 100)
    np.testing.assert_allclose(POOL.at_score(POOL.score(x)), x, rtol=1e-12)


def test_quantiles_between_experts_who_have_nothing_in_common():
    apart = Pool((Judgement(1.0, 2.0, 3.0), Judgement(1e100, 1e101, 1e102, 3.0)))
    assert apart.quantile(0.125) == pytest.approx(2.0, rel=1e-12)
    assert apart.quantile(0.625) == pytest.approx(1e101, rel=1e-12)
    assert 3.0 < apart.quantile(0.25) < 1e100


def test_a_hundred_thousand_quantiles_are_quick():
    z = np.random.default_rng(42).standard_normal(100_000)
    start = time.process_time()
    POOL.at_score(z)
    assert time.process_time() - start < 1.5  # 0.3 s; the bound allows for a busy machine


def test_shapes_follow_the_argument():
    for shape in ((), (3,), (2, 3), (4, 2, 3)):
        x = np.full(shape, 7.0)
        for found in (POOL.cdf(x), POOL.logpdf(x), POOL.score(x), POOL.at_score(x)):
            assert np.shape(found) == shape


@pytest.mark.parametrize("wrong", [(0, 1, 2), (1, 1, 2), (2, 1, 3), (1, 2, 2), (1, 2, np.inf)])
def test_a_judgement_must_rise(wrong):
    with pytest.raises(InputError, match="0 < q05 < q50 < q95"):
        Judgement(*wrong)


def test_a_judgement_needs_a_weight_and_a_pool_a_judgement():
    with pytest.raises(InputError, match="weight > 0, found 0"):
        Judgement(1, 2, 3, 0.0)
    with pytest.raises(InputError, match="at least one judgement"):
        Pool(())


def test_the_same_distribution_in_numpyro():
    x = POOL.quantile(np.array([1e-12, 0.01, 0.3, 0.6, 0.99, 1 - 1e-12]))
    low = float(POOL.quantile(0.3))

    @jax.jit
    def found(x, key):
        site, cut = (site_distribution(Slot("bits.a", POOL), bound) for bound in (None, low))
        slope = jax.vmap(jax.grad(site.score))(np.geomspace(1e-300, 1e300, 5))
        inside = cut.log_prob(np.array([0.99, 1.01]) * low)
        drawn = site.sample(key, (SIZE,)), cut.sample(key, (500,))
        return site.log_prob(x), site.cdf(x), site.score(x), slope, inside, *drawn

    with jax.enable_x64(True):
        arrays = map(np.asarray, found(x, jax.random.PRNGKey(42)))
    logpdf, cdf, score, slope, inside, drawn, above = arrays
    np.testing.assert_allclose(logpdf, POOL.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(cdf, POOL.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(score, POOL.score(x), rtol=1e-10)
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(inside, [-np.inf, POOL.logpdf(1.01 * low)], rtol=1e-12)
    assert ks(drawn, POOL.cdf) < 2.2
    assert above.min() >= low
    assert ks(above, lambda x: (POOL.cdf(x) - 0.3) / 0.7) < 2.2


@pytest.mark.parametrize("found", [POOL, Pool((SKEWED,))])
def test_nuts_moves_a_normal_score(found):
    u, low = np.array([-3.0, -0.7, 0.1, 1.9, 3.4]), float(found.quantile(0.3))

    @jax.jit
    def moved(u, low):
        def joint(u, site):
            transform = biject_to(site.support)
            x = transform(u)
            return site.log_prob(x) + transform.log_abs_det_jacobian(u, x), (x, transform.inv(x))

        plain, cut = (site_distribution(Slot("bits.a", found), bound) for bound in (None, low))
        slope = jax.grad(biject_to(plain.support))(u)
        both = (jax.value_and_grad(joint, has_aux=True)(u, site) for site in (plain, cut))
        return slope, *both

    with jax.enable_x64(True):
        slope, free, above = jax.vmap(moved, (0, None))(u, low)
        nothing_cut = jax.vmap(moved, (0, None))(u, 0.0)[2]
    (value, (x, back)), gradient = free
    np.testing.assert_allclose(x, found.at_score(u), rtol=1e-11)
    np.testing.assert_allclose(back, u, rtol=1e-10)
    np.testing.assert_allclose(value, stats.norm.logpdf(u), rtol=1e-10)
    np.testing.assert_allclose(gradient, -u, rtol=1e-7)
    np.testing.assert_allclose(slope, np.exp(stats.norm.logpdf(u) - found.logpdf(x)), rtol=1e-8)
    (value, (x, back)), gradient = above
    z = found.score(low) + np.exp(u)
    np.testing.assert_allclose(x, found.at_score(z), rtol=1e-11)
    np.testing.assert_allclose(back, u, rtol=1e-8)
    np.testing.assert_allclose(value, stats.norm.logpdf(z) + u, rtol=1e-10)
    np.testing.assert_allclose(gradient, 1 - z * np.exp(u), rtol=1e-7)
    assert np.isfinite(nothing_cut[0][0]).all()


# --- as a prior -----------------------------------------------------------------------------


def test_draws_have_the_pool_s_distribution_and_moments():
    found = with_elicited(small(), fit_tables({"e": judged(ANN, BOB, weight=[1.0, 3.0])}))
    x = draw(found).values["bits.a"]
    assert ks(x, lambda x: 0.25 * piece(SKEWED)(x) + 0.75 * piece(HIGH)(x)) < 2.2
    # E[ln x] of one judgement is mu + (s2 - s1)/sqrt(2 pi), E[(ln x - mu)^2] = (s1^2 + s2^2)/2.
    means, squares = [], []
    for j in (SKEWED, HIGH):
        shift = (j.right_sd - j.left_sd) / np.sqrt(2 * np.pi)
        means.append(np.log(j.q50) + shift)
        squares.append((j.left_sd**2 + j.right_sd**2) / 2 + 2 * np.log(j.q50) * means[-1])
        squares[-1] -= np.log(j.q50) ** 2
    mean, square = np.average(means, weights=[1, 3]), np.average(squares, weights=[1, 3])
    log_x = np.log(x)
    for draws, expected in ((log_x, mean), (log_x**2, square)):
        assert abs(draws.mean() - expected) < 5 * draws.std() / np.sqrt(SIZE)


def draw(found, seed=42):
    return draw_prior(found, slots(found, found.families[0]), SIZE, np.random.default_rng(seed))


def fit_tables(evidence):
    from bayes_mesa.model_file import as_evidence

    return as_evidence(evidence, small())


TIED = model(
    [component("a"), component("b", 1.0, lognormal(2.0, 1.0))],
    [structure("one", ["a"], ["a"]), structure("two", ["b"], ["b"], deploy="other")],
    [family("linear", rate=1.0)],
    constraints=(at_least("steps.a", "steps.b"),),
    correlations=(correlation("bits.a", "steps.a", 0.6),),
    selection=Selection(lognormal(0.0, 0.3)),
)
TIED_JUDGEMENTS = {
    "e": judged(("ann", "a", 1, 10, 50), ("bob", "a", 1e3, 2e4, 9e5)),
    "f": judged(("ann", "a", 2, 10, 30), quantity="steps"),
}


def test_constraints_and_correlations_on_pooled_costs():
    found = believed(TIED, TIED_JUDGEMENTS)
    x = draw(found).values
    assert (x["steps.a"] >= x["steps.b"]).all()
    # Without the constraint the copula leaves both pools as they are.
    x = draw(replace(found, constraints=())).values
    bits, steps = found.components[0].bits, found.components[0].steps
    assert ks(x["bits.a"], bits.cdf) < 2.2
    assert ks(x["steps.a"], steps.cdf) < 2.2
    scores = np.corrcoef(bits.score(x["bits.a"]), steps.score(x["steps.a"]))[0, 1]
    assert scores == pytest.approx(0.6, abs=5 * 0.64 / np.sqrt(SIZE))


def test_joint_density_in_numpyro_is_that_of_the_prior():
    found = believed(TIED, TIED_JUDGEMENTS)
    chosen = found.families[0]
    values = {"bits.a": 300.0, "steps.a": 11.0, "steps.b": 4.0, "pressure": 1.1}
    program = Program(found, chosen, (), frozenset(values))
    terms = log_prior(found, slots(found, chosen), {n: np.array([x]) for n, x in values.items()})
    expected = sum(float(x[0]) for x in terms.values())
    with jax.enable_x64(True):
        density = jax.jit(lambda values: log_density(program, (), {}, values)[0])
        assert float(density(values)) == pytest.approx(expected, rel=1e-12)
        assert float(density(values | {"steps.a": 3.9})) == -np.inf


# --- fits -----------------------------------------------------------------------------------

MEASURED = {
    "kind": "measurement",
    "component": ["a"],
    "quantity": ["bits"],
    "value": [400.0],
    "log_sd": [2.0],
}


@pytest.fixture(scope="module")
def measured():
    return fit(small(), {"m": MEASURED, "e": judged(ANN, BOB)}, seed=42, **SETTINGS)


@pytest.mark.slow
def test_nuts_on_a_pool_agrees_with_the_integral(measured):
    found = Pool((Judgement(*ANN[2:]), Judgement(*BOB[2:])))
    grid = np.linspace(np.log(1e-4), np.log(1e9), 200_001)
    log_weight = found.logpdf(np.exp(grid)) + grid
    log_weight += stats.norm(grid, 2.0).logpdf(np.log(400.0)) - np.log(400.0)
    log_x = np.log(measured["posterior"]["bits"].sel(component="a"))
    agrees(log_x, grid, np.exp(log_weight))
    agrees(log_x > np.log(200.0), (grid > np.log(200.0)).astype(float), np.exp(log_weight))
    expected = np.log(np.exp(log_weight).sum() * (grid[1] - grid[0]))
    family_ = json.loads(measured.attrs["families"])["linear"]
    value, error = (family_[f"log_marginal_likelihood{x}"] for x in ("", "_error"))
    assert abs(value - expected) < 5 * error + 1e-3


@pytest.mark.slow  # compiles for a quarter of a minute
def test_nuts_under_a_constraint_and_a_correlation():
    length = {"component": ["b"], "quantity": ["steps"], "value": [20.0], "log_sd": [0.5]}
    evidence = TIED_JUDGEMENTS | {"m": {"kind": "measurement", **length}}
    post = fit(TIED, evidence, seed=42, **SETTINGS)["posterior"].to_dataset()
    x = draw_prior(
        found := believed(TIED, evidence),
        slots(found, found.families[0]),
        400_000,
        np.random.default_rng(1),
    ).values
    weights = stats.lognorm(0.5, scale=x["steps.b"]).pdf(20.0)
    for axis, name in (("steps", "a"), ("steps", "b"), ("bits", "a")):
        agrees(np.log(post[axis].sel(component=name)), np.log(x[f"{axis}.{name}"]), weights)
    assert float((post["steps"].sel(component="a") - post["steps"].sel(component="b")).min()) >= 0


def test_judgements_make_no_likelihood_and_are_kept(measured):
    assert list(measured["log_likelihood"].data_vars) == ["m"]
    assert list(measured["observed_data"].data_vars) == ["m"]
    kinds = [(t["name"], t["kind"]) for t in json.loads(measured.attrs["evidence"])]
    assert kinds == [("e", "elicitation"), ("m", "measurement")]
    constant = measured["constant_data"].to_dataset()
    assert constant["e_expert"].dims == constant["e_weight"].dims == ("e_row",)
    assert constant["e_expert"].to_numpy().tolist() == ["ann", "bob"]
    assert constant["e_component"].to_numpy().tolist() == ["a", "a"]
    assert constant["e_quantity"].to_numpy().tolist() == ["bits", "bits"]
    for name, values in zip(PARTS, ([1, 1e3], [10, 2e4], [50, 9e5]), strict=True):
        np.testing.assert_array_equal(constant[f"e_{name}"], values)
    np.testing.assert_array_equal(constant["e_weight"], [1, 1])


def test_judgements_alone_give_exact_prior_draws():
    post = fit(small(), {"e": judged(ANN, BOB)}, seed=3, **SETTINGS)
    assert "log_likelihood" not in post.children
    assert "sample_stats_linear" not in post.children
    x = post["posterior"]["bits"].sel(component="a").to_numpy().ravel()
    assert ks(x, Pool((Judgement(*ANN[2:]), Judgement(*BOB[2:]))).cdf) < 2.2
    again = fit(small(), {"e": judged(ANN, BOB)}, seed=3, **SETTINGS)
    assert x.tobytes() == again["posterior"]["bits"].sel(component="a").to_numpy().tobytes()
    (belief,) = [b for b in json.loads(post.attrs["beliefs"]) if b["quantity"] == "bits.a"]
    assert belief["kind"] == "opinion"
    assert belief["note"] == "elicited from 2 experts: ann, bob"
    assert belief["belief"] == "linear pool of 2 judgements"
    assert belief["q05"] < belief["median"] < belief["q95"]


def test_round_trip_through_a_file(measured, tmp_path):
    save_posterior(measured, tmp_path / "posterior.nc")
    opened = open_posterior(tmp_path / "posterior.nc")["constant_data"].to_dataset()
    saved = measured["constant_data"].to_dataset()
    for name in ("expert", "component", "quantity", *PARTS, "weight"):
        assert opened[f"e_{name}"].to_numpy().tolist() == saved[f"e_{name}"].to_numpy().tolist()


def test_the_numpyro_model_takes_judgements():
    from numpyro.handlers import seed, trace

    with jax.enable_x64(True):
        sites = trace(seed(numpyro_model(small(), {"e": judged(ANN)}), 0)).get_trace()
    assert list(sites) == ["bits.a"]


# --- tables in force ------------------------------------------------------------------------


def test_applying_twice_changes_nothing():
    once = believed(small(), {"e": judged(ANN)})
    assert once.components[0].bits == Pool((Judgement(*ANN[2:], expert="ann"),))
    assert once.components[0].steps == Known(0.0)
    assert believed(once, {"e": judged(ANN)}) is once
    assert believed(once, {}) is once
    assert believed(once, None) is once
    plain = small()
    assert with_elicited(plain) is plain


def test_new_judgements_join_those_in_force():
    once = believed(small(), {"e": judged(ANN)})
    both = believed(once, {"more": judged(BOB, weight=[2.0])})
    expected = (Judgement(*ANN[2:], 1.0, "ann"), Judgement(*BOB[2:], 2.0, "bob"))
    assert both.components[0].bits == Pool(expected)
    assert [t.name for t in judgement_tables(both)] == ["e", "more"]
    again = believed(both, {"more": judged(BOB, weight=[2.0]), "e": judged(ANN)})
    assert again is both
    # What is compiled for a model serves again: the same judgements make the same object.
    assert believed(once, {"more": judged(BOB, weight=[2.0])}) is both


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({"e": judged(BOB)}, r"evidence\.e: must have a name of its own"),
        ({"f": judged(ANN)}, r"evidence\.f: must not judge again .* bits of a by ann in e too"),
    ],
)
def test_what_cannot_join(evidence, message):
    once = believed(small(), {"e": judged(ANN)})
    with pytest.raises(InputError, match=message):
        fit(once, evidence, **SETTINGS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("ann", "c", 1, 2, 3), r'e\.component\[0\]: must be one of a, b, found "c"'),
        (("ann", "b", 1, 2, 3), r"e\.quantity\[0\]: must be a cost that the model file leaves out"),
        (("ann", "a", 2, 2, 3), r"e\.q50\[0\]: must exceed q05 \(2\), found 2"),
        (("ann", "a", 1, 3, 2), r"e\.q95\[0\]: must exceed q50 \(3\), found 2"),
        (("ann", "a", 0, 2, 3), r"e\.q05\[0\]: must be greater than 0, found 0"),
        (("ann", "a", 1, 1e200, 1e300), r"e\.q05\[0\]: must leave both tails between"),
    ],
)
def test_faults_of_judgements_from_python(row, message):
    with pytest.raises(InputError, match=message):
        believed(small(), {"e": judged(row)})


def test_other_faults():
    with pytest.raises(InputError, match=r"e\.weight\[0\]: must be greater than 0, found 0"):
        believed(small(), {"e": judged(ANN, weight=[0.0])})
    with pytest.raises(InputError, match=r"e\.quantity\[0\]: must be one of bits, steps"):
        believed(small(), {"e": judged(ANN, quantity="bit")})
    with pytest.raises(InputError, match=r"e\.expert\[1\]: .* found bits of a twice by ann"):
        believed(small(), {"e": judged(ANN, ANN)})


# --- model files ----------------------------------------------------------------------------

FILE = """
[model]
name = "asked"
[components.a]
kind = "measured"
note = "the search"
steps = 7
[components.b]
note = "the rest"
bits = { q05 = 2, q95 = 8 }
[components.c]
[structures.one]
stores = ["a"]
runs = ["b"]
train = "base"
deploy = "base"
[structures.two]
stores = ["b"]
runs = ["b", "c"]
train = "base"
deploy = "other"
[[constraints]]
at_least = ["steps.b", "steps.c"]
[[correlations]]
between = ["bits.a", "bits.b"]
rho = 0.5
[exchange.levin]
kappa = 1
[evidence.sizes]
kind = "measurement"
file = "sizes.csv"
[evidence.judgements]
kind = "elicitation"
file = "judgements.csv"
"""
ROWS = """expert,component,quantity,q05,q50,q95,weight
ann,a,bits,1,10,50,1
bob,a,bits,1e3,2e4,9e5,2
ann,b,steps,20,30,90,1
ann,c,steps,1,2,3,1
"""
SIZES = "component,quantity,value,log_sd\na,bits,40,0.5\n"


@pytest.fixture
def written(tmp_path, monkeypatch):
    def write(text=FILE, rows=ROWS, sizes=SIZES, name="asked.toml"):
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_text(text.lstrip())
        (tmp_path / "judgements.csv").write_text(rows)
        (tmp_path / "sizes.csv").write_text(sizes)
        return name

    return write


def faults(path):
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    return [str(fault) for fault in caught.value.faults]


def test_a_model_file_with_judgements(written):
    # Constraint, correlation, Levin's t > 0 and a measurement all rest on costs it leaves out.
    found = load_model(written())
    expected = (Judgement(1, 10, 50, 1, "ann"), Judgement(1e3, 2e4, 9e5, 2, "bob"))
    assert found.components[0].bits == Pool(expected)
    assert found.components[0].given == {"steps"}
    assert [t.name for t in found.evidence] == ["sizes", "judgements"]
    about = {b["quantity"]: (b["kind"], b["note"]) for b in describe_beliefs(found)}
    assert about["bits.a"] == ("opinion", "the search (elicited from 2 experts: ann, bob)")
    assert about["steps.a"] == ("measured", "the search")
    assert about["steps.b"] == ("opinion", "the rest (elicited from 1 expert: ann)")
    # No evidence at all leaves the priors, the elicited ones too, and says what they rest on.
    post = fit(found, {}, num_samples=50, num_chains=1)
    assert float(post["posterior"]["bits"].sel(component="a").std()) > 0
    assert [t["name"] for t in json.loads(post.attrs["evidence"])] == ["judgements"]
    assert "judgements_q50" in post["constant_data"]


@pytest.mark.parametrize("given", ["{ q05 = 1, q95 = 9 }", "0", "5"])
def test_a_cost_with_a_belief_and_judgements_is_a_fault(written, given):
    text = FILE.replace("steps = 7", f"steps = 7\nbits = {given}")
    text = text.replace('"bits.a", "bits.b"', '"steps.b", "bits.b"')
    sizes = SIZES.replace("bits", "steps")
    assert faults(written(text, sizes=sizes)) == [
        f"judgements.csv:{line}: quantity: must be a cost that the model file leaves out, since "
        "elicitation replaces its prior, found bits given for a"
        for line in (2, 3)
    ]


def test_bad_judgements_make_no_faults_elsewhere(written):
    rows = ROWS.replace("20,30,90", "40,30,90").replace("1,2,3,1", "1,2,3,-1")
    assert faults(written(rows=rows)) == [
        "judgements.csv:4: q50: must exceed q05 (40), found 30",
        'judgements.csv:5: weight: must be greater than 0, found "-1"',
    ]


def test_two_tables_of_one_expert(written, tmp_path):
    (tmp_path / "more.csv").write_text("expert,component,quantity,q05,q50,q95\nbob,a,bits,1,2,3\n")
    more = '[evidence.more]\nkind = "elicitation"\nfile = "more.csv"\n'
    assert faults(written(FILE + more)) == [
        "asked.toml:34: evidence.more: must not judge again what another table holds, found bits "
        "of a by bob in judgements too"
    ]


def test_evidence_of_its_own_file(written, tmp_path):
    found = load_model(written())
    (tmp_path / "more.csv").write_text(
        "expert,component,quantity,q05,q50,q95\ncyd,a,bits,1,2,3\ncyd,c,bits,1,2,3\n"
    )
    (tmp_path / "c.csv").write_text("component,quantity,value,log_sd\nc,bits,2,0.5\n")
    (tmp_path / "more.toml").write_text(
        '[evidence.c]\nkind = "measurement"\nfile = "c.csv"\n'
        '[evidence.more]\nkind = "elicitation"\nfile = "more.csv"\n'
    )
    tables = load_evidence(tmp_path / "more.toml", found)
    assert [t.name for t in tables] == ["c", "more"]
    both = believed(found, {t.name: t for t in (*found.evidence, *tables)})
    assert both.components[0].bits.experts == ("ann", "bob", "cyd")
    assert both.components[2].bits.experts == ("cyd",)


def test_commands(written, tmp_path):
    own = FILE.replace('[evidence.sizes]\nkind = "measurement"\nfile = "sizes.csv"\n', "")
    path = written(own)
    checked = CliRunner().invoke(app, ["check", path])
    assert checked.exit_code == 0, checked.output
    (line,) = [x for x in checked.output.splitlines() if x.startswith("bits.a")]
    assert line.split()[-1] == "opinion"
    (tmp_path / "more.csv").write_text("expert,component,quantity,q05,q50,q95\ncyd,a,bits,1,2,3\n")
    (tmp_path / "more.toml").write_text(
        '[evidence.more]\nkind = "elicitation"\nfile = "more.csv"\n'
    )
    settings = ["--evidence", "more.toml", "--draws", "100", "--chains", "1", "--quiet"]
    run = CliRunner().invoke(app, ["run", path, "--out", "out", *settings])
    assert run.exit_code == 0, run.output
    post = open_posterior(tmp_path / "out" / "posterior.nc")
    assert "log_likelihood" not in post.children
    assert {"judgements_q05", "more_q95"} <= set(post["constant_data"].data_vars)
    assert [t["name"] for t in json.loads(post.attrs["evidence"])] == ["judgements", "more"]
    beliefs = {b["quantity"]: b for b in json.loads(post.attrs["beliefs"])}
    assert beliefs["bits.a"]["note"] == "the search (elicited from 3 experts: ann, bob, cyd)"
    assert "ann, bob, cyd" in (tmp_path / "out" / "report.html").read_text()
