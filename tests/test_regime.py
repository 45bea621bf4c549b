"""Training regimes: success, the window of rollouts, what is recommended, and evidence over k."""

import json
from dataclasses import replace
from fractions import Fraction

import jax
import numpy as np
import pytest
from matplotlib.image import imread
from scipy import stats
from small_models import component, family, known_facts, lognormal, model, structure
from typer.testing import CliRunner

import bayes_mesa as bm
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Regime
from bayes_mesa.domain.task_success import episodes_lost, most_rollouts, success
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.evidence.multinomial import GroupedMultinomial
from bayes_mesa.evidence.replicate import SAMPLERS
from bayes_mesa.inference.inference import evidence_tables
from bayes_mesa.inference.likelihood import log_likelihood
from bayes_mesa.interface import cli
from bayes_mesa.plots.regime_plot import plot_regime
from bayes_mesa.regimes.regime_curves import given_fit
from bayes_mesa.regimes.regime_summary import summarize_regime
from bayes_mesa.regimes.regimes import regime
from bayes_mesa.verdicts.estimand import Average
from bayes_mesa.verdicts.verdict import verdicts

STATED = Regime(1e10, 1e6, 8, Known(1.0), Known(100.0), target_success=0.8)


def planned(a=(10.0, 4e6), b=(2.0, 2e7), families=None, stated=STATED, **parts):
    """An honest program that fits from k = 4 on, and a deceptive one that fits from 20 on."""
    families = families or (family("linear", rate=1e7),)
    components = (component("a", *a), component("b", *b))
    structures = (
        structure("honest", ["a"], ["a"]),
        structure("deceptive", ["b"], ["b"], deploy="other"),
    )
    found = model(components, structures, families, regime=stated, **parts)
    return replace(found, selection=stated.selection(stated.rollouts, found.selection))


UNCERTAIN = planned(
    a=(10.0, lognormal(15.0, 1.0)),
    b=(lognormal(1.5, 0.5), lognormal(16.0, 1.0)),
    families=(
        family("linear", 0.3, rate=lognormal(15.0, 2.0)),
        family("levin", 0.7, kappa=lognormal(0.0, 1.0)),
    ),
    stated=replace(STATED, task_rollouts=lognormal(0.5, 1.0)),
)


@pytest.fixture(scope="module")
def uncertain():
    post = bm.fit(UNCERTAIN, num_samples=400, num_chains=2, seed=42)
    return post, regime(UNCERTAIN, post)


def exact(k):
    """P(success) of the stated regime, written out: k/(k + 1) · E/(E + 100) at E = 10⁴/k."""
    episodes = Fraction(10**4, k)
    return Fraction(k, k + 1) * episodes / (episodes + 100)


# --- success and episodes -------------------------------------------------------------------


def test_success_is_that_of_the_formula():
    k = np.arange(1, 33)
    found = success(k, STATED.episodes(k), task_rollouts=1.0, task_episodes=100.0)
    np.testing.assert_allclose(found, [float(exact(int(each))) for each in k], rtol=1e-12)
    found = success(
        8, 9, task_rollouts=2, task_episodes=3, planning_exponent=2, learning_exponent=0.5
    )
    assert found == pytest.approx(64 / (64 + 4) * 3 / (3 + 3**0.5), rel=1e-13)


@pytest.mark.parametrize("k", [1.0, 7.0, 1e9])
def test_twice_the_rollouts_win_two_games_in_three(k):
    plenty = {"episodes": 1e300, "task_episodes": 1e-300}
    assert success(2 * k, task_rollouts=k, **plenty) == pytest.approx(2 / 3, rel=1e-12)
    assert success(k, task_rollouts=2 * k, **plenty) == pytest.approx(1 / 3, rel=1e-12)


def test_success_neither_overflows_nor_leaves_the_unit_interval():
    k = 10.0 ** np.arange(0, 301, 20)
    found = success(
        k, 1e300 / k, task_rollouts=1e150, task_episodes=1e-3, planning_exponent=[[0.0], [1], [50]]
    )
    assert np.all((found >= 0.0) & (found <= 1.0))
    np.testing.assert_allclose(found[0, :-1], 0.5)
    assert np.all(np.diff(found[1:, :-1]) >= 0.0)


