"""What the figures depend on besides the input: versions of the package and of its libraries."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import version

_NAMES = ("bayes_mesa", "numpyro", "jax", "arviz", "numpy", "scipy", "xarray")


def versions() -> dict[str, str]:
    """Versions of the package and of what the results depend on."""
    return dict(_versions())


@functools.cache  # each look-up parses a file
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, version(name)) for name in _NAMES)


def environment() -> dict[str, str]:
    """The same, and Python's: what has to agree between processes that share one job."""
    return {"python": ".".join(platform.python_version_tuple()[:2]), **versions()}
