"""HDF5's heaps of variable-length values, walked before the library does.

The library follows the sizes that stand in a heap without asking whether they lead forward: an
empty one of size 0 keeps it going round for ever, and no interrupt ends that. The format is that of
section III.E of the *HDF5 File Format Specification*, for lengths of 8 bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_HEAP = re.compile(rb"GCOL\x01\0\0\0", re.DOTALL)
_HEADER = 16
_OBJECT = struct.Struct("<HH4xQ")


def check_heaps(data: bytes) -> None:
    """Raise ValueError unless every heap in the bytes of a file leads from its start to its end."""
    for match in _HEAP.finditer(data):
        start = match.start()
        if start + _HEADER > len(data):
            raise ValueError(f"the heap at byte {start} is cut short")
        (size,) = struct.unpack_from("<Q", data, start + 8)
        if not _HEADER <= size <= len(data) - start:
            raise ValueError(f"the heap at byte {start} says that it has {size} bytes")
        for need, left in _needs(data, start + _HEADER, start + size):
            if not _OBJECT.size <= need <= left:
                raise ValueError(f"the heap at byte {start} holds a value of {need} bytes")


def _needs(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Bytes that each value of a heap needs, its own head among them, and how many are left."""
    while end - at >= _OBJECT.size:
        index, _, size = _OBJECT.unpack_from(data, at)
        # What is free is written with its head counted, a value without it and padded to 8.
        need = _OBJECT.size + (size + 7) // 8 * 8 if index else size
        yield need, end - at
        at += need
