"""What a reader must know before believing a result, in words, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayes_mesa.beliefs import Prior
from bayes_mesa.family_fit import FamilyFit
from bayes_mesa.model import EvidenceTable, Model

#: A family probability whose log marginal likelihood is less certain than this is called unsure.
_UNSURE_NATS = 0.1
#: Quadrature errors of log weights above this are reported.
_UNSURE_WEIGHT = 1e-9


def result_warnings(
    model: Model, tables: Sequence[EvidenceTable], fits: Sequence[FamilyFit]
) -> list[str]:
    """Warnings about the model's priors and about how its draws came out."""
    found = model_warnings(model)
    if not tables and len(fits) > 1:
        shares = ", ".join(f"{f.family.name} {f.family.weight:.3g}" for f in fits)
        found.append(
            f"No evidence: the average over exchange families uses the prior weights ({shares}) "
            "and is only as good as they are; read the families one by one."
        )
    for fit in fits:
        found += _family_warnings(model, fit)
    return found


def model_warnings(model: Model) -> list[str]:
    """Warnings that need no draws: structures that are out, priors that were cut."""
    found = [
        f"{s.name} pursues {s.train!r} in training, which has no declared loss: it is not among "
        f"the programs that do equally well and has weight 0 (declare [objectives.{s.train}] loss)."
        for s, eligible in zip(model.structures, model.eligible, strict=True)
        if not eligible
    ]
    for family in model.families:
        for name, belief in family.variables().items():
            if isinstance(belief, Prior) and belief.share_cut > 0.0:
                found.append(
                    f"{name}: {belief.share_cut:.3g} of the prior lay below {belief.low:g} and was "
                    "cut off (the rest was renormalised)."
                )
    return found


def _family_warnings(model: Model, fit: FamilyFit) -> list[str]:
    found = []
    name = fit.family.name
    short = float(np.mean((fit.posterior["structure_steps"] < 1.0).any(axis=-1)))
    if name == "levin" and short > 0.0:
        found.append(
            f"levin: in {short:.3g} of the draws a structure runs less than one step, where log2 t "
            "is negative; raise the steps of what it runs if that is not meant."
        )
    empty = float(np.mean(np.isnan(fit.posterior["deceptive_mass"])))
    if empty > 0.0:
        found.append(
            f"{name}: in {empty:.3g} of the draws no structure fits under the cap and the "
            "capacity; masses there are NaN and left out of the means, and nothing is favored."
        )
    error = float(np.max(fit.posterior["log_weight_error"]))
    if error > _UNSURE_WEIGHT:
        found.append(
            f"{name}: the sum over store-or-derive choices is only certain to {error:.2g} nats in "
            "the worst draw."
        )
    if not fit.marginal.sound or fit.marginal.error > _UNSURE_NATS:
        found.append(
            f"{name}: the log marginal likelihood is uncertain by {fit.marginal.error:.2g} nats; "
            "take more draws before trusting the family probabilities."
        )
    return found
