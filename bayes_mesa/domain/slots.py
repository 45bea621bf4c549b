"""Everything a model holds a belief about, as named slots, and their assembly into theta.

A *slot* is one belief with the name it has as a NumPyro site, in constraints and in `log_prior`
(``bits.find_base_obj``, ``pressure``, ``linear_rate``). *theta* is what the results store: the
effective costs and parameters, keyed by the variable names of the posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayes_mesa.domain.beliefs import Belief, Known
from bayes_mesa.domain.model import Family, Model

Theta = dict[str, Any]


@dataclass(frozen=True)
class Slot:
    """A named belief; ``size`` is the number of independent copies, None for a scalar."""

    name: str
    belief: Belief
    size: int | None = None

    @property
    def uncertain(self) -> bool:
        """Whether the slot holds a prior."""
        return not isinstance(self.belief, Known)


def overlap_name(component: str, inside: str) -> str:
    """Name of an overlap's coordinate and slot suffix."""
    return f"{component}.{inside}"


def slots(model: Model, family: Family | None = None) -> tuple[Slot, ...]:
    """Every scalar or vector belief of the model, and of ``family`` when one is given.

    Facts read from a file are known and have no slot; facts given by count have the slots
    ``fact_bits`` and ``fact_steps``, one independent draw per fact.
    """
    found = [
        Slot(f"{axis}.{c.name}", getattr(c, axis))
        for axis in ("bits", "steps")
        for c in model.components
    ]
    found += [
        Slot(f"overlap_fraction.{overlap_name(o.component, o.inside)}", o.fraction)
        for o in model.overlaps
    ]
    found += [Slot(f"loss.{name}", belief) for name, belief in model.losses.items()]
    if model.heuristics.of:
        found += [Slot(f"heuristics_{a}", getattr(model.heuristics, a)) for a in ("bits", "steps")]
    if facts_are_drawn(model):
        n = len(model.facts)
        found += [Slot(f"fact_{a}", getattr(model.facts, a)[0], n) for a in ("bits", "steps")]
    found.append(Slot("pressure", model.selection.pressure))
    if model.path_dependence is not None:
        found.append(Slot("path_lock_in", model.path_dependence.lock_in))
        found.append(Slot("path_deceptive", model.path_dependence.deceptive))
    if model.regime is not None:
        found += [Slot(name, belief) for name, belief in model.regime.beliefs().items()]
    if family is not None:
        found += [Slot(name, belief) for name, belief in family.variables().items()]
    return tuple(found)


def facts_are_drawn(model: Model) -> bool:
    """Whether the facts are given by count with a prior: one belief per axis, drawn per fact."""
    return any(not isinstance(b, Known) for b in (*model.facts.bits, *model.facts.steps))


def all_known(model: Model) -> bool:
    """Whether no slot of the model, in any family, is uncertain."""
    return not any(s.uncertain for f in model.families for s in slots(model, f))


def assemble(model: Model, values: Mapping[str, Any], family: Family, xp: Any) -> Theta:
    """Effective costs and parameters from slot values.

    Parameters
    ----------
    model, family
        The model, and the exchange family whose parameters are among ``values``.
    values
        Slot name → array of shape (...,) or, for facts, (..., n).
    xp
        `numpy` or `jax.numpy`.

    Returns
    -------
    dict
        ``bits``, ``steps`` (..., C) after heuristics; ``pressure`` (...,); ``fact_bits``,
        ``fact_steps`` (..., n); ``overlap_fraction`` (..., O); ``loss`` (..., L); the family's
        parameters under their result names; ``heuristics_*``, ``path_*`` and the regime's beliefs
        where there are any.
    """
    theta: Theta = {"pressure": xp.asarray(values["pressure"])}
    shape = theta["pressure"].shape
    for axis in ("bits", "steps"):
        costs = [values[f"{axis}.{c.name}"] for c in model.components]
        if model.heuristics.of:
            factor = values[f"heuristics_{axis}"]
            costs = [
                x * factor if c.name in model.heuristics.of else x
                for x, c in zip(costs, model.components, strict=True)
            ]
        theta[axis] = _stack(costs, shape, xp)
        theta[f"fact_{axis}"] = _facts(model, values, axis, shape, xp)
    theta["overlap_fraction"] = _stack(
        [values[f"overlap_fraction.{overlap_name(o.component, o.inside)}"] for o in model.overlaps],
        shape,
        xp,
    )
    theta["loss"] = _stack([values[f"loss.{name}"] for name in model.losses], shape, xp)
    names = [s.name for s in slots(model, family) if not _is_stacked(s.name)]
    theta |= {name: xp.asarray(values[name]) for name in names}
    return theta


def parameters(family: Family, theta: Mapping[str, Any]) -> dict[str, Any]:
    """The family's parameters by the model file's names (``rate``, ``kappa``, ``exponent``)."""
    return {name: theta[f"{family.name}_{name}"] for name in family.parameters}


def _is_stacked(name: str) -> bool:
    return "." in name or name.startswith("fact_")


def _stack(columns: list[Any], shape: tuple[int, ...], xp: Any) -> Any:
    if not columns:
        return xp.zeros((*shape, 0))
    return xp.stack([xp.broadcast_to(xp.asarray(c, dtype=float), shape) for c in columns], axis=-1)


def _facts(model: Model, values: Mapping[str, Any], axis: str, shape: tuple, xp: Any) -> Any:
    if f"fact_{axis}" in values:
        return xp.asarray(values[f"fact_{axis}"])
    known = [belief.median for belief in getattr(model.facts, axis)]
    return xp.broadcast_to(xp.asarray(known, dtype=float), (*shape, len(known)))
