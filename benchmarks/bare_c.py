"""The sampler against a bare C loop that makes the same bytes, compiled here with ``cc -O3``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayes_mesa.costing import fact_sums
from benchmarks.compiling import compiled
from benchmarks.draws import FACTS, FIXED_CALLS, FIXED_DRAWS, fixed_arguments
from benchmarks.timing import Row, busy, by_turns


def rows() -> list[Row]:
    """The public call, its table and its outputs included, against the C loop and its outputs."""
    ours, bare = by_turns(_ours(), _bare(), 7)["programs"]
    return [Row("draws, fixed costs: bare C loop, cc -O3", "programs / s", ours, bare, 0.3)]


def _ours() -> Callable[[int], Mapping[str, float]]:
    arguments = fixed_arguments()

    def run(seed: int) -> dict[str, float]:
        bit_generator = np.random.PCG64(seed)

        def draw() -> None:
            for _ in range(FIXED_CALLS):
                fact_sums.draw_programs(bit_generator, **arguments, num_draws=FIXED_DRAWS)

        return {"programs": FIXED_CALLS * FIXED_DRAWS / busy(draw)[1]}

    return run


def _bare() -> Callable[[int], Mapping[str, float]]:
    draw, tables = compiled("draws").draw, _tables()
    mine = _draw(draw, tables, 5, 10_000)
    ours = fact_sums.draw_programs(np.random.PCG64(5), **fixed_arguments(), num_draws=10_000)
    if not all(np.array_equal(a, b) for a, b in zip(mine, ours, strict=True)):
        raise SystemExit("the C loop must give the sampler's own bytes, and does not")

    def run(seed: int) -> dict[str, float]:
        def many() -> None:
            for _ in range(FIXED_CALLS):
                _draw(draw, tables, seed, FIXED_DRAWS)

        return {"programs": FIXED_CALLS * FIXED_DRAWS / busy(many)[1]}

    return run


def _tables() -> tuple[Any, ...]:
    """The tables of `draw_programs`, as it passes them to its kernel."""
    kept: dict[str, Any] = {}
    kernel = fact_sums.draws

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            return getattr(kernel, name)

        def draw_fixed(self, _: Any, *rest: Any) -> None:
            kept["tables"] = rest[:6]

    fact_sums.draws = Recorder()  # type: ignore[assignment]
    try:
        fact_sums.draw_programs(np.random.PCG64(0), **fixed_arguments(), num_draws=1)
    finally:
        fact_sums.draws = kernel
    return kept["tables"]


def _draw(draw: Any, tables: tuple[Any, ...], seed: int, count: int) -> tuple[Any, Any]:
    cumulative, guide, guide_bits, structures, top, threshold = tables
    # As the sampler does: outputs are made within the time that is measured.
    structure, stored = np.full(count, -1, np.int64), np.zeros((count, FACTS), np.bool_)
    state = np.random.PCG64(seed).state["state"]
    halves = [(state[k] >> s) & (2**64 - 1) for k in ("state", "inc") for s in (64, 0)]
    words = np.array(halves, np.uint64)
    draw(
        _at(words), _at(cumulative), _at(guide), ctypes.c_int(guide_bits), _at(structures),
        _at(top), _at(threshold), ctypes.c_int64(FACTS), ctypes.c_int64(count), _at(structure),
        _at(stored),
    )  # fmt: skip
    return structure, stored


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
