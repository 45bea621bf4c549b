"""The models between two models: some differences as the second has them, the rest as the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from bayes_mesa.comparison.differences import (
    CORRELATIONS,
    EXCHANGE,
    FACTS,
    HEURISTICS,
    PROGRAMS,
    REGIME,
    SELECTION,
    by_name,
    fact_differences,
    program_differences,
    shared_names,
)
from bayes_mesa.domain.beliefs import Belief
from bayes_mesa.domain.model import (
    Component,
    Facts,
    Family,
    Heuristics,
    Model,
    Overlap,
    Selection,
    Structure,
)
from bayes_mesa.domain.slots import overlap_name


def between(first: Model, second: Model, taken: frozenset[str]) -> Model:
    """The first model, with the differences of the keys ``taken`` as the second model has them.

    Without path dependence, evidence and a regime's task: no verdict on θ sees them.
    """
    programs = second if PROGRAMS in taken else first
    whole = PROGRAMS in {d.key for d in program_differences(first, second)}
    structures = programs.structures if whole else _structures(first, second, taken)
    model = replace(
        programs,
        name=f"{first.name} .. {second.name}",
        structures=structures,
        families=_families(first, second, taken),
        losses=MappingProxyType(_losses(first, second, taken, programs if whole else None)),
        constraints=tuple(
            c
            for c in dict.fromkeys((*first.constraints, *second.constraints))
            if _chosen(f"constraint {c}", c, first.constraints, second.constraints, taken)
        ),
        correlations=_side(first, second, taken, CORRELATIONS).correlations,
        overlaps=_overlaps(first, second, taken),
        heuristics=_heuristics(first, second, taken),
        facts=_mixed_facts(first, second, taken),
        selection=_selection(first, second, taken),
        regime=None,
        path_dependence=None,
        evidence=(),
        text="",
        sha256="",
    )
    return replace(model, components=_components(first, second, taken, model))


def _side(first: Model, second: Model, taken: frozenset[str], key: str) -> Model:
    return second if key in taken else first


def _chosen(
    key: str, what: object, own: Sequence[object], others: Sequence[object], taken: frozenset[str]
) -> bool:
    """Whether what only one model may have is there."""
    return what in (others if key in taken else own)


def _components(
    first: Model, second: Model, taken: frozenset[str], model: Model
) -> tuple[Component, ...]:
    """Both models' components, as far as anything in the model in between mentions them."""
    own, others = ({c.name: c for c in m.components} for m in (first, second))
    mentioned = _mentioned(model)
    found = []
    for name in dict.fromkeys((*own, *others)):
        if name in own and name in others:
            picked = {
                axis: getattr((others if f"{axis}.{name}" in taken else own)[name], axis)
                for axis in ("bits", "steps")
            }
            kept = others if PROGRAMS in taken else own
            found.append(replace(kept[name], **picked))
        elif name in mentioned:
            found.append(own.get(name) or others[name])
    return tuple(found)


def _mentioned(model: Model) -> set[str]:
    """Components that something other than a belief speaks of."""
    names = {n for s in model.structures for n in (*s.stores, *s.runs)}
    if model.grammar is not None:
        names |= {n for rule in model.grammar.rules for n in (*rule.stores, *rule.runs)}
    names |= {q.component for c in model.constraints for q in (*c.larger, *c.smaller)}
    names |= {q.component for c in model.correlations for q in c.between}
    names |= {n for o in model.overlaps for n in (o.component, o.inside)}
    return names | set(model.heuristics.of)


def _structures(first: Model, second: Model, taken: frozenset[str]) -> tuple[Structure, ...]:
    own, others = by_name(first), by_name(second)
    sides = {n: others if f"structure {n}" in taken else own for n in (*own, *others)}
    return tuple(side[name] for name, side in sides.items() if name in side)


def _losses(
    first: Model, second: Model, taken: frozenset[str], programs: Model | None
) -> dict[str, Belief]:
    found = {}
    optional = {d.key for d in program_differences(first, second) if d.kind == "objective"}
    for name in dict.fromkeys((*first.losses, *second.losses)):
        own, others = first.losses.get(name), second.losses.get(name)
        belief = own if own is not None else others
        if own is not None and others is not None:
            belief = others if f"loss.{name}" in taken else own
        elif f"objective {name}" in optional:
            belief = others if f"objective {name}" in taken else own
        if belief is not None and (programs is None or name in programs.losses):
            found[name] = belief
    return found


def _overlaps(first: Model, second: Model, taken: frozenset[str]) -> tuple[Overlap, ...]:
    own, others = (
        {overlap_name(o.component, o.inside): o for o in m.overlaps} for m in (first, second)
    )
    sides = {n: others if f"overlap {n}" in taken else own for n in (*own, *others)}
    return tuple(side[name] for name, side in sides.items() if name in side)


def _heuristics(first: Model, second: Model, taken: frozenset[str]) -> Heuristics:
    if set(first.heuristics.of) != set(second.heuristics.of):
        return _side(first, second, taken, HEURISTICS).heuristics
    return replace(
        first.heuristics,
        bits=_side(first, second, taken, "heuristics_bits").heuristics.bits,
        steps=_side(first, second, taken, "heuristics_steps").heuristics.steps,
    )


def _mixed_facts(first: Model, second: Model, taken: frozenset[str]) -> Facts:
    facts = _side(first, second, taken, FACTS).facts
    if FACTS not in {d.key for d in fact_differences(first, second)}:
        bits = _side(first, second, taken, "fact_bits").facts.bits
        steps = _side(first, second, taken, "fact_steps").facts.steps
        facts = replace(facts, bits=bits, steps=steps)
    # A structure that one model alone has brings along how often it uses the facts.
    uses = {**second.facts.uses, **first.facts.uses}
    uses |= {n: facts.uses.get(n, 1.0) for n in shared_names(first, second)}
    return replace(facts, uses=MappingProxyType(uses))


def _families(first: Model, second: Model, taken: frozenset[str]) -> tuple[Family, ...]:
    own, others = ({f.name: f for f in m.families} for m in (first, second))
    found = []
    for family in _side(first, second, taken, EXCHANGE).families:
        parameters = family.parameters
        if family.name in own and family.name in others:
            parameters = MappingProxyType(
                {
                    p: (others if f"{family.name}_{p}" in taken else own)[family.name].parameters[p]
                    for p in parameters
                }
            )
        found.append(replace(family, parameters=parameters))
    return tuple(found)


def _selection(first: Model, second: Model, taken: frozenset[str]) -> Selection:
    picked = {
        name: getattr(_side(first, second, taken, name).selection, name)
        for name in ("pressure", *SELECTION)
    }
    if REGIME in taken:
        picked |= {name: getattr(second.selection, name) for name in ("episodes", "cap")}
    return Selection(**picked)
