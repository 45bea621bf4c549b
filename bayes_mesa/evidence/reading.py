"""Evidence tables from CSV files or from Python, checked against the model that they inform."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bayes_mesa.domain.model import EvidenceTable, Model
from bayes_mesa.errors import InputError, ModelFileError
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.kind import EvidenceKind
from bayes_mesa.reading.tables import MAX_FAULTS, RowFault, Rows, file_faults, read_csv, read_rows
from bayes_mesa.text.wording import listed, shown, suggestion

#: Names of what the groups of a result hold beside evidence.
RESERVED = frozenset(
    {"pressure", "correlations", "fact_bits", "fact_steps", "heuristics_bits", "heuristics_steps"}
    | {"path_lock_in", "path_deceptive", "linear_rate", "levin_kappa"}
    | {"power_rate", "power_exponent"}
    | {"task_rollouts", "task_episodes", "planning_exponent", "learning_exponent"}
    | {"chain", "draw", "family", "structure", "class", "component", "fact", "objective", "overlap"}
    | {"bits", "steps", "loss", "overlap_fraction", "structure_mass", "structure_favored"}
    | {"structure_bits", "structure_steps", "class_mass", "deceptive_mass", "deceptive_favored"}
    | {"margin_bits", "least_steps", "log_weight_error", "mass_error", "mass_bound"}
    | {"critical_rate", "critical_kappa", "rate_crossings", "kappa_crossings"}
)
#: What follows a table's name in the names of its rows, its groups and its own unknowns.
SUFFIXES = ("row", "sd", "intercept", "concentration", "offset", "group", "expert")


def why_no_name(name: str, others: Iterable[str] = ()) -> str | None:
    """Say why evidence may not be called this beside others; None if it may."""
    if name in RESERVED:
        return f"must be a name that no variable of the result has, found {shown(name)}"
    owner = next((o for o in others if name in {f"{o}_{suffix}" for suffix in SUFFIXES}), None)
    if owner is not None:
        found = f"found {shown(name)} beside {shown(owner)}"
        return f"must be a name that no variable of other evidence has, {found}"
    return None


def why_no_kind(kind: Any) -> str | None:
    """Say why this is no kind of evidence; None if it is."""
    if isinstance(kind, str) and kind in KINDS:
        return None
    near = suggestion(kind, KINDS) if isinstance(kind, str) else ""
    return f"must be one of {listed(KINDS)}, found {shown(kind)}{near}"


def read_evidence(
    path: Path, path_shown: str, name: str, kind: EvidenceKind, model: Model | None
) -> EvidenceTable:
    """Read the CSV of one evidence table; without a model, only what needs none is checked.

    Raises
    ------
    ModelFileError
        With every fault of the file: columns, values, and what the model does not have.
    """
    rows = read_csv(path, path_shown, kind.columns)
    faults = (*rows.faults, *islice(kind.faults(rows, model), MAX_FAULTS))
    if faults:
        raise ModelFileError(file_faults(path_shown, rows, faults))
    return _table(name, kind, rows, path_shown)


def _table(name: str, kind: EvidenceKind, rows: Rows, origin: str) -> EvidenceTable:
    columns = {
        column.name: column.array(rows.columns[column.name])
        for column in kind.columns
        if column.name in rows.columns
    }
    return EvidenceTable(name, kind.name, MappingProxyType(columns), origin)


def by_name(evidence: Any) -> Mapping[Any, Any]:
    """Evidence as a mapping by name; the tables of `load_evidence` have names of their own.

    Raises
    ------
    InputError
        If it is neither.
    """
    if isinstance(evidence, Mapping):
        if isinstance(evidence.get("kind"), str):
            raise InputError(
                "evidence must map names to tables, found one table: write "
                '{"a_name": {"kind": ...}}'
            )
        return evidence
    if isinstance(evidence, tuple | list) and all(isinstance(t, EvidenceTable) for t in evidence):
        return {table.name: table for table in evidence}
    raise InputError(
        "evidence must be a mapping of names to tables, or the tables of load_evidence, found "
        f"{shown(evidence)}"
    )


def as_evidence(
    evidence: Mapping[str, EvidenceTable | Mapping[str, Any]] | Sequence[EvidenceTable],
    model: Model,
) -> tuple[EvidenceTable, ...]:
    """Evidence given in Python, under the checks that a model file's evidence passes.

    Parameters
    ----------
    evidence
        By name, an `EvidenceTable` or ``{"kind": kind, column: one value per row, ...}``.
    model
        The model that it informs.

    Raises
    ------
    InputError
        With one line for each fault: ``evidence.NAME.COLUMN[ROW]: required, found``.
    """
    tables: list[EvidenceTable] = []
    faults: list[str] = []
    named = by_name(evidence)
    for name, given in named.items():
        table, found = _checked(name, given, model, named)
        tables += [table] if table else []
        faults += [f"evidence.{name}{where}" for where in found]
    if faults:
        raise InputError("\n".join(faults))
    return tuple(tables)


def _checked(
    name: str, given: Any, model: Model, others: Iterable[str]
) -> tuple[EvidenceTable | None, list[str]]:
    from bayes_mesa.reading.schema_types import SAFE_NAME

    if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
        return None, [": must be named by at most 100 letters, digits and _"]
    if (why := why_no_name(name, others)) is not None:
        return None, [f": {why}"]
    if isinstance(given, EvidenceTable):
        given = {"kind": given.kind, **given.columns}
    if not isinstance(given, Mapping):
        return None, [": must be an evidence table or a mapping of columns"]
    if (why := why_no_kind(given.get("kind"))) is not None:
        return None, [f".kind: {why}"]
    kind = KINDS[given["kind"]]
    columns: dict[str, Sequence[Any]] = {}
    faults = []
    for column, values in given.items():
        if column != "kind":
            where = _printable(str(column))
            array, why = _one_value_per_row(values)
            faults += [f".{where}: {why}"] if why else []
            columns[where] = array.ravel().tolist()
    faults += _lengths({column: len(values) for column, values in columns.items()})
    if faults:
        return None, faults
    rows = read_rows(columns, kind.columns, text=False)
    faults = [_where(f) for f in (*rows.faults, *kind.faults(rows, model))]
    return (None, faults) if faults else (_table(name, kind, rows, ""), [])


def _one_value_per_row(values: Any) -> tuple[np.ndarray, str]:
    """The values as an array, and what is wrong with them as a whole."""
    try:
        array = np.asarray(values)
    except Exception:  # rows of several lengths, or whatever a foreign object's conversion raises
        return np.zeros(0), "must be one value per row, found another shape"
    if array.ndim != 1:
        return array, "must be one value per row, found another shape"
    if array.dtype.kind in "mM":
        return array, "must be numbers or text, found times"
    if np.ma.is_masked(values):
        return array, "must have a value in every row, found masked ones"
    return array, ""


def _printable(name: str) -> str:
    return name if name.isprintable() else json.dumps(name)[1:-1]


def _lengths(lengths: Mapping[str, int]) -> list[str]:
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{column} {length}" for column, length in lengths.items())
        return [f": must have columns of one length, found {found}"]
    return [] if any(lengths.values()) else [": must have at least one row, found none"]


def _where(fault: RowFault) -> str:
    row = "" if fault.row is None else f"[{fault.row}]"
    return f".{fault.column}{row}: {fault.message}"
