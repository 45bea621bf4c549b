"""Which exchange family, and which numbers, the evidence speaks for.

Three views of one result tree: every family as a tree of its own, as ArviZ compares models; a table
of the families; and a table of every uncertain parameter before and after the evidence.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.beliefs import Z95
from bayes_mesa.errors import InputError
from bayes_mesa.inference.datasets import told_apart
from bayes_mesa.results.diagnosis import DERIVED
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.text.wording import listed
from bayes_mesa.verdicts.estimand import QUANTILES, Average, finite, mixture_quantiles

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

#: Where a parameter is of all families, and its posterior their average.
AVERAGE = "average"
#: Name of all rows together, where there are several tables of evidence.
ALL_ROWS = "evidence"
_COSTS = ("bits", "steps")
#: Draws from which leaving rows out by importance weights can be tried: their tail needs five.
_FEWEST_DRAWS = 100
_PLACES = ("chain", "draw")


@dataclass(frozen=True)
class Interval:
    """Median and ends of the 90 % equal-tailed interval, in the parameter's own unit."""

    median: float
    lower: float
    upper: float

    @property
    def log_width(self) -> float:
        """Natural log of the ratio of the ends; NaN where one is not positive."""
        return math.log(self.upper / self.lower) if 0.0 < self.lower else math.nan


@dataclass(frozen=True)
class Parameter:
    """One uncertain number before and after the evidence.

    ``family`` is the exchange family that it belongs to, or `AVERAGE`.
    """

    name: str
    family: str
    prior: Interval
    posterior: Interval

    @property
    def shift(self) -> float:
        """By how many prior standard deviations the median moved, on the log scale.

        The deviation is that of the lognormal with the prior's 5 % and 95 % quantiles.
        """
        if not (self.prior.log_width > 0.0 and self.posterior.median > 0.0):
            return math.nan
        moved = math.log(self.posterior.median / self.prior.median)
        return moved * 2.0 * Z95 / self.prior.log_width

    @property
    def width_ratio(self) -> float:
        """Width of the posterior's interval over the prior's, both on the log scale."""
        wide = self.prior.log_width
        return self.posterior.log_width / wide if wide > 0.0 else math.nan

    def as_dict(self) -> dict[str, Any]:
        """For JSON: numbers are finite or None."""
        return {
            "family": self.family,
            "prior": {n: finite(x) for n, x in asdict(self.prior).items()},
            "posterior": {n: finite(x) for n, x in asdict(self.posterior).items()},
            "shift": finite(self.shift),
            "width_ratio": finite(self.width_ratio),
        }


def by_family(post: xr.DataTree, table: str | None = None) -> dict[str, xr.DataTree]:
    """Every exchange family as a model of its own, in ArviZ's schema.

    ``az.compare(bm.by_family(post))``, ``az.loo(bm.by_family(post)["levin"])`` and
    ``az.plot_ppc_dist(bm.by_family(post)["levin"])`` run as they are.

    Parameters
    ----------
    post
        What `fit` returned, or `open_posterior` read.
    table
        Name of one table of evidence: only its rows. None: all tables; where there are several,
        ``log_likelihood`` holds their rows together in one variable, ``evidence``.

    Returns
    -------
    dict
        Family → tree with the groups ``posterior`` and ``prior`` (the unknowns that vary; verdicts
        stay in ``post``), ``sample_stats`` where NUTS ran, ``constant_data``, and with evidence
        ``log_likelihood``, ``posterior_predictive`` and ``observed_data``.

    Raises
    ------
    InputError
        If there is no evidence of that name.
    """
    require_result(post)
    tables = _tables(post)
    if table is not None and table not in tables:
        raise InputError(
            f"table must be one of the evidence tables {listed(tables)}, found {table!r}"
            if tables
            else f"table must be None for results without evidence, found {table!r}"
        )
    return {
        name: _tree(post, name, tables if table is None else [table]) for name in _families(post)
    }


def family_table(post: xr.DataTree) -> pd.DataFrame:
    """What speaks for each exchange family, one row each.

    Columns ``prior_weight``; ``probability`` (posterior) and ``probability_error``;
    ``log_marginal_likelihood`` and its ``_error``, nats; ``elpd_loo`` and ``elpd_loo_se``, the
    expected log predictive density of a row left out, summed over rows, nats; ``p_loo``, the
    effective number of parameters; ``unsound_rows``, rows whose Pareto k̂ is so high that ``elpd``
    should not be believed. NaN without evidence.

    The two scores ask different things: the marginal likelihood how well the family with its prior
    foretold all the evidence, ``elpd_loo`` how well it foretells one row once it has seen the rest.
    """
    require_result(post)
    import pandas as pd

    rows = family_rows(post)
    return pd.DataFrame.from_dict(rows, orient="index").astype(float).rename_axis("family")


