"""Small grammars, made in Python, with hand-solvable or brute-force answers."""

from collections import Counter
from types import MappingProxyType

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.expression import parse_expression
from bayes_mesa.domain.grammar import Grammar, Rule
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import Component, Facts, Family, Model, Selection, Structure

NO_FACTS = Facts()
FAMILIES = {
    "linear": Family("linear", 1.0, MappingProxyType({"rate": Known(20.0)})),
    "levin": Family("levin", 1.0, MappingProxyType({"kappa": Known(1.5)})),
    "power": Family("power", 1.0, MappingProxyType({"rate": Known(5.0), "exponent": Known(1.3)})),
}


def rule(
    symbol, name, args=(), *, stores=(), runs=(), executes=None, train=0, deploy=0, weight=1.0
):
    """A rule; ``stores`` and ``runs`` are names (repeated = counted twice), or name → count."""

    def counted(names):
        return MappingProxyType(dict(names if isinstance(names, dict) else Counter(names)))

    positions = tuple(range(len(args))) if executes is None else tuple(executes)
    return Rule(
        symbol, name, tuple(args), counted(stores), counted(runs), positions, train, deploy, weight
    )


def grammar_model(
    rules, costs, *, start="Policy", unshared=(), families=("linear", "levin", "power"),
    programs=None, pressure=1.0, losses=None, facts=NO_FACTS, cap=None, max_bits=None,
):  # fmt: skip
    """A model of known numbers over a grammar: ``costs`` maps component → (bits, steps)."""
    grammar = Grammar(start, tuple(rules), frozenset(unshared))
    structures = []
    for name, text in (programs or {}).items():
        code = parse_expression(grammar, text)
        found = interpret(grammar, code)
        structures.append(
            Structure(
                name, found.stores, found.runs, found.train, found.deploy,
                rule_bits=found.rule_bits, code=code,
            )
        )  # fmt: skip
    chosen = [FAMILIES[f] for f in families]
    return Model(
        name="small",
        components=tuple(
            Component(n, Known(float(b)), Known(float(s)), shared=n not in unshared)
            for n, (b, s) in costs.items()
        ),
        structures=tuple(structures),
        families=tuple(Family(f.name, 1.0 / len(chosen), f.parameters) for f in chosen),
        losses=MappingProxyType({n: Known(float(x)) for n, x in (losses or {}).items()}),
        facts=facts,
        selection=Selection(Known(float(pressure)), 1.0, cap, max_bits),
        grammar=grammar,
    )


POST_RULES = (
    rule("Policy", "optimize", ["Objective"], stores=["search"], runs=["plan"], weight=4.0),
    rule(
        "Policy", "pretend", ["Objective"], stores=["search", "combine"],
        runs=["combine", "find", "plan", "world"], executes=(), train="base", deploy=0,
    ),
    rule(
        "Policy", "switch", ["Policy", "Policy"], stores=["check"], runs=["check"], executes=(0,),
        train=0, deploy=1,
    ),
    rule("Policy", "delegate", ["Policy"], stores=["search"], runs=["plan"], weight=0.5),
    rule("Objective", "base", stores=["base"], runs=["base"], train="base", deploy="base"),
    rule("Objective", "simplest", stores=["simplest"], train="simplest", deploy="simplest"),
)  # fmt: skip

POST_COSTS = {
    "search": (6.0, 0.0),
    "plan": (0.0, 40.0),
    "combine": (3.0, 2.0),
    "find": (0.0, 25.0),
    "world": (0.0, 30.0),
    "check": (4.0, 1.5),
    "base": (9.0, 3.0),
    "simplest": (1.0, 0.0),
}


def post_like(**kwargs):
    """Recursive, with shared components: the post's programs and all that can be nested."""
    programs = {
        "fast_honest": "optimize(base)",
        "slow_deceptive": "pretend(simplest)",
        "fast_deceptive": "switch(optimize(base), optimize(simplest))",
    }
    return grammar_model(POST_RULES, POST_COSTS, **({"programs": programs} | kwargs))


def finite(**kwargs):
    """No recursion: 12 programs."""
    rules = (
        rule("Policy", "follow", ["Goal"], runs=["plan"]),
        rule("Policy", "fake", ["Goal", "Goal"], stores=["check"], runs=["plan", "check"],
             executes=(0,), train=0, deploy=1, weight=2.0),
        rule("Goal", "base", stores=["base"], runs=["base"], train="base", deploy="base"),
        rule("Goal", "near", stores=["near"], runs=["near"], train="base", deploy="near"),
        rule("Goal", "own", stores=["own"], train="own", deploy="own"),
    )  # fmt: skip
    costs = {"plan": (2, 10), "check": (3, 1), "base": (5, 2), "near": (2, 3), "own": (1, 0)}
    return grammar_model(rules, costs, **kwargs)


