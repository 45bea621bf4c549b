"""Calibration: it passes what is right, catches what is wrong, and says what it cannot see.

Statistical tests pass for any seed: a p-value below 1e-6, after Holm, is what five standard errors
are for a mean.
"""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from small_grammars import post_like, uncertain
from small_models import family, known_facts, lognormal, prior, two_sided
from typer.testing import CliRunner

import bayes_mesa as bm
from bayes_mesa.calibration import program_simulation
from bayes_mesa.calibration.calibrating import Interrupted
from bayes_mesa.calibration.calibration_result import Calibration
from bayes_mesa.calibration.job import Job
from bayes_mesa.calibration.power import chance, power, rank_shares
from bayes_mesa.calibration.uniformity import (
    Uniformity,
    adjusted,
    band,
    distribution,
    places,
    ranks,
)
from bayes_mesa.domain.model import Selection
from bayes_mesa.errors import InputError, RefusedError

SURE = 1e-6
FAMILIES = (
    family("linear", rate=lognormal(3.0, 1.0)),
    family("levin", kappa=lognormal(0.0, 0.5)),
    family("power", rate=lognormal(3.0, 1.0), exponent=prior("LogNormal", 0.3, 0.3, low=1.0)),
)
COSTS = (
    (lognormal(1.0, 0.5), lognormal(3.0, 1.0)),
    (lognormal(1.5, 0.5), lognormal(2.0, 1.0)),
)
FACTS = known_facts([1.0, 2.5, 0.7, 3.1], [12.0, 30.0, 4.0, 21.0])


def with_facts(**parts):
    parts = {"selection": Selection(lognormal(0.0, 0.3)), "facts": FACTS} | parts
    return two_sided(*COSTS, FAMILIES, **parts)


def tied_facts():
    """Facts that need one another, under a cap: nothing factorises."""
    needs = known_facts(FACTS_BITS, FACTS_STEPS, {"honest": 2.0}, ((), (0,), (0, 1), ()))
    return with_facts(facts=needs, selection=Selection(lognormal(0.0, 0.3), 1.0, 90.0))


FACTS_BITS, FACTS_STEPS = [1.0, 2.5, 0.7, 3.1], [12.0, 30.0, 4.0, 21.0]


# --- ranks and their tests -----------------------------------------------------------------------


