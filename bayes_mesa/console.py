"""What the commands print: plain text in columns, the same in a terminal and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bayes_mesa.number_text import (
    error_text,
    interval_text,
    number_text,
    percent_text,
    probability_text,
)

Report = Callable[[str, int, int], None]


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart; nothing is ever wrapped or cut."""
    table = [list(map(_one_line, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def _one_line(text: str) -> str:
    """The text with everything a terminal might obey, or break a line at, shown as a space."""
    return "".join(c if c.isprintable() else " " for c in text)


def headline(summary: Mapping[str, Any]) -> str:
    """Both estimands by exchange family and by structure, and the warnings."""
    families = [_headline_row("average", "", summary)]
    if "with_path" in summary:
        families.append(_headline_row("with path", "", summary["with_path"]))
    families += [
        _headline_row(name, probability_text(f["weight"]), f)
        for name, f in summary["by_exchange"].items()
    ]
    structures = [
        (
            name,
            s["class"],
            error_text(s["favored"]),
            interval_text(s["favored"]),
            error_text(s["mass"]),
        )
        for name, s in summary["structures"].items()
    ]
    parts = [
        columns(
            ("exchange", "weight", "deceptive favored", "90 %", "deceptive mass", "90 % of draws"),
            families,
        ),
        columns(("structure", "class", "favored", "90 %", "mass"), structures),
        *(f"warning: {_one_line(w)}" for w in summary["diagnostics"]["warnings"]),
    ]
    return "\n\n".join(parts)


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


def checkup_text(found: Mapping[str, Any]) -> str:
    """What `checkup` found, for people."""
    title = f": {_one_line(found['title'])}" if found["title"] else ""
    beliefs = [
        (b["quantity"], *(number_text(b[q]) for q in ("q05", "median", "q95")), b["kind"])
        for b in found["beliefs"]
    ]
    structures = [
        (name, s["symbol"], s["class"], number_text(s["bits"]), number_text(s["steps"]))
        for name, s in found["structures"].items()
    ]
    parts = [
        f"{found['model']}{title}",
        columns(("quantity", "5 %", "median", "95 %", "kind"), beliefs),
        "At the prior medians:\n"
        + columns(("structure", "symbol", "class", "bits", "steps"), structures),
        "\n".join(_one_line(s["text"]) for s in found["dominance"]) or "No structure dominates.",
        _verdict_text(found),
        *(f"warning: {_one_line(w)}" for w in found["warnings"]),
    ]
    return "\n\n".join(parts)


def _verdict_text(found: Mapping[str, Any]) -> str:
    rate = _critical_text(found["critical_rate"], "rates above", "steps per bit")
    kappa = _critical_text(found["critical_kappa"], "kappas below", "bits per doubling of time")
    lines = [f"linear, at the prior medians: {rate}", f"levin, at the prior medians: {kappa}"]
    for name, verdict in found["by_exchange"].items():
        favored = verdict["favored"] or "nothing fits"
        margin = number_text(verdict["margin_bits"])
        lines.append(f"{name}, at the prior medians of its own: {favored} (margin {margin} bits)")
    return "\n".join(lines)


def _critical_text(critical: Mapping[str, Any], side: str, unit: str) -> str:
    if critical["always"]:
        return "a deceptive program is favored at every exchange rate"
    changes = critical["crossings"]
    several = f" (the verdict changes {changes} times)" if changes > 1 else ""
    if critical["never"]:
        return f"no deceptive program is favored where only bits count{several}"
    if critical["value"] is None:
        return "not defined, because nothing fits or a structure runs no step"
    value = number_text(critical["value"])
    return f"a deceptive program is favored at {side} {value} {unit}{several}"


def programs_text(shares: Mapping[str, float], classes: Mapping[str, float]) -> str:
    """How the programs drawn are spread over structures and classes."""
    return "\n\n".join(
        columns((what, "share of programs"), [(n, percent_text(x)) for n, x in rows.items()])
        for what, rows in (("structure", shares), ("class", classes))
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
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as bars:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage.replace("[", r"\["), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report
