"""Prior mass of all programs of a grammar that behave alike.

A *behaviour* is a pair (objective in training, objective in deployment). Tables over behaviours
are square: rows by what is pursued in training, columns by deployment, in the order of
``grammar.objectives``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.critical_pressure import tree_sums
from bayes_mesa.domain.grammar import Grammar, Rule

Floats = NDArray[np.float64]

#: Relative error of the linear systems, and of the sums that are taken from what they give.
_ROUNDING = 1e-14


def prior_mass(grammar: Grammar, pressure: float) -> Floats:
    """Σ 2^(−pressure · rule bits) over all programs of each behaviour, from above, (O, O).

    The sums x of the symbols are raised until they are proved to be no less than the least fixed
    point (a point that the equations do not raise lies above it; Tarski 1955). Given x, the sums by
    behaviour solve linear systems. At a pressure of 1 or more no sum exceeds 1; where nothing can
    be proved the table is infinite.

    Raises
    ------
    InputError
        If the pressure is not above the critical one.
    """
    sums = _raised(grammar, pressure, tree_sums(grammar, pressure))
    if not all(np.isfinite(x) for x in sums.values()):
        return np.full((len(grammar.objectives),) * 2, np.inf)
    return _Shares(grammar, pressure, sums).start() * (1.0 + _ROUNDING)


def _images(grammar: Grammar, weights: Floats, sums: dict[str, float]) -> dict[str, float]:
    found = dict.fromkeys(sums, 0.0)
    for rule, weight in zip(grammar.rules, weights.tolist(), strict=True):
        product = weight
        for symbol in rule.args:
            product *= sums[symbol]
        found[rule.symbol] += product
    return found


def _weights(grammar: Grammar, pressure: float) -> Floats:
    return np.asarray(np.exp2(-pressure * np.array(grammar.rule_bits)))


def _raised(grammar: Grammar, pressure: float, sums: dict[str, float]) -> dict[str, float]:
    """Sums that are proved to be no less than the least fixed point, and hardly more."""
    weights = _weights(grammar, pressure)
    ceiling = 1.0 if pressure >= 1.0 else np.inf
    direction = _direction(grammar, weights, sums)
    # 2^-50 to 2^-20: rounding first, then what a nearly critical grammar leaves in doubt.
    for exponent in range(-50, -20):
        step = 2.0**exponent
        raised = {s: x + step * direction[s] for s, x in sums.items()}
        images = _images(grammar, weights, raised)
        if all(images[s] * (1.0 + _ROUNDING / 16) <= x for s, x in raised.items()):
            return {s: min(x, ceiling) for s, x in raised.items()}
    return dict.fromkeys(sums, ceiling)


def _direction(grammar: Grammar, weights: Floats, sums: dict[str, float]) -> dict[str, float]:
    """(I − J)⁻¹ x: along it every equation falls behind by as much as x."""
    place = {s: k for k, s in enumerate(sums)}
    matrix = np.eye(len(sums))
    for rule, weight in zip(grammar.rules, weights.tolist(), strict=True):
        for position in range(len(rule.args)):
            matrix[place[rule.symbol], place[rule.args[position]]] -= weight * _others(
                rule, sums, (position,)
            )
    try:
        found = np.linalg.solve(matrix, np.array(list(sums.values())))
    except np.linalg.LinAlgError:
        found = np.full(len(sums), np.inf)
    return dict(zip(sums, np.abs(found).tolist(), strict=True))


def _others(rule: Rule, sums: dict[str, float], positions: tuple[int, ...]) -> float:
    product = 1.0
    for position, symbol in enumerate(rule.args):
        if position not in positions:
            product *= sums[symbol]
    return product


class _Shares:
    """Sums by behaviour given the sums by symbol: training and deployment alone, then together."""

    def __init__(self, grammar: Grammar, pressure: float, sums: dict[str, float]):
        self.grammar, self.sums = grammar, sums
        self.weights = _weights(grammar, pressure).tolist()
        self.place = {s: k for k, s in enumerate(sums)}

    def start(self) -> Floats:
        train, deploy = (self._margin(side) for side in ("train", "deploy"))
        size = len(self.grammar.objectives)
        matrix, known = np.eye(len(self.sums)), np.zeros((len(self.sums), size, size))
        for rule, weight in zip(self.grammar.rules, self.weights, strict=True):
            row = self.place[rule.symbol]
            if isinstance(rule.train, int) and rule.train == rule.deploy:
                rest = weight * _others(rule, self.sums, (rule.train,))
                matrix[row, self.place[rule.args[rule.train]]] -= rest
                continue
            positions = tuple(p for p in (rule.train, rule.deploy) if isinstance(p, int))
            sides = (self._side(rule, rule.train, train), self._side(rule, rule.deploy, deploy))
            known[row] += weight * _others(rule, self.sums, positions) * np.outer(*sides)
        found = np.linalg.solve(matrix, known.reshape(len(known), -1)).reshape(known.shape)
        return np.maximum(found[self.place[self.grammar.start]], 0.0)

    def _margin(self, side: str) -> Floats:
        """Sums by symbol and by what is pursued on one side, (S, O)."""
        matrix = np.eye(len(self.sums))
        known = np.zeros((len(self.sums), len(self.grammar.objectives)))
        for rule, weight in zip(self.grammar.rules, self.weights, strict=True):
            row, way = self.place[rule.symbol], getattr(rule, side)
            if isinstance(way, int):
                matrix[row, self.place[rule.args[way]]] -= weight * _others(rule, self.sums, (way,))
            else:
                known[row] += weight * _others(rule, self.sums, ()) * self._named(way)
        return np.maximum(np.linalg.solve(matrix, known), 0.0)

    def _side(self, rule: Rule, way: int | str, margin: Floats) -> Floats:
        return self._named(way) if isinstance(way, str) else margin[self.place[rule.args[way]]]

    def _named(self, objective: str) -> Floats:
        found = np.zeros(len(self.grammar.objectives))
        found[self.grammar.objectives.index(objective)] = 1.0
        return found
