"""The command line: exit statuses, what goes to which stream, and the files that appear."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import typer
from synthetic import family_dataset, posterior_tree, shipped_like
from typer.testing import CliRunner

from bayes_mesa.interface import cli, run_command
from bayes_mesa.interface.console import checkup_text, columns, headline, progress_bar
from bayes_mesa.interface.page_text import Page, Table, _folded, show
from bayes_mesa.interface.run_command import POSTERIOR
from bayes_mesa.results.store import open_posterior, save_posterior
from bayes_mesa.results.summary import summarize

TWO = """
[model]
name = "two"
title = "Two programs"
{model}

[components.objective]
bits = {{ q05 = 10, q95 = 1000 }}
note = "a guess"
[components.search]
steps = {{ q05 = 10, q95 = 1000 }}

[structures.honest]
stores = ["objective"]
runs = []
train = "base"
deploy = "base"
[structures.deceiver]
stores = []
runs = ["search"]
train = "base"
deploy = "other"

[exchange.linear]
rate = 1.0
{more}
"""

MEASURED = """
[evidence.measured]
kind = "measurement"
file = "measured.csv"
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(TWO.format(model="", more=""))
    return path


@pytest.fixture
def result(tmp_path):
    return save_posterior(shipped_like(num_chains=2, num_samples=20), tmp_path / "posterior.nc")


def call(*args, status=0):
    done = CliRunner().invoke(cli.app, [str(a) for a in args])
    assert done.exit_code == status, (done.output, done.exception)
    return done


def shell(*args, **kwargs):
    command = [sys.executable, "-m", "bayes_mesa", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **kwargs)


def test_the_version_is_told():
    assert call("--version").stdout == f"bayes_mesa {version('bayes_mesa')}\n"


def test_the_list_of_commands_cuts_no_sentence():
    assert "..." not in call("--help").stdout.split("Commands:")[1]


def test_a_file_of_the_wrong_kind_is_called_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("")
    Path("out").mkdir()
    assert "did you mean mine.toml?" in call("check", "mine", status=2).stderr
    assert "a model is wanted here" in call("check", "out/posterior.nc", status=2).stderr
    assert "a folder without it" in call("report", "out", "--out", "r", status=2).stderr


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from bayes_mesa.interface.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "heavy = {'jax', 'numpyro', 'xarray', 'arviz_stats', 'matplotlib', 'pandas', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for command in ("models", "check", "run", "programs", "report", "export"):
        assert command in done.stdout


def test_models():
    assert "speed_simplicity" in call("models").stdout
    listed = json.loads(call("models", "--json").stdout)
    assert {"speed_simplicity", "discussion"} <= {m["name"] for m in listed}


def test_check_prints_costs_dominance_and_critical_exchange(model):
    text = call("check", model).stdout
    assert "bits.objective" in text
    assert "opinion" in text
    # Medians 100 bits against 100 steps: equal at one step per bit.
    assert "a deceptive program is favored at rates above 1 steps per bit" in text


def test_check_as_json(model):
    found = json.loads(call("check", model, "--json").stdout)
    assert found["critical_rate"]["value"] == pytest.approx(1.0)
    assert found["structures"]["honest"] == pytest.approx(
        {"symbol": "", "class": "honest", "bits": 100.0, "steps": 0.0}
    )
    proved = json.loads(call("check", "speed_simplicity", "--json").stdout)
    assert "fast_deceptive" in proved["never_favored"]
    assert any(s["loser"] == "fast_deceptive" for s in proved["dominance"])


