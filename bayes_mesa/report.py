"""The report: one self-contained page that opens with the verdict."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.forecasts import FORECASTS, READ
from bayes_mesa.number_text import (
    error_text,
    interval_text,
    nats_text,
    number_text,
    percent_text,
    probability_text,
)
from bayes_mesa.program_report import programs_in
from bayes_mesa.store import write_text
from bayes_mesa.summary import summarize

if TYPE_CHECKING:
    import xarray as xr

#: Drawn in this colour, so that the page can put its own ink in its place, light or dark.
INK = "#010203"

_ENGINES = {
    "exact": "Masses are exact sums over all programs",
    "listed": "Masses are exact sums over all programs",
    "enumerated": "Masses are those of programs listed in order of rule bits, all others bounded",
    "tempered": "Masses come from Markov chains over programs, {inner_draws} draws of programs at "
    "the costs of every draw",
}

#: A parameter whose median moved by fewer prior sds, and whose width changed by a smaller share, is
#: called where it was: draws of 4000 alone can do that.
_STAYED = 0.1

_MASS_ERRORS = {
    "mass_bound": "Room that programs not listed leave for the deceptive mass of a single draw",
    "mass_error": "Monte Carlo error of the deceptive mass at the costs of a single draw",
}


def write_report(tree: xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Write a result tree's report as one HTML file: no scripts, nothing fetched from elsewhere.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    path
        File to write; replaced atomically if it is there.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ResultFileError
        If the file cannot be written, or the tree lacks the draws of a family it names.
    """
    return write_text(path, render(tree))


def render(tree: xr.DataTree) -> str:
    """The report's HTML. The same tree gives the same text: it holds no date and no path."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "probability": probability_text,
        "number": number_text,
        "nats": nats_text,
        "percent": percent_text,
        "error": error_text,
        "interval": interval_text,
        "breakable": _breakable,
    }
    source = files("bayes_mesa").joinpath("templates", "report.html.j2").read_text("utf-8")
    summary = summarize(tree)
    return environment.from_string(source).render(
        summary=summary,
        attributes=tree.attrs,
        beliefs=json.loads(tree.attrs["beliefs"]),
        verdict=verdict(summary),
        spread=spread(summary),
        computed=computed(tree),
        programs=programs_in(tree, summary),
        updates=json.loads(tree.attrs.get("updates", "[]")),
        forecasts=[(f, READ[f.read]) for f in FORECASTS],
        has_evidence="log_likelihood" in tree.children,
        moved=moved(summary["parameters"]),
        plots=_plots(tree, summary),
    )


def verdict(summary: dict[str, Any]) -> str:
    """The answer in one sentence."""
    favored, mass = summary["deceptive_favored"], summary["deceptive_mass"]
    said = f"A deceptive program is favored with probability {_with_interval(favored)}"
    if mass["mean"] is None:
        return f"{said}."
    held = percent_text(mass["mean"])
    return f"{said}; deceptive programs hold {held} of the program weight on average."


def spread(summary: dict[str, Any]) -> str:
    """What the answer hangs on most visibly: the exchange families, when there are several."""
    means = {n: f["deceptive_favored"]["mean"] for n, f in summary["by_exchange"].items()}
    low, high = min(means, key=lambda n: means[n]), max(means, key=lambda n: means[n])
    if len(means) == 1:
        return f"Only the {low} exchange family was considered."
    return (
        f"It hangs on how training trades steps against bits: from "
        f"{probability_text(means[low])} under the {low} family to "
        f"{probability_text(means[high])} under the {high} family."
    )


def moved(parameters: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Names and figures of the parameters that the evidence moved, the farthest first."""

    def away(figures: dict[str, Any]) -> float:
        shift, ratio = figures["shift"], figures["width_ratio"]
        return np.inf if shift is None or not ratio else max(abs(shift), abs(np.log(ratio)))

    found = {n: f for n, f in parameters.items() if away(f) >= _STAYED}
    return sorted(found.items(), key=lambda item: -away(item[1]))