def catalan(left=3.0, right=1.0, **kwargs):
    """S → leaf | pair(S, S): F = p + q F², finite iff 4 (p q)^β ≤ 1, and all by hand."""
    rules = (
        rule("S", "leaf", stores=["leaf"], runs=["leaf"], train="base", deploy="base", weight=left),
        rule("S", "pair", ["S", "S"], runs=["pair"], train=0, deploy=1, weight=right),
    )
    return grammar_model(rules, {"leaf": (1, 1), "pair": (0, 2)}, start="S", **kwargs)


def chain(weight=1.0, **kwargs):
    """S → base | own | wrap(S), an unshared component at every wrap: a geometric series."""
    rules = (
        rule("S", "base", stores=["base"], runs=["base"], train="base", deploy="base"),
        rule("S", "own", stores=["own"], runs=["own"], train="base", deploy="own"),
        rule("S", "wrap", ["S"], stores=["layer"], runs=["layer"], weight=weight),
    )
    costs = {"base": (3, 4), "own": (2, 6), "layer": (0.5, 2)}
    return grammar_model(rules, costs, start="S", unshared=("layer",), **kwargs)


def codes_up_to(grammar, nodes, symbol=None):
    """Every code of a symbol (of whole programs) with at most so many nodes, by node count."""
    known = {}

    def exactly(of, count):
        if (of, count) not in known:
            known[of, count] = [
                (index, *(k for part in parts for k in part))
                for index in grammar.rules_of[of]
                for parts in arguments(grammar.rules[index].args, count - 1)
            ]
        return known[of, count]

    def arguments(symbols, count):
        if not symbols:
            return [()] if count == 0 else []
        return [
            (first, *rest)
            for own in range(1, count - len(symbols) + 2)
            for rest in arguments(symbols[1:], count - own)
            for first in exactly(symbols[0], own)
        ]

    return [c for n in range(1, nodes + 1) for c in exactly(symbol or grammar.start, n)]


def random_model(seed, *, num_components=4, **kwargs):
    """A random recursive grammar of two symbols and seven rules, whose sum converges."""
    import numpy as np

    rng = np.random.default_rng(seed)
    names = [f"c{k}" for k in range(num_components)]

    def some(most=2):
        return {n: int(rng.integers(1, most + 1)) for n in names if rng.random() < 0.35}

    def inner(symbol, name, args, weight):
        executes = [k for k in range(len(args)) if rng.random() < 0.7]
        shows = [*range(len(args)), "base", "x"]
        train, deploy = (shows[rng.integers(len(shows))] for _ in range(2))
        return rule(symbol, name, args, stores=some(), runs=some(), executes=executes,
                    train=train, deploy=deploy, weight=weight)  # fmt: skip

    def leaf(symbol, name, weight, train="base"):
        deploy = ("base", "x", "y")[rng.integers(3)]
        return rule(symbol, name, stores=some(), runs=some(), train=train, deploy=deploy,
                    weight=weight)  # fmt: skip

    rules = (
        leaf("A", "a0", 3.0), inner("A", "a1", ["B"], 2.0), inner("A", "a2", ["A", "B"], 0.6),
        inner("A", "a3", ["B", "A"], 0.4), leaf("B", "b0", 3.0), leaf("B", "b1", 2.0, "x"),
        inner("B", "b2", ["A"], 1.0),
    )  # fmt: skip
    unshared = [n for n in names if rng.random() < 0.3]
    costs = {n: (float(rng.uniform(0, 4)), float(rng.uniform(0, 30))) for n in names}
    # A step at least in every program, for levin: on the rules of whole programs.
    rules = tuple(
        rule(r.symbol, r.name, r.args, stores=r.stores, runs={**r.runs, "all": 1},
             executes=r.executes, train=r.train, deploy=r.deploy, weight=r.weight)
        if r.symbol == "A" else r
        for r in rules
    )  # fmt: skip
    return grammar_model(rules, costs | {"all": (0, 5)}, start="A", unshared=unshared, **kwargs)


def uncertain(model, scale=1.0):
    """The model with a lognormal around every cost that is not zero."""
    from dataclasses import replace

    import numpy as np
    from small_models import lognormal

    def spread(belief):
        return lognormal(float(np.log(belief.value)), scale) if belief.value else belief

    components = tuple(
        replace(c, bits=spread(c.bits), steps=spread(c.steps)) for c in model.components
    )
    return replace(model, components=components)