def family_rows(post: xr.DataTree) -> dict[str, dict[str, float | None]]:
    """`family_table` as plain values: finite or None."""
    trees = by_family(post) if _tables(post) else {}
    found = {}
    for name, said in json.loads(post.attrs["families"]).items():
        row = {
            "prior_weight": said["weight"],
            "probability": said["probability"],
            "probability_error": said["probability_error"],
            "log_marginal_likelihood": said["log_marginal_likelihood"],
            "log_marginal_likelihood_error": said["log_marginal_likelihood_error"],
            **_leave_one_out(trees.get(name)),
        }
        found[name] = {key: finite(x) for key, x in row.items()}
    return found


def prior_and_posterior(post: xr.DataTree) -> pd.DataFrame:
    """Every uncertain parameter before and after the evidence, one row each.

    Columns ``family`` (`AVERAGE` for what all families share); ``prior_median``, ``prior_lower``,
    ``prior_upper`` and ``posterior_...``: medians and 90 % equal-tailed intervals; ``shift``: by
    how many prior standard deviations the median moved; ``width_ratio``: the posterior's width over
    the prior's, these two on the log scale (NaN where a number may be 0).

    Priors of costs are those of draws that hold the constraints, heuristics applied; other priors'
    quantiles are exact. A family's own parameters come from its own draws, all else from the
    families' draws mixed in proportion to their probability. Unknowns that a kind of evidence adds
    (``NAME_sd``) are in ``posterior_FAMILY`` and not here.
    """
    require_result(post)
    import pandas as pd

    rows = {
        p.name: {
            "family": p.family,
            **{f"prior_{n}": x for n, x in asdict(p.prior).items()},
            **{f"posterior_{n}": x for n, x in asdict(p.posterior).items()},
            "shift": p.shift,
            "width_ratio": p.width_ratio,
        }
        for p in parameters(post)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def parameters(post: xr.DataTree) -> list[Parameter]:
    """Every uncertain parameter: what all families share first, then each family's own."""
    names = _families(post)
    said = {b["quantity"]: b for b in json.loads(post.attrs["beliefs"])}
    groups = {f: post[f"posterior_{f}"].to_dataset() for f in names}
    own = {q: f for f in names for q in said if q.startswith(f"{f}_") and q in groups[f]}
    shared = [q for q in said if q not in own]
    weights = json.loads(post.attrs["families"])
    average = _weighted([weights[f]["probability"] for f in names])
    before = post["prior"].to_dataset()
    found = []
    for quantity in shared:
        after = [dict(_scalars(groups[f], quantity)) for f in names]
        for name, draws in _scalars(before, quantity):
            prior = _of_draws([draws], _weighted([1.0]))
            if quantity.partition(".")[0] not in _COSTS:
                prior = _of_belief(said[quantity])
            if prior.lower < prior.upper:
                posterior = _of_draws([a[name] for a in after], average)
                found.append(Parameter(name, AVERAGE, prior, posterior))
    for quantity, family in own.items():
        prior = _of_belief(said[quantity])
        if prior.lower < prior.upper:
            draws = groups[family][quantity].to_numpy()
            posterior = _of_draws([draws], _weighted([1.0]))
            found.append(Parameter(quantity, family, prior, posterior))
    return found


def _families(post: xr.DataTree) -> tuple[str, ...]:
    """Families with draws: an interrupted fit names no others either."""
    return tuple(json.loads(post.attrs["families"]))


def _tables(post: xr.DataTree) -> list[str]:
    """Tables whose rows have a likelihood in every family."""
    first = f"log_likelihood_{_families(post)[0]}"
    return [str(n) for n in post[first].data_vars] if first in post.children else []


def _tree(post: xr.DataTree, family: str, tables: Sequence[str]) -> xr.DataTree:
    import xarray as xr

    groups = {
        "posterior": _varying(post[f"posterior_{family}"].to_dataset()),
        "prior": _prior(post, family),
        "constant_data": post["constant_data"].to_dataset(),
    }
    if f"sample_stats_{family}" in post.children:
        groups["sample_stats"] = post[f"sample_stats_{family}"].to_dataset()
    if tables:
        rows = post[f"log_likelihood_{family}"].to_dataset()[list(tables)].map(_in_double)
        predicted = post[f"posterior_predictive_{family}"].to_dataset()
        groups["log_likelihood"] = rows if len(tables) == 1 else _together(rows)
        groups["posterior_predictive"] = predicted[list(tables)]
        groups["observed_data"] = post["observed_data"].to_dataset()[list(tables)]
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {"model": post.attrs["model"], "family": family}
    return tree


def _in_double(rows: xr.DataArray) -> xr.DataArray:
    values = rows.transpose(*_PLACES, ...)
    return values.copy(data=told_apart(values.to_numpy().astype(np.float64)))


def _prior(post: xr.DataTree, family: str) -> xr.Dataset:
    """What all families share, and the family's own parameters."""
    shared = post["prior"].to_dataset()
    shared = shared.drop_vars("family", errors="ignore")
    if f"prior_{family}" in post.children:
        own = post[f"prior_{family}"].to_dataset()
        shared = shared.assign({str(n): x for n, x in own.data_vars.items()})
    return _varying(shared)


def _varying(dataset: xr.Dataset) -> xr.Dataset:
    """The unknowns, without verdicts and what is known: ArviZ has no ESS for inf and constants."""
    kept = {}
    for name, variable in dataset.data_vars.items():
        if name in DERIVED or variable.dtype.kind != "f":
            continue
        varies = (variable != variable.isel(chain=0, draw=0)).any(_PLACES)
        if bool(varies.all()):
            kept[str(name)] = variable
        elif bool(varies.any()) and varies.ndim == 1:
            kept[str(name)] = variable.isel({varies.dims[0]: varies.to_numpy()})
    # Each variable keeps its own labels: aligned, those that vary elsewhere would come back as NaN.
    return _merged(dataset, kept)


def _merged(dataset: xr.Dataset, kept: Mapping[str, xr.DataArray]) -> xr.Dataset:
    import xarray as xr

    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {d: dataset[d].to_numpy() for d in _PLACES if d in dataset.coords}
    for name, variable in kept.items():
        inner = [str(d) for d in variable.dims if d not in _PLACES]
        named = {d: d if variable.sizes[d] == dataset.sizes[d] else f"{name}_{d}" for d in inner}
        variables[name] = ((*_PLACES, *named.values()), variable.transpose(*_PLACES, *inner).data)
        coords |= {n: variable[d].to_numpy() for d, n in named.items() if d in variable.coords}
    return xr.Dataset(variables, coords=coords)


def _together(rows: xr.Dataset) -> xr.Dataset:
    import xarray as xr

    values = [x.transpose(*_PLACES, ...).to_numpy() for x in rows.data_vars.values()]
    labels = [f"{n}[{k}]" for n, x in rows.data_vars.items() for k in range(x.shape[-1])]
    dimension = f"{ALL_ROWS}_row"
    coords = {**{d: rows[d] for d in _PLACES}, dimension: labels}
    whole = np.concatenate(values, axis=-1)
    return xr.Dataset({ALL_ROWS: ((*_PLACES, dimension), whole)}, coords=coords)


def _leave_one_out(tree: xr.DataTree | None) -> dict[str, float]:
    if tree is None:
        return dict.fromkeys(("elpd_loo", "elpd_loo_se", "p_loo", "unsound_rows"), math.nan)
    posterior = tree["posterior"]
    if posterior.sizes["chain"] * posterior.sizes["draw"] < _FEWEST_DRAWS:
        return dict.fromkeys(("elpd_loo", "elpd_loo_se", "p_loo", "unsound_rows"), math.nan)
    from arviz_stats import loo

    with warnings.catch_warnings():  # what it warns of is in `unsound_rows`
        warnings.simplefilter("ignore")
        found = loo(tree, pointwise=True)
    unsound = int((~(np.asarray(found.pareto_k) <= found.good_k)).sum())
    return {
        "elpd_loo": float(found.elpd),
        "elpd_loo_se": float(found.se),
        "p_loo": float(found.p),
        "unsound_rows": unsound,
    }


def _scalars(dataset: xr.Dataset, quantity: str) -> Iterator[tuple[str, np.ndarray]]:
    """The (chain, draw) draws of a belief's quantity; of every copy, for beliefs about facts."""
    head, _, label = quantity.partition(".")
    if head not in dataset:
        return
    variable = dataset[head]
    inner = [d for d in variable.dims if d not in _PLACES]
    if not inner:
        yield quantity, variable.to_numpy()
        return
    for k, name in enumerate(variable[inner[0]].to_numpy()):
        if label in ("", str(name)):
            yield f"{head}.{name}", variable.isel({inner[0]: k}).to_numpy()


def _weighted(probability: Sequence[float]) -> Average:
    return Average(np.asarray(probability), np.zeros((len(probability),) * 2))


def _of_draws(draws: Sequence[np.ndarray], average: Average) -> Interval:
    lower, median, upper = mixture_quantiles(draws, average, (QUANTILES[0], 0.5, QUANTILES[1]))
    return Interval(median, lower, upper)


def _of_belief(said: Mapping[str, float]) -> Interval:
    return Interval(said["median"], said["q05"], said["q95"])
