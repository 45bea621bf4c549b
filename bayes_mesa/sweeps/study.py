"""What a sweep is about, put together from the model, its files and the fields."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayes_mesa.domain.model import Model
from bayes_mesa.errors import InputError, ModelFileError
from bayes_mesa.inference.family_fit import Settings
from bayes_mesa.model_file import load_evidence
from bayes_mesa.parallel.environment import versions
from bayes_mesa.reading.document import UNKNOWN_KEY
from bayes_mesa.reading.source_file import text_source, why_outside
from bayes_mesa.sweeps.field_range import FieldRange, literal
from bayes_mesa.sweeps.point import Companions, Study
from bayes_mesa.sweeps.template import template
from bayes_mesa.text.wording import shown

Files = tuple[tuple[str, bytes], ...]


def study_of(
    model: Model,
    fields: Sequence[FieldRange],
    evidence: Any,
    settings: Settings,
    *,
    travels: bool,
) -> Study:
    """What is the same at every point; with ``travels`` the files' bytes go along.

    Raises
    ------
    InputError
        For a model without a file, evidence that cannot be, or a field that leads nowhere.
    """
    if not (model.text and model.origin):
        raise InputError(
            f"the model {model.name} must come from a file with its text, found none: load it "
            "with load_model"
        )
    folder = Path(model.origin).resolve().parent
    files = _files(folder, _named(model.text, fields))
    extra: tuple[str, Companions] | None = None
    if isinstance(evidence, str | os.PathLike):
        path = Path(evidence).resolve()
        load_evidence(evidence, model)  # its faults are told before anything runs
        its_names = (path.name, *_named(path.read_text(encoding="utf-8"), ()))
        its_files = _files(path.parent, its_names)
        extra = path.name, Companions(str(path.parent), _digest(its_files), its_files)
    elif evidence is not None and (not isinstance(evidence, Mapping) or evidence):
        raise InputError(
            "evidence of a sweep must be None, {} or the path of a file with [evidence.*] tables, "
            f"found {shown(evidence)}"
        )
    study = Study(
        template(model.text, fields),
        Companions(str(folder), _digest(files), files),
        model.origin,
        tuple((name, int(value)) for name, value in vars(settings).items()),
        prior_only=evidence is not None and extra is None,
        evidence=extra,
    )
    return study if travels else study.at_home()


def check_names(study: Study, fields: Sequence[FieldRange]) -> None:
    """Refuse a field that no model file knows; what only some values make faulty fails later.

    Raises
    ------
    InputError
        With the field, and those that it could be.
    """
    try:
        study.model([literal(field.values[0]) for field in fields])
    except ModelFileError as error:
        for fault in error.faults:
            if UNKNOWN_KEY in fault.message:
                raise InputError(f"{fault.field}: {fault.message}") from error


def job_of(model: Model, study: Study, fields: Sequence[FieldRange]) -> dict[str, Any]:
    """All that the figures depend on, in JSON's terms."""
    return {
        "kind": "sweep",
        "model_sha256": model.sha256,
        "files_sha256": study.companions.sha256,
        "evidence_sha256": study.evidence[1].sha256 if study.evidence else None,
        "prior_only": study.prior_only,
        "over": {field.name: list(field.values) for field in fields},
        "settings": dict(study.settings),
        "versions": versions(),
    }


def attributes(
    model: Model, study: Study, fields: Sequence[FieldRange], job: Mapping[str, Any]
) -> dict[str, Any]:
    """What the data set says of itself."""
    return {
        "model": model.name,
        "title": model.title,
        "model_text": model.text,
        "model_sha256": model.sha256,
        "fields": json.dumps([field.name for field in fields]),
        **dict(study.settings),
        "random_numbers": "the same at every point",
        "versions": json.dumps(versions()),
        "sweep": json.dumps(job),
    }


def _named(text: str, fields: Sequence[FieldRange]) -> Iterator[str]:
    """Files that a text names, or would name at some point."""
    data = tomllib.loads(text_source(text, "").lines)
    for entry in (data.get("facts", {}), *data.get("evidence", {}).values()):
        if "file" in entry:
            yield entry["file"]
    for field in fields:
        if field.place[-1] == "file":
            yield from map(str, field.values)


def _files(folder: Path, names: Iterator[str] | Sequence[str]) -> Files:
    """Names and bytes; what is not there fails at its point, and says so there."""
    return tuple(
        (name, (folder / name).read_bytes())
        for name in sorted(set(names))
        if why_outside(folder, name) is None and (folder / name).is_file()
    )


def _digest(files: Files) -> str:
    found = hashlib.sha256()
    for name, data in files:
        found.update(f"{name}\0{len(data)}\0".encode() + data)
    return found.hexdigest()
