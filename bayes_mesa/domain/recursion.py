"""Which symbols of a grammar lead back to themselves, and which to no finite program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bayes_mesa.domain.grammar import Rule


def reachable(rules: Sequence[Rule], start: str) -> frozenset[str]:
    """Symbols of the programs of ``start``, itself among them."""
    found, pending = {start}, [start]
    below = _below(rules)
    while pending:
        new = below.get(pending.pop(), frozenset()) - found
        found |= new
        pending += new
    return frozenset(found)


def finite_symbols(rules: Sequence[Rule]) -> frozenset[str]:
    """Symbols that have a finite program at all."""
    found: set[str] = set()
    while True:
        more = {r.symbol for r in rules if found.issuperset(r.args)} - found
        if not more:
            return frozenset(found)
        found |= more


def components(rules: Sequence[Rule]) -> tuple[frozenset[str], ...]:
    """Symbols grouped with those that they lead to and that lead back: arguments before users."""
    below = _below(rules)
    return tuple(_Search(below).found)


def recursive_rules(rules: Sequence[Rule]) -> tuple[int, ...]:
    """Positions of the rules with an argument that leads back to their own symbol."""
    group = {symbol: g for g in components(rules) for symbol in g}
    return tuple(k for k, r in enumerate(rules) if not group[r.symbol].isdisjoint(r.args))


def _below(rules: Iterable[Rule]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for rule in rules:
        found.setdefault(rule.symbol, set()).update(rule.args)
        for symbol in rule.args:
            found.setdefault(symbol, set())
    return {symbol: frozenset(args) for symbol, args in found.items()}


class _Search:
    """Tarjan's strongly connected components; the recursion is as deep as there are symbols."""

    def __init__(self, below: Mapping[str, frozenset[str]]):
        self.below = below
        self.found: list[frozenset[str]] = []
        self._low: dict[str, int] = {}
        self._path: list[str] = []
        for symbol in below:
            if symbol not in self._low:
                self._enter(symbol)

    def _enter(self, symbol: str) -> int:
        index = self._low[symbol] = len(self._low)
        depth = len(self._path)
        self._path.append(symbol)
        low = index
        for other in sorted(self.below[symbol]):
            low = min(low, self._low[other] if other in self._low else self._enter(other))
        self._low[symbol] = low
        if low == index:
            group = self._path[depth:]
            del self._path[depth:]
            # Done: never again lower than what is entered later.
            self._low |= dict.fromkeys(group, len(self.below))
            self.found.append(frozenset(group))
        return low