def test_one_more_rollout_costs_the_episodes_of_the_post():
    k = np.arange(1, 1000)
    lost = episodes_lost(STATED, k)
    np.testing.assert_allclose(lost, STATED.episodes(k) - STATED.episodes(k + 1), rtol=1e-9)
    np.testing.assert_allclose(lost, 1e10 / (1e6 * k * (k + 1)), rtol=1e-13)


@pytest.mark.parametrize(
    ("budget", "steps", "most"),
    [(10, 3, 3), (9, 3, 3), (1.1, 0.1, 11), (0.3, 0.1, 3), (1e12, 1e6, 10**6), (5, 5, 1)],
)
def test_the_most_rollouts_still_leave_one_episode(budget, steps, most):
    stated = replace(STATED, budget=float(budget), steps_per_rollout=float(steps))
    found = most_rollouts(stated)
    assert stated.affords(found)
    assert not stated.affords(found + 1)
    assert found == most
    assert most_rollouts(replace(STATED, budget=1e300, steps_per_rollout=1e-3)) == 2**53


# --- where everything is known --------------------------------------------------------------


def test_the_window_of_a_model_whose_numbers_are_known():
    found = summarize_regime(regime(planned(), rollouts=range(1, 33)))
    assert [p["rollouts"] for p in found["curve"]] == list(range(1, 33))
    for p in found["curve"]:
        k = p["rollouts"]
        assert p["success"]["mean"] == pytest.approx(float(exact(k)), rel=1e-12)
        assert p["success"]["mcse"] == 0.0
        assert p["cap"] == k * 1e6
        assert p["episodes"] == pytest.approx(1e4 / k)
        assert p["nothing_fits"] == (k < 4)
        assert p["deceptive_favored"]["mean"] == (k >= 20)
        conditional = p["deceptive_favored_given_fit"]
        assert conditional["mean"] == conditional["upper"] == (None if k < 4 else k >= 20)
    # success passes 0.8 between 5 (0.794) and 6 (0.809), and again between 18 and 19
    reached = [k for k in range(1, 33) if exact(k) >= Fraction(8, 10)]
    assert (reached[0], reached[-1]) == (6, 18)
    assert found["reached"] == {"least": 6, "greatest": 18, "contiguous": True}
    assert found["window"] == {"least": 6, "greatest": 18, "contiguous": True}
    assert found["smallest"]["rollouts"] == 6
    assert found["best"]["rollouts"] == 10
    assert found["recommended"]["rollouts"] == 6
    assert found["recommended"]["next_smaller"] == 5
    assert found["least_rollouts"] == {"median": 6.0, "lower": 6.0, "upper": 6.0, "never": 0.0}
    lost = float(exact(10) - exact(1))
    assert found["curve"][0]["success_lost"]["mean"] == pytest.approx(lost)
    given_up = found["recommended"]["success_lost"]["mean"]
    assert given_up == pytest.approx(float(exact(10) - exact(6)))
    assert found["text"][0].startswith("Recommended: 6 rollouts per episode, where the task")
    assert found["warnings"] == []


def test_the_window_ends_where_deception_begins():
    stated = replace(STATED, target_success=0.78)
    assert exact(20) > Fraction(78, 100)
    found = summarize_regime(regime(planned(stated=stated), rollouts=[1, 4, *range(5, 30)]))
    assert found["window"] == {"least": 5, "greatest": 19, "contiguous": True}
    assert found["reached"]["greatest"] > 19


def test_a_target_that_is_met_exactly_is_met():
    stated = replace(STATED, target_success=float(exact(6)))
    found = summarize_regime(regime(planned(stated=stated), rollouts=[5, 6, 7]))
    assert found["recommended"]["rollouts"] == 6


