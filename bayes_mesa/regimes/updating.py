"""Evidence that is only a likelihood ratio: a result in which deception is so many times likelier.

Bayes' rule for a proposition and its negation, P′ = LR · P/(LR · P + 1 − P), carried to everything
that hangs together with it: a draw of θ in which the proposition has probability q gets the weight
w = LR · q + 1 − q, and each family π_F′ ∝ π_F · E_F[w].
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES, DECEPTIVE
from bayes_mesa.errors import InputError
from bayes_mesa.inference.family_fit import checked_seed
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.results.summary import Results
from bayes_mesa.verdicts.estimand import Average, Estimate, finite, mean_and_mcse

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]
Proposition = Literal["favored", "program"]
#: Variable that holds the proposition's probability in every draw.
_TRUTH: Mapping[str, str] = {"favored": "deceptive_favored", "program": "deceptive_mass"}
#: Groups whose rows are draws of the posterior; those of a family bear its name behind.
_OF_DRAWS = ("posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive")
#: Groups that say something of draws that may be gone.
_DROPPED = ("programs", "programs_stats")
_LARGEST_RATIO = 1e100
#: Shortest chain that is left, if any draw had to go.
_FEWEST = 20


def updated_probability(probability: float, likelihood_ratio: float) -> float:
    """P′ = LR · P/(LR · P + 1 − P): Bayes' rule for a proposition and its negation."""
    return likelihood_ratio * probability / (likelihood_ratio * probability + 1.0 - probability)


def update(
    post: xr.DataTree,
    *,
    likelihood_ratio: float,
    of: Proposition = "favored",
    seed: int = 0,
) -> xr.DataTree:
    """The result after an observation that is ``likelihood_ratio`` times as likely under deception.

    Each draw is kept with probability w/max w, so that those left are draws of the updated
    distribution, none of them twice; all chains of all families are thinned to the length of the
    shortest. Families move by E_F[w], the error of which goes into that of π_F (delta method).

    Parameters
    ----------
    post
        What `fit` returned, or `open_posterior` read; left as it is.
    likelihood_ratio
        p(observation | proposition)/p(observation | its negation), in (0, ∞).
    of
        The proposition. ``"favored"``: the program of least cost is deceptive (figure A), so w is
        LR or 1. ``"program"``: the program that training ended in is deceptive (figure B), so
        w = LR · q + 1 − q with q the deceptive mass m, or what ``with_path`` makes of it where the
        model has a path; the masses of a draw, and its path, then are those of that one program,
        given the observation: m′ = LR · m/(LR · m + 1 − m). What is judged anew from the draws
        (`sample_programs`, curves) is of another run of training. Where nothing fits, the
        proposition is false.
    seed
        Of the choice of draws.

    Returns
    -------
    xarray.DataTree
        Of the same schema. The attribute ``updates`` lists every update as JSON: the ratio, the
        proposition, its probability before and after in closed form with their errors, and the
        share of draws kept. Groups of programs are left out, prior and data unchanged.

    Raises
    ------
    InputError
        If the ratio is not above 0 and finite, the proposition is unknown, or fewer than 20 draws
        are left in a chain.
    """
    require_result(post)
    likelihood_ratio = _checked_ratio(likelihood_ratio)
    if not isinstance(of, str) or of not in _TRUTH:
        raise InputError(f"of must be 'favored' or 'program', found {of!r}")
    seed = checked_seed(seed)
    import xarray as xr

    results = Results(post)
    earlier = json.loads(post.attrs.get("updates", "[]"))
    # Uniforms of an earlier update must not decide again.
    stream = np.random.SeedSequence([seed, len(earlier)])
    weighed = _Weighed.of(results, likelihood_ratio, of)
    names = ["", *(f"_{f}" for f in results.families)]
    accepted = {
        name: _accepted(w, child)
        for name, w, child in zip(
            names, [weighed.average, *weighed.families], stream.spawn(len(names)), strict=True
        )
    }
    length = _common_length(accepted.values())
    groups = {
        name: group.to_dataset() for name, group in post.children.items() if name not in _DROPPED
    }
    for suffix, kept in accepted.items():
        for name in [f"{kind}{suffix}" for kind in _OF_DRAWS if f"{kind}{suffix}" in groups]:
            groups[name] = _taken(groups[name], kept, length)
        if of == "program":
            name = f"posterior{suffix}"
            groups[name] = _given_the_program(groups[name], likelihood_ratio, results)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(post.attrs) | weighed.attributes() | {"num_samples": length}
    shares = [float(kept.mean()) for kept in accepted.values()]
    record = weighed.record() | {"kept": shares[0], "seed": seed}
    tree.attrs["warnings"] = _warnings(post)
    tree.attrs["updates"] = json.dumps([*earlier, record], allow_nan=False)
    return tree


