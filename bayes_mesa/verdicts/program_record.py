"""A grammar and its listed programs as JSON: what a result keeps to draw programs again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bayes_mesa.domain.grammar import Grammar, Rule
from bayes_mesa.domain.model import Model
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
