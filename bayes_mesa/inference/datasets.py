"""The result tree: one xarray dataset per group, in ArviZ's schema."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.beliefs import Belief, Known, Prior
from bayes_mesa.domain.expression import expression
from bayes_mesa.domain.model import CLASSES, EvidenceTable, Model
from bayes_mesa.domain.pool import Pool
from bayes_mesa.domain.slots import overlap_name, slots
from bayes_mesa.evidence.elicited import judgement_tables

if TYPE_CHECKING:
    import xarray as xr

#: Trailing dimensions of every stored variable that is not a plain (chain, draw) scalar.
DIMS: Mapping[str, tuple[str, ...]] = {
    "bits": ("component",),
    "steps": ("component",),
    "fact_bits": ("fact",),
    "fact_steps": ("fact",),
    "overlap_fraction": ("overlap",),
    "loss": ("objective",),
    "structure_mass": ("structure",),
    "structure_favored": ("structure",),
    "structure_bits": ("structure",),
    "structure_steps": ("structure",),
    "class_mass": ("class",),
}

UNITS: Mapping[str, str] = {
    "bits": "bits",
    "steps": "steps per episode",
    "fact_bits": "bits",
    "fact_steps": "steps per derivation",
    "loss": "nats per episode",
    "structure_bits": "bits",
    "structure_steps": "steps per episode",
    "margin_bits": "bits",
    "least_steps": "steps per episode",
    "linear_rate": "steps per bit",
    "critical_rate": "steps per bit",
    "levin_kappa": "bits per doubling of time",
    "critical_kappa": "bits per doubling of time",
    "power_rate": "steps per bit^exponent",
    "task_rollouts": "rollouts",
    "task_episodes": "episodes",
    "planning_exponent": "dimensionless",
    "learning_exponent": "dimensionless",
}


def coordinates(model: Model) -> dict[str, list[str]]:
    """Coordinate values of every named dimension."""
    return {
        "component": [c.name for c in model.components],
        "fact": list(model.facts.names),
        "overlap": [overlap_name(o.component, o.inside) for o in model.overlaps],
        "objective": list(model.losses),
        "structure": [c.name for c in model.columns],
        "class": list(CLASSES),
    }


def dataset(
    model: Model,
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, Sequence[str]] | None = None,
) -> xr.Dataset:
    """Dataset over (chain, draw) of the arrays (chains, draws, ...); empty ones are left out.

    ``dims`` names the trailing dimensions of variables that `DIMS` does not know; what neither
    names gets numbered dimensions of its own.
    """
    import xarray as xr

    named = {**DIMS, **(dims or {})}
    known = coordinates(model)
    variables: dict[str, Any] = {}
    used: dict[str, list[str]] = {}
    for name, array in arrays.items():
        if 0 in array.shape[2:]:
            continue
        trailing = named.get(name, ())
        attrs = {"units": UNITS[name]} if name in UNITS else {}
        if len(trailing) != array.ndim - 2:  # a kind's own site, or a log prior summed over facts
            trailing = [f"{name}_dim_{k}" for k in range(array.ndim - 2)]
            attrs = {}
        variables[name] = (("chain", "draw", *trailing), array, attrs)
        used |= {d: known[d] for d in trailing if d in known}
        chains, draws = array.shape[:2]
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), **used}
    return xr.Dataset(variables, coords=coords)


def constant_data(model: Model) -> xr.Dataset:
    """What does not vary: class, symbol, training, multiplicity and uses of every structure.

    With a grammar also the expression of every listed program, empty for the rest of a class. And
    the raw judgements of experts: NAME_expert, NAME_component, NAME_quantity, NAME_q05, NAME_q50,
    NAME_q95 and NAME_weight of every elicitation table NAME, over its rows.
    """
    import xarray as xr

    found = model.columns
    own = {s.name: s for s in model.structures}
    columns: dict[str, list[Any]] = {
        "structure_class": [c.class_name for c in found],
        "structure_symbol": [c.symbol for c in found],
        "structure_train": [own[c.name].train if c.name in own else "" for c in found],
        "multiplicity": [own[c.name].multiplicity if c.name in own else 1.0 for c in found],
        "uses": [float(model.facts.uses.get(c.name, 1.0)) for c in found],
    }
    if (grammar := model.grammar) is not None:
        columns["structure_program"] = [
            expression(grammar, own[c.name].code) if c.name in own else "" for c in found
        ]
    variables: dict[str, Any] = {n: (("structure",), np.array(x)) for n, x in columns.items()}
    for table in judgement_tables(model):
        variables |= _judgements(table)
    return xr.Dataset(variables, coords={"structure": [c.name for c in found]})


def _judgements(table: EvidenceTable) -> dict[str, Any]:
    columns = {"weight": np.ones(len(table)), **table.columns}
    units = {"units": "that of the quantity"}
    return {
        f"{table.name}_{name}": (
            (row_dimension(table.name),),
            x,
            units if name.startswith("q") and x.dtype.kind == "f" else {},
        )
        for name, x in columns.items()
    }


def observed_data(model: Model, tables: Sequence[Any]) -> xr.Dataset:
    """The observed value of every evidence row, one variable and one dimension per table."""
    import xarray as xr

    from bayes_mesa.evidence import KINDS

    variables = {}
    for table in tables:
        observed = KINDS[table.kind].observed(table.columns)
        variables[table.name] = ((row_dimension(table.name),), np.asarray(observed))
    return xr.Dataset(variables)


def row_dimension(table: str) -> str:
    """Name of the dimension of an evidence table's rows."""
    return f"{table}_row"


