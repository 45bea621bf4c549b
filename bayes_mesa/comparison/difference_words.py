"""A difference between two models in words: what the second one does, and a short label of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bayes_mesa.comparison.differences import FACTS, Difference, by_name
from bayes_mesa.domain.beliefs import Z95, Belief, Known
from bayes_mesa.domain.model import Model, Structure
from bayes_mesa.domain.slots import overlap_name, slots
from bayes_mesa.text.number_text import number_text

#: Objects named one by one; of more, how many there are.
_FEW = 6


def label(difference: Difference) -> str:
    """A few words for a table."""
    plain = difference.kind in ("belief", "structure", "constraint", "overlap", "objective")
    name = difference.key.partition(" ")[2] or difference.key
    if difference.kind in ("belief", "constraint"):
        text = name
    elif plain:
        text = f"{difference.kind} {name}"
    else:
        text = {
            "programs": "which programs there are",
            "exchange": "weights of the exchange families",
            "heuristics": "which components heuristics make dearer",
            "path": "path dependence",
            "cap": "cap",
            "max_bits": "capacity",
        }.get(name, name)
    return text if difference.change == "changed" else f"{text} ({difference.change})"


def group_label(group: Sequence[Difference]) -> str:
    """A few words for differences that are taken together."""
    if _other_structures(group):
        return "which structures there are"
    shown = [label(d) for d in group[:_FEW]]
    more = f" + {len(group) - _FEW} more" if len(group) > _FEW else ""
    return " + ".join(shown) + more


def clauses(group: Sequence[Difference], first: Model, second: Model) -> tuple[str, ...]:
    """What the second model does otherwise, as predicates of a sentence about it."""
    if _other_structures(group):
        now, before = (
            _few(f"{s.name} ({_kind(m, s)})" for s in m.structures) for m in (second, first)
        )
        return (f"has other structures: {now} instead of {before}",)
    return tuple(clause(d, first, second) for d in group)


def _other_structures(group: Sequence[Difference]) -> bool:
    return len(group) > 1 and all(d.kind in ("structure", "objective") for d in group)


def clause(difference: Difference, first: Model, second: Model) -> str:
    """One difference as such a predicate."""
    return _WORDS[difference.kind](difference, first, second)


def says(difference: Difference, model: Model) -> dict[str, Any] | None:
    """A belief as one of the models holds it: text and quantiles; None where it holds none."""
    if difference.kind != "belief":
        return None
    belief = _belief(model, difference.key)
    if belief is None:
        return None
    q05, median, q95 = _quantiles(belief)
    return {"belief": str(belief), "q05": q05, "median": median, "q95": q95}


def _belief(model: Model, name: str) -> Belief | None:
    found = {s.name: s.belief for f in model.families for s in slots(model, f)}
    return found.get(name)


def _quantiles(belief: Belief) -> tuple[float, float, float]:
    if isinstance(belief, Known):
        return (belief.value,) * 3
    low, median, high = np.asarray(belief.at_score(np.array([-Z95, 0.0, Z95])))
    return float(low), float(median), float(high)


def _range(belief: Belief | None) -> str:
    if belief is None:
        return "nothing"
    low, _, high = map(number_text, _quantiles(belief))
    return low if low == high else f"{low} to {high}"


def _of_belief(difference: Difference, first: Model, second: Model) -> str:
    name = difference.key
    own, others = (_belief(m, name) for m in (first, second))
    now, before = _range(others), _range(own)
    if now == before:
        now, before = str(others), str(own)
    unit = "" if isinstance(own, Known) and isinstance(others, Known) else " (5 % to 95 %)"
    return f"takes {name} to be {now} instead of {before}{unit}"


def _of_structure(difference: Difference, first: Model, second: Model) -> str:
    name = difference.key.partition(" ")[2]
    own, others = by_name(first).get(name), by_name(second).get(name)
    if others is None:
        return f"leaves out the structure {name} ({_kind(first, own)})"
    if own is None:
        new = _new_components(others, first, second)
        more = f", and with it {new}" if new else ""
        return f"adds the structure {name} ({_kind(second, others)}; {_parts(others)}){more}"
    changes = [
        *_changed_counts("stores", own.stores, others.stores),
        *_changed_counts("runs", own.runs, others.runs),
    ]
    if (own.train, own.deploy) != (others.train, others.deploy):
        changes.append(
            f"pursues {others.train} in training and {others.deploy} in deployment "
            f"instead of {own.train} and {own.deploy}"
        )
    if own.multiplicity != others.multiplicity:
        changes.append(
            f"counts {number_text(others.multiplicity)} times instead of "
            f"{number_text(own.multiplicity)}"
        )
    return f"changes the structure {name}, which {' and '.join(changes)}"


def _kind(model: Model, structure: Structure | None) -> str:
    return structure.class_under(model.base_objective) if structure else ""


def _parts(structure: Structure) -> str:
    parts = (("stores", structure.stores), ("runs", structure.runs))
    return "; ".join(f"{verb} {_counted(counts)}" for verb, counts in parts)


def _counted(counts: Mapping[str, int]) -> str:
    return _few([f"{k} × {name}" if k != 1 else name for name, k in counts.items() if k])


def _few(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"{', '.join(names[:_FEW])}{more}" if names else "nothing"


def _new_components(structure: Structure, first: Model, second: Model) -> str:
    """Components that the first model does not know, with their costs."""
    known = {c.name for c in first.components}
    used = {*structure.stores, *structure.runs} - known
    said = []
    for c in second.components:
        if c.name in used:
            costs = [
                f"{_range(getattr(c, axis))} {axis}"
                for axis in ("bits", "steps")
                if getattr(c, axis) != Known(0.0)
            ]
            said.append(f"{c.name} ({', '.join(costs)})")
    return _few(said) if said else ""


def _changed_counts(verb: str, own: Mapping[str, int], others: Mapping[str, int]) -> list[str]:
    more = {n: k - own.get(n, 0) for n, k in others.items() if k > own.get(n, 0)}
    less = {n: k - others.get(n, 0) for n, k in own.items() if k > others.get(n, 0)}
    said = [f"{verb} {_counted(more)} more"] if more else []
    return said + ([f"{verb} {_counted(less)} less"] if less else [])


def _of_programs(_: Difference, first: Model, second: Model) -> str:
    def of(model: Model) -> str:
        if model.grammar is None:
            return f"{len(model.structures)} structures"
        return f"a grammar of {len(model.grammar.rules)} rules"

    now, before = of(second), of(first)
    other = "other programs" if now != before else "other programs of the same number"
    return f"has {other}: {now} instead of {before}"


def _of_objective(difference: Difference, first: Model, second: Model) -> str:
    name = difference.key.partition(" ")[2]
    if difference.change == "added":
        return f"declares what is lost by pursuing {name} ({_range(second.losses[name])} nats)"
    return f"does not say what is lost by pursuing {name}, which is then never selected"


def _of_constraint(difference: Difference, *_: Model) -> str:
    verb = "imposes" if difference.change == "added" else "does not impose"
    return f"{verb} {difference.key.partition(' ')[2]}"


def _of_correlations(_: Difference, first: Model, second: Model) -> str:
    own, others = (
        {tuple(sorted(map(str, c.between))): c.rho for c in m.correlations} for m in (first, second)
    )
    pairs = [p for p in dict.fromkeys((*own, *others)) if own.get(p) != others.get(p)]
    said = [
        f"{one} with {other} at {number_text(others.get((one, other), 0.0))} instead of "
        f"{number_text(own.get((one, other), 0.0))}"
        for one, other in pairs
    ]
    return f"correlates {_few(said)}"


def _of_overlap(difference: Difference, first: Model, second: Model) -> str:
    name = difference.key.partition(" ")[2]
    own, others = (
        {overlap_name(o.component, o.inside): o for o in m.overlaps} for m in (first, second)
    )
    one = others.get(name) or own[name]
    what = f"of the steps of {one.component} as part of {one.inside}"
    if name not in own:
        return f"counts a fraction of {_range(others[name].fraction)} {what}"
    if name not in others:
        return f"counts nothing {what}"
    before = _range(own[name].fraction)
    return f"counts a fraction of {_range(others[name].fraction)} instead of {before} {what}"


def _of_heuristics(_: Difference, first: Model, second: Model) -> str:
    now, before = (_few(m.heuristics.of) for m in (second, first))
    return f"multiplies the costs of {now} instead of {before}"


def _of_facts(_: Difference, first: Model, second: Model) -> str:
    now, before = (len(m.facts) for m in (second, first))
    if now == before:
        return f"says otherwise what its {now} facts cost, need, or how often they are used"
    return f"has {now} {FACTS} instead of {before}"


def _of_exchange(_: Difference, first: Model, second: Model) -> str:
    now, before = (
        _few(f"{f.name} {number_text(f.weight)}" for f in m.families) for m in (second, first)
    )
    return f"weighs the exchange families {now} instead of {before}"


def _of_selection(difference: Difference, first: Model, second: Model) -> str:
    what = {"episodes": "trains for", "cap": "has a cap of", "max_bits": "has a capacity of"}
    unit = {"episodes": "episodes", "cap": "steps", "max_bits": "bits"}[difference.key]
    own, others = (getattr(m.selection, difference.key) for m in (first, second))
    now, before = ("none" if x is None else number_text(x) for x in (others, own))
    return f"{what[difference.key]} {now} instead of {before} {unit}"


def _of_regime(_: Difference, first: Model, second: Model) -> str:
    def of(model: Model) -> str:
        chosen = model.selection
        cap = "no cap" if chosen.cap is None else f"a cap of {number_text(chosen.cap)} steps"
        return f"{number_text(chosen.episodes)} episodes with {cap}"

    return f"trains for {of(second)} instead of {of(first)}"


def _of_path(difference: Difference, *_: Model) -> str:
    verb = {"added": "adds", "left out": "leaves out", "changed": "changes"}[difference.change]
    return f"{verb} path dependence"


_WORDS: Mapping[str, Callable[[Difference, Model, Model], str]] = {
    "belief": _of_belief,
    "structure": _of_structure,
    "programs": _of_programs,
    "objective": _of_objective,
    "constraint": _of_constraint,
    "correlations": _of_correlations,
    "overlap": _of_overlap,
    "heuristics": _of_heuristics,
    "facts": _of_facts,
    "exchange": _of_exchange,
    "selection": _of_selection,
    "regime": _of_regime,
    "path": _of_path,
}
