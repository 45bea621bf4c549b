"""Distribution functions of the places of true values, with bands that uniform ones stay in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.calibration.calibration_result import Calibration, found_wrong
from bayes_mesa.calibration.uniformity import band, distribution
from bayes_mesa.errors import InputError
from bayes_mesa.plots.plot_style import (
    DECEPTIVE_COLOUR,
    HONEST_COLOUR,
    Coords,
    Labels,
    Size,
    called,
    chosen,
)
from bayes_mesa.text.number_text import digit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Quantities drawn unless others are asked for, and those in one row.
MOST, _COLUMNS = 12, 4
#: Probability that one quantity's curve stays within the darker band.
_EACH = 0.95


def plot_calibration(
    found: Calibration,
    *,
    coords: Coords | None = None,
    labels: Labels | None = None,
    figsize: Size | None = None,
) -> tuple[Any, np.ndarray]:
    """How far the share of truths below a place lies from that place, one panel for each quantity.

    Curves within the bands are what uniform places give: the darker band holds the whole of one
    curve with probability 0.95, the lighter one holds all curves of all quantities with one less
    the level. A hump: the draws are too high. A dip: too low. First above, then below: too narrow.
    First below, then above: too wide.

    Parameters
    ----------
    found
        What `calibrate` returned.
    coords
        ``{"quantity": names}``: which to draw; by default the twelve of smallest p-value.
    labels
        Quantity → what to call it.
    figsize
        Inches.

    Returns
    -------
    figure, axes
        Axes in an object array, one for each quantity.

    Raises
    ------
    InputError
        If there is no quantity to draw, or one that is asked for is not there.
    """
    from matplotlib.figure import Figure

    names = list(found.tests)
    if not names:
        raise InputError("the calibration must have quantities to draw, but has too few finished")
    if coords is not None and "quantity" in coords:
        names = chosen(names, coords, "quantity")
    else:
        order = sorted(names, key=lambda n: found.p_values[n])[:MOST]
        names = [n for n in names if n in order]
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=figsize or (3.1 * columns, 2.3 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    axes = np.array(list(grid.flat), dtype=object)
    for k, name in enumerate(names):
        _panel(axes[k], found, name, called(name, labels, 30))
    for spare in axes[len(names) :]:
        spare.remove()
    figure.supxlabel("place of the truth among the draws", fontsize=9)
    figure.supylabel("share below it, less the place", fontsize=9)
    handles, said = axes[0].get_legend_handles_labels()
    figure.legend(handles, said, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure, axes[: len(names)]


def _panel(axes: Axes, found: Calibration, name: str, shown: str) -> None:
    x, test = found.places[name], found.tests[name]
    all_of_them = 1.0 - found.level / len(found.tests)
    wide = band(len(x), all_of_them)
    count, share = len(found.tests), 100.0 * (1.0 - found.level)
    within = f"holds all {count} curves with {share:.4g} %"
    axes.fill_between(
        wide.x, wide.lower - wide.x, wide.upper - wide.x, color="0.92", linewidth=0, label=within
    )
    if all_of_them > _EACH:
        one = band(len(x), _EACH)
        axes.fill_between(
            one.x, one.lower - one.x, one.upper - one.x, color="0.82", linewidth=0,
            label=f"holds one curve with {100.0 * _EACH:g} %",
        )  # fmt: skip
    off = found.p_values[name] < found.level
    colour = DECEPTIVE_COLOUR if off else HONEST_COLOUR
    axes.plot(wide.x, distribution(x, wide.x) - wide.x, color=colour, linewidth=1.2)
    axes.axhline(0.0, color="0.6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    p = f"p = {digit_text(found.p_values[name])}"
    axes.set_title(f"{shown}\n{p}" + (f": {_brief(found_wrong(test))}" if off else ""), fontsize=8)


def _brief(said: str) -> str:
    return said.partition(",")[0].removeprefix("are ")
