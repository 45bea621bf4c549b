"""NUTS for one family: NumPyro's kernel in chunks, chains in threads, interruptible."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.inference.compiled import Compiled, compiled
from bayes_mesa.inference.inference import Data, Program
from bayes_mesa.inference.interrupts import heed
from bayes_mesa.inference.nuts_parts import ChainStand, NutsParts

Progress = Callable[[str, int, int], None]

#: Seconds between two parts on disk: what a killed run loses at most, and one chunk of each chain.
PERIOD = 5.0
#: Before the name of a site, to tell it from the statistics of a draw.
_SITE = "z "


@dataclass(frozen=True, eq=False)
class NutsDraws:
    """What the chains gave.

    Attributes
    ----------
    values
        Site name → (chains, draws, ...): latent sites in their own units, float64.
    unconstrained
        (chains, draws, d): the same draws where NUTS moves, sites in the order of ``sites``.
    stats
        ArviZ's names → (chains, draws).
    log_density
        Maps (n, d) unconstrained points to (n,) log joint densities with Jacobian.
    """

    values: Mapping[str, np.ndarray]
    unconstrained: np.ndarray
    stats: Mapping[str, np.ndarray]
    log_density: Callable[[np.ndarray], np.ndarray]


class Stopped(Exception):  # noqa: N818 - a signal, not an error
    """The stop flag was raised before the chains were done."""


def run_nuts(
    program: Program,
    data: Data,
    starts: Sequence[Mapping[str, np.ndarray]],
    *,
    num_warmup: int,
    num_samples: int,
    seed: int,
    progress: Progress | None = None,
    parts: NutsParts | None = None,
) -> NutsDraws:
    """Run NUTS on a program.

    Parameters
    ----------
    program, data
        The NumPyro program and the numbers of its evidence. The compiled chunk takes ``data`` as an
        argument: other numbers of the same shapes compile nothing anew.
    starts
        One starting point per chain: values of the slots' sites.
    num_warmup, num_samples, seed
        As usual; each chain has its own key.
    progress
        Called with (stage, iterations done over all chains, iterations in all).
    parts
        Where the chains are kept every `PERIOD` seconds, and from where they go on.

    Raises
    ------
    KeyboardInterrupt
        After every chain has stopped at its next chunk; what they gave is kept in ``parts``.
    """
    import jax

    stop, num_chains = threading.Event(), len(starts)
    with jax.enable_x64(True):
        functions = compiled(program, data)
        # Before any thread starts: initialising binds the kernel.
        keys = jax.random.split(jax.random.PRNGKey(seed), num_chains)
        states = [
            _initial(functions, program, num_warmup, key, start, data)
            for key, start in zip(keys, starts, strict=True)
        ]
    heed()
    stands = parts.restore(states) if parts else [ChainStand(state) for state in states]
    counter = _Counter(
        f"NUTS, {program.family.name}", num_chains * (num_warmup + num_samples), progress
    )
    counter.add(sum(min(stand.done, num_warmup + num_samples) for stand in stands))

    def chain(index: int) -> dict[str, np.ndarray]:
        with jax.enable_x64(True):
            return _run_chain(
                functions, stands[index], data, num_warmup, num_samples, stop, counter
            )

    workers = min(num_chains, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    futures = [pool.submit(chain, c) for c in range(num_chains)]
    try:
        kept = time.monotonic()
        while wait(futures, timeout=0.1).not_done:
            heed()
            counter.report()
            if parts and time.monotonic() - kept >= PERIOD:
                parts.save(stands)
                kept = time.monotonic()
    except BaseException as error:
        stop.set()
        wait(futures)  # a chunk takes a moment, or what is left of its compilation
        if parts and isinstance(error, KeyboardInterrupt):
            parts.save(stands)
        raise
    finally:
        pool.shutdown()
    if parts and not any(f.exception() for f in futures):
        parts.save(stands)
    counter.report()
    return _gather(functions, data, [f.result() for f in futures])


def _initial(
    functions: Compiled,
    program: Program,
    num_warmup: int,
    key: Any,
    start: Mapping[str, np.ndarray],
    data: Data,
) -> Any:
    import jax

    start_key, chain_key = jax.random.split(key)
    z = functions.start(start_key, dict(start), data)
    state = functions.initial(num_warmup, chain_key, z, data)
    if not np.isfinite(state.potential_energy):
        raise InputError(
            f"the {program.family.name} family must give the evidence a positive probability near "
            "the middle of the prior for NUTS to start, but it gives none; check the evidence "
            "against the model's priors"
        )
    return state


def _run_chain(
    functions: Compiled,
    stand: ChainStand,
    data: Data,
    num_warmup: int,
    num_samples: int,
    stop: threading.Event,
    counter: _Counter,
) -> dict[str, Any]:
    total = num_warmup + num_samples
    while stand.done < total:
        if stop.is_set():
            raise Stopped
        state, chunk = functions.advance(num_warmup, stand.state, data)
        # A chunk may begin in the warm-up and end beyond the last draw.
        first, last = max(0, num_warmup - stand.done), total - stand.done
        drawn = {name: np.asarray(x)[first:last] for name, x in _flat(chunk).items()}
        stand.advance(state, functions.chunk, drawn)
        counter.add(min(functions.chunk, last))
    return {n: np.concatenate([x[n] for x in stand.draws]) for n in stand.draws[0]}


def _flat(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """What a chunk gave by name, its sites as ``z SITE``."""
    sites = {f"{_SITE}{name}": x for name, x in chunk["z"].items()}
    return sites | {name: x for name, x in chunk.items() if name != "z"}


def _gather(functions: Compiled, data: Data, chains: list[dict[str, Any]]) -> NutsDraws:
    import jax

    stacked = {name: np.stack([chain[name] for chain in chains]) for name in chains[0]}
    z = {n.removeprefix(_SITE): stacked.pop(n) for n in list(stacked) if n.startswith(_SITE)}
    shape = stacked["lp"].shape
    with jax.enable_x64(True):
        flat = jax.tree.map(lambda x: x.reshape(shape[0] * shape[1], *x.shape[2:]), z)
        values = jax.tree.map(np.asarray, functions.constrain(flat, data))
    widths = {name: int(np.prod(x.shape[1:])) for name, x in flat.items()}
    sites = sorted(flat)

    def log_density(points: np.ndarray) -> np.ndarray:
        parts, start = {}, 0
        for name in sites:
            columns = points[:, start : start + widths[name]]
            parts[name] = columns.reshape(len(points), *flat[name].shape[1:])
            start += widths[name]
        with jax.enable_x64(True):
            return -np.asarray(functions.potential(parts, data))

    unconstrained = np.concatenate([flat[n].reshape(len(flat[n]), -1) for n in sites], axis=1)
    stats = {**stacked, "tree_depth": np.log2(stacked["n_steps"]).astype(np.int64) + 1}
    return NutsDraws(
        {n: x.reshape(*shape, *x.shape[1:]) for n, x in values.items()},
        unconstrained.reshape(*shape, -1),
        stats,
        log_density,
    )


class _Counter:
    """Iterations done, over all chains; reported from the calling thread only."""

    def __init__(self, stage: str, total: int, progress: Progress | None):
        self._stage, self._total, self._progress = stage, total, progress
        self._done, self._lock = 0, threading.Lock()

    def add(self, iterations: int) -> None:
        with self._lock:
            self._done += iterations

    def report(self) -> None:
        if self._progress is not None:
            self._progress(self._stage, self._done, self._total)
