"""What a result tree still says of its model: enough to draw programs from it, no file needed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import (
    HONEST,
    Component,
    Facts,
    Family,
    Model,
    Overlap,
    Selection,
    Structure,
)
from bayes_mesa.errors import ResultFileError
from bayes_mesa.verdicts.program_record import with_programs, with_structures

if TYPE_CHECKING:
    import xarray as xr

_NOTHING = MappingProxyType[str, int]({})
_DRAWN = Known(math.nan)


def restored_model(tree: xr.DataTree) -> Model:
    """Structures, classes, facts, families and grammar of the model that a tree was fitted to.

    The costs of every draw are in the tree, so components, beliefs and evidence are left out (a
    belief that somebody looked at would be NaN). Name, text and SHA-256 are the original's.
    """
    if missing := [n for n in ("constant_data", "posterior") if n not in tree.children]:
        raise ResultFileError(
            f"the results must hold the groups of a whole fit, but lack {', '.join(missing)}"
        )
    base = str(tree.attrs["base_objective"])
    constant = tree["constant_data"].to_dataset()
    posterior = tree["posterior"].to_dataset()
    names = _texts(posterior["fact"]) if "fact" in posterior.coords else []
    uses = dict(zip(_texts(constant["structure"]), map(float, constant["uses"]), strict=True))
    objectives = _texts(posterior["objective"]) if "objective" in posterior.coords else []
    rows = zip(
        _texts(constant["structure"]),
        _texts(constant["structure_class"]),
        _texts(constant["structure_symbol"]),
        map(float, constant["multiplicity"]),
        _texts(constant["structure_train"]),
        strict=True,
    )
    model = Model(
        name=str(tree.attrs["model"]),
        components=(),
        structures=tuple(_structure(base, *row) for row in rows),
        families=tuple(_families(tree)),
        base_objective=base,
        losses=MappingProxyType(dict.fromkeys(objectives, _DRAWN)),
        facts=Facts(
            tuple(names),
            (_DRAWN,) * len(names),
            (_DRAWN,) * len(names),
            tuple(tuple(x) for x in json.loads(tree.attrs["fact_needs"])),
            MappingProxyType(uses),
        ),
        selection=Selection(_DRAWN, **json.loads(tree.attrs["selection"])),
        text=str(tree.attrs["model_text"]),
        sha256=str(tree.attrs["model_sha256"]),
    )
    if "grammar" in tree.attrs:
        return _with_grammar(model, tree)
    return _with_structures(model, tree) if "structures" in tree.attrs else model


def _with_grammar(model: Model, tree: xr.DataTree) -> Model:
    """What draws of programs of a grammar need beside the costs."""
    record = json.loads(tree.attrs["grammar"])
    posterior = tree["posterior"].to_dataset()
    unshared = set(record["unshared"])
    model = replace(
        model,
        components=tuple(
            Component(name, _DRAWN, _DRAWN, shared=name not in unshared)
            for name in _texts(posterior["component"])
        ),
        overlaps=tuple(Overlap(one, inside, _DRAWN) for one, inside in record["overlaps"]),
        facts=replace(model.facts, uses=_NOTHING),
    )
    return with_programs(model, record)


def _with_structures(model: Model, tree: xr.DataTree) -> Model:
    """What draws of programs need where results name only some of the structures."""
    record = json.loads(tree.attrs["structures"])
    components = _texts(tree["posterior"].to_dataset()["component"])
    model = replace(
        model,
        components=tuple(Component(name, _DRAWN, _DRAWN) for name in components),
        overlaps=tuple(Overlap(one, inside, _DRAWN) for one, inside in record["overlaps"]),
    )
    return with_structures(model, record)


def _structure(
    base: str, name: str, class_name: str, symbol: str, multiplicity: float, train: str
) -> Structure:
    deploy = base if class_name == HONEST else f"not {base}"
    return Structure(name, _NOTHING, _NOTHING, train, deploy, symbol, multiplicity)


def _families(tree: xr.DataTree) -> list[Family]:
    found = []
    for name, weights in json.loads(tree.attrs["families"]).items():
        own = [str(v) for v in tree[f"posterior_{name}"].data_vars]
        parameters = {v.removeprefix(f"{name}_"): _DRAWN for v in own if v.startswith(f"{name}_")}
        found.append(Family(name, float(weights["weight"]), MappingProxyType(parameters)))
    return found


def _texts(variable: xr.DataArray) -> list[str]:
    return [str(x) for x in variable.to_numpy()]
