"""The curves over k rollouts as a figure: success above, deception below, the window shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.plots.plot_style import COLOURS, DECEPTIVE_COLOUR, HONEST_COLOUR, LINES
from bayes_mesa.regimes.regime_summary import summarize_regime

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WINDOW = "#009E73"
#: Inches below which legends go under the axes instead of beside them.
_NARROW = 7.0


def plot_regime(
    curves: xr.Dataset | Mapping[str, Any], *, figsize: tuple[float, float] = (8.0, 8.4)
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Success and deception over k, from what `regime` or `summarize_regime` returned.

    Above, the mean P(success | k), the band that holds 90 % of the draws, and the target. Below,
    P(deceptive favored | k) among the draws in which a program fits, with its 90 % interval from
    Monte Carlo error, averaged and by exchange family; and the share of draws where none fits.
    """
    # Not pyplot: no global state, no display, and safe in threads.
    import xarray as xr
    from matplotlib.figure import Figure

    # A dataset is a mapping too.
    summary = summarize_regime(curves) if isinstance(curves, xr.Dataset) else curves
    if "curve" not in summary:
        raise InputError("plot_regime needs what regime or summarize_regime returned")
    figure = Figure(figsize=figsize, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    k = np.array([p["rollouts"] for p in summary["curve"]], dtype=float)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xscale("log")
        axes.set_ylim(-0.02, 1.02)
        axes.grid(color="0.6", alpha=0.3, lw=0.6)
        _shade(axes, k, [p["in_window"] for p in summary["curve"]])
        _mark(axes, summary)
    _draw_success(upper, k, summary)
    _draw_deception(lower, k, summary)
    _episodes_axis(upper, summary)
    _legends(figure, (upper, lower))
    return figure, (upper, lower)


def _legends(figure: Figure, both: tuple[Axes, Axes]) -> None:
    style: dict[str, Any] = {"frameon": False}
    if figure.get_figwidth() >= _NARROW:
        for axes in both:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), **style)
        return
    entries = {
        label: handle
        for axes in both
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=2, **style
    )


def _draw_success(axes: Axes, k: np.ndarray, summary: Mapping[str, Any]) -> None:
    mean, low, high = _band(summary["curve"], "success")
    axes.fill_between(k, low, high, color=HONEST_COLOUR, alpha=0.2, lw=0, label="90 % of draws")
    axes.plot(k, mean, color=HONEST_COLOUR, lw=2, label="mean")
    target = summary["target_success"]
    axes.axhline(target, color="0.5", lw=1, ls="--", label=f"target {target:g}")
    axes.set_ylabel("P(success | k)")


def _draw_deception(axes: Axes, k: np.ndarray, summary: Mapping[str, Any]) -> None:
    mean, low, high = _band(summary["curve"], "deceptive_favored_given_fit")
    label = "average, 90 % interval\n(Monte Carlo error)"
    axes.fill_between(k, low, high, color=DECEPTIVE_COLOUR, alpha=0.25, lw=0)
    axes.plot(k, mean, color=DECEPTIVE_COLOUR, lw=2, label=label)
    families = summary["by_exchange"]
    if len(families) > 1:
        others = [c for c in COLOURS if c not in (HONEST_COLOUR, DECEPTIVE_COLOUR, _WINDOW)]
        for place, (name, curves) in enumerate(families.items()):
            values = _numbers(curves["deceptive_favored_given_fit"])
            style = LINES[place % len(LINES)]
            axes.plot(k, values, color=others[place % len(others)], lw=1.2, ls=style, label=name)
    nothing = [p["nothing_fits"] for p in summary["curve"]]
    if max(nothing) > 0.0:
        axes.plot(k, nothing, color="0.5", lw=1, label="share of draws where\nno program fits")
    limit = summary["max_deceptive"]
    axes.axhline(limit, color="0.5", lw=1, ls="--", label=f"at most {limit:g}")
    axes.set_ylabel("P(deceptive favored | k, something fits)")
    axes.set_xlabel("k, rollouts per episode")


def _band(
    curve: Sequence[Mapping[str, Any]], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = [p[name] for p in curve]
    return _numbers(values), _numbers(values, "lower"), _numbers(values, "upper")


def _numbers(estimates: Sequence[Mapping[str, Any]], name: str = "mean") -> np.ndarray:
    return np.array([np.nan if e[name] is None else e[name] for e in estimates], dtype=float)


def _shade(axes: Axes, k: np.ndarray, inside: Sequence[bool]) -> None:
    """Shade the window, every run of the k in it from its first to its last."""
    label: str | None = "window of k"
    flags = np.concatenate([[False], np.asarray(inside, dtype=bool), [False]])
    starts, ends = np.flatnonzero(~flags[:-1] & flags[1:]), np.flatnonzero(flags[:-1] & ~flags[1:])
    for start, end in zip(starts, ends - 1, strict=True):
        # A window of a single k has no width of its own.
        axes.axvspan(k[start] / 1.02, k[end] * 1.02, color=_WINDOW, alpha=0.12, lw=0, label=label)
        label = None


def _mark(axes: Axes, summary: Mapping[str, Any]) -> None:
    chosen = summary["recommended"]
    if chosen is not None:
        k = chosen["rollouts"]
        axes.axvline(k, color=_WINDOW, lw=1.4, label=f"recommended: k = {k}")


def _episodes_axis(axes: Axes, summary: Mapping[str, Any]) -> None:
    """The episodes that each k leaves, along the top: E = (T/s)/k is its own inverse."""
    paid = summary["budget"] / summary["steps_per_rollout"]

    def swapped(x: Any) -> Any:
        with np.errstate(divide="ignore"):
            return paid / x

    top = axes.secondary_xaxis("top", functions=(swapped, swapped))
    top.set_xlabel("E, episodes that the budget pays for")
