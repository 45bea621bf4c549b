"""What a program of the grammar costs in counts, and what it exhibits, read off its tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bayes_mesa.domain.grammar import Code, Grammar


@dataclass(frozen=True)
class Meaning:
    """Counts and behaviour of a program.

    ``rule_bits`` is the description length of the tree itself, in bits; ``stores`` and ``runs``
    count payments by component: what is stored is paid whether or not it executes, what runs only
    where it executes in training.
    """

    rule_bits: float
    stores: Mapping[str, int]
    runs: Mapping[str, int]
    train: str
    deploy: str


def interpret(grammar: Grammar, code: Code) -> Meaning:
    """Counts, and what is exhibited in training and in deployment, of the tree with this code.

    A component that is shared is stored once, with the largest count of the rules used; one that is
    not is stored at every use. The root executes; a node executes if the one above it does and
    lists it among the arguments that execute.
    """
    if grammar.end(code) != len(code):
        raise ValueError(f"the code {code} goes on after its tree has ended")
    runs: Counter[str] = Counter()
    train, deploy = _walk(grammar, code, 0, True, runs)
    used = Counter(code)
    stores: Counter[str] = Counter()
    for index, uses in sorted(used.items()):
        for name, count in grammar.rules[index].stores.items():
            if name in grammar.unshared:
                stores[name] += uses * count
            else:
                stores[name] = max(stores[name], count)
    # By rule, not by node: programs of the same rules have the same bits, to the last digit.
    rule_bits = sum(uses * grammar.rule_bits[index] for index, uses in sorted(used.items()))
    return Meaning(
        float(rule_bits),
        MappingProxyType({n: c for n, c in stores.items() if c}),
        MappingProxyType({n: c for n, c in runs.items() if c}),
        train,
        deploy,
    )


def _walk(
    grammar: Grammar, code: Code, at: int, executed: bool, runs: Counter[str]
) -> tuple[str, str]:
    rule = grammar.rules[code[at]]
    if executed:
        runs.update(rule.runs)
    exhibited = [
        _walk(grammar, code, begin, executed and k in rule.executes, runs)
        for k, begin in enumerate(grammar.arguments(code, at))
    ]
    train = rule.train if isinstance(rule.train, str) else exhibited[rule.train][0]
    deploy = rule.deploy if isinstance(rule.deploy, str) else exhibited[rule.deploy][1]
    return train, deploy
