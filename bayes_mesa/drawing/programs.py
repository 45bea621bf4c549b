"""Whole programs drawn from the posterior: a structure, and store or derive for every fact."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.chains.tempered_moves import MOVES
from bayes_mesa.chains.tempered_walk import OUTCOMES, StopFlag
from bayes_mesa.chains.tempering import in_threads
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.drawing.exact_programs import ExactChain
from bayes_mesa.drawing.grammar_programs import Arrays, in_one_order
from bayes_mesa.drawing.program_diagnosis import diagnose_programs
from bayes_mesa.drawing.tempered_programs import Tally, TemperedChain
from bayes_mesa.errors import InputError
from bayes_mesa.inference.datasets import encode
from bayes_mesa.verdicts.engines import EXACT, TEMPERED, Engines
from bayes_mesa.verdicts.program_record import with_programs

if TYPE_CHECKING:
    import xarray as xr

Draw = Callable[[Family, Arrays, int | None], Arrays]

METHODS = ("auto", "exact", "tempered")

#: Programs drawn between two looks at the interrupt, where theta does not vary and where it does.
_BLOCK, _BLOCK_VARYING = 100_000, 8


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
    """Programs, one per draw of theta: independent exact draws, or tempered Markov chains.

    Parameters
    ----------
    model
        The model that ``post`` was fitted to.
    post
        A result of `fit`, or one opened from a file.
    method
        ``exact``, independent draws; ``tempered``, Markov chains over trees and facts, which work
        on every model and are dependent; ``auto``: exact wherever the model factorises. A tempered
        chain goes on from one theta to the next, and makes 20 sweeps over all facts with as many
        structure jumps at each before the draw.
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
        ``bits``, ``steps``, ``penalty`` (bits), ``deceptive``; with a grammar also ``program``
        (code into the coordinate ``program_name``), and there and with ``tempered`` ``log_weight``
        (natural log, with E · loss) — and ``programs_stats``: ``log_weight_error`` of exact draws;
        of tempered ones, at s = 1, ``proposals`` by ``move`` and ``outcome``, and of every ``pair``
        of replicas the ``swaps_tried`` and ``swaps_accepted``, and the ``ladder``. The group's
        attributes say which engine drew and why and, for tempered draws, ``r_hat``, ``ess_bulk``
        and ``warnings``.

    Raises
    ------
    InputError
        Unknown method, counts that are not positive, a posterior of another model.
    RefusedError
        ``exact`` for a model that does not factorise.
    """
    _check(model, post, method)
    chosen = Engines(**json.loads(post.attrs["engines"]))
    engine = chosen.programs if method == "auto" else method
    if engine == EXACT:
        chosen.refuse_what_is_not_exact()
    if model.grammar is not None:
        # The same places as the posterior's, whatever was listed when it was fitted.
        model = with_programs(model, json.loads(post.attrs["grammar"]))
    posterior = post["posterior"].to_dataset()
    chains = _count("num_chains", num_chains, posterior.sizes["chain"])
    draws = _count("num_draws", num_draws, posterior.sizes["draw"])
    threads = _count("threads", threads, os.cpu_count() or 1)
    flag = StopFlag()
    drawers = [
        (TemperedChain if engine == TEMPERED else ExactChain)(model, k, stream, flag)
        for k, stream in enumerate(np.random.SeedSequence(seed).spawn(chains))
    ]

    def draw(chain: int) -> Arrays:
        source = _thetas(model, post, chain % posterior.sizes["chain"], draws)
        return _draw_chain(model, source, drawers[chain].draw, draws)

    drawn = in_threads(draw, range(chains), threads, flag)
    names: list[str] = []
    if model.grammar is not None:
        registers = [d.register for d in drawers]
        names, numbers = in_one_order(model, registers, [d["program"] for d in drawn])
        for found, number in zip(drawn, numbers, strict=True):
            found["program"] = number
    arrays = {name: np.stack([d[name] for d in drawn]) for name in drawn[0]}
    return _with_programs(
        model, post, arrays, names, _Engine(method, engine, chosen.reason, seed, drawers)
    )


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


def _draw_chain(model: Model, source: _Chain, draw: Draw, draws: int) -> Arrays:
    """All draws of one chain, from one stream."""
    if _constant(source):
        return _draw_fixed(model, source, draw, draws)
    rounds = []
    left = draws
    while left > 0:
        part = _first(source, min(left, len(source.family)))
        rounds.append(_draw_varying(model, part, draw))
        left -= len(part.family)
    return _joined(rounds)


def _constant(source: _Chain) -> bool:
    """Whether theta is the same in all draws of a family."""
    parts = [source.family == name for name in np.unique(source.family)]
    return all(_same(x[part]) for part in parts for x in source.theta.values())


def _same(x: np.ndarray) -> bool:
    # What is no number, such as the bits of the rest of a class, may be so in every draw.
    return bool(((x == x[:1]) | ((x != x) & (x[:1] != x[:1]))).all())


def _first(source: _Chain, count: int) -> _Chain:
    return _Chain(source.family[:count], {n: x[:count] for n, x in source.theta.items()})


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _draw_varying(model: Model, source: _Chain, draw: Draw) -> Arrays:
    """One program per theta, family by family in file order (one stream)."""

    def of(family: Family, places: np.ndarray) -> Arrays:
        parts = np.split(places, range(_BLOCK_VARYING, len(places), _BLOCK_VARYING))
        thetas = ({n: x[part] for n, x in source.theta.items()} for part in parts)
        return _joined([draw(family, theta, None) for theta in thetas])

    return _by_family(model, source.family, of)


def _draw_fixed(model: Model, source: _Chain, draw: Draw, draws: int) -> Arrays:
    """All programs of a family, one after another, at its one theta."""

    def of(family: Family, places: np.ndarray) -> Arrays:
        first = int(np.argmax(source.family == family.name))
        theta = {n: x[first : first + 1] for n, x in source.theta.items()}
        sizes = [min(_BLOCK, len(places) - start) for start in range(0, len(places), _BLOCK)]
        return _joined([draw(family, theta, size) for size in sizes])

    return _by_family(model, source.family, of, draws)


def _by_family(
    model: Model,
    names: np.ndarray,
    draw: Callable[[Family, np.ndarray], Arrays],
    draws: int | None = None,
) -> Arrays:
    """Draws of every family, in file order, each at the places that name it, in turn."""
    draws = len(names) if draws is None else draws
    found: Arrays = {}
    for family in model.families:
        places = np.flatnonzero(np.resize(names == family.name, draws))
        if not places.size:
            continue
        for name, x in draw(family, places).items():
            whole = found.setdefault(name, np.empty((draws, *x.shape[1:]), x.dtype))
            whole[places] = x
    return found | {"family": np.resize(names, draws)}


@dataclass(frozen=True, eq=False)
class _Engine:
    """Which engine drew, because of which ``method``, and its chains."""

    method: str
    name: str
    reason: str
    seed: int
    chains: Sequence[ExactChain | TemperedChain]

    def described(self, model: Model, arrays: Arrays) -> dict[str, Any]:
        """Attributes of the group ``programs``."""
        reason = self.reason if self.method == "auto" else "asked for by name"
        found: dict[str, Any] = {"method": self.name, "seed": self.seed, "reason": reason}
        if self.name == TEMPERED:
            names = [c.name for c in model.columns]
            found |= {k: encode(x) for k, x in diagnose_programs(arrays, names).items()}
        return found


def _with_programs(
    model: Model, post: xr.DataTree, arrays: Arrays, program_names: list[str], engine: _Engine
) -> xr.DataTree:
    import xarray as xr

    dims = {"stored": ("chain", "draw", "fact")}
    chains, draws = arrays["structure"].shape
    kept = {n: x for n, x in arrays.items() if n != "family" and x.size}
    coords: dict[str, Any] = {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        "structure_name": [c.name for c in model.columns],
        "family": (("chain", "draw"), arrays["family"]),
    }
    if len(model.facts):
        coords["fact"] = list(model.facts.names)
    if program_names:
        coords["program_name"] = program_names
    programs = xr.Dataset(
        {n: (dims.get(n, ("chain", "draw")), x) for n, x in kept.items()}, coords=coords
    )
    programs.attrs = engine.described(model, arrays)
    tree = post.copy()
    tree["programs"] = xr.DataTree(programs)
    tallies = [c.tally for c in engine.chains if isinstance(c, TemperedChain)]
    tree["programs_stats"] = xr.DataTree(
        _counted(tallies) if tallies else _errors(tree, chains, draws)
    )
    return tree


def _errors(tree: xr.DataTree, chains: int, draws: int) -> xr.Dataset:
    """Bound on the error of any log weight that the draws used, by chain and draw."""
    import xarray as xr

    error = np.asarray(tree["posterior"]["log_weight_error"])
    tiled = np.resize(error.max(axis=1), chains)[:, None].repeat(draws, axis=1)
    return xr.Dataset(
        {"log_weight_error": (("chain", "draw"), tiled)},
        coords={"chain": np.arange(chains), "draw": np.arange(draws)},
    )


def _counted(tallies: Sequence[Tally]) -> xr.Dataset:
    """Proposals by move and outcome, exchanges of neighbours, and the last ladder, by chain."""
    import xarray as xr

    variables: dict[str, Any] = {
        "proposals": (("chain", "move", "outcome"), np.stack([t.moves for t in tallies])),
        "swaps_tried": (("chain", "pair"), np.stack([t.tried for t in tallies])),
        "swaps_accepted": (("chain", "pair"), np.stack([t.swapped for t in tallies])),
        "ladder": (("chain", "replica"), np.stack([t.ladder for t in tallies])),
    }
    coords = {"chain": np.arange(len(tallies)), "move": list(MOVES), "outcome": list(OUTCOMES)}
    return xr.Dataset(variables, coords=coords)
