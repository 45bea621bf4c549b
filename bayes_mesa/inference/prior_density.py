"""Log prior density of every uncertain slot at given values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Model
from bayes_mesa.domain.slots import Slot
from bayes_mesa.verdicts.prior_draws import copula_matrix, correlated_names

#: Draws at a time: the temporary arrays of a density then stay in the processor's cache.
_BLOCK = 8192


def log_prior(
    model: Model, slots: Sequence[Slot], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Natural log of the prior density of each uncertain slot, (...,); facts are summed.

    With correlations, the copula's log density is the entry ``correlations``. The log of the
    acceptance of the constraints, one constant for the whole model, is dropped.
    """
    found = {}
    for slot in slots:
        if not isinstance(slot.belief, Known):
            density = _in_blocks(slot.belief.logpdf, values[slot.name])
            found[slot.name] = density.sum(axis=-1) if slot.size else density
    names = [n for n in correlated_names(model) if n in found]
    if names:
        found["correlations"] = _copula(model, names, slots, values)
    return found


def _in_blocks(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """An elementwise function of an array: what it needs on the way is of the size of a block."""
    flat, found = x.reshape(-1), np.empty(x.size)
    for start in range(0, x.size, _BLOCK):
        found[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
    return found.reshape(x.shape)


def _copula(
    model: Model, names: Sequence[str], slots: Sequence[Slot], values: Mapping[str, np.ndarray]
) -> np.ndarray:
    beliefs = {s.name: s.belief for s in slots if not isinstance(s.belief, Known)}
    z = np.stack([beliefs[n].score(values[n]) for n in names], axis=-1)
    matrix = copula_matrix(model, names)
    precision = np.linalg.inv(matrix) - np.eye(len(names))
    return -0.5 * np.linalg.slogdet(matrix)[1] - 0.5 * np.einsum("...j,jk,...k", z, precision, z)
