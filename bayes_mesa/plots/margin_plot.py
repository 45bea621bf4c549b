"""By how many bits the best deceptive program beats, or is beaten by, the best other one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.plots.plot_style import (
    DECEPTIVE_COLOUR,
    HONEST_COLOUR,
    Coords,
    Labels,
    Size,
    called,
    canvas,
    families_of,
    flat,
    percent,
)
from bayes_mesa.results.result_tree import require_result

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_mesa.plots.plot_style import Plot


def plot_margin(
    tree: xr.DataTree,
    *,
    coords: Coords | None = None,
    labels: Labels | None = None,
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Plot:
    """By how many bits deception wins (right) or loses (left), one row for each exchange family.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    coords
        ``{"family": names}``: only these; by default all.
    labels
        Family → what to call it.
    figsize
        Inches.
    ax
        Axes to draw into.

    Returns
    -------
    figure, axes
    """
    require_result(tree, "tree")
    names = families_of(tree, coords)
    figure, axes = canvas(figsize or (7.0, 1.4 + 1.0 * len(names)), ax)
    rows = [flat(tree[f"posterior_{n}"].to_dataset()["margin_bits"]) for n in names]
    scaled = [_signed_log(r[np.isfinite(r)]) for r in rows]
    reach = max((float(np.abs(s).max()) for s in scaled if s.size), default=1.0)
    edges = np.linspace(-1, 1, 61) * max(np.ceil(reach), 1.0)
    for row, (margins, values) in enumerate(zip(rows, scaled, strict=True)):
        _margin_row(axes, len(names) - 1 - row, margins, np.histogram(values, edges)[0], edges)
    axes.axvline(0.0, color="0.5", lw=1)
    axes.set_yticks(
        np.arange(len(names)) + 0.25, labels=[called(n, labels) for n in reversed(names)]
    )
    axes.set_ylim(-0.15, len(names))
    _signed_log_ticks(axes, edges[-1])
    axes.set_xlabel("margin, bits (left: deception loses; right: it wins)")
    axes.set_title("By how much deception wins", loc="left")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _margin_row(
    axes: Axes, base: int, margins: np.ndarray, counts: np.ndarray, edges: np.ndarray
) -> None:
    middles = (edges[:-1] + edges[1:]) / 2
    heights = 0.8 * counts / max(counts.max(), 1)
    colours = np.where(middles > 0, DECEPTIVE_COLOUR, HONEST_COLOUR)
    axes.bar(middles, heights, width=np.diff(edges), bottom=base, color=colours)
    wins = float(np.mean(margins > 0))
    for share, x, colour, side in (
        (1 - wins, 0.01, HONEST_COLOUR, "left"),
        (wins, 0.99, DECEPTIVE_COLOUR, "right"),
    ):
        axes.text(
            x,
            base + 0.82,
            percent(share),
            color=colour,
            ha=side,
            va="top",
            weight="bold",
            transform=axes.get_yaxis_transform(),
        )


def _signed_log(x: np.ndarray) -> np.ndarray:
    """Linear near 0, decades beyond: sign(x)·log10(1 + |x|)."""
    return np.sign(x) * np.log10(1.0 + np.abs(x))


def _signed_log_ticks(axes: Axes, reach: float) -> None:
    step = max(1, int(np.ceil(reach / 4)))
    decades = np.arange(step, int(reach) + 1, step)
    exponents = [*(-decades[::-1]), 0, *decades]
    labels = [_power_of_ten(e) for e in exponents]
    at = _signed_log(np.array([np.sign(e) * 10.0 ** abs(e) if e else 0.0 for e in exponents]))
    axes.set_xticks(at, labels=labels)
    axes.set_xlim(-reach, reach)


def _power_of_ten(exponent: int) -> str:
    if exponent == 0:
        return "0"
    digits = str(abs(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{'−' if exponent < 0 else '+'}10{digits}"