def test_a_target_that_cannot_be_reached_says_so():
    stated = replace(STATED, target_success=0.9)
    found = summarize_regime(regime(planned(stated=stated)))
    assert found["recommended"] is found["window"] is found["smallest"] is None
    why = found["why_empty"]
    assert (why["fails"], why["rollouts"]) == ("success", 10)
    assert found["text"][0] == (
        "No number of rollouts is recommended: the target 0.9 cannot be reached; success is most "
        "probable, 0.826, at 10 rollouts per episode."
    )
    assert found["least_rollouts"] == {"median": None, "lower": None, "upper": None, "never": 1.0}


def test_deception_wherever_the_target_is_reached_says_so():
    found = summarize_regime(regime(planned(b=(2.0, 3e6))))
    assert found["window"] is None
    assert found["smallest"]["rollouts"] == 6
    assert (found["why_empty"]["fails"], found["why_empty"]["rollouts"]) == ("deception", 6)
    assert found["text"][0] == (
        "No number of rollouts is recommended: wherever the target 0.8 is reached, deception is "
        "too probable; least, 1 against 0.05, at 6 rollouts per episode."
    )


def test_nothing_that_fits_is_no_window():
    found = summarize_regime(regime(planned(a=(10.0, 1e9), b=(2.0, 1e9))))
    assert found["why_empty"] == {"fails": "fit", "rollouts": None, "value": None}
    assert found["text"][0].endswith("is reached, no program fits under the cap.")
    assert found["rate"]["window"] is None
    assert found["text"][-1].endswith("per episode, no program fits under the cap.")


def test_the_window_of_rates_ends_at_the_critical_rate():
    # Both programs fit at 32 rollouts; γ* = Δt/Δc = 1.6e7/8 steps per bit.
    stated = replace(STATED, rollouts=32)
    found = summarize_regime(regime(planned(stated=stated), rollouts=[8, 32], max_deceptive=0.5))
    assert found["recommended"]["rollouts"] == 8
    curves = regime(planned(stated=stated), rollouts=[32])
    window = summarize_regime(curves)["rate"]["window"]
    assert curves.attrs["rate_rollouts"] == 32
    assert window["greatest"] <= 2e6 < window["next_greater"]
    assert window["contiguous"]
    assert window["share_of_draws"] == 0.0  # all draws are at 1e7


# --- where something is uncertain -----------------------------------------------------------


def test_every_k_judges_the_same_draws(uncertain):
    post, curves = uncertain
    fits = curves["fits"].transpose("rollouts", ...).to_numpy()
    assert np.all(np.diff(fits, axis=0) >= 0)
    nothing = [p["nothing_fits"] for p in summarize_regime(curves)["curve"]]
    assert nothing[0] > 0.5 > nothing[-1]
    assert np.all(np.diff(nothing) <= 0.0)
    own = curves.sel(rollouts=UNCERTAIN.regime.rollouts)
    for name in ("linear", "levin"):
        group = post[f"posterior_{name}"]
        for figure in ("deceptive_favored", "deceptive_mass"):
            np.testing.assert_array_equal(own[figure].sel(family=name), group[figure])


def test_success_follows_each_draw_and_its_least_k(uncertain):
    post, curves = uncertain
    k = curves["rollouts"].to_numpy()
    task = post["posterior_levin"]["task_rollouts"].to_numpy()[..., None]
    expected = k / (k + task) * (1e4 / k) / (1e4 / k + 100)
    np.testing.assert_allclose(curves["success"].sel(family="levin"), expected, rtol=1e-12)
    found = summarize_regime(curves)["least_rollouts"]
    both = np.stack(
        [post[f"posterior_{f}"]["task_rollouts"].to_numpy() for f in ("linear", "levin")]
    )
    reached = k / (k + both[..., None]) * (1e4 / k) / (1e4 / k + 100) >= 0.8
    first = np.where(reached.any(axis=-1), k[np.argmax(reached, axis=-1)], np.inf)
    weights = np.broadcast_to(np.array([0.3, 0.7])[:, None, None], first.shape).ravel()
    never = 0.3 * np.isinf(first[0]).mean() + 0.7 * np.isinf(first[1]).mean()
    assert found["never"] == pytest.approx(never)
    median = np.quantile(first.ravel(), 0.5, weights=weights, method="inverted_cdf")
    assert found["median"] == (None if np.isinf(median) else median)


