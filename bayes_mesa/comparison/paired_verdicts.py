"""Verdicts of several models on the same random numbers, and of a result tree, in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.comparison.attribution import Attribution, Progress, Thrown, attribute
from bayes_mesa.comparison.differences import Difference
from bayes_mesa.comparison.in_between import between
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model
from bayes_mesa.domain.slots import assemble, slots
from bayes_mesa.errors import InputError
from bayes_mesa.results.summary import Results
from bayes_mesa.verdicts.common_draws import CommonDraws
from bayes_mesa.verdicts.dominance import never_favored
from bayes_mesa.verdicts.engines import TEMPERED, Engines
from bayes_mesa.verdicts.estimand import Average, finite, probability, share
from bayes_mesa.verdicts.heaviest import with_heaviest
from bayes_mesa.verdicts.verdict import verdicts

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]
Group = tuple[Difference, ...]
#: The two estimands, always both.
ESTIMANDS = ("deceptive_favored", "deceptive_mass")
#: What ties costs to one another: where models in between cannot hold, these go together.
_TIES = ("belief", "constraint", "correlations", "heuristics", "overlap")
_TOGETHER = "Some differences are taken together: a model with one of them and without the others"


@dataclass(frozen=True, eq=False)
class PairedVerdicts:
    """Judges models on common draws: ``num_chains`` × ``num_samples`` of them, from ``seed``."""

    draws: CommonDraws
    num_chains: int
    num_samples: int

    @classmethod
    def of(cls, num_chains: int, num_samples: int, seed: int) -> PairedVerdicts:
        """With draws of their own streams."""
        return cls(CommonDraws(num_chains * num_samples, seed), num_chains, num_samples)

    def judged(self, model: Model, family: Family) -> dict[str, Draws]:
        """The estimands and ``class_mass`` at every draw, (N,) and (N, 3); NaN: nothing fits."""
        model = with_heaviest(model)
        found = slots(model, family)
        theta = assemble(model, self.draws.of(model, found, family.name), family, np)
        theta = {name: np.asarray(x) for name, x in theta.items()}
        if not any(s.uncertain for s in found) and Engines.of(model).masses != TEMPERED:
            theta = {name: x[:1] for name, x in theta.items()}
        stream = np.random.SeedSequence(self.draws.seed)
        seen = verdicts(model, family, theta, stream)
        size = self.draws.num_draws
        return {
            name: np.broadcast_to(np.asarray(seen[name], dtype=np.float64), (size, *shape))
            for name, shape in (*((e, ()) for e in ESTIMANDS), ("class_mass", (len(CLASSES),)))
        }

    def of_model(self, model: Model) -> dict[str, Any]:
        """Both estimands and the classes' masses of the prior, by family and averaged."""
        shape = (self.num_chains, self.num_samples)
        draws = {
            f.name: {n: x.reshape(*shape, *x.shape[1:]) for n, x in self.judged(model, f).items()}
            for f in model.families
        }
        weights = np.array([f.weight for f in model.families])
        known = not any(s.uncertain for f in model.families for s in slots(model, f))
        model = with_heaviest(model)
        deceptive = {c.name for c in model.columns if c.class_name == DECEPTIVE}
        return _figures(
            draws,
            Average(weights, np.zeros((weights.size,) * 2)),
            known=known,
            proved_never=deceptive <= never_favored(model),
        )

    def attributed(
        self,
        first: Model,
        second: Model,
        groups: Sequence[Group],
        progress: Progress | None = None,
    ) -> tuple[Attribution, tuple[Group, ...], str]:
        """Shares of groups of differences in both estimands, the groups, and what to know of them.

        Values have the axes (estimand, as weighted or by itself, family of either model, draw); a
        family that a model lacks has the value 0 in it. Groups are joined where some model in
        between is none: it contradicts itself, or no program fits in it.
        """
        note = ""
        ways = _joinings(tuple(map(tuple, groups)))
        for joined in ways:
            try:
                found = self._attributed(first, second, joined, progress)
            except InputError as error:
                if joined == ways[-1]:
                    raise
                note = f"{_TOGETHER} contradicts itself ({error})."
                continue
            if joined == ways[-1] or np.isfinite(found.shares).all():
                break
            note = f"{_TOGETHER} has no program that fits."
        return found, joined, note

    def _attributed(
        self, first: Model, second: Model, groups: Sequence[Group], progress: Progress | None
    ) -> Attribution:
        rng = np.random.Generator(np.random.PCG64(self.draws.seed))
        names = family_names(first, second)
        known: dict[tuple[str, Thrown], Draws] = {}

        def value(thrown: Thrown) -> Draws:
            taken = frozenset(d.key for g in thrown for d in groups[g])
            model = between(first, second, taken)
            found = np.zeros((len(ESTIMANDS), 2, len(names), self.draws.num_draws))
            places, drawn = [names.index(f.name) for f in model.families], []
            for family in model.families:
                # What another family's parameters are leaves this one as it is.
                seen = frozenset(g for g in thrown if _touches(groups[g], family.name))
                if (family.name, seen) not in known:
                    judged = self.judged(model, family)
                    known[family.name, seen] = np.stack([judged[e] for e in ESTIMANDS])
                drawn.append(known[family.name, seen])
            weights = np.array([f.weight for f in model.families])
            for i in range(len(ESTIMANDS)):
                found[i, 0, places] = _averaged(np.stack([x[i] for x in drawn]), weights)
                for k, x in zip(places, drawn, strict=True):
                    found[i, 1, k] = _averaged(x[None, i], np.ones(1))[0]
            return found

        return attribute(value, len(groups), rng, progress=progress)


