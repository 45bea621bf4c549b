"""Where tempered chains begin: programs that fit under the cap and the capacity, far apart."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.costing.fact_choices import derivation_steps
from bayes_mesa.domain.grammar import Code
from bayes_mesa.grammars.shortest import shortest_programs

Program = tuple[Code, tuple[bool, ...]]


def starting_programs(target: Target) -> list[Program]:
    """Programs with weight, each once: none where none was found to fit.

    Tried are the programs that the model names and, for everything that may be pursued in training,
    those of fewest nodes, bits and steps; with all facts stored, all derived, and, where neither
    fits, the store-or-derive choices along the hull of bits and steps. Without a capacity in bits
    or a cap on steps this finds a program if there is one.
    """
    found: dict[Program, None] = {}
    for code in _codes(target):
        size = len(target.model.facts)
        ends = [(True,) * size, (False,) * size]
        fitting = [z for z in dict.fromkeys(ends) if _fits(target, code, z)]
        if not fitting:
            fitting = [z for z in _prefixes(target) if _fits(target, code, z)][:1]
        found |= {(code, z): None for z in fitting}
    return list(found)


def _fits(target: Target, code: Code, stored: tuple[bool, ...]) -> bool:
    return math.isfinite(target.energy(code, stored))


def _codes(target: Target) -> Iterator[Code]:
    grammar, model = target.tables.grammar, target.model
    if model.grammar is None:
        yield from ((k,) for k in range(len(grammar.rules)))
        return
    yield from (s.code for s in model.structures if len(s.code) <= target.max_nodes)
    nothing = [0.0] * len(grammar.rules)
    for always, executed in (
        ([1.0] * len(nothing), nothing),
        (_rule_costs(target, 0), nothing),
        (nothing, _rule_costs(target, 1)),
    ):
        yield from (s.code for s in shortest_programs(grammar, always, executed).values())


def _rule_costs(target: Target, axis: int) -> list[float]:
    """Bits (0) that a rule stores, its own included, or steps (1) that it runs, as if unshared."""
    grammar, index = target.tables.grammar, target.model.component_index
    prices = target.theta[("bits", "steps")[axis]]
    own = grammar.rule_bits if axis == 0 else (0.0,) * len(grammar.rules)
    return [
        bits + sum(n * float(prices[index[c]]) for c, n in (rule.stores, rule.runs)[axis].items())
        for rule, bits in zip(grammar.rules, own, strict=True)
    ]


def _prefixes(target: Target) -> Iterator[tuple[bool, ...]]:
    """Choices that derive first what saves most bits per step of a derivation by itself."""
    facts = target.model.facts
    bits, steps = target.theta["fact_bits"], target.theta["fact_steps"]
    alone = np.array(
        [
            float(derivation_steps(facts.needs, steps, np.arange(len(facts))[None] != j)[0])
            for j in range(len(facts))
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(alone / bits, kind="stable")
    stored = np.ones(len(facts), dtype=bool)
    for j in order:
        stored[j] = False
        yield tuple(stored.tolist())
