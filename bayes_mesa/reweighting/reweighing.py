"""Another belief, tried on the draws that are there: medians moved, exchange families weighed anew.

Draws of p(θ | D) ∝ p(θ) L(θ) become draws of p′(θ) L(θ) by the weights w = p′(θ)/p(θ), normalised
to 1: what a new fit would say, at no cost, as long as enough draws carry the weight. How many do is
told by (Σ w)²/Σ w². The page of a report does the same arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.beliefs import Z95
from bayes_mesa.errors import InputError
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.reweighting.stock import FamilyStock, Stock
from bayes_mesa.text.wording import listed
from bayes_mesa.verdicts.estimand import QUANTILES, Estimate, is_constant, mean_and_mcse

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]
#: Fewer effective draws than this support no figure.
LEAST_EFFECTIVE = 100.0


@dataclass(frozen=True)
class ReweighedFamily:
    """One exchange family after reweighing: its probability π′_F, figures and effective draws."""

    probability: float
    deceptive_favored: Estimate
    deceptive_mass: Estimate
    effective_draws: float


@dataclass(frozen=True)
class Reweighed:
    """Both estimands under other beliefs, averaged and by exchange family.

    Attributes
    ----------
    deceptive_favored, deceptive_mass
        Averaged over families, the mass over those draws in which something fits. Errors are of
        the draws' weighted means, by ArviZ, and include those of the families' probabilities.
    by_exchange
        Family → its own figures.
    effective_draws
        Of the average: (Σ W)²/Σ W² over the draws of all families, W = π′_F w/Σ_F w. It counts
        draws: where Markov chains made them, each is worth less.
    medians
        Slot → the median that it was moved to.
    """

    deceptive_favored: Estimate
    deceptive_mass: Estimate
    by_exchange: Mapping[str, ReweighedFamily]
    effective_draws: float
    medians: Mapping[str, float]

    @property
    def reliable(self) -> bool:
        """Whether enough draws carry the average: at least 100 effective ones."""
        return self.effective_draws >= LEAST_EFFECTIVE

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON can hold them."""
        return {
            "deceptive_favored": self.deceptive_favored.as_dict(),
            "deceptive_mass": self.deceptive_mass.as_dict(),
            "effective_draws": self.effective_draws,
            "reliable": self.reliable,
            "medians": dict(self.medians),
            "by_exchange": {
                name: {
                    "probability": f.probability,
                    "deceptive_favored": f.deceptive_favored.as_dict(),
                    "deceptive_mass": f.deceptive_mass.as_dict(),
                    "effective_draws": f.effective_draws,
                }
                for name, f in self.by_exchange.items()
            },
        }


def reweigh(
    post: xr.DataTree,
    medians: Mapping[str, float] | None = None,
    families: Mapping[str, float] | None = None,
    *,
    num_draws: int | None = None,
) -> Reweighed:
    """Both estimands as they would be with other medians and other weights of the families.

    A belief whose median moves from m to m′ is multiplied by f = m′/m, so that its spread on the
    log scale stays: p′(x) = p(x/f)/f (where it is cut off, before the cut, which stays where it
    is). Correlations of costs stay those of the file, and so do constraints: the prior is
    conditioned on them anew. Without evidence the families keep the weights they are given; with
    evidence π′_F ∝ π_F · (w′_F/w_F) · mean_F(w), as their marginal likelihoods change.

    Parameters
    ----------
    post
        What `fit` returned, or `open_posterior` read.
    medians
        Slot (``bits.get_base_obj``, ``linear_rate``, ``pressure``) → new median, in the slot's own
        unit, above 0. A slot that cannot be moved is answered with the names of those that can.
    families
        Family → new prior weight, normalised over families; those not named have none. By default
        the model's own.
    num_draws
        At most so many draws of each family, spread evenly over each chain; all by default. The
        page of a report holds 2000.

    Returns
    -------
    Reweighed
        Exact in the limit of many draws; see ``effective_draws`` and ``reliable``.

    Raises
    ------
    InputError
        For a slot whose median cannot be moved, a median that is not above 0, or weights of
        families that are unknown, negative or all 0.
    """
    require_result(post)
    return reweighed(Stock.of(post, num_draws), medians or {}, families)


