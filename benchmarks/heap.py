"""What the C library's heap holds, where it can tell (glibc 2.33 and later).

It shows what stays or made the heap grow; what is freed at once it does not.
"""

from __future__ import annotations

import ctypes


class Figures(ctypes.Structure):
    """`struct mallinfo2`."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def in_use() -> tuple[int, ...]:
    """Bytes taken from the system, by pieces and by whole mappings, and bytes in use.

    All 0 where the C library cannot tell.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return (0, 0, 0)
    library.mallinfo2.restype = Figures
    found = library.mallinfo2()
    return (found.arena, found.hblkhd, found.uordblks)
