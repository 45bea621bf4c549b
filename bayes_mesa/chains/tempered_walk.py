"""One tempered chain under way: its replicas, its stream, its ladder, and what it has counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayes_mesa._ext.tempered import Chain
from bayes_mesa.chains.ladder import adapted_ladder, first_ladder
from bayes_mesa.chains.tempered_moves import MOVES, is_program
from bayes_mesa.chains.tempered_starts import Program, starting_programs
from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.domain.grammar import Code
from bayes_mesa.errors import InputError

#: What becomes of a proposal.
OUTCOMES = ("rejected", "accepted", "identical", "impossible")

#: Rounds in one native call: progress is told between calls, and nothing else depends on it.
_CHUNK = 2000
#: Shares of the warm-up after which the ladder is moved; the last stretch only settles.
_STAGES = (0.05, 0.1, 0.15, 0.2, 0.25)
_HOT_ROUNDS = 50


@dataclass(frozen=True)
class Settings:
    """How a chain goes.

    ``replicas`` inverse temperatures, or the fixed ``ladder``; a round is ``proposals`` moves of
    the mixture for each replica, one scan over all facts and a structure jump, then exchanges. None
    for ``proposals``: 32 with a grammar, 4 without. ``warmup`` and draws are counted in rounds.
    """

    replicas: int = 8
    ladder: tuple[float, ...] | None = None
    proposals: int | None = None
    warmup: int = 1000

    def proposals_for(self, target: Target) -> int:
        """Moves of the mixture in a round."""
        if self.proposals is not None:
            return self.proposals
        return 4 if target.model.grammar is None else 32


@dataclass(eq=False)
class StopFlag:
    """Raised by one thread, seen by every chain within 256 moves."""

    raised: NDArray[np.int32] = field(default_factory=lambda: np.zeros(1, np.int32))

    def stop(self) -> None:
        """Make every chain return at its next look."""
        self.raised[0] = 1


class Stopped(Exception):  # noqa: N818
    """The stop flag was raised."""


class NothingFits(Exception):  # noqa: N818
    """No program with weight was found at this theta."""


@dataclass(frozen=True, eq=False)
class Records:
    """What a chain has drawn: a row a round."""

    codes: NDArray[np.int16]
    lengths: NDArray[np.int32]
    stored: NDArray[np.uint8]
    energy: NDArray[np.float64]

    @classmethod
    def empty(cls, rows: int, target: Target) -> Records:
        """Room for ``rows`` programs of a target."""
        return cls(
            np.zeros((rows, target.max_nodes), np.int16),
            np.zeros(rows, np.int32),
            np.zeros((rows, max(1, len(target.model.facts))), np.uint8),
            np.full(rows, np.nan),
        )

    def rows(self, part: slice) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Views of some rows, in the order of the native call."""
        return self.codes[part], self.lengths[part], self.stored[part], self.energy[part]


class Walk:
    """One chain under way: its replicas, its stream, its ladder, and what it has counted."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        starts: Sequence[Program],
        stream: np.random.SeedSequence,
        flag: StopFlag,
        progress: Callable[[int], None] | None = None,
    ):
        self.target, self.settings, self.flag, self.progress = target, settings, flag, progress
        size = settings.replicas if settings.ladder is None else len(settings.ladder)
        self.chain = Chain(target.kernel, size)
        self.bit_generator = np.random.PCG64(stream)
        self.ladder = np.ones(size) if settings.ladder is None else np.array(settings.ladder)
        self.none = Records.empty(0, target)
        self.forget()
        for k in range(size):
            self._place(k, *starts[k % len(starts)])

    def _place(self, replica: int, code: Code, stored: Sequence[bool]) -> None:
        whole = is_program(self.target.tables.grammar, code)
        if not (whole and len(stored) == len(self.target.model.facts)) or not np.isfinite(
            self.target.energy(code, stored)
        ):
            raise InputError(
                f"starts must be programs with weight of at most {self.target.max_nodes} nodes, "
                f"found {tuple(code)} with {sum(stored)} facts stored"
            )
        choice = np.zeros(max(1, len(self.target.model.facts)), np.uint8)
        choice[: len(stored)] = stored
        self.chain.place(replica, np.array(code, np.int16), choice)

    def forget(self) -> None:
        """Count proposals and exchanges from here on."""
        pairs = max(1, len(self.ladder) - 1)
        self.moves = np.zeros((len(self.ladder), len(MOVES), len(OUTCOMES)), np.int64)
        self.tried, self.swapped = np.zeros(pairs, np.int64), np.zeros(pairs, np.int64)
        self.acceptance = np.zeros(pairs)

    def warm_up(self) -> None:
        """Settle, and move the ladder unless it is given."""
        if self.settings.ladder is None and len(self.ladder) > 1:
            self.ladder = first_ladder(len(self.ladder), self._hot_energies())
        left = self.settings.warmup
        for share in _STAGES if self.settings.ladder is None else ():
            rounds = round(share * self.settings.warmup)
            left -= rounds
            self.forget()
            self.advance(rounds, self.none)
            if len(self.ladder) > 1 and (self.tried > 0).all():
                self.ladder = adapted_ladder(self.ladder, self.acceptance / self.tried)
        self.advance(left, self.none)
        self.forget()

    def settle(self, rounds: int) -> None:
        """A short warm-up at another theta: half of it on the old ladder, half on a moved one."""
        self.forget()
        self.advance(rounds // 2, self.none)
        if self.settings.ladder is None and len(self.ladder) > 1 and (self.tried > 0).all():
            self.ladder = adapted_ladder(self.ladder, self.acceptance / self.tried)
        self.advance(rounds - rounds // 2, self.none)
        self.forget()

    def draw(self, num_draws: int) -> Records:
        """Go on, and keep the program at s = 1 after every round."""
        records = Records.empty(num_draws, self.target)
        self.advance(num_draws, records)
        return records

    def retarget(self, target: Target) -> None:
        """Go on at another theta of the same model, from programs that have weight there."""
        self.target = target
        self.chain.retarget(target.kernel)
        fallback = None
        for k in range(self.chain.replicas):
            if not np.isfinite(self.chain.state(k)[2]):
                fallback = fallback or starting_programs(target)
                if not fallback:
                    raise NothingFits
                self._place(k, *fallback[k % len(fallback)])

    def advance(self, rounds: int, records: Records) -> None:
        """Rounds in native calls of bounded length; records fill as many rows as they have."""
        for start in range(0, rounds, _CHUNK):
            part = slice(start, min(start + _CHUNK, rounds))
            self._run(self.ladder, part.stop - start, self.settings, records.rows(part))
            if self.flag.raised[0]:
                raise Stopped
            if self.progress is not None:
                self.progress(part.stop - start)

    def _run(self, ladder: NDArray, rounds: int, settings: Settings, records: tuple) -> None:
        self.chain.run(
            self.bit_generator, ladder, rounds, settings.proposals_for(self.target), True, *records,
            self.flag.raised, self.moves, self.tried, self.swapped, self.acceptance,
        )  # fmt: skip

    def _hot_energies(self) -> NDArray[np.float64]:
        records = Records.empty(_HOT_ROUNDS, self.target)
        self._run(np.zeros(len(self.ladder)), _HOT_ROUNDS, self.settings, records.rows(slice(None)))
        return records.energy