def _checked_ratio(ratio: Any) -> float:
    number = isinstance(ratio, Real) and not isinstance(ratio, bool)
    # Beyond, a weight times a count of draws would no longer be a number.
    if not number or not 0.0 < float(ratio) <= _LARGEST_RATIO:
        raise InputError(
            f"likelihood_ratio must be a number above 0 and at most {_LARGEST_RATIO:g}, "
            f"found {ratio!r}"
        )
    return float(ratio)


@dataclass(frozen=True, eq=False)
class _Weighed:
    """Weights of all draws: those of the average, and each family's own, (chain, draw)."""

    results: Results
    likelihood_ratio: float
    proposition: str
    average: Draws
    families: tuple[Draws, ...]

    @classmethod
    def of(cls, results: Results, likelihood_ratio: float, proposition: str) -> _Weighed:
        name = _TRUTH[proposition]

        def weight(truth: NDArray[Any]) -> Draws:
            return likelihood_ratio * truth + (1.0 - truth)

        def truth_of(data: xr.Dataset) -> xr.DataArray:
            return _truth(data, name)

        average = results.tree["posterior"].to_dataset()
        together = truth_of(average).transpose("chain", "draw").to_numpy()
        each = results.draws(truth_of)
        return cls(
            results, likelihood_ratio, proposition, weight(together), tuple(map(weight, each))
        )

    def before(self) -> Estimate:
        """The proposition's probability before, averaged over families."""
        name = _TRUTH[self.proposition]
        truths = self.results.draws(lambda d: _truth(d, name))
        parts = [mean_and_mcse(d) for d in truths]
        mean, mcse, _ = self.results.average.of([p[0] for p in parts], [p[1] for p in parts])
        return Estimate(mean, mcse, math.nan, math.nan)

    def record(self) -> dict[str, Any]:
        """What was asked, and the probability before and after in closed form."""
        before, ratio = self.before(), self.likelihood_ratio
        slope = ratio / (ratio * before.mean + 1.0 - before.mean) ** 2
        return {
            "likelihood_ratio": ratio,
            "of": self.proposition,
            "before": finite(before.mean),
            "before_mcse": finite(before.mcse),
            "after": finite(updated_probability(before.mean, ratio)),
            "after_mcse": finite(slope * before.mcse),
        }

    def average_after(self) -> Average:
        """π_F′ = π_F μ_F/S with μ_F = E_F[w], S = Σ π_G μ_G, and its covariance.

        ∂π_i′/∂π_j = (μ_j/S)(δ_ij − π_i′) and ∂π_i′/∂μ_j = (π_j/S)(δ_ij − π_i′).
        """
        old = self.results.average
        parts = [mean_and_mcse(w) for w in self.families]
        mean, error = np.array([p[0] for p in parts]), np.array([p[1] for p in parts])
        total = float(old.probability @ mean)
        new = old.probability * mean / total
        centred = np.eye(new.size) - new[:, None]
        by_weights, by_means = centred * (mean / total), centred * (old.probability / total)
        covariance = by_weights @ old.covariance @ by_weights.T
        return Average(new, covariance + by_means @ np.diag(error**2) @ by_means.T)

    def attributes(self) -> dict[str, str]:
        """The families' new probabilities, as `fit` writes them."""
        after = self.average_after()
        families = {
            name: dict(self.results.weights[name])
            | {
                "probability": float(after.probability[k]),
                "probability_error": math.sqrt(max(float(after.covariance[k, k]), 0.0)),
            }
            for k, name in enumerate(self.results.families)
        }
        return {
            "families": json.dumps(families, allow_nan=False),
            "probability_covariance": json.dumps(after.covariance.tolist(), allow_nan=False),
        }


def _truth(data: xr.Dataset, name: str) -> xr.DataArray:
    """Probability of the proposition in every draw: of a program, also by way of the path."""
    truth = data[name].astype(float).fillna(0.0)
    if name == _TRUTH["program"] and "path_lock_in" in data:
        return data["path_lock_in"] * data["path_deceptive"] + (1.0 - data["path_lock_in"]) * truth
    return truth


