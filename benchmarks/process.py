"""Whole processes: a cold `run` on the shipped model, its memory, and what importing costs.

Runs before anything heavy is imported here: the kernel counts a parent's memory into the peak of
the child that it starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.timing import Limit

ROOT = Path(__file__).resolve().parent.parent


def rows() -> list[Limit]:
    """Wall time and peak memory of `bayes-mesa run speed_simplicity`, and the import's time."""
    runs = [_run() for _ in range(2)]
    return [
        Limit("bayes-mesa run speed_simplicity", "s", tuple(wall for wall, _ in runs), 30.0),
        Limit("the same: peak memory", "GiB", tuple(peak for _, peak in runs), 2.0),
        Limit("import bayes_mesa, over bare python", "s", _imports(9), 0.3),
    ]


def _run() -> tuple[float, float]:
    with TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        return _child(
            "-m", "bayes_mesa", "run", "speed_simplicity", "--out", out, "--seed", "1", "--quiet"
        )


def _imports(repeats: int) -> tuple[float, ...]:
    pairs = [(_child("-c", "import bayes_mesa")[0], _child("-c", "")[0]) for _ in range(repeats)]
    return tuple(with_it - bare for with_it, bare in pairs)


def _child(*arguments: str) -> tuple[float, float]:
    """Wall time in seconds and peak memory in GiB of a fresh Python in the project's folder."""
    start = perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, *arguments],
        {**os.environ, "PYTHONPATH": str(ROOT)},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    wall = perf_counter() - start
    if status != 0:
        raise SystemExit(f"python {' '.join(arguments)} must succeed, and ended with {status}")
    scale = 2**30 if sys.platform == "darwin" else 2**20
    return wall, usage.ru_maxrss / scale