def reweighed(
    stock: Stock, medians: Mapping[str, float], families: Mapping[str, float] | None
) -> Reweighed:
    """`reweigh` on draws that are at hand."""
    weights = _chosen(stock, families)
    moved = stock.moved(medians)
    parts = [_Part.of(f, stock.log_weights(f, moved)) for f in stock.families]
    pi = _probabilities(stock, weights, [p.log_mean for p in parts])
    by_exchange = {
        part.family.name: ReweighedFamily(
            float(p),
            _favored(stock, [part], np.ones(1), alone=True),
            _mass(stock, [part], np.ones(1), alone=True),
            part.effective_draws,
        )
        for part, p in zip(parts, pi, strict=True)
    }
    spread = sum(p**2 / part.effective_draws for p, part in zip(pi, parts, strict=True))
    return Reweighed(
        _favored(stock, parts, pi),
        _mass(stock, parts, pi),
        by_exchange,
        float(1.0 / spread),
        dict(medians),
    )


def _chosen(stock: Stock, families: Mapping[str, float] | None) -> Draws:
    """New prior weights in the order of the stock, normalised."""
    names = [f.name for f in stock.families]
    if families is None:
        families = {f.name: f.weight for f in stock.families}
    if unknown := [n for n in families if n not in names]:
        raise InputError(f"families must be among {listed(names)}, found {listed(unknown)}")
    weights = np.array([families.get(n, 0.0) for n in names], dtype=float)
    if not (np.all(np.isfinite(weights)) and np.all(weights >= 0.0) and weights.sum() > 0.0):
        raise InputError(
            "weights of families must be finite, at least 0 and not all 0, found "
            + ", ".join(f"{n} = {w:g}" for n, w in zip(names, weights, strict=True))
        )
    return weights / weights.sum()


def _probabilities(stock: Stock, weights: Draws, log_means: Sequence[float]) -> Draws:
    """π′_F: the weights themselves, or ∝ π_F · (w′_F/w_F) · mean_F(w) with evidence."""
    if not stock.evidence:
        return weights
    before = np.array([f.probability / f.weight for f in stock.families])
    with np.errstate(divide="ignore"):
        log_pi = np.log(before * weights) + np.array(log_means)
    scaled = np.exp(log_pi - log_pi.max())
    return scaled / scaled.sum()


@dataclass(frozen=True, eq=False)
class _Part:
    """One family's draws with their weights, (chains, draws), of mean 1."""

    family: FamilyStock
    weight: Draws
    log_mean: float
    effective_draws: float

    @classmethod
    def of(cls, family: FamilyStock, log_weights: Draws) -> _Part:
        largest = float(log_weights.max())
        weight = np.exp(log_weights - largest)
        mean = float(weight.mean())
        effective = float(weight.sum() ** 2 / np.sum(weight**2))
        return cls(family, weight / mean, largest + math.log(mean), effective)

    def share(self, x: Draws) -> float:
        """Weighted share of the draws in which ``x`` is a number."""
        return float(np.sum(self.weight, where=~np.isnan(x)) / self.weight.sum())

    def mean(self, x: Draws) -> tuple[float, Draws]:
        """Weighted mean, NaN left out, and the influence of every draw on it."""
        there = ~np.isnan(x)
        weight = np.where(there, self.weight, 0.0)
        if not weight.sum() > 0.0:
            return math.nan, np.zeros(x.shape)
        if is_constant(x[there]):
            return float(x[there][0]), np.zeros(x.shape)
        known = np.where(there, x, 0.0)
        mean = float(np.sum(weight * known) / weight.sum())
        return mean, weight * (known - mean) / weight.mean()


