"""The program of least cost when every fact may be stored or derived: a scan of the lower hull.

The penalty is concave in steps for all three families, so over the 2^n choices its least value
lies on the lower hull of (steps, bits). The corners of that hull are prefixes: with facts sorted
by bits per step, b_j / tau_j, falling, the first k are derived and the others stored. Without
`needs`, cap and capacity, n + 1 candidates therefore stand for 2^n.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from bayes_mesa.costing.exchange import added_penalty

Array = npt.NDArray[np.float64]

#: Candidates held at once: bounds the working memory to some tens of megabytes.
BLOCK = 1 << 20


def draw_blocks(num_draws: int, width: int) -> Iterator[slice]:
    """Slices over draws such that draws x ``width`` stays within `BLOCK`."""
    rows = max(1, BLOCK // max(1, width))
    for first in range(0, num_draws, rows):
        yield slice(first, min(first + rows, num_draws))


def fact_prefixes(fact_bits: Array, fact_steps: Array) -> tuple[Array, Array]:
    """Bits and steps when the k facts with the most bits per step are derived, k = 0..n.

    Parameters
    ----------
    fact_bits, fact_steps
        b_j in bits and tau_j in steps, (N, n), nonnegative.

    Returns
    -------
    stored_bits, derived_steps
        (N, n + 1): bits of the facts that stay stored (falling in k), and steps of one
        derivation of the others (rising in k).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Steps per bit, rising: free derivations first, free storage (and 0 / 0) last.
        order = np.argsort(fact_steps / fact_bits, axis=1, kind="stable")
    bits = np.take_along_axis(fact_bits, order, axis=1)
    steps = np.take_along_axis(fact_steps, order, axis=1)
    none = np.zeros((len(bits), 1))
    rest = np.cumsum(bits[:, ::-1], axis=1)[:, ::-1]
    return np.hstack([rest, none]), np.hstack([none, np.cumsum(steps, axis=1)])


def uses_times_steps(uses: Array, derived_steps: Array) -> Array:
    """v_s times the steps of one derivation, (N, S, n + 1); 0 where v_s is 0."""
    with np.errstate(invalid="ignore"):
        extra = uses[None, :, None] * derived_steps[:, None, :]
    return np.where(uses[None, :, None] == 0.0, 0.0, extra)


def least_fact_penalty(
    family: str,
    *,
    parameters: Mapping[str, Array],
    steps: Array,
    uses: Array,
    fact_bits: Array,
    fact_steps: Array,
) -> tuple[Array, Array, Array]:
    """Least penalty that the facts add to each structure, and where it is reached.

    For every draw and structure: min over z in {0, 1}^n of sum_j z_j b_j + Phi(0, t_s + x(z)) -
    Phi(0, t_s), x(z) = v_s sum_j (1 - z_j) tau_j. Exact, by the n + 1 prefixes of the hull. Among
    prefixes of equal penalty the one with the fewest derived facts is taken.

    Parameters
    ----------
    family
        ``linear``, ``levin`` or ``power``.
    parameters
        The family's parameters by name, each (N,), as in `Family.parameters`.
    steps
        t_s in steps, (N, S), without facts.
    uses
        v_s >= 0, (S,).
    fact_bits, fact_steps
        b_j in bits and tau_j in steps, (N, n), nonnegative; n = 0 adds nothing.

    Returns
    -------
    penalty
        Added penalty in bits, (N, S), relative to Phi(0, t_s). Under levin t_s = 0 lies outside
        the domain and gives inf.
    bits
        Bits added, (N, S).
    extra
        Steps added, (N, S).
    """
    steps, uses = np.asarray(steps, dtype=float), np.asarray(uses, dtype=float)
    penalty, bits, extra = (np.empty(steps.shape) for _ in range(3))
    for block in draw_blocks(len(steps), steps.shape[1] * (fact_bits.shape[1] + 1)):
        here = {name: drawn[block, None, None] for name, drawn in parameters.items()}
        stored, derived = fact_prefixes(fact_bits[block], fact_steps[block])
        added = uses_times_steps(uses, derived)
        base = steps[block, :, None]
        total = stored[:, None, :] + added_penalty(family, here, base, added)
        best = np.argmin(total, axis=2)[:, :, None]
        penalty[block] = np.take_along_axis(total, best, axis=2)[:, :, 0]
        bits[block] = np.take_along_axis(stored, best[:, :, 0], axis=1)
        extra[block] = np.take_along_axis(added, best, axis=2)[:, :, 0]
    return penalty, bits, extra
