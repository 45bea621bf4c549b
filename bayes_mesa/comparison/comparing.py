"""Models and posteriors side by side: where they differ, and what each difference explains.

Two models are led into one another one difference at a time, always on the same random numbers
(`common_draws`), and what every difference changes is averaged over all orders of making them
(`attribution`): the shares add up to the difference of the verdicts, draw by draw. Evidence cannot
be switched that way without a fit for every model in between; it comes last, as what it does to the
second verdict less what it does to the first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.comparison.attribution import Attribution
from bayes_mesa.comparison.comparison_result import (
    Change,
    Compared,
    Comparison,
    Contribution,
    Explained,
    plain,
)
from bayes_mesa.comparison.comparison_source import (
    Side,
    draws_for,
    evidence_names,
    opened,
    told_apart,
    with_posterior,
)
from bayes_mesa.comparison.comparison_table import NAMES, signed
from bayes_mesa.comparison.difference_words import clause, clauses, group_label, says
from bayes_mesa.comparison.differences import Difference, differences, groups
from bayes_mesa.comparison.paired_verdicts import ESTIMANDS, PairedVerdicts, family_names, of_tree
from bayes_mesa.domain.model import Model
from bayes_mesa.errors import InputError
from bayes_mesa.inference.datasets import describe_beliefs
from bayes_mesa.inference.family_fit import Settings
from bayes_mesa.results.families import parameters
from bayes_mesa.verdicts.estimand import finite

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[str, int, int], None]
#: A parameter counts as moved from so many standard deviations of its wider interval on.
_MOVED = 0.1


def compare(
    *sources: Model | xr.DataTree | str | os.PathLike[str],
    num_samples: int | None = None,
    num_chains: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Models or posteriors side by side, and what explains the differences of their verdicts.

    Parameters
    ----------
    *sources
        Two or more: a model, a shipped model's name or a path, a result of `fit`, or the path of a
        posterior (``.nc``) or of a run's folder. A model with evidence is fitted first. The first
        is compared with each of the others.
    num_samples
        Draws for each chain; by default 1000, or 100 and fewer where each draw is dear.
    num_chains
        Chains: without evidence all draws are independent, and chains only share them out.
    seed
        Same seed, same numbers.
    progress
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Comparison
        ``as_dict()`` for JSON, ``str()`` in words. The contributions to each difference add up to
        it: exactly what the Shapley value makes of up to six differences, or of groups of them that
        only make sense together; beyond that an average over sampled orders, which adds up too.

    Raises
    ------
    InputError
        With fewer than two sources, bad settings, or a source that cannot be read.
    """
    if len(sources) < 2:
        raise InputError(f"compare needs at least two models or posteriors, found {len(sources)}")
    Settings(0, 1 if num_samples is None else num_samples, num_chains, seed)
    found = [opened(s) for s in sources]
    size = min(map(draws_for, found)) if num_samples is None else num_samples
    sides = [with_posterior(s, size, num_chains, seed, progress) for s in told_apart(found)]
    paired = PairedVerdicts.of(num_chains, size, seed)
    compared = tuple(_compared(s, paired) for s in sides)
    pairs = tuple(
        _explained((sides[0], compared[0]), other, paired, progress)
        for other in zip(sides[1:], compared[1:], strict=True)
    )
    return Comparison(compared, pairs, num_chains, size, seed)


def _compared(side: Side, paired: PairedVerdicts) -> Compared:
    if side.tree is not None:
        return Compared(side.name, side.source, evidence_names(side.tree), of_tree(side.tree))
    assert side.model is not None  # noqa: S101 - a side without a tree is a model
    return Compared(side.name, side.source, (), paired.of_model(side.model))


# What explains a difference