def told_apart(rows: np.ndarray) -> np.ndarray:
    """Row-wise log likelihoods (chains, draws, rows), equal ones told apart by 1e-10 (1 + |x|).

    ArviZ's leave-one-out refuses a row whose tail is one value, and a family that is certain of an
    outcome gives it 0 at every draw. Fractions of multiples of the golden ratio are never equal.
    """
    place = np.arange(1, rows.shape[0] * rows.shape[1] + 1).reshape(*rows.shape[:2], 1)
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    return rows - 1e-10 * (1.0 + np.abs(rows)) * np.modf(place * golden)[0]


def describe_beliefs(model: Model) -> list[dict[str, Any]]:
    """Every belief as the report prints it: text, kind, note, and its 5, 50 and 95 % quantiles.

    With ``form``, the distribution's name, arguments and cut (None: not cut off, or no named
    distribution), and ``correlations``, by quantity, draws can be reweighed.
    """
    about = {
        f"{axis}.{c.name}": (c.kind, c.note) for c in model.components for axis in ("bits", "steps")
    }
    found = {s.name: s.belief for f in model.families for s in slots(model, f)}
    return [
        {
            "quantity": name,
            "kind": kind,
            "note": note,
            **_describe(belief),
            "correlations": _correlations(model, name),
        }
        for name, belief in found.items()
        for kind, note in [_judged(belief, *about.get(name, ("opinion", "")))]
        if not (isinstance(belief, Known) and belief.value == 0.0 and name in about)
    ]


def _judged(belief: Belief, kind: str, note: str) -> tuple[str, str]:
    """Kind and note of a cost: judgements are opinions, and the note says whose."""
    if not isinstance(belief, Pool) or not belief.experts:
        return kind, note
    count = len(belief.experts)
    asked = f"elicited from {count} expert{'s' if count > 1 else ''}: {', '.join(belief.experts)}"
    return "opinion", f"{note} ({asked})" if note else asked


def _describe(belief: Belief) -> dict[str, Any]:
    if isinstance(belief, Known):
        q05 = median = q95 = belief.value
    else:
        q05, median, q95 = (float(x) for x in belief.quantile(np.array([0.05, 0.5, 0.95])))
    form = None
    if isinstance(belief, Prior):
        low = belief.low if math.isfinite(belief.low) else None
        form = {"name": belief.name, "arguments": dict(belief.arguments), "low": low}
    return {"belief": str(belief), "q05": q05, "median": median, "q95": q95, "form": form}


def _correlations(model: Model, name: str) -> dict[str, float]:
    """What the quantity is correlated with, and how strongly."""
    found = {}
    for correlation in model.correlations:
        left, right = map(str, correlation.between)
        if name in (left, right):
            found[right if name == left else left] = correlation.rho
    return found


def encode(value: Any) -> str:
    """JSON text of an attribute that is not a plain string or number."""
    return json.dumps(value, allow_nan=False)