def test_a_rank_counts_what_lies_below_and_breaks_ties_at_random():
    rng = np.random.default_rng(42)
    assert ranks(2.5, np.array([1.0, 2.0, 3.0, 4.0]), rng) == 2
    assert ranks(0.0, np.array([1.0, 2.0]), rng) == 0
    assert ranks(9.0, np.array([1.0, 2.0]), rng) == 2
    tied = [ranks(1.0, np.array([0.0, 1.0, 1.0, 5.0]), rng) for _ in range(3000)]
    counts = np.bincount(tied, minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert np.all(np.abs(counts[1:4] - 1000) < 5 * np.sqrt(3000 * 2 / 9))


def test_nan_is_one_value_below_all_others():
    rng = np.random.default_rng(42)
    nan, none = np.nan, np.full(3, np.nan)
    assert ranks(-np.inf, np.array([1.0, 2.0]), rng) == 0
    assert ranks(1.0, none, rng) == 3
    assert {ranks(nan, none, rng) for _ in range(200)} == {0, 1, 2, 3}
    assert ranks(np.inf, np.array([1.0, nan]), rng) == 2


def test_places_are_uniform_whatever_the_number_of_draws_is():
    assert places(np.array([0, 9]), np.array([9, 9]), np.array([0.5, 1.0])).tolist() == [0.05, 1.0]


def test_shift_and_width_by_hand():
    found = Uniformity.of(np.array([0.75, 0.75, 0.75, 0.75]))
    assert found.shift == pytest.approx(2.0 * np.sqrt(3.0) * 0.5)
    assert found.width == pytest.approx(2.0 * np.sqrt(5.0) * (3.0 * 0.25 - 1.0) / 2.0)
    ends = Uniformity.of(np.array([0.0, 1.0] * 50))
    assert ends.shift == pytest.approx(0.0)
    assert ends.width == pytest.approx(10.0 * np.sqrt(5.0))
    assert ends.test == "width"
    assert ends.spread < 0.1


def test_holm_by_hand():
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([0.9, 0.5]) == pytest.approx([1.0, 1.0])
    assert adjusted([]) == []


def test_a_band_holds_the_whole_curve_as_often_as_it_says():
    rng = np.random.default_rng(42)
    found = band(200, 0.9)
    inside = []
    for _ in range(400):
        y = distribution(rng.random(200), found.x)
        inside.append(np.all((y >= found.lower) & (y <= found.upper)))
    # Steps of 1/200 make the band a little wider than asked for.
    error = 5 * np.sqrt(0.9 * 0.1 / 400)
    assert 0.9 - error < np.mean(inside) < 0.95 + error


# --- what is caught ------------------------------------------------------------------------------


def toy(size, posterior, seed=42, draws=99):
    """theta ~ N(0, 1), y ~ N(theta, 1); ``posterior(y, rng)`` gives draws of theta."""
    rng = np.random.default_rng(seed)
    rank = np.empty((size, 2), np.int64)
    for k in range(size):
        theta = rng.standard_normal()
        y = theta + rng.standard_normal()
        drawn = posterior(y, rng, draws)
        rank[k, 0] = ranks(theta, drawn, rng)
        rank[k, 1] = ranks(-((y - theta) ** 2), -((y - drawn) ** 2), rng)
    data = xr.Dataset(
        {
            "rank": (("simulation", "quantity"), rank),
            "uniform": (("simulation", "quantity"), rng.random((size, 2))),
            "draws": ("simulation", np.full(size, draws)),
            "error": ("simulation", np.full(size, "")),
        },
        coords={
            "quantity": ["theta", "log_likelihood"],
            "family": ("simulation", np.full(size, "linear")),
        },
        attrs=dict.fromkeys(("model", "model_sha256", "truth"), "")
        | {"of": "fit", "seed": seed, "num_draws": draws},
    )
    return Calibration(data, SURE)


def normal(mean, sd):
    return lambda y, rng, size: mean * y + sd * rng.standard_normal(size)


RIGHT = normal(0.5, np.sqrt(0.5))


def test_a_right_posterior_passes():
    found = toy(3000, RIGHT)
    assert found.passed, found.text
    assert found.verdict.startswith("Calibrated: in 3,000 simulations none of 2 quantities is off")


@pytest.mark.parametrize(
    ("wrong", "quantity", "said"),
    [
        (normal(0.5, 1.15 * np.sqrt(0.5)), "theta", "too wide"),
        (normal(0.5, np.sqrt(0.5) / 1.15), "theta", "too narrow"),
        # The prior counted twice: precision 2 of the prior and 1 of the datum.
        (normal(1 / 3, np.sqrt(1 / 3)), "theta", "too narrow"),
        (lambda *a: RIGHT(*a) + 0.15, "theta", "too high"),
        # The data forgotten: only a quantity of the data sees that (Modrák et al. 2023).
        (normal(0.0, 1.0), "log_likelihood", "too low"),
    ],
)
def test_a_wrong_posterior_is_caught(wrong, quantity, said):
    found = toy(3000, wrong)
    assert not found.passed
    assert quantity in found.faults
    assert said in found.verdict.partition(f"{quantity}: ")[2].partition(";")[0]


def test_what_ignores_the_data_looks_right_but_for_the_joint_likelihood():
    assert toy(3000, normal(0.0, 1.0)).faults == ["log_likelihood"]


def test_the_size_of_an_error_is_told():
    wide = toy(3000, normal(0.5, 1.2 * np.sqrt(0.5))).tests["theta"]
    assert wide.spread == pytest.approx(1.2, abs=0.06)
    high = toy(3000, lambda *a: RIGHT(*a) + 0.3 * np.sqrt(0.5)).tests["theta"]
    assert high.bias == pytest.approx(0.3, abs=0.1)


def test_power_is_that_of_simulated_calibrations():
    rng = np.random.default_rng(42)
    for sd, shift, test in ((1.1, 0.0, "width"), (1 / 1.1, 0.0, "width"), (1.0, 0.1, "shift")):
        shares = rank_shares(99, sd, shift)
        assert shares.sum() == pytest.approx(1.0)
        rank = rng.choice(100, size=(200, 1000), p=shares)
        x = (rank + rng.random(rank.shape)) / 100
        u = 2.0 * x - 1.0
        terms = {"shift": np.sqrt(3.0) * u, "width": np.sqrt(5.0) * (3.0 * u * u - 1.0) / 2.0}
        caught = np.mean(np.abs(terms[test].mean(axis=1)) * np.sqrt(1000) > 2.5758293)
        told = chance(1000, 99, 0.01, sd=sd, shift=shift)[test]
        assert caught == pytest.approx(told, abs=5 * np.sqrt(told * (1 - told) / 200))


def test_an_error_of_a_tenth_of_the_sd():
    # Pearson's chi² on 20 bins, at 1 %, catches it 3 times in 10 with 1000 simulations and nearly
    # always with 3000; the test of the width 8 times in 10, and always.
    assert chance(1000, 99, 0.01, sd=1.1)["width"] == pytest.approx(0.847, abs=0.01)
    assert chance(3000, 99, 0.01, sd=1.1)["width"] > 0.999
    told = power(3000, 99, 10, 0.01)
    assert 0.04 < told.too_wide_50 < told.too_wide_90 < 0.1
    assert 0.04 < told.too_narrow_50 < told.too_narrow_90 < told.too_wide_90
    assert 0.05 < told.shift_50 < told.shift_90 < 0.12


def test_few_simulations_see_nothing_and_say_so():
    found = toy(10, RIGHT)
    assert not found.passed
    assert "Nothing can be said" in found.verdict
    told = power(1, 99, 10, 0.01)
    assert np.isinf(told.shift_50)
    assert told.as_dict()["shift_50"] is None


# --- samplers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["exact", "tempered"])
def test_a_sampler_passes_and_bytes_do_not_depend_on_workers(of):
    model = with_facts()
    found, other = (
        bm.calibrate(model, of=of, num_simulations=60, seed=42, workers=w) for w in (1, 2)
    )
    assert found.data.identical(other.data)
    assert min(found.p_values.values()) > SURE
    assert list(found.tests) == ["structure", "bits", "steps", "log_weight", "stored"]
    assert "list of all programs" in found.data.attrs["truth"]


def test_a_sampler_at_the_wrong_pressure_is_caught(monkeypatch):
    right = program_simulation._exact_draws

    def wrong(job, chosen, theta, *rest):
        return right(job, chosen, theta | {"pressure": 0.5 * theta["pressure"]}, *rest)

    monkeypatch.setattr(program_simulation, "_exact_draws", wrong)
    found = bm.calibrate(with_facts(), of="exact", num_simulations=200, seed=42, level=SURE)
    assert "log_weight" in found.faults, found.text


def test_tempered_chains_where_nothing_factorises():
    found = bm.calibrate(tied_facts(), of="tempered", num_simulations=40, seed=42)
    assert min(found.p_values.values()) > SURE
    assert found.num_simulations == 40


def test_what_is_interrupted_goes_on_to_the_same_result(tmp_path):
    model = with_facts()
    settings = {"of": "exact", "num_simulations": 120, "seed": 42, "workers": 1}
    whole = bm.calibrate(model, **settings)

    def stop(stage, done, total):
        if done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="50 of 120 simulations were finished") as caught:
        bm.calibrate(model, **settings, checkpoint=tmp_path / "parts", progress=stop)
    assert caught.value.partial.num_simulations == 50
    asked = []
    again = bm.calibrate(
        model,
        **settings,
        checkpoint=tmp_path / "parts",
        resume=True,
        progress=lambda stage, done, total: asked.append(done),
    )
    assert asked == [100, 120]
    assert again.data.identical(whole.data)
    other = settings | {"seed": 1}
    with pytest.raises(InputError, match="seed is 1 where it was 42"):
        bm.calibrate(model, **other, checkpoint=tmp_path / "parts", resume=True)


