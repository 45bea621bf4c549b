"""The verdict along the number of episodes: B against B', by hand, and on the shipped model."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import belief, component, family, lognormal, structure
from typer.testing import CliRunner

from bayes_mesa import InputError, fit, load_model
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Model, Selection
from bayes_mesa.interface.cli import app
from bayes_mesa.regimes.episodes import (
    episodes_curve,
    episodes_grid,
    episodes_sentence,
    episodes_summary,
)

LN2 = math.log(2.0)
REGIME = """
[regime]
budget = 8e12
steps_per_rollout = 1e8
rollouts = 8
task_rollouts = 2
planning_exponent = 1.0
task_episodes = 1e3
learning_exponent = 1.0
target_success = 0.5
"""
LOSS, PRESSURE = 1e-3, 2.0
#: Bits that the refinement of B has, and that pretending takes; steps are free at this rate.
REFINEMENT, GLUE = 100.0, 30.0


def drift(loss=LOSS, glue=GLUE, refinement=REFINEMENT):
    """Honest stores the refinement; drifted programs do not, one pays in loss, one in glue."""
    losses = {} if loss is None else {"drifted": belief(loss)}
    train = "base" if loss is None else "drifted"
    return Model(
        name="hand",
        components=(
            component("refinement", refinement),
            component("glue", glue, 1.0),
            component("plan", 1000.0, 50.0),
        ),
        structures=(
            structure("honest", ["refinement", "plan"], ["plan"]),
            structure("open", ["plan"], ["plan"], train=train, deploy="drifted"),
            structure("pretending", ["glue", "plan"], ["glue", "plan"], deploy="drifted"),
        ),
        families=(family("linear", rate=1e9),),
        losses=losses,
        selection=Selection(Known(PRESSURE), episodes=1e4),
    )


def at(curve, name, **where):
    return curve[name].sel(**where).to_numpy()


def test_known_costs_by_hand():
    """Ψ: honest 100, open E · loss/(β ln 2), pretending 30: they meet where E · loss is 41.6."""
    meet = GLUE * PRESSURE * LN2 / LOSS
    numbers = [1.0, 0.99 * meet, 1.01 * meet, 1e6, 1e12]
    curve = episodes_curve(drift(), episodes=numbers, num_draws=2)
    favored = at(curve, "class_favored", figure="mean")
    assert favored.tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0]]
    lost = np.array(numbers) * LOSS / (PRESSURE * LN2)
    margins = np.minimum(lost, REFINEMENT) - GLUE
    assert at(curve, "margin_bits", quantile=0.5) == pytest.approx(margins, abs=1e-6)
    paid = at(curve, "pays_bits", quantile=0.5)
    assert np.isnan(paid[:2]).all()
    # Where open drift is hopeless, deception gains what the refinement has beyond the glue.
    assert paid[2:] == pytest.approx([0.01 * GLUE, 70.0, 70.0], abs=1e-6)
    weights = 2.0 ** (-PRESSURE * np.array([REFINEMENT, GLUE, lost[1]]))
    assert at(curve, "class_mass", figure="mean")[1] == pytest.approx(weights / weights.sum())
    assert (at(curve, "class_mass", figure="mcse") == 0.0).all()


def test_without_loss_open_drift_wins_and_much_loss_brings_the_base_back():
    numbers = [1.0, 1e6]
    none = episodes_curve(drift(1e-30), episodes=numbers, num_draws=2)
    assert at(none, "class_favored", figure="mean").tolist() == [[0, 0, 1]] * 2
    # With glue longer than the refinement pretending never pays, and the base objective is back.
    back = episodes_curve(drift(glue=300.0), episodes=numbers, num_draws=2)
    assert at(back, "class_favored", figure="mean").tolist() == [[0, 0, 1], [1, 0, 0]]
    assert np.isnan(at(back, "pays_bits")).all()
    assert "Deception is never favored" in episodes_sentence(back)


def test_uncertain_costs_follow_the_closed_form():
    """Deception wins in the long run iff refinement > glue: two lognormals, in closed form."""
    model = drift(refinement=lognormal(4.0, 1.0), glue=lognormal(3.5, 0.8))
    curve = episodes_curve(model, episodes=[1e12], seed=42)
    mean, mcse = at(curve, "class_favored", figure=["mean", "mcse"])[0, 1]
    expected = 0.5 * math.erfc(-0.5 / math.sqrt(1.0 + 0.64) / math.sqrt(2.0))
    assert abs(mean - expected) < 5 * mcse


def test_the_margin_where_it_pays_counts_families_by_how_often_it_does():
    """Two families, one in which deception never wins: its draws must not dilute the other's."""
    families = family("linear", 0.5, rate=1e9), family("power", 0.5, rate=1e-9, exponent=1.0)
    model = replace(drift(), families=families)
    curve = episodes_curve(model, episodes=[1e12], num_draws=3)
    assert at(curve, "deceptive_favored", figure="mean").tolist() == [[1.0, 0.0]]
    assert at(curve, "pays_bits")[0] == pytest.approx([70.0] * 3, abs=1e-6)
    assert at(curve, "class_favored", figure="mean")[0].tolist() == [0.5, 0.5, 0.0]