def test_rates_are_judged_as_the_critical_rate_says(uncertain):
    post, curves = uncertain
    k = int(curves.attrs["rate_rollouts"])
    favored = curves["deceptive_favored_at_rate"]
    linear = UNCERTAIN.family("linear")
    theta = {
        name: post["posterior_linear"][name].to_numpy().reshape(800, -1).squeeze()
        for name in ("bits", "steps", "pressure", "linear_rate")
    }
    theta |= {name: np.zeros((800, 0)) for name in ("fact_bits", "fact_steps")}
    theta |= {name: np.zeros((800, 0)) for name in ("overlap_fraction", "loss")}
    at = replace(UNCERTAIN, selection=STATED.selection(k, UNCERTAIN.selection))
    critical = verdicts(at, linear, theta)["critical_rate"].reshape(2, 400)
    one_change = verdicts(at, linear, theta)["rate_crossings"].reshape(2, 400) <= 1
    rates = curves["rate"].to_numpy()
    expected = rates[:, None, None] > critical
    assert one_change.mean() > 0.9
    agree = favored.transpose("rate", "chain", "draw").to_numpy() == expected
    # Where the honest one is shorter, or alone, deception wins at low rates only: left out.
    usual = one_change & (np.isfinite(critical)) & (critical > 0.0)
    assert usual.any()
    assert np.all(agree[:, usual])


def test_every_number_is_one_that_json_has(uncertain):
    _, curves = uncertain
    found = summarize_regime(curves)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert set(found["by_exchange"]) == {"linear", "levin"}
    assert found["by_exchange"]["levin"]["weight"] == 0.7
    assert all(curves[name].attrs["units"] for name in curves.data_vars)
    point = next(p for p in found["curve"] if p["nothing_fits"] < 1.0)
    masses = [point["class_mass"][name]["mean"] for name in ("honest", "deceptive")]
    assert sum(masses) == pytest.approx(1.0)


def test_what_is_favored_is_told_among_the_draws_in_which_something_fits():
    favored = [np.array([[1, 0, 0, 1]]), np.array([[0, 1, 0, 0]])]
    fits = [np.array([[1, 1, 0, 1]]), np.array([[0, 1, 0, 0]])]
    average = Average(np.array([0.6, 0.4]), np.array([[0.01, -0.01], [-0.01, 0.01]]))
    found = given_fit(favored, fits, average, known=False)
    # 0.6 · 2/4 + 0.4 · 1/4 of 0.6 · 3/4 + 0.4 · 1/4
    assert found.mean == pytest.approx(0.4 / 0.55)
    # d/dπ of π_1 (1/2)/... : numerically, along the one direction in which the weights err
    x, step = np.array([2 / 3, 1.0]), 1e-6

    def ratio(pi):
        weights = np.array([pi, 1 - pi]) * [0.75, 0.25]
        return weights @ x / weights.sum()

    slope = (ratio(0.6 + step) - ratio(0.6 - step)) / (2 * step)
    assert found.mcse >= abs(slope) * 0.1 * (1 - 1e-6)
    empty = given_fit(favored, [np.zeros((1, 4))] * 2, average, known=False)
    assert np.isnan(empty.mean)


def test_a_share_of_zero_among_few_draws_is_not_surely_zero():
    fits = np.zeros((1, 100))
    fits[0, :10] = 1
    found = given_fit([np.zeros((1, 100))], [fits], Average.alone(), known=False)
    assert (found.mean, found.upper) == (0.0, pytest.approx(1 - 0.05**0.1))


# --- grids and bad input --------------------------------------------------------------------


