"""The chains over programs as a plain C loop: its tables, from the grammar and its costs."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayes_mesa.domain.grammar import Code, Grammar
from benchmarks.compiling import compiled

RULES, SYMBOLS, WIDTH, NODES = 16, 4, 2, 512
MOVES = ("regenerate", "insert", "delete", "swap", "jump")
Costs = Mapping[str, tuple[float, float]]
_int, _double = ctypes.c_int32, ctypes.c_double


class Tables(ctypes.Structure):
    """`target` of native/trees.c."""

    _fields_ = (
        ("start", _int),
        ("max_nodes", _int),
        ("levin", _int),
        ("symbol", _int * RULES),
        ("arity", _int * RULES),
        ("args", _int * WIDTH * RULES),
        ("executes", _int * WIDTH * RULES),
        ("train", _int * RULES),
        ("deploy", _int * RULES),
        ("first", _int * (SYMBOLS + 1)),
        ("first_wrap", _int * (SYMBOLS + 1)),
        ("wrap_rule", _int * (RULES * WIDTH)),
        ("wrap_place", _int * (RULES * WIDTH)),
        ("inner", _int * RULES),
        ("peers", _int * RULES),
        ("peer", _int * RULES * RULES),
        ("guide", ctypes.c_uint8 * 256 * SYMBOLS),
        ("shared", ctypes.c_uint32 * RULES),
        ("cumulative", _double * RULES),
        ("wrap_cumulative", _double * (RULES * WIDTH)),
        ("log_wrap", _double * SYMBOLS),
        ("log_base", _double * RULES),
        ("bits", _double * RULES),
        ("steps", _double * RULES),
        ("shared_bits", _double * 32),
        ("loss", _double * RULES),
        ("exchange", _double),
        ("moves", _double * len(MOVES)),
        ("log_back", _double),
        ("log_whole", _double * NODES),
    )


def tables(
    grammar: Grammar,
    costs: Costs,
    losses: Mapping[str, float],
    exchange: tuple[str, float],
    shares: Mapping[str, float],
    max_nodes: int,
) -> Tables:
    """Rules must stand together by symbol, and store no shared component twice."""
    family, value = exchange
    t = Tables(grammar.symbols.index(grammar.start), max_nodes, family == "levin")
    t.exchange = value / math.log(2.0) if family == "levin" else 1.0 / value
    _rules(t, grammar)
    _costs(t, grammar, costs)
    _moves(t, grammar, shares)
    for k, name in enumerate(grammar.objectives):
        t.loss[k] = 0.0 if name == "base" else losses.get(name, math.inf)
    return t


def _rules(t: Tables, grammar: Grammar) -> None:
    chance = [2.0**-bits for bits in grammar.rule_bits]
    for k, rule in enumerate(grammar.rules):
        t.symbol[k], t.arity[k] = grammar.symbols.index(rule.symbol), len(rule.args)
        for place, argument in enumerate(rule.args):
            t.args[k][place] = grammar.symbols.index(argument)
            t.executes[k][place] = place in rule.executes
        t.train[k], t.deploy[k] = _shown(grammar, rule.train), _shown(grammar, rule.deploy)
        t.inner[k] = rule.args.count(rule.symbol)
        t.log_base[k] = math.log(chance[k])
        peers = [j for j in grammar.rules_of[rule.symbol] if j != k]
        peers = [j for j in peers if grammar.rules[j].args == rule.args]
        t.peers[k] = len(peers)
        for at, j in enumerate(peers):
            t.peer[k][at] = j
    for k, symbol in enumerate(grammar.symbols):
        own = grammar.rules_of[symbol]
        t.first[k], t.first[k + 1] = own[0], own[-1] + 1
        ends = np.cumsum([chance[j] for j in own])
        for j, reached in zip(own, ends, strict=True):
            t.cumulative[j] = reached
        for byte in range(256):
            t.guide[k][byte] = own[min(int((ends <= byte / 256).sum()), len(own) - 1)]


def _shown(grammar: Grammar, decides: int | str) -> int:
    return decides if isinstance(decides, int) else -1 - grammar.objectives.index(decides)


def _costs(t: Tables, grammar: Grammar, costs: Costs) -> None:
    shared = shared_components(grammar, costs)
    for at, name in enumerate(shared):
        t.shared_bits[at] = costs[name][0]
    for k, rule in enumerate(grammar.rules):
        t.steps[k] = sum(costs[name][1] * count for name, count in rule.runs.items())
        for name, count in rule.stores.items():
            if name in grammar.unshared:
                t.bits[k] += costs[name][0] * count
            else:
                t.shared[k] |= 1 << shared.index(name)


def shared_components(grammar: Grammar, costs: Costs) -> list[str]:
    """In the order of their bits in a set."""
    return [name for name in costs if name not in grammar.unshared]


def _moves(t: Tables, grammar: Grammar, shares: Mapping[str, float]) -> None:
    at = 0
    for s, symbol in enumerate(grammar.symbols):
        wraps = [
            (k, place)
            for k in grammar.rules_of[symbol]
            for place, argument in enumerate(grammar.rules[k].args)
            if argument == symbol
        ]
        chances = np.array([2.0 ** -grammar.rule_bits[k] for k, _ in wraps])
        t.log_wrap[s] = math.log(chances.sum()) if wraps else -math.inf
        reached = np.cumsum(chances) / chances.sum()
        for (k, place), up_to in zip(wraps, reached, strict=True):
            t.wrap_rule[at], t.wrap_place[at], t.wrap_cumulative[at] = k, place, up_to
            at += 1
        t.first_wrap[s + 1] = at
    for k, reached in enumerate(np.cumsum([shares[m] for m in MOVES])):
        t.moves[k] = reached
    for n in range(1, NODES):
        t.log_whole[n] = math.log(n)
    t.log_back = math.log(shares["delete"] / shares["insert"])


class Chain:
    """One chain of the C loop, with all its replicas at ``start``."""

    def __init__(self, target: Tables, ladder: np.ndarray, start: Code, seed: Sequence[int]):
        self.library = compiled("trees", "-lm")
        self.target, self.ladder = target, np.ascontiguousarray(ladder)
        self.room = np.zeros(self.library.chain_size(), np.uint8)
        words = np.random.SeedSequence(seed).generate_state(4, np.uint64)
        code = np.array(start, np.uint8)
        self.library.begin(
            ctypes.byref(target),
            pointer(self.room),
            pointer(words),
            pointer(code),
            len(code),
            len(ladder),
        )

    def run(self, rounds: int, proposals: int) -> dict[str, np.ndarray]:
        """Bits, steps, nodes, objectives in training and in deployment after every round."""
        found: dict[str, Any] = {n: np.empty(rounds) for n in ("bits", "steps")}
        found |= {n: np.empty(rounds, np.int32) for n in ("nodes", "train", "deploy")}
        self.library.run(
            ctypes.byref(self.target), pointer(self.room), pointer(self.ladder),
            ctypes.c_int64(rounds), proposals, *map(pointer, found.values()),
        )  # fmt: skip
        return found


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Where the array begins."""
    return ctypes.c_void_p(array.ctypes.data)
