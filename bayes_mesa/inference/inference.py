"""The NumPyro model: priors over every slot, constraints, correlations, and the evidence.

Every uncertain slot is one sample site under its own name. Constraints condition the prior: a
constraint's *pivot*, a cost on its larger side, gets the sum of the rest as its lower bound, so
that NUTS meets no wall; a constraint for which no pivot can be ordered falls back to weight 0
outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import (
    Constraint,
    EvidenceTable,
    Family,
    Model,
    Quantity,
    given_model,
)
from bayes_mesa.domain.pool import Pool
from bayes_mesa.domain.site_distribution import prior_of, site_distribution
from bayes_mesa.domain.slots import Slot, assemble, slots
from bayes_mesa.errors import InputError
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.elicited import KIND, with_elicited
from bayes_mesa.evidence.hypothesis import Hypothesis
from bayes_mesa.verdicts.prior_draws import copula_matrix, correlated_names, slack

Data = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Program:
    """A NumPyro program for one family: call it with the evidence's numbers.

    ``sampled`` are the slots with a site of their own; the others stand at their median, which is
    right only for slots that no likelihood among ``tables`` reads.
    """

    model: Model
    family: Family
    tables: tuple[EvidenceTable, ...]
    sampled: frozenset[str]

    def __call__(self, data: Data | None = None, *, observed: bool = True) -> None:
        """Run the statements; ``data`` maps table → column → array (default: the tables' own)."""
        values = sample_slots(self.model, slots(self.model, self.family), self.sampled)
        observe(self.model, self.family, values, self.tables, data, observed)


def numpyro_model(
    model: Model, evidence: Any = None, *, family: str | None = None
) -> Callable[[], None]:
    """The plain NumPyro callable of a model, for your own inference.

    Parameters
    ----------
    model
        A checked model.
    evidence
        None: the model's own; ``{}``: none; else a mapping as `fit` takes it.
    family
        Name of one exchange family. None: the joint of all of them with the family summed out,
        p(θ) Σ_F w_F p(D | θ, F); one NUTS chain mixes badly over that when the families disagree
        (an idle family's parameter wanders over its prior), so `fit` runs the families apart.

    Returns
    -------
    callable
        Without arguments; its sites are the uncertain slots, e.g. ``bits.get_base_obj``,
        ``pressure``, ``linear_rate``. Needs double precision: call it under
        ``jax.enable_x64(True)``.
    """
    model = believed(model, evidence)
    tables = evidence_tables(model, evidence)
    if family is None and len(model.families) > 1:
        return _mixture(model, tables)
    chosen = model.families[0] if family is None else _named(model, family)
    everything = frozenset(s.name for s in slots(model, chosen) if s.uncertain)
    return Program(model, chosen, tables, everything)


def believed(model: Model, evidence: Any) -> Model:
    """The model with its own and the given judgements of experts as the priors of what they judge.

    Its own stay in force whatever ``evidence`` is, ``{}`` too: judgements are priors, not data.
    """
    from bayes_mesa.evidence.reading import as_evidence, by_name

    given_model(model)
    if evidence is None:
        return with_elicited(model)
    judged = {name: given for name, given in by_name(evidence).items() if _kind(given) == KIND}
    return with_elicited(model, as_evidence(judged, model))


def evidence_tables(model: Model, evidence: Any) -> tuple[EvidenceTable, ...]:
    """Evidence that has a likelihood, as checked tables: None is the model's own, ``{}`` none.

    Judgements of experts are left out: `believed` makes priors of them.
    """
    from bayes_mesa.evidence.reading import as_evidence

    found = model.evidence if evidence is None else as_evidence(evidence, model)
    return tuple(table for table in found if KINDS[table.kind].outcome)


def _kind(given: Any) -> Any:
    if isinstance(given, EvidenceTable):
        return given.kind
    return given.get("kind") if isinstance(given, Mapping) else None


def touched(model: Model, family: Family, tables: Iterable[EvidenceTable]) -> frozenset[str]:
    """Uncertain slots that the evidence informs, directly or through constraints and correlations.

    All others are independent of the evidence: their posterior is their prior, drawn exactly.
    """
    uncertain = {s.name for s in slots(model, family) if s.uncertain}
    reached: set[str] = set()
    for table in tables:
        reads = KINDS[table.kind].reads(table, model, family)
        reached |= uncertain if reads is None else set(reads) & uncertain
    ties = _ties(model)
    while grown := {n for tie in ties if tie & reached for n in tie & uncertain} - reached:
        reached |= grown
    return frozenset(reached)


def sample_slots(model: Model, found: Sequence[Slot], sampled: frozenset[str]) -> dict[str, Any]:
    """NumPyro statements for the slots: one site each, with copula and constraints."""
    import jax.numpy as jnp
    import numpyro

    order = _pivot_order(model, found, sampled)
    values: dict[str, Any] = {s.name: _fixed(s) for s in found if s.name not in sampled}
    by_name = {s.name: s for s in found}
    for name in order.names:
        slot, pivot_of = by_name[name], order.pivots.get(name, ())
        low = _lower_bound(model, name, pivot_of, values) if pivot_of else None
        values[name] = numpyro.sample(name, site_distribution(slot, low))
    names = [n for n in correlated_names(model) if n in sampled]
    if names:
        numpyro.factor("correlations", _copula_log_density(model, names, by_name, values))
    for constraint in order.walls:
        holds = slack(model, constraint, values) >= 0
        numpyro.factor(f"constraint {constraint}", jnp.where(holds, 0.0, -jnp.inf))
    return values


def observe(
    model: Model,
    family: Family,
    values: Mapping[str, Any],
    tables: Sequence[EvidenceTable],
    data: Data | None,
    observed: bool,
) -> None:
    """NumPyro statements for the evidence, given slot values."""
    import jax.numpy as jnp

    hypothesis = Hypothesis(model, family, assemble(model, values, family, jnp))
    for table in tables:
        columns = table.columns if data is None else {**table.columns, **data[table.name]}
        KINDS[table.kind].observe(table.name, columns, hypothesis, observed=observed)


@dataclass(frozen=True)
class _Order:
    names: tuple[str, ...]
    pivots: Mapping[str, tuple[Constraint, ...]]
    walls: tuple[Constraint, ...]


def _pivot_order(model: Model, found: Sequence[Slot], sampled: frozenset[str]) -> _Order:
    """Order sites so that each pivot comes after everything its lower bound is made of."""
    after: dict[str, set[str]] = {s.name: set() for s in found if s.name in sampled}
    pivots: dict[str, tuple[Constraint, ...]] = {}
    walls = []
    by_name = {s.name: s for s in found}
    for constraint in model.constraints:
        names = _sites_of(model, constraint)
        if not names & sampled:
            continue
        pivot = next(
            (p for p in _candidates(constraint, by_name, sampled) if _orderable(after, p, names)),
            None,
        )
        if pivot is None:
            walls.append(constraint)
            continue
        after[pivot] |= (names - {pivot}) & sampled
        pivots[pivot] = (*pivots.get(pivot, ()), constraint)
    return _Order(tuple(_topological(after)), pivots, tuple(walls))


def _candidates(
    constraint: Constraint, by_name: Mapping[str, Slot], sampled: frozenset[str]
) -> list[str]:
    # Once on the larger side, never on the smaller one; and of unbounded support, so that the
    # bound can always be met.
    smaller = {str(q) for q in constraint.smaller}
    larger = [str(q) for q in constraint.larger]
    return [
        n
        for n in dict.fromkeys(larger)
        if n in sampled
        and n not in smaller
        and larger.count(n) == 1
        and by_name[n].belief.support[1] == float("inf")
    ]


def _orderable(after: Mapping[str, set[str]], pivot: str, names: set[str]) -> bool:
    frontier, seen = set(names) - {pivot}, set()
    while frontier:
        name = frontier.pop()
        if name == pivot:
            return False
        seen.add(name)
        frontier |= after.get(name, set()) - seen
    return True


def _topological(after: Mapping[str, set[str]]) -> list[str]:
    from graphlib import TopologicalSorter

    return list(TopologicalSorter({n: sorted(after[n]) for n in after}).static_order())


def _lower_bound(
    model: Model, pivot: str, constraints: Sequence[Constraint], values: Mapping[str, Any]
) -> Any:
    import jax.numpy as jnp

    axis, component = pivot.split(".", 1)
    known = {**values, pivot: 0.0}
    missing = [-slack(model, c, known) for c in constraints]
    factor = values[f"heuristics_{axis}"] if component in model.heuristics.of else 1.0
    return jnp.maximum(0.0, jnp.stack([jnp.asarray(m) for m in missing]).max()) / factor


def _copula_log_density(
    model: Model, names: Sequence[str], by_name: Mapping[str, Slot], values: Mapping[str, Any]
) -> Any:
    """Log of the Gaussian copula's density: −½ log|R| − ½ zᵀ(R⁻¹ − I)z, z_k = Φ⁻¹(F_k(x_k))."""
    import jax.numpy as jnp
    import numpy as np
    from jax.scipy.special import ndtri

    matrix = copula_matrix(model, names)
    tiny = 1e-16
    z = []
    for name in names:
        belief = prior_of(by_name[name])
        base: Any = belief.numpyro()
        if isinstance(belief, Pool):
            z.append(base.score(values[name]))
        elif belief.name == "LogNormal":
            z.append((jnp.log(values[name]) - base.loc) / base.scale)
        else:
            z.append(ndtri(jnp.clip(base.cdf(values[name]), tiny, 1.0 - tiny)))
    scores = jnp.stack(z)
    precision = np.linalg.inv(matrix) - np.eye(len(names))
    return -0.5 * np.linalg.slogdet(matrix)[1] - 0.5 * scores @ precision @ scores


def _mixture(model: Model, tables: tuple[EvidenceTable, ...]) -> Callable[[], None]:
    def joint() -> None:
        import jax.numpy as jnp
        import numpyro
        from jax.scipy.special import logsumexp

        costs = slots(model)
        shared = {s.name for s in costs}
        values = sample_slots(model, costs, frozenset(s.name for s in costs if s.uncertain))
        terms = []
        for family in model.families:
            own = [s for s in slots(model, family) if s.name not in shared]
            named = frozenset(s.name for s in own if s.uncertain)
            both = values | sample_slots(_without_ties(model), own, named)
            terms.append(jnp.log(family.weight) + _log_likelihood(model, family, both, tables))
        if tables:
            numpyro.factor("evidence", logsumexp(jnp.stack(terms)))

    return joint


def _log_likelihood(
    model: Model, family: Family, values: Mapping[str, Any], tables: Sequence[EvidenceTable]
) -> Any:
    from numpyro.handlers import block, seed, trace

    with block():
        statements = seed(lambda: observe(model, family, values, tables, None, True), 0)
        sites = [s for s in trace(statements).get_trace().values() if s["type"] == "sample"]
    if not all(s["is_observed"] for s in sites):
        names = ", ".join(f.name for f in model.families)
        raise InputError(
            "evidence with unknowns of its own (groups, noise, an exponent) has them in every "
            f"family: pass family= to numpyro_model (one of {names})"
        )
    return sum((s["fn"].log_prob(s["value"]).sum() for s in sites), start=0.0)


def _without_ties(model: Model) -> Model:
    from dataclasses import replace

    return replace(model, constraints=(), correlations=())


def _named(model: Model, family: str) -> Family:
    names = [f.name for f in model.families]
    if family not in names:
        raise InputError(f"family must be one of {', '.join(names)}, found {family!r}")
    return model.family(family)


def _fixed(slot: Slot) -> Any:
    import jax.numpy as jnp

    value = slot.belief.value if isinstance(slot.belief, Known) else slot.belief.median
    return jnp.full((slot.size,), value) if slot.size else jnp.asarray(value)


def _sites_of(model: Model, constraint: Constraint) -> set[str]:
    names = set()
    for quantity in (*constraint.larger, *constraint.smaller):
        names |= _sites_of_quantity(model, quantity)
    return names


def _sites_of_quantity(model: Model, quantity: Quantity) -> set[str]:
    own = {str(quantity)}
    if quantity.component in model.heuristics.of:
        own.add(f"heuristics_{quantity.axis}")
    return own


def _ties(model: Model) -> list[set[str]]:
    constraints = [_sites_of(model, c) for c in model.constraints]
    return constraints + [{str(q) for q in c.between} for c in model.correlations]
