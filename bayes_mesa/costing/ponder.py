"""A ponder cost as an exchange rate: a lever on speed that a developer can set and read off."""

from __future__ import annotations

import math

from bayes_mesa.costing.exchange import LN2
from bayes_mesa.errors import InputError


def ponder_rate(halt: float) -> float:
    """The linear exchange rate, steps per bit, of a geometric prior on when to halt.

    A prior under which a computation halts after each step with probability λ gives t further
    steps the probability (1 − λ)^t: each step costs −log2(1 − λ) bits, so

        γ = 1 / (−log2(1 − λ))    (derived from the prior of PonderNet, Banino et al. 2021)

    Parameters
    ----------
    halt
        λ, the probability of halting at a step, in (0, 1).

    Returns
    -------
    float
        γ: as ``rate`` of ``[exchange.linear]``. It is 1 at λ = ½, about (ln 2)/λ for small λ
        (∞ at 0: simplicity only) and 0 as λ → 1 (speed only).

    Raises
    ------
    InputError
        If λ is not in (0, 1).
    """
    if not 0.0 < halt < 1.0:
        raise InputError(f"halt must be a probability above 0 and below 1, found {halt!r}")
    return -LN2 / math.log1p(-halt)
