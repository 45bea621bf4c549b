"""The plane of costs: where structures lie in bits and steps, and what training weighs equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.costing.exchange import added_penalty
from bayes_mesa.plots.plot_style import (
    COLOURS,
    LINES,
    MARKERS,
    Coords,
    Labels,
    Size,
    called,
    canvas,
    chosen,
    families_of,
    flat,
    legend_below,
)
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.text.number_text import number_text

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_mesa.plots.plot_style import Plot

#: Draws shown of each structure.
CLOUD = 400
#: Structures that fit into one cloud; of more, so many are drawn, by their costs beyond the least.
CROWD, DRAWN = 10, 8
#: Letters of a name that fit into the legend, beside the class.
_LONGEST = 36
#: Median ratio of the greatest to the least cost below which clouds lie on top of each other.
_APART = 2.0


@dataclass(frozen=True, eq=False)
class CostPlane:
    """What the plane shows.

    Attributes
    ----------
    names, classes
        Of the S structures drawn.
    bits, steps
        (S, N): full, or beyond the shortest and the fastest of all structures in the same draw.
    beyond
        Which of the two.
    shared_steps
        Median over draws of the steps that were taken off; 0 where none were.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    bits: np.ndarray
    steps: np.ndarray
    beyond: bool
    shared_steps: float

    @classmethod
    def of(
        cls, tree: xr.DataTree, coords: Coords | None = None, beyond: bool | None = None
    ) -> CostPlane:
        """Costs of the structures that ``coords`` asks for, or of the most probable ones."""
        posterior = tree["posterior"].to_dataset()
        every = [str(x) for x in posterior["structure"].to_numpy()]
        classes = [str(x) for x in tree["constant_data"]["structure_class"].to_numpy()]
        full = [_by_structure(posterior[f"structure_{axis}"]) for axis in ("bits", "steps")]
        # The rest of a class of a grammar has no cost of its own.
        costly = ~np.isnan(full[0]).all(axis=1)
        if coords is not None and "structure" in coords:
            drawn = [every.index(n) for n in chosen(every, coords, "structure")]
            drawn = [k for k in drawn if costly[k]]
        elif len(every) > CROWD:
            mass = posterior["structure_mass"].mean(("chain", "draw")).fillna(0.0).to_numpy()
            drawn = _most_probable(np.where(costly, mass, -1.0), classes)
        else:
            drawn = [k for k in range(len(every)) if costly[k]]
        least = [np.where(np.isnan(x), np.inf, x).min(axis=0) for x in full]
        if beyond is None:
            beyond = len(every) > CROWD or any(_overlap(x[drawn]) for x in full)
        bits, steps = (x[drawn] - low * beyond for x, low in zip(full, least, strict=True))
        shared = float(np.median(least[1])) if beyond else 0.0
        names = tuple(every[k] for k in drawn)
        return cls(names, tuple(classes[k] for k in drawn), bits, steps, beyond, shared)

    @property
    def medians(self) -> tuple[np.ndarray, np.ndarray]:
        """Median bits and steps of every structure, (S,) each."""
        return np.median(self.bits, axis=1), np.median(self.steps, axis=1)

    def frontier(self) -> list[int]:
        """Structures whose medians no other one undercuts on both axes, by rising bits."""
        found: list[int] = []
        bits, steps = self.medians
        for k in np.lexsort((steps, bits)):
            if not found or steps[k] < steps[found[-1]]:
                found.append(int(k))
        return found


