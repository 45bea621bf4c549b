"""What the command `compare` prints: verdicts side by side, and what explains the differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayes_mesa.comparison.comparison_result import Comparison, Explained
from bayes_mesa.comparison.comparison_table import shares, side_by_side
from bayes_mesa.interface.console import columns
from bayes_mesa.interface.page_text import Page, one_line
from bayes_mesa.text.number_text import number_text

#: Parameters that a table shows; --json has all of them.
_MOST_PARAMETERS = 12


def comparison_text(found: Comparison) -> Page:
    """All that a comparison found, for people."""
    return Page.of(
        columns(*side_by_side(found.sides)),
        *(block for pair in found.differences for block in _difference(pair)),
        f"{found.num_chains} x {found.num_samples} draws of every model on the same random numbers "
        f"(seed {found.seed}).",
    )


def _difference(pair: Explained) -> Iterator[str | list[str]]:
    sentences = list(map(one_line, pair.sentences))
    yield sentences[0]
    if pair.contributions:
        several = len(pair.contributions) > 1
        yield [columns(*shares(pair)), *([_how_counted(pair)] if several else [])]
        yield "\n".join(sentences[1:])
    if pair.unseen:
        does = "; ".join(pair.unseen)
        yield one_line(f"Neither figure depends on this: {pair.second} {does}.")
    yield from map(one_line, pair.notes)
    if pair.parameters:
        yield _parameters(pair)


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
