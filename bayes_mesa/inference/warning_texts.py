"""What a reader must know before believing a result, in words, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayes_mesa.domain.beliefs import Prior
from bayes_mesa.domain.model import EvidenceTable, Model
from bayes_mesa.domain.slots import slots
from bayes_mesa.evidence import KINDS
from bayes_mesa.grammars.frontier import pursued_in_training
from bayes_mesa.inference.family_fit import FamilyFit
from bayes_mesa.inference.marginal_likelihood import family_probabilities
from bayes_mesa.text.wording import listed

#: A family probability whose log marginal likelihood is less certain than this is called unsure.
_UNSURE_NATS = 0.1
#: Certain bounds on what is not listed above this are reported.
_UNSURE_BOUND = 1e-6
#: Errors of masses, from those of the sums, above this are reported: costs of 1e7 bits beyond what
#: all programs pay are themselves rounded to nearly that.
_UNSURE_MASS = 1e-8
#: A table is called contradictory when its rows lie this far out, all of them together.
_CONTRADICTED = 1e-3


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
    return found + _idle(model, tables) + _contradictions(tables, fits)


def _idle(model: Model, tables: Sequence[EvidenceTable]) -> list[str]:
    """Tables that look at nothing that is in doubt, and so can only tell families apart."""
    found = []
    for table in tables:
        read = [KINDS[table.kind].reads(table, model, family) for family in model.families]
        uncertain = {s.name for f in model.families for s in slots(model, f) if s.uncertain}
        if uncertain and not any(names is None or names & uncertain for names in read):
            looked = listed(sorted(frozenset[str]().union(*(names or () for names in read))))
            found.append(
                f"evidence {table.name}: nothing that it informs ({looked}) is in doubt, so that "
                "it moves no belief; give what it informs a prior instead of a number."
            )
    return found


def _contradictions(tables: Sequence[EvidenceTable], fits: Sequence[FamilyFit]) -> list[str]:
    """Tables with rows that the fitted model, averaged over families, would hardly ever give."""
    by_family = [f for f in fits if f.tails]
    if not by_family:
        return []
    probability, _ = family_probabilities(
        np.array([f.family.weight for f in by_family]),
        np.array([f.marginal.value for f in by_family]),
        np.array([f.marginal.error for f in by_family]),
    )
    found = []
    for table in (t for t in tables if t.name in by_family[0].tails):
        sides = sum(p * f.tails[table.name] for p, f in zip(probability, by_family, strict=True))
        away = np.minimum(1.0, 2.0 * np.min(sides, axis=0))
        # Bonferroni: a sound table of any length is called contradictory once in a thousand.
        out = np.flatnonzero(away * len(away) < _CONTRADICTED)
        if out.size:
            which = listed(str(k + 1) for k in out)
            found.append(
                f"evidence {table.name}: {_rows(out.size, which)} of {len(away)} would hardly ever "
                f"come out so under the fitted model (probability {away.min():.2g} at worst): rows "
                "contradict one another or what the model holds for known. Check them, or allow "
                "for more noise (a larger log_sd, groups, experts)."
            )
    return found


def _rows(count: int, which: str) -> str:
    return f"row {which}" if count == 1 else f"rows {which}"


def _about_masses(name: str, fit: FamilyFit) -> list[str]:
    """What listing, or Markov chains over programs, leave open."""
    if "mass_bound" in fit.posterior:
        bounds = fit.posterior["mass_bound"][~np.isnan(fit.posterior["mass_bound"])]
        if bounds.size and bounds.mean() > _UNSURE_BOUND:
            return [
                f"{name}: the programs not listed leave the deceptive mass open by at most "
                f"{bounds.mean():.2g} on average, and by {bounds.max():.2g} in the worst draw."
            ]
    if "mass_error" in fit.posterior:
        error = float(np.nanmax(fit.posterior["mass_error"], initial=0.0))
        return [
            f"{name}: masses are estimated by Markov chains over programs at every draw, with a "
            f"standard error of {error:.2g} in the worst draw; means average it out."
        ]
    return []


def _mass_error(fit: FamilyFit) -> float:
    """Largest error of a class mass that the errors of log weights allow: 2 e m (1 − m)."""
    if "log_weight_error" not in fit.posterior:
        return 0.0
    mass = fit.posterior["class_mass"]
    spread = (mass * (1.0 - mass)).max(axis=-1)
    return float(np.nanmax(2.0 * fit.posterior["log_weight_error"] * spread, initial=0.0))


def model_warnings(model: Model) -> list[str]:
    """Warnings that need no draws: structures that are out, priors that were cut."""
    found = _about_structures(model) if model.grammar is None else _out_programs(model)
    pressure = model.selection.pressure
    if isinstance(pressure, Prior) and pressure.share_cut > 0.0:
        found.append(
            f"pressure: {pressure.share_cut:.3g} of the prior lay below {pressure.low:.4g}, where "
            "the sum over all programs diverges, and was cut off (the rest was renormalised)."
        )
    for family in model.families:
        for name, belief in family.variables().items():
            if isinstance(belief, Prior) and belief.share_cut > 0.0:
                found.append(
                    f"{name}: {belief.share_cut:.3g} of the prior lay below {belief.low:g} and was "
                    "cut off (the rest was renormalised)."
                )
    return found


def _about_structures(model: Model) -> list[str]:
    if model.named is None:
        return _out_structures(model)
    return [
        f"Of {len(model.structures)} structures, results name the {len(model.named)} of the "
        "largest mass at the prior medians and sum the others by class, as other_CLASS; the "
        "figures of classes and of the verdict are over all of them.",
        # One line for each objective: there may be thousands of structures.
        *_out_objectives(model, sorted({s.train for s in model.structures})),
    ]


def _out_structures(model: Model) -> list[str]:
    return [
        f"{s.name} pursues {s.train!r} in training, which has no declared loss: it is not among "
        f"the programs that do equally well and has weight 0 (declare [objectives.{s.train}] loss)."
        for s, eligible in zip(model.structures, model.eligible, strict=True)
        if not eligible
    ]


def _out_programs(model: Model) -> list[str]:
    return _out_objectives(model, pursued_in_training(model))


def _out_objectives(model: Model, pursued: Sequence[str]) -> list[str]:
    return [
        f"programs that pursue {objective!r} in training are not among those that do equally well, "
        f"and have weight 0: it has no declared loss (declare [objectives.{objective}] loss)."
        for objective in pursued
        if objective != model.base_objective and objective not in model.losses
    ]


def _family_warnings(model: Model, fit: FamilyFit) -> list[str]:
    found = []
    name = fit.family.name
    what, summed = "structure", "store-or-derive choices"
    if model.grammar is not None:
        what, summed = "program", "all programs"
    steps = fit.posterior["structure_steps"]
    if "least_steps" in fit.posterior:  # of all programs of a grammar
        steps = fit.posterior["least_steps"][..., None]
    short = float(np.mean((steps < 1.0).any(axis=-1)))
    if name == "levin" and short > 0.0:
        found.append(
            f"levin: in {100 * short:.3g} % of the draws a {what} runs less than one step, where "
            "log2 t is negative; raise the steps of what it runs if that is not meant."
        )
    empty = float(np.mean(np.isnan(fit.posterior["deceptive_mass"])))
    if empty > 0.0:
        found.append(
            f"{name}: in {100 * empty:.3g} % of the draws no {what} fits under the cap and the "
            "capacity; masses there are NaN and left out of the means, and nothing is favored."
        )
    error = _mass_error(fit)
    if error > _UNSURE_MASS:
        found.append(
            f"{name}: sums over {summed} leave masses uncertain by {error:.2g} in the worst draw."
        )
    found += _about_masses(name, fit)
    if not fit.marginal.sound or fit.marginal.error > _UNSURE_NATS:
        found.append(
            f"{name}: the log marginal likelihood is uncertain by {fit.marginal.error:.2g} nats; "
            "take more draws before trusting the family probabilities."
        )
    return found
