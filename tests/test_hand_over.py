"""Draws that reach pandas, ArviZ and NumPyro in one call each."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_mesa as bm
from bayes_mesa.errors import InputError
from bayes_mesa.inference.inference import numpyro_model
from bayes_mesa.results.flat_table import csv_chunks

MODEL = """
[model]
name = "handed"
[components.a]
bits = { q05 = 5, q95 = 100 }
steps = 2
[components.b]
bits = { q05 = 2, q95 = 60 }
steps = { q05 = 1, q95 = 20 }
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
[heuristics]
of = ["b"]
bits = 2
steps = { dist = "Uniform", low = 1.0, high = 3.0 }
[facts]
count = 3
bits = { q05 = 2, q95 = 60 }
steps = 5
[[overlaps]]
component = "b"
inside = "a"
fraction = { dist = "Beta", concentration1 = 1.0, concentration0 = 3.0 }
[exchange.linear]
rate = { q05 = 0.1, q95 = 10 }
[selection]
pressure = { dist = "LogNormal", loc = 0.0, scale = 0.5 }
[evidence.sizes]
kind = "measurement"
file = "sizes.csv"
[evidence.storing]
kind = "choice"
file = "storing.csv"
"""
LEVIN = """
[exchange.levin]
kappa = { q05 = 0.5, q95 = 4 }
"""
SIZES = "component,quantity,value,log_sd\nb,steps,9.0,0.3\nb,bits,40.0,0.3\n"
STORING = """bits,steps,base_steps,stored,trials,group
10,20,50,7,12,slow
10,5,50,2,12,slow
10,20,50,10,12,fast
"""
CHAINS, DRAWS = 2, 100


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed")
    for name, text in (("m.toml", MODEL), ("sizes.csv", SIZES), ("storing.csv", STORING)):
        (folder / name).write_text(text)
    return bm.load_model(folder / "m.toml")


@pytest.fixture(scope="module")
def post(model):
    return bm.fit(model, {}, num_samples=DRAWS, num_chains=CHAINS)


@pytest.fixture(scope="module")
def moved(model):
    """A short fit to the evidence: what is handed over is checked, not how well it was drawn."""
    return bm.fit(model, num_warmup=100, num_samples=DRAWS, num_chains=CHAINS)


# --- pandas -------------------------------------------------------------------------------------


def test_the_table_is_that_of_export(post):
    table = bm.to_pandas(post)
    written = pd.read_csv(io.BytesIO(b"".join(csv_chunks(post))))
    pd.testing.assert_frame_equal(table, written, check_dtype=False)
    assert list(table.columns[:3]) == ["chain", "draw", "family"]
    assert len(table) == CHAINS * DRAWS


def test_places_and_numbers_of_the_table(post):
    table = bm.to_pandas(post).set_index(["chain", "draw"])
    bits = post["posterior"]["bits"].sel(component="b")
    assert table["bits[b]"].loc[1, 7] == float(bits[1, 7])
    mean = table.groupby("family")["deceptive_favored"].mean()
    assert set(mean.index) == set(post["posterior"]["family"].to_numpy().ravel())


@pytest.mark.parametrize(
    ("group", "column"),
    [("posterior_linear", "linear_rate"), ("prior", "pressure"), ("log_prior", "steps.b")],
)
def test_any_group_of_draws_becomes_a_table(post, group, column):
    table = bm.to_pandas(post, group)
    assert len(table) == CHAINS * DRAWS
    assert column in table


def test_programs_become_a_table(model, post):
    table = bm.to_pandas(bm.sample_programs(model, post, seed=1), "programs")
    assert {"structure", "stored[fact_1]"} <= set(table.columns)


@pytest.mark.parametrize("group", ["constant_data", "nothing"])
def test_a_group_without_draws_is_refused(post, group):
    with pytest.raises(InputError, match=f"must be one of posterior, .* found '{group}'"):
        bm.to_pandas(post, group)


# --- NumPyro ------------------------------------------------------------------------------------


def latent(program):
    import jax
    from numpyro.handlers import seed, trace

    with jax.enable_x64(True):
        sites = trace(seed(program, 0)).get_trace()
    return {n: s["value"].shape for n, s in sites.items() if _is_latent(s)}


def _is_latent(site):
    return site["type"] == "sample" and not site["is_observed"]


def test_sites_of_evidence_are_handed_over_too(post):
    """Those that groups add are kept beside theta, under the table's name."""
    group = post["posterior_linear"].to_dataset()
    added = {"storing_sd": (), "storing_offset": (2,), "storing_concentration": ()}
    for name, shape in added.items():
        dims = ("chain", "draw", *(f"{name}_dim_{k}" for k in range(len(shape))))
        group[name] = (dims, np.ones((CHAINS, DRAWS, *shape)))
    tree = post.copy()
    tree["posterior_linear"] = type(tree)(group)
    assert not added.keys() & bm.to_numpyro(tree, "linear").keys()
    tree.attrs = {**post.attrs, "evidence": '[{"name": "storing", "kind": "choice", "rows": 3}]'}
    samples = bm.to_numpyro(tree, "linear")
    assert {n: x.shape[1:] for n, x in samples.items() if n in added} == added


