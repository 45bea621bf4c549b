"""The peer: NumPyro's DiscreteHMCGibbs, run as its user would, less what is not sampling.

Compilation and the search for a starting point are done once, before the clock; then each run is
one compiled scan per chain, chains in threads as in `bayes_mesa.nuts`, from fresh random keys.
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

        def chain(state: Any) -> Any:
            def step(state: Any, _: None) -> Any:
                state = kernel.sample(state, (), {})
                return state, collect(state.z)

            state, _ = jax.lax.scan(lambda s, _: (kernel.sample(s, (), {}), None), state, None,
                                    length=num_warmup)  # fmt: skip
            return jax.lax.scan(step, state, None, length=num_samples)[1]

        with jax.enable_x64(True):
            keys = jax.random.split(jax.random.PRNGKey(0), num_chains)
            self._starts = [kernel.init(key, num_warmup, None, (), {}) for key in keys]
            self._chain = jax.jit(chain)
        self._workers = min(num_chains, os.cpu_count() or 1)
        self.first_call = timed(lambda: self.run(0))[1]

    def run(self, seed: int) -> Draws:
        """All chains from new keys: figure → (chain, draw)."""
        import jax

        with jax.enable_x64(True):
            keys = jax.random.split(jax.random.PRNGKey(seed + 1), len(self._starts))
            starts = [_with_key(s, k) for s, k in zip(self._starts, keys, strict=True)]

        def one(state: Any) -> Any:
            with jax.enable_x64(True):
                return jax.tree.map(np.asarray, self._chain(state))

        with ThreadPoolExecutor(self._workers) as pool:
            chains = list(pool.map(one, starts))
        return {name: np.stack([c[name] for c in chains]) for name in chains[0]}


def _with_key(state: Any, key: Any) -> Any:
    import jax

    keys = jax.random.split(key, len(state.block_states) + 1)
    blocks = tuple(
        block._replace(rng_key=k) for block, k in zip(state.block_states, keys[1:], strict=True)
    )
    return state._replace(rng_key=keys[0], block_states=blocks)
