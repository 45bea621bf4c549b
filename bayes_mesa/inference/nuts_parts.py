"""Chains of NUTS on disk: stretches of draws, each with where every chain stood at its end.

A chain's state is everything that NumPyro's kernel carries from one iteration to the next, the key
of its random numbers and what it adapts included. Restored bit for bit, it goes on with the draws
that it would have made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.storage.packed_arrays import pack, unpack

if TYPE_CHECKING:
    from bayes_mesa.inference.family_fit import Arrays
    from bayes_mesa.storage.segments import Segments


class ChainStand:
    """Where one chain stands; advanced by its own thread, looked at by another.

    Attributes
    ----------
    draws
        Stretches of what it gave after the warm-up, name → (iterations, ...), in order.
    """

    def __init__(self, state: Any, done: int = 0, draws: Sequence[Arrays] = ()):
        self.draws = list(draws)
        self._now: tuple[Any, int, int] = (state, done, len(self.draws))

    @property
    def state(self) -> Any:
        """The kernel's state."""
        return self._now[0]

    @property
    def done(self) -> int:
        """Iterations made, warm-up included."""
        return self._now[1]

    def advance(self, state: Any, iterations: int, drawn: Arrays) -> None:
        """Note what a chunk of so many iterations gave."""
        self.draws.append(drawn)
        # One assignment: whoever looks sees state, count and draws of the same moment.
        self._now = (state, self.done + iterations, len(self.draws))

    def look(self) -> tuple[Any, int, int]:
        """State, iterations done and stretches given, all of one moment."""
        return self._now


class NutsParts:
    """The parts ``nuts-FAMILY-NNNNN`` of one fit, numbered in their order."""

    def __init__(self, segments: Segments, family: str):
        self._segments, self._prefix = segments, f"nuts-{family}-"
        self._kept: list[int] = []
        self._count, self._saved = 0, 0

    def remove(self) -> None:
        """Remove all of them."""
        for name in self._names():
            self._segments.remove(name)

    def restore(self, fresh: Sequence[Any]) -> list[ChainStand]:
        """Where the chains stood when the last part was written.

        Parameters
        ----------
        fresh
            The state of every chain at its start: the shape of what is restored, and the state
            itself where there is no part.

        Raises
        ------
        InputError
            If a part holds a state of another kind.
        """
        draws: list[list[Arrays]] = [[] for _ in fresh]
        done, states = [0] * len(fresh), list(fresh)
        names = self._names()
        for number, name in enumerate(names):
            part = self._segments.load(name) if name == self._name(number) else None
            if part is None:
                # What follows a missing stretch is of no use without it.
                for useless in names[number:]:
                    self._segments.remove(useless)
                break
            arrays = unpack(part.to_dataset())
            done, packed = arrays.pop("done").tolist(), arrays.pop("state")
            for of_chain, stretch in zip(draws, _stretches(arrays, len(fresh)), strict=True):
                of_chain.extend(stretch)
            self._count = number + 1
        if self._count:
            states = [_unpacked(*both, self._prefix) for both in zip(packed, fresh, strict=True)]
        self._kept, self._saved = [len(of_chain) for of_chain in draws], sum(done)
        return [ChainStand(*chain) for chain in zip(states, done, draws, strict=True)]

    def save(self, stands: Sequence[ChainStand]) -> None:
        """Keep what the chains gave since the last part, if anything."""
        seen = [stand.look() for stand in stands]
        done = [iterations for _, iterations, _ in seen]
        if sum(done) == self._saved:
            return
        arrays = {
            "done": np.array(done),
            "state": np.stack([_packed(state) for state, _, _ in seen]),
        }
        for chain, (stand, start) in enumerate(zip(stands, self._kept, strict=True)):
            stretch = stand.draws[start : seen[chain][2]]
            for name in stretch[0] if stretch else ():
                arrays[f"{chain}/{name}"] = np.concatenate([x[name] for x in stretch])
        self._segments.save(self._name(self._count), pack(arrays))
        self._count += 1
        self._kept, self._saved = [end for _, _, end in seen], sum(done)

    def _name(self, number: int) -> str:
        return f"{self._prefix}{number:05d}"

    def _names(self) -> list[str]:
        return [name for name in self._segments.names() if name.startswith(self._prefix)]


def _stretches(arrays: Arrays, chains: int) -> Iterator[list[Arrays]]:
    """What a part holds of every chain: one stretch, or none."""
    for chain in range(chains):
        own = f"{chain}/"
        stretch = {n.removeprefix(own): x for n, x in arrays.items() if n.startswith(own)}
        yield [stretch] if stretch else []


def _packed(state: Any) -> np.ndarray:
    import jax

    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    return np.frombuffer(b"".join(leaf.tobytes() for leaf in leaves), dtype=np.uint8)


def _unpacked(packed: np.ndarray, like: Any, prefix: str) -> Any:
    import jax
    import jax.numpy as jnp

    leaves, structure = jax.tree.flatten(like)
    content, start, restored = packed.tobytes(), 0, []
    if len(content) != sum(leaf.nbytes for leaf in leaves):
        raise InputError(
            f"the parts {prefix}* must hold chains of this program's size, but hold "
            f"{len(content)} bytes for a chain: --force, or another folder, starts anew"
        )
    with jax.enable_x64(True):
        for leaf in leaves:
            array = np.frombuffer(content, leaf.dtype, leaf.size, start).reshape(leaf.shape)
            restored.append(jnp.asarray(array, dtype=leaf.dtype))
            start += leaf.nbytes
    return jax.tree.unflatten(structure, restored)
