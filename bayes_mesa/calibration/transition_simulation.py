"""One simulation of Geweke's joint distribution test (2004) for the transitions of NUTS.

Theta and y are drawn from prior and likelihood. Then, again and again, NUTS makes one transition of
theta given y, and y is drawn anew given theta. A kernel that leaves the posterior alone leaves the
joint distribution alone, so that what is reached after K rounds is one more draw of it: its rank
among L fresh draws is uniform. No posterior is ever explored, and no chain has to converge; a fault
of kernel, gradient or prior grows from round to round instead.

Step size and mass matrix come from a warm-up on one data set of its own and then stay: a kernel
that still adapts has no distribution that it leaves alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.calibration.fit_simulation import joint_log_likelihood, number, stated, summed
from bayes_mesa.calibration.job import Job, generator, ranked
from bayes_mesa.domain.model import Family
from bayes_mesa.domain.slots import slots
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.replicate import SAMPLERS
from bayes_mesa.inference.compiled import compiled, nuts_kernel
from bayes_mesa.inference.inference import Data, Program
from bayes_mesa.inference.prior_density import log_prior
from bayes_mesa.inference.simulation import simulate_evidence
from bayes_mesa.verdicts.prior_draws import draw_prior

Arrays = dict[str, NDArray[np.float64]]

#: Stream of the warm-up, far from those of simulations, which are counted up from 0.
_PILOT = 1 << 30


def simulate_transitions(job: Job, index: int) -> Any:
    """Ranks of simulation ``index``: of every slot and the log likelihood after all rounds."""
    import jax

    family = job.family(index)
    rank_stream, evidence_stream, walk_stream, fresh_stream = job.streams(index, 4)
    made = simulate_evidence(
        job.model, job.settings["design"], family=family.name, seed=number(evidence_stream)
    )
    program, data = stated(job.model, family, made)
    kernel = _kernel(job, family)
    rng = generator(walk_stream)
    latent = {n: np.asarray(made.truth[n], dtype=float) for n in kernel.sites}
    with jax.enable_x64(True):
        z = compiled(program, data).start(_key(rng), latent, data)
    for _ in range(job.settings["num_rounds"]):
        z, latent = kernel.move(rng, z, data)
        data = _redrawn(program, data, latent, rng)
    reached = {n: x[None] for n, x in latent.items()}
    fresh = _joint_draws(job, kernel, data, generator(fresh_stream))
    likelihood = joint_log_likelihood(program, data, reached, job.num_draws + 1)
    values = {n: np.append(latent[n].ravel()[0], x) for n, x in fresh.slots.items()}
    found = [s for s in slots(job.model, family) if s.name in program.sampled]
    whole = {n: np.concatenate([latent[n][None], x]) for n, x in fresh.whole.items()}
    values["log_likelihood"] = np.append(likelihood, fresh.log_likelihood)
    values["log_prior"] = summed(log_prior(job.model, found, whole), job.num_draws + 1)
    return ranked(values, rank_stream, {})


@dataclass(frozen=True, eq=False)
class _Fresh:
    """L draws from prior and likelihood: slots whole and by their first copy, (L, ...) each."""

    whole: Arrays
    log_likelihood: NDArray[np.float64]

    @property
    def slots(self) -> Arrays:
        return {
            n if x.ndim == 1 else f"{n}[0]": x.reshape(len(x), -1)[:, 0]
            for n, x in self.whole.items()
        }


def _joint_draws(job: Job, kernel: _Kernel, data: Data, rng: np.random.Generator) -> _Fresh:
    """L draws of theta and y; sites that the evidence adds are drawn by the same keys twice."""
    import jax

    program, size = kernel.program, job.num_draws
    found = [s for s in slots(job.model, program.family) if s.name in program.sampled]
    whole = dict(draw_prior(job.model, found, size, rng).values)
    with jax.enable_x64(True):
        keys = jax.random.split(_key(rng), size)
        rows = compiled(program, data).row_parameters(keys, whole, data)
        rows = jax.tree.map(np.asarray, rows)
        every = {t.name: dict(data[t.name]) for t in program.tables}
        for table in program.tables:
            name, outcome = table.name, KINDS[table.kind].outcome
            every[name][outcome] = _outcome(rows[name], data[name][outcome], rng)
        return _Fresh(whole, np.asarray(kernel.log_likelihood(keys, whole, every)))


def _each_own(program: Program, log_likelihood: Callable[..., Any]) -> Callable[..., Any]:
    """Log likelihood of row k of the outcomes at row k of the sites."""
    import jax

    axes = {
        t.name: {n: 0 if n == KINDS[t.kind].outcome else None for n in t.numbers()}
        for t in program.tables
    }

    def one(key: Any, values: Any, data: Any) -> Any:
        found = log_likelihood(key[None], {n: x[None] for n, x in values.items()}, data)
        return sum(x.sum() for x in found.values())

    return jax.jit(jax.vmap(one, in_axes=(0, 0, axes)))


def _outcome(
    rows: Mapping[str, Mapping[str, NDArray]], like: NDArray, rng: np.random.Generator
) -> NDArray:
    """Outcomes of a table's rows, with the leading dimensions of its parameters."""
    ((distribution, of),) = rows.items()
    return np.asarray(SAMPLERS[distribution][1](rng, of)).astype(like.dtype)


