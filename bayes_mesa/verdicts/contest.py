"""Structures in competition at every draw: who takes part, at what cost and weight, who wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayes_mesa.costing.costs import Counts, Totals, totals
from bayes_mesa.costing.critical import critical_exchange
from bayes_mesa.costing.exchange import LN2, relative_penalty
from bayes_mesa.costing.fact_choices import (
    ChoiceSums,
    choice_sums,
    derivation_steps,
    minimal_choices,
    ties_between_facts,
)
from bayes_mesa.costing.fact_sums import log_fact_factor
from bayes_mesa.costing.least import draw_blocks, least_fact_penalty
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.domain.slots import parameters


def eligible_structures(model: Model, whole: Totals, xp: Any = np) -> Any:
    """Which structures may be selected in each draw, bool (..., S): objective, cap and capacity."""
    fits = xp.broadcast_to(xp.asarray(model.eligible), xp.shape(whole.bits))
    if model.selection.cap is not None:
        fits = fits & (whole.full_steps <= model.selection.cap)
    if model.selection.max_bits is not None:
        fits = fits & (whole.full_bits <= model.selection.max_bits)
    return fits


def loss_nats(model: Model, theta: Mapping[str, Any], xp: Any = np) -> Any:
    """E · loss of the objective each structure pursues in training, nats, (..., S)."""
    none = len(model.losses)
    place = dict(zip(model.losses, range(none), strict=True))
    pursued = np.array([place.get(s.train, none) for s in model.structures], int)
    lost = xp.reshape(theta["loss"], (*xp.shape(theta["pressure"]), none))
    nothing = xp.zeros((*xp.shape(theta["pressure"]), 1))
    losses = xp.concatenate([lost, nothing], axis=-1)
    return model.selection.episodes * xp.take(losses, pursued, axis=-1)


def in_places(model: Model, mass: np.ndarray) -> np.ndarray:
    """Masses of all structures, (N, S), by place in the results: those of a class's rest summed."""
    rest = range(len(model.columns) - len(CLASSES), len(model.columns))
    sums = np.stack([mass[:, model.places == place].sum(axis=1) for place in rest], axis=-1)
    sums[np.isnan(mass[:, 0])] = np.nan  # nothing fits: of a class with no rest too
    return np.hstack([mass[:, model.named], sums])


