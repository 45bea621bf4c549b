"""How a difference between two ends is shared out among the switches that lead across.

A *value* is known for every set of switches that is thrown: v(∅) at one end, v(all) at the other.
The Shapley value of a switch is what throwing it changes, averaged over all orders of throwing
them (Shapley 1953, *A value for n-person games*):

    φ_g = Σ_{S ∌ g} |S|! (n − |S| − 1)!/n! · (v(S ∪ g) − v(S)),     Σ_g φ_g = v(all) − v(∅).

It is linear in v, so values may be arrays of draws: their shares are arrays of the same draws, and
the error of a share follows from their spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.float64]
Thrown = frozenset[int]
Progress = Callable[[int, int], None]

#: Up to so many switches all 2^n sets are worth their cost; more are sampled by orders.
MOST_EXACT = 6
#: Orders sampled beyond that, half of them the other half backwards.
NUM_ORDERS = 32


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each of n switches contributes; arrays (n, ...) with the shape of a value behind.

    Attributes
    ----------
    start, end
        v(∅) and v(all), (...).
    shares
        Shapley values: they add up to end − start.
    alone
        v({g}) − v(∅): what the switch does where no other is thrown.
    last
        v(all) − v(all but g): what it does where all others are thrown.
    by_order
        With sampled orders, the changes of the value's mean over the last axis in each pair of
        orders, (pairs, n, ...) without that axis; None where the shares are exact.
    """

    start: Draws
    end: Draws
    shares: Draws
    alone: Draws
    last: Draws
    by_order: Draws | None

    @property
    def order_error(self) -> Draws:
        """Standard error of the means of the shares from sampling orders; 0 where exact."""
        if self.by_order is None:
            return np.zeros(self.shares.shape[:-1])
        return self.by_order.std(axis=0, ddof=1) / math.sqrt(len(self.by_order))


def attribute(
    value: Callable[[Thrown], Draws],
    num_switches: int,
    rng: np.random.Generator,
    *,
    most_exact: int = MOST_EXACT,
    num_orders: int = NUM_ORDERS,
    progress: Progress | None = None,
) -> Attribution:
    """Share out v(all) − v(∅), exactly for few switches, else over sampled orders.

    Parameters
    ----------
    value
        v of a set of switches, float64 (..., N): draws along the last axis. Called once per set.
    num_switches
        n ≥ 0.
    rng
        Chooses the orders. They are taken in pairs, each with its reverse, so that exchanging the
        two ends changes the sign of every share and nothing else.
    most_exact
        Most switches for which all 2^n sets are valued.
    num_orders
        Orders otherwise, an even number ≥ 4.
    progress
        Called as ``progress(done, total)`` after every set.
    """
    every = frozenset(range(num_switches))
    orders = [] if num_switches <= most_exact else _orders(num_switches, num_orders, rng)
    weights = _over_orders(orders, num_switches) if orders else dict(_over_sets(num_switches))
    singles = [frozenset({g}) for g in range(num_switches)]
    wanted = dict.fromkeys([frozenset(), every, *weights, *singles, *(every - s for s in singles)])
    start = np.asarray(value(frozenset()), dtype=np.float64)
    shape = (num_switches, *start.shape)
    shares, alone, last = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    end, means = start, {}
    for done, thrown in enumerate(wanted, 1):
        found = start if not thrown else np.asarray(value(thrown), dtype=np.float64)
        # From the start, so that what no switch touches cancels before it is weighted.
        change = found - start
        if thrown in weights:
            shares += weights[thrown].reshape(-1, *[1] * start.ndim) * change
        if len(thrown) == 1:
            alone[next(iter(thrown))] = change
        if thrown == every:
            end = found
        means[thrown] = change.mean(axis=-1)
        if len(thrown) == num_switches - 1:
            (missing,) = every - thrown
            last[missing] = -change
        if progress is not None:
            progress(done, len(wanted))
    last += end - start
    by_order = _by_order(orders, means) if orders else None
    return Attribution(start, end, shares, alone, last, by_order)


def _over_sets(n: int) -> Iterator[tuple[Thrown, Draws]]:
    """What v(S) counts for in every switch's share, for all S, (n,)."""
    for size in range(n + 1):
        for chosen in combinations(range(n), size):
            inside = np.isin(np.arange(n), chosen)
            gained = 1.0 / (n * math.comb(n - 1, size - 1)) if size else 0.0
            lost = 1.0 / (n * math.comb(n - 1, size)) if size < n else 0.0
            yield frozenset(chosen), np.where(inside, gained, -lost)


def _orders(n: int, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    half = [tuple(rng.permutation(n).tolist()) for _ in range(count // 2)]
    return [order for one in half for order in (one, one[::-1])]


def _over_orders(orders: Sequence[tuple[int, ...]], n: int) -> dict[Thrown, Draws]:
    """The same for the mean over the given orders."""
    weights: dict[Thrown, Draws] = {}
    for order in orders:
        for place, switch in enumerate(order):
            for upto, sign in ((place, -1.0), (place + 1, 1.0)):
                of = weights.setdefault(frozenset(order[:upto]), np.zeros(n))
                of[switch] += sign / len(orders)
    return weights


def _by_order(orders: Sequence[tuple[int, ...]], means: dict[Thrown, Draws]) -> Draws:
    changes = []
    for order in orders:
        steps = [means[frozenset(order[:k])] for k in range(len(order) + 1)]
        changes.append(np.diff(np.stack(steps), axis=0)[np.argsort(order)])
    each = np.stack(changes)
    return (each[::2] + each[1::2]) / 2.0
