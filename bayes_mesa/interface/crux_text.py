"""What the command `cruxes` prints: the sentence, and a table of beliefs."""

from __future__ import annotations

import math

from bayes_mesa.interface.console import columns
from bayes_mesa.interface.page_text import Page
from bayes_mesa.sensitivity.crux_result import Crux, Cruxes
from bayes_mesa.sensitivity.variance_shares import VarianceShare
from bayes_mesa.text.number_text import number_text

#: Rows shown; --json has all.
_MOST_ROWS = 15
#: What is explained, in words.
_SAID = {
    "deceptive_favored": "whether a deceptive program is favored",
    "deceptive_mass": "the deceptive mass",
    "margin": "the margin in bits",
}


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
        f"Shares are of the variance between draws of {_SAID[found.of]}. By itself: what goes once "
        f"the belief is known. With others: what stays while it alone is not ({found.how}).",
        f"A flip takes the probability across {found.threshold:g}: {found.how_flips}. "
        "Empty: no factor was found.",
        f"Worth is for a decision to train (safe {chosen.safe:g}, deceptive {chosen.deceptive:g}) "
        f"or stop ({chosen.stop:g}); to know everything is worth {worth}.",
        "Prior sensitivity: how the verdict moves with the strength of this one prior (ArviZ's "
        "power-scaling); above 0.05 it is worth a thought, and < is what an idle belief would "
        "show too.",
    )


def _row(crux: Crux) -> tuple[str, ...]:
    flip = crux.flip
    moved = ("", "", "") if flip is None else (flip.median, flip.to, flip.factor)
    worth = "" if crux.worth is None else number_text(crux.worth.mean)
    return (
        crux.name,
        *_share(crux.first_order),
        *_share(crux.total),
        worth,
        *(x if isinstance(x, str) else number_text(x) for x in moved),
        _sensitivity(crux),
    )


def _sensitivity(crux: Crux) -> str:
    """Of what an idle belief would show as well, no more than that."""
    found, noise = crux.prior_sensitivity, crux.prior_sensitivity_noise
    if found is None:
        return ""
    if noise is not None and found < noise:
        return f"< {max(noise, 0.005):.2f}"
    return f"{found:.2f}"


def _share(share: VarianceShare) -> tuple[str, str]:
    if not math.isfinite(share.mean):
        return "", ""
    return f"{share.mean:.1%}", f"{share.lower:.1%} to {share.upper:.1%}"
