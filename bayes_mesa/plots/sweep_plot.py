"""A sweep as a figure: a curve with its band over one field, a map with a contour over two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.plots.plot_style import (
    DECEPTIVE_COLOUR,
    HONEST_COLOUR,
    LINES,
    Labels,
    Size,
    called,
    canvas,
    legend_below,
    plain,
)
from bayes_mesa.text.number_text import number_text
from bayes_mesa.text.wording import listed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_mesa.plots.plot_style import Plot

_SAID = {
    "deceptive_favored": "P(deceptive favored)",
    "deceptive_mass": "deceptive share of the program weight",
}
#: From this ratio of their ends on, positive values are drawn on a logarithmic scale.
_WIDE = 20.0
_LONGEST = 60
#: Points of a contour for each cell of the grid.
_FINER = 10


def plot_sweep(
    sweep: xr.Dataset,
    *,
    of: str = "deceptive_favored",
    at: Mapping[str, Any] | None = None,
    labels: Labels | None = None,
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Plot:
    """Draw what `sweep` found over one or two of its fields.

    Over one field: the mean, its band (Monte Carlo error for a probability, 90 % of the draws for
    a share), and the mean under every exchange family. Over two: a map, with the contour at 0.5.
    Points that failed are left blank.

    Parameters
    ----------
    sweep
        What `sweep` returned, or `open_sweep` read.
    of
        ``deceptive_favored`` or ``deceptive_mass``.
    at
        Field → value at which it is held. Of more than two fields that are not held, the first two
        are drawn and the others held in their middle.
    labels
        Field or family → what to call it.
    figsize
        Inches.
    ax
        Axes to draw into.

    Returns
    -------
    figure, axes

    Raises
    ------
    InputError
        If the data set is no sweep, or ``of`` or ``at`` names what is not in it.
    """
    if "fields" not in sweep.attrs or of not in _SAID or of not in sweep:
        raise InputError(
            f"plot_sweep needs what sweep returned, and of must be one of {listed(_SAID)}, found "
            f"{of!r}"
        )
    part, held = _held(sweep, dict(at or {}))
    fields = [name for name in json.loads(sweep.attrs["fields"]) if name in part.dims]
    figure, axes = canvas(figsize or (7.0, 5.2), ax)
    if len(fields) == 1:
        _curve(axes, part, fields[0], of, labels, own=ax is None)
    else:
        _map(axes, part, fields, of, labels)
    title = plain(str(sweep.attrs["title"] or sweep.attrs["model"]), _LONGEST)
    if held:
        where = ", ".join(f"{called(n, labels)} = {_value(x)}" for n, x in held.items())
        title = f"{title}\n{where}"
    axes.set_title(title, fontsize=10)
    return figure, axes


def _held(sweep: xr.Dataset, at: dict[str, Any]) -> tuple[xr.Dataset, dict[str, Any]]:
    """The part that is drawn, and the values of the fields that are held."""
    fields = json.loads(sweep.attrs["fields"])
    if unknown := [name for name in at if name not in fields]:
        raise InputError(f"at must name fields of the sweep ({listed(fields)}), found {unknown[0]}")
    free = [name for name in fields if name not in at]
    if not free:
        raise InputError("at must leave one field or two to be drawn, found none left")
    for name in free[2:]:
        at[name] = sweep[name].to_numpy()[sweep.sizes[name] // 2].item()
    places = {}
    for name, value in at.items():
        values = sweep[name].to_numpy().tolist()
        if value not in values:
            raise InputError(f"at[{name!r}] must be one of {listed(map(str, values))}")
        places[name] = values.index(value)
    return sweep.isel(places), {name: at[name] for name in fields if name in at}


def _value(value: Any) -> str:
    return number_text(value) if isinstance(value, int | float) else plain(str(value))


def _curve(
    axes: Axes, part: xr.Dataset, field: str, of: str, labels: Labels | None, *, own: bool
) -> None:
    x = _positions(part, field)
    figures = part[of].transpose(field, "figure")
    mean, low, high = (figures.sel(figure=n).to_numpy() for n in ("mean", "lower", "upper"))
    as_text = part[field].dtype.kind not in "fi"
    band = "90 % of the draws" if of == "deceptive_mass" else "90 %, Monte Carlo error"
    if as_text:
        ends = np.stack([mean - low, high - mean])
        dots: dict[str, Any] = {"marker": "o", "ls": "none", "capsize": 4}
        axes.errorbar(x, mean, ends, color=DECEPTIVE_COLOUR, label=f"all families ({band})", **dots)
    else:
        axes.fill_between(x, low, high, color=DECEPTIVE_COLOUR, alpha=0.22, lw=0, label=band)
        axes.plot(x, mean, color=DECEPTIVE_COLOUR, lw=2.2, label="all families")
    own_means = part[f"family_{of}"].sel(figure="mean").transpose("family", field)
    for k, family in enumerate(own_means["family"].to_numpy().tolist()):
        style: dict[str, Any] = {"ls": "none", "marker": "_"} if as_text else {}
        style = style or {"ls": LINES[k % len(LINES)]}
        axes.plot(x, own_means[k], color=HONEST_COLOUR, label=called(family, labels), **style)
    _scale(axes.xaxis, part, field, labels)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel(_SAID[of])
    axes.grid(color="0.6", alpha=0.3, lw=0.6)
    legend_below(axes, own=own, ncols=3)


def _map(axes: Axes, part: xr.Dataset, fields: list[str], of: str, labels: Labels | None) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    across, up = fields
    mean = part[of].sel(figure="mean").transpose(up, across).to_numpy()
    x, y = _positions(part, across), _positions(part, up)
    colours = LinearSegmentedColormap.from_list("", [HONEST_COLOUR, "#e9e4dc", DECEPTIVE_COLOUR])
    edges_x, edges_y = _edges(x, part, across), _edges(y, part, up)
    mesh = axes.pcolormesh(
        edges_x,
        edges_y,
        np.ma.masked_invalid(mean),
        cmap=colours,
        vmin=0.0,
        vmax=1.0,
        rasterized=True,
    )
    axes.set_facecolor("white")
    known = mean[np.isfinite(mean)]
    # Scales first: where a contour's label fits depends on them.
    _scale(axes.xaxis, part, across, labels)
    _scale(axes.yaxis, part, up, labels)
    axes.set(xlim=(edges_x[0], edges_x[-1]), ylim=(edges_y[0], edges_y[-1]))
    as_numbers = all(part[field].dtype.kind == "f" for field in fields)
    if as_numbers and min(mean.shape) > 1 and known.size and known.min() < 0.5 < known.max():
        lines = axes.contour(*_finer(x, y, mean, part, fields), levels=[0.5], colors="#111111")
        axes.clabel(lines, fmt={0.5: "0.5"}, fontsize=9)
    axes.figure.colorbar(mesh, ax=axes, label=_SAID[of])


def _positions(part: xr.Dataset, field: str) -> np.ndarray:
    """Where the values stand on the axis: texts at 0, 1, 2, ..."""
    values = part[field]
    return values.to_numpy() if values.dtype.kind == "f" else np.arange(values.size, dtype=float)


def _is_wide(part: xr.Dataset, field: str) -> bool:
    values = part[field]
    if values.dtype.kind != "f" or values.size < 2 or float(values.min()) <= 0.0:
        return False
    return float(values.max()) >= _WIDE * float(values.min())


def _edges(x: np.ndarray, part: xr.Dataset, field: str) -> np.ndarray:
    """Edges of the cells around the positions, halfway between them on the axis's scale."""
    if x.size == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    wide = _is_wide(part, field)
    at = np.log(x) if wide else x
    middle = (at[1:] + at[:-1]) / 2
    edges = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    return np.exp(edges) if wide else edges


