"""The verdict along a setting of training: the same draws of theta, judged again at every point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.model import CLASSES, Family, Model, Selection
from bayes_mesa.domain.slots import assemble, slots
from bayes_mesa.errors import InputError
from bayes_mesa.parallel.outcome import Outcome
from bayes_mesa.parallel.tasks import run_tasks
from bayes_mesa.results.summary import Results
from bayes_mesa.verdicts.estimand import Average, Estimate, probability, share
from bayes_mesa.verdicts.heaviest import with_heaviest
from bayes_mesa.verdicts.verdict import verdicts

if TYPE_CHECKING:
    import xarray as xr

Draws = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
#: What is kept of each verdict.
KEPT = ("deceptive_favored", "deceptive_mass", "class_mass", "class_favored", "margin_bits")


@dataclass(frozen=True, eq=False)
class VerdictCurve:
    """Verdicts at P points.

    Attributes
    ----------
    families
        Exchange families, in the order of the model file.
    average
        Their weights.
    known
        Whether nothing is uncertain, so that errors are 0.
    draws
        Variable (see `KEPT`) → one array for each family, (P, chains, draws) or, by class,
        (P, chains, draws, 3): masses and margins NaN where nothing fits.
    """

    families: tuple[str, ...]
    average: Average
    known: bool
    draws: Mapping[str, tuple[Draws, ...]]

    def favored(self, point: int, class_name: str | None = None) -> Estimate:
        """Probability that the program of least cost is deceptive, or of a class."""
        return probability(self._at(point, "favored", class_name), self.average, known=self.known)

    def mass(self, point: int, class_name: str | None = None) -> Estimate:
        """Share of the program weight that deceptive programs hold, or those of a class."""
        return share(self._at(point, "mass", class_name), self.average)

    def nothing_fits(self, point: int) -> float:
        """Share of draws in which no program fits."""
        empty = [np.isnan(d[point]).mean() for d in self.draws["deceptive_mass"]]
        return float(self.average.probability @ np.array(empty))

    def _at(self, point: int, what: str, class_name: str | None) -> list[Draws]:
        if class_name is None:
            return [d[point] for d in self.draws[f"deceptive_{what}"]]
        k = CLASSES.index(class_name)
        return [d[point, ..., k] for d in self.draws[f"class_{what}"]]


def verdict_curve(
    model: Model,
    tree: xr.DataTree,
    points: Sequence[Selection],
    *,
    family: str | None = None,
    replaced: Sequence[Mapping[str, float]] | None = None,
    num_draws: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    stage: str = "verdicts",
    progress: Progress | None = None,
) -> VerdictCurve:
    """Judge the draws of a result tree under other settings of the selection.

    Parameters
    ----------
    model
        The model that the tree was fitted to.
    tree
        Result of `fit`.
    points
        What the selection is at each point; its belief about the pressure is not looked at, since
        every draw has its own.
    family
        The one exchange family to judge under; by default all.
    replaced
        For each point, variables of theta and the value that they have there in every draw.
    num_draws
        Draws to take from each chain; all by default.
    workers, scheduler
        Points at the same time, on threads or on Dask, as in `tasks.run_tasks`: no draw changes.
        With neither, one after the other.
    stage, progress
        ``progress(stage, done, total)`` is called after every point.

    Raises
    ------
    InputError
        If the tree was fitted to another model; or what `tasks.run_tasks` says of the workers.
    """
    if str(tree.attrs["model_sha256"]) != model.sha256:
        raise InputError(
            f"the results must be of the model {model.name} as it stands, but were fitted to "
            "another text: fit it again"
        )
    model = with_heaviest(model)
    results = Results(tree)
    names = results.families if family is None else (family,)
    families = [model.family(name) for name in names]
    thetas = [_theta(model, tree, member, num_draws) for member in families]
    changes: Sequence[Mapping[str, float]] = [{}] * len(points) if replaced is None else replaced
    at = list(zip(points, changes, strict=True))
    judge = partial(_judged_at, model, families, thetas)
    found: dict[int, list[dict[str, Draws]]] = {}
    if workers is None and scheduler is None:
        for place, point in enumerate(at):
            found[place] = judge(point)
            if progress is not None:
                progress(stage, place + 1, len(points))
    else:

        def on_block(place: int, outcomes: list[Outcome]) -> None:
            if outcomes[0].error:
                raise InputError(f"{stage}: {outcomes[0].error}")
            found[place] = outcomes[0].value

        run_tasks(
            judge,
            at,
            block=1,
            on_block=on_block,
            workers=workers,
            scheduler=scheduler,
            stage=stage,
            progress=progress,
        )
    kept = list(zip(*(found[place] for place in range(len(points))), strict=True))
    draws = {
        name: tuple(np.stack([judged[name] for judged in own]) for own in kept) for name in KEPT
    }
    average = results.average if family is None else Average.alone()
    return VerdictCurve(names, average, results.known, draws)


def _theta(
    model: Model, tree: xr.DataTree, family: Family, num_draws: int | None
) -> dict[str, Draws]:
    """Theta as the tree stores it, (chains, draws, ...)."""
    group = tree[f"posterior_{family.name}"].to_dataset().isel(draw=slice(num_draws))
    shape = group.sizes["chain"], group.sizes["draw"]
    none = {s.name: np.zeros((1, *([s.size] if s.size else []))) for s in slots(model, family)}
    # What has no value at all (no facts, no overlaps) is not stored.
    return {
        name: group[name].transpose("chain", "draw", ...).to_numpy()
        if name in group
        else np.zeros((*shape, *x.shape[1:]))
        for name, x in assemble(model, none, family, np).items()
    }


def _replaced(theta: Mapping[str, Draws], change: Mapping[str, float]) -> Mapping[str, Draws]:
    return {
        name: np.full_like(x, change[name]) if name in change else x for name, x in theta.items()
    }


def _judged_at(
    model: Model,
    families: Sequence[Family],
    thetas: Sequence[Mapping[str, Draws]],
    point: tuple[Selection, Mapping[str, float]],
) -> list[dict[str, Draws]]:
    """The verdicts of one point, family by family."""
    selection, change = point
    at = replace(model, selection=replace(selection, pressure=model.selection.pressure))
    return [
        _judged(at, family, _replaced(theta, change))
        for family, theta in zip(families, thetas, strict=True)
    ]


def _judged(model: Model, family: Family, theta: Mapping[str, Draws]) -> dict[str, Draws]:
    shape = theta["pressure"].shape
    flat = {name: x.reshape(shape[0] * shape[1], *x.shape[2:]) for name, x in theta.items()}
    found = verdicts(model, family, flat)
    classes = np.array([column.class_name for column in model.columns])
    of_class = [found["structure_favored"][:, classes == name].any(axis=1) for name in CLASSES]
    found["class_favored"] = np.stack(of_class, axis=-1).astype(np.int8)
    return {name: found[name].reshape(*shape, *found[name].shape[1:]) for name in KEPT}
