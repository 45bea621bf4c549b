"""One point of a sweep: the model with its values, read anew, fitted, and what is kept of it."""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bayes_mesa.domain.model import CLASSES, EvidenceTable, Model
from bayes_mesa.inference.fitting import fit
from bayes_mesa.model_file import load_evidence, model_of_text
from bayes_mesa.results.diagnosis import diagnose
from bayes_mesa.results.summary import Results, estimates
from bayes_mesa.sweeps.template import Template

#: Figures of an estimate, and of a critical exchange value (`summary.critical`).
FIGURES = ("mean", "mcse", "lower", "upper")
CRITICAL = ("median", "lower", "upper", "always", "never", "several")

Figure = Mapping[str, float | None]


@dataclass(frozen=True)
class Companions:
    """Files that a model or evidence file names: in a folder here, or their bytes, to travel.

    ``files`` holds pairs (name, bytes); where it is None they are read from ``folder``. ``sha256``
    is of all names and bytes.
    """

    folder: str
    sha256: str
    files: tuple[tuple[str, bytes], ...] | None = None

    @property
    def place(self) -> Path:
        """A folder with the files in it; unpacked once in each process."""
        return Path(self.folder) if self.files is None else Path(_unpacked(self.files).name)


@functools.lru_cache(maxsize=8)
def _unpacked(files: tuple[tuple[str, bytes], ...]) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="bayes_mesa-")
    for name, data in files:
        path = Path(folder.name, *PurePosixPath(name).parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@dataclass(frozen=True)
class Study:
    """What is the same at every point of a sweep.

    Attributes
    ----------
    template
        The model file's text, with a gap for every swept field.
    companions
        The files that the text names.
    shown
        The model's path, as messages name it.
    settings
        Pairs of the names and values that `fit` takes.
    prior_only
        Whether all evidence is left out.
    evidence
        Name of a file with more evidence, and the files beside it; None for the model's own alone.
    """

    template: Template
    companions: Companions
    shown: str
    settings: tuple[tuple[str, int], ...]
    prior_only: bool = False
    evidence: tuple[str, Companions] | None = None

    def model(self, literals: Sequence[str]) -> Model:
        """The model with these values, one literal of TOML for each field."""
        return model_of_text(self.template.filled(literals), self.companions.place, self.shown)

    def at_home(self) -> Study:
        """The same for this machine alone: files are read where they are."""
        extra = self.evidence and (self.evidence[0], replace(self.evidence[1], files=None))
        return replace(self, companions=replace(self.companions, files=None), evidence=extra)

    def tables(self, model: Model) -> dict[str, EvidenceTable] | None:
        """Evidence for `fit`: None for the model's own, none at all, or the file's too."""
        if self.prior_only:
            return {}
        if self.evidence is None:
            return None
        name, companions = self.evidence
        return {
            t.name: t for t in (*model.evidence, *load_evidence(companions.place / name, model))
        }


def compute(study: Study, literals: Sequence[str]) -> dict[str, Any]:
    """Fit the model of one point: ``{"labels": {dimension: names}, "values": {name: array}}``.

    Every point is fitted from the same seed, with the same streams: what differs between points is
    what the fields do, and not chance.
    """
    model = study.model(literals)
    settings: dict[str, Any] = dict(study.settings)
    tree = fit(model, study.tables(model), **settings)
    results = Results(tree)
    found = estimates(results)
    families, structures = found["by_exchange"], found["structures"]
    values = {
        "deceptive_favored": _row(found["deceptive_favored"]),
        "deceptive_mass": _row(found["deceptive_mass"]),
        "nothing_fits": np.float64(found["nothing_fits"]),
        "class_mass": np.stack([_row(found["class_mass"][name]) for name in CLASSES]),
        "family_probability": np.array([f["weight"] for f in families.values()], dtype=float),
        "family_deceptive_favored": _rows(families, "deceptive_favored"),
        "family_deceptive_mass": _rows(families, "deceptive_mass"),
        "structure_favored": _rows(structures, "favored"),
        "structure_mass": _rows(structures, "mass"),
        "critical_rate": _row(found["critical_rate"], CRITICAL),
        "critical_kappa": _row(found["critical_kappa"], CRITICAL),
    }
    if "with_path" in found:
        values |= {f"{n}_with_path": _row(x) for n, x in found["with_path"].items()}
    if "log_likelihood" in tree.children:
        said = diagnose(tree, results.families)
        values |= {
            name: np.float64(math.nan if said[name] is None else said[name])
            for name in ("r_hat_max", "ess_bulk_min", "divergences")
        }
        values["warnings"] = np.float64(len(said["warnings"]))
    labels = {"family": list(families), "structure": list(structures), "class": list(CLASSES)}
    return {"labels": labels, "values": values}


def _row(figure: Figure, names: Sequence[str] = FIGURES) -> np.ndarray:
    return np.array([math.nan if figure[n] is None else figure[n] for n in names], dtype=float)


def _rows(of: Mapping[str, Mapping[str, Any]], name: str) -> np.ndarray:
    return np.stack([_row(figures[name]) for figures in of.values()])
