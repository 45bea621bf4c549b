"""What the command `cruxes` prints: the sentence, and a table of beliefs."""

from __future__ import annotations

import math

from bayes_mesa.console import columns
from bayes_mesa.crux_result import Crux, Cruxes
from bayes_mesa.number_text import number_text
from bayes_mesa.page_text import Page
from bayes_mesa.variance_shares import VarianceShare

#: Rows shown; --json has all.
_MOST_ROWS = 15


def cruxes_text(found: Cruxes) -> Page:
    """All cruxes, for people."""
    if not found.rows:
        return Page.of(found.sentence)
    header = (
        *("belief", "by itself", "90 %", "with others", "90 %", "worth knowing"),
        *("median", "flips at", "factor", "prior sensitivity"),
    )
    shown = found.rows[:_MOST_ROWS]
    left_out = len(found.rows) - len(shown)
    more = [f"... and {left_out} more beliefs (--json)"] if left_out else []
    chosen = found.decision
    worth = "nothing" if found.evpi is None else number_text(found.evpi.mean)
    return Page.of(
        found.sentence,
        [columns(header, [_row(c) for c in shown]), *more],
        f"Shares are of the variance of {found.of} between draws. With others: {found.how}.",
        f"A flip takes the probability across {found.threshold:g}: {found.how_flips}.",
        f"Worth is for a decision to train (safe {chosen.safe:g}, deceptive {chosen.deceptive:g}) "
        f"or stop ({chosen.stop:g}); to know everything is worth {worth}.",
    )


def _row(crux: Crux) -> tuple[str, ...]:
    flip = crux.flip
    moved = ("", "", "") if flip is None else (flip.median, flip.to, flip.factor)
    worth = "" if crux.worth is None else number_text(crux.worth.mean)
    sensitivity = crux.prior_sensitivity
    return (
        crux.name,
        *_share(crux.first_order),
        *_share(crux.total),
        worth,
        *(x if isinstance(x, str) else number_text(x) for x in moved),
        "" if sensitivity is None else f"{sensitivity:.2f}",
    )


def _share(share: VarianceShare) -> tuple[str, str]:
    if not math.isfinite(share.mean):
        return "", ""
    return f"{share.mean:.1%}", f"{share.lower:.1%} to {share.upper:.1%}"
