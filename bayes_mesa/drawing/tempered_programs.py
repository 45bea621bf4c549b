"""Programs drawn by tempered chains: one after another through the draws of theta, or at one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from bayes_mesa.chains.tempered_meaning import Dictionary, describe
from bayes_mesa.chains.tempered_moves import MOVES
from bayes_mesa.chains.tempered_starts import starting_programs
from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.chains.tempered_walk import (
    OUTCOMES,
    NothingFits,
    Records,
    Settings,
    StopFlag,
    Walk,
)
from bayes_mesa.costing.exchange import LN2, penalty
from bayes_mesa.domain.model import Component, Facts, Family, Heuristics, Model
from bayes_mesa.drawing.grammar_programs import Arrays, Register
from bayes_mesa.drawing.structure_programs import with_every_structure
from bayes_mesa.grammars.rule_tables import RuleTables

#: Rounds before the draw at a new theta: each scans all facts, jumps once, and makes other moves.
ROUNDS = 20
#: Warm-up at the first theta of a chain, in rounds.
WARMUP = 1000


class Tally:
    """What only diagnostics need: proposals by move and outcome at s = 1, and exchanges."""

    def __init__(self, replicas: int):
        self.moves = np.zeros((len(MOVES), len(OUTCOMES)), np.int64)
        self.tried, self.swapped = np.zeros((2, replicas - 1), np.int64)
        self.ladder = np.full(replicas, np.nan)

    def add(self, walk: Walk) -> None:
        """Count what a walk has done since it last forgot."""
        pairs = slice(0, len(self.tried))
        self.moves += walk.moves[0]
        self.tried += walk.tried[pairs]
        self.swapped += walk.swapped[pairs]
        self.ladder[:] = walk.ladder


class TemperedChain:
    """One chain over programs, with a stream of its own, that goes on from theta to theta."""

    def __init__(self, model: Model, number: int, stream: np.random.SeedSequence, flag: StopFlag):
        self.given, self.model = model, model if model.grammar is not None else _by_totals(model)
        self.number, self.flag = number, flag
        self.streams = dict(
            zip((f.name for f in model.families), stream.spawn(len(model.families)), strict=True)
        )
        self.settings = Settings(warmup=WARMUP)
        self.tables, self.dictionary = RuleTables.of(self.model), Dictionary(self.model)
        self.register = Register(self.model)
        self.tally = Tally(self.settings.replicas)
        self.walks: dict[str, Walk] = {}

    def draw(self, family: Family, theta: Mapping[str, np.ndarray], count: int | None) -> Arrays:
        """One program per theta, or ``count`` at a single one: the same one whenever it is called.

        Returns
        -------
        dict of arrays
            ``structure`` (D,) places in `model.columns`, −1 where nothing fits, ``stored`` (D, n),
            ``bits``, ``steps``, ``penalty``, ``log_weight`` (D,), NaN where nothing fits,
            ``deceptive`` (D,) 0 or 1 and, with a grammar, ``program`` (D,).
        """
        if self.model.grammar is None:
            theta = with_every_structure(self.given, family, dict(theta))
            # Totals have the overlaps taken off.
            theta = {n: x for n, x in theta.items() if n != "overlap_fraction"}
            theta |= {"bits": theta["structure_bits"], "steps": theta["structure_steps"]}
        parts = []
        for row in range(len(theta["pressure"])):
            target = Target.of(self.model, family, theta, row, tables=self.tables)
            walk = self._arrived(family, target, goes_on=count is not None)
            wanted = 1 if count is None else count
            parts.append(_nothing(target, wanted) if walk is None else self._drawn(walk, wanted))
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _arrived(self, family: Family, target: Target, *, goes_on: bool) -> Walk | None:
        """The family's walk, settled at the target; None where nothing fits."""
        walk = self.walks.get(family.name)
        if walk is not None and goes_on:
            walk.forget()
            return walk
        if walk is None:
            starts = starting_programs(target)
            if not starts:
                return None
            begin = self.number % len(starts)
            turned = starts[begin:] + starts[:begin]
            walk = Walk(target, self.settings, turned, self.streams[family.name], self.flag)
            walk.warm_up()
            self.walks[family.name] = walk
            return walk
        try:
            walk.retarget(target)
        except NothingFits:
            return None
        walk.settle(ROUNDS)
        return walk

    def _drawn(self, walk: Walk, count: int) -> Arrays:
        target = walk.target
        records = walk.draw(count)
        self.tally.add(walk)
        stored = records.stored[:, : len(self.model.facts)].astype(bool)
        meant = describe(
            target, records.codes, records.lengths, stored, records.energy, self.dictionary
        )
        own = {n: target.theta[f"{target.family.name}_{n}"] for n in target.family.parameters}
        cost = penalty(target.family.name, own, meant.bits, meant.steps)
        loss, program = self._losses(target, records)
        found = {
            "structure": meant.column,
            "stored": stored,
            "bits": meant.bits,
            "steps": meant.steps,
            "penalty": cost,
            "deceptive": meant.deceptive.astype(np.int8),
            "log_weight": -float(target.theta["pressure"]) * LN2 * cost - loss,
        }
        return found if self.model.grammar is None else found | {"program": program}

    def _losses(self, target: Target, records: Records) -> tuple[np.ndarray, np.ndarray]:
        """E · loss of every program, nats, and its number: in the register, or the structure's."""
        program = self._numbers(records)
        losses = np.append(0.0, target.theta["loss"])
        return self.model.selection.episodes * losses[self.pursued()[program]], program

    def pursued(self) -> np.ndarray:
        """What each known program pursues in training, as a `Register` has it."""
        if self.model.grammar is not None:
            return self.register.pursued
        places = {name: k + 1 for k, name in enumerate(self.model.losses)}
        return np.array([places.get(s.train, 0) for s in self.model.structures], np.int64)

    def _numbers(self, records: Records) -> np.ndarray:
        if self.model.grammar is None:
            return records.codes[:, 0].astype(np.int64)
        inside = np.arange(records.codes.shape[1]) < records.lengths[:, None]
        return self.register.numbers(records.codes[inside], records.lengths.astype(np.int64))


def _nothing(target: Target, count: int) -> Arrays:
    nan, places = np.full(count, np.nan), np.full(count, -1, np.int64)
    found = {
        "structure": places,
        "stored": np.zeros((count, len(target.model.facts)), bool),
        "bits": nan,
        "steps": nan,
        "penalty": nan,
        "deceptive": np.zeros(count, np.int8),
        "log_weight": nan,
    }
    return found if target.model.grammar is None else found | {"program": places}


def _by_totals(model: Model) -> Model:
    """The structures with one component each, whose costs are the structure's own totals.

    Results keep totals, overlaps taken off; so a model that was read back from a result will do.
    """
    once = [MappingProxyType({s.name: 1}) for s in model.structures]
    facts = model.facts
    return replace(
        model,
        components=tuple(Component(s.name) for s in model.structures),
        structures=tuple(
            replace(s, stores=own, runs=own) for s, own in zip(model.structures, once, strict=True)
        ),
        named=None,
        overlaps=(),
        heuristics=Heuristics(),
        facts=replace(facts, needs=facts.needs or ((),) * len(facts)) if len(facts) else Facts(),
    )
