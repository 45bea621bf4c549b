"""Programs listed by class: equal rule bits, payments and behaviour, with how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.expression import expression
from bayes_mesa.domain.grammar import Code, Grammar
from bayes_mesa.domain.model import Model, Structure
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.frontier import frontier
from bayes_mesa.grammars.program_search import UNIT, Found, Search

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Listing:
    """Programs that cost the same under every theta and do the same: one row each.

    Attributes
    ----------
    rule_bits
        float64 (K,), rising.
    stores, runs
        float64 (K, C): payments of every component.
    train, deploy
        int64 (K,): positions in ``objectives``.
    count
        float64 (K,): how many programs the row stands for; a structure's multiplicity.
    uses
        float64 (K,): how often the program needs its facts.
    codes
        Code of one program of each row: a named one where there is one, else the shortest, and of
        those the first in the order of the search; empty for structures.
    named
        Structure that a row is, by row.
    up_to_bits
        Every program of fewer rule bits is listed.
    complete
        Whether there is no other program.
    programs
        Programs found, the same as the sum of ``count`` in a grammar.
    """

    objectives: tuple[str, ...]
    rule_bits: Floats
    stores: Floats
    runs: Floats
    train: Ints
    deploy: Ints
    count: Floats
    uses: Floats
    codes: _Codes
    named: Mapping[int, Structure]
    up_to_bits: float
    complete: bool
    programs: int

    def __len__(self) -> int:
        return len(self.rule_bits)

    def text(self, k: int) -> str:
        """The program as an expression, or the structure's name."""
        if self.codes.grammar is None:
            return self.named[k].name
        return expression(self.codes.grammar, self.codes.of(k))

    def symbol(self, k: int) -> str:
        """Symbol of a named program, else empty."""
        return self.named[k].symbol if k in self.named else ""


@dataclass(frozen=True, eq=False)
class _Codes:
    """Codes by row: of a class that was found, unless a named program has its own."""

    grammar: Grammar | None = None
    found: Found | None = None
    representative: Ints | None = None
    named: Mapping[int, Structure] | None = None

    def of(self, k: int) -> Code:
        if self.named and k in self.named:
            return self.named[k].code
        if self.found is None or self.representative is None:
            return ()
        return self.found.code(int(self.representative[k]))


def listed_structures(model: Model) -> Listing:
    """The structures of a model without a grammar, in file order: nothing is left out."""
    objectives = tuple(
        dict.fromkeys((model.base_objective, *(o for s in model.structures for o in _pursued(s))))
    )
    uses = [model.facts.uses.get(s.name, 1.0) for s in model.structures]
    return _of_structures(model, model.structures, objectives, uses)


def cheapest_programs(model: Model) -> Listing | None:
    """The frontier of a grammar as rows; None without a grammar, or where it is not known."""
    if model.grammar is None:
        return None
    try:
        found = frontier(model)
    except RefusedError:
        return None
    return _of_structures(model, found, model.grammar.objectives, [1.0] * len(found))


def _of_structures(
    model: Model,
    structures: Sequence[Structure],
    objectives: tuple[str, ...],
    uses: Sequence[float],
) -> Listing:
    return Listing(
        objectives=objectives,
        rule_bits=np.array([s.rule_bits for s in structures], float),
        stores=_payments(model, [s.stores for s in structures]),
        runs=_payments(model, [s.runs for s in structures]),
        train=np.array([objectives.index(s.train) for s in structures], np.int64),
        deploy=np.array([objectives.index(s.deploy) for s in structures], np.int64),
        count=np.array([s.multiplicity for s in structures], float),
        uses=np.array(uses, float),
        codes=_Codes(),
        named=dict(enumerate(structures)),
        up_to_bits=np.inf,
        complete=True,
        programs=len(structures),
    )


