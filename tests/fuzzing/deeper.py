"""What a sound model must go through next: ``check``, and a fit of a few draws."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import numpy as np

from fuzzing.trial import Broken

if TYPE_CHECKING:
    import xarray as xr

    from bayes_mesa.domain.model import Model

#: Shares of one whole, that are numbers wherever some program fits.
_SHARES = ("class_mass", "structure_mass", "deceptive_mass")


def gone_through(model: Model, *, evidence: bool = False) -> str:
    """Check and fit a model, without its evidence unless asked: ``fitted`` or ``refused``.

    Raises
    ------
    Broken
        Where anything but an `InputError` comes out, a number that is none, or a warning of ours.
    """
    from bayes_mesa import fit
    from bayes_mesa.errors import InputError
    from bayes_mesa.pages.checkup import checkup

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            json.dumps(checkup(model), allow_nan=False)
            size = {"num_samples": 4, "num_warmup": 4, "num_chains": 1}
            tree = fit(model, None if evidence else {}, **size)
            found = "fitted"
        except InputError as error:
            if not str(error):
                raise Broken("refused without a reason") from error
            return "refused"
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
    for warning in said:
        if issubclass(warning.category, RuntimeWarning):
            raise Broken(f"warned: {warning.message} ({warning.filename}:{warning.lineno})")
    _finite(tree)
    return found


def _finite(tree: xr.DataTree) -> None:
    posterior = tree["posterior"]
    fits = np.asarray(posterior["structure_favored"]).any(axis=-1)
    for name in _SHARES:
        values = np.asarray(posterior[name])
        if not np.isfinite(values[fits]).all():
            raise Broken(f"{name} is no number: {values[fits]}")
        if (values[fits] < 0.0).any() or (values[fits] > 1.0 + 1e-9).any():
            raise Broken(f"{name} is no share: {values[fits]}")
    for name in ("bits", "steps", "structure_bits", "pressure"):
        if name in posterior and np.isnan(posterior[name]).any() and name != "structure_bits":
            raise Broken(f"{name} is no number: {np.asarray(posterior[name])}")
