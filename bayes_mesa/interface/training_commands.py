"""The commands about training: `episodes` and `regime`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_mesa.errors import InputError
from bayes_mesa.interface.shell import (
    Chains,
    Draws,
    EvidenceFile,
    Json,
    ModelArgument,
    Quiet,
    Scheduler,
    Seed,
    Warmup,
    Workers,
    as_json_text,
    command,
    evidence_given,
    prepare_folder,
    print_json,
    print_text,
    write_figure,
)

REGIME_FILES = ("regime.json", "regime.png")


@command("episodes", "episodes drift", "episodes drift --from 1e3 --to 1e9 --points 7 --json")
def episodes(
    model: ModelArgument,
    first: Annotated[float, typer.Option("--from", help="Least number of episodes.")] = 1.0,
    last: Annotated[float, typer.Option("--to", help="Largest number of episodes.")] = 1e12,
    points: Annotated[int, typer.Option(help="Points of the curve, evenly on a log scale.")] = 13,
    draws: Draws = 1000,
    chains: Chains = 4,
    seed: Seed = 0,
    evidence: EvidenceFile = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How the verdict moves with the number of training episodes."""
    from bayes_mesa.model_file import load_model

    loaded = load_model(model)
    from bayes_mesa.regimes.episodes import episodes_grid

    grid = episodes_grid(loaded, first, last, points)
    tables = evidence_given(loaded, evidence)
    from bayes_mesa.inference.fitting import fit
    from bayes_mesa.interface.console import episodes_text, progress_bar
    from bayes_mesa.regimes.episodes import episodes_curve, episodes_summary

    with progress_bar(shown=not quiet) as progress:
        post = fit(
            loaded, tables, num_samples=draws, num_chains=chains, seed=seed, progress=progress
        )
        found = episodes_summary(episodes_curve(loaded, post, episodes=grid, progress=progress))
    if as_json:
        print_json(found)
    else:
        print_text(str(found["sentence"]) if quiet else episodes_text(found))


@command(
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
    warmup: Warmup = 1000,
    seed: Seed = 0,
    evidence: EvidenceFile = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for regime.json and regime.png.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier files.")] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
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
    tables = evidence_given(loaded, evidence)
    if out is not None:
        prepare_folder(out, REGIME_FILES, force=force)
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
            workers=workers,
            scheduler=scheduler,
            progress=progress,
        )
        found = summarize_regime(curves)
    files = [] if out is None else _write_regime(found, out)
    if as_json:
        print_json(found)
    else:
        from bayes_mesa.interface.page_text import Page
        from bayes_mesa.interface.regime_text import regime_text

        text = str(found["text"][0]) if quiet else regime_text(found)
        print_text(Page.of(text, files) if files else text)


def _whole_numbers(text: str) -> list[int]:
    parts = text.split(",")
    # More digits than a double can tell apart are no number of rollouts.
    if not all(re.fullmatch(r"\s*[0-9]{1,15}\s*", part, re.ASCII) for part in parts):
        raise InputError(f"--rollouts must be whole numbers parted by commas, found {text!r}")
    return [int(part) for part in parts]


def _write_regime(found: dict[str, Any], folder: Path) -> list[str]:
    from bayes_mesa.plots.regime_plot import plot_regime
    from bayes_mesa.storage.atomic_file import write_text

    summary, plot = (folder / name for name in REGIME_FILES)
    figure, _ = plot_regime(found)
    return [str(write_text(summary, as_json_text(found))), str(write_figure(figure, plot))]
