"""Critical exchange: from which rate, or up to which kappa, deceptive is favored, per draw.

Under linear the cost of a program is bits + steps x with x = 1 / rate, under levin it is bits +
x log2(steps) with x = kappa: a line in x. With facts each structure contributes the n + 1 lines of
its hull (see `bayes_mesa.costing.least`), which hold the least of all 2^n at every x. The walk
over both lower envelopes is `bayes_mesa._ext.envelope`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bayes_mesa._ext.envelope import verdicts
from bayes_mesa.costing.exchange import LN2
from bayes_mesa.costing.least import Array, draw_blocks, fact_prefixes, uses_times_steps

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

#: Structures beyond which most are thrown out before their lines are sorted.
_FEW = 64


def critical_exchange(
    family: str,
    *,
    bits: Array,
    steps: Array,
    eligible: Flags,
    deceptive: Flags,
    uses: Array,
    fact_bits: Array,
    fact_steps: Array,
) -> tuple[Array, Counts]:
    """Critical rate (linear) or critical kappa (levin) of every draw, and the verdict's changes.

    Deceptive is favored at x if the least cost of an eligible deceptive program lies strictly
    below that of every other eligible one. critical_rate = inf{r : favored for all rates > r}
    (0: always; inf: not as rate -> inf); critical_kappa = sup{k : favored for all kappa < k}
    (inf: always; 0: not as kappa -> 0). Exact up to rounding; touching is no change of sign.

    Parameters
    ----------
    family
        ``linear`` or ``levin``.
    bits
        c_s + E loss_s / (pressure ln 2) in bits, (N, S); a shared part may be removed.
    steps
        t_s in steps, (N, S); under levin in full, under linear a shared part may be removed.
    eligible
        Whether a structure can be selected at all in a draw, (N, S).
    deceptive
        Whether a structure is deceptive, (S,).
    uses
        v_s >= 0, (S,).
    fact_bits, fact_steps
        b_j and tau_j, (N, n); n = 0 without facts.

    Returns
    -------
    critical
        (N,): steps per bit under linear, bits per doubling under levin. Without an eligible
        deceptive program as if never favored, without any other as if always. NaN when nothing
        is eligible, and under levin where an eligible structure has no steps.
    crossings
        (N,): number of changes of the verdict on (0, inf).

    Raises
    ------
    ValueError
        If ``family`` is another one: its cost is no line in its parameter.
    """
    if family not in ("linear", "levin"):
        raise ValueError(f"critical exchange requires linear or levin; got {family!r}")
    num_draws, num_structures = np.shape(bits)
    uses = np.asarray(uses, dtype=float)
    if family == "linear" and _uses_agree(uses, eligible):
        # The same facts at the same price add the same to every structure: they cancel exactly.
        fact_bits, fact_steps = fact_bits[:, :0], fact_steps[:, :0]
    width = num_structures * (fact_bits.shape[1] + 1)
    lines_deceptive = np.repeat(np.asarray(deceptive, np.uint8), width // num_structures)
    scratch = np.empty(width, np.intp)
    start, first, shift = np.empty(num_draws, np.int8), np.empty(num_draws), np.zeros(num_draws)
    crossings = np.empty(num_draws, np.int64)
    for at in draw_blocks(num_draws, width):
        hull = fact_prefixes(fact_bits[at], fact_steps[at])
        intercept, slope, shift[at] = _lines(family, bits[at], steps[at], eligible[at], uses, hull)
        if num_structures > _FEW:
            _leave_out_undercut(intercept, slope, lines_deceptive == 1)
        out = start[at], first[at], crossings[at]
        verdicts(intercept, slope, lines_deceptive, scratch, *out)
    return _critical(family, start, np.ldexp(first, -shift.astype(int))), crossings


def _uses_agree(uses: Array, eligible: Flags) -> bool:
    relevant = uses[np.any(eligible, axis=0)]
    return bool(np.all(relevant == relevant[:1]))


def _lines(
    family: str,
    bits: Array,
    steps: Array,
    eligible: Flags,
    uses: Array,
    hull: tuple[Array, Array],
) -> tuple[Array, Array, Array]:
    """Intercepts and slopes, (N, S (n + 1)), and the power of two that slopes were divided by.

    Slopes are differences to the least steps of the draw: what all share moves no verdict, and
    it is so large that it would swamp them. A line that cannot be chosen has intercept inf.
    """
    stored, derived = hull
    usable = eligible & np.isfinite(bits) & np.isfinite(steps)
    if family == "levin":
        usable &= ~np.any(usable & (steps <= 0.0), axis=1, keepdims=True)
    least = np.min(np.where(usable, steps, np.inf), axis=1, keepdims=True)[:, :, None]
    intercept = np.where(usable, bits, np.inf)[:, :, None] + stored[:, None, :]
    with np.errstate(invalid="ignore"):
        slope = (steps[:, :, None] - least) + uses_times_steps(uses, derived)
    slope = np.where(usable[:, :, None], slope, 0.0)
    if family == "levin":
        slope = _doublings(least, slope)
    shift = np.zeros(len(bits), int)
    if family == "linear":
        # Powers of two are exact, and keep the products of the envelope from overflowing.
        largest = np.max(np.where(np.isfinite(slope), slope, 0.0), axis=(1, 2))
        shift = np.frexp(largest)[1].astype(int)
        slope = np.ldexp(slope, -shift[:, None, None])
    rows = len(bits), -1
    return (
        np.ascontiguousarray(intercept.reshape(rows)),
        np.ascontiguousarray(slope.reshape(rows)),
        shift,
    )


def _leave_out_undercut(intercept: Array, slope: Array, deceptive: Flags) -> None:
    """Set the intercept to inf of most lines, (N, L), that one of their own side undercuts.

    A line of neither a smaller intercept nor a smaller slope than another has no part in the lower
    envelope. Comparing with a few that have a part leaves a handful to be sorted, at a cost linear
    in their number; the envelope, and all that is read from it, stays the same to the bit.
    """
    rows = np.arange(len(intercept))
    for side in (np.flatnonzero(deceptive), np.flatnonzero(~deceptive)):
        own, rise = intercept[:, side], slope[:, side]
        if own.size:
            corners = _corners(own, rise)
            undercut = np.zeros(own.shape, np.bool_)
            for k in corners:
                undercut |= (own >= own[rows, k][:, None]) & (rise >= rise[rows, k][:, None])
            for k in corners:  # equal corners undercut one another, and themselves
                undercut[rows, k] = False
            intercept[:, side] = np.where(undercut, np.inf, own)


def _corners(intercept: Array, slope: Array) -> list[npt.NDArray[np.intp]]:
    """For each draw the lines least at 0, at infinity, and where the chords between those meet."""
    rows = np.arange(len(intercept))

    def between(first: npt.NDArray[np.intp], last: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            climb = intercept[rows, last] - intercept[rows, first]
            x = climb / (slope[rows, first] - slope[rows, last])
            return np.argmin(intercept + x[:, None] * slope, axis=1)

    first, last = np.argmin(intercept, axis=1), np.argmin(slope, axis=1)
    middle = between(first, last)
    return [first, last, middle, between(first, middle), between(middle, last)]


def _doublings(least: Array, excess: Array) -> Array:
    """log2 of (least + excess) / least, also where the ratio leaves the doubles."""
    with np.errstate(divide="ignore", over="ignore"):
        ratio = excess / least
        far = np.log2(excess) - np.log2(least)
    return np.where(np.isinf(ratio), far, np.log1p(ratio) / LN2)


def _critical(family: str, start: npt.NDArray[np.int8], first: Array) -> Array:
    always, never = (0.0, np.inf) if family == "linear" else (np.inf, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        changed = 1.0 / first if family == "linear" else first
    value = np.where(start == 1, np.where(np.isnan(first), always, changed), never)
    return np.where(start < 0, np.nan, value)
