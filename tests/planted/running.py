"""Gates on one copy, in a process of their own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from .copies import ROOT


@dataclass(frozen=True)
class Outcome:
    """What a gate said.

    ``size`` is the smallest at which it caught the bug, None where it did not at any; ``what`` is
    what it saw. ``ran`` are the functions of the package that ran in its process.
    """

    size: int | None
    what: str
    ran: frozenset[str]


def run_gates(site, names):
    """Run gates in turn on the package in ``site``, in one process; outcomes by name."""
    tests = ROOT / "tests"
    path = os.pathsep.join(map(str, (site, tests, ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "BAYES_MESA_PLANTED": str(site)}
    done = subprocess.run(
        [sys.executable, "-m", "planted.gate", *names],
        cwd=site, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"gates must end by themselves on {site}, but:\n{done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {x["gate"]: Outcome(x["size"], x["what"], frozenset(x["ran"])) for x in lines}


def run_gate(site, name):
    """Run one gate in a process of its own: what ran is what it runs."""
    return run_gates(site, [name])[name]
