"""Evidence that a model would bring forth: to plan an experiment, and to test what a fit recovers.

One set of values of everything uncertain is given or drawn from the prior; then every row's outcome
is drawn from the likelihood that `fit` would use, at these values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.beliefs import Z95, Known
from bayes_mesa.domain.model import EvidenceTable, Family, Model, given_model
from bayes_mesa.domain.slots import Slot, slots
from bayes_mesa.errors import InputError
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.reading import why_no_kind
from bayes_mesa.evidence.replicate import SAMPLERS
from bayes_mesa.inference.family_fit import checked_seed
from bayes_mesa.inference.inference import evidence_tables, observe
from bayes_mesa.reading.tables import MAX_COUNT
from bayes_mesa.text.wording import listed, shown, suggestion
from bayes_mesa.verdicts.prior_draws import draw_prior
from bayes_mesa.verdicts.program_list import with_listed
from bayes_mesa.verdicts.verdict import refuse_what_has_no_exact_route

if TYPE_CHECKING:
    from bayes_mesa.evidence.kind import EvidenceKind

Values = Mapping[str, float | np.ndarray]

#: What a design of kind ``selection`` gives in place of counts.
TOTAL = "total"
#: Standard deviation of a logarithm beyond which judgements leave the range of doubles.
_WIDEST_SD = 50.0


@dataclass(frozen=True, eq=False)
class Simulated:
    """Evidence, and what it was drawn at.

    Attributes
    ----------
    evidence
        Name → ``{"kind": ..., column: values, ...}``, as `fit` takes it.
    truth
        Value of every slot of the model under ``family`` (``bits.x``, ``pressure``,
        ``linear_rate``) and of every site that a kind of evidence adds (``NAME_sd``): float, or an
        array (n,) for what has several copies.
    family
        Name of the exchange family.
    """

    evidence: Mapping[str, Mapping[str, Any]]
    truth: Values
    family: str


def simulate_evidence(
    model: Model,
    design: Mapping[str, Mapping[str, Any]],
    *,
    family: str | None = None,
    at: Values | None = None,
    seed: int = 0,
) -> Simulated:
    """Draw evidence from a model.

    Parameters
    ----------
    model
        From `load_model`; its own evidence plays no part.
    design
        What `fit` takes as ``evidence``, without the column that is the outcome: by name,
        ``{"kind": "choice", "bits": [...], "steps": [...], "base_steps": [...], "trials": [...]}``.
        The outcome is ``stored`` for choice, ``value`` for measurement, ``left_larger`` for
        comparison, ``wins`` for winrate, ``exponent`` for tradeoff. For selection it is ``count``,
        and the design gives ``total``, the number of networks trained (at every number of
        ``rollouts``, where the design has that column), and names all that they can end in.
    family
        Exchange family that rules. None: drawn by the prior weights, among those that have the
        parameters named in ``at``.
    at
        Values by slot (``linear_rate``, ``bits.x``) or by the name of a site that a kind of
        evidence adds (``NAME_sd``). All else is one draw from the prior, given the constraints
        (correlations with a value that is given are left out of account).
    seed
        The same seed, design and values give the same evidence.

    Returns
    -------
    Simulated
        With ``evidence`` ready for `fit`, ``truth`` and ``family``.

    Raises
    ------
    InputError
        If the design gives an outcome or does not fit the model, or ``at`` names nothing that the
        model believes or gives an impossible value.
    RefusedError
        ``selection`` for a model whose sum over all programs is not known.
    """
    model = with_listed(given_model(model))
    tables = _planned(model, design)
    values_stream, rows_stream = np.random.SeedSequence(checked_seed(seed)).spawn(2)
    rng = np.random.Generator(np.random.PCG64(values_stream))
    given = _as_values(at)
    chosen = _chosen(model, family, given, rng)
    values = _values(model, chosen, given, rng)
    added = {n: x for n, x in given.items() if n not in values}
    rng = np.random.Generator(np.random.PCG64(rows_stream))
    outcomes, own = _outcomes(model, chosen, tables, values, added, rng)
    for table in (t for t in tables if t.kind == "selection"):
        _all_counted(table, outcomes[table.name])
    truth = {n: float(x) if np.ndim(x) == 0 else x for n, x in (values | own).items()}
    evidence = {
        t.name: {"kind": t.kind, **t.columns, KINDS[t.kind].outcome: outcomes[t.name]}
        for t in tables
    }
    return Simulated(evidence, truth, chosen.name)


def simulate_judgements(
    truth: Mapping[str, float],
    *,
    experts: int | Sequence[str] = 5,
    log_sd: float = 0.5,
    seed: int = 0,
) -> dict[str, Any]:
    """Judgements of calibrated experts about known costs: evidence of kind ``elicitation``.

    Every expert's median is LogNormal(log of the truth, ``log_sd``), and the 5 % and 95 % quantiles
    lie 1.645 ``log_sd`` below and above it on the log scale: over experts, the truth lies between
    them in 90 % of the judgements.

    Parameters
    ----------
    truth
        Values > 0 by cost, ``bits.NAME`` or ``steps.NAME``.
    experts
        Their number or their names.
    log_sd
        Standard deviation of the natural log of what an expert takes for the median.
    seed
        Of the draws.
    """
    names = _expert_names(experts)
    for quantity, value in truth.items():
        axis, _, component = str(quantity).partition(".")
        if axis not in ("bits", "steps") or not component:
            raise InputError(f"truth must name costs, bits.NAME or steps.NAME, found {quantity!r}")
        if not _is_number(value) or not 0.0 < value < np.inf:
            raise InputError(f"truth.{quantity} must be a number greater than 0, found {value!r}")
    if not _is_number(log_sd) or not 0.0 < log_sd <= _WIDEST_SD:
        raise InputError(
            f"log_sd must be a number greater than 0 and at most {_WIDEST_SD:g}, found {log_sd!r}"
        )
    pairs = [(expert, quantity) for quantity in truth for expert in names]
    rng = np.random.Generator(np.random.PCG64(checked_seed(seed)))
    centre = np.log([truth[quantity] for _, quantity in pairs])
    median = np.exp(centre + log_sd * rng.standard_normal(len(pairs)))
    away = np.exp(Z95 * log_sd)
    return {
        "kind": "elicitation",
        "expert": [str(expert) for expert, _ in pairs],
        "component": [quantity.partition(".")[2] for _, quantity in pairs],
        "quantity": [quantity.partition(".")[0] for _, quantity in pairs],
        "q05": median / away,
        "q50": median,
        "q95": median * away,
    }


def _expert_names(experts: Any) -> list[str]:
    if isinstance(experts, int | np.integer) and not isinstance(experts, bool) and experts > 0:
        return [f"expert_{k + 1}" for k in range(experts)]
    if isinstance(experts, Sequence) and not isinstance(experts, str) and experts:
        return [str(name) for name in experts]
    raise InputError(f"experts must be their number, at least 1, or names, found {experts!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _planned(model: Model, design: Mapping[str, Mapping[str, Any]]) -> tuple[EvidenceTable, ...]:
    """The design as checked tables, with a place for the outcome."""
    totals: dict[str, Any] = {}
    filled: dict[str, Any] = {}
    if not isinstance(design, Mapping):
        raise InputError(f"design must be a mapping of names to tables, found {shown(design)}")
    if isinstance(design.get("kind"), str):
        raise InputError(
            'design must map names to tables, found one table: write {"a_name": {"kind": ...}}'
        )
    for name, given in design.items():
        if not isinstance(given, Mapping):
            raise InputError(f"design.{name}: must be a mapping of columns with a kind")
        if (why := why_no_kind(given.get("kind"))) is not None:
            raise InputError(f"design.{name}.kind: {why}")
        kind = KINDS[given["kind"]]
        if not kind.outcome:
            raise InputError(
                f"design.{name}.kind: must be a kind whose outcome is random, found {kind.name} "
                "(simulate_judgements makes judgements around known costs)"
            )
        columns = {str(n): x for n, x in given.items() if n != "kind"}
        if kind.outcome in columns:
            found = f"must be left out: it is the outcome that is drawn of {kind.name}"
            raise InputError(f"design.{name}.{kind.outcome}: {found}")
        if kind.name == "selection":
            totals[name] = _total(name, columns)
        filled[name] = {"kind": kind.name, **columns, kind.outcome: _blank(kind, columns)}
    tables = evidence_tables(model, filled)
    if totals:
        refuse_what_has_no_exact_route(model)
    return tuple(_with_total(t, totals[t.name]) if t.name in totals else t for t in tables)


def _total(name: str, columns: dict[str, Any]) -> int:
    total = columns.pop(TOTAL, None)
    whole = isinstance(total, int | np.integer) and not isinstance(total, bool)
    if total is None or not whole or not 0 <= total <= MAX_COUNT:
        raise InputError(
            f"design.{name}.{TOTAL}: must be a whole number, 0 to 2^53, of trained networks, "
            f"found {'none' if total is None else repr(total)}"
        )
    return int(total)


def _blank(kind: EvidenceKind, columns: Mapping[str, Any]) -> np.ndarray:
    """Any outcome that the kind's checks let pass."""
    column = next(c for c in kind.columns if c.name == kind.outcome)
    size = max((np.size(x) for x in columns.values()), default=0)
    if column.kind == "count":
        return np.zeros(size, dtype=np.int64)
    return np.full(size, max(column.low, 0.0) + 1.0)


