"""Draws as one flat table: a row for each draw, a column for each number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.errors import ResultFileError
from bayes_mesa.results.diagnosis import scalars

if TYPE_CHECKING:
    import xarray as xr

_ROWS = 10_000


def csv_chunks(tree: xr.DataTree) -> Iterator[bytes]:
    """The draws of a result tree as CSV, a block of rows at a time.

    Columns are ``chain``, ``draw``, ``family`` and every scalar of the group ``posterior``, or of
    ``programs`` where the tree has drawn programs, e.g. ``bits[get_base_obj]``. Numbers are written
    with all the digits that tell them apart; what is no number as ``nan``, ``inf``, ``-inf``.

    Raises
    ------
    ResultFileError
        If the tree has neither group.
    """
    import pandas as pd

    group = next((g for g in ("programs", "posterior") if g in tree.children), None)
    if group is None:
        raise ResultFileError("there are no draws to export: no group posterior or programs")
    columns = flat_columns(tree[group].to_dataset())
    size = len(columns["chain"])
    for start in range(0, size, _ROWS):
        block = {name: x[start : start + _ROWS] for name, x in columns.items()}
        text = pd.DataFrame(block).to_csv(
            index=False, header=start == 0, na_rep="nan", lineterminator="\n"
        )
        yield text.encode()


def flat_columns(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Columns by name, (chains · draws,) each, chain by chain.

    Parameters
    ----------
    dataset
        With the dimensions ``chain`` and ``draw``; every other dimension is written out, e.g.
        ``bits[get_base_obj]``.
    """
    chains, draws = dataset.sizes["chain"], dataset.sizes["draw"]
    columns = {
        "chain": np.repeat(dataset["chain"].to_numpy(), draws),
        "draw": np.tile(dataset["draw"].to_numpy(), chains),
    }
    if "family" in dataset.coords:
        columns["family"] = dataset["family"].transpose("chain", "draw").to_numpy().ravel()
    for name, variable in dataset.data_vars.items():
        columns |= {label: x.ravel() for label, x in scalars(str(name), variable)}
    return columns
