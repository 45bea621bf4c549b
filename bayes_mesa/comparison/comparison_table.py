"""A comparison as tables for people: the same cells in the terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayes_mesa.comparison.paired_verdicts import ESTIMANDS
from bayes_mesa.domain.model import CLASSES
from bayes_mesa.text.number_text import error_text, interval_text, signed_text

if TYPE_CHECKING:
    from bayes_mesa.comparison.comparison_result import Change, Compared, Explained

Cells = tuple[tuple[str, ...], list[tuple[str, ...]]]
NAMES = {"deceptive_favored": "P(deceptive favored)", "deceptive_mass": "deceptive mass"}


def side_by_side(sides: Sequence[Compared]) -> Cells:
    """Both estimands of every side, by exchange family, and the masses of the other classes."""
    rows: list[tuple[str, ...]] = []
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
    return ("", *(s.name for s in sides)), rows


def shares(pair: Explained) -> Cells:
    """What every difference explains, and the whole."""
    favored, mass = ESTIMANDS
    rows: list[tuple[str, ...]] = [
        (c.label, signed(c.changes[favored]), _apart(c.changes[favored]), signed(c.changes[mass]))
        for c in pair.contributions or ()
    ]
    rows.append(("together", signed(pair.changes[favored]), "", signed(pair.changes[mass])))
    return ("what differs", NAMES[favored], "first, last", NAMES[mass]), rows


def signed(change: Change, *, error: bool = True) -> str:
    """A change with its sign and, unless left out, its standard error."""
    return signed_text(change.mean, change.error if error else None)


def _apart(change: Change) -> str:
    """What a difference does as the first of all, and as the last."""
    if change.alone is None or change.last is None:
        return ""
    return f"{signed_text(change.alone)}, {signed_text(change.last)}"
