"""The figures a fit was made for, with their errors, as `summary.json` holds them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES, DECEPTIVE
from bayes_mesa.errors import ResultFileError
from bayes_mesa.results.diagnosis import Mixing, diagnose, mixings
from bayes_mesa.results.families import family_rows, parameters
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.verdicts.estimand import (
    QUANTILES,
    Average,
    Estimate,
    finite,
    mixture_quantiles,
    probability,
    share,
)

if TYPE_CHECKING:
    import xarray as xr

    Pick = Callable[[xr.Dataset], xr.DataArray]


_FIRST = ("deceptive_favored", "deceptive_mass", "with_path", "class_mass")


def summarize(tree: xr.DataTree) -> dict[str, Any]:
    """Both estimands, by class, structure and exchange family, with errors and diagnostics.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.

    Returns
    -------
    dict
        The contract of ``summary.json``: every number is finite or None. Each estimate is
        ``{mean, mcse, lower, upper}``, 90 % with equal tails. Averages are sum_F pi_F x_F.

    Raises
    ------
    ResultFileError
        If the tree lacks the group of a family it names (an interrupted run's partial file).
    """
    require_result(tree, "tree")
    return summary_of(tree, mixings(tree, Results(tree).families))


def summary_of(tree: xr.DataTree, mixed: Mapping[str, Mixing]) -> dict[str, Any]:
    """The same, where it is known how the draws of every family mix."""
    results = Results(tree)
    scores = family_rows(tree)
    found = estimates(results)
    return {
        "model": str(tree.attrs["model"]),
        "seed": int(tree.attrs["seed"]),
        "versions": json.loads(tree.attrs["versions"]),
        **{n: found[n] for n in _FIRST if n in found},
        "by_exchange": {
            name: figures | _scores(scores[name]) for name, figures in found["by_exchange"].items()
        },
        "structures": found["structures"],
        "dominance": json.loads(tree.attrs["dominance"]),
        "critical_rate": found["critical_rate"],
        "critical_kappa": found["critical_kappa"],
        "margin_bits": _margin(results),
        "parameters": _parameters(tree),
        "nothing_fits": found["nothing_fits"],
        "diagnostics": diagnose(tree, results.families, mixed),
    }


def estimates(results: Results) -> dict[str, Any]:
    """What `summarize` says of the verdict alone: no scores of families, parameters or mixing."""
    return {
        "deceptive_favored": results.favored(results.average).as_dict(),
        "deceptive_mass": results.mass(results.average).as_dict(),
        **_with_path(results),
        "class_mass": _class_mass(results),
        "by_exchange": {name: _by_family(results, name) for name in results.families},
        "structures": _structures(results),
        "critical_rate": critical(results.tree, "rate", always=0.0, never=np.inf),
        "critical_kappa": critical(results.tree, "kappa", always=np.inf, never=0.0),
        "nothing_fits": results.nothing_fits(),
    }


@dataclass(frozen=True)
class Results:
    """A result tree with the families' weights, and what is proved, read from its attributes."""

    tree: xr.DataTree

    @cached_property
    def weights(self) -> Mapping[str, Mapping[str, float | None]]:
        """Prior weight, probability and errors, by family."""
        if "families" not in self.tree.attrs:
            raise ResultFileError("the tree must be a result of fit, but names no families")
        return json.loads(self.tree.attrs["families"])

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Families in the order of the model file."""
        wanted = ["posterior", "constant_data", *(f"posterior_{f}" for f in self.weights)]
        missing = [name for name in wanted if name not in self.tree.children]
        if missing:
            raise ResultFileError(
                f"the results must hold the groups of a whole fit, but lack {', '.join(missing)}"
            )
        return tuple(self.weights)

    @cached_property
    def groups(self) -> Mapping[str, xr.Dataset]:
        """The draws under each family."""
        return {f: self.tree[f"posterior_{f}"].to_dataset() for f in self.families}

    @cached_property
    def average(self) -> Average:
        """Weights pi_F with their covariance."""
        pi = np.array([self.weights[f]["probability"] for f in self.families], dtype=float)
        covariance = np.asarray(json.loads(self.tree.attrs["probability_covariance"]), dtype=float)
        return Average(pi, covariance.reshape(pi.size, pi.size))

    @cached_property
    def known(self) -> bool:
        """Whether nothing is uncertain."""
        return bool(self.tree.attrs.get("all_known", 0))

    @cached_property
    def never_favored(self) -> frozenset[str]:
        """Structures whose probability of being favored is proved to be 0."""
        return frozenset(json.loads(self.tree.attrs["never_favored"]))

    @cached_property
    def class_of(self) -> Mapping[str, str]:
        """Class of every structure, in file order."""
        classes = self.tree["constant_data"]["structure_class"]
        return {
            str(s): str(c)
            for s, c in zip(classes["structure"].to_numpy(), classes.to_numpy(), strict=True)
        }

    @cached_property
    def deception_is_excluded(self) -> bool:
        """Whether it is proved that no deceptive structure is ever favored."""
        deceptive = {s for s, c in self.class_of.items() if c == DECEPTIVE}
        return deceptive <= self.never_favored

    def draws(self, pick: Pick, family: str | None = None) -> list[NDArray[Any]]:
        """The (chain, draw) draws that ``pick`` takes from each family's group, or from one."""
        chosen = self.families if family is None else (family,)
        return [pick(self.groups[f]).transpose("chain", "draw").to_numpy() for f in chosen]

    def favored(self, average: Average, family: str | None = None) -> Estimate:
        """A: the probability that the program of least cost is deceptive."""
        return probability(
            self.draws(lambda d: d["deceptive_favored"], family),
            average,
            proved_never=self.deception_is_excluded,
            known=self.known,
        )

    def mass(self, average: Average, family: str | None = None) -> Estimate:
        """B: the share of the program weight that deceptive programs hold."""
        return share(self.draws(lambda d: d["deceptive_mass"], family), average)

    def nothing_fits(self) -> float:
        """Share of draws in which no program fits under the cap and the capacity."""
        empty = [np.isnan(d).mean() for d in self.draws(lambda d: d["deceptive_mass"])]
        return float(self.average.probability @ np.array(empty))


def _class_mass(results: Results) -> dict[str, Any]:
    return {
        name: share(
            results.draws(lambda d, name=name: d["class_mass"].sel({"class": name}, drop=True)),  # type: ignore[misc]
            results.average,
        ).as_dict()
        for name in CLASSES
    }


def _by_family(results: Results, name: str) -> dict[str, Any]:
    weights = results.weights[name]
    return {
        "weight": finite(weights["probability"]),
        "weight_error": finite(weights["probability_error"]),
        "prior_weight": finite(weights["weight"]),
        "deceptive_favored": results.favored(Average.alone(), name).as_dict(),
        "deceptive_mass": results.mass(Average.alone(), name).as_dict(),
    }


def _scores(row: Mapping[str, float | None]) -> dict[str, float | None]:
    """How well the family foretold the evidence; None without any."""
    wanted = ("log_marginal_likelihood", "log_marginal_likelihood_error")
    return {name: row[name] for name in (*wanted, "elpd_loo", "elpd_loo_se")}


def _parameters(tree: xr.DataTree) -> dict[str, Any]:
    """Every uncertain parameter before and after the evidence; empty without any."""
    if "log_likelihood" not in tree.children:
        return {}
    return {p.name: p.as_dict() for p in parameters(tree)}


def _structures(results: Results) -> dict[str, Any]:
    symbols = results.tree["constant_data"]["structure_symbol"].to_numpy()
    return {
        name: {"symbol": str(symbol), "class": class_name, **_structure(results, index)}
        for index, ((name, class_name), symbol) in enumerate(
            zip(results.class_of.items(), symbols, strict=True)
        )
    }


def _structure(results: Results, index: int) -> dict[str, Any]:
    name = list(results.class_of)[index]
    favored = results.draws(lambda d: d["structure_favored"].isel(structure=index, drop=True))
    mass = results.draws(lambda d: d["structure_mass"].isel(structure=index, drop=True))
    return {
        "favored": probability(
            favored,
            results.average,
            proved_never=name in results.never_favored,
            known=results.known,
        ).as_dict(),
        "mass": share(mass, results.average).as_dict(),
    }


def _with_path(results: Results) -> dict[str, Any]:
    """Lock_in × deceptive + (1 − lock_in) × P, for both estimands, where the model has a path."""
    first = results.tree[f"posterior_{results.families[0]}"].data_vars
    if "path_lock_in" not in first:
        return {}
    locked = results.draws(lambda d: d["path_lock_in"] * d["path_deceptive"])
    free = results.draws(lambda d: 1.0 - d["path_lock_in"])
    favored = probability(
        results.draws(lambda d: d["deceptive_favored"]),
        results.average,
        proved_never=results.deception_is_excluded,
        known=results.known,
        locked=locked,
        free=free,
    )
    masses = results.draws(lambda d: d["deceptive_mass"])
    mass = share([a + b * m for a, b, m in zip(locked, free, masses, strict=True)], results.average)
    both = {"deceptive_favored": favored.as_dict(), "deceptive_mass": mass.as_dict()}
    return {"with_path": both}


def critical(tree: xr.DataTree, name: str, *, always: float, never: float) -> dict[str, Any]:
    """Median, 5 % and 95 % quantile of a critical exchange value, and shares of special draws.

    ``always`` and ``never`` are the values that mean that deception is favored at every exchange
    rate of the family, and not at its simplicity end; ``several`` is the share of draws whose
    verdict changes more than once. Quantiles that are not finite are None.
    """
    posterior = tree["posterior"].to_dataset()
    values = posterior[f"critical_{name}"].to_numpy()
    lower, median, upper = _quantiles([values], Average.alone())
    return {
        "median": median,
        "lower": lower,
        "upper": upper,
        "always": float(np.mean(values == always)),
        "never": float(np.mean(values == never)),
        "several": float(np.mean(posterior[f"{name}_crossings"].to_numpy() > 1)),
    }


def _margin(results: Results) -> dict[str, float | None]:
    draws = results.draws(lambda d: d["margin_bits"])
    lower, median, upper = _quantiles(draws, results.average)
    return {"median": median, "lower": lower, "upper": upper}


def _quantiles(draws: Sequence[NDArray[Any]], average: Average) -> list[float | None]:
    wanted = (QUANTILES[0], 0.5, QUANTILES[1])
    return [finite(q) for q in mixture_quantiles(draws, average, wanted)]
