"""The report: one self-contained page that opens with the verdict."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.inference.datasets import UNITS
from bayes_mesa.pages.convergence import convergence
from bayes_mesa.pages.explorer import explorer_section
from bayes_mesa.pages.program_report import programs_in
from bayes_mesa.pages.report_figures import regime_figure, report_figures
from bayes_mesa.pages.report_regime import regime_section
from bayes_mesa.plots.phase_map import quantities
from bayes_mesa.regimes.forecasts import FORECASTS, READ
from bayes_mesa.results.diagnosis import mixings
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.results.summary import Results, summary_of
from bayes_mesa.sensitivity.crux import crux_table
from bayes_mesa.storage.atomic_file import write_text
from bayes_mesa.text.number_text import (
    digit_text,
    error_text,
    interval_text,
    nats_text,
    number_text,
    percent_text,
    probability_text,
)
from bayes_mesa.text.wording import one_way

if TYPE_CHECKING:
    import xarray as xr

#: A parameter whose median moved by fewer prior sds, and whose width changed by a smaller share, is
#: called where it was: draws of 4000 alone can do that.
_STAYED = 0.1

#: A line may break here, and after so many letters without such a place.
_AFTER = re.compile(r"(?<=[(\[._])")
_UNBROKEN = 24

#: Kinds of belief, and what the page says of each.
_KINDS = {
    "opinion": "Opinion: somebody’s judgement, which nobody has measured.",
    "cited": "Cited: taken from the source that is named, and as good as that.",
    "measured": "Measured: from data about systems that exist.",
}


def write_report(
    tree: xr.DataTree, path: str | os.PathLike[str], *, summary: dict[str, Any] | None = None
) -> Path:
    """Write a result tree's report as one HTML file, which fetches nothing from elsewhere.

    Its one script, which answers when a slider is moved, is allowed by its hash; without it the
    page is complete.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    path
        File to write; replaced atomically if it is there.
    summary
        What `summarize` made of the tree, if it is at hand.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ResultFileError
        If the file cannot be written, or the tree lacks the draws of a family it names.
    """
    require_result(tree, "tree")
    return write_text(path, render(tree, summary))


def render(tree: xr.DataTree, summary: dict[str, Any] | None = None) -> str:
    """The report's HTML. The same tree gives the same text: it holds no date and no path."""
    mixed = mixings(tree, Results(tree).families)
    summary = summary or summary_of(tree, mixed)
    regime = regime_section(tree)
    converged = convergence(tree, mixed)
    cruxes = _cruxes(tree)
    possible = quantities(tree)
    crux = next((c["name"] for c in cruxes if c["name"] in possible), None)
    figures = report_figures(tree, summary, converged.families, crux)
    if regime is not None and regime.summary is not None:
        figures["regime"] = regime_figure(regime.summary)
    evidence = json.loads(tree.attrs.get("evidence", "[]"))
    text = str(tree.attrs["model_text"])
    page: str = (
        _environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            attributes=tree.attrs,
            evidence=evidence,
            apart=[t["name"] for t in evidence if f"[evidence.{t['name']}]" not in text],
            left_out="log_likelihood" not in tree.children and "\n[evidence." in text,
            beliefs=by_kind(json.loads(tree.attrs["beliefs"])),
            verdict=verdict(summary),
            spread=spread(summary),
            explorer=explorer_section(tree, crux),
            cruxes=cruxes,
            convergence=converged,
            programs=programs_in(tree, summary),
            updates=json.loads(tree.attrs.get("updates", "[]")),
            forecasts=[(f, READ[f.read]) for f in FORECASTS],
            has_evidence="log_likelihood" in tree.children,
            moved=moved(summary["parameters"]),
            regime=regime,
            figures=figures,
        )
    )
    # A name must not turn round the figures beside it.
    return one_way(page)


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayes_mesa.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "probability": probability_text,
        "number": number_text,
        "digit": digit_text,
        "nats": nats_text,
        "percent": lambda share: _tied(percent_text(share)),
        "tied": _tied,
        "error": _error,
        "interval": _interval,
        "unit": _unit,
        "variance": _variance,
        "breakable": _breakable,
    }
    return environment


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


def by_kind(beliefs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The beliefs by what they rest on: opinions, what is cited, what was measured, any other."""
    others = dict.fromkeys(str(b["kind"]) for b in beliefs if b["kind"] not in _KINDS)
    groups = [
        {"kind": kind, "said": said, "rows": [b for b in beliefs if str(b["kind"]) == kind]}
        for kind, said in {**_KINDS, **{kind: kind for kind in others}}.items()
    ]
    return [group for group in groups if group["rows"]]


def _cruxes(tree: xr.DataTree) -> list[dict[str, Any]]:
    """What the verdict hangs on; none for results of an earlier release, which say too little."""
    told = all("form" in belief for belief in json.loads(tree.attrs["beliefs"]))
    return crux_table(tree) if told else []


def _variance(share: Mapping[str, float | None]) -> Any:
    """A share of the variance in per cent, and its interval, which its error may take below 0."""
    from markupsafe import Markup

    mean, lower, upper = (share[n] for n in ("mean", "lower", "upper"))
    if mean is None:
        return "–"
    # The column is narrow on a phone.
    said = f"{_rounded(mean)}\N{NO-BREAK SPACE}%"
    if lower is None or upper is None:
        return said
    ends = f"{_rounded(lower)}–{_rounded(upper)}".replace("–−", " to −")
    ends = ends.replace("–", " to ") if ends.startswith("−") else ends
    return Markup('{}<br><small class="whole">{}</small>').format(said, ends)


def _rounded(share: float) -> str:
    return f"{abs(round(100 * share)) if share > -0.005 else round(100 * share)}".replace("-", "−")


def _tied(text: str) -> str:
    """Every sign of per cent tied to its number, so that no line begins with one."""
    return re.sub(r"(?<=\d) (?=%)|(?<=[<>]) ", "\N{NO-BREAK SPACE}", text)


def _error(figure: Mapping[str, float | None]) -> Any:
    return _whole(error_text(figure).replace(" ", "\N{NO-BREAK SPACE}"))


def _interval(figure: Mapping[str, float | None], point: str = "exactly") -> Any:
    return _whole(interval_text(figure, point))


def _whole(text: str) -> Any:
    """A text whose numbers no line breaks, not even at the hyphen of an exponent."""
    from markupsafe import Markup, escape

    numbers = r"(1 − )?[\d.]+e-\d+"
    return Markup(re.sub(numbers, r'<span class="whole">\g<0></span>', str(escape(text))))


def _unit(quantity: str) -> str:
    """Unit of a quantity of the model; empty where it has none or its name says it."""
    head = quantity.partition(".")[0]
    return "" if head == "bits" else UNITS.get(quantity, UNITS.get(head, ""))


def _breakable(name: str) -> Any:
    """A name that a line may break after each opening bracket, dot and underscore.

    And wherever it would go on for long without any of them, so that no name widens its table.
    """
    from markupsafe import Markup, escape

    words = (re.sub(rf"(\S{{{_UNBROKEN}}})(?=\S)", r"\1\0", part) for part in _AFTER.split(name))
    return Markup("<wbr>").join(Markup("<wbr>").join(map(escape, w.split("\0"))) for w in words)


def _with_interval(figure: dict[str, Any]) -> str:
    mean = probability_text(figure["mean"])
    ends = interval_text(figure)
    return f"{mean}, exactly" if ends == "exactly" else f"{mean} (90 % interval {ends})"
