"""A small space of programs, listed once from the meaning, and weighed at any pressure and rate."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from every_program import EveryProgram
from small_grammars import codes_up_to, grammar_model, rule
from small_models import (
    component,
    family,
    known_facts,
    model,
    phi,
    structure,
    theta_at,
)

from bayes_mesa.chains.tempered_target import Target

#: Written out, so that a constant of the package cannot agree with itself.
LN2 = 0.6931471805599453
#: Two-sided false-alarm rate of one check: that of five standard errors.
FALSE_ALARM = 5.7e-7


@dataclass(frozen=True, eq=False)
class Space:
    """Programs (K,) of a model of known costs; what varies is the pressure and the linear rate.

    ``rule_bits`` are part of ``bits``; ``lost`` is in nats, infinite where a program may not be.
    """

    model: object
    nodes: int
    programs: list
    bits: np.ndarray
    steps: np.ndarray
    lost: np.ndarray
    rule_bits: np.ndarray
    copies: np.ndarray
    column: np.ndarray
    deceptive: np.ndarray

    @classmethod
    def of(cls, model, nodes):
        """Of programs with at most so many nodes, and with every choice of what to store."""
        found = EveryProgram.of(model, model.family("linear"), nodes=nodes)
        choices = list(itertools.product((True, False), repeat=len(model.facts)))
        if model.grammar is None:
            codes = [(k,) for k in range(len(model.structures))]
            rule_bits = np.zeros(len(codes))
            copies = np.array([s.multiplicity for s in model.structures])
        else:
            codes = codes_up_to(model.grammar, nodes)
            rule_bits = np.array([sum(model.grammar.rule_bits[r] for r in c) for c in codes])
            copies = np.ones(len(codes))
        programs = [(c, z) for c in codes for z in choices]
        # Losses come in bits at the model's own pressure.
        fits = np.isfinite(found.cost)
        lost = np.where(fits, found.lost * model.selection.pressure.value * LN2, np.inf)
        many = len(choices)
        return cls(
            model, nodes, programs, found.bits, found.steps, lost, np.repeat(rule_bits, many),
            np.repeat(copies, many), found.column, found.deceptive,
        )  # fmt: skip

    def log_base(self, pressure):
        """What every replica feels whatever its temperature: rules and multiplicity."""
        own = 0.0 if self.model.grammar is None else self.rule_bits
        return np.log(self.copies) - pressure * LN2 * own

    def log_weight(self, pressure, rate, s=1.0):
        """log base − s E at inverse temperature s, natural log, (K,)."""
        own = 0.0 if self.model.grammar is None else self.rule_bits
        cost = phi("linear", {"rate": rate}, self.bits - own, self.steps)
        return self.log_base(pressure) - s * (pressure * LN2 * cost + self.lost)

    def share(self, pressure, rate, s=1.0):
        """Normalised weights, (K,)."""
        logs = self.log_weight(pressure, rate, s)
        weight = np.exp(logs - logs.max())
        return weight / weight.sum()

    def target(self, pressure, rate, moves=None):
        """What the kernels sample at these values."""
        family = self.model.family("linear")
        theta = theta_at(self.model, family, {"pressure": pressure, "linear_rate": rate})
        return Target.of(self.model, family, theta, max_nodes=self.nodes, moves=moves)

    def stored(self):
        """Which facts every program stores, (K, n)."""
        return np.array([z for _, z in self.programs], float).reshape(len(self.programs), -1)


def misfit(values, wanted):
    """How far means are from what is exact, over what chance allows: above 1 is a fault.

    Chance allows some five standard errors, and a little for what is seldom seen: the empirical
    Bernstein bound (Maurer and Pontil 2009, theorem 4) holds for any law on [0, 1], where a plain
    multiple of the standard error fails for events that a sample holds two of.

    Parameters
    ----------
    values
        (M, Q) in [0, 1], the rows independent.
    wanted
        Exact means, (Q,).
    """
    size, log = len(values), math.log(4.0 / FALSE_ALARM)
    allowed = np.sqrt(2.0 * values.var(axis=0, ddof=1) * log / size) + 7 * log / (3 * (size - 1))
    return np.abs(values.mean(axis=0) - wanted) / allowed


def mid_rank(values, probability):
    """Every value's place in its own law, in [0, 1]: P(less) + P(equal) / 2."""
    # What differs only by rounding is equal.
    _, which = np.unique(np.round(values, 9), return_inverse=True)
    mass = np.bincount(which.ravel(), probability.ravel())
    return (np.cumsum(mass) - mass / 2)[which].reshape(np.shape(values))


def level_structures(count=3):
    """Structures of different multiplicities and facts that need one another, none of them rare."""
    parts = (component("a", 2, 20), component("b", 1, 35), component("c", 3, 5))
    shapes = (
        structure("one", ["a"], ["a"], multiplicity=3.0),
        structure("two", ["b"], ["b"], deploy="other"),
        structure("three", ["c"], ["c", "a"], deploy="other", multiplicity=0.5),
        structure("four", ["a", "b"], ["c"], multiplicity=2.0),
    )
    bits, steps = [2.0, 1.0, 3.0, 0.5][:count], [20.0, 12.0, 40.0, 9.0][:count]
    facts = known_facts(bits, steps, uses={"two": 2.0}, needs=((), (0,), (), (1, 2))[:count])
    return model(parts, shapes, (family("linear", rate=25.0),), facts=facts)


def level_grammar(count=2):
    """Trees of one to four nodes, rules of unequal weights that can stand for one another."""
    rules = (
        rule("S", "base", stores=["base"], runs=["base"], train="base", deploy="base", weight=3.0),
        rule("S", "own", stores=["own"], runs=["own"], train="base", deploy="own", weight=2.0),
        rule("S", "wrap", ["S"], stores=["layer"], runs=["layer"], weight=2.0),
        rule("S", "mask", ["S"], runs=["layer"], executes=(), train=0, deploy="own"),
        rule("S", "fork", ["S", "S"], runs=["layer"], executes=(0,), train=0, deploy=1, weight=0.7),
    )
    costs = {"base": (1, 8), "own": (0.5, 20), "layer": (0.3, 6)}
    facts = known_facts([1.5, 0.7][:count], [25.0, 18.0][:count], needs=((), (0,))[:count])
    return grammar_model(rules, costs, start="S", facts=facts, families=("linear",))


#: Name → model and largest number of nodes: no move is rare here, so that a wrong one shows.
LEVEL = {"structures": (level_structures(), 1), "grammar": (level_grammar(), 4)}
