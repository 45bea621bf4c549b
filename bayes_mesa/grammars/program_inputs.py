"""What the kernels over a grammar's programs are given: equations once, and costs by draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_mesa._ext import program_sums as kernel
from bayes_mesa.costing.exchange import LN2
from bayes_mesa.costing.fact_sums import LEAST_POWER, MOST_EXPONENT, refuse_beyond
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import parameters
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars.inside import System
from bayes_mesa.grammars.reduced_system import ReducedSystem

Floats = NDArray[np.float64]

FAMILY_NUMBER = {"linear": 0, "levin": 1, "power": 2}
#: Linear rates that one draw may need.
ROOM = 8192
#: Nats of penalty that no weight notices.
_LEAST_PENALTY = 2.0**-60
#: Nats of one cost, and steps of one in units of the reference's, above which they are clipped.
_LARGEST, _LONGEST = 1e300, 1e250
#: Steps of what all programs take, clipped so that sums stay finite.
_WHOLE = 1e306
#: Below this log weight a class may owe its weight to clipped nats.
_CLIPPED = -1e290


@dataclass(frozen=True, eq=False)
class Plan:
    """A model's equations as the kernels want them; ``arrays`` is their first argument list."""

    system: System
    reduced: ReducedSystem
    arrays: tuple[Any, ...]
    coins: NDArray[np.int64]
    availability: NDArray[np.int64]
    case_start: NDArray[np.int64]

    @classmethod
    def of(cls, model: Model) -> Plan:
        """The plan of a model, kept for the models last used.

        Raises
        ------
        RefusedError
            If the model's sums do not factorise, with the reason.
        InputError
            If no program may be selected.
        """
        return _plan(model)

    def work(self, room: int = ROOM) -> tuple[Floats, NDArray[np.int32]]:
        """Fresh work arrays for one thread."""
        s = self.reduced
        doubles, ints = kernel.work_needed(len(s.block), len(s.target), s.args.shape[1], room)
        return np.empty(doubles), np.empty(ints, np.int32)


def refuse_what_does_not_factorise(model: Model) -> None:
    """Raise `RefusedError` where sums over a grammar's programs do not factorise."""
    reasons = {
        "facts that need one another": model.facts.depend,
        "selection.cap": model.selection.cap is not None,
        "selection.max_bits": model.selection.max_bits is not None,
        "overlaps of running times": bool(model.overlaps),
    }
    for what, present in reasons.items():
        if present:
            raise RefusedError(
                f"{what}: the weights of a grammar's programs then do not factorise over their "
                "rules, and exact sums are refused; programs can be sampled"
            )


@lru_cache(maxsize=8)
def _plan(model: Model) -> Plan:
    refuse_what_does_not_factorise(model)
    s = System.of(model)
    reduced = ReducedSystem.of(s)
    alive = [np.flatnonzero(row) for row in reduced.alive]
    starts = np.cumsum([0, *map(len, alive)])
    availability = [len(c.availability) for c in s.cases]

    def ints(x: Any) -> NDArray[np.int32]:
        return np.ascontiguousarray(x, np.int32)

    arrays = (
        ints(reduced.args), ints(reduced.target), ints(reduced.block), ints(reduced.kind),
        ints(starts), ints(np.concatenate(alive)), ints(reduced.roots), ints(s.root_class),
        int(np.argmax([len(a) for a in alive])),
    )  # fmt: skip
    return Plan(
        s,
        reduced,
        arrays,
        np.flatnonzero(s.most),
        np.concatenate([c.availability for c in s.cases]),
        np.cumsum([0, *availability[:-1]]),
    )


