"""Programs of least additive cost: the shortest derivation for everything exhibited in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bayes_mesa.domain.grammar import Code, Grammar


@dataclass(frozen=True, order=True)
class Shortest:
    """A program and its cost; of equal costs the one with the fewest nodes, then first by code."""

    cost: float
    nodes: int
    code: Code


def shortest_programs(
    grammar: Grammar, always: Sequence[float], executed: Sequence[float]
) -> dict[str, Shortest]:
    """Least Σ over nodes of what its rule costs, by what the whole program exhibits in training.

    Parameters
    ----------
    always, executed
        Costs >= 0 by rule, (R,): of every node, and of a node that executes in training besides.

    Returns
    -------
    dict
        Exact. Relaxed until nothing changes: cost and nodes rise along every tree.
    """
    best: dict[tuple[str, bool], dict[str, Shortest]] = {
        (symbol, on): {} for symbol in grammar.symbols for on in (False, True)
    }
    changed = True
    while changed:
        changed = False
        for row, rule in enumerate(grammar.rules):
            for on in (False, True):
                known = best[rule.symbol, on]
                args = [best[a, on and k in rule.executes] for k, a in enumerate(rule.args)]
                cost = always[row] + (executed[row] if on else 0.0)
                for train, found in _made(row, rule.train, cost, args):
                    if train not in known or found < known[train]:
                        known[train] = found
                        changed = True
    return best[grammar.start, True]


def _made(
    row: int, train: int | str, cost: float, args: list[dict[str, Shortest]]
) -> Iterable[tuple[str, Shortest]]:
    if not all(args):
        return
    least = [min(arg.values()) for arg in args]
    if isinstance(train, str):
        yield train, _joined(row, cost, least)
        return
    for name, chosen in list(args[train].items()):
        yield name, _joined(row, cost, [*least[:train], chosen, *least[train + 1 :]])


def _joined(row: int, cost: float, parts: list[Shortest]) -> Shortest:
    return Shortest(
        cost + sum(p.cost for p in parts),
        1 + sum(p.nodes for p in parts),
        (row, *(r for p in parts for r in p.code)),
    )


def eligible(found: Mapping[str, Shortest], objectives: Iterable[str]) -> list[Code]:
    """Codes of the programs that pursue one of ``objectives``, cheapest first."""
    chosen = set(objectives)
    return [x.code for train, x in sorted(found.items(), key=lambda e: e[1]) if train in chosen]
