"""The model that a result tree was fitted to, read again from the text that the tree holds."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_mesa.domain.beliefs import Prior
from bayes_mesa.domain.model import Model
from bayes_mesa.errors import InputError
from bayes_mesa.handing_on import model_text
from bayes_mesa.handing_on.slot_draws import model_lines, uncertain_slots
from bayes_mesa.model_file import load_model

if TYPE_CHECKING:
    import xarray as xr

_PLACEHOLDER = Prior("LogNormal", (("loc", 0.0), ("scale", 1.0)))


def reloaded_model(tree: xr.DataTree) -> Model:
    """The model of a tree, without its evidence and the families that were not fitted.

    Costs that only experts were asked about get a placeholder for a belief: what the experts said
    is in the tree's draws.

    Raises
    ------
    InputError
        If the model was made in Python and has no text.
    """
    if not tree.attrs["model_text"]:
        raise InputError(
            "the model must come from a model file, found results of one made in Python: give it "
            "as model=..."
        )
    document = model_text.parsed(model_lines(tree))
    model_text.without_evidence(document, json.loads(tree.attrs["families"]))
    files = put_facts_file(tree, document, "facts.csv")
    put_placeholders(tree, document)
    return loaded(document, files)


def put_facts_file(tree: xr.DataTree, document: Any, name: str) -> dict[str, str]:
    """Facts that were in a file, as a file of the given name: the tree knows all of them."""
    if "file" not in document.get("facts", {}):
        return {}
    document["facts"]["file"] = name
    posterior = tree["posterior"].to_dataset()
    names = [str(x) for x in posterior["fact"].to_numpy()] if "fact" in posterior.coords else []
    needs = json.loads(tree.attrs["fact_needs"])
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")
    rows.writerow(["name", "bits", "steps", "needs"])
    for j, fact in enumerate(names):
        # Known numbers: all draws are the same.
        known = (float(posterior[f"fact_{axis}"][0, 0, j]) for axis in ("bits", "steps"))
        rows.writerow([fact, *map(repr, known), " ".join(names[k] for k in needs[j])])
    return {name: lines.getvalue()}


def put_placeholders(tree: xr.DataTree, document: Any) -> None:
    """Give a belief to costs that only elicitation gave one."""
    for name in uncertain_slots(tree):
        axis, _, component = name.partition(".")
        if axis in ("bits", "steps") and axis not in document["components"][component]:
            model_text.put_prior(document, ("components", component, axis), _PLACEHOLDER, "")


def loaded(document: Any, files: Mapping[str, str]) -> Model:
    """The model that a text stands for, read by the loader itself."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_text(content, encoding="utf-8")
        path = Path(folder) / "next.toml"
        path.write_text(dumped(document), encoding="utf-8", newline="\n")
        return load_model(path)


def dumped(document: Any) -> str:
    """The text of a document."""
    import tomlkit

    return tomlkit.dumps(document)
