"""Exact sums over every store-or-derive choice, and exact draws of whole programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_mesa._ext import fact_sums as kernels
from bayes_mesa._ext import program_draws as draws

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FactSums:
    """Log of the sum over fact choices (N, S), natural log, and the error of it (N, S)."""

    log_factor: Floats
    error: Floats


def log_fact_factor(
    family: str,
    *,
    pressure: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    steps: ArrayLike,
    uses: ArrayLike,
    fact_bits: ArrayLike,
    fact_steps: ArrayLike,
) -> FactSums:
    pressure, steps, uses, fact_bits, fact_steps = (
        np.ascontiguousarray(x, dtype=np.float64)
        for x in (pressure, steps, uses, fact_bits, fact_steps)
    )
    shape, n = steps.shape, fact_bits.shape[1]
    out, error = np.zeros(shape), np.zeros(shape)
    if n == 0 or out.size == 0:
        return FactSums(out, error)
    p = {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in parameters.items()}
    cost, step = np.empty(n), np.empty(n)
    if family == "linear":
        kernels.linear_factors(pressure, p["rate"], uses, fact_bits, fact_steps, cost, out, error)
    elif family == "levin":
        group_uses, group = np.unique(uses, return_inverse=True)
        group = group.astype(np.int64)
        rows = kernels.levin_rows_needed(
            pressure, p["kappa"], steps, group, group_uses, fact_steps, step
        )
        work = np.empty((4, rows))
        kernels.levin_factors(
            pressure, p["kappa"], steps, group, group_uses, fact_bits, fact_steps, cost, step,
            work, out, error,
        )
    else:
        args = (pressure, p["rate"], p["exponent"], steps, uses, fact_bits, fact_steps, cost, step)
        work = np.empty((4, kernels.power_rows_needed(*args)))
        kernels.power_factors(*args, np.empty(kernels.RULE_ROWS), work, out, error)
    return FactSums(out, error)


FAMILIES = {"linear": (0, "rate", None), "levin": (1, "kappa", None), "power": (2, "rate", "exponent")}


def _rows(family, pressure, first, second, steps, uses, fact_bits, fact_steps, step):
    if family == "levin" and fact_steps.shape[1]:
        return kernels.levin_rows_needed(
            pressure, first, steps, np.arange(len(uses)), uses, fact_steps, step
        )
    if family == "power" and fact_steps.shape[1]:
        return kernels.power_rows_needed(pressure, first, second, steps, uses, fact_bits, fact_steps, np.empty_like(step), step)
    return 1


def draw_programs(
    bit_generator,
    *,
    family,
    mass,
    pressure,
    parameters,
    steps,
    uses,
    fact_bits,
    fact_steps,
    num_draws=None,
):
    mass, pressure, steps, uses, fact_bits, fact_steps = (
        np.ascontiguousarray(x, dtype=np.float64)
        for x in (mass, pressure, steps, uses, fact_bits, fact_steps)
    )
    code, one, two = FAMILIES[family]
    first = np.ascontiguousarray(parameters[one], dtype=np.float64)
    second = np.ascontiguousarray(parameters[two], dtype=np.float64) if two else first
    n = fact_bits.shape[1]
    facts = np.empty((2, n))
    rows = np.empty((4, _rows(family, pressure, first, second, steps, uses, fact_bits, fact_steps, facts[1])))
    if num_draws is None:
        structure = np.empty(len(mass), np.int64)
        stored = np.zeros((len(mass), n), np.bool_)
        draws.draw_varying(
            bit_generator, code, mass, pressure, first, second, steps, uses, fact_bits, fact_steps,
            facts, rows, np.empty(kernels.RULE_ROWS), np.empty((2, n + 3), np.uint16), np.empty(n, np.uint64),
            structure, stored.view(np.uint8),
        )
        return structure, stored
    share, row_structure, top, threshold = [], [], [], []
    if np.isnan(mass[0, 0]):
        return np.full(num_draws, -1), np.zeros((num_draws, n), np.bool_)
    for s in range(len(uses)):
        if not mass[0, s] > 0:
            continue
        if n:
            count = draws.fill_shares(code, pressure[0], first[0], second[0], steps[0, s], uses[s], fact_bits[0], fact_steps[0], facts, rows, np.empty(kernels.RULE_ROWS))
        else:
            count = 1
            rows[:2, 0] = 1
        p = rows[1, :count] / sum(rows[1, :count].tolist()) * mass[0, s]
        keep = p > 2.0**-64
        a, b = np.empty((keep.sum(), n), np.uint16), np.empty((keep.sum(), n), np.uint64)
        if n:
            draws.fill_thresholds(np.ascontiguousarray(rows[0, :count][keep]), facts, rows, np.empty(1), a, b)
        share.append(p[keep]); top.append(a); threshold.append(b); row_structure.append(np.full(keep.sum(), s))
    share = np.concatenate(share)
    cumulative = np.empty(len(share), np.uint64)
    bits = 12
    guide = np.empty(2**bits, np.int64)
    draws.fill_cumulative(share, cumulative, guide, bits)
    structure = np.empty(num_draws, np.int64)
    stored = np.zeros((num_draws, n), np.bool_)
    draws.draw_fixed(bit_generator, cumulative, guide, bits, np.concatenate(row_structure), np.concatenate(top), np.concatenate(threshold), np.empty(n + 3, np.uint16), structure, stored.view(np.uint8))
    return structure, stored
