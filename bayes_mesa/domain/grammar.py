"""A typed grammar of programs: its rules, and a program as the flat prefix code of its tree.

A *code* is the tuple of rule indices met on a walk through the tree, node before arguments,
arguments from left to right. Arities are known, so every tree has one code and every code one tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

Code = tuple[int, ...]

_NOTHING = MappingProxyType[str, int]({})


@dataclass(frozen=True)
class Rule:
    """One way to make a program of type ``symbol`` from arguments of the types ``args``.

    ``stores`` and ``runs`` map component names to whole counts. ``executes`` holds the positions of
    the arguments that execute in training whenever the node does. ``train`` and ``deploy`` are what
    the node exhibits: an objective by name, or the position of the argument whose objective it is.
    """

    symbol: str
    name: str
    args: tuple[str, ...] = ()
    stores: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    runs: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    executes: tuple[int, ...] = ()
    train: int | str = 0
    deploy: int | str = 0
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Grammar:
    """Rules in file order, and the symbol of whole programs.

    ``unshared`` names the components that are stored anew at every use; all others are stored once
    in a program, with the largest count of the rules that it uses.
    """

    start: str
    rules: tuple[Rule, ...]
    unshared: frozenset[str] = frozenset()

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The start symbol, then every other in order of its first rule."""
        return tuple(dict.fromkeys((self.start, *(r.symbol for r in self.rules))))

    @cached_property
    def rules_of(self) -> Mapping[str, tuple[int, ...]]:
        """Indices of the rules of every symbol, in file order."""
        found: dict[str, list[int]] = {s: [] for s in self.symbols}
        for index, rule in enumerate(self.rules):
            found[rule.symbol].append(index)
        return MappingProxyType({s: tuple(rules) for s, rules in found.items()})

    @cached_property
    def rule_bits(self) -> tuple[float, ...]:
        """−log2(weight / Σ weights of its symbol) of every rule, bits."""
        whole = {s: math.fsum(self.rules[k].weight for k in r) for s, r in self.rules_of.items()}
        return tuple(math.log2(whole[r.symbol] / r.weight) for r in self.rules)

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """Every objective that a rule names, in order of first mention."""
        named = (o for r in self.rules for o in (r.train, r.deploy) if isinstance(o, str))
        return tuple(dict.fromkeys(named))

    def end(self, code: Code, start: int = 0) -> int:
        """Position after the subtree that begins at ``start``.

        Raises
        ------
        ValueError
            If the code ends before the subtree does.
        """
        open_nodes, at = 1, start
        while open_nodes:
            if at >= len(code):
                raise ValueError(f"the code {code} ends inside the subtree at {start}")
            open_nodes += len(self.rules[code[at]].args) - 1
            at += 1
        return at

    def arguments(self, code: Code, start: int = 0) -> Iterator[int]:
        """Positions at which the arguments of the node at ``start`` begin."""
        at = start + 1
        for _ in self.rules[code[start]].args:
            yield at
            at = self.end(code, at)
