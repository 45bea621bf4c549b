"""Prior draws of several models on the same random numbers.

Each slot has a stream of its own, named after it: two models that believe the same of a quantity
draw the same values of it, and where they believe otherwise the values move together. A difference
between the models then has the error of what differs, not of two unrelated samples (Glasserman and
Yao 1992, *Some guidelines and guarantees for common random numbers*).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Model
from bayes_mesa.domain.slots import Slot
from bayes_mesa.errors import InputError
from bayes_mesa.verdicts.prior_draws import LEAST_ACCEPTANCE, copula_matrix, correlated_names, slack

Arrays = dict[str, np.ndarray]

#: Rounds in which a draw keeps to its own place; later a block serves whichever draws are missing.
_OWN_ROUNDS = 24
_TRIAL = 200_000


@dataclass(frozen=True, eq=False)
class CommonDraws:
    """Draws of slots from streams that a seed, a scope and the slot's name decide.

    ``num_draws`` draws each; ``seed`` a whole number ≥ 0.
    """

    num_draws: int
    seed: int
    _kept: Arrays = field(default_factory=dict, repr=False)

    def of(self, model: Model, slots: Sequence[Slot], scope: str) -> Arrays:
        """Draws ∝ Π p · copula · 1[constraints hold], (num_draws,) or (num_draws, size) each.

        Where constraints refuse a draw, it is drawn again at its own place from the next round of
        every slot's stream: so draws that both of two models accept stay the same.

        Parameters
        ----------
        slots
            All that the constraints and correlations of ``model`` mention must be among them.
        scope
            Streams of different scopes are independent: the name of an exchange family.

        Raises
        ------
        InputError
            When fewer than one draw in ten thousand satisfies the constraints.
        """
        tied = _tied(model) & {s.name for s in slots}
        free = self._round(model, [s for s in slots if s.name not in tied], scope, 0)
        return free | self._holding(model, [s for s in slots if s.name in tied], scope)

    def _holding(self, model: Model, tied: Sequence[Slot], scope: str) -> Arrays:
        if not tied:
            return {}
        values = self._round(model, tied, scope, 0)
        missing = np.flatnonzero(~_holds(model, values))
        tried, accepted, number = self.num_draws, self.num_draws - missing.size, 1
        while missing.size:
            again = self._round(model, tied, scope, number)
            holds = _holds(model, again)
            tried, accepted = tried + holds.size, accepted + int(holds.sum())
            if tried >= _TRIAL and accepted < LEAST_ACCEPTANCE * tried:
                raise InputError(
                    f"constraints must hold for at least {LEAST_ACCEPTANCE:g} of the prior, but "
                    f"held for {accepted} of {tried} draws: "
                    + "; ".join(map(str, model.constraints))
                )
            source = missing[holds[missing]]
            target = source
            if number > _OWN_ROUNDS:
                source = np.flatnonzero(holds)[: missing.size]
                target = missing[: source.size]
            for name, x in again.items():
                values[name][target] = x[source]
            missing = np.setdiff1d(missing, target, assume_unique=True)
            number += 1
        return values

    def _round(self, model: Model, slots: Sequence[Slot], scope: str, number: int) -> Arrays:
        """One candidate per draw, constraints not looked at."""
        correlated = [n for n in correlated_names(model) if n in {s.name for s in slots}]
        uncertain = {s.name for s in slots if s.uncertain}
        together = [n for n in correlated if n in uncertain]
        scores = {}
        if together:
            factor = np.linalg.cholesky(copula_matrix(model, together))
            independent = np.stack(
                [self._normal(n, None, scope, number) for n in together], axis=-1
            )
            scores = dict(zip(together, np.einsum("nk,jk->jn", independent, factor), strict=True))
        return {s.name: self._value(s, scores.get(s.name), scope, number) for s in slots}

    def _value(self, slot: Slot, score: np.ndarray | None, scope: str, number: int) -> np.ndarray:
        if isinstance(slot.belief, Known):
            shape = (self.num_draws, *([slot.size] if slot.size else []))
            return np.full(shape, slot.belief.value)
        if score is not None:
            return np.array(slot.belief.at_score(score))
        # Quantiles of some forms are dear, and most slots are the same in all the models compared.
        key = f"{scope}\0{slot.name}\0{slot.size}\0{number}\0{slot.belief!r}"
        if key not in self._kept:
            normal = self._normal(slot.name, slot.size, scope, number)
            self._kept[key] = np.asarray(slot.belief.at_score(normal))
        return self._kept[key].copy()

    def _normal(self, name: str, size: int | None, scope: str, number: int) -> np.ndarray:
        """Standard normals, (num_draws,) or (num_draws, size); a longer vector begins the same."""
        digest = hashlib.sha256(f"{scope}\0{name}\0{number}".encode()).digest()
        words = np.frombuffer(digest, dtype="<u4").tolist()
        stream = np.random.SeedSequence([self.seed, *words])
        rng = np.random.Generator(np.random.PCG64(stream))
        if size is None:
            return rng.standard_normal(self.num_draws)
        return np.ascontiguousarray(rng.standard_normal((size, self.num_draws)).T)


def _tied(model: Model) -> set[str]:
    """Slots that the constraints look at, directly or through a copula or heuristics."""
    if not model.constraints:
        return set()
    seen = {str(q) for c in model.constraints for q in (*c.larger, *c.smaller)}
    return seen | set(correlated_names(model)) | {"heuristics_bits", "heuristics_steps"}


def _holds(model: Model, values: Arrays) -> np.ndarray:
    every = np.ones(len(next(iter(values.values()))), dtype=bool)
    for constraint in model.constraints:
        every &= slack(model, constraint, values) >= 0
    return every
