"""The equations with fewer terms: what a rule does not look at is summed over beforehand.

A rule exhibits one argument's objective in training and perhaps another's in deployment; whatever
else its arguments exhibit, the term is the same but for its factors. So the factor is the sum over
all that is not looked at, a *marginal* state with one term for each of its members, and a rule of
two arguments has objectives^2 terms instead of objectives^4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.grammars.inside import State, System, solvable_order

Ints = NDArray[np.int64]
Key = tuple[str, bool, str | None, str | None]


@dataclass(frozen=True, eq=False)
class ReducedSystem:
    """Equations in the form of `System`, over its states and marginal ones.

    Attributes
    ----------
    block, kind
        int (S,), (blocks,): blocks as in `System`; 0 one state without a loop, 1 linear, 2 more.
    target, rule, args, runs, stores
        As in `System`; ``rule`` is -1 where a marginal state is one of its members.
    rule_bits
        (T,), 0 where there is no rule.
    roots
        int (Q,): the system's roots as states of these equations.
    alive
        bool (K, T), by case.
    """

    block: Ints
    kind: Ints
    target: Ints
    rule: Ints
    args: Ints
    runs: Ints
    stores: Ints
    rule_bits: NDArray[np.float64]
    roots: Ints
    alive: NDArray[np.bool_]

    @classmethod
    def of(cls, system: System) -> ReducedSystem:
        """The reduced equations, or the system's own where nothing is gained."""
        maker = _Maker(system)
        merged = maker.terms(merge=True)
        own = maker.terms(merge=False)
        return maker.system(merged if len(merged) < len(own) else own)


@dataclass
class _Term:
    target: int
    rule: int
    args: tuple[int, ...]
    runs: Ints
    stores: Ints
    alive: NDArray[np.bool_]


@dataclass
class _Maker:
    source: System
    members: dict[Key, list[int]] = field(default_factory=dict)
    marginal: dict[Key, int] = field(default_factory=dict)

    def terms(self, merge: bool) -> list[_Term]:
        s = self.source
        alive = np.array([c.alive for c in s.cases])
        found: dict[tuple[int, int, tuple[int, ...]], _Term] = {}
        for t, (target, rule) in enumerate(zip(s.target.tolist(), s.rule.tolist(), strict=True)):
            places = list(self._places(t)) if merge else [(a, a) for a in s.args[t] if a >= 0]
            args = tuple(int(place) for place, _ in places)
            term = found.get((target, rule, args))
            if term is None:
                runs, stores = s.runs[t].copy(), s.stores[t].copy()
                for place, a in places:
                    runs += self._least(place, s.state_runs) - s.state_runs[a]
                    stores += self._least(place, s.state_stores) - s.state_stores[a]
                term = found[target, rule, args] = _Term(
                    target, rule, args, runs, stores, np.zeros(len(s.cases), bool)
                )
            term.alive |= alive[:, t]
            for place, a in places:
                if place != a:
                    self._member(found, place, int(a)).alive |= alive[:, t]
        return list(found.values())

    def _places(self, t: int) -> Iterator[tuple[int, int]]:
        """The state that stands for each argument of a term, and the argument's own."""
        s = self.source
        rule = s.grammar.rules[s.rule[t]]
        for k, a in enumerate(s.args[t].tolist()):
            if a < 0:
                return
            own = s.states[a]
            key = (
                own.symbol,
                own.executed,
                own.train if rule.train == k else None,
                own.deploy if rule.deploy == k else None,
            )
            if key not in self.members:
                self.members[key] = [m for m, x in enumerate(s.states) if _fits(x, key)]
            if len(self.members[key]) > 1:
                yield self.marginal.setdefault(key, len(s.states) + len(self.marginal)), a
            else:
                yield a, a

    def _member(
        self, found: dict[tuple[int, int, tuple[int, ...]], _Term], place: int, a: int
    ) -> _Term:
        s = self.source
        if (place, -1, (a,)) not in found:
            found[place, -1, (a,)] = _Term(
                place,
                -1,
                (a,),
                s.state_runs[a] - self._least(place, s.state_runs),
                s.state_stores[a] - self._least(place, s.state_stores),
                np.zeros(len(s.cases), bool),
            )
        return found[place, -1, (a,)]

    def _least(self, place: int, counts: Ints) -> Ints:
        if place < len(self.source.states):
            return counts[place]
        key = list(self.marginal)[place - len(self.source.states)]
        return counts[self.members[key]].min(axis=0)

    def system(self, terms: list[_Term]) -> ReducedSystem:
        s = self.source
        used = sorted({t.target for t in terms} | set(range(len(s.states))))
        index = {state: k for k, state in enumerate(used)}
        order, block = solvable_order(
            len(used), [(index[t.target], index[a]) for t in terms for a in t.args]
        )
        place = {used[state]: k for k, state in enumerate(order)}
        terms.sort(key=lambda t: (place[t.target], t.rule, [place[a] for a in t.args]))
        target = np.array([place[t.target] for t in terms])
        width = max(1, *(len(t.args) for t in terms))
        args = np.full((len(terms), width), -1)
        for row, term in zip(args, terms, strict=True):
            row[: len(term.args)] = [place[a] for a in term.args]
        rule = np.array([t.rule for t in terms])
        bits = np.array(s.grammar.rule_bits)
        return ReducedSystem(
            block=block,
            kind=_kinds(block, target, args),
            target=target,
            rule=rule,
            args=args,
            runs=np.array([t.runs for t in terms]),
            stores=np.array([t.stores for t in terms]),
            rule_bits=np.where(rule < 0, 0.0, bits[rule]),
            roots=np.array([place[r] for r in s.roots.tolist()], np.int64),
            alive=np.array([t.alive for t in terms]).T,
        )


def _fits(state: State, key: Key) -> bool:
    own = (state.symbol, state.executed, state.train, state.deploy)
    return all(k is None or k == x for k, x in zip(key, own, strict=True))


def _kinds(block: Ints, target: Ints, args: Ints) -> Ints:
    kind = np.zeros(block.max() + 1, np.int64)
    for state, row in zip(target, args, strict=True):
        inside = sum(block[a] == block[state] for a in row if a >= 0)
        kind[block[state]] = max(kind[block[state]], min(inside, 2))
    return kind
