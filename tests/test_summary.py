"""`summarize` against small trees whose answers are worked out by hand."""

import json

import numpy as np
import pytest
import xarray as xr
from synthetic import family_dataset, posterior_tree, shipped_like

from bayes_mesa.errors import ResultFileError
from bayes_mesa.results.summary import summarize

ESTIMATE = {"mean", "mcse", "lower", "upper"}


def favored(*codes, repeat=25, num_chains=4):
    return np.tile(codes, (num_chains, repeat))


def single(codes, **kwargs):
    attributes = kwargs.pop("attributes", {})
    return posterior_tree({"linear": family_dataset(codes, **kwargs)}, **attributes)


def test_keys_are_those_of_the_contract():
    found = summarize(shipped_like(num_samples=50))
    assert set(found) >= {
        "model",
        "seed",
        "versions",
        "deceptive_favored",
        "deceptive_mass",
        "class_mass",
        "by_exchange",
        "structures",
        "dominance",
        "critical_rate",
        "critical_kappa",
        "diagnostics",
    }
    assert set(found["deceptive_favored"]) == set(found["deceptive_mass"]) == ESTIMATE
    assert set(found["class_mass"]) == {"honest", "deceptive", "misaligned"}
    assert list(found["by_exchange"]) == ["linear", "levin", "power"]
    assert set(found["by_exchange"]["levin"]) >= {"weight", "deceptive_favored", "deceptive_mass"}
    assert list(found["structures"]) == ["fast_honest", "slow_deceptive", "fast_deceptive"]
    assert set(found["structures"]["fast_honest"]) == {"symbol", "class", "favored", "mass"}
    assert set(found["dominance"][0]) == {"winner", "loser", "needs", "text"}
    special = {"median", "lower", "upper", "always", "never", "several"}
    assert set(found["critical_rate"]) == set(found["critical_kappa"]) == special
    assert set(found["diagnostics"]) == {"r_hat_max", "ess_bulk_min", "divergences", "warnings"}


def test_it_is_json_without_nan():
    text = json.dumps(summarize(shipped_like(num_samples=50)), allow_nan=False)
    assert json.loads(text)["model"] == "speed_simplicity"


def test_plain_means():
    found = summarize(single(favored(0, 0, 0, 1)))
    assert found["deceptive_favored"]["mean"] == 0.25
    assert found["deceptive_mass"]["mean"] == 0.25
    assert found["class_mass"]["honest"]["mean"] == 0.75
    assert found["structures"]["slow_deceptive"]["favored"]["mean"] == 0.25
    assert found["structures"]["slow_deceptive"]["symbol"] == "Hsd"
    assert found["structures"]["slow_deceptive"]["class"] == "deceptive"


def test_averages_are_weighted_by_family_probability():
    groups = {
        "linear": family_dataset(favored(0, 0, 0, 1)),
        "levin": family_dataset(favored(1, 1, 1, 0), family="levin"),
    }
    covariance = np.array([[1e-4, -1e-4], [-1e-4, 1e-4]])
    found = summarize(posterior_tree(groups, probability=[0.2, 0.8], covariance=covariance))
    assert found["deceptive_favored"]["mean"] == pytest.approx(0.2 * 0.25 + 0.8 * 0.75)
    by = found["by_exchange"]
    parts = [0.2 * by["linear"]["deceptive_favored"]["mcse"]]
    parts += [0.8 * by["levin"]["deceptive_favored"]["mcse"], 0.01 * 0.5]
    assert found["deceptive_favored"]["mcse"] == pytest.approx(np.linalg.norm(parts))
    assert (by["levin"]["weight"], by["levin"]["prior_weight"]) == (0.8, 0.5)
    assert by["levin"]["weight_error"] == pytest.approx(0.01)


def test_never_favored_by_dominance_is_exactly_zero():
    found = summarize(single(favored(0, 1)))["structures"]
    exactly = {"mean": 0.0, "mcse": 0.0, "lower": 0.0, "upper": 0.0}
    assert found["fast_deceptive"]["favored"] == exactly


def test_never_seen_but_not_proved():
    tree = single(favored(0), attributes={"never_favored": "[]"})
    found = summarize(tree)
    upper = 1 - 0.05 ** (1 / 100)
    assert found["deceptive_favored"]["upper"] == pytest.approx(upper)
    assert found["structures"]["fast_honest"]["favored"]["lower"] == pytest.approx(1 - upper)


def test_deception_is_excluded_only_when_every_deceptive_structure_is():
    one = summarize(single(favored(0)))
    assert one["deceptive_favored"]["upper"] > 0
    both = json.dumps(["slow_deceptive", "fast_deceptive"])
    all_of_them = summarize(single(favored(0), attributes={"never_favored": both}))
    assert all_of_them["deceptive_favored"]["upper"] == 0.0
    assert all_of_them["by_exchange"]["linear"]["deceptive_favored"]["upper"] == 0.0


