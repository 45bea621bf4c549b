"""Fit a model: every exchange family by itself, then the average by marginal likelihood."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.model import EvidenceTable, Family, Model
from bayes_mesa.domain.slots import Slot, assemble, slots
from bayes_mesa.inference.checkpoints import Checkpoint, kept_parts
from bayes_mesa.inference.family_fit import Arrays, FamilyFit, Settings
from bayes_mesa.inference.inference import Data, Program, believed, evidence_tables, touched
from bayes_mesa.inference.interrupts import heed, remembered
from bayes_mesa.inference.likelihood import latent_sites, log_likelihood, predict, tails
from bayes_mesa.inference.marginal_likelihood import (
    LogMarginalLikelihood,
    agreed,
    bridge_sampling,
    prior_mean,
)
from bayes_mesa.inference.prior_density import log_prior
from bayes_mesa.inference.results import result_tree
from bayes_mesa.verdicts.engines import TEMPERED, Engines
from bayes_mesa.verdicts.prior_draws import draw_prior
from bayes_mesa.verdicts.program_list import with_listed
from bayes_mesa.verdicts.verdict import refuse_what_has_no_exact_route, verdicts

if TYPE_CHECKING:
    import xarray as xr

    from bayes_mesa.inference.nuts import NutsDraws
    from bayes_mesa.inference.nuts_parts import NutsParts

Progress = Callable[[str, int, int], None]

#: NumPyro keeps the handlers of the model that it traces in one list per process, so that fits to
#: evidence in several threads would trace one another's sites: they take turns.
_TURNS = threading.Lock()
#: Prior draws from which a chain's starting point is chosen.
_STARTS = 15
#: Prior draws for the second estimate of a marginal likelihood; facts make each one dearer.
_PRIOR_DRAWS, _PRIOR_DRAWS_WITH_FACTS = 100_000, 8_000
#: Key of the streams for Markov chains over programs, far from those that are counted up from 0.
_OVER_PROGRAMS = 1 << 20


class Interrupted(KeyboardInterrupt):
    """The fit was interrupted; ``partial`` holds the families that were done, or is None."""

    def __init__(self, done: Callable[[], xr.DataTree] | None):
        self._done = done
        super().__init__("the fit was not finished")

    @cached_property
    def partial(self) -> xr.DataTree | None:
        """Put together when it is asked for: of many draws that takes seconds."""
        return self._done() if self._done else None


def fit(
    model: Model,
    evidence: Any = None,
    *,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> xr.DataTree:
    """Posterior of a model's costs, exchange and verdict.

    Parameters
    ----------
    model
        From `load_model`.
    evidence
        None: the model's own. ``{}``: none, so that the draws are independent draws of the prior.
        Else a mapping of names to `EvidenceTable` or to ``{"kind": ..., column: values, ...}``, or
        the tables that `load_evidence` gave.
        Judgements of kind ``elicitation`` are priors: the model's own always count.
    num_warmup, num_samples, num_chains
        Per chain; warm-up is only spent where NUTS runs.
    seed
        Without evidence the draws are byte-for-byte reproducible from it, on any number of threads.
        NUTS agrees within its Monte Carlo error.
    progress
        Called as ``progress(stage, done, total)``.
    checkpoint
        A folder for what is finished on the way. A fit that was killed goes on from it when it is
        called again with the same model, evidence and settings, and ends with the draws that it
        would have ended with; remove the folder once the result is saved.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (the average over families), ``posterior_FAMILY``,
        ``sample_stats_FAMILY``, ``prior``, ``log_prior``, ``constant_data`` and, with evidence,
        ``observed_data``, ``log_likelihood``, ``prior_predictive``, ``posterior_predictive``.

    Raises
    ------
    InputError
        Bad settings, evidence that does not fit the model, or constraints that (almost) never hold.
        A checkpoint of another fit, or in use by another process.
    ResultFileError
        A checkpoint that cannot be written; names path and bytes.
    RefusedError
        ``selection`` evidence for a model whose sum over all programs is not known.
    Interrupted
        On Ctrl-C, with what was finished.
    """
    settings = Settings(num_warmup, num_samples, num_chains, seed)
    model, tables = what_is_fitted(model, evidence)
    if any(table.kind == "selection" for table in tables):
        refuse_what_has_no_exact_route(model)
    *streams, average_stream = np.random.SeedSequence(seed).spawn(len(model.families) + 1)
    priors: list[FamilyFit] = []
    fits: list[FamilyFit] = []
    try:
        with remembered(), kept_parts(checkpoint, model, tables, settings) as kept:
            for family, stream in zip(model.families, streams, strict=True):
                prior, found = _fit_family(model, family, tables, settings, stream, progress, kept)
                priors.append(prior)
                fits.append(found)
    except KeyboardInterrupt as signal:
        done = partial(result_tree, model, tables, fits, priors, settings, average_stream)
        raise Interrupted(done if fits else None) from signal
    return result_tree(model, tables, fits, priors, settings, average_stream)


def what_is_fitted(model: Model, evidence: Any) -> tuple[Model, tuple[EvidenceTable, ...]]:
    """The model as `fit` takes it, its judgements as priors and its programs listed, and data."""
    model = with_listed(believed(model, evidence))
    return model, evidence_tables(model, evidence)


def _fit_family(
    model: Model,
    family: Family,
    tables: Sequence[EvidenceTable],
    settings: Settings,
    stream: np.random.SeedSequence,
    progress: Progress | None,
    kept: Checkpoint,
) -> tuple[FamilyFit, FamilyFit]:
    """Prior draws of a family, and its draws given the evidence (the same where there is none)."""
    prior_stream, evidence_stream = stream.spawn(2)
    prior = kept.prior(family, lambda: _fit_prior(model, family, settings, prior_stream, progress))
    heed()
    if not tables:
        prior = replace(prior, values={})  # only NUTS would start there
        return prior, prior
    with _TURNS:
        return prior, kept.fit(
            family,
            lambda: _fit_evidence(
                model, prior, tables, settings, evidence_stream, progress, kept.chains(family)
            ),
        )


def _fit_prior(
    model: Model,
    family: Family,
    settings: Settings,
    stream: np.random.SeedSequence,
    progress: Progress | None,
) -> FamilyFit:
    found = slots(model, family)
    values = _prior_values(model, found, settings, stream)
    posterior = _posterior(model, family, values, _beside(stream))
    if progress is not None:
        progress(f"prior draws, {family.name}", 1, 1)
    return FamilyFit(family, values, posterior, log_prior(model, found, values))


def _fit_evidence(
    model: Model,
    prior: FamilyFit,
    tables: Sequence[EvidenceTable],
    settings: Settings,
    stream: np.random.SeedSequence,
    progress: Progress | None,
    parts: NutsParts | None,
) -> FamilyFit:
    family = prior.family
    program = Program(model, family, tuple(tables), touched(model, family, tables))
    data: Data = {t.name: t.numbers() for t in tables}
    nuts_stream, prior_stream, marginal_stream, predict_stream = stream.spawn(4)
    moved: NutsDraws | None = None
    if latent_sites(program, data):
        starts = _starting_points(prior, program, data, settings)
        moved = _run_nuts(program, data, starts, settings, nuts_stream, progress, parts)
    latent = dict(moved.values) if moved else {}
    found = slots(model, family)
    untouched = [s for s in found if s.name not in program.sampled]
    values = _prior_values(model, untouched, settings, prior_stream)
    values |= {s.name: latent[s.name] for s in found if s.name in latent}
    rows = log_likelihood(program, data, latent, settings.shape, 0)
    # Sites that an evidence kind adds of its own (groups, noise) are stored beside theta.
    added = {n: x for n, x in latent.items() if n not in values}
    seeds = predict_stream.generate_state(2)
    before = {n: prior.values[n] for n in program.sampled}
    return FamilyFit(
        family,
        values,
        _posterior(model, family, values, _beside(stream)) | added,
        log_prior(model, found, values),
        _marginal(program, data, moved, rows, settings, marginal_stream),
        dict(moved.stats) if moved else {},
        rows,
        predict(program, data, latent, settings.shape, int(seeds[0])),
        predict(program, data, before, settings.shape, int(seeds[1])),
        tails(program, data, latent, settings.shape, int(seeds[0])),
    )


def _starting_points(
    prior: FamilyFit, program: Program, data: Data, settings: Settings
) -> list[dict[str, np.ndarray]]:
    """For each chain, the most central of a few of its prior draws: constraints hold there."""
    names = sorted(program.sampled)
    possible = _possible(prior, program, data, settings)
    points = []
    for chain in range(settings.num_chains):
        inside = np.flatnonzero(possible[chain])[:_STARTS]
        few = {n: prior.values[n][chain, inside] for n in names}
        ranks = [x.argsort(axis=0).argsort(axis=0).reshape(len(x), -1) for x in few.values()]
        middle = (len(next(iter(few.values()))) - 1) / 2 if few else 0.0
        away = sum(((r - middle) ** 2).mean(axis=1) for r in ranks)
        points.append({n: x[np.argmin(away)] for n, x in few.items()})
    return points


def _possible(prior: FamilyFit, program: Program, data: Data, settings: Settings) -> np.ndarray:
    """Prior draws to start at, (chains, draws): beyond a cap the evidence may be impossible."""
    limits = (program.model.selection.cap, program.model.selection.max_bits)
    every = np.ones(settings.shape, dtype=bool)
    if limits == (None, None) or not any(t.kind == "selection" for t in program.tables):
        return every
    before = {n: prior.values[n] for n in program.sampled}
    rows = log_likelihood(program, data, before, settings.shape, 0)
    found = np.isfinite(sum(x.sum(axis=-1) for x in rows.values()))
    # A chain without one starts anywhere, and NUTS says that the evidence is impossible there.
    return np.where(found.any(axis=1, keepdims=True), found, every)


def _run_nuts(
    program: Program,
    data: Data,
    starts: list[dict[str, np.ndarray]],
    settings: Settings,
    stream: np.random.SeedSequence,
    progress: Progress | None,
    parts: NutsParts | None,
) -> NutsDraws:
    from bayes_mesa.inference.nuts import run_nuts

    return run_nuts(
        program,
        data,
        starts,
        num_warmup=settings.num_warmup,
        num_samples=settings.num_samples,
        seed=int(stream.generate_state(1)[0]),
        progress=progress,
        parts=parts,
    )


def _marginal(
    program: Program,
    data: Data,
    moved: NutsDraws | None,
    rows: Mapping[str, np.ndarray],
    settings: Settings,
    stream: np.random.SeedSequence,
) -> LogMarginalLikelihood:
    if moved is None:  # nothing uncertain is informed: the likelihood is one number
        return LogMarginalLikelihood(sum(float(x[0, 0].sum()) for x in rows.values()), 0.0)
    bridge_stream, prior_stream = stream.spawn(2)
    rng = np.random.Generator(np.random.PCG64(bridge_stream))
    bridge = bridge_sampling(moved.unconstrained, moved.log_density, rng)
    likelihood, acceptance = _under_prior(program, data, settings, prior_stream)
    # NUTS moves under the prior times 1[constraints hold], which integrates to the acceptance.
    bridge = replace(bridge, value=bridge.value - float(np.log(acceptance)))
    return agreed(bridge, prior_mean(likelihood))


def _under_prior(
    program: Program, data: Data, settings: Settings, stream: np.random.SeedSequence
) -> tuple[np.ndarray, float]:
    """Log likelihood of all the evidence at independent prior draws, (n,), and their acceptance."""
    model, shape = program.model, settings.shape
    size = shape[0] * shape[1]
    sampled = [s for s in slots(model, program.family) if s.name in program.sampled]
    wanted = _PRIOR_DRAWS_WITH_FACTS if len(model.facts) else _PRIOR_DRAWS
    totals, tried = [], 0.0
    # In rounds of the posterior's own shape: the compiled likelihood serves again.
    for child in stream.spawn(max(1, math.ceil(wanted / size))):
        values: Arrays = {}
        if sampled:
            drawn = draw_prior(model, sampled, size, np.random.Generator(np.random.PCG64(child)))
            tried += 1.0 / drawn.acceptance
            values = {n: x.reshape(*shape, *x.shape[1:]) for n, x in drawn.values.items()}
        seed = int(child.generate_state(1)[0])
        found = log_likelihood(program, data, values, shape, seed)
        totals.append(sum(x.sum(axis=-1).ravel() for x in found.values()))
    return np.concatenate(totals), len(totals) / tried if tried else 1.0


def _prior_values(
    model: Model, found: Sequence[Slot], settings: Settings, stream: np.random.SeedSequence
) -> Arrays:
    """Slot values (chains, draws, ...), one stream per chain."""
    if not found:
        return {}
    chains = []
    for child in stream.spawn(settings.num_chains):
        rng = np.random.Generator(np.random.PCG64(child))
        chains.append(draw_prior(model, found, settings.num_samples, rng).values)
    return {name: np.stack([c[name] for c in chains]) for name in chains[0]}


def _beside(stream: np.random.SeedSequence) -> np.random.SeedSequence:
    """A stream of its own for the chains over programs: no other one moves with it."""
    return np.random.SeedSequence(stream.entropy, spawn_key=(*stream.spawn_key, _OVER_PROGRAMS))


def _posterior(
    model: Model,
    family: Family,
    values: Mapping[str, np.ndarray],
    stream: np.random.SeedSequence,
) -> Arrays:
    theta = assemble(model, values, family, np)
    shape = theta["pressure"].shape
    flat = {name: x.reshape(shape[0] * shape[1], *x.shape[2:]) for name, x in theta.items()}
    same = not any(s.uncertain for s in slots(model, family))
    if same and Engines.of(model).masses != TEMPERED:
        # One verdict serves all draws; with Markov chains their spread is the error of the means.
        found = verdicts(model, family, {name: x[:1] for name, x in flat.items()}, stream)
        return theta | {n: np.broadcast_to(x[0], (*shape, *x.shape[1:])) for n, x in found.items()}
    found = verdicts(model, family, flat, stream)
    return theta | {name: x.reshape(*shape, *x.shape[1:]) for name, x in found.items()}
