"""Every program of the nine-rule grammar of fewer than 28 rule bits, against C and against Python.

Two rows against `native/enumerate.c`, compiled with ``cc -O3``. *Weighed*: from nothing to the
weight of every class at one theta; ours counts programs by class and evaluates each class once in
NumPy, the C loop evaluates each program where it meets it. *Searched*: to the table of classes
(uses of every rule, executed uses, behaviour; a code of each) on both sides; ours lets its tables
grow, the C loop is given ones of the right size. One band on both sides: what `enumerate` looks at
again when it goes on by bands, about a quarter, is in neither. The Python peer stops at 20 bits.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from bayes_mesa.costing.exchange import LN2, penalty
from bayes_mesa.domain.model import CLASSES
from bayes_mesa.domain.slots import parameters
from bayes_mesa.grammars.certificate import At, Weights
from bayes_mesa.grammars.listing import listed_programs
from bayes_mesa.grammars.program_search import UNIT, Search
from benchmarks.bare_trees import pointer, shared_components
from benchmarks.compiling import compiled
from benchmarks.nine_rules import COSTS, EXCHANGE, FAMILIES, GRAMMAR, LOSSES, MODEL, theta
from benchmarks.peer_trees import Target, Tree
from benchmarks.timing import Row, busy, by_turns

BITS, BITS_PYTHON = 28.0, 20.0
RULES, SYMBOLS, WIDTH, SHARED = 16, 4, 2, 32
#: `class_row` and as many rows as the table may need.
ROW, TABLE, POOL = 40, 1 << 18, 1 << 24
_int, _long, _double = ctypes.c_int32, ctypes.c_int64, ctypes.c_double


def rows() -> list[Row]:
    """Programs per second, weighed and searched."""
    bare, found = Bare(), []
    for family in FAMILIES:
        _compare(family, bare)
        mine, its = _turns(partial(weighed, family, BITS), partial(bare.weighed, family, BITS), 7)
        what = f"enumeration, weighed, {family}"
        found.append(Row(f"{what}: bare C loop, cc -O3", "programs / s", mine, its, 0.4))
    mine, its = _turns(partial(searched, BITS), partial(bare.searched, BITS), 7)
    what = "enumeration, searched"
    found.append(Row(f"{what}: bare C loop, cc -O3", "programs / s", mine, its, 0.4))
    few = BITS_PYTHON
    mine, its = _turns(partial(weighed, "levin", few), partial(python, "levin", few), 3)
    what = "enumeration, weighed, levin, 20 bits"
    found.append(Row(f"{what}: plain Python", "programs / s", mine, its))
    return found


def _turns(
    ours: Callable[[], Any], peer: Callable[[], Any], repeats: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    def rate(work: Callable[[], Any]) -> Callable[[int], Mapping[str, float]]:
        def run(_: int) -> dict[str, float]:
            (programs, _rest), seconds = busy(work)
            return {"programs": programs / seconds}

        return run

    return by_turns(rate(ours), rate(peer), repeats)["programs"]


Weighed = tuple[int, np.ndarray]


def weighed(family: str, bits: float) -> Weighed:
    """Programs, and the weight of each class, ours."""
    search = Search(GRAMMAR)
    search.band(math.floor(bits * UNIT), 1 << 40)
    listing = listed_programs(MODEL, GRAMMAR, search)
    at = At(MODEL, FAMILIES[family], theta(family), None)
    weights = at.weights(listing)
    return search.programs, np.exp(weights.log_class_sums() - LN2 * _base_bits(at, weights))


def _base_bits(at: At, weights: Weights) -> float:
    """Bits of the base that the weights are relative to."""
    base = weights.base
    steps = np.float64(base.runs @ at.steps + base.extra_steps)
    numbers = {n: float(x[0]) for n, x in parameters(at.family, at.theta).items()}
    return float(penalty(at.family.name, numbers, np.float64(base.stores @ at.bits), steps))


def searched(bits: float) -> tuple[int, int]:
    """Programs and classes, ours."""
    search = Search(GRAMMAR)
    search.band(math.floor(bits * UNIT), 1 << 40)
    return search.programs, len(search.found().count)


def python(family: str, bits: float) -> Weighed:
    """The same by a generator of trees and a walk through each."""
    target, sums = Target(GRAMMAR, COSTS, LOSSES, EXCHANGE[family]), [0.0] * len(CLASSES)
    units = [math.floor(b * UNIT) for b in GRAMMAR.rule_bits]
    least = _least(units)

    def trees(symbol: str, room: int) -> Iterator[tuple[Tree, int]]:
        for k in GRAMMAR.rules_of[symbol]:
            for arguments, spent in forests(GRAMMAR.rules[k].args, room - units[k]):
                yield (k, *arguments), spent + units[k]

    def forests(symbols: tuple[str, ...], room: int) -> Iterator[tuple[Tree, int]]:
        if room <= sum(least[s] for s in symbols):
            return
        if not symbols:
            yield (), 0
            return
        after = sum(least[s] for s in symbols[1:])
        for first, spent in trees(symbols[0], room - after):
            for rest, more in forests(symbols[1:], room - spent):
                yield (first, *rest), spent + more

    programs = 0
    for tree, spent in trees(GRAMMAR.start, math.floor(bits * UNIT)):
        programs += 1
        sums[target.class_of(tree)] += math.exp(-target.energy(tree)) * 2.0 ** (-spent / UNIT)
    return programs, np.array(sums)


def _least(units: list[int]) -> dict[str, int]:
    """Units of the shortest tree of every symbol."""
    least: dict[str, Any] = dict.fromkeys(GRAMMAR.symbols, math.inf)
    for _ in GRAMMAR.rules:
        for k, rule in enumerate(GRAMMAR.rules):
            whole = units[k] + sum(least[s] for s in rule.args)
            least[rule.symbol] = min(least[rule.symbol], whole)
    return least


def _compare(family: str, bare: Bare) -> None:
    """Stop unless everybody finds the same programs, of the same weight."""
    (programs, weight), (theirs, its) = weighed(family, BITS), bare.weighed(family, BITS)
    same = programs == theirs and np.allclose(weight, its, rtol=1e-9, atol=0.0)
    same &= searched(BITS) == bare.searched(BITS)
    (programs, weight), (theirs, its) = weighed(family, BITS_PYTHON), python(family, BITS_PYTHON)
    # The generator takes rule bits as they are rounded for the search.
    if not (same and programs == theirs and np.allclose(weight, its, rtol=1e-9, atol=0.0)):
        raise SystemExit(f"enumeration, {family}: not the same programs, or not the same weight")


class Tables(ctypes.Structure):
    """`grammar` of native/enumerate.c."""

    _fields_ = (
        ("start", _int),
        ("levin", _int),
        ("first", _int * (SYMBOLS + 1)),
        ("arity", _int * RULES),
        ("args", _int * WIDTH * RULES),
        ("handed", _int * WIDTH * RULES),
        ("train", _int * RULES),
        ("deploy", _int * RULES),
        ("units", _long * RULES),
        ("least", _long * RULES),
        ("after", _long * WIDTH * RULES),
        ("shared", ctypes.c_uint32 * RULES),
        ("rule_bits", _double * RULES),
        ("bits", _double * RULES),
        ("steps", _double * RULES),
        ("shared_bits", _double * SHARED),
        ("loss_bits", _double * RULES),
        ("exchange", _double),
    )


def tables(family: str) -> Tables:
    """The grammar in the order of the search."""
    units = [math.floor(b * UNIT) for b in GRAMMAR.rule_bits]
    least = _least(units)
    name, value = EXCHANGE[family]
    t = Tables(GRAMMAR.symbols.index(GRAMMAR.start), name == "levin")
    t.exchange = value if name == "levin" else 1.0 / value
    at = 0
    for s, symbol in enumerate(GRAMMAR.symbols):
        whole = {
            k: units[k] + sum(least[a] for a in GRAMMAR.rules[k].args)
            for k in GRAMMAR.rules_of[symbol]
        }
        for k in sorted(whole, key=lambda k: whole[k]):
            t.units[at], t.least[at] = units[k], whole[k]
            _fill(t, at, k, least)
            at += 1
        t.first[s + 1] = at
    for s in range(len(GRAMMAR.symbols), SYMBOLS):
        t.first[s + 1] = at
    for k, component in enumerate(shared_components(GRAMMAR, COSTS)):
        t.shared_bits[k] = COSTS[component][0]
    for k, objective in enumerate(GRAMMAR.objectives):
        t.loss_bits[k] = LOSSES.get(objective, 0.0) / LN2
    return t


def _fill(t: Tables, at: int, k: int, least: Mapping[str, int]) -> None:
    rule, shared = GRAMMAR.rules[k], shared_components(GRAMMAR, COSTS)
    t.arity[at], t.rule_bits[at] = len(rule.args), GRAMMAR.rule_bits[k]
    for place, argument in enumerate(rule.args):
        t.args[at][place] = GRAMMAR.symbols.index(argument)
        t.after[at][place] = sum(least[a] for a in rule.args[place + 1 :])
        executes = place in rule.executes
        t.handed[at][place] = executes + 2 * (rule.train == place) + 4 * (rule.deploy == place)
    for column, decides in ((t.train, rule.train), (t.deploy, rule.deploy)):
        if isinstance(decides, str):
            column[at] = 1 + GRAMMAR.objectives.index(decides)
    t.steps[at] = sum(COSTS[n][1] * count for n, count in rule.runs.items())
    for name, count in rule.stores.items():
        if name in GRAMMAR.unshared:
            t.bits[at] += COSTS[name][0] * count
        else:
            t.shared[at] |= 1 << shared.index(name)


class Bare:
    """The C loops."""

    def __init__(self) -> None:
        self.library = compiled("enumerate", "-lm")
        self.library.weigh.restype = self.library.merge.restype = ctypes.c_int64
        self.tables = {family: tables(family) for family in FAMILIES}

    def weighed(self, family: str, bits: float) -> Weighed:
        """Programs, and the weight of each class."""
        weight = np.zeros(len(CLASSES))
        of, high = ctypes.byref(self.tables[family]), _long(math.floor(bits * UNIT))
        return self.library.weigh(of, high, pointer(weight)), weight

    def searched(self, bits: float) -> tuple[int, int]:
        """Programs and classes."""
        table, pool = np.zeros((TABLE, ROW), np.uint8), np.zeros(POOL, np.uint8)
        programs, high = _long(), _long(math.floor(bits * UNIT))
        classes = self.library.merge(
            ctypes.byref(self.tables["levin"]), high, pointer(table), _long(TABLE), pointer(pool),
            ctypes.byref(programs),
        )  # fmt: skip
        return programs.value, classes
