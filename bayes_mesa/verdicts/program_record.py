"""A grammar and its listed programs, or very many structures, as JSON.

What a result keeps to draw programs again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bayes_mesa.domain.grammar import Grammar, Rule
from bayes_mesa.domain.model import Model, Structure
from bayes_mesa.grammars.frontier import program_structure


def recorded(model: Model) -> dict[str, Any]:
    """Grammar and listed programs of a model, of plain JSON values."""
    grammar = model.grammar
    assert grammar is not None
    return {
        "start": grammar.start,
        "unshared": sorted(grammar.unshared),
        "overlaps": [[o.component, o.inside] for o in model.overlaps],
        "rules": [
            {
                "symbol": rule.symbol,
                "name": rule.name,
                "args": list(rule.args),
                "stores": dict(rule.stores),
                "runs": dict(rule.runs),
                "executes": list(rule.executes),
                "train": rule.train,
                "deploy": rule.deploy,
                "weight": rule.weight,
            }
            for rule in grammar.rules
        ],
        "programs": [
            {"name": s.name, "symbol": s.symbol, "code": list(s.code)} for s in model.structures
        ],
    }


def with_programs(model: Model, record: Mapping[str, Any]) -> Model:
    """The model with the grammar and the listed programs that `recorded` wrote down."""
    grammar = Grammar(
        record["start"], tuple(map(_rule, record["rules"])), frozenset(record["unshared"])
    )
    model = replace(model, grammar=grammar)
    programs = [
        replace(program_structure(model, tuple(p["code"]), p["name"]), symbol=p["symbol"])
        for p in record["programs"]
    ]
    return replace(model, structures=tuple(programs))


def recorded_structures(model: Model) -> dict[str, Any]:
    """All structures of a model that names only some of them, of plain JSON values."""
    return {
        "named": list(model.named or ()),
        "overlaps": [[o.component, o.inside] for o in model.overlaps],
        "structures": [
            {
                "name": s.name,
                "symbol": s.symbol,
                "train": s.train,
                "deploy": s.deploy,
                "multiplicity": s.multiplicity,
                "stores": dict(s.stores),
                "runs": dict(s.runs),
                "uses": model.facts.uses.get(s.name, 1.0),
            }
            for s in model.structures
        ],
    }


def with_structures(model: Model, record: Mapping[str, Any]) -> Model:
    """The model with the structures, and the named ones, that `recorded_structures` wrote down."""
    rows = record["structures"]
    uses = {row["name"]: float(row["uses"]) for row in rows}
    structures = tuple(
        Structure(
            name=row["name"],
            stores=MappingProxyType(row["stores"]),
            runs=MappingProxyType(row["runs"]),
            train=row["train"],
            deploy=row["deploy"],
            symbol=row["symbol"],
            multiplicity=float(row["multiplicity"]),
        )
        for row in rows
    )
    return replace(
        model,
        structures=structures,
        named=tuple(record["named"]),
        facts=replace(model.facts, uses=MappingProxyType(uses)),
    )


def _rule(record: Mapping[str, Any]) -> Rule:
    return Rule(
        **{
            **record,
            "args": tuple(record["args"]),
            "executes": tuple(record["executes"]),
            "stores": MappingProxyType(record["stores"]),
            "runs": MappingProxyType(record["runs"]),
        }
    )


def structure_classes(record: Mapping[str, Any], base: str) -> tuple[list[str], list[str]]:
    """Names of the recorded structures, and their classes."""
    none = MappingProxyType[str, int]({})
    found = [
        Structure(row["name"], none, none, row["train"], row["deploy"])
        for row in record["structures"]
    ]
    return [s.name for s in found], [s.class_under(base) for s in found]