def plot_costs(
    tree: xr.DataTree,
    *,
    coords: Coords | None = None,
    labels: Labels | None = None,
    beyond: bool | None = None,
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Plot:
    """Description length against running time: a cloud of draws and a median for each structure.

    The broken lines join what each exchange family, at the medians of its parameters, weighs equal
    to the structure that it finds cheapest: whatever lies to the lower left of a line is cheaper
    still. The stairs join the structures whose medians no other undercuts on both axes.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    coords
        ``{"structure": names}``: only these. By default all; of more than ten the eight of the
        largest mass, the best of every class among them.
    labels
        Structure → what to call it.
    beyond
        Whether to draw what each structure costs beyond the shortest and the fastest of the same
        draw, instead of its whole cost. By default so where there are more than ten structures or
        what they share would hide their differences.
    figsize
        Inches.
    ax
        Axes to draw into.

    Returns
    -------
    figure, axes
    """
    require_result(tree, "tree")
    plane = CostPlane.of(tree, coords, beyond)
    count = len(plane.names)
    figure, axes = canvas(figsize or (7.0, 4.6 + 0.24 * (count + 4)), ax)
    crosses = count > 1 and tree["posterior"].sizes["structure"] > CROWD
    for k, (name, kind) in enumerate(zip(plane.names, plane.classes, strict=True)):
        style: dict[str, Any] = {"color": _colour(plane, k), "marker": MARKERS[kind]}
        (_spread if crosses else _cloud)(axes, plane, k, style)
        x, y = (m[k] for m in plane.medians)
        label = f"{called(name, labels, _LONGEST)} ({kind})"
        axes.scatter(x, y, s=90, edgecolors="white", lw=1.2, zorder=4, label=label, **style)
    _scales(axes, plane)
    _stairs(axes, plane)
    _equal_penalties(axes, plane, tree)
    if plane.beyond:
        axes.set_xlabel("bits more than the shortest")
        axes.set_ylabel("steps per episode more than the fastest")
        axes.set_title("What structures cost beyond the least", loc="left")
    else:
        axes.set_xlabel("description length, bits")
        axes.set_ylabel("running time, steps per episode")
        axes.set_title("What each structure costs", loc="left")
    legend_below(axes, own=ax is None)
    return figure, axes


def _by_structure(cost: xr.DataArray) -> np.ndarray:
    values = cost.transpose("structure", "chain", "draw").to_numpy()
    return values.reshape(values.shape[0], -1).astype(float)


def _overlap(cost: np.ndarray) -> bool:
    """Whether structures differ by so little, against what they share, that none could tell."""
    least, most = cost.min(axis=0), cost.max(axis=0)
    return (
        len(cost) > 1
        and bool(np.median(least) > 0.0)
        and bool(np.median(most / np.where(least > 0.0, least, np.nan)) < _APART)
    )


def _most_probable(mass: np.ndarray, classes: list[str]) -> list[int]:
    """The best of each class, then the best of all, by falling mass; negative: none of them."""
    order = [int(k) for k in np.argsort(-mass, kind="stable") if mass[k] >= 0.0]
    first = {classes[k]: k for k in reversed(order)}.values()
    others = [k for k in order if k not in first][: DRAWN - len(first)]
    return sorted([*first, *others], key=order.index)


def _colour(plane: CostPlane, k: int) -> str:
    """Colours start anew in each class, whose markers differ, where there are many structures."""
    if len(plane.names) <= len(COLOURS):
        return COLOURS[k]
    return COLOURS[plane.classes[:k].count(plane.classes[k]) % len(COLOURS)]


def _cloud(axes: Axes, plane: CostPlane, k: int, style: dict[str, Any]) -> None:
    thin = slice(None, None, max(1, plane.bits.shape[1] // CLOUD))
    x, y = plane.bits[k, thin], plane.steps[k, thin]
    axes.scatter(x, y, s=9, alpha=0.5, lw=0, rasterized=True, **style)


def _spread(axes: Axes, plane: CostPlane, k: int, style: dict[str, Any]) -> None:
    x, y = (m[k] for m in plane.medians)
    axes.plot(np.quantile(plane.bits[k], (0.05, 0.95)), [y, y], color=style["color"], lw=0.8)
    axes.plot([x, x], np.quantile(plane.steps[k], (0.05, 0.95)), color=style["color"], lw=0.8)


def _scales(axes: Axes, plane: CostPlane) -> None:
    for axis, values in (("x", plane.bits), ("y", plane.steps)):
        if plane.beyond or not np.all(values > 0.0):
            getattr(axes, f"set_{axis}scale")("symlog", linthresh=1.0)
            getattr(axes, f"set_{axis}lim")(-0.3, 3.0 * max(float(np.quantile(values, 0.999)), 1.0))
        else:
            getattr(axes, f"set_{axis}scale")("log")
            low, high = np.quantile(values, (0.001, 0.999))
            getattr(axes, f"set_{axis}lim")(low / 3.0, high * 3.0)


def _stairs(axes: Axes, plane: CostPlane) -> None:
    bits, steps = plane.medians
    at = plane.frontier()
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    x = [bits[at[0]], *bits[at], right]
    y = [top, *steps[at], steps[at[-1]]]
    label = "frontier: shorter or faster than every other (medians)"
    axes.step(x, y, where="post", color="0.5", lw=1.2, alpha=0.8, zorder=2, label=label)


def _equal_penalties(axes: Axes, plane: CostPlane, tree: xr.DataTree) -> None:
    """For each family Phi = constant through its cheapest structure, at median parameters."""
    from bayes_mesa.plots.plot_style import plain

    limits = axes.get_xlim(), axes.get_ylim()
    bits, steps = plane.medians
    fastest = plane.shared_steps if plane.beyond else float(steps.min())
    taken_off = 0.0 if plane.beyond else fastest
    reach = np.log10(max(limits[1][1] - taken_off, 10.0))
    along = np.concatenate([[0.0], np.logspace(reach - 24.0, reach, 600)])
    for place, family in enumerate(families_of(tree)):
        parameters, said = _at_the_medians(tree, family)
        if family == "levin" and fastest <= 0.0:
            continue
        added = added_penalty(family, parameters, fastest, np.maximum(steps - taken_off, 0.0))
        least = float(np.min(bits + added))
        x = least - added_penalty(family, parameters, fastest, along)
        dashes = LINES[place % len(LINES)]
        label = plain(f"{family}, {said}: equal penalty")
        axes.plot(x, along + taken_off, color="0.45", lw=1.3, ls=dashes, zorder=3, label=label)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def _at_the_medians(tree: xr.DataTree, family: str) -> tuple[dict[str, float], str]:
    """Medians of a family's parameters by their short names, and in words."""
    group = tree[f"posterior_{family}"].to_dataset()
    names = [str(n) for n in group.data_vars if str(n).startswith(f"{family}_")]
    found = {n.removeprefix(f"{family}_"): float(np.median(flat(group[n]))) for n in names}
    return found, ", ".join(f"{n} {number_text(x)}" for n, x in found.items())
