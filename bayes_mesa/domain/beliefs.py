"""What is believed about one number: a known value, a prior from a closed table, or a pool."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.pool import Z95, Pool

if TYPE_CHECKING:
    import numpyro.distributions as dist
    from scipy.stats._distn_infrastructure import rv_continuous_frozen

Arguments = Mapping[str, float]


@dataclass(frozen=True)
class _Form:
    """One distribution of the table: its arguments, its support, and SciPy's name for it."""

    arguments: tuple[str, ...]
    positive: tuple[str, ...]
    support: Callable[[Arguments], tuple[float, float]]
    scipy: Callable[[Arguments], tuple[str, dict[str, float]]]


def _half_line(_: Arguments) -> tuple[float, float]:
    return 0.0, math.inf


def _between(arguments: Arguments) -> tuple[float, float]:
    return arguments["low"], arguments["high"]


#: NumPyro's names and arguments, and only these: a model file is data, so names are looked up here.
FORMS: Mapping[str, _Form] = MappingProxyType(
    {
        "LogNormal": _Form(
            ("loc", "scale"),
            ("scale",),
            _half_line,
            lambda a: ("lognorm", {"s": a["scale"], "scale": math.exp(a["loc"])}),
        ),
        "Gamma": _Form(
            ("concentration", "rate"),
            ("concentration", "rate"),
            _half_line,
            lambda a: ("gamma", {"a": a["concentration"], "scale": 1.0 / a["rate"]}),
        ),
        "InverseGamma": _Form(
            ("concentration", "rate"),
            ("concentration", "rate"),
            _half_line,
            lambda a: ("invgamma", {"a": a["concentration"], "scale": a["rate"]}),
        ),
        "Exponential": _Form(
            ("rate",), ("rate",), _half_line, lambda a: ("expon", {"scale": 1.0 / a["rate"]})
        ),
        "HalfNormal": _Form(
            ("scale",), ("scale",), _half_line, lambda a: ("halfnorm", {"scale": a["scale"]})
        ),
        "Uniform": _Form(
            ("low", "high"),
            (),
            _between,
            lambda a: ("uniform", {"loc": a["low"], "scale": a["high"] - a["low"]}),
        ),
        "LogUniform": _Form(
            ("low", "high"),
            ("low", "high"),
            _between,
            lambda a: ("loguniform", {"a": a["low"], "b": a["high"]}),
        ),
        "Weibull": _Form(
            ("scale", "concentration"),
            ("scale", "concentration"),
            _half_line,
            lambda a: ("weibull_min", {"c": a["concentration"], "scale": a["scale"]}),
        ),
        "Beta": _Form(
            ("concentration1", "concentration0"),
            ("concentration1", "concentration0"),
            lambda _: (0.0, 1.0),
            lambda a: ("beta", {"a": a["concentration1"], "b": a["concentration0"]}),
        ),
    }
)


