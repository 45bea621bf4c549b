"""Which program is favored, and how the weight is shared: one vectorised pass over draws of theta.

Nothing here is differentiated: NUTS sees the priors and the evidence only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bayes_mesa.costs import Counts, Totals, totals
from bayes_mesa.critical import critical_exchange
from bayes_mesa.errors import RefusedError
from bayes_mesa.exchange import LN2, relative_penalty
from bayes_mesa.fact_sums import log_fact_factor
from bayes_mesa.least import least_fact_penalty
from bayes_mesa.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.slots import parameters

#: Draws worked on at a time: bounds the memory, and how long an interrupt waits.
_BLOCK = 4096


def refuse_what_has_no_exact_route(model: Model) -> None:
    """Raise `RefusedError` when 2^n fact choices would have to be summed one by one."""
    if not len(model.facts):
        return
    reasons = {
        "facts that need one another": model.facts.depend,
        "selection.cap together with facts": model.selection.cap is not None,
        "selection.max_bits together with facts": model.selection.max_bits is not None,
    }
    for what, present in reasons.items():
        if present:
            raise RefusedError(
                f"{what}: the sum over store-or-derive choices then has no closed form, and this "
                "version has no sampler for it yet; drop the facts or that key"
            )


def verdicts(model: Model, family: Family, theta: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Masses, favored, margins, totals and critical exchanges for every draw.

    Parameters
    ----------
    theta
        As `slots.assemble` gives it, with N draws first.

    Returns
    -------
    dict of arrays
        ``structure_mass`` (N, S), ``structure_favored`` (N, S) 0 or 1, ``class_mass`` (N, 3) in the
        order of `model.CLASSES`, ``deceptive_mass`` (N,), ``deceptive_favored`` (N,) 0 or 1,
        ``margin_bits`` (N,), ``critical_rate``, ``critical_kappa`` (N,), ``rate_crossings``,
        ``kappa_crossings`` (N,) int, ``structure_bits``, ``structure_steps`` (N, S), and
        ``log_weight_error`` (N,): bound on the absolute error of any structure's log weight.
        Where nothing fits under the cap and the capacity, masses and margin are NaN.
    """
    refuse_what_has_no_exact_route(model)
    counts = Counts.of(model)
    blocks = [_block(model, family, counts, part) for part in _blocks(theta)]
    return {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}


def eligible_structures(model: Model, whole: Totals, xp: Any = np) -> Any:
    """Which structures may be selected in each draw, bool (..., S): objective, cap and capacity."""
    fits = xp.broadcast_to(xp.asarray(model.eligible), xp.shape(whole.bits))
    if model.selection.cap is not None:
        fits = fits & (whole.full_steps <= model.selection.cap)
    if model.selection.max_bits is not None:
        fits = fits & (whole.full_bits <= model.selection.max_bits)
    return fits


def loss_nats(model: Model, theta: Mapping[str, Any], xp: Any = np) -> Any:
    """E · loss of the objective each structure pursues in training, nats, (..., S)."""
    names = list(model.losses)
    shape = xp.shape(theta["pressure"])
    columns = [
        theta["loss"][..., names.index(s.train)] if s.train in names else xp.zeros(shape)
        for s in model.structures
    ]
    return model.selection.episodes * xp.stack(columns, axis=-1)


