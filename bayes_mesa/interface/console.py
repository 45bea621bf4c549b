"""What the commands print: text in columns, which `page_text` draws better in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bayes_mesa.domain.model import CLASSES
from bayes_mesa.interface.page_text import Page, Table, one_line
from bayes_mesa.text.number_text import (
    error_text,
    interval_text,
    number_text,
    percent_text,
    probability_text,
)
from bayes_mesa.text.wording import shortened

if TYPE_CHECKING:
    from bayes_mesa.handing_on.next_prior import NextPrior

#: Programs in a table for the terminal; --json has more.
_MOST_ROWS = 25
#: Listed programs of a grammar in the headline, and characters of their names.
_MOST_PROGRAMS, _LONGEST_NAME = 8, 44
#: Under the table of `next_prior_text`.
_PRIOR_COLUMNS = (
    "KS: the largest distance between the distribution functions of the prior and of the draws "
    "(Kolmogorov-Smirnov). Off by: how far the prior's quantiles are from those of the draws."
)
#: What results call the programs of a class that are not listed one by one.
_REST = tuple(f"other_{name}" for name in CLASSES)

Report = Callable[[str, int, int], None]


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Left-aligned columns, two spaces apart; nothing is ever wrapped or cut."""
    return Table(header, rows)


def headline(summary: Mapping[str, Any]) -> Page:
    """Both estimands by exchange family and by structure, and the warnings."""
    families = [_headline_row("average", "", summary)]
    if "with_path" in summary:
        families.append(_headline_row("with path", "", summary["with_path"]))
    families += [
        _headline_row(name, probability_text(f["weight"]), f)
        for name, f in summary["by_exchange"].items()
    ]
    header = ("exchange", "weight", "deceptive favored", "90 %", "deceptive mass", "90 % of draws")
    return Page.of(
        columns(header, families),
        _headline_structures(summary["structures"]),
        *(f"warning: {one_line(w)}" for w in summary["diagnostics"]["warnings"]),
    )


