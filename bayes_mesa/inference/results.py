"""The result of a fit: every family's draws, their average, and the tree that holds both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.expression import expression
from bayes_mesa.domain.model import EvidenceTable, Model
from bayes_mesa.domain.slots import all_known
from bayes_mesa.evidence.elicited import judgement_tables
from bayes_mesa.inference.checkpoints import fit_job
from bayes_mesa.inference.datasets import (
    constant_data,
    dataset,
    describe_beliefs,
    encode,
    observed_data,
    row_dimension,
    told_apart,
)
from bayes_mesa.inference.family_fit import Arrays, FamilyFit, Settings
from bayes_mesa.inference.marginal_likelihood import family_probabilities
from bayes_mesa.inference.warning_texts import result_warnings
from bayes_mesa.parallel.environment import versions
from bayes_mesa.verdicts.dominance import dominance, never_favored
from bayes_mesa.verdicts.engines import Engines
from bayes_mesa.verdicts.favorable import can_be_favored
from bayes_mesa.verdicts.program_record import recorded, recorded_structures

if TYPE_CHECKING:
    import xarray as xr


def result_tree(
    model: Model,
    tables: Sequence[EvidenceTable],
    fits: Sequence[FamilyFit],
    priors: Sequence[FamilyFit],
    settings: Settings,
    stream: np.random.SeedSequence,
) -> xr.DataTree:
    """All groups of DESIGN's result, from the fits of the families that were done.

    π_F ∝ w_F p(D | F). In ``posterior`` each (chain, draw) place holds the same place of the family
    that ``family`` names; families fill each chain in proportion to π_F. Beside the average every
    family keeps its draws, its row-wise log likelihoods, its replicated evidence and the prior
    draws of its own parameters, so that families can be compared (`families.by_family`).
    """
    import xarray as xr

    weights = np.array([f.family.weight for f in fits])
    weights = weights / weights.sum()
    probability, covariance = family_probabilities(
        weights,
        np.array([f.marginal.value for f in fits]),
        np.array([f.marginal.error for f in fits]),
    )
    posterior_stream, prior_stream = stream.spawn(2)
    labels = _labels(probability, settings, posterior_stream)
    prior_labels = _labels(weights, settings, prior_stream) if tables else labels

    def average(arrays: Sequence[Arrays], by: np.ndarray) -> xr.Dataset:
        return _labelled(dataset(model, _pick(arrays, by), rows), fits, by)

    rows = {t.name: (row_dimension(t.name),) for t in tables}
    groups = {"posterior": average([f.posterior for f in fits], labels)}
    groups |= {f"posterior_{f.family.name}": dataset(model, f.posterior) for f in fits}
    groups |= {f"sample_stats_{f.family.name}": dataset(model, f.stats) for f in fits if f.stats}
    if tables:
        groups["prior"] = average([f.posterior for f in priors[: len(fits)]], prior_labels)
    else:
        groups["prior"] = groups["posterior"].copy(deep=False)  # the same draws: kept once
    groups |= {f"prior_{f.family.name}": dataset(model, _own(f)) for f in priors[: len(fits)]}
    if all(f.log_prior for f in fits):
        groups["log_prior"] = average([_log_prior(f) for f in fits], labels)
    if tables:
        groups["log_likelihood"] = average([_told_apart(f) for f in fits], labels)
        groups["posterior_predictive"] = average([f.predictive for f in fits], labels)
        groups["prior_predictive"] = average([f.prior_predictive for f in fits], prior_labels)
        groups["observed_data"] = observed_data(model, tables)
        for f in fits:
            groups[f"log_likelihood_{f.family.name}"] = dataset(model, _single(f), rows)
            groups[f"posterior_predictive_{f.family.name}"] = dataset(model, f.predictive, rows)
    groups["constant_data"] = constant_data(model)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _attributes(model, tables, fits, weights, probability, covariance, settings)
    return tree


def _own(prior: FamilyFit) -> Arrays:
    """Prior draws of the family's own parameters; all else in ``prior`` serves every family."""
    return {n: prior.posterior[n] for n in prior.family.variables()}


def _told_apart(fit: FamilyFit) -> Arrays:
    return {n: told_apart(x) for n, x in fit.log_likelihood.items()}


def _single(fit: FamilyFit) -> Arrays:
    """Row-wise log likelihoods in single precision: leave-one-out needs no more, files half."""
    return {n: x.astype(np.float32) for n, x in fit.log_likelihood.items()}


def _selection(model: Model) -> dict[str, float | None]:
    selection = model.selection
    return {
        "episodes": selection.episodes,
        "cap": selection.cap,
        "max_bits": selection.max_bits,
    }


