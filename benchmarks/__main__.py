"""``python -m benchmarks [PART ...]``: one table, of all parts or of those that are named."""

from __future__ import annotations

import sys
from importlib import import_module

# Processes first: see benchmarks/process.py.
PARTS = ("process", "draws", "bare_c", "fits", "trees", "enumeration")


def main(chosen: list[str]) -> None:
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        raise SystemExit(f"parts are {', '.join(PARTS)}; got {', '.join(unknown)}")
    from benchmarks.timing import table

    rows = []
    for part in PARTS:
        if not chosen or part in chosen:
            print(f"measuring: {part}", file=sys.stderr, flush=True)
            rows += import_module(f"benchmarks.{part}").rows()
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
