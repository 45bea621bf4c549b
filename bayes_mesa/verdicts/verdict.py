"""Which program is favored, and how the weight is shared: one vectorised pass over draws of theta.

Nothing here is differentiated: NUTS sees the priors and the evidence only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.verdicts.contest import Contest
from bayes_mesa.verdicts.engines import ENUMERATED, TEMPERED, Engines
from bayes_mesa.verdicts.enumerated_verdict import enumerated_verdict
from bayes_mesa.verdicts.grammar_verdict import grammar_verdict
from bayes_mesa.verdicts.tempered_verdict import tempered_verdict

#: Draws worked on at a time: bounds the memory, and how long an interrupt waits.
_BLOCK = 4096


def refuse_what_has_no_exact_route(model: Model) -> None:
    """Raise `RefusedError` where Z does not factorise: for evidence that needs it."""
    Engines.of(model).refuse_what_is_not_exact()


def verdicts(
    model: Model,
    family: Family,
    theta: Mapping[str, Any],
    stream: np.random.SeedSequence | None = None,
) -> dict[str, np.ndarray]:
    """Masses, favored, margins, totals and critical exchanges for every draw.

    Parameters
    ----------
    theta
        As `slots.assemble` gives it, with N draws first.
    stream
        For models whose masses need Markov chains over programs; unused by all others.

    Returns
    -------
    dict of arrays
        With S the places of `model.columns`: ``structure_mass`` (N, S), ``structure_favored``
        (N, S) 0 or 1, ``class_mass`` (N, 3) in the order of `model.CLASSES`, ``deceptive_mass``
        (N,), ``deceptive_favored`` (N,) 0 or 1, ``margin_bits`` (N,), ``critical_rate``,
        ``critical_kappa`` (N,), ``rate_crossings``, ``kappa_crossings`` (N,) int,
        ``structure_bits``, ``structure_steps`` (N, S), NaN for the rest of a class, and
        ``log_weight_error`` (N,): bound on the absolute error of any log weight. A model with a
        grammar has ``least_steps`` (N,) too: steps of the program that runs the fewest.
        Where masses are those of Markov chains, ``mass_error`` (N,), the standard error of the
        deceptive mass, stands in place of ``log_weight_error``; where programs are listed,
        ``mass_bound``, a certain bound on the error of the same. Where nothing fits under the cap
        and the capacity, masses and margin are NaN.
    """
    engine = Engines.of(model).masses
    if engine == TEMPERED:
        whole = {name: np.asarray(x) for name, x in theta.items()}
        return tempered_verdict(model, family, whole, stream or np.random.SeedSequence(0))
    one_block = enumerated_verdict if engine == ENUMERATED else grammar_verdict
    if model.grammar is None:
        one_block = _among_structures
    blocks = [one_block(model, family, part) for part in _blocks(theta)]
    return {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}


def _blocks(theta: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    num_draws = len(theta["pressure"])
    # Broadcast once: a block is then a view, and scalars known to the model need no special case.
    for start in range(0, num_draws, _BLOCK):
        yield {name: np.asarray(x)[start : start + _BLOCK] for name, x in theta.items()}


def _among_structures(
    model: Model, family: Family, theta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    contest = Contest.of(model, family, Counts.of(model), theta)
    log_weight, error = contest.log_weights(len(model.structures))
    mass = _normalised(log_weight)
    classes = np.array(model.classes)
    by_class = np.stack([mass[:, classes == name].sum(axis=1) for name in CLASSES], axis=-1)
    by_class[np.isnan(mass[:, 0])] = np.nan  # nothing fits: of an absent class too
    places = len(classes)
    return {
        "structure_mass": mass,
        "class_mass": by_class,
        "deceptive_mass": by_class[:, CLASSES.index(DECEPTIVE)],
        "log_weight_error": error,
        **contest.outcome(np.arange(places), places, places),
    }


def _normalised(log_weight: np.ndarray) -> np.ndarray:
    best = log_weight.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        weight = np.exp(log_weight - best)  # NaN where nothing fits: -inf less -inf
    return weight / weight.sum(axis=1, keepdims=True)