def of_tree(tree: xr.DataTree) -> dict[str, Any]:
    """The same figures of a posterior, from its own draws."""
    results = Results(tree)
    picked: dict[str, Callable[[Any], Any]] = {
        ESTIMANDS[0]: lambda d: d[ESTIMANDS[0]],
        ESTIMANDS[1]: lambda d: d[ESTIMANDS[1]],
    }
    draws: dict[str, dict[str, Draws]] = {
        f: {n: np.asarray(results.draws(pick, f)[0], dtype=float) for n, pick in picked.items()}
        for f in results.families
    }
    for f, own in draws.items():
        classes = tree[f"posterior_{f}"].to_dataset()["class_mass"]
        own["class_mass"] = classes.transpose("chain", "draw", "class").to_numpy()
    return _figures(
        draws,
        results.average,
        known=results.known,
        proved_never=results.deception_is_excluded,
    )


def family_names(first: Model, second: Model) -> list[str]:
    """Exchange families of either model, the first's first."""
    return list(dict.fromkeys(f.name for m in (first, second) for f in m.families))


def _figures(
    draws: Mapping[str, Mapping[str, Draws]], average: Average, *, known: bool, proved_never: bool
) -> dict[str, Any]:
    def both(names: Sequence[str], weights: Average) -> dict[str, Any]:
        favored = [draws[f][ESTIMANDS[0]] for f in names]
        chance = probability(favored, weights, proved_never=proved_never, known=known)
        mass = share([draws[f][ESTIMANDS[1]] for f in names], weights)
        return dict(zip(ESTIMANDS, (chance.as_dict(), mass.as_dict()), strict=True))

    names = list(draws)
    empty = [float(np.isnan(draws[f][ESTIMANDS[1]]).mean()) for f in names]
    return {
        **both(names, average),
        "class_mass": {
            name: share([draws[f]["class_mass"][..., k] for f in names], average).as_dict()
            for k, name in enumerate(CLASSES)
        },
        "by_exchange": {
            f: {"weight": finite(weight), **both([f], Average.alone())}
            for f, weight in zip(names, average.probability, strict=True)
        },
        "nothing_fits": float(average.probability @ np.array(empty)),
    }


def _averaged(x: Draws, weights: Draws) -> Draws:
    """What each family's draws, (F, N), add to the average: its sum over F has it as plain mean.

    NaN draws are left out, so that a family counts by its weight times the share of its draws that
    are not, as in `estimand.share`: A = Σ_F w_F mean(x·1[number]) / Σ_F w_F mean(1[number]), in its
    linearisation, whose spread is A's error.
    """
    there = ~np.isnan(x)
    if there.all():
        return weights[:, None] * x
    among = float(weights @ there.mean(axis=1))
    if not among > 0.0:
        return np.full(x.shape, np.nan)
    mean = float(weights @ np.where(there, x, 0.0).mean(axis=1)) / among
    scale = weights.sum() / among
    return weights[:, None] * (mean + np.where(there, x - mean, 0.0) * scale)


def _touches(group: Sequence[Difference], family: str) -> bool:
    return any(d.family in ("", family) for d in group)


def _joinings(groups: tuple[Group, ...]) -> list[tuple[Group, ...]]:
    """The groups as they are, then with those that tie costs joined, then all of them."""
    tied = tuple(g for g in groups if all(d.kind in _TIES for d in g))
    rest = tuple(g for g in groups if g not in tied)
    ways = [groups]
    if len(tied) > 1 and rest:
        ways.append((*rest, tuple(d for g in tied for d in g)))
    if len(groups) > 1:
        ways.append((tuple(d for g in groups for d in g),))
    return ways