def test_a_job_that_travels_is_one_object_in_the_other_process():
    job = Job("exact", with_facts(), 1, 99, {})
    packed = pickle.dumps(job)
    assert pickle.loads(packed) is pickle.loads(packed)
    assert program_simulation.simulate_exact(job, 3) == program_simulation.simulate_exact(
        pickle.loads(packed), 3
    )


def test_what_cannot_be_calibrated_is_refused():
    model = with_facts()
    for settings, said in (
        (
            {"of": "nothing"},
            "of must be one of fit, average, exact, tempered, transitions",
        ),
        ({"of": "exact", "num_simulations": 0}, "num_simulations must be a whole number >= 1"),
        ({"of": "exact", "num_draws": 5}, "num_draws must be a whole number >= 9"),
        ({"of": "exact", "level": 1}, "level must be a number between 0 and 1"),
        ({"of": "exact", "design": {}}, "design must be left out where exact is calibrated"),
        ({"of": "exact", "seed": -1}, "seed must be a whole number >= 0"),
        ({"num_rounds": 0, "of": "transitions"}, "num_rounds must be >= 1"),
    ):
        with pytest.raises(InputError, match=said):
            bm.calibrate(model, **settings)
    with pytest.raises(InputError, match="model must be a Model"):
        bm.calibrate("speed_simplicity")
    with pytest.raises(InputError, match="evidence, or an uncertain cost"):
        bm.calibrate(two_sided((1.0, 2.0), (2.0, 1.0)))
    with pytest.raises(RefusedError, match="facts need one another"):
        bm.calibrate(tied_facts(), of="exact")
    many = known_facts([1.0] * 20, [2.0] * 20, needs=((), (0,), *((),) * 18))
    with pytest.raises(RefusedError, match="another route to a true program"):
        bm.calibrate(with_facts(facts=many), of="tempered")


