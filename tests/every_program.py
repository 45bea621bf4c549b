"""Every program of a small model with every choice of what to store, straight from the meaning."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from small_grammars import codes_up_to
from small_models import LN2, phi, theta_at

from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import CLASSES


@dataclass(frozen=True)
class Tree:
    """A program without its facts, and its place in `Model.columns`."""

    column: int
    class_name: str
    train: str
    stores: dict
    runs: dict
    rule_bits: float = 0.0
    uses: float = 1.0
    multiplicity: float = 1.0


def trees(model, nodes):
    if model.grammar is None:
        return [
            Tree(k, s.class_under(model.base_objective), s.train, s.stores, s.runs,
                 uses=model.facts.uses.get(s.name, 1.0), multiplicity=s.multiplicity)
            for k, s in enumerate(model.structures)
        ]  # fmt: skip
    named = {s.code: k for k, s in enumerate(model.structures)}
    found = []
    for code in codes_up_to(model.grammar, nodes):
        meant = interpret(model.grammar, code)
        honest = (meant.train == model.base_objective, meant.deploy == model.base_objective)
        which = {(True, True): 0, (True, False): 1}.get(honest, 2)
        column = named.get(code, len(model.structures) + which)
        found.append(
            Tree(column, CLASSES[which], meant.train, meant.stores, meant.runs, meant.rule_bits)
        )
    return found


@dataclass(frozen=True)
class EveryProgram:
    """All programs (K,) of a model at one theta, and their weights; out: -inf and inf."""

    column: np.ndarray
    class_name: np.ndarray
    stored: np.ndarray
    bits: np.ndarray
    steps: np.ndarray
    lost: np.ndarray
    log_weight: np.ndarray
    cost: np.ndarray

    @classmethod
    def of(cls, model, chosen, values=None, nodes=3):
        """With ``nodes`` at most in a grammar's program."""
        theta = {n: x[0] for n, x in theta_at(model, chosen, values).items()}
        stored = np.array(list(product([True, False], repeat=len(model.facts))), bool)
        derived = np.array([derivation(model.facts, theta["fact_steps"], z) for z in stored])
        rows = [row(model, theta, t, stored, derived) for t in trees(model, nodes)]
        bits, steps, lost, copies = (np.concatenate([r[k] for r in rows]) for k in range(4))
        parameters = {n: theta[f"{chosen.name}_{n}"] for n in chosen.parameters}
        fits = np.isfinite(lost)
        for limit, x in ((model.selection.cap, steps), (model.selection.max_bits, bits)):
            fits &= x <= (np.inf if limit is None else limit)
        lost = lost / (theta["pressure"] * LN2)
        cost = np.where(fits, phi(chosen.name, parameters, bits, steps) + lost, np.inf)
        log_weight = np.log(copies) - theta["pressure"] * LN2 * cost
        size, found = len(stored), trees(model, nodes)
        return cls(
            np.repeat([t.column for t in found], size),
            np.repeat([t.class_name for t in found], size),
            np.tile(stored, (len(found), 1)), bits, steps, lost, log_weight, cost,
        )  # fmt: skip

    @property
    def share(self):
        """Shares of the weight, (K,); NaN where nothing fits."""
        with np.errstate(invalid="ignore"):
            weight = np.exp(self.log_weight - self.log_weight.max())
        return weight / weight.sum()

    def mass(self, columns):
        """Share of every column of the results."""
        return np.bincount(self.column, self.share, columns)

    def class_mass(self):
        """Share of every class."""
        return np.array([self.share[self.class_name == c].sum() for c in CLASSES])

    def fact_mass(self):
        """Share of the programs that store each fact."""
        return self.share @ self.stored

    @property
    def deceptive(self):
        """Which programs are."""
        return self.class_name == "deceptive"

    def margin(self):
        """Least cost of what is not deceptive less that of what is, bits."""
        return self.cost[~self.deceptive].min(initial=np.inf) - self.cost[self.deceptive].min(
            initial=np.inf
        )

    def favored(self):
        """Column of the program of least cost."""
        return self.column[np.argmin(self.cost)]

    def critical(self, family):
        """Critical rate or kappa and the verdict's changes, by going from one meeting to the next.

        Costs are lines in x, bits + x steps (x = 1 / rate) or bits + x log2 steps (x = kappa).
        """
        fits = np.isfinite(self.cost)
        price = self.steps if family == "linear" else np.log2(self.steps)
        sides = [
            minimal((self.bits + self.lost)[side & fits], price[side & fits])
            for side in (self.deceptive, ~self.deceptive)
        ]
        (a, slope), (b, other) = sides
        with np.errstate(divide="ignore", invalid="ignore"):
            meet = ((b[:, None] - a) / (slope - other[:, None])).ravel()
        meet = np.unique(meet[np.isfinite(meet) & (meet > 0)])
        ends = np.concatenate([[0.0], meet, [2.0 * meet[-1] if len(meet) else 1.0]])
        favored = [
            (a + x * slope).min(initial=np.inf) < (b + x * other).min(initial=np.inf)
            for x in (ends[1:] + ends[:-1]) / 2
        ]
        changes = meet[np.flatnonzero(np.diff(favored))]
        always, never = (0.0, np.inf) if family == "linear" else (np.inf, 0.0)
        if not favored[0]:
            return never, len(changes)
        if not len(changes):
            return always, 0
        return (1 / changes[0] if family == "linear" else changes[0]), len(changes)


def minimal(bits, price):
    """The points that no other one beats on both axes."""
    order = np.lexsort((price, bits))
    before = np.minimum.accumulate(np.append(np.inf, price[order][:-1]))
    kept = order[price[order] < before]
    return bits[kept], price[kept]


def derivation(facts, steps, stored):
    """Steps of deriving what is not stored, again and again."""
    needs = facts.needs or ((),) * len(facts)

    def derive(j):
        return steps[j] + sum(derive(i) for i in needs[j] if not stored[i])

    return float(sum(derive(j) for j, kept in enumerate(stored) if not kept))


def row(model, theta, tree, stored, derived):
    """Bits, steps, nats lost and copies of a tree with every choice, each (2^n,)."""
    index, ones = model.component_index, np.ones(len(stored))
    bits = tree.rule_bits + sum(n * theta["bits"][index[c]] for c, n in tree.stores.items())
    steps = sum(n * theta["steps"][index[c]] for c, n in tree.runs.items())
    for k, o in enumerate(model.overlaps):
        both = min(tree.runs.get(o.component, 0), tree.runs.get(o.inside, 0))
        steps -= theta["overlap_fraction"][k] * theta["steps"][index[o.component]] * both
    names = [model.base_objective, *model.losses]
    lost = np.append(0.0, theta["loss"]) * model.selection.episodes
    loss = lost[names.index(tree.train)] if tree.train in names else np.inf
    return (
        bits + stored @ theta["fact_bits"],
        steps + tree.uses * derived,
        loss * ones,
        tree.multiplicity * ones,
    )
