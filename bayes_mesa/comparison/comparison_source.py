"""What is compared: models with their beliefs, and posteriors with the models they came from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_mesa.domain.model import EvidenceTable, Model
from bayes_mesa.errors import InputError
from bayes_mesa.evidence.elicited import KIND, with_elicited
from bayes_mesa.handing_on.reloaded import reloaded_model
from bayes_mesa.inference.fitting import fit
from bayes_mesa.inference.inference import evidence_tables
from bayes_mesa.model_file import load_model
from bayes_mesa.regimes.regimes import default_draws
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.results.store import names_result, open_posterior

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[str, int, int], None]

#: Draws for each chain where the masses of a grammar are summed at every draw.
_GRAMMAR_DRAWS = 100


@dataclass(frozen=True, eq=False)
class Side:
    """A model with its beliefs (None: cannot be had), and its posterior where there is evidence."""

    name: str
    source: str
    model: Model | None
    tree: xr.DataTree | None
    why: str = ""


def opened(source: Model | xr.DataTree | str | os.PathLike[str]) -> Side:
    """A model, a result tree, a shipped name or a path, read."""
    if isinstance(source, Model):
        return Side(source.name, source.origin, with_elicited(source), None)
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        if names_result(text):
            return _of_results(open_posterior(text), text)
        model = load_model(source)
        return Side(model.name, text, model, None)
    require_result(source, "every source")
    return _of_results(source, "")


def _of_results(tree: xr.DataTree, source: str) -> Side:
    """A tree without evidence says no more than its model, of which common draws are better."""
    name = str(tree.attrs["model"])
    if not tree.attrs["model_text"]:
        why = f"{name} was made in Python, and its result holds no model file"
        return Side(name, source, None, tree, why)
    try:
        model = with_elicited(reloaded_model(tree), _judgements(tree))
    except InputError as error:
        return Side(name, source, None, tree, str(error))
    return Side(name, source, model, tree if evidence_names(tree) else None)


def evidence_names(tree: xr.DataTree) -> tuple[str, ...]:
    """What a result was conditioned on: tables of evidence, and updates by likelihood ratios."""
    tables = tree["log_likelihood"].data_vars if "log_likelihood" in tree.children else ()
    updates = json.loads(tree.attrs.get("updates", "[]"))
    return (*map(str, tables), *(f"likelihood ratio {u['likelihood_ratio']:g}" for u in updates))


def _judgements(tree: xr.DataTree) -> list[EvidenceTable]:
    """The experts' tables that a tree keeps, as they were read."""
    constant = tree["constant_data"].to_dataset()
    found = []
    for variable in map(str, constant.data_vars):
        name = variable.removesuffix("_q50")
        if name == variable or f"{name}_expert" not in constant:
            continue
        columns = {
            c: constant[f"{name}_{c}"].to_numpy()
            for c in ("expert", "component", "quantity", "q05", "q50", "q95", "weight")
        }
        columns = {c: x.astype(str) if x.dtype.kind in "OUST" else x for c, x in columns.items()}
        found.append(EvidenceTable(name, KIND, columns))
    return found


def told_apart(sides: Sequence[Side]) -> list[Side]:
    """With names that differ: by their files where the models are called alike, then by number."""
    for way in (lambda s: s.name, lambda s: Path(s.source).name or s.name, lambda s: s.source):
        names = [way(s) for s in sides]
        if len(set(names)) == len(names):
            break
    else:
        names = [f"{s.name} ({k})" for k, s in enumerate(sides, 1)]
    return [
        Side(name, s.source, s.model, s.tree, s.why) for name, s in zip(names, sides, strict=True)
    ]


def draws_for(side: Side) -> int:
    """Draws for each chain if nothing is said."""
    if side.model is None:
        return 1000
    most = default_draws(side.model)
    return most if side.model.grammar is None else min(most, _GRAMMAR_DRAWS)


def with_posterior(
    side: Side, num_samples: int, num_chains: int, seed: int, progress: Progress | None
) -> Side:
    """Fitted, where it is a model with evidence."""
    if side.tree is not None or side.model is None or not evidence_tables(side.model, None):
        return side
    tree = fit(
        side.model,
        num_samples=num_samples,
        num_chains=num_chains,
        seed=seed,
        progress=None
        if progress is None
        else lambda stage, done, total: progress(f"{side.name}, {stage}", done, total),
    )
    return Side(side.name, side.source, side.model, tree)
