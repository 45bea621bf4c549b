"""The report's figures: drawn in the page's own ink, with a caption, a text and their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.pages.convergence import FamilyMixing
from bayes_mesa.pages.page_figure import INK, Data, ReportFigure, page_figure
from bayes_mesa.plots.cost_plot import CostPlane, plot_costs
from bayes_mesa.plots.critical_plot import Turning, plot_critical
from bayes_mesa.plots.margin_plot import plot_margin
from bayes_mesa.plots.phase_map import phase, quantities
from bayes_mesa.plots.phase_plot import plot_phase
from bayes_mesa.plots.plot_style import families_of, flat
from bayes_mesa.plots.probability_plot import heaviest, plot_masses, plot_probability
from bayes_mesa.plots.rank_plot import plot_ranks
from bayes_mesa.plots.regime_plot import plot_regime
from bayes_mesa.text.number_text import digit_text, number_text, percent_text, probability_text

if TYPE_CHECKING:
    import xarray as xr

#: Inches; with its letters of 12 points a figure stays legible at the width of a phone.
_WIDTH = 5.8
_ENDS = (0.05, 0.5, 0.95)


def report_figures(
    tree: xr.DataTree,
    summary: Mapping[str, Any],
    mixing: Sequence[FamilyMixing],
    component: str | None = None,
) -> dict[str, ReportFigure]:
    """Every figure that the results allow, by name.

    ``component`` is the quantity of the phase diagram; by default the one that the critical rate
    hangs on most.
    """
    families = families_of(tree)
    found = {
        "probability": _probability(tree, summary),
        "costs": _costs(tree),
        "margin": _margin(tree),
        "masses": _masses(tree, summary),
    }
    for family in ("linear", "levin"):
        if family in families:
            found[f"critical_{family}"] = _critical(tree, family)
    if quantities(tree):
        found["phase"] = _phase(tree, component)
    found |= {f"ranks_{m.family}": _ranks(tree, m) for m in mixing if m.by_nuts and m.worst}
    return found


def regime_figure(found: Mapping[str, Any]) -> ReportFigure:
    """The regime window, from what `summarize_regime` returned."""
    inside = found["window"]
    rows = [
        (
            str(p["rollouts"]),
            number_text(p["episodes"]),
            probability_text(p["success"]["mean"]),
            _interval(p["success"]),
            probability_text(p["deceptive_favored_given_fit"]["mean"]),
            _interval(p["deceptive_favored_given_fit"]),
            percent_text(p["nothing_fits"]),
            "yes" if p["in_window"] else "no",
        )
        for p in found["curve"]
    ]
    header = (
        *("k, rollouts per episode", "episodes", "P(success)", "90 % of draws"),
        *("P(deceptive favored), where something fits", "90 %", "nothing fits", "in the window"),
    )
    window = (
        f"It is shaded, from {inside['least']} to {inside['greatest']}."
        if inside
        else "For these beliefs there is none, and nothing is shaded."
    )
    return page_figure(
        partial(plot_regime, found, figsize=(_WIDTH, 9.0)),
        "regime",
        "Two curves over the number of rollouts per episode: the probability that training "
        "succeeds, and the probability that a deceptive program is favored.",
        "More rollouts let programs think longer, honest ones as well as deceptive ones. Look for "
        "a stretch of k where the upper curve is above its target and the lower one still under "
        f"its limit. {window}",
        Data(header, tuple(rows)),
    )


def _probability(tree: xr.DataTree, summary: Mapping[str, Any]) -> ReportFigure:
    rows = [
        (name, *_estimate(r["deceptive_favored"]), *_estimate(r["deceptive_mass"]))
        for name, r in (("average", summary), *summary["by_exchange"].items())
    ]
    header = (
        *("exchange", "deceptive favored", "error", "5 %", "95 %"),
        *("deceptive mass", "error", "5 %", "95 %"),
    )
    return page_figure(
        partial(plot_probability, tree, summary=dict(summary), figsize=(_WIDTH, _tall(rows))),
        "probability",
        "Probability that a deceptive program is favored and share of the program weight that "
        "deceptive programs hold, by exchange family.",
        "Circles: how probable it is that the best program is deceptive, with what is not known "
        "for want of draws. Diamonds: the average share of the weight, with what differs from draw "
        "to draw: a bar from 0 to 1 says that in most draws one side has nearly everything. What "
        "parts the rows is how training trades steps against bits.",
        Data(header, tuple(rows)),
    )


def _costs(tree: xr.DataTree) -> ReportFigure:
    plane = CostPlane.of(tree)
    more = "beyond the least" if plane.beyond else "in all"
    frontier = plane.frontier()
    rows = []
    for k, (name, kind) in enumerate(zip(plane.names, plane.classes, strict=True)):
        ends = [number_text(x) for v in (plane.bits, plane.steps) for x in np.quantile(v[k], _ENDS)]
        rows.append((name, kind, *ends, "yes" if k in frontier else "no"))
    header = (
        *("structure", "class", "bits: 5 %", "median", "95 %"),
        *("steps: 5 %", "median", "95 %", "on the frontier"),
    )
    seen = (
        "what each costs beyond the shortest and the fastest of the same draw (what all share is "
        "taken off)"
        if plane.beyond
        else "what each costs in all"
    )
    return page_figure(
        partial(plot_costs, tree, figsize=(_WIDTH, 4.8 + 0.26 * (len(rows) + 4))),
        "costs",
        f"Scatter plot of structures' description lengths and running times {more}, with lines of "
        "equal penalty and the frontier.",
        f"Structures by {seen}: small points are draws, large ones medians. Training wants to go "
        "down and to the left, and gives up height for width as the broken lines say: all points "
        "of a line weigh the same under that family at its median, and the best structure lies on "
        "it. Of those above and to the right of the grey stairs none can be the best at the "
        "medians.",
        Data(header, tuple(rows)),
    )


def _margin(tree: xr.DataTree) -> ReportFigure:
    rows = []
    for family in families_of(tree):
        margins = flat(tree[f"posterior_{family}"].to_dataset()["margin_bits"])
        there = margins[~np.isnan(margins)]
        ends = np.quantile(there, _ENDS, method="inverted_cdf") if there.size else [np.nan] * 3
        wins = float(np.mean(margins > 0.0))
        rows.append((family, percent_text(wins), *(number_text(float(x)) for x in ends)))
    return page_figure(
        partial(plot_margin, tree, figsize=(_WIDTH, 1.6 + 1.1 * len(rows))),
        "margin",
        "Histograms, one for each exchange family, of the margin in bits by which the best "
        "deceptive program beats, or is beaten by, the best other one.",
        "Orange: draws in which deception wins; blue: in which it loses; on a scale of powers of "
        "ten to either side. The farther the heaps lie from the middle, the less it matters that "
        "costs are known only roughly: the sign decides, not the amount.",
        Data(("exchange", "deception wins", "margin, bits: 5 %", "median", "95 %"), tuple(rows)),
    )


def _critical(tree: xr.DataTree, family: str) -> ReportFigure:
    found = Turning.of(tree, family)
    curves = {found.parameter: found.drawn, f"critical {found.parameter}": found.critical}
    if found.prior.size:
        curves = {f"{found.parameter} before the evidence": found.prior} | curves
    rows = [
        (name, *(number_text(float(x)) for x in _quantiles(values)))
        for name, values in curves.items()
    ]
    rows += [
        (f"deceptive favored: {found.side} critical", percent_text(found.beyond), "", ""),
        ("verdict never turns to deceptive", percent_text(found.never), "", ""),
        ("deceptive favored at every exchange", percent_text(found.always), "", ""),
    ]
    return page_figure(
        partial(plot_critical, tree, family=family, figsize=(_WIDTH, 4.6)),
        f"critical_{family}",
        f"Distribution of the critical {found.parameter} of the draws beside that of the "
        f"{found.parameter} itself, under the {family} family.",
        f"Orange: the {found.parameter} at which the verdict turns, given each draw's costs; blue: "
        f"what is believed of the {found.parameter}. Deception is favored where blue lies to the "
        f"{'right' if found.side == 'above' else 'left'} of orange. The less the two overlap, the "
        f"less the verdict hangs on the exact {found.parameter}.",
        Data((f"{found.parameter}, {found.unit}", "5 %", "median", "95 %"), tuple(rows)),
    )


def _phase(tree: xr.DataTree, component: str | None) -> ReportFigure:
    found = phase(tree, component, rates=7, values=7)
    rows = [
        (number_text(float(x)), *(probability_text(float(p)) for p in row))
        for x, row in zip(found.values, found.probability, strict=True)
    ]
    return page_figure(
        partial(plot_phase, tree, component=found.component, figsize=(_WIDTH, 5.4)),
        "phase",
        "Map of the probability that a deceptive program is favored, over the rate of exchange "
        f"and {found.component}.",
        f"Linear family. Across: the rate; upwards: {found.component}, the quantity that the "
        "verdict hangs on most beside it. Orange: deception would be favored. Follow the contours "
        "to see what value of the one makes up for the other; the box holds the middle 90 % of "
        "what is believed of each, the cross the medians.",
        Data(
            (
                f"{found.component} ↓ rate, steps per bit →",
                *(number_text(float(x)) for x in found.rates),
            ),
            tuple(rows),
        ),
    )


def _masses(tree: xr.DataTree, summary: Mapping[str, Any]) -> ReportFigure:
    structures = summary["structures"]
    names = heaviest(structures)
    rows = [
        (name, structures[name]["class"], *_estimate(structures[name]["mass"])) for name in names
    ]
    left_out = len(structures) - len(names)
    more = f" The {left_out} lighter ones are left out." if left_out else ""
    return page_figure(
        partial(plot_masses, tree, summary=dict(summary), figsize=(_WIDTH, 1.8 + 0.42 * len(rows))),
        "masses",
        "Mean share of the program weight that each structure holds, with the interval that "
        "holds 90 % of the draws.",
        "Points: the average share of the program weight; bars: 90 % of the draws. A bar over the "
        "whole width belongs to a structure that has all in some draws, and nothing in "
        f"others.{more}",
        Data(("structure", "class", "mass", "error", "5 %", "95 %"), tuple(rows)),
    )


def _ranks(tree: xr.DataTree, mixed: FamilyMixing) -> ReportFigure:
    family, worst = mixed.family, mixed.worst
    rows = [
        (n, "–" if r is None else f"{r:.4f}", "–" if e is None else f"{e:.0f}") for n, r, e in worst
    ]
    size = (_WIDTH, 2.3 * -(-len(rows) // 2))
    return page_figure(
        partial(_closed_ranks, tree, family, [n for n, *_ in worst], size),
        f"ranks_{family}",
        f"Rank plots of the unknowns of the {family} family whose chains agree least.",
        f"{family}: the unknowns whose R-hat is largest, one curve for each chain. Across: ranks "
        "among the draws of all chains, from 0 to 1; upwards: by how much the chain’s share of "
        "draws below a rank exceeds that rank. Chains that agree wander about 0; a curve that "
        "stays to one side is a chain that saw other values. Where p, of ArviZ’s test that ranks "
        "are uniform, is below α, marked points are those that depart.",
        Data(("unknown", "R-hat", "bulk ESS"), tuple(rows)),
    )


def _closed_ranks(
    tree: xr.DataTree, family: str, names: list[str], figsize: tuple[float, float]
) -> Any:
    """ArviZ draws with pyplot, which would keep the figure."""
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = plot_ranks(tree, family=family, coords={"parameter": names}, figsize=figsize)
    pyplot.close(figure)
    # Four stand side by side and below each other, on a phone as well.
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    for ax in axes:
        ax.set_xticks([0.0, 0.5, 1.0], labels=["0", "0.5", "1"])
        # ArviZ leaves the heights without a scale, and a far curve runs through its p.
        ax.yaxis.set_visible(True)
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.spines["left"].set_visible(True)
        ax.tick_params(axis="y", left=True, labelleft=True)
        heights = [line.get_ydata() for line in ax.get_lines()]
        reach = 1.1 * max((float(np.max(np.abs(h))) for h in heights if len(h)), default=1.0)
        ax.set_ylim(-reach, 1.6 * reach)
        for said in ax.texts:
            said.set(x=0.02, y=0.99, va="top", transform=ax.transAxes, fontsize=10)
        ax.title.set_fontsize(11)
        for line in ax.get_lines():
            line.set_rasterized(True)
        for marked in ax.collections:
            marked.set_color(INK)
    return figure, axes


def _tall(rows: Sequence[Any]) -> float:
    return 2.2 + 0.55 * len(rows)


def _quantiles(values: np.ndarray) -> Any:
    there = values[~np.isnan(values)]
    if not there.size:
        return [np.nan] * 3
    return np.quantile(there, _ENDS, method="inverted_cdf")


def _estimate(figure: Mapping[str, float | None]) -> tuple[str, str, str, str]:
    """Mean, error and ends of the interval."""
    mcse = figure["mcse"]
    return (
        probability_text(figure["mean"]),
        digit_text(mcse),
        probability_text(figure["lower"]),
        probability_text(figure["upper"]),
    )


def _interval(figure: Mapping[str, float | None]) -> str:
    return f"{probability_text(figure['lower'])} to {probability_text(figure['upper'])}"