def test_simulations_that_fail_are_told(monkeypatch):
    right = program_simulation._theta

    def sometimes(model, chosen, stream):
        if chosen.name == "levin":
            raise InputError("levin must fail here")
        return right(model, chosen, stream)

    monkeypatch.setattr(program_simulation, "_theta", sometimes)
    found = bm.calibrate(with_facts(), of="exact", num_simulations=90, seed=42)
    assert (found.num_simulations, found.passed) == (60, False)
    assert found.failed == {"levin must fail here": 30}
    assert "30 simulations failed, 30 of them because levin must fail here" in found.text
    alone = replace(with_facts(), families=(FAMILIES[1],))
    with pytest.raises(InputError, match="all 60 did: levin must fail here"):
        bm.calibrate(alone, of="exact", num_simulations=60)


# --- the average over families -------------------------------------------------------------------


def two_families(**parts):
    """Nothing is uncertain but the family, of which the weights are not equal."""
    linear, levin = family("linear", 0.7, rate=60.0), family("levin", 0.3, kappa=1.2)
    return two_sided((3.0, 9.0), (5.0, 2.0), (linear, levin), **parts)


def chosen_ten_times():
    from test_recovery import choices

    return {"e": choices(10, 6)}


def test_truths_of_an_average_are_of_families_by_weight():
    job = Job("average", two_families(), 42, 99, {})
    drawn = [job.family(k).name for k in range(2000)]
    assert drawn.count("linear") == pytest.approx(1400, abs=5 * np.sqrt(2000 * 0.21))
    assert [Job("fit", two_families(), 42, 99, {}).family(k).name for k in (0, 1, 2)] == [
        "linear", "levin", "linear",
    ]  # fmt: skip


def test_an_average_ranks_the_family_and_what_families_share():
    model = replace(two_families(), components=with_facts().components)
    found = bm.calibrate(
        model, chosen_ten_times(), of="average", num_simulations=5, num_samples=99, seed=42
    )
    assert not found.failed
    names = ["family", "bits.a", "bits.b", "steps.a", "steps.b"]
    names += ["log_likelihood", "deceptive_mass", "margin_bits"]
    assert found.data["quantity"].to_numpy().tolist() == names


