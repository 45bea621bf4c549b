"""The command about a model at many points: `sweep`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_mesa.errors import InputError
from bayes_mesa.interface.shell import (
    Chains,
    Draws,
    EvidenceFile,
    Force,
    Json,
    ModelArgument,
    PriorOnly,
    Quiet,
    Resume,
    Scheduler,
    Seed,
    Warmup,
    Workers,
    check_evidence,
    check_resume,
    command,
    print_json,
    print_text,
    write_figure,
)

if TYPE_CHECKING:
    pass

PLOT = "sweep.png"


@command(
    "sweep",
    "sweep speed_simplicity --over exchange.linear.rate=1e-2:1e8:log:40 --out rates",
    "sweep speed_simplicity --over structures.slow_deceptive.deploy=base,simplest --out deployed "
    "--scheduler local",
)
def sweep(
    model: ModelArgument,
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="FIELD=VALUES",
            help="A field of the model file, and FROM:TO:log:N, FROM:TO:lin:N or V,V,... Repeat "
            "it for more fields.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for sweep.nc and sweep.png.")],
    draws: Draws = 1000,
    warmup: Warmup = 1000,
    chains: Chains = 4,
    seed: Seed = 0,
    workers: Workers = None,
    scheduler: Scheduler = None,
    resume: Resume = False,
    force: Force = False,
    evidence: EvidenceFile = None,
    prior_only: PriorOnly = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fit a model over a grid of values of its file's fields. The same bytes for any --workers.

    Points that fail are named on standard error; the status is 0 as long as one succeeds.
    """
    check_evidence(prior_only, evidence)
    check_resume(resume, force)
    fields = _fields(over)
    from bayes_mesa.interface.console import progress_bar
    from bayes_mesa.sweeps.sweeping import sweep as swept

    # What failed is told once the bar is gone, and by us: in plain lines, not as Python warns.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with progress_bar(shown=not quiet) as progress:
            found = swept(
                model,
                fields,
                out=out,
                evidence={} if prior_only else evidence,
                num_warmup=warmup,
                num_samples=draws,
                num_chains=chains,
                seed=seed,
                workers=workers,
                scheduler=scheduler,
                resume=resume,
                force=force,
                progress=progress,
            )
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            typer.echo(str(warning.message), err=True)
    from bayes_mesa.interface.sweep_text import sweep_summary, sweep_text
    from bayes_mesa.plots.sweep_plot import plot_sweep
    from bayes_mesa.sweeps.sweeping import SWEEP_FILE

    files = [str(out / SWEEP_FILE), str(write_figure(plot_sweep(found)[0], out / PLOT))]

    if as_json:
        print_json({**sweep_summary(found), "files": files})
    elif not quiet:
        print_text(sweep_text(found, files))


def _fields(over: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in over:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise InputError(f"--over must be FIELD=VALUES, found {text!r}")
        if name in found:
            raise InputError(f"--over must name each field once, found {name} twice")
        found[name] = values
    return found
