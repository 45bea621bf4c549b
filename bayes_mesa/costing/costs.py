"""Cost algebra: count matrices, and the bits and steps of every structure for every draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from bayes_mesa.domain.model import Model


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each structure pays each cost.

    Attributes
    ----------
    bits, steps
        A^c and A^t, float64 of shape (S, C): how often s stores, and runs, each component.
    overlap
        float64 (S, O): min(runs of the component, runs of what it is inside), the number of times
        that ``fraction × steps of the component`` is not paid again.
    overlap_component
        int (O,): which component's steps an overlap takes from.
    uses
        v_s, float64 (S,): how often s needs its facts in an episode.
    rule_bits
        float64 (S,): description length of a program's own tree in the grammar; 0 without one.
    """

    bits: np.ndarray
    steps: np.ndarray
    overlap: np.ndarray
    overlap_component: np.ndarray
    uses: np.ndarray
    rule_bits: np.ndarray

    @classmethod
    def of(cls, model: Model) -> Counts:
        """Count matrices of a model, rows in file order; made once."""
        if model not in _COUNTS:
            _COUNTS[model] = cls._made(model)
        return _COUNTS[model]

    @classmethod
    def _made(cls, model: Model) -> Counts:
        index = model.component_index
        shape = (len(model.structures), len(model.components))
        bits, steps = np.zeros(shape), np.zeros(shape)
        for row, structure in enumerate(model.structures):
            for name, count in structure.stores.items():
                bits[row, index[name]] = count
            for name, count in structure.runs.items():
                steps[row, index[name]] = count
        component = np.array([index[o.component] for o in model.overlaps], dtype=int)
        inside = np.array([index[o.inside] for o in model.overlaps], dtype=int)
        uses = np.array([model.facts.uses.get(s.name, 1.0) for s in model.structures])
        overlap = np.minimum(steps[:, component], steps[:, inside])
        rule_bits = np.array([s.rule_bits for s in model.structures])
        return cls(bits, steps, overlap, component, uses, rule_bits)

    @cached_property
    def step_terms(self) -> np.ndarray:
        """Runs of every component and overlap, (S, C + O): what prices of steps multiply."""
        # An overlap enters with a minus sign: its shared part is the *largest* count.
        return np.concatenate([self.steps, -self.overlap], axis=1)


_COUNTS: WeakKeyDictionary[Model, Counts] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Totals:
    """Bits and steps of every structure, split into what all share and what differs.

    ``shared_bits`` and ``shared_steps`` have shape (...,); ``bits`` and ``steps`` (..., S) hold the
    rest and are >= 0. The split is by counts, before any product: costs reach 1e9 bits while the
    differences that decide are tens, and a sum of the whole would round them away.
    """

    shared_bits: Any
    shared_steps: Any
    bits: Any
    steps: Any

    @property
    def full_bits(self) -> Any:
        """Description length of each structure without its facts, bits, (..., S)."""
        return self.shared_bits[..., None] + self.bits

    @property
    def full_steps(self) -> Any:
        """Steps per episode of each structure with all facts stored, (..., S)."""
        return self.shared_steps[..., None] + self.steps


def totals(
    counts: Counts,
    theta: Mapping[str, Any],
    xp: Any = np,
    *,
    shared: tuple[np.ndarray, np.ndarray] | None = None,
) -> Totals:
    """Bits c_s = A^c_s·c + rule bits, and steps t_s = A^t_s·t − Σ_o f_o t_o min(runs).

    ``theta`` holds ``bits``, ``steps`` (..., C) and ``overlap_fraction`` (..., O). ``shared`` gives
    the stores (C,) and `Counts.step_terms` (C + O,) to take out as shared, in place of what all
    structures here share.
    """
    stores, runs = shared if shared is not None else (None, None)
    overlapped = theta["overlap_fraction"] * theta["steps"][..., counts.overlap_component]
    step_terms = xp.concatenate([theta["steps"], overlapped], axis=-1)
    shared_bits, bits = _split(counts.bits, theta["bits"], xp, stores)
    bits = bits + counts.rule_bits
    shared_steps, steps = _split(counts.step_terms, step_terms, xp, runs)
    return Totals(shared_bits, shared_steps, bits, steps)


def _split(
    counts: np.ndarray, costs: Any, xp: Any, shared: np.ndarray | None = None
) -> tuple[Any, Any]:
    shared = counts.min(axis=0) if shared is None else shared
    # einsum, not matmul: a BLAS may sum in an order that depends on the number of threads.
    return (
        xp.einsum("...k,k->...", costs, shared),
        xp.einsum("...k,sk->...s", costs, counts - shared),
    )
