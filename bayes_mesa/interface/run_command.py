"""The commands on a model: `models`, `check`, `run`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_mesa.errors import ResultFileError
from bayes_mesa.interface.run_folder import (
    PARTS,
    REPORT,
    RESULTS,
    SUMMARY,
    finished_before,
    found_finished,
    run_folder,
)
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
    Seed,
    Warmup,
    as_json_text,
    check_evidence,
    check_resume,
    command,
    evidence_given,
    print_json,
    print_text,
)
from bayes_mesa.results.store import PARTIAL, POSTERIOR
from bayes_mesa.storage.segments import clear_parts, holds_parts

if TYPE_CHECKING:
    import xarray as xr

    from bayes_mesa.domain.model import Model
    from bayes_mesa.inference.family_fit import Settings


@command("models", "models", "models --json")
def models(as_json: Json = False) -> None:
    """List the shipped model files."""
    from bayes_mesa.interface.console import columns
    from bayes_mesa.interface.page_text import Page
    from bayes_mesa.model_file import load_model, shipped_models

    found = [load_model(name) for name in shipped_models()]
    if as_json:
        print_json([{"name": m.name, "title": m.title, "source": m.source} for m in found])
    else:
        print_text(Page.of(columns(("model", "title"), [(m.name, m.title) for m in found])))


@command("check", "check speed_simplicity", "check my_model.toml --json")
def check(model: ModelArgument, as_json: Json = False) -> None:
    """Validate a model and say what is proved. Prints its costs and where the verdict turns."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.interface.console import checkup_text
    from bayes_mesa.pages.checkup import checkup

    found = checkup(loaded)
    if as_json:
        print_json(found)
    else:
        print_text(checkup_text(found))


@command(
    "run",
    "run speed_simplicity --out out",
    "run my_model.toml --out out --evidence measured.toml --force",
    "run my_model.toml --out out --evidence measured.toml --resume",
)
def run(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the three result files.")],
    seed: Seed = 0,
    draws: Draws = 1000,
    warmup: Warmup = 1000,
    chains: Chains = 4,
    evidence: EvidenceFile = None,
    prior_only: PriorOnly = False,
    resume: Resume = False,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fit a model and write its report. Beside it: posterior.nc and summary.json."""
    from bayes_mesa.inference.family_fit import Settings
    from bayes_mesa.model_file import load_model

    check_evidence(prior_only, evidence)
    loaded = load_model(model)
    tables = {} if prior_only else evidence_given(loaded, evidence)
    settings = Settings(warmup, draws, chains, seed)
    check_resume(resume, force)
    with run_folder(out, force=force, resume=resume) as parts:
        summary = _resumed(loaded, tables, settings, out, shown=not quiet) if resume else None
        if summary is None:
            tree = _fit(loaded, tables, settings, out, shown=not quiet)
            summary = _write_results(tree, out)
            clear_parts(parts)
    if as_json:
        print_json(summary)
    elif not quiet:
        from bayes_mesa.interface.console import headline
        from bayes_mesa.interface.page_text import Page

        files = [str(out / name) for name in RESULTS]
        print_text(Page.of(headline(summary), files))


def _resumed(
    model: Model, evidence: Any, settings: Settings, folder: Path, *, shown: bool
) -> dict[str, Any] | None:
    """The summary, if the run had ended before; else says what of it is finished."""
    from bayes_mesa.inference.checkpoints import resumable_job
    from bayes_mesa.inference.fitting import what_is_fitted

    job = resumable_job(*what_is_fitted(model, evidence), settings)
    found = finished_before(folder, job)
    if found is not None:
        said = "found the whole run finished"
    else:
        said = found_finished(folder / PARTS, job)
    if shown:
        typer.echo(f"{folder}: {said}", err=True)
    return found


def _fit(
    model: Model, evidence: Any, settings: Settings, folder: Path, *, shown: bool
) -> xr.DataTree:
    from bayes_mesa.inference.fitting import Interrupted, fit
    from bayes_mesa.interface.console import progress_bar

    try:
        with progress_bar(shown) as progress:
            return fit(
                model, evidence, **asdict(settings), progress=progress, checkpoint=folder / PARTS
            )
    except ResultFileError as error:
        raise ResultFileError(f"{error}{_going_on(folder)}") from error
    except Interrupted as signal:
        if signal.partial is None:
            said = "nothing was finished"
        else:
            from bayes_mesa.results.store import save_posterior

            path = save_posterior(signal.partial, folder / PARTIAL)
            said = f"the families that were finished are in {path}"
        raise KeyboardInterrupt(f"{said}{_going_on(folder)}") from signal


def _going_on(folder: Path) -> str:
    return "; --resume goes on" if holds_parts(folder / PARTS) else ""


def _write_results(tree: xr.DataTree, folder: Path) -> dict[str, Any]:
    from bayes_mesa.pages.report import write_report
    from bayes_mesa.results.store import save_posterior
    from bayes_mesa.results.summary import summarize
    from bayes_mesa.storage.atomic_file import write_text

    path = save_posterior(tree, folder / POSTERIOR)
    (folder / PARTIAL).unlink(missing_ok=True)
    try:
        summary = summarize(tree)
        write_text(folder / SUMMARY, as_json_text(summary))
        write_report(tree, folder / REPORT, summary=summary)
    except KeyboardInterrupt as signal:
        raise KeyboardInterrupt(f"the whole fit is in {path}{_going_on(folder)}") from signal
    return summary
