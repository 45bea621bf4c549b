r"""Exact sums over every program of a grammar, by class.

Under each exchange family the weight of a running time is a mixture of linear rates (see
`bayes_mesa.costing.fact_sums`); at a linear rate the facts are independent and the sum over trees
solves the equations of `bayes_mesa.grammars.inside`, one small system for each *case* of what is
available. So the sum over infinitely many programs is a sum over rates and cases:

.. math:: W_c = \sum_k \omega_k \prod_j (2^{-\beta b_j} + e^{-\lambda_k \tau_j})
          \sum_{\text{cases}} P(\text{case}) F_{\text{case}, c}(\lambda_k)

How rates and cases are chosen, and how the error is bounded, is told in ``_ext/program_rows.pxd``,
``_ext/case_sums.pxd`` and ``_ext/inside_terms.pxd``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_mesa._ext import program_sums as kernel
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars.program_inputs import ROOM, Floats, Inputs, Plan

#: Draws that one call of the kernel works on.
_BLOCK = 64
#: Nats below which a share is 0.
_UNSEEN = 746.0


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Log of the weight of every class, with its error.

    Attributes
    ----------
    log_weight
        (N, 3), natural log, in the order of `model.CLASSES`: the sum over all programs of the class
        and all choices of what to store of 2^(-beta (bits - mandatory stores' bits)) e^(-E loss)
        2^(-beta (Phi(0, steps) - Phi(0, reference steps))). -inf for a class without programs,
        +inf where the sum diverges.
    class_error
        (N, 3), bound of the absolute error of every finite ``log_weight``: proved for the fixed
        points, the cases left out and the rule of levin's family; estimated from known integrals
        for power's, and for rounding. inf where the class is so far below the others, or a cost so
        large, that its log weight is only a lower bound, or that of a clipped cost.
    """

    log_weight: Floats
    class_error: Floats

    @property
    def error(self) -> Floats:
        """Largest error of the classes whose share of the weight is not 0 in doubles, (N,)."""
        top = self.log_weight.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            seen = ~(self.log_weight < top - _UNSEEN)
        return np.where(seen, self.class_error, 0.0).max(axis=1)


def class_sums(
    model: Model,
    family: Family,
    theta: Mapping[str, Any],
    reference_added: ArrayLike = 0.0,
    *,
    threads: int | None = None,
) -> ClassSums:
    """Log weight of every class: the sum over all its programs, infinitely many as they may be.

    Parameters
    ----------
    model
        A model with a grammar.
    family
        The exchange family.
    theta
        As `slots.assemble` gives it, with N draws first.
    reference_added
        Steps, beyond `mandatory_steps`, of the program whose penalty is taken as 0; >= 0, (N,) or a
        number. Given so because the mandatory steps, which may be 1e9 times as many, cancel.
    threads
        By default one per processor. The result does not depend on it.

    Returns
    -------
    ClassSums
        ``log_weight`` (N, 3), its ``class_error`` (N, 3), and ``error`` (N,).

    Raises
    ------
    RefusedError
        If the sums do not factorise: facts that need one another, a cap, a capacity, overlaps, or
        too many components that are not always stored.
    InputError
        If no program may be selected, or one of no steps may be under ``levin``.
    """
    plan = Plan.of(model)
    inputs = Inputs.of(model, plan, family, theta, reference_added)
    size = len(inputs.pressure)
    log_weight, error = np.empty((size, 3)), np.empty((size, 3))
    status = np.zeros(size, np.int32)
    stop = np.zeros(1, np.int32)

    def work(part: slice) -> None:
        kernel.class_sums(
            *plan.arrays, *inputs.arrays(part), ROOM, *plan.work(), stop, log_weight[part],
            error[part], status[part],
        )  # fmt: skip

    in_threads(work, size, stop, threads)
    check_status(status)
    return ClassSums(log_weight, np.where(inputs.unsure(log_weight), np.inf, error))


def check_status(status: NDArray[np.int32]) -> None:
    """Raise what a draw's status means, unless its sum is finite or infinite."""
    if (status == 2).any():
        raise InputError("levin needs steps > 0, found a program that may be selected and takes 0")
    if (status == 3).any():
        raise RefusedError(
            f"one draw of theta needs more than {ROOM} linear rates: its exact sum is refused"
        )


def in_threads(
    work: Callable[[slice], None], size: int, stop: NDArray[np.int32], threads: int | None
) -> None:
    """Run ``work`` on blocks of draws; on an interrupt the kernels end after the draw at hand."""
    parts = [slice(k, min(k + _BLOCK, size)) for k in range(0, size, _BLOCK)]
    with ThreadPoolExecutor(min(threads or os.cpu_count() or 1, max(1, len(parts)))) as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)
            raise