def _blocks(theta: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    num_draws = len(theta["pressure"])
    # Broadcast once: a block is then a view, and scalars known to the model need no special case.
    for start in range(0, num_draws, _BLOCK):
        yield {name: np.asarray(x)[start : start + _BLOCK] for name, x in theta.items()}


def _block(
    model: Model, family: Family, counts: Counts, theta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    whole = totals(counts, theta)
    eligible = eligible_structures(model, whole)
    loss = loss_nats(model, theta)
    loss_bits = loss / (theta["pressure"][:, None] * LN2)
    relative = relative_penalty(
        family.name,
        parameters(family, theta),
        whole.bits,
        whole.steps,
        whole.shared_steps,
        eligible,
    )
    log_weight, error = _log_weights(model, family, counts, theta, whole, relative, loss)
    mass = _normalised(np.where(eligible, log_weight, -np.inf))
    least = relative + _least_added(model, family, counts, theta, whole)
    cost = np.where(eligible, least + loss_bits, np.inf)
    classes = np.array(model.classes)
    by_class = np.stack([mass[:, classes == name].sum(axis=1) for name in CLASSES], axis=-1)
    by_class[np.isnan(mass[:, 0])] = np.nan  # nothing fits: of an absent class too
    favored = _favored(cost, classes == DECEPTIVE)
    return {
        "structure_mass": mass,
        # Whole numbers, not bool: ArviZ's summaries subtract draws from one another.
        "structure_favored": favored.astype(np.int8),
        "class_mass": by_class,
        "deceptive_mass": by_class[:, CLASSES.index(DECEPTIVE)],
        "deceptive_favored": favored[:, classes == DECEPTIVE].any(axis=1).astype(np.int8),
        "margin_bits": _margin(cost, classes == DECEPTIVE),
        "structure_bits": whole.full_bits,
        "structure_steps": whole.full_steps,
        "log_weight_error": error,
        **_criticals(model, counts, theta, whole, whole.bits + loss_bits, eligible),
    }


def _facts_of(theta: Mapping[str, Any], counts: Counts) -> dict[str, Any]:
    return {
        "uses": counts.uses,
        "fact_bits": np.ascontiguousarray(theta["fact_bits"]),
        "fact_steps": np.ascontiguousarray(theta["fact_steps"]),
    }


def _log_weights(
    model: Model,
    family: Family,
    counts: Counts,
    theta: Mapping[str, Any],
    whole: Totals,
    relative: np.ndarray,
    loss: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    pressure = theta["pressure"][:, None]
    multiplicity = np.array([s.multiplicity for s in model.structures])
    log_weight = np.log(multiplicity) - pressure * LN2 * relative - loss
    if not len(model.facts):
        return log_weight, np.zeros(len(log_weight))
    sums = log_fact_factor(
        family.name,
        pressure=theta["pressure"],
        parameters=parameters(family, theta),
        steps=whole.full_steps,
        **_facts_of(theta, counts),
    )
    return log_weight + sums.log_factor, sums.error.max(axis=1)


def _least_added(
    model: Model, family: Family, counts: Counts, theta: Mapping[str, Any], whole: Totals
) -> np.ndarray | float:
    """Penalty of each structure's least-cost choice over facts, beyond the structure's own."""
    if not len(model.facts):
        return 0.0
    added, _, _ = least_fact_penalty(
        family.name,
        parameters=parameters(family, theta),
        steps=whole.full_steps,
        **_facts_of(theta, counts),
    )
    return added


def _normalised(log_weight: np.ndarray) -> np.ndarray:
    best = log_weight.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        weight = np.exp(log_weight - best)  # NaN where nothing fits: -inf less -inf
    return weight / weight.sum(axis=1, keepdims=True)


def _favored(cost: np.ndarray, deceptive: np.ndarray) -> np.ndarray:
    # argmin takes the first of equals: a program that is not deceptive, then file order.
    order = np.argsort(deceptive, kind="stable")
    winner = order[np.argmin(cost[:, order], axis=1)]
    return (np.arange(cost.shape[1]) == winner[:, None]) & np.isfinite(cost.min(axis=1))[:, None]


def _margin(cost: np.ndarray, deceptive: np.ndarray) -> np.ndarray:
    others = cost[:, ~deceptive].min(axis=1, initial=np.inf)
    pretending = cost[:, deceptive].min(axis=1, initial=np.inf)
    with np.errstate(invalid="ignore"):
        return others - pretending


def _criticals(
    model: Model,
    counts: Counts,
    theta: Mapping[str, Any],
    whole: Totals,
    bits: np.ndarray,
    eligible: np.ndarray,
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    deceptive = np.array(model.classes) == DECEPTIVE
    steps_of = {"linear": whole.steps, "levin": whole.full_steps}
    for family, name in (("linear", "rate"), ("levin", "kappa")):
        found[f"critical_{name}"], found[f"{name}_crossings"] = critical_exchange(
            family,
            bits=bits,
            steps=steps_of[family],
            eligible=eligible,
            deceptive=deceptive,
            **_facts_of(theta, counts),
        )
    return found
