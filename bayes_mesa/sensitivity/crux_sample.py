"""The draws that cruxes are found from: by family, every belief's values and the verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.beliefs import Prior
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import slots
from bayes_mesa.errors import InputError
from bayes_mesa.handing_on.reloaded import reloaded_model
from bayes_mesa.handing_on.slot_draws import slot_draws, uncertain_slots
from bayes_mesa.results.summary import Results
from bayes_mesa.sensitivity.redrawing import Redraw
from bayes_mesa.sensitivity.rejudging import VARIABLES, Judge, whole_values
from bayes_mesa.verdicts.prior_draws import draw_prior, slack

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]
#: Times as many draws, at most, where constraints leave few of them, and how many in all.
_MOST_TIMES, _MOST_DRAWN = 50, 200_000


@dataclass(frozen=True, eq=False)
class FamilySample:
    """Draws of one exchange family, chains one after the other.

    Attributes
    ----------
    name, probability
        Of the family: π_F.
    values
        Slot → (N,), or (N, n) for facts: the uncertain ones.
    y
        What is explained, (N,); NaN or infinite where a draw has none.
    fits
        Whether any program fits, bool (N,).
    inflation
        Draws for each independent one, at least 1.
    share
        Places of the draws that stand for this family in the average, π_F of all there.
    """

    name: str
    probability: float
    values: Mapping[str, Draws]
    y: Draws
    fits: NDArray[np.bool_]
    inflation: float
    share: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CruxSample:
    """A result tree, read for its cruxes.

    Attributes
    ----------
    families
        In the order of the model file.
    judge
        What judges other values; None where the model is not at hand or each verdict is dear.
    prior
        Whether the draws are the prior's: then what is redrawn is exact.
    of
        What is explained.
    covariance
        Of the errors of the families' probabilities.
    """

    tree: xr.DataTree
    families: tuple[FamilySample, ...]
    judge: Judge | None
    prior: bool
    of: str
    covariance: Draws

    @classmethod
    def of_tree(
        cls,
        tree: xr.DataTree,
        of: str,
        model: Model | None,
        num_draws: int | None = None,
        *,
        quick: bool = False,
    ) -> CruxSample:
        """Read a tree; ``model`` is needed where it was made in Python.

        ``num_draws`` of each family are judged again, or as many as is sensible.
        """
        judge = _judge(tree, model)
        if of != "margin" and _of_that_program(tree, of):
            judge = None
        wanted = 0
        if judge is not None:
            wanted = judge.num_draws(quick=quick) if num_draws is None else num_draws
            judge = judge if wanted else None
        results = Results(tree)
        # A file's evidence is a list; what a likelihood ratio said is under `updates`.
        prior = tree.attrs["evidence"] == "[]" and "updates" not in tree.attrs
        families = [
            _family(tree, results, name, of, wanted, independent=prior) for name in results.families
        ]
        return cls(tree, _shared_out(families), judge, prior, of, results.average.covariance)

    @property
    def names(self) -> tuple[str, ...]:
        """Uncertain beliefs that any draws are held of, in the order of the model file."""
        held = {n for f in self.families for n in f.values}
        return tuple(n for n in uncertain_slots(self.tree) if n in held)

    def family_of(self, name: str) -> str | None:
        """The family whose own parameter a belief is; None for what all share."""
        holders = [f.name for f in self.families if name in f.values]
        own = [f for f in holders if name.startswith(f"{f}_")]
        return own[0] if own else None

    def whole(self, family: FamilySample) -> tuple[Family, dict[str, Draws]]:
        """The family of the model, and the values of all its slots."""
        judge = self._judge_needed()
        member = judge.model.family(family.name)
        return member, whole_values(judge.model, member, family.values, len(family.y))

    def redraw(self, family: FamilySample) -> Redraw:
        """What draws the beliefs of a family anew."""
        judge = self._judge_needed()
        member, values = self.whole(family)
        make = Redraw.from_prior if self.prior else Redraw.from_draws
        return make(judge.model, member, values)

    def _judge_needed(self) -> Judge:
        if self.judge is None:
            raise InputError("a verdict must be judged again, but the model is not at hand")
        return self.judge


@dataclass(frozen=True, eq=False)
class Movable:
    """Draws whose beliefs can be multiplied: the prior's before constraints, where it is the prior.

    Of those that constraints and cuts leave, ``size`` are judged.
    """

    family: Family
    judge: Judge
    values: Mapping[str, Draws]
    low: Mapping[str, float]
    high: Mapping[str, float]
    medians: Mapping[str, float]
    size: int

    @classmethod
    def of(cls, sample: CruxSample, family: FamilySample, seed: int) -> Movable:
        """The stored draws; but fresh ones where constraints or cuts have shaped the prior."""
        member, values = sample.whole(family)
        judge = sample._judge_needed()
        model = judge.model
        found = slots(model, member)
        cut = [s for s in found if isinstance(s.belief, Prior) and s.belief.low > -math.inf]
        low = {s.name: s.belief.low for s in cut if isinstance(s.belief, Prior)}
        high = {s.name: 1.0 for s in found if s.name.startswith(("overlap_fraction.", "path_"))}
        uncut = [
            replace(s, belief=replace(s.belief, low=-math.inf)) if s.name in low else s  # type: ignore[arg-type]
            for s in found
        ]
        if sample.prior and (model.constraints or low):
            free = replace(model, constraints=())
            size, rng = len(family.y), np.random.default_rng(seed)
            values = dict(draw_prior(free, uncut, size, rng).values)
            left = float(_left(model, low, values).mean())
            if left < 1.0:
                # As many are to be left as there are draws.
                more = size * min(math.ceil(1.0 / max(left, 1e-9)), _MOST_TIMES)
                more = max(size, min(more, _MOST_DRAWN))
                values = dict(draw_prior(free, uncut, more, rng).values)
        medians = {s.name: float(s.belief.median) for s in uncut} if sample.prior else {}
        return cls(member, judge, values, low, high, medians, len(family.y))

    def median(self, name: str) -> float:
        """What is multiplied: the median of the belief before constraints and cuts, or of draws."""
        return self.medians.get(name) or float(np.median(self.values[name]))

    def probability(self, name: str | None, log10_factor: float, of: str) -> float:
        """Mean of the verdict with a belief multiplied; NaN where too few draws are left."""
        values = dict(self.values)
        if name is not None:
            moved = values[name] * 10.0**log10_factor
            values[name] = np.minimum(moved, self.high[name]) if name in self.high else moved
        left = np.flatnonzero(_left(self.judge.model, self.low, values))
        if left.size < max(20, 1e-3 * self.size):
            return math.nan
        if left.size < len(values["pressure"]):
            values = {n: x[left[: self.size]] for n, x in values.items()}
        y = self.judge(self.family, values, of)
        return float(np.nanmean(y)) if np.isfinite(y).any() else math.nan


def _left(model: Model, low: Mapping[str, float], values: Mapping[str, Draws]) -> NDArray[np.bool_]:
    """Which draws constraints and cuts leave, (N,)."""
    left = np.ones(len(values["pressure"]), dtype=bool)
    for constraint in model.constraints:
        left &= slack(model, constraint, values) >= 0.0
    for cut, at in low.items():
        if cut in values:
            left &= values[cut] >= at
    return left


def _judge(tree: xr.DataTree, model: Model | None) -> Judge | None:
    if model is not None:
        if str(tree.attrs["model_sha256"]) != model.sha256:
            raise InputError(
                f"the results must be of the model {model.name} as it stands, but were fitted to "
                "another text: fit it again"
            )
    elif tree.attrs["model_text"]:
        try:
            model = reloaded_model(tree)
        except (InputError, KeyError, ValueError):
            # A text that this version cannot read, or not that of these draws: they still speak.
            return None
    if model is None:
        return None
    return Judge(model)


def _family(
    tree: xr.DataTree,
    results: Results,
    name: str,
    of: str,
    wanted: int,
    *,
    independent: bool,
) -> FamilySample:
    group = tree[f"posterior_{name}"].to_dataset()
    y = group[VARIABLES.get(of, of)].transpose("chain", "draw").to_numpy().astype(float)
    if "path_lock_in" in group and of != "margin":
        locked, of_those = (
            group[f"path_{n}"].transpose("chain", "draw").to_numpy()
            for n in ("lock_in", "deceptive")
        )
        y = locked * of_those + (1.0 - locked) * y
    inflation = 1.0 if independent else _inflation(y)
    flat = {n: x.reshape(y.size, *x.shape[2:]) for n, x in _draws(tree, name).items()}
    kept = np.linspace(0, y.size - 1, min(wanted or y.size, y.size)).round().astype(int)
    probability = float(results.weights[name]["probability"] or 0.0)
    # Thinned draws hang together less.
    inflation = max(1.0, inflation * kept.size / y.size)
    # Evidence on a tradeoff draws the power family's exponent under the others too, where no
    # verdict hangs on it.
    others = tuple(f"{f}_" for f in results.families if f != name)
    values = {n: x[kept] for n, x in flat.items() if not n.startswith(others)}
    fits = ~np.isnan(group["deceptive_mass"].transpose("chain", "draw").to_numpy()).ravel()
    return FamilySample(name, probability, values, y.ravel()[kept], fits[kept], inflation, kept)


def _of_that_program(tree: xr.DataTree, of: str) -> bool:
    """Whether stored verdicts are those of one program that was seen, which nothing judges again.

    An update about the program leaves who is favored as it was, but not masses, nor the path.
    """
    updates = json.loads(tree.attrs.get("updates", "[]"))
    told = any(u["of"] == "program" for u in updates)
    return told and (of == "deceptive_mass" or "path_lock_in" in tree["posterior"].data_vars)


def _draws(tree: xr.DataTree, family: str) -> dict[str, Draws]:
    return slot_draws(tree, f"posterior_{family}")


def _inflation(y: Draws) -> float:
    """Draws for each independent one, from ArviZ's ESS of the verdict."""
    there = np.isfinite(y)
    if y.shape[1] < 8 or not there.any():
        return 1.0
    # A draw that has none is as the average, so that it says nothing.
    y = np.where(there, y, y[there].mean())
    if np.ptp(y) == 0.0:
        return 1.0
    from arviz_stats.base import array_stats

    ess = float(array_stats.ess(y, chain_axis=0, draw_axis=1, method="mean"))
    return max(1.0, y.size / ess) if ess > 0.0 else 1.0


def _shared_out(families: list[FamilySample]) -> tuple[FamilySample, ...]:
    """Draws of every family in proportion to π_F: as many as the scarcest allows."""
    size = min((len(f.y) / f.probability for f in families if f.probability > 0.0), default=0.0)
    return tuple(
        replace(
            f,
            share=np.linspace(0, len(f.y) - 1, min(round(size * f.probability), len(f.y)))
            .round()
            .astype(int),
        )
        for f in families
    )


def one_number(x: Draws) -> Draws:
    """A belief about many facts by one number: the sum of their logs."""
    if x.ndim == 1:
        return x
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(np.log(x), -1e3).sum(axis=-1))
