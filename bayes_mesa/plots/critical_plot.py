"""Where the verdict turns, beside what is believed of the exchange: rate, or kappa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.plots.plot_style import (
    DECEPTIVE_COLOUR,
    HONEST_COLOUR,
    Labels,
    Size,
    called,
    canvas,
    families_of,
    flat,
    legend_below,
    percent,
)
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.text.wording import listed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_mesa.plots.plot_style import Plot

#: Parameter, unit, side of the critical value on which deceptive is favored.
_OF = {
    "linear": ("rate", "steps per bit", "above"),
    "levin": ("kappa", "bits per doubling of time", "below"),
}
_BINS = 60


@dataclass(frozen=True, eq=False)
class Turning:
    """Draws of a parameter of exchange, and of its critical value, under one family.

    Attributes
    ----------
    parameter, unit, side
        ``rate`` or ``kappa``, its unit, and the side on which deceptive is favored.
    prior, drawn, critical
        (N,) each; ``prior`` is empty where there is no evidence.
    never, always
        Shares of the draws in which deceptive is favored at no exchange rate as only bits count,
        and at every one.
    beyond
        Share of the draws whose exchange lies on the side where deceptive is favored.
    """

    parameter: str
    unit: str
    side: str
    prior: np.ndarray
    drawn: np.ndarray
    critical: np.ndarray
    never: float
    always: float
    beyond: float

    @classmethod
    def of(cls, tree: xr.DataTree, family: str) -> Turning:
        """Read from a result tree; `InputError` where the family is not in it."""
        found = [f for f in families_of(tree) if f in _OF]
        if family not in found:
            have = listed(found) if found else "none, since the model has neither"
            raise InputError(
                "family must be one that has a critical exchange and is in the results: "
                f"{have}; found {family!r}"
            )
        parameter, unit, side = _OF[family]
        group = tree[f"posterior_{family}"].to_dataset()
        drawn, critical = flat(group[f"{family}_{parameter}"]), flat(group[f"critical_{parameter}"])
        there = ~np.isnan(critical)
        drawn, critical = drawn[there], critical[there]
        prior = np.empty(0)
        if "log_likelihood" in tree.children and f"prior_{family}" in tree.children:
            prior = flat(tree[f"prior_{family}"].to_dataset()[f"{family}_{parameter}"])
        favored = drawn > critical if side == "above" else drawn < critical
        ends = (np.inf, 0.0) if side == "above" else (0.0, np.inf)
        never, always = (_share(critical == end) for end in ends)
        return cls(parameter, unit, side, prior, drawn, critical, never, always, _share(favored))

    @property
    def turning(self) -> np.ndarray:
        """Critical values that are finite and above 0."""
        return self.critical[np.isfinite(self.critical) & (self.critical > 0.0)]


def plot_critical(
    tree: xr.DataTree,
    *,
    family: str = "linear",
    labels: Labels | None = None,
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Plot:
    """The critical rate (or kappa) of the draws, beside what is believed of the rate itself.

    Heights are shares of all draws per decade; draws in which the verdict does not turn at any
    exchange are left out of the curve and named in the legend.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    family
        ``"linear"``: deceptive is favored above the critical rate. ``"levin"``: below the critical
        kappa.
    labels
        ``rate`` or ``kappa`` → what to call it.
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
        If the results have no such family, or it has no critical exchange.
    """
    require_result(tree, "tree")
    found = Turning.of(tree, family)
    figure, axes = canvas(figsize or (7.0, 4.2), ax)
    edges = _edges(found)
    name = called(found.parameter, labels)
    if found.prior.size:
        _curve(axes, found.prior, edges, found.prior.size, "0.5", f"{name} before the evidence", 0)
    said = f"{name}: {found.side} critical in {percent(found.beyond)} of the draws"
    _curve(axes, found.drawn, edges, found.drawn.size, HONEST_COLOUR, said, 0.25)
    rest = f"never {percent(found.never)}, always {percent(found.always)}"
    said = f"critical {name} ({rest})"
    _curve(axes, found.turning, edges, found.critical.size, DECEPTIVE_COLOUR, said, 0.25)
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(f"{name}, {found.unit}")
    axes.set_ylabel("share of draws per decade")
    axes.set_title(f"Where the verdict turns: {family}", loc="left")
    legend_below(axes, own=ax is None)
    return figure, axes


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if flags.size else 0.0


def _edges(found: Turning) -> np.ndarray:
    """Bins on a logarithmic scale that hold 99 % of every curve."""
    curves = [x[np.isfinite(x) & (x > 0.0)] for x in (found.prior, found.drawn, found.turning)]
    ends = [np.quantile(x, (0.005, 0.995)) for x in curves if x.size]
    low, high = np.log10((np.min(ends), np.max(ends))) if ends else (0.0, 1.0)
    room = max(0.05 * (high - low), 0.1)
    return np.logspace(low - room, high + room, _BINS + 1)


def _curve(
    axes: Axes,
    values: np.ndarray,
    edges: np.ndarray,
    whole: int,
    colour: str,
    label: str,
    filled: float,
) -> None:
    if values.size and np.all(values == values[0]):
        axes.axvline(values[0], color=colour, lw=1.6, label=label)
        return
    decades = np.diff(np.log10(edges))
    heights = np.histogram(values, edges)[0] / (max(whole, 1) * decades)
    axes.stairs(heights, edges, color=colour, lw=1.4, ls="-" if filled else "--", label=label)
    if filled:
        axes.stairs(heights, edges, color=colour, alpha=filled, fill=True, lw=0)