def test_the_margin_where_it_pays_is_that_of_all_winning_draws_together():
    """Deception wins often under one family and seldom, by other margins, under the other."""
    model = replace(
        drift(refinement=lognormal(4.0, 1.0)),
        families=(family("linear", 0.5, rate=1e9), family("power", 0.5, rate=5e-3, exponent=1.0)),
        selection=Selection(Known(PRESSURE), episodes=1e12),
    )
    post = fit(model, num_samples=100, seed=42)
    margins = [post[f"posterior_{f}"]["margin_bits"].to_numpy() for f in ("linear", "power")]
    won = [m[m > 0] for m in margins]
    assert 0 < won[1].size < 0.5 * won[0].size
    expected = np.quantile(np.concatenate(won), [0.05, 0.5, 0.95], method="inverted_cdf")
    found = at(episodes_curve(model, post, episodes=[1e12]), "pays_bits")[0]
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_model_without_losses_is_flat_and_it_is_said_why():
    curve = episodes_curve(drift(None), episodes=[1.0, 1e12], num_draws=2)
    for name in ("class_favored", "class_mass", "margin_bits"):
        assert np.array_equal(*curve[name].to_numpy())
    assert "no objective with a declared loss" in episodes_sentence(curve)


def test_a_loss_that_is_never_pursued_changes_nothing_and_it_is_said():
    model = replace(drift(None), losses={"idle": Known(1.0)})
    curve = episodes_curve(model, episodes=[1.0, 1e12], num_draws=2)
    assert "the loss of idle changes nothing here" in episodes_sentence(curve)


def test_the_models_own_number_gives_the_fits_own_verdict():
    model = drift(lognormal(-7.0, 2.0))
    post = fit(model, num_samples=200, seed=3)
    curve = episodes_curve(model, post, episodes=[model.selection.episodes])
    own = post["posterior_linear"]["class_mass"].mean(("chain", "draw")).to_numpy()
    assert at(curve, "class_mass", figure="mean")[0] == pytest.approx(own, abs=1e-12)
    few = episodes_curve(model, post, episodes=[1e4], num_draws=50)
    half = post["posterior_linear"]["class_mass"].isel(draw=slice(50)).mean(("chain", "draw"))
    assert at(few, "class_mass", figure="mean")[0] == pytest.approx(half.to_numpy(), abs=1e-12)


def test_where_nothing_fits_there_is_no_leader():
    model = replace(drift(), selection=Selection(Known(1.0), max_bits=10.0))
    curve = episodes_curve(model, episodes=[1.0, 1e12], num_draws=2)
    assert at(curve, "nothing_fits").tolist() == [1.0, 1.0]
    assert np.isnan(at(curve, "class_mass", figure="mean")).all()
    found = episodes_summary(curve)
    assert found["curve"][0]["mass"]["honest"]["mean"] is None
    json.dumps(found, allow_nan=False)


def test_with_a_regime_the_episodes_are_varied_at_its_own_cap(tmp_path):
    text = (Path(__file__).resolve().parent.parent / "models" / "drift.toml").read_text()
    assert text.count("episodes = 1e6\n") == 1
    path = tmp_path / "budgeted.toml"
    path.write_text(text.replace("episodes = 1e6\n", "") + REGIME)
    model = load_model(path)
    assert (model.selection.cap, model.selection.episodes) == (8e8, 1e4)
    curve = episodes_curve(model, episodes=[1.0, 1e4, 1e12], num_draws=250)
    assert curve.attrs["cap"] == 8e8
    misaligned = at(curve, "class_favored", figure="mean")[:, 2]
    assert misaligned[0] > 0.9 > misaligned[1] > 0.7 > misaligned[2]
    # The cap leaves some draws without a program, at every number of episodes alike.
    assert 0 < at(curve, "nothing_fits")[0] == at(curve, "nothing_fits")[2] < 0.1


