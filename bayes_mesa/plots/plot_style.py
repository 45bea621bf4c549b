"""What all plots share: colours, the canvas, labels as they stand, and which part is asked for.

Plots follow ArviZ's manner: a tree in, ``(figure, axes)`` out; ``coords`` says which part to draw
(``{"structure": [...]}`` or ``{"family": [...]}``), ``labels`` what to call things (name of the
model → text shown), ``figsize`` in inches, and with ``ax`` they draw into yours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.text.wording import listed, one_way

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Plot = tuple[Figure, Axes]

Coords = Mapping[str, str | Sequence[str]]
Labels = Mapping[str, str]
Size = tuple[float, float]

#: Okabe and Ito's colours, which colour-blind readers can tell apart; black and yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = {"honest": "o", "deceptive": "^", "misaligned": "s"}
HONEST_COLOUR, DECEPTIVE_COLOUR = COLOURS[0], COLOURS[1]
CLASS_COLOURS = {"honest": COLOURS[0], "deceptive": COLOURS[1], "misaligned": COLOURS[3]}
#: Dashes of the exchange families, by their place.
LINES = ("--", ":", "-.")
LONGEST_LABEL = 48


def canvas(figsize: Size, ax: Axes | None) -> Any:
    """Figure and axes: those of ``ax``, or new ones without frame above and to the right."""
    if ax is not None:
        return ax.figure, ax
    # Not pyplot: no global state, no display, and safe in threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain(text: str, longest: int = LONGEST_LABEL) -> str:
    """The text itself, not too long: a name between dollar signs is not a formula."""
    short = one_way(text if len(text) <= longest else f"{text[: longest - 1]}…")
    return short.replace("$", r"\$")


def called(name: str, labels: Labels | None, longest: int = LONGEST_LABEL) -> str:
    """What to call something: its label, or its own name, as `plain` text."""
    return plain((labels or {}).get(name, name), longest)


def families_of(tree: xr.DataTree, coords: Coords | None = None) -> list[str]:
    """Exchange families of a tree, in the model's order: all, or those that ``coords`` asks for."""
    return chosen(list(json.loads(tree.attrs["families"])), coords, "family")


def chosen(names: Sequence[str], coords: Coords | None, dimension: str) -> list[str]:
    """Of ``names`` those that ``coords`` asks for along a dimension, in the order of ``names``.

    Raises
    ------
    InputError
        If ``coords`` asks for what is not there.
    """
    if coords is None or dimension not in coords:
        return list(names)
    asked = coords[dimension]
    wanted = [asked] if isinstance(asked, str) else [str(x) for x in asked]
    unknown = [x for x in wanted if x not in names]
    if unknown or not wanted:
        found = listed(unknown) if unknown else "none"
        raise InputError(
            f"coords[{dimension!r}] must name one or more of {listed(list(names))}; found {found}"
        )
    return [x for x in names if x in wanted]


def legend_below(axes: Axes, *, own: bool, **options: Any) -> None:
    """Legend under the axes, where no curve can run through it; ``own``: of a figure of ours."""
    style: dict[str, Any] = {"ncols": 1, "frameon": False} | options
    if own:
        figure: Any = axes.figure
        handles, labels = axes.get_legend_handles_labels()
        handles, labels = style.pop("handles", handles), style.pop("labels", labels)
        figure.legend(handles, labels, loc="outside lower center", **style)
    else:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), **style)


def percent(share: float) -> str:
    """A share of the draws, as plots show it."""
    return f"{100 * share:.1f} %"


def flat(variable: xr.DataArray) -> np.ndarray:
    """All draws of a scalar variable, float64 (N,), chain by chain."""
    return np.asarray(variable.transpose("chain", "draw").to_numpy(), dtype=float).ravel()
