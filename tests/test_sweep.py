"""Sweeps: fields of the model file over a grid, the same bytes however they are computed."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayes_mesa as bm
from bayes_mesa.errors import InputError, ModelFileError, ResultFileError
from bayes_mesa.interface.cli import app
from bayes_mesa.sweeps import sweeping
from bayes_mesa.sweeps.field_range import field_ranges, literal
from bayes_mesa.sweeps.template import template

FEW = {"num_samples": 20, "num_chains": 2, "seed": 3}
RATE, BITS = "exchange.linear.rate", "components.get_base_obj.bits"
GRID = {RATE: "1e-2:1e6:log:3", BITS: [10.0, 1e3, 1e5]}
MODELS = Path(bm.load_model("speed_simplicity").origin).parent


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("swept")


@pytest.fixture(scope="module")
def swept(folder):
    return bm.sweep("speed_simplicity", GRID, out=folder, workers=1, **FEW)


# --- fields and their values --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("1e-2:1e2:log:5", (0.01, 0.1, 1.0, 10.0, 100.0)),
        ("8:1:log:4", (8.0, 4.0, 2.0, 1.0)),
        ("-1:1:lin:5", (-1.0, -0.5, 0.0, 0.5, 1.0)),
        ("1,2.5, 1e3", (1.0, 2.5, 1000.0)),
        ("true,false", (True, False)),
        ("base,other", ("base", "other")),
        (np.array([1, 2]), (1.0, 2.0)),
        (range(2), (0.0, 1.0)),
    ],
)
def test_ranges(given, values):
    assert field_ranges({"a.b": given})[0].values == values


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "over must name at least one field"),
        ({"a": [1]}, "a field must be a dotted name"),
        ({"a..b": [1]}, "a field must be a dotted name"),
        ({"a.b/c": [1]}, "a field must be a dotted name"),
        ({"a.b": []}, "a.b: must have at least one value, found none"),
        ({"a.b": 3}, "a.b: must have a list of values or a range, found 3"),
        ({"a.b": [1, "x"]}, "a.b: the values must be of one kind"),
        ({"a.b": [1, 1.0]}, "a.b: the values must differ, found 1 twice"),
        ({"a.b": [1.0, float("nan")]}, "a.b: the values must be finite"),
        ({"a.b": [None]}, "a.b: the values must be numbers, texts, or true and false"),
        ({"a.b": "0:1:log:3"}, "a.b: a range must be FROM:TO:log:N"),
        ({"a.b": "1:1:log:3"}, "a.b: a range must be FROM:TO:log:N"),
        ({"a.b": "1:2:log:1"}, "a.b: a range must be FROM:TO:log:N"),
        ({"a.b": "1:2:cubic:3"}, "a.b: a range must be FROM:TO:log:N"),
        ({"a.b": range(2000), "a.c": range(2000)}, "at most 1,000,000 points, found 2000 × 2000"),
    ],
)
def test_ranges_that_cannot_be(over, message):
    with pytest.raises(InputError, match=message):
        field_ranges(over)


def test_literals_are_toml():
    assert [literal(x) for x in (4.0, 0.1, 1e300, True, 'a"b')] == [
        "4",
        "0.1",
        "1e+300",
        "true",
        '"a\\"b"',
    ]


@pytest.mark.parametrize(
    ("field", "units"),
    [
        (RATE, "steps per bit"),
        (f"{BITS}.q95", "bits"),
        ("components.combine.steps", "steps per episode"),
        ("facts.steps", "steps per derivation"),
        ("selection.cap", "steps per episode"),
        ("structures.*.multiplicity", "programs"),
        ("correlations[0].rho", ""),
    ],
)
def test_units(field, units):
    assert field_ranges({field: [1]})[0].units == units


# --- the text with other values -----------------------------------------------------------------


def filled(text, over):
    fields = field_ranges(over)
    return template(text, fields).filled([literal(f.values[0]) for f in fields])


def test_only_the_fields_change_in_the_text():
    text = (MODELS / "speed_simplicity.toml").read_text()
    new = filled(text, {f"{BITS}.q95": [7], RATE: [0.5], "selection.pressure": [2]})
    before, after = text.splitlines(), new.splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert changed == [
        ("bits  = { q05 = 1e2, q95 = 1e5 }", "bits  = { q05 = 1e2, q95 = 7 }"),
        ("rate = { q05 = 1e-2, q95 = 1e6 }", "rate = 0.5"),
        ('pressure = { dist = "LogNormal", loc = 0.0, scale = 0.5 }', "pressure = 2"),
    ]


def test_every_entry_a_list_and_what_the_file_leaves_out():
    text = '[structures.a]\ntrain = "x"\n[structures.b]\n[[correlations]]\nrho = 0.1\n'
    over = {"structures.*.multiplicity": [3], "correlations[0].rho": [0.5], "selection.cap": [9]}
    for name in ("\n", "\r\n"):
        new = filled(text.replace("\n", name), over)
        assert new.count("multiplicity = 3") == 2
        assert "rho = 0.5" in new
        assert "cap = 9" in new
    assert "bits = 2" in filled(
        "[components.a.bits]\nq05 = 1\nq95 = 2\n", {"components.a.bits": [2]}
    )


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"components.nope.bits": [1]}, "components.nope leads nowhere: known are get_base_obj"),
        ({"exchange.linaer.rate": [1]}, "did you mean linear"),
        ({f"{BITS}.q05.x": [1]}, "leads nowhere: it is 100 there"),
        ({"constraints[4].at_least": ["x"]}, "it has 1 entries, counted from 0"),
        ({BITS: [1], f"{BITS}.q05": [1]}, "must not be swept at once: one holds the other"),
        ({"components.combine.bitz": [1]}, "found an unknown key; did you mean bits"),
        ({f"{BITS}.median": [1]}, "found an unknown key"),
    ],
)
def test_fields_that_the_file_does_not_know_are_refused_before_anything_runs(over, message):
    with pytest.raises(InputError, match=message):
        bm.sweep("speed_simplicity", over, **FEW)


# --- what is computed ---------------------------------------------------------------------------


def test_a_point_is_what_a_fit_of_the_edited_file_says(swept, tmp_path):
    text = (MODELS / "speed_simplicity.toml").read_text()
    edited = tmp_path / "edited.toml"
    edited.write_text(
        text.replace("bits  = { q05 = 1e2, q95 = 1e5 }", "bits = 1e5", 1).replace(
            "rate = { q05 = 1e-2, q95 = 1e6 }", "rate = 100", 1
        )
    )
    summary = bm.summarize(bm.fit(bm.load_model(edited), **FEW))
    point = swept.sel({BITS: 1e5, RATE: 100.0})  # off the diagonal
    for name in ("mean", "mcse", "lower", "upper"):
        at = point.sel(figure=name)
        assert at["deceptive_favored"] == summary["deceptive_favored"][name]
        assert at["deceptive_mass"] == summary["deceptive_mass"][name]
        for family, figures in summary["by_exchange"].items():
            assert at["family_deceptive_mass"].sel(family=family) == figures["deceptive_mass"][name]
        for structure, figures in summary["structures"].items():
            assert at["structure_mass"].sel(structure=structure) == figures["mass"][name]
        assert at["class_mass"].sel({"class": "honest"}) == summary["class_mass"]["honest"][name]
    assert point["critical_kappa"].sel(critical="median") == summary["critical_kappa"]["median"]


def test_the_grid_and_what_it_says_of_itself(swept):
    assert swept["deceptive_favored"].dims == (RATE, BITS, "figure")
    assert swept[RATE].attrs["units"] == "steps per bit"
    assert swept[BITS].to_numpy().tolist() == [10.0, 1e3, 1e5]
    assert swept["critical_rate"].attrs["units"].startswith("steps per bit")
    assert swept.attrs["seed"] == 3
    assert swept.attrs["model_text"] == (MODELS / "speed_simplicity.toml").read_text()
    assert set(json.loads(swept.attrs["versions"])) >= {"bayes_mesa", "numpy"}
    assert not swept["error"].to_numpy().any()


def test_the_random_numbers_are_the_same_at_every_point(swept):
    # Under levin and power nothing depends on the linear rate: not even a draw may differ.
    others = swept["family_deceptive_mass"].sel(family=["levin", "power"])
    assert (others == others.isel({RATE: 0})).all()
    # A dearer thing that honest programs store only helps deceptive ones: no draw goes back.
    mean = swept["deceptive_favored"].sel(figure="mean")
    assert (mean.diff(BITS) >= 0).all()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(sweeping, "_BLOCK", 2)


def test_threads_and_blocks_change_no_byte(swept, folder, tmp_path, small_blocks):
    found = bm.sweep("speed_simplicity", GRID, out=tmp_path, workers=3, **FEW)
    assert found.identical(swept)
    assert digest(tmp_path / "sweep.nc") == digest(folder / "sweep.nc")
    assert os.listdir(tmp_path) == ["sweep.nc"]


def test_the_file_opens_here_and_in_other_programs(swept, folder):
    assert bm.open_sweep(folder).identical(swept)
    with xr.open_dataset(folder / "sweep.nc", engine="h5netcdf") as plain:
        assert (plain["deceptive_mass"] == swept["deceptive_mass"]).all()


def test_text_values_and_a_model_that_is_a_path(tmp_path):
    found = bm.sweep(
        MODELS / "speed_simplicity.toml",
        {"structures.slow_deceptive.deploy": "base,simplest"},
        **FEW,
    )
    mass = found["deceptive_mass"].sel(figure="mean")
    assert mass.dims == ("structures.slow_deceptive.deploy",)
    assert mass.sel({mass.dims[0]: "base"}) < mass.sel({mass.dims[0]: "simplest"})


# --- points that fail ---------------------------------------------------------------------------

POISONED = {f"{BITS}.q05": [1.0, 1e6], RATE: [1.0, 10.0]}


def test_a_point_that_fails_fails_alone_and_is_named():
    with pytest.warns(UserWarning, match="2 of 4 points of the sweep have no figures") as caught:
        found = bm.sweep("speed_simplicity", POISONED, **FEW)
    said = str(caught[0].message)
    assert f"{BITS}.q05 = 1e+06, {RATE} = 10: " in said
    assert "internal error" not in said
    assert "speed_simplicity.toml:17: components.get_base_obj.bits.q95: must exceed q05" in said
    bad = found.sel({f"{BITS}.q05": 1e6})
    assert bad["deceptive_mass"].isnull().all()
    assert (bad["error"] != "").all()
    good = found.sel({f"{BITS}.q05": 1.0})
    assert good["deceptive_mass"].notnull().all()
    assert (good["error"] == "").all()
    alone = bm.sweep("speed_simplicity", {f"{BITS}.q05": [1.0], RATE: [10.0]}, **FEW)
    assert np.array_equal(alone["deceptive_mass"][0, 0], good["deceptive_mass"][1])


def test_a_sweep_of_nothing_but_faults_is_an_error():
    with pytest.raises(InputError, match="every point of the sweep failed, the first of them so"):
        bm.sweep("speed_simplicity", {"exchange.linear.rate": [-1.0, -2.0]}, **FEW)


def test_a_model_that_is_faulty_itself_is_told_as_such(tmp_path):
    path = tmp_path / "faulty.toml"
    path.write_text("[model]\nname = 'a'\n")
    with pytest.raises(ModelFileError):
        bm.sweep(path, GRID, **FEW)


# --- what is on the disk ------------------------------------------------------------------------


def interrupted_after(blocks, monkeypatch):
    """Let the sweep be interrupted once so many blocks are kept."""
    original = sweeping.block_dataset
    count = 0

    def counting(*args):
        nonlocal count
        count += 1
        if count > blocks:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(sweeping, "block_dataset", counting)
    return original


def test_an_interrupted_sweep_goes_on_to_the_same_bytes(
    swept, folder, tmp_path, monkeypatch, small_blocks
):
    original = interrupted_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt, match=r"6 of 9 points are in .*: --resume goes on"):
        bm.sweep("speed_simplicity", GRID, out=tmp_path, workers=1, **FEW)
    monkeypatch.setattr(sweeping, "block_dataset", original)
    with pytest.raises(InputError, match="--resume goes on from them, --force starts anew"):
        bm.sweep("speed_simplicity", GRID, out=tmp_path, **FEW)
    with pytest.raises(InputError, match="settings.seed is 4 where it was 3"):
        bm.sweep("speed_simplicity", GRID, out=tmp_path, resume=True, **{**FEW, "seed": 4})
    part = sorted((tmp_path / "sweep.parts").glob("*.nc"))[1]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 4
    part.write_bytes(data)
    steps = []
    with pytest.warns(UserWarning, match="is damaged"):
        bm.sweep(
            "speed_simplicity",
            GRID,
            out=tmp_path,
            resume=True,
            workers=2,
            progress=lambda *step: steps.append(step[1]),
            **FEW,
        )
    # Four points stood: nothing that was finished and whole is computed twice.
    assert min(steps) in (5, 6)
    assert digest(tmp_path / "sweep.nc") == digest(folder / "sweep.nc")


def test_a_finished_sweep_is_kept(tmp_path, monkeypatch):
    few = {RATE: [1.0, 2.0]}
    first = bm.sweep("speed_simplicity", few, out=tmp_path, **FEW)
    with pytest.raises(InputError, match=r"must hold no sweep, found sweep.nc; --force"):
        bm.sweep("speed_simplicity", few, out=tmp_path, **FEW)
    with pytest.raises(InputError, match="over.exchange.linear.rate"):
        bm.sweep("speed_simplicity", {RATE: [1.0]}, out=tmp_path, resume=True, **FEW)
    monkeypatch.setattr(sweeping, "run_tasks", None)  # nothing is computed again
    assert bm.sweep("speed_simplicity", few, out=tmp_path, resume=True, **FEW).identical(first)
    monkeypatch.undo()
    assert (
        bm.sweep("speed_simplicity", {RATE: [1.0]}, out=tmp_path, force=True, **FEW).sizes[RATE]
        == 1
    )


def test_files_that_are_no_sweep(tmp_path):
    with pytest.raises(ResultFileError):
        bm.open_sweep(tmp_path)
    bm.save_posterior(bm.fit(bm.load_model("speed_simplicity"), {}, **FEW), tmp_path / "p.nc")
    with pytest.raises(ResultFileError, match="holds no sweep"):
        bm.open_sweep(tmp_path / "p.nc")


# --- the command --------------------------------------------------------------------------------

SMALL = ("--draws", "20", "--chains", "2", "--seed", "3", "--workers", "1")


def command(*words):
    return CliRunner().invoke(app, ["sweep", "speed_simplicity", *words])


def test_the_command_writes_and_tells(tmp_path):
    done = command("--over", f"{RATE}=1e-2:1e8:log:2", "--out", str(tmp_path), *SMALL)
    assert done.exit_code == 0, done.output
    assert "2 points" in done.output
    assert "P(deceptive favored)" in done.output
    assert sorted(os.listdir(tmp_path)) == ["sweep.nc", "sweep.png"]
    over = ("--over", f"{RATE}=1,2", "--over", f"{BITS}=3,4")
    done = command(*over, "--out", str(tmp_path), "--force", "--json", "--quiet", *SMALL)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["points"] == 4
    assert np.shape(found["deceptive_favored"]["mean"]) == (2, 2)


def test_the_command_names_what_failed_and_ends_well(tmp_path):
    over = [
        w for name, v in POISONED.items() for w in ("--over", f"{name}={','.join(map(str, v))}")
    ]
    done = command(*over, "--out", str(tmp_path), "--json", "--quiet", *SMALL)
    assert done.exit_code == 0
    assert "2 of 4 points of the sweep have no figures" in done.stderr
    found = json.loads(done.stdout)
    assert [f["at"] for f in found["failed"]] == [
        {f"{BITS}.q05": 1e6, RATE: 1.0},
        {f"{BITS}.q05": 1e6, RATE: 10.0},
    ]
    assert found["deceptive_favored"]["mean"][1] == [None, None]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--over", "exchange.linear.rate"), "--over must be FIELD=VALUES"),
        (("--over", f"{RATE}=1", "--over", f"{RATE}=2"), "found exchange.linear.rate twice"),
        (("--over", "a.b=1"), "a leads nowhere: known are model"),
        (("--over", f"{RATE}=1", "--resume", "--force"), "give one of them"),
        (("--over", f"{RATE}=1", "--scheduler", "here"), "cannot be reached"),
    ],
)
def test_what_the_command_refuses(words, message, tmp_path):
    done = command(*words, "--out", str(tmp_path / "out"), "--draws", "9")
    assert done.exit_code == 2
    assert message in done.stderr


# --- with evidence ------------------------------------------------------------------------------


@pytest.mark.slow
def test_with_evidence_every_point_is_the_fit_of_its_model(tmp_path):
    """Stopped after the first point, gone on, and held against fits of the two models."""
    field, values = "exchange.power.rate.q95", [1e4, 1e8]
    few = {"num_warmup": 100, "num_samples": 50, "num_chains": 2, "seed": 3}
    evidence = MODELS / "evidence" / "published_tradeoff.toml"
    settings = few | {"evidence": evidence, "out": tmp_path / "out", "workers": 1}
    said = []

    def stop(stage, done, total):
        said.append(done)
        if len(said) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="1 of 2"):
        bm.sweep("speed_simplicity", {field: values}, progress=stop, **settings)
    swept = bm.sweep("speed_simplicity", {field: values}, resume=True, **settings)
    assert "r_hat_max" not in bm.sweep("speed_simplicity", {field: [1e4]}, evidence={}, **few)
    text = (MODELS / "speed_simplicity.toml").read_text()
    for value in values:
        filled = template(text, field_ranges({field: [value]})).filled([literal(value)])
        path = tmp_path / "point.toml"
        path.write_text(filled)
        model = bm.load_model(path)
        fitted = bm.fit(model, bm.load_evidence(evidence, model), **few)
        told, at = bm.summarize(fitted), swept.sel({field: value})
        for name in ("deceptive_mass", "deceptive_favored"):
            for figure in ("mean", "mcse"):
                assert float(at[name].sel(figure=figure)) == pytest.approx(told[name][figure]), name
        assert float(at["r_hat_max"]) == pytest.approx(told["diagnostics"]["r_hat_max"])


# --- plots --------------------------------------------------------------------------------------


def test_plots(swept):
    figure, axes = bm.plot_sweep(swept)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlabel() == f"{RATE} [steps per bit]"
    figure, axes = bm.plot_sweep(swept, of="deceptive_mass", at={BITS: 1e3}, labels={RATE: "rate"})
    mean = swept["deceptive_mass"].sel(figure="mean").sel({BITS: 1e3})
    assert np.array_equal(axes.lines[0].get_ydata(), mean)
    assert axes.get_xlabel() == "rate [steps per bit]"
    assert f"{BITS} = 1000" in axes.get_title()
    figure.canvas.draw()
    texts = bm.sweep(
        "speed_simplicity",
        {"structures.slow_deceptive.deploy": "base,simplest", RATE: [1, 9], BITS: [1]},
        num_samples=9,
        num_chains=1,
    )
    figure, axes = bm.plot_sweep(texts)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["base", "simplest"]
    assert f"{BITS} = 1" in axes.get_title()
    bm.plot_sweep(texts, at={RATE: 9.0, BITS: 1.0})[0].canvas.draw()


def test_plots_that_cannot_be(swept):
    with pytest.raises(InputError, match="of must be one of deceptive_favored, deceptive_mass"):
        bm.plot_sweep(swept, of="margin")
    with pytest.raises(InputError, match="must name fields of the sweep"):
        bm.plot_sweep(swept, at={"x": 1})
    with pytest.raises(InputError, match="must be one of 10.0, 1000.0, 100000.0"):
        bm.plot_sweep(swept, at={BITS: 11})
    with pytest.raises(InputError, match="needs what sweep returned"):
        bm.plot_sweep(xr.Dataset())
