"""What must hold between the tables of a model file, each of them sound by itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import NamedTuple

import numpy as np

from bayes_mesa.domain.beliefs import Belief, Known
from bayes_mesa.domain.model import CLASSES, MAX_NAMED, Quantity
from bayes_mesa.reading import schema
from bayes_mesa.reading.document import Document
from bayes_mesa.reading.schema_grammar import RuleTable
from bayes_mesa.text.wording import Location, listed, shown

MAX_CORRELATED = 1000


class Conflict(NamedTuple):
    """Where tables do not go together, and how."""

    location: Location
    message: str


Conflicts = Iterator[Conflict]


def crosscheck(document: Document) -> None:
    """Note in the document every conflict between its sound tables."""
    for check in CHECKS:
        for conflict in check(document):
            document.refuse(*conflict)


def _required_tables(document: Document) -> Conflicts:
    """The tables without which there is no model."""
    if not document.has("model"):
        yield Conflict(("model", "name"), "must be given, found nothing")
    if not document.source.data.get("structures") and not document.has("grammar"):
        yield Conflict(("structures",), "must hold at least one structure, found none")
    if not document.source.data.get("exchange"):
        families = listed(schema.FAMILIES)
        yield Conflict(("exchange",), f"must hold at least one of {families}, found none")
    if not document.has("components") and any(_used(document)):
        users = "rules" if document.has("grammar") else "structures"
        yield Conflict(("components",), f"must hold what {users} store and run, found none")


def _used(document: Document) -> Iterator[str]:
    for _, structure in document.each(schema.StructureTable, "structures"):
        yield from structure.stores
        yield from structure.runs
    for _, rule in document.each(RuleTable, "rules"):
        yield from rule.stores
        yield from rule.runs


def base_objective(document: Document) -> str | None:
    """What the file calls the base objective; None where that cannot be read."""
    if not document.has("model"):
        return "base"
    table = document.table(schema.ModelTable, "model")
    if table:
        return table.base_objective
    # Another fault in [model] must not hide those that hang on the base objective.
    model = document.source.data["model"]
    written = model.get("base_objective", "base") if isinstance(model, dict) else None
    return written if isinstance(written, str) else None


def _base_loss(document: Document) -> Conflicts:
    base, objectives = base_objective(document), document.source.data.get("objectives")
    if base is not None and isinstance(objectives, dict) and base in objectives:
        found = "must be left out: the base objective loses nothing, and no loss can be declared"
        yield Conflict(("objectives", base, "loss"), found)


def _names_of_others(document: Document) -> Conflicts:
    """Names that results of very many structures use for the rest of a class."""
    given = document.source.data.get("structures")
    if isinstance(given, dict) and len(given) > MAX_NAMED:
        for name in sorted({f"other_{c}" for c in CLASSES} & given.keys()):
            found = f"must be another name, as results of more than {MAX_NAMED} structures use it"
            yield Conflict(("structures", name), f"{found}, found {shown(name)}")


def _eligible(document: Document) -> Conflicts:
    """At least one structure does equally well in training, or has its loss declared."""
    base, given = base_objective(document), document.source.data.get("structures")
    structures = dict(document.each(schema.StructureTable, "structures"))
    if base is None or not structures or len(structures) < len(given or ()):
        return
    declared = {base, *(document.source.data.get("objectives") or ())}
    pursued = {structure.train for structure in structures.values()}
    if not pursued & declared:
        found = f"must have one with train = {shown(base)} or an objective with a declared loss"
        yield Conflict(("structures",), f"{found}, found {listed(map(shown, sorted(pursued)))}")


def _count_or_file(document: Document) -> Conflicts:
    """Facts are given by count, with both costs, or in a file."""
    facts = document.source.data.get("facts")
    if not isinstance(facts, dict):
        return
    if "file" not in facts and not facts.keys() & {"count", "bits", "steps"}:
        yield Conflict(("facts",), "must give count (with bits and steps) or file, found neither")
        return
    for key in ("count", "bits", "steps"):
        if "file" in facts and key in facts:
            yield Conflict(("facts", key), "must not be given beside file, found both")
        elif "file" not in facts and key not in facts:
            yield Conflict(("facts", key), "must be given where there is no file, found nothing")


def _belief(document: Document, quantity: Quantity) -> Belief | None:
    component = document.table(schema.ComponentTable, "components", quantity.component)
    return getattr(component, quantity.axis) if component else None


def _factor(document: Document, quantity: Quantity) -> Belief | None:
    """Heuristics factor of a cost; None if the table is faulty."""
    if not document.has("heuristics"):
        return Known(1.0)
    heuristics = document.table(schema.HeuristicsTable, "heuristics")
    if heuristics is None:
        return None
    return getattr(heuristics, quantity.axis) if quantity.component in heuristics.of else Known(1.0)


def _ends(document: Document, quantities: Counter[Quantity]) -> tuple[float, float, bool] | None:
    """Least and largest possible sum, and whether it is known; None if a cost is faulty."""
    low = high = 0.0
    known = True
    for quantity, count in quantities.items():
        belief, factor = _belief(document, quantity), _factor(document, quantity)
        if belief is None or factor is None:
            return None
        known = known and isinstance(belief, Known) and isinstance(factor, Known)
        low += count * belief.support[0] * factor.support[0]
        # 0 times an unbounded factor is 0.
        high += count * belief.support[1] * factor.support[1] if belief.support[1] else 0.0
    return low, high, known


def _impossible_constraints(document: Document) -> Conflicts:
    for index, table in document.each(schema.ConstraintTable, "constraints"):
        constraint = table.build()
        larger, smaller = Counter(constraint.larger), Counter(constraint.smaller)
        most, least = _ends(document, larger - smaller), _ends(document, smaller - larger)
        if most is None or least is None:
            continue
        both_known = most[2] and least[2]
        if most[1] < least[0] or (most[1] == least[0] and not both_known):
            found = f"at most {shown(most[1])} against at least {shown(least[0])}"
            requirement = f"must be possible ({constraint})"
            yield Conflict(("constraints", index, "at_least"), f"{requirement}, found {found}")


def _known_correlations(document: Document) -> Conflicts:
    """Only what is uncertain can be correlated, and each pair once."""
    seen: set[frozenset[Quantity]] = set()
    for index, table in document.each(schema.CorrelationTable, "correlations"):
        for place, quantity in enumerate(table.between):
            belief = _belief(document, quantity)
            if isinstance(belief, Known):
                location = ("correlations", index, "between", place)
                found = (
                    f"must be uncertain, found {quantity}, which is known ({shown(belief.value)})"
                )
                yield Conflict(location, found)
        pair = frozenset(table.between)
        if pair in seen:
            found = (
                f"must be a pair not given before, found {' and '.join(map(str, table.between))}"
            )
            yield Conflict(("correlations", index, "between"), f"{found} again")
        seen.add(pair)


def _possible_correlations(document: Document) -> Conflicts:
    """All correlations together are those of some joint distribution."""
    place: dict[Quantity, int] = {}
    given: dict[tuple[int, int], float] = {}
    for _, table in document.each(schema.CorrelationTable, "correlations"):
        first, second = (place.setdefault(q, len(place)) for q in table.between)
        given.setdefault((min(first, second), max(first, second)), table.rho)
    location = ("correlations",)
    if len(place) > MAX_CORRELATED:
        found = f"must be between at most {MAX_CORRELATED} costs, found {len(place)}"
        yield Conflict(location, found)
        return
    matrix = np.eye(len(place))
    for (first, second), rho in given.items():
        matrix[first, second] = matrix[second, first] = rho
    if given and np.linalg.eigvalsh(matrix)[0] <= 1e-12:
        found = "must be possible together (a positive definite matrix), found a contradiction"
        yield Conflict(location, f"{found} among {listed(map(str, place))}")


def _overlap_sums(document: Document) -> Conflicts:
    """No more than all of a running time can be inside others."""
    total: Counter[str] = Counter()
    for index, table in document.each(schema.OverlapTable, "overlaps"):
        before = total[table.component]
        total[table.component] += table.fraction.support[1]  # type: ignore[assignment]
        if total[table.component] > 1 + 1e-12 >= before + 1e-12:
            found = f"must sum to at most 1 over the overlaps of {table.component}"
            most = f"found up to {shown(round(total[table.component], 12))}"
            yield Conflict(("overlaps", index, "fraction"), f"{found}, {most}")


def _levin_time(document: Document) -> Conflicts:
    """Levin's penalty is a logarithm: every structure must take time."""
    exchange = document.source.data.get("exchange")
    if not isinstance(exchange, dict) or "levin" not in exchange:
        return
    inside: dict[str, list[schema.OverlapTable]] = defaultdict(list)
    for _, overlap in document.each(schema.OverlapTable, "overlaps"):
        inside[overlap.component].append(overlap)
    for name, structure in document.each(schema.StructureTable, "structures"):
        runs = structure.runs
        if not any(_takes_time(document, runs, part, inside[part]) for part in runs):
            found = "must run something that takes steps, as the levin exchange needs t > 0"
            yield Conflict(("structures", name, "runs"), f"{found}, found t = 0")