def _with_total(table: EvidenceTable, total: int) -> EvidenceTable:
    """All networks in the first row of every number of rollouts: only their sum is read."""
    count = np.zeros(len(table), dtype=np.int64)
    if "rollouts" in table.columns:
        count[np.unique(table.columns["rollouts"], return_index=True)[1]] = total
    else:
        count[0] = total
    return replace(table, columns={**table.columns, "count": count})


def _all_counted(table: EvidenceTable, counts: np.ndarray) -> None:
    """Networks that no row counts would be missing: a fit takes the counts for all there were."""
    missing = int(table.columns["count"].sum() - counts.sum())
    if missing:
        raise InputError(
            f"design.{table.name}: must name every structure or class in which networks can end, "
            f"but {missing} of {int(table.columns['count'].sum())} ended in none of those named"
        )


def _chosen(
    model: Model, family: str | None, given: Mapping[str, Any], rng: np.random.Generator
) -> Family:
    names = [f.name for f in model.families]
    if family is not None:
        if family not in names:
            raise InputError(f"family must be one of {listed(names)}, found {family!r}")
        return model.family(family)
    own = {name for f in model.families for name in f.variables() if name in given}
    possible = [f for f in model.families if own <= set(f.variables())]
    if not possible:
        raise InputError(f"at must name parameters of one exchange family, found {listed(own)}")
    weights = np.array([f.weight for f in possible])
    return possible[int(rng.choice(len(possible), p=weights / weights.sum()))]