@pytest.mark.slow
def test_the_average_where_only_the_family_is_uncertain():
    found = bm.calibrate(
        two_families(), chosen_ten_times(), of="average", num_simulations=600, seed=42
    )
    passes(found, "average, known parameters")
    assert list(found.tests) == ["family", "log_likelihood", "deceptive_mass", "margin_bits"]


@pytest.mark.slow
def test_the_average_with_all_parameters_uncertain():
    model = two_sided(*COSTS, FAMILIES, selection=Selection(lognormal(0.0, 0.5)))
    passes(bm.calibrate(model, chosen_ten_times(), of="average", seed=42), "average")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "seen_in"),
    [(np.zeros_like, "log_likelihood"), (np.flip, "family")],
    ids=["as before the evidence", "of each other"],
)
def test_wrong_weights_of_families_are_caught(wrong, seen_in, monkeypatch):
    from bayes_mesa.inference import results

    right = results.family_probabilities
    monkeypatch.setattr(
        results, "family_probabilities", lambda w, value, error: right(w, wrong(value), error)
    )
    found = bm.calibrate(
        two_families(),
        chosen_ten_times(),
        of="average",
        num_simulations=300,
        seed=42,
        level=SURE,
    )
    assert seen_in in found.faults, found.text


# --- figure and command --------------------------------------------------------------------------


def test_the_figure_has_a_panel_for_each_quantity():
    found = Calibration(toy(300, normal(0.5, 3.0)).data)
    figure, axes = bm.plot_calibration(found, labels={"theta": "cost $x$"})
    assert len(axes) == 2
    assert "cost" in axes[0].get_title()
    assert "too wide" in axes[0].get_title()
    figure.canvas.draw()
    _, axes = bm.plot_calibration(found, coords={"quantity": "log_likelihood"})
    assert len(axes) == 1
    with pytest.raises(InputError, match="quantity"):
        bm.plot_calibration(found, coords={"quantity": "nothing"})
    with pytest.raises(InputError, match="too few"):
        bm.plot_calibration(toy(5, RIGHT))


def test_all_that_can_be_calibrated_has_its_command_and_words():
    from bayes_mesa.calibration.calibrating import SIMULATIONS
    from bayes_mesa.interface.calibrate_command import Of
    from bayes_mesa.interface.calibration_text import SAID

    assert [x.value for x in Of] == list(SIMULATIONS) == list(SAID)


def test_the_command_writes_what_it_found(tmp_path):
    from bayes_mesa.interface.cli import app

    out = tmp_path / "out"
    command = ["calibrate", "speed_simplicity", "--of", "exact", "--simulations", "24"]
    done = CliRunner().invoke(app, [*command, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["num_simulations"] == 24
    assert set(found["quantities"]) == {"structure", "bits", "steps", "log_weight"}
    assert sorted(p.name for p in out.iterdir()) == [
        "calibration.json", "calibration.nc", "calibration.png",
    ]  # fmt: skip
    again = CliRunner().invoke(app, [*command, "--out", str(out)])
    assert (again.exit_code, "--force replaces them" in again.output) == (2, True)
    alone = CliRunner().invoke(app, [*command, "--resume"])
    assert (alone.exit_code, "--resume needs --out" in alone.output) == (2, True)
    shown = CliRunner().invoke(app, [*command, "--workers", "1"])
    assert "Nine times in ten this catches" in shown.output
    assert "The sampler of independent exact draws" in shown.output


# --- the slow suite ------------------------------------------------------------------------------


def passes(found, name):
    told = found.power
    print(
        f"\n{name}: {found.num_simulations} simulations, {len(found.tests)} quantities, smallest "
        f"p {min(found.p_values.values()):.2g}; at 1 % they catch, nine times in ten, "
        f"{told.too_wide_90:.1%} too wide, {told.too_narrow_90:.1%} too narrow, "
        f"{told.shift_90:.2g} sd off"
    )
    assert not found.failed
    assert min(found.p_values.values()) > SURE, found.text


@pytest.mark.slow
@pytest.mark.parametrize("of", ["exact", "tempered"])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(with_facts, id="facts"),
        pytest.param(tied_facts, id="tied facts under a cap"),
        pytest.param(lambda: uncertain(post_like(), 0.3), id="grammar"),
    ],
)
def test_samplers_over_3000_simulations(model, of):
    model = model()
    if of == "exact" and any(model.facts.needs):
        pytest.skip("nothing factorises")
    passes(bm.calibrate(model, of=of, num_simulations=3000, seed=42), of)


