"""The part of the report that can be played with: draws, sliders and one script, inside the page.

The page repeats in double precision what `reweighing` and `reweighed_phase` compute; a content
security policy that names the script by its hash lets nothing else run, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.errors import InputError
from bayes_mesa.inference.datasets import UNITS
from bayes_mesa.reweighting.reweighed_phase import RATE, ROWS
from bayes_mesa.reweighting.reweighing import LEAST_EFFECTIVE, reweighed
from bayes_mesa.reweighting.scaled_belief import ScaledBelief
from bayes_mesa.reweighting.stock import FamilyStock, Stock
from bayes_mesa.text.wording import one_way
from bayes_mesa.verdicts.estimand import finite, mean_and_mcse

if TYPE_CHECKING:
    import xarray as xr
    from markupsafe import Markup

Draws = NDArray[np.float64]
#: Draws of each family that the page holds: 30 sliders and three families fit into 2 MB.
NUM_DRAWS = 2000
#: Sliders of costs at most, and how many of them are shown at once.
_MOST, _OPEN = 25, 6
#: A slider reaches so far beyond the prior's 5 and 95 % quantiles.
_REACH = 10.0
_COLUMNS = 40
_COSTS = ("bits", "steps", "loss", "heuristics_bits", "heuristics_steps")


@dataclass(frozen=True)
class Section:
    """HTML of the explorable part, and the source that its policy must allow to run."""

    html: Markup
    script_source: str


def explorer_section(tree: xr.DataTree, crux: str | None = None) -> Section | None:
    """The explorable part of a result's report; None where nothing can be reweighed.

    ``script_source`` belongs into the page's policy, as in ``script-src 'sha256-…'``.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    data = explorer_data(tree, crux)
    if data is None:
        return None
    data = _one_way(data)
    script = _template("explorer.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.from_string(_template("explorer.html.j2")).render(
        data=data, script=Markup(script), style=Markup(_template("explorer.css"))
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Section(Markup(html), f"'sha256-{digest}'")


def explorer_data(tree: xr.DataTree, crux: str | None = None) -> dict[str, Any] | None:
    """What the page needs, for JSON: draws as base64 of little-endian doubles.

    Parameters
    ----------
    tree
        What `fit` returned, or `open_posterior` read.
    crux
        Slot that the phase diagram opens with; by default that whose ranks go most with those of
        the critical rate.

    Returns
    -------
    dict
        ``families``, ``sliders`` (exchange and pressure first, then costs by falling |rank
        correlation| with the verdict, 25 at most), ``phase`` or None. None without any
        slider and with a single family, or for results of an earlier release, which say too little
        of their beliefs.
    """
    if not all("form" in record for record in json.loads(tree.attrs["beliefs"])):
        return None
    try:
        stock = Stock.of(tree, NUM_DRAWS)
    except InputError:  # a model made in Python, with heuristics: whose costs is not recorded
        return None
    sliders = _sliders(stock)
    if not sliders and len(stock.families) == 1:
        return None
    start = reweighed(stock, {}, None)
    return {
        "evidence": stock.evidence,
        "least": LEAST_EFFECTIVE,
        "num_draws": int(stock.families[0].favored.size),
        "all_draws": int(tree.attrs["num_chains"]) * int(tree.attrs["num_samples"]),
        "open": _OPEN,
        "start": {
            "favored": finite(start.deceptive_favored.mean),
            "mass": finite(start.deceptive_mass.mean),
        },
        "families": [_family(stock, f, sliders) for f in stock.families],
        "covariance": stock.covariance.tolist(),
        "sliders": [_slider(stock, stock.beliefs[n], sliders) for n in sliders],
        "phase": _phase(tree, stock, sliders, crux),
    }


def _sliders(stock: Stock) -> list[str]:
    """Slots with a slider, in the order of the page."""
    first = [n for n in stock.beliefs if n == "pressure" or _exchange(stock, n)]
    # As in the file: the families' own parameters, then the pressure.
    first.sort(key=lambda n: n == "pressure")
    costs = [n for n in stock.beliefs if n.split(".")[0] in _COSTS]
    matters = {n: _matters(stock, n) for n in costs}
    return first + sorted(costs, key=lambda n: -matters[n])[:_MOST]


def _exchange(stock: Stock, slot: str) -> bool:
    return any(slot.startswith(f"{f.name}_") for f in stock.families)


def _matters(stock: Stock, slot: str) -> float:
    """Largest |rank correlation| with the verdict over the families.

    With the margin, which is of those that lose as well, only where no family's verdict varies.
    """
    holding = [f for f in stock.families if slot in f.logs]
    if any(np.ptp(f.favored) > 0.0 for f in stock.families):
        return max(_rank_correlation(f.logs[slot], f.favored) for f in holding)
    return max(_rank_correlation(f.logs[slot], f.margin) for f in holding)


def _rank_correlation(x: Draws, y: Draws) -> float:
    from scipy.stats import rankdata

    there = ~(np.isnan(x) | np.isnan(y))
    ranks = [rankdata(v[there]) for v in (x, y)]
    if there.sum() < 2 or any(np.ptp(r) == 0.0 for r in ranks):
        return 0.0
    return abs(float(np.corrcoef(*ranks)[0, 1]))


def _family(stock: Stock, family: FamilyStock, sliders: Sequence[str]) -> dict[str, Any]:
    own = [n for n in sliders if n in family.logs]
    correlated = [n for n in own if n in stock.correlated]
    pulls = stock.pulls(family) if correlated else None
    return {
        "name": family.name,
        "weight": family.weight,
        "probability": family.probability,
        "inflation": _inflation(stock, family),
        "favored": _encoded(family.favored, "u1"),
        "mass": _encoded(family.mass, "<f8"),
        "logs": {n: _encoded(family.logs[n], "<f8") for n in own},
        "pulls": {
            n: _encoded(pulls[..., stock.correlated.index(n)], "<f8")
            for n in correlated
            if pulls is not None
        },
    }


def _inflation(stock: Stock, family: FamilyStock) -> float:
    """By how much the chains' memory raises the error over that of independent draws."""
    alone = float(np.std(family.favored)) / math.sqrt(family.favored.size)
    if not stock.evidence or alone == 0.0:
        return 1.0
    return max(mean_and_mcse(family.favored)[1] / alone, 1.0)


def _one_way(data: Any) -> Any:
    """The same data, its texts and keys as the page shows them: `one_way`."""
    if isinstance(data, str):
        return data if data.isascii() else one_way(data)
    if isinstance(data, dict):
        return {_one_way(key): _one_way(value) for key, value in data.items()}
    return [_one_way(x) for x in data] if isinstance(data, list | tuple) else data


def _encoded(draws: Draws, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(draws.ravel().astype(dtype)).tobytes()).decode()


def _slider(stock: Stock, belief: ScaledBelief, sliders: Sequence[str]) -> dict[str, Any]:
    slot = belief.slot
    joined: dict[str, float] = {}
    if slot in stock.correlated:
        row = stock.precision[stock.correlated.index(slot)]
        pairs = zip(stock.correlated, map(float, row), strict=True)
        joined = {n: x for n, x in pairs if n in sliders}
    return {
        "slot": slot,
        "group": "exchange" if slot == "pressure" or _exchange(stock, slot) else "cost",
        "unit": UNITS.get(slot, UNITS.get(slot.partition(".")[0], "")),
        "form": belief.form,
        "coefficients": belief.coefficients,
        "low": belief.low,
        "median": belief.median,
        "from": belief.q05 / _REACH,
        "to": belief.q95 * _REACH,
        "precision": joined,
    }


def _phase(
    tree: xr.DataTree, stock: Stock, sliders: Sequence[str], crux: str | None
) -> dict[str, Any] | None:
    """What the phase diagram needs, where there are a linear family and a cost to move."""
    linear = next((f for f in stock.families if f.name == "linear"), None)
    costs = [n for n in sliders if linear and n in linear.logs and n.split(".")[0] in _COSTS]
    if linear is None or not costs:
        return None
    belief = stock.beliefs.get(RATE)
    rate = next(r["median"] for r in json.loads(tree.attrs["beliefs"]) if r["quantity"] == RATE)
    if belief is None:  # a known rate, or one that cannot be moved: about where the verdicts turn
        turns = linear.critical_rate[np.isfinite(linear.critical_rate) & (linear.critical_rate > 0)]
        if not turns.size:
            return None
        ends = [float(x) for x in np.quantile(turns, (0.05, 0.95))]
    else:
        ends = [belief.q05, belief.q95]
    matters = {n: _rank_correlation(linear.logs[n], linear.critical_rate) for n in costs}
    rates = np.geomspace(ends[0] / _REACH, ends[1] * _REACH, _COLUMNS)
    return {
        "family": linear.name,
        "critical": _encoded(linear.critical_rate, "<f8"),
        "costs": costs,
        "cost": crux if crux in costs else max(costs, key=lambda n: matters[n]),
        "rate": rate,
        "rates": [float(x) for x in rates],
        "rows": ROWS,
        "several": linear.several,
    }


def _template(name: str) -> str:
    return files("bayes_mesa.pages").joinpath("templates", name).read_text("utf-8")