@dataclass(frozen=True)
class Known:
    """A number that is not in doubt."""

    value: float

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        return self.value, self.value

    @property
    def median(self) -> float:
        """The value itself."""
        return self.value

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Prior:
    """A named distribution with NumPyro's own arguments.

    Parameters
    ----------
    name
        A key of `FORMS`.
    arguments
        Pairs (argument, value), in the order of the form.
    low
        Left end to which the prior is truncated (and renormalised); ``-inf`` for none.
    """

    name: str
    arguments: tuple[tuple[str, float], ...]
    low: float = -math.inf

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest possible value (either may be infinite)."""
        low, high = FORMS[self.name].support(dict(self.arguments))
        return max(low, self.low), high

    @property
    def median(self) -> float:
        """Median, after truncation."""
        return float(self.quantile(0.5))

    @property
    def share_cut(self) -> float:
        """Prior probability below the truncation point `low`."""
        return float(self._untruncated("cdf", self.low)) if math.isfinite(self.low) else 0.0

    def share_above(self, value: float) -> float:
        """Probability of more than ``value``, before truncation."""
        if self.name == "LogNormal":
            # In closed form, as SciPy takes a second to import.
            arguments = dict(self.arguments)
            z = (math.log(value) - arguments["loc"]) / arguments["scale"]
            return 0.5 * math.erfc(z / math.sqrt(2.0))
        return float(self._untruncated("sf", value))

    def quantile(self, q: Any) -> Any:
        """Quantile function of the truncated prior; ``q`` an array in [0, 1]."""
        cut = self.share_cut
        if cut == 0.0:
            return self._untruncated("ppf", q)
        # Through the survival function: near 1 the upper tail keeps its digits.
        above = self._untruncated("isf", (1.0 - np.asarray(q)) * (1.0 - cut))
        return np.maximum(above, self.low)

    def cdf(self, x: Any) -> Any:
        """Probability of at most ``x``, after truncation."""
        cut = self.share_cut
        below = self._untruncated("cdf", x)
        return below if cut == 0.0 else np.maximum(below - cut, 0.0) / (1.0 - cut)

    def logpdf(self, x: Any) -> Any:
        """Natural log of the density at ``x``, after truncation."""
        cut = self.share_cut
        density = self._untruncated("logpdf", x)
        if cut == 0.0:
            return density
        return np.where(np.asarray(x) < self.low, -np.inf, density - math.log1p(-cut))[()]

    def score(self, x: Any) -> Any:
        """The z with P(at most x) = Φ(z)."""
        from scipy.special import ndtri

        return ndtri(self.cdf(x))

    def at_score(self, z: Any) -> Any:
        """The quantile at Φ(z): the x whose score is ``z``."""
        if self.name == "LogNormal" and self.share_cut == 0.0:
            arguments = dict(self.arguments)
            return np.exp(arguments["loc"] + arguments["scale"] * z)
        from scipy.special import ndtr

        return np.asarray(self.quantile(ndtr(z)))

    def _untruncated(self, method: str, x: Any) -> Any:
        """A method of SciPy's distribution, at ``x``.

        Not of a frozen one: SciPy compiles a template for each, which takes a millisecond, and a
        model file must not make anything compile. Where a power leaves double precision SciPy gives
        the limit, and a warning that says nothing.
        """
        import scipy.stats

        name, arguments = FORMS[self.name].scipy(dict(self.arguments))
        with np.errstate(all="ignore"):
            return getattr(getattr(scipy.stats, name), method)(x, **arguments)

    def scipy(self) -> rv_continuous_frozen:
        """The untruncated distribution, frozen, from `scipy.stats`."""
        return _frozen(self.name, self.arguments)

    def numpyro(self) -> dist.Distribution:
        """The untruncated distribution, from `numpyro.distributions`."""
        import numpyro.distributions

        return getattr(numpyro.distributions, self.name)(**dict(self.arguments))

    def __str__(self) -> str:
        text = f"{self.name}({', '.join(f'{k}={v:g}' for k, v in self.arguments)})"
        return text if math.isinf(self.low) else f"{text} truncated to [{self.low:g}, inf)"


@functools.lru_cache(maxsize=1024)  # scipy takes half a millisecond to freeze one
def _frozen(name: str, arguments: tuple[tuple[str, float], ...]) -> rv_continuous_frozen:
    import scipy.stats

    its_name, its_arguments = FORMS[name].scipy(dict(arguments))
    return getattr(scipy.stats, its_name)(**its_arguments)


#: What is not known: a distribution of the table, or the linear pool of experts' quantiles.
Uncertain = Prior | Pool
Belief = Known | Prior | Pool


def lognormal_from_quantiles(q05: float, q95: float) -> Prior:
    """The lognormal whose 5 % and 95 % quantiles are ``q05`` < ``q95``, both positive."""
    low, high = math.log(q05), math.log(q95)
    return Prior("LogNormal", (("loc", (low + high) / 2), ("scale", (high - low) / (2 * Z95))))
