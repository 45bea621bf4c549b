"""What a result tree still says of its model: enough to draw programs from it, no file needed."""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from bayes_mesa.beliefs import Known
from bayes_mesa.model import DECEPTIVE, MISALIGNED, Facts, Family, Model, Structure

if TYPE_CHECKING:
    import xarray as xr

_NOTHING = MappingProxyType[str, int]({})
_DRAWN = Known(math.nan)


def restored_model(tree: xr.DataTree) -> Model:
    """Structures, classes, facts and families of the model that a result tree was fitted to.

    The costs of every draw are in the tree, so components, beliefs and evidence are left out (a
    belief that somebody looked at would be NaN). Name, text and SHA-256 are the original's.
    """
    base = str(tree.attrs["base_objective"])
    constant = tree["constant_data"].to_dataset()
    posterior = tree["posterior"].to_dataset()
    names = _texts(posterior["fact"]) if "fact" in posterior.coords else []
    uses = dict(zip(_texts(constant["structure"]), map(float, constant["uses"]), strict=True))
    return Model(
        name=str(tree.attrs["model"]),
        components=(),
        structures=tuple(
            _structure(base, *row)
            for row in zip(
                _texts(constant["structure"]),
                _texts(constant["structure_class"]),
                _texts(constant["structure_symbol"]),
                map(float, constant["multiplicity"]),
                strict=True,
            )
        ),
        families=tuple(_families(tree)),
        base_objective=base,
        facts=Facts(
            tuple(names),
            (_DRAWN,) * len(names),
            (_DRAWN,) * len(names),
            ((),) * len(names),
            MappingProxyType(uses),
        ),
        text=str(tree.attrs["model_text"]),
        sha256=str(tree.attrs["model_sha256"]),
    )


def _structure(
    base: str, name: str, class_name: str, symbol: str, multiplicity: float
) -> Structure:
    other = f"not {base}"
    train = other if class_name == MISALIGNED else base
    deploy = other if class_name in (DECEPTIVE, MISALIGNED) else base
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
