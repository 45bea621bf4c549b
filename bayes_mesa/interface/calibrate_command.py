"""The command about the tool itself: `calibrate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_mesa.errors import InputError
from bayes_mesa.interface.shell import (
    Force,
    Json,
    ModelArgument,
    Quiet,
    Resume,
    Scheduler,
    Seed,
    Workers,
    as_json_text,
    check_resume,
    command,
    evidence_given,
    prepare_folder,
    print_json,
    print_text,
    write_figure,
)
from bayes_mesa.storage.atomic_file import write_text
from bayes_mesa.storage.segments import clear_parts, holds_parts

if TYPE_CHECKING:
    import xarray as xr

    from bayes_mesa.calibration.calibration_result import Calibration
    from bayes_mesa.domain.model import Model

DATA, SUMMARY, PLOT, PARTS = "calibration.nc", "calibration.json", "calibration.png", "parts"


class Of(StrEnum):
    """What is calibrated."""

    FIT = "fit"
    AVERAGE = "average"
    EXACT = "exact"
    TEMPERED = "tempered"
    TRANSITIONS = "transitions"


@command(
    "calibrate",
    "calibrate my_model.toml --out calibration",
    "calibrate program_space --of tempered --simulations 300",
    "calibrate my_model.toml --out calibration --resume",
)
def calibrate(
    model: ModelArgument,
    of: Annotated[
        Of,
        typer.Option(
            "--of", help="Fits by family, their average, a sampler of programs, or steps of NUTS."
        ),
    ] = Of.FIT,
    simulations: Annotated[
        int | None,
        typer.Option(
            min=1, help="Simulations [1000; 500 for average, 3000 for exact and tempered]."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help=f"Folder for {DATA}, {SUMMARY} and {PLOT}."),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", help="TOML with [evidence.*]: its rows too, outcomes drawn."),
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    scheduler: Scheduler = None,
    resume: Resume = False,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check that fits and samplers draw from what they say.

    The status is 0 whatever the verdict: --json says it under "passed".
    """
    check_resume(resume, force)
    if resume and out is None:
        raise InputError("--resume needs --out, the folder to go on in")
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    design = _design(loaded, evidence)
    from bayes_mesa.calibration.calibrating import calibrate as calibrated
    from bayes_mesa.calibration.calibrating import recalled
    from bayes_mesa.interface.console import progress_bar

    asked: dict[str, Any] = {"of": of.value, "num_simulations": simulations, "seed": seed}
    parts = None if out is None else out / PARTS
    finished = _finished(out) if out is not None and resume else None
    if finished is not None:
        found = recalled(finished, loaded, design, **asked)
    else:
        if out is not None:
            # Killed while it wrote its files, it goes on from the parts that are still there.
            goes_on = resume and holds_parts(out / PARTS)
            prepare_folder(out, (DATA, SUMMARY, PLOT), force=force or goes_on)
        with progress_bar(shown=not quiet) as progress:
            found = calibrated(
                loaded,
                design,
                **asked,
                workers=workers,
                scheduler=scheduler,
                checkpoint=parts,
                resume=resume,
                force=force,
                progress=progress,
            )
    files = [] if out is None or parts is None else _write(found, out, parts, anew=finished is None)
    if as_json:
        print_json({**found.as_dict(), "files": files})
    else:
        from bayes_mesa.interface.calibration_text import calibration_text
        from bayes_mesa.interface.page_text import Page

        text = found.verdict if quiet else calibration_text(found)
        print_text(Page.of(text, files) if files else text)


def _finished(out: Path) -> xr.Dataset | None:
    """The data of a folder where nothing is left to be computed."""
    from bayes_mesa.storage.netcdf_file import open_tree

    if holds_parts(out / PARTS) or not (out / DATA).exists():
        return None
    return open_tree(out / DATA).to_dataset()


def _design(model: Model, path: Path | None) -> dict[str, dict[str, Any]] | None:
    """Rows of the model's own evidence and of a file's, without their outcomes."""
    tables = evidence_given(model, path)
    if tables is None:
        return None
    from bayes_mesa.calibration.fit_simulation import design_of

    return design_of(tables.values())


def _write(found: Calibration, out: Path, parts: Path, *, anew: bool) -> list[str]:
    """Write the three files, the data only ``anew``; take away the parts that they were made of."""
    import xarray as xr

    from bayes_mesa.plots.calibration_plot import plot_calibration
    from bayes_mesa.storage.netcdf_file import save_tree

    if anew:
        save_tree(xr.DataTree(found.data), out / DATA)
    write_text(out / SUMMARY, as_json_text(found.as_dict()))
    written = [out / DATA, out / SUMMARY]
    if found.tests:
        written.append(write_figure(plot_calibration(found)[0], out / PLOT))
    clear_parts(parts)
    return [str(path) for path in written]
