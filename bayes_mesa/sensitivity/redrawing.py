"""One belief drawn anew at every draw, given all the others.

From the prior itself, where the draws are the prior's: its Gaussian copula and its constraints.
From the draws otherwise: a Gaussian copula with their own ranks' correlations (as Kucherenko,
Tarantola and Annoni 2012 take for dependent inputs), and the constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import slots
from bayes_mesa.verdicts.prior_draws import copula_matrix, correlated_names, slack

Draws = NDArray[np.float64]
#: Times that a value is drawn again until the constraints hold; what is left keeps its old value.
_ROUNDS = 64
#: The score of a draw at the very end of its support, which would be infinite.
_FAR = 8.0


@dataclass(frozen=True, eq=False)
class Redraw:
    """Draws anew, one slot at a time.

    Attributes
    ----------
    model
        Whose constraints hold.
    values
        Slot → (N,) or, for facts, (N, n): all slots of one family.
    scores
        Normal scores of the slots that hang together, (N, K), and their ``names``.
    matrix
        Their correlations, (K, K).
    at_score
        Slot → its quantile at Φ(z), of the prior or of the draws.
    """

    model: Model
    values: Mapping[str, Draws]
    names: tuple[str, ...]
    scores: Draws
    matrix: Draws
    at_score: Mapping[str, Callable[[Draws], Draws]]

    @classmethod
    def from_prior(cls, model: Model, family: Family, values: Mapping[str, Draws]) -> Redraw:
        """Exact, for draws of the prior."""
        beliefs = {
            s.name: s.belief for s in slots(model, family) if not isinstance(s.belief, Known)
        }
        names = tuple(n for n in correlated_names(model) if n in beliefs)
        scores = [np.clip(beliefs[n].score(values[n]), -_FAR, _FAR) for n in names]
        matrix = copula_matrix(model, names)
        at_score = {n: b.at_score for n, b in beliefs.items()}
        return cls(model, values, names, _columns(scores, values), matrix, at_score)

    @classmethod
    def from_draws(cls, model: Model, family: Family, values: Mapping[str, Draws]) -> Redraw:
        """By a Gaussian copula fitted to the draws; facts as if independent of all else.

        Costs that a constraint ties are held to it twice, by their ranks' correlation and by what
        is drawn again: the dependence is somewhat too strong, and total effects too small.
        """
        varying = [s.name for s in slots(model, family) if np.ptp(values[s.name]) > 0.0]
        names = tuple(n for n in varying if values[n].ndim == 1)
        scores = [_normal_scores(values[n]) for n in names]
        matrix: Draws = np.eye(len(names))
        if len(names) > 1:
            matrix = np.asarray(np.corrcoef(_columns(scores, values), rowvar=False))
        at_score = {n: _quantiles(values[n]) for n in varying}
        return cls(model, values, names, _columns(scores, values), matrix, at_score)

    def __call__(self, name: str, rng: np.random.Generator) -> dict[str, Draws]:
        """All values, with those of one slot drawn anew given the others.

        A slot of which all draws are the same value keeps it: nothing else is known of it.
        """
        old = self.values[name]
        if name not in self.at_score:
            return dict(self.values)
        found = self._drawn(name, np.arange(len(old)), rng)
        missing = np.flatnonzero(~self._holds(name, found))
        for _ in range(_ROUNDS):
            if not missing.size:
                break
            found[missing] = self._drawn(name, missing, rng)
            missing = missing[~self._holds(name, found)[missing]]
        found[missing] = old[missing]
        return {**self.values, name: found}

    def _drawn(self, name: str, rows: NDArray[np.int64], rng: np.random.Generator) -> Draws:
        z = rng.standard_normal((rows.size, *self.values[name].shape[1:]))
        if name in self.names:
            k = self.names.index(name)
            # Given the others, z_k ~ N(−Σ_j Q_kj z_j/Q_kk, 1/Q_kk) with Q the precision.
            precision = np.linalg.inv(self.matrix + 1e-9 * np.eye(len(self.names)))[k]
            own = precision[k]
            pull = self.scores[rows] @ precision - own * self.scores[rows, k]
            z = -pull / own + z / np.sqrt(own)
        return np.array(self.at_score[name](z), dtype=float)

    def _holds(self, name: str, found: Draws) -> NDArray[np.bool_]:
        holds = np.ones(len(found), dtype=bool)
        for constraint in self.model.constraints:
            holds &= slack(self.model, constraint, {**self.values, name: found}) >= 0.0
        return holds


def _columns(scores: list[Draws], values: Mapping[str, Draws]) -> Draws:
    size = len(next(iter(values.values())))
    return np.column_stack(scores) if scores else np.zeros((size, 0))


def _normal_scores(x: Draws) -> Draws:
    from scipy.special import ndtri

    return np.asarray(ndtri((np.argsort(np.argsort(x)) + 0.5) / len(x)))


def _quantiles(x: Draws) -> Callable[[Draws], Draws]:
    ordered = np.sort(x.ravel())

    def at(z: Draws) -> Draws:
        from scipy.special import ndtr

        return np.asarray(
            ordered[np.minimum((ndtr(z) * ordered.size).astype(int), ordered.size - 1)]
        )

    return at