def _warnings(post: xr.DataTree) -> str:
    """Those of the fit; that families have their prior weights is true no longer."""
    found = [str(w) for w in json.loads(post.attrs.get("warnings", "[]"))]
    kept = [w for w in found if not w.startswith("No evidence:")]
    if len(kept) < len(found):
        kept.append(
            "No evidence but a likelihood ratio: the exchange families have their prior weights, "
            "moved by it, and the average is only as good as those; read the families one by one."
        )
    return json.dumps(kept, allow_nan=False)


def _accepted(weight: Draws, stream: np.random.SeedSequence) -> NDArray[np.bool_]:
    """Which draws are kept, (chain, draw); all of them where the weights are equal."""
    rng = np.random.Generator(np.random.PCG64(stream))
    return rng.random(weight.shape) < weight / weight.max()


def _common_length(accepted: Any) -> int:
    """Draws that every chain of every group has left."""
    shortest, full = min((int(kept.sum(axis=1).min()), kept.shape[1]) for kept in accepted)
    if shortest < min(_FEWEST, full):
        raise InputError(
            f"an update must leave at least {_FEWEST} draws in every chain, but of {full} only "
            f"{shortest} are left in one: draw more than "
            f"{math.ceil(full * _FEWEST / max(shortest, 1))} in each chain"
        )
    return shortest


def _taken(data: xr.Dataset, kept: NDArray[np.bool_], length: int) -> xr.Dataset:
    """``length`` of the kept draws of every chain, evenly spread over it, counted from 0 again."""
    import xarray as xr

    found = [np.flatnonzero(chain) for chain in kept]
    # Not the first ones: what lies further apart depends less on one another.
    at = np.stack([x[np.linspace(0, x.size - 1, length).round().astype(int)] for x in found])
    places = ("chain", "draw")
    chains = xr.DataArray(np.arange(len(at))[:, None].repeat(length, axis=1), dims=places)
    plain = data.drop_vars(places, errors="ignore").drop_encoding()
    taken = plain.isel(chain=chains, draw=xr.DataArray(at, dims=places))
    chain = data["chain"].to_numpy() if "chain" in data.coords else np.arange(len(at))
    return taken.assign_coords(chain=chain, draw=np.arange(length))


def _given_the_program(data: xr.Dataset, ratio: float, results: Results) -> xr.Dataset:
    """Masses of the one program observed: deceptive ones times LR/w, all others times 1/w.

    With a path: how probable it is that early training had decided, l′ = l (LR d + 1 − d)/w, and
    deception if so, d′ = LR d/(LR d + 1 − d); masses are those of a program that it had not.
    """
    mass = data["deceptive_mass"]
    weight = ratio * mass + (1.0 - mass)
    path = _given_the_path(data, ratio) if "path_lock_in" in data else {}
    deceptive = {s for s, c in results.class_of.items() if c == DECEPTIVE}
    of_class = np.array([ratio if c == DECEPTIVE else 1.0 for c in CLASSES])
    factors = {
        "structure": np.array([ratio if s in deceptive else 1.0 for s in results.class_of]),
        "class": of_class,
    }
    new = {"deceptive_mass": ratio * mass / weight}
    for dimension, factor in factors.items():
        variable = data[f"{dimension}_mass"]
        tilted = variable * data[dimension].copy(data=factor).drop_vars(dimension) / weight
        new[f"{dimension}_mass"] = tilted.transpose(*variable.dims)
    if "mass_error" in data:
        new["mass_error"] = data["mass_error"] * ratio / weight**2
    if "mass_bound" in data:  # the slope LR/w² is at most the larger of LR and 1/LR
        new["mass_bound"] = (data["mass_bound"] * max(ratio, 1.0 / ratio)).clip(max=1.0)
    return data.assign({n: x.assign_attrs(data[n].attrs) for n, x in (new | path).items()})


def _given_the_path(data: xr.Dataset, ratio: float) -> dict[str, xr.DataArray]:
    lock_in, deceptive = data["path_lock_in"], data["path_deceptive"]
    decided = ratio * deceptive + (1.0 - deceptive)
    q = _truth(data, _TRUTH["program"])
    whole = ratio * q + (1.0 - q)
    return {
        "path_lock_in": lock_in * decided / whole,
        "path_deceptive": ratio * deceptive / decided,
    }
