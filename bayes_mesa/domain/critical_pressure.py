"""The pressure above which the sum over all programs of a grammar is finite.

The sums x_X(β) = Σ over the trees of X of 2^(−β · rule bits) are the least fixed point of

    x_X = Σ_r 2^(−β b_r) Π_{A in args of r} x_A      (r: the rules of X),

polynomials with positive coefficients. Newton's method from 0 rises monotonically to the least
fixed point where there is one; where there is none, it leaves the region in which I − J has a
positive inverse (Esparza, Kiefer and Luttenberger 2010). Symbols that lead back to one another are
solved together, arguments before their users. A tree's weight falls with β, so the pressures with
a finite sum are a half-line; at β = 1 the weights are probabilities, and the sum is at most 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.grammar import Grammar
from bayes_mesa.domain.recursion import components, recursive_rules
from bayes_mesa.errors import InputError

Floats = NDArray[np.float64]

#: No recursion that branches stays finite down here: it would take 1e9 bits of rules in one cycle.
_LEAST = 1e-9
_MOST_STEPS = 500
_ROUNDING = 4.0 * np.finfo(float).eps
#: What rounding may leave of a step that is not negative, against the largest.
_SLACK = 1e-9


def critical_pressure(grammar: Grammar) -> float:
    """β_c = inf{β : Σ over all programs of 2^(−β · rule bits) is finite}, in [0, 1].

    By bisection on whether the fixed point exists; the result is on the finite side, above β_c by
    at most about 1e-14. Exactly 0 where the sum is finite at every pressure above 0.

    Parameters
    ----------
    grammar
        Every symbol reachable from the start and with a finite program.
    """
    system = _System(grammar)
    if not recursive_rules(grammar.rules) or system.least(_LEAST) is not None:
        return 0.0
    low, high = _LEAST, 1.0
    while high - low > 1e-15:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        low, high = (low, middle) if system.least(middle) is not None else (middle, high)
    return high


def tree_sums(grammar: Grammar, pressure: float) -> dict[str, float]:
    """Σ over the trees of each symbol of 2^(−pressure · rule bits), to rounding.

    Raises
    ------
    InputError
        If the sum of the start symbol is infinite, as it is below the critical pressure, or beyond
        double precision.
    """
    system = _System(grammar)
    found = system.least(pressure)
    if found is None:
        raise InputError(
            f"the pressure must exceed the grammar's critical pressure "
            f"({critical_pressure(grammar):.6g}), found {pressure:g}"
        )
    return dict(zip(system.symbols, found.tolist(), strict=True))


class _System:
    """The polynomials as arrays: one row a rule, its arguments padded by a constant 1."""

    def __init__(self, grammar: Grammar):
        self.symbols = grammar.symbols
        place = {symbol: k for k, symbol in enumerate(self.symbols)}
        widest = max(len(r.args) for r in grammar.rules)
        self.bits = np.array(grammar.rule_bits)
        self.of = np.array([place[r.symbol] for r in grammar.rules])
        self.args = np.array(
            [
                [*(place[a] for a in r.args), *[len(place)] * (widest - len(r.args))]
                for r in grammar.rules
            ],
            dtype=int,
        ).reshape(len(grammar.rules), widest)
        self.groups = [
            np.array(sorted(place[symbol] for symbol in group))
            for group in components(grammar.rules)
        ]

    def least(self, pressure: float) -> Floats | None:
        """Least fixed point by symbol (S,); None where there is none in double precision."""
        weights = np.exp2(-pressure * self.bits)
        # The last entry is the constant that pads the arguments.
        x = np.append(np.zeros(len(self.symbols)), 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            for group in self.groups:
                rows = np.flatnonzero(np.isin(self.of, group))
                if not _solve(x, group, weights[rows], self.of[rows], self.args[rows]):
                    return None
        return x[:-1]


def _solve(x: Floats, group: NDArray, weights: Floats, of: NDArray, args: NDArray) -> bool:
    """Fill in the sums of one group of symbols; whether they are finite."""
    inside = np.full(len(x), -1)
    inside[group] = np.arange(len(group))
    row = inside[of]
    noise = _ROUNDING * (args.shape[1] + np.bincount(row, minlength=len(group)))
    # Plain iteration first, until every sum is positive: from there all symbols touch one another.
    for _ in group:
        x[group] = np.bincount(row, weights * x[args].prod(axis=1), minlength=len(group))
    for _ in range(_MOST_STEPS):
        values = x[args]
        image = np.bincount(row, weights * values.prod(axis=1), minlength=len(group))
        # Below the fixed point the gap is never negative, but by rounding.
        gap = np.maximum(image - x[group], 0.0)
        if not np.all(np.isfinite(gap)):
            return False
        if np.all(gap <= noise * image):
            return True
        # In units of the sums themselves: they may be many orders of magnitude apart.
        unit = np.maximum(x[group], np.finfo(float).tiny)
        slopes = _jacobian(values, weights, row, inside[args], len(group)) * (unit / unit[:, None])
        try:
            step = np.linalg.solve(np.eye(len(group)) - slopes, gap / unit)
        except np.linalg.LinAlgError:
            return False
        # With a gap >= 0 and symbols that all lead to one another, the step is >= 0 exactly where
        # the spectral radius of J is below 1, as it is at every point below the fixed point.
        if not np.all(step >= -_SLACK * np.max(np.abs(step))):
            return False
        x[group] += np.maximum(step, 0.0) * unit
    return False


def _jacobian(values: Floats, weights: Floats, row: NDArray, column: NDArray, size: int) -> Floats:
    """dG/dx of one group: a rule counts once for every argument that belongs to it."""
    found = np.zeros((size, size))
    for position in range(values.shape[1]):
        others = np.delete(values, position, axis=1).prod(axis=1)
        counts = column[:, position] >= 0
        at = (row[counts], column[counts, position])
        np.add.at(found, at, (weights * others)[counts])
    return found