def test_faults_are_plain_lines_on_standard_error(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(
        TWO.format(model='surprise = "y"', more="[exchange.power]\nrate = -1\nexponent = 2\n")
    )
    done = shell("check", bad, env={**os.environ, "COLUMNS": "40"})
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{bad}:") for line in lines)
    assert "model.surprise" in lines[0]
    assert all(len(line) > 80 for line in lines)
    assert "exchange.power.rate" in lines[1]


def test_an_unknown_model_and_a_missing_file(tmp_path):
    assert "speed_simplicity" in call("check", "nope", status=2).stderr
    assert "none.toml" in call("check", tmp_path / "none.toml", status=2).stderr


def test_wrong_usage_is_status_2(model):
    for args in (["nonsense"], ["run", model], ["run", model, "--out", "x", "--draws", "0"]):
        done = call(*args, status=2)
        assert "Traceback" not in done.stderr


def test_run_writes_three_files_and_prints_the_headline(model, tmp_path):
    out = tmp_path / "made" / "out"
    done = call("run", model, "--out", out, "--seed", 1, "--draws", 50, "--chains", 2)
    assert sorted(p.name for p in out.iterdir()) == ["posterior.nc", "report.html", "summary.json"]
    assert done.stdout.splitlines()[-3:] == [
        str(out / name) for name in ("posterior.nc", "summary.json", "report.html")
    ]
    assert "deceptive favored" in done.stdout
    assert done.stderr == ""
    summary = json.loads((out / "summary.json").read_text())
    tree = open_posterior(out / "posterior.nc")
    assert summary == json.loads(json.dumps(summarize(tree)))
    assert tree["posterior"].sizes["draw"] == 50
    assert summary["seed"] == 1


def test_run_as_json_and_quiet(model, tmp_path):
    args = ("run", model, "--draws", 20, "--chains", 1)
    assert call(*args, "--out", tmp_path / "quiet", "--quiet").output == ""
    done = call(*args, "--out", tmp_path / "json", "--json", "--quiet")
    assert json.loads(done.stdout) == json.loads((tmp_path / "json/summary.json").read_text())


def test_a_folder_with_results_is_refused_before_any_work(model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    args = ("run", model, "--out", out, "--draws", 20, "--chains", 1, "--quiet")
    call(*args)
    before = (out / "summary.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("bayes_mesa.inference.fitting.fit", None)
        done = call(*args, "--seed", 5, status=2)
    assert "posterior.nc" in done.stderr
    assert "--force" in done.stderr
    assert (out / "summary.json").read_bytes() == before
    call(*args, "--seed", 5, "--force")
    assert json.loads((out / "summary.json").read_text())["seed"] == 5


def test_a_folder_that_cannot_be_made(model, tmp_path):
    (tmp_path / "file").write_text("")
    done = call("run", model, "--out", tmp_path / "file" / "out", status=2)
    assert "must be a folder that can be made" in done.stderr


@pytest.fixture
def seen(monkeypatch):
    """What `run` passes to `fit`."""
    calls = []

    def fit(model, evidence=None, **settings):
        calls.append((evidence, settings))

    monkeypatch.setattr("bayes_mesa.inference.fitting.fit", fit)
    monkeypatch.setattr(run_command, "_write_results", lambda *_: {})
    return calls


def test_defaults_of_run(model, tmp_path, seen):
    call("run", model, "--out", tmp_path / "out", "--quiet")
    evidence, settings = seen[0]
    assert evidence is None
    assert settings.pop("progress") is None
    assert settings.pop("checkpoint") == tmp_path / "out" / "parts"
    assert settings == {"num_warmup": 1000, "num_samples": 1000, "num_chains": 4, "seed": 0}


def test_prior_only_leaves_evidence_out(model, tmp_path, seen):
    call("run", model, "--out", tmp_path / "out", "--prior-only", "--quiet")
    assert seen[0][0] == {}


def test_evidence_from_a_file_is_added(model, tmp_path, seen):
    (tmp_path / "measured.csv").write_text(
        "component,quantity,value,log_sd\nobjective,bits,100,0.1\n"
    )
    extra = tmp_path / "extra.toml"
    extra.write_text(MEASURED)
    call("run", model, "--out", tmp_path / "out", "--evidence", extra, "--quiet")
    assert list(seen[0][0]) == ["measured"]
    both = ("--evidence", extra, "--prior-only")
    assert "--prior-only" in call("run", model, "--out", tmp_path / "x", *both, status=2).stderr
    assert not (tmp_path / "x").exists()


def test_our_own_fault_is_one_line_and_status_1(model, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something\nodd")

    monkeypatch.setattr("bayes_mesa.inference.fitting.fit", broken)
    done = call("run", model, "--out", tmp_path / "out", status=1)
    assert len(done.stderr.splitlines()) == 1
    assert "RuntimeError: something odd" in done.stderr
    monkeypatch.setenv("BAYES_MESA_DEBUG", "1")
    assert "Traceback" in call("run", model, "--out", tmp_path / "out", status=1).stderr


@pytest.mark.parametrize("partial", [False, True])
def test_an_interrupt_keeps_what_was_finished(model, tmp_path, monkeypatch, partial):
    from bayes_mesa.inference.fitting import Interrupted

    tree = posterior_tree({"linear": family_dataset(np.tile([0, 1], (2, 10)))})

    def interrupted(*_, **__):
        raise Interrupted((lambda: tree) if partial else None)

    monkeypatch.setattr("bayes_mesa.inference.fitting.fit", interrupted)
    out = tmp_path / "out"
    done = call("run", model, "--out", out, status=130)
    assert done.stderr.startswith("interrupted: ")
    assert len(done.stderr.splitlines()) == 1
    if partial:
        assert str(out / "partial.nc") in done.stderr
        assert open_posterior(out / "partial.nc").identical(tree)
    else:
        assert "nothing was finished" in done.stderr
        assert list(out.iterdir()) == []


def test_an_interrupt_after_the_fit_keeps_the_posterior(model, tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayes_mesa.results.summary.summarize", interrupted)
    out = tmp_path / "out"
    done = call("run", model, "--out", out, "--draws", 10, status=130)
    assert done.stderr == (
        f"interrupted: the whole fit is in {out / 'posterior.nc'}; --resume goes on\n"
    )
    assert open_posterior(out / "posterior.nc")["posterior"].sizes["draw"] == 10


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_real_interrupt(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bayes_mesa", "run", "speed_simplicity", "--out", str(out)]
    process = subprocess.Popen([*command, "--draws", "200000"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "interrupted: " in error


@pytest.fixture(scope="module")
def needy_result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("needs")
    shell("run", "program_space_needs", "--out", folder / "out", "--draws", 5, "--quiet")
    return folder / "out" / POSTERIOR


@pytest.mark.slow
@pytest.mark.parametrize("wait", [1.0, 2.5])
@pytest.mark.parametrize("source", ["posterior", "program_space_needs"])
def test_ctrl_c_ends_programs_within_a_fifth_of_a_second(source, wait, needy_result, tmp_path):
    # From a result the chains over programs are interrupted, from a model its tempered fit.
    given = needy_result if source == "posterior" else source
    out = tmp_path / "x.nc"
    process = subprocess.Popen(
        [sys.executable, "-m", "bayes_mesa", "programs", given, "--out", out, "--draws", "250000"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    # By then the fit has come to its chains, which are still being handed out.
    while threads_of(process.pid) < min(os.cpu_count(), 4) + 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(wait)
    assert process.poll() is None
    sent = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert time.perf_counter() - sent < 0.2
    assert process.returncode == 130
    assert error.startswith("interrupted: ")
    assert list(tmp_path.iterdir()) == []


def threads_of(pid):
    folder = Path(f"/proc/{pid}/task")
    return len(list(folder.iterdir())) if folder.exists() else 9


def test_a_pipe_that_closes_early_is_no_fault():
    command = f"{sys.executable} -m bayes_mesa check speed_simplicity | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("speed_simplicity")


def test_report_again(result, tmp_path):
    page = tmp_path / "again.html"
    assert call("report", result, "--out", page).stdout == f"{page}\n"
    assert page.read_text().startswith("<!doctype html>")


def test_a_damaged_posterior_is_wrong_input(result, tmp_path):
    result.write_bytes(result.read_bytes()[:-100])
    for command in ("report", "export"):
        done = call(command, result, "--out", tmp_path / "x", status=2)
        assert done.stderr.startswith(f"{result}: ")
    assert not (tmp_path / "x").exists()


def test_export_is_a_flat_table_with_every_digit(result, tmp_path):
    path = tmp_path / "draws.csv"
    call("export", result, "--out", path)
    rows = list(csv.DictReader(path.open()))
    posterior = open_posterior(result)["posterior"].to_dataset()
    assert len(rows) == 40
    last = rows[-1]
    assert (last["chain"], last["draw"]) == ("1", "19")
    assert last["family"] == str(posterior["family"].values[1, 19])
    assert float(last["pressure"]) == float(posterior["pressure"][1, 19])
    bits = posterior["bits"].sel(component="combine")
    assert [float(r["bits[combine]"]) for r in rows] == bits.values.ravel().tolist()
    assert {r["deceptive_favored"] for r in rows} <= {"True", "False"}


def test_export_says_nan_and_inf(tmp_path):
    dataset = family_dataset(np.tile([0, -1], (2, 10)))
    dataset["critical_rate"][:] = np.inf
    path = save_posterior(posterior_tree({"linear": dataset}), tmp_path / "posterior.nc")
    call("export", path, "--out", tmp_path / "draws.csv")
    row = list(csv.DictReader((tmp_path / "draws.csv").open()))[1]
    assert row["deceptive_mass"] == "nan"
    assert row["critical_rate"] == "inf"


def test_programs_of_a_model_and_of_its_posterior(model, tmp_path):
    path = tmp_path / "programs.nc"
    size = ("--draws", 30, "--chains", 2)
    done = call("programs", model, "--out", path, *size, "--seed", 3)
    assert "deceiver" in done.stdout
    assert open_posterior(path)["programs"]["structure"].shape == (2, 30)
    call("run", model, "--out", tmp_path / "out", *size, "--seed", 3, "--quiet")
    again = tmp_path / "again.nc"
    call("programs", tmp_path / "out" / "posterior.nc", "--out", again, "--seed", 3)
    first, second = (open_posterior(p)["programs"].to_dataset() for p in (path, again))
    assert first.identical(second)
    call("export", path, "--out", tmp_path / "programs.csv")
    header = (tmp_path / "programs.csv").read_text().splitlines()[0]
    assert header.startswith("chain,draw,family,structure,")


def test_programs_with_facts_from_a_posterior_whose_files_are_gone(tmp_path):
    path = tmp_path / "facts.toml"
    (tmp_path / "facts.csv").write_text("name,bits,steps\na,3,2\nb,1,9\n")
    path.write_text(TWO.format(model="", more='[facts]\nfile = "facts.csv"\n'))
    call("run", path, "--out", tmp_path / "out", "--draws", 20, "--quiet")
    (tmp_path / "facts.csv").unlink()
    path.unlink()
    out = tmp_path / "programs.nc"
    call("programs", tmp_path / "out/posterior.nc", "--out", out, "--draws", 70, "--chains", 3)
    stored = open_posterior(out)["programs"]["stored"]
    assert stored.sizes == {"chain": 3, "draw": 70, "fact": 2}
    assert list(stored["fact"].values) == ["a", "b"]


def test_programs_by_every_method(model, tmp_path):
    out = tmp_path / "x.nc"
    args = ("programs", model, "--out", out, "--draws", 10)
    assert "deceiver" in call(*args, "--method", "tempered").stdout
    found = open_posterior(out)
    assert found["programs"].attrs["method"] == "tempered"
    assert found["programs_stats"]["proposals"].sum() > 0
    call(*args, "--method", "exact")
    assert "log_weight_error" in open_posterior(out)["programs_stats"]
    assert "guess" in call(*args, "--method", "guess", status=2).stderr


def test_exact_programs_are_refused_with_the_reason(tmp_path):
    path = tmp_path / "capped.toml"
    (tmp_path / "facts.csv").write_text("name,bits,steps,needs\na,3,2,\nb,1,9,a\n")
    path.write_text(TWO.format(model="", more='[facts]\nfile = "facts.csv"\n'))
    out = tmp_path / "x.nc"
    args = ("programs", path, "--out", out, "--draws", 5, "--chains", 1)
    error = call(*args, "--method", "exact", status=2).stderr
    assert "facts need one another" in error
    assert "method 'tempered'" in error
    assert not out.exists()
    call(*args)
    assert "all 2^2" in open_posterior(out)["programs"].attrs["reason"]


def test_columns_are_never_wrapped_and_obey_nothing():
    text = columns(("a", "b"), [("x" * 200, "y"), ("\x1b[31mred\n", "z")])
    lines = text.splitlines()
    assert len(lines) == 3
    assert lines[1] == "x" * 200 + "  y"
    assert "\x1b" not in text


def test_headline_names_families_structures_and_warnings():
    tree = shipped_like(num_samples=50, warnings=json.dumps(["mind the gap"]))
    text = headline(summarize(tree))
    for said in ("average", "levin", "fast_deceptive", "exactly", "warning: mind the gap"):
        assert said in text


CRITICAL = {"value": None, "always": False, "never": False, "crossings": 0}


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ({"always": True}, "favored at every exchange rate"),
        ({"never": True}, "no deceptive program is favored at any exchange rate"),
        ({"never": True, "crossings": 2}, "favored where only bits count (the verdict changes 2"),
        ({"value": 2.0, "crossings": 3}, "above 2 steps per bit (the verdict changes 3 times)"),
    ],
)
def test_critical_exchange_in_words(rate, said):
    found = {
        "model": "m",
        "title": "",
        "beliefs": [],
        "structures": {},
        "dominance": [],
        "critical_rate": CRITICAL | rate,
        "critical_kappa": CRITICAL | {"always": True},
        "by_exchange": {},
        "warnings": [],
    }
    assert said in checkup_text(found)


def test_module_is_runnable():
    assert (Path(cli.__file__).parent.parent / "__main__.py").exists()
    assert shell("--help").returncode == 0


# Help, JSON, quiet, and what a terminal is shown

COMMANDS = typer.main.get_command(cli.app).commands


def examples(command):
    """The example commands in the help of a command, each as a list of arguments."""
    text = call(command, "--help").stdout
    lines = text.partition("Examples:")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines if line.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_parse(command):
    given = examples(command)
    assert given
    for first, *rest in given:
        assert first == command
        COMMANDS[command].make_context(command, rest).close()


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("newcomer")
    text = TWO.format(model="", more="")
    (folder / "my_model.toml").write_text(text)
    (folder / "before.toml").write_text(text)
    (folder / "after.toml").write_text(text.replace("q95 = 1000", "q95 = 5000", 1))
    (folder / "measured.csv").write_text(
        "component,quantity,value,log_sd\nobjective,bits,100,0.1\n"
    )
    (folder / "measured.toml").write_text(MEASURED)
    done = shell("run", "my_model.toml", "--out", "out", "--draws", 50, "--quiet", cwd=folder)
    assert done.stderr == ""
    return folder


CHEAP = {"models", "check", "compare before.toml after.toml --json", "report", "export", "prior"}


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_examples_run(newcomer, tmp_path, monkeypatch, slow):
    folder = Path(shutil.copytree(newcomer, tmp_path / "copy"))
    monkeypatch.chdir(folder)
    if slow:  # the examples of `run` make it anew
        shutil.rmtree("out")
    ran = 0
    for command in COMMANDS:
        for args in examples(command):
            if slow or {command, " ".join(args)} & CHEAP:
                call(*args)
                ran += 1
    assert ran > 5


READING = {
    "models": [],
    "check": ["my_model.toml"],
    "run": ["my_model.toml", "--out", "{new}", "--draws", "20", "--chains", "1"],
    "enumerate": ["my_model.toml"],
    "programs": ["my_model.toml", "--out", "{new}.nc", "--draws", "20", "--chains", "2"],
    "regime": ["rollouts", "--rollouts", "1,4", "--draws", "20", "--chains", "1"],
    "episodes": ["drift", "--points", "3", "--draws", "20", "--chains", "1"],
    "prior": ["out/posterior.nc", "--out", "{new}.toml"],
    "compare": ["before.toml", "after.toml", "--draws", "20"],
}


@pytest.mark.parametrize("command", READING)
def test_every_reading_command_gives_json(command, newcomer, tmp_path, monkeypatch):
    monkeypatch.chdir(newcomer)
    args = [a.replace("{new}", str(tmp_path / "new")) for a in READING[command]]
    done = call(command, *args, "--json")

    def refused(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(done.stdout, parse_constant=refused)
    assert done.stderr == ""


def test_commands_that_take_their_time_can_be_quiet():
    for name, command in COMMANDS.items():
        names = {option for p in command.params for option in p.opts}
        if {"--draws", "--max-programs"} & names:
            assert {"--quiet", "--json"} <= names, name


def test_programs_say_nothing_when_quiet(newcomer, tmp_path, monkeypatch):
    monkeypatch.chdir(newcomer)
    args = ("programs", "my_model.toml", "--draws", 10, "--out", tmp_path / "x.nc")
    assert call(*args, "--quiet").output == ""


OF_RESULTS = {
    "report": ["{}", "--out", "{new}.html"],
    "export": ["{}", "--out", "{new}.csv"],
    "prior": ["{}", "--out", "{new}.toml", "--force"],
    "programs": ["{}", "--out", "{new}.nc"],
    "cruxes": ["{}"],
    "compare": ["{}", "before.toml", "--draws", "20"],
}


@pytest.mark.parametrize("command", OF_RESULTS)
def test_a_runs_folder_is_as_good_as_its_posterior(command, newcomer, tmp_path, monkeypatch):
    monkeypatch.chdir(newcomer)

    def said(source):
        new = str(tmp_path / "new")
        done = call(command, *(a.format(source, new=new) for a in OF_RESULTS[command]))
        return done.stdout, [path.read_bytes() for path in tmp_path.glob("new*")]

    printed, written = said("out/posterior.nc")
    assert printed.strip()
    for folder in ("out", newcomer / "out"):
        again, files = said(folder)
        # Columns are as wide as the names in them.
        assert again.split() == printed.replace("posterior.nc", "out").split()
        assert files == written


def test_compare_in_words(newcomer, monkeypatch):
    monkeypatch.chdir(newcomer)
    args = ("compare", "before.toml", "after.toml", "--draws", 100)
    done = call(*args)
    said = "after.toml takes bits.objective to be 10 to 5000 instead of 10 to 1000 (5 % to 95 %)"
    assert said in done.stdout
    assert "together" in done.stdout
    quiet = call(*args, "--quiet").stdout
    assert said in quiet
    assert "together" not in quiet
    assert "at least two" in call("compare", "before.toml", status=2).stderr


def test_what_is_piped_is_plain_and_not_wrapped(model):
    plain = shell("check", model)
    assert "\x1b" not in plain.stdout + plain.stderr
    for more in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1", "COLUMNS": "60"}):
        done = shell("check", model, env={**os.environ, **more})
        assert (done.stdout, done.stderr) == (plain.stdout, plain.stderr)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def page():
    rows = [("honest", "0.5 ± 0.01"), ("deceptive", "0.25 ± 0.01")]
    long = "a sentence that goes on and on " * 4
    return Page.of(("Title:", Table(("class", "share"), rows)), "warning: odd", long, "/a/b" * 40)


@pytest.fixture
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return Terminal()


def test_a_terminal_is_shown_tables_that_fit(page, terminal):
    assert show(page, terminal)
    text = terminal.getvalue()
    assert "\x1b[31mdeceptive" in text
    assert "─────" in text
    lines = [line for line in text.splitlines() if "/a/b" not in line and "\x1b" not in line]
    assert max(map(len, lines)) <= 60
    assert "/a/b" * 40 in text  # a path stays in one piece


@pytest.mark.parametrize("width", [30, 45, 60, 90, 200])
def test_figures_are_never_broken_in_the_middle(terminal, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    names = ["a_very_long_name_of_a_structure", "b"]
    rows = [(n, *["0.123 ± 0.004", "1.5e+05", "0.1 to 0.2"], "honest") for n in names]
    show(Page.of(Table(("name", "P(deceptive favored)", "steps", "90 %", "class"), rows)), terminal)
    text = terminal.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= width
    for figure in ("1.5e+05", "0.123", "0.004", "honest"):
        assert plain.count(figure) == 2
    if width >= 60:
        assert plain.count("0.123 ± 0.004") == 2


@pytest.mark.parametrize("width", [50, 60, 66, 80])
def test_no_number_is_broken_in_a_name_either(terminal, monkeypatch, width):
    """What `prior` prints: a distribution is broken at its joints."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [
        ("steps.mesaoptimize_outer_world_env", "LogNormal(loc=-16.1181, scale=4.19)", "0.012"),
        ("bits.get_base_obj", "HalfNormal(scale=1.25e+07) truncated to [0.3, inf)", "0.012"),
    ]
    table = Table(("quantity", "prior", "KS", "5 % off by", "50 %", "95 %"),
                  [(*row, "+0.1%", "-12.3%", "+4.4%") for row in rows])  # fmt: skip
    assert show(Page.of(table), terminal)
    text = terminal.getvalue()
    assert max(map(len, text.splitlines())) <= width
    if width >= 60:
        assert "─────" in text
    for number in ("-16.1181", "4.19", "1.25e+07", "[0.3"):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", text), text
    # Nothing is lost: column by column, the pieces are the text.
    whole = re.sub(r"\s", "", "".join(line[:width] for line in text.splitlines()))
    assert all(part in whole for part in ("LogNormal(", "truncated", "12.3%"))


@pytest.mark.parametrize("width", [10, 12, 17, 18, 40])
@pytest.mark.parametrize(
    "text", ["LogNormal(loc=8.05, scale=2.1)", "  bits.get_base_obj", "a 3.25 b", "", "x" * 50]
)
def test_what_is_folded_is_the_same_text(text, width):
    lines = _folded(text, width).split("\n")
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    assert all(len(line) <= width for line in lines) or "x" in text
    for number in re.findall(r"\d+\.\d+", text):
        assert any(number in line for line in lines)


def test_no_color_leaves_no_escape_codes(page, terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert show(page, terminal)
    assert "\x1b" not in terminal.getvalue()


def test_a_terminal_with_few_letters_is_no_fault(page, terminal):
    terminal.encoding = "ascii"
    assert show(page, terminal)
    assert terminal.getvalue().isascii()


def test_a_pipe_is_shown_the_page_as_it_stands(page):
    stream = io.StringIO()
    assert not show(page, stream)
    assert stream.getvalue() == ""
    assert page.splitlines()[:3] == ["Title:", "class      share", "honest     0.5 ± 0.01"]


def test_progress_tells_the_time_left_in_a_terminal_only(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar(True) as report:
        report("stage [1]", 1, 3)
    assert "left" in terminal.getvalue()
    assert "stage [1]" in terminal.getvalue()
    with progress_bar(False) as report:
        assert report is None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar(True) as report:
        assert report is None
