"""Whether chains agree: ArviZ's rank plots of the unknowns that mix worst."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.plots.plot_style import Coords, Labels, Size, called, chosen, families_of
from bayes_mesa.results.diagnosis import mixing, unknowns
from bayes_mesa.results.result_tree import require_result

if TYPE_CHECKING:
    import xarray as xr

#: Unknowns drawn unless others are asked for, and characters of their names.
WORST, _LONGEST = 4, 24


def plot_ranks(
    tree: xr.DataTree,
    *,
    family: str | None = None,
    coords: Coords | None = None,
    labels: Labels | None = None,
    figsize: Size | None = None,
    backend: str = "matplotlib",
) -> tuple[Any, Any]:
    """Rank plots of the unknowns of one family, by ``arviz.plot_rank``.

    One curve for each chain: how much more often than its share the chain's draws are among the
    lowest. Chains that explore the same distribution stay near 0; marked points are where ArviZ's
    test finds that they do not.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    family
        Exchange family, each of which was sampled by itself; by default the first.
    coords
        ``{"parameter": names}``: unknowns such as ``bits[combine]``. By default the four whose
        R-hat is largest.
    labels
        Unknown → what to call it.
    figsize
        Inches; matplotlib only.
    backend
        ``"matplotlib"``, ``"plotly"`` or ``"bokeh"``, as ArviZ has them installed.

    Returns
    -------
    figure, axes
        The backend's figure, and its axes in an object array, one for each unknown. A figure of
        matplotlib belongs to pyplot, as all of ArviZ's do: close it when many are drawn.

    Raises
    ------
    InputError
        If the family or an unknown is not there, or nothing varies.
    """
    require_result(tree, "tree")
    family = family or families_of(tree)[0]
    (family,) = families_of(tree, {"family": family})
    dataset = tree[f"posterior_{family}"].to_dataset()
    names, draws = unknowns(dataset)
    if not names:
        raise InputError("rank plots need unknowns that vary; these results have none")
    if coords is not None and "parameter" in coords:
        wanted = chosen(names, coords, "parameter")
    else:
        wanted = [name for name, *_ in mixing(dataset).unknowns[:WORST]]
    picked = np.stack([draws[names.index(n)] for n in wanted])
    shown = _told_apart([called(n, labels, _LONGEST) for n in wanted])
    return _drawn(picked, shown, figsize, backend)


def _drawn(draws: np.ndarray, names: list[str], figsize: Size | None, backend: str) -> Any:
    import arviz as az
    import xarray as xr
    from arviz_base.labels import NoVarLabeller

    count, chains, size = draws.shape
    coords = {"parameter": names, "chain": np.arange(chains), "draw": np.arange(size)}
    data = xr.Dataset({"rank": (("parameter", "chain", "draw"), draws)}, coords=coords)
    columns = min(2, count)
    options: dict[str, Any] = {}
    if backend == "matplotlib":
        rows = -(-count // columns)
        options["figure_kwargs"] = {
            "figsize": figsize or (3.2 * columns, 2.3 * rows),
            "layout": "constrained",
        }
    with warnings.catch_warnings():  # of chains that do not move: R-hat says so
        warnings.simplefilter("ignore")
        made = az.plot_rank(
            xr.DataTree.from_dict({"posterior": data}),
            backend=backend,
            labeller=NoVarLabeller(),
            col_wrap=columns,
            **options,
        )
    return made.viz["figure"].item(), np.atleast_1d(made.viz["plot"]["rank"].to_numpy())


def _told_apart(names: list[str]) -> list[str]:
    """Names that are equal when shortened get a number: xarray's labels must differ."""
    return [
        f"{name} ({names[:k].count(name) + 1})" if names.count(name) > 1 else name
        for k, name in enumerate(names)
    ]
