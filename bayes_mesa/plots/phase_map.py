"""P(deceptive favored) over the rate and one component, read off the draws' critical rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.inference.datasets import UNITS
from bayes_mesa.plots.plot_style import families_of, flat
from bayes_mesa.results.diagnosis import unknowns
from bayes_mesa.text.wording import listed

if TYPE_CHECKING:
    import xarray as xr

#: Points along the rate and along the component.
_RATES, _LEVELS = 90, 60


@dataclass(frozen=True, eq=False)
class Phase:
    """P(deceptive favored | rate, component) under the linear family.

    Attributes
    ----------
    component
        A quantity of the model such as ``steps.find_base_obj``.
    unit
        Its unit; empty where there is none.
    rates, values
        (R,) steps per bit and (V,) of the component, the axes.
    probability
        (V, R).
    drawn_rate, drawn_value
        (N,): where the draws lie.
    """

    component: str
    unit: str
    rates: np.ndarray
    values: np.ndarray
    probability: np.ndarray
    drawn_rate: np.ndarray
    drawn_value: np.ndarray

    @property
    def logarithmic(self) -> bool:
        """Whether the component is above 0 in every draw."""
        return bool(np.all(self.drawn_value > 0.0))


def phase(
    tree: xr.DataTree,
    component: str | None = None,
    *,
    rates: int = _RATES,
    values: int = _LEVELS,
) -> Phase:
    """The share of draws with critical_rate below a rate, among those near a component's value.

    P(γ, x) = Σ_i K(x − x_i) 1[critical_i < γ]/Σ_i K(x − x_i), with x on the log scale where it is
    positive and K normal with Silverman's bandwidth: exact in the rate (but for draws whose verdict
    turns more than once), smoothed along the component.

    Parameters
    ----------
    tree
        What `fit` returned; needs a linear family.
    component
        Quantity along the other axis, such as ``steps.find_base_obj``. By default the one whose
        ranks correlate most with those of the critical rate.
    rates, values
        Points along each axis.

    Raises
    ------
    InputError
        Without a linear family, without an uncertain quantity beside the rate, or for one that is
        not there.
    """
    if "linear" not in families_of(tree):
        raise InputError(
            "a phase diagram over the rate needs the linear family, which these results have not: "
            "declare [exchange.linear] and fit again"
        )
    group = tree["posterior_linear"].to_dataset()
    critical, drawn_rate = flat(group["critical_rate"]), flat(group["linear_rate"])
    candidates = _candidates(group)
    there = ~np.isnan(critical)
    if not there.any():
        raise InputError(
            "a phase diagram needs draws that have a critical rate; these results have none, since "
            "nothing can be selected at any rate: look at the cap and the capacity"
        )
    name = _named(candidates, component) or _most_telling(candidates, critical, there)
    x = candidates[name]
    positive = bool(np.all(x > 0.0))
    scale = np.log10(x) if positive else x
    low, high = (float(x) for x in np.quantile(scale, (0.01, 0.99)))
    along = np.linspace(low, high, values)
    bandwidth = 1.06 * float(np.std(scale[there])) * max(int(there.sum()), 1) ** -0.2
    weights = np.exp(-0.5 * ((along[:, None] - scale[there]) / bandwidth) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    grid = _rate_grid(critical[there], drawn_rate, rates)
    found = weights @ (critical[there][:, None] < grid).astype(float)
    return Phase(
        name,
        UNITS.get(name.partition(".")[0], ""),
        grid,
        10.0**along if positive else along,
        np.clip(found, 0.0, 1.0),
        drawn_rate,
        x,
    )


def quantities(tree: xr.DataTree) -> list[str]:
    """What a phase diagram can have along its other axis; empty where there can be none."""
    if "linear" not in families_of(tree) or tree.attrs.get("all_known", 0):
        return []
    group = tree["posterior_linear"].to_dataset()
    there = not np.isnan(flat(group["critical_rate"])).all()
    found = [_dotted(name) for name in unknowns(group)[0]] if there else []
    return [name for name in found if name != "linear_rate"]


def _candidates(group: xr.Dataset) -> dict[str, np.ndarray]:
    """Every uncertain quantity but the rate, as ``bits.NAME``, with its draws (N,)."""
    names, draws = unknowns(group)
    found = {_dotted(n): x.ravel() for n, x in zip(names, draws, strict=True)}
    found.pop("linear_rate", None)
    if not found:
        raise InputError(
            "a phase diagram needs an uncertain quantity beside the rate; these results have none: "
            "give a component a prior"
        )
    return found


def _dotted(name: str) -> str:
    """``bits[NAME]`` as the model file says it, ``bits.NAME``."""
    head, bracket, label = name.partition("[")
    return f"{head}.{label[:-1]}" if bracket else name


def _named(candidates: dict[str, np.ndarray], component: str | None) -> str | None:
    if component is None:
        return None
    name = component if component in candidates else _dotted(component)
    if name not in candidates:
        raise InputError(
            f"component must be an uncertain quantity of the results, one of "
            f"{listed(list(candidates))}; found {component!r}"
        )
    return name


def _most_telling(
    candidates: dict[str, np.ndarray], critical: np.ndarray, there: np.ndarray
) -> str:
    """The quantity of the largest rank correlation with the critical rate; the first of equals."""
    from scipy.stats import rankdata

    target = rankdata(critical[there])
    target = target - target.mean()
    found = {}
    for name, x in candidates.items():
        rank = rankdata(x[there])
        rank = rank - rank.mean()
        norm = float(np.linalg.norm(rank) * np.linalg.norm(target))
        found[name] = abs(float(rank @ target)) / norm if norm else 0.0
    return max(found, key=lambda n: found[n])


def _rate_grid(critical: np.ndarray, drawn: np.ndarray, size: int) -> np.ndarray:
    """Rates on a logarithmic scale, around the draws' own and their critical ones."""
    seen = [x[np.isfinite(x) & (x > 0.0)] for x in (critical, drawn)]
    ends = [np.quantile(x, (0.02, 0.98)) for x in seen if x.size]
    low, high = np.log10((np.min(ends), np.max(ends))) if ends else (0.0, 1.0)
    return np.logspace(low, high if high - low > 0.2 else low + 0.2, size)