def _regime(model: Model) -> dict[str, Any]:
    """The regime's numbers, where there is one; its beliefs are among the others."""
    if (regime := model.regime) is None:
        return {}
    numbers = ("budget", "steps_per_rollout", "rollouts", "target_success")
    return {"regime": encode({name: getattr(regime, name) for name in numbers})}


def _of_grammar(model: Model) -> dict[str, Any]:
    """The grammar, and the programs that can be favored at some costs, where there is one."""
    if model.grammar is None:
        return {}
    favorable = [
        {
            "name": s.name,
            "program": expression(model.grammar, s.code),
            "symbol": s.symbol,
            "class": s.class_under(model.base_objective),
            "rule_bits": s.rule_bits,
        }
        for s in can_be_favored(model)
    ]
    return {"grammar": encode(recorded(model)), "frontier": encode(favorable)}


def _of_structures(model: Model) -> dict[str, Any]:
    """All structures, where the results name only some of them."""
    return {} if model.named is None else {"structures": encode(recorded_structures(model))}


def _log_prior(fit: FamilyFit) -> Arrays:
    """Log priors under names that all families share: parameters of the exchange are summed."""
    own = fit.family.variables()
    shared = {n: x for n, x in fit.log_prior.items() if n not in own}
    summed = sum((fit.log_prior[n] for n in own if n in fit.log_prior), np.zeros(()))
    shape = next(iter(fit.log_prior.values())).shape
    return shared | {"exchange": np.broadcast_to(summed, shape).copy()}


def _labels(
    probability: np.ndarray, settings: Settings, stream: np.random.SeedSequence
) -> np.ndarray:
    """Family index of every place, int (chains, draws): systematic counts, shuffled."""
    rng = np.random.Generator(np.random.PCG64(stream))
    cumulative = np.cumsum(probability)[:-1]
    chains = []
    for _ in range(settings.num_chains):
        points = (np.arange(settings.num_samples) + rng.random()) / settings.num_samples
        chains.append(rng.permutation(np.searchsorted(cumulative, points, side="right")))
    return np.stack(chains)


def _pick(arrays: Sequence[Arrays], labels: np.ndarray) -> Arrays:
    """Variables that all families have, each place from its own family."""
    common = [n for n in arrays[0] if all(n in a for a in arrays)]
    picked = {}
    for name in common:
        chosen = arrays[0][name].copy()
        for k, other in enumerate(arrays[1:], start=1):
            chosen[labels == k] = other[name][labels == k]
        picked[name] = chosen
    return picked


def _labelled(data: xr.Dataset, fits: Sequence[FamilyFit], labels: np.ndarray) -> xr.Dataset:
    names = np.array([f.family.name for f in fits])
    return data.assign_coords(family=(("chain", "draw"), names[labels]))


def _attributes(
    model: Model,
    tables: Sequence[EvidenceTable],
    fits: Sequence[FamilyFit],
    weights: np.ndarray,
    probability: np.ndarray,
    covariance: np.ndarray,
    settings: Settings,
) -> dict[str, Any]:
    families: Mapping[str, Any] = {
        f.family.name: {
            "weight": float(weights[k]),
            "probability": float(probability[k]),
            "probability_error": float(np.sqrt(covariance[k, k])),
            "log_marginal_likelihood": f.marginal.value if tables else None,
            "log_marginal_likelihood_error": f.marginal.error if tables else None,
        }
        for k, f in enumerate(fits)
    }
    statements = [
        {"winner": s.winner, "loser": s.loser, "needs": list(s.needs), "text": s.text}
        for s in dominance(model)
    ]
    return {
        "model": model.name,
        "title": model.title,
        "source": model.source,
        "note": model.note,
        "model_text": model.text,
        "model_sha256": model.sha256,
        "base_objective": model.base_objective,
        "seed": settings.seed,
        "num_warmup": settings.num_warmup,
        "num_samples": settings.num_samples,
        "num_chains": settings.num_chains,
        "all_known": int(all_known(model)),
        "families": encode(families),
        "probability_covariance": encode(covariance.tolist()),
        "evidence": encode(
            [
                {"name": t.name, "kind": t.kind, "rows": len(t)}
                for t in (*judgement_tables(model), *tables)
            ]
        ),
        "dominance": encode(statements),
        "never_favored": encode(sorted(never_favored(model))),
        "selection": encode(_selection(model)),
        **_regime(model),
        "engines": encode(asdict(Engines.of(model))),
        "fact_needs": encode([list(x) for x in model.facts.needs]),
        **_of_grammar(model),
        **_of_structures(model),
        "beliefs": encode(describe_beliefs(model)),
        "warnings": encode(result_warnings(model, tables, fits)),
        "job": encode(fit_job(model, tables, settings)),
        "versions": encode(versions()),
    }
