"""Row-wise log likelihoods, and evidence replicated and checked; compiled once per program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.replicate import SAMPLERS, TAILS
from bayes_mesa.inference.compiled import compiled
from bayes_mesa.inference.inference import Data, Program

Arrays = dict[str, np.ndarray]


def latent_sites(program: Program, data: Data) -> tuple[str, ...]:
    """Names of the sites that NUTS would move."""
    import jax
    from numpyro.handlers import seed, trace

    with jax.enable_x64(True):
        sites = trace(seed(program, 0)).get_trace(data)
    return tuple(n for n, s in sites.items() if s["type"] == "sample" and not s["is_observed"])


def log_likelihood(
    program: Program,
    data: Data,
    values: Mapping[str, np.ndarray],
    shape: tuple[int, int],
    seed: int,
) -> Arrays:
    """Log likelihood of every row, natural log, table name → (chains, draws, rows).

    ``values`` holds latent sites, (chains, draws, ...); those it lacks are drawn from their prior.
    """
    import jax

    with jax.enable_x64(True):
        found = compiled(program, data).log_likelihood(_keys(seed, shape), _flat(values), data)
        return _shaped(found, shape)


def predict(
    program: Program,
    data: Data,
    values: Mapping[str, np.ndarray],
    shape: tuple[int, int],
    seed: int,
) -> Arrays:
    """Replicated evidence, table name → (chains, draws, rows); ``values`` as for the likelihood."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for table, rows in _row_parameters(program, data, values, shape, seed).items():
        for distribution, of in rows.items():
            drawn[table] = SAMPLERS[distribution][1](rng, of)
    return _shaped(drawn, shape)


def tails(
    program: Program,
    data: Data,
    values: Mapping[str, np.ndarray],
    shape: tuple[int, int],
    seed: int,
) -> Arrays:
    """How far out every observed value lies in what the draws predict, table name → (2, rows).

    P(replicate ≤ observed) and P(replicate ≥ observed), means over the draws in ``values``.
    """
    rng = np.random.default_rng(seed)
    tables = {table.name: table for table in program.tables}
    found = {}
    for name, rows in _row_parameters(program, data, values, shape, seed).items():
        columns = {**tables[name].columns, **data[name]}
        observed = KINDS[tables[name].kind].observed(columns)
        for distribution, of in rows.items():
            sides = TAILS[distribution](rng, observed, of)
            found[name] = np.stack([side.mean(axis=0) for side in sides])
    return found


def _row_parameters(
    program: Program,
    data: Data,
    values: Mapping[str, np.ndarray],
    shape: tuple[int, int],
    seed: int,
) -> dict[str, dict[str, Arrays]]:
    import jax

    with jax.enable_x64(True):
        found = compiled(program, data).row_parameters(_keys(seed, shape), _flat(values), data)
        return jax.tree.map(np.asarray, found)


def _keys(seed: int, shape: tuple[int, int]) -> Any:
    import jax

    return jax.random.split(jax.random.PRNGKey(seed), shape[0] * shape[1])


def _flat(values: Mapping[str, np.ndarray]) -> Arrays:
    return {n: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]) for n, x in values.items()}


def _shaped(found: Mapping[str, Any], shape: tuple[int, int]) -> Arrays:
    return {n: np.asarray(x).reshape(*shape, -1) for n, x in found.items()}
