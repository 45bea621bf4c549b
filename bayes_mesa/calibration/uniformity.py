"""Whether the places of true values among posterior draws are uniform, as they must be.

If theta is drawn from the prior, y given theta, and L draws from the posterior given y, then theta
and the L draws are exchangeable: the rank of any function of theta and y among them is uniform on
0 … L (Cook, Gelman and Rubin 2006; Talts et al. 2018; functions of the data too: Modrák et al.
2023). Ties are broken at random. With U uniform on (0, 1), (rank + U) / (L + 1) is then uniform on
(0, 1) whatever L is: the *place* of the truth.

Three tests look at the places x of a quantity; u = 2x − 1:

=========  ===================================  ==================================================
``shift``  √N · mean of √3 u                    posteriors that lie too high or too low
``width``  √N · mean of √5 (3u² − 1) / 2        posteriors that are too wide or too narrow
``shape``  ArviZ's ``uniformity_test``, pot_c   anything else that bends the distribution function
=========  ===================================  ==================================================

The first two are the leading terms of Neyman's smooth test (1937), standard normal where places
are uniform, and by far the sharpest for an error of the mean or the standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: p-value below which a test by moments says what is wrong, whatever the third one says.
_SURE = 1e-4
#: Tests that share the level of one quantity.
TESTS = ("shift", "width", "shape")


def ranks(truth: float, draws: Floats, rng: np.random.Generator) -> int:
    """Rank of the truth among L draws, 0 … L: how many lie below it, ties broken at random.

    NaN (a mass where nothing fits) counts as one value below all others.
    """
    values = np.where(np.isnan(draws), -np.inf, draws)
    true = -math.inf if math.isnan(truth) else truth
    below, tied = int((values < true).sum()), int((values == true).sum())
    return below + int(rng.integers(tied + 1))


def places(rank: NDArray[np.int64], draws: NDArray[np.int64], uniform: Floats) -> Floats:
    """Places (rank + U) / (L + 1) in (0, 1), of the arguments' shape."""
    return (rank + uniform) / (draws + 1.0)


@dataclass(frozen=True)
class Uniformity:
    """The tests of one quantity.

    Attributes
    ----------
    size
        Simulations.
    shift, width
        Standard normal where places are uniform. ``shift`` > 0: truths lie above the draws;
        ``width`` > 0: truths lie out in the tails, the posterior is too narrow.
    shape
        p-value of ArviZ's test.
    p_value
        Of the quantity: three times the smallest p-value of the three, at most 1.
    """

    size: int
    shift: float
    width: float
    shape: float
    p_value: float

    @classmethod
    def of(cls, x: Floats) -> Uniformity:
        """Of the places (N,) of one quantity."""
        from arviz_stats.base import array_stats
        from scipy.special import ndtr

        u, root = 2.0 * x - 1.0, math.sqrt(len(x))
        shift = root * float(np.mean(math.sqrt(3.0) * u))
        width = root * float(np.mean(math.sqrt(5.0) * (3.0 * u * u - 1.0) / 2.0))
        shape = float(array_stats.uniformity_test(x, method="pot_c")[0])
        smallest = min(2.0 * ndtr(-abs(shift)), 2.0 * ndtr(-abs(width)), shape)
        return cls(len(x), shift, width, shape, float(min(1.0, len(TESTS) * smallest)))

    @property
    def test(self) -> str:
        """The test that found the most; one by moments, which says more, where it is sure."""
        from scipy.special import ndtr

        largest = max(abs(self.shift), abs(self.width))
        if 2.0 * ndtr(-largest) > max(self.shape, _SURE):
            return "shape"
        return "shift" if abs(self.shift) == largest else "width"

    @property
    def bias(self) -> float:
        """How far posteriors lie too high, in posterior sd: exact for normal ones, else a guide."""
        from scipy.special import ndtri

        mean = 0.5 + self.shift / math.sqrt(12.0 * self.size)
        return -math.sqrt(2.0) * float(ndtri(min(max(mean, 1e-9), 1.0 - 1e-9)))

    @property
    def spread(self) -> float:
        """Posterior sd over what it should be: exact for normal ones, else a guide.

        For a posterior N(m, s²) of what is N(m, 1), E u² = (2/π) arcsin(1 / (1 + s²)).
        """
        square = (1.0 + 2.0 * self.width / math.sqrt(5.0 * self.size)) / 3.0
        share = math.sin(math.pi / 2.0 * min(max(square, 1e-9), 1.0 - 1e-9))
        return math.sqrt((1.0 - share) / share)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's p-values (1979): below the level, with all of them looked at, means a fault."""
    order = np.argsort(p_values, kind="stable")
    found, largest = [1.0] * len(p_values), 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[k]))
        found[k] = largest
    return found


@dataclass(frozen=True, eq=False)
class Band:
    """Where the distribution function of N uniform places stays with a probability.

    ``x``, ``lower`` and ``upper`` are (K,); the band is for all x at once.
    """

    x: Floats
    lower: Floats
    upper: Floats


#: Cells of the unit interval at whose ends a distribution function is looked at.
CELLS = 100


@lru_cache(maxsize=32)
def band(size: int, probability: float) -> Band:
    """Simultaneous band of the distribution function (Säilynoja et al. 2022), by ArviZ's functions.

    Parameters
    ----------
    size
        Places, N.
    probability
        That all of the function of uniform places lies within.
    """
    from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands

    x = np.arange(1, CELLS) / CELLS
    # Enough sets of places for twenty of them beyond the band, and a time that nobody notices.
    trials = int(np.clip(20 / (1.0 - probability), 1000, 10_000))
    rng = np.random.default_rng(0)
    pointwise = simulate_confidence_bands(size, 1, x, probability, trials, rng)
    lower, upper = get_pointwise_confidence_band(pointwise, size, x)
    ends = np.array([0.0]), np.array([1.0])
    return Band(*(np.concatenate([ends[0], part, ends[1]]) for part in (x, lower, upper)))


def distribution(x: Floats, at: Floats) -> Floats:
    """Share of the places that are at most ``at``."""
    return np.searchsorted(np.sort(x), at, side="right") / len(x)


def tested(places: Mapping[str, Floats]) -> tuple[dict[str, Uniformity], dict[str, float]]:
    """Every quantity's tests, and its p-value adjusted for all of them."""
    found = {name: Uniformity.of(x) for name, x in places.items()}
    holm = adjusted([u.p_value for u in found.values()])
    return found, dict(zip(found, holm, strict=True))