def test_the_grid_holds_the_powers_of_two_and_the_models_own():
    found = planned(stated=replace(STATED, rollouts=77))
    grid = regime(found)["rollouts"].to_numpy()
    assert {1, 2, 4, 8, 4096, 8192, 77, 10_000} <= set(grid.tolist())
    assert 50 < grid.size < 90
    assert grid.max() == 10_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rollouts": []}, "rollouts must hold at least one number, found none"),
        ({"rollouts": [2, 0]}, "whole numbers from 1 to 10000 .* found 0"),
        ({"rollouts": [10_001]}, "found 10001"),
        ({"rollouts": [2.5]}, "found 2.5"),
        ({"rollouts": [True]}, "found True"),
        ({"max_deceptive": 1.5}, "max_deceptive must be from 0 to 1, found 1.5"),
        ({"max_deceptive": float("nan")}, "found nan"),
        ({"num_draws": 0}, "num_draws must be at least 1, found 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        regime(planned(), **given)


def test_a_model_without_a_regime_is_told_what_it_lacks():
    with pytest.raises(InputError, match=r"speed_simplicity must have a \[regime\] table"):
        bm.regime(bm.load_model("speed_simplicity"))


def test_results_of_another_model_are_refused(uncertain):
    with pytest.raises(InputError, match="fitted to another text"):
        regime(replace(UNCERTAIN, sha256="other"), uncertain[0])


def test_the_regime_is_in_the_results(uncertain):
    post, _ = uncertain
    assert json.loads(post.attrs["regime"]) == {
        "budget": 1e10,
        "steps_per_rollout": 1e6,
        "rollouts": 8,
        "target_success": 0.8,
    }
    assert json.loads(post.attrs["selection"])["cap"] == 8e6
    posterior = post["posterior"].to_dataset()
    units = {n: posterior[n].attrs["units"] for n in UNCERTAIN.regime.beliefs()}
    assert units == {
        "task_rollouts": "rollouts",
        "task_episodes": "episodes",
        "planning_exponent": "dimensionless",
        "learning_exponent": "dimensionless",
    }
    assert np.all(posterior["task_episodes"] == 100.0)
    assert post["log_prior"]["task_rollouts"].shape == (2, 400)


# --- facts under the cap --------------------------------------------------------------------


def test_facts_under_a_cap_are_stored_as_k_falls():
    # At 8 rollouts 4 steps are left for facts, at 4 none: deriving then no longer fits.
    facts = known_facts([100.0, 1.0], [3e6, 1.0])
    found = planned(facts=facts, families=(family("linear", rate=1e5),))
    curves = regime(found, rollouts=[3, 4, 8])
    assert curves["fits"].squeeze().isel(chain=0).to_numpy().tolist() == [0, 1, 1]
    evidence = {"s": {"kind": "selection", "class": ["honest"], "count": [3], "rollouts": [8]}}
    with pytest.raises(RefusedError, match="cap bounds the steps of all facts together"):
        bm.fit(found, evidence)


# --- evidence over rollouts -----------------------------------------------------------------

COUNTS = {
    "kind": "selection",
    "structure": ["honest", "deceptive", "drifting", "honest", "drifting"],
    "count": [20, 2, 8, 25, 30],
    "rollouts": [20, 20, 20, 500, 500],
}


def drifting(loss, steps=4e6, rate=1e7):
    """Three programs; what the third loses in training counts E(k) times."""
    components = (component("a", 10.0, steps), component("b", 2.0, 1e7))
    structures = (
        structure("honest", ["a"], ["a"]),
        structure("deceptive", ["b"], ["b"], deploy="other"),
        structure("drifting", ["b"], ["a"], train="drifted", deploy="drifted"),
    )
    found = model(components, structures, (family("linear", rate=rate),), regime=STATED)
    found = replace(found, losses={"drifted": loss})
    return replace(found, selection=STATED.selection(8, found.selection))


def masses(found, k):
    """Masses of the three programs at k, by hand."""
    bits, steps = np.array([10.0, 2.0, 2.0]), np.array([4e6, 1e7, 4e6])
    loss = np.array([0.0, 0.0, found.losses["drifted"].value])
    weight = np.exp2(-(bits + steps / 1e7)) * np.exp(-STATED.episodes(k) * loss)
    weight *= steps <= STATED.cap(k)
    return weight / weight.sum()


def row_log_likelihood(found, evidence):
    from bayes_mesa.inference.inference import Program

    tables = evidence_tables(found, {"s": evidence})
    program = Program(found, found.families[0], tables, frozenset())
    data = {"s": tables[0].numbers()}
    return log_likelihood(program, data, {}, (1, 1), 0)["s"].squeeze()


def test_the_counts_of_each_k_are_a_multinomial_of_its_masses():
    found = drifting(Known(0.01))
    rows = row_log_likelihood(found, COUNTS)
    first, second = masses(found, 20), masses(found, 500)
    expected = stats.multinomial.logpmf([20, 2, 8], 30, first)
    expected += stats.multinomial.logpmf([25, 30, 0], 55, second[[0, 2, 1]])
    # 0.5 % of the networks at 500 rollouts were deceptive, and no row counts them.
    assert rows.sum() == pytest.approx(expected, rel=1e-9)
    order = [3, 0, 4, 2, 1]
    mixed = {n: x if n == "kind" else [x[i] for i in order] for n, x in COUNTS.items()}
    assert row_log_likelihood(found, mixed).sum() == pytest.approx(expected, rel=1e-9)


def test_the_models_own_k_gives_what_no_rollouts_give():
    found = drifting(Known(1e-3))
    plain = {n: COUNTS[n][:3] for n in ("structure", "count")} | {"kind": "selection"}
    at_own = plain | {"rollouts": [8, 8, 8]}
    plain["count"] = at_own["count"] = [20, 0, 8]
    np.testing.assert_allclose(
        row_log_likelihood(found, at_own), row_log_likelihood(found, plain), rtol=1e-12
    )


def test_what_was_counted_where_nothing_fits_is_impossible():
    found = drifting(Known(0.0))
    evidence = {"kind": "selection", "class": ["honest"], "count": [1], "rollouts": [3]}
    assert row_log_likelihood(found, evidence) == -np.inf
    assert row_log_likelihood(found, evidence | {"count": [0]}) == 0.0


def test_replicates_keep_to_the_trials_of_their_group():
    log_mass, total, group = np.log([0.2, 0.5, 0.8, 0.2]), [10, 30, 10, 30], [1, 7, 1, 7]
    expected = np.array([2.0, 15.0, 8.0, 6.0])
    size = 4000
    names, draw = SAMPLERS["GroupedMultinomial"]
    given = dict(zip(names, (log_mass, total, group), strict=True))
    wide = {n: np.broadcast_to(x, (size, 4)) for n, x in given.items()}
    drawn = [draw(np.random.default_rng(42), wide)]
    with jax.enable_x64(True):
        rows = GroupedMultinomial(*map(np.asarray, (log_mass, total, group)))
        drawn.append(np.asarray(rows.sample(jax.random.PRNGKey(42), (size,))))
    for x in drawn:
        assert x.shape == (size, 4)
        assert np.all(x[:, 0] + x[:, 2] == 10)
        assert np.all(x[:, 1] + x[:, 3] <= 30)
        sd = np.sqrt(expected * (1 - np.exp(log_mass)))
        np.testing.assert_allclose(x.mean(axis=0), expected, atol=5 * sd.max() / np.sqrt(size))
        assert x[:, 0].std() == pytest.approx(sd[0], rel=0.1)


def check_fit(found, name, transform=np.log):
    """The posterior mean of a cost, against prior draws weighted by a likelihood by hand."""
    from arviz_stats.base import array_stats

    settings = {"num_warmup": 400, "num_samples": 800, "num_chains": 2, "seed": 42}
    post = bm.fit(found, {"s": COUNTS}, **settings)
    chosen = post["posterior_linear"].to_dataset()
    rng = np.random.default_rng(1)
    size = 200_000
    loss = found.losses["drifted"]
    drawn = {
        "loss": loss.quantile(rng.random(size)),
        "steps": found.components[0].steps,
        "rate": found.family("linear").parameters["rate"],
    }
    for each in ("steps", "rate"):
        belief = drawn[each]
        known = isinstance(belief, Known)
        drawn[each] = np.full(size, belief.value) if known else belief.quantile(rng.random(size))
    total = np.zeros(size)
    for k, counts in ((20, [20, 2, 8]), (500, [25, 0, 30])):
        steps = np.stack([drawn["steps"], np.full(size, 1e7), drawn["steps"]], axis=-1)
        log_weight = -np.log(2) * (np.array([10.0, 2, 2]) + steps / drawn["rate"][:, None])
        log_weight[:, 2] -= STATED.episodes(k) * drawn["loss"]
        log_weight = np.where(steps <= STATED.cap(k), log_weight, -np.inf)
        with np.errstate(divide="ignore"):
            mass = np.exp(log_weight)
            mass /= mass.sum(axis=1, keepdims=True)
            total += sum(n * np.log(mass[:, j]) for j, n in enumerate(counts) if n)
    weight = np.exp(total - total.max())
    weight /= weight.sum()
    x = transform(drawn[name])
    mean = weight @ x
    error = np.sqrt(np.sum((weight * (x - mean)) ** 2))
    variable = {"loss": "loss", "steps": "steps", "rate": "linear_rate"}[name]
    values = chosen[variable].to_numpy()
    draws = transform(values[..., 0] if values.ndim > 2 else values)
    mcse = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean"))
    assert abs(draws.mean() - mean) < 5 * np.hypot(error, mcse)
    assert draws.std() == pytest.approx(np.sqrt(weight @ (x - mean) ** 2), rel=0.3)
    return post


@pytest.mark.slow
def test_a_loss_is_learnt_from_counts_at_two_k():
    post = check_fit(drifting(lognormal(-6.0, 2.0)), "loss")
    assert post["posterior_predictive"]["s"].dims == ("chain", "draw", "s_row")
    drawn = post["posterior_predictive"]["s"].to_numpy()
    assert np.all(drawn[..., :3].sum(axis=-1) == 30)
    assert np.all(drawn[..., 3:].sum(axis=-1) <= 55)


@pytest.mark.slow
def test_a_rate_is_learnt_from_counts_at_two_k():
    check_fit(drifting(lognormal(-6.0, 2.0), rate=lognormal(16.0, 1.0)), "rate")


@pytest.mark.slow
def test_steps_are_learnt_up_to_the_wall_of_a_cap():
    # What was counted at 20 rollouts must fit under 2e7 steps, where the prior's median lies.
    found = drifting(lognormal(-6.0, 2.0), steps=lognormal(np.log(2e7), 1.0))
    post = check_fit(found, "steps")
    assert post["posterior_linear"]["steps"].sel(component="a").max() <= 2e7


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rollouts": [0]}, r"rollouts\[0\]: must be from 1 to 10000, so that .* found 0"),
        ({"rollouts": [10_001]}, "found 10001"),
        ({"rollouts": [1.5]}, r"rollouts\[0\]: must be a whole number from 0 to 2\^53, found 1.5"),
        (
            {"rollouts": [3, 3], "class": ["honest"] * 2, "count": [1, 2]},
            r"class\[1\]: must name each class once at 3 rollouts, found honest again",
        ),
    ],
)
def test_rollouts_that_cannot_be_are_faults(columns, message):
    evidence = {"kind": "selection", "class": ["honest"], "count": [1]} | columns
    with pytest.raises(InputError, match=message):
        evidence_tables(planned(), {"s": evidence})


