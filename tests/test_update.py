"""A likelihood ratio for deception: Bayes' rule in closed form, for draws and for families."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from small_models import component, family, lognormal, structure
from synthetic import family_dataset, posterior_tree, shipped_like

import bayes_mesa as bm
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Model, Path
from bayes_mesa.pages.report import render
from bayes_mesa.regimes.forecasts import FORECASTS, READ
from bayes_mesa.regimes.updating import updated_probability
from bayes_mesa.verdicts.estimand import mean_and_mcse

FAMILIES = ("linear", "levin", "power")
KEYS = {"favored": "deceptive_favored", "program": "deceptive_mass"}


def two():
    """Two structures whose costs are within a few bits: masses strictly between 0 and 1."""
    return Model(
        name="two",
        components=(
            component("objective", lognormal(2.0, 0.8)),
            component("glue", lognormal(2.5, 0.8), 1.0),
            component("plan", 10.0, lognormal(3.0, 1.0)),
        ),
        structures=(
            structure("honest", ["objective", "plan"], ["plan"]),
            structure("pretender", ["glue", "plan"], ["glue", "plan"], deploy="other"),
        ),
        families=(family("linear", 0.5, rate=1e3), family("levin", 0.5, kappa=1.0)),
    )


@pytest.fixture(scope="module")
def fitted():
    return bm.fit(two(), num_samples=1000, seed=42)


def last(tree):
    return json.loads(tree.attrs["updates"])[-1]


def family_weights(tree):
    return {n: f["probability"] for n, f in json.loads(tree.attrs["families"]).items()}


def test_a_quarter_after_a_ratio_of_eight():
    assert updated_probability(0.25, 8.0) == 8 / 11
    assert round(updated_probability(0.25, 8.0), 3) == 0.727
    assert updated_probability(0.25, 1.0) == 0.25
    assert [updated_probability(p, 8.0) for p in (0.0, 1.0)] == [0.0, 1.0]


@pytest.mark.parametrize("of", KEYS)
@pytest.mark.parametrize("ratio", [8.0, 0.2])
def test_the_summary_obeys_bayes_rule(fitted, of, ratio):
    before = bm.summarize(fitted)[KEYS[of]]
    new = bm.update(fitted, likelihood_ratio=ratio, of=of)
    after, record = bm.summarize(new)[KEYS[of]], last(new)
    assert record["before"] == before["mean"]
    assert record["before_mcse"] == pytest.approx(before["mcse"])
    assert record["after"] == updated_probability(before["mean"], ratio)
    assert abs(after["mean"] - record["after"]) < 5 * after["mcse"]
    assert 0 < record["after_mcse"] < after["mcse"] < 0.03


def test_a_quarter_becomes_eight_elevenths_on_draws():
    favored = (np.arange(4000) % 4 == 0).astype(int).reshape(4, 1000)
    tree = posterior_tree({"linear": family_dataset(favored)})
    new = bm.update(tree, likelihood_ratio=8.0)
    after = bm.summarize(new)["deceptive_favored"]
    assert abs(after["mean"] - 8 / 11) < 5 * after["mcse"]
    assert last(new)["after"] == 8 / 11


@pytest.mark.parametrize("of", KEYS)
def test_families_move_by_how_well_they_foretold_it(fitted, of):
    ratio = 8.0
    new = bm.update(fitted, likelihood_ratio=ratio, of=of)
    means = {
        f: float((ratio * q + 1 - q).mean())
        for f in ("linear", "levin")
        for q in [fitted[f"posterior_{f}"][KEYS[of]].to_numpy().astype(float)]
    }
    total = sum(0.5 * m for m in means.values())
    expected = {f: 0.5 * m / total for f, m in means.items()}
    assert family_weights(new) == pytest.approx(expected)
    covariance = np.array(json.loads(new.attrs["probability_covariance"]))
    assert covariance.sum(axis=0) == pytest.approx(np.zeros(2), abs=1e-12)  # they add up to 1
    assert (np.diag(covariance) > 0).all()
    drawn = float((new["posterior"]["family"] == "levin").mean())
    assert abs(drawn - expected["levin"]) < 5 * np.sqrt(0.25 / new["posterior"]["family"].size)


def test_the_error_of_the_families_by_finite_differences():
    """The delta method against a numerical derivative in the weights and in the means."""
    covariance = 1e-4 * np.array([[2.0, -1, -1], [-1, 2.5, -1.5], [-1, -1.5, 2.5]])
    tree = shipped_like(probability=[0.5, 0.3, 0.2], covariance=covariance)
    new = bm.update(tree, likelihood_ratio=8.0)
    pi = np.array([0.5, 0.3, 0.2])
    weights = [7.0 * tree[f"posterior_{f}"]["deceptive_favored"].to_numpy() + 1.0 for f in FAMILIES]
    mean, error = np.array([mean_and_mcse(w) for w in weights]).T

    def after(x):
        moved = x[:3] * x[3:]
        return moved / moved.sum()

    at, h = np.concatenate([pi, mean]), 1e-6
    slope = np.stack(
        [(after(at + h * e) - after(at - h * e)) / (2 * h) for e in np.eye(6)], axis=-1
    )
    spread = np.zeros((6, 6))
    spread[:3, :3], spread[3:, 3:] = covariance, np.diag(error**2)
    expected = slope @ spread @ slope.T
    found = np.array(json.loads(new.attrs["probability_covariance"]))
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-12)
    families = json.loads(new.attrs["families"])
    assert families["linear"]["probability_error"] == pytest.approx(np.sqrt(expected[0, 0]))
    assert families["linear"]["weight"] == 1 / 3  # the prior weight stays what it was


@pytest.mark.parametrize("of", KEYS)
def test_costs_move_as_importance_weights_say(fitted, of):
    """E′[log bits] by the kept draws, against Σ w x/Σ w over all draws."""
    new = bm.update(fitted, likelihood_ratio=8.0, of=of)
    for name in ("linear", "levin"):
        old = fitted[f"posterior_{name}"]
        q = old[KEYS[of]].to_numpy().astype(float)
        weight = 8.0 * q + 1 - q
        x = np.log(old["bits"].sel(component="objective").to_numpy())
        kept = np.log(new[f"posterior_{name}"]["bits"].sel(component="objective").to_numpy())
        mean, mcse = mean_and_mcse(kept)
        assert abs(mean - (weight * x).sum() / weight.sum()) < 5 * mcse
        assert mean - x.mean() > 5 * mcse  # a long objective favours the pretender


def test_kept_draws_are_draws_of_the_fit_and_none_twice(fitted):
    new = bm.update(fitted, likelihood_ratio=8.0)
    for group in ("posterior", "posterior_linear", "posterior_levin"):
        for chain in range(4):
            old = fitted[group]["bits"][chain, :, 0].to_numpy()
            kept = new[group]["bits"][chain, :, 0].to_numpy()
            assert np.unique(kept).size == kept.size == new.attrs["num_samples"]
            at = [int(np.flatnonzero(old == x)[0]) for x in kept]
            assert at == sorted(at)


def test_the_masses_of_the_one_program_add_up(fitted):
    new = bm.update(fitted, likelihood_ratio=8.0, of="program")["posterior_levin"]
    assert np.allclose(new["structure_mass"].sum("structure"), 1.0)
    assert np.allclose(new["class_mass"].sum("class"), 1.0)
    deceptive = new["class_mass"].sel({"class": "deceptive"})
    assert np.allclose(deceptive, new["deceptive_mass"])
    assert np.allclose(new["structure_mass"].sel(structure="pretender"), new["deceptive_mass"])
    assert new["structure_mass"].dims == ("chain", "draw", "structure")


def test_two_updates_are_one_with_the_product(fitted):
    twice = bm.update(bm.update(fitted, likelihood_ratio=2.0), likelihood_ratio=4.0)
    once = bm.update(fitted, likelihood_ratio=8.0)
    a, b = (bm.summarize(t)["deceptive_favored"] for t in (twice, once))
    assert abs(a["mean"] - b["mean"]) < 5 * np.hypot(a["mcse"], b["mcse"])
    assert [u["likelihood_ratio"] for u in json.loads(twice.attrs["updates"])] == [2.0, 4.0]


def test_a_ratio_of_one_changes_nothing(fitted):
    for of in KEYS:
        new = bm.update(fitted, likelihood_ratio=1.0, of=of)
        assert new["posterior_levin"].to_dataset().equals(fitted["posterior_levin"].to_dataset())
        assert bm.summarize(new)["deceptive_mass"] == bm.summarize(fitted)["deceptive_mass"]


def test_the_tree_given_is_left_as_it_was(fitted):
    attributes, draws = dict(fitted.attrs), fitted["posterior"].to_dataset().copy(deep=True)
    bm.update(fitted, likelihood_ratio=8.0, of="program")
    assert fitted.attrs == attributes
    assert fitted["posterior"].to_dataset().identical(draws)


def test_the_seed_decides_which_draws(fitted):
    one, same, other = (
        bm.update(fitted, likelihood_ratio=8.0, seed=s)["posterior"].to_dataset() for s in (1, 1, 2)
    )
    assert one.identical(same)
    assert not one.equals(other)


def test_groups_that_belong_to_the_draws_are_cut_alike():
    tree = shipped_like(divergences={"levin": 100})
    at = ("chain", "draw")
    marks = np.arange(1000.0).reshape(4, 250)
    for suffix in ("", "_levin"):
        tree[f"posterior{suffix}"]["pressure"] = xr.DataArray(marks, dims=at)
        for group in ("log_likelihood", "posterior_predictive"):
            rows = np.repeat(marks[..., None], 3, axis=-1)
            tree[f"{group}{suffix}"] = xr.DataTree(xr.Dataset({"t": ((*at, "t_row"), rows)}))
    tree["sample_stats_levin"]["mark"] = xr.DataArray(marks, dims=at)
    tree["prior"] = xr.DataTree(xr.Dataset({"pressure": (at, marks)}))
    tree["programs"] = xr.DataTree(xr.Dataset({"structure": (at, marks.astype(int))}))
    new = bm.update(tree, likelihood_ratio=8.0)
    for suffix in ("", "_levin"):
        kept = new[f"posterior{suffix}"]["pressure"].to_numpy()
        assert kept.shape == (4, new.attrs["num_samples"])
        for group in ("log_likelihood", "posterior_predictive"):
            assert np.array_equal(new[f"{group}{suffix}"]["t"][..., 2], kept)
    assert np.array_equal(new["sample_stats_levin"]["mark"], new["posterior_levin"]["pressure"])
    assert new["prior"].sizes["draw"] == 250
    assert "programs" not in new.children


def test_the_average_keeps_each_place_of_its_own_family(fitted):
    new = bm.update(fitted, likelihood_ratio=8.0)["posterior"].to_dataset()
    assert new["family"].dims == ("chain", "draw")
    old = fitted["posterior"]
    for chain in range(4):
        label = old["family"][chain].to_numpy()
        of = dict(zip(old["margin_bits"][chain].to_numpy(), label, strict=True))
        found = [of[m] for m in new["margin_bits"][chain].to_numpy()]
        assert found == new["family"][chain].to_numpy().tolist()


def test_where_nothing_fits_the_proposition_is_false():
    favored = np.tile([-1, 0, 1, 1], (4, 100))
    tree = posterior_tree({"linear": family_dataset(favored)})
    for of in KEYS:
        new = bm.update(tree, likelihood_ratio=4.0, of=of)
        assert last(new)["before"] == 0.5
        assert last(new)["after"] == 0.8
    mass = bm.update(tree, likelihood_ratio=1.0, of="program")["posterior"]["deceptive_mass"]
    assert float(np.isnan(mass).mean()) == 0.25


@pytest.mark.parametrize("ratio", [10.0, 1e-6])
def test_a_program_that_a_path_led_to(ratio):
    tree = bm.fit(
        replace(two(), path_dependence=Path(Known(0.5), Known(0.9))), num_samples=1000, seed=3
    )
    before = bm.summarize(tree)["with_path"]["deceptive_mass"]
    new = bm.update(tree, likelihood_ratio=ratio, of="program")
    after = bm.summarize(new)["with_path"]["deceptive_mass"]
    expected = updated_probability(before["mean"], ratio)
    slope = ratio / (ratio * before["mean"] + 1.0 - before["mean"]) ** 2
    tolerance = 5.0 * np.hypot(after["mcse"], slope * before["mcse"])
    assert abs(after["mean"] - expected) < tolerance
    assert last(new)["before"] == pytest.approx(before["mean"], abs=1e-12)


def test_a_saved_result_can_be_updated_and_saved_again(fitted, tmp_path):
    path = bm.save_posterior(fitted, tmp_path / "posterior.nc")
    new = bm.update(bm.open_posterior(path), likelihood_ratio=8.0)
    again = bm.open_posterior(bm.save_posterior(new, tmp_path / "updated.nc"))
    assert bm.summarize(again) == bm.summarize(bm.update(fitted, likelihood_ratio=8.0))
    assert again.attrs["updates"] == new.attrs["updates"]


def test_a_model_with_every_number_known_keeps_all():
    costs = ("objective", 4.0), ("glue", 5.0, 1.0), ("plan", 10.0, 20.0)
    tree = bm.fit(replace(two(), components=tuple(component(*c) for c in costs)), num_samples=2)
    new = bm.update(tree, likelihood_ratio=8.0, of="program")
    before, after = (bm.summarize(t)["deceptive_mass"] for t in (tree, new))
    assert after["mean"] == pytest.approx(updated_probability(before["mean"], 8.0), abs=1e-12)
    assert (after["mcse"], new.attrs["num_samples"]) == (0.0, 2)


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf"), 1e300, "8", None, True])
def test_ratios_that_are_none(fitted, ratio):
    with pytest.raises(bm.InputError, match="likelihood_ratio must be a number above 0"):
        bm.update(fitted, likelihood_ratio=ratio)


def test_propositions_that_are_none(fitted):
    with pytest.raises(bm.InputError, match="of must be 'favored' or 'program', found 'mass'"):
        bm.update(fitted, likelihood_ratio=8.0, of="mass")


def test_too_few_draws_left():
    favored = (np.arange(1000) % 100 == 0).astype(int).reshape(4, 250)
    tree = posterior_tree({"linear": family_dataset(favored)})
    with pytest.raises(bm.InputError, match=r"of 250 only \d+ are left in one: draw more than \d+"):
        bm.update(tree, likelihood_ratio=1e9)


def test_the_report_tells_of_the_update_and_shows_forecasts(fitted):
    new = bm.update(fitted, likelihood_ratio=8.0)
    page, plain = render(new), render(fitted)
    assert "Updated by a likelihood ratio of 8" in page
    assert f"to {last(new)['after']:.3f}." in page
    assert "this follows from the beliefs below and nothing else" not in page
    assert "uses the prior weights" not in page
    assert "moved by it" in page
    assert "Updated by" not in plain
    for forecast in FORECASTS:
        assert f"{forecast.source}<br>" in plain
    assert "nothing here was computed from them" in plain


def test_published_forecasts_say_where_they_were_read():
    assert [(f.source.split(",")[0], round(f.probability, 2)) for f in FORECASTS] == [
        ("Carlsmith 2023", 0.25),
        ("Greenblatt 2025", 0.25),
        ("Greenblatt 2025", 0.73),
    ]
    assert [READ[f.read] for f in FORECASTS] == [
        "through secondary sources",
        "checked at the source",
        "derived here",
    ]
