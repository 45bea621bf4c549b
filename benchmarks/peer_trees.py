"""The peer in Python: the same moves over programs as one would write them without looking further.

A program is a nested tuple, its rule's index first, then its arguments. A proposal is a new tree,
its costs are found by walking through all of it.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayes_mesa.domain.grammar import Grammar

Tree = tuple[Any, ...]
Path = tuple[int, ...]

MOVES = ("regenerate", "insert", "delete", "swap", "jump")


class Target:
    """Costs of a program at pressure 1: nats beyond the rule bits, infinite where not eligible."""

    def __init__(
        self,
        grammar: Grammar,
        costs: Mapping[str, tuple[float, float]],
        losses: Mapping[str, float],
        exchange: tuple[str, float],
    ):
        self.grammar, self.costs, self.losses, self.exchange = grammar, costs, losses, exchange
        self.chances = [2.0**-bits for bits in grammar.rule_bits]

    def rule(self, tree: Tree) -> Any:
        """The rule of a tree's root."""
        return self.grammar.rules[tree[0]]

    def totals(self, tree: Tree) -> tuple[float, float]:
        """Bits without those of the rules, and steps."""
        shared: dict[str, int] = {}
        unshared: Counter[str] = Counter()
        steps = self._walk(tree, True, shared, unshared)
        counts = [*shared.items(), *unshared.items()]
        return sum(self.costs[name][0] * count for name, count in counts), steps

    def _walk(
        self, tree: Tree, executed: bool, shared: dict[str, int], unshared: Counter[str]
    ) -> float:
        rule = self.rule(tree)
        for name, count in rule.stores.items():
            if name in self.grammar.unshared:
                unshared[name] += count
            else:
                shared[name] = max(shared.get(name, 0), count)
        runs = rule.runs.items() if executed else ()
        steps = sum(self.costs[name][1] * count for name, count in runs)
        for place, argument in enumerate(tree[1:]):
            steps += self._walk(argument, executed and place in rule.executes, shared, unshared)
        return steps

    def shown(self, tree: Tree, when: str) -> str:
        """Objective in training ("train") or in deployment ("deploy")."""
        decides = getattr(self.rule(tree), when)
        return decides if isinstance(decides, str) else self.shown(tree[1 + decides], when)

    def deceptive(self, tree: Tree) -> bool:
        """Whether it serves the base objective in training only."""
        return self.shown(tree, "train") == "base" != self.shown(tree, "deploy")

    def class_of(self, tree: Tree) -> int:
        """Position in `model.CLASSES`."""
        return 2 if self.shown(tree, "train") != "base" else int(self.deceptive(tree))

    def energy(self, tree: Tree) -> float:
        """Nats: ln 2 (bits + penalty of the steps) + loss."""
        train = self.shown(tree, "train")
        if train != "base" and train not in self.losses:
            return math.inf
        bits, steps = self.totals(tree)
        family, value = self.exchange
        penalty = value * math.log2(steps) if family == "levin" else steps / value
        return math.log(2.0) * (bits + penalty) + self.losses.get(train, 0.0)


