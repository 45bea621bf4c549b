r"""What listed programs weigh at one theta, and at most what is not listed.

Weights are kept as logs relative to a `Base`: counts that every program pays, and a number of
steps. Of what is not listed the prior mass of each behaviour is known, so that

.. math:: \sum_{p \text{ not listed}} w_p \le \sum_{(T, D)} \Big[x_{TD}(\beta) -
          \sum_{p \text{ listed}} 2^{-\beta r_p}\Big] \sup_p \frac{w_p}{2^{-\beta r_p}},

r_p the rule bits, x the sum of 2^(-beta r) over all programs of behaviour (T, D). What stands
behind the sup falls in bits and in steps, so that it is largest at one of the programs of least
payments (`frontier`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.costing.exchange import LN2, added_penalty, penalty
from bayes_mesa.costing.fact_choices import MAX_FACTS, choice_sums
from bayes_mesa.costing.fact_sums import log_fact_factor
from bayes_mesa.costing.least import least_fact_penalty
from bayes_mesa.domain.grammar import Grammar
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, HONEST, MISALIGNED, Family, Model
from bayes_mesa.domain.slots import parameters
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars.behaviours import prior_mass
from bayes_mesa.grammars.listing import Listing

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Theta = Mapping[str, Any]

#: What sums of costs may have lost to rounding, where a bound must not.
_SLACK = 1e-12


@dataclass(frozen=True, eq=False)
class Base:
    """What weights are relative to: 2^(-beta Phi(c, t)) with c = stores.b, t = runs.tau + extra.

    Attributes
    ----------
    stores, runs
        float64 (C,): payments that every program makes that may be selected.
    extra_steps
        Steps beyond ``runs``, >= 0.
    """

    stores: Floats
    runs: Floats
    extra_steps: float


def _eligible(model: Model, objectives: tuple[str, ...]) -> Flags:
    return np.array([o == model.base_objective or o in model.losses for o in objectives], bool)


@dataclass(frozen=True, eq=False)
class Weights:
    """Every row of a listing at one theta, under one family.

    Attributes
    ----------
    log_weight
        (K,), natural log, all programs and fact choices of the row together, relative to ``base``;
        -inf where the program may not be selected or does not fit.
    bits, steps, penalty, cost
        (K,): of the choice of facts of least cost. ``cost`` is the penalty and what is lost in
        training, in bits; inf where ``log_weight`` is -inf.
    class_index
        int64 (K,): position in `model.CLASSES`.
    """

    base: Base
    log_weight: Floats
    bits: Floats
    steps: Floats
    penalty: Floats
    cost: Floats
    class_index: NDArray[np.int64]

    def log_class_sums(self) -> Floats:
        """Log of the weight listed by class, (3,); -inf where there is none."""
        return np.array([_log_sum(self.log_weight[self.class_index == k]) for k in range(3)])


class At:
    """One theta and family: what programs pay, relative to what all of them pay.

    ``cheapest`` are the programs that hold, for every program of a grammar, one of the same
    behaviour that makes no larger payment (`frontier.frontier`); None where they are not known.
    """

    def __init__(self, model: Model, family: Family, theta: Theta, cheapest: Listing | None):
        self.model, self.family, self.theta, self.cheapest = model, family, theta, cheapest
        self.parameters = parameters(family, theta)
        self.pressure = float(theta["pressure"][0])
        self.bits, self.steps = theta["bits"][0], _undisputed_steps(model, theta)

    def base(self, listing: Listing) -> Base:
        """Payments that every program makes that may be selected, and steps of the shortest run."""
        rows = listing if self.cheapest is None else self.cheapest
        able = _eligible(self.model, rows.objectives)[rows.train]
        if not able.any():
            raise InputError(
                f"a program must pursue {self.model.base_objective} in training, or an objective "
                "whose loss is declared; found none"
            )
        stores, runs = (x[able].min(axis=0) for x in (rows.stores, rows.runs))
        extra = float(self._steps_beyond(rows, runs)[able].min())
        if self.family.name == "levin" and not float(runs @ self.steps) + extra > 0.0:
            raise InputError(
                "exchange.levin: every program must run for more than 0 steps, found one that runs "
                "for none"
            )
        return Base(stores, runs, extra)

    def weights(self, listing: Listing, base: Base | None = None) -> Weights:
        """Weights and costs of every row, relative to ``base`` or to that of the listing.

        Raises
        ------
        InputError
            If a program runs for no step under levin.
        RefusedError
            If facts would have to be summed one by one and there are too many.
        """
        base = self.base(listing) if base is None else base
        bits, steps = self._beyond(listing, base)
        full_bits = bits + float(base.stores @ self.bits)
        full_steps = steps + float(base.runs @ self.steps)
        facts = self._facts(full_bits, full_steps, listing.uses)
        loss = self._loss(listing.objectives)[listing.train]
        fits = facts.fits & _eligible(self.model, listing.objectives)[listing.train]
        relative = bits + self._added(base, steps)
        log_weight = np.log(listing.count) - self._nats(relative) - loss + facts.log_factor
        loss_bits = loss / (self.pressure * LN2)
        best_bits, best_steps = full_bits + facts.bits, full_steps + facts.steps
        scalars = {n: float(np.ravel(x)[0]) for n, x in self.parameters.items()}
        return Weights(
            base=base,
            log_weight=np.where(fits, log_weight, -np.inf),
            bits=best_bits,
            steps=best_steps,
            penalty=np.asarray(penalty(self.family.name, scalars, best_bits, best_steps)),
            cost=np.where(fits, relative + facts.least + loss_bits, np.inf),
            class_index=_class_index(self.model, listing.objectives, listing.train, listing.deploy),
        )

    def hull(self, listing: Listing, weights: Weights) -> Flags | None:
        """Whether each row lies on the lower hull of steps and bits, lost bits included, (K,).

        What lies above it is of least cost under no exchange rate, listed or not. None where facts
        tie programs to a limit, or do not add the same to all: the hull then decides nothing.
        """
        selection, facts = self.model.selection, len(self.model.facts)
        limited = selection.cap is not None or selection.max_bits is not None
        if facts and (limited or len(np.unique(listing.uses)) > 1):
            return None
        bits, steps = self._beyond(listing, weights.base)
        lost = self._loss(listing.objectives)[listing.train] / (self.pressure * LN2)
        return _on_lower_hull(steps, bits + lost, np.isfinite(weights.cost))

    def remainder(self, listing: Listing, base: Base) -> Floats:
        """Log of a bound on the weight of all programs that are not listed, by class, (3,)."""
        grammar, cheapest = self.model.grammar, self.cheapest
        if listing.complete or grammar is None:
            return np.full(3, -np.inf)
        if cheapest is None:
            return np.full(3, np.inf)
        mass = unlisted_prior_mass(listing, grammar, self.pressure)
        # No program that is left has fewer rule bits than this; it matters to a capacity.
        least = replace(cheapest, rule_bits=np.full(len(cheapest), listing.up_to_bits))
        weights = self.weights(least, base)
        log_rest = weights.log_weight + self._nats(listing.up_to_bits) + _SLACK
        best = np.full(mass.shape, -np.inf)
        np.maximum.at(best, (cheapest.train, cheapest.deploy), log_rest)
        with np.errstate(divide="ignore"):
            log_bound = np.log(mass) + best
        index = _class_index(self.model, grammar.objectives, *np.indices(mass.shape))
        return np.array([_log_sum(log_bound[index == k]) for k in range(3)])

    def shift(self, found: Base, wanted: Base) -> float:
        """What to add to a log weight relative to ``found`` to have it relative to ``wanted``."""
        bits = float((wanted.stores - found.stores) @ self.bits)
        more = float((wanted.runs - found.runs) @ self.steps)
        more += wanted.extra_steps - found.extra_steps
        least = found if more >= 0.0 else wanted
        start = np.full(1, float(least.runs @ self.steps) + least.extra_steps)
        added = added_penalty(self.family.name, self.parameters, start, np.full(1, abs(more)))
        return float(self._nats(bits + np.copysign(float(added[0]), more)))

    def _beyond(self, listing: Listing, base: Base) -> tuple[Floats, Floats]:
        """Bits and steps of every row beyond what all programs pay."""
        bits = listing.rule_bits + np.einsum("kc,c->k", listing.stores - base.stores, self.bits)
        return bits, np.maximum(self._steps_beyond(listing, base.runs), base.extra_steps)

    def _nats(self, bits: Any) -> Any:
        return self.pressure * LN2 * bits

    def _added(self, base: Base, steps: Floats) -> Floats:
        """Phi(0, t) - Phi(0, t of the base), bits."""
        start = np.full(1, float(base.runs @ self.steps) + base.extra_steps)
        added = steps - base.extra_steps
        return np.asarray(added_penalty(self.family.name, self.parameters, start, added))

    def _steps_beyond(self, listing: Listing, runs: Floats) -> Floats:
        steps = np.einsum("kc,c->k", listing.runs - runs, self.steps)
        index, theta = self.model.component_index, self.theta
        for k, overlap in enumerate(self.model.overlaps):
            one, inside = (index[name] for name in (overlap.component, overlap.inside))
            alone = np.maximum(listing.runs[:, one] - listing.runs[:, inside], 0.0)
            steps += alone * (theta["overlap_fraction"][0, k] * theta["steps"][0, one])
        return np.asarray(steps)

    def _loss(self, objectives: tuple[str, ...]) -> Floats:
        names = list(self.model.losses)
        lost = self.theta["loss"][0]
        each = [float(lost[names.index(o)]) if o in names else 0.0 for o in objectives]
        return self.model.selection.episodes * np.array(each)

    def _facts(self, bits: Floats, steps: Floats, uses: Floats) -> _FactPart:
        """What the facts add to programs of these bits and steps; which programs fit at all."""
        selection, facts = self.model.selection, self.model.facts
        if not len(facts):
            fits = np.ones(len(bits), bool)
            if selection.cap is not None:
                fits &= steps <= selection.cap
            if selection.max_bits is not None:
                fits &= bits <= selection.max_bits
            nothing = np.zeros(len(bits))
            return _FactPart(nothing, nothing, nothing, nothing, fits)
        return _facts_at_once(self, bits, steps, uses)


def _on_lower_hull(steps: Floats, bits: Floats, fits: Flags) -> Flags:
    """Which points minimise bits + x steps for some x > 0; equal points all do."""
    found = np.zeros(len(bits), bool)
    order = np.lexsort((bits, steps))
    corners: list[int] = []
    for k in order[fits[order]].tolist():
        if corners and bits[k] >= bits[corners[-1]]:
            continue
        while len(corners) > 1 and _above(steps, bits, corners[-2], corners[-1], k):
            corners.pop()
        corners.append(k)
    for k in corners:
        found |= fits & (steps == steps[k]) & (bits == bits[k])
    return found


def _above(steps: Floats, bits: Floats, left: int, middle: int, right: int) -> bool:
    rise = (bits[middle] - bits[left]) * (steps[right] - steps[left])
    return bool(rise > (bits[right] - bits[left]) * (steps[middle] - steps[left]))


def unlisted_prior_mass(listing: Listing, grammar: Grammar, pressure: float) -> Floats:
    """Sum of 2^(-pressure rule bits) over the programs not listed, by behaviour, (O, O).

    From above, by no more than 1e-13 of the whole. 0 where the listing is complete.
    """
    size = len(grammar.objectives)
    if listing.complete:
        return np.zeros((size, size))
    whole = prior_mass(grammar, pressure)
    known = np.zeros((size, size))
    share = listing.count * np.exp2(-pressure * listing.rule_bits)
    np.add.at(known, (listing.train, listing.deploy), share)
    return np.maximum(whole - known, 0.0) + 1e-14 * whole


@dataclass(frozen=True, eq=False)
class _FactPart:
    """Log factor of the choices of facts; least penalty they add, with its bits and steps."""

    log_factor: Floats
    least: Floats
    bits: Floats
    steps: Floats
    fits: Flags


def _facts_at_once(at: At, bits: Floats, steps: Floats, uses: Floats) -> _FactPart:
    """Facts depend on a program through its steps (and bits, where these are limited) alone."""
    limited = at.model.selection.max_bits is not None
    rows = np.column_stack([steps, uses, bits if limited else np.zeros(len(bits))])
    unique, back = np.unique(rows, axis=0, return_inverse=True)
    back = back.reshape(-1)
    parts = []
    for value in np.unique(unique[:, 1]):
        mine = unique[:, 1] == value
        parts.append((mine, _facts_of(at, unique[mine, 2], unique[mine, 0], value)))
    whole = [np.empty(len(unique)) for _ in range(4)]
    for mine, part in parts:
        for out, found in zip(whole, part, strict=True):
            out[mine] = found
    log_factor, least, added_bits, added_steps = (x[back] for x in whole)
    return _FactPart(log_factor, least, added_bits, added_steps, np.isfinite(log_factor))


def _facts_of(at: At, bits: Floats, steps: Floats, uses: float) -> tuple[Floats, ...]:
    model, theta = at.model, at.theta
    fact = {n: np.ascontiguousarray(theta[n], dtype=float) for n in ("fact_bits", "fact_steps")}
    shared: dict[str, Any] = {
        "parameters": {n: np.asarray(x, dtype=float) for n, x in at.parameters.items()},
        "steps": steps[None, :],
        "uses": np.full(len(steps), uses),
        **fact,
    }
    pressure = np.array([at.pressure])
    selection = model.selection
    if not model.facts.depend and selection.cap is None and selection.max_bits is None:
        sums = log_fact_factor(at.family.name, pressure=pressure, **shared)
        least = least_fact_penalty(at.family.name, **shared)
        return (sums.log_factor[0], *(x[0] for x in least))
    if len(model.facts) > MAX_FACTS:
        raise RefusedError(
            f"{len(model.facts)} facts that need one another, or stand under selection.cap or "
            f"selection.max_bits: their choices are listed one by one, for at most {MAX_FACTS}"
        )
    found = choice_sums(
        at.family.name, pressure=pressure, bits=bits[None, :], needs=model.facts.needs,
        cap=selection.cap, max_bits=selection.max_bits, **shared,
    )  # fmt: skip
    return found.log_factor[0], found.least[0], found.bits[0], found.steps[0]


def _undisputed_steps(model: Model, theta: Theta) -> Floats:
    """Steps of each component less the fractions that may lie inside others, (C,)."""
    steps = np.array(theta["steps"][0], dtype=float)
    for k, overlap in enumerate(model.overlaps):
        one = model.component_index[overlap.component]
        steps[one] -= theta["overlap_fraction"][0, k] * theta["steps"][0, one]
    return steps


def _class_index(model: Model, objectives: tuple[str, ...], train: Any, deploy: Any) -> Any:
    base = np.array([o == model.base_objective for o in objectives], bool)
    pretending = np.where(base[deploy], CLASSES.index(HONEST), CLASSES.index(DECEPTIVE))
    return np.where(base[train], pretending, CLASSES.index(MISALIGNED))


def _log_sum(logs: Floats) -> float:
    top = float(logs.max(initial=-np.inf))
    if not np.isfinite(top):
        return top
    return top + float(np.log(np.exp(logs - top).sum()))
