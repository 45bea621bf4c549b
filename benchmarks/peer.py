"""The peer: NumPyro's DiscreteHMCGibbs, run as its user would, less what is not sampling.

Compilation and the search for a starting point are done once, before the clock; then each run is
one compiled scan per chain, chains in threads as in `bayes_mesa.inference.nuts`, from fresh random
keys.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.timing import timed

Draws = Mapping[str, np.ndarray]


class Peer:
    """A NumPyro kernel with a number of chains, kept warm.

    Parameters
    ----------
    kernel
        For example ``DiscreteHMCGibbs(NUTS(model), modified=True)``.
    collect
        Sites → the figures to keep of each draw.
    num_warmup, num_samples, num_chains
        Per chain, and chains.

    Attributes
    ----------
    first, first_call
        Draws of the first run, and its wall time in seconds with starting points and compilation.
    """

    def __init__(
        self,
        kernel: Any,
        collect: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        *,
        num_warmup: int,
        num_samples: int,
        num_chains: int = 1,
    ):
        import jax

        # One scan for warm-up and draws: the step is compiled once.
        def step(state: Any, _: None) -> Any:
            state = kernel.sample(state, (), {})
            return state, collect(state.z)

        def chain(state: Any) -> Any:
            return jax.lax.scan(step, state, None, length=num_warmup + num_samples)[1]

        def start() -> Any:
            with jax.enable_x64(True):
                return kernel.init(jax.random.PRNGKey(0), num_warmup, None, (), {})

        self._chain = jax.jit(chain)
        self._num_chains, self._workers = num_chains, min(num_chains, os.cpu_count() or 1)
        self._num_warmup = num_warmup
        self._start, found = timed(start)
        self.first, run = timed(lambda: self.run(0))
        self.first_call = found + run

    def run(self, seed: int) -> Draws:
        """All chains from new keys: figure → (chain, draw)."""
        import jax

        with jax.enable_x64(True):
            keys = jax.random.split(jax.random.PRNGKey(seed + 1), self._num_chains)
            starts = [_with_key(self._start, key) for key in keys]

        def one(state: Any) -> Any:
            with jax.enable_x64(True):
                return jax.tree.map(np.asarray, self._chain(state))

        with ThreadPoolExecutor(self._workers) as pool:
            chains = list(pool.map(one, starts))
        kept = slice(self._num_warmup, None)
        return {name: np.stack([c[name][kept] for c in chains]) for name in chains[0]}


def _with_key(state: Any, key: Any) -> Any:
    import jax

    keys = jax.random.split(key, len(state.block_states) + 1)
    blocks = tuple(
        block._replace(rng_key=k) for block, k in zip(state.block_states, keys[1:], strict=True)
    )
    return state._replace(rng_key=keys[0], block_states=blocks)