def _explained(
    one: tuple[Side, Compared],
    two: tuple[Side, Compared],
    paired: PairedVerdicts,
    progress: Progress | None,
) -> Explained:
    (first, own), (second, others) = one, two
    informed = first.tree is not None or second.tree is not None
    moved = _parameters(first, second) if informed else {}
    if first.model is None or second.model is None:
        why = first.why or second.why
        return Explained(
            first.name,
            second.name,
            _unpaired(first, own, second, others),
            None,
            (),
            moved,
            False,
            (f"What explains the difference cannot be told: {why}.",),
        )
    found = differences(first.model, second.model)
    stage = f"{first.name} to {second.name}"
    shares, joined, note = paired.attributed(
        first.model,
        second.model,
        groups(first.model, second.model, found),
        None if progress is None else lambda done, total: progress(stage, done, total),
    )
    names = family_names(first.model, second.model)
    common = [
        n
        for n in names
        if all(n in (f.name for f in m.families) for m in (first.model, second.model))
    ]
    contributions = [
        _contribution(shares, k, group, (first.model, second.model), names, common)
        for k, group in enumerate(joined)
    ]
    whole = {e: _whole_change(shares, i) for i, e in enumerate(ESTIMANDS)}
    notes = [note] if note else []
    if informed and not _same_draws(first, second):
        by_evidence = _by_evidence((first, own), (second, others), shares)
        contributions.append(by_evidence)
        whole = {
            e: _with_evidence(whole[e], by_evidence.changes[e], (first, own), (second, others), e)
            for e in ESTIMANDS
        }
        notes.append(
            "Beliefs and structures are compared without evidence; what the evidence does to each "
            "verdict is counted last, as one contribution."
        )
    contributions.sort(key=lambda c: -max(abs(c.changes[e].mean) for e in ESTIMANDS))
    unseen = tuple(clause(d, first.model, second.model) for d in found if not d.seen)
    return Explained(
        first.name,
        second.name,
        whole,
        tuple(contributions),
        unseen,
        moved,
        shares.by_order is None,
        tuple(notes),
    )


def _contribution(
    shares: Attribution,
    k: int,
    group: Sequence[Difference],
    models: tuple[Model, Model],
    names: Sequence[str],
    common: Sequence[str],
) -> Contribution:
    return Contribution(
        label=group_label(group),
        clauses=clauses(group, *models),
        keys=tuple(d.key for d in group),
        changes={e: _change(shares, k, i, 0, slice(None)) for i, e in enumerate(ESTIMANDS)},
        by_exchange={
            name: {
                e: _change(shares, k, i, 1, slice(f, f + 1))
                for i, e in enumerate(ESTIMANDS)
                for f in (names.index(name),)
            }
            for name in common
        },
        beliefs={d.key: [says(d, m) for m in models] for d in group if d.kind == "belief"},
    )


def _change(shares: Attribution, k: int, estimand: int, weighted: int, families: slice) -> Change:
    """Summed over families, whose draws are independent."""
    at = (k, estimand, weighted, families)
    error = _error(shares.shares[at])
    if shares.by_order is not None:
        by_order = shares.by_order[(slice(None), *at)].sum(axis=-1)
        spread = float(by_order.std(ddof=1)) / math.sqrt(len(by_order))
        error = None if error is None else math.hypot(error, spread)
    means = (x[at].mean(axis=-1).sum() for x in (shares.shares, shares.alone, shares.last))
    mean, alone, last = (_settled(float(x)) for x in means)
    return Change(mean, error, alone, last)


def _whole_change(shares: Attribution, estimand: int) -> Change:
    change = (shares.end - shares.start)[estimand, 0]
    return Change(_settled(float(change.mean(axis=-1).sum())), _error(change))


def _error(x: NDArray[np.float64]) -> float | None:
    """Standard error of the sum of the means of independent draws, (F, N)."""
    if x.shape[-1] < 2:
        return None
    return _settled(float(np.sqrt((x.var(axis=-1, ddof=1) / x.shape[-1]).sum())))


def _settled(x: float) -> float:
    """Nothing but rounding is nothing."""
    return 0.0 if abs(x) < 1e-14 else x


