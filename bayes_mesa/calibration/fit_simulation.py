"""One simulation of the whole path: a truth from the prior, evidence drawn at it, and its fit.

The fit is NUTS as `fit` runs it: the same program, kernel and compiled functions, evidence as an
argument. One chain, begun at the middle of a few prior draws and never at the truth, and thinned by
its effective sample size to draws that are about independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.calibration.job import Job, Values, generator, ranked
from bayes_mesa.calibration.thinning import least_ess, thinned
from bayes_mesa.domain.model import EvidenceTable, Family, Model
from bayes_mesa.domain.slots import Slot, assemble, slots
from bayes_mesa.errors import InputError
from bayes_mesa.inference.inference import Data, Program, evidence_tables, touched
from bayes_mesa.inference.likelihood import latent_sites, log_likelihood
from bayes_mesa.inference.prior_density import log_prior
from bayes_mesa.inference.simulation import Simulated, simulate_evidence
from bayes_mesa.verdicts.engines import EXACT, LISTED, Engines
from bayes_mesa.verdicts.prior_draws import draw_prior
from bayes_mesa.verdicts.verdict import verdicts

Arrays = dict[str, NDArray[np.float64]]

#: Prior draws from which a chain's starting point is chosen, as many as `fit` takes.
_STARTS = 15
#: A chain of NUTS that keeps too few draws runs again four times as long, at most twice.
LONGER = {"longer": 4, "times": 2}
#: What the verdict of a draw says, where it is cheap.
VERDICT = ("deceptive_mass", "margin_bits")
_CRITICAL = {"linear": "critical_rate", "levin": "critical_kappa"}


def simulate_fit(job: Job, index: int) -> Any:
    """Ranks of simulation ``index``: of every uncertain slot, the log likelihood and prior, ..."""
    family = job.family(index)
    rank_stream, evidence_stream, nuts_stream, prior_stream = job.streams(index, 4)
    made = simulate_evidence(
        job.model, job.settings["design"], family=family.name, seed=number(evidence_stream)
    )
    program, data = stated(job.model, family, made)
    draws, about = _posterior(job, program, data, nuts_stream)
    values = quantities(job, program, data, made, draws, generator(prior_stream))
    return ranked(values, rank_stream, about)


def number(stream: np.random.SeedSequence) -> int:
    """A seed for what takes a number."""
    return int(stream.generate_state(1)[0])


def stated(model: Model, family: Family, made: Simulated) -> tuple[Program, Data]:
    """The NumPyro program of simulated evidence, and its numbers."""
    tables = evidence_tables(model, made.evidence)
    program = Program(model, family, tables, touched(model, family, tables))
    return program, {t.name: t.numbers() for t in tables}


def _posterior(
    job: Job, program: Program, data: Data, stream: np.random.SeedSequence
) -> tuple[Arrays, dict[str, float]]:
    """About independent posterior draws of the latent sites, (L, ...), and how the chain went."""
    if not latent_sites(program, data):
        return {}, {}
    from bayes_mesa.inference.nuts import run_nuts

    start_stream, chain_stream = stream.spawn(2)
    start = _start(program, data, start_stream)
    seed = number(chain_stream)

    about: dict[str, float] = {}

    def run(size: int) -> tuple[Arrays, float]:
        found = run_nuts(
            program,
            data,
            [start],
            num_warmup=job.settings["num_warmup"],
            num_samples=size,
            seed=seed,
        )
        about["divergences"] = float(np.sum(found.stats["diverging"]))
        draws = {n: x[0] for n, x in found.values.items()}
        every = {**draws, "lp": found.stats["lp"][0]}
        stuck = any((np.ptp(x, axis=0) == 0.0).any() for x in every.values())
        return draws, 1.0 if stuck else least_ess(every)

    draws, ess, size = thinned(run, job.settings["num_samples"], job.num_draws, **LONGER)
    return draws, {"iterations": float(size), "ess": ess, **about}


def _start(program: Program, data: Data, stream: np.random.SeedSequence) -> Arrays:
    """The most central of a few prior draws under which the evidence is possible."""
    found = [s for s in slots(program.model, program.family) if s.name in program.sampled]
    if not found:
        return {}
    drawn = draw_prior(program.model, found, _STARTS, generator(stream)).values
    shaped = {n: x[None] for n, x in drawn.items()}
    rows = log_likelihood(program, data, shaped, (1, _STARTS), 0)
    possible = np.isfinite(sum(x.sum(axis=-1) for x in rows.values()))[0]
    if not possible.any():
        possible[:] = True  # NUTS then says what is wrong
    order = [x.argsort(axis=0).argsort(axis=0).reshape(_STARTS, -1) for x in drawn.values()]
    away = sum(((r - (_STARTS - 1) / 2) ** 2).mean(axis=1) for r in order)
    best = int(np.argmin(np.where(possible, away, np.inf)))
    return {n: x[best] for n, x in drawn.items()}


def quantities(
    job: Job,
    program: Program,
    data: Data,
    made: Simulated,
    draws: Arrays,
    rng: np.random.Generator,
) -> Values:
    """Every quantity at the truth and at the draws, (1 + L,) each.

    What the evidence does not reach is drawn from the prior, as `fit` does.
    """
    model, family = program.model, program.family
    found = slots(model, family)
    size = len(next(iter(draws.values()))) if draws else job.num_draws
    untouched = [s for s in found if s.name not in program.sampled]
    drawn = dict(draw_prior(model, untouched, size, rng).values) if untouched else {}
    whole = {n: _joined(made.truth[n], x) for n, x in (drawn | draws).items()}
    values = {n: x for n, x in whole.items() if n in {s.name for s in found}}
    latent, known = {n: whole[n] for n in draws}, {s.name for s in found if not s.uncertain}
    return {
        **columns({n: x for n, x in whole.items() if n not in known}),
        "log_likelihood": joint_log_likelihood(program, data, latent, job.num_draws + 1),
        "log_prior": summed(log_prior(model, found, values), size + 1),
        **said(model, family, values),
    }


def _joined(truth: Any, draws: NDArray) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(truth, dtype=float)[None], draws])


def columns(values: Mapping[str, NDArray]) -> Arrays:
    """Every variable, (draws,); of several copies the first and the mean."""
    told = {}
    for name, x in sorted(values.items()):
        if x.ndim == 1:
            told[name] = x
        else:
            flat = x.reshape(len(x), -1)
            told[f"{name}[0]"], told[f"{name} (mean)"] = flat[:, 0], flat.mean(axis=1)
    return told


def joint_log_likelihood(
    program: Program, data: Data, latent: Mapping[str, NDArray], room: int
) -> NDArray[np.float64]:
    """Log likelihood of all the evidence at rows of latent sites, always ``room`` of them inside.

    One shape, however many draws are left: nothing is compiled again.
    """
    if not latent:
        return np.zeros(room)
    size = len(next(iter(latent.values())))
    rows = np.minimum(np.arange(room), size - 1)
    shaped = {n: x[rows][None] for n, x in latent.items()}
    found = log_likelihood(program, data, shaped, (1, room), 0)
    return np.asarray(sum(x.sum(axis=-1) for x in found.values()))[0][:size]


def summed(densities: Mapping[str, NDArray], size: int) -> NDArray[np.float64]:
    """Sum of log densities, (size,)."""
    return np.sum([np.broadcast_to(x, size) for x in densities.values()], axis=0)


def has_cheap_verdict(model: Model) -> bool:
    """Whether no chain over programs is needed for what the verdict makes of a draw."""
    return Engines.of(model).masses in (EXACT, LISTED)


def said(model: Model, family: Family, values: Mapping[str, NDArray]) -> Arrays:
    """What the verdict makes of every draw, where it is cheap."""
    if not has_cheap_verdict(model):
        return {}
    found = verdicts(model, family, assemble(model, values, family, np))
    names = [*VERDICT, *([_CRITICAL[family.name]] if family.name in _CRITICAL else [])]
    return {n: np.asarray(found[n], dtype=float) for n in names}


def own_design(model: Model) -> dict[str, dict[str, Any]]:
    """The design of the model's own evidence.

    Without evidence: every uncertain cost of a component is measured once, with a noise of sd 1 in
    its logarithm.

    Raises
    ------
    InputError
        If the model has neither evidence nor an uncertain cost.
    """
    return design_of(model.evidence) or _measured(model)


def design_of(tables: Iterable[EvidenceTable]) -> dict[str, dict[str, Any]]:
    """The rows of evidence without their outcomes, as `simulate_evidence` takes them."""
    from bayes_mesa.evidence import KINDS

    found = {}
    for table in tables:
        outcome = KINDS[table.kind].outcome
        if not outcome:
            continue
        columns: dict[str, Any] = {n: x for n, x in table.columns.items() if n != outcome}
        if table.kind == "selection":
            columns["total"] = _total(table.columns)
        found[table.name] = {"kind": table.kind, **columns}
    return found


def _total(columns: Mapping[str, NDArray]) -> int:
    """Networks trained, the most at any number of rollouts."""
    counts = columns["count"]
    k = columns.get("rollouts", np.zeros(len(counts)))
    return max(int(counts[k == each].sum()) for each in np.unique(k))


def _measured(model: Model) -> dict[str, dict[str, Any]]:
    rows = [
        (component.name, axis)
        for axis in ("bits", "steps")
        for component in model.components
        if Slot("", getattr(component, axis)).uncertain
    ]
    if not rows:
        raise InputError(
            "the model must have evidence, or an uncertain cost that can be measured, for its fit "
            "to be calibrated; found neither: give a design, as simulate_evidence takes it"
        )
    names, axes = zip(*rows, strict=True)
    return {
        "measured": {
            "kind": "measurement",
            "component": list(names),
            "quantity": list(axes),
            "log_sd": [1.0] * len(rows),
        }
    }