def test_the_default_grid_holds_the_models_own_number():
    grid = episodes_grid(drift())
    assert (grid[0], grid[-1], len(grid)) == (1.0, 1e12, 25)
    odd = replace(drift(), selection=Selection(Known(1.0), episodes=12345.0))
    assert 12345.0 in episodes_grid(odd)
    assert 12345.0 not in episodes_grid(odd, 1e6, 1e9)


@pytest.mark.parametrize("wrong", [[], [0.0], [1.0, math.inf], [math.nan]])
def test_numbers_of_episodes_that_are_none(wrong):
    with pytest.raises(InputError, match="episodes must be finite numbers above 0, found"):
        episodes_curve(drift(), episodes=wrong)


def test_a_grid_that_is_none():
    with pytest.raises(InputError, match="must run from one above 0 to a larger one, found 5 to 1"):
        episodes_grid(drift(), 5.0, 1.0)
    with pytest.raises(InputError, match="must have 2 to 10000 points, found 1"):
        episodes_grid(drift(), points=1)


@pytest.fixture(scope="module")
def shipped():
    model = load_model("drift")
    return episodes_curve(model, fit(model, num_samples=1000, seed=42))


def test_shipped_drift_moves_from_open_drift_to_the_base_objective(shipped):
    favored = shipped["class_favored"].sel(figure="mean")
    honest, deceptive, openly = favored.transpose("class", "episodes").to_numpy()
    assert openly[0] > 0.99
    assert openly[-1] < 0.01
    assert honest[-1] > deceptive[-1] > 0.2
    # The same draws at every point: with more episodes open drift can only lose.
    assert (np.diff(openly) <= 0).all()
    assert (np.diff(honest) >= 0).all()
    own = int(np.flatnonzero(shipped["episodes"] == 1e6)[0])
    assert abs(openly[own] - honest[own]) < 0.05


def test_shipped_drift_says_by_how_many_bits_deception_pays(shipped):
    sentence = episodes_sentence(shipped)
    # At a million episodes the two are level: either may lead there.
    assert re.search(r"Up to (316000|1e6) episodes drifted most often wins openly", sentence)
    assert "on the base objective most often wins" in sentence
    best = int(shipped["class_favored"].to_numpy()[:, 1, 0].argmax())
    median = float(shipped["pays_bits"].sel(quantile=0.5)[best])
    assert 150 < median < 500
    assert f"{median:.3g} bits (median;" in sentence


def test_the_summary_is_finite_json(shipped):
    found = episodes_summary(shipped)
    json.dumps(found, allow_nan=False)
    assert found["own_episodes"] == 1e6
    assert set(found["curve"][0]["by_exchange"]) == {"linear", "levin", "power"}
    assert found["curve"][0]["pays_bits"] == {"lower": None, "median": None, "upper": None}


def run(*arguments):
    return CliRunner().invoke(app, ["episodes", *arguments])


def test_the_command_prints_a_table_and_a_sentence():
    done = run("drift", "--points", "4", "--draws", "50", "--seed", "1")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["episodes", "honest"]
    assert [line.split()[0] for line in lines[1:6]] == ["1", "10000", "1e6", "1e8", "1e12"]
    assert "drifted most often wins openly" in lines[-1]


def test_the_command_prints_json_or_only_the_sentence():
    some = ("drift", "--from", "1e3", "--to", "1e5", "--points", "2", "--draws", "20")
    found = json.loads(run(*some, "--json").stdout)
    assert [row["episodes"] for row in found["curve"]] == [1e3, 1e5]
    assert run(*some, "--quiet").stdout.strip() == found["sentence"]


def test_the_command_says_what_is_wrong():
    done = run("drift", "--from", "0")
    assert done.exit_code == 2
    assert "must run from one above 0 to a larger one, found 0 to 1e+12" in done.stderr
