"""What a fit has finished, kept on disk: a run that was killed goes on from there.

Three kinds of parts: ``prior-FAMILY``, its prior draws with their verdicts; ``nuts-FAMILY-NNNNN``,
a stretch of its chains and where they stand (`nuts_parts`); ``fit-FAMILY``, all that is known of it
once its evidence is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.model import EvidenceTable, Family, Model
from bayes_mesa.errors import InputError
from bayes_mesa.inference.family_fit import Arrays, FamilyFit, Settings
from bayes_mesa.inference.marginal_likelihood import LogMarginalLikelihood
from bayes_mesa.inference.nuts_parts import NutsParts
from bayes_mesa.parallel.environment import versions
from bayes_mesa.storage.fingerprint import fingerprint
from bayes_mesa.storage.packed_arrays import pack, unpack
from bayes_mesa.storage.segments import Segments

if TYPE_CHECKING:
    import xarray as xr

#: Fields of a `FamilyFit` that are arrays by name.
_GROUPS = tuple(f.name for f in fields(FamilyFit) if f.name not in ("family", "marginal"))
#: Where a file lay says nothing about what is computed from it.
_PLACES = ("origin",)


class Checkpoint:
    """The finished parts of one fit; without a folder nothing is kept and nothing found."""

    def __init__(self, segments: Segments | None = None):
        self._segments = segments

    def prior(self, family: Family, compute: Callable[[], FamilyFit]) -> FamilyFit:
        """Prior draws of a family: those that are kept, else computed now and kept."""
        return self._kept(f"prior-{family.name}", family, compute)

    def fit(self, family: Family, compute: Callable[[], FamilyFit]) -> FamilyFit:
        """The finished fit of a family: the one that is kept, else computed now and kept."""
        found = self._kept(f"fit-{family.name}", family, compute)
        if self._segments is not None:
            NutsParts(self._segments, family.name).remove()  # the fit holds their draws
        return found

    def chains(self, family: Family) -> NutsParts | None:
        """Where the stretches of a family's chains are kept; None where nothing is."""
        return None if self._segments is None else NutsParts(self._segments, family.name)

    def _kept(self, name: str, family: Family, compute: Callable[[], FamilyFit]) -> FamilyFit:
        if self._segments is None:
            return compute()
        found = self._segments.load(name)
        if found is not None:
            return _restored(found.to_dataset(), family)
        computed = _in_order(compute())
        self._segments.save(name, _packed(computed))
        return computed


@contextmanager
def kept_parts(
    folder: str | PathLike[str] | None,
    model: Model,
    tables: Sequence[EvidenceTable],
    settings: Settings,
) -> Iterator[Checkpoint]:
    """The parts of this fit in a folder, locked meanwhile.

    Raises
    ------
    InputError
        If the folder holds parts of another fit, naming what differs, or is in use.
    ResultFileError
        If it cannot be written.
    """
    if folder is None:
        yield Checkpoint()
        return
    if not isinstance(folder, str | PathLike):
        raise InputError(f"checkpoint must be a folder, found {folder!r}")
    job = resumable_job(model, tables, settings)
    with Segments.open(Path(fspath(folder)), job, resume=True) as segments:
        yield Checkpoint(segments)


def fit_job(model: Model, tables: Sequence[EvidenceTable], settings: Settings) -> dict[str, Any]:
    """All that a fit's draws depend on, in JSON's terms.

    The model file's own SHA-256 tells which file it was; that of the content tells apart models
    which were changed after they were read.
    """
    return {
        "kind": "fit",
        "model": {
            "name": model.name,
            "file": model.sha256,
            "content": fingerprint(model, without=_PLACES),
        },
        "evidence": {
            "tables": [table.name for table in tables],
            "content": fingerprint(tuple(tables), without=_PLACES),
        },
        "settings": {name: int(value) for name, value in asdict(settings).items()},
    }


def resumable_job(
    model: Model, tables: Sequence[EvidenceTable], settings: Settings
) -> dict[str, Any]:
    """`fit_job` and the versions of all that computes it: half a fit fits to no other version."""
    return {**fit_job(model, tables, settings), "versions": versions()}


def _in_order(fit: FamilyFit) -> FamilyFit:
    """The same arrays as they lie in memory when read from a file.

    Sums over an array depend on its layout in the last bits: what is resumed must not differ.
    """
    ordered = {
        name: {key: np.ascontiguousarray(x) for key, x in getattr(fit, name).items()}
        for name in _GROUPS
    }
    return FamilyFit(family=fit.family, marginal=fit.marginal, **ordered)


def _packed(fit: FamilyFit) -> xr.Dataset:
    marginal = fit.marginal
    arrays = {
        f"{group}/{name}": array for group in _GROUPS for name, array in getattr(fit, group).items()
    }
    return pack(
        {"marginal": np.array([marginal.value, marginal.error, float(marginal.sound)]), **arrays}
    )


def _restored(packed: xr.Dataset, family: Family) -> FamilyFit:
    arrays = unpack(packed)
    value, error, sound = arrays.pop("marginal").tolist()
    groups: dict[str, Arrays] = {group: {} for group in _GROUPS}
    for name, array in arrays.items():
        group, of = name.split("/", 1)
        groups[group][of] = array
    return FamilyFit(
        family=family, marginal=LogMarginalLikelihood(value, error, bool(sound)), **groups
    )