def _averaged(
    stock: Stock, parts: Sequence[_Part], pi: Draws, draws: Sequence[Draws], alone: bool
) -> tuple[float, float]:
    """Sum_F ρ_F x_F, and its standard error, with ρ_F ∝ π_F s_F.

    s_F is the weighted share of the family's draws that have an x: 1, but of a mass where nothing
    fits. With evidence π_F moves with mean_F(w), and has an error of its own: of all of these, the
    first-order terms, ∂A/∂log π_F = ∂A/∂log s_F = ρ_F (x_F − A).
    """
    pairs = [p.mean(x) for p, x in zip(parts, draws, strict=True)]
    shares = [p.share(x) for p, x in zip(parts, draws, strict=True)]
    rho = _among(pi, shares)
    if not rho.any():
        return math.nan, math.nan
    # A family without weight may be one in which nothing fits: 0 times NaN.
    mean = float(sum(r * m for r, (m, _) in zip(rho, pairs, strict=True) if r > 0.0))
    errors, slopes = [], []
    for part, x, s, r, (own, influence) in zip(parts, draws, shares, rho, pairs, strict=True):
        if not r > 0.0:
            slopes.append(0.0)
            continue
        if s < 1.0:
            influence = influence + part.weight * (~np.isnan(x) / s - 1.0) * (own - mean)
        moves = stock.evidence and not alone
        if moves:
            influence = influence + (part.weight - 1.0) * (own - mean)
        errors.append(r * mean_and_mcse(influence)[1])
        slopes.append(r * (own - mean) / part.family.probability if moves else 0.0)
    variance = float(np.sum(np.square(errors)))
    if not alone:
        slope = np.array(slopes)
        variance += max(float(slope @ stock.covariance @ slope), 0.0)
    return mean, math.sqrt(variance)


def _among(pi: Draws, shares: Sequence[float]) -> Draws:
    """ρ_F ∝ π_F s_F; all 0 where no family has a draw that counts."""
    if all(s == 1.0 for s in shares):
        return pi
    rho = pi * np.array(shares)
    return rho / rho.sum() if rho.any() else rho


def _favored(stock: Stock, parts: Sequence[_Part], pi: Draws, alone: bool = False) -> Estimate:
    """P(deceptive favored), with an interval as `estimand.probability` has it."""
    draws = [p.family.favored for p in parts]
    mean, mcse = _averaged(stock, parts, pi, draws, alone)
    unseen = [np.zeros(2)]
    for part, p in zip(parts, pi, strict=True):
        if is_constant(part.family.favored) and not (stock.never or stock.known):
            width = -math.expm1(math.log(0.05) / part.effective_draws)
            sides = (width, 0.0) if part.family.favored.flat[0] else (0.0, width)
            unseen.append(p * np.array(sides))
    below, above = np.hypot(Z95 * mcse, np.linalg.norm(unseen, axis=0))
    return Estimate(mean, mcse, max(mean - float(below), 0.0), min(mean + float(above), 1.0))


def _mass(stock: Stock, parts: Sequence[_Part], pi: Draws, alone: bool = False) -> Estimate:
    """The deceptive mass, with an interval that holds 90 % of the weighted draws."""
    draws = [p.family.mass for p in parts]
    mean, mcse = _averaged(stock, parts, pi, draws, alone)
    if math.isnan(mean):
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    counted = [(part, p) for part, p in zip(parts, pi, strict=True) if p > 0.0]
    values, weights = [], []
    for part, p in counted:
        there = ~np.isnan(part.family.mass)
        values.append(part.family.mass[there])
        # The family counts by π_F times the share of its draws that have a mass.
        weights.append(p * part.weight[there] / part.weight.sum())
    lower, upper = np.quantile(
        np.concatenate(values),
        QUANTILES,
        weights=np.concatenate(weights),
        method="inverted_cdf",
    )
    return Estimate(mean, mcse, float(lower), float(upper))
