"""The draws of theta that one chain of programs goes through, in order and again from the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.domain.model import Model

if TYPE_CHECKING:
    import xarray as xr

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Thetas:
    """One chain's draws of theta.

    Attributes
    ----------
    family
        (N,) the exchange family of each.
    values
        The verdict's and the families' variables, N draws first.
    constant
        Whether theta is the same in all draws of a family.
    """

    family: np.ndarray
    values: Arrays
    constant: bool

    @classmethod
    def of(cls, model: Model, post: xr.DataTree, chain: int, draws: int) -> Thetas:
        """The first ``draws`` thetas of a chain, or all it has."""
        posterior = post["posterior"].to_dataset().isel(chain=chain)
        values = {str(n): np.asarray(x) for n, x in posterior.data_vars.items()}
        for family in model.families:
            own = post[f"posterior_{family.name}"].to_dataset().isel(chain=chain)
            values |= {n: np.asarray(own[n]) for n in family.variables()}
        used = slice(min(draws, posterior.sizes["draw"]))
        names = np.asarray(posterior["family"])[used].astype(str)
        values = {n: x[used] for n, x in values.items()}
        parts = [names == name for name in np.unique(names)]
        same = all(_same(x[part]) for part in parts for x in values.values())
        return cls(names, values, same)

    def rows(self, start: int, count: int) -> np.ndarray:
        """Which theta each program is drawn at, int (count,), from program ``start`` on."""
        return np.arange(start, start + count) % len(self.family)

    def at(self, rows: np.ndarray) -> Arrays:
        """Values at some thetas."""
        return {n: x[rows] for n, x in self.values.items()}


def _same(x: np.ndarray) -> bool:
    # What is no number, such as the bits of the rest of a class, may be so in every draw.
    return bool(((x == x[:1]) | ((x != x) & (x[:1] != x[:1]))).all())
