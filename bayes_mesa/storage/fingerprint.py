"""A digest of a value: equal values have equal ones, in any process and on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np


def fingerprint(value: Any, *, without: Collection[str] = ()) -> str:
    """SHA-256 of a value's content, in hexadecimal.

    Parameters
    ----------
    value
        Plain values, arrays, and tuples, lists, sets, mappings and dataclasses of such. The order
        of a mapping counts: results list things in it. Numbers count to the last bit.
    without
        Names of dataclass fields that are left out, such as where a file came from.

    Raises
    ------
    TypeError
        For a value of another type: its text might hold an address in memory.
    """
    digest = hashlib.sha256()
    for tag, content in _pieces(value, frozenset(without)):
        # With their lengths, so that no two values run together into the same bytes.
        digest.update(f"{tag} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _pieces(value: Any, without: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, Enum):
        yield type(value).__name__, value.name.encode()
    elif value is None or isinstance(value, bool | int | float | str | np.generic):
        plain = value.item() if isinstance(value, np.generic) else value
        # repr gives back every double exactly.
        yield type(plain).__name__, repr(plain).encode()
    elif isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufUS":
            raise TypeError(f"arrays must hold numbers or text, found {value.dtype}")
        yield f"array {value.dtype.str} {value.shape}", value.tobytes()
    elif is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in fields(value) if f.name not in without]
        yield type(value).__name__, str(len(names)).encode()
        for name in names:
            yield "field", name.encode()
            yield from _pieces(getattr(value, name), without)
    elif isinstance(value, Mapping):
        yield "mapping", str(len(value)).encode()
        for key, each in value.items():
            yield from _pieces(key, without)
            yield from _pieces(each, without)
    elif isinstance(value, Set):
        parts = sorted(fingerprint(each, without=without) for each in value)
        yield "set", "".join(parts).encode()
    elif isinstance(value, tuple | list):
        yield "sequence", str(len(value)).encode()
        for each in value:
            yield from _pieces(each, without)
    else:
        raise TypeError(f"no digest of a {type(value).__name__}: must be plain data")
