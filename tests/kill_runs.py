"""Runs killed at random and gone on with: ``python kill_runs.py WHAT MODEL FOLDER KILLS SEED``.

WHAT is ``fit``, `bm.fit` without evidence and its posterior saved, or ``run``, the command with the
options that follow. Each is a child, forked from a process that has imported what it needs and has
drawn nothing.

Prints as JSON how many were killed and how many ended, what could not be read afterwards, what was
computed although it was finished, and which of those that ended left other bytes than one that
nothing had disturbed.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import xarray as xr

from bayes_mesa.errors import InputError
from bayes_mesa.interface.run_folder import PARTS, POSTERIOR, REPORT, RESULTS, SUMMARY
from bayes_mesa.results.store import open_posterior, save_posterior
from bayes_mesa.storage.netcdf_file import open_tree
from bayes_mesa.storage.segments import JOB_FILE, Segments, clear_parts

FIT, RUN = "fit", "run"
IN_ADVANCE = {
    FIT: "bayes_mesa.inference.fitting bayes_mesa.model_file h5netcdf scipy.stats",
    RUN: "arviz bayes_mesa.interface.cli bayes_mesa.inference.fitting bayes_mesa.pages.report "
    "bayes_mesa.results.summary h5netcdf jax matplotlib.pyplot numpyro scipy.stats xarray",
}
WRITTEN = {FIT: (POSTERIOR,), RUN: RESULTS}
AT_MOST = 900


def fit_and_save(model, out):
    from bayes_mesa.inference.fitting import fit
    from bayes_mesa.model_file import load_model

    out.mkdir(exist_ok=True)
    tree = fit(load_model(model), {}, num_samples=500, checkpoint=out / PARTS)
    # Only one group of it: most of the time is to be that of the parts.
    saved = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()})
    saved.attrs = tree.attrs
    save_posterior(saved, out / POSTERIOR)
    clear_parts(out / PARTS)


def run_command(model, out, options):
    from bayes_mesa.inference import nuts
    from bayes_mesa.interface import cli

    nuts.PERIOD = 0.1
    sys.argv = ["bayes-mesa", "run", str(model), *options, "--quiet", "--resume", "--out", str(out)]
    cli.main()


def started(what, log):
    """Process number of a child that does it, and writes down every part that it has computed."""
    child = os.fork()
    if child:
        return child
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    save = Segments.save

    def noted(self, name, tree):
        with log.open("a") as file:
            file.write(f"{name}\n")
        save(self, name, tree)

    Segments.save = noted
    status = 1
    with contextlib.suppress(BaseException):
        try:
            what()
            status = 0
        except SystemExit as end:
            status = end.code or 0
    os._exit(status)


def ended(child, seconds):
    """The child's exit status, or None if it had to be killed after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return None if code == -signal.SIGKILL else code


def unreadable(folder, whole):
    """Files that a reader of the folder cannot open, or a report that is not that of ``whole``."""
    faults = []
    for path in [*folder.glob(f"{PARTS}/*.nc"), *folder.glob(POSTERIOR)]:
        try:
            (open_posterior if path.name == POSTERIOR else open_tree)(path)
        except InputError as error:
            faults.append(str(error))
    for path in [*folder.glob(f"{PARTS}/{JOB_FILE}"), *folder.glob(SUMMARY)]:
        try:
            json.loads(path.read_text())
        except ValueError as error:
            faults.append(f"{path}: {error}")
    report = folder / REPORT
    if report.exists() and report.read_bytes() != whole[REPORT]:
        faults.append(f"{report}: other bytes")
    return faults


def finished(folder):
    """Names of the parts that are there; nothing of a fit that is being cleared away."""
    parts = folder / PARTS
    return {path.stem for path in parts.glob("*.nc")} if (parts / JOB_FILE).exists() else set()


def killed_runs(of, written, folder, kills, seed):
    """The figures of the module's first lines; ``of(folder)`` is what is killed so many times."""
    rng = np.random.default_rng(seed)
    log = folder / "computed"
    start = time.monotonic()
    assert ended(started(lambda: of(folder / "whole"), log), AT_MOST) == 0
    duration = time.monotonic() - start
    whole = {name: (folder / "whole" / name).read_bytes() for name in written}
    told = {"kills": 0, "ends": 0, "unreadable": [], "twice": [], "other": [], "failed": []}
    told |= {"with parts": 0, "parts": len(log.read_text().split()), "seconds": round(duration, 2)}
    out = folder / "out"
    while told["kills"] < kills or not told["ends"]:
        log.unlink(missing_ok=True)
        before = finished(out)
        # Rather early, where the parts are made, than late, where the report is written. After
        # the last kill nothing disturbs any more.
        patience = 1.3 * duration * rng.random() ** 2 if told["kills"] < kills else AT_MOST
        status = ended(started(lambda: of(out), log), patience)
        told["twice"] += sorted(before & set(log.read_text().split())) if log.exists() else []
        told["unreadable"] += unreadable(out, whole)
        told["with parts"] += bool(before)
        if status is None:
            told["kills"] += 1
            continue
        told["ends"] += 1
        told["failed"] += [status] if status else []
        told["other"] += [n for n in written if (out / n).read_bytes() != whole[n]]
        told["other"] += sorted(path.name for path in out.iterdir() if path.name not in written)
        shutil.rmtree(out)
    return told


if __name__ == "__main__":
    what, model, folder, kills, seed, *options = sys.argv[1:]
    with warnings.catch_warnings():
        # A fork after JAX is imported is warned of; nothing of it has run yet.
        warnings.simplefilter("ignore")
        for name in IN_ADVANCE[what].split():
            import_module(name)
        of = {
            FIT: lambda out: fit_and_save(model, out),
            RUN: lambda out: run_command(model, out, options),
        }
        told = killed_runs(of[what], WRITTEN[what], Path(folder), int(kills), int(seed))
    print(json.dumps(told))