def _redrawn(
    program: Program, data: Data, latent: Mapping[str, NDArray], rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """The numbers of the evidence with outcomes drawn anew at ``latent``."""
    import jax

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.PRNGKey(0), 1)
        values = {n: x[None] for n, x in latent.items()}
        rows = compiled(program, data).row_parameters(keys, values, data)
        rows = jax.tree.map(np.asarray, rows)
    found = {}
    for table in program.tables:
        name, outcome = table.name, KINDS[table.kind].outcome
        drawn = _outcome(rows[name], data[name][outcome], rng)[0]
        found[name] = {**data[name], outcome: drawn}
    return found


@dataclass(frozen=True, eq=False)
class _Kernel:
    """One transition of NUTS with what a pilot adapted, compiled with the data as an argument."""

    program: Program
    sites: tuple[str, ...]
    step: Callable[..., Any]
    adapted: Any
    log_likelihood: Callable[..., Any]

    def move(self, rng: np.random.Generator, z: Any, data: Data) -> tuple[Any, Arrays]:
        """One transition from ``z``: the new point, and its sites in their own units."""
        import jax

        with jax.enable_x64(True):
            z, values = self.step(_key(rng), z, self.adapted, data)
            return z, {n: np.asarray(x) for n, x in values.items()}


_KERNELS: WeakKeyDictionary[Any, dict[str, _Kernel]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def _kernel(job: Job, family: Family) -> _Kernel:
    with _LOCK:
        known = _KERNELS.setdefault(job, {})
        if family.name not in known:
            known[family.name] = _adapted(job, family)
        return known[family.name]


def _adapted(job: Job, family: Family) -> _Kernel:
    """The kernel after a warm-up on one simulated data set."""
    import jax

    stream = np.random.SeedSequence(job.seed, spawn_key=(_PILOT,))
    made = simulate_evidence(
        job.model, job.settings["design"], family=family.name, seed=number(stream)
    )
    program, data = stated(job.model, family, made)
    warm, fixed = nuts_kernel(program), nuts_kernel(program)
    steps = job.settings["num_warmup"]

    @jax.jit
    def pilot(key: Any, z: Any) -> Any:
        state = warm.init(key, steps, init_params=z, model_args=(data,), model_kwargs={})
        body = lambda _, s: warm.sample(s, (data,), {})  # noqa: E731
        return jax.lax.fori_loop(0, steps, body, state).adapt_state

    @jax.jit
    def step(key: Any, z: Any, adapted: Any, data: Data) -> Any:
        # The state's energy and gradient are of the new data; no iteration of it is a warm-up.
        state = fixed.init(key, 0, init_params=z, model_args=(data,), model_kwargs={})
        state = fixed.sample(state._replace(adapt_state=adapted), (data,), {})
        return state.z, fixed.get_constrain_fn((data,), {})(state.z)

    with jax.enable_x64(True):
        functions = compiled(program, data)
        values = {n: np.asarray(made.truth[n], dtype=float) for n in program.sampled}
        z = functions.start(jax.random.PRNGKey(0), values, data)
        adapted = pilot(jax.random.PRNGKey(1), z)
    likelihood = _each_own(program, functions.log_likelihood)
    return _Kernel(program, tuple(sorted(z)), step, adapted, likelihood)


def _key(rng: np.random.Generator) -> Any:
    import jax

    return jax.random.PRNGKey(int(rng.integers(2**31)))
