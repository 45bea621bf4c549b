"""The verdict over all programs of a grammar: least costs by its frontier, masses by exact sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.frontier import program_structure, with_frontier
from bayes_mesa.grammars.program_sums import class_sums
from bayes_mesa.verdicts.contest import Contest
from bayes_mesa.verdicts.enumeration import programs_of

#: Programs that are all compared where no finite frontier is known.
MAX_RIVALS = 3000


def grammar_verdict(
    model: Model, family: Family, theta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What `verdict.verdicts` gives, for a model with a grammar and N draws of theta.

    The program of least cost is one of `frontier.with_frontier`: exact. A listed program's mass is
    its own weight over Z, the sum of the classes' sums, on one base: bits less what every program
    stores, penalties less that of the fewest steps that a program runs.
    """
    field = Field.of(model)
    contest, outcome = field.race(family, theta)
    least = np.where(contest.eligible, contest.whole.steps, np.inf).min(axis=1)
    sums = class_sums(model, family, theta, least)
    listed, error = contest.log_weights(field.named)
    class_mass, mass = _masses(model, np.asarray(sums.log_weight), listed)
    return {
        "structure_mass": mass,
        "class_mass": class_mass,
        "deceptive_mass": class_mass[:, CLASSES.index(DECEPTIVE)],
        "least_steps": contest.whole.shared_steps + least,
        "log_weight_error": np.maximum(error, sums.error),
        **outcome,
    }


@dataclass(frozen=True, eq=False)
class Field:
    """The listed programs and the frontier's, once per model.

    ``shared`` are the stores and runs (C,) of every program that may be selected: the least of
    those on the frontier. ``column`` is each program's place in ``model.columns``, int (S,), and
    the first ``named`` programs have one of their own.
    """

    model: Model
    counts: Counts
    shared: tuple[np.ndarray, np.ndarray]
    column: np.ndarray
    named: int

    def race(
        self, family: Family, theta: Mapping[str, np.ndarray]
    ) -> tuple[Contest, dict[str, np.ndarray]]:
        """The programs at N draws of theta, and what least costs decide between them."""
        contest = Contest.of(self.model, family, self.counts, theta, self.shared)
        return contest, contest.outcome(self.column, range(self.named), self.named + len(CLASSES))

    @classmethod
    def of(cls, model: Model) -> Field:
        """The field of a model, made once."""
        if model not in _FIELDS:
            _FIELDS[model] = cls._made(model)
        return _FIELDS[model]

    @classmethod
    def _made(cls, model: Model) -> Field:
        whole = _with_rivals(model)
        counts = Counts.of(whole)
        takes_part = np.array(whole.eligible)
        shared = tuple(x[takes_part].min(axis=0) for x in (counts.bits, counts.step_terms))
        named = len(model.structures)
        rest = [named + CLASSES.index(c) for c in whole.classes[named:]]
        column = np.array([*range(named), *rest])
        return cls(whole, counts, (shared[0], shared[1]), column, named)


def _with_rivals(model: Model) -> Model:
    """The model with programs of which one is always of least cost: its frontier, or all there are.

    Raises
    ------
    RefusedError
        If there is no finite frontier, and more than `MAX_RIVALS` programs.
    """
    try:
        return with_frontier(model)
    except RefusedError:
        listing = programs_of(model, MAX_RIVALS)
        if not listing.complete:
            raise
        own = {s.code for s in model.structures}
        codes = (listing.codes.of(k) for k in range(len(listing)))
        rest = [program_structure(model, code) for code in codes if code not in own]
        return replace(model, structures=(*model.structures, *rest))


_FIELDS: WeakKeyDictionary[Model, Field] = WeakKeyDictionary()


def _masses(model: Model, sums: np.ndarray, listed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masses of the classes, (N, 3), and of `model.columns`, (N, S)."""
    best = sums.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        # Not by the log of the total: added to a large log weight it would be rounded.
        weights = np.exp(sums - best)
        total = weights.sum(axis=1, keepdims=True)
        by_class, mass = weights / total, np.exp(listed - best) / total
    classes = np.array(model.classes)
    taken = np.stack([mass[:, classes == name].sum(axis=1) for name in CLASSES], axis=-1)
    # A class that is all listed leaves rounding errors of either sign.
    return by_class, np.hstack([mass, np.maximum(by_class - taken, 0.0)])
