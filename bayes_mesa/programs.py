"""Whole programs drawn from the posterior: a structure, and store or derive for every fact."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.costs import Counts
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.exchange import penalty
from bayes_mesa.fact_sums import draw_programs
from bayes_mesa.model import DECEPTIVE, Family, Model
from bayes_mesa.verdict import refuse_what_has_no_exact_route

if TYPE_CHECKING:
    import xarray as xr

METHODS = ("auto", "exact", "tempered")

#: Programs drawn between two looks at the interrupt, where theta does not vary.
_BLOCK = 200_000


@dataclass(frozen=True, eq=False)
class _Chain:
    """One chain's thetas, in the order in which programs are drawn from them."""

    family: np.ndarray
    theta: dict[str, np.ndarray]


def sample_programs(
    model: Model,
    post: xr.DataTree,
    *,
    method: str = "auto",
    seed: int = 0,
    num_draws: int | None = None,
    num_chains: int | None = None,
    threads: int | None = None,
) -> xr.DataTree:
    """Independent exact draws of programs, one per draw of theta.

    Parameters
    ----------
    model
        The model that ``post`` was fitted to.
    post
        A result of `fit`, or one opened from a file.
    method
        ``exact``, or ``auto``, which is exact wherever the model factorises. ``tempered`` is not in
        this version.
    seed
        Same seed, same bytes, whatever ``threads`` is: each chain has its own stream.
    num_draws, num_chains
        Per chain, and chains; by default those of ``post``. A chain goes through the posterior's
        draws in turn, and again from its first one when it needs more.
    threads
        Chains that run at the same time; by default one per processor.

    Returns
    -------
    xarray.DataTree
        ``post`` with the groups ``programs`` — (chain, draw): ``structure`` (code into the
        coordinate ``structure_name``, −1 where nothing fits), ``family``, ``stored`` (fact) bool,
        ``bits``, ``steps``, ``penalty`` (bits), ``deceptive`` — and ``programs_stats``.

    Raises
    ------
    InputError
        Unknown method, counts that are not positive, a posterior of another model.
    RefusedError
        ``tempered``, or a model without an exact route.
    """
    _check(model, post, method)
    refuse_what_has_no_exact_route(model)
    posterior = post["posterior"].to_dataset()
    chains = _count("num_chains", num_chains, posterior.sizes["chain"])
    draws = _count("num_draws", num_draws, posterior.sizes["draw"])
    threads = _count("threads", threads, os.cpu_count() or 1)
    children = np.random.SeedSequence(seed).spawn(chains)

    def draw(chain: int) -> dict[str, np.ndarray]:
        source = _thetas(model, post, chain % posterior.sizes["chain"], draws)
        return _draw_chain(model, source, np.random.PCG64(children[chain]), draws)

    with ThreadPoolExecutor(min(threads, chains)) as pool:
        drawn = list(pool.map(draw, range(chains)))
    arrays = {name: np.stack([d[name] for d in drawn]) for name in drawn[0]}
    return _with_programs(model, post, arrays, seed)


def programs_only(tree: xr.DataTree) -> xr.DataTree:
    """The groups about programs, without the draws of theta, which have a file of their own."""
    import xarray as xr

    kept = ("programs", "programs_stats", "constant_data")
    found = xr.DataTree.from_dict({n: tree[n].to_dataset() for n in kept})
    found.attrs = tree.attrs
    return found


def _count(name: str, given: int | None, otherwise: int) -> int:
    if given is None:
        return otherwise
    if not isinstance(given, int | np.integer) or isinstance(given, bool) or given < 1:
        raise InputError(f"{name} must be a whole number >= 1, found {given!r}")
    return int(given)


def _check(model: Model, post: Any, method: str) -> None:
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, found {method!r}")
    if method == "tempered":
        raise RefusedError(
            "method 'tempered' (MCMC over programs) is not in this version; 'exact' draws are "
            "independent and cover every model that this version can fit"
        )
    if post.attrs.get("model_sha256") != model.sha256:
        raise InputError(
            f"the posterior must be of this model ({model.name}), but it was fitted to another "
            f"model file ({post.attrs.get('model')}); fit again"
        )


def _thetas(model: Model, post: xr.DataTree, chain: int, draws: int) -> _Chain:
    """The first ``draws`` thetas of a chain; family parameters come from the families' groups."""
    posterior = post["posterior"].to_dataset().isel(chain=chain)
    size = posterior.sizes["draw"]
    kept = {str(n): np.asarray(x) for n, x in posterior.data_vars.items()}
    for family in model.families:
        own = post[f"posterior_{family.name}"].to_dataset().isel(chain=chain)
        kept |= {n: np.asarray(own[n]) for n in family.variables()}
    used = min(draws, size)
    return _Chain(
        np.asarray(posterior["family"])[:used].astype(str), {n: x[:used] for n, x in kept.items()}
    )


def _draw_chain(
    model: Model, source: _Chain, bit_generator: np.random.BitGenerator, draws: int
) -> dict[str, np.ndarray]:
    if _constant(source):
        return _draw_fixed(model, source, bit_generator, draws)
    rounds = []
    left = draws
    while left > 0:
        part = _first(source, min(left, len(source.family)))
        rounds.append(_draw_varying(model, part, bit_generator))
        left -= len(part.family)
    return {name: np.concatenate([r[name] for r in rounds]) for name in rounds[0]}


