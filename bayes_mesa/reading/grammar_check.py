"""What must hold within ``[grammar]``, and between it and the other tables of a model file."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bayes_mesa.domain.beliefs import Belief, Known, Prior
from bayes_mesa.domain.critical_pressure import critical_pressure
from bayes_mesa.domain.expression import parse_expression
from bayes_mesa.domain.grammar import Code, Grammar, Rule
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import CLASSES, Structure
from bayes_mesa.domain.recursion import finite_symbols, reachable, recursive_rules
from bayes_mesa.errors import InputError
from bayes_mesa.reading import schema
from bayes_mesa.reading.crosscheck import Conflict, Conflicts, base_objective
from bayes_mesa.reading.document import Document
from bayes_mesa.reading.schema_grammar import GrammarTable, ProgramTable, RuleTable
from bayes_mesa.text.wording import Location, listed, shown, suggestion

#: A prior with less than this above the critical pressure would hardly have draws.
_LEAST_SHARE = 1e-9


def check_grammar(document: Document) -> Grammar | None:
    """The grammar of the file; None, with every fault noted, where it is not sound."""
    if not document.has("grammar"):
        return None
    _note(document, _beside(document))
    sound = _note(document, _rules_by_themselves(document)) & _note(document, _names(document))
    head = document.table(GrammarTable, "grammar")
    rules = [table.build() for _, table in document.each(RuleTable, "rules")]
    if not sound or head is None or len(rules) < len(head.rules):
        return None
    if not _note(document, _symbols(head.start, rules)):
        return None
    unshared = (n for n, c in document.each(schema.ComponentTable, "components") if not c.shared)
    grammar = Grammar(head.start, tuple(rules), frozenset(unshared))
    sound = _note(document, _eligible(document, grammar))
    return grammar if _note(document, _levin_time(document, grammar)) & sound else None


def labelled(document: Document, grammar: Grammar) -> tuple[Structure, ...] | None:
    """Structures written as programs, with what the grammar says of them; None if any is faulty."""
    found: dict[Code, Structure] = {}
    sound = True
    for name, table in document.each(ProgramTable, "structures"):
        try:
            code = parse_expression(grammar, table.program)
            if code in found:
                raise InputError(f"must differ from that of {found[code].name}, found it again")
        except InputError as error:
            document.refuse(("structures", name, "program"), str(error))
            sound = False
            continue
        means = interpret(grammar, code)
        found[code] = Structure(
            name,
            means.stores,
            means.runs,
            means.train,
            means.deploy,
            table.symbol,
            rule_bits=means.rule_bits,
            code=code,
        )
    return tuple(found.values()) if sound else None


def summable(document: Document, grammar: Grammar, pressure: Belief) -> Belief:
    """The pressure above which the programs' sum is finite: a prior is cut off below it."""
    critical = critical_pressure(grammar)
    location = ("selection", "pressure")
    recursing = listed(dict.fromkeys(grammar.rules[k].name for k in recursive_rules(grammar.rules)))
    required = (
        f"must exceed {critical:.6g}, the pressure at which the sum over programs diverges "
        f"(rules that recurse: {recursing})"
    )
    if isinstance(pressure, Known):
        if critical and pressure.value <= critical * (1.0 + 1e-12):
            document.refuse(location, f"{required}, found {shown(pressure.value)}")
        return pressure
    if not isinstance(pressure, Prior) or pressure.support[0] >= critical:
        return pressure
    if pressure.support[1] <= critical or pressure.share_above(critical) < _LEAST_SHARE:
        document.refuse(location, f"{required}, found {pressure}")
        return pressure
    return Prior(pressure.name, pressure.arguments, low=critical)


def _note(document: Document, conflicts: Conflicts) -> bool:
    """Refuse what is found; whether it is nothing."""
    found = list(conflicts)
    for conflict in found:
        document.refuse(*conflict)
    return not found


# One rule at a time -------------------------------------------------------------------------------


def _rules_by_themselves(document: Document) -> Conflicts:
    for index, rule in document.each(RuleTable, "rules"):
        location = ("grammar", "rules", index)
        yield from _executes(location, rule)
        for key in ("train", "deploy"):
            yield from _exhibited(location, key, getattr(rule, key), len(rule.args))


def _executes(location: Location, rule: RuleTable) -> Conflicts:
    given = rule.executes or []
    for place, position in enumerate(given):
        here = (*location, "executes", place)
        if position >= len(rule.args):
            yield Conflict(here, f"must be {_position(len(rule.args))}, found {position}")
        elif position in given[:place]:
            yield Conflict(here, f"must be given once, found {position} again")


def _exhibited(location: Location, key: str, given: int | str | None, arity: int) -> Conflicts:
    here = (*location, key)
    if given is None and arity == 0:
        yield Conflict(here, "must name an objective in a rule without arguments, found nothing")
    elif given is None and arity > 1:
        found = "or an objective's name, where there are several, found nothing"
        yield Conflict(here, f"must be {_position(arity)} {found}")
    elif isinstance(given, int) and arity == 0:
        found = f"must name an objective in a rule without arguments, found {given}"
        yield Conflict(here, found)
    elif isinstance(given, int) and given >= arity:
        found = f"must be {_position(arity)} or an objective's name, found {given}"
        yield Conflict(here, found)


def _position(arity: int) -> str:
    if arity == 0:
        return "left out of a rule without arguments"
    last = "0" if arity == 1 else f"from 0 to {arity - 1}"
    return f"the position of an argument ({last})"


# Rules among one another --------------------------------------------------------------------------


