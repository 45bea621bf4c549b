"""Very many damaged result files, read in processes that are started anew where one crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.result_files import result_case

TESTS = Path(__file__).resolve().parent.parent


@dataclass
class ResultTally:
    """Files by kind and answer; and those that broke a promise, with their number."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, number: int, kind: str, found: str, folder: Path, seed: int) -> None:
        """Count an answer; keep the file where it is none of those promised."""
        plain = found in ("refused", "opened")
        self.counts[f"{kind}: {found if plain else found.split(':')[0]}"] += 1
        if not plain:
            name = f"result-{seed}-{number}.nc"
            whole = (folder / "whole.nc").read_bytes()
            (folder / name).write_bytes(result_case(seed, number, whole).content)
            self.failures.append(f"{name} ({kind}): {found}")


def run_results(
    folder: Path, seed: int, count: int, *, processes: int = 1, reader: str = "open_posterior"
) -> ResultTally:
    """Read so many files made from ``folder/whole.nc`` with a public function."""
    tally = ResultTally()
    ends = [count * k // processes for k in range(processes + 1)]
    with ThreadPoolExecutor(processes) as pool:
        jobs = [
            pool.submit(_run_part, folder, reader, seed, first, last)
            for first, last in zip(ends[:-1], ends[1:], strict=True)
        ]
        for job in jobs:
            for number, kind, found in job.result():
                tally.add(number, kind, found, folder, seed)
    return tally


def _run_part(
    folder: Path, reader: str, seed: int, first: int, last: int
) -> list[tuple[int, str, str]]:
    found: list[tuple[int, str, str]] = []
    while first < last:
        command = [sys.executable, "-m", "fuzzing.result_worker", str(folder), reader]
        numbers = [str(seed), str(first), str(last - first)]
        done = subprocess.run([*command, *numbers], cwd=TESTS, capture_output=True, text=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found += [(number, kind, answer) for number, kind, answer in lines if answer]
        if done.returncode == 0:
            return found
        if not lines or lines[-1][2]:
            raise RuntimeError(f"the worker failed between files: {done.stderr[-2000:]}")
        number, kind, _ = lines[-1]
        found.append((number, kind, f"crashed: exit status {done.returncode}"))
        first = number + 1
    return found
