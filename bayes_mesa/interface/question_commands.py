"""The commands about a verdict's reasons: `compare` and `cruxes`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_mesa.errors import InputError
from bayes_mesa.interface.shell import (
    Chains,
    Draws,
    Json,
    Quiet,
    Seed,
    command,
    model_and_draws,
    print_json,
    print_text,
)

if TYPE_CHECKING:
    from bayes_mesa.domain.model import Model


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


@command(
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
        print_json(found.as_dict())
    else:
        print_text(str(found) if quiet else comparison_text(found))


@command(
    "cruxes",
    "cruxes speed_simplicity",
    "cruxes out/posterior.nc --of mass --json",
    "cruxes rollouts --rollouts 8 --payoffs 1,-10,0",
)
def cruxes(
    source: Annotated[
        str,
        typer.Argument(
            metavar="POSTERIOR|MODEL", help="A posterior.nc, a run's folder, or a model."
        ),
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
    from bayes_mesa.results.store import names_result, open_posterior

    if names_result(source):
        tree = open_posterior(source)
    else:
        model, tree = model_and_draws(source, draws, chains, seed, shown=not quiet)
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
        print_json(found.as_dict())
    else:
        print_text(found.sentence if quiet else cruxes_text(found))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
