"""Every store-or-derive choice, one by one: where facts need one another, or a limit ties them.

A derivation repeats what it needs unless that is stored, so with ``needs`` the steps are no sum
over facts; a cap on steps or a capacity in bits ties all facts together. Neither factorises, and up
to `MAX_FACTS` facts the 2^n choices are simply listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.costing.exchange import LN2, added_penalty
from bayes_mesa.domain.model import Model

Array = NDArray[np.float64]

#: 2^n choices are listed for every structure and draw.
MAX_FACTS = 16
#: Numbers held at once: bounds the working memory.
_BLOCK = 1 << 21


@dataclass(frozen=True, eq=False)
class ChoiceSums:
    """Sum and least over the choices that fit, relative to the structure without its facts.

    Attributes
    ----------
    log_factor
        (N, S), natural log of the sum of 2^(-beta (bits + Phi(0, t + x) - Phi(0, t))); -inf where
        no choice fits.
    least, bits, steps
        (N, S): least penalty added, in bits, and the bits and steps that it adds; least is inf
        where no choice fits.
    """

    log_factor: Array
    least: Array
    bits: Array
    steps: Array


def ties_between_facts(model: Model) -> tuple[str, ...]:
    """Why the choices over facts do not factorise, in words; () where they do."""
    if not len(model.facts):
        return ()
    ties = {
        "facts need one another": model.facts.depend,
        "the cap bounds the steps of all facts together": model.selection.cap is not None,
        "the capacity bounds the bits of all facts together": model.selection.max_bits is not None,
    }
    return tuple(why for why, holds in ties.items() if holds)


def derivation_steps(
    needs: Sequence[Sequence[int]], fact_steps: Array, stored: NDArray[np.bool_]
) -> Array:
    """Steps of deriving what is not stored, sum_j (1 - z_j) T_j(z), for every choice.

    T_j(z) = tau_j + sum over i in needs(j) of (1 - z_i) T_i(z).

    Parameters
    ----------
    needs
        Facts that each fact needs, acyclic; empty or all empty: T_j = tau_j.
    fact_steps
        tau_j in steps, (..., n).
    stored
        z, bool (Z, n).

    Returns
    -------
    array (..., Z)
    """
    order = TopologicalSorter(dict(enumerate(needs))).static_order()
    derived = ~stored
    spent = np.zeros((*fact_steps.shape[:-1], *stored.shape))
    wanted = needs or [()] * fact_steps.shape[-1]
    for j in order if needs else range(fact_steps.shape[-1]):
        inner = spent[..., list(wanted[j])].sum(axis=-1)
        spent[..., j] = derived[:, j] * (fact_steps[..., j, None] + inner)
    return spent.sum(axis=-1)


def every_choice(num_facts: int) -> NDArray[np.bool_]:
    """All choices z, bool (2^n, n), with the first fact changing fastest."""
    return (np.arange(1 << num_facts)[:, None] >> np.arange(num_facts)) & 1 == 1


def minimal_choices(
    needs: Sequence[Sequence[int]], fact_bits: Array, fact_steps: Array
) -> NDArray[np.bool_]:
    """The choices of which one is of least cost, whatever the program and the exchange.

    Where the facts cost the same in all draws (facts that need one another are always known), a
    choice that stores no fewer bits and derives no fewer steps than another is left out.

    Returns
    -------
    bool (Z, n)
        All 2^n choices where the facts' costs vary over draws.
    """
    stored = every_choice(fact_bits.shape[1])
    if not len(fact_bits) or np.any(fact_bits != fact_bits[:1]):
        return stored
    if np.any(fact_steps != fact_steps[:1]):
        return stored
    bits = np.einsum("k,zk->z", fact_bits[0], stored)
    steps = derivation_steps(needs, fact_steps[0], stored)
    order = np.lexsort((np.arange(len(stored)), steps, bits))
    before = np.minimum.accumulate(np.append(np.inf, steps[order][:-1]))
    return stored[np.sort(order[steps[order] < before])]


def choice_sums(
    family: str,
    *,
    pressure: Array,
    parameters: Mapping[str, Array],
    bits: Array,
    steps: Array,
    uses: Array,
    fact_bits: Array,
    fact_steps: Array,
    needs: Sequence[Sequence[int]],
    cap: float | None = None,
    max_bits: float | None = None,
    stored: NDArray[np.bool_] | None = None,
) -> ChoiceSums:
    """Sum and least over all 2^n choices, or over those given, for every draw and structure.

    Parameters
    ----------
    family, pressure, parameters
        As in `fact_sums.log_fact_factor`; (N,) each.
    bits, steps
        Bits and steps of the structures without facts, in full, (N, S).
    uses
        v_s >= 0, (S,).
    fact_bits, fact_steps
        (N, n), n at most `MAX_FACTS`.
    needs
        Facts that each fact needs; () for none.
    cap, max_bits
        Largest steps and bits of a program; None: no limit.
    stored
        Choices to go over, bool (Z, n); None: all.

    Returns
    -------
    ChoiceSums
        Exact but for rounding.
    """
    stored = every_choice(fact_bits.shape[1]) if stored is None else stored
    shape = steps.shape
    found = ChoiceSums(*(np.empty(shape) for _ in range(4)))
    for rows in _blocks(shape[0], len(stored)):
        choice_bits = np.einsum("nk,zk->nz", fact_bits[rows], stored)
        derived = derivation_steps(needs, fact_steps[rows], stored)
        here = {name: x[rows, None] for name, x in parameters.items()}
        for s in range(shape[1]):
            extra = uses[s] * derived
            added = choice_bits + added_penalty(family, here, steps[rows, s, None], extra)
            fits = np.ones(added.shape, bool)
            if cap is not None:
                fits &= steps[rows, s, None] + extra <= cap
            if max_bits is not None:
                fits &= bits[rows, s, None] + choice_bits <= max_bits
            added = np.where(fits, added, np.inf)
            best = np.argmin(added, axis=1)[:, None]
            found.log_factor[rows, s] = _log_sum(-LN2 * pressure[rows, None] * added)
            found.least[rows, s] = np.take_along_axis(added, best, 1)[:, 0]
            found.bits[rows, s] = np.take_along_axis(choice_bits, best, 1)[:, 0]
            found.steps[rows, s] = np.take_along_axis(extra, best, 1)[:, 0]
    return found


def _blocks(num_draws: int, width: int) -> Iterator[slice]:
    size = max(1, _BLOCK // width)
    for first in range(0, num_draws, size):
        yield slice(first, first + size)


def _log_sum(log_weight: Array) -> Array:
    top = log_weight.max(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.log(np.exp(log_weight - top[:, None]).sum(axis=1))
    return np.where(np.isfinite(top), top + total, -np.inf)
