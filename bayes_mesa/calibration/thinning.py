"""Chains thinned to draws that are about independent, as ranks need them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray]

#: Iterations for each draw kept, in effective sample sizes.
_APART = 2.0


def thinned(
    run: Callable[[int], tuple[Columns, float]], size: int, count: int, *, longer: int, times: int
) -> tuple[Columns, float, int]:
    """At most ``count`` draws of a chain, at least half as many; its effective sample size, length.

    ``run(size)`` gives the draws, (size, ...) each, and their effective sample size. A chain that
    keeps too few is run again ``longer`` times as long, at most so many ``times``.
    """
    for again in range(times + 1):
        draws, ess = run(size)
        apart = max(math.ceil(_APART * size / max(ess, 1.0)), size // count, 1)
        kept = np.arange(apart - 1, size, apart)[:count]
        if len(kept) >= count // 2 or again == times:
            break
        size *= longer
    return {n: x[kept] for n, x in draws.items()}, ess, size


def least_ess(draws: Mapping[str, NDArray]) -> float:
    """Smallest effective sample size of any column of one chain; what stands still has no say."""
    from arviz_stats.base import array_stats

    every = np.concatenate([x.reshape(len(x), -1).astype(float) for x in draws.values()], axis=1)
    moving = every[:, np.isfinite(every).all(axis=0) & (np.ptp(every, axis=0) > 0.0)]
    if not moving.shape[1]:
        return float(len(every))
    found = array_stats.ess(moving.T[:, None, :], chain_axis=1, draw_axis=2, method="bulk")
    return float(np.min(found))