def _finer(
    x: np.ndarray, y: np.ndarray, mean: np.ndarray, part: xr.Dataset, fields: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ma.MaskedArray[Any, Any]]:
    """More points between, straight on the scales of the axes: Matplotlib's would be bent there."""
    ends = []
    for at, field in ((x, fields[0]), (y, fields[1])):
        own = np.log(at) if _is_wide(part, field) else at
        order = np.argsort(own)
        places = np.arange(0.0, own.size - 0.95, 1.0 / _FINER)
        fine = np.interp(places, np.arange(own.size), own[order])
        rows = [np.interp(fine, own[order], row[order]) for row in mean]
        mean = np.array(rows).T  # first along x; the second turn brings y back in front
        ends.append(np.exp(fine) if _is_wide(part, field) else fine)
    return ends[0], ends[1], np.ma.masked_invalid(mean)


def _scale(axis: Any, part: xr.Dataset, field: str, labels: Labels | None) -> None:
    units = part[field].attrs.get("units", "")
    axis.set_label_text(called(field, labels) + (f" [{units}]" if units else ""))
    if part[field].dtype.kind != "f":
        names = [plain(str(x), 24) for x in part[field].to_numpy()]
        axis.set_ticks(np.arange(len(names)), names)
    elif _is_wide(part, field):
        set_scale = axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale
        set_scale("log")
