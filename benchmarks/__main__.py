"""``python -m benchmarks [PART ...]``: one table, of the parts named, or all quick ones."""

from __future__ import annotations

import sys
from importlib import import_module

# Processes first: see benchmarks/process.py.
PARTS = ("process", "draws", "bare_c", "fits", "trees", "enumeration", "sweeps", "growth")
#: Only where it is named: it rewrites a picture of the docs.
SLOW = ("growth",)


def main(chosen: list[str]) -> None:
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        raise SystemExit(f"parts are {', '.join(PARTS)}; got {', '.join(unknown)}")
    from benchmarks.timing import table

    rows = []
    for part in PARTS:
        if part in chosen or (not chosen and part not in SLOW):
            print(f"measuring: {part}", file=sys.stderr, flush=True)
            rows += import_module(f"benchmarks.{part}").rows()
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
