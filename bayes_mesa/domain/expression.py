"""Programs as readable expressions: ``switch(optimize(base), optimize(simplest))``."""

from __future__ import annotations

import re

from bayes_mesa.domain.grammar import Code, Grammar
from bayes_mesa.errors import InputError
from bayes_mesa.text.wording import listed, shown, suggestion

#: Longer than any program that someone writes down; keeps hostile text from deep recursion.
MAX_NODES = 500
_TOKEN = re.compile(r"\s*([A-Za-z0-9_]+|[(),]|\S)")


def expression(grammar: Grammar, code: Code) -> str:
    """The expression of a code; a rule without arguments is its name alone."""
    return _text(grammar, code, 0)[0]


def parse_expression(grammar: Grammar, text: str) -> Code:
    """The code of an expression of the start symbol.

    Raises
    ------
    InputError
        If the text is no expression of the grammar; it says where, and what could stand there.
    """
    reader = _Reader(grammar, [*_TOKEN.findall(text)])
    code = reader.node(grammar.start, "a program")
    if reader.rest:
        raise InputError(f"must end after the program, found {shown(reader.rest[0])}")
    return tuple(code)


class _Reader:
    """Tokens still to be read."""

    def __init__(self, grammar: Grammar, tokens: list[str]):
        self.grammar = grammar
        self.rest = tokens
        self.nodes = 0

    def node(self, symbol: str, what: str) -> list[int]:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise InputError(f"must have at most {MAX_NODES} nodes, found more")
        name = self._take()
        rules = {self.grammar.rules[k].name: k for k in self.grammar.rules_of[symbol]}
        if name not in rules:
            found = shown(name) if name else "the end"
            near = suggestion(name, rules)
            raise InputError(
                f"{what} of type {symbol} must begin with one of {listed(rules)}, found {found}"
                f"{near}"
            )
        rule = self.grammar.rules[rules[name]]
        code = [rules[name]]
        for position, symbol_of in enumerate(rule.args):
            self._expect("(" if position == 0 else ",", name, len(rule.args))
            code += self.node(symbol_of, f"argument {position} of {name}")
        if rule.args:
            self._expect(")", name, len(rule.args))
        elif self.rest[:2] == ["(", ")"]:
            del self.rest[:2]
        return code

    def _take(self) -> str:
        return self.rest.pop(0) if self.rest else ""

    def _expect(self, token: str, name: str, arity: int) -> None:
        found = self._take()
        if found != token:
            arguments = "argument" if arity == 1 else "arguments"
            raise InputError(
                f"{name} must have {arity} {arguments} in ( ), parted by commas: expected "
                f"{shown(token)}, found {shown(found) if found else 'the end'}"
            )


def _text(grammar: Grammar, code: Code, at: int) -> tuple[str, int]:
    rule = grammar.rules[code[at]]
    at += 1
    arguments = []
    for _ in rule.args:
        argument, at = _text(grammar, code, at)
        arguments.append(argument)
    return f"{rule.name}({', '.join(arguments)})" if arguments else rule.name, at
