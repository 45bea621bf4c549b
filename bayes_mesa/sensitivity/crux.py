"""Cruxes: what the verdict hangs on, belief by belief.

Four questions of every belief: how much of the verdict's variance it carries (`variance_shares`),
what it would be worth to know it before deciding (`partial_information`), how far the verdict moves
with its prior's weight (`power_scaling`), and how far its median must move to flip it (`flips`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bayes_mesa.domain.model import Model
from bayes_mesa.domain.task_success import most_rollouts
from bayes_mesa.errors import InputError
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.sensitivity.crux_result import Cruxes
from bayes_mesa.sensitivity.crux_sample import CruxSample
from bayes_mesa.sensitivity.crux_search import CruxSearch
from bayes_mesa.sensitivity.partial_information import Decision
from bayes_mesa.sensitivity.rejudging import ESTIMANDS

if TYPE_CHECKING:
    import xarray as xr


def cruxes(
    post: xr.DataTree,
    model: Model | None = None,
    *,
    of: str = "deceptive_favored",
    decision: Decision | Mapping[str, Any] | None = None,
    threshold: float = 0.5,
    rollouts: int | None = None,
    by_family: bool = True,
    num_draws: int | None = None,
    seed: int = 0,
) -> Cruxes:
    """What the verdict hangs on, belief by belief, the largest total effect first.

    Parameters
    ----------
    post
        What `fit` returned, or `open_posterior` read.
    model
        Needed where the model was made in Python; else it is read from the results.
    of
        ``deceptive_favored`` (0 or 1 in every draw), ``deceptive_mass``, or ``margin`` (bits). With
        path dependence the first two are those of the whole.
    decision
        Worth of training's ends, as `Decision` or ``{"train": {"safe": 1, "deceptive": -10},
        "stop": 0}``, which is the default. A program is deceptive with the probability ``of`` says
        (for the margin, that of the favored one).
    threshold
        The probability that a flip crosses, in (0, 1).
    rollouts
        The decision to train at so many rollouts per episode, or not: verdicts are judged anew
        under that cap and number of episodes, and training learns the task with `task_success`'s
        probability. For a model with a regime.
    by_family
        Whether to find shares and flips under every exchange family too.
    num_draws
        Draws of each family to be judged again. By default all; with facts 1000 (250 under a cap);
        with a grammar, or too many facts under a cap, none (each takes milliseconds): then see
        ``how`` and ``how_flips`` of the result.
    seed
        Of what is redrawn.

    Returns
    -------
    Cruxes
        First-order effects are estimated from the draws. Total effects come from judging the
        verdict again with one belief redrawn given all others, or from the draws alone. The
        exchange family is a belief of its own; its parameters count with the probability that their
        family is the one. Of beliefs about facts, first-order effect and worth are those of the sum
        of the logs over facts, the rest of all facts' values together.

    Raises
    ------
    InputError
        For an unknown ``of``, a threshold or ``num_draws`` out of range, or results of another
        model.
    """
    require_result(post)
    _check(of, threshold, num_draws)
    chosen = decision if isinstance(decision, Decision) else Decision.of(decision or _DEFAULT)
    sample = CruxSample.of_tree(post, of, model, num_draws)
    if rollouts is not None:
        sample = _at(sample, rollouts)
    return CruxSearch(sample, chosen, threshold, rollouts, seed, quick=False).everything(by_family)


def crux_table(tree: xr.DataTree) -> list[dict[str, Any]]:
    """The report's rows: averages over families only, quick; empty where nothing is uncertain.

    Empty too where a model made in Python has heuristics, whose draws say nothing of the costs.
    """
    try:
        sample = CruxSample.of_tree(tree, "deceptive_favored", None, quick=True)
    except InputError:
        return []
    search = CruxSearch(sample, Decision(), 0.5, None, 0, quick=True)
    return [row.as_dict() for row in search.everything(by_family=False).rows]


_DEFAULT = {"train": {"safe": 1.0, "deceptive": -10.0}, "stop": 0.0}


def _check(of: str, threshold: float, num_draws: int | None) -> None:
    if of not in ESTIMANDS:
        raise InputError(f"of must be one of {', '.join(ESTIMANDS)}, found {of!r}")
    if not 0.0 < threshold < 1.0:
        raise InputError(f"threshold must lie between 0 and 1, found {threshold!r}")
    if num_draws is not None and num_draws < 1:
        raise InputError(f"num_draws must be at least 1, found {num_draws}")


def _at(sample: CruxSample, rollouts: int) -> CruxSample:
    """The same draws, judged under a regime of so many rollouts per episode."""
    judge = sample.judge
    if judge is None or judge.model.regime is None:
        raise InputError(
            "rollouts need a model with a [regime] whose verdict can be judged again; found "
            + ("none" if judge is None else f"{judge.model.name} without one")
        )
    stated = judge.model.regime
    most = most_rollouts(stated)
    if not 1 <= rollouts <= most:
        raise InputError(f"rollouts must be a whole number from 1 to {most}, found {rollouts}")
    selection = stated.selection(rollouts, judge.model.selection)
    moved = replace(sample, judge=replace(judge, model=replace(judge.model, selection=selection)))
    assert moved.judge is not None  # noqa: S101 - just given
    families = [replace(f, y=moved.judge(*moved.whole(f), sample.of)) for f in sample.families]
    return replace(moved, families=tuple(families))
