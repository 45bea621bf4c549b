"""How much of a variance an input carries: by itself, and with all it does through others.

First order, S = Var(E[Y | X])/Var(Y): the part that goes, on average, once X is known. Total
effect, T = E[Var(Y | all but X)]/Var(Y): the part that stays as long as X alone is unknown. Both
are defined for dependent inputs too (where T may be below S); for independent ones S ≤ T, and the
difference is what X does together with others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.beliefs import Z95
from bayes_mesa.errors import InputError
from bayes_mesa.verdicts.estimand import finite

Draws = NDArray[np.float64]
#: How far apart in rank two draws are that count as the same value of X.
_NEAR = 4
#: Fewest draws, and most inputs, for SALib's HDMR; it looks at 300 or more of them at a time.
HDMR_DRAWS, _HDMR_INPUTS = 400, 8
_HDMR_PART = 0.75


@dataclass(frozen=True, eq=False)
class Mixture:
    """Where the draws come from: populations whose probabilities are themselves estimates.

    Attributes
    ----------
    label
        Population of every draw, whole numbers from 0, (N,).
    covariance
        Of the errors of their probabilities, (F, F).
    """

    label: NDArray[np.int64]
    covariance: Draws

    def among(self, kept: NDArray[np.bool_]) -> Mixture:
        """Of some of the draws."""
        return Mixture(self.label[kept], self.covariance)

    def error(self, influence: Draws) -> float:
        """What they add to the standard error of a figure.

        ``influence`` is what a little more weight on each draw does to the figure, (N,): its mean
        in a population is the slope in that population's probability.
        """
        if not self.covariance.any():
            return 0.0
        size = len(self.covariance)
        counts = np.bincount(self.label, minlength=size)
        slope = np.bincount(self.label, influence, minlength=size) / np.maximum(counts, 1)
        return math.sqrt(max(float(slope @ self.covariance @ slope), 0.0))


@dataclass(frozen=True)
class VarianceShare:
    """A share of the variance and the ends of its 90 % interval, in [0, 1]; NaN: no variance."""

    mean: float
    lower: float
    upper: float

    @classmethod
    def of(cls, mean: float, error: float) -> VarianceShare:
        """Mean ± 1.645 standard errors, kept within [0, 1].

        The mean first: an estimate below 0 still leaves room above it.
        """
        if not math.isfinite(mean):
            return NO_SHARE
        mean = min(max(mean, 0.0), 1.0)
        return cls(mean, max(mean - Z95 * error, 0.0), min(mean + Z95 * error, 1.0))

    def widened(self, error: float) -> VarianceShare:
        """With one more error, independent of its own."""
        if error == 0.0 or not math.isfinite(self.mean):
            return self
        own = max(self.upper - self.mean, self.mean - self.lower) / Z95
        return VarianceShare.of(self.mean, math.hypot(own, error))

    def part(
        self, weight: float, y: Draws, whole: Draws, *, inflation: float = 1.0
    ) -> VarianceShare:
        """Times weight·Var(y)/Var(whole): a share of the variance of ``y`` as one of ``whole``."""
        finite_ones = [x[np.isfinite(x)] for x in (y, whole)]
        if any(x.size == 0 for x in finite_ones):
            return NO_SHARE
        squares = [(x - x.mean()) ** 2 for x in finite_ones]
        own, all_of = (float(x.mean()) for x in squares)
        if not all_of > 0.0:
            return NO_SHARE
        if not own > 0.0 or weight == 0.0:
            return VarianceShare(0.0, 0.0, 0.0)
        scale = weight * own / all_of
        errors = [
            max(self.upper - self.mean, self.mean - self.lower) / Z95,
            *(
                self.mean * float(x.std() / x.mean()) * math.sqrt(inflation / x.size)
                for x in squares
            ),
        ]
        return VarianceShare.of(scale * self.mean, scale * math.hypot(*errors))

    def as_dict(self) -> dict[str, float | None]:
        """For JSON: finite, or None."""
        return {name: finite(x) for name, x in asdict(self).items()}


NO_SHARE = VarianceShare(math.nan, math.nan, math.nan)


def _too_few(y: Draws, inflation: float) -> float:
    """Standard error for what draws so few could not have shown.

    A verdict that one draw in a thousand decides otherwise has all of its variance in a handful of
    draws, and what these few have in common (all of them change, or none) looks certain. Where k
    independent draws carry it, k = (Σ d²)²/Σ d⁴ with d = y − mean, a share may be 1 − 0.05^{1/k}
    off and not show it: as for a probability of which k draws all agree.
    """
    square = (y - y.mean()) ** 2
    carriers = float(square.sum() ** 2 / np.sum(square**2)) / inflation
    return -math.expm1(math.log(0.05) / carriers) / Z95


def first_order(
    x: Draws, y: Draws, *, inflation: float = 1.0, mixture: Mixture | None = None
) -> VarianceShare:
    """Var(E[Y | X])/Var(Y) from draws alone, however X and Y hang together.

    Sorted by X, draws that are k places apart have nearly the same X, so that the covariance of Y_j
    and Y_{j+k}, here averaged over k = 1 … 4, tends to Var(E[Y | X]) (Chatterjee 2021; Gamboa,
    Gremaud, Klein and Lagnoux 2022). No bandwidth, and a step in Y costs O(1/N): harmonics and
    splines in X lose 4 % of a verdict that X decides alone, and a quarter of it where one side has
    5 % of the draws.

    Parameters
    ----------
    x, y
        (N,), finite.
    inflation
        Draws for each independent one: 1 for independent draws.
    mixture
        Where the draws' populations have probabilities with errors, which then count too.

    Returns
    -------
    VarianceShare
        Its error treats the terms as a sequence dependent over neighbours (delta method).
    """
    variance = float(y.var())
    if not variance > 0.0 or len(y) <= 8 * _NEAR:
        return NO_SHARE
    if x.min() == x.max():
        return VarianceShare(0.0, 0.0, 0.0)
    order = np.argsort(x, kind="stable")
    centred = y[order] - y.mean()
    length = len(y) - _NEAR
    beside = np.mean([centred[k : k + length] for k in range(1, _NEAR + 1)], axis=0)
    product, square = centred[:length] * beside, centred[:length] ** 2
    share = float(product.mean() / square.mean())
    error = _neighbours_error(product - share * square) / variance * math.sqrt(inflation)
    error = math.hypot(error, _too_few(y, inflation))
    if mixture is not None:
        # Of Var(E[Y | X]) with g = E[Y | X]: 2 (Y − m)(g − m) − (g − m)², by neighbours again.
        known = centred[1 : length + 1] * centred[2 : length + 2]
        influence = (2.0 * product - known - share * square) / variance
        populations = Mixture(mixture.label[order][:length], mixture.covariance)
        error = math.hypot(error, populations.error(influence))
    return VarianceShare.of(share, error)


def _neighbours_error(terms: Draws) -> float:
    """Standard error of the mean of terms sorted by X that hang together up to 4 places apart.

    Given X neighbours covary by γ_k − γ_far, where γ_far is what the slope of the terms in X gives
    every pair; so N·Var = γ_0 + 2 Σ_{k ≤ 4} (γ_k − γ_far).
    """
    centred = terms - terms.mean()

    def covariance(k: int) -> float:
        return float(np.mean(centred[k:] * centred[: len(centred) - k]))

    far = float(np.mean([covariance(k) for k in range(_NEAR + 1, 2 * _NEAR + 1)]))
    near = sum(covariance(k) - far for k in range(1, _NEAR + 1))
    return math.sqrt(max(covariance(0) + 2.0 * near, 0.0) / len(terms))


def first_order_of_groups(
    label: NDArray[np.int64],
    y: Draws,
    *,
    inflation: float = 1.0,
    mixture: Mixture | None = None,
) -> VarianceShare:
    """Var(E[Y | group])/Var(Y) for a categorical X; ``label`` holds whole numbers from 0."""
    variance = float(y.var())
    if not variance > 0.0:
        return NO_SHARE
    sizes = np.bincount(label)
    means = np.bincount(label, weights=y) / np.maximum(sizes, 1)
    between = (means[label] - y.mean()) ** 2
    # Means of n draws scatter by their own noise: taken out.
    noise = float(
        np.sum(np.bincount(label, weights=(y - means[label]) ** 2) / np.maximum(sizes, 1))
    )
    share = (float(between.mean()) - noise / len(y)) / variance
    slope = between + 2.0 * (means[label] - y.mean()) * (y - means[label])
    terms = slope - share * (y - y.mean()) ** 2
    error = float(terms.std()) / math.sqrt(len(y)) / variance * math.sqrt(inflation)
    error = math.hypot(error, _too_few(y, inflation))
    if mixture is not None:
        error = math.hypot(error, mixture.error(terms / variance))
    return VarianceShare.of(share, error)


def total_effect(
    y: Draws,
    again: Draws,
    *,
    inflation: float = 1.0,
    mixture: Mixture | None = None,
    of_mixture: bool = False,
) -> VarianceShare:
    """E[Var(Y | all but X)]/Var(Y) = E[½(Y − Y′)²]/Var(Y) (Jansen 1999).

    ``again`` is Y at every draw with X drawn anew given all else, (N,). Where no draw changes, the
    upper end allows for changes too rare to be seen among N. ``of_mixture``: X is the population
    itself, whose probabilities then count twice, for what there was and for what is drawn.
    """
    variance = float(y.var())
    if not variance > 0.0:
        return NO_SHARE
    changed = 0.5 * (y - again) ** 2
    share = float(changed.mean()) / variance
    if share == 0.0:
        unseen = -math.expm1(math.log(0.05) * inflation / len(y))
        return VarianceShare(0.0, 0.0, min(0.5 * unseen * float(np.ptp(y)) ** 2 / variance, 1.0))
    terms = changed - share * (y - y.mean()) ** 2
    error = float(terms.std()) / math.sqrt(len(y)) / variance * math.sqrt(inflation)
    error = math.hypot(error, _too_few(y, inflation))
    if mixture is not None:
        influence = terms + changed if of_mixture else terms
        error = math.hypot(error, mixture.error(influence / variance))
    return VarianceShare.of(share, error)


def totals_of_draws(
    columns: Mapping[str, Draws], y: Draws, *, seed: int = 0, inflation: float = 1.0
) -> dict[str, VarianceShare]:
    """Total effects from draws alone, by SALib's HDMR: splines in one and in two inputs.

    For results whose verdict cannot be judged again. It loses about a tenth of a verdict that
    jumps, sees no interaction of three inputs, and looks at the eight inputs of largest first-order
    effect only (it is slow, and wrong for many). What it finds for a shuffled input is subtracted;
    ranks take the inputs' places, since costs span orders of magnitude.

    Raises
    ------
    InputError
        If SALib is missing, or there are fewer than 400 draws or two inputs.
    """
    if len(y) < HDMR_DRAWS or len(columns) < 2:
        raise InputError(
            f"total effects from draws alone take at least {HDMR_DRAWS} draws of two uncertain "
            f"beliefs, found {len(y)} of {len(columns)}"
        )
    if not y.var() > 0.0:
        return {}
    try:
        from SALib.analyze import hdmr
    except ImportError as error:
        raise InputError(
            "total effects from draws alone need SALib: install bayes_mesa[sensitivity], or give "
            "the model (model=...), whose verdict is then judged again"
        ) from error
    import warnings

    rng = np.random.default_rng(seed)
    order = sorted(columns, key=lambda n: -first_order(columns[n], y).mean)[:_HDMR_INPUTS]
    idle = rng.permutation(len(y))
    ranks = np.column_stack([*(np.argsort(np.argsort(columns[n])) for n in order), idle])
    kept = np.sort(rng.permutation(len(y))[:4000])
    labels = [f"x{k}" for k in range(len(order) + 1)]
    part = int(_HDMR_PART * kept.size)
    problem = {"num_vars": len(labels), "names": labels, "bounds": [[0.0, 1.0]] * len(labels)}
    state = np.random.get_state()  # which it seeds  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = hdmr.analyze(
            problem,
            ranks[kept] / (len(y) - 1.0),
            np.asarray(y, dtype=float)[kept],
            maxorder=2,
            m=3,
            K=10,
            R=part,
            alpha=0.9,
            seed=seed + 1,
        )
    np.random.set_state(state)  # noqa: NPY002
    floor = float(found["ST"][len(order)])
    # What it calls conf is half the width, at alpha, of its resamples: parts of the draws, without
    # replacement. Such parts scatter by √((n − part)/part) of what samples of all n would.
    scale = math.sqrt(part / (kept.size - part) * max(inflation * kept.size / len(y), 1.0)) / Z95
    few = _too_few(np.asarray(y, dtype=float)[kept], 1.0)
    return {
        name: VarianceShare.of(
            float(found["ST"][k]) - floor, math.hypot(scale * float(found["ST_conf"][k]), few)
        )
        for k, name in enumerate(order)
    }