@pytest.mark.slow
def test_sites_are_those_of_the_model(model, moved):
    samples = bm.to_numpyro(moved, "linear")
    shapes = latent(numpyro_model(model, family="linear"))
    assert {n: x.shape[1:] for n, x in samples.items()} == shapes
    assert {len(x) for x in samples.values()} == {CHAINS * DRAWS}


def test_costs_are_those_before_heuristics(post):
    samples = bm.to_numpyro(post, "linear")
    group = post["posterior_linear"]
    effective = group["steps"].sel(component="b").to_numpy().ravel()
    np.testing.assert_allclose(samples["steps.b"] * samples["heuristics_steps"], effective)
    bits = group["bits"].sel(component="b").to_numpy().ravel()
    np.testing.assert_allclose(2.0 * samples["bits.b"], bits)
    np.testing.assert_array_equal(samples["fact_bits"][DRAWS + 3], group["fact_bits"][1, 3])


@pytest.mark.slow
def test_numpyro_finds_the_likelihood_of_the_fit(model, moved):
    """The strictest test of every site: row by row, at every draw."""
    import jax
    from numpyro.infer import log_likelihood

    with jax.enable_x64(True):
        found = log_likelihood(
            numpyro_model(model, family="linear"), bm.to_numpyro(moved, "linear")
        )
    for table in ("sizes", "storing"):
        ours = moved["log_likelihood"][table].to_numpy().reshape(CHAINS * DRAWS, -1)
        np.testing.assert_allclose(np.asarray(found[table]), ours, rtol=1e-8)


SIZE = {"kind": "measurement", "component": ["b"], "quantity": ["steps"]}
SIZE |= {"value": [9.0], "log_sd": [0.3]}


def test_numpyro_finds_the_likelihood_written_out(model, post):
    import jax
    from numpyro.infer import log_likelihood

    program = numpyro_model(model, {"size": SIZE}, family="linear")
    with jax.enable_x64(True):
        found = log_likelihood(program, bm.to_numpyro(post, "linear"))
    effective = post["posterior_linear"]["steps"].sel(component="b").to_numpy().ravel()
    expected = stats.lognorm(s=0.3, scale=effective).logpdf(9.0)
    np.testing.assert_allclose(np.asarray(found["size"])[:, 0], expected, rtol=1e-9)


def test_numpyro_predicts_from_the_draws(model, post):
    from functools import partial

    import jax
    from numpyro.infer import Predictive

    replicated = partial(numpyro_model(model, {"size": SIZE}, family="linear"), observed=False)
    with jax.enable_x64(True):
        found = Predictive(replicated, bm.to_numpyro(post, "linear"))(jax.random.PRNGKey(0))
    effective = post["posterior_linear"]["steps"].sel(component="b").to_numpy().ravel()
    noise = np.log(np.asarray(found["size"])[:, 0] / effective) / 0.3
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / np.sqrt(2 * noise.size)


@pytest.mark.parametrize("family", ["linear", "levin"])
def test_every_family_has_its_own_sites(family, tmp_path):
    (tmp_path / "m.toml").write_text(MODEL.split("[evidence")[0] + LEVIN)
    model = bm.load_model(tmp_path / "m.toml")
    samples = bm.to_numpyro(bm.fit(model, num_samples=20, num_chains=1), family)
    assert set(samples) == set(latent(numpyro_model(model, family=family)))
    assert ("levin_kappa" in samples) == (family == "levin")


def test_an_unknown_family_is_refused(post):
    with pytest.raises(InputError, match="family must be one of linear, found 'power'"):
        bm.to_numpyro(post, "power")


# --- ArviZ --------------------------------------------------------------------------------------


def test_arviz_takes_the_tree_as_it_is(post, tmp_path):
    import arviz as az

    post = bm.open_posterior(bm.save_posterior(post, tmp_path / "posterior.nc"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of known numbers, and of short chains
        table = az.summary(post)
        assert "pressure" in table.index
        assert "bits[b]" in table.index
        assert "linear_rate" in az.summary(post, group="posterior_linear").index
        assert float(az.ess(post, var_names=["pressure"])["pressure"]) > 0
        assert float(az.rhat(post, var_names=["pressure"])["pressure"]) < 2
        assert az.extract(post)["pressure"].size == CHAINS * DRAWS


@pytest.mark.slow
def test_arviz_leaves_one_out_of_the_tree(moved):
    import arviz as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short chains
        assert np.isfinite(az.loo(moved, var_name="sizes").elpd)


def test_arviz_plots_from_the_tree(post):
    import arviz as az
    import matplotlib

    matplotlib.use("Agg")
    for plot in (az.plot_dist, az.plot_trace):
        plot(post, var_names=["pressure"], backend="matplotlib")
    import matplotlib.pyplot as plt

    plt.close("all")