def computed(tree: xr.DataTree) -> str:
    """Which engine found the masses, why, and how far they can be off; empty if not recorded."""
    engines = json.loads(tree.attrs.get("engines", "{}"))
    said = []
    if engines:
        how = _ENGINES.get(engines["masses"], "Masses were found by the engine {masses}")
        said.append(
            f"{how.format_map({'inner_draws': 'several', **engines})}: {engines['reason']}."
        )
    if (error := _worst(tree, "log_weight_error")) is not None:
        how = "Estimated" if engines.get("masses") == "tempered" else "Bounded"
        said.append(f"{how} error of the log weights in the worst draw: {number_text(error)} nats.")
    for name, what in _MASS_ERRORS.items():
        if (error := _worst(tree, name)) is not None:
            said.append(f"{what}: {number_text(error)} at worst, {_in_the_middle(tree, name)}.")
    return " ".join(said)


def _finite(tree: xr.DataTree, name: str) -> np.ndarray:
    """All draws of a variable that are numbers, over the families' own groups."""
    groups = [tree[f"posterior_{f}"].to_dataset() for f in json.loads(tree.attrs["families"])]
    found = [np.asarray(g[name], dtype=float).ravel() for g in groups if name in g]
    draws = np.concatenate(found) if found else np.empty(0)
    return draws[~np.isnan(draws)]


def _worst(tree: xr.DataTree, name: str) -> float | None:
    draws = _finite(tree, name)
    return float(draws.max()) if draws.size else None


def _in_the_middle(tree: xr.DataTree, name: str) -> str:
    middle = float(np.median(_finite(tree, name)))
    # Inner draws that are all of one class show no error, whatever they missed.
    return f"{number_text(middle)} in the middle" if middle > 0.0 else "none seen in most draws"


def _breakable(program: str) -> Any:
    """An expression that a line may break after each opening bracket; escaped."""
    from markupsafe import Markup, escape

    return Markup(str(escape(program)).replace("(", "(<wbr>"))


def _with_interval(figure: dict[str, Any]) -> str:
    mean = probability_text(figure["mean"])
    ends = interval_text(figure)
    return f"{mean}, exactly" if ends == "exactly" else f"{mean} (90 % interval {ends})"


def _plots(tree: xr.DataTree, summary: dict[str, Any]) -> list[dict[str, Any]]:
    from bayes_mesa.plots import plot_costs, plot_margin, plot_probability

    drawings = {
        "Probability that a deceptive program is favored and share of the program weight that "
        "deceptive programs hold, by exchange family; the numbers are in the tables.": partial(
            plot_probability, summary=summary
        ),
        "Histograms, one for each exchange family, of the margin in bits by which the best "
        "deceptive program beats, or is beaten by, the best other one.": plot_margin,
        "Scatter plot of every structure's description length and running time over the draws, "
        "on logarithmic axes.": plot_costs,
    }
    return [
        {"alt": alt, "svg": _svg(draw, tree, alt, f"plot{k}")}
        for k, (alt, draw) in enumerate(drawings.items())
    ]


def _svg(draw: Any, tree: xr.DataTree, alt: str, salt: str) -> Any:
    """An inline SVG in the page's own ink; `salt` keeps the ids of several apart."""
    import matplotlib
    from markupsafe import Markup, escape

    style: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    )
    fixed: dict[Any, Any] = {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "font.size": 11,
        "savefig.dpi": 150,
    }
    with matplotlib.rc_context(style | fixed):
        figure, _ = draw(tree)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    # Matplotlib has escaped every label, so that markup can be told from text by its brackets.
    body = re.sub(r"^.*?<svg|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"<>]*"', "<g", body).replace(INK, "currentColor")
    return Markup(f'<svg role="img" aria-label="{escape(alt)}"{body}')
