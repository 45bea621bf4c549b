"""Runs that were killed, interrupted or out of room go on, and end as if nothing had been."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from small_models import component, family, lognormal, structure
from typer.testing import CliRunner

from bayes_mesa.domain.model import Model
from bayes_mesa.errors import InputError, ResultFileError
from bayes_mesa.inference import nuts, nuts_parts
from bayes_mesa.inference.checkpoints import fit_job
from bayes_mesa.inference.family_fit import Settings
from bayes_mesa.inference.fitting import Interrupted, fit
from bayes_mesa.interface import cli
from bayes_mesa.interface.run_folder import RESULTS
from bayes_mesa.results.store import open_posterior, save_posterior
from bayes_mesa.storage.atomic_file import write_text
from bayes_mesa.storage.segments import Segments

KILL_RUNS = Path(__file__).with_name("kill_runs.py")
THREE = """
[model]
name = "three"
title = "Two programs under three exchanges"

[components.objective]
bits = { q05 = 10, q95 = 1000 }
steps = 1.0
[components.search]
steps = { q05 = 10, q95 = 1000 }

[structures.honest]
stores = ["objective"]
runs = ["objective"]
train = "base"
deploy = "base"
[structures.deceiver]
stores = []
runs = ["search"]
train = "base"
deploy = "other"

