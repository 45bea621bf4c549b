"""Every program of a grammar in order of rule bits: the arrays and bands of the native search.

Bits are counted in units of 2^-40 bits, rounded down rule by rule: sums are then exact, so that
every program lies in exactly one band, and a program of fewer than ``high`` bits is never missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_mesa._ext import enumeration as native
from bayes_mesa.domain.grammar import Code, Grammar

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

#: Units in a bit.
UNIT = 2.0**40
#: Longest code that is looked at; its counts fit into 16 bits.
MAX_NODES = 1 << 14
#: Nodes between two looks at an interrupt: some milliseconds.
_QUOTA = 1 << 17
_NEVER = np.iinfo(np.int64).max
_STATUS = native.STATUS


@dataclass(frozen=True, eq=False)
class Compiled:
    """A grammar in the order of the search; see ``_ext/enumeration.pyx``.

    Attributes
    ----------
    symbols
        int64 (3, symbols): first rule, first rule with arguments, end of the rules.
    rules
        int64 (6, R + 1): units, least units of the whole subtree, index in the file, where the
        arguments begin, 1 + objective in training and in deployment (0: an argument's).
    arguments
        int64 (3, arguments): symbol, least units of those after it, flags handed down.
    least
        Units of the shortest program.
    """

    symbols: Ints
    rules: Ints
    arguments: Ints
    least: int

    @classmethod
    def of(cls, grammar: Grammar) -> Compiled:
        """Tables of a grammar whose every symbol has a program."""
        units = [math.floor(bits * UNIT) for bits in grammar.rule_bits]
        least = _least_units(grammar, units)
        symbol_number = {s: k for k, s in enumerate(grammar.symbols)}
        bounds: list[tuple[int, ...]] = []
        rows: list[tuple[int, ...]] = []
        arguments: list[tuple[int, ...]] = []
        for symbol in grammar.symbols:
            own = grammar.rules_of[symbol]
            whole = {k: units[k] + sum(least[s] for s in grammar.rules[k].args) for k in own}
            order = sorted(own, key=lambda k: (bool(grammar.rules[k].args), whole[k], k))
            leaves = sum(not grammar.rules[k].args for k in own)
            bounds.append((len(rows), len(rows) + leaves, len(rows) + len(own)))
            for k in order:
                rows.append((units[k], whole[k], k, len(arguments), *_named(grammar, k)))
                arguments += _arguments(grammar, k, symbol_number, least)
        rows.append((0, 0, 0, len(arguments), 0, 0))
        return cls(_table(bounds, 3), _table(rows, 6), _table(arguments, 3), least[grammar.start])


def _table(rows: list[tuple[int, ...]], width: int) -> Ints:
    # One empty row where there are none: the native code takes the address of the first entry.
    return np.ascontiguousarray(np.array(rows or [(0,) * width], np.int64).T)


def _least_units(grammar: Grammar, units: list[int]) -> dict[str, int]:
    """Units of the shortest program of every symbol (Knuth 1977, by rounds)."""
    least = dict.fromkeys(grammar.symbols, math.inf)
    changed = True
    while changed:
        changed = False
        for k, rule in enumerate(grammar.rules):
            whole = units[k] + sum(least[s] for s in rule.args)
            if whole < least[rule.symbol]:
                least[rule.symbol], changed = whole, True
    if math.inf in least.values():
        raise ValueError("every symbol must have a program that ends")
    return {s: int(x) for s, x in least.items()}


def _named(grammar: Grammar, k: int) -> tuple[int, int]:
    rule = grammar.rules[k]
    train, deploy = (
        1 + grammar.objectives.index(o) if isinstance(o, str) else 0
        for o in (rule.train, rule.deploy)
    )
    return train, deploy


def _arguments(
    grammar: Grammar, k: int, symbol_number: dict[str, int], least: dict[str, int]
) -> list[tuple[int, int, int]]:
    rule, found = grammar.rules[k], []
    for position, symbol in enumerate(rule.args):
        ways = {
            "executes": position in rule.executes,
            "trains": rule.train == position,
            "deploys": rule.deploy == position,
        }
        handed = sum(native.FLAGS[name] for name, holds in ways.items() if holds)
        after = sum(least[s] for s in rule.args[position + 1 :])
        found.append((symbol_number[symbol], after, handed))
    return found


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found, by class: programs of the same rules, executions and behaviour.

    Attributes
    ----------
    count
        int64 (K,): programs in the class.
    used, executed
        int64 (K, R): uses of every rule, and those that execute in training.
    train, deploy
        int64 (K,): objectives, as positions in ``grammar.objectives``.
    first, pool
        int64 (K,), uint16: where the code of each class's first program begins in ``pool``.
    """

    count: Ints
    used: Ints
    executed: Ints
    train: Ints
    deploy: Ints
    first: Ints
    pool: NDArray[np.uint16]

    @cached_property
    def size(self) -> Ints:
        """Nodes of a program of the class, (K,)."""
        return self.used.sum(axis=1)

    def code(self, k: int) -> Code:
        """Code of the first program of class ``k``, in the order of the search."""
        begin = int(self.first[k])
        return tuple(self.pool[begin : begin + int(self.size[k])].tolist())


class Search:
    """A search that goes on band by band; its tables grow as they fill."""

    def __init__(self, grammar: Grammar):
        rules = len(grammar.rules)
        self._rules = rules
        self._compiled = Compiled.of(grammar)
        words = (2 * rules + 2 + 3) // 4
        # Odd multipliers from a fixed stream: the table's order must not change from run to run.
        rng = np.random.Generator(np.random.PCG64(40))
        self._salt = rng.integers(1 << 63, size=2 * rules + 2, dtype=np.uint64) * 2 + 1
        self._frames = np.zeros((MAX_NODES, native.FRAME_SIZE), np.int64)
        self._key = np.zeros(words, np.uint64)
        self._classes = np.zeros((1 << 10, native.ROW_HEAD + words), np.uint64)
        self._table = np.zeros((1 << 12, 2), np.uint64)
        self._pool = np.zeros(1 << 14, np.uint16)
        self._state = np.zeros(native.STATE_SIZE, np.int64)
        #: Every program of fewer units than this has been found.
        self.reached = self._compiled.least
        self.exhausted = False

    @property
    def programs(self) -> int:
        """Programs found so far."""
        return int(self._state[1])

    @property
    def least_left_out(self) -> int:
        """Units that the shortest program not yet looked at has at least."""
        return max(self.reached, int(self._state[4]))

    def band(self, high: int, most: int, step: Callable[[int], None] = lambda _: None) -> bool:
        """Find every program of ``reached`` to ``high`` units.

        Parameters
        ----------
        high
            Upper end of the band, exclusive.
        most
            Programs to find in all bands together.
        step
            Called with the number of programs every few milliseconds.

        Returns
        -------
        bool
            Whether the band was finished: False when ``most`` programs had been found before.
        """
        self._state[0], self._state[4] = -1, _NEVER
        status = None
        while status != _STATUS["finished"]:
            status = self._go_on(high, most)
            if status == _STATUS["enough"]:
                return False
            if status == _STATUS["classes_full"]:
                self._classes = _doubled(self._classes)
                self._enlarge_table()
            if status == _STATUS["pool_full"]:
                self._pool = _doubled(self._pool)
            step(self.programs)
        if self._state[5]:
            # Programs too long to be looked at: nothing beyond the last band is claimed.
            return False
        self.reached = high
        self.exhausted = int(self._state[4]) == _NEVER
        return True

    def _go_on(self, high: int, most: int) -> int:
        compiled = self._compiled
        return native.enumerate_band(
            compiled.symbols, compiled.rules, compiled.arguments, self._salt, 0, self.reached, high,
            most, _QUOTA, self._frames, self._key, self._classes, self._table, self._pool,
            self._state,
        )  # fmt: skip

    def _enlarge_table(self) -> None:
        larger = np.zeros((4 * len(self._classes), 2), np.uint64)
        native.rehash(self._table, larger)
        self._table = larger

    def found(self) -> Found:
        """The classes of all programs found so far."""
        rows = self._classes[: int(self._state[2])]
        # By lane, so that every rule's counts lie side by side.
        lanes = np.empty((2 * self._rules + 2, len(rows)), np.int64)
        for lane, out in enumerate(lanes):
            word = rows[:, native.ROW_HEAD + lane // 4] >> np.uint64(16 * (lane % 4))
            np.bitwise_and(word.view(np.int64), 0xFFFF, out=out)
        used, executed = lanes[: self._rules].T, lanes[self._rules : -2].T
        return Found(
            rows[:, 0].astype(np.int64), used, executed, lanes[-2] - 1, lanes[-1] - 1,
            rows[:, 1].astype(np.int64), self._pool[: int(self._state[3])].copy(),
        )  # fmt: skip


def _doubled(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.zeros_like(array)])
