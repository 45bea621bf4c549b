"""Model files: found, read, checked, and turned into a frozen model."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from bayes_mesa.domain.grammar import Grammar
from bayes_mesa.domain.model import (
    EvidenceTable,
    Facts,
    Family,
    Heuristics,
    Model,
    Selection,
    Structure,
)
from bayes_mesa.domain.pool import Judgement, Pool
from bayes_mesa.errors import InputError, ModelFileError
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.elicited import KIND, clashes, judgement_tables, with_elicited
from bayes_mesa.evidence.reading import (
    as_evidence,
    read_evidence,
    why_no_kind,
    why_no_name,
)
from bayes_mesa.reading import schema
from bayes_mesa.reading.crosscheck import crosscheck
from bayes_mesa.reading.document import Document, read_document
from bayes_mesa.reading.facts_file import read_facts
from bayes_mesa.reading.grammar_check import check_grammar, labelled, summable
from bayes_mesa.reading.source_file import text_source, why_outside
from bayes_mesa.reading.tables import read_csv
from bayes_mesa.reading.toml_source import TomlSource, parse_toml, read_toml
from bayes_mesa.text.wording import Location, listed, shown, suggestion

__all__ = ["as_evidence", "load_evidence", "load_model", "shipped_models"]


def shipped_models() -> tuple[str, ...]:
    """Names of the model files that come with the package, sorted."""
    return tuple(sorted(_shipped()))


def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("bayes_mesa.models")))
    return {path.stem: path for path in folder.glob("*.toml")}


def load_model(name_or_path: str | os.PathLike[str]) -> Model:
    """Read a model file, with its facts and its evidence, and check all of it.

    Parameters
    ----------
    name_or_path
        A path, if it has a separator or ends in ``.toml``; else the name of a shipped model.

    Raises
    ------
    ModelFileError
        With every fault of the file and of the files that it names.
    InputError
        If no shipped model has this name.
    """
    path, path_shown = _located(name_or_path)
    return _checked(read_toml(path, path_shown), path.parent)


def model_of_text(text: str, folder: Path, shown: str) -> Model:
    """The model of a text that need not be in a file, with all the checks of `load_model`.

    Parameters
    ----------
    text
        What a model file would hold.
    folder
        Where the files are that the text names.
    shown
        The path that messages name.

    Raises
    ------
    ModelFileError
        As `load_model` does.
    """
    return _checked(parse_toml(text_source(text, shown)), folder)


def _checked(source: TomlSource, folder: Path) -> Model:
    document = read_document(source)
    _leave_to_experts(document, folder)
    crosscheck(document)
    grammar = check_grammar(document)
    facts = _facts(document, folder)
    core = _core(document, grammar)
    evidence = _evidence(document, folder, core)
    selection = _selection(document, grammar)
    if core is None or document.faults:
        raise ModelFileError(document.faults)
    return with_elicited(_assembled(document, core, facts, selection, evidence))


def load_evidence(path: str | os.PathLike[str], model: Model) -> tuple[EvidenceTable, ...]:
    """Read a TOML file that holds nothing but ``[evidence.NAME]`` tables.

    Parameters
    ----------
    path
        The file; the CSVs that it names are beside or below it.
    model
        The model that the evidence informs. Its own evidence keeps its names.

    Raises
    ------
    ModelFileError
        With every fault of the file and of its CSVs.
    """
    place, path_shown = Path(path), os.fspath(path)
    document = read_document(read_toml(place, path_shown), only="evidence")
    for table in model.evidence:
        if document.table(schema.EvidenceEntry, "evidence", table.name):
            found = "must be a name that the model's own evidence does not use, found it in use"
            document.refuse(("evidence", table.name), found)
    if not document.source.data.get("evidence"):
        document.refuse(("evidence",), "must hold at least one table, found none")
    evidence = _evidence(document, place.parent, model)
    if document.faults:
        raise ModelFileError(document.faults)
    return evidence


def _located(name_or_path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Path of a model file, and the path that messages show."""
    text = os.fspath(name_or_path)
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    is_path = not isinstance(name_or_path, str) or any(s in text for s in separators)
    if text.endswith(".nc"):
        raise InputError(f"a model is wanted here, found {shown(text)}, the name of a result file")
    if is_path or text.endswith(".toml"):
        return Path(text), text
    shipped = _shipped()
    if text not in shipped:
        here = Path(f"{text}.toml")
        near = f"; did you mean {here}?" if here.is_file() else suggestion(text, shipped)
        known = f"the path of a .toml file or one of {listed(sorted(shipped))}"
        raise InputError(f"the model must be {known}; found {shown(text)}{near}")
    return shipped[text], str(shipped[text])


def _beside(document: Document, folder: Path, location: Location, name: str) -> Path | None:
    """Path of a file that a table names; None, and a fault, if it is not in the file's folder."""
    if (why := why_outside(folder, name)) is not None:
        document.refuse(location, f"{why}, found {shown(name)}")
        return None
    try:
        found = (folder / name).is_file()
    except OSError:  # a name longer than any file's
        found = False
    if not found:
        document.refuse(location, f"must be the name of a file, found no such file: {shown(name)}")
        return None
    return folder / name


def _beside_shown(document: Document, name: str) -> str:
    return os.path.join(os.path.dirname(document.source.file.path), name)


def _facts(document: Document, folder: Path) -> Facts:
    table = document.table(schema.FactsTable, "facts")
    if table is None:
        return Facts()
    if table.file is None:
        return table.build()
    path = _beside(document, folder, ("facts", "file"), table.file)
    if path is None:
        return Facts()
    try:
        return read_facts(path, _beside_shown(document, table.file), table.uses_of())
    except ModelFileError as error:
        document.faults += error.faults
        return Facts()


