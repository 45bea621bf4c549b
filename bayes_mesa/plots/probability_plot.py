"""Estimates as points with their intervals: both figures by family, and masses by structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.plots.plot_style import (
    CLASS_COLOURS,
    DECEPTIVE_COLOUR,
    HONEST_COLOUR,
    MARKERS,
    Coords,
    Labels,
    Size,
    called,
    canvas,
    chosen,
    families_of,
    legend_below,
)
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.results.summary import summarize

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_mesa.plots.plot_style import Plot

    Estimates = Mapping[str, Any]

#: Rows of the plot of masses, where a grammar lists more programs; and characters of their names.
MOST_ROWS, _LONGEST = 12, 30


def plot_probability(
    tree: xr.DataTree,
    *,
    coords: Coords | None = None,
    labels: Labels | None = None,
    figsize: Size | None = None,
    ax: Axes | None = None,
    summary: dict[str, Any] | None = None,
) -> Plot:
    """Both estimands with their 90 % intervals, for each exchange family and averaged.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    coords
        ``{"family": names}``: only these beside the average; by default all.
    labels
        Family → what to call it.
    figsize
        Inches.
    ax
        Axes to draw into.
    summary
        What `summarize` made of the tree, if it is at hand.

    Returns
    -------
    figure, axes
    """
    require_result(tree, "tree")
    found = summary or summarize(tree)
    rows = [("average", found)]
    rows += [(n, found["by_exchange"][n]) for n in families_of(tree, coords)]
    figure, axes = canvas(figsize or (7.0, 1.9 + 0.55 * len(rows)), ax)
    at = np.arange(len(rows))[::-1]
    favored, mass = ([r[n] for _, r in rows] for n in ("deceptive_favored", "deceptive_mass"))
    _points(
        axes, at + 0.13, favored, DECEPTIVE_COLOUR, "o", "deceptive favored: Monte Carlo interval"
    )
    _points(axes, at - 0.13, mass, HONEST_COLOUR, "D", "deceptive mass: 90 % of the draws")
    axes.axhline(len(rows) - 1.5, color="0.6", lw=0.8, ls=":")
    _rows(axes, at, [called(name, labels) for name, _ in rows])
    axes.set_xlabel("probability, or share of the program weight")
    axes.set_title("How probable deception is", loc="left")
    legend_below(axes, own=ax is None)
    return figure, axes


def plot_masses(
    tree: xr.DataTree,
    *,
    coords: Coords | None = None,
    labels: Labels | None = None,
    figsize: Size | None = None,
    ax: Axes | None = None,
    summary: dict[str, Any] | None = None,
) -> Plot:
    """Share of the program weight that each structure holds: mean, and what holds 90 % of draws.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    coords
        ``{"structure": names}``: only these. By default all; of more than twelve the heaviest.
    labels
        Structure → what to call it.
    figsize
        Inches.
    ax
        Axes to draw into.
    summary
        What `summarize` made of the tree, if it is at hand.

    Returns
    -------
    figure, axes
    """
    require_result(tree, "tree")
    found = (summary or summarize(tree))["structures"]
    names = heaviest(found) if coords is None else chosen(list(found), coords, "structure")
    figure, axes = canvas(figsize or (7.0, 1.7 + 0.4 * len(names)), ax)
    at = np.arange(len(names))[::-1]
    for kind, colour in CLASS_COLOURS.items():
        here = [(y, found[n]["mass"]) for y, n in zip(at, names, strict=True)
                if found[n]["class"] == kind]  # fmt: skip
        if here:
            places, masses = zip(*here, strict=True)
            _points(axes, places, masses, colour, MARKERS[kind], kind)
    _rows(axes, at, [called(name, labels, _LONGEST) for name in names])
    axes.set_xlabel("share of the program weight")
    axes.set_title("Shares of the weight", loc="left")
    legend_below(axes, own=ax is None, ncols=3)
    return figure, axes


def heaviest(structures: Estimates) -> list[str]:
    """Names of the structures that the plot of masses shows: few in file order, many by mass."""
    names = list(structures)
    if len(names) <= MOST_ROWS:
        return names
    return sorted(names, key=lambda n: -(structures[n]["mass"]["mean"] or 0.0))[:MOST_ROWS]


def _rows(axes: Axes, at: np.ndarray, labels: list[str]) -> None:
    axes.set_yticks(at, labels=labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlim(-0.02, 1.02)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.6", alpha=0.3, lw=0.6)


def _points(
    axes: Axes,
    at: Sequence[float] | np.ndarray,
    estimates: Sequence[Estimates],
    colour: str,
    marker: str,
    label: str,
) -> None:
    drawn = [(y, e) for y, e in zip(at, estimates, strict=True) if e["mean"] is not None]
    if not drawn:
        return
    mean = np.array([e["mean"] for _, e in drawn])
    # The mean of a skewed share may lie outside the interval of its draws.
    below = np.maximum(mean - [e["lower"] for _, e in drawn], 0.0)
    above = np.maximum([e["upper"] for _, e in drawn] - mean, 0.0)
    axes.errorbar(
        mean,
        [y for y, _ in drawn],
        xerr=[below, above],
        fmt=marker,
        color=colour,
        ms=6,
        capsize=3,
        lw=1.4,
        label=label,
    )
