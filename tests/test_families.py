"""Families and numbers that the evidence moved: ArviZ runs on them, and the tables are right."""

import json
import os
import warnings

import numpy as np
import pytest
from small_models import at_least, family, lognormal, two_sided

import bayes_mesa as bm
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Heuristics, Selection
from bayes_mesa.errors import InputError
from bayes_mesa.inference.datasets import told_apart
from bayes_mesa.results.families import parameters

LN2 = np.log(2.0)
MODEL = two_sided(
    (lognormal(1.0, 1.0), 9.0),
    (lognormal(1.0, 1.0), 2.0),
    (
        family("linear", 0.4, rate=lognormal(4.0, 1.0)),
        family("levin", 0.6, kappa=lognormal(0.0, 0.7)),
    ),
    selection=Selection(lognormal(0.0, 0.5)),
    constraints=(at_least("bits.a", "bits.b"),),
)
DESIGN = {
    "c": {
        "kind": "choice",
        "bits": np.linspace(0.5, 6.0, 12),
        "steps": np.geomspace(3.0, 600.0, 12),
        "base_steps": np.full(12, 40.0),
        "trials": np.full(12, 10),
    },
    "m": {
        "kind": "measurement",
        "component": ["a", "a"],
        "quantity": ["bits", "bits"],
        "log_sd": [0.5, 0.2],
    },
}
AT = {"linear_rate": 60.0, "bits.a": 5.0, "bits.b": 2.0, "pressure": 1.0}


@pytest.fixture(scope="module")
def post():
    made = bm.simulate_evidence(MODEL, DESIGN, at=AT, seed=42)
    settings = {"num_warmup": 400, "num_samples": 500, "num_chains": 2}
    return bm.fit(MODEL, made.evidence, seed=42, **settings)


@pytest.fixture(scope="module")
def before():
    """The same model without evidence."""
    return bm.fit(MODEL, {}, num_samples=500, num_chains=2, seed=1)


def weights_of(post):
    return json.loads(post.attrs["families"])


def test_every_family_keeps_its_own_rows(post):
    for name in ("linear", "levin"):
        assert post[f"log_likelihood_{name}"]["c"].dims == ("chain", "draw", "c_row")
        assert post[f"posterior_predictive_{name}"]["m"].shape == (2, 500, 2)
    here = (post["log_likelihood"]["family"] == "linear").to_numpy()
    average = post["log_likelihood"]["c"].to_numpy()[here]
    own = post["log_likelihood_linear"]["c"].to_numpy()[here]
    np.testing.assert_allclose(own, average, rtol=1e-6)
    assert set(post["prior_levin"].data_vars) == {"levin_kappa"}


def test_arviz_compares_the_families(post):
    import arviz as az

    trees = bm.by_family(post)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of influential rows
        warnings.simplefilter("error", RuntimeWarning)
        table = az.compare(trees)
        scores = {name: az.loo(tree) for name, tree in trees.items()}
        rows = az.loo(bm.by_family(post, "m")["linear"])
    assert set(table.index) == {"linear", "levin"}
    assert np.isfinite(table[["elpd", "se", "weight"]].to_numpy(dtype=float)).all()
    assert all(np.isfinite([s.elpd, s.se, s.p]).all() for s in scores.values())
    assert scores["linear"].n_data_points == 14
    assert rows.n_data_points == 2


def test_a_row_that_a_family_is_certain_of(post):
    # Its log likelihood is 0 at every draw; as it stands, ArviZ has no tail to smooth.
    from arviz_stats import loo

    certain = post.copy(deep=True)
    certain["log_likelihood_linear"]["m"].data[:] = 0.0
    tree = bm.by_family(certain, "m")["linear"]
    assert np.isfinite(loo(tree).elpd)
    assert abs(loo(tree).elpd) < 1e-8
    # The stored average is told apart as well; what cannot be at all stays so.
    told = told_apart(np.array([[[0.0, -np.inf, -3.0]] * 50]))
    assert len(np.unique(told[0, :, 0])) == 50
    assert np.all(told[..., 1] == -np.inf)
    np.testing.assert_allclose(told[..., 2], -3.0, rtol=2e-10)