def listed_programs(model: Model, grammar: Grammar, search: Search) -> Listing:
    """What a search has found, merged where payments and behaviour agree."""
    found = search.found()
    own_stores, own_runs = _rule_payments(model, grammar)
    unshared = np.array([c.name in grammar.unshared for c in model.components], bool)
    stores = _summed(found.used, own_stores * unshared)
    stores += _largest(found.used, own_stores * ~unshared)
    runs = _summed(found.executed, own_runs)
    rule_bits = _rule_bits(found.used, grammar.rule_bits)
    # Rule bits as bit patterns: all columns are then whole numbers.
    columns = [rule_bits.view(np.int64), *stores.T, *runs.T, found.train, found.deploy]
    first, count = _merged(columns, found.size, found.count)
    order = np.argsort(rule_bits[first], kind="stable")
    first, count = first[order], count[order]
    named = _named(model, [column[first] for column in columns])
    return Listing(
        objectives=grammar.objectives,
        rule_bits=rule_bits[first],
        stores=stores[first].astype(float),
        runs=runs[first].astype(float),
        train=found.train[first],
        deploy=found.deploy[first],
        count=count.astype(float),
        uses=np.ones(len(first)),
        codes=_Codes(grammar, found, first, named),
        named=named,
        up_to_bits=np.inf if search.exhausted else search.reached / UNIT,
        complete=search.exhausted,
        programs=search.programs,
    )


def _rule_payments(model: Model, grammar: Grammar) -> tuple[Ints, Ints]:
    """How often each rule stores, and runs, each component, (R, C) each."""
    stores = _payments(model, [r.stores for r in grammar.rules])
    runs = _payments(model, [r.runs for r in grammar.rules])
    return stores.astype(np.int64), runs.astype(np.int64)


def _payments(model: Model, counts: list[Mapping[str, int]]) -> Floats:
    index = model.component_index
    found = np.zeros((len(counts), len(index)))
    for row, counted in zip(found, counts, strict=True):
        for name, count in counted.items():
            row[index[name]] = count
    return found


def _pursued(structure: Structure) -> tuple[str, str]:
    return structure.train, structure.deploy


def _summed(used: Ints, own: Ints) -> Ints:
    """Sum of uses times payments, (K, C), column after column: few rules pay any one component."""
    found = np.zeros((own.shape[1], len(used)), np.int64)
    for rule, k in np.argwhere(own):
        found[k] += used[:, rule] * own[rule, k]
    return found.T


def _largest(used: Ints, own: Ints) -> Ints:
    """Largest payment of every component over the rules used, (K, C)."""
    found = np.zeros((own.shape[1], len(used)), np.int64)
    for rule, k in np.argwhere(own):
        np.maximum(found[k], (used[:, rule] > 0) * own[rule, k], out=found[k])
    return found.T


def _rule_bits(used: Ints, rule_bits: tuple[float, ...]) -> Floats:
    """Σ uses × bits in the order of the rules, to the digit what `interpret` adds up."""
    whole, lost = np.zeros(len(used)), np.zeros(len(used))
    for column, bits in zip(used.T, rule_bits, strict=True):
        # Python's sum carries what each addition lost (Neumaier 1974).
        term = column * bits
        grown = whole + term
        lost += np.where(whole >= term, (whole - grown) + term, (term - grown) + whole)
        whole = grown
    return whole + lost


def _merged(columns: Sequence[Ints], size: Ints, count: Ints) -> tuple[Ints, Ints]:
    """First row of each group of equal rows, shortest code first, and the group's programs."""
    # Rows are sorted by a hash and compared whole: sorting by every column would cost far more.
    odd = np.random.Generator(np.random.PCG64(41)).integers(1 << 62, size=len(columns)) * 2 + 1
    mixed = np.zeros_like(size)
    for column, factor in zip(columns, odd, strict=True):
        mixed += column * factor
    order = np.lexsort((size, mixed))
    new = np.ones(len(order), bool)
    new[1:] = False
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(new)
    return order[starts], np.add.reduceat(count[order], starts) if len(starts) else count[:0]


def _named(model: Model, columns: Sequence[Ints]) -> dict[int, Structure]:
    """The structure that each row is, the first in file order where there are several."""
    found: dict[int, Structure] = {}
    if model.grammar is None:
        return found
    objectives = model.grammar.objectives
    for structure in reversed(model.structures):
        row = [
            np.array(structure.rule_bits).view(np.int64),
            *_payments(model, [structure.stores])[0].astype(np.int64),
            *_payments(model, [structure.runs])[0].astype(np.int64),
            *(objectives.index(o) for o in _pursued(structure)),
        ]
        left = np.arange(len(columns[0]))
        for column, value in zip(columns, row, strict=True):
            left = left[column[left] == value]
        found |= dict.fromkeys(left.tolist(), structure)
    return found