def _constant(source: _Chain) -> bool:
    same = all(bool((x == x[:1]).all()) for x in source.theta.values())
    return same and bool((source.family == source.family[0]).all())


def _first(source: _Chain, count: int) -> _Chain:
    return _Chain(source.family[:count], {n: x[:count] for n, x in source.theta.items()})


def _draw_varying(
    model: Model, source: _Chain, bit_generator: np.random.BitGenerator
) -> dict[str, np.ndarray]:
    """One program per theta, family by family in file order (one stream)."""
    size = len(source.family)
    structure = np.full(size, -1, dtype=np.int64)
    stored = np.zeros((size, len(model.facts)), dtype=bool)
    for family in model.families:
        places = np.flatnonzero(source.family == family.name)
        if places.size:
            theta = {n: x[places] for n, x in source.theta.items()}
            structure[places], stored[places] = draw_programs(
                bit_generator, **_arguments(model, family, theta)
            )
    return _described(model, source, structure, stored)


def _draw_fixed(
    model: Model, source: _Chain, bit_generator: np.random.BitGenerator, draws: int
) -> dict[str, np.ndarray]:
    family = model.family(str(source.family[0]))
    arguments = _arguments(model, family, _first(source, 1).theta)
    parts = []
    for count in _blocks(draws):
        structure, stored = draw_programs(bit_generator, num_draws=count, **arguments)
        tiled = _Chain(
            np.repeat(source.family[:1], count),
            {n: np.broadcast_to(x[:1], (count, *x.shape[1:])) for n, x in source.theta.items()},
        )
        parts.append(_described(model, tiled, structure, stored))
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _blocks(draws: int) -> Iterator[int]:
    for start in range(0, draws, _BLOCK):
        yield min(_BLOCK, draws - start)


def _arguments(model: Model, family: Family, theta: dict[str, np.ndarray]) -> dict[str, Any]:
    size = len(theta["pressure"])
    none = np.zeros((size, 0))
    return {
        "family": family.name,
        "mass": theta["structure_mass"],
        "pressure": theta["pressure"],
        "parameters": {n: theta[f"{family.name}_{n}"] for n in family.parameters},
        "steps": theta["structure_steps"],
        "uses": Counts.of(model).uses,
        "fact_bits": theta.get("fact_bits", none),
        "fact_steps": theta.get("fact_steps", none),
    }


def _described(
    model: Model, source: _Chain, structure: np.ndarray, stored: np.ndarray
) -> dict[str, np.ndarray]:
    """Bits, steps and penalty of each program; NaN where nothing fits."""
    theta = source.theta
    rows = np.arange(len(structure))
    fits = structure >= 0
    chosen = np.where(fits, structure, 0)
    bits = theta["structure_bits"][rows, chosen]
    steps = theta["structure_steps"][rows, chosen]
    if len(model.facts):
        uses = Counts.of(model).uses[chosen]
        bits = bits + np.einsum("nk,nk->n", theta["fact_bits"], stored)
        steps = steps + uses * np.einsum("nk,nk->n", theta["fact_steps"], ~stored)
    deceptive = np.array(model.classes)[chosen] == DECEPTIVE
    return {
        "structure": structure,
        "family": source.family,
        "stored": stored,
        "bits": np.where(fits, bits, np.nan),
        "steps": np.where(fits, steps, np.nan),
        "penalty": np.where(fits, _penalties(model, source, bits, steps), np.nan),
        "deceptive": (deceptive & fits).astype(np.int8),
    }


def _penalties(model: Model, source: _Chain, bits: np.ndarray, steps: np.ndarray) -> np.ndarray:
    found = np.empty(len(bits))
    for family in model.families:
        of = source.family == family.name
        chosen = {n: source.theta[f"{family.name}_{n}"][of] for n in family.parameters}
        found[of] = penalty(family.name, chosen, bits[of], steps[of])
    return found


def _with_programs(
    model: Model, post: xr.DataTree, arrays: dict[str, np.ndarray], seed: int
) -> xr.DataTree:
    import xarray as xr

    names = [s.name for s in model.structures]
    dims = {"stored": ("chain", "draw", "fact")}
    chains, draws = arrays["structure"].shape
    kept = {n: x for n, x in arrays.items() if n != "family" and x.size}
    coords: dict[str, Any] = {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        "structure_name": names,
        "family": (("chain", "draw"), arrays["family"]),
    }
    if len(model.facts):
        coords["fact"] = list(model.facts.names)
    programs = xr.Dataset(
        {n: (dims.get(n, ("chain", "draw")), x) for n, x in kept.items()}, coords=coords
    )
    programs.attrs = {"method": "exact", "seed": seed, "reason": "the model factorises over facts"}
    tree = post.copy()
    tree["programs"] = xr.DataTree(programs)
    tree["programs_stats"] = xr.DataTree(_stats(tree, chains, draws))
    return tree


def _stats(tree: xr.DataTree, chains: int, draws: int) -> xr.Dataset:
    """Bound on the error of any log weight that the draws used, by chain and draw."""
    import xarray as xr

    error = np.asarray(tree["posterior"]["log_weight_error"])
    tiled = np.resize(error.max(axis=1), chains)[:, None].repeat(draws, axis=1)
    return xr.Dataset(
        {"log_weight_error": (("chain", "draw"), tiled)},
        coords={"chain": np.arange(chains), "draw": np.arange(draws)},
    )
