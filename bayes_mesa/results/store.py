"""Result files: a posterior's tree, sealed on disk, and checked to be one when it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_mesa.errors import ResultFileError
from bayes_mesa.model_file import shipped_models
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.storage.atomic_file import shown_path
from bayes_mesa.storage.netcdf_file import open_tree, save_tree

if TYPE_CHECKING:
    import xarray as xr

#: What `bayes-mesa run` writes into its folder, and what it leaves when it is interrupted.
POSTERIOR, PARTIAL = "posterior.nc", "partial.nc"


def names_result(source: str | os.PathLike[str]) -> bool:
    """Whether this is meant for a posterior, not a model: ``….nc``, or the folder of a run."""
    text = os.fspath(source)
    return text.endswith(".nc") or (os.path.isdir(text) and text not in shipped_models())


def save_posterior(tree: xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Write a result tree as netCDF, atomically; the same tree gives the same bytes.

    Parameters
    ----------
    tree
        What `fit` or `sample_programs` returned.
    path
        File to write; an existing regular file is replaced once the new one is safely on disk.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ResultFileError
        If the folder cannot be written or the disk is full; names path and bytes.
    """
    require_result(tree, "tree")
    return save_tree(tree, path)


def open_posterior(path: str | os.PathLike[str]) -> xr.DataTree:
    """Read a result file into memory, after checking that it is whole, unchanged and harmless.

    Parameters
    ----------
    path
        A file written by `save_posterior`, or the folder of a run, whose ``posterior.nc`` is read.

    Returns
    -------
    xarray.DataTree
        Equal to the tree that was saved; nothing stays open.

    Raises
    ------
    ResultFileError
        If the file is missing, cut short, changed, not ours, or holds anything but plain data.
    """
    path = _within(path)
    tree = open_tree(path)
    if "model" not in tree.attrs or not any(_holds_draws(name) for name in tree.children):
        raise ResultFileError(f"{shown_path(path)}: holds no draws of bayes_mesa")
    return tree


def _within(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The file itself, or of a folder the posterior in it."""
    if not os.path.isdir(path):
        return path
    folder = Path(path)
    if (folder / POSTERIOR).exists():
        return folder / POSTERIOR
    rest = f"; {PARTIAL} of an interrupted run is there: name it" * (folder / PARTIAL).exists()
    raise ResultFileError(
        f"{shown_path(path)}: must be a posterior, or a folder that holds {POSTERIOR}, as "
        f"`bayes-mesa run` writes it; found a folder without it{rest}"
    )


def _holds_draws(group: str) -> bool:
    return group.split("_")[0] in ("posterior", "prior", "programs")