def _headline_structures(structures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every structure; of a grammar's many programs the heaviest, and the rest of every class."""
    rest = [name for name in structures if name in _REST]
    shown = [name for name in structures if name not in _REST]
    left_out = len(shown) - _MOST_PROGRAMS if len(rest) == len(_REST) else 0
    if left_out > 0:
        shown = sorted(shown, key=lambda n: -(structures[n]["mass"]["mean"] or 0.0))
        shown = shown[:_MOST_PROGRAMS]
    rows = [
        (
            _clipped(name) if rest else name,
            s["class"],
            error_text(s["favored"]),
            interval_text(s["favored"]),
            error_text(s["mass"]),
        )
        for name in (*shown, *rest)
        for s in (structures[name],)
    ]
    table = columns(("structure", "class", "favored", "90 %", "mass"), rows)
    more = f"... and {left_out} more listed programs with less mass (summary.json)"
    return [table, more] if left_out > 0 else [table]


def _clipped(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _headline_row(name: str, weight: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    favored, mass = figures["deceptive_favored"], figures["deceptive_mass"]
    return (
        name,
        weight,
        error_text(favored),
        interval_text(favored),
        error_text(mass),
        interval_text(mass, "in every draw"),
    )


def checkup_text(found: Mapping[str, Any]) -> Page:
    """What `checkup` found, for people."""
    title = f": {one_line(found['title'])}" if found["title"] else ""
    beliefs = [
        (b["quantity"], *(number_text(b[q]) for q in ("q05", "median", "q95")), b["kind"])
        for b in found["beliefs"]
    ]
    structures = [
        (_clipped(name), s["symbol"], s["class"], number_text(s["bits"]), number_text(s["steps"]))
        for name, s in found["structures"].items()
    ]
    return Page.of(
        f"{found['model']}{title}",
        columns(("quantity", "5 %", "median", "95 %", "kind"), beliefs),
        (
            "At the prior medians:",
            columns(("structure", "symbol", "class", "bits", "steps"), structures),
        ),
        _dominance_text(found),
        *_grammar_text(found),
        _verdict_text(found),
        *(f"warning: {one_line(w)}" for w in found["warnings"]),
    )


def _dominance_text(found: Mapping[str, Any]) -> str:
    """What is proved; with a grammar, of the many listed programs only the first statements."""
    said = [one_line(s["text"]) for s in found["dominance"]] or ["No structure dominates."]
    if "grammar" in found and len(said) > _MOST_PROGRAMS:
        more = len(said) - _MOST_PROGRAMS
        said = [*said[:_MOST_PROGRAMS], f"... and {more} more such statements (--json)"]
    return "\n".join(said)


def _grammar_text(found: Mapping[str, Any]) -> list[str]:
    """Size of the grammar, and which of its programs can be favored at some costs."""
    if "grammar" not in found:
        return []
    grammar = found["grammar"]
    names = [f"  {one_line(name)}" for name in grammar["can_be_favored"]]
    said = [
        f"grammar: {grammar['rules']} rules for {grammar['symbols']} symbols; the sum over all "
        f"programs converges above pressure {number_text(grammar['critical_pressure'])}"
    ]
    if names:
        can = f"At most {len(names)} of all programs can be favored, at the right costs:"
        said.append("\n".join([can, *names]))
    return said


def _verdict_text(found: Mapping[str, Any]) -> str:
    rate = _critical_text(found["critical_rate"], "rates above", "steps per bit")
    kappa = _critical_text(found["critical_kappa"], "kappas below", "bits per doubling of time")
    lines = [f"linear, at the prior medians: {rate}", f"levin, at the prior medians: {kappa}"]
    for name, verdict in found["by_exchange"].items():
        favored = verdict["favored"] or "nothing fits"
        margin = number_text(verdict["margin_bits"])
        lines.append(f"{name}, with its own prior medians too: {favored} (margin {margin} bits)")
    lines.append("Margin: by how much the best deceptive program beats the best other one.")
    return "\n".join(lines)


def _critical_text(critical: Mapping[str, Any], side: str, unit: str) -> str:
    if critical["always"]:
        return "a deceptive program is favored at every exchange rate"
    changes = critical["crossings"]
    several = f" (the verdict changes {changes} times)" if changes > 1 else ""
    if critical["never"] and changes == 0:
        return "no deceptive program is favored at any exchange rate"
    if critical["never"]:
        return f"no deceptive program is favored where only bits count{several}"
    if critical["value"] is None:
        return "not defined, because nothing fits or a structure runs no step"
    value = number_text(critical["value"])
    return f"a deceptive program is favored at {side} {value} {unit}{several}"


def programs_text(
    shares: Mapping[str, float], classes: Mapping[str, float], about: Mapping[str, Any]
) -> Page:
    """How the programs drawn are spread over structures and classes, and how they were drawn."""
    shown = shares
    if len(shares) > 2 * _MOST_PROGRAMS:
        shown = {name: share for name, share in shares.items() if share > 0.0}
    tables = [
        columns((what, "share of programs"), [(_clipped(n), percent_text(x)) for n, x in rows])
        for what, rows in (("structure", shown.items()), ("class", classes.items()))
    ]
    drawn = f"drawn by {about['method']}: {one_line(about['reason'])}"
    warnings = [f"warning: {one_line(w)}" for w in json.loads(about.get("warnings", "[]"))]
    return Page.of(*tables, drawn, *warnings)


def next_prior_text(found: NextPrior) -> Page:
    """How well the priors of a new model file fit the posterior that they come from."""
    rows = [
        (fit.slot, str(fit.prior), f"{fit.ks:.3f}", *(f"{x:+.1%}" for x in fit.errors))
        for fit in found.fits
    ]
    header = ("quantity", "prior", "KS", "5 % off by", "50 %", "95 %")
    parts: list[str] = [columns(header, rows) if rows else "No number of the model is uncertain."]
    if found.correlations:
        pairs = [(*map(str, c.between), f"{c.rho:+.2f}") for c in found.correlations]
        parts.append(columns(("correlated", "with", "rho"), pairs))
    if rows:
        parts.append(_PRIOR_COLUMNS)
    if found.acceptance < 1.0:
        parts.append(f"The constraints hold in {found.acceptance:.1%} of these priors.")
    return Page.of(*parts, *(f"warning: {one_line(w)}" for w in found.warnings))


def enumeration_text(found: Mapping[str, Any]) -> Page:
    """What `enumerate_programs` found, for people."""
    families = [_listed_row("average", "", found)]
    families += [
        _listed_row(name, probability_text(f["weight"]), f)
        for name, f in found["by_exchange"].items()
    ]
    rows = [_program_row(entry) for entry in found["programs"][:_MOST_ROWS]]
    left_out = found["programs_total"] - len(rows)
    more = [f"... and {left_out} more with less weight (--json)"] if left_out > 0 else []
    champions = [
        (name, *_program_row(entry)[:5], number_text(entry["penalty"]))
        for name, f in found["by_exchange"].items()
        for entry in f["champions"].values()
        if entry is not None
    ]
    best = ("exchange", "program", "symbol", "class", "bits", "steps", "penalty")
    return Page.of(
        f"At {one_line(found['at']['text'])}:",
        columns(("exchange", "weight", "mass listed", "deceptive mass", "certainly"), families),
        (
            columns(("program", "symbol", "class", "bits", "steps", "mass", "certainly"), rows),
            *more,
        ),
        ("Best of each class:", columns(best, champions)),
        _extent_text(found),
    )


def _listed_row(name: str, weight: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    mass = figures["deceptive_mass"]
    listed = percent_text(figures["mass_listed"])
    return (name, weight, listed, probability_text(mass["mean"]), interval_text(mass))


def _program_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    many = f" (one of {entry['count']})" if entry["count"] != 1 else ""
    return (
        shortened(entry["program"]) + many,
        entry["symbol"],
        entry["class"],
        number_text(entry["bits"]),
        number_text(entry["steps"]),
        probability_text(entry["weight"]),
        interval_text({"mean": entry["weight"], **{n: entry[n] for n in ("lower", "upper")}}),
    )


def _extent_text(found: Mapping[str, Any]) -> str:
    count = found["programs_listed"]
    if found["complete"]:
        return f"All {count} programs are listed."
    below = f"{found['up_to_bits']:.1f}"
    text = f"{count} programs are listed, among them all whose grammar rules cost less than {below}"
    text += " bits."
    entries = found["programs"]
    hidden = count - sum(entry["count"] for entry in entries)
    if hidden > 0 and found["programs_total"] == len(entries):
        text += f" {hidden} of them can never be selected and are in no table."
    if found["reached"]:
        return text
    return f"{text} What was asked for was not reached: this is the interval reached."


def episodes_text(found: Mapping[str, Any]) -> Page:
    """The curve that `episodes_summary` holds, and what it says in a sentence or two."""
    rows = [
        (
            number_text(at["episodes"]) + (" *" if at["episodes"] == found["own_episodes"] else ""),
            *(probability_text(at["favored"][name]["mean"]) for name in CLASSES),
            probability_text(at["mass"]["deceptive"]["mean"]),
            number_text(at["margin_bits"]["median"]),
            number_text(at["pays_bits"]["median"]),
        )
        for at in found["curve"]
    ]
    favored = (f"{name} favored" for name in CLASSES)
    header = ("episodes", *favored, "deceptive mass", "margin, bits", "where it pays")
    return Page.of(
        columns(header, rows),
        "* the model's own. Margin: by how much the best deceptive program beats the best\n"
        "other one (median); where it pays: the same over the draws in which it does.",
        one_line(found["sentence"]),
    )


@contextmanager
def progress_bar(shown: bool) -> Iterator[Report | None]:
    """A callback ``(stage, done, total)`` that draws one bar per stage on standard error.

    None, and nothing drawn, unless ``shown`` and standard error is a terminal.
    """
    if not (shown and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    tasks: dict[str, TaskID] = {}
    whole = Column(no_wrap=True, min_width=7)
    shown_of_each = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=16),
        MofNCompleteColumn(table_column=whole),
        TimeRemainingColumn(table_column=whole),
        TextColumn("left", table_column=Column(no_wrap=True, min_width=4)),
    )
    with Progress(*shown_of_each, console=Console(stderr=True), transient=True) as bars:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage.replace("[", r"\["), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report
