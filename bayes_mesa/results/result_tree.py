"""What every function of a result checks first: that it is one, and not the name of its file."""

from __future__ import annotations

import os
from typing import Any

from bayes_mesa.errors import InputError
from bayes_mesa.text.wording import quoted


def require_result(given: Any, name: str = "post") -> None:
    """Refuse what is no tree, under the name of the argument; its groups are not looked at.

    Raises
    ------
    InputError
        Says what was found, and how a result is had from it.
    """
    if isinstance(given, str | os.PathLike):
        found = quoted(os.fspath(given))
        raise InputError(
            f"{name} must be a result tree, as `fit` returns it; found the text {found}: open it "
            f"with open_posterior({found})"
        )
    import xarray as xr

    if not isinstance(given, xr.DataTree):
        raise InputError(
            f"{name} must be a result tree, as `fit` returns it or `open_posterior` reads it; "
            f"found a value of type {type(given).__name__}"
        )
