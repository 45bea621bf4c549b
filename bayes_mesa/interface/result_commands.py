"""The commands on a result file: `report`, `export`, `prior`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_mesa.errors import InputError
from bayes_mesa.interface.shell import (
    Json,
    Out,
    ResultArgument,
    command,
    print_json,
    print_text,
)

if TYPE_CHECKING:
    from bayes_mesa.handing_on.next_prior import NextPrior


@command("report", "report out/posterior.nc --out report.html")
def report(posterior: ResultArgument, out: Out) -> None:
    """Write the report of a posterior file again."""
    from bayes_mesa.results.store import open_posterior

    tree = open_posterior(posterior)
    from bayes_mesa.pages.report import write_report

    print_text(str(write_report(tree, out)))


@command("export", "export out/posterior.nc --out draws.csv")
def export(posterior: ResultArgument, out: Out) -> None:
    """Write the draws of a posterior file as one flat CSV table."""
    from bayes_mesa.results.flat_table import csv_chunks
    from bayes_mesa.results.store import open_posterior
    from bayes_mesa.storage.atomic_file import write_bytes

    print_text(str(write_bytes(out, csv_chunks(open_posterior(posterior)))))


@command("prior", "prior out/posterior.nc --out next.toml")
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
        print_json(_prior_json(written))
    else:
        print_text(Page.of(next_prior_text(written), str(out)))


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
