"""Which structure can never cost more than another, whatever the prior and the exchange rate.

s dominates r when A_r - A_s, on each axis, is a nonnegative combination of unit vectors (costs are
not negative) and of declared order constraints, while s has no more rule bits, needs its facts no
more often and loses no more in training. Then s costs no more than r under every penalty that rises
in bits and in steps. With a grammar `frontier` holds one that dominates for every other program.

Overlaps need no search over the corners of their fractions: each one takes steps from a single
component, so the corner that is worst for s is worst component by component.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.beliefs import Belief, Known
from bayes_mesa.domain.expression import expression
from bayes_mesa.domain.model import DECEPTIVE, Axis, Constraint, Model, Structure
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.frontier import with_frontier

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statement:
    """``winner`` never costs more than ``loser``, given the declared constraints ``needs``."""

    winner: str
    loser: str
    needs: tuple[str, ...]
    text: str


def dominance(model: Model) -> tuple[Statement, ...]:
    """Every dominance between two eligible structures, in file order of winner, then loser.

    With a grammar: between two labelled programs, and one for every other listed program. Of very
    many structures: between two that results name.
    Of two structures that always cost the same, only the one that wins ties is a winner. A
    statement that needs no constraint lists none; otherwise ``needs`` cannot be shortened.
    """
    holds = _holding(model)
    kept = [p for p in holds if p[::-1] not in holds or _wins_ties(model, *p)]
    if model.grammar is not None:
        kept = _telling(model, holds, kept)
    return tuple(_statement(model, *pair, holds[pair]) for pair in kept)


def never_favored(model: Model) -> frozenset[str]:
    """Places of `model.columns` proved to have probability 0 of being favored, whatever is drawn.

    A dominated structure is never favored if ties go to the other one (not deceptive first, then
    file order), or if it is dearer with probability one. The rest of a class is not, if every
    program of it on the frontier is not, or if no structure is left of it that takes part.
    """
    if model.named is not None:
        return never_favored_of(model) | _empty_rests(model)
    if model.grammar is None:
        return never_favored_of(model)
    every = _with_frontier(model)
    if every is None:
        return never_favored_of(model)
    never = never_favored_of(every)
    named = len(model.structures)
    open_classes = {
        c
        for s, c in zip(every.structures[named:], every.classes[named:], strict=True)
        if s.name not in never
    }
    return frozenset(
        c.name
        for k, c in enumerate(model.columns)
        if (c.name in never if k < named else c.class_name not in open_classes)
    )


def _empty_rests(model: Model) -> frozenset[str]:
    """Names of the rests of classes of which no structure takes part."""
    assert model.named is not None
    held = set(model.places[np.array(model.eligible)].tolist())
    rests = range(len(model.named), len(model.columns))
    return frozenset(model.columns[k].name for k in rests if k not in held)


def _with_frontier(model: Model) -> Model | None:
    try:
        return with_frontier(model)
    except RefusedError:
        return None


def never_costlier(model: Model, axis: Axis, winner: str, loser: str) -> tuple[str, ...] | None:
    """Constraints under which ``winner`` never pays more than ``loser`` on one axis.

    Facts and losses are left aside. Returns an irreducible tuple of constraints as text, empty if
    none is needed, or None if it does not hold for every prior.
    """
    index = {s.name: row for row, s in enumerate(model.structures)}
    used = _used(model, axis, index[winner], index[loser])
    return None if used is None else tuple(str(model.constraints[k]) for k in used)


def never_favored_of(model: Model) -> frozenset[str]:
    """`never_favored` among the structures alone, whatever other programs there are."""
    return frozenset(
        model.structures[loser].name
        for winner, loser in _holding(model)
        if _never(model, winner, loser)
    )


def _holding(model: Model) -> dict[tuple[int, int], tuple[str, ...]]:
    """Constraints that every dominance needs, by rows of winner and loser, in file order."""
    holds = {}
    rows = np.array(range(len(model.structures)) if model.named is None else model.named)
    pairs = (rows[k].tolist() for k in np.nonzero(_possible(model, rows)))
    for winner, loser in zip(*pairs, strict=True):
        needs = _needs(model, winner, loser) if winner != loser else None
        if needs is not None:
            holds[winner, loser] = needs
    return holds


def _possible(model: Model, of: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Pairs (winner, loser) among the K rows ``of`` that no single count rules out, bool (K, K)."""
    counts = Counts.of(model)
    rule_bits = counts.rule_bits[of]
    found = rule_bits[:, None] <= rule_bits[None, :]
    axes: tuple[tuple[Axis, Array], ...] = (("bits", counts.bits[of]), ("steps", counts.steps[of]))
    for axis, matrix in axes:
        _, rows = constraint_rows(model, axis)
        decides = ~(free(model, axis) | (rows < 0.0).any(axis=0))
        for column in matrix.T[decides]:
            found &= column[:, None] <= column[None, :]
    return found