def test_rollouts_need_a_regime():
    evidence = {"kind": "selection", "class": ["honest"], "count": [1], "rollouts": [3]}
    with pytest.raises(InputError, match=r"must be left out where the model has no \[regime\]"):
        evidence_tables(replace(planned(), regime=None), {"s": evidence})


# --- the shipped model, the plot and the command --------------------------------------------


def call(*args):
    return CliRunner().invoke(cli.app, ["regime", *map(str, args)])


def test_the_command_writes_what_it_prints(tmp_path):
    out = tmp_path / "out"
    asked = ("rollouts", "--rollouts", "1,8,32,512", "--draws", 200, "--chains", 2)
    done = call(*asked, "--out", out, "--seed", 42)
    assert done.exit_code == 0, done.output
    found = json.loads((out / "regime.json").read_text())
    assert [p["rollouts"] for p in found["curve"]] == [1, 8, 32, 512]
    assert (found["num_chains"], found["num_draws"]) == (2, 200)
    assert found["text"][0] in done.stdout
    assert "k, rollouts  cap, steps  E, episodes" in done.stdout
    assert imread(out / "regime.png").shape[1] == 1400
    again = call(*asked, "--out", out)
    assert again.exit_code == 2
    assert "must hold no results, found regime.json, regime.png; --force" in again.stderr
    printed = call(*asked, "--seed", 42, "--json")
    assert json.loads(printed.stdout) == found
    quiet = call(*asked, "--seed", 42, "--quiet")
    assert quiet.stdout.strip() == found["text"][0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("speed_simplicity",), "must have a [regime] table"),
        (("rollouts", "--rollouts", "1,x"), "--rollouts must be whole numbers parted by commas"),
        (("rollouts", "--rollouts", "0"), "rollouts must be whole numbers from 1 to 1000000"),
        (("rollouts", "--max-deceptive", "2"), "should be less than or equal to 1"),
    ],
)
def test_the_command_says_what_is_wrong(args, message):
    done = call(*args)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_shipped_regime_has_a_window():
    found = bm.summarize_regime(bm.regime(bm.load_model("rollouts")))
    window = found["window"]
    assert window is not None
    assert 16 <= window["least"] <= 43
    assert 43 <= window["greatest"] <= 64
    assert found["by_exchange"]["levin"]["weight"] == 0.5