def _set_by_regime(document: Document) -> Conflicts:
    """A regime says what the cap and the episodes are."""
    selection = document.source.data.get("selection")
    if document.has("regime") and isinstance(selection, dict):
        for key in ("cap", "episodes"):
            if key in selection:
                found = "must be left out beside [regime], which sets it, found both"
                yield Conflict(("selection", key), found)


def _paid_regime(document: Document) -> Conflicts:
    """The budget pays for an episode, and no number of episodes leaves double precision."""
    table = document.table(schema.RegimeTable, "regime")
    if table is None:
        return
    regime = table.build()
    needed, location = regime.cap(regime.rollouts), ("regime", "budget")
    if not regime.affords(regime.rollouts):
        episode = f"one episode of {regime.rollouts} rollouts ({shown(needed)} steps)"
        found = f"found {shown(regime.budget)} steps"
        yield Conflict(location, f"must pay for at least {episode}, {found}")
    elif not isfinite(regime.episodes(1)):
        found = f"found {shown(regime.budget)} / {shown(regime.steps_per_rollout)}"
        yield Conflict(location, f"must be below 1.8e308 rollouts of steps_per_rollout, {found}")


def _takes_time(
    document: Document,
    runs: Mapping[str, int],
    component: str,
    overlaps: Iterable[schema.OverlapTable],
) -> bool:
    """Whether running this component adds time (or may, where its table is faulty)."""
    if _belief(document, Quantity("steps", component)) == Known(0.0):
        return False
    left = 1.0
    for overlap in overlaps:
        if not isinstance(overlap.fraction, Known):
            return True
        shared = min(runs[component], runs.get(overlap.inside, 0))
        left -= overlap.fraction.value * shared / runs[component]
    return left > 1e-12


CHECKS: tuple[Callable[[Document], Conflicts], ...] = (
    _required_tables,
    _base_loss,
    _names_of_others,
    _eligible,
    _count_or_file,
    _impossible_constraints,
    _known_correlations,
    _possible_correlations,
    _overlap_sums,
    _levin_time,
    _set_by_regime,
    _paid_regime,
)