@dataclass(frozen=True, eq=False)
class Contest:
    """The structures of ``model`` at N draws of theta under one family.

    Attributes
    ----------
    whole
        Their bits and steps without facts.
    eligible
        bool (N, S).
    loss
        E · loss, nats, (N, S).
    relative
        Penalty in bits without facts, less a reference that all share, (N, S).
    """

    model: Model
    family: Family
    counts: Counts
    theta: Mapping[str, np.ndarray]
    whole: Totals
    eligible: np.ndarray
    loss: np.ndarray
    relative: np.ndarray

    @classmethod
    def of(
        cls,
        model: Model,
        family: Family,
        counts: Counts,
        theta: Mapping[str, np.ndarray],
        shared: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Contest:
        """``shared``: counts to take out as shared by all, as in `costs.totals`."""
        whole = totals(counts, theta, shared=shared)
        eligible = eligible_structures(model, whole)
        relative = relative_penalty(
            family.name,
            parameters(family, theta),
            whole.bits,
            whole.steps,
            whole.shared_steps,
            eligible,
        )
        return cls(model, family, counts, theta, whole, eligible, loss_nats(model, theta), relative)

    @cached_property
    def deceptive(self) -> np.ndarray:
        """Which structures are deceptive, bool (S,)."""
        return np.array(self.model.classes) == DECEPTIVE

    @cached_property
    def cost(self) -> np.ndarray:
        """Ψ of every structure with its best choice over facts, in bits, inf where out, (N, S)."""
        return np.where(self.eligible, self.relative + self._least_added() + self.loss_bits, np.inf)

    @cached_property
    def loss_bits(self) -> np.ndarray:
        """What is lost in training, in bits of penalty, (N, S)."""
        return self.loss / (self.theta["pressure"][:, None] * LN2)

    def log_weights(self, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Log weights of the first structures, −inf where out, (N, first), and their error (N,)."""
        rows = slice(first)
        pressure = self.theta["pressure"][:, None]
        multiplicity = np.array([s.multiplicity for s in self.model.structures[rows]])
        log_weight = (
            np.log(multiplicity) - pressure * LN2 * self.relative[:, rows] - self.loss[:, rows]
        )
        error = np.zeros(len(log_weight))
        if self._facts_tied:
            log_weight = log_weight + self._choices(rows).log_factor
        elif len(self.model.facts) and first:
            sums = log_fact_factor(
                self.family.name,
                pressure=self.theta["pressure"],
                parameters=parameters(self.family, self.theta),
                steps=np.ascontiguousarray(self.whole.full_steps[:, rows]),
                **self._facts | {"uses": self.counts.uses[rows]},
            )
            log_weight, error = log_weight + sums.log_factor, sums.error.max(axis=1)
        return np.where(self.eligible[:, rows], log_weight, -np.inf), error

    def outcome(
        self, column: np.ndarray, named: Sequence[int], num_columns: int
    ) -> dict[str, np.ndarray]:
        """What least costs decide, by place in the results.

        Parameters
        ----------
        column
            Place of every structure, int (S,).
        named
            Rows of the structures that have a place of their own, in the order of those places,
            which are the first ones.
        num_columns
            Number of places.
        """
        winner = self.winner()
        favored = np.arange(num_columns) == column[winner][:, None]
        favored[winner < 0] = False
        rest = np.full((len(winner), num_columns - len(named)), np.nan)
        full_bits = self.whole.shared_bits[:, None] + self.whole.bits[:, named]
        full_steps = self.whole.shared_steps[:, None] + self.whole.steps[:, named]
        return {
            # Whole numbers, not bool: ArviZ's summaries subtract draws from one another.
            "structure_favored": favored.astype(np.int8),
            "deceptive_favored": (self.deceptive[winner] & (winner >= 0)).astype(np.int8),
            "margin_bits": self.margin(),
            "structure_bits": np.hstack([full_bits, rest]),
            "structure_steps": np.hstack([full_steps, rest]),
            **self.criticals(),
        }

    def least_steps(self) -> np.ndarray:
        """Steps of the structure that runs the fewest of those that fit, without facts, (N,)."""
        least = np.where(self.eligible, self.whole.steps, np.inf).min(axis=1)
        return np.asarray(self.whole.shared_steps + least)

    def winner(self) -> np.ndarray:
        """Row of the structure of least cost in every draw, −1 where nothing fits, int (N,)."""
        # argmin takes the first of equals: a program that is not deceptive, then file order.
        order = np.argsort(self.deceptive, kind="stable")
        found = order[np.argmin(self.cost[:, order], axis=1)]
        return np.where(np.isfinite(self.cost.min(axis=1)), found, -1)

    def margin(self) -> np.ndarray:
        """Least cost of what is not deceptive less that of what is, bits, (N,)."""
        others = self.cost[:, ~self.deceptive].min(axis=1, initial=np.inf)
        pretending = self.cost[:, self.deceptive].min(axis=1, initial=np.inf)
        with np.errstate(invalid="ignore"):
            return others - pretending

    def criticals(self) -> dict[str, np.ndarray]:
        """Critical rate and kappa of every draw, and how often the verdict changes, (N,)."""
        found: dict[str, np.ndarray] = {}
        bits = self.whole.bits + self.loss_bits
        steps_of = {"linear": self.whole.steps, "levin": self.whole.full_steps}
        for family, name in (("linear", "rate"), ("levin", "kappa")):
            change = self._changes_among_choices if self._facts_tied else self._changes
            found[f"critical_{name}"], found[f"{name}_crossings"] = change(
                family, bits, steps_of[family]
            )
        return found

    def _changes(
        self, family: str, bits: np.ndarray, steps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return critical_exchange(
            family,
            bits=bits,
            steps=steps,
            eligible=self.eligible,
            deceptive=self.deceptive,
            **self._facts,
        )

    def _changes_among_choices(
        self, family: str, bits: np.ndarray, steps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """As though every structure with a choice of what to store were one of its own."""
        facts, selection = self._facts, self.model.selection
        stored = minimal_choices(self._needs, facts["fact_bits"], facts["fact_steps"])
        values, numbers = np.empty(len(bits)), np.empty(len(bits), np.int64)
        none = np.zeros((len(bits), 0))
        for at in draw_blocks(len(bits), bits.shape[1] * len(stored)):
            more_bits = np.einsum("nk,zk->nz", facts["fact_bits"][at], stored)[:, None, :]
            derived = derivation_steps(self._needs, facts["fact_steps"][at], stored)
            more_steps = facts["uses"][:, None] * derived[:, None, :]
            fits = np.broadcast_to(self.eligible[at, :, None], more_steps.shape).copy()
            if selection.cap is not None:
                fits &= self.whole.full_steps[at, :, None] + more_steps <= selection.cap
            if selection.max_bits is not None:
                fits &= self.whole.full_bits[at, :, None] + more_bits <= selection.max_bits
            wide = (len(fits), -1)
            values[at], numbers[at] = critical_exchange(
                family,
                bits=(bits[at, :, None] + more_bits).reshape(wide),
                steps=(steps[at, :, None] + more_steps).reshape(wide),
                eligible=fits.reshape(wide),
                deceptive=self.deceptive.repeat(len(stored)),
                uses=np.ones(bits.shape[1] * len(stored)),
                fact_bits=none[at],
                fact_steps=none[at],
            )
        return values, numbers

    @property
    def _facts(self) -> dict[str, Any]:
        return {
            "uses": self.counts.uses,
            "fact_bits": np.ascontiguousarray(self.theta["fact_bits"]),
            "fact_steps": np.ascontiguousarray(self.theta["fact_steps"]),
        }

    @cached_property
    def _facts_tied(self) -> bool:
        return bool(ties_between_facts(self.model))

    @property
    def _needs(self) -> tuple[tuple[int, ...], ...]:
        return self.model.facts.needs if self.model.facts.depend else ()

    def _choices(self, rows: slice, stored: np.ndarray | None = None) -> ChoiceSums:
        facts = self._facts | {"uses": self.counts.uses[rows]}
        return choice_sums(
            self.family.name,
            pressure=self.theta["pressure"],
            parameters=parameters(self.family, self.theta),
            bits=self.whole.full_bits[:, rows],
            steps=self.whole.full_steps[:, rows],
            needs=self._needs,
            cap=self.model.selection.cap,
            max_bits=self.model.selection.max_bits,
            stored=stored,
            **facts,
        )

    def _least_added(self) -> np.ndarray | float:
        """Penalty of each structure's least-cost choice over facts, beyond the structure's own."""
        if not len(self.model.facts):
            return 0.0
        if self._facts_tied:
            facts = self._facts
            kept = minimal_choices(self._needs, facts["fact_bits"], facts["fact_steps"])
            return self._choices(slice(None), kept).least
        added, _, _ = least_fact_penalty(
            self.family.name,
            parameters=parameters(self.family, self.theta),
            steps=self.whole.full_steps,
            **self._facts,
        )
        return added
