"""What it would be worth to know a belief before a decision between training and not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.errors import InputError
from bayes_mesa.sensitivity.variance_shares import Mixture
from bayes_mesa.verdicts.estimand import finite

Draws = NDArray[np.float64]
_FOLDS = 5
#: Pieces of the spline in the rank of the belief.
_PIECES = 16


@dataclass(frozen=True)
class Decision:
    """Train, or stop: what each way that it may end is worth, in any unit.

    Attributes
    ----------
    safe
        Training, and the program is not deceptive.
    deceptive
        Training, and the program is deceptive.
    stop
        Not training.
    failed
        Training that does not learn the task; only asked with a regime.
    """

    safe: float = 1.0
    deceptive: float = -10.0
    stop: float = 0.0
    failed: float = 0.0

    def __post_init__(self) -> None:
        for name in ("safe", "deceptive", "stop", "failed"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(
                    f"{name} of a decision must be a finite number, found {getattr(self, name)!r}"
                )

    @classmethod
    def of(cls, payoffs: Mapping[str, Any]) -> Decision:
        """From ``{"train": {"safe": 1, "deceptive": -10}, "stop": 0}``."""
        train = payoffs.get("train")
        named = {"train", "stop"} >= set(payoffs) and isinstance(train, Mapping)
        if not named or not {"safe", "deceptive", "failed"} >= set(train or {}):
            raise InputError(
                'a decision must look like {"train": {"safe": 1, "deceptive": -10}, "stop": 0}, '
                f"found {payoffs!r}"
            )
        given = {**(train or {}), **{k: x for k, x in payoffs.items() if k == "stop"}}
        return cls(**{name: float(x) for name, x in given.items()})

    def gain(self, deceptive: Draws, success: Draws | float = 1.0) -> Draws:
        """What training is worth above stopping, for each draw.

        ``deceptive`` is the probability that the program is deceptive, NaN where no program fits
        (training fails); ``success`` that of learning the task.
        """
        fits = ~np.isnan(deceptive)
        worth = self.safe + (self.deceptive - self.safe) * np.where(fits, deceptive, 0.0)
        likely = np.where(fits, success, 0.0)
        return np.asarray(likely * worth + (1.0 - likely) * self.failed - self.stop)


@dataclass(frozen=True)
class Worth:
    """An expected value of information and its standard error, in the unit of the decision.

    NaN where the draws are too few to tell.
    """

    mean: float
    error: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON: finite, or None."""
        return {"mean": finite(self.mean), "error": finite(self.error)}


def worth_of_everything(
    gain: Draws, *, inflation: float = 1.0, mixture: Mixture | None = None
) -> Worth:
    """EVPI = E[max(0, gain)] − max(0, E[gain]): to know all that the model is uncertain of."""
    return _worth(gain, gain > 0.0, inflation, mixture)


def worth_of_one(
    x: Draws,
    gain: Draws,
    *,
    seed: int = 0,
    inflation: float = 1.0,
    share: float = 1.0,
    rest: float = 0.0,
    mixture: Mixture | None = None,
) -> Worth:
    """EVPPI = E[max(0, E[gain | X])] − max(0, E[gain]): to know X, and nothing else.

    E[gain | X] is a cubic spline in the rank of X (Strong, Oakley and Brennan 2014 regress
    likewise), and each fifth of the draws is decided by the spline of the others. So no noise is
    taken for knowledge: the figure is what a rule learnt elsewhere gains, if anything too low.

    Parameters
    ----------
    x, gain
        (N,).
    seed
        Of the parting into fifths.
    inflation
        Draws for each independent one.
    share, rest
        Where X matters with probability ``share`` only: otherwise the gain is ``rest`` on average.
    mixture
        Where the draws' populations have probabilities with errors, which then count too.
    """
    if gain.min() == gain.max() or (x.size > 1 and x.min() == x.max()):
        return Worth(0.0, 0.0)
    if len(x) < 4 * _PIECES:
        return Worth(math.nan, math.nan)
    place = (np.argsort(np.argsort(x, kind="stable")) + 0.5) / len(x)
    mixed = share * gain + (1.0 - share) * rest
    return _worth(mixed, _crossed(place, mixed, seed) > 0.0, inflation, mixture)


def worth_of_group(
    label: NDArray[np.int64],
    gain: Draws,
    *,
    inflation: float = 1.0,
    mixture: Mixture | None = None,
) -> Worth:
    """The same for a categorical X, ``label`` from 0: of few groups, so that means will do."""
    means = np.bincount(label, weights=gain) / np.maximum(np.bincount(label), 1)
    return _worth(gain, means[label] > 0.0, inflation, mixture)


def _worth(
    gain: Draws, train: NDArray[np.bool_], inflation: float, mixture: Mixture | None
) -> Worth:
    terms = gain * train - gain * (gain.mean() > 0.0)
    error = float(terms.std()) / math.sqrt(len(terms)) * math.sqrt(inflation)
    if mixture is not None:
        error = math.hypot(error, mixture.error(terms))
    return Worth(max(float(terms.mean()), 0.0), error)


def _crossed(place: Draws, y: Draws, seed: int) -> Draws:
    """The spline in ``place``, at each draw that of the other four fifths."""
    from scipy.interpolate import BSpline

    inner = np.linspace(0.0, 1.0, _PIECES + 1)
    # Four pieces overlap at any place: sparse, and the same sums on any number of threads.
    basis = BSpline.design_matrix(place, np.r_[[0.0] * 3, inner, [1.0] * 3], 3)
    fold = np.random.default_rng(seed).permutation(len(y)) % _FOLDS
    parts = [
        (part := basis[fold == k], part.T @ part, part.T @ y[fold == k]) for k in range(_FOLDS)
    ]
    gram, moment = (sum(p[i] for p in parts) for i in (1, 2))
    # A whisper of ridge: a piece may lose all of its draws with a fold.
    ridge = 1e-9 * len(y) * np.eye(basis.shape[1])
    found = np.empty(len(y))
    for k, (part, own_gram, own_moment) in enumerate(parts):
        weights = np.linalg.solve((gram - own_gram).toarray() + ridge, moment - own_moment)
        found[fold == k] = part @ weights
    return found
