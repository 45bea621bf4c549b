"""Cruxes as a table for people: the same cells in the terminal and in a notebook."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayes_mesa.text.number_text import number_text

if TYPE_CHECKING:
    from bayes_mesa.sensitivity.crux_result import Crux
    from bayes_mesa.sensitivity.variance_shares import VarianceShare

#: Few enough for a terminal of 80 columns.
HEADER = ("belief", "by itself", "with others", "worth knowing", "flips at", "prior sensitivity")
#: Rows shown; `Cruxes.as_dict` and `Cruxes.to_pandas` have all.
MOST_ROWS = 15


def crux_row(crux: Crux) -> tuple[str, ...]:
    """The cells of one belief; empty where there is no figure."""
    flip = crux.flip
    return (
        crux.name,
        share_text(crux.first_order),
        share_text(crux.total),
        "" if crux.worth is None else number_text(crux.worth.mean),
        "" if flip is None else f"{number_text(flip.median)} → {number_text(flip.to)}",
        sensitivity_text(crux),
    )


def share_text(share: VarianceShare) -> str:
    """A share of the variance with its 90 % interval, in per cent."""
    if not math.isfinite(share.mean):
        return ""
    mean, lower, upper = (f"{100 * x:.1f}" for x in (share.mean, share.lower, share.upper))
    return f"{mean} % ({lower}–{upper})"


def sensitivity_text(crux: Crux) -> str:
    """Of what an idle belief would show as well, no more than that."""
    found, noise = crux.prior_sensitivity, crux.prior_sensitivity_noise
    if found is None:
        return ""
    if noise is not None and found < noise:
        return f"< {max(noise, 0.005):.2f}"
    return f"{found:.2f}"
