"""What the command `cruxes` prints: the sentence, and a table of beliefs."""

from __future__ import annotations

from bayes_mesa.interface.console import columns
from bayes_mesa.interface.page_text import Page
from bayes_mesa.sensitivity.crux_result import Cruxes
from bayes_mesa.sensitivity.crux_table import HEADER, MOST_ROWS, crux_row
from bayes_mesa.text.number_text import number_text

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
    shown = found.rows[:MOST_ROWS]
    left_out = len(found.rows) - len(shown)
    more = [f"... and {left_out} more beliefs (--json)"] if left_out else []
    chosen = found.decision
    worth = "nothing" if found.evpi is None else number_text(found.evpi.mean)
    return Page.of(
        found.sentence,
        [columns(HEADER, [crux_row(c) for c in shown]), *more],
        f"Shares are of the variance between draws of {_SAID[found.of]}. By itself: what goes once "
        f"the belief is known. With others: what stays while it alone is not ({found.how}). In "
        "brackets, 90 %.",
        "Flips at: the belief's median, and that with which the probability crosses "
        f"{found.threshold:g}; {found.how_flips}. Empty: none was found.",
        f"Worth is for a decision to train (safe {chosen.safe:g}, deceptive {chosen.deceptive:g}) "
        f"or stop ({chosen.stop:g}); to know everything is worth {worth}.",
        "Prior sensitivity: how the verdict moves with the strength of this one prior (ArviZ's "
        "power-scaling); above 0.05 it is worth a thought, and < is what an idle belief would "
        "show too.",
    )
