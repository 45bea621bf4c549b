"""Which program is favored, and how the weight is shared: one vectorised pass over draws of theta.

Nothing here is differentiated: NUTS sees the priors and the evidence only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.verdicts.contest import Contest, in_places
from bayes_mesa.verdicts.engines import ENUMERATED, TEMPERED, Engines
from bayes_mesa.verdicts.enumerated_verdict import enumerated_verdict
from bayes_mesa.verdicts.grammar_verdict import grammar_verdict
from bayes_mesa.verdicts.heaviest import MOST
from bayes_mesa.verdicts.tempered_verdict import tempered_verdict

#: Draws worked on at a time, and those times structures where there are very many: bounds the
#: memory, and how long an interrupt waits.
_BLOCK, _CELLS = 4096, 1 << 20


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
        and the capacity, masses and margin are NaN. A model that names only some of its structures
        has ``least_steps`` too, of the structure that runs the fewest.
    """
    engine = Engines.of(model).masses
    if engine == TEMPERED:
        whole = {name: np.asarray(x) for name, x in theta.items()}
        return tempered_verdict(model, family, whole, stream or np.random.SeedSequence(0))
    one_block = enumerated_verdict if engine == ENUMERATED else grammar_verdict
    if model.grammar is None:
        one_block = _among_structures
    blocks = [one_block(model, family, part) for part in blocks_of(model, theta)]
    return {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}


def blocks_of(model: Model, theta: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """Draws of theta in turn, as many as are worked on at a time."""
    num_draws, size = len(theta["pressure"]), _BLOCK
    if len(model.structures) > MOST:
        size = max(1, _CELLS // len(model.structures))
    # Broadcast once: a block is then a view, and scalars known to the model need no special case.
    for start in range(0, num_draws, size):
        yield {name: np.asarray(x)[start : start + size] for name, x in theta.items()}


def of_every_structure(
    model: Model, family: Family, theta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Masses, bits and steps of all structures, named or not, (N, S) each, by results' names."""
    contest = Contest.of(model, family, Counts.of(model), theta)
    log_weight, _ = contest.log_weights(len(model.structures))
    return {
        "structure_mass": _normalised(log_weight),
        "structure_bits": contest.whole.full_bits,
        "structure_steps": contest.whole.full_steps,
    }


def _among_structures(
    model: Model, family: Family, theta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    contest = Contest.of(model, family, Counts.of(model), theta)
    log_weight, error = contest.log_weights(len(model.structures))
    mass = _normalised(log_weight)
    classes = np.array(model.classes)
    by_class = np.stack([mass[:, classes == name].sum(axis=1) for name in CLASSES], axis=-1)
    by_class[np.isnan(mass[:, 0])] = np.nan  # nothing fits: of an absent class too
    places = len(model.columns)
    found = {
        "structure_mass": mass,
        "class_mass": by_class,
        "deceptive_mass": by_class[:, CLASSES.index(DECEPTIVE)],
        "log_weight_error": error,
    }
    if model.named is None:
        return found | contest.outcome(model.places, range(places), places)
    return {
        **found,
        "structure_mass": in_places(model, mass),
        "least_steps": contest.least_steps(),
        **contest.outcome(model.places, model.named, places),
    }


def _normalised(log_weight: np.ndarray) -> np.ndarray:
    best = log_weight.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        weight = np.exp(log_weight - best)  # NaN where nothing fits: -inf less -inf
    return weight / weight.sum(axis=1, keepdims=True)
