"""Masses by tempered chains at each of many draws of theta, with their Monte Carlo errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.chains.tempered_meaning import Described, Dictionary, describe
from bayes_mesa.chains.tempered_starts import starting_programs
from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.chains.tempered_walk import NothingFits, Settings, StopFlag, Walk
from bayes_mesa.chains.tempering import in_threads
from bayes_mesa.costing.exchange import LN2
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.grammars.rule_tables import RuleTables

Floats = NDArray[np.float64]

#: Draws of theta that one chain goes through, each begun where the one before has ended. Fixed, so
#: that the bytes do not depend on the number of threads.
_BLOCK = 64
_BATCHES = 20


@dataclass(frozen=True, eq=False)
class TemperedMasses:
    """Shares of the program weight, by draw of theta.

    Attributes
    ----------
    mass, error
        (N, S'): share of every column of `Model.columns`, and its Monte Carlo standard error by
        batch means; NaN where nothing fits. A column never met has error 0: see ``effective``.
    effective
        (N,): effective inner draws of the deceptive share's indicator, or of the column that mixes
        worst where that is constant; at most the inner draws.
    least_cost
        (N, S'): least cost Ψ met of every column, in bits: an upper bound of the least cost, less a
        constant of theta; inf where the column was not met.
    """

    mass: Floats
    error: Floats
    effective: Floats
    least_cost: Floats


def tempered_masses(
    model: Model,
    family: Family,
    theta: Mapping[str, Any],
    *,
    num_inner: int = 200,
    burn_in: int = 40,
    settings: Settings | None = None,
    max_nodes: int = 64,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
) -> TemperedMasses:
    """Estimate the masses at every draw of theta by a tempered chain at each.

    A chain is warmed up in full at the first theta of a block of 64, and goes on to the next one
    with its programs and its ladder, which settle for ``burn_in`` rounds before anything is kept:
    at each theta it is a Markov chain for that theta alone, begun at draws from another one.

    Parameters
    ----------
    theta
        As `slots.assemble` gives it, N draws.
    num_inner, burn_in
        Rounds kept and dropped at each theta, of `Settings` and its warm-up (default: 300 rounds).
    max_nodes
        Programs with more nodes are left out.
    seed
        One stream per block: the same bytes for any number of threads.
    """
    settings = settings or Settings(warmup=300)
    tables, flag = RuleTables.of(model), StopFlag()
    total = len(np.asarray(theta["pressure"]))
    starts = range(0, total, _BLOCK)
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    streams = sequence.spawn(len(starts))

    def work(block: int) -> list[tuple[Floats, Floats, float, Floats]]:
        rows = range(starts[block], min(starts[block] + _BLOCK, total))
        targets = (
            Target.of(model, family, theta, row, max_nodes=max_nodes, tables=tables) for row in rows
        )
        line = _Line(model, settings, streams[block], flag, num_inner, burn_in)
        return [line.at(target) for target in targets]

    found = [x for part in in_threads(work, range(len(starts)), threads, flag) for x in part]
    mass, error, effective, least = (np.array([x[k] for x in found]) for k in range(4))
    return TemperedMasses(mass, error, effective, least)


class _Line:
    """One chain that goes through the thetas of a block in turn."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        stream: np.random.SeedSequence,
        flag: StopFlag,
        num_inner: int,
        burn_in: int,
    ):
        self.model, self.settings, self.stream, self.flag = model, settings, stream, flag
        self.num_inner, self.burn_in = num_inner, burn_in
        self.dictionary = Dictionary(model)
        self.walk: Walk | None = None

    def at(self, target: Target) -> tuple[Floats, Floats, float, Floats]:
        """Mass, error, effective draws and least costs at one theta."""
        if not self._arrive(target):
            columns = np.full(len(self.model.columns), math.nan)
            return columns, columns, math.nan, np.full(len(columns), math.inf)
        assert self.walk is not None
        drawn = self.walk.draw(self.num_inner)
        stored = drawn.stored[:, : len(self.model.facts)].astype(bool)
        meant = describe(target, drawn.codes, drawn.lengths, stored, drawn.energy, self.dictionary)
        return *self._shares(meant), self._least(meant, target)

    def _arrive(self, target: Target) -> bool:
        if self.walk is None:
            starts = starting_programs(target)
            if not starts:
                return False
            self.walk = Walk(target, self.settings, starts, self.stream, self.flag)
            self.walk.warm_up()
            return True
        try:
            self.walk.retarget(target)
        except NothingFits:
            return False
        self.walk.settle(self.burn_in)
        return True

    def _shares(self, meant: Described) -> tuple[Floats, Floats, float]:
        size = len(meant.column)
        is_there = meant.column[:, None] == np.arange(len(self.model.columns))
        mass = is_there.mean(axis=0)
        error = _batch_error(is_there)
        parts = np.append(is_there, meant.deceptive[:, None], axis=1)
        share, spread = parts.mean(axis=0), _batch_error(parts)
        with np.errstate(divide="ignore", invalid="ignore"):
            worth = np.minimum(share * (1.0 - share) / spread**2, size)
        worth[np.isnan(worth)] = size
        effective = worth[-1] if 0.0 < share[-1] < 1.0 else worth.min()
        return mass, error, float(effective)

    def _least(self, meant: Described, target: Target) -> Floats:
        cost = -meant.log_weight / (float(target.theta["pressure"]) * LN2)
        least = np.full(len(self.model.columns), math.inf)
        np.minimum.at(least, meant.column, cost)
        # A program that is there m times weighs more, but costs no less.
        copies = [s.multiplicity for s in self.model.structures]
        least[: len(copies)] += np.log(copies) / (float(target.theta["pressure"]) * LN2)
        return least


def _batch_error(draws: NDArray[np.bool_]) -> Floats:
    """Standard error of the means of (D, K) draws, from the means of some 20 batches."""
    batches = min(_BATCHES, len(draws))
    if batches < 2:
        return np.full(draws.shape[1], math.nan)
    size = len(draws) // batches
    means = draws[len(draws) - batches * size :].reshape(batches, size, -1).mean(axis=1)
    return means.std(axis=0, ddof=1) / math.sqrt(batches)
