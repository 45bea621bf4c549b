"""Geweke's joint test of one move: a chain over programs and theta together, whose law is known.

The joint law is p(theta_k) w(p | theta_k) / Z(theta_k) over a few thetas and all programs. A chain
begins at an exact draw of it, and then goes in turns: p by the move that is tested, at theta_k;
theta_k from its exact law given p. Whatever the number of turns, its law stays the joint one, for
moves too that by themselves do not reach every program (Geweke 2004, *Getting it right*).

Averages of whole chains are independent, so their spread gives the error of their mean. What they
are compared with, the marginal-conditional side, is summed over all programs rather than drawn.
"""

from dataclasses import dataclass

import numpy as np
from exact_space import mid_rank, misfit

from bayes_mesa._ext.tempered import Chain

PAIR = {"insert": 0.5, "delete": 0.5}
#: Name → probabilities of the moves, proposals, whether all facts are scanned and a jump is made,
#: and how many replicas there are. Insert and delete are each other's way back.
MOVES = {
    "regenerate": ({"regenerate": 1.0}, 1, False, 1),
    "insert and delete": (PAIR, 1, False, 1),
    "swap": ({"swap": 1.0}, 1, False, 1),
    "flip": ({"flip": 1.0}, 1, False, 1),
    "exchange": ({"exchange": 1.0}, 1, False, 1),
    "jump": ({"jump": 1.0}, 1, False, 1),
    "scan": (None, 0, True, 1),
    "replica exchange": (None, 0, False, 2),
    "whole round": (None, 2, True, 2),
}
#: Pressure and rate of every theta, all equally probable a priori.
THETAS = ((1.0, 10.0), (1.0, 40.0), (1.4, 15.0), (1.4, 80.0), (2.0, 25.0))
LADDER = (1.0, 0.4)


class LeftError(Exception):
    """A program was reached that has no weight at any theta."""


@dataclass(frozen=True)
class Joint:
    """All that a turn needs: shares of the programs by theta and replica, and test functions."""

    space: object
    share: np.ndarray
    log_share: np.ndarray
    functions: np.ndarray

    @classmethod
    def of(cls, space, replicas):
        """With test functions (theta, program, function) in [0, 1]: places of sizes, and which."""
        share = np.array([[space.share(*theta, s) for s in LADDER[:replicas]] for theta in THETAS])
        with np.errstate(divide="ignore"):
            log_share = np.log(share)
        joint = share[:, 0] / len(THETAS)
        nodes = np.array([len(c) for c, _ in space.programs], float)
        weight = np.array([space.log_weight(*theta) for theta in THETAS])
        ranked = [space.bits, space.steps, nodes, np.where(joint > 0, weight, 0.0)]
        ranked = [mid_rank(np.broadcast_to(x, joint.shape), joint) for x in ranked]
        plain = [space.deceptive, *space.stored().T, *np.eye(len(THETAS))[:, :, None]]
        every = [np.broadcast_to(x, joint.shape) for x in (*ranked, *plain)]
        return cls(space, share, log_share, np.stack(every, axis=2).astype(float))

    def wanted(self):
        """Exact means of the test functions of the replica at s = 1, and of the other one."""
        means = [
            np.einsum("tk,tkf->f", self.share[:, r], self.functions) / len(THETAS)
            for r in range(self.share.shape[1])
        ]
        return np.concatenate(means)

    def draw(self, rng):
        """A theta, and a program of every replica."""
        k = int(rng.integers(len(THETAS)))
        return k, [int(rng.choice(len(x), p=x)) for x in self.share[k]]

    def theta_given(self, programs, rng):
        """A theta from its exact law given the programs of all replicas."""
        logs = sum(self.log_share[:, r, p] for r, p in enumerate(programs))
        if not logs.max() > -np.inf:
            raise LeftError
        cumulative = np.cumsum(np.exp(logs - logs.max()))
        return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


class Mover:
    """The one move under test, at any theta, on the kernel itself."""

    def __init__(self, space, move, seed):
        moves, self.proposals, self.scan, self.replicas = MOVES[move]
        targets = [space.target(*theta, moves=moves) for theta in THETAS]
        self.chains = [Chain(t.kernel, self.replicas) for t in targets]
        facts = max(1, len(space.model.facts))
        self.code, self.stored = [], []
        for code, stored in space.programs:
            choice = np.zeros(facts, np.uint8)
            choice[: len(stored)] = stored
            self.code.append(np.array(code, np.int16))
            self.stored.append(choice)
        self.place = {p: k for k, p in enumerate(space.programs)}
        self.words, self.ladder = np.random.PCG64(seed), np.array(LADDER[: self.replicas])
        # Every second round proposes to exchange the one pair: two rounds, one exchange.
        self.rounds = self.replicas
        none = np.zeros(0, np.int32)
        self.unused = (
            np.zeros((0, space.nodes), np.int16), none, np.zeros((0, facts), np.uint8), np.zeros(0),
            np.zeros(1, np.int32), np.zeros((self.replicas, 7, 4), np.int64),
            *np.zeros((2, 1), np.int64), np.zeros(1),
        )  # fmt: skip

    def turn(self, k, programs):
        """The programs after one step at theta_k."""
        chain = self.chains[k]
        for r, p in enumerate(programs):
            chain.place(r, self.code[p], self.stored[p])
        chain.run(self.words, self.ladder, self.rounds, self.proposals, self.scan, *self.unused)
        try:
            return [self.place[chain.state(r)[:2]] for r in range(self.replicas)]
        except KeyError:
            raise LeftError from None

    def counted(self):
        """Proposals by outcome and exchanges, so that a move that goes nowhere is seen."""
        return self.unused[5], self.unused[7]


def successive(space, move, chains, turns, seed):
    """Averages of the test functions over every chain, (chains, functions), and the mover."""
    rng = np.random.default_rng([seed, 1])
    mover = Mover(space, move, [seed, 2])
    joint = Joint.of(space, mover.replicas)
    averages = np.zeros((chains, len(joint.wanted())))
    for row in averages:
        k, programs = joint.draw(rng)
        for _ in range(turns):
            programs = mover.turn(k, programs)
            k = joint.theta_given(programs, rng)
            row += np.concatenate([joint.functions[k, p] for p in programs])
    return averages / turns, joint.wanted(), mover


def worst(space, move, chains, turns, seed):
    """Largest misfit of any test function's mean: above 1, the move is wrong."""
    try:
        averages, wanted, _ = successive(space, move, chains, turns, seed)
    except LeftError:
        return np.inf
    return float(misfit(averages, wanted).max())
