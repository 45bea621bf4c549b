"""What every simulation of a calibration is given, in a form that reaches other processes once."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.calibration.uniformity import ranks
from bayes_mesa.domain.model import Family, Model

#: Quantity → its value at the truth first, then at L draws, (1 + L,).
Values = Mapping[str, NDArray[np.float64]]

#: The calibration whose truths are of families by weight; and the stream that chooses the family.
AVERAGE, _FAMILY = "average", 9


@dataclass(frozen=True, eq=False)
class Job:
    """One calibration: simulation k depends on this and on k alone.

    Attributes
    ----------
    of
        What is calibrated, as `calibrate` names it.
    model
        The model, judgements of experts in its priors.
    seed
        Simulation k draws from child k of this seed.
    num_draws
        L, at most: posterior draws that a truth is ranked among.
    settings
        What else there is: ``design``, lengths of chains.
    """

    of: str
    model: Model
    seed: int
    num_draws: int
    settings: Mapping[str, Any]

    def family(self, index: int) -> Family:
        """Exchange family of a simulation: each in turn, or drawn by its weight for an average."""
        families = self.model.families
        if self.of != AVERAGE:
            return families[index % len(families)]
        ends = np.cumsum([f.weight for f in families])
        drawn = generator(self.streams(index, _FAMILY + 1)[_FAMILY]).random()
        return families[int(np.searchsorted(ends / ends[-1], drawn, side="right"))]

    def streams(self, index: int, count: int) -> list[np.random.SeedSequence]:
        """Streams of a simulation, the first for its ranks."""
        return np.random.SeedSequence(self.seed, spawn_key=(index,)).spawn(count)

    # A model in a worker must be the same object from one simulation to the next: what is compiled
    # for it is kept by its identity.
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _unpacked, (self._packed,)

    @cached_property
    def _packed(self) -> bytes:
        buffer = io.BytesIO()
        _Pickler(buffer).dump((self.of, self.model, self.seed, self.num_draws, self.settings))
        return buffer.getvalue()


@lru_cache(maxsize=4)
def _unpacked(packed: bytes) -> Job:
    return Job(*pickle.loads(packed))  # what the scheduler hands over is pickled anyway


class _Pickler(pickle.Pickler):
    """Read-only mappings, which Python does not pickle, by way of a dict."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, MappingProxyType):
            return _read_only, (dict(value),)
        return NotImplemented


def _read_only(found: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(found)


def generator(stream: np.random.SeedSequence) -> np.random.Generator:
    """A generator on a stream."""
    return np.random.Generator(np.random.PCG64(stream))


def ranked(values: Values, stream: np.random.SeedSequence, about: Mapping[str, float]) -> Any:
    """What a simulation gives: quantity → (rank, U), the number of draws, and what else is known.

    U, uniform on (0, 1), makes a place of the rank: `uniformity.places`.
    """
    rng = generator(stream)
    found = {n: (ranks(float(x[0]), x[1:], rng), float(rng.random())) for n, x in values.items()}
    draws = len(next(iter(values.values()))) - 1
    return {"ranks": found, "draws": draws, "about": dict(about)}
