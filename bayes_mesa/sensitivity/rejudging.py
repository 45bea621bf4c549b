"""Verdicts on other values of the beliefs: one number for each draw, and nothing besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import assemble, slots
from bayes_mesa.verdicts.contest import Contest
from bayes_mesa.verdicts.engines import EXACT, LISTED, Engines
from bayes_mesa.verdicts.heaviest import MOST
from bayes_mesa.verdicts.verdict import blocks_of, verdicts

Draws = NDArray[np.float64]
Estimand = Literal["deceptive_favored", "deceptive_mass", "margin"]
ESTIMANDS = ("deceptive_favored", "deceptive_mass", "margin")
#: Variable of the results that holds each.
VARIABLES = {"margin": "margin_bits"}
#: Draws for each family that are judged again and again, where each verdict is cheap, and where it
#: sums over facts (quickly, and in full). A grammar takes milliseconds for each: none.
_MANY, _QUICK, _SOME, _FEW = 100_000, 300, 1000, 250
#: Draws times structures where there are very many of these: seconds for each verdict, so that
#: quickly none is judged again.
_CELLS = 4_000_000
#: Structures times facts beyond which the sums for each verdict take seconds too, and the fewest
#: draws that say anything about shares of variance.
_TERMS, _LEAST = 1000, 30


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges slot values of a model."""

    model: Model

    def num_draws(self, *, quick: bool) -> int:
        """How many draws of each family it is sensible to judge again and again; 0: none."""
        engine = Engines.of(self.model).masses
        if self.model.grammar is not None or engine not in (EXACT, LISTED):
            return 0
        number = len(self.model.structures)
        if number > MOST:
            return 0 if quick else max(_FEW, _CELLS // number)
        terms = number * len(self.model.facts)
        if not terms:
            return _MANY
        if engine == EXACT and terms > _TERMS:
            return 0 if quick else max(_LEAST, _SOME * _TERMS // terms)
        return _QUICK if quick else _SOME if engine == EXACT else _FEW

    def __call__(self, family: Family, values: Mapping[str, Draws], of: str) -> Draws:
        """What is asked at every draw, (N,).

        Parameters
        ----------
        values
            Slot → (N,) or, for facts, (N, n).
        of
            One of `ESTIMANDS`. With path dependence that of the whole: what early training locks in
            counts too. The mass is NaN, and the margin NaN or infinite, as `verdict.verdicts` says.
        """
        theta = assemble(self.model, values, family, np)
        found = self._plain(family, theta, of)
        if "path_lock_in" in values and of != "margin":
            locked = values["path_lock_in"]
            return locked * values["path_deceptive"] + (1.0 - locked) * found
        return found

    @cached_property
    def _counts(self) -> Counts:
        return Counts.of(self.model)

    def _plain(self, family: Family, theta: Mapping[str, Draws], of: str) -> Draws:
        if self.model.grammar is not None:
            return np.asarray(verdicts(self.model, family, theta)[VARIABLES.get(of, of)], float)
        parts = (self._among_structures(family, x, of) for x in blocks_of(self.model, theta))
        return np.concatenate(list(parts))

    def _among_structures(self, family: Family, theta: Mapping[str, Draws], of: str) -> Draws:
        contest = Contest.of(self.model, family, self._counts, theta)
        if of == "margin":
            return contest.margin()
        if of == "deceptive_favored":
            winner = contest.winner()
            return (contest.deceptive[winner] & (winner >= 0)).astype(float)
        log_weight, _ = contest.log_weights(len(self.model.structures))
        with np.errstate(invalid="ignore"):
            weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        return np.asarray(weight[:, contest.deceptive].sum(axis=1) / weight.sum(axis=1))


def whole_values(
    model: Model, family: Family, uncertain: Mapping[str, Draws], size: int
) -> dict[str, Draws]:
    """Values of all slots, (size, ...): the uncertain ones as given, the others as known."""
    return {
        s.name: uncertain[s.name]
        if s.name in uncertain
        else np.full((size, *([s.size] if s.size else [])), s.belief.median)
        for s in slots(model, family)
    }
