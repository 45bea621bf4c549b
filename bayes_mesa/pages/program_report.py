"""What the report says of a grammar's programs: those listed, the champions, who can be favored."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.model import CLASSES

if TYPE_CHECKING:
    import xarray as xr

#: Programs in the open table, besides those with a symbol; the others are folded away.
_OPEN = 10


@dataclass(frozen=True)
class Row:
    """One listed program, or the rest of a class (no expression, and no costs of its own).

    Attributes
    ----------
    name, program, symbol, class_name
        Name in the results, expression of the grammar, symbol (may be empty), class.
    bits, more_bits
        Posterior median of the description bits, without facts, and of how many more they are than
        those of the shortest listed program of the same draw.
    steps, more_steps
        The same for steps per episode and the fastest listed program.
    favored, mass
        Figures of ``summary.json``.
    standing
        Whether it can ever be favored: ``yes``, ``never``, ``in a tie at most``, ``not known``.
    """

    name: str
    program: str
    symbol: str
    class_name: str
    bits: float
    more_bits: float
    steps: float
    more_steps: float
    favored: Mapping[str, float | None]
    mass: Mapping[str, float | None]
    standing: str


@dataclass(frozen=True)
class Champion:
    """The best listed program of a class by mass and by P(favored); None: none is listed."""

    class_name: str
    by_mass: Row | None
    by_favored: Row | None
    rest: Row | None

    @property
    def rest_is_heavier(self) -> bool:
        """Whether the programs of the class that are not listed outweigh its champion together."""
        if self.rest is None or self.by_mass is None:
            return False
        return _mean(self.rest.mass) > _mean(self.by_mass.mass)


@dataclass(frozen=True)
class Programs:
    """All that the section says.

    Attributes
    ----------
    shown, folded
        Listed programs by falling mass: what stands in the open, and what is folded away.
    rest
        The programs that are not listed, one row for each class.
    champions
        One for each class.
    frontier
        Programs that can be favored at some costs, as ``(entry, row or None)``; empty: not known.
    rules
        The grammar's rules as ``{symbol, rule, weight, bits}``.
    endless
        Whether the grammar makes infinitely many programs.
    """

    shown: Sequence[Row]
    folded: Sequence[Row]
    rest: Sequence[Row]
    champions: Sequence[Champion]
    frontier: Sequence[tuple[Mapping[str, Any], Row | None]]
    rules: Sequence[Mapping[str, Any]]
    endless: bool


def programs_in(tree: xr.DataTree, summary: Mapping[str, Any]) -> Programs | None:
    """The section's content from a result tree and its summary; None without a grammar."""
    if "grammar" not in tree.attrs:
        return None
    frontier = json.loads(tree.attrs.get("frontier", "[]"))
    rows = _rows(tree, summary, {entry["name"] for entry in frontier})
    listed = sorted((r for r in rows if r.program), key=lambda r: -_mean(r.mass))
    rest = [r for r in rows if not r.program]
    first = {r.name for r in listed[:_OPEN]} | {r.name for r in listed if r.symbol}
    by_name = {r.name: r for r in listed}
    rules = json.loads(tree.attrs["grammar"])["rules"]
    return Programs(
        shown=[r for r in listed if r.name in first],
        folded=[r for r in listed if r.name not in first],
        rest=rest,
        champions=[_champion(name, listed, rest) for name in CLASSES],
        frontier=[(entry, by_name.get(entry["name"])) for entry in frontier],
        rules=_described(rules),
        endless=_endless(rules),
    )


def _rows(tree: xr.DataTree, summary: Mapping[str, Any], able: set[str]) -> list[Row]:
    constant = tree["constant_data"].to_dataset()
    expressions = [str(x) for x in constant["structure_program"].to_numpy()]
    listed = np.array([x != "" for x in expressions])
    bits, more_bits = _medians(tree, "structure_bits", listed)
    steps, more_steps = _medians(tree, "structure_steps", listed)
    never = set(json.loads(tree.attrs["never_favored"]))
    return [
        Row(
            name=name,
            program=expressions[k],
            symbol=figures["symbol"],
            class_name=figures["class"],
            bits=float(bits[k]),
            more_bits=float(more_bits[k]),
            steps=float(steps[k]),
            more_steps=float(more_steps[k]),
            favored=figures["favored"],
            mass=figures["mass"],
            standing=_standing(name, figures, never, able),
        )
        for k, (name, figures) in enumerate(summary["structures"].items())
    ]


def _medians(tree: xr.DataTree, name: str, listed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians over draws, (S,), of a cost and of its excess over the least; NaN: not listed."""
    cost = tree["posterior"].to_dataset()[name].transpose("structure", "chain", "draw").to_numpy()
    median = np.full(len(listed), np.nan)
    excess = median.copy()
    if listed.any():
        median[listed] = np.median(cost[listed], axis=(1, 2))
        excess[listed] = np.median(cost[listed] - cost[listed].min(axis=0), axis=(1, 2))
    return median, excess


def _standing(name: str, figures: Mapping[str, Any], never: set[str], able: set[str]) -> str:
    if name in never:
        return "never"
    if name in able or _mean(figures["favored"]) > 0.0:
        return "yes"
    return "in a tie at most" if able else "not known"


def _champion(class_name: str, listed: Sequence[Row], rest: Sequence[Row]) -> Champion:
    own = [r for r in listed if r.class_name == class_name]
    return Champion(
        class_name,
        max(own, key=lambda r: _mean(r.mass), default=None),
        max(own, key=lambda r: _mean(r.favored), default=None),
        next((r for r in rest if r.class_name == class_name), None),
    )


def _mean(figure: Mapping[str, float | None]) -> float:
    mean = figure["mean"]
    return -math.inf if mean is None else mean


def _described(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rules with the bits that they cost: minus log2 of their share of their symbol's weight."""
    total: Counter[str] = Counter()
    for rule in rules:
        total[rule["symbol"]] += rule["weight"]
    return [
        {
            "symbol": rule["symbol"],
            "rule": f"{rule['name']}({', '.join(rule['args'])})" if rule["args"] else rule["name"],
            "weight": rule["weight"],
            "bits": math.log2(total[rule["symbol"]] / rule["weight"]),
        }
        for rule in rules
    ]


def _endless(rules: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some symbol comes up below itself; no grammar has symbols that nothing reaches."""
    below: dict[str, set[str]] = {}
    for rule in rules:
        below.setdefault(rule["symbol"], set()).update(rule["args"])
    try:
        TopologicalSorter(below).prepare()
    except CycleError:
        return True
    return False