[exchange.linear]
rate = { q05 = 0.1, q95 = 10 }
[exchange.levin]
kappa = 1.0
[exchange.power]
rate = 1.0
exponent = 1.5
"""
MEASURED = """
[evidence.measured]
kind = "measurement"
file = "measured.csv"
"""
ROWS = "component,quantity,value,log_sd\nobjective,bits,100,0.1\nsearch,steps,30,0.5\n"

ONE_FAMILY = Model(
    "one",
    (component("a", bits=lognormal(2.0, 1.0)), component("b", steps=lognormal(2.0, 1.0))),
    (structure("honest", "a"), structure("deceiver", "", "b", deploy="other")),
    (family("linear", rate=1.0),),
)
SIZES = {
    "sizes": {
        "kind": "measurement",
        "component": ["a", "b"],
        "quantity": ["bits", "steps"],
        "value": [9.0, 5.0],
        "log_sd": [0.5, 0.5],
    }
}
SETTINGS = {"num_warmup": 250, "num_samples": 250, "num_chains": 2}


@pytest.fixture
def three(tmp_path):
    path = tmp_path / "three.toml"
    path.write_text(THREE)
    return path


def call(*args, status=0):
    done = CliRunner().invoke(cli.app, [str(a) for a in args])
    assert done.exit_code == status, (done.output, done.exception)
    return done


def parts_of(folder):
    return {path.stem for path in folder.glob("*.nc")}


# --- the fit itself --------------------------------------------------------------------------


def test_a_fit_is_the_same_with_and_without_a_folder(tmp_path, three, monkeypatch):
    from bayes_mesa.model_file import load_model

    model, settings = load_model(three), {"num_samples": 50, "num_chains": 2}
    plain = fit(model, {}, **settings)
    assert fit(model, {}, checkpoint=tmp_path / "parts", **settings).identical(plain)
    assert parts_of(tmp_path / "parts") == {"prior-linear", "prior-levin", "prior-power"}
    monkeypatch.setattr("bayes_mesa.inference.fitting._fit_prior", None)
    again = fit(model, {}, checkpoint=str(tmp_path / "parts"), **settings)
    first = save_posterior(plain, tmp_path / "a.nc").read_bytes()
    assert save_posterior(again, tmp_path / "b.nc").read_bytes() == first


@pytest.fixture
def slowly(monkeypatch):
    """Chains that take their time for every chunk, and are kept often."""
    advance = nuts_parts.ChainStand.advance

    def slow(self, *args):
        time.sleep(0.03)
        advance(self, *args)

    monkeypatch.setattr(nuts_parts.ChainStand, "advance", slow)
    monkeypatch.setattr(nuts, "PERIOD", 0.1)
    monkeypatch.setattr("bayes_mesa.inference.fitting._PRIOR_DRAWS", 1000)


@pytest.mark.slow
def test_nuts_goes_on_with_the_draws_that_it_would_have_made(tmp_path, slowly):
    whole = fit(ONE_FAMILY, SIZES, **SETTINGS)
    told = []

    def stopping(share):
        def stop(stage, done, total):
            if stage.startswith("NUTS"):
                told.append(done)
                if done >= share * total:
                    raise KeyboardInterrupt

        return stop

    parts = tmp_path / "parts"
    for share in (0.2, 0.7):  # in the warm-up, and after it
        with pytest.raises(Interrupted):
            fit(ONE_FAMILY, SIZES, checkpoint=parts, progress=stopping(share), **SETTINGS)
        assert {name[:11] for name in parts_of(parts)} == {"prior-linea", "nuts-linear"}
        stopped, told = told[-1], []
        assert stopped < 1000
    fit(ONE_FAMILY, SIZES, checkpoint=parts, progress=stopping(2.0), **SETTINGS)
    assert told[0] >= stopped
    assert parts_of(parts) == {"prior-linear", "fit-linear"}
    resumed = fit(ONE_FAMILY, SIZES, checkpoint=parts, **SETTINGS)
    assert resumed.identical(whole)
    assert save_posterior(resumed, tmp_path / "a.nc").read_bytes() == (
        save_posterior(whole, tmp_path / "b.nc").read_bytes()
    )


def test_a_damaged_stretch_takes_those_after_it_along(tmp_path, slowly):
    parts = tmp_path / "parts"

    def stop(stage, done, total):
        if stage.startswith("NUTS") and done >= 0.8 * total:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        fit(ONE_FAMILY, SIZES, checkpoint=parts, progress=stop, **SETTINGS)
    stretches = sorted(parts.glob("nuts-*.nc"))
    assert len(stretches) >= 3
    stretches[1].write_bytes(stretches[1].read_bytes()[:-1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resumed = fit(ONE_FAMILY, SIZES, checkpoint=parts, **SETTINGS)
    assert [str(w.message) for w in caught if "00001.nc" in str(w.message)]
    assert resumed.identical(fit(ONE_FAMILY, SIZES, **SETTINGS))


def test_what_a_fit_depends_on_is_in_its_description():
    from dataclasses import replace

    from bayes_mesa.inference.inference import evidence_tables

    def described(model=ONE_FAMILY, evidence=SIZES, **settings):
        return json.dumps(
            fit_job(model, evidence_tables(model, evidence), Settings(**settings)), sort_keys=True
        )

    other = {"sizes": SIZES["sizes"] | {"value": [9.0, 5.0 + 1e-12]}}
    every = [
        described(),
        described(evidence={}),
        described(evidence=other),
        described(seed=1),
        described(num_samples=10),
        described(model=replace(ONE_FAMILY, structures=ONE_FAMILY.structures[::-1])),
    ]
    assert len(set(every)) == len(every)
    assert described(model=replace(ONE_FAMILY, origin="elsewhere.toml")) == every[0]


def test_a_folder_of_another_fit_is_refused(tmp_path):
    small = {"num_samples": 5, "num_chains": 1}
    fit(ONE_FAMILY, {}, checkpoint=tmp_path / "parts", **small)
    with pytest.raises(InputError, match="settings.seed is 1 where it was 0"):
        fit(ONE_FAMILY, {}, checkpoint=tmp_path / "parts", seed=1, **small)
    with pytest.raises(InputError, match="checkpoint must be a folder, found 3"):
        fit(ONE_FAMILY, {}, checkpoint=3, **small)


def test_a_refused_save_is_no_interrupt(tmp_path, monkeypatch):
    """A full disk while chains run stops them, and is told as it is."""

    def full(*_):
        raise ResultFileError("parts/x.nc: no room")

    monkeypatch.setattr(nuts_parts.NutsParts, "save", full)
    with pytest.raises(ResultFileError, match="no room"):
        fit(ONE_FAMILY, SIZES, checkpoint=tmp_path / "parts", **SETTINGS)
    assert parts_of(tmp_path / "parts") == {"prior-linear"}


# --- the command -----------------------------------------------------------------------------


def after_parts(number, then):
    """`Segments.save` that does something else instead of writing that part."""
    save, calls = Segments.save, []

    def saved(self, name, tree):
        calls.append(name)
        if len(calls) == number:
            then()
        save(self, name, tree)

    return saved


@pytest.fixture(scope="module")
def short_report():
    """Reports of their summaries alone: the real one, seconds each, is in the slow tests."""

    def write_report(tree, path, *, summary):
        write_text(path, json.dumps(summary))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bayes_mesa.pages.report.write_report", write_report)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, short_report):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "three.toml").write_text(THREE)
    call("run", folder / "three.toml", "--out", folder / "out", *RUN)
    return {name: (folder / "out" / name).read_bytes() for name in RESULTS}


RUN = ("--draws", 20, "--chains", 2, "--quiet")


def test_an_interrupted_run_goes_on_to_the_same_bytes(three, tmp_path, whole, monkeypatch):
    out = tmp_path / "out"

    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Segments, "save", after_parts(3, interrupt))
        done = call("run", three, "--out", out, *RUN, status=130)
    assert done.stderr == (
        f"interrupted: the families that were finished are in {out / 'partial.nc'}; "
        "--resume goes on\n"
    )
    assert "posterior_levin" in open_posterior(out / "partial.nc").children
    assert parts_of(out / "parts") == {"prior-linear", "prior-levin"}
    refused = call("run", three, "--out", out, *RUN, status=2)
    assert "--resume goes on with it, --force starts anew" in refused.stderr
    other = call("run", three, "--out", out, *RUN, "--seed", 4, "--resume", status=2)
    assert "now settings.seed is 4 where it was 0" in other.stderr
    done = call("run", three, "--out", out, *RUN[:-1], "--resume")
    assert done.stderr == f"{out}: found finished: prior draws (levin, linear)\n"
    assert {name: (out / name).read_bytes() for name in RESULTS} == whole
    assert sorted(path.name for path in out.iterdir()) == sorted(RESULTS)


def test_a_run_that_had_ended_is_found_finished(three, tmp_path, whole, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    for name, content in whole.items():
        (out / name).write_bytes(content)
    monkeypatch.setattr("bayes_mesa.inference.fitting.fit", None)
    done = call("run", three, "--out", out, *RUN[:-1], "--resume", "--json")
    assert json.loads(done.stdout) == json.loads(whole["summary.json"])
    assert done.stderr == f"{out}: found the whole run finished\n"
    other = call("run", three, "--out", out, *RUN, "--seed", 4, "--resume", status=2)
    assert "holds the results of another run, for now settings.seed is 4" in other.stderr
    assert "give one" in call("run", three, "--out", out, "--resume", "--force", status=2).stderr


def test_force_starts_anew(three, tmp_path, whole):
    out = tmp_path / "out"
    with Segments.open(out / "parts", {"another": "job"}, resume=True) as segments:
        segments.save("prior-linear", open_tree_of(whole, tmp_path))
    call("run", three, "--out", out, *RUN, "--force")
    assert {name: (out / name).read_bytes() for name in RESULTS} == whole
    assert sorted(path.name for path in out.iterdir()) == sorted(RESULTS)


def open_tree_of(whole, folder):
    (folder / "p.nc").write_bytes(whole["posterior.nc"])
    return open_posterior(folder / "p.nc")


def test_a_full_disk_ends_the_run_at_once(three, tmp_path, whole, monkeypatch):
    from bayes_mesa.storage import atomic_file

    out = tmp_path / "out"

    def full():
        def no_room(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patched.setattr(atomic_file.os, "fsync", no_room)

    with monkeypatch.context() as patched:
        patched.setattr(Segments, "save", after_parts(2, full))
        done = call("run", three, "--out", out, *RUN, status=2)
    assert re.fullmatch(
        rf"{re.escape(str(out / 'parts/prior-levin.nc'))}: no room: No space left on device after "
        r"\d+ bytes; nothing was left behind; --resume goes on\n",
        done.stderr,
    ), done.stderr
    assert parts_of(out / "parts") == {"prior-linear"}
    call("run", three, "--out", out, *RUN, "--resume")
    assert {name: (out / name).read_bytes() for name in RESULTS} == whole


SMALL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from bayes_mesa.interface.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of a file")
def test_a_real_lack_of_room(three, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", SMALL, "10000", "run", str(three), "--out", str(out)]
    done = subprocess.run(
        [*command, "--prior-only", "--quiet"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert re.fullmatch(
        rf"{re.escape(str(out / 'parts/prior-linear.nc'))}: no room: File too large after \d+ "
        r"bytes; nothing was left behind; --resume goes on\n",
        done.stderr,
    ), done.stderr
    assert [path.name for path in (out / "parts").iterdir()] == ["job.json"]


MOUNTED = """
set -e
mount -t tmpfs -o size=300k none "$1"
shift
exec "$@"
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a file system of its own")
def test_a_small_file_system(three, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED, "sh", str(small)]
    if subprocess.run([*own, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("this machine lets no user mount")
    run = [sys.executable, "-m", "bayes_mesa", "run", str(three), "--out", str(small / "out")]
    done = subprocess.run(
        [*own, *run, "--draws", "2000", "--quiet"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "no room: No space left on device after" in done.stderr


def test_a_folder_that_cannot_be_written(three, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refuse)  # the superuser may write anywhere
    done = call("run", three, "--out", tmp_path / "out", *RUN, status=2)
    lock = tmp_path / "out" / "lock"
    assert done.stderr == f"{lock}: cannot be written: Permission denied\n"


def test_two_runs_in_one_folder(three, tmp_path):
    from bayes_mesa.storage.folder_lock import FolderLock

    out = tmp_path / "out"
    out.mkdir()
    for more in ((), ("--force",), ("--resume",)):
        with FolderLock(out):
            done = call("run", three, "--out", out, *RUN, *more, status=2)
        assert (
            f"{out}: must be used by one run at a time, but process {os.getpid()} is at work"
            in (done.stderr)
        )
    assert list(out.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_second_process_is_refused_until_the_first_one_dies(three, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bayes_mesa", "run", str(three), "--out", str(out), "--quiet"]
    with subprocess.Popen([*command, "--draws", "2000000"]) as first:
        deadline = time.monotonic() + 60
        while not (out / "lock").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        second = subprocess.run([*command, "--force"], capture_output=True, text=True, timeout=60)
        first.send_signal(signal.SIGKILL)
    assert second.returncode == 2
    assert f"process {first.pid} is at work" in second.stderr
    third = subprocess.run([*command, "--force", "--draws", "20"], capture_output=True, timeout=120)
    assert third.returncode == 0


# --- kills -----------------------------------------------------------------------------------


def killed(what, model, folder, kills, *options):
    """What `kill_runs` found; nothing unreadable, computed twice, failed, or of other bytes."""
    folder.mkdir()
    command = [sys.executable, str(KILL_RUNS), what, str(model), str(folder), str(kills), "42"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=3000, check=True
    )
    told = json.loads(done.stdout)
    assert told["kills"] == kills
    assert told["ends"] >= 1
    assert [told[name] for name in ("unreadable", "twice", "failed", "other")] == [[]] * 4, told
    return told


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_five_kills(three, tmp_path):
    killed("fit", three, tmp_path / "runs", 5)


@needs_fork
@pytest.mark.slow
def test_two_hundred_kills(three, tmp_path):
    told = killed("run", three, tmp_path / "runs", 200, "--draws", "100")
    assert told["with parts"] > 20
    print(told)


@needs_fork
@pytest.mark.slow
def test_kills_while_nuts_runs(three, tmp_path):
    # Its sums depend on the number of threads, which a machine keeps: here the bytes are equal.
    (tmp_path / "measured.csv").write_text(ROWS)
    three.write_text(THREE + MEASURED)
    told = killed("run", three, tmp_path / "runs", 12, "--draws", "5000", "--chains", "2")
    assert told["with parts"] > 2
    print(told)


def test_the_killer_finds_what_it_is_to_find(tmp_path):
    """A run that writes half a file, makes a part twice, or ends with other bytes is caught."""
    from kill_runs import unreadable

    out = tmp_path / "out"
    with Segments.open(out / "parts", {}, resume=True) as segments:
        import xarray as xr

        segments.save("a", xr.Dataset({"x": np.zeros(3)}))
        assert unreadable(out, {}) == []
        path = out / "parts" / "a.nc"
        path.write_bytes(path.read_bytes()[:-1])
        (out / "summary.json").write_text("{")
        (out / "report.html").write_text("half")
        assert len(unreadable(out, {"report.html": b"whole"})) == 3
