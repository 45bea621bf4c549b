"""Plain text that remembers its tables, so that a terminal can be shown better ones.

A `Page` and a `Table` are strings: what a pipe gets, columns two spaces apart, nothing wrapped or
cut. In a terminal `show` draws the same tables with rich, fitted to its width.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from bayes_mesa.domain.model import DECEPTIVE, HONEST, MISALIGNED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Cells that stand out, where the terminal has colours.
_STYLES: Mapping[str, str] = {DECEPTIVE: "red", HONEST: "green", MISALIGNED: "magenta"}
_WARNING = "warning: "
#: Columns of the terminal that a name can do with.
_LEAST_WIDTH = 10
#: No figure of ours is longer; a name may be all digits.
_LONGEST_FIGURE = 16
#: Where a word that has no room may be broken: never within a number.
_PIECE = re.compile(
    r"[-+−]?\d[\d.]*(?:[eE][-+]?\d+)?[]),;%]*|[^\d_.(=,/\[]+[_.(=,/\[]*|[_.(=,/\[]+"
)
#: Columns of the terminal between two of a table.
_GAP = 3


class Table(str):
    """Left-aligned columns as text, and the cells that they were made of."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __new__(cls, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
        """Cells on one line each, with nothing in them that a terminal would obey."""
        table = [tuple(map(one_line, row)) for row in (header, *rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ("  ".join(t.ljust(w) for t, w in zip(r, widths, strict=True)) for r in table)
        text = super().__new__(cls, "\n".join(line.rstrip() for line in lines))
        text.header, text.rows = table[0], tuple(table[1:])
        return text


class Page(str):
    """Blocks with a blank line between them; the parts of a block follow one another."""

    blocks: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, *blocks: str | Sequence[str]) -> Page:
        """Of texts and tables, and of sequences of these; a page among them keeps its blocks."""
        parts: list[tuple[str, ...]] = []
        for block in blocks:
            if isinstance(block, Page):
                parts += block.blocks
            else:
                parts.append((block,) if isinstance(block, str) else tuple(block))
        page = cls("\n\n".join("\n".join(block) for block in parts))
        page.blocks = tuple(parts)
        return page


def one_line(text: str) -> str:
    """The text with everything a terminal might obey, or break a line at, shown as a space."""
    return "".join(c if c.isprintable() else " " for c in text)


def show(text: str, stream: TextIO) -> bool:
    """Draw a page in the terminal that ``stream`` is; False, and nothing done, where it is none."""
    if not isinstance(text, Page) or not stream.isatty():
        return False
    console = _console(stream)
    for number, block in enumerate(text.blocks):
        if number:
            console.print()
        for part in block:
            if isinstance(part, Table):
                console.print(_drawn(part, stream, console.width))
            else:
                _print_text(console, _sayable(part, stream))
    return True


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    # NO_COLOR asks for no colours; that it means no other escape codes either is the safer reading.
    plain = {"color_system": None} if os.environ.get("NO_COLOR") else {}
    settings: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, **plain}
    return Console(file=stream, **settings)


def _drawn(table: Table, stream: TextIO, width: int) -> Any:
    """The table fitted to the width: figures to the right and unbroken, names folded.

    Where even that has no room, every row is a list of its own.
    """
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    numeric = [all(map(_is_number, column)) for column in _columns(table)]
    widths = _widths(table, numeric, width)
    if widths is None:
        return Text(_sayable(_listed(table), stream))
    drawn = Drawn(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name, number, wide in zip(table.header, numeric, widths, strict=True):
        title = "\n".join(textwrap.wrap(name, wide))
        drawn.add_column(
            Text(_sayable(title, stream)),
            justify="right" if number else "left",
            overflow="fold",
            width=wide,
        )
    for row in table.rows:
        shown = (
            cell if number else _folded(cell, wide)
            for cell, number, wide in zip(row, numeric, widths, strict=True)
        )
        texts = (_sayable(c, stream) for c in shown)
        styles = (_STYLES.get(c, "") for c in row)
        drawn.add_row(*(Text(t, style=s) for t, s in zip(texts, styles, strict=True)))
    return drawn


def _folded(text: str, width: int) -> str:
    """The text broken at spaces, and words that are too long at their joints."""
    lines, line = [], text[: len(text) - len(text.lstrip())]
    for word in text.split():
        apart = " " if line.strip() else ""
        if len(line) + len(apart) + len(word) <= width:
            line += apart + word
            continue
        if line.strip():
            lines.append(line)
            line = ""
        whole = len(line) + len(word) <= width
        for piece in [word] if whole else _PIECE.findall(word):
            if line.strip() and len(line) + len(piece) > width:
                lines.append(line)
                line = ""
            line += piece
            while len(line) > width and not any(map(str.isdigit, line)):
                lines.append(line[:width])
                line = line[width:]
    return "\n".join([*lines, line])


def _columns(table: Table) -> list[tuple[str, ...]]:
    return list(zip(*table.rows, strict=True)) or [()] * len(table.header)


def _widths(table: Table, numeric: Sequence[bool], width: int) -> list[int] | None:
    """Width of every column, or None where the words of the figures have no room."""
    room = width - _GAP * (len(table.header) - 1)
    cells = [(name, *column) for name, column in zip(table.header, _columns(table), strict=True)]
    natural = [max(1, *map(len, column)) for column in cells]
    words = [max((len(w) for cell in c for w in cell.split()), default=1) for c in cells]
    names = [max(min(w, _LEAST_WIDTH), _figure(c)) for w, c in zip(words, cells, strict=True)]
    figures = [
        max(w, *map(len, c[1:]), 1) if number else name
        for w, name, c, number in zip(words, names, cells, numeric, strict=True)
    ]
    least = [w if n else name for w, name, n in zip(words, names, numeric, strict=True)]
    found = figures if sum(figures) <= room else least
    if sum(found) > room:
        return None
    # Names first, and none at the cost of another.
    for places in (_places(numeric, False), _places(numeric, True)):
        while sum(found) < room and (short := [c for c in places if found[c] < natural[c]]):
            found[min(short, key=lambda c: found[c] / natural[c])] += 1
    return found


def _figure(cells: Sequence[str]) -> int:
    """Characters of the longest piece with a digit in it, which must stay whole."""
    pieces = (p for cell in cells for word in cell.split() for p in _PIECE.findall(word))
    found = max((len(p) for p in pieces if any(map(str.isdigit, p))), default=1)
    return min(found, _LONGEST_FIGURE)


def _places(numeric: Sequence[bool], which: bool) -> list[int]:
    return [k for k, number in enumerate(numeric) if number == which]


def _listed(table: Table) -> str:
    """Every row as lines of its own, the first cell above the others."""
    blocks = []
    for first, *others in table.rows:
        names = (name or " " for name in table.header[1:])
        said = [f"  {name}: {c}" for name, c in zip(names, others, strict=True) if c]
        blocks.append("\n".join([f"{table.header[0]} {first}".strip(), *said]))
    return "\n".join(blocks)


def _is_number(cell: str) -> bool:
    return not cell or cell[0] in "0123456789.<>+−–∞-" or cell == "exactly"


def _print_text(console: Console, text: str) -> None:
    from rich.text import Text

    for line in text.split("\n"):
        style = "yellow" if line.startswith(_WARNING) else ""
        # A path must stay in one piece, to be copied.
        console.print(_text(Text, one_line(line), style), soft_wrap=" " not in line.strip())


def _text(kind: type[Text], line: str, style: str) -> Text:
    return kind(line, style=style)


def _sayable(text: str, stream: TextIO) -> str:
    """With question marks for what the terminal's encoding lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