def _leave_to_experts(document: Document, folder: Path) -> None:
    """Mark the costs that experts were asked about as uncertain: left out, they would be 0.

    The judgements themselves are read, and their faults noted, with the other evidence.
    """
    asked = Pool((Judgement(0.5, 1.0, 2.0, expert="someone"),))
    for _, entry in document.each(schema.EvidenceEntry, "evidence"):
        if entry.kind != KIND or why_outside(folder, entry.file) is not None:
            continue
        try:
            rows = read_csv(folder / entry.file, entry.file, KINDS[KIND].columns)
        except ModelFileError:
            continue
        for _, name, axis in rows.sound("component", "quantity"):
            table = document.table(schema.ComponentTable, "components", name)
            if table and axis in ("bits", "steps") and axis not in table.model_fields_set:
                document.tables["components"][name] = schema.ComponentTable.model_construct(
                    _fields_set=table.model_fields_set, **{**dict(table), axis: asked}
                )


def _evidence(document: Document, folder: Path, model: Model | None) -> tuple[EvidenceTable, ...]:
    """Tables in file order; judgements are read first: others may be about what they judge."""
    entries = dict(document.each(schema.EvidenceEntry, "evidence"))
    tables: dict[str, EvidenceTable] = {}
    own = [table.name for table in model.evidence] if model else []
    for name, entry in sorted(entries.items(), key=lambda item: item[1].kind != KIND):
        if (why := why_no_name(name, (*entries, *own))) is not None:
            document.refuse(("evidence", name), why)
        path = _beside(document, folder, ("evidence", name, "file"), entry.file)
        if (why := why_no_kind(entry.kind)) is not None:
            document.refuse(("evidence", name, "kind"), why)
        elif path is not None:
            shown_path = _beside_shown(document, entry.file)
            try:
                tables[name] = read_evidence(path, shown_path, name, KINDS[entry.kind], model)
            except ModelFileError as error:
                document.faults += error.faults
                continue
            if entry.kind == KIND:
                model = _elicited(document, name, tables[name], model)
    return tuple(tables[name] for name in entries if name in tables)


def _elicited(
    document: Document, name: str, table: EvidenceTable, model: Model | None
) -> Model | None:
    before = judgement_tables(model) if model is not None else ()
    found = list(clashes((*before, table)))
    for _, message in found:
        document.refuse(("evidence", name), message)
    # Where it is an error, another table of that name or these judgements are in force.
    known = found or any(t.name == name for t in before)
    return model if model is None or known else with_elicited(model, [table])


def _core(document: Document, grammar: Grammar | None) -> Model | None:
    """What evidence is checked against; None where that part of the file is faulty.

    It has no families where ``[exchange]`` is faulty.
    """
    table = document.table(schema.ModelTable, "model")
    regime = document.table(schema.RegimeTable, "regime")
    structures = _structures(document, grammar)
    if table is None or structures is None or not document.sound("components", "objectives"):
        return None
    if regime is None and document.has("regime"):
        return None
    objectives = document.each(schema.ObjectiveTable, "objectives")
    return Model(
        name=table.name,
        components=tuple(
            entry.build(name) for name, entry in document.each(schema.ComponentTable, "components")
        ),
        structures=structures,
        families=_families(document) if document.sound("exchange") else (),
        base_objective=table.base_objective,
        losses=MappingProxyType({name: entry.loss for name, entry in objectives}),
        regime=regime.build() if regime else None,
        grammar=grammar,
        title=table.title,
        source=table.source,
        note=table.note,
        text=document.source.file.text,
        sha256=document.source.file.sha256,
        origin=document.source.file.path,
    )


def _structures(document: Document, grammar: Grammar | None) -> tuple[Structure, ...] | None:
    if document.has("grammar"):
        found = labelled(document, grammar) if grammar else None
        return found if document.sound("structures") else None
    given = document.each(schema.StructureTable, "structures")
    found = tuple(entry.build(name) for name, entry in given)
    return found if document.sound("structures") else None


def _selection(document: Document, grammar: Grammar | None) -> Selection:
    table = document.table(schema.SelectionTable, "selection")
    if table is None and document.has("selection"):
        return Selection()
    found = table.build() if table else Selection()
    if (regime := document.table(schema.RegimeTable, "regime")) is not None:
        found = regime.build().selection(regime.rollouts, found)
    if grammar is None:
        return found
    return replace(found, pressure=summable(document, grammar, found.pressure))


def _assembled(
    document: Document,
    core: Model,
    facts: Facts,
    selection: Selection,
    evidence: tuple[EvidenceTable, ...],
) -> Model:
    heuristics = document.table(schema.HeuristicsTable, "heuristics")
    path = document.table(schema.PathTable, "path")
    constraints = document.each(schema.ConstraintTable, "constraints")
    correlations = document.each(schema.CorrelationTable, "correlations")
    overlaps = document.each(schema.OverlapTable, "overlaps")
    return replace(
        core,
        constraints=tuple(table.build() for _, table in constraints),
        correlations=tuple(table.build() for _, table in correlations),
        overlaps=tuple(table.build() for _, table in overlaps),
        heuristics=heuristics.build() if heuristics else Heuristics(),
        facts=facts,
        selection=selection,
        path_dependence=path.build() if path else None,
        evidence=evidence,
    )


def _families(document: Document) -> tuple[Family, ...]:
    tables = dict(document.each(schema.FamilyTable, "exchange"))
    if not tables:
        return ()
    # Divided by the largest first: the sum of huge weights would overflow.
    largest = max(table.weight for table in tables.values())
    total = math.fsum(table.weight / largest for table in tables.values())
    return tuple(
        Family(name, table.weight / largest / total, table.parameters())
        for name, table in tables.items()
    )
