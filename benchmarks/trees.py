"""Tempered chains over the programs of a nine-rule grammar, against C and against Python.

Both peers make the same moves in the same proportions over the same programs of at most 64 nodes,
replicas and exchanges included, on one thread: `native/trees.c` as flat prefix codes, compiled with
``cc -O3``; `peer_trees.py` as nested tuples. Neither counts outcomes, looks for a stop flag, knows
facts, caps or overlaps, or keeps the programs. A round is 32 moves of the mixture and a jump for
every replica, then exchanges; a draw is the program at s = 1 after a round. Warm-up is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from bayes_mesa.chains.tempered_moves import MOVES
from bayes_mesa.chains.tempered_starts import starting_programs
from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.chains.tempered_walk import Settings, StopFlag, Walk
from bayes_mesa.domain.grammar import Code
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.grammars.tree_draws import draw_grammar_programs
from benchmarks import bare_trees, peer_trees
from benchmarks.heap import in_use
from benchmarks.nine_rules import COSTS, EXCHANGE, FAMILIES, GRAMMAR, LOSSES, MODEL, theta
from benchmarks.timing import Row, agree, busy, by_turns, effective

CHAINS = 4
MAX_NODES = 64
REPLICAS = 8
PROPOSALS = 32
ROUNDS, WARMUP = 10_000, 1000
ROUNDS_PYTHON, WARMUP_PYTHON = 400, 50


def rows() -> list[Row]:
    """Proposals and effective draws per second: each family, and one with the whole ladder."""
    no_allocation()
    found = []
    for family, replicas in (("levin", 1), ("linear", 1), ("levin", REPLICAS)):
        ladder = ladder_of(family, replicas)
        mine = ours(family, ladder)
        compare(family, ladder)
        what = f"trees, {family}, {replicas} replica{'s' * (replicas > 1)}"
        for name, peer, repeats, aim in (
            ("bare C loop, cc -O3", bare(family, ladder), 7, 0.5),
            ("plain Python", python(family, ladder), 3, None),
        ):
            rates = by_turns(rates_of(mine), rates_of(peer), repeats)
            found.append(Row(f"{what}: {name}", "proposals / s", *rates["proposals"], aim))
            found.append(Row(f"{what}: {name}", "effective draws / s", *rates["effective"]))
    for family in FAMILIES:
        drawn, chain = (rates_of(s(family, np.ones(1))) for s in (exact, bare))
        what = f"trees, {family}, independent exact draws: the C chain's"
        found.append(Row(what, "effective draws / s", *by_turns(drawn, chain, 5)["effective"]))
    return found


def no_allocation() -> None:
    """Stop if ten times as many proposals leave the heap any larger, or move its top."""
    walk = _walk("levin", Settings(ladder=(1.0, 0.5), proposals=PROPOSALS, warmup=WARMUP), 0)

    def grown(rounds: int) -> tuple[int, ...]:
        before = in_use()
        walk._run(walk.ladder, rounds, walk.settings, walk.none.rows(slice(None)))
        return tuple(a - b for a, b in zip(in_use(), before, strict=True))

    grown(10)
    few, many = (grown(count // (PROPOSALS + 1) // 2) for count in (100_000, 1_000_000))
    if few != many:
        raise SystemExit(f"a proposal must allocate nothing: {few} and {many} bytes in two runs")


@dataclass(frozen=True, eq=False)
class Draws:
    """Figures of the programs drawn, (chain, draw) each, and processor time in seconds."""

    bits: np.ndarray
    steps: np.ndarray
    nodes: np.ndarray
    deceptive: np.ndarray
    proposals: int
    seconds: float


Sampler = Callable[[int], Draws]


def rates_of(sampler: Sampler) -> Callable[[int], Mapping[str, float]]:
    """Proposals, and effective draws of bits or of steps, the lesser, per second."""

    def run(seed: int) -> dict[str, float]:
        draws = sampler(seed)
        least = min(effective(draws.bits), effective(draws.steps))
        return {"proposals": draws.proposals / draws.seconds, "effective": least / draws.seconds}

    return run


def compare(family: str, ladder: np.ndarray) -> None:
    """Stop unless all sample one target."""
    first = ours(family, ladder)(99)
    for peer in (bare, python, exact):
        theirs = peer(family, ladder)(99)
        for figure in ("bits", "steps", "deceptive"):
            what = f"trees, {family}: {figure} of {peer.__name__}"
            agree(getattr(first, figure).astype(float), getattr(theirs, figure).astype(float), what)


@cache
def target(family: str) -> Target:
    """What is sampled. Jumps propose fresh programs only: there are none with a name."""
    return Target.of(MODEL, FAMILIES[family], theta(family), max_nodes=MAX_NODES, jumps=())


def shares() -> dict[str, float]:
    """Probabilities of our moves, less those of facts."""
    each = np.diff(target("levin").arrays["move_cumulative"], prepend=0.0)
    return {m: float(p) for m, p in zip(MOVES, each, strict=True) if p > 0.0}


def ladder_of(family: str, replicas: int) -> np.ndarray:
    """As our warm-up leaves it, for all three: another one would make other proposals."""
    return _walk(family, Settings(replicas=replicas, proposals=PROPOSALS, warmup=WARMUP), 0).ladder


def _walk(family: str, settings: Settings, seed: int) -> Walk:
    starts = starting_programs(target(family))
    walk = Walk(target(family), settings, starts, np.random.SeedSequence(seed), StopFlag())
    walk.warm_up()
    return walk


def ours(family: str, ladder: np.ndarray) -> Sampler:
    """What `run_chains` does after its warm-up, chain after chain."""
    settings = Settings(ladder=tuple(ladder.tolist()), proposals=PROPOSALS, warmup=WARMUP)

    def run(seed: int) -> Draws:
        walks = [_walk(family, settings, CHAINS * seed + k) for k in range(CHAINS)]
        records, seconds = busy(lambda: [walk.draw(ROUNDS) for walk in walks])
        codes = np.concatenate([r.codes for r in records])
        sizes = np.concatenate([r.lengths for r in records])
        kept = [c[:n] for c, n in zip(codes, sizes, strict=True)]
        return _draws(kept, _proposals(ladder, ROUNDS), seconds)

    return run


def exact(family: str, _: np.ndarray) -> Sampler:
    """Independent draws, of which those of at most 64 nodes count."""

    def run(seed: int) -> Draws:
        generator, costs = np.random.PCG64(seed), theta(family)
        arguments = (generator, MODEL, FAMILIES[family], costs)
        count = 5 * CHAINS * ROUNDS
        drawn, seconds = busy(lambda: draw_grammar_programs(*arguments, num_draws=count))
        codes = np.split(drawn.flat, np.cumsum(drawn.lengths)[:-1])
        kept = [code for code in codes if len(code) <= MAX_NODES]
        return _draws(kept[: len(kept) // CHAINS * CHAINS], count, seconds)

    return run


def _draws(codes: list[np.ndarray], proposals: int, seconds: float) -> Draws:
    figures = np.array([_figures(tuple(code.tolist())) for code in codes])
    bits, steps, deceptive = figures.T.reshape(3, CHAINS, -1)
    nodes = np.array([len(code) for code in codes]).reshape(CHAINS, -1)
    return Draws(bits, steps, nodes, deceptive, proposals, seconds)


@cache
def _figures(code: Code) -> tuple[float, float, bool]:
    """Bits without those of the rules, steps, and whether the program is deceptive."""
    found = interpret(GRAMMAR, code)
    bits = sum(COSTS[n][0] * count for n, count in found.stores.items())
    steps = sum(COSTS[n][1] * count for n, count in found.runs.items())
    return bits, steps, found.train == "base" != found.deploy


def _proposals(ladder: np.ndarray, rounds: int) -> int:
    return CHAINS * rounds * (PROPOSALS + 1) * len(ladder)


def bare(family: str, ladder: np.ndarray) -> Sampler:
    """The C loop."""
    tables = bare_trees.tables(GRAMMAR, COSTS, LOSSES, EXCHANGE[family], shares(), MAX_NODES)
    start = starting_programs(target(family))[0][0]

    def run(seed: int) -> Draws:
        chains = [bare_trees.Chain(tables, ladder, start, (seed, k)) for k in range(CHAINS)]
        for chain in chains:
            chain.run(WARMUP, PROPOSALS)
        parts, seconds = busy(lambda: [chain.run(ROUNDS, PROPOSALS) for chain in chains])
        found = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
        base = GRAMMAR.objectives.index("base")
        deceptive = (found["train"] == base) & (found["deploy"] != base)
        proposals = _proposals(ladder, ROUNDS)
        return Draws(found["bits"], found["steps"], found["nodes"], deceptive, proposals, seconds)

    return run


def python(family: str, ladder: np.ndarray) -> Sampler:
    """The same in plain Python."""
    goal = peer_trees.Target(GRAMMAR, COSTS, LOSSES, EXCHANGE[family])

    def run(seed: int) -> Draws:
        samplers = [
            peer_trees.Sampler(
                goal, shares(), ladder.tolist(), max_nodes=MAX_NODES, seed=CHAINS * seed + k
            )
            for k in range(CHAINS)
        ]
        for sampler in samplers:
            sampler.run(WARMUP_PYTHON, PROPOSALS)
        chains, seconds = busy(lambda: [s.run(ROUNDS_PYTHON, PROPOSALS) for s in samplers])
        figures = [
            (*goal.totals(p), peer_trees.size(p), goal.deceptive(p)) for c in chains for p in c
        ]
        bits, steps, nodes, deceptive = np.array(figures).T.reshape(4, CHAINS, -1)
        proposals = _proposals(ladder, ROUNDS_PYTHON)
        return Draws(bits, steps, nodes, deceptive, proposals, seconds)

    return run
