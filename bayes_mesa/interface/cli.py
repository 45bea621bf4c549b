"""The command line: `bayes-mesa`. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import functools
import json
import os
import re
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

    from bayes_mesa.domain.model import Model
    from bayes_mesa.handing_on.next_prior import NextPrior

WRONG_INPUT, OUR_FAULT, INTERRUPTED = 2, 1, 130
POSTERIOR, SUMMARY, REPORT, PARTIAL = "posterior.nc", "summary.json", "report.html", "partial.nc"
RUN_FILES = (POSTERIOR, SUMMARY, REPORT, PARTIAL)
REGIME_FILES = ("regime.json", "regime.png")


def _examples(*commands: str) -> str:
    """The end of a help page; the mark keeps its lines apart."""
    lines = "\n".join(f"  bayes-mesa {command}" for command in commands)
    return f"\b\nExamples:\n{lines}"


app = typer.Typer(
    name="bayes-mesa",
    help="How probable is it that training favours a deceptive program, and why?",
    epilog=_examples("check speed_simplicity", "run speed_simplicity --out out"),
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
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same random numbers.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no table.")]
Chains = Annotated[int, typer.Option(min=1, help="Chains.")]
Draws = Annotated[int, typer.Option(min=1, help="Draws per chain.")]


class Method(StrEnum):
    """How programs are drawn."""

    AUTO = "auto"
    EXACT = "exact"
    TEMPERED = "tempered"


class CruxOf(StrEnum):
    """What cruxes explain."""

    FAVORED = "favored"
    MASS = "mass"
    MARGIN = "margin"


CRUX_OF = {
    CruxOf.FAVORED: "deceptive_favored",
    CruxOf.MASS: "deceptive_mass",
    CruxOf.MARGIN: "margin",
}


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"bayes_mesa {version('bayes_mesa')}")
        raise typer.Exit


@app.callback()
def top(
    asked: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Nothing of its own: the help is the application's."""


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


