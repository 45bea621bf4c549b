"""Points of a sweep as data sets: block by block while they come, and the whole as a grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.parallel.outcome import Outcome
from bayes_mesa.sweeps.field_range import FieldRange
from bayes_mesa.sweeps.point import CRITICAL, FIGURES

if TYPE_CHECKING:
    import xarray as xr

POINT = "point"
_PROBABILITY, _SHARE = "probability", "share of the program weight"
#: Dimensions after the point, and unit, of every variable.
VARIABLES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "deceptive_favored": (("figure",), _PROBABILITY),
    "deceptive_mass": (("figure",), _SHARE),
    "deceptive_favored_with_path": (("figure",), _PROBABILITY),
    "deceptive_mass_with_path": (("figure",), _SHARE),
    "nothing_fits": ((), "share of the draws"),
    "class_mass": (("class", "figure"), _SHARE),
    "family_probability": (("family",), _PROBABILITY),
    "family_deceptive_favored": (("family", "figure"), _PROBABILITY),
    "family_deceptive_mass": (("family", "figure"), _SHARE),
    "structure_favored": (("structure", "figure"), _PROBABILITY),
    "structure_mass": (("structure", "figure"), _SHARE),
    "critical_rate": (("critical",), "steps per bit; shares of the draws"),
    "critical_kappa": (("critical",), "bits per doubling of time; shares of the draws"),
    "r_hat_max": ((), "dimensionless"),
    "ess_bulk_min": ((), "draws"),
    "divergences": ((), "transitions"),
    "warnings": ((), "warnings of the fit"),
}
_FIXED = {"figure": FIGURES, "critical": CRITICAL}
ERROR = "error"


def block_dataset(first: int, outcomes: Sequence[Outcome]) -> xr.Dataset:
    """Outcomes of consecutive points, the first of which has this number, over ``point``."""
    return _filled(
        np.arange(first, first + len(outcomes)),
        [o.error for o in outcomes],
        [
            ([place], o.value["labels"], {n: x[None] for n, x in o.value["values"].items()})
            for place, o in enumerate(outcomes)
            if o.value is not None
        ],
    )


def joined(blocks: Iterable[xr.Dataset]) -> xr.Dataset:
    """All blocks as one data set over ``point``, whatever their order."""
    ordered = sorted(blocks, key=lambda b: int(b[POINT][0]))
    places = np.concatenate([b[POINT].to_numpy() for b in ordered])
    errors = [str(e) for b in ordered for e in b[ERROR].to_numpy()]
    pieces = []
    start = 0
    for block in ordered:
        labels = {str(d): [str(x) for x in block[d].to_numpy()] for d in block.dims if d != POINT}
        values = {str(n): x.to_numpy() for n, x in block.data_vars.items() if n != ERROR}
        size = block.sizes[POINT]
        pieces.append((list(range(start, start + size)), labels, values))
        start += size
    return _filled(places, errors, pieces)


def as_grid(points: xr.Dataset, fields: Sequence[FieldRange]) -> xr.Dataset:
    """The same over one dimension for each field, the last of which runs fastest."""
    import xarray as xr

    names = [field.name for field in fields]
    shape = [len(field.values) for field in fields]
    variables = {
        str(name): (
            (*names, *x.dims[1:]),
            x.to_numpy().reshape(*shape, *x.shape[1:]),
            x.attrs,
        )
        for name, x in points.data_vars.items()
    }
    coords: dict[str, Any] = {
        field.name: (field.name, field.coordinate(), {"units": field.units} if field.units else {})
        for field in fields
    }
    coords |= {str(n): x for n, x in points.coords.items() if n != POINT}
    return xr.Dataset(variables, coords=coords)


Piece = tuple[list[int], Mapping[str, Sequence[str]], Mapping[str, np.ndarray]]


def _filled(points: np.ndarray, errors: Sequence[str], pieces: Sequence[Piece]) -> xr.Dataset:
    """One array for each variable, NaN where no piece says anything.

    Structures may differ between points (results name the heaviest of very many): the labels are
    those of all, each where it first stands.
    """
    import xarray as xr

    labels: dict[str, list[str]] = {d: list(names) for d, names in _FIXED.items()}
    for dimension in ("class", "family", "structure"):
        found = (name for _, own, _ in pieces for name in own.get(dimension, ()))
        labels[dimension] = list(dict.fromkeys(found))
    at = {d: {name: k for k, name in enumerate(names)} for d, names in labels.items()}
    variables: dict[str, Any] = {ERROR: (POINT, np.array(errors, dtype=str))}
    used: set[str] = set()
    for name, (dims, units) in VARIABLES.items():
        said = [(where, own, values[name]) for where, own, values in pieces if name in values]
        if not said:
            continue
        whole = np.full((len(points), *(len(labels[d]) for d in dims)), np.nan)
        for where, own, values in said:
            index = [where, *([at[d][x] for x in own.get(d, labels[d])] for d in dims)]
            whole[np.ix_(*index)] = values
        variables[name] = ((POINT, *dims), whole, {"units": units})
        used.update(dims)
    coords = {d: np.array(names) for d, names in labels.items() if d in used}
    return xr.Dataset(variables, coords={POINT: points, **coords})
