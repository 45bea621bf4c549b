"""Whole programs drawn from the posterior: a structure, and store or derive for every fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_mesa.domain.model import Model
from bayes_mesa.drawing.grammar_programs import in_one_order
from bayes_mesa.drawing.program_chains import ProgramChains
from bayes_mesa.drawing.program_groups import (
    Diagnosed,
    by_chain,
    counts_group,
    errors_group,
    programs_group,
)

if TYPE_CHECKING:
    import xarray as xr


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
        and ``warnings``, from at most 20 000 draws of each chain, evenly spread.

    Raises
    ------
    InputError
        Unknown method, counts that are not positive, a posterior of another model.
    RefusedError
        ``exact`` for a model that does not factorise.

    See Also
    --------
    write_programs : the same programs, written to a file of any length.
    """
    import xarray as xr

    drawing = ProgramChains.of(
        model,
        post,
        method=method,
        seed=seed,
        num_draws=num_draws,
        num_chains=num_chains,
        threads=threads,
    )
    arrays = by_chain(drawing.take(drawing.draws))
    names: list[str] = []
    if drawing.model.grammar is not None:
        names, places = in_one_order(drawing.model, drawing.registers())
        for chain, place in enumerate(places):
            arrays["program"][chain] = place[arrays["program"][chain]]
    diagnosed = Diagnosed(drawing)
    diagnosed.add(arrays)
    programs = programs_group(drawing, arrays)
    if names:
        programs = programs.assign_coords(program_name=names)
    programs.attrs = diagnosed.attributes()
    counts = counts_group(drawing)
    tree = post.copy()
    tree["programs"] = xr.DataTree(programs)
    tree["programs_stats"] = xr.DataTree(
        errors_group(drawing, post, 0, drawing.draws) if counts is None else counts
    )
    return tree


def programs_only(tree: xr.DataTree) -> xr.DataTree:
    """The groups about programs, without the draws of theta, which have a file of their own."""
    import xarray as xr

    kept = ("programs", "programs_stats", "constant_data")
    found = xr.DataTree.from_dict({n: tree[n].to_dataset() for n in kept})
    found.attrs = tree.attrs
    return found