def mandatory_steps(model: Model, theta: Mapping[str, Any]) -> Floats:
    """Steps that every program which may be selected takes, (N,)."""
    return np.einsum("nk,k->n", theta["steps"], Plan.of(model).system.mandatory_runs.astype(float))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Costs of terms, roots and cases for every draw, made block by block."""

    plan: Plan
    family: str
    pressure: Floats
    bits: Floats
    steps: Floats
    loss: Floats
    fact_bits: Floats
    fact_steps: Floats
    first: Floats
    second: Floats
    shared: Floats
    added: Floats
    unit: Floats
    longest: Floats

    @classmethod
    def of(
        cls,
        model: Model,
        plan: Plan,
        family: Family,
        theta: Mapping[str, Any],
        reference_added: ArrayLike,
    ) -> Inputs:
        """The inputs of N draws of theta; ``reference_added`` as for `class_sums`."""
        pressure = np.asarray(theta["pressure"], float)
        size = len(pressure)
        added = np.broadcast_to(np.asarray(reference_added, float), (size,))
        if not (added >= 0.0).all():
            raise InputError(f"reference_added must be >= 0, found {added[~(added >= 0.0)][0]}")
        shared = np.minimum(mandatory_steps(model, theta), _WHOLE)
        chosen = {n: np.asarray(x, float) for n, x in parameters(family, theta).items()}
        second, unit, longest = np.ones(size), np.ones(size), np.full(size, _LONGEST)
        if family.name == "linear":
            with np.errstate(over="ignore"):
                per_step = pressure * LN2 / chosen["rate"]
            refuse_beyond(
                "nats per step, the pressure over the rate,", per_step, _LARGEST, "the rate"
            )
            first = per_step
            longest = _LARGEST / np.maximum(first, 1.0)
        elif family.name == "levin":
            first, unit = _clipped(pressure, chosen["kappa"]), shared + added
            first = np.where(first < LEAST_POWER, 0.0, first)
            # A reference of no steps has no penalty to be measured from.
            unit = np.where(unit > 0.0, unit, 1.0)
        else:
            rate, second = chosen["rate"], chosen["exponent"]
            # Time is raised by what no weight notices, so that a program of no steps is no case of
            # its own: penalties are subadditive.
            refuse_beyond("an exponent", second, MOST_EXPONENT, "the exponent")
            with np.errstate(over="ignore"):
                raised = rate * (_LEAST_PENALTY / (pressure * LN2)) ** second
            shared = np.minimum(shared + raised, _WHOLE)
            unit = shared + added
            root = 1.0 / second
            with np.errstate(over="ignore", divide="ignore"):
                first = np.minimum(pressure * LN2 * unit**root / rate**root, _LARGEST)
        loss = np.hstack([np.asarray(theta["loss"], float), np.zeros((size, 1))])
        return cls(
            plan, family.name, pressure, np.asarray(theta["bits"], float),
            np.asarray(theta["steps"], float), model.selection.episodes * loss,
            np.asarray(theta["fact_bits"], float), np.asarray(theta["fact_steps"], float),
            first, second, shared / unit, added / unit, unit, longest,
        )  # fmt: skip

    @property
    def num_facts(self) -> int:
        """How many facts a program stores or derives."""
        return int(self.fact_bits.shape[1])

    def unsure(self, log_weight: Floats) -> NDArray[np.bool_]:
        """Classes whose log weights, (N, 3), hang on a cost that was clipped, (N, 3)."""
        with np.errstate(over="ignore"):
            held = np.hstack([self.bits, self.fact_bits]) * (LN2 * self.pressure[:, None])
            steps = np.hstack([self.steps, self.fact_steps])
            taken = steps / self.unit[:, None]
        dear = (held >= _LARGEST).any(axis=1)
        slow = ((taken > self.longest[:, None]) | (steps > _LARGEST)).any(axis=1)
        slow |= self.first >= _LARGEST
        # Under linear a clipped time is clipped nats, unless the rate is small.
        nats = (self.family == "linear") & (self.first >= 1.0)
        far = (dear | (slow & nats))[:, None] & (log_weight <= _CLIPPED)
        return (far | (slow & ~nats)[:, None]) & np.isfinite(log_weight)

    def arrays(self, part: slice) -> tuple[Any, ...]:
        """The kernels' second argument list."""
        s, reduced = self.plan.system, self.plan.reduced
        nats = LN2 * self.pressure[part]
        bits, steps = _clipped(nats[:, None], self.bits[part]), self._scaled(self.steps, part)
        cost = _clipped(nats[:, None], reduced.rule_bits) + _counted(bits, reduced.stores)
        root_cost = _counted(bits, s.root_stores) + self.loss[part][:, s.root_objective]
        log_case = self._log_case(bits)
        scalar = np.stack([x[part] for x in (self.first, self.second, self.shared, self.added)], 1)
        return (
            FAMILY_NUMBER[self.family], cost, _counted(steps, reduced.runs), root_cost,
            _counted(steps, s.root_runs), log_case,
            np.argsort(-log_case, axis=1, kind="stable").astype(np.int32),
            np.ascontiguousarray(scalar), _padded(_clipped(nats[:, None], self.fact_bits[part])),
            _padded(self._scaled(self.fact_steps, part)), self.num_facts,
        )  # fmt: skip

    def _scaled(self, steps: Floats, part: slice) -> Floats:
        with np.errstate(over="ignore"):
            return np.minimum(steps[part] / self.unit[part, None], self.longest[part, None])

    def _log_case(self, nats: Floats) -> Floats:
        """Log of the probability that the coins leave each case, (n, K)."""
        plan = self.plan
        found = np.zeros((len(nats), len(plan.availability)))
        for k in plan.coins:
            with np.errstate(divide="ignore"):
                less = np.log(-np.expm1(-nats[:, k]))
            count = plan.availability[:, k]
            found -= nats[:, k : k + 1] * count
            found += np.where(count < plan.system.most[k], less[:, None], 0.0)
        return np.ascontiguousarray(np.logaddexp.reduceat(found, plan.case_start, axis=1))


def _clipped(x: Floats, y: Floats) -> Floats:
    # A product that overflowed would be NaN times a count of 0.
    with np.errstate(over="ignore"):
        return np.minimum(x * y, _LARGEST)


def _counted(costs: Floats, counts: NDArray[np.int64]) -> Floats:
    # einsum, not matmul: a BLAS may sum in an order that depends on the number of threads.
    return np.ascontiguousarray(np.einsum("nk,tk->nt", costs, counts.astype(float)))


def _padded(x: Floats) -> Floats:
    return np.ascontiguousarray(x) if x.shape[1] else np.zeros((len(x), 1))
