"""How much of the weight is listed, and the interval that holds the deceptive mass for certain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES, DECEPTIVE
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.certificate import At, Base, Weights
from bayes_mesa.grammars.listing import Listing
from bayes_mesa.grammars.program_inputs import Plan
from bayes_mesa.grammars.program_sums import class_sums

Floats = NDArray[np.float64]

_DECEPTIVE = CLASSES.index(DECEPTIVE)
_OTHERS = [k for k in range(len(CLASSES)) if k != _DECEPTIVE]


@dataclass(frozen=True, eq=False)
class ClassTotals:
    """The whole weight of each class.

    Attributes
    ----------
    base
        What weights are relative to.
    log_total
        (3,), natural log, in the order of `model.CLASSES`; -inf for a class without programs.
    error
        (3,): bound of the absolute error of every finite ``log_total``.
    """

    base: Base
    log_total: Floats
    error: Floats


def exact_totals(at: At) -> ClassTotals | None:
    """The whole weight of each class of a grammar's programs; None where it has no exact route."""
    if at.cheapest is None:
        return None
    base = at.base(at.cheapest)
    try:
        system = Plan.of(at.model).system
        sums = class_sums(at.model, at.family, at.theta, base.extra_steps)
    except RefusedError:
        return None
    counted = Base(
        system.mandatory_stores.astype(float), system.mandatory_runs.astype(float), base.extra_steps
    )
    return ClassTotals(counted, sums.log_weight[0], sums.class_error[0])


@dataclass(frozen=True, eq=False)
class Interval:
    """Shares of the whole weight: ``mean`` is exact where the totals are, else an estimate.

    ``log_least`` and ``log_most`` bound the log of the whole weight, relative to the weights' base;
    ``log_whole`` is what shares are taken of.
    """

    mass_listed: float
    mean: float
    lower: float
    upper: float
    log_least: float
    log_most: float
    log_whole: float


_NOTHING_FITS = Interval(np.nan, np.nan, np.nan, np.nan, -np.inf, -np.inf, -np.inf)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A listing under one family."""

    at: At
    weights: Weights
    interval: Interval


def evaluate(listing: Listing, at: At, totals: ClassTotals | None) -> Evaluation:
    """The listing's weights and what is certain of the rest, under one family."""
    weights = at.weights(listing)
    listed = weights.log_class_sums()
    # Looked at where the totals are known too: below the critical pressure it is an error.
    bounded = _bounded_interval(listed, at.remainder(listing, weights.base))
    if totals is None or listing.complete:
        return Evaluation(at, weights, bounded)
    log_total = totals.log_total + at.shift(totals.base, weights.base)
    exact = _exact_interval(listed, log_total, totals.error)
    # Both hold. The bound is the better one where the class left out is rare.
    lower, upper = max(exact.lower, bounded.lower), min(exact.upper, bounded.upper)
    return Evaluation(
        at,
        weights,
        replace(exact, lower=min(lower, exact.mean), upper=max(upper, exact.mean)),
    )


def averaged(found: Mapping[str, Evaluation]) -> Interval:
    """Average over families by their prior weights."""
    names = ("mass_listed", "mean", "lower", "upper")
    whole = sum(e.at.family.weight for e in found.values())
    means = {
        n: sum(e.at.family.weight * getattr(e.interval, n) for e in found.values()) / whole
        for n in names
    }
    return Interval(**means, log_least=np.nan, log_most=np.nan, log_whole=np.nan)


def _shares(*logs: Floats) -> tuple[list[Floats], float]:
    """Weights relative to the largest of all, and its log."""
    top = max(float(x.max()) for x in logs)
    if top == -np.inf:
        return [np.zeros(3) for _ in logs], 0.0
    with np.errstate(invalid="ignore"):
        return [np.exp(x - top) for x in logs], top


def _exact_interval(listed: Floats, log_total: Floats, error: Floats) -> Interval:
    (known, total), top = _shares(listed, log_total)
    # What is listed is part of the whole: rounding must not say otherwise.
    total = np.maximum(total, known)
    most = total * np.exp(np.where(total > 0.0, error, 0.0))
    whole = total.sum()
    if whole == 0.0:
        return _NOTHING_FITS
    log_whole = top + float(np.log(whole))
    others = known[_OTHERS].sum()
    return _interval_around(
        float(total[_DECEPTIVE] / whole),
        mass_listed=float(known.sum() / whole),
        lower=float(known[_DECEPTIVE] / most.sum()),
        upper=_share(known[_DECEPTIVE] + (most - known).sum(), others),
        log_bounds=(log_whole, log_whole, log_whole),
    )


def _bounded_interval(listed: Floats, rest: Floats) -> Interval:
    if rest.max() == np.inf:
        (known,), top = _shares(listed)
        more = np.where(rest == np.inf, np.inf, 0.0)
    else:
        (known, more), top = _shares(listed, rest)
    deceptive, others = known[_DECEPTIVE], known[_OTHERS].sum()
    if known.sum() + more.sum() == 0.0:
        return _NOTHING_FITS
    with np.errstate(divide="ignore"):
        log_listed = float(np.log(known.sum())) + top
        log_most = float(np.log(known.sum() + more.sum())) + top
    return _interval_around(
        _share(deceptive, others) if known.sum() else np.nan,
        mass_listed=_share(known.sum(), more.sum()),
        lower=_share(deceptive, others + more[_OTHERS].sum()),
        upper=_share(deceptive + more[_DECEPTIVE], others),
        log_bounds=(log_listed, log_most, log_listed),
    )


def _interval_around(
    mean: float,
    *,
    mass_listed: float,
    lower: float,
    upper: float,
    log_bounds: tuple[float, float, float],
) -> Interval:
    # fmin, fmax: where nothing that is listed fits there is no estimate, but still an interval.
    low, high = float(np.fmin(mean, lower)), float(np.fmax(mean, upper))
    return Interval(mass_listed, mean, low, high, *log_bounds)


def _share(part: float, other: float) -> float:
    if part == np.inf:
        return 1.0
    return float(part / (part + other)) if part > 0.0 else 0.0
