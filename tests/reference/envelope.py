"""Slow twin of `bayes_mesa._ext.envelope`: every pairwise intersection, in exact fractions."""

from fractions import Fraction
from itertools import combinations, pairwise

Line = tuple[Fraction, Fraction]


def least(lines: list[Line], x: Fraction) -> Fraction:
    return min(intercept + slope * x for intercept, slope in lines)


def verdict(deceptive: list[Line], other: list[Line]) -> tuple[int, Fraction | None, int]:
    """As `verdicts` for one draw: (start, x of the first change or None, number of changes)."""
    if not deceptive or not other:
        return (-1 if not deceptive and not other else int(bool(deceptive))), None, 0
    corners = {Fraction(0)}
    for (a, m), (b, n) in combinations(deceptive + other, 2):
        if m != n and (b - a) / (m - n) > 0:
            corners.add((b - a) / (m - n))
    ordered = sorted(corners)
    # No two lines meet strictly between neighbours, so one point there speaks for the interval.
    inner = [(low + high) / 2 for low, high in pairwise(ordered)] + [ordered[-1] + 1]
    favored = [least(deceptive, x) < least(other, x) for x in inner]
    changes = [
        x
        for x, (before, after) in zip(ordered[1:], pairwise(favored), strict=True)
        if before != after
    ]
    return int(favored[0]), changes[0] if changes else None, len(changes)
