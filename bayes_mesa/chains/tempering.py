"""Tempered chains over programs: trees and facts together, for every model.

It covers what has no closed form: facts that need one another, a cap on steps or a capacity in bits
over many facts, grammars with too many components. One stream per chain: the same seed gives the
same bytes whatever the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.chains.tempered_moves import MOVES
from bayes_mesa.chains.tempered_starts import Program, starting_programs
from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.chains.tempered_walk import OUTCOMES, Records, Settings, StopFlag, Walk
from bayes_mesa.errors import InputError


@dataclass(frozen=True, eq=False)
class TemperedInfo:
    """What only diagnostics need, of the draws and not of the warm-up.

    Attributes
    ----------
    ladder
        (chain, K): inverse temperatures, frozen after warm-up.
    moves
        (chain, K, move, outcome), int64: proposals of every move of `MOVES` that were rejected,
        accepted, identical to the state, or impossible there.
    tried, swapped
        (chain, K - 1), int64: exchanges of neighbours.
    """

    ladder: NDArray[np.float64]
    moves: NDArray[np.int64]
    tried: NDArray[np.int64]
    swapped: NDArray[np.int64]

    def acceptance(self) -> dict[str, NDArray[np.float64]]:
        """Share accepted of what could be proposed and was new, by move; (chain, K), NaN: none."""
        found = {}
        for k, name in enumerate(MOVES):
            rejected, accepted = self.moves[:, :, k, 0], self.moves[:, :, k, 1]
            with np.errstate(invalid="ignore"):
                found[name] = accepted / (rejected + accepted)
        return found


@dataclass(frozen=True, eq=False)
class TemperedDraws:
    """Programs drawn at one theta.

    Attributes
    ----------
    codes, lengths
        (chain, draw, longest) int16 and (chain, draw) int32: codes, and how much of a row is one.
        Length 0 where nothing fits.
    stored
        (chain, draw, fact), bool.
    energy
        (chain, draw): E in nats, less a constant of theta; NaN where nothing fits.
    info
        Proposals and exchanges.
    """

    codes: NDArray[np.int16]
    lengths: NDArray[np.int32]
    stored: NDArray[np.bool_]
    energy: NDArray[np.float64]
    info: TemperedInfo


def run_chains(
    target: Target,
    *,
    num_draws: int,
    num_chains: int = 4,
    seed: int | None = 0,
    streams: Sequence[np.random.SeedSequence] | None = None,
    settings: Settings | None = None,
    threads: int | None = None,
    starts: Sequence[Program] | None = None,
    progress: Callable[[int], None] | None = None,
) -> TemperedDraws:
    """Draw programs from the weights of ``target`` by tempered Markov chains.

    Parameters
    ----------
    num_draws, num_chains
        Draws of each chain, one a round, and chains.
    seed, streams
        A seed that is spawned into one stream per chain, or the streams themselves.
    settings
        Replicas or ladder, proposals a round, warm-up.
    threads
        Chains that run at the same time; by default one per processor.
    starts
        Programs (code, stored) to begin at: chain c puts its replica k on number c + k, counted
        round. By default `starting_programs`, which lie far apart.
    progress
        Told the number of rounds done, from the chains' threads.

    Returns
    -------
    TemperedDraws
        Dependent draws: their worth is their effective sample size. Length 0 where nothing fits.

    Raises
    ------
    InputError
        Counts below 1, a ladder that does not fall from 1 within [0, 1], a start without weight.
    """
    settings = settings or Settings()
    _check(settings, num_draws, num_chains, threads)
    if streams is None:
        streams = np.random.SeedSequence(seed).spawn(num_chains)
    flag = StopFlag()
    chosen = starting_programs(target) if starts is None else list(starts)
    if not chosen:
        return _nothing(target, settings, num_chains, num_draws)
    walks = [
        Walk(target, settings, chosen[c:] + chosen[:c], stream, flag, progress)
        for c, stream in zip((k % len(chosen) for k in range(num_chains)), streams, strict=True)
    ]

    def draw(walk: Walk) -> Records:
        walk.warm_up()
        return walk.draw(num_draws)

    records = in_threads(draw, walks, threads, flag)
    return _joined(target, walks, records)


def in_threads(
    work: Callable[[Any], Any], items: Sequence[Any], threads: int | None, flag: StopFlag
) -> list[Any]:
    """``work`` of every item, in order; an interrupt raises the flag before it goes on."""
    with ThreadPoolExecutor(min(threads or os.cpu_count() or 1, len(items))) as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            flag.stop()
            # What still waits would begin, and only then see the flag.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check(settings: Settings, num_draws: int, num_chains: int, threads: int | None) -> None:
    counts = {
        "num_draws": num_draws,
        "num_chains": num_chains,
        "replicas": settings.replicas,
        "threads": 1 if threads is None else threads,
    }
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise InputError(f"{name} must be a whole number >= 1, found {count!r}")
    for name, least in (("warmup", settings.warmup), ("proposals", settings.proposals or 0)):
        if least < 0:
            raise InputError(f"{name} must be >= 0, found {least}")
    ladder = settings.ladder
    if ladder is not None and not (
        ladder
        and ladder[0] == 1.0
        and ladder[-1] >= 0.0
        and all(a > b for a, b in zip(ladder, ladder[1:], strict=False))
    ):
        raise InputError(f"ladder must fall from 1 and stay >= 0, found {ladder}")


def _joined(target: Target, walks: Sequence[Walk], records: Sequence[Records]) -> TemperedDraws:
    longest = max(int(r.lengths.max()) for r in records)
    facts = len(target.model.facts)
    pairs = slice(0, len(walks[0].ladder) - 1)
    info = TemperedInfo(
        np.stack([w.ladder for w in walks]),
        np.stack([w.moves for w in walks]),
        np.stack([w.tried[pairs] for w in walks]),
        np.stack([w.swapped[pairs] for w in walks]),
    )
    return TemperedDraws(
        np.stack([r.codes[:, :longest] for r in records]),
        np.stack([r.lengths for r in records]),
        np.stack([r.stored[:, :facts] for r in records]).astype(bool),
        np.stack([r.energy for r in records]),
        info,
    )


def _nothing(target: Target, settings: Settings, chains: int, draws: int) -> TemperedDraws:
    replicas = settings.replicas if settings.ladder is None else len(settings.ladder)
    info = TemperedInfo(
        np.full((chains, replicas), np.nan),
        np.zeros((chains, replicas, len(MOVES), len(OUTCOMES)), np.int64),
        np.zeros((chains, replicas - 1), np.int64),
        np.zeros((chains, replicas - 1), np.int64),
    )
    return TemperedDraws(
        np.zeros((chains, draws, 1), np.int16),
        np.zeros((chains, draws), np.int32),
        np.zeros((chains, draws, len(target.model.facts)), bool),
        np.full((chains, draws), np.nan),
        info,
    )
