"""A grammar as the flat tables that the tree kernels walk, whatever the costs are.

Structures without a grammar are a grammar of one symbol, with one leaf rule for each. What every
program pays is taken out here, by counts: each symbol has a least payment μ of every component, and
a rule keeps what it pays beyond its symbol's, counts(r) + Σ μ(args) − μ(symbol) ≥ 0. Along a tree
these telescope to the program's counts less μ of the start symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.grammar import Grammar, Rule
from bayes_mesa.domain.model import Model

Ints = NDArray[np.int32]
Counts = NDArray[np.int64]

#: Larger than any count that can be paid; a sum of two still fits.
_NONE_YET = np.int64(1) << 40


@dataclass(frozen=True, eq=False)
class RuleTables:
    """What does not change with theta.

    Attributes
    ----------
    grammar
        The model's, or one with a leaf rule for every structure.
    arrays
        Fields of the kernel's tables by name, int32 and at least one entry long.
    bits_of, once_of, steps_of
        Component of every counter: of payments of bits, of what is stored once, of steps.
    once_level, once_added
        Counts from which a counter of what is stored once is paid, and payments that it adds.
    mandatory_bits, mandatory_steps
        (C,): payments that every program makes.
    objectives
        What programs exhibit in training, in the order of the kernel's numbers.
    wraps
        (rule, place) by symbol: what can be wrapped around a subtree of that symbol.
    """

    grammar: Grammar
    arrays: Mapping[str, Any]
    bits_of: Counts
    once_of: Counts
    once_level: Counts
    once_added: Counts
    steps_of: Counts
    mandatory_bits: Counts
    mandatory_steps: Counts
    objectives: tuple[str, ...]
    wraps: Mapping[str, tuple[tuple[int, int], ...]]

    @classmethod
    def of(cls, model: Model) -> RuleTables:
        """Tables of a model's grammar, or of its structures."""
        return _tables(model, model.grammar or _one_symbol(model))


def ints(values: Iterable[int]) -> Ints:
    """An int32 array with room for a pointer to its first entry."""
    return np.array([*values] or [0], dtype=np.int32)


def _one_symbol(model: Model) -> Grammar:
    rules = tuple(
        Rule("structure", s.name, (), s.stores, s.runs, (), s.train, s.deploy, s.multiplicity)
        for s in model.structures
    )
    return Grammar("structure", rules, frozenset(c.name for c in model.components))


def _tables(model: Model, grammar: Grammar) -> RuleTables:
    index = model.component_index
    shared = np.array([c.name not in grammar.unshared for c in model.components], dtype=bool)
    stores = _matrix(grammar, index, lambda rule: rule.stores)
    runs = _matrix(grammar, index, lambda rule: rule.runs)
    bits, bits_least = _beyond_least(grammar, np.where(shared, 0, stores), False)
    steps, steps_least = _beyond_least(grammar, runs, True)
    once, avoidable = _levels(model, grammar, np.where(shared, stores, 0))
    least_once = np.zeros(len(index), dtype=np.int64)
    for (component, _, added, _), free in zip(once, avoidable, strict=True):
        least_once[component] += 0 if free else added
    once = [item for item, free in zip(once, avoidable, strict=True) if free]
    bits_of, steps_of = np.flatnonzero(bits.any(axis=0)), np.flatnonzero(steps.any(axis=0))
    in_once = np.stack([item[3] for item in once], axis=1) if once else stores[:, :0]
    limited = model.grammar is not None and model.selection.max_bits is not None
    own_rule = np.eye(len(grammar.rules), dtype=np.int64)[:, : len(grammar.rules) * limited]
    pairs = [index[name] for o in model.overlaps for name in (o.component, o.inside)]
    always = np.concatenate([bits[:, bits_of], in_once, own_rule], axis=1)
    executed = np.concatenate([steps[:, steps_of], runs[:, pairs]], axis=1)
    ends = np.cumsum([len(bits_of), len(once), own_rule.shape[1], len(steps_of), len(pairs)])
    names = ("bits_end", "once_end", "rules_end", "steps_end", "counters")
    objectives = tuple(dict.fromkeys(r.train for r in grammar.rules if isinstance(r.train, str)))
    wraps = _wraps(grammar)
    arrays = {
        **dict(zip(names, map(int, ends), strict=True)),
        **_rule_arrays(grammar, objectives),
        **_wrap_arrays(grammar, wraps),
        **_peer_arrays(grammar),
        **_effects(always, executed),
        **_fact_arrays(model.facts.needs or ((),) * len(model.facts)),
    }
    return RuleTables(
        grammar,
        arrays,
        bits_of,
        _column(once, 0),
        _column(once, 1),
        _column(once, 2),
        steps_of,
        bits_least + least_once,
        steps_least,
        objectives,
        wraps,
    )


def _column(items: Sequence[tuple[Any, ...]], which: int) -> Counts:
    return np.array([item[which] for item in items], dtype=np.int64)


def _matrix(
    grammar: Grammar, index: Mapping[str, int], counts: Callable[[Rule], Mapping[str, int]]
) -> Counts:
    found = np.zeros((len(grammar.rules), len(index)), dtype=np.int64)
    for row, rule in enumerate(grammar.rules):
        for name, count in counts(rule).items():
            found[row, index[name]] = count
    return found