def _values(
    model: Model, family: Family, given: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """One draw of every slot from the prior, with the given ones known."""
    found = slots(model, family)
    checked = {s.name: _checked(s, given[s.name]) for s in found if s.name in given}
    # Copies have no constraints, so that those which are given may stand in after the draw.
    fixed = [
        replace(s, belief=Known(float(checked[s.name])))
        if s.name in checked and s.size is None
        else s
        for s in found
    ]
    drawn = draw_prior(model, fixed, 1, rng).values
    copies = {
        s.name: np.broadcast_to(checked[s.name], s.size)
        for s in found
        if s.size is not None and s.name in checked
    }
    return {name: x[0] for name, x in drawn.items()} | copies


def _checked(slot: Slot, value: Any) -> np.ndarray:
    """A given value of a slot; an array where every copy has its own."""
    values = _numbers(slot.name, value)
    if values.shape not in ((), () if slot.size is None else (slot.size,)):
        wanted = "one number" if slot.size is None else f"one number, or {slot.size}"
        raise InputError(f"at.{slot.name} must be {wanted}, found shape {values.shape}")
    low, high = (0.0, np.inf) if isinstance(slot.belief, Known) else slot.belief.support
    if not np.all(np.isfinite(values) & (values >= low) & (values <= high)):
        raise InputError(
            f"at.{slot.name} must be a finite number from {low:g} to {high:g}, found {value!r}"
        )
    return values


def _as_values(at: Any) -> dict[str, Any]:
    if at is None:
        return {}
    if not isinstance(at, Mapping) or not all(isinstance(name, str) for name in at):
        raise InputError(f"at must be a mapping of names to values, found {at!r}")
    return dict(at)


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"at.{name} must be a number, found {value!r}") from None


def _outcomes(
    model: Model,
    family: Family,
    tables: Sequence[EvidenceTable],
    values: Mapping[str, np.ndarray],
    given: Mapping[str, Any],
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Outcome of every table's rows, and the sites that its kind adds, some of them ``given``."""
    import jax
    import jax.numpy as jnp
    from numpyro.handlers import seed, substitute, trace

    with jax.enable_x64(True):
        known = {n: jnp.asarray(x) for n, x in values.items()}
        key = jax.random.PRNGKey(int(rng.integers(2**31)))

        def sites_with(fixed: Mapping[str, Any]) -> Mapping[str, Any]:
            stated = seed(lambda: observe(model, family, known, tables, None, True), key)
            try:
                return trace(substitute(stated, fixed)).get_trace()
            except ValueError as error:  # NumPyro's word for a parameter that cannot be
                raise InputError(f"at must leave the evidence possible, but {error}") from None

        sites = sites_with({})
        own = _added(sites, tables)
        fixed = {n: jnp.asarray(_allowed(n, x, own, values)) for n, x in given.items()}
        if fixed:
            sites = sites_with(fixed)
        return (
            {t.name: _drawn(sites[t.name]["fn"], rng) for t in tables},
            {n: np.asarray(s["value"]) for n, s in _added(sites, tables).items()},
        )


def _added(sites: Mapping[str, Any], tables: Sequence[EvidenceTable]) -> dict[str, Any]:
    """Sites that kinds of evidence add to the slots."""
    rows = {t.name for t in tables}
    return {n: s for n, s in sites.items() if s["type"] == "sample" and n not in rows}


def _drawn(rows: Any, rng: np.random.Generator) -> np.ndarray:
    names, sampler = SAMPLERS[type(rows).__name__]
    return sampler(rng, {name: np.asarray(getattr(rows, name)) for name in names})


def _allowed(
    name: str, value: Any, own: Mapping[str, Any], values: Mapping[str, Any]
) -> np.ndarray:
    """A given value of a site that a kind of evidence adds."""
    if name not in own:
        raise InputError(
            "at must name what the model holds a belief about or what its evidence adds, "
            f"found {name!r}{suggestion(name, [*values, *own])}"
        )
    prior = own[name]["fn"]
    wanted = tuple(prior.batch_shape + prior.event_shape)
    found = _numbers(name, value)
    if found.shape not in ((), wanted):
        raise InputError(f"at.{name} must have shape {wanted}, found {found.shape}")
    if not np.all(np.asarray(prior.support(found))):
        raise InputError(f"at.{name} must be a value that its prior allows, found {value!r}")
    return np.broadcast_to(found, wanted)
