"""The programs of a listing as tables of plain values: what the command prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES
from bayes_mesa.grammars.coverage import Evaluation, Interval, averaged
from bayes_mesa.grammars.listing import Listing
from bayes_mesa.verdicts.estimand import finite

Floats = NDArray[np.float64]

#: Entries of one table; what is left out is counted.
MAX_ENTRIES = 10_000


def program_table(listing: Listing, found: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Masses, programs and champions, by family and averaged; numbers are finite or None.

    Programs come by falling weight in the average, by rising cost in a family; the shares of
    those beyond `MAX_ENTRIES` are not shown, and ``programs_total`` counts all entries.
    """
    rows = _Rows(listing)
    shares = {name: _shares(e) for name, e in found.items()}
    whole = sum(e.at.family.weight for e in found.values())
    average = {
        column: np.sum(
            [found[n].at.family.weight / whole * s[column] for n, s in shares.items()], 0
        )
        for column in ("weight", "lower", "upper")
    }
    # Bits and steps of a choice of facts differ by family; the likeliest family speaks for all.
    main = max(found.values(), key=lambda e: e.at.family.weight)
    order = np.argsort(-average["weight"], kind="stable")
    return {
        **_masses(averaged(found)),
        **rows.table(order, main, average, {}),
        "by_exchange": {n: _by_family(rows, e, shares[n]) for n, e in found.items()},
    }


def _by_family(rows: _Rows, found: Evaluation, shares: Mapping[str, Floats]) -> dict[str, Any]:
    weights = found.weights
    order = np.argsort(weights.cost, kind="stable")
    hull = found.at.hull(rows.listing, weights)
    extra: dict[str, Callable[[int], Any]] = {
        "penalty": lambda k: finite(weights.penalty[k]),
        "can_be_favored": lambda k: None if hull is None else bool(hull[k]),
    }
    champions = {}
    for index, name in enumerate(CLASSES):
        own = order[(weights.class_index[order] == index) & np.isfinite(weights.cost[order])]
        champions[name] = rows.entry(int(own[0]), found, shares, extra) if len(own) else None
    return {
        "weight": finite(found.at.family.weight),
        **_masses(found.interval),
        **rows.table(order, found, shares, extra),
        "champions": champions,
    }


def _masses(interval: Interval) -> dict[str, Any]:
    return {
        "mass_listed": finite(interval.mass_listed),
        "deceptive_mass": {n: finite(getattr(interval, n)) for n in ("mean", "lower", "upper")},
    }


def _shares(found: Evaluation) -> dict[str, Floats]:
    """Share of the whole weight of every row, and its bounds, (K,) each."""
    interval, logs = found.interval, found.weights.log_weight
    with np.errstate(invalid="ignore"):
        shares = {
            name: np.exp(logs - log_whole)
            for name, log_whole in (
                ("weight", interval.log_whole),
                ("lower", interval.log_most),
                ("upper", interval.log_least),
            )
        }
    return {n: np.where(logs == -np.inf, 0.0, np.minimum(x, 1.0)) for n, x in shares.items()}


class _Rows:
    """Entries of one listing; each expression is written once."""

    def __init__(self, listing: Listing):
        self.listing = listing
        self.text = cache(listing.text)

    def table(
        self,
        order: NDArray[np.int64],
        found: Evaluation,
        shares: Mapping[str, Floats],
        extra: Mapping[str, Callable[[int], Any]],
    ) -> dict[str, Any]:
        kept = order[np.isfinite(found.weights.cost[order]) | (shares["weight"][order] > 0.0)]
        entries = [self.entry(k, found, shares, extra) for k in kept[:MAX_ENTRIES].tolist()]
        return {"programs": entries, "programs_total": len(kept)}

    def entry(
        self,
        k: int,
        found: Evaluation,
        shares: Mapping[str, Floats],
        extra: Mapping[str, Callable[[int], Any]],
    ) -> dict[str, Any]:
        weights, count = found.weights, float(self.listing.count[k])
        return {
            "program": self.text(k),
            "symbol": self.listing.symbol(k),
            "class": CLASSES[int(weights.class_index[k])],
            "bits": finite(weights.bits[k]),
            "steps": finite(weights.steps[k]),
            **{n: finite(shares[n][k]) for n in ("weight", "lower", "upper")},
            **{n: value(k) for n, value in extra.items()},
            "count": int(count) if count.is_integer() else count,
        }