def _beyond_least(grammar: Grammar, counts: Counts, executed_only: bool) -> tuple[Counts, Counts]:
    """Payments of every rule beyond its symbol's least, and the start symbol's least."""
    least = {s: np.full(counts.shape[1], _NONE_YET) for s in grammar.symbols}

    def paid(row: int) -> Counts:
        rule = grammar.rules[row]
        used = rule.executes if executed_only else range(len(rule.args))
        inner = [least[rule.args[k]] for k in used]
        return np.minimum(counts[row] + sum(inner, np.zeros_like(counts[row])), _NONE_YET)

    changed = True
    while changed:
        changed = False
        for row, rule in enumerate(grammar.rules):
            lower = np.minimum(least[rule.symbol], paid(row))
            changed |= bool((lower != least[rule.symbol]).any())
            least[rule.symbol] = lower
    beyond = [paid(row) - least[rule.symbol] for row, rule in enumerate(grammar.rules)]
    return np.stack(beyond), least[grammar.start]


def _levels(
    model: Model, grammar: Grammar, stores: Counts
) -> tuple[list[tuple[int, int, int, Counts]], list[bool]]:
    """Levels of what is stored once: (component, level, payments added, rules); if avoidable."""
    found, avoidable = [], []
    for component in np.flatnonzero(stores.any(axis=0)).tolist():
        below = 0
        for level in np.unique(stores[stores[:, component] > 0, component]).tolist():
            rules = (stores[:, component] >= level).astype(np.int64)
            found.append((component, level, level - below, rules))
            avoidable.append(_possible(model, grammar, rules == 0))
            below = level
    return found, avoidable


def _possible(model: Model, grammar: Grammar, allowed: NDArray[np.bool_]) -> bool:
    """Whether a program of these rules may be selected."""
    exhibits: dict[str, set[str]] = {s: set() for s in grammar.symbols}
    changed = True
    while changed:
        changed = False
        for row in np.flatnonzero(allowed).tolist():
            rule = grammar.rules[row]
            if all(exhibits[a] for a in rule.args):
                shown = (
                    {rule.train} if isinstance(rule.train, str) else exhibits[rule.args[rule.train]]
                )
                changed |= not shown <= exhibits[rule.symbol]
                exhibits[rule.symbol] |= shown
    return any(o == model.base_objective or o in model.losses for o in exhibits[grammar.start])


def _wraps(grammar: Grammar) -> dict[str, tuple[tuple[int, int], ...]]:
    return {
        symbol: tuple(
            (row, place)
            for row in grammar.rules_of[symbol]
            for place, arg in enumerate(grammar.rules[row].args)
            if arg == symbol
        )
        for symbol in grammar.symbols
    }


def _rule_arrays(grammar: Grammar, objectives: Sequence[str]) -> dict[str, Any]:
    place = {symbol: k for k, symbol in enumerate(grammar.symbols)}
    rules = grammar.rules
    width = max(1, *(len(r.args) for r in rules))
    padding = [(0,) * (width - len(r.args)) for r in rules]
    first, order = _rows(grammar.rules_of[symbol] for symbol in grammar.symbols)
    return {
        "start": place[grammar.start],
        "width": width,
        "symbol": ints(place[r.symbol] for r in rules),
        "arity": ints(len(r.args) for r in rules),
        "args": ints(
            a
            for r, p in zip(rules, padding, strict=True)
            for a in (*(place[x] for x in r.args), *p)
        ),
        "executes": ints(
            a
            for r, p in zip(rules, padding, strict=True)
            for a in (*(int(k in r.executes) for k in range(len(r.args))), *p)
        ),
        "train": ints(
            r.train if isinstance(r.train, int) else -1 - objectives.index(r.train) for r in rules
        ),
        "first_rule": first,
        "rule_order": order,
    }


def _wrap_arrays(
    grammar: Grammar, wraps: Mapping[str, Sequence[tuple[int, int]]]
) -> dict[str, Ints]:
    first, rules = _rows([row for row, _ in wraps[symbol]] for symbol in grammar.symbols)
    _, places = _rows([place for _, place in wraps[symbol]] for symbol in grammar.symbols)
    return {
        "first_wrap": first,
        "wrap_rule": rules,
        "wrap_place": places,
        "inner": ints(sum(a == r.symbol for a in r.args) for r in grammar.rules),
    }


def _peer_arrays(grammar: Grammar) -> dict[str, Ints]:
    rules = grammar.rules
    first, peers = _rows(
        [
            other
            for other in grammar.rules_of[rule.symbol]
            if other != row and rules[other].args == rule.args
        ]
        for row, rule in enumerate(rules)
    )
    return {"first_peer": first, "peer": peers}


def _effects(always: Counts, executed: Counts) -> dict[str, Ints]:
    parts = [
        [(int(c) + offset, int(row[c])) for c in np.flatnonzero(row)]
        for pair in zip(always, executed, strict=True)
        for row, offset in zip(pair, (0, always.shape[1]), strict=True)
    ]
    first, counter = _rows([c for c, _ in part] for part in parts)
    _, amount = _rows([a for _, a in part] for part in parts)
    return {"first_effect": first, "effect_counter": counter, "effect_amount": amount}


def _fact_arrays(needs: Sequence[Sequence[int]]) -> dict[str, Any]:
    first, need = _rows(needs)
    order = TopologicalSorter(dict(enumerate(needs))).static_order()
    return {
        "fact_count": len(needs),
        "fact_order": ints(order),
        "first_need": first,
        "need": need,
    }


def _rows(lists: Iterable[Sequence[int]]) -> tuple[Ints, Ints]:
    """Where each list begins in their concatenation, with its end last; and the concatenation."""
    kept = [list(part) for part in lists]
    first = np.concatenate([[0], np.cumsum([len(part) for part in kept])]).astype(np.int32)
    return first, ints(x for part in kept for x in part)
