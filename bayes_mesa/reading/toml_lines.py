"""On which line every key and list item of a TOML document stands, and how deep it nests.

`tomllib` tells neither: it knows no line once a document is parsed, and it recurses before it
counts. The scanner below splits any text into tokens, valid or not, in time linear in its length.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

from bayes_mesa.text.wording import Location

MAX_DEPTH = 64
MAX_DIGITS = 300

# Possessive repeats, and ends that may be missing: an unclosed string eats the rest at once, where
# backtracking would take quadratic time.
_TOKEN = re.compile(
    r"""
    (?P<space>[ \t]++|\#[^\n]*+)
  | (?P<newline>\n)
  | (?P<string>
        \"{3}(?:[^"\\]++|\\.|"(?!""))*+(?:\"{3,5})?
      | '{3}(?:[^']++|'(?!''))*+(?:'{3,5})?
      | "(?:[^"\\\n]++|\\[^\n])*+"?
      | '[^'\n]*+'?
    )
  | (?P<bare>[A-Za-z0-9_+\-.:]++)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?[0-9]")


class Token(NamedTuple):
    """A piece of the document, what it is, and the line (from 1) on which it starts."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """Split a document into tokens, without spaces and comments."""
    line = 1
    for match in _TOKEN.finditer(text):
        kind, piece = str(match.lastgroup), match.group()
        if kind != "space":
            yield Token(kind, piece, line)
        line += piece.count("\n")


def excess(text: str) -> tuple[int, str, str] | None:
    """Find the first place that nests too deep or writes too long a number.

    Returns
    -------
    (line, field, message), or None where the document keeps to the limits. Brackets count, and so
    do the parts of dotted keys.
    """
    depths, parts = [0], 0
    for token in tokens(text):
        if token.kind == "bare":
            if _NUMBER.match(token.text) and len(token.text) > MAX_DIGITS:
                found = f"must have at most {MAX_DIGITS} digits, found {len(token.text)} characters"
                return token.line, "number", found
            parts += token.text.count(".")
        elif token.text in ("[", "{"):
            depths.append(depths[-1] + parts + 1)
            parts = 0
        elif token.text in ("]", "}"):
            depths = depths[:-1] or [0]
            parts = 0
        elif token.text == "," or token.kind == "newline":
            parts = 0
        if depths[-1] + parts > MAX_DEPTH:
            return token.line, "depth", f"must nest at most {MAX_DEPTH} deep, found more"
    return None


def key_lines(text: str) -> dict[Location, int]:
    """Line of every table, key and list item of a document that `tomllib` has accepted."""
    return _Scan(text).lines


class _Scan:
    """One pass over a valid document; tables are entered where their header stands."""

    def __init__(self, text: str):
        self.lines: dict[Location, int] = {}
        self._last_item: dict[Location, int] = {}
        self._tokens = tokens(text)
        self._advance()
        table: Location = ()
        while self._now.kind != "end":
            if self._now.kind == "newline":
                self._advance()
            elif self._now.text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _advance(self) -> Token:
        self._now = next(self._tokens, Token("end", "", 0))
        return self._now

    def _header(self) -> Location:
        line = self._now.line
        is_list = self._advance().text == "["
        if is_list:
            self._advance()
        table: Location = ()
        parts = self._key("]")
        for part in parts[:-1]:
            table = self._enter((*table, part), line)
        table = (*table, parts[-1])
        if is_list:
            self._advance()
            self._last_item[table] = self._last_item.get(table, -1) + 1
        elif table not in self._last_item:
            self.lines[table] = line
        return self._enter(table, line)

    def _enter(self, table: Location, line: int) -> Location:
        """Note a table that a header names; of a list of tables, enter the last."""
        self.lines.setdefault(table, line)
        if table in self._last_item:
            table = (*table, self._last_item[table])
            self.lines.setdefault(table, line)
        return table

    def _key(self, end: str) -> list[str]:
        parts: list[str] = []
        while self._now.text != end and self._now.kind != "end":
            if self._now.kind == "string":
                parts.append(_unquoted(self._now.text))
            else:
                parts += [part for part in self._now.text.split(".") if part]
            self._advance()
        self._advance()
        return parts

    def _pair(self, table: Location) -> None:
        line = self._now.line
        for part in self._key("="):
            table = (*table, part)
            self.lines.setdefault(table, line)
        self._value(table)

    def _value(self, location: Location) -> None:
        if self._now.text == "[":
            self._list(location)
        elif self._now.text == "{":
            self._table(location)
        else:
            # A date and its time may be two tokens.
            while self._now.kind in ("bare", "string"):
                self._advance()

    def _list(self, location: Location) -> None:
        index = 0
        self._advance()
        while self._now.text != "]" and self._now.kind != "end":
            if self._now.kind == "newline" or self._now.text == ",":
                self._advance()
                continue
            self.lines[(*location, index)] = self._now.line
            self._value((*location, index))
            index += 1
        self._advance()

    def _table(self, location: Location) -> None:
        self._advance()
        while self._now.text != "}" and self._now.kind != "end":
            if self._now.kind == "newline" or self._now.text == ",":
                self._advance()
            else:
                self._pair(location)
        self._advance()


def _unquoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    return str(tomllib.loads(f"text = {text}")["text"]) if "\\" in text else text[1:-1]
