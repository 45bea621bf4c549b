"""Evidence of kind ``selection``: the structures or classes in which trained networks ended.

Counts ~ Multinomial(their sum, masses of the rows); a class's mass is the sum over its structures,
or over all programs of the grammar. What no row names is left out of the counts, and its mass then
lowers the others'.

With ``rollouts``, the rows of each k are a multinomial of their own, of the masses under the cap
and in the episodes that the model's regime has at that k.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.task_success import most_rollouts
from bayes_mesa.errors import InputError
from bayes_mesa.evidence.kind import Columns, undeclared
from bayes_mesa.reading.tables import Column, RowFault, Rows

if TYPE_CHECKING:
    from bayes_mesa.domain.model import EvidenceTable, Family, Model
    from bayes_mesa.evidence.hypothesis import Hypothesis

ROLLOUTS = "rollouts"


@dataclass(frozen=True)
class Selection:
    """``count`` trained networks ended in this ``structure``, or in this ``class``."""

    name: str = "selection"
    columns: tuple[Column, ...] = (
        Column("structure", "name", required=False),
        Column("class", "name", required=False),
        Column("count", "count"),
        Column(ROLLOUTS, "count", required=False),
    )
    outcome: str = "count"

    def faults(self, rows: Rows, model: Model | None) -> Iterator[RowFault]:
        """Rows name structures or classes, each once (at each k), and count none without weight."""
        if ROLLOUTS in rows.columns and model is not None:
            yield from _impossible_rollouts(rows, model)
        given = [name for name in ("structure", "class") if name in rows.columns]
        if len(given) != 1:
            found = "both" if given else "neither"
            yield RowFault(None, "structure", f"must be given, or else class, found {found}")
            return
        yield from _repeated(rows, given[0])
        if model is not None:
            yield from _weightless(rows, given[0], *_possible(model, given[0]))

    def reads(self, table: EvidenceTable, model: Model, family: Family) -> None:
        """Every slot: masses depend on all of them."""
        return

    def observe(self, name: str, columns: Columns, given: Hypothesis, *, observed: bool) -> None:
        """Multinomial of the masses."""
        import jax.numpy as jnp
        import numpyro

        from bayes_mesa.evidence.multinomial import GroupedMultinomial, RowMultinomial

        counts = jnp.asarray(columns["count"])
        rows: Any
        if ROLLOUTS in columns:
            k = jnp.asarray(columns[ROLLOUTS])
            total = jnp.where(k[:, None] == k, counts, 0).sum(axis=1)
            rows = GroupedMultinomial(_log_masses_at(columns, given), total, k)
        else:
            rows = RowMultinomial(_named(columns, given), counts.sum())
        with numpyro.plate(f"{name}_row", len(columns["count"])):
            numpyro.sample(name, rows, obs=counts if observed else None)

    def observed(self, columns: Columns) -> np.ndarray:
        """How many networks ended in each row's structure or class."""
        return np.asarray(columns["count"])


def _impossible_rollouts(rows: Rows, model: Model) -> Iterator[RowFault]:
    """Find the k that the model's regime does not have."""
    if model.regime is None:
        found = "must be left out where the model has no [regime], found the column"
        yield RowFault(None, ROLLOUTS, found)
        return
    most = most_rollouts(model.regime)
    for row, k in rows.sound(ROLLOUTS):
        if not 1 <= k <= most:
            found = f"must be from 1 to {most}, so that the budget pays for an episode, found {k}"
            yield RowFault(row, ROLLOUTS, found)


def _repeated(rows: Rows, column: str) -> Iterator[RowFault]:
    seen: set[tuple[Any, ...]] = set()
    at = [ROLLOUTS] if ROLLOUTS in rows.columns else []
    for row, name, *k in rows.sound(column, *at):
        if (name, *k) in seen:
            where = f" at {k[0]} rollouts" if k else ""
            found = f"must name each {column} once{where}, found {name} again"
            yield RowFault(row, column, found)
        seen.add((name, *k))


def _log_masses_at(columns: Columns, given: Hypothesis) -> Any:
    """Log mass of what each row names at the row's k, (rows,)."""
    import jax
    import jax.numpy as jnp

    from bayes_mesa.verdicts.verdict import refuse_what_has_no_exact_route

    # Here, where cap and episodes are numbers yet: below they are traced.
    refuse_what_has_no_exact_route(given.model)
    regime = given.model.regime
    if regime is None:
        raise InputError(f"the model must have a [regime] where evidence gives {ROLLOUTS}")

    def masses(k: Any) -> Any:
        return _named(columns, given.at(regime.selection(k, given.model.selection)))

    every = jax.vmap(masses)(jnp.asarray(columns[ROLLOUTS], dtype=float))
    return jnp.diagonal(every)


def _named(columns: Columns, given: Hypothesis) -> Any:
    """Log mass of what each row names, (rows,)."""
    from bayes_mesa.domain.model import CLASSES

    if "structure" in columns:
        row = {s.name: k for k, s in enumerate(given.model.structures)}
        return given.log_mass[np.array([row[str(n)] for n in columns["structure"]])]
    return given.log_class_mass[np.array([CLASSES.index(str(n)) for n in columns["class"]])]


def _possible(model: Model, column: str) -> tuple[list[str], set[str]]:
    """Names that may stand in the column, and those of them that can have weight."""
    from bayes_mesa.domain.model import CLASSES

    eligible = zip(model.structures, model.classes, model.eligible, strict=True)
    if column == "structure":
        return [s.name for s in model.structures], {s.name for s, _, fits in eligible if fits}
    if model.grammar is None:
        return list(CLASSES), {class_name for _, class_name, fits in eligible if fits}
    return list(CLASSES), _grammar_classes(model)


def _grammar_classes(model: Model) -> set[str]:
    """Classes of the programs that the grammar can make; all, where there are too many to tell."""
    from bayes_mesa.domain.model import CLASSES
    from bayes_mesa.errors import RefusedError
    from bayes_mesa.grammars.inside import System

    try:
        return {CLASSES[k] for k in System.of(model).root_class}
    except RefusedError:
        return set(CLASSES)


def _weightless(rows: Rows, column: str, names: list[str], weighed: set[str]) -> Iterator[RowFault]:
    for row, name in rows.sound(column):
        if name not in names:
            yield undeclared(row, column, name, names)
    for row, name, count in rows.sound(column, "count"):
        if count and name in names and name not in weighed:
            found = f"must be 0 where the model leaves no program ({name}), found {count}"
            yield RowFault(row, "count", found)
