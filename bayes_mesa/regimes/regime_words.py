"""What the figures of a regime say, in sentences and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayes_mesa.text.number_text import error_text, number_text, percent_text

#: Shares of draws in which nothing fits, or never reaches the target, that a reader must know of.
_MANY = 0.05


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """What a reader wants to know first, a sentence each."""
    said = [_recommendation(summary), _window_text(summary), _least_text(summary)]
    said.append(_cost_text(summary))
    if summary["rate"] is not None:
        said.append(_rate_text(summary))
    return said


def _recommendation(summary: Mapping[str, Any]) -> str:
    target, limit = (number_text(summary[n]) for n in ("target_success", "max_deceptive"))
    chosen, why = summary["recommended"], summary["why_empty"]
    if chosen is not None:
        return (
            f"Recommended: {_rollouts(chosen['rollouts'])} per episode, where the task succeeds "
            f"with probability {error_text(chosen['success'])} (target {target}) and a deceptive "
            "program is favored with probability "
            f"{error_text(chosen['deceptive_favored_given_fit'])} (at most {limit})."
        )
    none = "No number of rollouts is recommended:"
    if why["fails"] == "success":
        missed = "is reached at no k tried" if summary["given_rollouts"] else "cannot be reached"
        return (
            f"{none} the target {target} {missed}; success is most probable, "
            f"{error_text(why['value'])}, at {_rollouts(why['rollouts'])} per episode."
        )
    if why["fails"] == "fit":
        return f"{none} wherever the target {target} is reached, no program fits under the cap."
    return (
        f"{none} wherever the target {target} is reached, deception is too probable; least, "
        f"{error_text(why['value'])} against {limit}, at {_rollouts(why['rollouts'])} per episode."
    )


def _rollouts(number: int) -> str:
    return "1 rollout" if number == 1 else f"{number} rollouts"


def _window_text(summary: Mapping[str, Any]) -> str:
    window, smallest, reached = (summary[n] for n in ("window", "smallest", "reached"))
    if window is None:
        if reached is None:
            return "The window of k is empty; the target is reached at no k tried."
        ends = _rollouts(reached["least"])
        if reached["greatest"] > reached["least"]:
            ends = f"{reached['least']} to {_rollouts(reached['greatest'])}"
        return f"The window of k is empty; the target is reached at {ends} per episode."
    gaps = "" if window["contiguous"] else ", with gaps"
    return (
        f"Window: {window['least']} to {_rollouts(window['greatest'])} per episode{gaps}; the "
        f"smallest that reaches the target is {smallest['rollouts']}, the best for success "
        f"{summary['best']['rollouts']}."
    )


def _least_text(summary: Mapping[str, Any]) -> str:
    least = summary["least_rollouts"]
    ends = [f"{least[n]:.0f}" if least[n] else "none" for n in ("median", "lower", "upper")]
    return (
        f"By draw, the least k tried that reaches the target: median {ends[0]}, 90 % from "
        f"{ends[1]} to {ends[2]}; in {percent_text(least['never'])} of draws none does."
    )


def _cost_text(summary: Mapping[str, Any]) -> str:
    strongest, best = summary["curve"][0], summary["best"]
    text = (
        f"The strongest speed prior tried ({_rollouts(strongest['rollouts'])}) loses "
        f"{error_text(strongest['success_lost'])} of the probability of success against the best "
        f"k ({best['rollouts']})"
    )
    if summary["recommended"] is None:
        return f"{text}."
    return f"{text}, the recommended one {error_text(summary['recommended']['success_lost'])}."


def _rate_text(summary: Mapping[str, Any]) -> str:
    rate, limit = summary["rate"], number_text(summary["max_deceptive"])
    at = f"Under the linear family, at {_rollouts(rate['rollouts'])} per episode"
    window, lowest = rate["window"], number_text(rate["curve"][0]["rate"])
    if rate["curve"][0]["deceptive_favored_given_fit"]["mean"] is None:
        return f"{at}, no program fits under the cap."
    if window is None:
        return f"{at}, deception is too probable (above {limit}) even at {lowest} steps per bit."
    highest = number_text(window["greatest"])
    if window["next_greater"] is None:
        every = f"at every rate tried, to {highest} steps per bit"
        return f"{at}, deception is improbable (at most {limit}) {every}."
    return (
        f"{at}, deception is improbable (at most {limit}) up to a rate of {highest} steps per bit "
        f"(tried from {lowest}); {percent_text(window['share_of_draws'])} of the rate's draws lie "
        "there. k does not set the rate."
    )


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """What the sentences leave out and a reader must know of."""
    said = []
    chosen = summary["recommended"]
    if chosen is not None and chosen["nothing_fits"] > _MANY:
        said.append(
            f"in {percent_text(chosen['nothing_fits'])} of draws no program fits under the cap of "
            "the recommended k: P(deceptive favored) is of the other draws"
        )
    if chosen is not None:
        above = _families_above(summary, chosen["rollouts"])
        said += [f"at the recommended k deception is more probable than allowed {a}" for a in above]
    if summary["least_rollouts"]["never"] > _MANY:
        said.append(
            f"in {percent_text(summary['least_rollouts']['never'])} of draws no k reaches the "
            "target: the window is of the mean over draws"
        )
    return said


def _families_above(summary: Mapping[str, Any], rollouts: int) -> list[str]:
    """Families under which deception is more probable than the limit, though not on average."""
    at = [point["rollouts"] for point in summary["curve"]].index(rollouts)
    means = {
        name: family["deceptive_favored_given_fit"][at]["mean"]
        for name, family in summary["by_exchange"].items()
    }
    return [
        f"under the {name} family by itself ({number_text(mean)})"
        for name, mean in means.items()
        if mean is not None and mean > summary["max_deceptive"]
    ]
