"""How draws of different slots hang together, by the correlation of their normal scores.

Scores z = Φ⁻¹((rank − ½)/N) are standard normal whatever the margins: their correlations are the
parameters of a Gaussian copula, the one dependence that a model file can state, and only of costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayes_mesa.domain.model import Correlation, Quantity

Draws = Mapping[str, np.ndarray]

#: Correlations within so many standard errors of 0 are noise: with 100 pairs, 1 run in 150 has one.
_ERRORS = 4.0
#: Most costs between which a model file states correlations.
_MOST = 1000
_STRONGEST = 0.999
_LEAST_EIGENVALUE = 1e-6


@dataclass(frozen=True)
class Dependence:
    """Correlation ``rho`` of the normal scores of two slots, in one family's draws."""

    between: tuple[str, str]
    rho: float
    family: str


def scores(draws: np.ndarray) -> np.ndarray:
    """Normal scores of draws, in the shape of the draws; ties share theirs."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return ndtri((rankdata(draws).reshape(draws.shape) - 0.5) / draws.size)


def score_correlations(draws: Draws) -> np.ndarray:
    """Correlation matrix of the normal scores, (K, K), of draws of one shape each."""
    if len(draws) < 2:
        return np.eye(len(draws))
    return np.corrcoef([scores(x).ravel() for x in draws.values()])


def noise(draws: Draws) -> np.ndarray:
    """Correlation below which nothing is told from chance, (K, K), for draws (chains, draws).

    The standard error of a correlation near 0 is 1/√ESS, with the smaller ESS of the two.
    """
    from arviz_stats.base import array_stats

    sizes = np.array(
        [
            float(array_stats.ess(scores(x), chain_axis=0, draw_axis=1, method="mean"))
            for x in draws.values()
        ]
    )
    # With too few draws for an estimate, every correlation is noise.
    sizes = np.where(np.isfinite(sizes), sizes, 1.0)
    return _ERRORS / np.sqrt(np.minimum(sizes[:, None], sizes[None, :]))


def stated(names: Sequence[str], matrix: np.ndarray, least: np.ndarray) -> tuple[Correlation, ...]:
    """The correlations of costs that stand out, as a model file may state them.

    Those below ``least`` are left out. What remains must be a positive definite matrix: where it is
    not, all correlations are drawn towards 0 by the same factor, the largest that will do.
    """
    kept = np.where(np.abs(matrix) > least, np.clip(matrix, -_STRONGEST, _STRONGEST), 0.0)
    strongest = np.sort(np.abs(kept[np.triu_indices(len(names), 1)]))[::-1]
    if strongest.size > _MOST // 2:  # so many pairs name at most _MOST costs
        kept = np.where(np.abs(kept) > strongest[_MOST // 2], kept, 0.0)
    np.fill_diagonal(kept, 1.0)
    kept = _positive_definite(kept)
    return tuple(
        Correlation((_quantity(names[i]), _quantity(names[j])), float(f"{kept[i, j]:.6g}"))
        for i, j in combinations(range(len(names)), 2)
        if kept[i, j] != 0.0
    )


def _positive_definite(matrix: np.ndarray) -> np.ndarray:
    lowest = float(np.linalg.eigvalsh(matrix)[0]) if len(matrix) else 1.0
    if lowest >= _LEAST_EIGENVALUE:
        return matrix
    # Eigenvalues of (1 − s) R + s I are (1 − s) λ + s.
    share = (_LEAST_EIGENVALUE - lowest) / (1.0 - lowest)
    return (1.0 - share) * matrix + share * np.eye(len(matrix))


def _quantity(name: str) -> Quantity:
    axis, _, component = name.partition(".")
    return Quantity("bits" if axis == "bits" else "steps", component)


def unstated(draws: Draws, held: Draws, costs: frozenset[str], family: str) -> list[Dependence]:
    """Correlations that stand out between slots of which one at least is no cost.

    ``held`` are draws (M,) of the slots that the next model's constraints tie: what these make of
    heuristics is not lost, and is subtracted.
    """
    names = list(draws)
    tied = [n for n in names if n in held]
    again = score_correlations({n: held[n] for n in tied})
    matrix, least = score_correlations(draws), noise(draws)
    place = np.ix_([names.index(n) for n in tied], [names.index(n) for n in tied])
    matrix[place] -= again
    return [
        Dependence((names[i], names[j]), float(matrix[i, j]), family)
        for i, j in combinations(range(len(names)), 2)
        if not {names[i], names[j]} <= costs and abs(matrix[i, j]) > least[i, j]
    ]


def on_the_family(draws: Draws, labels: np.ndarray) -> list[Dependence]:
    """Slots whose draws differ between families, by the correlation ratio of their scores."""
    found = []
    names = np.unique(labels)
    for slot, x in draws.items():
        z = scores(x)
        means = np.array([z[labels == name].mean() for name in names])
        shares = np.array([np.mean(labels == name) for name in names])
        ratio = math.sqrt(float(shares @ means**2) / float(np.mean(z**2)))
        least = float(noise({slot: x})[0, 0]) * math.sqrt(max(1, len(names) - 1))
        if ratio > least:
            found.append(Dependence((slot, "family"), ratio, "the average"))
    return found