def _names(document: Document) -> Conflicts:
    """Symbols that stand in for others have rules, and no name of a symbol means two of them."""
    symbols = _symbols_written(document)
    head = document.table(GrammarTable, "grammar")
    if head and head.start not in symbols:
        yield Conflict(("grammar", "start"), _no_symbol(head.start, symbols))
    seen: set[tuple[str, str]] = set()
    for index, rule in document.each(RuleTable, "rules"):
        location = ("grammar", "rules", index)
        if (rule.symbol, rule.name) in seen:
            found = f"must differ from the other rules of {rule.symbol}, found {shown(rule.name)}"
            yield Conflict((*location, "name"), f"{found} again")
        seen.add((rule.symbol, rule.name))
        for place, symbol in enumerate(rule.args):
            if symbol not in symbols:
                yield Conflict((*location, "args", place), _no_symbol(symbol, symbols))


def _symbols_written(document: Document) -> Mapping[str, None]:
    """Symbols of all rules, also of those that are faulty elsewhere."""
    grammar = document.source.data["grammar"]
    rules = grammar.get("rules") if isinstance(grammar, dict) else None
    entries = [r.get("symbol") for r in rules or () if isinstance(r, dict)] if rules else []
    return dict.fromkeys(symbol for symbol in entries if isinstance(symbol, str))


def _no_symbol(name: str, symbols: Mapping[str, None]) -> str:
    found = f"must be a symbol with rules ({listed(symbols)}), found {shown(name)}"
    return f"{found}{suggestion(name, symbols)}"


def _symbols(start: str, rules: Sequence[Rule]) -> Conflicts:
    """Every symbol is used, and has a program that ends."""
    used, ending = reachable(rules, start), finite_symbols(rules)
    said: set[str] = set()
    for index, rule in enumerate(rules):
        location = ("grammar", "rules", index)
        if rule.symbol not in used and rule.symbol not in said:
            said.add(rule.symbol)
            found = f"must be reachable from the start symbol {start}"
            yield Conflict(
                (*location, "symbol"), f"{found}, found {shown(rule.symbol)}, which is not"
            )
        for place, symbol in enumerate(rule.args):
            if symbol not in ending:
                found = f"found {shown(symbol)} in {rule.name}: none of its programs ever ends"
                yield Conflict(
                    (*location, "args", place), f"must be a symbol with a finite program, {found}"
                )
                break


# The grammar against other tables -----------------------------------------------------------------


def _beside(document: Document) -> Conflicts:
    for name in document.source.data.get("structures") or ():
        if name in {f"other_{c}" for c in CLASSES}:
            found = "must be another name, as results of a grammar use this one for all others"
            yield Conflict(("structures", name), f"{found}, found {shown(name)}")
    facts = document.source.data.get("facts")
    if isinstance(facts, dict) and "uses" in facts:
        found = "must be left out where there is a [grammar]: every program needs the facts once"
        yield Conflict(("facts", "uses"), found)


def _eligible(document: Document, grammar: Grammar) -> Conflicts:
    """At least one program does equally well in training, or has its loss declared."""
    base = base_objective(document)
    pursued = _pursued(grammar)
    declared = {base, *(document.source.data.get("objectives") or ())}
    if base is not None and not pursued & declared:
        found = f"must have a program that pursues {shown(base)} or an objective with a declared"
        given = listed(map(shown, sorted(pursued)))
        yield Conflict(("grammar", "start"), f"{found} loss in training, found {given}")


def _pursued(grammar: Grammar) -> frozenset[str]:
    """What the programs of the start symbol pursue in training."""
    found: dict[str, set[str]] = defaultdict(set)
    changed = True
    while changed:
        changed = False
        for rule in grammar.rules:
            train = rule.train
            new = {train} if isinstance(train, str) else found[rule.args[train]]
            changed = changed or not new <= found[rule.symbol]
            found[rule.symbol] |= new
    return frozenset(found[grammar.start])


def _levin_time(document: Document, grammar: Grammar) -> Conflicts:
    """Levin's penalty is a logarithm: every program must take time."""
    exchange = document.source.data.get("exchange")
    if not isinstance(exchange, dict) or "levin" not in exchange:
        return
    timeless = _timeless(document)
    idle: dict[str, int] = {}
    found = True
    while found:
        found = False
        for index, rule in enumerate(grammar.rules):
            executed = {rule.args[k] for k in rule.executes}
            if rule.symbol not in idle and timeless.issuperset(rule.runs) and executed <= set(idle):
                idle[rule.symbol] = index
                found = True
    if grammar.start in idle:
        names = listed(grammar.rules[k].name for k in _witness(grammar, idle))
        required = "must run something that takes steps, as the levin exchange needs t > 0"
        location = ("grammar", "rules", idle[grammar.start], "runs")
        yield Conflict(location, f"{required}, found t = 0 where only {names} executes")


def _timeless(document: Document) -> frozenset[str]:
    """Components that take no time, or none of their own: all of it may be inside others'."""
    inside: defaultdict[str, float] = defaultdict(float)
    for _, overlap in document.each(schema.OverlapTable, "overlaps"):
        known = isinstance(overlap.fraction, Known)
        inside[overlap.component] += overlap.fraction.median if known else -math.inf
    components = document.each(schema.ComponentTable, "components")
    return frozenset(
        name
        for name, component in components
        if component.steps == Known(0.0) or inside[name] >= 1.0 - 1e-12
    )


def _witness(grammar: Grammar, idle: Mapping[str, int]) -> Iterator[int]:
    """Rules that execute in one program that takes no time."""
    pending, seen = [grammar.start], set()
    while pending:
        symbol = pending.pop()
        if symbol not in seen:
            seen.add(symbol)
            yield idle[symbol]
            rule = grammar.rules[idle[symbol]]
            pending += [rule.args[k] for k in rule.executes]