def test_nothing_uncertain():
    mass = np.broadcast_to([0.6, 0.3, 0.1], (4, 25, 3))
    dataset = family_dataset(favored(0), mass=mass)
    constant = dataset.map(lambda v: xr.full_like(v, v.values.flat[0]) if v.ndim == 2 else v)
    constant["bits"][:] = 10.0
    constant["steps"][:] = 10.0
    found = summarize(posterior_tree({"linear": constant}, all_known=1))
    assert found["deceptive_favored"] == dict.fromkeys(ESTIMATE, 0.0)
    assert found["deceptive_mass"] == {"mean": 0.4, "mcse": 0.0, "lower": 0.4, "upper": 0.4}
    assert found["diagnostics"] == {
        "r_hat_max": None,
        "ess_bulk_min": 100.0,
        "divergences": 0,
        "warnings": [],
    }


def test_draws_in_which_nothing_fits():
    found = summarize(single(favored(0, 1, 1, -1)))
    assert found["nothing_fits"] == 0.25
    assert found["deceptive_favored"]["mean"] == 0.5
    assert found["deceptive_mass"]["mean"] == pytest.approx(2 / 3)
    nowhere = summarize(single(favored(-1)))
    assert nowhere["deceptive_mass"] == dict.fromkeys(ESTIMATE)
    assert nowhere["nothing_fits"] == 1.0


def test_path_dependence_stands_beside():
    found = summarize(single(favored(0, 1), path=(0.2, 0.1)))
    assert found["deceptive_favored"]["mean"] == 0.5
    assert found["with_path"]["deceptive_favored"]["mean"] == pytest.approx(0.02 + 0.8 * 0.5)
    assert found["with_path"]["deceptive_mass"]["upper"] == pytest.approx(0.82)
    assert "with_path" not in summarize(single(favored(0, 1)))


def with_critical(**values):
    tree = single(favored(0, 1, 0, 1))
    posterior = tree["posterior"].to_dataset()
    for name, row in values.items():
        posterior[name] = (("chain", "draw"), np.tile(row, (4, 25)))
    tree["posterior"] = xr.DataTree(posterior)
    return summarize(tree)


def test_critical_rate():
    found = with_critical(critical_rate=[0.0, 3.0, 5.0, np.inf], rate_crossings=[0, 1, 3, 0])
    assert found["critical_rate"] == {
        "median": 3.0,
        "lower": 0.0,
        "upper": None,
        "always": 0.25,
        "never": 0.25,
        "several": 0.25,
    }


def test_critical_kappa():
    found = with_critical(critical_kappa=[0.0, 0.0, 5.0, np.inf], kappa_crossings=[0, 0, 2, 2])
    assert found["critical_kappa"] == {
        "median": 0.0,
        "lower": 0.0,
        "upper": None,
        "always": 0.25,
        "never": 0.5,
        "several": 0.5,
    }


def test_good_draws_raise_no_warning():
    found = summarize(shipped_like(num_samples=500))["diagnostics"]
    assert found["warnings"] == []
    assert 0.99 < found["r_hat_max"] < 1.01
    assert 400 < found["ess_bulk_min"] <= 2500


def test_chains_that_disagree_are_named_with_a_remedy():
    dataset = family_dataset(favored(0, 1, repeat=100))
    dataset["bits"][:, :, 1] += 1e6 * dataset["chain"]
    found = summarize(posterior_tree({"linear": dataset}))["diagnostics"]
    assert found["r_hat_max"] > 1.5
    assert found["ess_bulk_min"] < 400
    assert any("R-hat" in w and "bits[combine]" in w and "--warmup" in w for w in found["warnings"])
    assert any("worth" in w and "bits[combine]" in w and "--draws" in w for w in found["warnings"])


def test_divergences_are_counted_over_families():
    tree = shipped_like(num_samples=200, divergences={"linear": 2, "power": 5})
    found = summarize(tree)["diagnostics"]
    assert found["divergences"] == 7
    assert [w.split(":")[0] for w in found["warnings"]] == ["linear", "power"]


def test_warnings_of_the_fit_come_first():
    tree = shipped_like(
        num_samples=200, warnings=json.dumps(["said by the fit"]), divergences={"levin": 1}
    )
    assert summarize(tree)["diagnostics"]["warnings"][0] == "said by the fit"


def test_a_single_chain_is_judged_by_its_halves():
    dataset = family_dataset(favored(0, 1, repeat=100, num_chains=1))
    calm = summarize(posterior_tree({"linear": dataset}))["diagnostics"]
    assert calm["r_hat_max"] < 1.1
    dataset["bits"][:, 100:, 1] *= 1e6
    drifting = summarize(posterior_tree({"linear": dataset}))["diagnostics"]
    assert drifting["r_hat_max"] > 1.5


def test_few_draws_are_no_crash():
    found = summarize(single(favored(0, 1, repeat=1)))
    assert found["diagnostics"]["r_hat_max"] is None
    assert any("fewer than 8" in w for w in found["diagnostics"]["warnings"])


def test_a_tree_without_a_family_it_names():
    tree = shipped_like(num_samples=10)
    del tree["posterior_levin"]
    with pytest.raises(ResultFileError, match="lack posterior_levin"):
        summarize(tree)


def test_independent_draws_are_not_told_to_warm_up():
    dataset = family_dataset(favored(0, 1, repeat=100))
    dataset["bits"][:, :, 1] += 1e6 * dataset["chain"]
    tree = posterior_tree({"linear": dataset})
    tree.attrs["evidence"] = "[]"
    assert not any("R-hat" in w for w in summarize(tree)["diagnostics"]["warnings"])
