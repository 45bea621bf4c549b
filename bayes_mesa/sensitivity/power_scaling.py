"""How far a verdict moves when one prior, or the evidence, is raised to a power near 1.

ArviZ's power-scaling sensitivity (Kallioinen et al. 2024): the distance between the distributions
of a quantity under p(θ)^α for α near 1, per doubling of α. Above 0.05 it is worth a thought.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]
#: Fewer draws have no tails to smooth.
_LEAST_DRAWS = 40
#: Shuffled copies that noise is told from: half-normal, so that twice their root mean square is
#: passed by one idle quantity in twenty.
_SHUFFLES = 8


def prior_sensitivity(y: Draws, log_prior: Draws) -> float | None:
    """Sensitivity of ``y`` to a prior of which only this log density is scaled.

    Parameters
    ----------
    y, log_prior
        (chain, draw); the log density in nats, up to a constant.

    Returns
    -------
    float or None
        None where ``y`` does not vary, a density is 0, or draws are too few; 0 under a uniform
        prior, which no power changes.
    """
    if _says_nothing(y) or not np.all(np.isfinite(log_prior)):
        return None
    if float(np.ptp(log_prior)) == 0.0:
        return 0.0
    return _sensitivity({"y": y}, log_prior, "log_prior")["y"]


def prior_noise(
    y: Draws, log_prior: Draws, *, seed: int = 0, inflation: float = 1.0
) -> float | None:
    """What the sensitivity of an idle ``y`` would stay below, nineteen times in twenty.

    Weights of N draws scatter, so that they move even what has nothing to do with them, by about
    sd(log density)/√N, and more where few draws decide. Measured on ``y`` shuffled;
    ``inflation`` is the number of draws for each independent one. None where `prior_sensitivity`
    is None, 0 where it must be 0.
    """
    if _says_nothing(y) or not np.all(np.isfinite(log_prior)):
        return None
    if float(np.ptp(log_prior)) == 0.0:
        return 0.0
    rng = np.random.default_rng(seed)
    copies = {str(k): rng.permutation(y.ravel()).reshape(y.shape) for k in range(_SHUFFLES)}
    found = np.array(list(_sensitivity(copies, log_prior, "log_prior").values()))
    return float(2.0 * np.sqrt(np.mean(found**2) * inflation))


def likelihood_sensitivities(
    columns: Mapping[str, Draws], log_likelihood: xr.Dataset
) -> dict[str, float | None]:
    """Sensitivity of each column, (chain, draw), to all the evidence together."""
    rows = [
        x.transpose("chain", "draw", ...).to_numpy().reshape(*_shape(x), -1).sum(axis=-1)
        for x in log_likelihood.data_vars.values()
    ]
    total = np.sum(rows, axis=0)
    varying = {n: y for n, y in columns.items() if not _says_nothing(y)}
    found: dict[str, float | None] = dict.fromkeys(columns)
    if varying and not _says_nothing(total):
        found.update(_sensitivity(varying, total, "log_likelihood"))
    return found


def _shape(x: xr.DataArray) -> tuple[int, int]:
    return x.sizes["chain"], x.sizes["draw"]


def _says_nothing(x: Draws) -> bool:
    return x.size < _LEAST_DRAWS or not np.all(np.isfinite(x)) or float(np.ptp(x)) == 0.0


def _sensitivity(columns: Mapping[str, Draws], log_density: Draws, group: str) -> dict[str, float]:
    import xarray as xr
    from arviz_stats import psense

    places = ("chain", "draw")
    coords = {d: np.arange(n) for d, n in zip(places, log_density.shape, strict=True)}
    # Numbered: a belief's name may hold what is no name of a variable.
    posterior = {f"x{k}": (places, np.asarray(y, float)) for k, y in enumerate(columns.values())}
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(posterior, coords=coords),
            group: xr.Dataset({"density": (places, log_density)}, coords=coords),
        }
    )
    found = psense(tree, group=group.removeprefix("log_"))
    return {name: float(found[f"x{k}"]) for k, name in enumerate(columns)}
