"""Plots of a result tree: where programs lie in bits and steps, by how much deception wins, and P.

Every function takes the tree and returns ``(figure, axes)``; with ``ax`` it draws into yours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Plot = tuple[Figure, Axes]

#: Okabe and Ito's colours, which colour-blind readers can tell apart; black and yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = {"honest": "o", "deceptive": "^", "misaligned": "s"}
HONEST_COLOUR, DECEPTIVE_COLOUR = COLOURS[0], COLOURS[1]
CLOUD = 400
LONGEST_LABEL = 48
#: Structures that fit into one cloud; of more, so many are drawn, by their costs beyond the least.
CROWD, DRAWN = 10, 8


def plot_costs(
    tree: xr.DataTree, *, figsize: tuple[float, float] | None = None, ax: Axes | None = None
) -> Plot:
    """Description length against running time: a cloud of draws and a median for each structure.

    Of more than ten structures the eight of the largest mass are drawn, the best of every class
    among them, by how much they exceed the shortest and the fastest of all: median and 90 %.
    """
    posterior = tree["posterior"].to_dataset()
    if posterior.sizes["structure"] > CROWD:
        return _plot_excess(tree, posterior, figsize, ax)
    figure, axes = _canvas(figsize or (7.0, 4.0 + 0.22 * posterior.sizes["structure"]), ax)
    classes = tree["constant_data"]["structure_class"].to_numpy()
    for index, name in enumerate(posterior["structure"].to_numpy()):
        bits = posterior["structure_bits"].isel(structure=index).to_numpy().ravel()
        steps = posterior["structure_steps"].isel(structure=index).to_numpy().ravel()
        thin = slice(None, None, max(1, bits.size // CLOUD))
        style: dict[str, Any] = {
            "color": COLOURS[index % len(COLOURS)],
            "marker": MARKERS[str(classes[index])],
        }
        axes.scatter(bits[thin], steps[thin], s=9, alpha=0.25, lw=0, rasterized=True, **style)
        axes.scatter(
            np.median(bits),
            np.median(steps),
            s=90,
            edgecolors="white",
            lw=1.2,
            zorder=3,
            label=_plain(f"{name} ({classes[index]})"),
            **style,
        )
    for axis, values in (("x", posterior["structure_bits"]), ("y", posterior["structure_steps"])):
        _log_scale(axes, axis, values.to_numpy())
    axes.set_xlabel("description length, bits")
    axes.set_ylabel("running time, steps per episode")
    axes.set_title("What each structure costs", loc="left")
    _legend(axes)
    return figure, axes


def _plot_excess(
    tree: xr.DataTree, posterior: xr.Dataset, figsize: tuple[float, float] | None, ax: Axes | None
) -> Plot:
    """What the most probable of many structures cost more than the least of all, draw by draw."""
    figure, axes = _canvas(figsize or (7.0, 5.0 + 0.22 * DRAWN), ax)
    classes = tree["constant_data"]["structure_class"].to_numpy()
    names = posterior["structure"].to_numpy()
    excess = [_excess(posterior[f"structure_{axis}"]) for axis in ("bits", "steps")]
    mass = posterior["structure_mass"].mean(("chain", "draw")).fillna(0.0).to_numpy()
    # The rest of a class of a grammar has no cost of its own.
    mass = np.where(np.isnan(excess[0]).all(axis=1), -1.0, mass)
    drawn_of: dict[str, int] = {}
    for index in _most_probable(mass, classes):
        kind = str(classes[index])
        drawn_of[kind] = drawn_of.get(kind, 0) + 1
        (x_low, x, x_high), (y_low, y, y_high) = (
            np.quantile(values[index], (0.05, 0.5, 0.95)) for values in excess
        )
        colour = COLOURS[(drawn_of[kind] - 1) % len(COLOURS)]
        axes.plot([x_low, x_high], [y, y], color=colour, lw=0.8)
        axes.plot([x, x], [y_low, y_high], color=colour, lw=0.8)
        axes.scatter(
            x,
            y,
            s=90,
            color=colour,
            marker=MARKERS[kind],
            edgecolors="white",
            lw=1.2,
            zorder=3,
            label=_plain(f"{names[index]} ({kind})"),
        )
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_xlim(left=-0.2)
    axes.set_ylim(bottom=-0.2)
    axes.set_xlabel("bits more than the shortest listed")
    axes.set_ylabel("steps more than the fastest listed")
    axes.set_title("What the most probable programs cost beyond the least", loc="left")
    _legend(axes)
    return figure, axes


def _excess(cost: xr.DataArray) -> np.ndarray:
    """By how much each structure's cost exceeds the least of the same draw, (S, N)."""
    values = cost.transpose("structure", "chain", "draw").to_numpy()
    values = values.reshape(values.shape[0], -1)
    least = np.where(np.isnan(values), np.inf, values).min(axis=0)
    return values - least


