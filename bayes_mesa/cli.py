"""The command line: `bayes-mesa`. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_mesa.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from bayes_mesa.model import Model

WRONG_INPUT, OUR_FAULT, INTERRUPTED = 2, 1, 130
POSTERIOR, SUMMARY, REPORT, PARTIAL = "posterior.nc", "summary.json", "report.html", "partial.nc"
RUN_FILES = (POSTERIOR, SUMMARY, REPORT, PARTIAL)
REGIME_FILES = ("regime.json", "regime.png")

app = typer.Typer(
    name="bayes-mesa",
    help="How probable is it that training favours a deceptive program, and why?",
    no_args_is_help=True,
    add_completion=False,
    # Plain text: help that pipes well, and errors that nothing wraps.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A shipped model's name, or a .toml file."),
]
ResultArgument = Annotated[Path, typer.Argument(metavar="POSTERIOR", help="A posterior.nc.")]
Out = Annotated[Path, typer.Option("--out", help="File to write.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same prior draws.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Method(StrEnum):
    """How programs are drawn."""

    AUTO = "auto"
    EXACT = "exact"
    TEMPERED = "tempered"


def main() -> None:
    """Run the command line; exits with 0, 1 (our fault), 2 (wrong input) or 130 (interrupted)."""
    try:
        app()
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        # All is said and cleaned up; taking the libraries apart would take longer than the stop.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose errors become plain lines on standard error and an exit status."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
            except InputError as error:
                _fail(str(error), WRONG_INPUT)
            except KeyboardInterrupt as signal:
                _fail(_kept(signal), INTERRUPTED)
            except (typer.Exit, typer.Abort, BrokenPipeError):
                raise
            except Exception as error:
                _fail(_our_fault(error), OUR_FAULT)

        return app.command(name)(guarded)

    return register


def _fail(message: str, status: int) -> None:
    # Not typer.echo, not rich: a fault is one line, whatever the width of the terminal.
    sys.stdout.flush()
    sys.stderr.write(f"{message}\n")
    raise typer.Exit(status)


def _kept(signal: KeyboardInterrupt) -> str:
    return f"interrupted: {str(signal) or 'nothing was finished'}"


def _our_fault(error: Exception) -> str:
    if os.environ.get("BAYES_MESA_DEBUG") == "1":
        return traceback.format_exc()
    said = " ".join(str(error).split()) or "no message"
    return (
        f"internal error: {type(error).__name__}: {said} "
        "(not your input's fault; BAYES_MESA_DEBUG=1 shows where)"
    )


@_command("models")
def models(as_json: Json = False) -> None:
    """List the shipped model files."""
    from bayes_mesa.console import columns
    from bayes_mesa.model_file import load_model, shipped_models

    found = [load_model(name) for name in shipped_models()]
    if as_json:
        _print_json([{"name": m.name, "title": m.title, "source": m.source} for m in found])
    else:
        _print(columns(("model", "title"), [(m.name, m.title) for m in found]))


@_command("check")
def check(model: ModelArgument, as_json: Json = False) -> None:
    """Validate a model; print its costs, what is proved, and the critical exchange."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.checkup import checkup
    from bayes_mesa.console import checkup_text

    found = checkup(loaded)
    if as_json:
        _print_json(found)
    else:
        _print(checkup_text(found))


