"""What the command `regime` prints: the sentences, and a table over k with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayes_mesa.interface.console import columns
from bayes_mesa.interface.page_text import Page
from bayes_mesa.text.number_text import (
    error_text,
    interval_text,
    number_text,
    percent_text,
    probability_text,
)

#: Rows of the table; the file that --out writes has every k.
_MOST_ROWS = 20


def regime_text(found: Mapping[str, Any]) -> Page:
    """What `summarize_regime` returned, for people."""
    return Page.of(
        "\n".join(found["text"]),
        _table(found),
        _families(found),
        f"T = {number_text(found['budget'])} sequential steps, "
        f"{number_text(found['steps_per_rollout'])} for each rollout; the model stands at "
        f"k = {found['rollouts']}. {found['num_chains']} x {found['num_draws']} draws "
        f"({found['engine']}).",
        *(f"warning: {w}" for w in found["warnings"]),
    )


def _table(found: Mapping[str, Any]) -> list[str]:
    header = (
        *("k, rollouts", "cap, steps", "E, episodes", "P(success)", "90 % of draws"),
        *("P(deceptive favored)", "90 %", "deceptive mass", "nothing fits", ""),
    )
    rows = [_row(found, point) for point in _chosen(found)]
    left_out = len(found["curve"]) - len(rows)
    more = [f"... and {left_out} more numbers of rollouts (--json)"] if left_out else []
    note = "P(deceptive favored) and masses are of the draws in which a program fits under the cap."
    return [columns(header, rows), *more, note]


def _row(found: Mapping[str, Any], point: Mapping[str, Any]) -> tuple[str, ...]:
    favored, k = point["deceptive_favored_given_fit"], point["rollouts"]
    chosen = found["recommended"]
    marks = ["in the window"] if point["in_window"] else []
    marks += ["recommended"] if chosen and chosen["rollouts"] == k else []
    marks += ["the model's own"] if found["rollouts"] == k else []
    return (
        str(k),
        number_text(point["cap"]),
        number_text(point["episodes"]),
        error_text(point["success"]),
        interval_text(point["success"], "in every draw"),
        error_text(favored),
        interval_text(favored),
        probability_text(point["deceptive_mass"]["mean"]),
        percent_text(point["nothing_fits"]),
        ", ".join(marks),
    )


def _chosen(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All points where there are few; else those that matter, and others evenly between."""
    curve = found["curve"]
    if len(curve) <= _MOST_ROWS:
        return list(curve)
    named = [found["smallest"], found["best"], found["recommended"], found["window"]]
    wanted = {found["rollouts"]} | {x["rollouts"] for x in named if x and "rollouts" in x}
    if found["window"]:
        wanted |= {found["window"]["least"], found["window"]["greatest"]}
    last = len(curve) - 1
    evenly = {round(j * last / (_MOST_ROWS - 8)) for j in range(_MOST_ROWS - 7)}
    return [p for j, p in enumerate(curve) if j in evenly or p["rollouts"] in wanted]


def _families(found: Mapping[str, Any]) -> list[str]:
    """Both estimands by family, at the recommended k or else the model's own."""
    curve, chosen = found["curve"], found["recommended"]
    wanted = chosen["rollouts"] if chosen else found["rollouts"]
    at = next((j for j, p in enumerate(curve) if p["rollouts"] == wanted), 0)
    rows = [
        (
            name,
            probability_text(of["weight"]),
            error_text(of["deceptive_favored_given_fit"][at]),
            error_text(of["deceptive_mass"][at]),
        )
        for name, of in found["by_exchange"].items()
    ]
    header = ("exchange", "weight", "P(deceptive favored)", "deceptive mass")
    return [f"At {curve[at]['rollouts']} rollouts per episode:", columns(header, rows)]