def _command(name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose errors become plain lines on standard error and an exit status.

    ``examples`` stand at the end of its help, without the program's name.
    """

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
            except MemoryError:
                _fail("there is not enough memory for so much: ask for less", WRONG_INPUT)
            except Exception as error:
                _fail(_our_fault(error), OUR_FAULT)

        return app.command(name, epilog=_examples(*examples) if examples else None)(guarded)

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


@_command("models", "models", "models --json")
def models(as_json: Json = False) -> None:
    """List the shipped model files."""
    from bayes_mesa.interface.console import columns
    from bayes_mesa.interface.page_text import Page
    from bayes_mesa.model_file import load_model, shipped_models

    found = [load_model(name) for name in shipped_models()]
    if as_json:
        _print_json([{"name": m.name, "title": m.title, "source": m.source} for m in found])
    else:
        _print(Page.of(columns(("model", "title"), [(m.name, m.title) for m in found])))


@_command("check", "check speed_simplicity", "check my_model.toml --json")
def check(model: ModelArgument, as_json: Json = False) -> None:
    """Validate a model and say what is proved. Prints its costs and where the verdict turns."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.interface.console import checkup_text
    from bayes_mesa.pages.checkup import checkup

    found = checkup(loaded)
    if as_json:
        _print_json(found)
    else:
        _print(checkup_text(found))


@_command(
    "run",
    "run speed_simplicity --out out",
    "run my_model.toml --out out --evidence measured.toml --force",
)
def run(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the three result files.")],
    seed: Seed = 0,
    draws: Draws = 1000,
    warmup: Annotated[int, typer.Option(min=0, help="Warm-up per chain, where NUTS runs.")] = 1000,
    chains: Chains = 4,
    evidence: Annotated[
        Path | None, typer.Option(help="TOML with [evidence.*], added to the model's own.")
    ] = None,
    prior_only: Annotated[
        bool, typer.Option("--prior-only", help="Leave all evidence out.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fit a model and write its report. Beside it: posterior.nc and summary.json."""
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
        from bayes_mesa.interface.console import headline
        from bayes_mesa.interface.page_text import Page

        files = [str(out / name) for name in (POSTERIOR, SUMMARY, REPORT)]
        _print(Page.of(headline(summary), files))


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
    from bayes_mesa.inference.fitting import Interrupted, fit
    from bayes_mesa.interface.console import progress_bar

    try:
        with progress_bar(shown) as progress:
            return fit(model, evidence, progress=progress, **settings)
    except Interrupted as signal:
        if signal.partial is None:
            raise KeyboardInterrupt("nothing was finished") from signal
        from bayes_mesa.results.store import save_posterior

        path = save_posterior(signal.partial, folder / PARTIAL)
        raise KeyboardInterrupt(f"the families that were finished are in {path}") from signal


def _write_results(tree: xr.DataTree, folder: Path) -> dict[str, Any]:
    from bayes_mesa.pages.report import write_report
    from bayes_mesa.results.store import save_posterior, write_text
    from bayes_mesa.results.summary import summarize

    path = save_posterior(tree, folder / POSTERIOR)
    (folder / PARTIAL).unlink(missing_ok=True)
    try:
        summary = summarize(tree)
        write_text(folder / SUMMARY, _as_json(summary))
        write_report(tree, folder / REPORT, summary=summary)
    except KeyboardInterrupt as signal:
        raise KeyboardInterrupt(f"the whole fit is in {path}") from signal
    return summary


@_command(
    "enumerate",
    "enumerate program_space --mass 0.9",
    "enumerate program_space --width 0.01 --json",
)
def enumerate_(
    model: ModelArgument,
    mass: Annotated[float, typer.Option(help="Share of the weight to list.")] = 0.999,
    width: Annotated[
        float | None,
        typer.Option(help="Width of the deceptive mass's interval to reach, instead of --mass."),
    ] = None,
    max_programs: Annotated[int, typer.Option(help="Programs to look at, at most.")] = 10_000_000,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Json = False,
) -> None:
    """List the programs by cost, at the prior medians. The mass of all others is bounded."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.interface.console import enumeration_text, progress_bar
    from bayes_mesa.verdicts.enumeration import enumerate_programs

    with progress_bar(shown=not quiet) as report:

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


@_command(
    "programs",
    "programs speed_simplicity --out programs.nc",
    "programs out/posterior.nc --out programs.nc --seed 2",
)
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
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Draw whole programs. Each is a structure, and store or derive for every fact."""
    model, tree = _model_and_draws(source, draws, chains, seed, shown=not quiet)
    from bayes_mesa.drawing.programs import programs_only, sample_programs
    from bayes_mesa.results.store import save_posterior

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
    found = _program_shares(drawn)
    if as_json:
        _print_json({**found, "file": str(out)})
    elif not quiet:
        from bayes_mesa.interface.console import programs_text
        from bayes_mesa.interface.page_text import Page

        text = programs_text(found["structures"], found["classes"], found["about"])
        _print(Page.of(text, str(out)))


def _model_and_draws(
    source: str, draws: int | None, chains: int | None, seed: int, *, shown: bool
) -> tuple[Model, xr.DataTree]:
    """The model and draws of theta: from a result file, or a fit that gives one per program."""
    if source.endswith(".nc"):
        from bayes_mesa.results.restored import restored_model
        from bayes_mesa.results.store import open_posterior

        tree = open_posterior(source)
        return restored_model(tree), tree
    from bayes_mesa.model_file import load_model

    model = load_model(source)
    from bayes_mesa.inference.fitting import fit
    from bayes_mesa.interface.console import progress_bar

    size = {"num_samples": draws or 1000, "num_chains": chains or 4}
    with progress_bar(shown) as progress:
        return model, fit(model, seed=seed, progress=progress, **size)


def _program_shares(tree: xr.DataTree) -> dict[str, Any]:
    """Shares of the programs by structure and by class, and how they were drawn."""
    import numpy as np

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
    return {"structures": shares, "classes": by_class, "about": about}


@_command("episodes", "episodes drift", "episodes drift --from 1e3 --to 1e9 --points 7 --json")
def episodes(
    model: ModelArgument,
    first: Annotated[float, typer.Option("--from", help="Least number of episodes.")] = 1.0,
    last: Annotated[float, typer.Option("--to", help="Largest number of episodes.")] = 1e12,
    points: Annotated[int, typer.Option(help="Points of the curve, evenly on a log scale.")] = 13,
    draws: Draws = 1000,
    chains: Chains = 4,
    seed: Seed = 0,
    evidence: Annotated[
        Path | None, typer.Option(help="TOML with [evidence.*], added to the model's own.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How the verdict moves with the number of training episodes."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.regimes.episodes import episodes_grid

    grid = episodes_grid(loaded, first, last, points)
    tables = _evidence(loaded, evidence)
    from bayes_mesa.inference.fitting import fit
    from bayes_mesa.interface.console import episodes_text, progress_bar
    from bayes_mesa.regimes.episodes import episodes_curve, episodes_summary

    with progress_bar(shown=not quiet) as progress:
        post = fit(
            loaded, tables, num_samples=draws, num_chains=chains, seed=seed, progress=progress
        )
        found = episodes_summary(episodes_curve(loaded, post, episodes=grid, progress=progress))
    if as_json:
        _print_json(found)
    else:
        _print(str(found["sentence"]) if quiet else episodes_text(found))


@_command(
    "regime",
    "regime rollouts",
    "regime rollouts --rollouts 1,2,4,8 --max-deceptive 0.1 --out regime",
)
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
    chains: Chains = 4,
    warmup: Annotated[int, typer.Option(min=0, help="Warm-up per chain, where NUTS runs.")] = 1000,
    seed: Seed = 0,
    evidence: Annotated[
        Path | None, typer.Option(help="TOML with [evidence.*], added to the model's own.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for regime.json and regime.png.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier files.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Recommend a number of rollouts per episode. Success and deception over all tried."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.regimes.regimes import default_draws, regime_grid
    from bayes_mesa.regimes.regimes import regime as curves_over

    given = None if rollouts is None else _whole_numbers(rollouts)
    regime_grid(loaded, given)  # what cannot be is refused before anything is fitted
    tables = _evidence(loaded, evidence)
    if out is not None:
        _prepare_folder(out, force, REGIME_FILES)
    from bayes_mesa.inference.fitting import fit
    from bayes_mesa.interface.console import progress_bar
    from bayes_mesa.regimes.regime_summary import summarize_regime

    samples = draws or default_draws(loaded)
    with progress_bar(shown=not quiet) as progress:
        post = fit(
            loaded,
            tables,
            num_warmup=warmup,
            num_samples=samples,
            num_chains=chains,
            seed=seed,
            progress=progress,
        )
        curves = curves_over(
            loaded,
            post,
            rollouts=given,
            max_deceptive=max_deceptive,
            num_draws=samples,
            progress=progress,
        )
        found = summarize_regime(curves)
    files = [] if out is None else _write_regime(found, out)
    if as_json:
        _print_json(found)
    else:
        from bayes_mesa.interface.page_text import Page
        from bayes_mesa.interface.regime_text import regime_text

        text = str(found["text"][0]) if quiet else regime_text(found)
        _print(Page.of(text, files) if files else text)


def _whole_numbers(text: str) -> list[int]:
    parts = text.split(",")
    # More digits than a double can tell apart are no number of rollouts.
    if not all(re.fullmatch(r"\s*[0-9]{1,15}\s*", part, re.ASCII) for part in parts):
        raise InputError(f"--rollouts must be whole numbers parted by commas, found {text!r}")
    return [int(part) for part in parts]


def _write_regime(found: dict[str, Any], folder: Path) -> list[str]:
    from io import BytesIO

    from bayes_mesa.plots.regime_plot import plot_regime
    from bayes_mesa.results.store import write_bytes, write_text

    figure, _ = plot_regime(found)
    image = BytesIO()
    # Without the date and the version that Matplotlib adds, the same figures give the same bytes.
    figure.savefig(image, format="png", dpi=175, metadata={"Software": None})
    summary, plot = (folder / name for name in REGIME_FILES)
    return [
        str(write_text(summary, _as_json(found))),
        str(write_bytes(plot, (image.getvalue(),))),
    ]


@_command(
    "compare",
    "compare speed_simplicity discussion",
    "compare before.toml after.toml --json",
    "compare my_model.toml out/posterior.nc",
)
def compare(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="A B", help="Models or posteriors; A against each other one."),
    ],
    draws: Annotated[
        int | None, typer.Option(min=1, help="Draws per chain [1000; fewer where each is slow].")
    ] = None,
    chains: Chains = 4,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """What differs between models, and what each difference does. Its parts add up."""
    from bayes_mesa.comparison.comparing import compare as compared
    from bayes_mesa.interface.comparison_text import comparison_text
    from bayes_mesa.interface.console import progress_bar

    with progress_bar(shown=not quiet) as progress:
        found = compared(
            *sources, num_samples=draws, num_chains=chains, seed=seed, progress=progress
        )
    if as_json:
        _print_json(found.as_dict())
    else:
        _print(str(found) if quiet else comparison_text(found))


@_command(
    "cruxes",
    "cruxes speed_simplicity",
    "cruxes out/posterior.nc --of mass --json",
    "cruxes rollouts --rollouts 8 --payoffs 1,-10,0",
)
def cruxes(
    source: Annotated[
        str, typer.Argument(metavar="POSTERIOR|MODEL", help="A posterior.nc, or a model.")
    ],
    of: Annotated[CruxOf, typer.Option(help="What is explained.")] = CruxOf.FAVORED,
    threshold: Annotated[float, typer.Option(help="Probability that a flip crosses.")] = 0.5,
    payoffs: Annotated[
        str,
        typer.Option(
            metavar="SAFE,DECEPTIVE,STOP", help="Worth of training's two ends, and of stopping."
        ),
    ] = "1,-10,0",
    rollouts: Annotated[
        int | None, typer.Option(help="Decide about training at so many rollouts per episode.")
    ] = None,
    draws: Draws = 1000,
    chains: Chains = 4,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """What the verdict hangs on, belief by belief. What to study, and what would flip it."""
    from bayes_mesa.sensitivity.partial_information import Decision

    parts = [_number(x) for x in payoffs.split(",")]
    if len(parts) != 3 or None in parts:
        raise InputError(f"--payoffs must be three numbers like 1,-10,0, found {payoffs!r}")
    decision = Decision(*(x for x in parts if x is not None))
    model: Model | None = None
    if source.endswith(".nc"):
        from bayes_mesa.results.store import open_posterior

        tree = open_posterior(source)
    else:
        model, tree = _model_and_draws(source, draws, chains, seed, shown=not quiet)
    from bayes_mesa.interface.crux_text import cruxes_text
    from bayes_mesa.sensitivity.crux import cruxes as found_in

    found = found_in(
        tree,
        model,
        of=CRUX_OF[of],
        decision=decision,
        threshold=threshold,
        rollouts=rollouts,
        seed=seed,
    )
    if as_json:
        _print_json(found.as_dict())
    else:
        _print(found.sentence if quiet else cruxes_text(found))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@_command("report", "report out/posterior.nc --out report.html")
def report(posterior: ResultArgument, out: Out) -> None:
    """Write the report of a posterior file again."""
    from bayes_mesa.results.store import open_posterior

    tree = open_posterior(posterior)
    from bayes_mesa.pages.report import write_report

    _print(str(write_report(tree, out)))


@_command("export", "export out/posterior.nc --out draws.csv")
def export(posterior: ResultArgument, out: Out) -> None:
    """Write the draws of a posterior file as one flat CSV table."""
    from bayes_mesa.results.flat_table import csv_chunks
    from bayes_mesa.results.store import open_posterior, write_bytes

    _print(str(write_bytes(out, csv_chunks(open_posterior(posterior)))))


@_command("prior", "prior out/posterior.nc --out next.toml")
def prior(
    posterior: ResultArgument,
    out: Out,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier file.")] = False,
    as_json: Json = False,
) -> None:
    """Write a posterior as the next model's prior. The model file's priors are fitted to it."""
    from bayes_mesa.results.store import open_posterior

    facts = out.with_name(f"{out.stem}_facts.csv")
    if not force and (found := [str(f) for f in (out, facts) if f.exists()]):
        raise InputError(f"{' and '.join(found)} must not exist yet; --force replaces it")
    tree = open_posterior(posterior)
    from bayes_mesa.handing_on.next_prior import as_prior
    from bayes_mesa.interface.console import next_prior_text
    from bayes_mesa.interface.page_text import Page

    written = as_prior(tree, out)
    if as_json:
        _print_json(_prior_json(written))
    else:
        _print(Page.of(next_prior_text(written), str(out)))


def _prior_json(written: NextPrior) -> dict[str, Any]:
    """What the table says, for programs."""
    return {
        "file": str(written.path),
        "priors": {
            fit.slot: {
                "prior": str(fit.prior),
                "ks": fit.ks,
                "errors": list(map(float, fit.errors)),
            }
            for fit in written.fits
        },
        "correlations": [
            {"between": list(map(str, c.between)), "rho": c.rho} for c in written.correlations
        ],
        "acceptance": written.acceptance,
        "warnings": list(written.warnings),
    }


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _print_json(value: Any) -> None:
    _print(_as_json(value).rstrip("\n"))


def _print(text: str) -> None:
    from bayes_mesa.interface.page_text import show

    if show(text, sys.stdout):
        return
    # A name that the terminal's encoding lacks must not end the command.
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(text.encode(encoding, "replace").decode(encoding))
