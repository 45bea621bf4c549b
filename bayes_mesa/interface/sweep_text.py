"""A sweep as text: where the verdict is least and greatest, and which points failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.interface.console import columns
from bayes_mesa.interface.page_text import Page
from bayes_mesa.sweeps.grid import ERROR
from bayes_mesa.sweeps.sweeping import failed_points
from bayes_mesa.text.number_text import error_text, interval_text, number_text
from bayes_mesa.verdicts.estimand import finite

if TYPE_CHECKING:
    import xarray as xr

_FIGURES = ("mean", "mcse", "lower", "upper")
_BOTH = {"deceptive_favored": "P(deceptive favored)", "deceptive_mass": "deceptive mass"}
#: Rows of a table over one field; of more values some are left out, evenly.
_MOST_ROWS = 20


def sweep_summary(sweep: xr.Dataset) -> dict[str, Any]:
    """The figures in JSON's terms: lists nest as the fields do; None where a point failed."""
    fields = json.loads(sweep.attrs["fields"])
    return {
        "model": str(sweep.attrs["model"]),
        "seed": int(sweep.attrs["seed"]),
        "over": {
            name: {"values": sweep[name].to_numpy().tolist(), "units": _units(sweep, name)}
            for name in fields
        },
        "points": int(sweep[ERROR].size),
        "failed": [{"at": values, "error": reason} for values, reason in failed_points(sweep)],
        **{
            of: {name: _finite(sweep[of].sel(figure=name).to_numpy()) for name in _FIGURES}
            for of in _BOTH
        },
    }


def sweep_text(sweep: xr.Dataset, files: list[str]) -> Page:
    """A table over one field, or the extremes over several."""
    fields = json.loads(sweep.attrs["fields"])
    failed = len(failed_points(sweep))
    size = int(sweep[ERROR].size)
    head = f"{size} points" + (f", of which {failed} failed" if failed else "")
    table = _table(sweep, fields[0]) if len(fields) == 1 else _extremes(sweep, fields)
    return Page.of(head, table, *files)


def _table(sweep: xr.Dataset, field: str) -> Any:
    size = sweep.sizes[field]
    rows = range(size)
    if size > _MOST_ROWS:
        rows = np.unique(np.linspace(0, size - 1, _MOST_ROWS).round().astype(int)).tolist()
    unit = _units(sweep, field)
    header = (f"{field}{f' [{unit}]' if unit else ''}", *_BOTH.values(), "90 % of its draws")
    return columns(
        header,
        [
            (
                _shown(sweep[field].to_numpy()[k].item()),
                *(error_text(_figure(sweep[of].isel({field: k}))) for of in _BOTH),
                interval_text(_figure(sweep["deceptive_mass"].isel({field: k}))),
            )
            for k in rows
        ],
    )


def _extremes(sweep: xr.Dataset, fields: list[str]) -> Any:
    rows = []
    for of, said in _BOTH.items():
        mean = sweep[of].sel(figure="mean")
        for word, place in (("least", mean.argmin(...)), ("greatest", mean.argmax(...))):
            at = {str(d): int(k) for d, k in place.items()}
            where = [_shown(sweep[name].to_numpy()[at[name]].item()) for name in fields]
            rows.append((f"{said}, {word}", error_text(_figure(sweep[of].isel(at))), *where))
    return columns(("", "", *fields), rows)


def _figure(figures: xr.DataArray) -> Mapping[str, float | None]:
    return {name: finite(figures.sel(figure=name).item()) for name in _FIGURES}


def _units(sweep: xr.Dataset, field: str) -> str:
    return str(sweep[field].attrs.get("units", ""))


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, str) else number_text(value)


def _finite(values: np.ndarray) -> Any:
    """Nested lists with None for NaN."""
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()