class Sampler:
    """Replicas at inverse temperatures, as in parallel tempering; one is a plain chain."""

    def __init__(
        self,
        target: Target,
        weights: Mapping[str, float],
        ladder: Sequence[float],
        max_nodes: int,
        seed: int,
    ):
        self.target, self.grammar, self.max_nodes = target, target.grammar, max_nodes
        self.weights, self.ladder, self.rng = weights, ladder, random.Random(seed)
        self.parity = 0
        self.trees = [self.first() for _ in ladder]
        self.energies = [target.energy(tree) for tree in self.trees]
        self.wraps = {
            symbol: [
                (index, place)
                for index in rules
                for place, argument in enumerate(self.grammar.rules[index].args)
                if argument == symbol
            ]
            for symbol, rules in self.grammar.rules_of.items()
        }
        self.peers = [
            [
                j
                for j in self.grammar.rules_of[rule.symbol]
                if j != k and self.grammar.rules[j].args == rule.args
            ]
            for k, rule in enumerate(self.grammar.rules)
        ]

    def run(self, rounds: int, proposals: int) -> list[Tree]:
        """The program of the first replica after every round."""
        found = []
        moves, weights = list(self.weights), list(self.weights.values())
        for _ in range(rounds):
            for replica in range(len(self.ladder)):
                for _ in range(proposals):
                    self.step(replica, self.rng.choices(moves, weights)[0])
                self.step(replica, "jump")
            self.swap_neighbours()
            found.append(self.trees[0])
        return found

    def step(self, replica: int, move: str) -> None:
        """One proposal, accepted or not."""
        tree = self.trees[replica]
        proposed = getattr(self, move)(tree)
        if proposed is None:
            return
        new, log_hastings = proposed
        if new == tree or size(new) > self.max_nodes:
            return
        energy = self.target.energy(new)
        log_ratio = log_hastings - self.ladder[replica] * (energy - self.energies[replica])
        if self.accepts(log_ratio):
            self.trees[replica], self.energies[replica] = new, energy

    def accepts(self, log_ratio: float) -> bool:
        """By Metropolis and Hastings."""
        return log_ratio >= 0.0 or self.rng.random() < math.exp(log_ratio)

    def swap_neighbours(self) -> None:
        """Even pairs of replicas in one round, odd pairs in the next."""
        for k in range(self.parity, len(self.ladder) - 1, 2):
            gap = self.energies[k] - self.energies[k + 1]
            if self.accepts((self.ladder[k] - self.ladder[k + 1]) * gap):
                trees, energies = self.trees, self.energies
                trees[k], trees[k + 1] = trees[k + 1], trees[k]
                energies[k], energies[k + 1] = energies[k + 1], energies[k]
        self.parity ^= 1

    def first(self) -> Tree:
        """A fresh program that is eligible."""
        while True:
            tree = self.fresh(self.grammar.start)
            if size(tree) <= self.max_nodes and self.target.energy(tree) < math.inf:
                return tree

    def fresh(self, symbol: str) -> Tree:
        """A tree drawn from the rules' probabilities."""
        rules = self.grammar.rules_of[symbol]
        index = self.rng.choices(rules, [self.target.chances[k] for k in rules])[0]
        return (index, *(self.fresh(s) for s in self.grammar.rules[index].args))

    def node(self, tree: Tree) -> tuple[Path, Tree]:
        """A node of the tree, all alike probable, and the way to it."""
        return self.rng.choice(list(subtrees(tree)))

    def regenerate(self, tree: Tree) -> tuple[Tree, float]:
        """A fresh subtree in place of one."""
        path, below = self.node(tree)
        new = replaced(tree, path, self.fresh(self.target.rule(below).symbol))
        return new, math.log(size(tree) / size(new))

    def insert(self, tree: Tree) -> tuple[Tree, float] | None:
        """A subtree becomes an argument of a new node of its own symbol."""
        path, below = self.node(tree)
        symbol = self.target.rule(below).symbol
        wraps = self.wraps[symbol]
        if not wraps:
            return None
        chances = [self.target.chances[index] for index, _ in wraps]
        index, place = self.rng.choices(wraps, chances)[0]
        args = self.grammar.rules[index].args
        node = (index, *(below if k == place else self.fresh(s) for k, s in enumerate(args)))
        new = replaced(tree, path, node)
        back = self.weights["delete"] / size(new) / args.count(symbol)
        return new, math.log(back * sum(chances) * size(tree) / self.weights["insert"])

    def delete(self, tree: Tree) -> tuple[Tree, float] | None:
        """An argument of the node's own symbol takes its place."""
        path, below = self.node(tree)
        rule = self.target.rule(below)
        places = [k for k, symbol in enumerate(rule.args) if symbol == rule.symbol]
        if not places:
            return None
        new = replaced(tree, path, below[1 + self.rng.choice(places)])
        chance = sum(self.target.chances[index] for index, _ in self.wraps[rule.symbol])
        back = self.weights["insert"] / size(new) / chance
        return new, math.log(back * size(tree) * len(places) / self.weights["delete"])

    def swap(self, tree: Tree) -> tuple[Tree, float] | None:
        """Another rule over the same arguments."""
        path, below = self.node(tree)
        if not self.peers[below[0]]:
            return None
        other = self.rng.choice(self.peers[below[0]])
        chances = self.target.chances
        return replaced(tree, path, (other, *below[1:])), math.log(
            chances[other] / chances[below[0]]
        )

    def jump(self, tree: Tree) -> tuple[Tree, float]:
        """A fresh program."""
        return self.fresh(self.grammar.start), 0.0


def size(tree: Tree) -> int:
    """Number of nodes."""
    return 1 + sum(size(argument) for argument in tree[1:])


def subtrees(tree: Tree, path: Path = ()) -> Iterator[tuple[Path, Tree]]:
    """Every node with the way to it."""
    yield path, tree
    for place, argument in enumerate(tree[1:], 1):
        yield from subtrees(argument, (*path, place))


def replaced(tree: Tree, path: Path, new: Tree) -> Tree:
    """The tree with another subtree at the end of the path."""
    if not path:
        return new
    at = path[0]
    return (*tree[:at], replaced(tree[at], path[1:], new), *tree[at + 1 :])
