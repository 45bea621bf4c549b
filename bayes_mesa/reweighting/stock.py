"""The draws that are reweighed: by family, both verdicts and the log of each slot that can move."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.errors import InputError
from bayes_mesa.handing_on.slot_draws import slot_draws
from bayes_mesa.results.summary import Results
from bayes_mesa.reweighting.scaled_belief import MOVABLE, ScaledBelief, scaled_belief
from bayes_mesa.text.wording import listed

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FamilyStock:
    """Draws (chains, draws) of one exchange family.

    Attributes
    ----------
    name
        Of the family.
    weight, probability
        Its prior weight w_F, normalised, and π_F.
    favored, mass
        Deceptive favored, 0 or 1; deceptive mass, NaN where nothing fits.
    logs
        Slot → natural log of its value, before heuristics.
    critical_rate, margin
        Steps per bit; bits.
    several
        Share of the draws whose verdict changes more than once along the linear rate.
    """

    name: str
    weight: float
    probability: float
    favored: Draws
    mass: Draws
    logs: Mapping[str, Draws]
    critical_rate: Draws
    margin: Draws
    several: float


@dataclass(frozen=True, eq=False)
class Stock:
    """What a result tree holds that can be reweighed.

    Attributes
    ----------
    families
        In the order of the model file.
    beliefs
        Slot → belief, of every slot whose median can be moved.
    correlated
        Those of them that the copula joins.
    precision
        R⁻¹ − 1 of their correlation matrix R, (K, K).
    covariance
        Of the errors of the families' probabilities.
    evidence
        Whether those come from evidence, and not from prior weights alone.
    never, known
        Whether it is proved that deception is never favored; whether nothing is uncertain.
    """

    families: tuple[FamilyStock, ...]
    beliefs: Mapping[str, ScaledBelief]
    correlated: tuple[str, ...]
    precision: Draws
    covariance: Draws
    evidence: bool
    never: bool
    known: bool

    @classmethod
    def of(cls, tree: xr.DataTree, num_draws: int | None = None) -> Stock:
        """Read a result tree, at most ``num_draws`` draws of each family (see `reweigh`)."""
        if num_draws is not None and num_draws < 1:
            raise InputError(f"num_draws must be at least 1, found {num_draws}")
        results = Results(tree)
        records = json.loads(tree.attrs["beliefs"])
        beliefs = {b.slot: b for b in map(scaled_belief, records) if b is not None}
        correlated = tuple(r["quantity"] for r in records if r.get("correlations"))
        if not all(b in beliefs and beliefs[b].form == "normal" for b in correlated):
            # Only a lognormal's score moves by a constant when its median does.
            beliefs = {n: b for n, b in beliefs.items() if n not in correlated}
            correlated = ()
        families = tuple(_family(results, name, beliefs, num_draws) for name in results.families)
        present = {name for family in families for name in family.logs}
        return cls(
            families,
            {name: b for name, b in beliefs.items() if name in present},
            correlated,
            _precision(correlated, records),
            results.average.covariance,
            "log_likelihood" in tree.children or bool(json.loads(tree.attrs.get("updates", "[]"))),
            results.deception_is_excluded,
            results.known,
        )

    def moved(self, medians: Mapping[str, float]) -> dict[str, float]:
        """Slot → log(m′/m) of the medians asked for; those that stay are left out."""
        found = {}
        for slot, median in medians.items():
            if slot not in self.beliefs:
                raise InputError(
                    f"medians can be moved of {listed(self.beliefs)}; found {slot!r} (it must be "
                    f"uncertain, and its prior one of {', '.join(MOVABLE)}; fit the model again "
                    "for others)"
                )
            if not (isinstance(median, int | float) and 0.0 < median < math.inf):
                raise InputError(
                    f"the median of {slot} must be a finite number above 0, found {median!r}"
                )
            factor = math.log(median / self.beliefs[slot].median)
            if factor != 0.0:
                found[slot] = factor
        return found

    def log_weights(self, family: FamilyStock, moved: Mapping[str, float]) -> Draws:
        """Log p′(θ) − log p(θ) of a family's draws, nats, (chains, draws).

        The sum over the moved slots, and what the Gaussian copula adds: a lognormal's score moves
        by d = log f/σ, so that log c(z − d) − log c(z) = d·Qz − ½ d·Qd with Q = R⁻¹ − 1. The
        constraints' new acceptance, one constant for all families, is left out.
        """
        total = np.zeros(family.favored.shape)
        for slot, factor in moved.items():
            if slot in family.logs:
                total = total + self.beliefs[slot].log_ratio(family.logs[slot], factor)
        shift = np.array([moved.get(n, 0.0) / self.beliefs[n].scale for n in self.correlated])
        if shift.any():
            total = total + np.einsum("k,cdk->cd", shift, self.pulls(family))
            total = total - 0.5 * shift @ self.precision @ shift
        return total

    def pulls(self, family: FamilyStock) -> Draws:
        """Qz of the correlated slots' scores z, (chains, draws, K)."""
        scores = [
            (family.logs[n] - self.beliefs[n].coefficients[0]) / self.beliefs[n].scale
            for n in self.correlated
        ]
        return np.stack(scores, axis=-1) @ self.precision


def _family(
    results: Results, name: str, beliefs: Mapping[str, ScaledBelief], num_draws: int | None
) -> FamilyStock:
    group = results.tree[f"posterior_{name}"].to_dataset()
    places = _spread(group.sizes["chain"], group.sizes["draw"], num_draws)

    def taken(variable: str) -> Draws:
        values = group[variable].transpose("chain", "draw").to_numpy()
        return values[:, places].astype(np.float64)

    draws = slot_draws(results.tree, f"posterior_{name}")
    with np.errstate(divide="ignore"):  # a draw may be too small for a double
        logs = {n: np.log(x[:, places]) for n, x in draws.items() if n in beliefs and x.ndim == 2}
    said = results.weights[name]
    return FamilyStock(
        name=name,
        weight=_number(said["weight"]),
        probability=_number(said["probability"]),
        favored=taken("deceptive_favored"),
        mass=taken("deceptive_mass"),
        logs=logs,
        critical_rate=taken("critical_rate"),
        margin=taken("margin_bits"),
        several=float(np.mean(taken("rate_crossings") > 1)),
    )


def _spread(chains: int, draws: int, num_draws: int | None) -> NDArray[np.int64]:
    """Places of a chain's draws to take: evenly spread, the first one among them."""
    each = draws if num_draws is None else min(draws, max(num_draws // chains, 1))
    return np.arange(each) * draws // each


def _precision(correlated: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Draws:
    if not correlated:
        return np.zeros((0, 0))
    said = {r["quantity"]: r["correlations"] for r in records if r["quantity"] in correlated}
    matrix = np.array([[1.0 if a == b else said[a].get(b, 0.0) for b in said] for a in said])
    return np.linalg.inv(matrix) - np.eye(len(correlated))


def _number(x: float | None) -> float:
    return 0.0 if x is None else float(x)
