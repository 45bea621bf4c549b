"""Try cases by number: ``python -m fuzzing model --seed 42 --count 1000 --out FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fuzzing.campaign import run
from fuzzing.case import TARGETS


def main() -> None:
    """Print what became of the cases as JSON."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__)
    parser.add_argument("target", choices=("all", *TARGETS))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--deeper", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    numbers = (given.seed, given.first, given.count)
    print(run(given.target, *numbers, given.out, deeper=given.deeper).as_json())


main()
