"""Side-by-side timing: ours and the peer by turns, so that a busy machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

Rates = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One line of the table: paired rates (higher is better), and the ratio that was aimed at."""

    what: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    target: float | None = None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours over the peer's, pair by pair."""
        return tuple(a / b for a, b in zip(self.ours, self.peer, strict=True))

    def cells(self) -> tuple[str, ...]:
        """Columns of the table."""
        reached = "" if self.target is None else verdict(median(self.ratios) >= self.target)
        return (
            self.what,
            spread(self.ours),
            spread(self.peer),
            self.unit,
            spread(self.ratios),
            "" if self.target is None else f">= {self.target:g}",
            reached,
        )


@dataclass(frozen=True)
class Limit:
    """One line without a peer: a cost (lower is better), and the limit it was to stay under."""

    what: str
    unit: str
    values: tuple[float, ...]
    limit: float

    def cells(self) -> tuple[str, ...]:
        """Columns of the table."""
        reached = verdict(median(self.values) < self.limit)
        return (self.what, spread(self.values), "", self.unit, "", f"< {self.limit:g}", reached)


HEADER = ("what", "ours", "peer", "unit", "ratio", "target", "")


def by_turns(
    ours: Callable[[int], Rates], peer: Callable[[int], Rates], repeats: int
) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Rates by name, of ours and of the peer, A B A B; each call gets its turn's number as seed."""
    pairs = [(ours(turn), peer(turn)) for turn in range(repeats)]
    return {
        name: (tuple(a[name] for a, _ in pairs), tuple(b[name] for _, b in pairs))
        for name in pairs[0][0]
    }


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its wall time in seconds."""
    start = time.perf_counter()
    found = function()
    return found, time.perf_counter() - start


def busy(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the processor time of all its threads in seconds.

    For work on one thread the wall time of an idle machine, whatever else runs on this one.
    """
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def effective(draws: np.ndarray) -> float:
    """Bulk effective sample size by ArviZ of draws (chain, draw)."""
    from arviz_stats.base import array_stats

    return float(array_stats.ess(draws.astype(float), chain_axis=0, draw_axis=1, method="bulk"))


def agree(ours: np.ndarray, peer: np.ndarray, what: str) -> None:
    """Stop if the means of two samplers of one target are further apart than 6 standard errors."""
    error = np.hypot(_error(ours), _error(peer))
    apart = abs(ours.mean() - peer.mean()) / error
    if not apart < 6.0:
        raise SystemExit(
            f"{what}: not the same target: means {ours.mean():.5g} and {peer.mean():.5g} are "
            f"{apart:.1f} standard errors apart"
        )


def table(rows: list[Row | Limit]) -> str:
    """The rows as a Markdown table, medians with (min-max)."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def spread(values: tuple[float, ...]) -> str:
    """Median (min-max), three digits."""
    middle = _short(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({_short(min(values))}-{_short(max(values))})"


def verdict(reached: bool) -> str:
    """What the last column says."""
    return "reached" if reached else "MISSED"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _error(draws: np.ndarray) -> float:
    return float(draws.std() / np.sqrt(effective(draws)))
