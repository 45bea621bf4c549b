"""One theta that stands for the prior: every belief at its median, with the constraints applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_mesa.domain.beliefs import Belief, Known
from bayes_mesa.domain.model import Model
from bayes_mesa.domain.slots import Slot, Theta, all_known, assemble, slots
from bayes_mesa.errors import InputError
from bayes_mesa.text.wording import suggestion
from bayes_mesa.verdicts.prior_draws import correlated_names, draw_prior, slack

#: Prior draws, and their seed, that medians under constraints are taken of.
NUM_DRAWS, SEED = 10_000, 0


@dataclass(frozen=True, eq=False)
class Place:
    """Where the question is asked.

    Attributes
    ----------
    theta
        By family: as `slots.assemble` gives it, one draw.
    values
        Slot name to value, of all families.
    what
        ``known``, ``prior medians`` or ``given``.
    text
        The same for people, with what the constraints changed.
    """

    theta: Mapping[str, Theta]
    values: Mapping[str, np.ndarray]
    what: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        values = {n: x[0].tolist() for n, x in self.values.items()}
        return {"what": self.what, "text": self.text, "values": values}


def theta_at(model: Model, given: Mapping[str, float]) -> Place:
    """Medians of the prior that the constraints condition; ``given`` values take their place.

    Where there are constraints, costs that they tie (through correlations and heuristics too) stand
    at the medians of prior draws that hold them, always the same ones; all else at its own median.

    Raises
    ------
    InputError
        If ``given`` names nothing that the model believes, or a value is not finite.
    """
    own = _all_slots(model)
    _check(given, own)
    values = {s.name: _filled(s, _median(s.belief)) for s in own}
    if model.constraints:
        values |= _constrained_medians(model, own)
    values |= {n: _filled(s, float(given[n])) for s in own if (n := s.name) in given}
    theta = {f.name: assemble(model, values, f, np) for f in model.families}
    return Place(theta, values, _what(model, given), _text(model, given, values))


def _all_slots(model: Model) -> tuple[Slot, ...]:
    found = {s.name: s for f in model.families for s in slots(model, f)}
    return tuple(found.values())


def _median(belief: Belief) -> float:
    # The same to the digit, but most priors are lognormal: scipy.stats takes a second to load.
    return belief.value if isinstance(belief, Known) else float(belief.at_score(np.zeros(())))


def _filled(slot: Slot, value: float) -> np.ndarray:
    return np.full((1,) if slot.size is None else (1, slot.size), float(value))


def _constrained_medians(model: Model, own: Sequence[Slot]) -> dict[str, np.ndarray]:
    tied = {str(q) for c in model.constraints for q in (*c.larger, *c.smaller)}
    tied |= set(correlated_names(model)) | {"heuristics_bits", "heuristics_steps"}
    costs = tuple(s for s in own if s.name.startswith(("bits.", "steps.", "heuristics_")))
    drawn = draw_prior(model, costs, NUM_DRAWS, np.random.default_rng(SEED))
    return {
        s.name: np.median(drawn.values[s.name], axis=0, keepdims=True)
        for s in costs
        if s.uncertain and s.name in tied
    }


def _what(model: Model, given: Mapping[str, float]) -> str:
    if given:
        return "given"
    return "known" if all_known(model) else "prior medians"


def _text(model: Model, given: Mapping[str, float], values: Mapping[str, np.ndarray]) -> str:
    if all_known(model):
        text = "every number of the model is known"
    elif model.constraints:
        text = f"the prior medians, of {NUM_DRAWS} draws that hold the constraints"
    else:
        text = "the prior medians"
    if given:
        text = f"{text}, and what was given: {', '.join(given)}"
    broken = [str(c) for c in model.constraints if float(slack(model, c, values)[0]) < 0.0]
    # Medians of draws that all hold a constraint need not hold it themselves.
    return text + "".join(f"; these values break the constraint {c}" for c in broken)


def _check(given: Mapping[str, float], own: Sequence[Slot]) -> None:
    names = [s.name for s in own]
    for name, value in given.items():
        if name not in names:
            raise InputError(
                f"at must name what the model holds a belief about, found {name!r}"
                f"{suggestion(name, names)}"
            )
        if not np.isfinite(value):
            raise InputError(f"at.{name} must be a finite number, found {value!r}")
