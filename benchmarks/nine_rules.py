"""A grammar of nine rules: nested optimisers and objectives, programs of about 12 nodes.

One theta, pressure 1, no facts. The components are cheap, so that long programs are worth having.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.grammar import Grammar, Rule
from bayes_mesa.domain.model import Component, Family, Model, Selection
from bayes_mesa.domain.slots import assemble, slots

KAPPA, RATE = 1.0, 200.0


def rule(
    symbol: str, name: str, args: str, stores: str, runs: str, weight: float, **rest: Any
) -> Rule:
    """A rule; names in words, every argument executes unless ``executes`` says otherwise."""
    names = tuple(args.split())
    return Rule(
        symbol, name, names, dict.fromkeys(stores.split(), 1), dict.fromkeys(runs.split(), 1),
        rest.pop("executes", tuple(range(len(names)))), weight=weight, **rest,
    )  # fmt: skip


GRAMMAR = Grammar(
    "Policy",
    (
        rule("Policy", "optimize", "Objective Objective", "search", "plan", 4.0),
        rule("Policy", "pretend", "Objective Objective", "search combine", "combine find plan", 4.0,
             executes=(0,), train="base", deploy=1),
        rule("Policy", "switch", "Policy Policy", "check", "check", 4.0, executes=(0,), deploy=1),
        rule("Policy", "delegate", "Policy Objective", "hand_over", "hand_over", 4.0),
        rule("Objective", "base", "", "base", "base", 2.5, train="base", deploy="base"),
        rule("Objective", "pointed", "", "pointer", "find", 2.0, train="base", deploy="base"),
        rule("Objective", "simplest", "", "simplest", "", 1.0, train="simplest", deploy="simplest"),
        rule("Objective", "both", "Objective Objective", "combine", "combine", 3.0, deploy=1),
        rule("Objective", "learn", "Objective", "learn", "learn", 4.0),
    ),
    frozenset({"hand_over", "learn"}),
)  # fmt: skip
#: Bits and steps. Two components are stored at every use, the others once.
COSTS = {
    "search": (6.0, 0.0),
    "plan": (0.0, 20.0),
    "combine": (0.2, 0.2),
    "find": (0.0, 2.0),
    "check": (0.2, 0.2),
    "hand_over": (0.02, 0.2),
    "base": (1.0, 0.5),
    "pointer": (0.7, 0.0),
    "simplest": (0.5, 0.0),
    "learn": (0.02, 0.2),
}
LOSSES = {"simplest": 1.0}
FAMILIES = {
    "levin": Family("levin", 0.5, MappingProxyType({"kappa": Known(KAPPA)})),
    "linear": Family("linear", 0.5, MappingProxyType({"rate": Known(RATE)})),
}
EXCHANGE = {"levin": ("levin", KAPPA), "linear": ("linear", RATE)}
MODEL = Model(
    name="nine_rules",
    components=tuple(
        Component(n, Known(b), Known(s), shared=n not in GRAMMAR.unshared)
        for n, (b, s) in COSTS.items()
    ),
    structures=(),
    families=tuple(FAMILIES.values()),
    losses=MappingProxyType({n: Known(x) for n, x in LOSSES.items()}),
    selection=Selection(Known(1.0)),
    grammar=GRAMMAR,
)


def theta(family: str) -> dict[str, Any]:
    """Effective costs and parameters, one theta."""
    values = {s.name: np.array([s.belief.median]) for s in slots(MODEL, FAMILIES[family])}
    return assemble(MODEL, values, FAMILIES[family], np)