def test_the_plot_names_its_units(uncertain):
    figure, (upper, lower) = plot_regime(summarize_regime(uncertain[1]))
    assert upper.get_ylabel() == "P(success | k)"
    assert lower.get_xlabel() == "k, rollouts per episode"
    assert figure.axes
    known, _ = plot_regime(summarize_regime(regime(planned(), rollouts=[2])))
    known.canvas.draw()


def test_the_ends_of_the_window_are_exact():
    model = bm.load_model("rollouts")
    post = bm.fit(model, {}, num_samples=200, seed=1)
    found = summarize_regime(regime(model, post))
    around = {found[n]["rollouts"] + step for n in ("smallest", "best") for step in (-1, 0, 1)}
    around |= {found["window"][end] + step for end in ("least", "greatest") for step in (-1, 0, 1)}
    few = summarize_regime(regime(model, post, rollouts=sorted(around)))
    for name in ("smallest", "best"):
        assert few[name]["rollouts"] == found[name]["rollouts"]
    assert few["window"]["least"] == found["window"]["least"]
    assert few["window"]["greatest"] == found["window"]["greatest"]


def test_a_target_missed_at_the_k_given_may_be_reached_elsewhere():
    model = bm.load_model("rollouts")
    found = summarize_regime(regime(model, bm.fit(model, {}, num_samples=50), rollouts=[8]))
    assert "is reached at no k tried" in found["text"][0]


def test_one_family_above_the_limit_is_named():
    model = bm.load_model("rollouts")
    found = summarize_regime(regime(model, bm.fit(model, {}, num_samples=1000, seed=0)))
    assert any("under the levin family by itself" in w for w in found["warnings"])


def test_a_budget_that_is_a_multiple_but_for_rounding():
    stated = Regime(0.7, 0.1, 7, Known(1.0), Known(1.0))
    assert stated.affords(7)
    assert most_rollouts(stated) == 7


@pytest.mark.parametrize("wrong", ["rollouts", None])
def test_what_is_no_model(wrong):
    with pytest.raises(InputError, match="model must be a Model, found .*: load it with"):
        regime(wrong)
    with pytest.raises(InputError, match="model must be a Model, found .*: load it with"):
        bm.fit(wrong)


def test_win_rates_for_an_exponent_that_is_known():
    model = bm.load_model("rollouts")
    wins = {"kind": "winrate", "compute_ratio": [2.0], "wins": [6], "games": [9]}
    post = bm.fit(model, {"wins": wins}, num_samples=50, num_chains=1)
    said = json.loads(post.attrs["warnings"])
    assert any("nothing that it informs (planning_exponent) is in doubt" in w for w in said)