def cases():
    from test_recovery import CASES

    return CASES


@pytest.mark.slow
def test_processes_give_the_same_bytes():
    pytest.importorskip("distributed")
    settings = {"of": "tempered", "num_simulations": 120, "seed": 42}
    here = bm.calibrate(with_facts(), **settings)
    there = bm.calibrate(with_facts(), **settings, scheduler="local", workers=2)
    assert here.data.identical(there.data)
    model, design, _ = cases()["choice, levin"]
    settings = {"num_simulations": 40, "scheduler": "local", "workers": 2}
    assert not bm.calibrate(model, {"e": design}, **settings).failed


@pytest.mark.slow
@pytest.mark.parametrize("case", list(cases()))
def test_fits_over_600_simulations(case):
    model, design, _ = cases()[case]
    passes(bm.calibrate(model, {"e": design}, num_simulations=600, seed=42), case)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["choice, linear", "choice, levin", "choice, power", "selection"])
def test_transitions_leave_the_joint_distribution_alone(case):
    model, design, _ = cases()[case]
    settings = {"of": "transitions", "num_simulations": 600, "seed": 42}
    passes(bm.calibrate(model, {"e": design}, **settings), case)


def prior_twice(monkeypatch):
    """The prior of every slot counted twice by NUTS, and once by what draws truths."""
    import numpyro

    from bayes_mesa.domain.site_distribution import site_distribution
    from bayes_mesa.domain.slots import slots
    from bayes_mesa.inference import inference

    right = inference.sample_slots

    def wrong(model, found, sampled):
        values = right(model, found, sampled)
        for slot in slots(model, model.families[0]):
            if slot.name in sampled:
                numpyro.factor(
                    f"{slot.name} again", site_distribution(slot).log_prob(values[slot.name])
                )
        return values

    monkeypatch.setattr(inference, "sample_slots", wrong)


@pytest.mark.slow
@pytest.mark.parametrize("of", ["fit", "transitions"])
def test_a_prior_counted_twice_is_caught(of, monkeypatch):
    model, design, _ = cases()["choice, levin"]
    prior_twice(monkeypatch)
    # Another object: what was compiled for the model as it is must not serve.
    found = bm.calibrate(replace(model), {"e": design}, of=of, num_simulations=300, level=SURE)
    assert found.faults, found.text
    print("\n", found.verdict)


def test_a_calibration_killed_while_it_writes_goes_on(tmp_path, monkeypatch):
    from bayes_mesa.interface.cli import app

    out = tmp_path / "out"
    command = ["calibrate", "speed_simplicity", "--of", "exact", "--simulations", "9"]
    command += ["--out", str(out), "--quiet"]

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bayes_mesa.interface.calibrate_command.clear_parts", killed)
        assert CliRunner().invoke(app, command).exit_code == 130
    written = (out / "calibration.nc").read_bytes()
    done = CliRunner().invoke(app, [*command, "--resume"])
    assert done.exit_code == 0, done.output
    assert (out / "calibration.nc").read_bytes() == written
    assert not (out / "parts").exists()
    again = CliRunner().invoke(app, [*command, "--resume"])
    assert (again.exit_code, again.output) == (0, done.output)
    assert (out / "calibration.nc").read_bytes() == written
    other = CliRunner().invoke(app, [*command, "--resume", "--seed", "1"])
    assert other.exit_code == 2
    assert "seed is 1 where it was 0: name another folder, or start anew" in other.output
