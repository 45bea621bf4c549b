"""Chains of programs under way: whoever drew, any number of programs at a time.

Each chain has a stream of its own, and each family a stream within it. So a chain gives the same
programs whether they are taken at once or in pieces, and whatever the number of threads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.chains.tempered_walk import StopFlag
from bayes_mesa.chains.tempering import in_threads
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.drawing.exact_programs import ExactChain
from bayes_mesa.drawing.grammar_programs import Register
from bayes_mesa.drawing.tempered_programs import TemperedChain
from bayes_mesa.drawing.thetas import Arrays, Thetas
from bayes_mesa.errors import InputError
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.verdicts.engines import EXACT, TEMPERED, Engines
from bayes_mesa.verdicts.program_record import with_programs, with_structures

if TYPE_CHECKING:
    import xarray as xr

METHODS = ("auto", "exact", "tempered")

#: Programs drawn between two looks at the interrupt where theta does not vary; nothing depends on
#: how many.
_BLOCK = 100_000
#: And where it does: few where a theta is dear, as with a grammar, or has many numbers.
_BLOCK_VARYING, _MOST_VARYING, _NUMBERS = 8, 512, 1 << 13


class ChainUnderWay:
    """One chain, that goes on from where it was."""

    def __init__(self, model: Model, thetas: Thetas, drawer: ExactChain | TemperedChain):
        self.model, self.thetas, self.drawer = model, thetas, drawer
        self.drawn = 0
        self.constant = {
            family.name: thetas.at(np.flatnonzero(thetas.family == family.name)[:1])
            for family in model.families
            if thetas.constant
        }

    def take(self, count: int) -> Arrays:
        """The next programs, (count,) each variable, with their ``family``."""
        rows = self.thetas.rows(self.drawn, count)
        names = self.thetas.family[rows]
        self.drawn += count
        found: Arrays = {}
        for family in self.model.families:
            places = np.flatnonzero(names == family.name)
            if not places.size:
                continue
            for part, arrays in self._of_family(family, places, rows):
                for name, x in arrays.items():
                    whole = found.setdefault(name, np.empty((count, *x.shape[1:]), x.dtype))
                    whole[part] = x
        return found | {"family": names}

    def _of_family(self, family: Family, places: np.ndarray, rows: np.ndarray) -> Any:
        size = _BLOCK if self.thetas.constant else self._varying()
        for start in range(0, len(places), size):
            part = places[start : start + size]
            if self.thetas.constant:
                yield part, self.drawer.draw(family, self.constant[family.name], len(part))
            else:
                yield part, self.drawer.draw(family, self.thetas.at(rows[part]), None)

    def _varying(self) -> int:
        if self.model.grammar is not None or isinstance(self.drawer, TemperedChain):
            return _BLOCK_VARYING
        numbers = len(self.model.facts) + len(self.model.structures)
        return max(_BLOCK_VARYING, min(_MOST_VARYING, _NUMBERS // numbers))


@dataclass(frozen=True, eq=False)
class ProgramChains:
    """All chains of one result, which engine draws, and because of which ``method``."""

    model: Model
    chains: Sequence[ChainUnderWay]
    draws: int
    method: str
    engine: str
    reason: str
    seed: int
    threads: int
    flag: StopFlag

    @classmethod
    def of(
        cls,
        model: Model,
        post: xr.DataTree,
        *,
        method: str,
        seed: int,
        num_draws: int | None,
        num_chains: int | None,
        threads: int | None,
    ) -> ProgramChains:
        """Chains at their beginning; arguments as of `sample_programs`, and checked."""
        require_result(post)
        _check(model, post, method)
        chosen = Engines(**json.loads(post.attrs["engines"]))
        engine = chosen.programs if method == "auto" else method
        if engine == EXACT:
            chosen.refuse_what_is_not_exact()
        if model.grammar is not None:
            # The same places as the posterior's, whatever was listed when it was fitted.
            model = with_programs(model, json.loads(post.attrs["grammar"]))
        elif "structures" in post.attrs:
            model = with_structures(model, json.loads(post.attrs["structures"]))
        sizes = post["posterior"].sizes
        chains = _count("num_chains", num_chains, sizes["chain"])
        draws = _count("num_draws", num_draws, sizes["draw"])
        threads = _count("threads", threads, os.cpu_count() or 1)
        flag = StopFlag()
        kind = TemperedChain if engine == TEMPERED else ExactChain
        under_way = [
            ChainUnderWay(
                model,
                Thetas.of(model, post, k % sizes["chain"], draws),
                kind(model, k, stream, flag),
            )
            for k, stream in enumerate(np.random.SeedSequence(seed).spawn(chains))
        ]
        return cls(model, under_way, draws, method, engine, chosen.reason, seed, threads, flag)

    def take(self, count: int) -> list[Arrays]:
        """The next ``count`` programs of every chain."""
        return in_threads(lambda chain: chain.take(count), self.chains, self.threads, self.flag)

    @property
    def tempered(self) -> bool:
        """Whether Markov chains draw."""
        return self.engine == TEMPERED

    def registers(self) -> list[Register]:
        """The programs of a grammar that each chain has met."""
        return [chain.drawer.register for chain in self.chains]


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
