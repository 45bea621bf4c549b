"""How names and values are written in a fault: plain, on one line, never too long."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date, time
from difflib import get_close_matches
from typing import Any

Location = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 60
# Embeddings, overrides and isolates: whatever follows them is read from right to left, or reversed.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MOST_COMPARED = 200


def field_name(location: Location) -> str:
    """Write a location as a dotted name, e.g. ``constraints[0].at_least[1]``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{_key(part)}" if text else _key(part)
    return text or "file"


def _key(name: str) -> str:
    return shortened(name) if _BARE.fullmatch(name) else quoted(name)


def one_way(text: str) -> str:
    """The text with every mark that would reverse what follows it replaced by a visible one."""
    return _TURNING.sub("\N{REPLACEMENT CHARACTER}", text)


def quoted(text: str) -> str:
    """Quote a text so that it stays on one line and shows what it holds."""
    return json.dumps(shortened(text), ensure_ascii=not text.isprintable())


def shortened(text: str) -> str:
    """Cut a text that is too long to show."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _plain(name: str) -> str:
    """A name as it is; quoted where it would not be seen, or would break the line."""
    return shortened(name) if name.isprintable() else quoted(name)


def shown(value: Any) -> str:
    """Write a value of a model file as a reader would: ``10``, ``"text"``, ``a table``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, int):
        return shortened(str(value))
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, date | time):
        return "a date or time"
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that is spelt nearly so, or nothing."""
    known = list(known)
    # Comparing with very many names would take minutes over a hostile file.
    few = known if len(known) <= _MOST_COMPARED else []
    return next(iter(get_close_matches(name[:_LONGEST], few, n=1, cutoff=0.6)), "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` if something known is spelt nearly so, else nothing."""
    close = closest(name, known)
    return f"; did you mean {_plain(close)}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Names parted by commas, for a closed list; only the first few of many."""
    names = list(names)
    few = ", ".join(map(_plain, names[:20]))
    return f"{few}, ..." if len(names) > 20 else few or "nothing"
