"""Exact independent draws of whole programs of a grammar: the tree, and what it stores.

The sum over all programs (`bayes_mesa.grammars.program_sums`) is a mixture over cases, linear
rates and roots. A draw takes one of them by its share, then the tree top-down by its inside sums,
then every fact by itself: no chain, and trees of any length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_mesa._ext import program_draws as facts_kernel
from bayes_mesa._ext import tree_draws as kernel
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.errors import InputError
from bayes_mesa.grammars.program_inputs import ROOM, Inputs, Plan
from bayes_mesa.grammars.program_sums import check_status

#: Programs, or draws of theta, between two looks at an interrupt; the stream simply goes on.
_BLOCK, _BLOCK_VARYING = 1 << 17, 64
#: Entries less probable than this are left out of a table: nobody will draw one.
_NEVER = 2.0**-64


@dataclass(frozen=True, eq=False)
class TreeDraws:
    """Programs as they were drawn.

    Attributes
    ----------
    flat
        int16, the prefix codes behind one another.
    lengths
        (D,), int64: nodes of each program.
    stored
        (D, n) bool: which facts each program stores.
    """

    flat: NDArray[np.int16]
    lengths: NDArray[np.int64]
    stored: NDArray[np.bool_]

    @property
    def codes(self) -> NDArray[np.int16]:
        """(D, L) prefix codes, -1 behind their ends; L is the longest of them."""
        width = int(self.lengths.max(initial=0))
        found = np.full((len(self.lengths), width), -1, np.int16)
        found[np.arange(width) < self.lengths[:, None]] = self.flat
        return found


def draw_grammar_programs(
    bit_generator: np.random.BitGenerator,
    model: Model,
    family: Family,
    theta: Mapping[str, Any],
    *,
    num_draws: int | None = None,
    reference_added: ArrayLike = 0.0,
) -> TreeDraws:
    """Independent exact draws of a grammar's programs, with what they store of the facts.

    Parameters
    ----------
    bit_generator
        NumPy bit generator. One chain per generator; the stream goes on, so that drawing in pieces
        gives the same programs as drawing at once. The GIL is released.
    model, family, theta
        As for `class_sums`.
    num_draws
        None: one program per row of theta. A number: that many programs at the one row of theta,
        from a table made once.
    reference_added
        As for `class_sums`; it moves no probability by more than rounding.

    Returns
    -------
    TreeDraws
        D programs. The buffers grow with the trees: none is cut or drawn again for its length.

    Raises
    ------
    InputError, RefusedError
        As `class_sums`; and if ``num_draws`` is given with more than one row of theta, or the sum
        over programs diverges.
    """
    plan = Plan.of(model)
    inputs = Inputs.of(model, plan, family, theta, reference_added)
    size = len(inputs.pressure)
    if not isinstance(bit_generator, np.random.BitGenerator):
        found = type(bit_generator).__name__
        raise InputError(f"bit_generator must be a NumPy BitGenerator, found {found}")
    if num_draws is None:
        return _draw_varying(bit_generator, plan, inputs, size)
    if size != 1 or num_draws < 0:
        raise InputError(
            f"num_draws must be >= 0 and needs one row of theta, found {num_draws} and {size} rows"
        )
    return _draw_fixed(bit_generator, plan, inputs, num_draws)


class _Buffers:
    """Where trees are written; grown when the kernel says that they are full."""

    def __init__(self, size: int, num_facts: int, width: int):
        self.flat = np.empty(max(1024, 16 * size), np.int16)
        self.stack = np.empty(1024 + width, np.int32)
        self.at = np.zeros(5, np.int64)
        self.lengths = np.zeros(size, np.int64)
        self.stored = np.zeros((size, max(1, num_facts)), np.bool_)
        self.lane = np.empty(num_facts + 4, np.uint16)
        self.num_facts = num_facts

    def grow(self) -> None:
        if self.at[1] >= len(self.flat):
            self.flat = np.concatenate([self.flat, np.empty_like(self.flat)])
        else:
            self.stack = np.concatenate([self.stack, np.empty_like(self.stack)])

    def trees(self) -> tuple[Any, ...]:
        return self.lane, self.flat, self.stack, self.at

    def draws(self) -> TreeDraws:
        flat = self.flat[: self.at[1]].copy()
        return TreeDraws(flat, self.lengths, self.stored[:, : self.num_facts])


def _tables(plan: Plan) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """First term of every state, and the rule of every term, -1 for none."""
    s = plan.reduced
    starts = np.searchsorted(s.target, np.arange(len(s.block) + 1)).astype(np.int32)
    return starts, s.rule.astype(np.int16)


def _checked(status: int) -> None:
    check_status(np.array([status], np.int32))
    if status:
        raise InputError("programs are drawn where their sum is finite, found one that diverges")


def _draw_varying(
    bit_generator: np.random.BitGenerator, plan: Plan, inputs: Inputs, size: int
) -> TreeDraws:
    starts, rule = _tables(plan)
    n, terms, width = inputs.num_facts, len(rule), plan.arrays[0].shape[1]
    work = plan.work()
    entries = [np.empty((3, 4096), np.int32), np.empty((2, 4096))]
    own = np.empty(terms, np.uint64), np.empty(n + 1, np.uint16), np.empty(n + 1, np.uint64)
    status = np.zeros(1, np.int32)
    parts = []
    for start in range(0, size, _BLOCK_VARYING):
        part = slice(start, min(start + _BLOCK_VARYING, size))
        buffers = _Buffers(part.stop - part.start, n, width)
        arguments = inputs.arrays(part)
        while True:
            needed = kernel.draw_varying(
                bit_generator, *plan.arrays, *arguments, starts, rule, ROOM, *work, *entries, *own,
                *buffers.trees(), buffers.lengths, buffers.stored.view(np.uint8), status,
            )  # fmt: skip
            _checked(int(status[0]))
            if needed == 0:
                break
            if needed > 0:
                entries = [np.empty((3, 2 * needed), np.int32), np.empty((2, 2 * needed))]
            else:
                buffers.grow()
        parts.append(buffers.draws())
    return _joined(parts, n)


def _joined(parts: list[TreeDraws], num_facts: int) -> TreeDraws:
    if not parts:
        return TreeDraws(
            np.empty(0, np.int16), np.empty(0, np.int64), np.empty((0, num_facts), np.bool_)
        )
    return TreeDraws(
        np.concatenate([p.flat for p in parts]),
        np.concatenate([p.lengths for p in parts]),
        np.concatenate([p.stored for p in parts]),
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """Entries (case, rate, root) of one theta, their shares, and what words are compared with."""

    share: NDArray[np.float64]
    place: NDArray[np.integer]
    state: NDArray[np.int32]
    reached: NDArray[np.uint64]
    top: NDArray[np.uint16]
    threshold: NDArray[np.uint64]


def _table(plan: Plan, inputs: Inputs) -> _Table:
    arguments = inputs.arrays(slice(0, 1))
    work, room, rate = plan.work(), 4096, np.empty(ROOM)
    while True:
        entry, share = np.empty((3, room), np.int32), np.empty((2, room))
        status, count = kernel.fill_table(*plan.arrays, *arguments, ROOM, *work, entry, share, rate)
        _checked(status)
        if count <= room:
            break
        room = count
    share = share[1, :count] / share[1, :count].sum()
    kept = share > _NEVER
    share, entry = share[kept], entry[:, :count][:, kept]
    pairs, place = np.unique(entry[:2], axis=1, return_inverse=True)
    rates = np.ascontiguousarray(rate[pairs[1]])
    n = inputs.num_facts
    reached = np.empty((len(rates), len(plan.reduced.target)), np.uint64)
    top, threshold = np.empty((len(rates), n + 1), np.uint16), np.empty((len(rates), n + 1), "u8")
    kernel.fill_terms(
        *plan.arrays, *arguments, *work, np.ascontiguousarray(pairs[0]), rates, reached, top,
        threshold,
    )  # fmt: skip
    state = np.asarray(plan.reduced.roots[entry[2]], np.int32)
    place = place.reshape(-1)
    return _Table(share, place, state, reached, top, threshold)


def _draw_fixed(
    bit_generator: np.random.BitGenerator, plan: Plan, inputs: Inputs, num_draws: int
) -> TreeDraws:
    table = _table(plan, inputs)
    places = np.ascontiguousarray(table.place, np.int32)
    starts, rule = _tables(plan)
    guide_bits = max(4, int(np.ceil(np.log2(4 * len(table.share)))))
    cumulative, guide = np.empty(len(table.share), np.uint64), np.empty(1 << guide_bits, np.int64)
    facts_kernel.fill_cumulative(table.share, cumulative, guide, guide_bits)
    parts = []
    for start in range(0, num_draws, _BLOCK):
        buffers = _Buffers(
            min(_BLOCK, num_draws - start), inputs.num_facts, plan.arrays[0].shape[1]
        )
        while not kernel.draw_fixed(
            bit_generator, plan.arrays[0], starts, rule, cumulative, guide, guide_bits, places,
            table.state, table.reached, table.top, table.threshold, inputs.num_facts,
            *buffers.trees(), buffers.lengths, buffers.stored.view(np.uint8),
        ):  # fmt: skip
            buffers.grow()
        parts.append(buffers.draws())
    return _joined(parts, inputs.num_facts)
