"""P(deceptive favored) over the linear rate and one cost, from reweighed draws of the other costs.

In a draw deception is favored at every rate above its critical rate. Where the verdict changes once
along the rate, the share of draws whose critical rate lies below γ is therefore exactly
P(deceptive favored | γ); draws in which it changes more often count as not favored below their last
change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.reweighting.stock import FamilyStock, Stock

Draws = NDArray[np.float64]
ROWS = 12
RATE = "linear_rate"


@dataclass(frozen=True, eq=False)
class Phase:
    """Shares by row (the cost, rising) and column (the rate, rising).

    Attributes
    ----------
    edges
        Natural logs of the cost between rows, (R − 1,): its draws' quantiles k/R, not reweighed.
    shares
        P(deceptive favored | rate, row), (R, C).
    effective_draws
        Of every row, (R,).
    """

    edges: Draws
    shares: Draws
    effective_draws: Draws


def phase(
    stock: Stock,
    family: FamilyStock,
    slot: str,
    rates: Draws,
    moved: Mapping[str, float],
    rows: int = ROWS,
) -> Phase:
    """The phase diagram of one slot.

    Parameters
    ----------
    stock, family
        The draws, and the family of them that is looked at.
    slot
        The cost whose draws are parted into rows of equal numbers.
    rates
        γ, steps per bit, (C,).
    moved
        Slot → log of the factor that its median was moved by. The rate's own does not count
        without evidence, when costs are independent of it: γ is given.
    rows
        R.
    """
    values = family.logs[slot].ravel()
    edges = np.sort(values)[np.arange(1, rows) * values.size // rows]
    row = np.searchsorted(edges, values, side="right")
    counted = moved if stock.evidence else {n: x for n, x in moved.items() if n != RATE}
    log_weights = stock.log_weights(family, counted).ravel()
    weight = np.exp(log_weights - log_weights.max())
    below = family.critical_rate.ravel()[:, None] < rates
    total = np.bincount(row, weight, rows)
    squares = np.bincount(row, weight**2, rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = [np.bincount(row, weight * b, rows) / total for b in below.T]
        return Phase(edges, np.stack(columns, axis=-1), total**2 / squares)
