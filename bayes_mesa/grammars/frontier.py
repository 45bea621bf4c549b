r"""The programs of a grammar that can be the cheapest: a finite antichain out of infinitely many.

Of each (train, deploy) of programs that may be selected, those are kept whose counts (rule bits,
levels of shared stores, stores of unshared components, executed runs) are minimal, component by
component. Bits and steps are sums of counts with prices >= 0, so every other program has one among
the kept that has no more bits and no more steps, and exhibits the same: it costs no more under
every exchange that rises in both, fits under every cap and capacity that the other fits under, and
needs the facts as often. So the least cost of each class, for every draw, is reached here.

Counts of a tree do not fall when those of a subtree rise: shared stores join by the maximum, the
rest by the sum, and what executes or is exhibited depends on the subtree's *state* only (symbol,
executed or not, exhibited in training and in deployment). Hence minimal trees are made of minimal
trees; and no state repeats on a path of one, because the lower of two such subtrees in the upper
one's place is no dearer and has fewer nodes. So their height is at most the number of states, and
there are finitely many. Trees are finished in rising order of (rule bits, sum of counts, nodes,
code), which rises from every tree to those made of it: whatever dominates a tree comes before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from heapq import heappop, heappush
from itertools import product
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.expression import expression
from bayes_mesa.domain.grammar import Code, Grammar, Rule
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import Model, Structure
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars.inside import State

Ints = NDArray[np.int64]

#: Minimal trees of all states together, and trees that wait to be looked at.
MAX_TREES, MAX_WAITING = 20_000, 2_000_000
#: So few combinations are offered as they are.
_FEW = 16
#: Rule bits are compared as whole multiples of 2^-40: equal ones must not differ by their rounding.
_UNITS_PER_BIT = 2.0**40

Place = tuple[str, bool]
_JOINED: WeakKeyDictionary[Model, Model] = WeakKeyDictionary()
_MADE: WeakKeyDictionary[Model, tuple[Structure, ...]] = WeakKeyDictionary()


def frontier(model: Model) -> tuple[Structure, ...]:
    """Programs that hold one of least cost for every class, all costs >= 0 and every exchange.

    Returns
    -------
    tuple of Structure
        With ``code``, in rising order of rule bits; names are those of the model's own structures,
        else expressions. Of programs with equal counts the one with the fewest nodes is kept, then
        the first by code. Exact.

    Raises
    ------
    InputError
        If no program may be selected.
    RefusedError
        With overlaps, and where there are more than `MAX_TREES` minimal trees.
    """
    if model not in _MADE:
        _MADE[model] = _made(model)
    return _MADE[model]


def with_frontier(model: Model) -> Model:
    """The model with its frontier's programs after its own structures, each program once.

    In this order ties are decided: a program with a name of its own comes before one without.
    """
    if model not in _JOINED:
        own = {s.code for s in model.structures}
        more = tuple(s for s in frontier(model) if s.code not in own)
        _JOINED[model] = replace(model, structures=(*model.structures, *more))
    return _JOINED[model]


def pursued_in_training(model: Model) -> tuple[str, ...]:
    """Objectives that whole programs of the grammar pursue in training, sorted."""
    assert model.grammar is not None
    return tuple(sorted({state.train for state, _ in _minimal(model.grammar)}))


def program_structure(model: Model, code: Code, name: str = "") -> Structure:
    """The program of this code as a structure, called by its expression unless it has a name."""
    assert model.grammar is not None
    found = interpret(model.grammar, code)
    return Structure(
        name or expression(model.grammar, code),
        found.stores,
        found.runs,
        found.train,
        found.deploy,
        rule_bits=found.rule_bits,
        code=code,
    )


def _made(model: Model) -> tuple[Structure, ...]:
    if model.grammar is None:
        raise ValueError("a frontier needs a model with a grammar")
    if model.overlaps:
        raise RefusedError(
            "overlaps together with a grammar: running more of a component may then cost fewer "
            "steps, so no finite set of programs holds the cheapest; drop the overlaps"
        )
    own = {s.code: s for s in model.structures}
    pursued = {model.base_objective, *model.losses}
    codes = [code for state, code in _minimal(model.grammar) if state.train in pursued]
    if not codes:
        raise InputError("the grammar must have a program that may be selected, found none")
    return tuple(own.get(code) or program_structure(model, code) for code in codes)


@lru_cache(maxsize=64)
def _minimal(grammar: Grammar) -> tuple[tuple[State, Code], ...]:
    """State and code of every minimal whole program, whatever it pursues."""
    return _Search(grammar).whole_programs()


@dataclass(frozen=True, order=True)
class _Tree:
    """A tree with its counts; trees are finished in the order of the fields."""

    bits: int
    total: int
    nodes: int
    code: Code
    state: State
    counts: Ints = field(compare=False)


class _Minimal:
    """The minimal trees of one state, in the order in which they were found."""

    def __init__(self, codes: list[Code], counts: Ints):
        self.codes = codes
        self._room = counts

    @property
    def counts(self) -> Ints:
        """Counts of the trees, (n, K)."""
        return self._room[: len(self.codes)]

    def append(self, code: Code, counts: Ints) -> None:
        """One more tree; room for the counts doubles as it is needed."""
        if len(self.codes) == len(self._room):
            self._room = np.concatenate([self._room, np.zeros_like(self._room)])
        self._room[len(self.codes)] = counts
        self.codes.append(code)

    def but_the_last(self) -> _Minimal:
        return _Minimal(self.codes[:-1], self.counts[:-1])

    def dominate(self, counts: Ints) -> NDArray[np.bool_]:
        """Which of the counts (n, K) are not below those of every tree here, bool (n,)."""
        if len(counts) <= len(self.codes):
            return np.array([(self.counts <= row).all(axis=1).any() for row in counts], bool)
        found = np.zeros(len(counts), bool)
        left = np.arange(len(counts))
        for own in self.counts:
            beaten = (own <= counts[left]).all(axis=1)
            found[left[beaten]] = True
            left = left[~beaten]
        return found


class _Search:
    """Minimal trees of every state, from the cheapest on."""

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        names = sorted({n for r in grammar.rules for n in (*r.stores, *r.runs)})
        index = {n: k for k, n in enumerate(names)}
        size = len(names)
        # Columns: rule bits, stores, runs.
        self.own = np.zeros((2, len(grammar.rules), 1 + 2 * size), np.int64)
        for k, rule in enumerate(grammar.rules):
            self.own[:, k, 0] = round(grammar.rule_bits[k] * _UNITS_PER_BIT)
            for name, count in rule.stores.items():
                self.own[:, k, 1 + index[name]] = count
            for name, count in rule.runs.items():
                self.own[1, k, 1 + size + index[name]] = count
        self.shared = np.zeros(1 + 2 * size, bool)
        self.shared[1 : 1 + size] = [n not in grammar.unshared for n in names]
        self.found: dict[Place, dict[State, _Minimal]] = {}
        self.waiting: list[_Tree] = []

    def whole_programs(self) -> tuple[tuple[State, Code], ...]:
        uses = self._uses()
        for index, rule in enumerate(self.grammar.rules):
            for executed in (False, True):
                if not rule.args and (rule.symbol, executed) in uses:
                    self._offer(index, executed, ())
        whole: list[tuple[State, Code]] = []
        for finished in range(1, MAX_TREES + 2):
            tree = self._next()
            if tree is None:
                return tuple(whole)
            if finished > MAX_TREES:
                break
            place = tree.state.symbol, tree.state.executed
            known = self.found.setdefault(place, {})
            if tree.state in known:
                known[tree.state].append(tree.code, tree.counts)
            else:
                known[tree.state] = _Minimal([tree.code], tree.counts[None].copy())
            if place == (self.grammar.start, True):
                whole.append((tree.state, tree.code))
            for index, executed, position in uses[place]:
                self._combine(index, executed, position, tree)
        raise RefusedError(
            f"the grammar has more than {MAX_TREES} trees that can be the cheapest at some costs: "
            "the least cost is then not found exactly; let fewer rules store or run components"
        )

    def _uses(self) -> dict[Place, list[tuple[int, bool, int]]]:
        """(rule, executed, argument's position) of every use of a place that a program can have."""
        uses: dict[Place, list[tuple[int, bool, int]]] = {(self.grammar.start, True): []}
        open_places = [(self.grammar.start, True)]
        while open_places:
            symbol, executed = open_places.pop()
            for index in self.grammar.rules_of[symbol]:
                for position, place in enumerate(_places(self.grammar.rules[index], executed)):
                    if place not in uses:
                        uses[place] = []
                        open_places.append(place)
                    uses[place].append((index, executed, position))
        return uses

    def _next(self) -> _Tree | None:
        while self.waiting:
            tree = heappop(self.waiting)
            known = self.found.get((tree.state.symbol, tree.state.executed), {}).get(tree.state)
            if known is None or not known.dominate(tree.counts[None])[0]:
                return tree
        return None

    def _combine(self, index: int, executed: bool, position: int, tree: _Tree) -> None:
        """Every tree with the new one as this argument; before it stand only older ones."""
        rule = self.grammar.rules[index]
        fresh = _Minimal([tree.code], tree.counts[None])
        choices: list[list[tuple[State, _Minimal]]] = []
        for k, place in enumerate(_places(rule, executed)):
            known = self.found.get(place, {})
            if k == position:
                choices.append([(tree.state, fresh)])
            elif k < position and tree.state in known:
                older = {**known, tree.state: known[tree.state].but_the_last()}
                choices.append([x for x in older.items() if x[1].codes])
            else:
                choices.append([*known.items()])
        for arguments in product(*choices):
            self._offer(index, executed, arguments)

    def _offer(
        self, index: int, executed: bool, arguments: tuple[tuple[State, _Minimal], ...]
    ) -> None:
        """Let the trees of a rule wait, with every combination of the arguments' trees."""
        rule = self.grammar.rules[index]
        states = [state for state, _ in arguments]
        train = rule.train if isinstance(rule.train, str) else states[rule.train].train
        deploy = rule.deploy if isinstance(rule.deploy, str) else states[rule.deploy].deploy
        target = State(rule.symbol, executed, train, deploy)
        if target in states:
            return  # the argument itself is no dearer
        counts = self.own[int(executed), index][None]
        parts: list[Code] = [()]
        for _, minimal in arguments:
            counts, parts = self._joined(counts, parts, minimal)
        known = self.found.get((rule.symbol, executed), {}).get(target)
        kept = ~known.dominate(counts) if known else np.ones(len(counts), bool)
        for row in np.flatnonzero(kept).tolist():
            code, own = (index, *parts[row]), counts[row]
            total = int(own[1:].sum())
            heappush(self.waiting, _Tree(int(own[0]), total, len(code), code, target, own))
        if len(self.waiting) > MAX_WAITING:
            raise RefusedError(
                f"more than {MAX_WAITING} trees could be the cheapest at some costs: the least "
                "cost is then not found exactly; let fewer rules store or run components"
            )

    def _joined(
        self, counts: Ints, parts: list[Code], minimal: _Minimal
    ) -> tuple[Ints, list[Code]]:
        """One more argument: counts and codes of all combinations that none of them undercuts.

        What is larger now stays larger whatever the arguments to come are.
        """
        if len(parts) * len(minimal.codes) > MAX_WAITING:
            raise RefusedError(
                f"more than {MAX_WAITING} combinations of arguments could be the cheapest at some "
                "costs: the least cost is then not found exactly; let fewer rules store or run "
                "components"
            )
        left, right = counts[:, None, :], minimal.counts[None, :, :]
        joined = np.where(self.shared, np.maximum(left, right), left + right)
        joined = joined.reshape(-1, counts.shape[1])
        codes = [one + other for one in parts for other in minimal.codes]
        if len(codes) <= _FEW or len(parts) == 1:
            return joined, codes
        totals = joined.sum(axis=1)
        order = sorted(range(len(codes)), key=lambda k: (totals[k], len(codes[k]), codes[k]))
        kept = _Minimal([], joined[:1].copy())
        for k in order:
            if not kept.codes or not (kept.counts <= joined[k]).all(axis=1).any():
                kept.append(codes[k], joined[k])
        return kept.counts, kept.codes


def _places(rule: Rule, executed: bool) -> Iterator[Place]:
    """Symbol of every argument, and whether it executes."""
    for k, symbol in enumerate(rule.args):
        yield symbol, executed and k in rule.executes
