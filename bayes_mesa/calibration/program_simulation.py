"""One simulation of a sampler of programs: a program by its exact weight among many that it draws.

Theta is drawn from the prior. The true program comes by a route of its own: from the list of all
programs, or, where there are too many, from the other sampler. Ranked are functions of the program,
computed by one formula for the truth and for the draws, so that equal programs are ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.calibration.every_program import MOST, can_be_listed, costs, drawn_program
from bayes_mesa.calibration.job import Job, Values, generator, ranked
from bayes_mesa.calibration.thinning import least_ess, thinned
from bayes_mesa.chains.tempered_walk import StopFlag
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import assemble, slots
from bayes_mesa.drawing.exact_programs import ExactChain
from bayes_mesa.drawing.grammar_programs import Arrays, Register, described
from bayes_mesa.drawing.tempered_programs import TemperedChain
from bayes_mesa.errors import RefusedError
from bayes_mesa.verdicts.engines import EXACT, TEMPERED, Engines
from bayes_mesa.verdicts.prior_draws import draw_prior
from bayes_mesa.verdicts.verdict import verdicts

#: Rounds of a tempered chain made at first for each draw wanted; one that keeps too few goes on
#: until it is twice as long, at most so often.
_ROUNDS, _TIMES = 4, 4


@dataclass(frozen=True, eq=False)
class Programs:
    """Programs (K,) of one theta: structure, or number in the register, and what they store."""

    place: NDArray[np.int64]
    stored: NDArray[np.bool_]


def simulate_exact(job: Job, index: int) -> Any:
    """Ranks of simulation ``index`` for the sampler of independent exact draws."""
    return _simulate(job, index, _exact_draws, EXACT)


def simulate_tempered(job: Job, index: int) -> Any:
    """Ranks of simulation ``index`` for the tempered chains over programs."""
    return _simulate(job, index, _tempered_draws, TEMPERED)


Draws = Callable[
    [Job, Family, Arrays, np.random.SeedSequence, int, Register], tuple[Programs, dict[str, float]]
]


def _simulate(job: Job, index: int, draw: Draws, engine: str) -> Any:
    family = job.family(index)
    rank_stream, theta_stream, truth_stream, draw_stream = job.streams(index, 4)
    theta = _theta(job.model, family, theta_stream)
    register = Register(job.model)
    truth = _truth(job, family, theta, truth_stream, register, engine)
    draws, about = draw(job, family, theta, draw_stream, job.num_draws, register)
    both = Programs(
        np.append(truth.place, draws.place), np.concatenate([truth.stored, draws.stored])
    )
    return ranked(_quantities(job.model, family, theta, both, register), rank_stream, about)


def _theta(model: Model, family: Family, stream: np.random.SeedSequence) -> Arrays:
    """One draw from the prior, with what the samplers read of a posterior."""
    found = slots(model, family)
    values = draw_prior(model, found, 1, generator(stream)).values
    theta = {n: np.asarray(x, dtype=float) for n, x in assemble(model, values, family, np).items()}
    if model.grammar is not None or Engines.of(model).masses == TEMPERED:
        return theta | (_totals(model, theta) if model.grammar is None else {})
    return theta | verdicts(model, family, theta)


def _totals(model: Model, theta: Arrays) -> Arrays:
    """Bits and steps of the structures, where the masses are not asked for: they would be dear."""
    from bayes_mesa.costing.costs import Counts, totals

    whole = totals(Counts.of(model), theta)
    return {"structure_bits": whole.full_bits, "structure_steps": whole.full_steps}


def _truth(
    job: Job,
    family: Family,
    theta: Arrays,
    stream: np.random.SeedSequence,
    register: Register,
    engine: str,
) -> Programs:
    if can_be_listed(job.model):
        place, stored = drawn_program(job.model, family, theta, generator(stream))
        return Programs(np.array([place]), stored[None])
    if engine == TEMPERED:
        return _exact_draws(job, family, theta, stream, 1, register)[0]
    return _tempered_draws(job, family, theta, stream, 1, register)[0]


def independent_route(model: Model, engine: str) -> str:
    """Where the true programs of a calibration come from, in words.

    Raises
    ------
    RefusedError
        If the exact sampler is asked for, and the model does not factorise; or if there is no other
        route to a program of the model.
    """
    listed = can_be_listed(model)
    engines = Engines.of(model)
    if engine == EXACT:
        engines.refuse_what_is_not_exact()
    elif not listed and engines.programs != EXACT:
        raise RefusedError(
            f"to calibrate {TEMPERED} chains, the model must have another route to a true program: "
            f"at most {MOST:,} programs, or exact draws; found more programs than can be listed, "
            f"and {engines.reason}; a smaller model of the same kind can be calibrated"
        )
    if listed:
        return "drawn from the list of all programs"
    return f"drawn by the {EXACT if engine == TEMPERED else TEMPERED} sampler"


def _exact_draws(
    job: Job,
    family: Family,
    theta: Arrays,
    stream: np.random.SeedSequence,
    count: int,
    register: Register,
) -> tuple[Programs, dict[str, float]]:
    chain = ExactChain(job.model, 0, stream, StopFlag())
    drawn = chain.draw(family, theta, count)
    return _registered(job.model, drawn, chain.register, register), {}


def _tempered_draws(
    job: Job,
    family: Family,
    theta: Arrays,
    stream: np.random.SeedSequence,
    count: int,
    register: Register,
) -> tuple[Programs, dict[str, float]]:
    """Draws of one chain, warmed up at this theta and thinned to about independent ones."""
    chain = TemperedChain(job.model, 0, stream, StopFlag())
    parts: list[Arrays] = []

    def run(size: int) -> tuple[Arrays, float]:
        """The same chain, gone on until it is so long."""
        made = sum(len(p["structure"]) for p in parts)
        parts.append(chain.draw(family, theta, size - made))
        whole = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
        columns = {n: whole[n] for n in ("log_weight", "bits", "steps", "structure")}
        columns["stored"] = whole["stored"].sum(axis=1)
        return whole, least_ess(columns) if count > 1 else math.inf

    few, ess, size = thinned(run, _ROUNDS * count, count, longer=2, times=_TIMES)
    about = {"iterations": float(size), "ess": float(min(ess, size))}
    return _registered(job.model, few, chain.register, register), about


def _registered(model: Model, drawn: Arrays, own: Register, shared: Register) -> Programs:
    """Draws under the numbers of the register that truth and draws share."""
    stored = np.asarray(drawn["stored"], dtype=bool)
    if model.grammar is None:
        return Programs(np.asarray(drawn["structure"], np.int64), stored)
    numbers = np.array([-1], np.int64)
    if own.codes:
        flat = np.array([rule for code in own.codes for rule in code], np.int16)
        lengths = np.array([len(code) for code in own.codes], np.int64)
        numbers = np.append(shared.numbers(flat, lengths), numbers)
    return Programs(numbers[np.asarray(drawn["program"], np.int64)], stored)


def _quantities(
    model: Model, family: Family, theta: Arrays, programs: Programs, register: Register
) -> Values:
    """Bits, steps, log weight, structure and facts stored, (K,); NaN where nothing fits."""
    fits = programs.place >= 0
    key = np.concatenate([programs.place[:, None], programs.stored], axis=1)
    # Each program once: equal ones are then equal to the last digit.
    once, back = np.unique(key[fits], axis=0, return_inverse=True)
    place, stored = once[:, 0].astype(np.int64), once[:, 1:].astype(bool)
    found: dict[str, Any] = {"structure": place, "stored": stored.sum(axis=1)}
    if model.grammar is None and len(once):
        every = costs(model, family, theta, place, stored)
        found |= {"bits": every.bits, "steps": every.steps, "log_weight": every.log_weight}
    elif len(once):
        meant = described(model, family, theta, register, place, stored)
        found |= {n: meant[n] for n in ("structure", "bits", "steps", "log_weight")}
        found["nodes"] = np.array([len(code) for code in register.codes])[place]
    names = ["structure", "bits", "steps", "log_weight"]
    names += ["stored"] if len(model.facts) else []
    names += ["nodes"] if model.grammar is not None else []
    return {n: _placed(found.get(n), back, fits) for n in names}


def _placed(x: Any, back: NDArray[np.int64], fits: NDArray[np.bool_]) -> NDArray[np.float64]:
    whole = np.full(len(fits), np.nan)
    if x is not None and len(x):
        whole[fits] = np.asarray(x, dtype=float)[back.reshape(-1)]
    return whole
