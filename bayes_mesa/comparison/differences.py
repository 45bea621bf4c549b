"""In what two models differ, one difference at a time.

A *difference* is one thing that the second model says otherwise: a belief, a structure, a
constraint. What only serves another one is none by itself: a component that one model alone knows
comes along with the structure that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bayes_mesa.domain.beliefs import Belief
from bayes_mesa.domain.model import Model, Structure
from bayes_mesa.domain.slots import facts_are_drawn, overlap_name

PROGRAMS, FACTS, CORRELATIONS = "programs", "facts", "correlations"
HEURISTICS, EXCHANGE, REGIME = "heuristics", "exchange", "regime"
SELECTION = ("episodes", "cap", "max_bits")


@dataclass(frozen=True)
class Difference:
    """One thing that the second of two models says otherwise.

    Attributes
    ----------
    key
        What `in_between.between` takes it by: a slot's name (``bits.combine``), or
        ``structure NAME``, ``objective NAME``, ``constraint TEXT``, ``overlap NAME``, or one of
        this module's words.
    kind
        ``belief``, ``structure``, ``programs``, ``objective``, ``constraint``, ``correlations``,
        ``overlap``, ``heuristics``, ``facts``, ``exchange``, ``selection``, ``regime`` or ``path``.
    change
        ``added``, ``left out`` or ``changed``: what the second model does.
    family
        The exchange family that alone it can touch, or "".
    seen
        Whether P(deceptive favored) and the deceptive mass can depend on it.
    """

    key: str
    kind: str
    change: str = "changed"
    family: str = ""
    seen: bool = True


def differences(first: Model, second: Model) -> tuple[Difference, ...]:
    """All differences, in the order of a model file; none between equal models."""
    parts = (_beliefs, program_differences, _ties, fact_differences, _exchange, _training)
    return tuple(difference for part in parts for difference in part(first, second))


def groups(
    first: Model, second: Model, found: Sequence[Difference]
) -> tuple[tuple[Difference, ...], ...]:
    """Differences that make sense only together, together; sorted, so that the ends can change.

    Structures are one group where the models have none in common to compete with; so are programs
    and pressure, where grammars differ: which pressures a grammar allows is its own matter.
    """
    together: dict[str, list[Difference]] = {}
    common = not {PROGRAMS} & {d.kind for d in found} and _common_ground(first, second)
    for difference in found:
        if not difference.seen:
            continue
        name = difference.key
        if difference.kind in ("structure", "objective") and not common:
            name = PROGRAMS
        if difference.key == "pressure" and any(d.kind == PROGRAMS for d in found):
            name = PROGRAMS
        together.setdefault(name, []).append(difference)
    return tuple(tuple(together[name]) for name in sorted(together))


def _beliefs(first: Model, second: Model) -> Iterator[Difference]:
    other = {c.name: c for c in second.components}
    for axis in ("bits", "steps"):
        for one in first.components:
            if one.name in other and getattr(one, axis) != getattr(other[one.name], axis):
                yield Difference(f"{axis}.{one.name}", "belief")
    for name in first.losses:
        if name in second.losses and first.losses[name] != second.losses[name]:
            yield Difference(f"loss.{name}", "belief")


def program_differences(first: Model, second: Model) -> Iterator[Difference]:
    """Structures one by one, and objectives; all at once where grammars differ."""
    if first.base_objective != second.base_objective or not _same_grammar(first, second):
        yield Difference(PROGRAMS, PROGRAMS)
        return
    own, others = by_name(first), by_name(second)
    if first.grammar is None:
        for name in dict.fromkeys((*own, *others)):
            if name not in others:
                yield Difference(f"structure {name}", "structure", "left out")
            elif name not in own:
                yield Difference(f"structure {name}", "structure", "added")
            elif _content(first, own[name]) != _content(second, others[name]):
                yield Difference(f"structure {name}", "structure")
    for here, there, change in ((first, second, "left out"), (second, first, "added")):
        pursued = _pursued(there)
        for name in here.losses:
            if name not in there.losses and name in pursued:
                yield Difference(f"objective {name}", "objective", change)


def _ties(first: Model, second: Model) -> Iterator[Difference]:
    for change, here, there in (("left out", first, second), ("added", second, first)):
        for constraint in here.constraints:
            if constraint not in there.constraints:
                yield Difference(f"constraint {constraint}", "constraint", change)
    if _correlated(first) != _correlated(second):
        yield Difference(CORRELATIONS, CORRELATIONS)
    own, others = _overlap_fractions(first), _overlap_fractions(second)
    for name in dict.fromkeys((*own, *others)):
        if own.get(name) != others.get(name):
            yield Difference(f"overlap {name}", "overlap", _change(name in own, name in others))
    if set(first.heuristics.of) != set(second.heuristics.of):
        yield Difference(HEURISTICS, HEURISTICS)
    elif first.heuristics.of:
        for axis in ("bits", "steps"):
            if getattr(first.heuristics, axis) != getattr(second.heuristics, axis):
                yield Difference(f"heuristics_{axis}", "belief")


def fact_differences(first: Model, second: Model) -> Iterator[Difference]:
    """The costs of facts where both models draw the same ones; else all facts at once."""
    one, other = first.facts, second.facts
    if _frame(first, second) != _frame(second, first):
        yield Difference(FACTS, FACTS, _change(bool(len(one)), bool(len(other))))
    elif not (facts_are_drawn(first) and facts_are_drawn(second)):
        if (one.bits, one.steps) != (other.bits, other.steps):
            yield Difference(FACTS, FACTS)
    else:
        for axis in ("bits", "steps"):
            if getattr(one, axis) != getattr(other, axis):
                yield Difference(f"fact_{axis}", "belief")


def _exchange(first: Model, second: Model) -> Iterator[Difference]:
    own, others = ({f.name: f for f in m.families} for m in (first, second))
    weights = [{n: f.weight for n, f in of.items()} for of in (own, others)]
    if weights[0] != weights[1]:
        yield Difference(EXCHANGE, EXCHANGE)
    for name in own:
        for parameter, belief in own[name].parameters.items():
            if name in others and belief != others[name].parameters[parameter]:
                yield Difference(f"{name}_{parameter}", "belief", family=name)


def _training(first: Model, second: Model) -> Iterator[Difference]:
    if first.selection.pressure != second.selection.pressure:
        yield Difference("pressure", "belief")
    one, other = first.regime, second.regime
    if _budget(first) != _budget(second):
        yield Difference(REGIME, REGIME, _change(one is not None, other is not None))
        if first.selection.max_bits != second.selection.max_bits:
            yield Difference("max_bits", "selection")
    else:
        for name in SELECTION:
            if getattr(first.selection, name) != getattr(second.selection, name):
                yield Difference(name, "selection")
    if one is not None and other is not None:
        for name, belief in one.beliefs().items():
            if belief != other.beliefs()[name]:
                yield Difference(name, "belief", seen=False)
    if first.path_dependence != second.path_dependence:
        had, has = first.path_dependence is not None, second.path_dependence is not None
        yield Difference("path", "path", _change(had, has), seen=False)


def _change(had: bool, has: bool) -> str:
    return "changed" if had == has else "added" if has else "left out"


def by_name(model: Model) -> dict[str, Structure]:
    """Structures by name, in file order."""
    return {s.name: s for s in model.structures}


def shared_names(first: Model, second: Model) -> set[str]:
    """Names of structures that both models have."""
    return set(by_name(first)) & set(by_name(second))


def _content(model: Model, s: Structure) -> tuple[object, ...]:
    """All of a structure that a verdict sees; what a deceptive one is after does not count."""
    class_name = s.class_under(model.base_objective)
    return dict(s.stores), dict(s.runs), s.train, class_name, s.multiplicity


def _same_grammar(first: Model, second: Model) -> bool:
    one, other = first.grammar, second.grammar
    if one is None or other is None:
        return one is other
    return (one.start, one.rules, one.unshared) == (other.start, other.rules, other.unshared)


def _common_ground(first: Model, second: Model) -> bool:
    """Whether some structure of both is eligible whatever else is taken."""
    own, others = by_name(first), by_name(second)
    return any(own[n].train == others[n].train == first.base_objective for n in own if n in others)


def _pursued(model: Model) -> set[str]:
    """Objectives that some program may pursue in training."""
    return {s.train for s in model.structures} | set(
        model.grammar.objectives if model.grammar else ()
    )


def _correlated(model: Model) -> Mapping[frozenset[str], float]:
    return {frozenset(map(str, c.between)): c.rho for c in model.correlations}


def _overlap_fractions(model: Model) -> Mapping[str, Belief]:
    return {overlap_name(o.component, o.inside): o.fraction for o in model.overlaps}


def _frame(model: Model, other: Model) -> tuple[object, ...]:
    """Facts without their costs."""
    facts = model.facts
    uses = {n: facts.uses.get(n, 1.0) for n in shared_names(model, other)} if len(facts) else {}
    return facts.names, facts.needs, uses, facts_are_drawn(model)


def _budget(model: Model) -> tuple[float, float, int] | None:
    regime = model.regime
    if regime is None:
        return None
    return regime.budget, regime.steps_per_rollout, regime.rollouts