def _by_evidence(
    one: tuple[Side, Compared], two: tuple[Side, Compared], shares: Attribution
) -> Contribution:
    """What evidence does to the second verdict less what it does to the first."""
    changes, said_of = {}, []
    parts: dict[str, list[Change]] = {e: [] for e in ESTIMANDS}
    for (side, compared), values in ((one, shares.start), (two, shares.end)):
        for i, e in enumerate(ESTIMANDS):
            prior = values[i, 0]
            mean, error = float(prior.mean(axis=-1).sum()), _error(prior) or 0.0
            after = compared.figures[e]
            part = Change(0.0, 0.0)
            if side.tree is not None:
                part = Change(
                    _number(after["mean"]) - mean, math.hypot(_number(after["mcse"]), error)
                )
            parts[e].append(part)
        if side.tree is not None:
            said = ", ".join(f"{NAMES[e]} by {signed(parts[e][-1])}" for e in ESTIMANDS)
            said_of.append(f"{side.name}: {', '.join(compared.evidence)} moves {said}")
    for e in ESTIMANDS:
        before, after = parts[e]
        changes[e] = Change(
            after.mean - before.mean, math.hypot(before.error or 0.0, after.error or 0.0)
        )
    return Contribution("evidence", (f"has other evidence ({'; '.join(said_of)})",), (), changes)


def _number(x: float | None) -> float:
    return math.nan if x is None else x


def _with_evidence(
    prior: Change,
    evidence: Change,
    one: tuple[Side, Compared],
    two: tuple[Side, Compared],
    estimand: str,
) -> Change:
    """Both together: what the priors' draws said cancels, and so does its error."""
    errors = [_number(c.figures[estimand]["mcse"]) for _, c in (one, two)]
    error = None if prior.error is None else math.hypot(*errors)
    return Change(_settled(prior.mean + evidence.mean), error)


def _same_draws(first: Side, second: Side) -> bool:
    """Whether both are one and the same result."""
    if first.tree is None or second.tree is None:
        return False
    return first.tree is second.tree or bool(first.tree.identical(second.tree))


def _unpaired(first: Side, own: Compared, second: Side, others: Compared) -> dict[str, Change]:
    found = {}
    same = _same_draws(first, second)
    for e in ESTIMANDS:
        one, two = own.figures[e], others.figures[e]
        error = 0.0 if same else math.hypot(_number(one["mcse"]), _number(two["mcse"]))
        found[e] = Change(_number(two["mean"]) - _number(one["mean"]), error)
    return found


def _parameters(first: Side, second: Side) -> dict[str, Any]:
    """Parameters of both that moved apart, widest apart first."""
    own, others = _intervals(first), _intervals(second)
    apart = {n: _apart(own[n], others[n]) for n in own if n in others}
    moved = sorted((n for n in apart if apart[n] > _MOVED), key=lambda n: -apart[n])
    return {n: {"first": own[n], "second": others[n], "apart": finite(apart[n])} for n in moved}


def _intervals(side: Side) -> dict[str, dict[str, float | None]]:
    if side.tree is not None and evidence_names(side.tree):
        return {p.name: plain(asdict(p.posterior)) for p in parameters(side.tree)}
    if side.model is None:
        return {}
    return {
        b["quantity"]: {"median": b["median"], "lower": b["q05"], "upper": b["q95"]}
        for b in describe_beliefs(side.model)
        if b["q05"] < b["q95"]
    }


def _apart(one: dict[str, float | None], two: dict[str, float | None]) -> float:
    """Distance of the medians in standard deviations of the wider one, on the log scale."""
    logs = [
        [math.log(x) for n in ("lower", "median", "upper") if (x := side[n]) and x > 0.0]
        for side in (one, two)
    ]
    if any(len(x) < 3 for x in logs):
        return 0.0
    width = max(x[2] - x[0] for x in logs)
    return abs(logs[0][1] - logs[1][1]) * 3.29 / width if width > 0.0 else math.inf