def test_arviz_plots_what_it_needs(post):
    import arviz as az
    import matplotlib.pyplot as plt

    tree = bm.by_family(post)["linear"]
    assert {"posterior", "prior", "sample_stats", "constant_data"} <= set(tree.children)
    assert {"log_likelihood", "posterior_predictive", "observed_data"} <= set(tree.children)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # counts are discrete
        az.plot_ppc_dist(tree, backend="matplotlib")
        az.plot_ppc_dist(post, backend="matplotlib")
        az.plot_prior_posterior(tree, var_names=["linear_rate"], backend="matplotlib")
    plt.close("all")


def test_a_family_is_its_own_draws_without_the_verdicts(post):
    tree = bm.by_family(post)["levin"]
    own = tree["posterior"].to_dataset()
    assert set(own.data_vars) == {"bits", "pressure", "levin_kappa"}  # steps are known
    np.testing.assert_array_equal(own["levin_kappa"], post["posterior_levin"]["levin_kappa"])
    np.testing.assert_array_equal(tree["prior"]["levin_kappa"], post["prior_levin"]["levin_kappa"])
    assert tree.attrs["family"] == "levin"


def test_components_that_are_known_are_left_out():
    found = two_sided((lognormal(1, 1), 9.0), (5.0, lognormal(1, 1)))
    tree = bm.by_family(bm.fit(found, {}, num_samples=50, num_chains=1))["linear"]
    assert tree["posterior"]["bits"].dims == ("chain", "draw", "bits_component")
    assert tree["posterior"]["bits_component"].to_numpy().tolist() == ["a"]
    assert tree["posterior"]["steps_component"].to_numpy().tolist() == ["b"]


def test_a_table_that_is_not_there(post, before):
    with pytest.raises(InputError, match="one of the evidence tables c, m, found 'x'"):
        bm.by_family(post, "x")
    with pytest.raises(InputError, match="must be None for results without evidence"):
        bm.by_family(before, "c")


