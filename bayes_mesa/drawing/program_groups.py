"""The groups of a result about programs: what was drawn, what chains counted, how they mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.chains.tempered_moves import MOVES
from bayes_mesa.chains.tempered_walk import OUTCOMES
from bayes_mesa.drawing.program_chains import ProgramChains
from bayes_mesa.drawing.program_diagnosis import COMPARED, diagnose_programs
from bayes_mesa.drawing.structure_programs import place_names
from bayes_mesa.drawing.tempered_programs import Tally, TemperedChain
from bayes_mesa.drawing.thetas import Arrays
from bayes_mesa.inference.datasets import encode

if TYPE_CHECKING:
    import xarray as xr

#: Draws of each chain that R-hat and the effective sample size are computed from, at most.
_DIAGNOSED = 20_000


def programs_group(drawing: ProgramChains, arrays: Arrays, start: int = 0) -> xr.Dataset:
    """Programs (chain, draw, ...) from draw ``start`` on, without attributes."""
    import xarray as xr

    model = drawing.model
    chains, draws = arrays["family"].shape
    dims = {"stored": ("chain", "draw", "fact")}
    coords: dict[str, Any] = {
        "chain": np.arange(chains),
        "draw": np.arange(start, start + draws),
        "structure_name": place_names(model),
        "family": (("chain", "draw"), arrays["family"]),
    }
    if len(model.facts):
        coords["fact"] = list(model.facts.names)
    kept = {n: x for n, x in arrays.items() if n != "family" and x.size}
    return xr.Dataset({n: (dims.get(n, ("chain", "draw")), x) for n, x in kept.items()}, coords)


def errors_group(drawing: ProgramChains, post: xr.DataTree, start: int, draws: int) -> xr.Dataset:
    """Bound on the error of any log weight that exact draws used, by chain and draw."""
    import xarray as xr

    error = np.asarray(post["posterior"]["log_weight_error"])
    chains = len(drawing.chains)
    tiled = np.resize(error.max(axis=1), chains)[:, None].repeat(draws, axis=1)
    return xr.Dataset(
        {"log_weight_error": (("chain", "draw"), tiled)},
        coords={"chain": np.arange(chains), "draw": np.arange(start, start + draws)},
    )


def counts_group(drawing: ProgramChains) -> xr.Dataset | None:
    """Proposals by move and outcome, exchanges of neighbours, and the last ladder, by chain.

    None where no chain is a Markov chain.
    """
    import xarray as xr

    tallies: list[Tally] = [
        c.drawer.tally for c in drawing.chains if isinstance(c.drawer, TemperedChain)
    ]
    if not tallies:
        return None
    variables: dict[str, Any] = {
        "proposals": (("chain", "move", "outcome"), np.stack([t.moves for t in tallies])),
        "swaps_tried": (("chain", "pair"), np.stack([t.tried for t in tallies])),
        "swaps_accepted": (("chain", "pair"), np.stack([t.swapped for t in tallies])),
        "ladder": (("chain", "replica"), np.stack([t.ladder for t in tallies])),
    }
    coords = {"chain": np.arange(len(tallies)), "move": list(MOVES), "outcome": list(OUTCOMES)}
    return xr.Dataset(variables, coords=coords)


class Diagnosed:
    """The draws that are kept to say how well chains mix: every k-th, so that they stay few."""

    def __init__(self, drawing: ProgramChains):
        self.drawing = drawing
        self.every = -(-drawing.draws // _DIAGNOSED)
        self.parts: list[Arrays] = []

    def add(self, arrays: Mapping[str, np.ndarray], start: int = 0) -> None:
        """Draws (chain, draw) from draw ``start`` on."""
        if self.drawing.tempered:
            kept = slice(-start % self.every, None, self.every)
            names = [n for n in (*COMPARED, "structure") if n in arrays]
            self.parts.append({n: arrays[n][:, kept].copy() for n in names})

    def attributes(self) -> dict[str, Any]:
        """Attributes of the group ``programs``: which engine drew and why, and how it mixed."""
        drawing = self.drawing
        reason = drawing.reason if drawing.method == "auto" else "asked for by name"
        found = {"method": drawing.engine, "seed": drawing.seed, "reason": reason}
        if self.parts:
            drawn = {n: np.concatenate([p[n] for p in self.parts], axis=1) for n in self.parts[0]}
            said = diagnose_programs(drawn, place_names(drawing.model))
            found |= {k: encode(x) for k, x in said.items()}
        return found


def by_chain(drawn: Sequence[Arrays]) -> Arrays:
    """Arrays of all chains, (chain, draw, ...)."""
    return {name: np.stack([d[name] for d in drawn]) for name in drawn[0]}
