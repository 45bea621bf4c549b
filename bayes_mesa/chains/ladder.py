"""Inverse temperatures of a tempered chain: a first guess, and how warm-up moves them.

Neighbours on a good ladder exchange equally often. With r_k the rejection rate of pair k, Σ r_k is
the barrier between the ends, whatever the ladder is; equal steps of it give equal rates (Syed,
Bouchard-Côté, Deligiannidis and Doucet 2022, section 5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def first_ladder(replicas: int, energies: Floats) -> Floats:
    """1 down to 0; between, a geometric row whose last step feels differences as at s = 0.

    ``energies`` are those met at s = 0, in nats: the smallest s > 0 is the inverse of their spread.
    """
    if replicas == 1:
        return np.ones(1)
    low, high = np.quantile(energies, [0.1, 0.9]) if energies.size else (0.0, 1.0)
    least = 1.0 / max(2.0, float(high - low))
    return np.append(least ** np.linspace(0.0, 1.0, replicas - 1), 0.0)


def adapted_ladder(ladder: Floats, acceptance: Floats) -> Floats:
    """The same ends, and between them equal steps of the barrier.

    Parameters
    ----------
    ladder
        (K,), falling from 1 to 0.
    acceptance
        Mean probability to exchange of every pair of neighbours, (K - 1,).
    """
    rejection = np.maximum(1.0 - acceptance, 1e-3)
    barrier = np.append(0.0, np.cumsum(rejection))
    # Where s spans decades its logarithm is what is cut evenly, near 0 it is s itself.
    least = ladder[-2]
    scaled = np.arcsinh(ladder / least)
    wanted = np.linspace(0.0, barrier[-1], len(ladder))
    moved = np.sinh(np.interp(wanted, barrier, scaled)) * least
    moved[0], moved[-1] = ladder[0], ladder[-1]
    return moved
