"""The headline of a result as a notebook shows it: a compact table, and text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_mesa.interface.console import headline
from bayes_mesa.plots.probability_plot import heaviest
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.results.summary import summarize
from bayes_mesa.text.html_table import html_line, html_table
from bayes_mesa.text.number_text import error_text, interval_text, probability_text
from bayes_mesa.text.wording import shortened

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Headline:
    """Both estimands by exchange family and by structure.

    A notebook shows the table, a terminal its text; ``summary`` holds the numbers, as `summarize`
    gives them.
    """

    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        return headline(self.summary)

    def _repr_html_(self) -> str:
        """Two tables without style of their own, so that they follow the notebook's theme."""
        from markupsafe import Markup

        s = self.summary
        families = [("average", None, s), *((n, f["weight"], f) for n, f in _families(s))]
        parts = [
            html_table(
                ("exchange", "weight", "deceptive favored", "deceptive mass"),
                [
                    (
                        name,
                        "" if weight is None else probability_text(weight),
                        _cell(f["deceptive_favored"]),
                        _cell(f["deceptive_mass"], "in every draw"),
                    )
                    for name, weight, f in families
                ],
            ),
            html_table(
                ("structure", "class", "favored", "mass"),
                [
                    (
                        shortened(n),
                        x["class"],
                        _cell(x["favored"]),
                        _cell(x["mass"], "in every draw"),
                    )
                    for n in heaviest(s["structures"])
                    for x in (s["structures"][n],)
                ],
            ),
            *(html_line(w, strong="warning:") for w in s["diagnostics"]["warnings"]),
        ]
        caption = html_line(
            "(mean ± Monte Carlo error; in brackets for “favored” its 90 % interval, for “mass” "
            "what holds 90 % of the draws)",
            strong=shortened(s["model"]),
        )
        return Markup("").join([caption, *parts])


def show(post: xr.DataTree) -> Headline:
    """The headline of a result, for the last line of a notebook's cell or for ``print``.

    Parameters
    ----------
    post
        What `fit` returned, or `open_posterior` read.

    Returns
    -------
    Headline
        Shown as a table in a notebook and as text elsewhere; its ``summary`` is what `summarize`
        returns.
    """
    require_result(post)
    return Headline(summarize(post))


def _families(summary: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    if "with_path" not in summary:
        return list(summary["by_exchange"].items())
    path = {"weight": None} | summary["with_path"]
    return [("with path dependence", path), *summary["by_exchange"].items()]


def _cell(figure: Mapping[str, float | None], point: str = "exactly") -> str:
    return f"{error_text(figure)} ({interval_text(figure, point)})"
