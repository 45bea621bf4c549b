"""What all commands share: the application, exit statuses, options, input, and printing."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_mesa.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from bayes_mesa.domain.model import Model

WRONG_INPUT, OUR_FAULT, INTERRUPTED = 2, 1, 130


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
ResultArgument = Annotated[
    Path, typer.Argument(metavar="POSTERIOR", help="A posterior.nc, or a run's folder.")
]
Out = Annotated[Path, typer.Option("--out", help="File to write.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same random numbers.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no table.")]
Chains = Annotated[int, typer.Option(min=1, help="Chains.")]
Draws = Annotated[int, typer.Option(min=1, help="Draws per chain.")]
EvidenceFile = Annotated[
    Path | None,
    typer.Option("--evidence", help="TOML with [evidence.*], added to the model's own."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace earlier results.")]
Warmup = Annotated[int, typer.Option(min=0, help="Warm-up per chain, where NUTS runs.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from what is finished in the folder.")
]
PriorOnly = Annotated[bool, typer.Option("--prior-only", help="Leave all evidence out.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="At the same time [one for each processor]."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="local|ADDRESS",
        help="Dask: processes of this machine, or a scheduler's address [threads].",
    ),
]


def command(name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
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


def evidence_given(model: Model, path: Path | None) -> dict[str, Any] | None:
    """The model's own evidence and the file's; None when there is no file."""
    if path is None:
        return None
    from bayes_mesa.model_file import load_evidence

    return {t.name: t for t in (*model.evidence, *load_evidence(path, model))}


def check_evidence(prior_only: bool, path: Path | None) -> None:
    """Refuse evidence that is given and left out at once."""
    if prior_only and path is not None:
        raise InputError("--prior-only leaves all evidence out; it cannot go with --evidence")


def check_resume(resume: bool, force: bool) -> None:
    """Refuse to keep what is there and to remove it."""
    if resume and force:
        raise InputError("--resume keeps what is finished, --force removes it: give one of them")


def prepare_folder(folder: Path, names: Sequence[str], *, force: bool) -> None:
    """Make a folder for results; refuses one that holds any of ``names``, but for ``force``."""
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


def model_and_draws(
    source: str, draws: int | None, chains: int | None, seed: int, *, shown: bool
) -> tuple[Model, xr.DataTree]:
    """The model and draws of theta: from a result file, or a fit that gives one per program."""
    from bayes_mesa.results.store import names_result, open_posterior

    if names_result(source):
        from bayes_mesa.results.restored import restored_model

        tree = open_posterior(source)
        return restored_model(tree), tree
    from bayes_mesa.model_file import load_model

    model = load_model(source)
    from bayes_mesa.inference.fitting import fit
    from bayes_mesa.interface.console import progress_bar

    with progress_bar(shown) as progress:
        return model, fit(
            model,
            num_samples=draws or 1000,
            num_chains=chains or 4,
            seed=seed,
            progress=progress,
        )


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, atomically; the same figure gives the same bytes."""
    from io import BytesIO

    from bayes_mesa.storage.atomic_file import write_bytes

    image = BytesIO()
    # Without the date and the version that Matplotlib adds.
    figure.savefig(image, format="png", dpi=175, metadata={"Software": None})
    return write_bytes(path, (image.getvalue(),))


def as_json_text(value: Any) -> str:
    """JSON as every command and file has it: indented, finite, UTF-8, ending in a newline."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print_text(as_json_text(value).rstrip("\n"))


def print_text(text: str) -> None:
    """Print text, its tables drawn where a terminal shows it."""
    from bayes_mesa.interface.page_text import show

    if show(text, sys.stdout):
        return
    # A name that the terminal's encoding lacks must not end the command.
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(text.encode(encoding, "replace").decode(encoding))