@_command("run")
def run(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the three result files.")],
    seed: Seed = 0,
    draws: Annotated[int, typer.Option(min=1, help="Draws per chain.")] = 1000,
    warmup: Annotated[int, typer.Option(min=0, help="Warm-up per chain, where NUTS runs.")] = 1000,
    chains: Annotated[int, typer.Option(min=1, help="Chains.")] = 4,
    evidence: Annotated[
        Path | None, typer.Option(help="TOML with [evidence.*], added to the model's own.")
    ] = None,
    prior_only: Annotated[
        bool, typer.Option("--prior-only", help="Leave all evidence out.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    as_json: Json = False,
) -> None:
    """Fit a model; write posterior.nc, summary.json and report.html, and print the headline."""
    from bayes_mesa.model_file import load_model

    if prior_only and evidence is not None:
        raise InputError("--prior-only leaves all evidence out; it cannot go with --evidence")
    loaded = load_model(model)
    tables = {} if prior_only else _evidence(loaded, evidence)
    _prepare_folder(out, force)
    settings = {"num_warmup": warmup, "num_samples": draws, "num_chains": chains, "seed": seed}
    tree = _fit(loaded, tables, settings, out, shown=not quiet)
    summary = _write_results(tree, out)
    if as_json:
        _print_json(summary)
    elif not quiet:
        from bayes_mesa.console import headline

        files = [str(out / name) for name in (POSTERIOR, SUMMARY, REPORT)]
        _print("\n".join((headline(summary), "", *files)))


def _evidence(model: Model, path: Path | None) -> dict[str, Any] | None:
    """The model's own evidence and the file's; None when there is no file."""
    if path is None:
        return None
    from bayes_mesa.model_file import load_evidence

    return {t.name: t for t in (*model.evidence, *load_evidence(path, model))}


def _prepare_folder(folder: Path, force: bool, names: Sequence[str] = RUN_FILES) -> None:
    found = [name for name in names if (folder / name).exists()]
    if found and not force:
        raise InputError(
            f"{folder}: must hold no results, found {', '.join(found)}; --force replaces them"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{folder}: must be a folder that can be made: {reason}") from error


def _fit(
    model: Model, evidence: Any, settings: dict[str, int], folder: Path, *, shown: bool
) -> xr.DataTree:
    from bayes_mesa.console import progress_bar
    from bayes_mesa.fitting import Interrupted, fit

    try:
        with progress_bar(shown) as progress:
            return fit(model, evidence, progress=progress, **settings)
    except Interrupted as signal:
        if signal.partial is None:
            raise KeyboardInterrupt("nothing was finished") from signal
        from bayes_mesa.store import save_posterior

        path = save_posterior(signal.partial, folder / PARTIAL)
        raise KeyboardInterrupt(f"the families that were finished are in {path}") from signal


def _write_results(tree: xr.DataTree, folder: Path) -> dict[str, Any]:
    from bayes_mesa.report import write_report
    from bayes_mesa.store import save_posterior, write_text
    from bayes_mesa.summary import summarize

    path = save_posterior(tree, folder / POSTERIOR)
    (folder / PARTIAL).unlink(missing_ok=True)
    try:
        summary = summarize(tree)
        write_text(folder / SUMMARY, _as_json(summary))
        write_report(tree, folder / REPORT)
    except KeyboardInterrupt as signal:
        raise KeyboardInterrupt(f"the whole fit is in {path}") from signal
    return summary


@_command("enumerate")
def enumerate_(
    model: ModelArgument,
    mass: Annotated[float, typer.Option(help="Share of the weight to list.")] = 0.999,
    width: Annotated[
        float | None,
        typer.Option(help="Width of the deceptive mass's interval to reach, instead of --mass."),
    ] = None,
    max_programs: Annotated[int, typer.Option(help="Programs to look at, at most.")] = 10_000_000,
    as_json: Json = False,
) -> None:
    """List the programs by cost, at the prior medians; bound the mass of all others."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.console import enumeration_text, progress_bar
    from bayes_mesa.enumeration import enumerate_programs

    with progress_bar(shown=True) as report:

        def progress(programs: int, _: float) -> None:
            if report is not None:
                report("programs", programs, max_programs)

        found = enumerate_programs(
            loaded, mass, width=width, max_programs=max_programs, progress=progress
        )
    if as_json:
        _print_json(found)
    else:
        _print(enumeration_text(found))


@_command("programs")
def programs(
    source: Annotated[
        str, typer.Argument(metavar="MODEL|POSTERIOR", help="A model, or a posterior.nc.")
    ],
    out: Out,
    method: Annotated[Method, typer.Option(help="How programs are drawn.")] = Method.AUTO,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Programs per chain [1000, or the posterior's].")
    ] = None,
    chains: Annotated[
        int | None, typer.Option(min=1, help="Chains [4, or the posterior's].")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Chains at the same time; changes no byte.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Draw whole programs: structure, and store or derive for every fact."""
    model, tree = _model_and_draws(source, draws, chains, seed)
    from bayes_mesa.programs import programs_only, sample_programs
    from bayes_mesa.store import save_posterior

    drawn = sample_programs(
        model,
        tree,
        method=method.value,
        seed=seed,
        num_draws=draws,
        num_chains=chains,
        threads=threads,
    )
    save_posterior(programs_only(drawn), out)
    _print(f"{_program_shares(drawn)}\n\n{out}")


def _model_and_draws(
    source: str, draws: int | None, chains: int | None, seed: int
) -> tuple[Model, xr.DataTree]:
    """The model and draws of theta: from a result file, or a fit that gives one per program."""
    if source.endswith(".nc"):
        from bayes_mesa.restored import restored_model
        from bayes_mesa.store import open_posterior

        tree = open_posterior(source)
        return restored_model(tree), tree
    from bayes_mesa.model_file import load_model

    model = load_model(source)
    from bayes_mesa.fitting import fit

    return model, fit(model, num_samples=draws or 1000, num_chains=chains or 4, seed=seed)


def _program_shares(tree: xr.DataTree) -> str:
    import numpy as np

    from bayes_mesa.console import programs_text

    codes = tree["programs"]["structure"].to_numpy()
    classes = tree["constant_data"].to_dataset()["structure_class"]
    names = classes["structure"].to_numpy().tolist()
    shares = {str(name): float(np.mean(codes == k)) for k, name in enumerate(names)}
    if np.any(codes < 0):
        shares["nothing fits"] = float(np.mean(codes < 0))
    by_class: dict[str, float] = {}
    for name, of in zip(names, classes.to_numpy().tolist(), strict=True):
        by_class[of] = by_class.get(of, 0.0) + shares[name]
    about = {str(name): x for name, x in tree["programs"].attrs.items()}
    return programs_text(shares, by_class, about)


@_command("episodes")
def episodes(
    model: ModelArgument,
    first: Annotated[float, typer.Option("--from", help="Least number of episodes.")] = 1.0,
    last: Annotated[float, typer.Option("--to", help="Largest number of episodes.")] = 1e12,
    points: Annotated[int, typer.Option(help="Points of the curve, evenly on a log scale.")] = 13,
    draws: Annotated[int, typer.Option(min=1, help="Draws per chain.")] = 1000,
    chains: Annotated[int, typer.Option(min=1, help="Chains.")] = 4,
    seed: Seed = 0,
    evidence: Annotated[
        Path | None, typer.Option(help="TOML with [evidence.*], added to the model's own.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    as_json: Json = False,
) -> None:
    """How the verdict moves with the number of training episodes."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.episodes import episodes_grid

    grid = episodes_grid(loaded, first, last, points)
    tables = _evidence(loaded, evidence)
    from bayes_mesa.console import episodes_text, progress_bar
    from bayes_mesa.episodes import episodes_curve, episodes_summary
    from bayes_mesa.fitting import fit

    with progress_bar(shown=not quiet) as progress:
        post = fit(
            loaded, tables, num_samples=draws, num_chains=chains, seed=seed, progress=progress
        )
        found = episodes_summary(episodes_curve(loaded, post, episodes=grid, progress=progress))
    if as_json:
        _print_json(found)
    else:
        _print(str(found["sentence"]) if quiet else episodes_text(found))


@_command("regime")
def regime(
    model: ModelArgument,
    rollouts: Annotated[
        str | None, typer.Option(metavar="K,K,...", help="Rollouts per episode to try.")
    ] = None,
    max_deceptive: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="P(deceptive favored) that the window allows."),
    ] = 0.05,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Draws per chain [1000; 50 where each is slow].")
    ] = None,
    chains: Annotated[int, typer.Option(min=1, help="Chains.")] = 4,
    seed: Seed = 0,
    evidence: Annotated[
        Path | None, typer.Option(help="TOML with [evidence.*], added to the model's own.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for regime.json and regime.png.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    as_json: Json = False,
) -> None:
    """Success and deception over the rollouts per episode; the number recommended."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.regimes import default_draws, regime_grid
    from bayes_mesa.regimes import regime as curves_over

    grid = regime_grid(loaded, None if rollouts is None else _whole_numbers(rollouts))
    tables = _evidence(loaded, evidence)
    if out is not None:
        _prepare_folder(out, force, REGIME_FILES)
    from bayes_mesa.console import progress_bar
    from bayes_mesa.fitting import fit
    from bayes_mesa.regime_summary import summarize_regime

    samples = draws or default_draws(loaded)
    with progress_bar(shown=not quiet) as progress:
        post = fit(
            loaded, tables, num_samples=samples, num_chains=chains, seed=seed, progress=progress
        )
        curves = curves_over(
            loaded,
            post,
            rollouts=grid,
            max_deceptive=max_deceptive,
            num_draws=samples,
            progress=progress,
        )
        found = summarize_regime(curves)
    files = [] if out is None else _write_regime(found, out)
    if as_json:
        _print_json(found)
    else:
        from bayes_mesa.regime_text import regime_text

        _print("\n".join((str(found["text"][0]) if quiet else regime_text(found), *files)))


def _whole_numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise InputError(f"--rollouts must be whole numbers parted by commas, found {text!r}")
    return [int(part) for part in parts]


def _write_regime(found: dict[str, Any], folder: Path) -> list[str]:
    from io import BytesIO

    from bayes_mesa.regime_plot import plot_regime
    from bayes_mesa.store import write_bytes, write_text

    figure, _ = plot_regime(found)
    image = BytesIO()
    # Without the date and the version that Matplotlib adds, the same figures give the same bytes.
    figure.savefig(image, format="png", dpi=175, metadata={"Software": None})
    summary, plot = (folder / name for name in REGIME_FILES)
    return [
        "",
        str(write_text(summary, _as_json(found))),
        str(write_bytes(plot, (image.getvalue(),))),
    ]


@_command("report")
def report(posterior: ResultArgument, out: Out) -> None:
    """Write the report of a posterior file again."""
    from bayes_mesa.store import open_posterior

    tree = open_posterior(posterior)
    from bayes_mesa.report import write_report

    _print(str(write_report(tree, out)))


@_command("export")
def export(posterior: ResultArgument, out: Out) -> None:
    """Write the draws of a posterior file as one flat CSV table."""
    from bayes_mesa.flat_table import csv_chunks
    from bayes_mesa.store import open_posterior, write_bytes

    _print(str(write_bytes(out, csv_chunks(open_posterior(posterior)))))


@_command("prior")
def prior(
    posterior: ResultArgument,
    out: Out,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier file.")] = False,
) -> None:
    """Write a model file whose priors are fitted to a posterior: the next model's."""
    from bayes_mesa.store import open_posterior

    facts = out.with_name(f"{out.stem}_facts.csv")
    if not force and (found := [str(f) for f in (out, facts) if f.exists()]):
        raise InputError(f"{' and '.join(found)} must not exist yet; --force replaces it")
    tree = open_posterior(posterior)
    from bayes_mesa.console import next_prior_text
    from bayes_mesa.next_prior import as_prior

    written = as_prior(tree, out)
    _print(f"{next_prior_text(written)}\n\n{out}")


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _print_json(value: Any) -> None:
    _print(_as_json(value).rstrip("\n"))


def _print(text: str) -> None:
    # A name that the terminal's encoding lacks must not end the command.
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(text.encode(encoding, "replace").decode(encoding))
