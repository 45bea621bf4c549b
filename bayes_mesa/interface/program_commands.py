"""The commands about whole programs: `enumerate` and `programs`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_mesa.errors import InputError
from bayes_mesa.interface.shell import (
    Json,
    ModelArgument,
    Out,
    Quiet,
    Seed,
    command,
    model_and_draws,
    print_json,
    print_text,
)

if TYPE_CHECKING:
    import xarray as xr

    from bayes_mesa.domain.model import Model

#: Draws of theta that `programs MODEL` keeps in memory at most, over all chains; and how many it
#: makes where all are the same.
_MOST_THETAS, _ENOUGH = 1_000_000, 1000


class Method(StrEnum):
    """How programs are drawn."""

    AUTO = "auto"
    EXACT = "exact"
    TEMPERED = "tempered"


@command(
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
        print_json(found)
    else:
        print_text(enumeration_text(found))


@command(
    "programs",
    "programs speed_simplicity --out programs.nc",
    "programs out/posterior.nc --out programs.nc --seed 2",
)
def programs(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|POSTERIOR", help="A model, a posterior.nc, or a run's folder."
        ),
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
    model, tree = _model_and_thetas(source, draws, chains, seed, shown=not quiet)
    from bayes_mesa.drawing.written_programs import write_programs

    written = write_programs(
        model,
        tree,
        out,
        method=method.value,
        seed=seed,
        num_draws=draws,
        num_chains=chains,
        threads=threads,
    )
    found = written.structures, written.classes, written.attributes
    if as_json:
        print_json(
            dict(zip(("structures", "classes", "about"), found, strict=True)) | {"file": str(out)}
        )
    elif not quiet:
        from bayes_mesa.interface.console import programs_text
        from bayes_mesa.interface.page_text import Page

        print_text(Page.of(programs_text(*found), str(out)))


def _model_and_thetas(
    source: str, draws: int | None, chains: int | None, seed: int, *, shown: bool
) -> tuple[Model, xr.DataTree]:
    """As `model_and_draws`, but of a model no more draws of theta than memory should hold."""
    from bayes_mesa.results.store import names_result

    thetas = draws
    if draws is not None and not names_result(source):
        if _has_one_theta(source):
            thetas = min(draws, _ENOUGH)
        elif draws * (chains or 4) > _MOST_THETAS:
            raise InputError(
                f"--draws times --chains must be at most {_MOST_THETAS} for a model with uncertain "
                "numbers, which draws as many thetas and keeps them in memory, found "
                f"{draws * (chains or 4)}; fit it first (bayes-mesa run {source} --out DIR) and "
                "draw any number of programs from DIR/posterior.nc: they go through its thetas in "
                "turn"
            )
    return model_and_draws(source, thetas, chains, seed, shown=shown)


def _has_one_theta(source: str) -> bool:
    """Whether a fit of the model gives one theta again and again, so that a few will do."""
    from bayes_mesa.domain.slots import all_known
    from bayes_mesa.inference.inference import believed
    from bayes_mesa.model_file import load_model
    from bayes_mesa.verdicts.engines import TEMPERED, Engines

    model = believed(load_model(source), None)
    # Which draws are of which of several families is chance, and so are estimated masses.
    return len(model.families) == 1 and all_known(model) and Engines.of(model).masses != TEMPERED
