"""What the command `compare` prints: verdicts side by side, and what explains the differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayes_mesa.comparison.comparison_result import (
    NAMES,
    Change,
    Compared,
    Comparison,
    Explained,
    signed,
)
from bayes_mesa.comparison.paired_verdicts import ESTIMANDS
from bayes_mesa.domain.model import CLASSES
from bayes_mesa.interface.console import columns
from bayes_mesa.interface.page_text import Page, Table, one_line
from bayes_mesa.text.number_text import error_text, interval_text, number_text, signed_text

#: Parameters that a table shows; --json has all of them.
_MOST_PARAMETERS = 12


def comparison_text(found: Comparison) -> Page:
    """All that a comparison found, for people."""
    return Page.of(
        _side_by_side(found.sides),
        *(block for pair in found.differences for block in _difference(pair)),
        f"{found.num_chains} x {found.num_samples} draws of every model on the same random numbers "
        f"(seed {found.seed}).",
    )


def _side_by_side(sides: tuple[Compared, ...]) -> Table:
    rows = []
    for estimand in ESTIMANDS:
        figures = [s.figures[estimand] for s in sides]
        of_draws = "in every draw" if estimand == "deceptive_mass" else "exactly"
        rows.append((NAMES[estimand], *map(error_text, figures)))
        rows.append(("  90 %", *(interval_text(f, of_draws) for f in figures)))
        for family in dict.fromkeys(f for s in sides for f in s.figures["by_exchange"]):
            own = [s.figures["by_exchange"].get(family) for s in sides]
            rows.append((f"  {family}", *(error_text(f[estimand]) if f else "–" for f in own)))
    rows += [
        (f"mass of {name}", *(error_text(s.figures["class_mass"][name]) for s in sides))
        for name in CLASSES
        if name != "deceptive"
    ]
    if any(s.evidence for s in sides):
        rows.append(("evidence", *(", ".join(s.evidence) or "none" for s in sides)))
    return columns(("", *(s.name for s in sides)), rows)


def _difference(pair: Explained) -> Iterator[str | list[str]]:
    sentences = list(map(one_line, pair.sentences))
    yield sentences[0]
    if pair.contributions:
        several = len(pair.contributions) > 1
        yield [_shares(pair), *([_how_counted(pair)] if several else [])]
        yield "\n".join(sentences[1:])
    if pair.unseen:
        does = "; ".join(pair.unseen)
        yield one_line(f"Neither figure depends on this: {pair.second} {does}.")
    yield from map(one_line, pair.notes)
    if pair.parameters:
        yield _parameters(pair)


def _shares(pair: Explained) -> Table:
    favored, mass = ESTIMANDS
    rows = [
        (c.label, signed(c.changes[favored]), _apart(c.changes[favored]), signed(c.changes[mass]))
        for c in pair.contributions or ()
    ]
    rows.append(("together", signed(pair.changes[favored]), "", signed(pair.changes[mass])))
    return columns(("what differs", NAMES[favored], "first, last", NAMES[mass]), rows)


def _apart(change: Change) -> str:
    """What a difference does as the first of all, and as the last."""
    if change.alone is None or change.last is None:
        return ""
    return f"{signed_text(change.alone)}, {signed_text(change.last)}"


def _how_counted(pair: Explained) -> str:
    orders = "all orders" if pair.exact else "a sample of the orders"
    return (
        f"Averaged over {orders} of making the differences; first, last: the change where no other "
        "difference has been made, and where all others have."
    )


def _parameters(pair: Explained) -> list[str]:
    shown = list(pair.parameters.items())[:_MOST_PARAMETERS]
    rows = [(name, _interval(p["first"]), _interval(p["second"])) for name, p in shown]
    more = len(pair.parameters) - len(shown)
    return [
        "Parameters that are not alike, median (5 % to 95 %):",
        columns(("parameter", pair.first, pair.second), rows),
        *([f"... and {more} more (--json)"] if more > 0 else []),
    ]


def _interval(of: dict[str, Any]) -> str:
    median, lower, upper = (number_text(of[n]) for n in ("median", "lower", "upper"))
    return f"{median} ({lower} to {upper})"