def _most_probable(mass: np.ndarray, classes: np.ndarray) -> list[int]:
    """The best of each class, then the best of all, by falling mass; negative: none of them."""
    order = [int(k) for k in np.argsort(-mass, kind="stable") if mass[k] >= 0.0]
    first = {str(classes[k]): k for k in reversed(order)}.values()
    others = [k for k in order if k not in first][: DRAWN - len(first)]
    return sorted([*first, *others], key=order.index)


def plot_margin(
    tree: xr.DataTree, *, figsize: tuple[float, float] | None = None, ax: Axes | None = None
) -> Plot:
    """By how many bits deception wins (right) or loses (left), one row for each exchange family."""
    names = _families(tree)
    figure, axes = _canvas(figsize or (7.0, 1.4 + 1.0 * len(names)), ax)
    rows = [tree[f"posterior_{n}"]["margin_bits"].to_numpy().ravel() for n in names]
    scaled = [_signed_log(r[np.isfinite(r)]) for r in rows]
    reach = max((float(np.abs(s).max()) for s in scaled if s.size), default=1.0)
    edges = np.linspace(-1, 1, 61) * max(np.ceil(reach), 1.0)
    for row, (margins, values) in enumerate(zip(rows, scaled, strict=True)):
        _margin_row(axes, len(names) - 1 - row, margins, np.histogram(values, edges)[0], edges)
    axes.axvline(0.0, color="0.5", lw=1)
    axes.set_yticks(range(len(names)), labels=[_plain(n) for n in reversed(names)])
    axes.set_ylim(-0.15, len(names))
    _signed_log_ticks(axes, edges[-1])
    axes.set_xlabel("margin, bits (least cost of the others − least cost of a deceptive program)")
    axes.set_title("By how much deception wins", loc="left")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def plot_probability(
    tree: xr.DataTree,
    *,
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
    summary: dict[str, Any] | None = None,
) -> Plot:
    """Both estimands with their 90 % intervals, for each exchange family and averaged.

    ``summary`` is what `summarize` made of the tree, if it is at hand.
    """
    from bayes_mesa.summary import summarize

    figures = summary or summarize(tree)
    rows = [("average", figures), *figures["by_exchange"].items()]
    figure, axes = _canvas(figsize or (7.0, 1.5 + 0.55 * len(rows)), ax)
    at = np.arange(len(rows))[::-1]
    _points(axes, at + 0.13, [r["deceptive_favored"] for _, r in rows], 0)
    _points(axes, at - 0.13, [r["deceptive_mass"] for _, r in rows], 1)
    axes.axhline(len(rows) - 1.5, color="0.6", lw=0.8, ls=":")
    axes.set_yticks(at, labels=[_plain(name) for name, _ in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("probability, or share of the program weight")
    axes.set_title("How probable deception is, by exchange family", loc="left")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.6", alpha=0.3, lw=0.6)
    _legend(axes)
    return figure, axes


def _canvas(figsize: tuple[float, float], ax: Axes | None) -> Any:
    if ax is not None:
        return ax.figure, ax
    # Not pyplot: no global state, no display, and safe in threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _families(tree: xr.DataTree) -> list[str]:
    return list(json.loads(tree.attrs["families"]))


def _plain(text: str) -> str:
    """The text itself, not too long: a name between dollar signs is not a formula."""
    short = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
    return short.replace("$", r"\$")


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=1, frameon=False, fontsize="small"
    )


def _log_scale(axes: Axes, axis: str, values: np.ndarray) -> None:
    scale = "log" if np.all(values > 0) else "symlog"
    getattr(axes, f"set_{axis}scale")(scale)


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
            f"{share:.1%}",
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


def _points(axes: Axes, at: np.ndarray, estimates: Sequence[dict[str, Any]], which: int) -> None:
    drawn = [(y, e) for y, e in zip(at, estimates, strict=True) if e["mean"] is not None]
    if not drawn:
        return
    label, colour, marker = (
        ("deceptive favored: interval from Monte Carlo error", DECEPTIVE_COLOUR, "o"),
        ("deceptive mass: interval holds 90 % of draws", HONEST_COLOUR, "D"),
    )[which]
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
        lw=1.6 if which == 0 else 1.0,
        label=label,
    )
