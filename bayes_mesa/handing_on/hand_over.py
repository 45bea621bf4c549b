"""Draws for other libraries, in one call each: pandas and NumPyro. ArviZ takes the tree itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.handing_on.slot_draws import draws_of, slot_draws
from bayes_mesa.results.flat_table import flat_columns
from bayes_mesa.results.result_tree import require_result

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def to_pandas(post: xr.DataTree, group: str = "posterior") -> pd.DataFrame:
    """Draws as one flat table, with the columns of `bayes-mesa export`.

    Parameters
    ----------
    post
        What `fit`, `sample_programs` or `open_posterior` returned.
    group
        Any group with one entry per draw: ``posterior``, ``posterior_linear``, ``prior``,
        ``programs``, ``log_likelihood``, ...

    Returns
    -------
    pandas.DataFrame
        A row per draw, chain by chain; columns ``chain``, ``draw``, ``family`` (where draws of
        several families are averaged) and one for each number, such as ``bits[get_base_obj]``.

    Raises
    ------
    InputError
        If the tree has no such group.
    """
    require_result(post)
    import pandas as pd

    return pd.DataFrame(flat_columns(draws_of(post, group)))


def to_numpyro(post: xr.DataTree, family: str) -> dict[str, np.ndarray]:
    """Posterior draws of one family as NumPyro takes them, by site.

    Parameters
    ----------
    post
        What `fit` or `open_posterior` returned.
    family
        An exchange family of the model.

    Returns
    -------
    dict
        Site → (chains · draws, ...), float64: every latent site of
        ``numpyro_model(model, evidence, family=family)`` with the evidence that was fitted. Pass it
        as ``posterior_samples`` to `numpyro.infer.Predictive` or `numpyro.infer.log_likelihood`,
        under ``jax.enable_x64(True)``. Bits and steps are those before heuristics.

    Raises
    ------
    InputError
        If the tree holds no such family.
    """
    require_result(post)
    families = list(json.loads(post.attrs["families"]))
    if family not in families:
        raise InputError(f"family must be one of {', '.join(families)}, found {family!r}")
    group = f"posterior_{family}"
    draws = slot_draws(post, group) | _added(post, group)
    return {name: x.reshape(-1, *x.shape[2:]) for name, x in draws.items()}


def _added(post: xr.DataTree, group: str) -> dict[str, np.ndarray]:
    """Sites that kinds of evidence add of their own, e.g. the offsets of groups: NAME_..."""
    tables = tuple(f"{t['name']}_" for t in json.loads(post.attrs["evidence"]))
    before = set(post["prior"].data_vars)
    return {
        str(name): x.transpose("chain", "draw", ...).to_numpy()
        for name, x in draws_of(post, group).data_vars.items()
        if str(name).startswith(tables) and name not in before
    }
