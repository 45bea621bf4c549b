"""The phase diagram: over the rate and the component that the critical rate hangs on most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.plots.phase_map import Phase, phase
from bayes_mesa.plots.plot_style import (
    DECEPTIVE_COLOUR,
    HONEST_COLOUR,
    Labels,
    Size,
    called,
    canvas,
    legend_below,
)
from bayes_mesa.results.result_tree import require_result

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_mesa.plots.plot_style import Plot

#: Characters of the component's name that fit beside the axes.
_LONGEST = 36
#: Contours, and their dashes.
_CONTOURS = {0.05: ":", 0.5: "-", 0.95: "--"}


def plot_phase(
    tree: xr.DataTree,
    *,
    component: str | None = None,
    labels: Labels | None = None,
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Plot:
    """P(deceptive favored) over the rate and one component, with contours at 5, 50 and 95 %.

    The box holds the middle 90 % of the draws along each axis, the cross their medians. How it is
    estimated: see `phase`.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read; needs a linear family.
    component
        Quantity along the other axis, such as ``steps.find_base_obj``; by default the one that the
        critical rate hangs on most, by rank correlation.
    labels
        Quantity → what to call it.
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
        Without a linear family, or if the component is not an uncertain quantity of the results.
    """
    require_result(tree, "tree")
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.lines import Line2D

    found = phase(tree, component)
    figure, axes = canvas(figsize or (7.0, 5.4), ax)
    colours = LinearSegmentedColormap.from_list("", [HONEST_COLOUR, "#e9e4dc", DECEPTIVE_COLOUR])
    mesh = axes.pcolormesh(
        found.rates,
        found.values,
        found.probability,
        cmap=colours,
        vmin=0.0,
        vmax=1.0,
        shading="gouraud",
        rasterized=True,
    )
    levels = {p: s for p, s in _CONTOURS.items() if _crosses(found.probability, p)}
    if levels:
        axes.contour(
            found.rates,
            found.values,
            found.probability,
            levels=list(levels),
            colors="#111111",
            linestyles=list(levels.values()),
            linewidths=1.4,
        )
    _where_the_draws_lie(axes, found)
    axes.set_xscale("log")
    if found.logarithmic:
        axes.set_yscale("log")
    axes.set_xlim(found.rates[0], found.rates[-1])
    axes.set_ylim(found.values[0], found.values[-1])
    axes.set_xlabel("rate, steps per bit")
    # On one line: on a second one the unit would touch the name's underscores.
    said = [x for x in (called(found.component, labels, _LONGEST), found.unit) if x]
    axes.set_ylabel(", ".join(said))
    axes.set_title("Where deception would be favored", loc="left")
    figure.colorbar(mesh, ax=axes, label="P(deceptive favored)", ticks=[0, 0.25, 0.5, 0.75, 1])
    lines = [Line2D([], [], color="0.45", ls=s) for s in levels.values()]
    box = Line2D([], [], color="0.45", marker="P", ms=8, lw=2.2)
    entries = [*(f"{100 * p:.0f} %" for p in levels), "median and 90 % of draws"]
    legend_below(axes, own=ax is None, handles=[*lines, box], labels=entries,
                 ncols=len(entries), fontsize="small")  # fmt: skip
    return figure, axes


def _crosses(probability: np.ndarray, level: float) -> bool:
    return bool(probability.min() < level < probability.max())


def _where_the_draws_lie(axes: Axes, found: Phase) -> None:
    from matplotlib.patches import Rectangle

    (left, x, right), (bottom, y, top) = (
        np.quantile(v, (0.05, 0.5, 0.95)) for v in (found.drawn_rate, found.drawn_value)
    )
    for colour, width in (("#111111", 3.4), ("#ffffff", 1.6)):
        box = Rectangle((left, bottom), right - left, top - bottom, fill=False)
        box.set(edgecolor=colour, linewidth=width)
        axes.add_patch(box)
    axes.plot(x, y, marker="P", ms=10, mfc="#ffffff", mec="#111111", ls="none")