def test_family_table(post):
    from arviz_stats import loo

    table = bm.family_table(post)
    for name, said in weights_of(post).items():
        row = table.loc[name]
        assert row["prior_weight"] == said["weight"]
        for key in ("probability", "log_marginal_likelihood"):
            assert row[key] == said[key]
            assert row[f"{key}_error"] == said[f"{key}_error"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parts = [loo(bm.by_family(post, t)[name]) for t in ("c", "m")]
        assert row["elpd_loo"] == pytest.approx(sum(p.elpd for p in parts), abs=0.1)
        assert 0.0 < row["p_loo"] < 8.0
        assert 0 <= row["unsound_rows"] <= 14


def test_family_table_without_evidence(before):
    table = bm.family_table(before)
    assert table["probability"].tolist() == table["prior_weight"].tolist() == [0.4, 0.6]
    assert table["elpd_loo"].isna().all()
    assert table["log_marginal_likelihood"].isna().all()


def quantiles(draws):
    return np.quantile(draws, [0.5, 0.05, 0.95], method="inverted_cdf")


def test_prior_and_posterior(post):
    table = bm.prior_and_posterior(post)
    assert list(table.index) == ["bits.a", "bits.b", "pressure", "linear_rate", "levin_kappa"]
    after = table[[f"posterior_{x}" for x in ("median", "lower", "upper")]]
    prior = table[[f"prior_{x}" for x in ("median", "lower", "upper")]]
    for name in ("linear_rate", "levin_kappa"):
        own = name.split("_")[0]
        assert table["family"][name] == own
        expected = quantiles(post[f"posterior_{own}"][name].to_numpy())
        np.testing.assert_array_equal(after.loc[name], expected)
    kappa = np.exp(0.7 * np.array([0.0, -1.6448536, 1.6448536]))
    np.testing.assert_allclose(prior.loc["levin_kappa"], kappa, rtol=1e-6)
    assert set(table["family"][["bits.a", "bits.b", "pressure"]]) == {"average"}
    costs = post["prior"]["bits"].sel(component="a").to_numpy()
    np.testing.assert_array_equal(prior.loc["bits.a"], quantiles(costs))


def test_the_average_is_weighted_by_the_families(post):
    weights = weights_of(post)
    table = bm.prior_and_posterior(post)
    names = list(weights)
    draws = np.concatenate([post[f"posterior_{f}"]["pressure"].to_numpy().ravel() for f in names])
    pi = np.repeat([weights[f]["probability"] / 1000 for f in names], 1000)
    order = np.argsort(draws)
    share = np.cumsum(pi[order])
    median = draws[order][np.searchsorted(share, 0.5)]
    assert table["posterior_median"]["pressure"] == pytest.approx(median, rel=1e-2)


def test_how_far_a_parameter_moved(post):
    row = bm.prior_and_posterior(post).loc["linear_rate"]
    shift = (np.log(row["posterior_median"]) - 4.0) / 1.0
    assert row["shift"] == pytest.approx(shift, rel=1e-6)
    width = np.log(row["posterior_upper"] / row["posterior_lower"]) / (2 * 1.6448536)
    assert row["width_ratio"] == pytest.approx(width, rel=1e-6)
    assert row["width_ratio"] < 0.5


def test_without_evidence_nothing_moves(before):
    table = bm.prior_and_posterior(before)
    assert (table["shift"].abs() < 0.2).all()
    assert (np.abs(np.log(table["width_ratio"])) < 0.2).all()


def test_every_kind_of_parameter_has_a_row():
    from bayes_mesa.domain.model import Facts, Overlap, Path

    found = two_sided(
        (lognormal(1, 1), lognormal(1, 1)),
        (5.0, 9.0),
        facts=Facts(("f", "g"), (lognormal(1, 1),) * 2, (Known(3.0),) * 2),
        overlaps=(Overlap("a", "b", Known(0.0)), Overlap("b", "a", lognormal(-2, 0.1))),
        heuristics=Heuristics(("b",), lognormal(0, 0.2), Known(1.0)),
        path_dependence=Path(Known(0.2), lognormal(-3, 0.1)),
        losses={"other": lognormal(0, 1)},
    )
    post = bm.fit(found, {}, num_samples=100, num_chains=1)
    names = {p.name for p in parameters(post)}
    assert names == {
        *("bits.a", "steps.a", "bits.b"),  # the heuristics multiply the last one
        *("overlap_fraction.b.a", "loss.other", "heuristics_bits", "path_deceptive"),
        *("fact_bits.f", "fact_bits.g"),
    }


def test_summary_and_report_tell_of_it(post, before, tmp_path):
    summary = bm.summarize(post)
    assert set(summary["parameters"]) == set(bm.prior_and_posterior(post).index)
    rate = summary["parameters"]["linear_rate"]
    assert set(rate) == {"family", "prior", "posterior", "shift", "width_ratio"}
    for name, row in bm.family_table(post).iterrows():
        said = summary["by_exchange"][name]
        for key in ("log_marginal_likelihood", "log_marginal_likelihood_error", "elpd_loo"):
            assert said[key] == row[key]
    json.dumps(summary, allow_nan=False)
    page = bm.write_report(post, tmp_path / "report.html").read_text()
    assert "What the evidence moved" in page
    assert "<code>linear_rate</code></th><td" in page.replace("<wbr>", "")
    empty = bm.summarize(before)
    assert empty["parameters"] == {}
    assert empty["by_exchange"]["levin"]["elpd_loo"] is None
    page = bm.write_report(before, tmp_path / "before.html").read_text()
    assert "What the evidence moved" not in page


def test_saved_and_opened_it_is_the_same_and_no_larger_than_it_must(post, tmp_path):
    path = bm.save_posterior(post, tmp_path / "posterior.nc")
    again = bm.open_posterior(path)
    for name, tree in bm.by_family(again).items():
        assert tree.identical(bm.by_family(post)[name])
    rows = post["log_likelihood_linear"].to_dataset()
    assert rows["c"].dtype == np.float32
    assert os.path.getsize(path) < 2_000_000
