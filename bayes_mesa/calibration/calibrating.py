"""The door: calibrate a model's fit, its samplers of programs, or the transitions of NUTS."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.calibration.calibration_result import Calibration
from bayes_mesa.calibration.job import AVERAGE, Job
from bayes_mesa.domain.model import Model, given_model
from bayes_mesa.errors import InputError
from bayes_mesa.inference.family_fit import checked_seed
from bayes_mesa.parallel.environment import versions
from bayes_mesa.parallel.tasks import Outcome, run_tasks
from bayes_mesa.storage.fingerprint import fingerprint
from bayes_mesa.storage.segments import Segments, differences

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[str, int, int], None]

#: What can be calibrated, and how many simulations that takes by default: a fit costs more.
SIMULATIONS: Mapping[str, int] = {
    "fit": 1000,
    AVERAGE: 500,
    "exact": 3000,
    "tempered": 3000,
    "transitions": 1000,
}
#: Simulations in a block, which is what a killed run loses at most of each worker.
_BLOCK = {"fit": 10, AVERAGE: 5, "exact": 50, "tempered": 50, "transitions": 10}
_WITH_NUTS = ("fit", AVERAGE, "transitions")
#: What a chain says of itself.
_ABOUT = ("iterations", "ess", "divergences")


class Interrupted(KeyboardInterrupt):
    """The calibration was interrupted; ``partial`` holds what was finished, or is None."""

    def __init__(self, partial: Calibration | None, done: int, total: int, kept: Path | None):
        self.partial = partial
        where = f" and are kept in {kept}: --resume goes on" if kept else ""
        super().__init__(f"{done:,} of {total:,} simulations were finished{where}")


def calibrate(
    model: Model,
    design: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    of: str = "fit",
    num_simulations: int | None = None,
    num_draws: int = 99,
    num_warmup: int = 400,
    num_samples: int = 500,
    num_rounds: int = 10,
    level: float = 0.01,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Calibration:
    """Check that draws come from the distribution that they are said to come from.

    Simulation-based calibration (Talts et al. 2018): a truth is drawn from the prior, data at the
    truth, and the truth is ranked among draws of the posterior. Over simulations the ranks are
    uniform if everything in between is right, and only then for every quantity.

    Parameters
    ----------
    model
        From `load_model`.
    design
        Where a fit is calibrated: what `simulate_evidence` takes, evidence without its outcomes.
        None: the rows of the model's own evidence or, without any, one measurement of every
        uncertain cost, with a noise of sd 1 in its logarithm.
    of
        ``fit``: the whole path, prior → evidence → NUTS → verdict, each family in turn; ranked are
        every uncertain slot, the joint log likelihood, the log prior, the deceptive mass, the
        margin and the critical exchange. ``average``: `fit` itself, at truths of families drawn by
        their weights; ranked are the family, the slots that all families share, the joint log
        likelihood, the deceptive mass and the margin. ``exact`` and ``tempered``: the samplers of
        programs at thetas from the prior; ranked are bits, steps, log weight, structure, facts
        stored and, with a grammar, nodes. ``transitions``: Geweke's test of single transitions of
        NUTS.
    num_simulations
        By default 3000 for samplers of programs, 1000 for ``fit`` and ``transitions``, 500 for
        ``average``.
    num_draws
        Draws that a truth is ranked among, at most: chains are thinned to about independent draws,
        and keep at least half as many where twice sixteen-fold longer chains can.
    num_warmup, num_samples
        Iterations of NUTS.
    num_rounds
        For ``transitions``: transitions, and data drawn anew, in each simulation.
    level
        Probability that a fault is found where there is none, over all quantities.
    seed
        Simulation k draws from child k of it. Without NUTS the results are byte for byte the same
        for any number of workers.
    workers, scheduler
        As `sweep` takes them: threads; ``"local"`` or the address of a Dask scheduler. In one
        process simulations with NUTS run one after another, whatever ``workers`` is: NumPyro
        traces one program at a time. Processes (``"local"``) run several.
    checkpoint, resume, force
        Folder for finished blocks; whether to go on from those in it, or to remove them.
    progress
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Calibration
        Its ``verdict`` is a sentence; ``passed``, ``tests``, ``power`` and ``data`` are the rest.

    Raises
    ------
    InputError
        Bad settings, a design that does not fit the model, a folder with other parts; or if every
        simulation fails.
    RefusedError
        If the model's programs cannot be drawn exactly and that is asked for or needed.
    Interrupted
        On Ctrl-C, with what was finished.
    """
    _check(of, num_simulations, num_draws, level)
    total = num_simulations or SIMULATIONS[of]
    lengths = {"num_warmup": num_warmup, "num_samples": num_samples, "num_rounds": num_rounds}
    job, function, truth = _job(model, design, of, num_draws, checked_seed(seed), lengths)
    block, found = _BLOCK[of], dict[int, "xr.Dataset"]()
    folder = None if checkpoint is None else Path(checkpoint)

    def result() -> Calibration | None:
        if not found:
            return None
        data = _joined([found[k] for k in sorted(found)])
        data.attrs = {
            "of": of,
            "model": job.model.name,
            "model_sha256": job.model.sha256,
            "seed": job.seed,
            "num_draws": num_draws,
            "truth": truth,
            "calibration": json.dumps(_described(job, total)),
        }
        return Calibration(data, level)

    with _parts(folder, job, total, resume=resume, force=force) as parts:
        if parts is not None:
            for name in parts.names():
                if (tree := parts.load(name)) is not None:
                    found[int(name)] = tree.to_dataset()

        def on_block(number: int, outcomes: list[Outcome]) -> None:
            found[number] = _block(job, number * block, outcomes)
            if parts is not None:
                parts.save(f"{number:06d}", found[number])

        try:
            run_tasks(
                functools.partial(function, job),
                range(total),
                block=block,
                on_block=on_block,
                done=set(found),
                workers=1 if scheduler is None and of in _WITH_NUTS else workers,
                scheduler=scheduler,
                stage="simulations",
                progress=progress,
            )
        except KeyboardInterrupt as signal:
            done = sum(x.sizes["simulation"] for x in found.values())
            raise Interrupted(result(), done, total, folder) from signal
    whole = result()
    assert whole is not None  # noqa: S101 - there is at least one simulation
    if not whole.num_simulations:
        why = next(iter(whole.failed))
        raise InputError(f"every simulation must not fail, but all {total:,} did: {why}")
    return whole


def recalled(
    data: xr.Dataset,
    model: Model,
    design: Mapping[str, Mapping[str, Any]] | None,
    *,
    of: str,
    num_simulations: int | None,
    seed: int,
) -> Calibration:
    """A calibration that was finished before, from its data; all else as `calibrate` has it.

    Raises
    ------
    InputError
        If the data are of another calibration; says what differs.
    """
    usual = {n: p.default for n, p in signature(calibrate).parameters.items()}
    lengths = {n: usual[n] for n in ("num_warmup", "num_samples", "num_rounds")}
    job, _, _ = _job(model, design, of, usual["num_draws"], checked_seed(seed), lengths)
    now = json.loads(json.dumps(_described(job, num_simulations or SIMULATIONS[of])))
    if differing := differences(json.loads(data.attrs.get("calibration", "{}")), now):
        raise InputError(
            "can go on only with the calibration that was begun, but now "
            f"{'; '.join(differing)}: name another folder, or start anew with --force"
        )
    return Calibration(data, usual["level"])


def _check(of: str, num_simulations: Any, num_draws: Any, level: Any) -> None:
    if of not in SIMULATIONS:
        raise InputError(f"of must be one of {', '.join(SIMULATIONS)}, found {of!r}")
    for name, value, least in (
        ("num_simulations", 1 if num_simulations is None else num_simulations, 1),
        ("num_draws", num_draws, 9),
    ):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} must be a whole number >= {least}, found {value!r}")
    if not isinstance(level, float) or not 0.0 < level < 1.0:
        raise InputError(f"level must be a number between 0 and 1, found {level!r}")


def _job(
    model: Model, design: Any, of: str, num_draws: int, seed: int, lengths: Mapping[str, int]
) -> tuple[Job, Callable[[Job, int], Any], str]:
    """The job, what runs one simulation of it, and where its truths come from."""
    from bayes_mesa.inference.inference import believed
    from bayes_mesa.verdicts.program_list import with_listed

    model = with_listed(believed(given_model(model), {}))
    if of in ("exact", "tempered"):
        from bayes_mesa.calibration import program_simulation as programs

        if design is not None:
            raise InputError(f"design must be left out where {of} is calibrated: there is no data")
        truth = f"theta from the prior; the program {programs.independent_route(model, of)}"
        function = programs.simulate_exact if of == "exact" else programs.simulate_tempered
        return Job(of, model, seed, num_draws, {}), function, truth
    from bayes_mesa.calibration.fit_simulation import own_design, simulate_fit
    from bayes_mesa.inference.family_fit import Settings

    Settings(lengths["num_warmup"], lengths["num_samples"], 1, seed)
    if lengths["num_rounds"] < 1:
        raise InputError(f"num_rounds must be >= 1, found {lengths['num_rounds']!r}")
    chosen = own_design(model) if design is None else dict(design)
    truth = f"theta and evidence from the model; {_told(chosen, given=design is not None)}"
    function = simulate_fit
    if of == "transitions":
        from bayes_mesa.calibration.transition_simulation import simulate_transitions

        function = simulate_transitions
    elif of == AVERAGE:
        from bayes_mesa.calibration.average_simulation import simulate_average

        function = simulate_average
    return Job(of, model, seed, num_draws, {"design": chosen, **lengths}), function, truth


def _told(design: Mapping[str, Any], *, given: bool) -> str:
    if given:
        return "the design was given"
    if list(design) == ["measured"]:
        return "the model has no evidence, so every uncertain cost is measured once"
    return "the rows are those of the model's own evidence"


def _parts(
    folder: Path | None, job: Job, total: int, *, resume: bool, force: bool
) -> Any:  # a context manager that gives Segments or None
    if folder is None:
        return nullcontext(None)
    return Segments.open(folder, _described(job, total), resume=resume, force=force)


def _described(job: Job, total: int) -> dict[str, Any]:
    """All that the result hangs on: a calibration goes on only with the same."""
    return {
        "kind": "calibration",
        "of": job.of,
        "model": fingerprint(job.model),
        "settings": fingerprint(job.settings),
        "seed": job.seed,
        "num_draws": job.num_draws,
        "num_simulations": total,
        "versions": versions(),
    }


def _block(job: Job, first: int, outcomes: list[Outcome]) -> xr.Dataset:
    """A run of simulations as a data set; quantities in the order in which they came."""
    import xarray as xr

    every = [x.value["ranks"] if x.value else {} for x in outcomes]
    names = list(dict.fromkeys(name for ranks in every for name in ranks)) or [""]
    missing = (-1, np.nan)
    rank, uniform = (
        np.array([[ranks.get(name, missing)[k] for name in names] for ranks in every])
        for k in (0, 1)
    )
    about = {
        name: [x.value["about"].get(name, np.nan) if x.value else np.nan for x in outcomes]
        for name in _ABOUT
    }
    numbers = np.arange(first, first + len(outcomes))
    return xr.Dataset(
        {
            "rank": (("simulation", "quantity"), rank.astype(np.int64)),
            "uniform": (("simulation", "quantity"), uniform.astype(float)),
            "draws": ("simulation", [x.value["draws"] if x.value else 0 for x in outcomes]),
            "error": ("simulation", np.array([x.error for x in outcomes], dtype=str)),
            **{name: ("simulation", np.array(x, dtype=float)) for name, x in about.items()},
        },
        coords={
            "simulation": numbers,
            "quantity": names,
            "family": ("simulation", [job.family(int(k)).name for k in numbers]),
        },
    )


def _joined(blocks: list[xr.Dataset]) -> xr.Dataset:
    import xarray as xr

    names = list(dict.fromkeys(str(n) for b in blocks for n in b["quantity"].to_numpy()))
    wanted = [n for n in names if n] or [""]
    fill = {"rank": -1, "uniform": np.nan}
    whole = [b.reindex(quantity=wanted, fill_value=fill) for b in blocks]
    joined = xr.concat(whole, dim="simulation", join="exact")
    # In one order, that blocks read from a file have lost: the same bytes when it is written.
    ordered = {str(n): joined[n].variable for n in sorted(joined.coords, key=str)}
    return xr.Dataset({n: x.variable for n, x in joined.data_vars.items()}, ordered)