def _telling(
    model: Model, holds: Mapping[tuple[int, int], tuple[str, ...]], kept: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Of the statements on programs: those on two labelled ones, and one for each other loser."""
    grammar = model.grammar
    assert grammar is not None
    labelled = [s.name != expression(grammar, s.code) for s in model.structures]
    first: dict[int, tuple[int, int]] = {}
    for pair in sorted(kept, key=lambda p: (len(holds[p]), p)):
        first.setdefault(pair[1], pair)
    return [p for p in kept if (labelled[p[0]] and labelled[p[1]]) or first[p[1]] == p]


def _needs(model: Model, winner: int, loser: int) -> tuple[str, ...] | None:
    if not (model.eligible[winner] and model.eligible[loser]):
        return None
    if _uses(model, winner) > _uses(model, loser) or not _loses_no_more(model, winner, loser):
        return None
    bits = _used(model, "bits", winner, loser)
    steps = None if bits is None else _used(model, "steps", winner, loser)
    if bits is None or steps is None:
        return None
    return tuple(str(model.constraints[k]) for k in sorted({*bits, *steps}))


def _uses(model: Model, row: int) -> float:
    name = model.structures[row].name
    return model.facts.uses.get(name, 1.0) if len(model.facts) else 0.0


def _loss(model: Model, row: int) -> Belief:
    train = model.structures[row].train
    return Known(0.0) if train == model.base_objective else model.losses[train]


def _loses_no_more(model: Model, winner: int, loser: int) -> bool:
    if model.structures[winner].train == model.structures[loser].train:
        return True
    own, others = _loss(model, winner), _loss(model, loser)
    if own == Known(0.0):
        return others.support[0] >= 0.0
    # Unknown losses could be compared by their supports, but not whatever their prior.
    return isinstance(own, Known) and isinstance(others, Known) and own.value <= others.value


def _rule_bits(model: Model, winner: int, loser: int) -> float:
    """Rule bits of the loser beyond the winner's."""
    return model.structures[loser].rule_bits - model.structures[winner].rule_bits


def _used(model: Model, axis: Axis, winner: int, loser: int) -> tuple[int, ...] | None:
    """Indices of the constraints that the axis needs, as few as can be; None if it fails."""
    if axis == "bits" and _rule_bits(model, winner, loser) < 0.0:
        return None
    excess = _excess(model, axis, winner, loser)
    used, rows = constraint_rows(model, axis)
    multipliers = _certificate(excess, rows, np.ones(len(rows)))
    if multipliers is None:
        return None
    kept = [k for k, mu in enumerate(multipliers) if mu]
    for k in tuple(reversed(kept)):
        rest = [other for other in kept if other != k]
        if _certificate(excess, rows[rest], np.ones(len(rest))) is not None:
            kept = rest
    return tuple(used[k] for k in kept)


def _excess(model: Model, axis: Axis, winner: int, loser: int) -> Array:
    """Count vector of the loser less the winner's, at the worst fractions of every overlap."""
    ours, theirs = model.structures[winner], model.structures[loser]
    excess = np.zeros(len(model.components))
    for sign, structure in ((-1.0, ours), (1.0, theirs)):
        for name, count in (structure.stores if axis == "bits" else structure.runs).items():
            excess[model.component_index[name]] += sign * count
    for overlap in model.overlaps if axis == "steps" else ():
        saved = [_shared_runs(s, overlap.component, overlap.inside) for s in (ours, theirs)]
        # At fraction 1 the loser saves its share; at 0 nobody saves: the worse one is taken.
        excess[model.component_index[overlap.component]] -= max(0.0, saved[1] - saved[0])
    return np.where(free(model, axis), 0.0, excess)


def _shared_runs(structure: Structure, component: str, inside: str) -> float:
    return float(min(structure.runs.get(component, 0), structure.runs.get(inside, 0)))


def constraint_rows(model: Model, axis: Axis) -> tuple[list[int], Array]:
    """Which constraints speak of this axis alone, and their rows: larger less smaller, (K, C)."""
    used = [k for k, c in enumerate(model.constraints) if _axes(c) == {axis}]
    rows = np.zeros((len(used), len(model.components)))
    for row, k in zip(rows, used, strict=True):
        constraint = model.constraints[k]
        for sign, side in ((1.0, constraint.larger), (-1.0, constraint.smaller)):
            for quantity in side:
                row[model.component_index[quantity.component]] += sign
    return used, np.where(free(model, axis), 0.0, rows)


def _axes(constraint: Constraint) -> set[Axis]:
    return {quantity.axis for quantity in constraint.larger + constraint.smaller}


def _factor(model: Model, axis: Axis, component: str) -> Belief:
    if component not in model.heuristics.of:
        return Known(1.0)
    return model.heuristics.bits if axis == "bits" else model.heuristics.steps


def free(model: Model, axis: Axis) -> npt.NDArray[np.bool_]:
    """Components that cost nothing on this axis: a missing cost is 0, and no opinion."""
    zero = Known(0.0)
    return np.array(
        [getattr(c, axis) == zero or _factor(model, axis, c.name) == zero for c in model.components]
    )


def _certificate(excess: Array, rows: Array, price: Array) -> list[Fraction] | None:
    """Multipliers mu >= 0 of least ``price`` with excess - sum_k mu_k rows_k >= 0, or None.

    The linear program runs in floating point; its answer counts only if it holds exactly, in
    fractions (counts are whole, so a corner of the feasible set has a small denominator).
    """
    if np.all(excess >= 0.0) and np.all(price >= 0.0):
        return [Fraction(0)] * len(rows)
    lacking = excess < 0.0
    if not np.all(np.any(rows[:, lacking] < 0.0, axis=0)):
        return None  # nothing declared could make good for that component
    from scipy.optimize import linprog

    # A bound on mu keeps every program bounded; no proof on counts of programs needs more.
    outcome = linprog(price, A_ub=rows.T, b_ub=excess, bounds=(0.0, 1e4), method="highs-ds")
    if outcome.status != 0:
        return None
    multipliers = [Fraction(float(mu)).limit_denominator(10**4) for mu in outcome.x]
    return multipliers if min(_rest(excess, rows, multipliers)) >= 0 else None


def _rest(excess: Array, rows: Array, multipliers: list[Fraction]) -> list[Fraction]:
    """What remains of ``excess`` for unit vectors, exactly."""
    taken = [
        sum((mu * int(row[c]) for mu, row in zip(multipliers, rows, strict=True)), Fraction(0))
        for c in range(len(excess))
    ]
    return [Fraction(float(e)) - t for e, t in zip(excess, taken, strict=True)]


def _wins_ties(model: Model, winner: int, loser: int) -> bool:
    """Exact ties go to the program that is not deceptive, then to file order."""
    return _rank(model, winner) < _rank(model, loser)


def _rank(model: Model, row: int) -> tuple[bool, int]:
    return model.classes[row] == DECEPTIVE, row


def _never(model: Model, winner: int, loser: int) -> bool:
    """Whether a dominated structure is proved to have probability 0."""
    return _wins_ties(model, winner, loser) or _surely_dearer(model, winner, loser)


def _surely_dearer(model: Model, winner: int, loser: int) -> bool:
    """Whether the dominated structure is strictly dearer with probability one."""
    own, others = _loss(model, winner), _loss(model, loser)
    if isinstance(own, Known) and _above(others, own.value):
        return True
    levin = [f for f in model.families if f.name == "levin"]
    steps_count = all(_above(f.parameters["kappa"], 0.0) for f in levin)
    if _rule_bits(model, winner, loser) > 0.0 or _some_left(model, "bits", winner, loser):
        return True
    return steps_count and _some_left(model, "steps", winner, loser)


def _above(belief: Belief, value: float) -> bool:
    """Whether a belief exceeds ``value`` with probability one; every prior is continuous."""
    if isinstance(belief, Known):
        return belief.value > value
    return belief.support[0] >= value


def _some_left(model: Model, axis: Axis, winner: int, loser: int) -> bool:
    """Whether the excess can leave a positive count: what is not free is positive for sure."""
    excess = _excess(model, axis, winner, loser)
    _, rows = constraint_rows(model, axis)
    multipliers = _certificate(excess, rows, rows.sum(axis=1))
    return multipliers is not None and sum(_rest(excess, rows, multipliers)) > 0


def _statement(model: Model, winner: int, loser: int, needs: tuple[str, ...]) -> Statement:
    best, other = model.structures[winner].name, model.structures[loser].name
    given = f"given {' and '.join(needs)}, " if needs else ""
    verdict = "never favored" if _never(model, winner, loser) else "favored in an exact tie at most"
    text = (
        f"{given}{best} is never costlier than {other}: "
        f"whatever the prior and the exchange rate, {other} is {verdict}."
    )
    return Statement(best, other, needs, text)
